package main

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"tekend/interop/sandboxtest"
	"tekend/sam"
)

// workers is G13: one goroutine beside two on a token with two sessions. It
// is a matter of wall time, so the process is put before the others of the
// machine for its seconds, where that is allowed.
func (b *bench) workers() []row {
	var before []string
	how := "beside the others of the machine"
	if path, err := exec.LookPath("chrt"); err == nil && exec.Command(path, "-r", "1", "true").Run() == nil {
		before, how = []string{path, "-r", "1"}, "before the others (chrt -r 1)"
	}
	w := b.tokens().start("hsm", before...)
	defer w.stop()
	const rounds = 9
	var rows []row
	for _, c := range []struct {
		op, name string
		n        int
		must     float64
	}{{"sign-rsa3072", "RSA-3072", 120, 1.6}, {"sign-p256", "P-256", 2400, 1.1}, {"cycle", "P-256 wrapped", 240, 0}} {
		var ratio, one, two sample
		for range rounds {
			f, g := w.together(c.op, c.n, 1), w.together(c.op, c.n, 2)
			one, two, ratio = append(one, 1/f.Wall), append(two, 1/g.Wall), append(ratio, f.Wall/g.Wall)
		}
		r := row{
			goal: "G13: 1 → 2 workers through hsm, " + c.name, measured: ratio.show("%.2f", ""), verdict: info,
			raw: one.show("%.0f", "/s") + " → " + two.show("%.0f", "/s") + fmt.Sprintf(" on %d cores, %s", runtime.NumCPU(), how),
		}
		if c.must > 0 {
			r.must, r.verdict = fmt.Sprintf("≥ %.1f", c.must), verdict(ratio.median() >= c.must)
		}
		rows = append(rows, r)
	}
	return rows
}

// growth is G11 and G12: how a process grows by signatures. Its own garbage
// is given back to the system before each reading; what the module keeps is not.
func (b *bench) growth() []row {
	n := b.signatures()
	t := b.tokens()
	grown := func(op string) (start, end float64) {
		w := t.start("long")
		defer w.stop()
		read := func() float64 {
			w.measure("rest", 1)
			return float64(resident(w.cmd.Process.Pid)) / (1 << 20)
		}
		w.measure(op, 2000) // pools fill
		start = read()
		w.measure(op, n)
		return start, read()
	}
	from, to := grown("cycle")
	tokenFrom, tokenTo := grown("sign-p256")
	slope := (tokenTo - tokenFrom) * (1 << 20) / float64(n)
	what := fmt.Sprintf("over %d signatures", n)
	return []row{
		{goal: "G11: RSS " + what + " with a wrapped key, through hsm", must: "end ≤ start + 20 MiB", measured: fmt.Sprintf("%+.1f MiB", to-from), raw: sizes(from, to), verdict: verdict(to-from <= 20)},
		{goal: "G12: RSS " + what + " with a token key, through hsm", must: "≤ 16 B each", measured: fmt.Sprintf("%.1f B", slope), raw: sizes(tokenFrom, tokenTo), verdict: verdict(slope <= 16)},
	}
}

// signatures is how many growth makes.
func (b *bench) signatures() int {
	if b.long {
		return 100_000
	}
	return 10_000
}

func sizes(from, to float64) string { return fmt.Sprintf("%.1f → %.1f MiB", from, to) }

// samGrowth is how the role grows by as many signatures, with all that it does
// for them; the garbage of Go is in it.
func (b *bench) samGrowth() []row {
	ctx, n := context.Background(), b.signatures()
	c := b.enrolled(ctx)
	var start float64
	for i := -10; i < n/sam.MaxDocuments; i++ {
		if i == 0 { // pools are full
			start = float64(resident(c.pid)) / (1 << 20)
		}
		c.sign(ctx, c.confirm(ctx, sam.MaxDocuments))
	}
	end := float64(resident(c.pid)) / (1 << 20)
	return []row{{
		goal: fmt.Sprintf("RSS of the role sam over %d signatures, 250 a confirmation", n), must: "end ≤ start + 20 MiB",
		measured: fmt.Sprintf("%+.1f MiB", end-start), raw: sizes(start, end), verdict: verdict(end-start <= 20),
	}}
}

// people is G10: the calls of the sam with very many enrolled people beside a
// sam with one.
func (b *bench) people() []row {
	n := 100_000
	if b.long {
		n = 1_000_000
	}
	ctx := context.Background()
	one := b.enrolled(ctx)
	t := &tb{}
	defer t.close()
	s := sandboxtest.Start(t)
	many := enrol(ctx, s, t)
	fill(filepath.Join(s.Dir, "sam", "sam.db"), n)
	const rounds, calls = 9, 15
	many.calls(ctx, calls) // the cache of a process that has just started is empty
	type cell struct{ wall, cpu, alone, aloneCPU, ratio, ratioCPU sample }
	var cells [3]cell
	for range rounds {
		var a, m [3]cost
		a[0], a[1], a[2] = one.calls(ctx, calls)
		m[0], m[1], m[2] = many.calls(ctx, calls)
		for i := range cells {
			c := &cells[i]
			c.alone, c.aloneCPU = append(c.alone, a[i].wall*1e3), append(c.aloneCPU, a[i].cpu*1e3)
			c.wall, c.cpu = append(c.wall, m[i].wall*1e3), append(c.cpu, m[i].cpu*1e3)
			c.ratio, c.ratioCPU = append(c.ratio, m[i].wall/a[i].wall), append(c.ratioCPU, m[i].cpu/a[i].cpu)
		}
	}
	var rows []row
	for i, name := range []string{"Prepare", "Authorize", "Sign"} {
		c := cells[i]
		rows = append(rows,
			row{goal: fmt.Sprintf("G10: %s with %d enrolled people / with one, CPU", name, n), must: "≤ 1.2", measured: c.ratioCPU.show("%.2f", ""),
				raw: c.cpu.show("%.2f", " ms") + " / " + c.aloneCPU.show("%.2f", " ms"), verdict: verdict(c.ratioCPU.median() <= 1.2)},
			row{goal: "the same, wall", must: "≤ 1.2", measured: c.ratio.show("%.2f", ""),
				raw: c.wall.show("%.1f", " ms") + " / " + c.alone.show("%.1f", " ms"), verdict: verdict(c.ratio.median() <= 1.2)})
	}
	return rows
}

// fill adds n people to the sam's table of links: the one that is there, under
// other names. Their MACs are not good, but nobody asks for them: what is
// measured is how long it takes to find the one that is.
func fill(path string, n int) {
	d := need(sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_pragma=synchronous(OFF)&_pragma=cache_size(-200000)"))
	defer func() { _ = d.Close() }()
	d.SetMaxOpenConns(1)
	const part = 5000 // the sam waits meanwhile
	for done := 0; done < n; done += part {
		_, err := d.Exec(`WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)
			INSERT INTO links (id, state, generation, iss, ident_aud, ident_sub, confirm_aud, confirm_sub, spki, chain, kind, kek, mechanism, module, blob, created, mac)
			SELECT 'cred_' || lower(hex(randomblob(16))), state, generation, iss, ident_aud, hex(randomblob(16)), confirm_aud, hex(randomblob(16)),
				spki, chain, kind, kek, mechanism, module, randomblob(length(blob)), created, randomblob(length(mac))
			FROM c, (SELECT * FROM links WHERE rowid = 1)`, min(part, n-done))
		must(err)
		time.Sleep(time.Millisecond)
	}
}
