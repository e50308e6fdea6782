package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"time"

	"tekend/cms"
	"tekend/sam"
	"tekend/tsa"
)

// rawToken is the ground that the other figures stand on, and what package hsm
// adds to it.
func (b *bench) rawToken() []row {
	t := b.tokens()
	const rounds = 7
	var sign, cycle, ours, hsmSign, rsa, seventy, ratio sample
	for range rounds {
		s, c := t.raw.measure("sign-p256", 1500), t.raw.measure("cycle", 200)
		o, h := t.hsm.measure("cycle", 200), t.hsm.measure("sign-p256", 1000)
		r, m := t.raw.measure("sign-rsa3072", 60), t.hsm.measure("cycle70", 4)
		sign, cycle, ours, rsa = append(sign, s.CPU*1e6), append(cycle, c.CPU*1e6), append(ours, o.CPU*1e6), append(rsa, r.CPU*1e6)
		hsmSign, seventy = append(hsmSign, h.CPU*1e6), append(seventy, m.CPU/70*1e6)
		ratio = append(ratio, c.CPU/o.CPU)
	}
	rate := func(s sample) string { return fmt.Sprintf("%.0f/s a core", 1e6/s.median()) }
	return []row{
		{goal: "raw C_Sign P-256, CPU", measured: sign.show("%.0f", " µs"), raw: rate(sign), verdict: info},
		{goal: "raw C_Sign RSA-3072, CPU", measured: rsa.show("%.0f", " µs"), raw: rate(rsa), verdict: info},
		{goal: "raw unwrap+sign+destroy P-256, CPU", measured: cycle.show("%.0f", " µs"), raw: rate(cycle), verdict: info},
		{goal: "the same through hsm (each value verified), CPU", measured: ours.show("%.0f", " µs"),
			raw: rate(ours) + "; raw/hsm " + ratio.show("%.2f", ""), verdict: info},
		{goal: "sign P-256 through hsm (verified), CPU", measured: hsmSign.show("%.0f", " µs"), raw: rate(hsmSign), verdict: info},
		{goal: "each of 70 under one unwrap through hsm, CPU", measured: seventy.show("%.0f", " µs"), raw: rate(seventy), verdict: info},
	}
}

// session is an authorized confirmation of n documents.
type session struct {
	nonce string
	order sam.SignRequest
}

// order makes an order of n documents that were never ordered before.
func (c *credential) order(n int) sam.PrepareRequest {
	leaf := need(x509.ParseCertificate(c.chain[0]))
	c.count++
	r := sam.PrepareRequest{V: sam.Version, Txn: fmt.Sprintf("bench-%d", c.count), Credential: c.id, Language: "en"}
	for i := range n {
		d := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", c.count, i, os.Getpid()))
		r.Documents = append(r.Documents, sam.Document{
			Label: fmt.Sprintf("document-%d.pdf", i), Alg: "SHA-256", Digest: d[:], SignedAttrs: need(cms.SignedAttributes(d[:], leaf)),
		})
	}
	return r
}

// confirm has the person confirm n documents.
func (c *credential) confirm(ctx context.Context, n int) session {
	p := need(c.sam.Prepare(ctx, c.order(n)))
	s := session{nonce: p.Nonce}
	for i := range n {
		s.order.Positions = append(s.order.Positions, i)
	}
	s.order.Session = need(c.sam.Authorize(ctx, p.Nonce, c.answer(ctx, p.AuthorizationURL))).ID
	return s
}

// cost is what n calls of one kind took in the process of the sam, each.
type cost struct{ cpu, wall float64 } // seconds

// each measures n calls.
func (c *credential) each(n int, call func(i int)) cost {
	before, at := processCPU(c.pid), time.Now()
	for i := range n {
		call(i)
	}
	return cost{(processCPU(c.pid) - before) / float64(n), time.Since(at).Seconds() / float64(n)}
}

// calls measures the three calls of n confirmations of one document.
func (c *credential) calls(ctx context.Context, n int) (prepare, authorize, sign cost) {
	orders, asked, answers, ready := make([]sam.PrepareRequest, n), make([]sam.Prepared, n), make([]sam.Answer, n), make([]session, n)
	for i := range orders {
		orders[i] = c.order(1)
	}
	prepare = c.each(n, func(i int) { asked[i] = need(c.sam.Prepare(ctx, orders[i])) })
	for i, p := range asked {
		answers[i] = c.answer(ctx, p.AuthorizationURL)
	}
	authorize = c.each(n, func(i int) {
		s := need(c.sam.Authorize(ctx, asked[i].Nonce, answers[i]))
		ready[i] = session{asked[i].Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}}
	})
	sign = c.each(n, func(i int) { c.sign(ctx, ready[i]) })
	return prepare, authorize, sign
}

func (c *credential) sign(ctx context.Context, s session) {
	signed := need(c.sam.Sign(ctx, s.nonce, s.order))
	demand(len(signed.Values) == len(s.order.Positions), "%d values for %d positions", len(signed.Values), len(s.order.Positions))
}

// samSign is G2 and G4 for the call of the contract: HTTP on the Unix socket,
// session, certificate status, two durable transactions with audit, the key.
func (b *bench) samSign() []row {
	ctx := context.Background()
	c, t := b.enrolled(ctx), b.tokens()
	const rounds, calls = 7, 20
	var prepare, authorize, cpu, wall, ratio, above, rsa sample
	for range rounds {
		plain := t.raw.measure("cycle", 150)
		p, a, s := c.calls(ctx, calls)
		prepare, authorize = append(prepare, p.cpu*1e6), append(authorize, a.cpu*1e6)
		cpu, wall = append(cpu, s.cpu*1e6), append(wall, s.wall*1e3)
		ratio, above = append(ratio, plain.CPU/s.cpu), append(above, (s.cpu-plain.CPU)*1e6)
		rsa = append(rsa, t.raw.measure("sign-rsa2048", 60).CPU*1e6)
	}
	return []row{
		{goal: "G2: raw unwrap+sign+destroy / the sam's Sign call of one document, CPU", must: "≥ 0.75", measured: ratio.show("%.2f", ""),
			raw: cpu.show("%.0f", " µs") + " a call; " + wall.show("%.1f", " ms") + " wall", verdict: verdict(ratio.median() >= 0.75)},
		{goal: "G4: CPU of that call above the raw operation", must: "≤ 250 µs", measured: above.show("%.0f", " µs"), verdict: verdict(above.median() <= 250)},
		{goal: "the Prepare call, CPU", measured: prepare.show("%.0f", " µs"), raw: "raw C_Sign RSA-2048, one in it: " + rsa.show("%.0f", " µs"), verdict: info},
		{goal: "the Authorize call, CPU", measured: authorize.show("%.0f", " µs"), raw: "C_Sign RSA-2048, one in it", verdict: info},
	}
}

// batch is G17: everything that the sam does for 70 documents.
func (b *bench) batch() []row {
	ctx := context.Background()
	c := b.enrolled(ctx)
	const rounds, n = 5, 70
	var ratio, single, one sample
	for range rounds {
		start := processCPU(b.pids["sam"])
		for range n {
			c.sign(ctx, c.confirm(ctx, 1))
		}
		middle := processCPU(b.pids["sam"])
		const batches = 3 // more to count
		for range batches {
			c.sign(ctx, c.confirm(ctx, n))
		}
		end := processCPU(b.pids["sam"])
		single, one = append(single, (middle-start)*1e3), append(one, (end-middle)*1e3/batches)
		ratio = append(ratio, (end-middle)/batches/(middle-start))
	}
	return []row{{goal: "G17: 70 documents in one confirmation / 70 single ones, CPU of the sam", must: "≤ 0.30", measured: ratio.show("%.2f", ""),
		raw: one.show("%.0f", " ms") + " / " + single.show("%.0f", " ms"), verdict: verdict(ratio.median() <= 0.30)}}
}

// stamper is a client of the sandbox's time-stamping unit.
func (b *bench) stamper() *tsa.Client {
	b.sandbox()
	roots := x509.NewCertPool()
	demand(roots.AppendCertsFromPEM(need(os.ReadFile(b.info.RootPEM))), "no root in %s", b.info.RootPEM)
	return tsa.NewClient(tsa.ClientConfig{
		URL: "http://tsa/tsa", Socket: b.socket("tsa", "run", "tsa.sock"), Roots: roots, Timeout: 20 * time.Second, Now: time.Now,
	}, nil)
}

// selfSigned is a certificate for a key, good enough to be named in a CMS.
func selfSigned(s crypto.Signer) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, s.Public(), s)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func softwareKey() *ecdsa.PrivateKey { return need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
