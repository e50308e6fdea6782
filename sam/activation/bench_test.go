package activation_test

import (
	"os"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"tekend/sam"
)

// BenchmarkCalls measures Prepare, Authorize and Sign of one document, with
// everything around them in one process. The environment names where the CPU
// profile of one of the calls goes:
//
//	ACTIVATION_SHIM=/usr/lib/softhsm/libsofthsm2.so ACTIVATION_PROFILE=/tmp/p ACTIVATION_PROFILED=sign \
//	go test ./sam/activation -run '^$' -bench Calls -benchtime 300x
func BenchmarkCalls(b *testing.B) {
	w := newWorld(b)
	cred := w.enrol("approve")
	type open struct {
		p sam.Prepared
		a sam.Answer
		s sam.Session
	}
	all := make([]open, b.N+3)
	for i := range 3 { // warm: key sets, files, statements
		c := w.confirm(cred, 1)
		got(w.front.Sign(b.Context(), c.Nonce, c.request(0)))(b)
		_ = i
	}
	all = all[:b.N]
	orders := make([]sam.PrepareRequest, b.N)
	for i := range orders {
		orders[i] = order(cred, []sam.Document{document(b, cred, "Contract.pdf", orderText(i))})
	}
	b.ResetTimer()
	w.phase(b, "prepare", func(i int) { all[i].p = got(w.front.Prepare(b.Context(), orders[i]))(b) })
	for i := range all {
		all[i].a = w.at(all[i].p.AuthorizationURL, "")
	}
	w.phase(b, "authorize", func(i int) { all[i].s = got(w.front.Authorize(b.Context(), all[i].p.Nonce, all[i].a))(b) })
	w.phase(b, "sign", func(i int) {
		got(w.front.Sign(b.Context(), all[i].p.Nonce, sam.SignRequest{Session: all[i].s.ID, Positions: []int{0}}))(b)
	})
}

func orderText(i int) string { return time.Unix(int64(i), 0).UTC().String() }

// phase runs one of the calls b.N times and reports the CPU of this process for
// each.
func (w *world) phase(b *testing.B, name string, call func(i int)) {
	if path := os.Getenv("ACTIVATION_PROFILE"); path != "" && os.Getenv("ACTIVATION_PROFILED") == name {
		f := got(os.Create(path))(b)
		must(b, pprof.StartCPUProfile(f))
		defer func() { pprof.StopCPUProfile(); _ = f.Close() }()
	}
	before := usage(b)
	for i := range b.N {
		call(i)
	}
	b.ReportMetric(float64((usage(b)-before).Microseconds())/float64(b.N), name+"-CPU-µs/op")
}

func usage(b *testing.B) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
