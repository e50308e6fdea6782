package main

import "os"

// diskFailed ends the process when a COMMIT failed because the disk did (db.OnFatal). Nothing is put in order before:
// it could not be trusted to that disk either. Whoever supervises the role starts it again, and it reads its database anew.
func (p *program) diskFailed(err error) {
	p.log.Error("the disk failed under the database: the process ends", "error", err.Error())
	os.Exit(exitUnreachable)
}

// tokenStuck ends the process when a call of the PKCS#11 module does not come back: it cannot be cancelled, and it holds
// a session for ever (reliability §3.2). What was under way is settled at the next start, as after any stop.
func (p *program) tokenStuck(detail string) {
	p.log.Error("the token is stuck: the process ends, to be started again", "detail", detail)
	os.Exit(exitUnreachable)
}
