package api_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tekend/api"
	"tekend/policy"
)

func TestEachPolicyIsAtTheAddressOfItsDigest(t *testing.T) {
	d := open(t, nil)
	var list api.PolicyList
	d.get("/pki/policies/", "Accept", "application/json").into(t, &list)
	inForce := map[string]int{}
	for _, p := range list.Policies {
		a := d.get(p.Path)
		if a.status != 200 || a.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %v", p.Path, a.status, a.header)
		}
		if !strings.Contains(p.Path, "/"+p.Sha256+"/") {
			t.Errorf("%s does not hold %s", p.Path, p.Sha256)
		}
		if p.InForce {
			inForce[string(p.Kind)]++
		}
	}
	for kind, n := range map[string]int{policy.CPS: 4, policy.PDS: 4, policy.TSADisclosure: 4, policy.Terms: 1} {
		if inForce[kind] != n {
			t.Errorf("%d texts of %s are in force", inForce[kind], kind)
		}
	}
	doc, err := policy.InForce(policy.CPS, "fr")
	if err != nil {
		t.Fatal(err)
	}
	if a := d.get(doc.Path); !bytes.Equal(a.body, doc.Text) {
		t.Error("another text than that of the library")
	}
	for _, lang := range []string{"en", "nl"} {
		a := d.get("/pki/policies/?lang=" + lang)
		for _, p := range list.Policies {
			if !strings.Contains(string(a.body), `href="`+p.Path+`"`) {
				t.Errorf("%s: the index lacks %s", lang, p.Path)
			}
		}
	}
	zero := strings.Repeat("0", 64)
	for _, path := range []string{"/pki/policies/" + zero + "/cps-en.txt", strings.Replace(doc.Path, "cps-fr", "cps-en", 1), "/pki/policies/x/cps-en.txt", "/pki/policies/../cps-en.txt", "/pki/policies"} {
		d.get(path, "Accept", "application/json").problem(t, "not_found", 404)
	}
}

func TestSecurityTxt(t *testing.T) {
	d := open(t, nil)
	d.get("/.well-known/security.txt").problem(t, "not_found", 404) // not configured
	d = open(t, func(s *setup) {
		s.api.PublicURL = "https://sign.example"
		s.api.SecurityTxt = api.SecurityTxt{Contacts: []string{"mailto:security@sign.example"}, Expires: time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)}
	})
	a := d.get("/.well-known/security.txt")
	want := "Contact: mailto:security@sign.example\nExpires: 2027-06-01T00:00:00Z\nPreferred-Languages: en, nl, fr, de\n" +
		"Canonical: https://sign.example/.well-known/security.txt\n"
	if string(a.body) != want || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%s", a.body)
	}
}

func TestSecurityTxtThatDoesNotHoldIsRefusedAtStart(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for name, txt := range map[string]api.SecurityTxt{
		"no contact":          {Expires: later},
		"no end":              {Contacts: []string{"mailto:a@b.example"}},
		"a bare address":      {Contacts: []string{"a@b.example"}, Expires: later},
		"a line of its own":   {Contacts: []string{"mailto:a@b.example\nEncryption: https://evil.example"}, Expires: later},
		"rules without https": {Contacts: []string{"mailto:a@b.example"}, Expires: later, Policy: "http://sign.example/rules"},
	} {
		var cfg api.Config
		d := open(t, func(s *setup) { cfg = s.api })
		cfg.SecurityTxt = txt
		if _, err := api.New(cfg, *d.dep); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
