package hsm

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// CK_FUNCTION_LIST (PKCS#11 v2.40, pkcs11t.h and pkcs11f.h): the version, then the functions in the fixed order of
// pkcs11f.h, where C_Sign is the 44th.
typedef struct {
	unsigned char version[2];
	void *function[68];
} tk_function_list;

enum { TK_C_SIGN = 43 };

// CK_ATTRIBUTE: type, value, length.
typedef struct {
	unsigned long type;
	void *value;
	unsigned long length;
} tk_attribute;

typedef unsigned long (*tk_get_function_list)(tk_function_list **);
typedef unsigned long (*tk_sign_function)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

// tk_find_sign returns the module's C_Sign, or NULL. The module is already loaded: dlopen only counts one more user.
static void *tk_find_sign(const char *path) {
	tk_function_list *list = NULL;
	void *library = dlopen(path, RTLD_LAZY);
	if (library == NULL) return NULL;
	tk_get_function_list get = (tk_get_function_list)dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&list) != 0 || list == NULL) return NULL;
	return list->function[TK_C_SIGN];
}

static unsigned long tk_sign(void *sign, unsigned long session, unsigned char *data, unsigned long length,
                             unsigned char *value, unsigned long *valueLength) {
	return ((tk_sign_function)sign)(session, data, length, value, valueLength);
}
*/
import "C"

import (
	"errors"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// This file is the only place of the program with unsafe code. It does the three things that miekg/pkcs11 cannot.

// initialize calls C_Initialize, with a string in pReserved when args is not empty. NSS reads it there, and keeps none
// of it.
func initialize(ctx *pkcs11.Ctx, args string) error {
	if args == "" {
		return ctx.Initialize()
	}
	reserved := C.CString(args)
	defer C.free(unsafe.Pointer(reserved))
	return ctx.Initialize(pkcs11.InitializeWithReserved(unsafe.Pointer(reserved)))
}

// signFunction is the module's C_Sign.
type signFunction struct{ pointer unsafe.Pointer }

// findSign looks C_Sign up in the module's function list.
func findSign(path string) (signFunction, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	p := C.tk_find_sign(name)
	if p == nil {
		return signFunction{}, errors.New("the module has no C_Sign")
	}
	return signFunction{p}, nil
}

// call makes exactly one call of C_Sign. (miekg's Sign makes two, the first to ask for the length: a counter beside
// the token could not tell one signature from two, and a module on a network would be asked twice.) value must be
// large enough for the key; the length used is returned.
func (f signFunction) call(session pkcs11.SessionHandle, data, value []byte) (int, error) {
	if len(data) == 0 || len(value) == 0 {
		return 0, pkcs11.Error(pkcs11.CKR_ARGUMENTS_BAD)
	}
	length := C.ulong(len(value))
	rv := C.tk_sign(f.pointer, C.ulong(session), (*C.uchar)(&data[0]), C.ulong(len(data)), (*C.uchar)(&value[0]), &length)
	if rv != pkcs11.CKR_OK {
		return 0, pkcs11.Error(rv)
	}
	return int(length), nil
}

// attributeArray builds the value of an attribute that is itself a list of attributes, such as CKA_UNWRAP_TEMPLATE.
// The returned bytes point into C memory, which free gives back after the call that used them.
func attributeArray(list []*pkcs11.Attribute) (value []byte, free func()) {
	size := C.size_t(len(list)) * C.size_t(unsafe.Sizeof(C.tk_attribute{}))
	base := C.malloc(size)
	array := unsafe.Slice((*C.tk_attribute)(base), len(list))
	for i, a := range list {
		array[i]._type = C.ulong(a.Type)
		array[i].value = C.CBytes(a.Value)
		array[i].length = C.ulong(len(a.Value))
	}
	free = func() {
		for i := range array {
			C.free(array[i].value)
		}
		C.free(base)
	}
	return C.GoBytes(base, C.int(size)), free
}
