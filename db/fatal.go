package db

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// OnFatal sets what is called when a COMMIT to the SQLite file failed because the disk did (EIO, or any
// failure of fsync), before InTx returns. Such a process must not go on: the kernel forgets what it could
// not write, so that a second fsync may succeed over a hole, and what was written of the WAL is read only
// at the next start (reliability F29; PostgreSQL ends itself for that reason). cmd gives a function that
// ends the process at once. A full disk is no such failure: nothing was stored, and it can heal.
//
// It is to be called once, before the first InTx. PostgreSQL looks after its own disk: there fn is never called.
func (d *DB) OnFatal(fn func(error)) { d.fatal = fn }

// tell calls what OnFatal set if err, of a COMMIT, says that the disk failed.
func (d *DB) tell(err error) error {
	var e *sqlite.Error
	if d.fatal != nil && errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_IOERR {
		d.fatal(err)
	}
	return err
}
