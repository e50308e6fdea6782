package audit

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	tnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"tekend/db"
)

// Witness is somebody else's process that speaks C2SP tlog-witness.
type Witness struct {
	// URL is the submission prefix; `/add-checkpoint` is added. With Socket only its path counts. Example: https://witness.example/w1.
	// What a witness says is signed, but not that it is the newest: http is for a network that is trusted as a wire is.
	URL string `yaml:"url"`
	// Socket is a Unix socket to reach it by. Default none: URL is dialled.
	Socket string `yaml:"socket"`
	// Key is its verifier key (C2SP signed-note vkey; Ed25519 or ML-DSA-44 of tlog-cosignature). Required.
	Key string `yaml:"key"`
}

// Limits of a conversation with a witness: it answers with lines of some 150
// bytes (Ed25519) or 3.4 kB (ML-DSA-44), or serves one checkpoint.
const (
	witnessTimeout = 5 * time.Second
	maxAnswer      = 64 << 10
	firstPause     = time.Second
	longestPause   = time.Minute
)

// peer is a witness as the log knows it. Only the log's turn touches it.
type peer struct {
	name     string
	verifier note.Verifier
	base     string
	http     *http.Client

	size  int64 // of the newest checkpoint that it cosigned, as far as we know
	pause time.Duration
	next  time.Time // not before, after a failure
}

// WitnessVerifier reads a witness's verifier key.
func WitnessVerifier(vkey string) (note.Verifier, error) {
	v, err := tnote.NewVerifierForCosignatureV1(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("verifier key of a witness: %w", err)
	}
	return v, nil
}

// LogVerifier reads a log's verifier key, whose name is the log's origin.
func LogVerifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("verifier key of a log: %w", err)
	}
	return v, nil
}

// client reaches the witness.
func (w Witness) client() (base string, hc *http.Client, err error) {
	base = strings.TrimSuffix(w.URL, "/")
	transport := &http.Transport{MaxIdleConns: 2, IdleConnTimeout: time.Minute, DisableCompression: true}
	if w.Socket != "" {
		if base == "" {
			base = "http://witness"
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: witnessTimeout}).DialContext(ctx, "unix", w.Socket)
		}
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return "", nil, fmt.Errorf("audit: witness %q: url must be http or https without a query, or socket a path", w.URL+w.Socket)
	}
	return base, &http.Client{
		Transport: transport, Timeout: witnessTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (w Witness) open(ctx context.Context, d *db.DB) (*peer, error) {
	v, err := WitnessVerifier(w.Key)
	if err != nil {
		return nil, fmt.Errorf("audit: witness %q: %w", w.URL+w.Socket, err)
	}
	p := &peer{name: v.Name(), verifier: v}
	if p.base, p.http, err = w.client(); err != nil {
		return nil, err
	}
	var size sql.NullInt64
	if err := d.QueryRowContext(ctx, "SELECT MAX(size) FROM audit_cosignatures WHERE witness = ?", p.name).Scan(&size); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	p.size = size.Int64
	return p, nil
}

// cosign asks every witness that has not cosigned the newest checkpoint.
func (l *Log) cosign(ctx context.Context, eager bool) error {
	if len(l.peers) == 0 {
		return nil
	}
	h, err := readHead(ctx, l.db)
	if err != nil || h.size == 0 || h.size == h.witnessed && !l.behind(h.size, eager) {
		return err
	}
	text, err := readNote(ctx, l.db, h.size)
	if err != nil {
		return err
	}
	lines := make([]string, len(l.peers))
	errs := make([]error, len(l.peers))
	var asked sync.WaitGroup
	for i, p := range l.peers {
		if p.size == h.size || !eager && l.cfg.Now().Before(p.next) {
			continue
		}
		asked.Go(func() { lines[i], errs[i] = l.ask(ctx, p, h, text) })
	}
	asked.Wait()
	if err := l.keep(ctx, h.size, lines); err != nil {
		return err
	}
	err = errors.Join(errs...)
	if errors.Is(err, ErrInconsistent) {
		return err
	}
	if now, e := readHead(ctx, l.db); e != nil || now.witnessed < h.size {
		return fmt.Errorf("%w: %w", ErrUnwitnessed, errors.Join(err, e))
	}
	return nil // enough have; who failed is asked again later
}

// behind: is there a witness to ask though enough have cosigned?
func (l *Log) behind(size int64, eager bool) bool {
	for _, p := range l.peers {
		if p.size < size && (eager || !l.cfg.Now().Before(p.next)) {
			return true
		}
	}
	return false
}

// ask has one witness cosign checkpoint h. A witness that knows another size
// says which, and is asked once more.
func (l *Log) ask(ctx context.Context, p *peer, h head, text string) (line string, err error) {
	defer func() {
		if err == nil {
			p.size, p.pause, p.next = h.size, 0, time.Time{}
			return
		}
		p.pause = min(max(2*p.pause, firstPause), longestPause)
		p.next = l.cfg.Now().Add(p.pause)
	}()
	for range 2 {
		var known int64
		line, known, err = l.submit(ctx, p, h, text)
		if err != nil || line != "" {
			return line, err
		}
		if known > h.size {
			// Another process of ours may have gone on meanwhile; else the witness saw more than we have.
			if now, err := readHead(ctx, l.db); err != nil || known <= now.size {
				return "", errors.Join(err, fmt.Errorf("witness %s is already at %d", p.name, known))
			}
			return "", l.accused(ctx, p, fmt.Sprintf("it cosigned %d rows, here are %d", known, h.size))
		}
		p.size = known
	}
	return "", fmt.Errorf("witness %s changes its mind about the size", p.name)
}

// submit sends one add-checkpoint request. It gives the cosignature's line, or
// the size that the witness knows.
func (l *Log) submit(ctx context.Context, p *peer, h head, text string) (line string, known int64, err error) {
	hashes, err := consistency(ctx, l.db, uint64(p.size), uint64(h.size))
	if err != nil {
		return "", 0, err
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", p.size)
	for _, h := range hashes {
		body.WriteString(base64.StdEncoding.EncodeToString(h) + "\n")
	}
	body.WriteString("\n" + text)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/add-checkpoint", &body)
	if err != nil {
		return "", 0, fmt.Errorf("witness %s: %w", p.name, err)
	}
	status, kind, answer, err := exchange(p.http, req)
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("witness %s: %w", p.name, err)
	case status == http.StatusOK:
		line, err = cosignature(p.verifier, text, answer)
		return line, 0, err
	case status == http.StatusConflict && kind == "text/x.tlog.size":
		known, err = strconv.ParseInt(strings.TrimSuffix(answer, "\n"), 10, 64)
		if err != nil || known < 0 {
			return "", 0, fmt.Errorf("witness %s: no size in its answer", p.name)
		}
		if known == h.size && p.size == h.size {
			return "", 0, l.accused(ctx, p, fmt.Sprintf("it cosigned another root for %d rows", h.size))
		}
		return "", known, nil
	case status == http.StatusUnprocessableEntity:
		return "", 0, l.accused(ctx, p, fmt.Sprintf("our checkpoint of %d rows does not extend the one of %d that it cosigned", h.size, p.size))
	}
	return "", 0, fmt.Errorf("witness %s answers %d", p.name, status)
}

// accused gives the error for a witness that says it cosigned something that is
// not here. An answer of HTTP is not signed, and a fault stops the role: so it is
// one only if what the witness holds, which it and the log have signed, is not
// ours. Otherwise the rows go unwitnessed.
func (l *Log) accused(ctx context.Context, p *peer, claim string) error {
	held, err := heldAt(ctx, p, l.cfg.Under, l.verifier)
	if err == nil && held != nil {
		err = l.compare(ctx, *held)
	}
	if errors.Is(err, ErrInconsistent) {
		return fmt.Errorf("witness %s: %w", p.name, err)
	}
	return errors.Join(fmt.Errorf("witness %s says that %s, and does not show it", p.name, claim), err)
}

// exchange sends req and reads the answer, which is short.
func exchange(hc *http.Client, req *http.Request) (status int, kind, body string, err error) {
	resp, err := hc.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, "", "", err
	}
	if len(b) > maxAnswer {
		return 0, "", "", fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b), nil
}

// cosignature finds the witness's line in its answer and verifies it.
func cosignature(v note.Verifier, text, answer string) (string, error) {
	n, err := note.Open([]byte(text+answer), note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("witness %s: its answer holds no cosignature of its key: %w", v.Name(), err)
	}
	return signatureLine(n.Sigs[0]), nil
}

func signatureLine(s note.Signature) string { return "— " + s.Name + " " + s.Base64 + "\n" }

// keep stores cosignatures of checkpoint size and notes when they are enough.
func (l *Log) keep(ctx context.Context, size int64, lines []string) error {
	if strings.Join(lines, "") == "" {
		return nil
	}
	return l.db.InTx(ctx, func(tx *sql.Tx) error {
		for i, line := range lines {
			if line == "" {
				continue
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO audit_cosignatures (size, witness, line) VALUES (?, ?, ?) ON CONFLICT (size, witness) DO NOTHING", size, l.peers[i].name, line)
			if err != nil {
				return fmt.Errorf("audit: store cosignature: %w", err)
			}
		}
		names := make([]any, 0, len(l.peers)+1)
		names = append(names, size)
		for _, p := range l.peers { // only today's witnesses count
			names = append(names, p.name)
		}
		var n int
		query := "SELECT COUNT(*) FROM audit_cosignatures WHERE size = ? AND witness IN (?" + strings.Repeat(",?", len(l.peers)-1) + ")"
		if err := tx.QueryRowContext(ctx, query, names...).Scan(&n); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if n < l.cfg.Need {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "UPDATE audit_head SET witnessed = ? WHERE id = 1 AND witnessed < ?", size, size); err != nil {
			return fmt.Errorf("audit: note what is witnessed: %w", err)
		}
		return nil
	})
}

// Held is the newest checkpoint of a log that a witness cosigned.
type Held struct {
	Size int64
	Root []byte // 32 bytes
	Note string // signed note with the log's and the witness's signature
}

// Held asks the witness what it holds of origin (GET <url>/checkpoint?origin=…,
// our addition: C2SP leaves the reading open) and verifies both signatures. nil
// without error: the witness has cosigned nothing of that origin.
func (w Witness) Held(ctx context.Context, origin string, log note.Verifier) (*Held, error) {
	v, err := WitnessVerifier(w.Key)
	if err != nil {
		return nil, err
	}
	base, hc, err := w.client()
	if err != nil {
		return nil, err
	}
	defer hc.CloseIdleConnections()
	return heldAt(ctx, &peer{name: v.Name(), verifier: v, base: base, http: hc}, origin, log)
}

func heldAt(ctx context.Context, p *peer, origin string, log note.Verifier) (*Held, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/checkpoint?origin="+url.QueryEscape(origin), nil)
	if err != nil {
		return nil, fmt.Errorf("ask witness %s: %w", p.name, err)
	}
	status, _, text, err := exchange(p.http, req)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask witness %s: %w", p.name, err)
	case status == http.StatusNoContent:
		return nil, nil
	case status != http.StatusOK:
		return nil, fmt.Errorf("ask witness %s: it answers %d", p.name, status)
	}
	return ReadHeld(text, origin, log, p.verifier)
}

// ReadHeld reads a checkpoint of origin that must be signed by the log and
// cosigned by the witness.
func ReadHeld(text, origin string, log, witness note.Verifier) (*Held, error) {
	cp, n, err := openCheckpoint([]byte(text), log, witness)
	if err != nil {
		return nil, fmt.Errorf("what the witness holds: %w", err)
	}
	if cp.Origin != origin || countCosigned(n, []note.Verifier{witness}) != 1 || cp.Size > math.MaxInt64 {
		return nil, fmt.Errorf("what the witness holds is not a checkpoint of %q with the cosignature of %s", origin, witness.Name())
	}
	return &Held{Size: int64(cp.Size), Root: cp.Hash, Note: text}, nil
}

// CheckWitnesses asks every witness what it holds and compares: the gate after
// a restart (reliability §6 no. 5). The error wraps [ErrInconsistent] when a
// witness saw more rows than are here, or other rows; another error means that
// fewer than `need` answered. No witness configured: nil.
func (l *Log) CheckWitnesses(ctx context.Context) error {
	if l == nil {
		return nil
	}
	errs := make([]error, len(l.cfg.Witnesses))
	var asked sync.WaitGroup
	for i, w := range l.cfg.Witnesses {
		asked.Go(func() {
			held, err := w.Held(ctx, l.cfg.Under, l.verifier)
			if err == nil && held != nil {
				err = l.compare(ctx, *held)
			}
			if err != nil {
				errs[i] = fmt.Errorf("witness %s: %w", l.peers[i].name, err)
			}
		})
	}
	asked.Wait()
	answered := 0
	for _, err := range errs {
		if errors.Is(err, ErrInconsistent) {
			return err
		}
		if err == nil {
			answered++
		}
	}
	if answered < l.cfg.Need {
		return errors.Join(errs...)
	}
	return nil
}

// compare holds the record against what a witness cosigned. The log signs a
// checkpoint only with its rows, and shows it only after it is stored.
func (l *Log) compare(ctx context.Context, held Held) error {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return err
	}
	if held.Size > h.size {
		return fmt.Errorf("%w: it cosigned %d rows, the newest checkpoint here covers %d: this is an old copy", ErrInconsistent, held.Size, h.size)
	}
	tree, err := readTree(ctx, l.db, uint64(held.Size))
	if err != nil {
		return err
	}
	if root, err := rootOf(tree); err != nil || !bytes.Equal(root, held.Root) {
		return fmt.Errorf("%w: it cosigned other rows (size %d, %v)", ErrInconsistent, held.Size, err)
	}
	return nil
}
