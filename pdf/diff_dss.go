package pdf

import "io"

// What a document security store and its VRI dictionaries may have (ETSI EN 319 142-1, 5.4.2), and whether it is a list of
// streams.
var (
	dssKeys = map[string]bool{"Type": false, "VRI": false, "Certs": true, "CRLs": true, "OCSPs": true}
	vriKeys = map[string]bool{"Type": false, "TU": false, "TS": false, "Cert": true, "CRL": true, "OCSP": true}
)

// dss: validation data may come, and lists may become shorter; nothing else can stand there.
func (p *pairing) dss(a, b val) error {
	x, y, err := p.role(a, b, "DSS")
	if err != nil {
		return err
	}
	if y.kind() != kDict {
		p.other(reasonDSS, b.o.num)
		return nil
	}
	return p.keys(x, y, func(key string, v, w val) error {
		list, known := dssKeys[key]
		switch {
		case !known:
			return p.unchanged(reasonDSSKey, y.o.num, v, w)
		case list:
			return p.streams(x, y, key)
		case key == "VRI":
			return p.vri(x, y)
		case key == "Type" && (w.kind() == kNull || w.name() == "DSS"):
			return nil
		}
		return p.unchanged(reasonDSSKey, y.o.num, v, w)
	})
}

// vri: what is there stays, and more may come.
func (p *pairing) vri(x, y val) error {
	a, b, err := p.role(x, y, "VRI")
	if err != nil {
		return err
	}
	if b.kind() != kDict {
		return p.unchanged(reasonVRI, y.o.num, a, b)
	}
	return p.keys(a, b, func(key string, v, w val) error {
		if v.kind() != kNull {
			// The entry may have become an object of its own, or another one.
			m, err := p.old.deref(v)
			if err != nil {
				return err
			}
			n, err := p.now.deref(w)
			if err != nil {
				return err
			}
			return p.unchanged(reasonVRIEntry, b.o.num, m, n)
		}
		if !hexKey(key) {
			p.other(reasonVRIKey, b.o.num)
			return nil
		}
		return p.newVRI(w, b.o.num)
	})
}

// hexKey: the SHA-1 of a signature (5.4.2.3).
func hexKey(s string) bool {
	for i := range len(s) {
		if unhex(s[i]) < 0 {
			return false
		}
	}
	return len(s) == 40
}

func (p *pairing) newVRI(w val, num int) error {
	_, e, err := p.place(val{}, w, nil)
	if err != nil {
		return err
	}
	p.change(ChangesLTA)
	if e.kind() != kDict {
		p.other(reasonVRIEntry, num)
		return nil
	}
	return p.keys(val{}, e, func(key string, _, w val) error {
		list, known := vriKeys[key]
		switch {
		case !known:
			p.other(reasonVRIEntry, num)
		case list:
			return p.streams(val{}, e, key)
		case key == "TS":
			return p.derStream(w)
		}
		return nil
	})
}

// streams: a list of streams of one DER value each.
func (p *pairing) streams(x, y val, key string) error {
	a, b, err := p.role(x, y, key)
	if err != nil {
		return err
	}
	same, err := p.s.equal(a, b)
	if err != nil || same {
		return err
	}
	p.change(ChangesLTA)
	if b.kind() != kArray && b.kind() != kNull {
		p.other(reasonDSSList, y.o.num)
		return nil
	}
	for i := 0; b.kind() == kArray && i < len(b.n.kids); i++ {
		if err := p.derStream(b.kid(i)); err != nil {
			return err
		}
	}
	return nil
}

// derStream: an object of the signed revision that is listed now, or a new stream that holds one DER SEQUENCE and nothing else.
func (p *pairing) derStream(v val) error {
	if v.kind() != kRef {
		p.other(reasonDSSStream, 0)
		return nil
	}
	num := int(v.n.num)
	if !p.fresh(num) {
		return p.s.work(1)
	}
	at := p.changed[num].is
	pl := place{off: at.off, idx: at.gen, num: num}
	good, known := p.f.der[pl]
	if !known {
		o, err := p.now.load(num, int(v.n.gen))
		if err != nil {
			return err
		}
		if good, err = p.isDER(o); err != nil {
			return err
		}
		// What its dictionary refers to, as a length, may stand elsewhere in another revision; and a stream is in no object
		// stream, of which the number is no place.
		if at.kind == entryOffset && plain(o.val(), p.s.max.Depth) {
			p.f.der[pl] = good
		}
	}
	if !good {
		p.other(reasonDSSStream, num)
	}
	return nil
}

func (p *pairing) isDER(o *object) (bool, error) {
	if o.data == 0 {
		return false, nil
	}
	r, err := p.now.decoded(o)
	if err != nil {
		return false, hard(err)
	}
	head := make([]byte, 10)
	n, err := io.ReadFull(r, head)
	if err != nil && n < 2 {
		return false, hard(streamError(err, o.num))
	}
	want, ok := derLength(head[:n])
	if !ok {
		return false, nil
	}
	m, err := io.Copy(io.Discard, r)
	if err != nil {
		return false, hard(streamError(err, o.num))
	}
	return int64(n)+m == want, nil
}

// hard lets pass only errors that are not about the document.
func hard(err error) error {
	if soft(err) {
		return nil
	}
	return err
}

// derLength is the size of the SEQUENCE that begins with head, its head with it.
func derLength(head []byte) (int64, bool) {
	if len(head) < 2 || head[0] != 0x30 {
		return 0, false
	}
	if head[1] < 0x80 {
		return int64(head[1]) + 2, true
	}
	k := int(head[1] & 0x7F)
	if k < 1 || k > 4 || len(head) < 2+k {
		return 0, false
	}
	n := int64(0)
	for _, c := range head[2 : 2+k] {
		n = n<<8 | int64(c)
	}
	return n + int64(2+k), true
}
