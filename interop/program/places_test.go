//go:build interop

package program

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// home says where in the sandbox's folder a secret may lie; anywhere else is a leak. Paths are prefixes below D.
type home struct {
	what   string
	values []string
	homes  []string
}

// canaryText stands in a document, canaryName is the name of the file: nobody else has these words.
const (
	canaryText = "KANARIENVOGEL-8c1f6d"
	canaryName = "Kanariemap-5521e0"
)

// testPlaces looks for every secret in every file of every role, in what the kernel shows of the processes, and in what
// everyone can fetch: each may lie only at home.
func (w *world) testPlaces(t *testing.T) {
	homes := w.homes(t)
	files, found := 0, map[string]int{}
	w.must(t, filepath.WalkDir(w.s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		rel, err := filepath.Rel(w.s.Dir, path)
		if err != nil {
			return err
		}
		for _, h := range homes {
			for _, v := range h.values {
				if !bytes.Contains(b, []byte(v)) {
					continue
				}
				found[h.what]++
				if !h.at(rel) {
					t.Errorf("%s is in %s", h.what, rel)
				}
			}
		}
		// We never ask for it, so it is nowhere but at itsme.
		if !strings.HasPrefix(rel, "itsme/") && shapes["a national number"].Match(b) {
			t.Errorf("a national number is in %s", rel)
		}
		return nil
	}))
	// Each secret is where it belongs: else the search would not see it elsewhere either.
	for _, h := range homes {
		if found[h.what] == 0 {
			t.Errorf("%s is found nowhere: the search cannot see it", h.what)
		}
	}
	if files < 60 {
		t.Errorf("only %d files were read", files)
	}
	w.processes(t, homes)
	w.public(t, homes)
	t.Logf("looked for %d kinds of secrets in %d files, the processes and what is public", len(homes), files)
}

func (h home) at(rel string) bool {
	for _, p := range h.homes {
		if strings.HasPrefix(rel, p) {
			return true
		}
	}
	return false
}

// homes has one document signed that holds canaries, and collects the secrets of this run.
func (w *world) homes(t *testing.T) []home {
	doc := append(w.sample(t, "cairo-librsvg.pdf"), []byte("% "+canaryText+"\n")...)
	dir := t.TempDir()
	path := filepath.Join(dir, canaryName+".pdf")
	w.must(t, os.WriteFile(path, doc, 0o600))
	out := filepath.Join(dir, "signed.pdf")
	if text, code := w.s.Tekend(t, "sign", "--person", "diacritics", "-o", out, path); code != 0 {
		t.Fatalf("exit %d: %s", code, text)
	}
	code, tokens := w.carried(t)
	list := []home{
		// The front carries a code to the sam, and forgets it; its database's file keeps it until it writes over it.
		{"a code of itsme", []string{code}, []string{"front/front.db", "itsme/"}},
		{"an ID token", tokens, []string{"sam/sam.db", "ca/ca.db"}},
		{"an API key", []string{w.flow.Key, w.other.Key, w.oneTime(t).Key}, []string{"provider/api-key", "front/provider.key", "front/other.key", "front/one-time.key"}},
		{"text of a document", []string{canaryText}, []string{"front/blobs/"}},
		{"the name of a document", []string{canaryName}, []string{"front/front.db", "sam/sam.db", "sam/notices/", "itsme/"}},
		// The certificate names its subject; so do signed documents, and the ca's and sam's records of it.
		{"a name", []string{"Dvořák", "Suharti"}, []string{"front/front.db", "front/blobs/", "sam/sam.db", "sam/notices/", "ca/ca.db", "itsme/"}},
		// In the sam's tables it is sealed; an enrolment under way holds what itsme told, and the database's file keeps that
		// until it writes over it.
		{"an e-mail address", []string{"cenek@example.test"}, []string{"itsme/", "sam/notices/", "sam/sam.db"}},
		{"a private key in PEM", []string{"BEGIN PRIVATE KEY"}, []string{
			"front/https.key", "sam/itsme-ident-enc.pem", "sam/itsme-confirm-enc.pem", "sam/audit-log.pem", "ca/audit-log.pem", "tsa/audit-log.pem",
			"provider/order-key.pem", "operators/", "anchor/", "itsme/",
		}},
	}
	for _, role := range []string{"sam", "ca", "tsa"} {
		for _, name := range []string{"pin", "so-pin"} {
			b, err := os.ReadFile(filepath.Join(w.s.Dir, role, name))
			w.must(t, err)
			list = append(list, home{"the " + name + " of " + role, []string{strings.TrimSpace(string(b))}, []string{role + "/" + name}})
		}
	}
	return list
}

// carried has somebody sign step by step, and gives a code that the browser brought and the ID tokens that the sam keeps.
func (w *world) carried(t *testing.T) (code string, tokens []string) {
	ctx := t.Context()
	r, err := w.flow.Create(ctx, "places", w.sample(t, "fpdf2.pdf"))
	w.must(t, err)
	for code == "" {
		p, err := w.flow.Page(ctx, r.SigningURL)
		w.must(t, err)
		if p.Step != "confirm" {
			_, err = w.flow.Step(ctx, r.SigningURL, "one-name")
			w.must(t, err)
			continue
		}
		back, err := w.flow.AtItsme(ctx, p.Link, "one-name")
		w.must(t, err)
		u, err := url.Parse(back)
		w.must(t, err)
		code = u.Query().Get("code")
		w.must(t, w.flow.Callback(ctx, back))
	}
	if step, err := w.flow.Walk(ctx, r.SigningURL, "one-name"); err != nil || step != "done" {
		t.Fatalf("%s %v", step, err)
	}
	tokens = w.column(t, "sam/sam.db", "SELECT token FROM questions WHERE token <> ''")
	if len(code) < 20 || len(tokens) == 0 {
		t.Fatalf("a code of %d characters, %d tokens", len(code), len(tokens))
	}
	return code, tokens
}

// processes reads what everyone on the machine can see of a process: its arguments; and what its own user can: its
// environment.
func (w *world) processes(t *testing.T, homes []home) {
	pids := w.s.Info(t).PIDs
	if len(pids) < 6 {
		t.Fatalf("%d processes", len(pids))
	}
	for name, pid := range pids {
		for _, file := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			w.must(t, err)
			for _, h := range homes {
				for _, v := range h.values {
					if bytes.Contains(b, []byte(v)) {
						t.Errorf("%s is in the %s of %s", h.what, file, name)
					}
				}
			}
		}
	}
}

// public reads what anyone can fetch, and errors to wrong questions that hold secrets.
func (w *world) public(t *testing.T, homes []home) {
	secret := w.flow.Key
	for _, path := range []string{
		"/health", "/openapi.json", "/docs", "/pki/crl/issuing-ca.crl", "/v1/signature-requests/" + secret, "/sign/" + secret,
		"/itsme/callback?code=" + secret + "&state=" + secret, "/no/such/" + secret,
	} {
		resp, err := w.flow.HTTP.Get(w.front + path)
		w.must(t, err)
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		w.must(t, err)
		_ = resp.Body.Close()
		for name, values := range resp.Header {
			fmt.Fprintln(&b, name, values)
		}
		for _, h := range homes {
			for _, v := range h.values {
				if bytes.Contains(b.Bytes(), []byte(v)) {
					t.Errorf("%s is in the answer to %s", h.what, strings.ReplaceAll(path, secret, "…"))
				}
			}
		}
	}
}
