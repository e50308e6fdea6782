package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/pdf"
)

// Need is a path that a product's validators will walk.
type Need struct {
	// Path is leaf first, trust anchor last.
	Path []*x509.Certificate
	// Since is the time at or after which the leaf's data must be issued: the
	// signature's time-stamp. Zero: in force is enough, as for all others.
	Since time.Time
}

// Material gathers all that level B-LT asks for (EN 319 142-1 §6.3, EN 319
// 122-1 §6.3): the status of each certificate of each path that needs one, below
// the anchor, that of delegated responders, and all certificates of the paths
// and of responders, each once. Who writes it leaves out what the product holds
// already. A revoked certificate's data is given too: whether it was revoked
// before the signature is for the check of the whole (package validate). Errors
// are those of Status.
func (c *Collector) Material(ctx context.Context, needs []Need) (pdf.Material, error) {
	m := gathering{seen: map[[32]byte]bool{}}
	for _, n := range needs {
		if len(n.Path) == 0 {
			return pdf.Material{}, fmt.Errorf("%w: a path without certificates", ErrRefused)
		}
		for i, cert := range n.Path {
			m.add(&m.Certificates, cert.Raw)
			if i == len(n.Path)-1 || !certs.NeedsStatus(cert) {
				continue
			}
			q := question{cert: cert, issuer: n.Path[i+1], embed: true}
			if i == 0 {
				q.since = n.Since
			}
			a, err := c.ask(ctx, q)
			if err != nil {
				return pdf.Material{}, fmt.Errorf("certificate %d of a path: %w", i, err)
			}
			m.take(a)
		}
	}
	return m.Material, nil
}

// gathering is material on its way.
type gathering struct {
	pdf.Material
	seen map[[32]byte]bool
}

func (m *gathering) add(list *[][]byte, der []byte) {
	sum := sha256.Sum256(der)
	if !m.seen[sum] {
		m.seen[sum] = true
		*list = append(*list, der)
	}
}

func (m *gathering) take(a *answer) {
	for ; a != nil; a = a.under {
		if a.Kind == certs.FromOCSP {
			m.add(&m.OCSPs, a.DER)
		} else {
			m.add(&m.CRLs, a.DER)
		}
		if a.Responder != nil {
			m.add(&m.Certificates, a.Responder.Raw)
		}
	}
}
