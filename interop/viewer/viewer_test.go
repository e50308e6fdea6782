//go:build browser

// Package viewer_test looks at our products as a person does: in Okular, a viewer that checks signatures with poppler
// and NSS, on a screen of its own, without our code between. What it says is read from the picture of the screen.
// The pictures stay in interop/viewer/out, for people to look at.
package viewer_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// signer is the name in the certificate of the magic person approve.
const signer = "Alice Maria Peeters"

const (
	valid   = "The signature is cryptographically valid"
	invalid = "Digest Mismatch occurred" // what Okular 22.12 says of other bytes than were signed
)

// out is where pictures stay; git does not look at it.
func out(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(sandboxtest.Root(t), "interop/viewer/out")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// What Okular's banner says of all signatures together. 22.12 knows no document time-stamps and takes what a level adds
// for a change; only what stands by itself has the quiet banner. Each is asserted, so that a better viewer is noticed.
const (
	whole   = "This document is digitally signed."
	later   = "There have been changes since last signed"
	unknown = "Some of the signatures could not be"
)

var banners = map[string]string{"B-T": whole, "B-LT": later, "B-LTA": unknown}

// panel opens the file, the panel of signatures and every entry in it, and gives what is on the screen before and after.
func (d *desk) panel(t *testing.T, file, name string) (first, text string) {
	t.Helper()
	failed := out(t, name+"-failed.png")
	d.show(file, failed)
	words := d.settled("Signatures Panel", failed)
	first = join(words)
	left := 0
	for _, w := range words {
		switch w.text {
		case "This": // a banner begins to the right of the handle with which the panel is made wider
			left = w.left
		case "Panel":
			d.tap(w, 1)
		}
	}
	d.until("Rev. 1", failed)
	from := strconv.Itoa(left - 38)
	d.run("xdotool", "mousemove", from, "860", "mousedown", "1", "mousemove", "900", "860", "mousemove", "1300", "860", "mouseup", "1")
	words = d.until("Signed By "+signer, failed)
	sort.SliceStable(words, func(i, j int) bool { return words[i].top > words[j].top })
	for _, w := range words { // from below, as an open entry pushes the next ones down
		if w.text == "Rev." {
			d.tap(w, 1)
			d.run("xdotool", "key", "asterisk")
		}
	}
	text = join(d.until("Signing Time", failed))
	leave(t, d, name)
	return first, text
}

// leave takes the picture for people.
func leave(t *testing.T, d *desk, name string) {
	t.Helper()
	path := out(t, name+".png")
	d.shot(path)
	t.Logf("screenshot: %s", path)
}

// properties opens the window about the only signature of the panel, and gives what is on the screen.
func (d *desk) properties(t *testing.T, name string) string {
	t.Helper()
	failed := out(t, name+"-failed.png")
	for _, w := range d.until("Signing Time", failed) {
		if w.text == "Signing" {
			d.tap(w, 3)
		}
	}
	for _, w := range d.until("Properties", failed) {
		if w.text == "Properties" {
			d.tap(w, 1)
		}
	}
	text := join(d.until("Document Modifications", failed))
	leave(t, d, name)
	return text
}

// says holds the banner to one of the three things it can say.
func says(t *testing.T, first, want string) {
	t.Helper()
	for _, other := range []string{later, unknown} {
		if strings.Contains(first, other) != (other == want) {
			t.Errorf("the banner is not %q:\n%s", want, first)
		}
	}
	if !strings.Contains(first, whole) {
		t.Errorf("no banner says that the document is signed:\n%s", first)
	}
}

func TestAViewerShowsSignerTimeAndValid(t *testing.T) {
	s := sandboxtest.Start(t)
	trust := s.Info(t).RootPEM
	dir := t.TempDir()
	old, err := filepath.Glob(out(t, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old { // what is there at the end is of this run
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	source := filepath.Join(sandboxtest.Root(t), "testdata/pdf/libreoffice-writer.pdf")
	for _, level := range []string{"B-T", "B-LT", "B-LTA"} {
		banner := banners[level]
		product := filepath.Join(dir, level+".pdf")
		began := time.Now().UTC().Truncate(time.Second)
		order(t, s, "--level", level, "-o", product, source)
		ended := time.Now().UTC().Add(time.Second)
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, trust)
			d.trusts(t, product)
			first, seen := d.panel(t, product, level)
			says(t, first, banner)
			if !strings.Contains(seen, valid) || strings.Contains(seen, invalid) {
				t.Errorf("the viewer does not say valid:\n%s", seen)
			}
			if !saysTime(seen, began, ended) {
				t.Errorf("the viewer does not show the time of signing, %s:\n%s", began, seen)
			}
			if level == "B-T" {
				window := d.properties(t, level+"-properties")
				if !strings.Contains(window, "The document has not been modified since it was signed") || !saysTime(window, began, ended) {
					t.Errorf("the window about the signature does not say so:\n%s", window)
				}
			}
			render(t, product, level)
		})
	}
	file := changed(t, filepath.Join(dir, "B-T.pdf"))
	t.Run("changed", func(t *testing.T) {
		t.Parallel()
		first, seen := newDesk(t, trust).panel(t, file, "changed")
		says(t, first, unknown)
		if strings.Contains(seen, valid) || !strings.Contains(seen, invalid) {
			t.Errorf("the viewer does not say invalid:\n%s", seen)
		}
	})
	visible(t, s, dir)
}

// order has the sandbox's person sign.
func order(t *testing.T, s *sandboxtest.Sandbox, args ...string) {
	t.Helper()
	if text, code := s.Tekend(t, append([]string{"sign", "--person", "approve"}, args...)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, text)
	}
}

// trusts asks poppler, which judges for Okular, about the certificate: Okular 22.12 has the words "Certificate is Trusted"
// but no window in which it shows them, and says the same of a signature whatever the roots are. With an empty list of
// roots the same file must not pass.
func (d *desk) trusts(t *testing.T, product string) {
	t.Helper()
	const yes = "Certificate is Trusted"
	if text := d.run("pdfsig", "-nssdir", filepath.Join(d.home, "nss"), product); !strings.Contains(text, yes) {
		t.Errorf("the certificate is not trusted:\n%s", text)
	}
	empty := filepath.Join(d.home, "empty")
	if err := os.MkdirAll(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	d.run("certutil", "-N", "-d", "sql:"+empty, "--empty-password")
	if text := d.run("pdfsig", "-nssdir", empty, product); strings.Contains(text, yes) {
		t.Errorf("trusted without any root:\n%s", text)
	}
}

// saysTime looks for a second of the signing in the long form of the viewer's language.
func saysTime(seen string, from, to time.Time) bool {
	for at := from; !at.After(to); at = at.Add(time.Second) {
		if strings.Contains(seen, at.Format("15:04:05")) && strings.Contains(seen, at.Format("2006")) {
			return true
		}
	}
	return false
}

// changed is a copy of a product with one byte of the signed page changed, the last digit of its box, so that it
// still opens.
func changed(t *testing.T, product string) string {
	t.Helper()
	b, err := os.ReadFile(product)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte("/MediaBox["))
	if i < 0 {
		t.Fatal("the page has no box")
	}
	i += bytes.IndexByte(b[i:], ']') - 1
	if b[i] < '0' || b[i] > '9' {
		t.Fatalf("no digit at the end of the box: %q", b[i-20:i+2])
	}
	b[i] ^= 1
	path := filepath.Join(t.TempDir(), "changed.pdf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// render leaves each page as a picture.
func render(t *testing.T, product, name string) {
	t.Helper()
	base := out(t, name+"-page")
	if b, err := exec.Command("pdftoppm", "-png", "-r", "80", product, base).CombinedOutput(); err != nil {
		t.Fatalf("pdftoppm: %v %s", err, b)
	}
	pages, err := filepath.Glob(base + "-*.png")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no page rendered: %v", err)
	}
	for _, p := range pages {
		t.Logf("rendered: %s", p)
	}
}
