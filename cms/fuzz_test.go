package cms_test

import (
	"bytes"
	"crypto"
	"slices"
	"testing"

	"tekend/cms"
)

// FuzzParseAt: what ParseAt reads, Parse reads alike, and nothing is read beyond
// the file.
func FuzzParseAt(f *testing.F) {
	content := []byte("content")
	p := newPerson(f, "P-256")
	parts := archived(f, p.longTerm(f, content), content, crypto.SHA256)
	before, after, err := cms.Frame(parts, int64(len(content)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Concat(before, content, after))
	f.Add(assemble(f, parts))
	f.Fuzz(func(t *testing.T, der []byte) {
		sd, err := cms.Parse(der, cms.Budget{})
		at, err2 := cms.ParseAt(bytes.NewReader(der), int64(len(der)), cms.Budget{})
		if len(der) >= 2 && der[0] == 0x30 && der[1] == 0x80 {
			return // BER, which Parse refuses: see FuzzBER
		}
		if (err == nil) != (err2 == nil) {
			t.Fatalf("Parse: %v; ParseAt: %v", err, err2)
		}
		if err2 != nil {
			if code(err2) == "" {
				t.Errorf("not a *cms.Error: %v", err2)
			}
			return
		}
		if at.HasContent != sd.HasContent || at.HasContent && !bytes.Equal(der[at.ContentOffset:at.ContentOffset+at.ContentSize], sd.Content) ||
			!slices.EqualFunc(at.RawCRLs, sd.RawCRLs, bytes.Equal) || !slices.EqualFunc(at.RawCertificates, sd.RawCertificates, bytes.Equal) ||
			len(at.SignerInfos) != len(sd.SignerInfos) {
			t.Error("Parse and ParseAt read different things")
		}
	})
}

// FuzzArchive: nothing that is found in a file makes trouble, what is covered is
// in the file, and additions give files that are read again.
func FuzzArchive(f *testing.F) {
	content := []byte("content")
	p := newPerson(f, "P-256")
	lt := p.longTerm(f, content)
	f.Add(assemble(f, lt), lt.TimeStampToken)
	lta := archived(f, lt, content, crypto.SHA256)
	f.Add(assemble(f, lta), lta.Archive[0])
	f.Add(assemble(f, archived(f, lta, content, crypto.SHA384)), lta.Archive[0])
	f.Fuzz(func(t *testing.T, der, token []byte) {
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			return
		}
		_ = sd.OCSPs()
		for i := range sd.SignerInfos {
			si := &sd.SignerInfos[i]
			for _, v := range append(si.ArchiveTimeStamps(), token) {
				a, err := cms.VerifyArchive(sd, si, v, contentOf(content))
				if err == nil && (len(a.Certificates) > len(sd.RawCertificates) || len(a.Revocations) > len(sd.RawCRLs)) {
					t.Errorf("%+v", a)
				}
			}
		}
		if more, err := cms.AddValidationData(der, [][]byte{{0x30, 0}}, [][]byte{{0x30, 0}}, [][]byte{{0x30, 1, 5}}); err == nil {
			if again, err := cms.AddValidationData(more, [][]byte{{0x30, 0}}, [][]byte{{0x30, 0}}, nil); err != nil || !bytes.Equal(again, more) {
				t.Errorf("added twice: %v", err)
			}
			parse(t, more)
		}
		imprint, index, err := cms.ArchiveImprint(der, sum(crypto.SHA256, content), crypto.SHA256)
		if err == nil && (len(imprint) != 32 || len(index) == 0) {
			t.Error("an imprint without a form")
		}
		if more, err := cms.AddArchiveTimeStamp(der, token); err == nil {
			parse(t, more)
		}
	})
}
