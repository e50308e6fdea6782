package consent

import (
	"bytes"
	"errors"
	"fmt"

	"tekend/strictjson"
)

// Doc is one document of a confirmation.
type Doc struct {
	Alg    string `json:"alg"`              // of doc and dtbs: SHA256, SHA384 or SHA512, one for all documents of a confirmation
	Doc    string `json:"doc"`              // digest that a person can recompute from the file, base64url
	DTBS   string `json:"dtbs,omitempty"`   // digest that will be signed, of the DER signed attributes, base64url; not part of the root
	Label  string `json:"label"`            // as shown, by Label
	Origin string `json:"origin,omitempty"` // OriginHash, or absent; not part of the root; the same in all documents of a confirmation
}

// OriginHash says that doc was supplied as a digest and that nobody here saw the
// document behind it. Its absence says that the front had the document; the
// sam never has one.
const OriginHash = "hash"

// The digest algorithms of documents.
const (
	SHA256 = "SHA-256"
	SHA384 = "SHA-384"
	SHA512 = "SHA-512"
)

// digest reads a digest of the document's algorithm.
func (d Doc) digest(s string) ([]byte, error) {
	switch d.Alg {
	case SHA256:
		return decode(s, 32)
	case SHA384:
		return decode(s, 48)
	case SHA512:
		return decode(s, 64)
	}
	return nil, errors.New("has another alg than SHA-256, SHA-384 and SHA-512")
}

// DTBSDigest is the decoded DTBS: as many bytes as digests by Alg have.
func (d Doc) DTBSDigest() ([]byte, error) { return d.digest(d.DTBS) }

// Cred names the credential whose key will sign.
type Cred struct {
	CertSHA256 string `json:"cert_sha256"` // SHA-256 of the DER certificate, base64url
	ID         string `json:"id"`
}

// Template is what the itsme app shows.
type Template struct {
	Name string `json:"name"` // "free_text"
	Text string `json:"text"`
}

// Manifest is everything that one confirmation commits to (B-1). Empty members
// are left out, but for iat and exp.
type Manifest struct {
	V             string    `json:"v"` // Version
	Op            string    `json:"op"`
	Txn           string    `json:"txn"`
	Iss           string    `json:"iss"`
	ClientID      string    `json:"client_id"`
	Service       string    `json:"service"`
	RedirectURI   string    `json:"redirect_uri"`
	ACR           string    `json:"acr"`
	Sub           string    `json:"sub,omitempty"` // who must answer; absent when anybody may
	CodeChallenge string    `json:"code_challenge"`
	Template      *Template `json:"template,omitempty"`
	Docs          []Doc     `json:"docs,omitempty"`
	Root          string    `json:"root,omitempty"`
	Cred          *Cred     `json:"cred,omitempty"`
	Application   string    `json:"application,omitempty"` // Application.Digest, op enrol
	Reason        string    `json:"reason,omitempty"`      // of op revoke (ReasonCode)
	Policy        string    `json:"policy,omitempty"`      // SHA-256 of the practice statement in force (its text in English), base64url
	Salt          string    `json:"salt"`                  // 32 random bytes, base64url
	Iat           int64     `json:"iat"`                   // seconds since 1970
	Exp           int64     `json:"exp"`
}

// Encode gives the canonical JSON (RFC 8785) of a manifest that is complete
// for its operation.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	w := &writer{}
	w.open()
	w.str("acr", m.ACR)
	w.str("application", m.Application)
	w.str("client_id", m.ClientID)
	w.str("code_challenge", m.CodeChallenge)
	if m.Cred != nil {
		w.name("cred")
		w.open()
		w.str("cert_sha256", m.Cred.CertSHA256)
		w.str("id", m.Cred.ID)
		w.close()
	}
	if len(m.Docs) > 0 {
		w.name("docs")
		w.raw("[")
		for i, d := range m.Docs {
			if i > 0 {
				w.raw(",")
			}
			w.doc(d)
		}
		w.raw("]")
	}
	w.integer("exp", m.Exp)
	w.integer("iat", m.Iat)
	w.str("iss", m.Iss)
	w.str("op", m.Op)
	w.str("policy", m.Policy)
	w.str("reason", m.Reason)
	w.str("redirect_uri", m.RedirectURI)
	w.str("root", m.Root)
	w.str("salt", m.Salt)
	w.str("service", m.Service)
	w.str("sub", m.Sub)
	if m.Template != nil {
		w.name("template")
		w.open()
		w.str("name", m.Template.Name)
		w.str("text", m.Template.Text)
		w.close()
	}
	w.str("txn", m.Txn)
	w.str("v", m.V)
	w.close()
	if w.err == nil && len(w.out) > MaxManifest {
		w.err = errors.New("longer than a manifest may be")
	}
	return w.out, w.err
}

func (w *writer) doc(d Doc) {
	w.open()
	w.str("alg", d.Alg)
	w.str("doc", d.Doc)
	w.str("dtbs", d.DTBS)
	w.str("label", d.Label)
	w.str("origin", d.Origin)
	w.close()
}

// DecodeManifest reads a manifest. It refuses unknown and duplicate members,
// a manifest that is not complete for its operation, and bytes that are not
// the canonical JSON of what they say: for one manifest there is one nonce.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := strictjson.Decode(b, MaxManifest, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	again, err := m.Encode()
	if err != nil {
		return Manifest{}, err
	}
	if !bytes.Equal(again, b) {
		return Manifest{}, errors.New("manifest: not in canonical form")
	}
	return m, nil
}

func (m Manifest) check() error {
	if m.V != Version {
		return fmt.Errorf("v must be %q", Version)
	}
	for name, v := range map[string]string{
		"txn": m.Txn, "iss": m.Iss, "client_id": m.ClientID, "service": m.Service, "redirect_uri": m.RedirectURI, "acr": m.ACR,
	} {
		if v == "" {
			return errors.New(name + " is missing")
		}
	}
	for name, v := range map[string]string{"code_challenge": m.CodeChallenge, "salt": m.Salt} {
		if _, err := decode32(v); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	if m.Policy != "" {
		if _, err := decode32(m.Policy); err != nil {
			return fmt.Errorf("policy %w", err)
		}
	}
	if m.Iat <= 0 || m.Exp <= m.Iat {
		return errors.New("exp must be after iat")
	}
	if m.Template != nil && (m.Template.Name != "free_text" || m.Template.Text == "") {
		return errors.New("template must be free_text with a text")
	}
	if m.Op != OpRevoke && m.Reason != "" {
		return errors.New("only op revoke has a reason")
	}
	switch m.Op {
	case OpSign:
		return m.checkSign()
	case OpEnrol:
		return m.checkEnrol()
	case OpRevoke:
		return m.checkRevoke()
	}
	return errors.New("op must be sign, enrol or revoke")
}

func (m Manifest) checkSign() error {
	if m.Sub == "" || m.Template == nil || m.Cred == nil || m.Cred.ID == "" || m.Application != "" {
		return errors.New("op sign needs sub, template, docs, root and cred, and no application")
	}
	if _, err := decode32(m.Cred.CertSHA256); err != nil {
		return fmt.Errorf("cert_sha256 %w", err)
	}
	for _, d := range m.Docs {
		if _, err := d.digest(d.DTBS); err != nil {
			return fmt.Errorf("dtbs %w", err)
		}
	}
	root, err := Root(m.Docs)
	if err != nil {
		return err
	}
	if root != m.Root {
		return errors.New("root is not the root of docs")
	}
	return nil
}

// checkRevoke: one certificate of one person, or all of whoever answers.
func (m Manifest) checkRevoke() error {
	if len(m.Docs) > 0 || m.Root != "" || m.Application != "" || m.Template == nil {
		return errors.New("op revoke needs a template and has no docs, root or application")
	}
	if (m.Cred == nil) != (m.Sub == "") {
		return errors.New("op revoke has both cred and sub, or neither")
	}
	if m.Cred != nil {
		if _, err := decode32(m.Cred.CertSHA256); err != nil || m.Cred.ID == "" {
			return errors.New("cred needs an id and the cert_sha256 of its certificate")
		}
	}
	_, err := ReasonCode(m.Reason)
	return err
}

func (m Manifest) checkEnrol() error {
	if len(m.Docs) > 0 || m.Root != "" || m.Cred != nil {
		return errors.New("op enrol has no docs, root or cred")
	}
	if _, err := decode32(m.Application); err != nil {
		return fmt.Errorf("application %w", err)
	}
	return nil
}

func checkDocs(docs []Doc) error {
	if len(docs) == 0 || len(docs) > MaxDocs {
		return fmt.Errorf("there must be 1 to %d documents", MaxDocs)
	}
	for i, d := range docs {
		if d.Alg != docs[0].Alg || d.Origin != docs[0].Origin { // one confirmation, one hash, one sentence about where the digests come from
			return fmt.Errorf("document %d: alg or origin is not that of the first document", i)
		}
		if d.Origin != "" && d.Origin != OriginHash {
			return fmt.Errorf("document %d: an origin that is not known", i)
		}
		if _, err := d.digest(d.Doc); err != nil {
			return fmt.Errorf("document %d: doc %w", i, err)
		}
		if l, err := Label(d.Label); err != nil || l != d.Label {
			return fmt.Errorf("document %d: the label is not in the form that is shown", i)
		}
	}
	return nil
}
