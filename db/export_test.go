package db

import "time"

// PasswordOf is the password that a connection to source would use.
func PasswordOf(source string) (string, error) {
	cfg, err := address(source)
	if err != nil {
		return "", err
	}
	return cfg.Password, nil
}

// Rebind is for its table of tests.
var Rebind = rebind

// AskFor changes how long d asks for the outcome of a COMMIT.
func AskFor(d *DB, limit time.Duration) { d.ask = limit }
