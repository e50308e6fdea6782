package certs_test

import (
	"bytes"
	"compress/zlib"
	"crypto/x509"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"tekend/certs"
)

// found is what other people's signed files hold, each once.
type found struct {
	certificates map[string]*x509.Certificate
	ocsps, crls  map[string][]byte
}

// take looks for DER at every place of b: certificates, OCSP answers and lists stand in CMS, in streams and in nothing at all.
func (f *found) take(b []byte) {
	for i := 0; i+4 < len(b); i++ {
		if b[i] != 0x30 || b[i+1] != 0x82 && b[i+1] != 0x83 {
			continue
		}
		n, head := int(b[i+2])<<8|int(b[i+3]), 4
		if b[i+1] == 0x83 {
			n, head = n<<8|int(b[i+4]), 5
		}
		if n == 0 || i+head+n > len(b) {
			continue
		}
		der := b[i : i+head+n]
		if _, err := certs.ParseOCSPResponse(der); err == nil {
			f.ocsps[string(der)] = bytes.Clone(der)
		} else if _, err := certs.ReadCRL(der); err == nil {
			f.crls[string(der)] = bytes.Clone(der)
		} else if c, err := x509.ParseCertificate(der); err == nil {
			f.certificates[string(der)] = c
		}
	}
}

var (
	hexadecimal = regexp.MustCompile(`<([0-9A-Fa-f\s]{400,})>`)
	stream      = regexp.MustCompile(`stream\r?\n`)
)

func (f *found) takeFile(b []byte) {
	f.take(b)
	for _, m := range hexadecimal.FindAllSubmatch(b, -1) {
		text := bytes.Join(bytes.Fields(m[1]), nil)
		if der, err := hex.DecodeString(string(text[:len(text)&^1])); err == nil {
			f.take(der)
		}
	}
	for _, at := range stream.FindAllIndex(b, -1) {
		if z, err := zlib.NewReader(bytes.NewReader(b[at[1]:])); err == nil {
			plain, _ := io.ReadAll(io.LimitReader(z, 4<<20)) // what there is of a damaged one
			f.take(plain)
		}
	}
}

// TestOthersRevocationData: OCSP answers and lists out of other people's files are read without a crash; those whose issuer is
// there too verify, and damaged at any of some places they do not.
func TestOthersRevocationData(t *testing.T) {
	files, err := filepath.Glob("../../shared/corpora/files/*")
	if err != nil || len(files) == 0 {
		t.Skip("../shared/corpora is not here")
	}
	all := found{map[string]*x509.Certificate{}, map[string][]byte{}, map[string][]byte{}}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.takeFile(b)
	}
	pairs := map[*x509.Certificate]*x509.Certificate{}
	bySubject := map[string][]*x509.Certificate{}
	for _, c := range all.certificates {
		bySubject[string(c.RawSubject)] = append(bySubject[string(c.RawSubject)], c)
	}
	for _, c := range all.certificates {
		for _, issuer := range bySubject[string(c.RawIssuer)] {
			if certs.NeedsStatus(c) && certs.IssuedBy(c, issuer) {
				pairs[c] = issuer
			}
		}
	}
	good, refused := map[string]int{}, map[certs.StatusReason]int{}
	judge := func(der []byte, status func(c, issuer *x509.Certificate) (certs.Status, error)) {
		for c, issuer := range pairs {
			s, err := status(c, issuer)
			if err == nil {
				good[s.Kind]++
				damaged(t, der, c, issuer)
				continue
			}
			if e, ok := err.(*certs.StatusError); ok {
				refused[e.Reason]++
			} else {
				t.Errorf("an error without a reason: %v", err)
			}
		}
	}
	for _, der := range all.ocsps {
		judge(der, func(c, issuer *x509.Certificate) (certs.Status, error) { return certs.OCSPStatus(der, c, issuer) })
	}
	for _, der := range all.crls {
		list, err := certs.ReadCRL(der)
		if err != nil {
			t.Fatal(err)
		}
		judge(der, list.Status)
	}
	t.Logf("%d certificates, %d with their issuer, %d answers, %d lists; verified %v, refused %v", len(all.certificates), len(pairs), len(all.ocsps), len(all.crls), good, refused)
	if len(all.ocsps) < 20 || len(all.crls) < 20 || good[certs.FromOCSP] < 10 || good[certs.FromCRL] < 10 {
		t.Errorf("too little was found: %d answers, %d lists, verified %v", len(all.ocsps), len(all.crls), good)
	}
}

// damaged changes a good answer or list in some places: nothing of it may count then, but for what is not signed.
func damaged(t *testing.T, der []byte, c, issuer *x509.Certificate) {
	t.Helper()
	for i := 7; i < len(der) && i < 400; i += 31 {
		bad := bytes.Clone(der)
		bad[i] ^= 0x20
		_, err := certs.OCSPStatus(bad, c, issuer)
		if list, e := certs.ReadCRL(bad); e == nil {
			_, err = list.Status(c, issuer)
		}
		if err == nil {
			t.Errorf("changed at %d of %d it counts", i, len(der))
		}
	}
}
