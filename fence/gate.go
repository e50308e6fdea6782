package fence

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tekend/audit"
	"tekend/db"
)

// Config is the section `fence:` of a role's file.
type Config struct {
	// File is outside the folder of the database, in a folder that the role can write. Required. It belongs into no backup that
	// is put back together with the database. Example: /srv/tekend/sam-fence/fence.json
	File string `yaml:"file"`
}

// Generations is the number in the token (*hsm.Token).
type Generations interface {
	Generation(ctx context.Context) (int64, error)
	RaiseGeneration(ctx context.Context, n int64) error
}

// ErrNoMemory is what RaiseGeneration may return of a token that is for tests alone and keeps no number.
var ErrNoMemory = errors.New("the token keeps no generation")

// Seen is the newest checkpoint that a witness has for an origin.
type Seen struct {
	Size int64
	Root []byte
}

// Witness asks one witness for an origin. found is false when it has none. An error means that it did not answer.
type Witness func(ctx context.Context, origin string) (s Seen, found bool, err error)

// Setup is what a gate needs.
type Setup struct {
	Config
	Role      string // sam, ca or tsa
	Token     Generations
	Origin    string    // of the audit's checkpoints, without the epoch
	Witnesses []Witness // none: nobody outside remembers (the sandbox's tests)
	Now       func() time.Time
	Log       *slog.Logger
}

// Gate says whether the role may act. A nil Gate is open. It may be used concurrently.
type Gate struct {
	set Setup
	db  *db.DB

	mu     sync.Mutex
	mark   Mark
	opens  int64 // the first epoch that no witness knows, as far as they were asked
	closed *Closed
	open   chan struct{} // closed when the gate opens
	stop   context.CancelFunc
	done   chan struct{} // the watcher has ended
}

// Closed is why nothing may be done now.
type Closed struct {
	Code    string // CodeLocked or CodeUnwitnessed
	Reasons []string
}

func (c *Closed) Error() string { return c.Code + ": " + c.Reasons[0] }

// Codes of refusals, the same for all roles. Only the second one passes by itself.
const (
	CodeLocked      = "locked"
	CodeUnwitnessed = "unwitnessed"
)

// Sentences of health and of locks.
const (
	noFence       = "there is no fence"
	oldDatabase   = "the database is older than the fence"
	otherDatabase = "the database is not the one of the fence"
	oldToken      = "the token is older than the fence"
	oldForWitness = "the database is older than the witness"
	otherWitness  = "the database is not the one that the witness saw"
	oldFence      = "the fence is older than the witness"
	stillLocked   = "an earlier lock was not opened"
	unwitnessed   = "no witness has answered yet"
)

const (
	askTimeout = 3 * time.Second        // for one witness at the start
	askFirst   = 100 * time.Millisecond // before the second round; then twice as long each time
	askMost    = 2 * time.Second
	maxEpochs  = 100 // opened locks that a fence put back can have missed
)

// Open compares the role's record d (whose tables audit.Ensure has made) and token with fence and witnesses, before the role
// has written anything. When all agrees it raises the token's generation. An error means that it could not be found out.
func Open(ctx context.Context, set *Setup, d *db.DB) (*Gate, error) {
	if set == nil {
		return nil, nil
	}
	if set.File == "" {
		return nil, errors.New("fence: file is missing")
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := &Gate{set: *set, db: d, open: make(chan struct{}), stop: stop, done: make(chan struct{})}
	waiting, err := g.begin(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	if !waiting {
		close(g.done)
		return g, nil
	}
	go g.watch(watch)
	return g, nil
}

// begin reads fence, token and record and asks the witnesses once. waiting: no witness has answered.
func (g *Gate) begin(ctx context.Context) (waiting bool, err error) {
	local, err := g.local(ctx)
	if err != nil {
		return false, err
	}
	if g.mark, err = read(g.set.File, g.set.Role); errors.Is(err, errAbsent) {
		g.mark = Mark{Role: g.set.Role}
		if local.Size != 0 || local.Generation != 0 {
			return false, g.lock(ctx, []string{noFence}, local, "not asked")
		}
		err = write(g.set.File, g.mark) // the first start: before anything grows
	}
	if err != nil {
		return false, err
	}
	found, err := g.compare(ctx, local)
	if err != nil {
		return false, err
	}
	if len(found) > 0 || g.mark.Lock != nil {
		told, more, err := g.askAll(ctx, local)
		if err != nil {
			told = "none answered"
		}
		return false, g.lock(ctx, append(found, more...), local, told)
	}
	if err := g.raise(ctx, local.Generation); err != nil {
		return false, err
	}
	return g.ask(ctx)
}

// local reads the state of the role itself.
func (g *Gate) local(ctx context.Context) (Local, error) { return local(ctx, g.set, g.db) }

func local(ctx context.Context, set Setup, d *db.DB) (l Local, err error) {
	if l.Generation, err = set.Token.Generation(ctx); err != nil {
		return l, fmt.Errorf("fence: read the token's generation: %w", err)
	}
	if l.Size, err = audit.Size(ctx, d); err != nil {
		return l, fmt.Errorf("fence: %w", err)
	}
	if l.Root, err = audit.RootAt(ctx, d, l.Size); err != nil {
		return l, fmt.Errorf("fence: %w", err)
	}
	return l, nil
}

// compare holds the role to its fence.
func (g *Gate) compare(ctx context.Context, l Local) (found []string, err error) {
	if l.Generation < g.mark.Generation {
		found = append(found, oldToken)
	}
	reason, err := g.extends(ctx, l, g.mark.Size, g.mark.Root)
	switch {
	case err != nil:
		return nil, err
	case reason == older:
		found = append(found, oldDatabase)
	case reason == differs:
		found = append(found, otherDatabase)
	}
	return found, nil
}

type relation int

const (
	follows relation = iota // the record has the tree of that size
	older                   // it is shorter
	differs                 // it has another one of that size
)

// extends tells how the record stands to a tree that was seen earlier.
func (g *Gate) extends(ctx context.Context, l Local, size int64, root []byte) (relation, error) {
	if size == 0 {
		return follows, nil
	}
	if l.Size < size {
		return older, nil
	}
	have, err := audit.RootAt(ctx, g.db, size)
	if err != nil {
		return differs, fmt.Errorf("fence: %w", err)
	}
	if !bytes.Equal(have, root) {
		return differs, nil
	}
	return follows, nil
}

// raise writes the next generation into the token and then into the fence. A kill in between leaves the token ahead.
func (g *Gate) raise(ctx context.Context, present int64) error {
	next := max(present, g.mark.Generation) + 1
	err := g.set.Token.RaiseGeneration(ctx, next)
	if errors.Is(err, ErrNoMemory) {
		g.set.Log.Warn("the token keeps no generation: an old token directory will not be noticed", "role", g.set.Role)
		return nil
	}
	if err != nil {
		return fmt.Errorf("fence: raise the token's generation: %w", err)
	}
	g.mark.Generation = next
	return write(g.set.File, g.mark)
}

// ask asks the witnesses once and opens the gate or locks the role. waiting: not enough is known.
func (g *Gate) ask(ctx context.Context) (waiting bool, err error) {
	l, err := g.local(ctx)
	if err != nil {
		return false, err
	}
	told, found, err := g.askAll(ctx, l)
	if err != nil {
		g.close(CodeUnwitnessed, unwitnessed)
		return true, nil
	}
	if len(found) > 0 {
		return false, g.lock(ctx, found, l, told)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// What several processes of the role wrote since this one's last checkpoint is known from now on too.
	next := g.mark
	next.Size, next.Root = l.Size, l.Root
	if err := write(g.set.File, next); err != nil {
		return true, err
	}
	g.mark, g.closed = next, nil
	close(g.open)
	return false, nil
}

// askAll asks every witness about the origin in use and the next one. One that answers is enough to go on; one that saw more
// than the role has is enough to lock it. The error says that none answered.
func (g *Gate) askAll(ctx context.Context, l Local) (told string, found []string, err error) {
	if len(g.set.Witnesses) == 0 {
		return "there is none", nil, nil
	}
	answered := false
	for _, w := range g.set.Witnesses {
		seen, more, askErr := g.askOne(ctx, w, l)
		if askErr != nil {
			err = errors.Join(err, askErr)
			continue
		}
		answered = true
		told += seen
		for _, reason := range more {
			if !slices.Contains(found, reason) {
				found = append(found, reason)
			}
		}
	}
	if !answered {
		return "", nil, fmt.Errorf("fence: no witness answers: %w", err)
	}
	return told, found, nil
}

func (g *Gate) askOne(ctx context.Context, w Witness, l Local) (told string, found []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	now := Origin(g.set.Origin, g.mark.Epoch)
	seen, known, err := w(ctx, now)
	if err != nil {
		return "", nil, err
	}
	told = now + ": nothing; "
	if known {
		told = fmt.Sprintf("%s: %d rows, root %s; ", now, seen.Size, b64.EncodeToString(seen.Root))
		r, err := g.extends(ctx, l, seen.Size, seen.Root)
		switch {
		case err != nil:
			return "", nil, err
		case r == older:
			found = append(found, oldForWitness)
		case r == differs:
			found = append(found, otherWitness)
		}
	}
	for next := g.mark.Epoch + 1; next < g.mark.Epoch+maxEpochs; next++ {
		_, known, err = w(ctx, Origin(g.set.Origin, next))
		if err != nil {
			return "", nil, err
		}
		if !known {
			break
		}
		found, g.opens = append(found, oldFence), max(g.opens, next+1)
	}
	return told, slices.Compact(found), nil
}

// Origin names the log of an epoch: after a lock was opened the log goes on under a new name, because a witness rightly never
// signs a shorter or another tree under the old one.
func Origin(base string, epoch int64) string {
	if epoch == 0 {
		return base
	}
	return fmt.Sprintf("%s/%d", base, epoch)
}

// watch asks again until a witness answers.
func (g *Gate) watch(ctx context.Context) {
	defer close(g.done)
	for pause := askFirst; ; pause = min(2*pause, askMost) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		waiting, err := g.ask(ctx)
		if err != nil && ctx.Err() == nil {
			g.set.Log.Error("fence", "role", g.set.Role, "err", err)
			continue
		}
		if !waiting {
			return
		}
	}
}

func (g *Gate) close(code string, reasons ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = &Closed{code, reasons}
}

// lock writes the lock into the fence, then its row into the record, each once. A lock that is there and still describes the
// role stays what it is, so that approvals of it hold.
func (g *Gate) lock(ctx context.Context, found []string, l Local, witness string) error {
	if k := g.mark.Lock; k != nil {
		same, err := describes(ctx, k, l, g.db)
		if err != nil {
			return err
		}
		if same {
			g.close(CodeLocked, k.Reasons...)
			return g.recordLock(ctx)
		}
		found = append(found, stillLocked)
	}
	g.mark.Lock = &Lock{ID: rand.Text(), At: g.set.Now().UTC().Truncate(time.Second), Reasons: found, Local: l, Witness: witness,
		Opens: max(g.opens, g.mark.Epoch+1)}
	g.close(CodeLocked, found...)
	if err := write(g.set.File, g.mark); err != nil {
		return err
	}
	g.set.Log.Error("locked", "role", g.set.Role, "reasons", found)
	return g.recordLock(ctx)
}

// recordLock writes the row of the lock, if it is not there.
func (g *Gate) recordLock(ctx context.Context) error {
	k := g.mark.Lock
	return g.db.InTx(ctx, func(tx *sql.Tx) error {
		if n, err := rowsOf(ctx, tx, kindClosed, k.ID); err != nil || n > 0 {
			return err
		}
		at, err := notBefore(ctx, tx, g.set.Now())
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{At: at, Kind: "lock.closed", Subject: k.ID, Detail: details(k)})
	})
}

// Check is nil when the role may act, else a *Closed.
func (g *Gate) Check() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		return nil
	}
	return g.closed
}

// Locked tells that nothing will be done before two operators have decided.
func (g *Gate) Locked() bool {
	var c *Closed
	return errors.As(g.Check(), &c) && c.Code == CodeLocked
}

// Reasons are for health; none when the gate is open.
func (g *Gate) Reasons() []string {
	var c *Closed
	if errors.As(g.Check(), &c) {
		return c.Reasons
	}
	return nil
}

// Wait returns nil when the gate is open, else when ctx ends. The log of a locked role must not go on: it would sign a second
// tree under its name.
func (g *Gate) Wait(ctx context.Context) error {
	if g == nil {
		return nil
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Origin is the name under which the log goes on.
func (g *Gate) Origin(base string) string {
	if g == nil {
		return base
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Origin(base, g.mark.Epoch)
}

// Checkpoint raises the fence to a tree that the log has signed.
func (g *Gate) Checkpoint(size int64, root []byte) error {
	if g == nil || g.Check() != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if size <= g.mark.Size {
		return nil
	}
	next := g.mark
	next.Size, next.Root = size, root
	if err := write(g.set.File, next); err != nil {
		return err
	}
	g.mark = next
	return nil
}

// Close ends the asking. The fence keeps what it has.
func (g *Gate) Close() error {
	if g != nil {
		g.stop()
		<-g.done
	}
	return nil
}
