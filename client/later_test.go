package client_test

import (
	"testing"
	"time"

	"tekend/client"
)

// TestPrepareFor: what the service says of the person's certificate is taken within bounds.
func TestPrepareFor(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "fpdf2.pdf")
	now := time.Now()
	for name, one := range map[string]struct {
		cert    *client.SignerCertificate
		reserve int
		code    string
	}{
		"nothing yet":           {nil, 0, client.CodeBadOptions},
		"since long":            {&client.SignerCertificate{NotBefore: now.AddDate(-1, 0, 0), CMSSize: 9000}, 0, ""},
		"a clock a bit ahead":   {&client.SignerCertificate{NotBefore: now.Add(4 * time.Minute), CMSSize: 9000}, 0, ""},
		"a clock far ahead":     {&client.SignerCertificate{NotBefore: now.Add(6 * time.Minute), CMSSize: 9000}, 0, client.CodeBadOptions},
		"a space without end":   {&client.SignerCertificate{NotBefore: now, CMSSize: 1 << 30}, 0, client.CodeBadOptions},
		"a space of our choice": {&client.SignerCertificate{NotBefore: now, CMSSize: 1 << 30}, 9000, ""},
		"no word of the space":  {&client.SignerCertificate{NotBefore: now}, 0, ""},
	} {
		p, err := c.PrepareFor(t.Context(), &client.Request{SignerCertificate: one.cert}, doc, doc.Size(), client.Options{Reserve: one.reserve})
		if codeOf(err) != one.code {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if p.At.Before(one.cert.NotBefore.Truncate(time.Second)) || p.At.After(now.Add(5*time.Minute)) {
			t.Errorf("%s: claims %s", name, p.At)
		}
		want := 9000
		if one.reserve == 0 && one.cert.CMSSize == 0 {
			want = client.DefaultReserve
		}
		if got := int(p.PDF.ContentsEnd-p.PDF.ContentsStart)/2 - 1; got < want || got > want+64 {
			t.Errorf("%s: a space of %d bytes, not %d", name, got, want)
		}
	}
}
