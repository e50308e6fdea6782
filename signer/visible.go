package signer

import (
	"context"
	"crypto"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tekend/pdf"
)

// Visible is what a person sees of one signature: text, black on whatever the page has there.
type Visible struct {
	Page int `json:"page"` // from 1; -1 is the last page
	// Box is x and y of the lower left corner, width and height, in the page's own units (1/72 inch), from its lower left
	// corner before the page is turned. Page and Box zero: the empty signature field that the document has takes it.
	Box [4]float64 `json:"box"`
	// Text is at most 500 letters, with {name} for the name in the person's certificate and {date} for the claimed time,
	// each at most twice; "": "Signed by {name}" and the date, in the language of the request.
	Text string `json:"text,omitempty"`
}

const (
	maxVisibleText = 500
	// Longer than nearly all names. The text must fit with it when it is ordered; for a longer one the letters get smaller,
	// since then the person has come, and it is not his fault.
	longName = "Maximiliaan-Alexander van der Westhuizen-Vandenberghe"
	tiniest  = 1 // font size, to which they shrink at most
)

var defaultText = map[string]string{"en": "Signed by {name}\n{date}", "nl": "Ondertekend door {name}\n{date}"}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// checkVisible finds what is wrong with the appearances of an order whatever its documents are.
func checkVisible(o *Order) error {
	switch {
	case len(o.Visible) == 0:
		return nil
	case o.Format == CAdES || len(o.Digests) > 0:
		return ErrAppearance.with("only a signature in a PDF that is here can be visible")
	case o.SignedOrder != "":
		return ErrVisibleOrder
	}
	for _, v := range o.Visible {
		if utf8.RuneCountInString(v.Text) > maxVisibleText {
			return ErrAppearance.with("the text is too long")
		}
		for _, p := range placeholder.FindAllString(v.Text, -1) {
			if p != "{name}" && p != "{date}" || strings.Count(v.Text, p) > 2 {
				return ErrAppearance.with("in braces stand {name} and {date}, each at most twice")
			}
		}
	}
	return nil
}

// withText fills in the texts that the order leaves to us, in its language: the person may choose another one for his pages.
func (o *Order) withText() []Visible {
	all := slices.Clone(o.Visible)
	for i := range all {
		setDefault(&all[i].Text, defaultText[o.Language])
	}
	return all
}

// countVisible: one appearance for all documents, or one for each.
func (r *Record) countVisible() error {
	if n := len(r.Progress.Visible); n > 1 && n != len(r.Documents) {
		return ErrAppearance.with("there are neither one appearance nor as many as documents")
	}
	return nil
}

// appearance is how the signature of a document looks with this name and time; nil when nothing shows.
func (r *Record) appearance(d *Document, name string, at time.Time) *pdf.Appearance {
	all := r.Progress.Visible
	if len(all) == 0 {
		return nil
	}
	i := slices.IndexFunc(r.Documents, func(one Document) bool { return one.ID == d.ID })
	v := all[max(0, min(i, len(all)-1))]
	text := strings.NewReplacer("{name}", name, "{date}", at.UTC().Format(time.RFC3339)).Replace(v.Text)
	return &pdf.Appearance{Page: v.Page, Box: v.Box, Text: text}
}

// previewTime stands for the claimed time in a preview, so that the same order gives the same file.
var previewTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Preview shows how the signature of one document would look: the document with the appearance of o in its place, a field
// without a value, and no signature. name stands for the person's ("": a long one). Of o the format, the language and the
// appearance count; nothing is kept. The caller closes the content. Errors: as of Create.
func (s *Service) Preview(ctx context.Context, client string, o Order, name string, up Upload) (*Content, error) {
	if len(o.Visible) != 1 {
		return nil, ErrAppearance.with("a preview is of one visible signature")
	}
	o.Reference, o.RedirectURL, o.Lifetime, o.Continues = "", "", 0, nil
	rec, err := s.newRecord(client, o)
	if err != nil {
		return nil, err
	}
	file, r, err := up.Next(ctx)
	if err == io.EOF { //nolint:errorlint // as package io has it
		return nil, ErrNoDocument
	}
	if err != nil {
		return nil, err
	}
	d, err := s.store(ctx, file, r, 1, s.cfg.MaxRequestBytes)
	if err != nil {
		return nil, err
	}
	c, err := s.preview(ctx, rec, &d, name)
	if err == nil {
		if _, _, more := up.Next(ctx); more != io.EOF { //nolint:errorlint // the same
			_ = c.closer.Close() // only read from
			err = ErrManyDocuments.with("a preview is of one document")
		}
	}
	if err != nil {
		s.drop([]Document{d})
		return nil, err
	}
	return c, nil
}

func (s *Service) preview(ctx context.Context, rec *Record, d *Document, name string) (*Content, error) {
	f, err := s.openBase(ctx, d)
	if err != nil {
		return nil, err
	}
	setDefault(&name, longName)
	update, err := pdf.Preview(f, d.Size, pdf.Options{Hash: crypto.SHA256, Budget: s.cfg.PDF, Appearance: rec.appearance(d, name, previewTime)})
	if err != nil {
		_ = f.Close() // only read from
		return nil, pdfError(err)
	}
	whole := pdf.Reader(f, d.Size, update)
	return &Content{
		Name: d.Name, Type: "application/pdf", Size: whole.Size(), ReadSeeker: whole,
		closer: closeFunc(func() error {
			err := f.Close()
			s.drop([]Document{*d})
			return err
		}),
	}, nil
}

// closeFunc is a function that is an io.Closer.
type closeFunc func() error

// Close calls f.
func (f closeFunc) Close() error { return f() }
