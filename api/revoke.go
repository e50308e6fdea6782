package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"tekend/sam"
	"tekend/signer"
)

// The pages on which people revoke. The front decides nothing here: it carries a question to the browser and an answer to the sam.

// VisitGetRevokeFormResponse implements the generated interface.
func (f *file) VisitGetRevokeFormResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetRevocationResponse implements the generated interface.
func (f *file) VisitGetRevocationResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetCredentialsResponse implements the generated interface.
func (f *file) VisitGetCredentialsResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetUsesResponse implements the generated interface.
func (f *file) VisitGetUsesResponse(w http.ResponseWriter) error { return f.write(w) }

// revokeView is the form with which a person begins.
type revokeView struct {
	view
	Reasons []string
}

// GetRevokeForm shows it.
func (s *server) GetRevokeForm(ctx context.Context, _ GetRevokeFormRequestObject) (GetRevokeFormResponseObject, error) {
	_, cl := enter(ctx)
	return s.revokeForm(cl)
}

func (s *server) revokeForm(cl *call) (*file, error) {
	lang := s.words.choose(cl.langs, "")
	v := revokeView{view: s.pages.view(lang, s.cfg.Sandbox)}
	for _, r := range []RevocationStartReason{Unspecified, KeyCompromise, Superseded, CessationOfOperation} {
		v.Reasons = append(v.Reasons, string(r))
	}
	v.Title = s.words.say(lang, "title.revoke")
	return s.html("revoke", v, cl)
}

// StartRevocation takes it.
func (s *server) StartRevocation(ctx context.Context, in StartRevocationRequestObject) (StartRevocationResponseObject, error) {
	ctx, cl := enter(ctx)
	start := in.JSONBody
	if start == nil {
		start = in.FormdataBody
	}
	if start == nil {
		return nil, invalid(Issue{In: Body, Reason: "is required"})
	}
	lang := string(value(start.Language))
	if lang == "" {
		lang = s.words.choose(cl.langs, "")
	}
	token, err := s.dep.Signer.Revoke(ctx, lang, string(value(start.Reason)))
	if err != nil {
		return nil, err
	}
	if !cl.json {
		return ToRevocationResponse{ToRevocationResponseHeaders{Location: new(s.revocationPath(token, in.Params.Lang))}}, nil
	}
	p, err := s.dep.Signer.RevocationPage(ctx, token)
	if err != nil {
		return nil, err
	}
	return StartRevocation200JSONResponse{RevocationPageJSONResponse(s.revocationData(token, p))}, nil
}

// RevokeCredential is the button beside one of the signer's certificates.
func (s *server) RevokeCredential(ctx context.Context, in RevokeCredentialRequestObject) (RevokeCredentialResponseObject, error) {
	ctx, cl := enter(ctx)
	token, err := s.dep.Signer.RevokeOne(ctx, in.Token, value(in.Params.TekendSigner), in.Credential)
	if err != nil {
		return nil, err
	}
	if !cl.json {
		return ToRevocationResponse{ToRevocationResponseHeaders{Location: new(s.revocationPath(token, in.Params.Lang))}}, nil
	}
	p, err := s.dep.Signer.RevocationPage(ctx, token)
	if err != nil {
		return nil, err
	}
	return RevokeCredential200JSONResponse{RevocationPageJSONResponse(s.revocationData(token, p))}, nil
}

// revocationPath is the page of a revocation; lang is a choice to be kept.
func (s *server) revocationPath(token string, lang *string) string {
	at := "/revoke/" + url.PathEscape(token)
	if l := s.words.known(value(lang)); l != "" {
		at += "?lang=" + l
	}
	return at
}

// GetRevocation shows the page of a revocation.
func (s *server) GetRevocation(ctx context.Context, in GetRevocationRequestObject) (GetRevocationResponseObject, error) {
	ctx, cl := enter(ctx)
	p, err := s.dep.Signer.RevocationPage(ctx, in.Page)
	if err != nil {
		return nil, err
	}
	if cl.json {
		return GetRevocation200JSONResponse{RevocationPageJSONResponse(s.revocationData(in.Page, p))}, nil
	}
	return s.revocationPage(cl, in.Page, p)
}

func (s *server) revocationPage(cl *call, token string, p *signer.RevocationPage) (*file, error) {
	lang := s.words.choose(cl.langs, p.Language)
	v := revocationView{
		view: s.pages.view(lang, s.cfg.Sandbox), RevocationPage: *p, Base: s.revocationPath(token, nil),
		Notice: s.reason(lang, p.Notice), Fail: s.whyNotRevoked(lang, p.Failure),
	}
	v.Title = s.words.say(lang, "title.revoke."+p.Step)
	v.Refresh = p.Step == signer.StepWait || p.Step == signer.StepBlocked
	return s.html("revocation", v, cl)
}

// revocationView is the page of a revocation.
type revocationView struct {
	view
	signer.RevocationPage
	Base         string
	Notice, Fail *reasonView
}

// whyNotRevoked is why nothing was revoked. The sentences for signatures speak of signing; these have their own or the general one.
func (s *server) whyNotRevoked(lang string, e *signer.Error) *reasonView {
	if e == nil {
		return nil
	}
	key := "revoke.error." + e.Code
	if !s.words.has(key) {
		key = "revoke.error.other"
	}
	return &reasonView{e.Code, s.words.say(lang, key)}
}

func (s *server) revocationData(token string, p *signer.RevocationPage) Revocation {
	d := Revocation{
		Page: s.revocationPath(token, nil), Step: RevocationStep(p.Step), All: p.All, Language: Language(p.Language), Link: optional(p.Link),
		Text: optional(p.Text), LinkExpiresAt: moment(p.ExpiresAt), RevokedAt: moment(p.At), Notice: because(p.Notice), Problem: because(p.Failure),
		Sandbox: s.cfg.Sandbox,
	}
	if p.Count > 0 {
		d.Revoked = &p.Count
	}
	return d
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// credentialsView is the list of the signer's certificates.
type credentialsView struct {
	view
	Base        string // of the signer's page
	Credentials []signer.CredentialInfo
}

// GetCredentials lists the signer's certificates.
func (s *server) GetCredentials(ctx context.Context, in GetCredentialsRequestObject) (GetCredentialsResponseObject, error) {
	ctx, cl := enter(ctx)
	all, err := s.dep.Signer.Credentials(ctx, in.Token, value(in.Params.TekendSigner))
	if err != nil {
		return nil, err
	}
	if !cl.json {
		return s.credentialsPage(cl, in.Token, all)
	}
	out := GetCredentials200JSONResponse{Credentials: []Credential{}}
	for _, c := range all {
		out.Credentials = append(out.Credentials, Credential{
			Id: c.ID, State: CredentialState(c.State), Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter, OneTime: c.OneTime, Revocable: c.Revocable,
		})
	}
	return out, nil
}

func (s *server) credentialsPage(cl *call, token string, all []signer.CredentialInfo) (*file, error) {
	lang := s.words.choose(cl.langs, "")
	v := credentialsView{view: s.pages.view(lang, s.cfg.Sandbox), Base: "/sign/" + url.PathEscape(token), Credentials: all}
	v.Title = s.words.say(lang, "title.credentials")
	return s.html("credentials", v, cl)
}

// usesView is the history of the signer's keys.
type usesView struct {
	view
	Base   string
	Uses   []useView
	Before int64
}

// useView is one line of it.
type useView struct {
	sam.Use
	What string // in words
}

// usesPage is the history for people. Kinds without words of their own are shown by their name.
func (s *server) usesPage(cl *call, token string, u sam.Uses) (*file, error) {
	lang := s.words.choose(cl.langs, "")
	v := usesView{view: s.pages.view(lang, s.cfg.Sandbox), Base: "/sign/" + url.PathEscape(token), Before: u.Before}
	for _, one := range u.Uses {
		words := "uses." + one.Kind
		if !s.words.has(words) {
			words = "uses.other"
		}
		v.Uses = append(v.Uses, useView{one, s.words.say(lang, words, "kind", one.Kind)})
	}
	v.Title, v.Wide = s.words.say(lang, "title.uses"), true
	return s.html("uses", v, cl)
}
