// Package authority is the role tsa: a time-stamping unit behind POST /tsa
// (RFC 3161, EN 319 421, EN 319 422). It has its own database, and its key
// comes as a crypto.Signer.
//
// A token is made in this order: the request is read by our strict parser;
// genTime, by a clock that is held against independent sources, a new serial
// number and the audit row are stored in one durable transaction; the key
// signs; the token is checked; the clock is asked once more; it leaves.
package authority

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/clock"
)

// Config is the role's part of its YAML file.
type Config struct {
	// Audit is the section `audit:` of the role's file. Without a key file the
	// record has no checkpoints; tekend-trusted refuses to start so.
	Audit audit.LogConfig `yaml:"-"`
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// DiskFailed is called when the disk failed under a COMMIT, and does not return: see db.OnFatal. Nil: nothing is done.
	DiskFailed func(error) `yaml:"-"`
	// Log gets the causes of answers systemFailure; nil: nowhere.
	Log *slog.Logger `yaml:"-"`

	// DB is the role's database: an SQLite file, created with mode 0600, or a
	// PostgreSQL URL (package db, Open) of a database that is this role's alone.
	// Required. Example: /srv/tekend/tsa/tsa.db
	DB string `yaml:"db"`
	// Policy is the TSA policy that tokens state, dotted. Default: our test
	// policy for time-stamps (certs.PolicyTestTimeStamp).
	Policy string `yaml:"policy"`
	// Accuracy is how far the clock may be from UTC, stated in each token. Default
	// 500ms, at most 1s (EN 319 421 7.7.2).
	Accuracy time.Duration `yaml:"accuracy"`
	// Qualified makes each token say that it is a qualified electronic time-stamp
	// (EN 319 422 §9.1). A key makes tokens of one kind for ever (EN 319 421
	// TIS-8.2-01): the other kind is refused at the start. Default false.
	Qualified bool `yaml:"qualified"`
	// Clock names the sources of time that the clock is held against. Without it
	// nobody notices a wrong clock, and health says so.
	Clock *clock.Config `yaml:"clock"`
	// Rate is how many tokens are made in a second, at most, on the average of
	// two; the rest is answered 503 with Retry-After. Default 200.
	Rate int `yaml:"rate"`
}

const (
	defaultAccuracy = 500 * time.Millisecond
	maxAccuracy     = time.Second
	defaultRate     = 200
)

// complete fills in defaults and says what is wrong.
func (c *Config) complete() (policy asn1.ObjectIdentifier, err error) {
	if c.Now == nil {
		return nil, errors.New("tsa: Config.Now is missing")
	}
	if c.DB == "" {
		return nil, errors.New("tsa: db is missing")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Audit.Now, c.Audit.Log = c.Now, c.Log
	if c.Accuracy == 0 {
		c.Accuracy = defaultAccuracy
	}
	// Below a millisecond genTime itself is too coarse.
	if c.Accuracy < time.Millisecond || c.Accuracy > maxAccuracy {
		return nil, fmt.Errorf("tsa: accuracy must be within 1ms and %v", maxAccuracy)
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.Rate < 0 {
		return nil, errors.New("tsa: rate must not be negative")
	}
	if c.Policy == "" {
		return certs.PolicyTestTimeStamp, nil
	}
	for part := range strings.SplitSeq(c.Policy, ".") {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 {
			return nil, errors.New("tsa: policy is not an object identifier")
		}
		policy = append(policy, int(n))
	}
	if len(policy) < 2 || policy[0] > 2 || policy[0] < 2 && policy[1] > 39 {
		return nil, errors.New("tsa: policy is not an object identifier")
	}
	return policy, nil
}
