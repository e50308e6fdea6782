package pdf

import (
	"errors"
	"io"
	"slices"
	"strconv"
)

// ChangeLevel says how far a document went from a signed revision. The levels are in order of what they do to it, but for
// the zero: nothing is known, which is never "no change".
type ChangeLevel int

// The levels of change (after what DocMDP distinguishes, ISO 32000-2, table 257).
const (
	ChangesUnknown     ChangeLevel = iota // the comparison could not be made to its end
	ChangesNone                           // the same objects, whatever the bytes behind
	ChangesLTA                            // validation data, document time-stamps, metadata
	ChangesFormFilling                    // more signatures, values of fields
	ChangesAnnotations                    // more annotations
	ChangesOther                          // anything else
)

// String implements fmt.Stringer.
func (l ChangeLevel) String() string {
	return [...]string{"unknown", "none", "lta_updates", "form_filling", "annotations", "other"}[max(0, min(5, l))]
}

// Changes is what later revisions did to a signed one.
type Changes struct {
	Level ChangeLevel
	// Permitted: each change is on the list of what may change, and no signature of the signed revision or of an earlier
	// one (DocMDP, FieldMDP, the lock of its field) forbids it. Never true for ChangesUnknown and ChangesOther.
	Permitted bool
	// Reasons say why not: a code and, where there is one, the number of an object; never content of the document.
	Reasons []string
}

// Differences compares every later revision, one by one, with the revision that ends at revisionEnd (Signature.RevisionEnd).
// An error means that the document cannot be opened or read from its disk; Level is ChangesUnknown then.
func Differences(r io.ReaderAt, size int64, revisionEnd int64, b Budget) (Changes, error) {
	all, err := AllDifferences(r, size, []int64{revisionEnd}, b)
	if err != nil {
		return Changes{}, err
	}
	return all[0], nil
}

// AllDifferences is Differences for several signed revisions, with one reading of the document and one budget for all. The
// answers are in the order of ends, and as many. One that could not be given, because the end is no revision of this
// document, an object cannot be read, or the budget is spent, has ChangesUnknown and the code as its reason.
func AllDifferences(r io.ReaderAt, size int64, ends []int64, b Budget) ([]Changes, error) {
	d, err := open(r, size, b)
	if err != nil {
		return nil, err
	}
	f := &differ{d: d, der: make(map[place]bool)}
	out, revs := make([]Changes, len(ends)), make([]int, len(ends))
	for n, end := range ends {
		if revs[n], err = f.revision(end); err != nil {
			if out[n], err = unknown(err); err != nil {
				return nil, err
			}
		}
		f.last = max(f.last, revs[n])
	}
	var scanned error
	if f.last > 0 {
		d.s.bytes += size // the scan passes over the file once at most; like the pass that hashes, that is no structure
		if scanned = f.scan(); scanned == nil {
			scanned = f.gaps(ends[slices.Index(revs, f.last)])
		}
	}
	for n, end := range ends {
		if first := slices.Index(ends, end); first < n {
			out[n] = out[first]
			continue
		}
		var c Changes
		switch {
		case revs[n] < 0:
			continue
		case revs[n] > 0 && scanned != nil:
			c, err = unknown(scanned)
		default:
			if c, err = f.against(revs[n], end); err != nil {
				c, err = unknown(err)
			}
		}
		if err != nil {
			return nil, err
		}
		out[n] = c
	}
	return out, nil
}

// unknown makes an answer of an error about the document; any other stays an error.
func unknown(err error) (Changes, error) {
	var e *Error
	if !errors.As(err, &e) {
		return Changes{}, err
	}
	return Changes{Reasons: []string{e.Code}}, nil
}

// differ compares revisions of one document.
type differ struct {
	d    *doc
	last int // the newest section of the oldest signed revision that is asked for
	// used tells where references to objects that change stand, see scan.
	used map[int]*usage
	// extent is, by section, the end of the last object that it introduces.
	extent []int64
	opaque int            // an object that cannot be read; 0 = none
	pieces []extent       // of revisions behind the oldest signed one, while it scans
	hidden int64          // where an object is that no table has; 0 = nowhere
	der    map[place]bool // streams of validation data that were looked at
}

func (f *differ) at(i int) *doc {
	return &doc{s: f.d.s, secs: f.d.secs[i:], mem: f.d.mem}
}

// revision is the index of the newest section of the revision that ends at end; -1 with an error.
func (f *differ) revision(end int64) (int, error) {
	if end < 1 || end > f.d.s.size {
		return -1, errf(CodeNotARevision, "no revision ends at %d", end)
	}
	i, err := (&history{doc: f.d}).revision(end)
	if err == nil && i < 0 {
		err = errf(CodeNotARevision, "no revision ends at %d", end)
	}
	if err != nil {
		return -1, err
	}
	return i, nil
}

// maxReasons is how many reasons are kept of one comparison.
const maxReasons = 16

// comparison holds one signed revision against all later ones.
type comparison struct {
	f      *differ
	old    *doc
	i      int // newest section of the signed revision
	end    int64
	rights rights
	form   *formMap // of the signed revision, when it was asked for
	known  map[int]knownField
	// changed are the objects that a later revision defines otherwise, by number.
	changed map[int]*redefined
	// overridden are those of them that exist in the signed revision, with another value.
	overridden map[int]bool
	// held are the object streams of later revisions with objects that are in changed, and what their lengths are in.
	held map[int]bool

	level     ChangeLevel
	forbidden bool
	reasons   []string
}

// redefined is an object as the signed revision has it and as a later one has it; entryNone stands for absent.
type redefined struct {
	was, is entry
	same    bool // the values are equal
}

// against gives the changes since the revision with section i.
func (f *differ) against(i int, end int64) (Changes, error) {
	c := &comparison{f: f, old: f.at(i), i: i, end: end, level: ChangesNone, changed: make(map[int]*redefined), overridden: make(map[int]bool),
		known: make(map[int]knownField), held: make(map[int]bool)}
	if err := c.whole(); err != nil {
		return Changes{}, err
	}
	if i > 0 {
		if err := c.readRights(); err != nil {
			return Changes{}, err
		}
	}
	for k := i - 1; k >= 0 && c.level < ChangesOther; k-- {
		touched, err := c.take(k)
		if err != nil {
			return Changes{}, err
		}
		if err := c.judge(k, touched); err != nil {
			return Changes{}, err
		}
	}
	if i > 0 && f.opaque > 0 && c.level < ChangesOther {
		// What it refers to is not known, so neither is whether something changed by it.
		return Changes{Reasons: []string{reasonUnreadableObject + " " + strconv.Itoa(f.opaque)}}, nil
	}
	allowed := c.rights.allowed()
	if c.level > allowed && c.level < ChangesOther {
		c.refuse(reasonNotAllowedByCertification, 0)
	}
	return Changes{Level: c.level, Permitted: !c.forbidden && c.level <= allowed, Reasons: c.reasons}, nil
}

// change notes an allowed change of a level.
func (c *comparison) change(l ChangeLevel) { c.level = max(c.level, l) }

// refuse notes a change that is of a known kind and forbidden.
func (c *comparison) refuse(code string, num int) {
	c.forbidden = true
	if num > 0 {
		code += " " + strconv.Itoa(num)
	}
	if len(c.reasons) < maxReasons && !slices.Contains(c.reasons, code) {
		c.reasons = append(c.reasons, code)
	}
}

// other notes a change that is not on the list.
func (c *comparison) other(code string, num int) {
	c.change(ChangesOther)
	c.refuse(code, num)
}

// whole asks whether the signed revision is whole in the signed bytes, and whether behind the last revision is nothing.
//
// A section, an object or a stream that begins in the signed bytes can go on behind them, or stand there altogether: then
// the signed revision means something else than what was signed.
func (c *comparison) whole() error {
	s := c.f.d.s
	size, err := c.f.d.secs[c.i].trailer.direct("Size")
	if err != nil {
		return err
	}
	for j := c.i; j < len(c.f.d.secs); j++ {
		sec := c.f.d.secs[j]
		for _, x := range []*section{sec, sec.hybrid} {
			if x == nil {
				continue
			}
			if x.end() > c.end {
				c.other(reasonSectionNotSigned, 0)
			}
			// What is at or above /Size does not exist (7.5.5); a later revision would make it appear.
			if int64(x.highest) >= size.num() {
				c.other(reasonObjectAboveSize, x.highest)
			}
		}
		if j < len(c.f.extent) && c.f.extent[j] > c.end {
			c.other(reasonObjectNotSigned, 0)
		}
	}
	if c.f.hidden > c.end {
		c.other(reasonObjectInNoTable, 0)
	}
	if _, err := s.tail(s.size, true); err != nil {
		if !soft(err) {
			return err
		}
		c.other(reasonBytesBehindEOF, 0)
	}
	if c.i > 0 {
		return nil
	}
	return c.behind()
}

// behind wants nothing between the end of the newest revision and of the file, but the end of its line where that was not
// signed: what nobody signed and no revision holds is not for us to overlook, not even white space.
func (c *comparison) behind() error {
	const eol = 2
	b, err := c.f.d.s.at(c.end-1, int(min(c.f.d.s.size-c.end, eol+1))+1)
	if err != nil {
		return err
	}
	rest := string(b[1:])
	if rest != "" && (b[0] == '\r' || b[0] == '\n' || rest != "\n" && rest != "\r" && rest != "\r\n") {
		c.other(reasonBytesBehindEOF, 0)
	}
	return nil
}

// end is the place behind the last byte that the section was read from.
func (sec *section) end() int64 {
	if sec.stream != nil {
		return sec.stream.o.data + sec.stream.n
	}
	return sec.trailer.o.off + int64(len(sec.trailer.o.buf))
}

// take brings changed from the revision k+1 to k, and gives the numbers that it defines anew.
func (c *comparison) take(k int) ([]int, error) {
	now := c.f.at(k)
	var touched, streams []int
	err := c.f.d.s.rowsAt(c.f.d.secs[k], func(num int, _ entry) error {
		if c.f.used[num] == nil {
			return nil // the same in all revisions, see scan
		}
		was, err := c.old.find(num)
		if err != nil {
			return err
		}
		is, err := now.find(num)
		if err != nil {
			return err
		}
		was, is = was.there(), is.there()
		r := c.changed[num]
		if c.held[num] && (r == nil || r.is != is) {
			c.other(reasonObjectStreamOverridden, num)
		}
		if was == is {
			delete(c.changed, num)
			delete(c.overridden, num)
		} else if r == nil || r.is != is {
			c.changed[num] = &redefined{was: was, is: is}
			touched = append(touched, num)
			if is.kind == entryStream {
				streams = append(streams, int(is.off))
			}
		}
		return nil
	})
	for _, num := range streams {
		if err == nil {
			err = c.hold(now, num)
		}
	}
	slices.Sort(touched)
	return slices.Compact(touched), err
}

// hold notes an object stream that has changed objects: written anew, it would bring others, and their rows would not. Nor may
// it be read otherwise because of an object that it refers to. A length alone may be one, as some programs have it.
func (c *comparison) hold(now *doc, num int) error {
	if c.held[num] {
		return nil
	}
	c.held[num] = true
	e, err := now.find(num)
	if err != nil {
		return err
	}
	o, err := now.load(num, e.generation())
	if err != nil {
		return err
	}
	for _, key := range []string{"Type", "N", "First", "Filter", "DecodeParms", "Length"} {
		v, err := o.val().direct(key)
		if err != nil {
			return err
		}
		if key == "Length" && v.kind() == kRef {
			c.held[int(v.n.num)] = true
			length, err := now.load(int(v.n.num), int(v.n.gen))
			if err != nil {
				return err
			}
			v = length.val()
		}
		if !plain(v, c.f.d.s.max.Depth) {
			c.other(reasonObjectStreamOverridden, num)
		}
	}
	return nil
}

// there makes one of all the ways to say that there is no object.
func (e entry) there() entry {
	if e.kind < entryOffset {
		return entry{}
	}
	return e
}

// generation is the one that a reference must have.
func (e entry) generation() int {
	if e.kind == entryOffset {
		return e.gen
	}
	return 0
}
