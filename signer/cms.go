package signer

import (
	"crypto"
	"fmt"

	"tekend/cms"
)

// parts are what the signature of a document is made of. The CMS inside a PDF holds no validation data: the PDF does.
func (s *Service) parts(rec *Record, w *Work, who *party) cms.Parts {
	p := cms.Parts{SignedAttrs: w.SignedAttrs, Value: w.Value, Certificate: who.leaf, Chain: who.chain, TimeStampToken: w.TimeStamp}
	if m := w.Material; m != nil && rec.Progress.Format == CAdES {
		p.ExtraCertificates, p.OCSPs, p.CRLs = m.Certificates, m.OCSPs, m.CRLs
	}
	return p
}

// assemble makes the CMS of a document as far as its parts have come.
func (s *Service) assemble(rec *Record, w *Work, who *party) ([]byte, error) {
	der, err := cms.Assemble(s.parts(rec, w, who))
	if err != nil {
		s.cfg.Log.Error("assemble", "request", rec.ID, "err", err)
		return nil, ErrOwnCheck.with("the signature value does not fit the certificate")
	}
	return der, nil
}

// archivedCMS fixes the bytes of archive-time-stamp-v3. It is by the hash of the signature: of a bare digest there is no other.
func (s *Service) archivedCMS(rec *Record, d *Document, who *party) (*Archive, crypto.Hash, error) {
	der, err := s.assemble(rec, d.Work, who)
	if err != nil {
		return nil, 0, err
	}
	a, err := cms.ParseSignedAttributes(d.Work.SignedAttrs)
	if err != nil {
		return nil, 0, fmt.Errorf("our signed attributes: %w", err)
	}
	hash := cms.Algorithm(d.Work.Algorithm).Hash()
	imprint, index, err := cms.ArchiveImprint(der, a.MessageDigest, hash)
	if err != nil {
		return nil, 0, fmt.Errorf("archive time-stamp: %w", err)
	}
	return &Archive{Imprint: imprint, HashIndex: index}, hash, nil
}

// completeCMS makes what is no PDF.
func (s *Service) completeCMS(rec *Record, d *Document, w *Work, who *party) (err error) {
	p := s.parts(rec, w, who)
	if a := w.Archive; a != nil {
		stamp, err := cms.WithHashIndex(a.Token, a.HashIndex)
		if err != nil {
			return fmt.Errorf("archive time-stamp: %w", err)
		}
		p.Archive = [][]byte{stamp}
	}
	if rec.Progress.Packaging == Attached {
		w.Before, w.After, err = cms.Frame(p, d.Size)
	} else {
		w.CMS, err = cms.Assemble(p)
	}
	if err != nil {
		s.cfg.Log.Error("assemble", "request", rec.ID, "err", err)
		return ErrOwnCheck.with("the signature cannot be put together")
	}
	return nil
}
