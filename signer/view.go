package signer

import (
	"encoding/hex"
	"io"
	"net/url"
	"time"
)

// Request is a signature request as its client may see it.
type Request struct {
	ID          string // sr_ and a UUIDv7
	Client      string
	State       State
	Level       string // ordered: B-B, B-T, B-LT or B-LTA
	Format      string // pades or cades
	Packaging   string // detached or attached for cades, "" for pades
	Hashes      bool   // the documents are bare digests: Product gives what was made
	Language    string // en or nl
	Reference   string // the client's own name of the person
	RedirectURL string
	CheckCode   string // from the first preparation on
	Documents   []DocumentInfo
	Events      []Event
	CreatedAt   time.Time
	ExpiresAt   time.Time
	Failure     *Error // why it ended, in declined, expired and failed
	Notice      *Error // why it waits now, e.g. tsa_unavailable; nil when all is well
	// Later is what the client prepares with whose digests come later, from state identified on; nil otherwise.
	Later *Later

	token string
}

// DocumentInfo describes a document as it was ordered.
type DocumentInfo struct {
	ID     string // doc_ and a UUIDv7
	Name   string
	Label  string // as the itsme app shows it
	Size   int64  // bytes; 0 when only a digest was ordered
	SHA256 string // hex, of the bytes that were ordered; "" when only a digest was ordered
	// DigestAlgorithm and Digest (hex) are set when only a digest was ordered.
	DigestAlgorithm, Digest string
	Level                   string // reached, "" before state finished
}

func view(r *Record) *Request {
	v := &Request{
		ID: r.ID, Client: r.Client, State: r.State, Level: r.Level, Language: r.Language,
		Reference: r.Reference, RedirectURL: r.RedirectURL, Events: r.Events,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, Format: PAdES, Hashes: r.Progress.Hashes,
		Failure: r.Progress.Failure, Notice: r.Progress.Notice, token: r.Token,
	}
	if c := r.Progress.Confirmation; c != nil {
		v.CheckCode = c.CheckCode
	}
	if l := r.Progress.Later; l != nil && l.CMSSize > 0 {
		v.Later = l
	}
	if r.Progress.Format == CAdES {
		v.Format, v.Packaging = CAdES, Detached
		setIf(&v.Packaging, r.Progress.Packaging)
	}
	for _, d := range r.Documents {
		if r.State != Finished {
			d.Level = "" // of some it may be known already; released are all or none
		}
		v.Documents = append(v.Documents, DocumentInfo{
			ID: d.ID, Name: d.Name, Label: d.Label, Size: d.Size, SHA256: hex.EncodeToString(d.SHA256),
			DigestAlgorithm: d.DigestAlgorithm, Digest: hex.EncodeToString(d.Digest), Level: d.Level,
		})
	}
	return v
}

// setIf sets v to s unless s is empty.
func setIf(v *string, s string) {
	if s != "" {
		*v = s
	}
}

// SigningURL is the address of the signer's page of r. Whoever has it may read the documents.
func (s *Service) SigningURL(r *Request) string {
	return s.cfg.PublicURL + "/sign/" + r.token
}

// Content is a document to read. The caller closes it.
type Content struct {
	Name string
	// Type is the media type: application/pdf, application/pkcs7-signature, application/pkcs7-mime, or
	// application/octet-stream for a file of an unknown kind, which no browser may show.
	Type string
	Size int64 // bytes
	io.ReadSeeker
	closer io.Closer
}

// Close frees the file behind the content.
func (c *Content) Close() error { return c.closer.Close() }

// Steps of the signer's page.
const (
	StepTerms    = "accept_terms" // show the terms and a button: AcceptTerms
	StepIdentify = "identify"     // show Link: first leg of the enrolment
	StepConsent  = "consent"      // show Link: second leg of the enrolment
	StepConfirm  = "confirm"      // show documents, check code and Link: the signature
	StepWait     = "wait"         // we are working; look again
	StepDone     = "done"
	StepRefused  = "refused"
	StepExpired  = "expired"
	StepFailed   = "failed"
)

// Page is what the signer's page shows now.
type Page struct {
	Request      *Request
	Step         string    // a Step… constant
	Link         string    // itsme's address, in identify, consent and confirm
	CheckCode    string    // in confirm and after it
	Text         string    // what the itsme app will show, in confirm
	TermsVersion string    // in accept_terms
	ReturnURL    string    // where "back" leads, "" if the order had none; with signature_request=<id> added
	ExpiresAt    time.Time // of Link, zero without one
	Notice       *Error    // why we wait or ask again; nil when all is well
	Failure      *Error    // in refused, expired and failed
}

func returnURL(r *Record) string {
	if r.RedirectURL == "" {
		return ""
	}
	u, err := url.Parse(r.RedirectURL)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("signature_request", r.ID)
	u.RawQuery = q.Encode()
	return u.String()
}
