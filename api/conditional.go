package api

import (
	"net/http"
	"strings"
	"time"
)

// conditions are what a client says it has (RFC 9110 §13.1).
type conditions struct{ noneMatch, modifiedSince string }

// has says that the client's copy is the one with this tag and time. If-None-Match is looked at alone when it is there; tags are
// compared weakly (RFC 9110 §13.1.2, §13.1.3).
func (c conditions) has(etag string, modified time.Time) bool {
	if c.noneMatch != "" {
		for one := range strings.SplitSeq(c.noneMatch, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == "*" || one == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(c.modifiedSince)
	return err == nil && !modified.IsZero() && !modified.Truncate(time.Second).After(since)
}

// cached are the headers of an answer that may be kept for a while.
type cached struct {
	control  string // Cache-Control
	etag     string
	modified time.Time // zero: not told
	expires  time.Time // zero: not told
}

func (c cached) set(h http.Header) {
	h.Set("Cache-Control", c.control)
	if c.etag != "" {
		h.Set("ETag", c.etag)
	}
	if !c.modified.IsZero() {
		h.Set("Last-Modified", c.modified.UTC().Format(http.TimeFormat))
	}
	if !c.expires.IsZero() {
		h.Set("Expires", c.expires.UTC().Format(http.TimeFormat))
	}
}

// notModified is a 304 with what RFC 9110 §15.4.5 wants in it.
type notModified struct{ cached }

func (n *notModified) write(w http.ResponseWriter) error {
	n.set(w.Header())
	w.WriteHeader(http.StatusNotModified)
	return nil
}

// VisitGetCRLResponse implements the generated interface.
func (n *notModified) VisitGetCRLResponse(w http.ResponseWriter) error { return n.write(w) }

// VisitGetOCSPResponse implements the generated interface.
func (n *notModified) VisitGetOCSPResponse(w http.ResponseWriter) error { return n.write(w) }
