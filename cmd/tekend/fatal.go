package main

import (
	"log/slog"
	"os"
)

// diskFailed ends the front when a COMMIT failed because the disk did (db.OnFatal). Nothing is put in order before: it
// could not be trusted to that disk either. Whoever supervises the front starts it again, and it reads its database anew.
func diskFailed(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("the disk failed under the database: the process ends", "error", err.Error())
		os.Exit(exitUnreachable)
	}
}
