package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestQRCode: this drawing was read back by OpenCV 4 (QRCodeDetector), as were
// texts of 1 and of 106 bytes; since then it must not change.
func TestQRCode(t *testing.T) {
	svg, err := qrSVG("http://127.0.0.1:43211/sandbox/phone/AbCdEfGhIjKlMnOpQrStUv?other=1")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(svg))
	if got := hex.EncodeToString(sum[:]); got != "075fd45ed1258b0fc2c5e65e8899378583b6a874a0adc6d5a48d14397e88d54a" {
		t.Error(got)
	}
	if _, err := qrSVG(strings.Repeat("x", 107)); err == nil {
		t.Error("a text that does not fit was drawn")
	}
}

func TestPeopleTable(t *testing.T) {
	now := time.Unix(1780000000, 0)
	seen := map[string]string{}
	for i := range people {
		q := &people[i]
		for _, unique := range []string{"n " + q.name, "d " + q.documentSN(), "p " + q.phone, "f " + q.fullName(), "m " + q.email} {
			if other, twice := seen[unique]; twice && unique != "m " {
				t.Errorf("%s and %s share %q", q.name, other, unique)
			}
			seen[unique] = q.name
		}
		if (q.age == 0) != (q.born != "") || q.birthdate(now).Year() < 1900 || q.ageAt(now) < 16 {
			t.Errorf("%s: birth date %v", q.name, q.birthdate(now))
		}
		if q.answersAs != "" && findPerson(q.answersAs) == nil {
			t.Errorf("%s: nobody is %s", q.name, q.answersAs)
		}
		if !regexp.MustCompile(`^\d{11}$`).MatchString(q.nationalNumber(now)) || q.hint == "" || q.country == "" || q.documentSN() == "" {
			t.Errorf("%s is not complete", q.name)
		}
	}
	for _, name := range []string{"approve", "approve-slow", "refuse", "expire", "minor", "no-email", "diacritics", "one-name", "blocked", "call", "wrong-nonce", "wrong-sub", "other-person", "error"} {
		if q := findPerson(name); q == nil || q.hidden {
			t.Errorf("%s of names.md is missing", name)
		}
	}
}

func TestEveryWordInEveryLanguage(t *testing.T) {
	for lang, w := range allWords {
		for kind := range map[ServiceType]bool{Authentication: true, Identification: true, Confirmation: true} {
			if w.Titles[kind] == "" {
				t.Errorf("%s: no title for %s", lang, kind)
			}
		}
		if !strings.Contains(w.Simulation, "imulati") || w.Confirm == "" || w.Refuse == "" || w.NotAffiliated == "" || w.ExpiredHint == "" || w.OpenPhone == "" {
			t.Errorf("%s is not complete", lang)
		}
	}
	if len(allWords) != len(languages) {
		t.Error("languages")
	}
}

// FuzzText: whatever the partner sends, only our four tags come out, and they
// are balanced.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"<b>a</b>", "<script>", "<b", "a<b<c>", "</b>", "<b onclick=x>", "&lt;"} {
		f.Add(seed)
	}
	tags := regexp.MustCompile(`</?[biu]>|<br>`)
	f.Fuzz(func(t *testing.T, s string) {
		out := string(renderText(s))
		if rest := tags.ReplaceAllString(out, ""); strings.ContainsAny(rest, "<>\"") {
			t.Errorf("%q became %q", s, out)
		}
		for _, tag := range []string{"b", "i", "u"} {
			if strings.Count(out, "<"+tag+">") != strings.Count(out, "</"+tag+">") {
				t.Errorf("%q: unbalanced %q", s, out)
			}
		}
	})
}
