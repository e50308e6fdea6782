package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tekend/strictjson"
)

type message struct {
	Code  string            `json:"code"`
	Parts []part            `json:"parts,omitempty"`
	Free  map[string]string `json:"free,omitempty"`
}

type part struct {
	N int `json:"n"`
}

func TestRefusals(t *testing.T) {
	cases := map[string]struct{ in, pointer, reason string }{
		"duplicate":             {`{"code":"a","code":"b"}`, "/code", "twice"},
		"case variant of both":  {`{"code":"a","CODE":"b"}`, "/CODE", "twice"},
		"case variant alone":    {`{"Code":"a"}`, "/Code", `"code"`},
		"folded by Unicode":     {`{"code":"a","partſ":[]}`, "/partſ", `"parts"`},
		"unknown":               {`{"codes":"a"}`, "/codes", "unknown member"},
		"duplicate deep":        {`{"code":"a","parts":[{"n":1},{"n":1,"n":2}]}`, "/parts/1/n", "twice"},
		"duplicate in map":      {`{"code":"a","free":{"x":"1","X":"2"}}`, "/free/X", "twice"},
		"trailing value":        {`{"code":"a"} {}`, "", "after"},
		"trailing garbage":      {`{"code":"a"}x`, "", "after"},
		"not closed":            {`{"code":"a"`, "", "well-formed"},
		"empty":                 {``, "", "well-formed"},
		"wrong type":            {`{"code":7}`, "/code", "number"},
		"half a surrogate":      {`{"code":"\ud800"}`, "/code", "Unicode"},
		"not UTF-8":             {"{\"code\":\"\xff\"}", "", "UTF-8"},
		"too deep":              {strings.Repeat("[", 40) + strings.Repeat("]", 40), "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0", "deeper"},
		"too long":              {`{"code":"` + strings.Repeat("a", 300) + `"}`, "", "longer than 256"},
		"pointer escapes names": {`{"a/b~c":1}`, "/a~1b~0c", "unknown"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var m message
			err := strictjson.Decode([]byte(c.in), 256, &m)
			e, ok := errors.AsType[*strictjson.Error](err)
			if !ok {
				t.Fatalf("got %v, want a refusal", err)
			}
			if e.Pointer != c.pointer || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %q %q, want %q …%q…", e.Pointer, e.Reason, c.pointer, c.reason)
			}
		})
	}
}

func TestAcceptsWhatItKnows(t *testing.T) {
	var m message
	in := ` {"code":"é\n","parts":[{"n":1},{"n":2}],"free":{"Any":"x"}} `
	if err := strictjson.Decode([]byte(in), 256, &m); err != nil {
		t.Fatal(err)
	}
	if m.Code != "é\n" || len(m.Parts) != 2 || m.Parts[1].N != 2 || m.Free["Any"] != "x" {
		t.Errorf("read %+v", m)
	}
}

func TestLoosePassesUnknownButNotVariants(t *testing.T) {
	var m message
	if err := strictjson.DecodeLoose([]byte(`{"code":"a","more":{"deep":[1]}}`), 256, &m); err != nil || m.Code != "a" {
		t.Errorf("%v %+v", err, m)
	}
	if err := strictjson.DecodeLoose([]byte(`{"code":"a","Code":"b"}`), 256, &m); err == nil {
		t.Error("a case variant passed")
	}
	if err := strictjson.DecodeLoose([]byte("{\"parts\":[],\"partſ\":[]}"), 256, &m); err == nil {
		t.Error("a variant by Unicode folding passed")
	}
	if err := strictjson.DecodeLoose([]byte(`{"CODE":"b"}`), 256, &m); err == nil {
		t.Error("a lone case variant passed")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"code":"a","parts":[{"n":1}]}`)
	f.Add(`[[[[`)
	f.Add(`{"code":"\ud800\udc00"}`)
	f.Fuzz(func(t *testing.T, in string) {
		var m message
		if strictjson.Decode([]byte(in), 1<<16, &m) != nil {
			return
		}
		var plain message
		if err := json.Unmarshal([]byte(in), &plain); err != nil || !reflect.DeepEqual(m, plain) {
			t.Errorf("what passes here must read the same everywhere: %q: %v", in, err)
		}
	})
}
