package cms

import (
	"io"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// BER is how many tools write a CMS around a content that they stream: lengths
// that are not said (80 … 00 00), and the content in pieces (X.690 §8.1.3.6,
// §8.7.3). definite turns the frame of such a file into DER: ContentInfo,
// SignedData, the content, the sets, the SignerInfos. What is signed or hashed
// by itself (signed attributes, certificates, revocation data, the values of
// unsigned attributes) stays as it stands, so that [Parse] refuses it unless it
// is DER.
func definite(ber []byte, b Budget) ([]byte, error) {
	w := &unframer{budget: b}
	info := w.children(ber, casn1.SEQUENCE, true)
	if w.err == nil && len(info) != 2 {
		return nil, errf(CodeMalformed, "not a ContentInfo")
	}
	if w.err != nil {
		return nil, w.err
	}
	explicit := w.only(info[1], context(0))
	fields := w.children(explicit, casn1.SEQUENCE, false)
	for i, f := range fields {
		switch {
		case i == 2 && f[0] == byte(casn1.SEQUENCE):
			fields[i] = w.content(f)
		case f[0] == byte(context(0)), f[0] == byte(context(1)):
			fields[i] = element(casn1.Tag(f[0]), w.children(f, casn1.Tag(f[0]), false)...)
		case i > 2 && f[0] == byte(casn1.SET):
			var signers [][]byte
			for _, one := range w.children(f, casn1.SET, false) {
				signers = append(signers, w.signer(one))
			}
			fields[i] = element(casn1.SET, signers...)
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return element(casn1.SEQUENCE, info[0], element(context(0), element(casn1.SEQUENCE, fields...))), nil
}

// unframer takes elements apart; after an error it gives nothing more.
type unframer struct {
	budget   Budget
	elements int
	err      error
}

// content is EncapsulatedContentInfo with its octets in one piece.
func (w *unframer) content(f []byte) []byte {
	parts := w.children(f, casn1.SEQUENCE, false)
	if len(parts) != 2 {
		return element(casn1.SEQUENCE, parts...)
	}
	octets := w.only(parts[1], context(0))
	if len(octets) > 0 && octets[0] == byte(casn1.OCTET_STRING)|0x20 {
		var whole []byte
		for _, piece := range w.children(octets, casn1.OCTET_STRING|0x20, false) {
			head, n, err := header(piece)
			if err != nil || piece[0] != byte(casn1.OCTET_STRING) || head+n != len(piece) {
				w.fail(errf(CodeNotDER, "a piece of the content that is not an OCTET STRING"))
				return nil
			}
			whole = append(whole, piece[head:]...)
		}
		octets = element(casn1.OCTET_STRING, whole)
	}
	return element(casn1.SEQUENCE, parts[0], element(context(0), octets))
}

// signer is a SignerInfo whose own frame, and that of its unsigned attributes,
// is definite.
func (w *unframer) signer(f []byte) []byte {
	parts := w.children(f, casn1.SEQUENCE, false)
	if n := len(parts) - 1; n >= 0 && parts[n][0] == byte(context(1)) {
		parts[n] = element(context(1), w.children(parts[n], context(1), false)...)
	}
	return element(casn1.SEQUENCE, parts...)
}

func (w *unframer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// only gives the one element inside another.
func (w *unframer) only(f []byte, tag casn1.Tag) []byte {
	list := w.children(f, tag, false)
	if w.err == nil && len(list) != 1 {
		w.fail(errf(CodeMalformed, "%d elements where one is", len(list)))
	}
	if w.err != nil {
		return nil
	}
	return list[0]
}

// children gives the elements inside of one, each as it stands; with whole there
// must be nothing behind it.
func (w *unframer) children(f []byte, tag casn1.Tag, whole bool) [][]byte {
	if w.err != nil {
		return nil
	}
	head, end, err := w.extent(f)
	switch {
	case err != nil:
		w.fail(err)
	case f[0] != byte(tag):
		w.fail(errf(CodeMalformed, "not a ContentInfo with SignedData"))
	case whole && end != len(f):
		w.fail(errf(CodeTrailingData, "%d bytes behind the end", len(f)-end))
	}
	if w.err != nil {
		return nil
	}
	body := f[head:end]
	if f[1] == 0x80 {
		body = body[:len(body)-2]
	}
	var out [][]byte
	for len(body) > 0 {
		_, n, err := w.extent(body)
		if err != nil {
			w.fail(err)
			return nil
		}
		out, body = append(out, body[:n]), body[n:]
	}
	return out
}

// extent finds where the element at the start of b has its value, and its end,
// behind the mark of an indefinite one. It nests only as far as the lengths are
// not said, without recursion.
func (w *unframer) extent(b []byte) (head, end int, err error) {
	open := 0 // elements without a length that we are inside of
	for at := 0; ; {
		if w.elements++; w.elements > w.budget.Elements {
			return 0, 0, errf(CodeTooManyElements, "more than %d elements", w.budget.Elements)
		}
		rest := b[at:]
		switch {
		case len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 && open > 0:
			at += 2
			open--
		case len(rest) >= 2 && rest[1] == 0x80 && rest[0]&0x20 != 0:
			if open++; open > w.budget.Depth {
				return 0, 0, errf(CodeTooDeep, "more than %d levels", w.budget.Depth)
			}
			if at == 0 {
				head = 2
			}
			at += 2
		default:
			h, n, err := header(rest)
			if err != nil {
				return 0, 0, err
			}
			if at == 0 {
				head = h
			}
			at += h + n
		}
		if open == 0 {
			return head, at, nil
		}
	}
}

// maxBER bounds a file whose frame is BER: it is in memory some six times, each
// level of the frame being written once.
const maxBER = 16 << 20

// parseBER reads a file whose frame is BER; all of it comes into memory, the
// content too.
func parseBER(r io.ReaderAt, size int64, b Budget) (*SignedData, error) {
	b.Bytes = min(b.Bytes, maxBER)
	ber, err := read(r, span{0, size}, b)
	if err != nil {
		return nil, err
	}
	der, err := definite(ber, b)
	if err != nil {
		return nil, err
	}
	return Parse(der, b)
}
