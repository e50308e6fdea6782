package signer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"

	"tekend/sam"
	"tekend/wire"
)

// maxUsesPage is how many uses one page has.
const maxUsesPage = 50

// ViewerOf is what a browser holds that came back from itsme with this code:
// the proof, for one request, that it is the signer's. The code works once and
// only for the SAM; whoever has the signing link alone never saw it.
func ViewerOf(code string) string {
	if code == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("tekend-viewer/1\x00" + code))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func viewerHash(viewer string) []byte {
	if viewer == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(viewer))
	return sum[:]
}

// Uses tells the signer of the request with this page token what his key was
// used for, by everybody: below row before (0: from the newest), newest first.
// viewer is ViewerOf the code with which he confirmed this very request; the
// link alone is not enough, because whoever made the request has it too.
func (s *Service) Uses(ctx context.Context, token, viewer string, before int64) (sam.Uses, error) {
	credential, err := s.viewed(ctx, token, viewer)
	if err != nil {
		return sam.Uses{}, err
	}
	u, err := s.dep.Uses.Uses(ctx, credential, before, maxUsesPage)
	return u, useError(err)
}

// UseProof gives the proof that the SAM's audit holds one of these rows (JSON
// of audit.Proof). The front only carries it: who reads it verifies it.
func (s *Service) UseProof(ctx context.Context, token, viewer string, seq int64) (json.RawMessage, error) {
	credential, err := s.viewed(ctx, token, viewer)
	if err != nil {
		return nil, err
	}
	p, err := s.dep.Uses.UseProof(ctx, credential, seq)
	return p, useError(err)
}

// viewed is the credential of the request, for its signer.
func (s *Service) viewed(ctx context.Context, token, viewer string) (string, error) {
	rec, err := s.load(ctx, Lookup{Token: token})
	if err != nil {
		return "", err
	}
	p := &rec.Progress
	if p.Credential == "" || len(p.Viewer) == 0 || subtle.ConstantTimeCompare(p.Viewer, viewerHash(viewer)) != 1 {
		return "", ErrViewer
	}
	return p.Credential, nil
}

func useError(err error) error {
	if err == nil {
		return nil
	}
	if w, ok := errors.AsType[*wire.Error](err); ok && w.Code == sam.CodeCredentialUnknown {
		return ErrNoUse.because(err)
	}
	return samError(err)
}
