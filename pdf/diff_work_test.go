package pdf

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyObjects is a signed document of n small objects that refer to each other, with validation data and a time-stamp.
func manyObjects(t testing.TB, n int, packedRows bool) []byte {
	t.Helper()
	f := newFile(spec{})
	f.put(spec{catalog: "/Names<</Dests 100 0 R>>"}.items()...)
	for i := range n {
		f.put(item{100 + i, fmt.Sprintf("<</Kids[%d 0 R %d 0 R]/P 3 0 R/Limits[(%d)(%d)]>>", 101+i, 102+i, i, i+1)})
	}
	f.put(item{100 + n, "null"}, item{101 + n, "null"})
	if packedRows {
		f.stream("", true)
	} else {
		f.table("")
	}
	_, whole := prepareBytes(t, f.Bytes(), options())
	up, err := AddDSS(bytes.NewReader(whole), int64(len(whole)), someMaterial(1), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	_, whole = prepareBytes(t, slices.Concat(whole, up), Options{TimeStamp: true, Reserve: 64})
	return whole
}

// TestDifferencesOfManyObjects: 200 000 objects are read once, within the usual budget, and none of them is kept.
func TestDifferencesOfManyObjects(t *testing.T) {
	for _, packedRows := range []bool{false, true} {
		doc := manyObjects(t, 200_000, packedRows)
		sigs, err := signaturesOf(doc)
		if err != nil {
			t.Fatal(err)
		}
		ends := []int64{sigs[0].RevisionEnd, sigs[1].RevisionEnd}
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var peak uint64
		reads := 0
		c := &countingReader{b: doc}
		start := time.Now()
		all, err := AllDifferences(peakReader{c, &peak, &reads}, int64(len(doc)), ends, Budget{})
		took := time.Since(start)
		if err != nil || all[0].Level != ChangesLTA || !all[0].Permitted || all[1].Level != ChangesNone {
			t.Fatal(all, err)
		}
		grown := (int64(peak) - int64(before.HeapAlloc)) >> 20
		t.Logf("%d MB, %d reads, %.1f times its bytes, %v, %d MB kept", len(doc)>>20, reads, float64(c.n)/float64(len(doc)), took, grown)
		if grown > 12 || c.n > 3*int64(len(doc)) {
			t.Errorf("%d MB kept, %d bytes read of %d", grown, c.n, len(doc))
		}
	}
}

// TestDifferencesOfManyRevisions: 40 signatures, each against up to 39 later ones.
func TestDifferencesOfManyRevisions(t *testing.T) {
	_, doc := prepareBytes(t, classic(spec{}), options())
	for i := range 39 {
		o := options()
		o.TimeStamp = i%2 == 0
		_, doc = prepareBytes(t, doc, o)
	}
	sigs, all := differences(t, doc)
	for i, c := range all {
		want := ChangesFormFilling
		switch i {
		case 38: // the last one but one is followed by a time-stamp
			want = ChangesLTA
		case 39:
			want = ChangesNone
		}
		if !c.Permitted || c.Level != want {
			t.Errorf("%d of %d: %+v, want %v", i, len(sigs), c, want)
		}
	}
}

// TestDifferencesOfManySigners: 64 people at B-LTA, with signatures of the usual size, within the usual budget. Before
// signatures were kept apart from other objects, 20 took all of it.
func TestDifferencesOfManySigners(t *testing.T) {
	doc := classic(spec{})
	for i := range 64 {
		o := options()
		o.Reserve = 15 << 10
		_, doc = prepareBytes(t, doc, o)
		up, err := AddDSS(bytes.NewReader(doc), int64(len(doc)), someMaterial(byte(i)), Budget{})
		if err != nil {
			t.Fatal(err)
		}
		o.TimeStamp = true
		_, doc = prepareBytes(t, slices.Concat(doc, up), o)
	}
	start := time.Now()
	sigs, all := differences(t, doc)
	for i, c := range all {
		if !c.Permitted {
			t.Errorf("%d of %d: %+v", i, len(sigs), c)
		}
	}
	if len(all) != 128 {
		t.Errorf("%d signatures", len(all))
	}
	t.Logf("%d kB, %d signatures: %v", len(doc)>>10, len(all), time.Since(start))
}

// TestAKnownFieldIsHeldToItsSignature: a field that was found good in one revision is looked at again in the next when what it
// refers to is another there.
func TestAKnownFieldIsHeldToItsSignature(t *testing.T) {
	p, doc := prepareBytes(t, classic(spec{}), options())
	end := int64(len(doc))
	_, doc = prepareBytes(t, doc, options())
	got, err := Differences(bytes.NewReader(doc), int64(len(doc)), end, Budget{})
	if err != nil || !got.Permitted {
		t.Fatal(got, err)
	}
	d, err := open(bytes.NewReader(doc), int64(len(doc)), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := d.catalog()
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.form(cat)
	if err != nil || len(f.sigs) != 2 {
		t.Fatal(f, err)
	}
	field, value := f.sigs[1].dict.o.num, f.sigs[1].value.o.num
	for name, change := range map[string]map[int]string{
		"the signature is no signature any more": {value: "<</Type/Sig/M(x)>>"},
		"the signature is gone":                  {value: "null"},
		"the field is for text":                  {field: "<</FT/Tx/T(other)/V(paid)>>"},
		"the field has the name of the first":    {field: "<</FT/Sig/T(" + p.FieldName + ")/V " + itoa(int64(value)) + " 0 R>>"},
	} {
		changed := revise(t, doc, change)
		if got, err := Differences(bytes.NewReader(changed), int64(len(changed)), end, Budget{}); err != nil || got.Permitted {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestDifferencesHaveLimits: what could take long ends as unknown, not permitted.
func TestDifferencesHaveLimits(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(sound))
	many := make(map[int]string)
	for i := range maxChanged + 1 {
		many[100+i] = "0"
	}
	// Each of 900 revisions has all the changes of those before.
	d, err := open(bytes.NewReader(sound), end, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	chain := &file{size: 30, prev: d.secs[0].off}
	chain.Write(sound)
	chain.begin()
	for i := range 900 {
		for j := range 20 {
			chain.put(item{100 + 20*i + j, "0"})
		}
		chain.table("/Info 13 0 R")
	}
	long := "[" + strings.Repeat("4 0 R ", 100_000) + "]"
	uses := revise(t, sound, map[int]string{4: "0", 50: long, 51: long, 52: long})
	for name, c := range map[string]struct {
		doc []byte
		b   Budget
	}{
		"changes":   {revise(t, sound, many), Budget{}},
		"revisions": {chain.Bytes(), Budget{Steps: 1 << 18}},
		"uses":      {uses, Budget{Steps: 1 << 22}},
		"bytes":     {uses, Budget{Bytes: 1 << 20}},
	} {
		start := time.Now()
		got, err := Differences(bytes.NewReader(c.doc), int64(len(c.doc)), end, c.b)
		if err != nil || got.Level != ChangesUnknown || got.Permitted || len(got.Reasons) != 1 {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		t.Logf("%s: %d kB, %v %v", name, len(c.doc)>>10, time.Since(start), got.Reasons)
	}
	// The same with the usual budget is told to the end: nobody refers to those objects.
	got, err := Differences(bytes.NewReader(chain.Bytes()), int64(chain.Len()), end, Budget{})
	if err != nil || !got.Permitted || got.Level != ChangesNone {
		t.Errorf("%+v %v", got, err)
	}
}

// TestDifferencesOfWhatIsNotThere: no answer is never "none".
func TestDifferencesOfWhatIsNotThere(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	all, err := AllDifferences(bytes.NewReader(sound), int64(len(sound)), []int64{0, 5, int64(len(sound)), int64(len(sound)) - 1, -7, 1 << 50, int64(len(sound))}, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		good := i == 2 || i == 6 || i == 3 // one byte less is the same revision, without its last end of line
		if (c.Level == ChangesNone) != good || c.Permitted != good || (c.Level == ChangesUnknown) == good || good != (len(c.Reasons) == 0) {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if c, err := Differences(bytes.NewReader(sound), int64(len(sound))+1, 5, Budget{}); err == nil || c.Level != ChangesUnknown || c.Permitted {
		t.Errorf("%+v %v", c, err)
	}
	for l, want := range []string{"unknown", "none", "lta_updates", "form_filling", "annotations", "other", "other"} {
		if ChangeLevel(l).String() != want {
			t.Error(l, want)
		}
	}
}
