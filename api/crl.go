package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"tekend/wire"
)

// A CRL may have millions of entries, so it goes through us as a stream and is never in memory whole. How long it may be kept
// stands in its first bytes.

// listMaxAge: a revocation is to be seen within 60 s, also on a list that went through a cache. Who asks again with the
// tag of his copy gets 304, not the list.
const listMaxAge = 30 * time.Second

// list is a CRL on its way.
type list struct {
	cached
	head     *bufio.Reader
	from     *wire.Download
	patience *patience
}

// VisitGetCRLResponse implements the generated interface.
func (l *list) VisitGetCRLResponse(w http.ResponseWriter) error {
	defer func() { _ = l.from.Close() }()
	h := w.Header()
	h.Set("Content-Type", "application/pkix-crl")
	if l.from.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(l.from.Size, 10))
	}
	l.set(h)
	w.WriteHeader(http.StatusOK)
	_, err := l.patience.copy(w, l.head)
	return err
}

// GetCRL relays a certificate revocation list.
func (s *server) GetCRL(ctx context.Context, in GetCRLRequestObject) (GetCRLResponseObject, error) {
	ctx, cl := enter(ctx)
	from, err := s.dep.PKI.Open(ctx, "crl/"+in.File)
	if err != nil {
		return nil, relayError(err, errPublishing)
	}
	l := &list{head: bufio.NewReaderSize(from, crlHead), from: from, patience: cl.patience}
	head, err := l.head.Peek(crlHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(relayError(err, errPublishing), from.Close())
	}
	this, next, err := crlTimes(head)
	if err != nil {
		return nil, errors.Join(&outage{of: errPublishing, cause: err}, from.Close())
	}
	// The tag is weak: it is of the first bytes and the length, which two different lists of one second hardly share.
	sum := sha256.Sum256(append(strconv.AppendInt(nil, from.Size, 10), head...))
	age := max(0, min(listMaxAge, next.Sub(s.cfg.Now())))
	l.cached = cached{
		control: fmt.Sprintf("max-age=%d, public, no-transform, must-revalidate", int(age.Seconds())),
		etag:    `W/"` + hex.EncodeToString(sum[:16]) + `"`, modified: this, expires: next,
	}
	if cl.have.has(l.etag, this) {
		return &notModified{l.cached}, from.Close()
	}
	return l, nil
}

// crlHead is how much of a CRL is looked at: all before the entries has a few hundred bytes.
const crlHead = 4 << 10

// crlTimes reads thisUpdate and nextUpdate from the first bytes of a CRL.
//
//	TBSCertList ::= SEQUENCE { version INTEGER OPTIONAL, signature AlgorithmIdentifier,
//	  issuer Name, thisUpdate Time, nextUpdate Time OPTIONAL, … } (RFC 5280 §5.1)
func crlTimes(head []byte) (this, next time.Time, err error) {
	r := derHead(head)
	for range 2 { // CertificateList, TBSCertList: their contents follow
		if _, _, ok := r.header(); !ok {
			return this, next, errors.New("not a CRL")
		}
	}
	for _, tag := range []byte{asn1.TagInteger, 0x30, 0x30} { // version, signature, issuer
		if _, ok := r.element(tag); !ok {
			return this, next, errors.New("not a CRL")
		}
	}
	if this, err = r.time(); err != nil {
		return this, next, err
	}
	next, err = r.time() // EN 319 411-1 CSS-6.3.9-06: always there
	return this, next, err
}

// derHead reads DER of which only the beginning is there.
type derHead []byte

// header reads a tag and a length of at most four octets.
func (d *derHead) header() (tag byte, length int, ok bool) {
	b := *d
	if len(b) < 2 {
		return 0, 0, false
	}
	tag, length, b = b[0], int(b[1]), b[2:]
	if length >= 0x80 {
		n := length & 0x7f
		if n == 0 || n > 4 || len(b) < n {
			return 0, 0, false
		}
		length = 0
		for _, c := range b[:n] {
			length = length<<8 | int(c)
		}
		b = b[n:]
	}
	*d = b
	return tag, length, true
}

// element reads an element with this tag that is there whole.
func (d *derHead) element(tag byte) (content []byte, ok bool) {
	at := *d
	t, n, ok := at.header()
	if !ok || t != tag || n > len(at) {
		return nil, false
	}
	content, *d = at[:n], at[n:]
	return content, true
}

func (d *derHead) time() (time.Time, error) {
	for tag, form := range map[byte]string{asn1.TagUTCTime: "060102150405Z", asn1.TagGeneralizedTime: "20060102150405Z"} {
		if text, ok := d.element(tag); ok {
			return time.Parse(form, string(text))
		}
	}
	return time.Time{}, errors.New("a CRL without its times")
}
