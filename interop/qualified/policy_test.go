//go:build interop

package qualified

import (
	"archive/zip"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
)

// TestThePolicyIsDSSsOwnButForOneLine: what we judge by is the policy that
// lies in DSS's jar; line 94 alone differs (CIR (EU) 2025/1945: 24 hours).
func TestThePolicyIsDSSsOwnButForOneLine(t *testing.T) {
	jar, err := zip.OpenReader(filepath.Join(sandboxtest.Root(t), "interop/java/target/lib/dss-policy-jaxb-6.4.jar"))
	if err != nil {
		t.Fatalf("%v; run make judges", err)
	}
	defer func() { _ = jar.Close() }()
	f, err := jar.Open("policy/constraint.xml")
	if err != nil {
		t.Fatal(err)
	}
	original, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	out, err := java(t, "DefaultPolicy")
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := strings.Split(string(original), "\n"), strings.Split(out, "\n")
	if len(theirs) != len(ours) || len(ours) < 500 {
		t.Fatalf("DSS's policy has %d lines, ours %d", len(theirs), len(ours))
	}
	for i := range theirs {
		if theirs[i] == ours[i] {
			continue
		}
		was, is := strings.TrimSpace(theirs[i]), strings.TrimSpace(ours[i])
		if i+1 != 94 || was != `<RevocationFreshness Level="IGNORE" Unit="DAYS" Value="0" />` || is != `<RevocationFreshness Level="FAIL" Unit="HOURS" Value="24" />` {
			t.Errorf("line %d: %s instead of %s", i+1, is, was)
		}
	}
	if out == string(original) {
		t.Error("the 24 hours are not asked for")
	}
}
