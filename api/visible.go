package api

import (
	"context"

	"tekend/signer"
)

// PreviewSignature shows how a visible signature would look.
func (s *server) PreviewSignature(ctx context.Context, in PreviewSignatureRequestObject) (PreviewSignatureResponseObject, error) {
	ctx, cl := enter(ctx)
	var wish SignaturePreviewOrder
	up, err := openParts(s.spec, in.Body, "SignaturePreviewOrder", &wish)
	if err != nil {
		return nil, uploadError(err, cl.stream, nil)
	}
	if up.next != nil { // a document before the order, or without
		return nil, invalid(named(Body, partRequest, "must be the first part"))
	}
	o := signer.Order{Language: string(value(wish.Language)), Visible: visible(wish.Visible)}
	doc, err := s.dep.Signer.Preview(ctx, cl.client, o, value(wish.PreviewName), up)
	if err != nil {
		return nil, uploadError(err, cl.stream, up)
	}
	return &document{content: doc, attachment: true, patience: cl.patience}, nil
}

// visible is appearances in the signer's words.
func visible(list ...Visible) (all []signer.Visible) {
	for _, v := range list {
		o := signer.Visible{Page: value(v.Page), Text: value(v.Text)}
		if v.Box != nil {
			copy(o.Box[:], *v.Box) // the contract has four numbers
		}
		all = append(all, o)
	}
	return all
}
