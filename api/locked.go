package api

import (
	"github.com/gin-gonic/gin"

	"tekend/signer"
)

// errLocked: the front's database is not what it was. Answering from it would tell clients of the past.
var errLocked = &signer.Error{Code: "locked", Detail: "the service was put back to an older state; two operators must decide how it goes on", Hint: "nothing is signed meanwhile; try again later"}

// locked shuts everything but the health of a locked front.
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
