package api

import "github.com/gin-gonic/gin"

// locked shuts everything but the health of a locked front: answering from an old database would tell of the past.
func (s *server) locked(c *gin.Context) {
	if s.dep.Locked == nil || s.dep.Locked() == "" || c.FullPath() == "/health" {
		return
	}
	s.fail(c, errLocked)
}

// downBecause is the answer of a front that is DOWN; the reason is one sentence for operators.
func (s *server) downBecause() GetHealth503JSONResponse {
	h := GetHealth503JSONResponse{Status: DOWN}
	if s.dep.Locked != nil {
		h.Reason = optional(s.dep.Locked())
	}
	return h
}
