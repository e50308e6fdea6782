package validate

import (
	"crypto/x509"
	"maps"

	"tekend/certs"
)

// longTerm recognises B-LT and B-LTA (EN 319 142-1 §6.2, specs/ades.md §9.1):
// by what the document holds and nothing else, each certificate of each path
// that needs it has a status that would do.
func (d *document) longTerm(it *item, cert *x509.Certificate) error {
	for n := len(d.items) - 1; n >= 0; n-- {
		o := d.items[n]
		if o.own == nil || !o.own.ok || !sound(o.sig) || it.sig.ContentsEnd > o.sig.ContentsStart {
			continue
		}
		// B-LTA: the data for all that is older than this document time-stamp
		// stood in the revision that it covers.
		whole, err := d.complete(it, cert, o.covers, d.items[:n])
		if err != nil {
			return err
		}
		if whole {
			it.out.Level = LevelLTA
			return nil
		}
	}
	whole, err := d.complete(it, cert, d.final, d.items)
	if whole {
		it.out.Level = LevelBLT
	}
	return err
}

// complete tells whether data proves the status of every certificate of the
// signature and of the time-stamps at it and over it that are among items.
func (d *document) complete(it *item, cert *x509.Certificate, data scope, items []*item) (bool, error) {
	in := make(scope, len(data))
	maps.Copy(in, data)
	var stamps []*token
	for _, o := range items {
		for _, i := range o.holds {
			// Certificates count wherever they are; what is said of them must
			// stand in the DSS dictionary.
			if d.e.known[i] == nil {
				in[i] = true
			}
		}
		switch {
		case o == it:
			stamps = append(stamps, o.stamps...)
		case o.own != nil && o.own.ok && it.sig.ContentsEnd <= o.sig.ContentsStart:
			// One that is not proven proves nothing here, and has a verdict of its own.
			stamps = append(stamps, o.own)
		}
	}
	return d.proves(in, it, cert, stamps)
}

// proves tells whether what is in scope proves the status of every certificate of
// a signature and of time-stamps.
func (d *document) proves(in scope, it *item, cert *x509.Certificate, stamps []*token) (bool, error) {
	at := it.out.BestTime
	uses := []use{{cert: cert, purpose: certs.Signing, when: at, exists: at, in: in, offline: true}}
	for _, t := range stamps {
		if len(t.chain.path) == 0 {
			return false, nil
		}
		exists := t.exists
		if exists.Before(t.t.GenTime) {
			exists = t.t.GenTime
		}
		uses = append(uses, use{cert: t.chain.path[0], purpose: certs.TimeStamping, when: t.t.GenTime, exists: exists, in: in, offline: true})
	}
	for _, u := range uses {
		c, err := d.e.judge(d.ctx, u)
		if err != nil || len(c.findings) > 0 {
			return false, err
		}
	}
	return true, nil
}
