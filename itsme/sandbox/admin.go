package sandbox

import (
	"io"
	"mime"
	"net/http"

	"tekend/strictjson"
)

// admin is the API for test scripts (SB-80). It takes JSON only and no foreign
// Origin, so that a web page cannot use it through somebody's browser.
func (s *Server) admin(mux *http.ServeMux) {
	mux.HandleFunc("POST /sandbox/next", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if s.read(w, r, &o) {
			s.reply(w, s.Next(o.Outcome, o.Client))
		}
	})
	mux.HandleFunc("POST /sandbox/keys", func(w http.ResponseWriter, r *http.Request) {
		var k struct {
			Use     string `json:"use"`
			KeepOld bool   `json:"keep_old"`
		}
		if s.read(w, r, &k) {
			s.reply(w, s.RotateKey(k.Use, k.KeepOld))
		}
	})
	mux.HandleFunc("POST /sandbox/recreate", func(w http.ResponseWriter, r *http.Request) {
		var k struct {
			Person string `json:"person"`
		}
		if s.read(w, r, &k) {
			s.reply(w, s.Recreate(k.Person))
		}
	})
	mux.HandleFunc("POST /sandbox/switches", func(w http.ResponseWriter, r *http.Request) {
		sw := s.switches()
		if s.read(w, r, &sw) {
			s.reply(w, s.SetSwitches(sw))
		}
	})
	mux.HandleFunc("GET /sandbox/switches", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.switches()) })
	mux.HandleFunc("GET /sandbox/warnings", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Warnings()) })
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, v any) bool {
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	o := r.Header.Get("Origin")
	if err != nil || ct != "application/json" || (o != "" && o != s.base.String()) {
		writeJSON(w, http.StatusUnsupportedMediaType, map[string]string{"error": "JSON from here only"})
		return false
	}
	body, err := io.ReadAll(r.Body) // bounded by Handler
	if err == nil {
		err = strictjson.Decode(body, maxForeign, v)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return false
	}
	return true
}

func (s *Server) reply(w http.ResponseWriter, err error) {
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
