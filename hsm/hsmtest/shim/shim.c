//go:build ignore

// A PKCS#11 module (v2.40) that stands between the program and a real module. It is the oracle of the tests: it writes
// down every signature that the token is asked for before it is asked, and on order it misbehaves as a token can. It is
// compiled by shim.Build, never part of the product, and tekend-trusted refuses it unless its configuration says
// test_only.
//
// Environment, read at C_GetFunctionList (module) and at each C_Initialize (the two files):
//   TEKEND_SHIM_MODULE  the real module
//   TEKEND_SHIM_ORACLE  file that gets one line, in one write, for each event; see shim.go for the lines
//   TEKEND_SHIM_FAULTS  file of orders, looked at in each call; see shim.go for the lines
//
// Every argument of a PKCS#11 function is a machine word (a number, a handle or a pointer), so one table and one
// function serve all 68 of them.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long word;
typedef struct { word type; void *value; word length; } attribute; // CK_ATTRIBUTE
typedef struct { word type; void *parameter; word length; } mechanism; // CK_MECHANISM
typedef struct { unsigned char version[2]; void *function[68]; } function_list; // CK_FUNCTION_LIST

enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5, CKR_DEVICE_ERROR = 0x30, CKA_LABEL = 3, CKA_ID = 0x102, CKA_MODULUS = 0x120, CKA_EC_POINT = 0x181 };

// The functions in the order of pkcs11f.h: number of arguments; which argument is the output that a fault can change
// and which points to its length (0: none, or the output is one CK_ULONG); whether calls are written down.
#define FUNCTIONS(X) \
	X(C_Initialize, 1, 0, 0, 1) X(C_Finalize, 1, 0, 0, 1) X(C_GetInfo, 1, 0, 0, 0) X(C_GetFunctionList, 1, 0, 0, 0) \
	X(C_GetSlotList, 3, 0, 0, 0) X(C_GetSlotInfo, 2, 0, 0, 0) X(C_GetTokenInfo, 2, 0, 0, 0) X(C_GetMechanismList, 3, 0, 0, 0) \
	X(C_GetMechanismInfo, 3, 0, 0, 0) X(C_InitToken, 4, 0, 0, 0) X(C_InitPIN, 3, 0, 0, 0) X(C_SetPIN, 5, 0, 0, 0) \
	X(C_OpenSession, 5, 5, 0, 1) X(C_CloseSession, 1, 0, 0, 1) X(C_CloseAllSessions, 1, 0, 0, 0) X(C_GetSessionInfo, 2, 0, 0, 0) \
	X(C_GetOperationState, 3, 0, 0, 0) X(C_SetOperationState, 5, 0, 0, 0) X(C_Login, 4, 0, 0, 1) X(C_Logout, 1, 0, 0, 1) \
	X(C_CreateObject, 4, 4, 0, 1) X(C_CopyObject, 5, 5, 0, 1) X(C_DestroyObject, 2, 0, 0, 0) X(C_GetObjectSize, 3, 0, 0, 0) \
	X(C_GetAttributeValue, 4, 0, 0, 0) X(C_SetAttributeValue, 4, 0, 0, 0) X(C_FindObjectsInit, 3, 0, 0, 0) \
	X(C_FindObjects, 4, 2, 0, 0) X(C_FindObjectsFinal, 1, 0, 0, 0) \
	X(C_EncryptInit, 3, 0, 0, 0) X(C_Encrypt, 5, 4, 5, 0) X(C_EncryptUpdate, 5, 4, 5, 0) X(C_EncryptFinal, 3, 2, 3, 0) \
	X(C_DecryptInit, 3, 0, 0, 0) X(C_Decrypt, 5, 4, 5, 0) X(C_DecryptUpdate, 5, 4, 5, 0) X(C_DecryptFinal, 3, 2, 3, 0) \
	X(C_DigestInit, 2, 0, 0, 0) X(C_Digest, 5, 4, 5, 0) X(C_DigestUpdate, 3, 0, 0, 0) X(C_DigestKey, 2, 0, 0, 0) X(C_DigestFinal, 3, 2, 3, 0) \
	X(C_SignInit, 3, 0, 0, 0) X(C_Sign, 5, 4, 5, 1) X(C_SignUpdate, 3, 0, 0, 1) X(C_SignFinal, 3, 2, 3, 1) \
	X(C_SignRecoverInit, 3, 0, 0, 1) X(C_SignRecover, 5, 4, 5, 1) \
	X(C_VerifyInit, 3, 0, 0, 0) X(C_Verify, 5, 0, 0, 0) X(C_VerifyUpdate, 3, 0, 0, 0) X(C_VerifyFinal, 3, 0, 0, 0) \
	X(C_VerifyRecoverInit, 3, 0, 0, 0) X(C_VerifyRecover, 5, 4, 5, 0) \
	X(C_DigestEncryptUpdate, 5, 4, 5, 0) X(C_DecryptDigestUpdate, 5, 4, 5, 0) X(C_SignEncryptUpdate, 5, 4, 5, 1) X(C_DecryptVerifyUpdate, 5, 4, 5, 0) \
	X(C_GenerateKey, 5, 5, 0, 1) X(C_GenerateKeyPair, 8, 8, 0, 1) X(C_WrapKey, 6, 5, 6, 1) X(C_UnwrapKey, 8, 8, 0, 1) X(C_DeriveKey, 6, 6, 0, 1) \
	X(C_SeedRandom, 3, 0, 0, 0) X(C_GenerateRandom, 3, 0, 0, 0) X(C_GetFunctionStatus, 1, 0, 0, 0) X(C_CancelFunction, 1, 0, 0, 0) \
	X(C_WaitForSlotEvent, 3, 0, 0, 0)

#define NUMBER(name, ...) F_##name,
enum { FUNCTIONS(NUMBER) COUNT };
#define ENTRY(name, arity, out, length, logged) {#name, arity, out, length, logged},
static const struct { const char *name; int arity, out, length, logged; } functions[COUNT] = {FUNCTIONS(ENTRY)};

static function_list *real; // the module behind
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards all that follows
static int oracle = -1;
static char *faults_path;
static long made[COUNT]; // calls since the process started

static void die(const char *what, const char *detail) {
	fprintf(stderr, "tekend shim: %s %s: %s\n", what, detail, strerror(errno));
	abort(); // an oracle that cannot write down what happens must not let it happen
}

// SHA-256 (FIPS 180-4), to name a wrapped key.

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const unsigned char *p) {
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
		0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
		0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
		0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
		0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
		0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
	uint32_t w[64], v[8];
	for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t a = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t b = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof v[0]);
		v[4] += a;
		v[0] = a + b;
	}
	for (int i = 0; i < 8; i++) h[i] += v[i];
}

static void sha256_hex(const unsigned char *p, size_t n, char out[65]) {
	uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	unsigned char last[128] = {0};
	size_t whole = n / 64 * 64, rest = n - whole, end = rest < 56 ? 64 : 128;
	for (size_t i = 0; i < whole; i += 64) sha256_block(h, p + i);
	memcpy(last, p + whole, rest);
	last[rest] = 0x80;
	for (int i = 0; i < 8; i++) last[end - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
	for (size_t i = 0; i < end; i += 64) sha256_block(h, last + i);
	for (int i = 0; i < 8; i++) sprintf(out + 8 * i, "%08x", h[i]);
}

// Names of keys: what a C_Sign is written down with.

typedef struct { char key[80], label[140]; } identity;
typedef struct { word session, handle; identity id; } object; // an unwrapped key
typedef struct { word session, mechanism; identity id; } operation; // what C_SignInit prepared

static object objects[4096];
static operation operations[4096];
static size_t objects_used, operations_used; // none was ever used from there on

// find_object returns the entry for session and handle, or a free one for 0 and 0.
static object *find_object(word session, word handle) {
	for (size_t i = 0; i < objects_used; i++)
		if (objects[i].session == session && objects[i].handle == handle) return &objects[i];
	int more = session == 0 && objects_used < sizeof objects / sizeof *objects;
	return more ? &objects[objects_used++] : NULL;
}

static operation *find_operation(word session) {
	for (size_t i = 0; i < operations_used; i++)
		if (operations[i].session == session) return &operations[i];
	int more = session == 0 && operations_used < sizeof operations / sizeof *operations;
	return more ? &operations[operations_used++] : NULL;
}

static void hex(char *out, const unsigned char *p, size_t n) {
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) *out++ = digits[p[i] >> 4], *out++ = digits[p[i] & 15];
	*out = 0;
}

// read_attribute asks the real module; it returns the length, 0 if there is none.
static size_t read_attribute(word session, word handle, word type, unsigned char *value, size_t size) {
	attribute a = {type, value, size};
	word rv = ((word(*)(word, word, attribute *, word))real->function[F_C_GetAttributeValue])(session, handle, &a, 1);
	return rv == CKR_OK && a.length <= size ? a.length : 0;
}

// name_key finds the best name of a key: of an unwrapped one the hash of its blob, else CKA_ID, else the hash of its
// modulus or point, else the handle.
static identity name_key(word session, word handle) {
	identity id = {"", "-"};
	unsigned char value[1024];
	size_t n = read_attribute(session, handle, CKA_LABEL, value, 64);
	if (n > 0) hex(id.label, value, n);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < objects_used; i++)
		if (objects[i].session != 0 && objects[i].handle == handle) strcpy(id.key, objects[i].id.key);
	pthread_mutex_unlock(&lock);
	if (id.key[0] != 0) return id;
	if ((n = read_attribute(session, handle, CKA_ID, value, 32)) > 0) {
		strcpy(id.key, "id:");
		hex(id.key + 3, value, n);
	} else if ((n = read_attribute(session, handle, CKA_MODULUS, value, sizeof value)) > 0 ||
	           (n = read_attribute(session, handle, CKA_EC_POINT, value, sizeof value)) > 0) {
		strcpy(id.key, "pub:");
		sha256_hex(value, n, id.key + 4);
	} else {
		sprintf(id.key, "handle:%lu", handle);
	}
	return id;
}

// remember keeps the names of keys and operations up to date after a call that succeeded.
static void remember(int f, const word *a) {
	identity id = {"", "-"};
	if (f == F_C_SignInit) id = name_key(a[0], a[2]);
	pthread_mutex_lock(&lock);
	if (f == F_C_SignInit) {
		operation *o = find_operation(a[0]);
		if (o == NULL) o = find_operation(0);
		if (o == NULL) die("too many", "sessions");
		*o = (operation){a[0], ((mechanism *)a[1])->type, id};
	} else if (f == F_C_UnwrapKey) {
		object *o = find_object(0, 0);
		if (o == NULL) die("too many", "objects");
		*o = (object){a[0], *(word *)a[7], {"blob:", "-"}};
		sha256_hex((unsigned char *)a[3], a[4], o->id.key + 5);
	} else if (f == F_C_DestroyObject) {
		object *o = find_object(a[0], a[1]);
		if (o != NULL) *o = (object){0};
	} else if (f == F_C_CloseSession || f == F_C_CloseAllSessions || f == F_C_Finalize) {
		for (size_t i = 0; i < objects_used; i++)
			if (f != F_C_CloseSession || objects[i].session == a[0]) objects[i] = (object){0};
		for (size_t i = 0; i < operations_used; i++)
			if (f != F_C_CloseSession || operations[i].session == a[0]) operations[i] = (operation){0};
	}
	pthread_mutex_unlock(&lock);
}

// The oracle's lines.

static void tell(char *line, int n) {
	if (oracle < 0) return;
	for (int try = 0; try < 3; try++) // a test may let the first write of the process fail
		if (write(oracle, line, n) == n) return;
	die("cannot write", "TEKEND_SHIM_ORACLE");
}

// before_sign writes down what the token will be asked to sign.
static void before_sign(long n, const word *a) {
	pthread_mutex_lock(&lock);
	operation *known = find_operation(a[0]);
	operation o = known != NULL ? *known : (operation){a[0], 0, {"none", "-"}};
	pthread_mutex_unlock(&lock);
	char *line = malloc(512 + 2 * a[2]), *data = malloc(2 * a[2] + 1);
	if (line == NULL || data == NULL) die("no", "memory");
	hex(data, (unsigned char *)a[1], a[2]);
	tell(line, sprintf(line, "before C_Sign pid=%d n=%ld session=%lu key=%s label=%s mech=0x%lx data=%s\n", getpid(), n, a[0],
	                   o.id.key, o.id.label, o.mechanism, data));
	free(line);
	free(data);
}

static void after(int f, long n, const word *a, word rv) {
	char line[256], key[80] = "-";
	word session = f < F_C_CloseSession ? 0 : a[0];
	if (f == F_C_OpenSession && rv == CKR_OK) session = *(word *)a[4];
	if (f == F_C_UnwrapKey) strcpy(key, "blob:"), sha256_hex((unsigned char *)a[3], a[4], key + 5);
	if (f == F_C_WrapKey && rv == CKR_OK) strcpy(key, "blob:"), sha256_hex((unsigned char *)a[4], *(word *)a[5], key + 5);
	tell(line, sprintf(line, "after %s pid=%d n=%ld session=%lu key=%s rv=0x%lx\n", functions[f].name, getpid(), n, session, key, rv));
}

// Orders to misbehave.

enum { NOTHING, RV, DELAY, LATE, FLIP, LOSE, DROP };
static const char *const actions[] = {"", "rv", "delay", "late", "flip", "lose", "drop"};
typedef struct { int function, action; word value; long from, until; } order;

static order orders[64];
static int order_count;
static char orders_text[8192];
static long order_calls[COUNT]; // calls since the orders changed
static unsigned long generation;

// parse reads one line: C_Name when=N|from=N [until=N]|every action=NAME[:NUMBER].
static void parse(char *line) {
	order o = {-1, NOTHING, 0, 0, 0};
	char *save = NULL, *name = strtok_r(line, " \t", &save);
	if (name == NULL || name[0] == '#') return;
	for (int f = 0; f < COUNT; f++)
		if (strcmp(functions[f].name, name) == 0) o.function = f;
	for (char *w; (w = strtok_r(NULL, " \t", &save)) != NULL;) {
		if (strncmp(w, "when=", 5) == 0) o.from = o.until = atol(w + 5);
		else if (strncmp(w, "from=", 5) == 0) o.from = atol(w + 5), o.until = o.until ? o.until : -1;
		else if (strncmp(w, "until=", 6) == 0) o.until = atol(w + 6);
		else if (strcmp(w, "every") == 0) o.from = 1, o.until = -1;
		else if (strncmp(w, "action=", 7) == 0) {
			char *colon = strchr(w += 7, ':');
			if (colon != NULL) *colon = 0, o.value = strtoul(colon + 1, NULL, 0);
			for (int k = RV; k <= DROP; k++)
				if (strcmp(actions[k], w) == 0) o.action = k;
		} else o.function = -1;
	}
	int flipped = o.action != FLIP || (o.function >= 0 && functions[o.function].out > 0);
	if (o.function < 0 || o.action == NOTHING || o.from < 1 || !flipped || order_count == sizeof orders / sizeof *orders)
		die("an order that cannot be understood, for", name);
	orders[order_count++] = o;
}

// refresh reads the orders when they changed. Call it with the lock held.
static void refresh(void) {
	char text[sizeof orders_text] = "";
	int fd = faults_path != NULL ? open(faults_path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof text - 1);
		if (n < 0 || n == sizeof text - 1) die("cannot read", "TEKEND_SHIM_FAULTS");
		text[n] = 0;
		close(fd);
	}
	if (strcmp(text, orders_text) == 0) return;
	strcpy(orders_text, text);
	generation++;
	order_count = 0;
	memset(order_calls, 0, sizeof order_calls);
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char copy[512];
		snprintf(copy, sizeof copy, "%s", line);
		parse(copy);
	}
}

// next counts a call and returns the order for it.
static order next(int f, long *n) {
	order found = {f, NOTHING, 0, 0, 0};
	pthread_mutex_lock(&lock);
	refresh();
	*n = ++made[f];
	long c = ++order_calls[f];
	for (int i = order_count - 1; i >= 0; i--)
		if (orders[i].function == f && c >= orders[i].from && (orders[i].until < 0 || c <= orders[i].until)) found = orders[i];
	pthread_mutex_unlock(&lock);
	return found;
}

// pause_for waits, but not longer than the orders stand: a test ends a hanging call by taking the order back.
static void pause_for(word milliseconds) {
	pthread_mutex_lock(&lock);
	unsigned long start = generation;
	for (word i = 0; i < milliseconds && generation == start; i += 5) {
		pthread_mutex_unlock(&lock);
		nanosleep(&(struct timespec){0, 5000000}, NULL);
		pthread_mutex_lock(&lock);
		refresh();
	}
	pthread_mutex_unlock(&lock);
}

// setup reads the environment. A second C_Initialize may find other files.
static void setup(void) {
	const char *o = getenv("TEKEND_SHIM_ORACLE"), *f = getenv("TEKEND_SHIM_FAULTS");
	pthread_mutex_lock(&lock);
	if (oracle >= 0) close(oracle);
	oracle = o != NULL && *o != 0 ? open(o, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (o != NULL && *o != 0 && oracle < 0) die("cannot open", o);
	free(faults_path);
	faults_path = f != NULL && *f != 0 ? strdup(f) : NULL;
	pthread_mutex_unlock(&lock);
}

// Calls.

static word forward(int f, const word *a) {
	void *p = real->function[f];
	switch (functions[f].arity) {
	case 1: return ((word(*)(word))p)(a[0]);
	case 2: return ((word(*)(word, word))p)(a[0], a[1]);
	case 3: return ((word(*)(word, word, word))p)(a[0], a[1], a[2]);
	case 4: return ((word(*)(word, word, word, word))p)(a[0], a[1], a[2], a[3]);
	case 5: return ((word(*)(word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4]);
	case 6: return ((word(*)(word, word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4], a[5]);
	case 8: return ((word(*)(word, word, word, word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
	}
	return CKR_GENERAL_ERROR;
}

// spoil flips one bit of the output, another one in each call, or wipes it.
static void spoil(int f, const word *a, long n, int wipe) {
	unsigned char *out = functions[f].out > 0 ? (unsigned char *)a[functions[f].out - 1] : NULL;
	if (out == NULL) return;
	word length = functions[f].length > 0 ? *(word *)a[functions[f].length - 1] : sizeof(word);
	if (wipe) memset(out, 0, length);
	else if (length > 0) out[(word)n * 7 % length] ^= 1 << n % 8;
}

static word pass(int f, word *a) {
	if (f == F_C_Initialize) setup();
	if (functions[f].length > 0 && a[functions[f].out - 1] == 0) return forward(f, a); // only asks for the length
	long n;
	order o = next(f, &n);
	if (o.action != NOTHING) {
		char line[160];
		tell(line, sprintf(line, "fault %s pid=%d n=%ld action=%s:0x%lx\n", functions[f].name, getpid(), n, actions[o.action], o.value));
	}
	if (o.action == RV) return o.value;
	if (o.action == DROP) return CKR_DEVICE_ERROR;
	if (f == F_C_Sign) before_sign(n, a);
	if (o.action == DELAY) pause_for(o.value);
	word rv = forward(f, a);
	if (rv == CKR_OK) remember(f, a);
	if (functions[f].logged) after(f, n, a, rv);
	if (o.action == LATE) pause_for(o.value);
	if (o.action == FLIP && rv == CKR_OK) spoil(f, a, n, 0);
	if (o.action == LOSE) {
		if (rv == CKR_OK) spoil(f, a, n, 1);
		return CKR_DEVICE_ERROR;
	}
	return rv;
}

#define P1 word a
#define P2 P1, word b
#define P3 P2, word c
#define P4 P3, word d
#define P5 P4, word e
#define P6 P5, word f
#define P8 P6, word g, word h
#define A1 a
#define A2 A1, b
#define A3 A2, c
#define A4 A3, d
#define A5 A4, e
#define A6 A5, f
#define A8 A6, g, h
#define DEFINE(name, arity, ...) static word shim_##name(P##arity) { return pass(F_##name, (word[]){A##arity}); }
FUNCTIONS(DEFINE)
#define POINTER(name, ...) shim_##name,
static function_list list = {{2, 40}, {FUNCTIONS(POINTER)}};

__attribute__((visibility("default"))) word C_GetFunctionList(function_list **out) {
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&once);
	if (real == NULL) {
		const char *path = getenv("TEKEND_SHIM_MODULE");
		void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
		word (*get)(function_list **) = library != NULL ? (word(*)(function_list **))dlsym(library, "C_GetFunctionList") : NULL;
		if (get == NULL || get(&real) != CKR_OK) {
			const char *why = library == NULL && path != NULL ? dlerror() : "it must name a PKCS#11 module";
			fprintf(stderr, "tekend shim: TEKEND_SHIM_MODULE: %s\n", why);
			real = NULL;
		}
		list.function[F_C_GetFunctionList] = (void *)C_GetFunctionList;
	}
	pthread_mutex_unlock(&once);
	if (out == NULL || real == NULL) return CKR_GENERAL_ERROR;
	*out = &list;
	return CKR_OK;
}
