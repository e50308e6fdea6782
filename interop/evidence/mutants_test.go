//go:build interop

package evidence

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"tekend/consent"
	"tekend/hsm"
	"tekend/sam"
)

// A bundle, or a document inside it, as any JSON: objects, arrays, strings, numbers.
type tree = any

func parse(b []byte) (v tree, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// canonical writes JSON as RFC 8785 does, for what stands in bundles.
func canonical(v tree) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// places lists every member and element, by JSON pointer without its first slash.
func places(v tree, at string) []string {
	var all []string
	add := func(name string, v tree) {
		here := strings.TrimPrefix(at+"/"+name, "/")
		all = append(all, here)
		all = append(all, places(v, here)...)
	}
	switch v := v.(type) {
	case map[string]tree:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			add(name, v[name])
		}
	case []tree:
		for i, e := range v {
			add(strconv.Itoa(i), e)
		}
	}
	return all
}

func find(v tree, at string) (tree, bool) {
	for _, name := range strings.Split(at, "/") {
		switch in := v.(type) {
		case map[string]tree:
			if v = in[name]; v == nil {
				return nil, false
			}
		case []tree:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// gone marks what change takes away.
var gone = new(int)

// change gives v with what stands at a place changed; v stays as it is.
func change(v tree, at string, how func(tree) tree) tree {
	name, rest, deeper := strings.Cut(at, "/")
	next := func(e tree) tree {
		if deeper {
			return change(e, rest, how)
		}
		return how(e)
	}
	switch in := v.(type) {
	case map[string]tree:
		out := maps.Clone(in)
		if out[name] = next(in[name]); out[name] == tree(gone) {
			delete(out, name)
		}
		return out
	case []tree:
		i, _ := strconv.Atoi(name)
		out := slices.Clone(in)
		if out[i] = next(in[i]); out[i] == tree(gone) {
			out = slices.Delete(out, i, i+1)
		}
		return out
	}
	return v
}

// ways are the changes of one place by themselves. A way that changes nothing is no mutant.
var ways = map[string]func(tree) tree{
	"removed": func(tree) tree { return gone },
	"changed": func(v tree) tree {
		switch v := v.(type) {
		case string:
			return otherText(v)
		case json.Number:
			return json.Number(v + "1")
		case bool:
			return !v
		}
		return v
	},
	"cut": func(v tree) tree {
		switch v := v.(type) {
		case string:
			return v[:max(0, len(v)-4)]
		case []tree:
			return v[:max(0, len(v)-1)]
		}
		return v
	},
	"emptied": func(v tree) tree {
		switch v.(type) {
		case string:
			return ""
		case []tree:
			return []tree{}
		case map[string]tree:
			return map[string]tree{}
		}
		return json.Number("0")
	},
	"doubled": func(v tree) tree {
		switch v := v.(type) {
		case string:
			return v + v
		case []tree:
			if len(v) > 0 {
				return append(slices.Clone(v), v[len(v)-1])
			}
		}
		return v
	},
	"retyped": func(v tree) tree {
		switch v := v.(type) {
		case string:
			return []tree{v}
		case []tree:
			return map[string]tree{"0": v}
		case map[string]tree:
			return []tree{v}
		}
		return fmt.Sprint(v)
	},
}

// otherText changes one bit of what a base64 text stands for, in its middle, or
// one letter of another text.
func otherText(s string) string {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) > 8 {
		b[len(b)/2] ^= 4
		return base64.StdEncoding.EncodeToString(b)
	}
	if s == "" {
		return "x"
	}
	r := []rune(s)
	r[len(r)/2] = map[bool]rune{true: 'y', false: 'x'}[r[len(r)/2] == 'x']
	return string(r)
}

// mutant is a changed bundle. class is what part was changed.
type mutant struct {
	class, name string
	out         []byte
}

// maker collects the mutants of one bundle.
type maker struct {
	w     *world
	kind  hsm.KeyKind
	one   tree
	plain []byte
	all   map[string]mutant
	again int
}

// add takes a mutant and stamps it anew, unless the change is in its stamps.
func (m *maker) add(class, name string, v tree) {
	if bytes.Equal(canonical(v), m.plain) {
		return // nothing was changed
	}
	if o, ok := v.(map[string]tree); ok && class != "time_stamps" {
		bare := maps.Clone(o)
		delete(bare, "time_stamps")
		o = maps.Clone(o)
		o["time_stamps"] = []tree{base64.StdEncoding.EncodeToString(m.w.stampBytes(canonical(bare)))}
		v = o
		m.again++
	}
	m.raw(class, name, canonical(v))
}

func (m *maker) raw(class, name string, out []byte) {
	if !bytes.Equal(out, m.plain) {
		m.all[class+" "+name] = mutant{class, fmt.Sprintf("%s %s %s", m.kind, class, name), out}
	}
}

// mutants makes them from bundles of two people and has both verifiers judge.
func (j *judges) mutants(w *world, kind hsm.KeyKind, people []sam.Credential) int {
	j.t.Helper()
	one := w.evidence(w.sign(people[0], "one", 2, 0)) // with the provider's signature
	if *golden != "" && kind == hsm.P256 {
		j.keepGolden(w, one)
	}
	m := &maker{w: w, kind: kind, plain: got(one.Encode())(j.t), all: map[string]mutant{}}
	m.one = got(parse(m.plain))(j.t)
	m.json()
	m.swapped(w.evidence(w.sign(people[0], "same-person", 2, 4)), "same person")
	m.swapped(w.evidence(w.sign(people[1], "other-person", 2, 8)), "other person")
	m.inside(one)
	m.bytes(one)
	m.spelling()
	var files []string
	for i, name := range slices.Sorted(maps.Keys(m.all)) {
		files = append(files, j.keep(fmt.Sprintf("%04d %s", i, strings.ReplaceAll(m.all[name].name, "/", "|")), m.all[name].out))
		j.classes[m.all[name].class]++
	}
	j.restamped += m.again
	return j.all(w, files, false)
}

func (j *judges) table() []string {
	var all []string
	for _, c := range slices.Sorted(maps.Keys(j.classes)) {
		all = append(all, fmt.Sprintf("  %4d %s", j.classes[c], c))
	}
	return all
}

// json changes every member and element of the document in every way.
func (m *maker) json() {
	for _, at := range places(m.one, "") {
		for way, how := range ways {
			class := "members"
			if strings.HasPrefix(at, "time_stamps") {
				class = "time_stamps"
			}
			m.add(class, at+" "+way, change(m.one, at, how))
		}
	}
	extra := maps.Clone(m.one.(map[string]tree))
	extra["w"] = "tekend-evidence/1"
	m.add("members", "unknown", extra)
}

// swapped puts each part of another bundle in the place of the same part.
func (m *maker) swapped(b *consent.Bundle, whose string) {
	other, err := parse(got(b.Encode())(m.w.t))
	must(m.w.t, err)
	for _, at := range places(m.one, "") {
		if theirs, ok := find(other, at); ok {
			class := "swapped with a bundle of the " + whose
			v := change(m.one, at, func(tree) tree { return theirs })
			if bytes.Equal(canonical(v), m.plain) {
				continue // the same in both
			}
			if strings.HasPrefix(at, "time_stamps") {
				m.raw(class, at, canonical(v))
				continue
			}
			m.add(class, at, v)
		}
	}
}

// inside changes every member of the documents inside the document: manifest,
// both JWS, the key sets. A JWS keeps its signature.
func (m *maker) inside(b *consent.Bundle) {
	blob := func(at string, doc []byte) {
		m.inner(at, doc, func(out []byte) string { return base64.StdEncoding.EncodeToString(out) })
	}
	blob("manifest", b.Manifest)
	blob("client_keys", b.ClientKeys)
	blob("issuer_keys/body", b.IssuerKeys.Body)
	blob("order/key_set", b.Order.KeySet)
	for at, jws := range map[string]string{"request": b.Request, "token": b.Token, "order/jws": b.Order.JWS} {
		parts := strings.Split(jws, ".")
		for i, what := range []string{"header", "payload"} {
			doc, err := base64.RawURLEncoding.DecodeString(parts[i])
			must(m.w.t, err)
			m.inner(at+" "+what, doc, func(out []byte) string {
				changed := slices.Clone(parts)
				changed[i] = base64.RawURLEncoding.EncodeToString(out)
				return strings.Join(changed, ".")
			})
		}
	}
}

func (m *maker) inner(at string, doc []byte, wrap func([]byte) string) {
	v, err := parse(doc)
	must(m.w.t, err)
	place, _, _ := strings.Cut(at, " ")
	for _, in := range places(v, "") {
		for _, way := range []string{"removed", "changed"} {
			out := canonical(change(v, in, ways[way]))
			if bytes.Equal(out, canonical(v)) {
				continue
			}
			m.add("inside "+at, in+" "+way, change(m.one, place, func(tree) tree { return wrap(out) }))
		}
	}
}

// bytes changes single bytes of what is binary, spread over all of it.
func (m *maker) bytes(b *consent.Bundle) {
	flip := func(class, at string, data []byte, step int) {
		for i := 0; i < len(data); i += step {
			changed := slices.Clone(data)
			changed[i] ^= 1 << (i % 8)
			v := change(m.one, at, func(tree) tree { return base64.StdEncoding.EncodeToString(changed) })
			m.add(class, fmt.Sprintf("%s byte %d", at, i), v)
		}
	}
	flip("bytes of a certificate", "certificates/0", b.Certificates[0], 29)
	flip("bytes of a certificate", "certificates/1", b.Certificates[1], 31)
	flip("bytes of signed attributes", "positions/0/attributes", b.Positions[0].Attributes, 9)
	flip("bytes of a value", "positions/1/value", b.Positions[1].Value, 7)
	flip("bytes of a digest", "positions/1/digest", b.Positions[1].Digest, 7)
	flip("bytes of a row", "audit/rows/1/row", b.Audit.Rows[1].Row, 11)
	flip("bytes of a row", "audit/rows/2/row", b.Audit.Rows[2].Row, 11)
	flip("bytes of a path", "audit/rows/3/hashes/0", b.Audit.Rows[3].Hashes[0], 7)
	flip("time_stamps", "time_stamps/0", b.TimeStamps[0], 17)
	for i := 0; i < len(b.Audit.Checkpoint); i += 5 {
		c := []byte(b.Audit.Checkpoint)
		if c[i] ^= 1; c[i]^1 >= 0x80 {
			continue // not UTF-8 any more
		}
		m.add("letters of the checkpoint", strconv.Itoa(i), change(m.one, "audit/checkpoint", func(tree) tree { return string(c) }))
	}
	lines := strings.SplitAfter(b.Audit.Checkpoint, "\n")
	for i := range lines[:len(lines)-1] {
		m.add("lines of the checkpoint", fmt.Sprintf("%d removed", i), change(m.one, "audit/checkpoint", func(tree) tree {
			return strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
		}))
		m.add("lines of the checkpoint", fmt.Sprintf("%d doubled", i), change(m.one, "audit/checkpoint", func(tree) tree {
			return strings.Join(slices.Insert(slices.Clone(lines), i, lines[i]), "")
		}))
	}
	if m.kind == hsm.P256 {
		m.add("twin", "the other value that verifies (r, n-s)", change(m.one, "positions/0/value", func(tree) tree {
			return base64.StdEncoding.EncodeToString(twin(b.Positions[0].Value))
		}))
	}
}

// twin gives the other ECDSA value that the same key and digest have.
func twin(value []byte) []byte {
	var r, s big.Int
	in := cryptobyte.String(value)
	var seq cryptobyte.String
	in.ReadASN1(&seq, asn1.SEQUENCE)
	seq.ReadASN1Integer(&r)
	seq.ReadASN1Integer(&s)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(&r)
		b.AddASN1BigInt(s.Sub(elliptic.P256().Params().N, &s))
	})
	return b.BytesOrPanic()
}

// spelling writes the same content in other bytes.
func (m *maker) spelling() {
	text := string(m.plain)
	for name, out := range map[string]string{
		"space at the start": " " + text, "line end": text + "\n", "space inside": strings.Replace(text, ",", ", ", 1),
		"member twice":     strings.Replace(text, `{"audit"`, `{"v":"tekend-evidence/1","audit"`, 1),
		"other case":       strings.Replace(text, `"manifest"`, `"Manifest"`, 1),
		"escaped slash":    strings.Replace(text, "/", `\/`, 1),
		"escaped letter":   strings.Replace(text, `"tekend-evidence/1"`, `"\u0074ekend-evidence/1"`, 1),
		"second document":  text + text,
		"byte order mark":  "\ufeff" + text,
		"end cut off":      text[:len(text)-1],
		"base64 of 3 bits": strings.Replace(text, `=="`, `=" `, 1),
		"nothing":          "",
		"number as real":   strings.Replace(text, `"seq":`, `"seq":0`, 1),
	} {
		m.raw("spelling", name, []byte(out))
	}
}
