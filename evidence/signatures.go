package evidence

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // for hash
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tekend/cms"
	"tekend/consent"
	"tekend/pdf"
	"tekend/tsa"
)

// hashes are the digest algorithms by their names in manifests.
var hashes = map[string]crypto.Hash{
	consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512,
}

// attributes: each document's label and digest are those of the manifest; its
// signed attributes hash to the manifest's dtbs and are of this document and
// of the certificate that the manifest names.
func (j *job) attributes() error {
	for _, der := range j.b.Certificates {
		c, err := cms.ReadCertificate(der)
		if err != nil {
			return fault(StepCertificates, "%w", err)
		}
		j.certs = append(j.certs, c)
	}
	if len(j.certs) == 0 || digestOf(j.certs[0].Raw) != j.m.Cred.CertSHA256 {
		return fault(StepCertificates, "the first certificate is not the one in the manifest")
	}
	for i, p := range j.b.Positions {
		d := j.m.Docs[i]
		if p.Label != d.Label || base64.RawURLEncoding.EncodeToString(p.Digest) != d.Doc {
			return fault(StepAttributes, "document %d: label or digest is not that of the manifest", i+1)
		}
		h, ok := hashes[d.Alg]
		if !ok || base64.RawURLEncoding.EncodeToString(hash(h, p.Attributes)) != d.DTBS {
			return fault(StepAttributes, "document %d: the signed attributes are not those of the manifest", i+1)
		}
		a, err := cms.ParseSignedAttributes(p.Attributes)
		if err != nil {
			return fault(StepAttributes, "document %d: %w", i+1, err)
		}
		if !bytes.Equal(a.MessageDigest, p.Digest) {
			return fault(StepAttributes, "document %d: the signed attributes are of another document", i+1)
		}
		if err := a.Check(j.certs[0]); err != nil {
			return fault(StepAttributes, "document %d: %w", i+1, err)
		}
		if string(a.Algorithm) != p.Algorithm {
			return fault(StepAttributes, "document %d: the signed attributes name another algorithm", i+1)
		}
		if err := j.claims(a); err != nil {
			return fault(StepAttributes, "document %d: %w", i+1, err)
		}
	}
	return nil
}

// maxMimeType bounds the media type in CAdES attributes, in characters.
const maxMimeType = 80

// claims: what CAdES attributes state beyond PAdES ones: a time near that of the
// question, at which the certificate was valid, and a media type.
func (j *job) claims(a cms.Attributes) error {
	switch {
	case a.SigningTime.IsZero():
		return nil
	case a.SigningTime.Sub(j.rows[0].At).Abs() > maxLife+callTime:
		return errors.New("the signed attributes state another time than that of the question")
	case a.SigningTime.Before(j.certs[0].NotBefore) || a.SigningTime.After(j.certs[0].NotAfter):
		return errors.New("the signed attributes state a time at which the certificate is not valid")
	case len(a.MimeType) > maxMimeType:
		return errors.New("the media type is too long")
	}
	return nil
}

// values: each value verifies with the certificate's key, by the algorithm and
// hash that the signed attributes and the manifest name.
func (j *job) values() error {
	for i, p := range j.b.Positions {
		alg, h := cms.Algorithm(p.Algorithm), hashes[j.m.Docs[i].Alg]
		if alg.Hash() != h {
			return fault(StepValues, "document %d: another digest than the algorithm's", i+1)
		}
		if err := alg.Verify(j.certs[0].PublicKey, hash(h, p.Attributes), p.Value); err != nil {
			return fault(StepValues, "document %d: %w", i+1, err)
		}
	}
	return nil
}

func hash(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// timeStamps: at least one; each over everything else in the bundle, made
// after the signatures by an authority with a path to your roots.
func (j *job) timeStamps() error {
	imprint, err := j.b.Imprint()
	if err != nil {
		return fault(StepTimeStamps, "%w", err)
	}
	if len(j.b.TimeStamps) == 0 {
		return fault(StepTimeStamps, "there is none: the bundle is not complete")
	}
	for i, der := range j.b.TimeStamps {
		if slices.ContainsFunc(j.b.TimeStamps[:i], func(o []byte) bool { return bytes.Equal(o, der) }) {
			return fault(StepTimeStamps, "one stands twice")
		}
		t, err := tsa.ParseToken(der)
		if err != nil {
			return fault(StepTimeStamps, "%w", err)
		}
		if err := t.Verify(tsa.VerifyOptions{Imprint: imprint, Hash: crypto.SHA256, Roots: j.trust.Roots, At: j.trust.At}); err != nil {
			return fault(StepTimeStamps, "%w", err)
		}
		if t.GenTime.Before(j.lastUse().Add(-callTime)) {
			return fault(StepTimeStamps, "it is from before the signatures")
		}
		j.stamped(t)
	}
	return nil
}

func (j *job) stamped(t *tsa.Token) {
	if j.rep.StampedAt.IsZero() || t.GenTime.Before(j.rep.StampedAt) {
		j.rep.StampedAt = t.GenTime.UTC().Truncate(time.Millisecond)
		if t.Certificate != nil {
			j.rep.StampedBy = t.Certificate.Subject.String()
		}
	}
}

// match finds the position of a file: of one that is the content that was
// signed, byte for byte, or of a PDF that carries the signature.
func match(b *consent.Bundle, f io.ReaderAt, size int64) (int, error) {
	m, err := consent.DecodeManifest(b.Manifest)
	if err != nil {
		return 0, fault(StepManifest, "%w", err)
	}
	h := hashes[m.Docs[0].Alg] // one for all: consent.DecodeManifest
	w := h.New()
	if _, err := io.Copy(w, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, fmt.Errorf("evidence: read the document: %w", err)
	}
	whole := w.Sum(nil)
	if n := slices.IndexFunc(b.Positions, func(p consent.Position) bool { return bytes.Equal(p.Digest, whole) }); n >= 0 {
		return n, nil
	}
	return matchPDF(b, h, f, size)
}

// matchPDF finds the position whose value stands in a signature of the file,
// and holds the file's bytes to it.
func matchPDF(b *consent.Bundle, h crypto.Hash, f io.ReaderAt, size int64) (int, error) {
	sigs, err := pdf.Signatures(f, size, pdf.DefaultBudget())
	if err != nil {
		return 0, fault(StepDocument, "it is none of the contents that were signed, and no PDF that can be read: %w", err)
	}
	for _, s := range sigs {
		sd, err := cms.Parse(s.CMS, cms.DefaultBudget())
		if err != nil || len(sd.SignerInfos) != 1 {
			continue
		}
		si := sd.SignerInfos[0]
		n := slices.IndexFunc(b.Positions, func(p consent.Position) bool { return bytes.Equal(p.Value, si.Value) })
		if n < 0 {
			continue
		}
		digest, err := pdf.ByteRangeDigest(f, size, s, h)
		switch {
		case err != nil || !bytes.Equal(digest, b.Positions[n].Digest) || !bytes.Equal(si.SignedAttrs, b.Positions[n].Attributes):
			return 0, fault(StepDocument, "it has the signature of document %d, but not the bytes that were signed", n+1)
		case s.Coverage < pdf.CoverageRevision || !s.SameInSignedRevision || len(s.Problems) > 0:
			return 0, fault(StepDocument, "the signature of document %d does not cover a whole revision of the file", n+1)
		case !s.CoversWholeFile:
			return 0, fault(StepDocument, "document %d was changed after it was signed", n+1)
		}
		return n, nil
	}
	return 0, fault(StepDocument, "it has none of the signatures of this bundle")
}
