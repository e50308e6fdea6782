// Package witness is a witness of transparency logs: it keeps, for each log
// that it was told of, the newest checkpoint it has seen, and cosigns another
// one only if that one extends it (C2SP tlog-witness, tlog-cosignature). A log
// whose operator cuts off, puts back or forks what it showed cannot get the
// cosignature again. It speaks with any log of C2SP, and knows nothing of tekend.
package witness

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	tlog "github.com/transparency-dev/formats/log"
	tnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
)

// Log is one log that the witness follows.
type Log struct {
	// Origin is the first line of the log's checkpoints. Required.
	Origin string `yaml:"origin"`
	// Key is its verifier key (C2SP signed-note vkey, Ed25519). Required.
	Key string `yaml:"key"`
	// Epochs: also follow logs with the same key whose origin is this one, a
	// slash and a number from 1, each as a log of its own. So a tekend role
	// goes on after two operators have decided about a database that was put
	// back; the witness keeps what it saw before. Default false.
	Epochs bool `yaml:"epochs"`
}

// Config is the part of the witness's file that says what it follows. Example:
//
//	key_file: /srv/witness/witness.key
//	state_dir: /srv/witness/state
//	logs:
//	  - {origin: sign.acme.example/audit/sam, key: "sign.acme.example/audit/sam+5f1c…+AQ…"}
type Config struct {
	// KeyFile is what [Init] wrote, mode 0600. Required.
	KeyFile string `yaml:"key_file"`
	// StateDir is the folder that [Init] made. It holds one file per log, the
	// newest cosigned checkpoint. Required.
	StateDir string `yaml:"state_dir"`
	// Logs are the logs that it follows. At least one.
	Logs []Log `yaml:"logs"`
}

// Limits. A request is an old size, at most 63 hashes and a checkpoint; a
// checkpoint has three lines and some signatures (of up to 3.4 kB each).
const (
	maxBody   = 64 << 10
	maxProof  = 63
	markFile  = "witness-state"
	lockFile  = "lock"
	maxOrigin = 255
)

// Witness is a running witness. It may be called concurrently; one process at
// a time has its state.
type Witness struct {
	signer *tnote.Signer
	dir    string
	lock   *os.File
	keys   map[string]followed // by origin as configured

	mu    sync.Mutex
	turns map[string]*sync.Mutex // by origin: check and store are one step
}

// followed is a log that the witness was told of.
type followed struct {
	verifier note.Verifier
	epochs   bool
}

// Init makes a new witness called name: its key file, which must not exist,
// and its state folder. It returns the verifier key that logs need. Key and
// state belong together: a key that forgot what it cosigned cosigns anything.
func Init(name, keyFile, stateDir string) (vkey string, err error) {
	skey, plain, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("make the witness's key: %w", err)
	}
	vkey, err = tnote.VKeyToCosignatureV1(plain)
	if err != nil {
		return "", fmt.Errorf("make the witness's key: %w", err)
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return "", fmt.Errorf("make the state folder: %w", err)
	}
	f, err := os.OpenFile(keyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("write the witness's key: %w", err)
	}
	_, err = f.WriteString(skey + "\n")
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(keyFile))); err != nil {
		return "", fmt.Errorf("write the witness's key: %w", err)
	}
	return vkey, writeFile(filepath.Join(stateDir, markFile), vkey+"\n")
}

// Open opens the witness. A state folder that [Init] did not make for this key
// is refused, and so is one that another process uses.
func Open(cfg Config) (*Witness, error) {
	skey, err := readSecret(cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	w := &Witness{dir: cfg.StateDir, keys: map[string]followed{}, turns: map[string]*sync.Mutex{}}
	if w.signer, err = tnote.NewSignerForCosignatureV1(skey); err != nil {
		return nil, fmt.Errorf("key_file: %s: %w", cfg.KeyFile, err)
	}
	mark, err := os.ReadFile(filepath.Join(cfg.StateDir, markFile))
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w; a witness that lost its memory must not go on with its key: make a new one", err)
	}
	v, err := tnote.NewVerifierForCosignatureV1(strings.TrimSpace(string(mark)))
	if err != nil || v.Name() != w.signer.Name() || v.KeyHash() != w.signer.KeyHash() {
		return nil, fmt.Errorf("state_dir: %s is the memory of another key", cfg.StateDir)
	}
	if len(cfg.Logs) == 0 {
		return nil, errors.New("logs: the witness follows none")
	}
	for _, l := range cfg.Logs {
		if err := w.follow(l); err != nil {
			return nil, fmt.Errorf("logs: %w", err)
		}
	}
	if w.lock, err = os.OpenFile(filepath.Join(cfg.StateDir, lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	if err := unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("state_dir: another witness uses %s: %w", cfg.StateDir, err), w.lock.Close())
	}
	return w, nil
}

// Close lets another process take the state.
func (w *Witness) Close() error { return w.lock.Close() }

func (w *Witness) follow(l Log) error {
	if _, twice := w.keys[l.Origin]; l.Origin == "" || len(l.Origin) > maxOrigin || twice {
		return fmt.Errorf("origin %q is empty, too long or there twice", l.Origin)
	}
	v, err := note.NewVerifier(strings.TrimSpace(l.Key))
	if err != nil {
		return fmt.Errorf("key of %s: %w", l.Origin, err)
	}
	w.keys[l.Origin] = followed{v, l.Epochs}
	_, _, err = w.held(l.Origin, v)
	return err // what is held must be readable, or the start fails
}

// maxEpoch bounds the logs that one key can open here.
const maxEpoch = 1000

// verifier finds the key of a log, nil when it is not followed.
func (w *Witness) verifier(origin string) note.Verifier {
	if f, ok := w.keys[origin]; ok {
		return f.verifier
	}
	base, digits := "", ""
	if i := strings.LastIndexByte(origin, '/'); i >= 0 {
		base, digits = origin[:i], origin[i+1:]
	}
	n, err := strconv.Atoi(digits)
	if f := w.keys[base]; f.epochs && err == nil && n > 0 && n <= maxEpoch && digits == strconv.Itoa(n) {
		return f.verifier
	}
	return nil
}

// take waits for the origin's turn.
func (w *Witness) take(origin string) (release func()) {
	w.mu.Lock()
	turn := w.turns[origin]
	if turn == nil { // bounded: only for origins that are followed
		turn = &sync.Mutex{}
		w.turns[origin] = turn
	}
	w.mu.Unlock()
	turn.Lock()
	return turn.Unlock
}

// path is the file of a log.
func (w *Witness) path(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(w.dir, hex.EncodeToString(sum[:]))
}

// held reads the newest cosigned checkpoint; a zero one if there is none.
func (w *Witness) held(origin string, v note.Verifier) (cp tlog.Checkpoint, text string, err error) {
	b, err := os.ReadFile(w.path(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return cp, "", nil
	}
	if err != nil {
		return cp, "", fmt.Errorf("read what was cosigned: %w", err)
	}
	p, _, _, err := tlog.ParseCheckpoint(b, origin, v)
	if err != nil {
		return cp, "", fmt.Errorf("%s, which holds what was cosigned, is damaged: %w", w.path(origin), err)
	}
	return *p, string(b), nil
}

// Handler serves
//
//	POST /add-checkpoint          C2SP tlog-witness
//	GET  /checkpoint?origin=O     the newest cosigned checkpoint of O, a signed note (our addition); 204 when there is none
//	GET  /key                     the verifier key, for people; who trusts it needs it from elsewhere
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.add)
	mux.HandleFunc("GET /checkpoint", w.show)
	mux.HandleFunc("GET /key", func(rw http.ResponseWriter, _ *http.Request) {
		mark, err := os.ReadFile(filepath.Join(w.dir, markFile))
		if err != nil {
			fail(rw, &refusal{http.StatusInternalServerError, "the state cannot be read"})
			return
		}
		reply(rw, "text/plain; charset=utf-8", mark)
	})
	return mux
}

// Server serves the handler with limits for callers that nobody knows.
func (w *Witness) Server() *http.Server {
	return &http.Server{
		Handler: http.MaxBytesHandler(w.Handler(), maxBody), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
	}
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// conflict is the 409 that tells the size which the witness holds.
type conflict uint64

func (c conflict) Error() string { return strconv.FormatUint(uint64(c), 10) }

func reply(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a caller that is gone asks again
}

func fail(w http.ResponseWriter, err error) {
	var c conflict
	var r *refusal
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case errors.As(err, &c):
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, c.Error()+"\n")
	case errors.As(err, &r):
		http.Error(w, r.text, r.status)
	default:
		http.Error(w, "the witness cannot keep its state", http.StatusInternalServerError)
	}
}

func (w *Witness) show(rw http.ResponseWriter, req *http.Request) {
	origin := req.URL.Query().Get("origin")
	v := w.verifier(origin)
	if v == nil {
		fail(rw, &refusal{http.StatusNotFound, "this log is not followed here"})
		return
	}
	_, text, err := w.held(origin, v)
	switch {
	case err != nil:
		fail(rw, err)
	case text == "":
		rw.WriteHeader(http.StatusNoContent)
	default:
		reply(rw, "text/plain; charset=utf-8", []byte(text))
	}
}

func (w *Witness) add(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		fail(rw, &refusal{http.StatusRequestEntityTooLarge, "the body is too large or did not come"})
		return
	}
	line, err := w.Add(req.Context(), body)
	if err != nil {
		fail(rw, err)
		return
	}
	reply(rw, "text/plain; charset=utf-8", []byte(line))
}

// question is the body of add-checkpoint.
type question struct {
	old    uint64
	proof  [][]byte
	signed []byte
	origin string
}

// parse reads the body; its checkpoint is not verified yet.
func parse(body []byte) (q question, err error) {
	bad := &refusal{http.StatusBadRequest, "the request is not one of tlog-witness"}
	headText, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return q, bad
	}
	lines := strings.Split(string(headText), "\n")
	digits, ok := strings.CutPrefix(lines[0], "old ")
	if q.old, err = strconv.ParseUint(digits, 10, 63); !ok || err != nil || digits != strconv.FormatUint(q.old, 10) || len(lines) > maxProof+1 {
		return q, bad
	}
	for _, l := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(l)
		if err != nil || len(h) != sha256.Size {
			return q, bad
		}
		q.proof = append(q.proof, h)
	}
	first, _, ok := bytes.Cut(signed, []byte("\n"))
	if !ok || len(first) == 0 {
		return q, bad
	}
	q.signed, q.origin = signed, string(first)
	return q, nil
}

// Add does what `POST /add-checkpoint` asks: it returns the cosignature's line
// when the checkpoint is stored durably.
func (w *Witness) Add(ctx context.Context, body []byte) (line string, err error) {
	q, err := parse(body)
	if err != nil {
		return "", err
	}
	v := w.verifier(q.origin)
	if v == nil {
		return "", &refusal{http.StatusNotFound, "this log is not followed here"}
	}
	cp, rest, n, err := tlog.ParseCheckpoint(q.signed, q.origin, v)
	if err != nil || len(rest) > 0 || len(cp.Hash) != sha256.Size || n.Text != string(cp.Marshal()) {
		return "", &refusal{http.StatusForbidden, "no signature of the log's key over a checkpoint without extensions"}
	}
	if q.old > cp.Size {
		return "", &refusal{http.StatusBadRequest, "the old size is larger than the new one"}
	}
	defer w.take(q.origin)() // from here to the stored file
	if err := ctx.Err(); err != nil {
		return "", err
	}
	held, _, err := w.held(q.origin, v)
	if err != nil {
		return "", err
	}
	if err := extends(q, held, *cp); err != nil {
		return "", err
	}
	only := &note.Note{Text: n.Text, Sigs: n.Sigs} // signatures of unknown keys are left out
	signed, err := note.Sign(only, w.signer)
	if err != nil {
		return "", fmt.Errorf("cosign: %w", err)
	}
	if err := writeFile(w.path(q.origin), string(signed)); err != nil {
		return "", err
	}
	return lastLine(signed), nil
}

// extends: the checkpoint is the held one, or a larger one that contains it.
func extends(q question, held, cp tlog.Checkpoint) error {
	switch {
	case q.old != held.Size:
		return conflict(held.Size)
	case q.old == 0 && len(q.proof) > 0:
		return &refusal{http.StatusUnprocessableEntity, "a proof from size 0 is empty"}
	case cp.Size == 0 && !bytes.Equal(cp.Hash, rfc6962.DefaultHasher.EmptyRoot()):
		return &refusal{http.StatusUnprocessableEntity, "this is not the root of an empty tree"}
	case q.old == 0:
		return nil
	case q.old == cp.Size && !bytes.Equal(held.Hash, cp.Hash):
		return conflict(held.Size)
	}
	if proof.VerifyConsistency(rfc6962.DefaultHasher, q.old, cp.Size, q.proof, held.Hash, cp.Hash) != nil {
		return &refusal{http.StatusUnprocessableEntity, "the proof does not show that this checkpoint extends the last one"}
	}
	return nil
}

// lastLine is the signature that note.Sign added.
func lastLine(signed []byte) string {
	text := strings.TrimSuffix(string(signed), "\n")
	return text[strings.LastIndexByte(text, '\n')+1:] + "\n"
}
