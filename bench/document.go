package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"tekend/interop/sandboxtest"
)

// document generates a PDF, once.
func (b *bench) document(kind, size string) string {
	path := filepath.Join(b.tmp, kind+"-"+size+".pdf")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "run", "./testdata/gen", "-kind", kind, "-size", size, "-o", path)
	cmd.Dir, cmd.Stderr = sandboxtest.Root(&tb{}), os.Stderr
	must(cmd.Run())
	return path
}

const copyBuffer = 256 << 10

// floor copies and hashes in one pass.
func floor(in, out string) error {
	src, err := os.Open(in)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.Create(out)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(dst, h), plain{src}, make([]byte, copyBuffer))
	if err != nil {
		return err
	}
	runtime.KeepAlive(h.Sum(nil))
	return dst.Close()
}

// plain hides the file's own ways to copy itself.
type plain struct{ io.Reader }

// patient gives the clients of large documents more time.
func patient(f *sandboxtest.Flow) *sandboxtest.Flow {
	f.HTTP.Timeout = 3 * time.Minute
	return f
}

// rss is G9: the front's peak while one document comes, is prepared, read by
// the signer, signed, brought to its level, checked and fetched.
func (b *bench) rss(kind string, rounds map[string]int) []row {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	f := patient(b.sandbox().Flow(b.tb))
	small, large := b.document("big", "1MB"), b.document(kind, "1GB")
	defer func() { must(os.Remove(large)) }()
	b.peakOf(ctx, f, small, "B-LTA") // enrols
	var rows []row
	for _, level := range []string{"B-T", "B-LTA"} {
		var at1, at1000, diff, wall sample
		for range rounds[level] {
			s := b.peakOf(ctx, f, small, level)
			at := time.Now()
			l := b.peakOf(ctx, f, large, level)
			wall = append(wall, time.Since(at).Seconds())
			at1, at1000, diff = append(at1, s), append(at1000, l), append(diff, l-s)
		}
		if len(diff) == 0 {
			continue
		}
		rows = append(rows, row{goal: "G9: peak RSS of the front with 1 GB " + kind + " − with 1 MB, " + level, must: "≤ 8 MiB, each time",
			measured: diff.show("%.1f", " MiB"), verdict: verdict(slices.Max(diff) <= 8),
			raw: at1000.show("%.1f", " MiB") + " − " + at1.show("%.1f", " MiB") + "; 1 GB takes " + wall.show("%.0f", " s")})
	}
	return rows
}

// peakOf is the front's highest resident size for one document, in MiB.
func (b *bench) peakOf(ctx context.Context, f *sandboxtest.Flow, path, level string) float64 {
	front := b.pids["front"]
	resetPeak(front)
	r := stream(ctx, f, "bench-rss", path, level)
	size := need(os.Stat(path)).Size()
	p := need(f.Page(ctx, r.SigningURL))
	for p.Step == "wait" {
		p = need(f.Page(ctx, r.SigningURL))
	}
	n := need(download(ctx, f, r.SigningURL+"/documents/1")) // prepared, when the person is known
	demand(n >= size, "only %d bytes were shown", n)
	end := need(f.Walk(ctx, r.SigningURL, "approve"))
	demand(end == "done", "the request ended %s", end)
	n = need(download(ctx, f, f.Front+"/v1/signature-requests/"+r.ID+"/documents/1"))
	demand(n > size, "only %d bytes were downloaded", n)
	return float64(peak(front)) / (1 << 20)
}

// latency is one whole signature of a person who is known: upload, page,
// itsme's simulation, callback, the page that says done, download.
func (b *bench) latency() []row {
	const rounds = 40
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	f := b.sandbox().Flow(b.tb)
	file := need(os.ReadFile(filepath.Join(sandboxtest.Root(b.tb), "testdata", "pdf", "libreoffice-writer.pdf")))
	var total, cpu sample
	parts := map[string]sample{}
	whole := func(keep bool) {
		last := time.Now()
		begin, used := last, b.rolesCPU()
		mark := func(part string) {
			now := time.Now()
			if keep {
				parts[part] = append(parts[part], now.Sub(last).Seconds()*1e3)
			}
			last = now
		}
		r := need(f.Create(ctx, "bench-latency", file))
		mark("upload")
		p := need(f.Page(ctx, r.SigningURL))
		if p.Step != "confirm" { // the first one enrols
			need(f.Walk(ctx, r.SigningURL, "approve"))
			return
		}
		mark("page")
		back := need(f.AtItsme(ctx, p.Link, "approve"))
		mark("itsme")
		must(f.Callback(ctx, back))
		mark("callback")
		for p.Step != "done" {
			demand(p.Step == "confirm" || p.Step == "wait", "the page says %s", p.Step)
			time.Sleep(2 * time.Millisecond)
			p = need(f.Page(ctx, r.SigningURL))
		}
		mark("finish")
		need(download(ctx, f, f.Front+"/v1/signature-requests/"+r.ID+"/documents/1"))
		mark("download")
		if keep {
			total, cpu = append(total, last.Sub(begin).Seconds()*1e3), append(cpu, (b.rolesCPU()-used)*1e3)
		}
	}
	for range 3 {
		whole(false)
	}
	for range rounds {
		whole(true)
	}
	detail := ""
	for _, part := range []string{"upload", "page", "itsme", "callback", "finish", "download"} {
		detail += fmt.Sprintf(" %s %.0f", part, parts[part].median())
	}
	return []row{{goal: "one whole signature of an enrolled person, p50 of 40", must: "≤ 300 ms", measured: total.show("%.0f", " ms"),
		raw: cpu.show("%.0f", " ms") + " CPU of our four processes; ms:" + detail, verdict: verdict(total.median() <= 300)}}
}
