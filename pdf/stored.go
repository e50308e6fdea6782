package pdf

import (
	"errors"
	"io"
)

// maxStoreBytes is how much of a document security store is taken into memory.
// The largest lists of revoked certificates have some tens of megabytes.
const maxStoreBytes = 64 << 20

// Stored reads the DSS dictionary of the newest revision: what its three arrays
// hold, each stream once, in order. It is empty when there is none. Nothing of
// it is verified. An entry that is no stream, or whose stream does not decode,
// is passed over: it proves nothing. More than 64 MiB in all are a
// decompression_bomb, other errors are about the document.
func Stored(r io.ReaderAt, size int64, b Budget) (Material, error) {
	var m Material
	u, cat, err := begin(r, size, b)
	if err != nil {
		return m, err
	}
	dss, err := u.doc.store(cat)
	if err != nil {
		return m, err
	}
	left := storeLimits{entries: maxStoreEntries, bytes: maxStoreBytes}
	for _, a := range []struct {
		key string
		to  *[][]byte
	}{{"Certs", &m.Certificates}, {"OCSPs", &m.OCSPs}, {"CRLs", &m.CRLs}} {
		if err = u.doc.eachStored(dss, a.key, &left, func(in io.Reader) error {
			der, err := io.ReadAll(io.LimitReader(in, int64(left.bytes)+1))
			if err != nil {
				return err
			}
			if left.bytes -= len(der); left.bytes < 0 {
				return errf(CodeDecompressionBomb, "more than %d bytes in the DSS dictionary", maxStoreBytes)
			}
			*a.to = append(*a.to, der)
			return nil
		}); err != nil {
			return Material{}, err
		}
	}
	return m, nil
}

// storeLimits is what may still be read of a document security store.
type storeLimits struct{ entries, bytes int }

// eachStored calls f with each stream of one array of the dictionary, decoded,
// each object once. Streams that do not decode count as read to where they do
// not: f must do nothing before it has read to the end.
func (d *doc) eachStored(dss val, key string, left *storeLimits, f func(io.Reader) error) error {
	array, err := d.want(dss, key, kArray)
	if err != nil || array.kind() == kNull {
		return err
	}
	if left.entries -= len(array.n.kids); left.entries < 0 {
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
