//go:build sweep

package sweep_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"tekend/interop/sandboxtest"
)

// people of the sandbox who approve everything.
var people = []string{"approve", "no-email", "diacritics", "one-name", "nl-document", "eu-document", "app-to-app"}

// crowd is providers and signers who work all the time and know nothing of the kills: they reload and try again.
type crowd struct {
	flow     *sandboxtest.Flow
	ordered  atomic.Int64
	newcomer atomic.Int64
	stop     atomic.Bool
	wg       sync.WaitGroup
}

func (c *crowd) start(ctx context.Context, workers int, seed uint64) {
	for w := range workers {
		c.wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(1000+w)))
			for !c.stop.Load() && ctx.Err() == nil {
				c.one(ctx, w, r)
			}
		})
	}
}

// one order, from the upload to the end of the page or of the person's patience.
func (c *crowd) one(ctx context.Context, w int, r *rand.Rand) {
	n := c.ordered.Add(1)
	person := people[(w+r.IntN(3))%len(people)]
	reference := "sweep-" + person // known from before, if an enrolment under it came to its end
	if r.IntN(7) == 0 {
		person = people[r.IntN(len(people))]
		reference = fmt.Sprintf("newcomer-%d", c.newcomer.Add(1)) // the way of an enrolment again
	}
	documents := make([][]byte, 1)
	if r.IntN(4) == 0 {
		documents = make([][]byte, 2+r.IntN(3))
	}
	for i := range documents {
		documents[i] = smallPDF(fmt.Sprintf("order %d document %d", n, i))
	}
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var req sandboxtest.Request
	for {
		var err error
		if req, err = orderOf(ctx, c.flow, reference, kinds[int(n)%len(kinds)], documents); err == nil {
			break
		}
		if c.stop.Load() || ctx.Err() != nil {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	if r.IntN(16) == 0 {
		person = "refuse" // of somebody's confirmation, or of his own enrolment
	}
	walk(ctx, c.flow, req.SigningURL, person) // what became of it is read from the databases
}

// walk does what the page asks for until it has come to an end, as a person who loads a page again when it does not come.
func walk(ctx context.Context, f *sandboxtest.Flow, signingURL, person string) (step string) {
	for ; ctx.Err() == nil; time.Sleep(15 * time.Millisecond) {
		p, err := f.Page(ctx, signingURL)
		if err != nil {
			continue
		}
		step = p.Step
		switch step {
		case "done", "refused", "expired", "failed":
			return step
		case "accept_terms":
			_ = f.AcceptTerms(ctx, signingURL, p.TermsVersion) // the page shows whether it was taken
		case "identify", "consent", "confirm":
			if back, err := f.AtItsme(ctx, p.Link, person); err == nil {
				deliver(ctx, f, back)
			}
		}
	}
	return step
}

// deliver loads the address to which itsme sent the browser until the front answers: what was said at itsme is said, and
// its link cannot be used a second time.
func deliver(ctx context.Context, f *sandboxtest.Flow, back string) {
	for ; ctx.Err() == nil; time.Sleep(30 * time.Millisecond) {
		err := f.Callback(ctx, back)
		var refused *sandboxtest.Refused
		if err == nil || errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
			return // the page says what became of it
		}
	}
}

// kind is what is ordered, as the members of the contract.
type kind map[string]any

// kinds are all levels, of a PDF and around it.
var kinds = []kind{
	{"level": "B-T"}, {"level": "B-LTA"}, {"level": "B-B"}, {"level": "B-LT"},
	{"level": "B-LTA", "format": "cades", "packaging": "attached"}, {"level": "B-T", "format": "cades", "packaging": "attached"},
}

// order uploads documents as one request.
func order(ctx context.Context, f *sandboxtest.Flow, reference string, documents [][]byte) (sandboxtest.Request, error) {
	return orderOf(ctx, f, reference, kinds[0], documents)
}

func orderOf(ctx context.Context, f *sandboxtest.Flow, reference string, k kind, documents [][]byte) (sandboxtest.Request, error) {
	var out sandboxtest.Request
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	part := func(disposition, media string, b []byte) error {
		w, err := mw.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}, "Content-Type": {media}})
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	members := maps.Clone(k)
	members["language"], members["signer"] = "en", map[string]string{"reference": reference}
	spec, err := json.Marshal(members)
	if err != nil {
		return out, err
	}
	if err := part(`form-data; name="request"`, "application/json", spec); err != nil {
		return out, err
	}
	for i, d := range documents {
		if err := part(fmt.Sprintf(`form-data; name="document"; filename="contract-%d.pdf"`, i+1), "application/pdf", d); err != nil {
			return out, err
		}
	}
	if err := mw.Close(); err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Front+"/v1/signature-requests", &body)
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", mw.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+f.Key)
	resp, err := f.HTTP.Do(req)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return out, err
	}
	if resp.StatusCode != http.StatusCreated {
		return out, &sandboxtest.Refused{Status: resp.StatusCode, Body: string(b)}
	}
	return out, json.Unmarshal(b, &out)
}

// smallPDF makes a whole PDF of one page that is like no other.
func smallPDF(text string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%%PDF-1.7\n%% %s\n", text)
	content := fmt.Sprintf("BT /F1 18 Tf 72 720 Td (%s) Tj ET", text)
	var offsets []int
	for i, object := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, xref)
	return b.Bytes()
}
