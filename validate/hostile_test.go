package validate_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tekend/validate"
)

// TestIndexOfAttacks holds the table in testdata/attacks/README.md, from the rows
// of specs/ades.md §10.4 to files and tests: each of both is there, and no file
// of an attack is in no row.
func TestIndexOfAttacks(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(attackFiles, "README.md"))
	check(t, err)
	indexed := map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[3], "`") {
			continue
		}
		rows++
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
			files, err := filepath.Glob("../" + m[1])
			if err != nil || len(files) == 0 {
				t.Errorf("%s: %s: no such file", cells[1], m[1])
			}
			for _, f := range files {
				indexed[f] = true
			}
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			folder, name, _ := strings.Cut(m[1], ".")
			if !hasTest(t, "../"+folder, name) {
				t.Errorf("%s: no test %s", cells[1], m[1])
			}
		}
	}
	for _, pattern := range []string{"../pdf/testdata/attacks/*.pdf", "../validate/testdata/attacks/*.p[d7]*"} {
		files, err := filepath.Glob(pattern)
		check(t, err)
		for _, f := range files {
			if !indexed[f] && !strings.HasPrefix(filepath.Base(f), "good") {
				t.Errorf("%s is in no row", f)
			}
		}
	}
	if rows != 23 {
		t.Errorf("%d rows", rows)
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(folder + "/*_test.go")
	check(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		check(t, err)
		if bytes.Contains(b, []byte("\nfunc "+name+"(")) {
			return true
		}
	}
	return false
}

// TestHostileFiles: all files of attacks, and the usual bombs, in a process of
// their own, which needs less than 256 MB of memory for all of them and a few
// seconds for each; none passes.
func TestHostileFiles(t *testing.T) {
	const child = "TEKEND_HOSTILE_FILES"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHostileFiles$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		peak := regexp.MustCompile(`peak \d+ MB.*`).Find(out)
		if peak == nil {
			t.Fatalf("nothing was measured:\n%s", out)
		}
		t.Logf("%s", peak)
		return
	}
	files := hostileFiles(t)
	slowest := time.Duration(0)
	for name, b := range files {
		start := time.Now()
		o := validate.Options{Roots: x509.NewCertPool(), At: start}
		rep, err := validate.PDF(context.Background(), bytes.NewReader(b), int64(len(b)), o)
		if err == nil && rep.Indication == passed {
			t.Errorf("%s: passed", name)
		}
		rep, err = validate.CMS(context.Background(), bytes.NewReader(b), int64(len(b)), validate.Data{}, o)
		if err == nil && rep.Indication == passed {
			t.Errorf("%s: passed as CMS", name)
		}
		// Four times what is promised: the machine does other things.
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			slowest = max(slowest, took)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	check(t, err)
	var peak int
	_, err = fmt.Sscanf(string(regexp.MustCompile(`VmHWM:.*kB`).Find(status)), "VmHWM: %d kB", &peak)
	check(t, err)
	t.Logf("peak %d MB, slowest %v, %d files", peak>>10, slowest, len(files))
	if peak>>10 > 256 || len(files) < 150 {
		t.Errorf("%d MB, %d files", peak>>10, len(files))
	}
}

func hostileFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files := bombs(t)
	for _, pattern := range []string{"../pdf/testdata/attacks/*.pdf", "../pdf/testdata/bad/*.pdf", attackFiles + "/[^g]*.p[d7]*"} {
		names, err := filepath.Glob(pattern)
		check(t, err)
		for _, name := range names {
			files[name], err = os.ReadFile(name)
			check(t, err)
		}
	}
	return files
}

// bombs are small files that want much.
func bombs(t *testing.T) map[string][]byte {
	t.Helper()
	// A gigabyte of zeros, deflated twice, is a few kB.
	deflate := func(chunk []byte, times int) []byte {
		var out bytes.Buffer
		z := zlib.NewWriter(&out)
		for range times {
			_, err := z.Write(chunk)
			check(t, err)
		}
		check(t, z.Close())
		return out.Bytes()
	}
	twice := deflate(deflate(make([]byte, 1<<20), 256), 1)
	return map[string][]byte{
		"nested BER":                bytes.Repeat([]byte{0x30, 0x80}, 1<<20),
		"nested BER octets":         append([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80"), bytes.Repeat([]byte{0x24, 0x80}, 1<<20)...),
		"an object of deep arrays":  small(strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)),
		"deep dictionaries":         small(strings.Repeat("<</A", 1<<19) + strings.Repeat(">>", 1<<19)),
		"a DSS of deflated bombs":   small(stream("/Filter[/FlateDecode/FlateDecode]", twice)),
		"an object stream of bombs": small(stream("/Type/ObjStm/N 1000000/First 10000000/Filter[/FlateDecode/FlateDecode]", twice)),
		"fields in a circle":        small("<</T(a)/Kids[4 0 R 4 0 R]/Parent 4 0 R>>"),
		"a length of itself":        small("<</Length 4 0 R>>\nstream\nx\nendstream"),
		"many ranges":               small("<</FT/Sig/T(S)/V<</Type/Sig/Filter/X/SubFilter/ETSI.CAdES.detached/ByteRange[" + strings.Repeat("0 1 ", 1<<18) + "]/Contents<00>>>>>"),
	}
}

func stream(entries string, data []byte) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", entries, len(data), data)
}

// small is a document whose object 4 is field, list of data and page content.
func small(object string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	var at []int
	for _, s := range []string{
		"<</Type/Catalog/Pages 2 0 R/AcroForm<</SigFlags 3/Fields[4 0 R]>>/DSS<</Certs[4 0 R]/CRLs[4 0 R]/OCSPs[4 0 R]>>>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>", object,
	} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), s)
	}
	start := b.Len()
	b.WriteString("xref\n0 5\n0000000000 65535 f \n")
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}
