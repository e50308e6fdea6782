package pdftest

import (
	"cmp"
	"fmt"
	"slices"
)

// Attack is a document in which something is not as it was signed.
type Attack struct {
	Name string // of its file
	Row  string // of the table of attacks, ades §10.4
	How  string // how it was made of the sound document
	PDF  []byte
	// Field is the signature field that must not pass.
	Field string
	// What refuses it, one of the three: the code with which the document is not opened, a problem of one of its
	// signatures (pdf.Signature.Problems), or a reason of the comparison with later revisions (pdf.Changes.Reasons).
	Refused, Problem, Reason string
}

// plan makes an attack.
type plan struct {
	name, how                string
	refused, problem, reason string
	field                    string // Approval when empty
	o                        options
	then                     func(f *file) // after signing
}

// Sound is the document of which the attacks are made.
func (m Maker) Sound() ([]byte, error) {
	f := signed(m, options{})
	return f.buf, f.err
}

// Certified is the sound document with a certification signature of level p, 1 to 3.
func (m Maker) Certified(p int) ([]byte, error) {
	f := signed(m, certified(fmt.Sprint(p)))
	return f.buf, f.err
}

// Attacks makes all of them.
func (m Maker) Attacks() ([]Attack, error) {
	var out []Attack
	for _, row := range []struct {
		name  string
		plans []plan
	}{
		{"USF", universal()},
		{"ISA", slices.Concat(appended(), overridden())},
		{"SWA, SIWA", wrapped()},
		{"coverage tail", tails()},
		{"overlapping, copied ranges", copied()},
		{"dictionary spoofing", spoofed()},
		{"shadow", slices.Concat(hidden(), replaced(), hiddenAndReplaced())},
		{"certification", certification()},
		{"field removal", removedFields()},
		{"recycled objects", recycled()},
		{"hybrid, object streams", views()},
		{"appearance clobber", clobbered()},
		{"validation data", validationData()},
	} {
		for _, p := range row.plans {
			f := signed(m, p.o)
			if p.then != nil {
				p.then(f)
			}
			if f.err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, f.err)
			}
			out = append(out, Attack{Name: p.name, Row: row.name, How: p.how, PDF: f.buf, Field: cmp.Or(p.field, "Approval"),
				Refused: p.refused, Problem: p.problem, Reason: p.reason})
		}
	}
	return out, nil
}

// update is an attack that appends a revision of objects.
func update(name, how, reason string, then func(f *file)) plan {
	return plan{name: name, how: how, reason: reason, then: func(f *file) {
		then(f)
		f.xref("")
	}}
}
