package activation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"tekend/cms"
	"tekend/consent"
	"tekend/itsme/token"
	"tekend/sam"
)

// prepare fixes what a person will be asked to confirm. hash names the request.
func (r *Role) prepare(ctx context.Context, req sam.PrepareRequest, hash string) (*sam.Prepared, error) {
	q, err := r.loadQuestion(ctx, kindSign, "subject", hash)
	if err != nil {
		return nil, err
	}
	if q != nil {
		return prepared(q)
	}
	if req.V != sam.Version || !plainID(req.Txn) || !language(req.Language) {
		return nil, refuse(sam.CodeBadRequest, "v, txn or language is not of the contract")
	}
	l, err := r.credential(ctx, req.Credential)
	if err != nil {
		return nil, err
	}
	if err := r.usableNow(ctx, l); err != nil {
		return nil, err
	}
	a, err := r.ordered(req, l)
	if err != nil {
		return nil, err
	}
	m, err := signManifest(req, l, a, r.cfg.Now())
	if err != nil {
		return nil, err
	}
	bound, err := r.askOnce(ctx, l, m)
	if err != nil {
		return nil, err
	}
	q, err = r.ask(ctx, form{
		kind: kindSign, subject: hash, party: r.confirm, manifest: m, language: req.Language, claims: token.RiskClaims(), before: l.Once.ends(),
	})
	if err != nil {
		return nil, err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if err := r.allowed(ctx, tx, personName(l.Iss, l.ConfirmAud, l.ConfirmSub), q.Nonce, m.Root); err != nil {
			return err
		}
		if err := errors.Join(r.forget(ctx, tx), insertQuestion(ctx, tx, q), storeOnce(ctx, tx, bound, l.MAC)); err != nil {
			return err
		}
		if err := r.keepAsked(ctx, tx, q, req.Documents); err != nil {
			return err
		}
		detail := map[string]string{
			"credential": l.ID, "documents": strconv.Itoa(len(m.Docs)), "root": m.Root,
			"request": digest([]byte(q.Request)), "client_keys": digest(r.confirm.keySet),
		}
		if isHashes(m) {
			detail["hashes"] = strconv.Itoa(len(m.Docs))
		}
		if req.Order != "" {
			detail["provider"], detail["order"] = req.Provider, digest([]byte(req.Order))
			if detail["order_keys"], err = r.keepOrder(ctx, tx, q.Nonce, req); err != nil {
				return err
			}
		}
		return r.auditConcern(ctx, tx, concernOf(q.Nonce, m), "confirmation.prepared", detail)
	})
	if err != nil {
		return nil, err
	}
	r.sets.stored(digest(r.confirm.keySet))
	return prepared(q)
}

// ordered refuses orders that this role does not take, and gives the algorithm
// by which the key will sign all the documents.
func (r *Role) ordered(req sam.PrepareRequest, l *link) (cms.Algorithm, error) {
	if len(req.Documents) == 0 || len(req.Documents) > sam.MaxDocuments {
		return "", refuse(sam.CodeBadRequest, "there must be 1 to "+strconv.Itoa(sam.MaxDocuments)+" documents")
	}
	alg := req.Documents[0].Alg
	a, err := l.algorithmFor(alg)
	if err != nil || slices.ContainsFunc(req.Documents, func(d sam.Document) bool { return d.Alg != alg }) {
		return "", refuse(sam.CodeBadRequest, "the digests must be by SHA-256, SHA-384 or SHA-512, and all by the same")
	}
	if err := r.countsNow(l, a); err != nil {
		return "", err
	}
	if err := r.checkHashes(req); err != nil {
		return "", err
	}
	return a, r.checkOrder(req, a.Hash())
}

// signManifest is the part of the manifest that tells what will be signed by
// which key. Text, root and digests are made here from what will be signed.
func signManifest(req sam.PrepareRequest, l *link, a cms.Algorithm, now time.Time) (consent.Manifest, error) {
	var none consent.Manifest
	docs, err := manifestDocs(req.Documents, l, a, now)
	if err != nil {
		return none, err
	}
	root, err := consent.Root(docs)
	if err != nil {
		return none, refuse(sam.CodeBadRequest, "the documents are not of the contract")
	}
	code, err := consent.CheckCode(root)
	if err != nil {
		return none, err
	}
	text, err := consent.SignText(req.Language, docs, code, req.Provider)
	if err != nil {
		return none, refuse(sam.CodeAttributesRefused, "the text cannot be shown whole")
	}
	cert := sha256.Sum256(l.leaf.Raw)
	return consent.Manifest{
		Op: consent.OpSign, Txn: req.Txn, Sub: l.ConfirmSub, Docs: docs, Root: root,
		Template: &consent.Template{Name: token.TemplateFreeText, Text: text},
		Cred:     &consent.Cred{ID: l.ID, CertSHA256: b64.EncodeToString(cert[:])},
	}, nil
}

// manifestDocs ties label, digest and signed attributes of each document
// together (house §1.3).
func manifestDocs(in []sam.Document, l *link, a cms.Algorithm, now time.Time) ([]consent.Doc, error) {
	docs := make([]consent.Doc, 0, len(in))
	seen := map[string]bool{}
	for i, d := range in {
		at := "document " + strconv.Itoa(i) + ": "
		if size := a.Hash().Size(); len(d.Digest) != size || bytes.Equal(d.Digest, make([]byte, size)) {
			return nil, refuse(sam.CodeBadRequest, at+"the digest must be a "+d.Alg)
		}
		label, err := consent.Label(d.Label)
		if err != nil {
			return nil, refuse(sam.CodeAttributesRefused, at+"the label cannot be shown")
		}
		if why := wrongAttributes(d, l, a, now); why != "" {
			return nil, refuse(sam.CodeAttributesRefused, at+why)
		}
		dtbs := dtbsOf(d.Alg, d.SignedAttrs)
		if seen[dtbs] { // one signature for one thing (reliability §0, I2)
			return nil, refuse(sam.CodeAttributesRefused, at+"the same document stands twice")
		}
		seen[dtbs] = true
		doc := consent.Doc{Alg: d.Alg, Doc: b64.EncodeToString(d.Digest), DTBS: dtbs, Label: label}
		if d.Hash {
			doc.Origin = consent.OriginHash
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// maxClaim is how far the time that CAdES attributes state for the signature may
// be from our clock when the question is made: what the person confirms and signs
// a few minutes later must not claim another day.
const maxClaim = 10 * time.Minute

// maxMimeType bounds the media type that CAdES attributes state, in characters:
// the longest of office documents has 73. 250 documents then fit into a message.
const maxMimeType = 80

// wrongAttributes says what is wrong with the signed attributes of a document,
// "" for nothing: only the attributes that we know, their message-digest is the
// digest that the person can compare, their signing-certificate-v2 is the
// credential's certificate, their algorithm the one that will be used.
func wrongAttributes(d sam.Document, l *link, a cms.Algorithm, now time.Time) string {
	attrs, err := cms.ParseSignedAttributes(d.SignedAttrs)
	switch {
	case err != nil:
		return "not exactly the signed attributes that are known"
	case !bytes.Equal(attrs.MessageDigest, d.Digest):
		return "the signed attributes are of another document"
	case attrs.Check(l.leaf) != nil || attrs.Algorithm != string(a):
		return "the signed attributes name another certificate or algorithm"
	case attrs.SigningTime.IsZero():
		return "" // the PAdES form, which has no more
	case d.Base != nil:
		return "a PDF's signed attributes state no time"
	case attrs.SigningTime.Sub(now).Abs() > maxClaim:
		return "the signed attributes state another time than now"
	case attrs.SigningTime.Before(l.leaf.NotBefore) || attrs.SigningTime.After(l.leaf.NotAfter):
		return "the signed attributes state a time at which the certificate is not valid"
	case len(attrs.MimeType) > maxMimeType:
		return "the media type is too long"
	}
	return ""
}

// prepared is the stored outcome of a preparation.
func prepared(q *question) (*sam.Prepared, error) {
	m, err := q.manifest()
	if err != nil || m.Template == nil {
		return nil, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	code, err := consent.CheckCode(m.Root)
	if err != nil {
		return nil, err
	}
	return &sam.Prepared{
		Nonce: q.Nonce, Manifest: q.Manifest, CheckCode: code, Text: m.Template.Text,
		AuthorizationURL: q.URL, State: q.State, ExpiresAt: q.Expires,
	}, nil
}

func language(l string) bool { return l == "en" || l == "nl" }

// plainID accepts the front's names of its orders.
func plainID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.'
	})
}
