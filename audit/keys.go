package audit

import (
	"crypto/ed25519"

	"golang.org/x/mod/sumdb/note"
)

// VerifierKeys gives what a stranger needs to verify a checkpoint of this log:
// its verifier key, and those of the configured witnesses that cosigned it (C2SP
// signed-note vkeys). enough says whether these are as many as the log needs. A
// nil Log has none.
func (l *Log) VerifierKeys(checkpoint string) (log string, witnesses []string, enough bool) {
	if l == nil {
		return "", nil, false
	}
	s, ok := l.signer.(*signer)
	if !ok {
		return "", nil, false
	}
	pub, ok := s.key.Public().(ed25519.PublicKey)
	if !ok {
		return "", nil, false
	}
	for i, p := range l.peers {
		if _, err := note.Open([]byte(checkpoint), note.VerifierList(p.verifier)); err == nil {
			witnesses = append(witnesses, l.cfg.Witnesses[i].Key)
		}
	}
	return VerifierKey(l.cfg.Origin, pub), witnesses, len(witnesses) >= l.cfg.Need
}
