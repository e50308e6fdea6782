package evidence_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/consent"
	"tekend/evidence"
)

// The bundle of testdata was made by interop/evidence (-golden), with a real
// token, itsme's simulation, a witness and our time-stamping unit. Two
// documents, ordered with the provider's signature.

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(t testing.TB, name string) string { return strings.TrimSpace(string(read(t, name))) }

// trust believes the roots and nothing else.
func trust(t testing.TB) evidence.Trust {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, "root.pem")) {
		t.Fatal("no root")
	}
	at, err := time.Parse(time.RFC3339, text(t, "now"))
	if err != nil {
		t.Fatal(err)
	}
	return evidence.Trust{Roots: roots, At: at.Add(time.Minute)}
}

func has(all []string, part string) bool {
	for _, s := range all {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func step(err error) string {
	var f *evidence.Fault
	if errors.As(err, &f) {
		return f.Step
	}
	return ""
}

func TestWhatIsProvenAndWhatRestsOnTrust(t *testing.T) {
	rep, err := evidence.Verify(t.Context(), read(t, "bundle.json"), trust(t))
	if err != nil {
		t.Fatal(err)
	}
	if rep.Positions != 2 || rep.Witnesses != 1 || rep.Provider != "acme" || !rep.Qualified || len(rep.CheckCode) != 19 || !strings.Contains(rep.Text, rep.CheckCode) {
		t.Errorf("%+v", rep)
	}
	if rep.SignedAt.Before(rep.ConfirmedAt) || rep.StampedAt.Before(rep.ConfirmedAt) || rep.ConfirmedAt.Before(rep.AnsweredAt) {
		t.Errorf("times: %+v", rep)
	}
	for _, part := range []string{rep.Account, rep.Nonce, rep.CheckCode, "2 documents", `provider "acme"`, "time-stamped", "witness", "qualified"} {
		if !has(rep.Proven, part) {
			t.Errorf("it does not say that %q is proven", part)
		}
	}
	for _, part := range []string{"--itsme-keys", "--log-key", "--witness-key", "rests on itsme", "certification authority", "revoked",
		"the operators, who registered it"} {
		if !has(rep.Trusted, part) {
			t.Errorf("it does not say that %q rests on trust", part)
		}
	}
}

// hashes is a bundle of two hashes that a provider ordered, with CAdES attributes, and what its verifier trusts.
func hashes(t testing.TB) ([]byte, evidence.Trust) {
	t.Helper()
	own := evidence.Trust{Roots: x509.NewCertPool()}
	if !own.Roots.AppendCertsFromPEM(read(t, "hashes/root.pem")) {
		t.Fatal("no root")
	}
	at, err := time.Parse(time.RFC3339, text(t, "hashes/now"))
	if err != nil {
		t.Fatal(err)
	}
	own.At = at.Add(time.Minute)
	return read(t, "hashes/bundle.json"), own
}

// TestHashes: a bundle of hashes says that nobody saw the documents, and whoever has them compares them.
func TestHashes(t *testing.T) {
	bundle, own := hashes(t)
	rep, err := evidence.Verify(t.Context(), bundle, own)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Hashes || rep.Provider != "acme" || !strings.Contains(rep.Text, "<i>Hashes supplied by acme; the documents were not seen here</i>") {
		t.Errorf("%+v", rep)
	}
	if !has(rep.Proven, "only hashes were supplied") || !has(rep.Trusted, "did not see the documents") || has(rep.Trusted, "with nothing but a signature added") {
		t.Errorf("%q %q", rep.Proven, rep.Trusted)
	}
	for n, content := range []string{"one, document 0", "one, document 1"} {
		if got, err := rep.Documents(content, strings.NewReader(content), int64(len(content))); err != nil || got != n {
			t.Errorf("%q is document %d: %v", content, got, err)
		}
	}
	for _, content := range []string{"one, document 0", "one, document 2", ""} {
		if _, err := rep.Documents("again", strings.NewReader(content), int64(len(content))); step(err) != evidence.StepDocument {
			t.Errorf("%q: %v", content, err)
		}
	}
	if plain, err := evidence.Verify(t.Context(), read(t, "bundle.json"), trust(t)); err != nil || plain.Hashes || has(plain.Proven, "hashes") {
		t.Errorf("documents: %+v %v", plain, err)
	}
}

// TestTrustOfOnesOwn: what the verifier has from elsewhere must fit, and is
// then no more a matter of trust in the service.
func TestTrustOfOnesOwn(t *testing.T) {
	own := trust(t)
	own.ItsmeKeys, own.LogKey, own.WitnessKeys = read(t, "itsme.jwks"), text(t, "log.vkey"), []string{text(t, "witness.vkey")}
	rep, err := evidence.Verify(t.Context(), read(t, "bundle.json"), own)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"--itsme-keys", "--log-key", "--witness-key"} {
		if has(rep.Trusted, part) {
			t.Errorf("%q is said to rest on trust", part)
		}
	}
	b, err := consent.DecodeBundle(read(t, "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*evidence.Trust)
		step   string
	}{
		"other keys of itsme":  {func(t *evidence.Trust) { t.ItsmeKeys = b.ClientKeys }, evidence.StepToken},
		"unreadable key set":   {func(t *evidence.Trust) { t.ItsmeKeys = []byte("{}") }, evidence.StepToken},
		"another log":          {func(t *evidence.Trust) { t.LogKey = strings.Replace(t.LogKey, "sandbox", "sandbag", 1) }, evidence.StepRecord},
		"another witness":      {func(t *evidence.Trust) { t.WitnessKeys[0] = strings.Replace(t.WitnessKeys[0], "w1", "w2", 1) }, evidence.StepRecord},
		"other roots":          {func(t *evidence.Trust) { t.Roots = x509.NewCertPool() }, evidence.StepCertificates},
		"before the signature": {func(t *evidence.Trust) { t.At = t.At.Add(-time.Hour) }, evidence.StepTimeStamps},
	} {
		bad := own
		bad.WitnessKeys = []string{own.WitnessKeys[0]}
		c.change(&bad)
		if _, err := evidence.Verify(t.Context(), read(t, "bundle.json"), bad); step(err) != c.step {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []evidence.Trust{{}, {At: own.At}, {Roots: own.Roots}} {
		if _, err := evidence.Verify(t.Context(), read(t, "bundle.json"), bad); err == nil || step(err) != "" {
			t.Errorf("trust that is not complete: %v", err)
		}
	}
}

// TestFaultsNameTheirStep: a part that was exchanged is refused where it
// matters, and not only because the time-stamp does not fit any more.
func TestFaultsNameTheirStep(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*consent.Bundle)
		step   string
	}{
		"manifest": {func(b *consent.Bundle) {
			b.Manifest = bytes.Replace(b.Manifest, []byte("acr_advanced"), []byte("acr_basic"), 1)
		}, evidence.StepRecord},
		"manifest, spelling": {func(b *consent.Bundle) { b.Manifest = append(b.Manifest, '\n') }, evidence.StepManifest},
		"one document less":  {func(b *consent.Bundle) { b.Positions = b.Positions[:1] }, evidence.StepManifest},
		"text":               {func(b *consent.Bundle) { b.Text += "." }, evidence.StepText},
		"request":            {func(b *consent.Bundle) { b.Request = b.Request[:len(b.Request)-4] + "AAAA" }, evidence.StepRecord},
		"token":              {func(b *consent.Bundle) { b.Token = b.Request }, evidence.StepRecord},
		"order":              {func(b *consent.Bundle) { b.Order = nil }, evidence.StepRecord},
		"key set":            {func(b *consent.Bundle) { b.IssuerKeys.Body = b.ClientKeys }, evidence.StepRecord},
		"time of the keys":   {func(b *consent.Bundle) { b.IssuerKeys.At = "2026-01-01T00:00:00.000000Z" }, evidence.StepRecord},
		"value":              {func(b *consent.Bundle) { b.Positions[0].Value = b.Positions[1].Value }, evidence.StepRecord},
		"attributes":         {func(b *consent.Bundle) { b.Positions[0].Attributes = b.Positions[1].Attributes }, evidence.StepAttributes},
		"algorithm":          {func(b *consent.Bundle) { b.Positions[0].Algorithm = "ecdsa-with-SHA384" }, evidence.StepAttributes},
		"label":              {func(b *consent.Bundle) { b.Positions[0].Label = "Other.pdf" }, evidence.StepAttributes},
		"certificate":        {func(b *consent.Bundle) { b.Certificates[0] = b.Certificates[1] }, evidence.StepCertificates},
		"issuer absent":      {func(b *consent.Bundle) { b.Certificates = b.Certificates[:1] }, evidence.StepCertificates},
		"certificate twice":  {func(b *consent.Bundle) { b.Certificates = append(b.Certificates, b.Certificates[1]) }, evidence.StepCertificates},
		"row":                {func(b *consent.Bundle) { b.Audit.Rows[2] = b.Audit.Rows[4] }, evidence.StepRecord},
		"rows exchanged":     {func(b *consent.Bundle) { r := b.Audit.Rows; r[0], r[1] = r[1], r[0] }, evidence.StepRecord},
		"no time-stamp":      {func(b *consent.Bundle) { b.TimeStamps = nil }, evidence.StepTimeStamps},
		"time-stamp twice":   {func(b *consent.Bundle) { b.TimeStamps = append(b.TimeStamps, b.TimeStamps[0]) }, evidence.StepTimeStamps},
		"witness unnamed":    {func(b *consent.Bundle) { b.Audit.WitnessKeys = nil }, evidence.StepTimeStamps}, // a weaker claim, but not what was stamped
	} {
		b, err := consent.DecodeBundle(read(t, "bundle.json"))
		if err != nil {
			t.Fatal(err)
		}
		c.change(b)
		out, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		rep, err := evidence.Verify(t.Context(), out, trust(t))
		if step(err) != c.step || rep != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evidence.Verify(t.Context(), []byte("{}"), trust(t)); step(err) != evidence.StepFormat {
		t.Error(err)
	}
}

// TestDocumentsThatAreNoneOfIts: a file is never taken for one of the bundle's by chance.
func TestDocumentsThatAreNoneOfIts(t *testing.T) {
	rep, err := evidence.Verify(t.Context(), read(t, "bundle.json"), trust(t))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(files) < 5 {
		t.Fatal(err)
	}
	for _, path := range append(files, "testdata/bundle.json") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rep.Documents(path, bytes.NewReader(b), int64(len(b))); step(err) != evidence.StepDocument {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(rep.Compared) != 0 {
		t.Error(rep.Compared)
	}
}

func FuzzVerify(f *testing.F) {
	good := read(f, "bundle.json")
	f.Add(good)
	other, _ := hashes(f)
	f.Add(other) // under a root that is not trusted here
	own := trust(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		if rep, err := evidence.Verify(t.Context(), in, own); (err == nil) != bytes.Equal(in, good) || (rep == nil) != (err != nil) {
			t.Error(err)
		}
	})
}
