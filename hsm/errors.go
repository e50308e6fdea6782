package hsm

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

var (
	// ErrBusy means that no session became free before the queue's deadline. Nothing was sent to the token.
	ErrBusy = errors.New("hsm: all sessions are busy")
	// ErrUnavailable means that the token cannot be reached and that starting the module again did not help.
	// Nothing was signed. Half a second later the next call tries again.
	ErrUnavailable = errors.New("hsm: the token is not available")
	// ErrWrongValue means that the token returned a value that the public key does not verify. The value is destroyed.
	ErrWrongValue = errors.New("hsm: the value does not verify with the public key")
	// ErrSuspended means that the key gave a wrong value since the program started and is not used any more. Such an error is
	// ErrWrongValue too.
	ErrSuspended = errors.New("hsm: a key is suspended after a wrong value")
	// ErrBlob means that a wrapped key cannot be unwrapped: it was changed, or was made under another KEK.
	ErrBlob = errors.New("hsm: the wrapped key is damaged or belongs to another KEK")
	// ErrNoKey means that no key has the label.
	ErrNoKey = errors.New("hsm: no such key in the token")
	// ErrExists means that the label is taken. Keys are never replaced.
	ErrExists = errors.New("hsm: a key with this label is already in the token")
	// ErrKEK means that the key-encryption key does not protect what it wraps (ProbeKEK).
	ErrKEK = errors.New("hsm: the KEK is not safe")
	// ErrPIN means that the token refused the PIN. It is not offered again before the program is started anew.
	ErrPIN = errors.New("hsm: the token refuses the PIN")
	// ErrClosed means that the Token was closed, or that a wrapped key is used after its one use.
	ErrClosed = errors.New("hsm: closed")
)

// Class says what must follow from a PKCS#11 return value (reliability §3.2). Zero is "not known".
type Class int

// The classes.
const (
	ClassUnknown Class = iota // not in the table: the session is replaced
	ClassRequest              // the call was wrong; the token is well
	ClassSession              // the session or a handle is no longer good
	ClassDevice               // the token or the module failed
	ClassPIN                  // the PIN is wrong or locked: no login is tried again
)

// Error is a refused PKCS#11 call. It never holds a PIN or a key.
type Error struct {
	Call  string // e.g. "C_UnwrapKey"
	RV    uint   // CKR_…
	Class Class
}

func (e *Error) Error() string { return fmt.Sprintf("hsm: %s: %v", e.Call, pkcs11.Error(e.RV)) }

// fail gives a PKCS#11 error its call and class.
func fail(call string, err error) error {
	if err == nil {
		return nil
	}
	var rv pkcs11.Error
	if !errors.As(err, &rv) {
		return fmt.Errorf("hsm: %s: %w", call, err)
	}
	return &Error{Call: call, RV: uint(rv), Class: classes[uint(rv)]}
}

// classOf is the class of a wrapped Error, ClassUnknown for others.
func classOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassUnknown
}

// pinRefused tells whether a login was refused because of its PIN. Other calls offer no PIN, whatever they answer.
func pinRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Call == "C_Login" && e.Class == ClassPIN
}

// needsReinit tells whether only C_Finalize and C_Initialize can help: SoftHSM answers a lost token directory with
// invalid handles and general errors, and goes on doing so when the directory is back (performance §5.4).
func needsReinit(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.RV {
	case pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED:
		return false // a new session is enough
	}
	return e.Class == ClassDevice || e.Class == ClassSession
}

// classes is the table of reliability §3.2.
var classes = map[uint]Class{
	pkcs11.CKR_ARGUMENTS_BAD:              ClassRequest,
	pkcs11.CKR_ACTION_PROHIBITED:          ClassRequest,
	pkcs11.CKR_ATTRIBUTE_READ_ONLY:        ClassRequest,
	pkcs11.CKR_ATTRIBUTE_SENSITIVE:        ClassRequest,
	pkcs11.CKR_ATTRIBUTE_TYPE_INVALID:     ClassRequest,
	pkcs11.CKR_ATTRIBUTE_VALUE_INVALID:    ClassRequest,
	pkcs11.CKR_BUFFER_TOO_SMALL:           ClassRequest,
	pkcs11.CKR_DATA_INVALID:               ClassRequest,
	pkcs11.CKR_DATA_LEN_RANGE:             ClassRequest,
	pkcs11.CKR_ENCRYPTED_DATA_INVALID:     ClassRequest,
	pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE:   ClassRequest,
	pkcs11.CKR_FUNCTION_NOT_SUPPORTED:     ClassRequest,
	pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED: ClassRequest,
	pkcs11.CKR_KEY_NOT_WRAPPABLE:          ClassRequest,
	pkcs11.CKR_KEY_SIZE_RANGE:             ClassRequest,
	pkcs11.CKR_KEY_TYPE_INCONSISTENT:      ClassRequest,
	pkcs11.CKR_KEY_UNEXTRACTABLE:          ClassRequest,
	pkcs11.CKR_MECHANISM_INVALID:          ClassRequest,
	pkcs11.CKR_MECHANISM_PARAM_INVALID:    ClassRequest,
	pkcs11.CKR_SESSION_READ_ONLY:          ClassRequest,
	pkcs11.CKR_TEMPLATE_INCOMPLETE:        ClassRequest,
	pkcs11.CKR_TEMPLATE_INCONSISTENT:      ClassRequest,
	pkcs11.CKR_TOKEN_WRITE_PROTECTED:      ClassRequest,
	pkcs11.CKR_WRAPPED_KEY_INVALID:        ClassRequest,
	pkcs11.CKR_WRAPPED_KEY_LEN_RANGE:      ClassRequest,

	pkcs11.CKR_KEY_HANDLE_INVALID:            ClassSession,
	pkcs11.CKR_OBJECT_HANDLE_INVALID:         ClassSession,
	pkcs11.CKR_OPERATION_ACTIVE:              ClassSession,
	pkcs11.CKR_OPERATION_NOT_INITIALIZED:     ClassSession,
	pkcs11.CKR_SESSION_CLOSED:                ClassSession,
	pkcs11.CKR_SESSION_HANDLE_INVALID:        ClassSession,
	pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID: ClassSession,
	pkcs11.CKR_USER_NOT_LOGGED_IN:            ClassSession,
	pkcs11.CKR_WRAPPING_KEY_HANDLE_INVALID:   ClassSession,

	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED: ClassDevice,
	pkcs11.CKR_DEVICE_ERROR:             ClassDevice,
	pkcs11.CKR_DEVICE_MEMORY:            ClassDevice,
	pkcs11.CKR_DEVICE_REMOVED:           ClassDevice,
	pkcs11.CKR_FUNCTION_FAILED:          ClassDevice,
	pkcs11.CKR_GENERAL_ERROR:            ClassDevice,
	pkcs11.CKR_HOST_MEMORY:              ClassDevice,
	pkcs11.CKR_SLOT_ID_INVALID:          ClassDevice,
	pkcs11.CKR_TOKEN_NOT_PRESENT:        ClassDevice,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:     ClassDevice,

	pkcs11.CKR_PIN_EXPIRED:              ClassPIN,
	pkcs11.CKR_PIN_INCORRECT:            ClassPIN,
	pkcs11.CKR_PIN_INVALID:              ClassPIN,
	pkcs11.CKR_PIN_LEN_RANGE:            ClassPIN,
	pkcs11.CKR_PIN_LOCKED:               ClassPIN,
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED: ClassPIN,
}
