package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// trustedList is where `make trusted-list` puts a sandbox's trusted list
// (TS 119 612). It is made by EU DSS, which needs Java, so a sandbox has none
// until somebody wants one.
const trustedList = "pki/trusted-list.xml"

// trustedList gives the list's place below D, "" while there is none.
func (s *sandbox) trustedList() string {
	if _, err := os.Stat(s.path(trustedList)); err != nil {
		return ""
	}
	return trustedList
}

// waitForEnd returns when ctx is over and tells sandbox.json meanwhile about
// a trusted list that came or went.
func (s *sandbox) waitForEnd(ctx context.Context) {
	told := s.trustedList()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if now := s.trustedList(); now != told {
			if err := s.writeInfo(); err != nil {
				fmt.Fprintln(s.p.stderr, "tekend:", err)
				continue
			}
			told = now
		}
	}
}
