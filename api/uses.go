package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"tekend/sam"
	"tekend/signer"
)

// viewerCookie proves to us that a browser is the signer's, for one request.
const viewerCookie = "tekend_signer"

// viewerLife is how long, in seconds.
const viewerLife = 24 * 60 * 60

// GetUses lists what the signer's key was used for.
func (s *server) GetUses(ctx context.Context, in GetUsesRequestObject) (GetUsesResponseObject, error) {
	ctx, cl := enter(ctx)
	u, err := s.dep.Signer.Uses(ctx, in.Token, value(in.Params.TekendSigner), value(in.Params.Before))
	if err != nil {
		return nil, err
	}
	if !cl.json {
		return s.usesPage(cl, in.Token, u)
	}
	page := GetUses200JSONResponse{Uses: []Use{}}
	for _, one := range u.Uses {
		page.Uses = append(page.Uses, useOf(one))
	}
	if u.Before > 0 {
		page.Before = &u.Before
	}
	return page, nil
}

func useOf(u sam.Use) Use {
	out := Use{
		Seq: u.Seq, At: u.At, Kind: u.Kind, Documents: u.Documents,
		Nonce: optional(u.Nonce), RequestId: optional(u.Txn), CheckCode: optional(u.CheckCode),
	}
	if u.Position != nil {
		out.Document = new(*u.Position + 1)
	}
	if len(u.Labels) > 0 {
		out.Labels = &u.Labels
	}
	return out
}

// GetUseProof carries a proof, byte for byte as the sam made it.
func (s *server) GetUseProof(ctx context.Context, in GetUseProofRequestObject) (GetUseProofResponseObject, error) {
	ctx, _ = enter(ctx)
	proof, err := s.dep.Signer.UseProof(ctx, in.Token, value(in.Params.TekendSigner), in.Seq)
	if err != nil {
		return nil, err
	}
	return &file{media: "application/json", bytes: proof}, nil
}

// signerCookie is what the browser gets that brought a code from itsme. It
// goes to this page and below it only, and no script can read it.
func (s *server) signerCookie(token, code string) *string {
	c := &http.Cookie{
		Name: viewerCookie, Value: signer.ViewerOf(code), Path: "/sign/" + url.PathEscape(token), MaxAge: viewerLife, HttpOnly: true,
		Secure: strings.HasPrefix(s.origin, "https:"), SameSite: http.SameSiteLaxMode, // Lax: itsme's redirect sets it
	}
	return optional(c.String())
}
