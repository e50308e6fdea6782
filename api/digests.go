package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"tekend/signer"
)

// Orders without upload: digests of documents that stay with their provider, and the next signature on documents that are
// here already.

// noUpload is the upload of such an order.
type noUpload struct{}

// Next implements signer.Upload.
func (noUpload) Next(context.Context) (string, io.Reader, error) { return "", nil, io.EOF }

func (noUpload) count() int    { return 0 }
func (noUpload) failed() error { return nil }

// openJSON is an order as application/json. What it is about stands in exactly one of two members.
func openJSON(p CreateSignatureRequestParams, order SignatureRequestOrder) error {
	switch {
	case p != (CreateSignatureRequestParams{}):
		return invalid(Issue{In: Query, Reason: "options of an order as JSON stand in its body"})
	case order.Digests == nil && order.Continues == nil:
		return invalid(at("/digests", "is required, or continues"), at("/continues", "is required, or digests"))
	case order.Digests != nil && order.Continues != nil:
		return invalid(at("/continues", "must not stand beside digests"))
	}
	return nil
}

// uploadsOnly refuses members that an order with documents cannot have; name is the part that they stand in.
func uploadsOnly(order SignatureRequestOrder, name string) error {
	var issues []Issue
	refuse := func(pointer string) {
		i := at(pointer, "stands only in an order as application/json, which has no documents")
		i.Name = &name
		issues = append(issues, i)
	}
	if order.Digests != nil {
		refuse("/digests")
	}
	if order.Continues != nil {
		refuse("/continues")
	}
	if issues == nil {
		return nil
	}
	return invalid(issues...)
}

// at is an issue about a member of a JSON body.
func at(pointer, reason string) Issue { return Issue{In: Body, Pointer: &pointer, Reason: reason} }

// digestSizes in bytes, by name.
var digestSizes = map[DigestAlgorithm]int{"SHA-256": 32, "SHA-384": 48, "SHA-512": 64}

// digests are the ordered ones in the signer's words. What is wrong with one of many is told with its place, which the
// signer's own refusal does not have.
func digests(list *[]Digest) ([]signer.OrderedDigest, error) {
	if list == nil {
		return nil, nil
	}
	var all []signer.OrderedDigest
	later := (*list)[0].Digest == nil
	for i, one := range *list {
		d := signer.OrderedDigest{Name: value(one.Name), Algorithm: string(one.Algorithm), Digest: value(one.Digest)}
		switch {
		case (one.Digest == nil) != later:
			return nil, &fault{of: signer.ErrDigest, issues: []Issue{at(fmt.Sprintf("/digests/%d/digest", i), "must stand in all entries or in none")}}
		case !later && len(d.Digest) != digestSizes[one.Algorithm]:
			return nil, &fault{of: signer.ErrDigest, issues: []Issue{at(fmt.Sprintf("/digests/%d/digest", i), fmt.Sprintf("must have %d bytes for %s", digestSizes[one.Algorithm], d.Algorithm))}}
		case one.Algorithm != (*list)[0].Algorithm:
			return nil, &fault{of: signer.ErrDigestAlg, issues: []Issue{at(fmt.Sprintf("/digests/%d/algorithm", i), "must be the same in all digests of an order")}}
		}
		for k, before := range all {
			if !later && bytes.Equal(before.Digest, d.Digest) {
				return nil, &fault{of: signer.ErrDigest, issues: []Issue{at(fmt.Sprintf("/digests/%d/digest", i), fmt.Sprintf("stands in /digests/%d too", k))}}
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// SendDigests takes the digests that an order left out.
func (s *server) SendDigests(ctx context.Context, in SendDigestsRequestObject) (SendDigestsResponseObject, error) {
	ctx, cl := enter(ctx)
	list := make([]Digest, len(in.Body.Digests))
	for i, d := range in.Body.Digests {
		list[i] = Digest{Algorithm: DigestAlgorithm(d.Algorithm), Digest: &d.Digest}
	}
	all, err := digests(&list)
	if err != nil {
		return nil, err
	}
	r, err := s.dep.Signer.SendDigests(ctx, cl.client, in.Id, all, value(in.Body.SignedOrder))
	if err != nil {
		return nil, err
	}
	return SendDigests200JSONResponse(s.signatureRequest(r)), nil
}

func continued(list *[]Continued) (all []signer.Continued) {
	for _, c := range value(list) {
		all = append(all, signer.Continued{Request: c.Request, Document: c.Document})
	}
	return all
}

// fromHex is a digest of the signer's, nil for none.
func fromHex(text string) *[]byte {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return &b
}

// product answers for a document that is not here: the CMS alone, or with all that it was made of for who wants JSON.
func (s *server) product(ctx context.Context, cl *call, in GetSignedDocumentRequestObject) (GetSignedDocumentResponseObject, error) {
	p, err := s.dep.Signer.Product(ctx, cl.client, in.Id, in.N)
	if err != nil {
		return nil, s.withState(ctx, cl, in.Id, err)
	}
	r, err := s.dep.Signer.Get(ctx, cl.client, in.Id)
	if err != nil {
		return nil, err
	}
	d := r.Documents[in.N-1]
	if cl.json {
		return GetSignedDocument200JSONResponse(productData(p, d)), nil
	}
	return &signature{cms: p.CMS, name: d.Name}, nil
}

// signature is a CMS as an answer.
type signature struct {
	cms  []byte
	name string
}

// VisitGetSignedDocumentResponse implements the generated interface.
func (s *signature) VisitGetSignedDocumentResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", mediaDetached)
	h.Set("Content-Length", strconv.Itoa(len(s.cms)))
	h.Set("Content-Disposition", disposition(true, s.name, mediaDetached))
	h.Set("Vary", "Accept")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(s.cms)
	return err
}

// productData is what a finished order of digests gives to a client that embeds it itself.
func productData(p *signer.Product, d signer.DocumentInfo) Product {
	v := Product{
		Format: Format(p.Format), Level: Level(p.Level), Algorithm: p.Algorithm, DigestAlgorithm: d.DigestAlgorithm,
		SignedAttributes: p.SignedAttrs, Value: p.Value, Cms: p.CMS, Certificates: p.Certificates,
		Ocsps: orEmpty(p.OCSPs), Crls: orEmpty(p.CRLs), Digest: value(fromHex(d.Digest)),
	}
	if len(p.TimeStamp) > 0 {
		v.TimeStamp = &p.TimeStamp
	}
	if len(p.Extra) > 0 {
		v.ExtraCertificates = &p.Extra
	}
	return v
}

// orEmpty makes an array of nothing, since null is none.
func orEmpty(list [][]byte) [][]byte {
	if list == nil {
		return [][]byte{}
	}
	return list
}
