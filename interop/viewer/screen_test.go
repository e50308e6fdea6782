//go:build browser

package viewer_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// desk is a screen that nobody sits at, with a home of its own. Everything that runs on it carries that home in its
// environment, by which it is found and ended, whatever it forked.
type desk struct {
	t    *testing.T
	home string
	env  []string
}

// word is a word as it stands on the screen, in pixels.
type word struct {
	text      string
	left, top int
	width     int
	height    int
}

// newDesk starts a screen and gives the viewer a list of roots with one entry.
func newDesk(t *testing.T, root string) *desk {
	t.Helper()
	d := &desk{t: t, home: t.TempDir()}
	t.Cleanup(d.clear)
	d.env = []string{
		"HOME=" + d.home, "XDG_RUNTIME_DIR=" + d.home, "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC",
		"QT_QPA_PLATFORM=xcb", "QT_SCALE_FACTOR=2", "OMP_THREAD_LIMIT=1",
	}
	nss := filepath.Join(d.home, "nss")
	if err := os.MkdirAll(nss, 0o700); err != nil {
		t.Fatal(err)
	}
	d.run("certutil", "-N", "-d", "sql:"+nss, "--empty-password")
	d.run("certutil", "-A", "-d", "sql:"+nss, "-n", "sandbox root", "-t", "CT,C,C", "-i", root)
	config := filepath.Join(d.home, ".config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	// Without OCSP, poppler 22.12 calls every path "unknown issue"; the sandbox answers on this machine.
	rc := "[Signatures]\nUseDefaultCertDB=false\nDBCertificatePath=file://" + nss + "\nCheckOCSPServers=true\n"
	if err := os.WriteFile(filepath.Join(config, "okular-generator-popplerrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	d.screen()
	return d
}

// screen starts the X server on a display that it finds free itself.
func (d *desk) screen() {
	d.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "2400x1600x24", "-nolisten", "tcp", "-noreset")
	cmd.Env, cmd.ExtraFiles = d.env, []*os.File{w}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		d.t.Fatalf("Xvfb is needed: scripts/install test (%v)", err)
	}
	go func() { _ = cmd.Wait() }()
	if err := r.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		d.t.Fatal(err)
	}
	// To the end of the line: a pipe that is closed too early would end the server.
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		d.t.Fatalf("no screen: %v", err)
	}
	d.env = append(d.env, "DISPLAY=:"+strings.TrimSpace(number))
}

// run runs a tool to its end and gives what it printed.
func (d *desk) run(name string, args ...string) string {
	d.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, &out, &errs
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("%s %v: %v %s (scripts/install test)", name, args, err, errs.String())
	}
	return out.String()
}

// show opens a file in Okular, on a message bus of its own, and makes its window as large as the screen.
func (d *desk) show(file, failed string) {
	d.t.Helper()
	cmd := exec.Command("dbus-run-session", "--", "okular", file)
	var said bytes.Buffer // read once it is gone
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, &said, &said
	if err := cmd.Start(); err != nil {
		d.t.Fatalf("Okular is needed: scripts/install test (%v)", err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	for range 100 {
		find := exec.Command("xdotool", "search", "--onlyvisible", "--class", "okular")
		find.Env = d.env
		out, _ := find.Output() // exit code 1: no window yet
		if ids := strings.Fields(string(out)); len(ids) > 0 {
			id := ids[len(ids)-1]
			d.run("xdotool", "windowmove", id, "0", "0", "windowsize", id, "2400", "1600", "windowfocus", id)
			return
		}
		select {
		case <-gone:
			d.t.Fatalf("Okular ended: %s", said.String())
		case <-time.After(200 * time.Millisecond):
		}
	}
	d.shot(failed)
	d.t.Fatalf("Okular shows no window (%s)", failed)
}

// shot takes a picture of the screen and leaves it where people can look at it.
func (d *desk) shot(path string) {
	d.t.Helper()
	d.run("import", "-window", "root", path)
}

// read gives the words that are on the screen now, as an eye without any knowledge of the program reads them.
func (d *desk) read() []word {
	d.t.Helper()
	path := filepath.Join(d.home, "screen.png")
	d.run("import", "-window", "root", "-colorspace", "Gray", path)
	r := csv.NewReader(strings.NewReader(d.run("tesseract", path, "-", "--psm", "11", "tsv")))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		d.t.Fatal(err)
	}
	var words []word
	for _, row := range rows {
		if len(row) < 12 || row[0] != "5" || strings.TrimSpace(row[11]) == "" {
			continue
		}
		n := [4]int{}
		for i := range n {
			n[i], _ = strconv.Atoi(row[6+i])
		}
		words = append(words, word{row[11], n[0], n[1], n[2], n[3]})
	}
	return words
}

// until waits until a text is on the screen and gives the words.
func (d *desk) until(text, failed string) []word {
	d.t.Helper()
	var words []word
	for end := time.Now().Add(25 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if words = d.read(); strings.Contains(join(words), text) {
			return words
		}
	}
	d.shot(failed)
	d.t.Fatalf("never on the screen: %q; there is (%s):\n%s", text, failed, join(words))
	return nil
}

// settled is until, once nothing moves any more: a banner that comes late pushes the page down.
func (d *desk) settled(text, failed string) []word {
	d.t.Helper()
	words := d.until(text, failed)
	for range 20 {
		next := d.until(text, failed)
		if slices.Equal(words, next) {
			return words
		}
		words = next
	}
	d.shot(failed)
	d.t.Fatalf("the screen is never still (%s):\n%s", failed, join(words))
	return nil
}

// tap clicks on a word: 1 is the left button, 3 the right one.
func (d *desk) tap(w word, button int) {
	d.t.Helper()
	d.run("xdotool", "mousemove", strconv.Itoa(w.left+w.width/2), strconv.Itoa(w.top+w.height/2), "click", strconv.Itoa(button))
}

func join(words []word) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.text + " ")
	}
	return b.String()
}

// mine are the processes that have this desk's home.
func (d *desk) mine() []int {
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		b, err := os.ReadFile(path)
		pid, bad := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && bad == nil && bytes.Contains(b, []byte("HOME="+d.home+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// clear ends all that runs on the desk, and says so if something stays.
func (d *desk) clear() {
	for i := range 50 {
		pids := d.mine()
		if len(pids) == 0 {
			return
		}
		signal := syscall.SIGTERM // the screen then removes its lock and socket
		if i >= 20 {
			signal = syscall.SIGKILL
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal)
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Errorf("still running: %v", d.mine())
}
