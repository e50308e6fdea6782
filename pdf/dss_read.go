package pdf

import (
	"crypto/sha256"
	"errors"
	"io"
)

// Limits of what is read out of DSS dictionaries, all revisions together: an
// honest store has some dozens of entries, the largest of them lists of some
// megabytes.
const (
	maxDSSEntries = 1 << 15
	maxDSSEntry   = 64 << 20
	maxDSSBytes   = 96 << 20
)

// ValidationData reads the DSS dictionary (ISO 32000-2, 12.8.4.3) as it is
// after each of the revisions that end at ends, in their order; size stands for
// the newest. A revision without one has no Material. Equal entries share their
// bytes. What hangs at VRI is not read: its entries stand in the arrays too.
//
// Entries that cannot be read (no stream, a filter other than Flate, a broken
// one) are left out and counted in bad. An error means that a revision is not
// one, that the dictionary itself is broken, or that a limit is exceeded.
func ValidationData(r io.ReaderAt, size int64, ends []int64, b Budget) (list []Material, bad int, err error) {
	d, err := open(r, size, b)
	if err != nil {
		return nil, 0, err
	}
	h := &history{doc: d, forms: map[int]*form{}}
	k := &dssReader{byPlace: make(map[place][]byte), byHash: make(map[[32]byte][]byte), left: maxDSSBytes, entries: maxDSSEntries}
	for _, end := range ends {
		i := 0
		if end != size {
			if i, err = h.revision(end); err != nil {
				return nil, 0, err
			}
			if i < 0 {
				return nil, 0, errf(CodeNotARevision, "no revision ends at %d", end)
			}
		}
		m, err := k.material(h.at(i))
		if err != nil {
			return nil, 0, err
		}
		list = append(list, m)
	}
	return list, k.bad, nil
}

// dssReader reads each stream once, however many revisions have it.
type dssReader struct {
	byPlace map[place][]byte // nil: cannot be read
	byHash  map[[32]byte][]byte
	left    int
	entries int
	bad     int
}

func (k *dssReader) material(d *doc) (Material, error) {
	var m Material
	cat, err := d.catalog()
	if err != nil {
		return m, err
	}
	dss, err := d.want(cat, "DSS", kDict)
	if err != nil || dss.kind() == kNull {
		return m, err
	}
	for key, to := range map[string]*[][]byte{"Certs": &m.Certificates, "OCSPs": &m.OCSPs, "CRLs": &m.CRLs} {
		array, err := d.want(dss, key, kArray)
		if err != nil {
			return m, err
		}
		if array.kind() == kNull {
			continue
		}
		for i := range array.n.kids {
			der, err := k.entry(d, array.kid(i))
			if err != nil {
				return m, err
			}
			if der != nil {
				*to = append(*to, der)
			}
		}
	}
	return m, nil
}

// entry reads one entry of an array, nil when it cannot be read.
func (k *dssReader) entry(d *doc, ref val) ([]byte, error) {
	if k.entries--; k.entries < 0 {
		return nil, errf(CodeTooManyObjects, "more than %d entries in DSS dictionaries", maxDSSEntries)
	}
	if ref.kind() != kRef {
		k.bad++
		return nil, nil
	}
	o, err := d.load(int(ref.n.num), int(ref.n.gen))
	if err != nil {
		return nil, k.skip(err)
	}
	// With its length, which can be an object of its own and another one in another revision.
	length, err := d.intOf(o.val(), "Length")
	if err != nil {
		return nil, k.skip(err)
	}
	at := place{off: o.data, idx: int(length), num: o.num}
	if der, known := k.byPlace[at]; known && o.data > 0 {
		return der, nil
	}
	der, err := k.read(d, o)
	if err != nil {
		return nil, k.skip(err)
	}
	// One object, many places: the same bytes are kept once.
	sum := sha256.Sum256(der)
	if same, known := k.byHash[sum]; known {
		k.left += len(der)
		der = same
	}
	k.byHash[sum], k.byPlace[at] = der, der
	return der, nil
}

func (k *dssReader) read(d *doc, o *object) ([]byte, error) {
	r, err := d.decoded(o)
	if err != nil {
		return nil, err
	}
	most := min(maxDSSEntry, k.left)
	der, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, streamError(err, o.num)
	}
	if len(der) > most {
		return nil, errf(CodeDecompressionBomb, "entries of DSS dictionaries with more than %d bytes", most)
	}
	k.left -= len(der)
	return der, nil
}

// skip passes over an entry that is broken, and over nothing else.
func (k *dssReader) skip(err error) error {
	var e *Error
	if !errors.As(err, &e) || !soft(err) {
		return err
	}
	k.bad++
	return nil
}
