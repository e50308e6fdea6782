// Command bench measures the numbers that the project promises, each beside a
// raw rate of the same machine and the same minutes, and prints one table.
//
//	make bench
//	go run ./bench -only 'pdf|rss'
//	go run ./bench -long -only 'growth|people'
//
// A goal that is missed is marked MISSED; the exit code is 0 all the same,
// because a busy machine is no fault of the program. The programs in bin/ are
// measured as they are (make build). It takes about four minutes.
//
// Wall times are for an idle machine. Where others are at work, the last
// column tells how much, and root can put the measurement before them for the
// few seconds that it takes: chrt -r 1 make bench.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	name, goal string
	must       string // the goal in words
	measured   string // median [min..max]
	raw        string // what stands beside
	verdict    string
	others     string // cores that others kept busy meanwhile: a wall time on a busy machine says little
}

const (
	met    = "met"
	missed = "MISSED"
	info   = "-" // no goal of its own
)

func verdict(ok bool) string {
	if ok {
		return met
	}
	return missed
}

// measurement is one group of rows that is measured together.
type measurement struct {
	name string
	run  func(*bench) []row
}

var measurements = []measurement{
	{"raw", (*bench).rawToken},
	{"ready", (*bench).ready},
	{"pdf-big", func(b *bench) []row { return b.signing("big") }},
	{"pdf-pages", func(b *bench) []row { return b.signing("pages") }},
	{"pdf-small", (*bench).small},
	{"pdf-again", (*bench).again},
	{"judging", (*bench).judging},
	{"latency", (*bench).latency},
	{"sam-sign", (*bench).samSign},
	{"batch", (*bench).batch},
	{"workers", (*bench).workers},
	{"growth", (*bench).growth},
	{"growth-sam", (*bench).samGrowth},
	{"people", (*bench).people},
	{"timestamp", (*bench).timestamp},
	{"ocsp", (*bench).ocsp},
	{"crl", (*bench).crl},
	{"issuing", (*bench).issuing},
	{"rss-big", func(b *bench) []row { return b.rss("big", map[string]int{"B-T": 2, "B-LTA": 3}) }},
	{"rss-pages", func(b *bench) []row { return b.rss("pages", map[string]int{"B-LTA": 1}) }},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "token" {
		if err := tokenWorker(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench token:", err)
			os.Exit(1)
		}
		return
	}
	var names []string
	for _, m := range measurements {
		names = append(names, m.name)
	}
	only := flag.String("only", "", "measure only the groups that match this `REGEXP`: "+strings.Join(names, " "))
	dir := flag.String("dir", os.TempDir(), "`FOLDER` for documents, up to 1.3 GB; the sandbox keeps 5 GB in the temporary folder meanwhile")
	long := flag.Bool("long", false, "100 000 signatures and 1 000 000 people, as the goals say; without it a tenth of both")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: bench [-only REGEXP] [-dir FOLDER]", err)
		os.Exit(2)
	}
	debug.SetGCPercent(400) // our own garbage must not stand in the figures
	if err := run(pattern, *dir, *long); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures group by group. A group that fails is a row of the table too.
func run(only *regexp.Regexp, dir string, long bool) error {
	tmp, err := os.MkdirTemp(dir, "tekend-bench-")
	if err != nil {
		return err
	}
	b := &bench{tmp: tmp, long: long}
	defer b.close()
	begin := time.Now()
	fmt.Println(machine())
	var rows []row
	for _, m := range measurements {
		if !only.MatchString(m.name) {
			continue
		}
		load := b.loadNow()
		var got []row
		if err := b.guard(func() { got = m.run(b) }); err != nil {
			got = []row{{goal: "could not be measured", measured: firstLine(err), verdict: missed}}
		}
		others := fmt.Sprintf("%.1f", b.othersSince(load))
		for i := range got {
			got[i].name, got[i].others = m.name, others
		}
		rows = append(rows, got...)
		fmt.Fprintf(os.Stderr, "%-10s %5.1f s\n", m.name, load.seconds())
	}
	printTable(rows)
	fmt.Printf("\n%s in %.0f s\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), time.Since(begin).Seconds())
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func printTable(rows []row) {
	fmt.Println("| row | goal | must | measured median [min..max] | raw beside it | verdict | others' cores |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.goal, r.must, r.measured, r.raw, r.verdict, r.others)
	}
}

// stop ends a group from inside; guard catches it.
type stop struct{ error }

// guard runs f and makes an error of what stopped it.
func (b *bench) guard(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stop:
			err = r.error
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// must ends the group when something went wrong.
func must(err error) {
	if err != nil {
		panic(stop{err})
	}
}

func need[T any](v T, err error) T {
	must(err)
	return v
}

func demand(ok bool, format string, a ...any) {
	if !ok {
		must(fmt.Errorf(format, a...))
	}
}
