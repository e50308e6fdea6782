package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

type callKey struct{}

// call is what is known of a request beside its parameters. It holds nothing of gin's.
type call struct {
	id     string // UUIDv7; the problem's instance, in the log and in the header Request-Id
	op     *operation
	client string // of the API key
	json   bool   // wants JSON, not HTML
	langs  wanted
	stream *stream // the body, where there is one

	fileName string // of a body that is one document
	back     string // path of the page that a problem may lead to
	viewer   bool   // the browser has a proof that it is the signer's; whether it holds is not known
	patience *patience
	have     conditions
}

func (c *call) page() bool { return c.op != nil && c.op.page }

func callOf(c *gin.Context) *call {
	_, cl := enter(c)
	return cl
}

// access gives the request its id and writes its line in the log: the route, never the path, which may hold the token
// of a page, and never the query.
func (s *server) access(c *gin.Context) {
	start := s.cfg.Now()
	id, err := uuid.NewV7()
	if err != nil { // no randomness; the id is only a name
		id = uuid.Nil
	}
	cl := &call{id: id.String(), op: s.spec.operations[c.Request.Method+" "+c.FullPath()]}
	cl.json = wantsJSON(c.Request)
	_, noProof := c.Request.Cookie(viewerCookie)
	cl.viewer = noProof == nil
	cl.have = conditions{c.GetHeader("If-None-Match"), c.GetHeader("If-Modified-Since")}
	cl.fileName = fileName(c.GetHeader("Content-Disposition"))
	cl.patience = s.newPatience(c.Writer)
	cl.langs = s.words.wanted(c.Request)
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), callKey{}, cl))
	c.Writer.Header().Set("Request-Id", cl.id)
	c.Next()
	route := c.FullPath()
	if route == "" {
		route = "-"
	}
	s.cfg.Log.Info("http", "request_id", cl.id, "method", method(c.Request.Method), "route", route, "status", c.Writer.Status(),
		"bytes", max(c.Writer.Size(), 0), "duration", s.cfg.Now().Sub(start), "client", cl.client)
}

// method keeps invented methods, which may be of any length, out of the log.
func method(m string) string {
	if len(m) > 8 {
		return "other"
	}
	return m
}

// recover turns a panic into a problem. The value of the panic is logged only when the runtime made it: another one
// could hold data of a request.
func (s *server) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			c.Abort()
			return
		}
		what := fmt.Sprintf("%T", v)
		if re, ok := v.(runtime.Error); ok {
			what = re.Error()
		}
		s.cfg.Log.Error("panic", "request_id", callOf(c).id, "route", c.FullPath(), "what", what, "stack", string(debug.Stack()))
		s.fail(c, errInternal)
	}()
	c.Next()
}

// The policy of pages: everything from here, nothing inline, in nobody's frame. Pages may go to itsme by a link; a form
// only comes back here.
const (
	policyPage = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	policyData = "default-src 'none'; frame-ancestors 'none'"
	// A browser shows PDF with a viewer of its own that needs style and script; those of the page cannot reach it.
	policyPDF = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

func (s *server) headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", policyData)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer") // the address of a page is a secret
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
	h.Set("Cache-Control", "no-store")
	if strings.HasPrefix(s.origin, "https:") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// wantsJSON says that the client asked for data: Accept names JSON and not HTML, or names neither and the body is JSON.
func wantsJSON(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	switch {
	case strings.Contains(accept, "text/html"):
		return false
	case strings.Contains(accept, "json"):
		return true
	}
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/json")
}

// patience lets a connection live as long as bytes move: the server's own timeouts are lifted, and a read or write that
// hangs longer than idle is cut. Timers are used and not deadlines in the future, since the clock is not ours to read.
type patience struct {
	control *http.ResponseController
	idle    time.Duration
}

// longAgo as a deadline ends what is under way.
var longAgo = time.Unix(1, 0)

// newPatience takes the server's own writer out of gin's, which is used again for other requests.
func (s *server) newPatience(w gin.ResponseWriter) *patience {
	var raw http.ResponseWriter = w
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		raw = u.Unwrap()
	}
	return &patience{control: http.NewResponseController(raw), idle: s.cfg.IdleTimeout}
}

// lift takes the server's deadlines away. A writer that knows none (in tests) has none to lift.
func (p *patience) lift() {
	_ = p.control.SetReadDeadline(time.Time{})
	_ = p.control.SetWriteDeadline(time.Time{})
}

// read reads from the connection, and cuts it if that takes longer than idle.
func (p *patience) read(r io.Reader, b []byte) (int, error) {
	t := time.AfterFunc(p.idle, func() { _ = p.control.SetReadDeadline(longAgo) })
	defer t.Stop()
	return r.Read(b)
}

// copy is io.Copy to the connection, each piece within idle.
func (p *patience) copy(w io.Writer, r io.Reader) (int64, error) {
	p.lift()
	buf := make([]byte, 64<<10)
	return io.CopyBuffer(writer(func(b []byte) (int, error) {
		t := time.AfterFunc(p.idle, func() { _ = p.control.SetWriteDeadline(longAgo) })
		defer t.Stop()
		return w.Write(b)
	}), struct{ io.Reader }{r}, buf)
}

type writer func([]byte) (int, error)

// Write calls w.
func (w writer) Write(b []byte) (int, error) { return w(b) }
