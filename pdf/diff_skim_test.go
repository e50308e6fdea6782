package pdf

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// skimObject holds the skimmer against the parser: what one passes over, the other reads, with the same end, and with
// nothing in it that is wanted.
func skimObject(t *testing.T, buf []byte, want []int) (passed bool) {
	t.Helper()
	s := newSource(bytes.NewReader(buf), int64(len(buf)), Budget{})
	o, parseErr := parseObject(s, buf, 0)
	num, gen := 0, 0
	if o != nil {
		num, gen = o.num, o.gen
	}
	k := skimmer{want: new(numbers), depth: min(64, s.max.Depth)}
	for _, n := range want {
		k.want.add(n)
	}
	k.start(buf, 0)
	end, stream, ok := k.object(num, gen)
	if !ok {
		return false
	}
	if parseErr != nil {
		t.Fatalf("skimmed what the parser refuses: %v\n%q", parseErr, buf)
	}
	if stream != (o.data > 0) || stream && int64(end) != o.data || !stream && end != int(o.root.end) {
		t.Fatalf("skimmed to %d (stream %v), parsed to %d, data %d\n%q", end, stream, o.root.end, o.data, buf)
	}
	if before := s.max.Values - int(s.max.Steps-s.steps)/valueSteps; s.max.Values-before != k.values {
		t.Fatalf("%d values skimmed, %d parsed\n%q", k.values, s.max.Values-before, buf)
	}
	if _, err := o.val().direct("Type"); err != nil {
		t.Fatalf("skimmed: %v\n%q", err, buf)
	}
	n, err := o.val().direct("Length")
	if v, _ := n.int(); err != nil || stream && (n.kind() != kInt || v != k.length) {
		t.Fatalf("/Length %d: %v\n%q", k.length, err, buf)
	}
	f := &differ{d: &doc{s: s, secs: []*section{{}}}, used: make(map[int]*usage)}
	for _, n := range want {
		f.used[n] = new(usage)
	}
	if err := (&scanner{f: f}).refs(o.val(), num, false); err != nil {
		t.Fatal(err)
	}
	for n, u := range f.used {
		if len(u.uses) > 0 {
			t.Fatalf("skimmed over a reference to %d\n%q", n, buf)
		}
	}
	return true
}

// skimSeeds are objects as they are written, and as nobody should.
var skimSeeds = []string{
	"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 1 0 R>>>>>>\nendobj\n        ",
	"4 0 obj <</Length 12/Filter[/FlateDecode]>> stream\r\nxxxxxxxxxxxxendstream endobj",
	"4 0 obj <</Length 5 0 R>>\nstream\nxxxxxxxxxxxx", "4 0 obj <</Length 5/Length 6>>\nstream\nxxxxxxxxxxxx",
	"4 0 obj <</Length 5/L#65ngth 6>>\nstream\nxxxxxxxxxxxx", "4 0 obj <</Type/A/T#79pe/B>>\nendobj         ",
	"5 0 obj [1 2 0 R 3 0 R 7 0 6 0 R 1.5 -3 +4 .5 12345678901 0000000012 0 R] endobj         ",
	"6 0 obj (a\\)b(c)\\\\) endobj         ", "6 0 obj <48 65 6C6c6F> endobj          ", "6 0 obj 12 0 R endobj         ",
	"6 0 obj 12 %\n0 R endobj         ", "6 0 obj 12 0%\nR endobj         ", "6 0 obj[12 0R]endobj         ", "6 0 obj[12 70000 R]endobj         ",
	"7 0 obj <</A<</B[<</C 9 0 R>>]>>/D null/E true/F false/G(x)/H 2 0 R>> endobj         ", "7 0 obj null endobj         ",
	"7 0 obj null#20 endobj         ", "7 0 obj [null#20] endobj         ", "7 0 obj <</A#20B 1/C#20>> endobj         ", "7 0 obj <</A/B/C>> endobj          ",
	"7 0 obj ]>> endobj         ", "7 0 obj [>>] endobj         ", "7 0 obj <<]>> endobj         ", "7 0 obj <</A> endobj         ", "7 0 obj <</A 1 2>> endobj         ", "7 0 obj <</A>> endobj          ", "7 0 obj <</A[<</B>>]>> endobj          ",
}

func FuzzSkim(f *testing.F) {
	for _, s := range skimSeeds {
		f.Add([]byte(s), 2)
	}
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		if want < 0 || want > 1<<30 {
			want = 9
		}
		skimObject(t, b, []int{want, 12})
	})
}

// TestSkimSeeds: what is usual is skimmed, what is not is left to the parser.
func TestSkimSeeds(t *testing.T) {
	for i, yes := range map[int]bool{0: true, 1: true, 2: false, 3: false, 4: false, 5: false, 6: true, 7: true, 8: true, 9: true, 10: false, 14: true, 15: true, 16: false, 18: false} {
		if got := skimObject(t, []byte(skimSeeds[i]), []int{77}); got != yes {
			t.Errorf("%q: skimmed %v, want %v", skimSeeds[i], got, yes)
		}
	}
	for _, n := range []int{1, 2} {
		if skimObject(t, []byte(skimSeeds[0]), []int{n}) {
			t.Errorf("skimmed over a reference to %d", n)
		}
	}
	// However a reference to 12 is written.
	for _, ref := range []string{"12 0 R", "012 0 R", "12\n0\tR", "12 00000 R", "12\x000\x0cR", "12 %x\n0 R", "12 0 %R\nR", "0000000012 0 R", "12 65535 R"} {
		for _, place := range []string{"[%]", "<</A %>>", "<</A[1 2 %]>>", "<</A<</B<</C[[%]]>>>>>>", "[1 %]", "[0 %]", "[/N%]", "[(x)%]", "%"} {
			obj := "5 0 obj" + " " + string(bytes.Replace([]byte(place), []byte("%"), []byte(ref), 1)) + " endobj          "
			if skimObject(t, []byte(obj), []int{12}) {
				t.Errorf("%q: skimmed over", obj)
			}
		}
	}
}

// TestSkimFiles does that with the objects of real programs, and with damaged ones.
func TestSkimFiles(t *testing.T) {
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	all, passed := 0, 0
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := open(bytes.NewReader(file), int64(len(file)), Budget{})
		if e := (*Error)(nil); errors.As(err, &e) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, sec := range d.secs {
			err := d.s.rowsAt(sec, func(num int, e entry) error {
				if e.kind != entryOffset || e.off <= 0 || e.off >= int64(len(file)) {
					return nil
				}
				obj := bytes.Clone(file[e.off:min(len(file), int(e.off)+4096)])
				all++
				if skimObject(t, obj, nil) {
					passed++
				}
				for n := range 10 {
					damaged, at := bytes.Clone(obj), rnd.IntN(min(len(obj), 200))
					chars := "0 1R<>[]()/%#\\\n\x00+-.obj" + strconv.Itoa(n)
					damaged[at] = chars[rnd.IntN(len(chars))]
					skimObject(t, damaged, []int{rnd.IntN(100)})
				}
				return nil
			})
			if err != nil {
				t.Fatal(name, err)
			}
		}
	}
	if t.Logf("%d of %d objects skimmed", passed, all); passed*2 < all {
		t.Errorf("only %d of %d objects are skimmed", passed, all)
	}
}

// TestSkimValueInStream: in an object stream nothing behind a value makes the skimmer say no, so the value alone must.
func TestSkimValueInStream(t *testing.T) {
	const rest = " /a /b /c /d /e"
	for text, want := range map[string]bool{
		"5": true, "5.1": true, "/N": true, "null": true, "(x)": true, "5#23": false, "5#": false, "5 #": false, "5.1#": false, "-5#": false,
		"12345678901#": false, "true#": false, "null#20": false, "5 0 #": true, "/N#20": true, "(x)#": true, "[5#]": false,
	} {
		buf := []byte(text + rest)
		k := skimmer{want: new(numbers), depth: 64}
		k.start(buf, 0)
		got := k.value()
		s := newSource(bytes.NewReader(buf), int64(len(buf)), Budget{})
		if _, err := s.value(s.parser(buf, false)); got && err != nil {
			t.Errorf("%q: skimmed what the parser refuses: %v", text, err)
		}
		if got != want {
			t.Errorf("%q: skimmed %v, want %v", text, got, want)
		}
	}
}
