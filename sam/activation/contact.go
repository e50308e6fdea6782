package activation

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"tekend/itsme/token"
)

// contact is where a person's notices go. It is the only personal data that
// the role keeps after an enrolment: in a table of its own, sealed, never in
// the audit or a log, so that deleting one row forgets it.
type contact struct {
	Email    string `json:"email"`
	Language string `json:"language"` // en, nl, fr, de
}

// maxAddress is the longest address of a path (RFC 5321 §4.5.3.1.3, without < and >).
const maxAddress = 254

// contactOf reads what itsme said: "" when it gave no address, or one that
// cannot be written to.
func contactOf(c token.Claims, language string) contact {
	if l := strings.ToLower(c.Locale); slices.Contains(noticeLanguages, l) {
		language = l
	}
	if !plainAddress(c.Email) {
		return contact{}
	}
	return contact{c.Email, language}
}

// plainAddress accepts what can stand in an SMTP command and a header as it
// is: ASCII, one address, no name, nothing quoted.
func plainAddress(s string) bool {
	if s == "" || len(s) > maxAddress || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),:;<>[\]`, c) }) {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// sealContact seals a contact with AES-256-GCM under a key that the token's
// MAC key makes for this credential alone: what a database or a backup holds
// is no address. MACs of link records are over 32 bytes, so no two uses of
// that key meet.
func (r *Role) sealContact(ctx context.Context, credential string, c contact) ([]byte, error) {
	aead, err := r.contactKey(ctx, credential)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal contact: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, []byte(credential)), nil
}

func (r *Role) contactKey(ctx context.Context, credential string) (cipher.AEAD, error) {
	key, err := r.token.MAC(ctx, r.cfg.MAC, []byte("tekend-contact/1: the key that seals the contact of "+credential))
	if err != nil {
		return nil, tokenTrouble(fmt.Errorf("key of contacts: %w", err))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of contacts: %w", err)
	}
	return cipher.NewGCM(block)
}

// contact opens the contact of a credential.
func (r *Role) contact(ctx context.Context, credential string) (contact, error) {
	var sealed []byte
	if err := r.db.QueryRowContext(ctx, "SELECT sealed FROM contacts WHERE credential = ?", credential).Scan(&sealed); err != nil {
		return contact{}, fmt.Errorf("read contact: %w", err)
	}
	aead, err := r.contactKey(ctx, credential)
	if err != nil {
		return contact{}, err
	}
	if len(sealed) < aead.NonceSize() {
		return contact{}, errors.New("the stored contact was changed")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(credential))
	if err != nil {
		return contact{}, errors.New("the stored contact was changed")
	}
	var c contact
	if err := json.Unmarshal(plain, &c); err != nil {
		return contact{}, errors.New("the stored contact was changed")
	}
	return c, nil
}

// newContact seals where the notices about a new credential go; nil for
// nowhere. It asks the token, so it comes before the transaction.
func (r *Role) newContact(ctx context.Context, credential string, e *enrolment) ([]byte, error) {
	var claims token.Claims
	if err := json.Unmarshal(e.Person, &claims); err != nil {
		return nil, fmt.Errorf("read the person of an enrolment: %w", err)
	}
	c := contactOf(claims, e.Language)
	if r.out == nil || c.Email == "" {
		return nil, nil
	}
	return r.sealContact(ctx, credential, c)
}

func (r *Role) storeContact(ctx context.Context, tx *sql.Tx, credential string, sealed []byte) error {
	if sealed == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO contacts (credential, sealed, created) VALUES (?,?,?)", credential, sealed, r.cfg.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("store contact: %w", err)
	}
	return nil
}
