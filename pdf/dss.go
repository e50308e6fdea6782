package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Material is what a document security store holds (ISO 32000-2, 12.8.4.3; EN
// 319 142-1, 5.4.2.2): DER of certificates, of whole OCSPResponses and of CRLs.
type Material struct {
	Certificates [][]byte
	OCSPs        [][]byte
	CRLs         [][]byte
}

// maxStoreEntries is the largest number of entries of a document security store
// that are held against new ones. Error: too_many_objects.
const maxStoreEntries = 1 << 16

// AddDSS makes the update that puts m into the DSS dictionary of the size bytes
// of base: one indirect Flate stream for each value that is not there yet, by
// its SHA-256, and behind what is there. Streams, entries and /VRI of others
// stay as they are; of its own it writes no VRI, which the baseline levels do
// without. It is nil, nil when nothing is new.
//
// What earlier signatures permit is not asked: validation data is no change of
// the document, also for P = 1 (ISO 32000-2, 12.8.2.2). Only the structure of
// base is read, and the store. Errors: *[Error], bad_options for values that
// are not one DER SEQUENCE each, or what base returned.
func AddDSS(base io.ReaderAt, size int64, m Material, b Budget) ([]byte, error) {
	arrays, err := m.arrays()
	if err != nil {
		return nil, err
	}
	u, cat, err := begin(base, size, b)
	if err != nil {
		return nil, err
	}
	dss, err := u.doc.store(cat)
	if err != nil {
		return nil, err
	}
	if err = u.doc.strike(dss, arrays); err != nil {
		return nil, err
	}
	fresh := 0
	for _, a := range arrays {
		fresh += len(a.order)
	}
	if fresh == 0 {
		return nil, nil
	}
	if err = u.room(fresh + 2); err != nil { // the dictionary, the section
		return nil, err
	}
	if err = u.fillStore(cat, dss, arrays); err != nil {
		return nil, err
	}
	if err = u.extension(cat); err != nil {
		return nil, err
	}
	w := &writer{base: size}
	if err = u.objects(w); err != nil {
		return nil, err
	}
	id := sha256.Sum256(w.Bytes())
	if err = u.section(w, id[:]); err != nil {
		return nil, err
	}
	return w.Bytes(), proveStored(base, size, w.Bytes(), m, b)
}

// storeArray is one of the arrays of a DSS dictionary, and what it lacks.
type storeArray struct {
	key   string
	lacks map[[sha256.Size]byte][]byte
	order [][sha256.Size]byte // of what it lacks, as the caller has it
}

// arrays sorts m, each value once.
func (m Material) arrays() ([]*storeArray, error) {
	var out []*storeArray
	for _, a := range []struct {
		key    string
		values [][]byte
	}{{"Certs", m.Certificates}, {"OCSPs", m.OCSPs}, {"CRLs", m.CRLs}} {
		s := &storeArray{key: a.key, lacks: make(map[[sha256.Size]byte][]byte, len(a.values))}
		for i, v := range a.values {
			if n, ok := derSize(v); !ok || n != len(v) {
				return nil, errf(CodeBadOptions, "number %d of /%s is not one DER SEQUENCE", i+1, a.key)
			}
			sum := sha256.Sum256(v)
			if _, twice := s.lacks[sum]; !twice {
				s.lacks[sum] = v
				s.order = append(s.order, sum)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// store is the DSS dictionary of the catalog, null when there is none.
func (d *doc) store(cat val) (val, error) {
	dss, err := d.want(cat, "DSS", kDict)
	if err != nil || dss.kind() == kNull {
		return dss, err
	}
	typ, err := d.get(dss, "Type")
	if err != nil {
		return val{}, err
	}
	if typ.kind() != kNull && typ.name() != "DSS" {
		return val{}, errf(CodeBadStructure, "/DSS is of another type")
	}
	return dss, nil
}

// strike takes what the store has from what the arrays lack.
func (d *doc) strike(dss val, arrays []*storeArray) error {
	left := maxStoreEntries
	for _, a := range arrays {
		err := d.eachStored(dss, a.key, &left, func(in io.Reader) error {
			if len(a.lacks) == 0 {
				return nil
			}
			h := sha256.New()
			if _, err := io.Copy(h, in); err != nil {
				return err
			}
			delete(a.lacks, [sha256.Size]byte(h.Sum(nil)))
			return nil
		})
		if err != nil {
			return err
		}
		a.order = slices.DeleteFunc(a.order, func(sum [sha256.Size]byte) bool { return a.lacks[sum] == nil })
	}
	return nil
}

// eachStored calls f with each stream of one array of the dictionary, decoded,
// each object once; left is how many entries may still be looked at. Streams that do not decode count as read to where they do
// not: f must do nothing before it has read to the end.
func (d *doc) eachStored(dss val, key string, left *int, f func(io.Reader) error) error {
	array, err := d.want(dss, key, kArray)
	if err != nil || array.kind() == kNull {
		return err
	}
	if *left -= len(array.n.kids); *left < 0 {
		return errf(CodeTooManyObjects, "more than %d entries in the DSS dictionary", maxStoreEntries)
	}
	seen := make(map[int]bool)
	for i := range array.n.kids {
		ref := array.kid(i)
		if ref.kind() != kRef || seen[int(ref.n.num)] {
			continue
		}
		seen[int(ref.n.num)] = true
		o, err := d.load(int(ref.n.num), int(ref.n.gen))
		if err != nil {
			return err
		}
		if o.data == 0 {
			continue
		}
		in, err := d.decoded(o)
		if err == nil {
			err = f(in)
		}
		if err = streamError(err, o.num); err != nil && !errors.Is(err, &Error{Code: CodeBadStream}) &&
			!errors.Is(err, &Error{Code: CodeUnsupportedFilter}) {
			return err
		}
	}
	return nil
}

// fillStore adds the streams, and their references to the dictionary. An array
// that is an object of its own stays as it is, since somebody else may use it
// too, such as /VRI: the dictionary gets a copy with the new entries behind.
func (u *update) fillStore(cat, dss val, arrays []*storeArray) error {
	z := deflaters.Get().(*deflater)
	defer deflaters.Put(z)
	made := "<</Type/DSS"
	for _, a := range arrays {
		if len(a.order) == 0 {
			continue
		}
		there, err := u.doc.want(dss, a.key, kArray)
		if err != nil {
			return err
		}
		list := "["
		if there.kind() == kArray {
			raw := there.raw()
			list = string(raw[:len(raw)-1])
		}
		for _, sum := range a.order {
			body, err := z.stream("", a.lacks[sum])
			if err != nil {
				return err
			}
			num := u.number()
			u.added = append(u.added, addition{num, body})
			if list != "[" {
				list += " "
			}
			list += refText(num, 0)
		}
		if dss.kind() == kDict {
			if err = u.edits.set(dss, a.key, list+"]"); err != nil {
				return err
			}
		}
		made += "/" + a.key + list + "]"
	}
	if dss.kind() == kDict {
		return nil
	}
	num := u.number()
	u.added = append(u.added, addition{num, []byte(made + ">>")})
	return u.edits.set(cat, "DSS", refText(num, 0))
}

// deflater makes streams. It is kept, since it has more than a megabyte.
type deflater struct {
	out bytes.Buffer
	z   *zlib.Writer
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	d.z = zlib.NewWriter(&d.out)
	return d
}}

// stream is the body of a stream object that decodes to data; dict is what its dictionary has besides.
func (d *deflater) stream(dict string, data []byte) ([]byte, error) {
	d.out.Reset()
	d.z.Reset(&d.out)
	_, err := d.z.Write(data)
	if err == nil {
		err = d.z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress into memory: %w", err)
	}
	if d.out.Cap() > maxScratch {
		defer func() { d.out = bytes.Buffer{} }()
	}
	return fmt.Appendf(nil, "<<%s/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream", dict, d.out.Len(), d.out.Bytes()), nil
}

// proveStored reads base and update again, as a stranger would.
func proveStored(base io.ReaderAt, size int64, update []byte, m Material, b Budget) error {
	arrays, err := m.arrays()
	if err != nil {
		return err
	}
	r := Reader(base, size, update)
	u, cat, err := begin(r, r.Size(), b)
	if err != nil {
		return fmt.Errorf("read our own update: %w", err)
	}
	dss, err := u.doc.store(cat)
	if err == nil {
		err = u.doc.strike(dss, arrays)
	}
	if err != nil {
		return fmt.Errorf("read our own update: %w", err)
	}
	for _, a := range arrays {
		if len(a.order) > 0 {
			return errf(CodeBadStructure, "the update is not read back as written")
		}
	}
	return nil
}
