package main

import "os"

// diskFailed ends the process when a COMMIT failed because the disk did (db.OnFatal). Nothing is put in order before:
// it could not be trusted to that disk either. Whoever supervises the role starts it again, and it reads its database anew.
func (p *program) diskFailed(err error) {
	p.log.Error("the disk failed under the database: the process ends", "error", err.Error())
	os.Exit(exitUnreachable)
}
