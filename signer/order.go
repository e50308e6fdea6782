package signer

import "time"

// Formats of a signature.
const (
	PAdES = "pades" // in the PDF (EN 319 142-1)
	CAdES = "cades" // a CMS of its own, over a file of any type (EN 319 122-1)
)

// Packagings of a CAdES signature.
const (
	Detached = "detached" // beside the file
	Attached = "attached" // the file is inside
)

// Levels of a signature (EN 319 142-1 §6.1, EN 319 122-1 §6.1), the lowest first.
const (
	LevelBB  = "B-B"
	LevelBT  = "B-T"
	LevelBLT = "B-LT"
	LevelLTA = "B-LTA"
)

var levels = []string{"", LevelBB, LevelBT, LevelBLT, LevelLTA}

// levelOf makes levels comparable: 1 for B-B to 4 for B-LTA, 0 for what is none.
func levelOf(name string) int {
	for i, l := range levels {
		if l == name {
			return i
		}
	}
	return 0
}

// Order is what a client asks for, besides the documents that it sends.
type Order struct {
	Level       string        // B-B, B-T (default), B-LT or B-LTA
	Language    string        // en (default) or nl; the person may choose another one
	Reference   string        // the client's own opaque name of the person; "" makes the credential known to this request only
	RedirectURL string        // where the person goes afterwards; optional
	Lifetime    time.Duration // 0: Config.Lifetime
	Format      string        // pades (default) or cades
	Packaging   string        // detached (default) or attached; with cades alone
	// Digests orders signatures over bare digests, of documents that this service does not see: 1 to 250, all of one
	// algorithm. Then there is no upload, and [Service.Product] gives the parts. All of them may have a nil Digest: then
	// the request waits for [Service.SendDigests] when the person is identified. PDFs of a client whose people get one-time
	// credentials are ordered so only (ErrDigestEarly).
	Digests []OrderedDigest
	// Continues names finished documents of the same client that get their next signature. Then there is no upload. Each
	// must be the newest revision: a signature over an older one would not cover what came since.
	Continues []Continued
	// Exclusive makes the request hold the next revision of each of its documents: no two that do are open over one of them.
	// With documents that have a signature already, and with Continues, it always does. An unsigned file that is ordered
	// without it is a template, of which many may sign copies at the same time.
	Exclusive bool
	// Visible says how the signatures look on the page: none (default: invisible), one for all documents, or one for each.
	Visible []Visible
	// IdempotencyKey makes a repeated call harmless: with the same key and the same order and documents it
	// returns the first request. 1 to 255 visible ASCII characters, per client; "" for none.
	IdempotencyKey string
	// SignedOrder is what the provider signed over the digests of its documents (package order); "" for none. The SAM
	// verifies it; here only mistakes are found.
	SignedOrder string
}

// OrderedDigest is a document of which only the digest is here: with format pades of the bytes that the ByteRange of a
// prepared PDF covers, with cades of the whole file.
type OrderedDigest struct {
	Name      string `json:"name"`      // as the itsme app shows it; "" for "document-1" and so on
	Algorithm string `json:"algorithm"` // SHA-256, SHA-384 or SHA-512
	Digest    []byte `json:"digest"`    // 32, 48 or 64 bytes; nil when it comes later
}

// Continued is a document of a finished request.
type Continued struct {
	Request  string `json:"request"`
	Document int    `json:"document"` // from 1
}

// Product is what a finished order of digests gives for one of them. All bytes are DER.
type Product struct {
	Format       string   `json:"format"`
	Level        string   `json:"level"`             // that was reached; our own check says so
	Algorithm    string   `json:"algorithm"`         // of Value (package sam)
	SignedAttrs  []byte   `json:"signed_attributes"` // SET OF, the bytes that Value signs
	Value        []byte   `json:"value"`
	CMS          []byte   `json:"cms"`                  // the whole detached signature. Format pades: up to B-T, to be embedded in the PDF
	Certificates [][]byte `json:"certificates"`         // the signer's first, then its issuers
	TimeStamp    []byte   `json:"time_stamp,omitempty"` // signature time-stamp, from B-T on
	OCSPs        [][]byte `json:"ocsps,omitempty"`      // from B-LT on: what a PDF's DSS dictionary needs (OCSPResponse)
	CRLs         [][]byte `json:"crls,omitempty"`       // the same
	// Extra are certificates that the validation needs besides those of CMS, from B-LT on: of responders and their issuers.
	Extra [][]byte `json:"extra_certificates,omitempty"`
}
