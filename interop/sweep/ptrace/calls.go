//go:build linux && amd64

package ptrace

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Fault is what happens to the chosen call.
type Fault int

const (
	// None only counts.
	None Fault = iota
	// Kill ends the process with SIGKILL before the call is executed. Every call may be chosen: a process can be killed
	// anywhere, also while it waits.
	Kill
	// EIO lets the call fail with EIO, not executed.
	EIO
	// ENOSPC lets the call fail with ENOSPC, not executed.
	ENOSPC
)

func (f Fault) String() string { return [...]string{"none", "kill", "EIO", "ENOSPC"}[f] }

// Faults are the three faults of reliability §8 no. 2.
var Faults = []Fault{Kill, EIO, ENOSPC}

// about is where a call names what it works on.
type about int

const (
	byFD   about = iota // first argument is a descriptor
	byName              // second argument is a path, the first a directory's descriptor
	byPath              // first argument is a path
)

// failing are the calls that get errors: those in which Linux can give one because of the device below.
//
// EIO: whatever moves data or metadata of a file between memory and device, and the taking of its locks (for which it
// stands for ENOLCK too); read and write of a socket too, which a driver can fail. Not: the release of a lock, which
// needs neither device nor memory (SQLite would keep such a lock without a word until the process ends); anything on eventfd, timerfd, epoll, /proc and
// /dev/urandom, which have no device below (Go ends the process when its own eventfd fails: that would be a kill under
// another name), futex, mmap, clock and signal calls, and close, whose error nobody can act on.
//
// ENOSPC: only what may need a new block or inode, and fsync, where a file system that allocates late says so.
var failing = map[uint64]struct {
	names about
	space bool // ENOSPC too
}{
	unix.SYS_OPENAT: {byName, true}, unix.SYS_OPEN: {byPath, true}, // ENOSPC: with O_CREAT
	unix.SYS_READ: {byFD, false}, unix.SYS_READV: {byFD, false}, unix.SYS_PREAD64: {byFD, false}, unix.SYS_PREADV: {byFD, false},
	unix.SYS_WRITE: {byFD, true}, unix.SYS_WRITEV: {byFD, true}, unix.SYS_PWRITE64: {byFD, true}, unix.SYS_PWRITEV: {byFD, true},
	unix.SYS_FSYNC: {byFD, true}, unix.SYS_FDATASYNC: {byFD, true},
	unix.SYS_FTRUNCATE: {byFD, true}, unix.SYS_FALLOCATE: {byFD, true},
	unix.SYS_GETDENTS64: {byFD, false}, unix.SYS_FCNTL: {byFD, false}, // fcntl: taking locks
	unix.SYS_RENAME: {byPath, true}, unix.SYS_RENAMEAT: {byName, true}, unix.SYS_RENAMEAT2: {byName, true},
	unix.SYS_MKDIR: {byPath, true}, unix.SYS_MKDIRAT: {byName, true},
	unix.SYS_UNLINK: {byPath, false}, unix.SYS_UNLINKAT: {byName, false}, unix.SYS_RMDIR: {byPath, false},
}

// on says what a call works on: a path, "socket:[n]", "anon_inode:…"; "" when it is of no interest.
func on(pid int, r *unix.PtraceRegs) string {
	f, known := failing[r.Orig_rax]
	if !known {
		return ""
	}
	switch f.names {
	case byName:
		return text(pid, r.Rsi)
	case byPath:
		return text(pid, r.Rdi)
	}
	if r.Orig_rax == unix.SYS_FCNTL && !takesLock(pid, r) {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, int32(r.Rdi)))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// takesLock tells whether a fcntl takes a lock: struct flock begins with a short that is F_UNLCK when it frees one.
func takesLock(pid int, r *unix.PtraceRegs) bool {
	if r.Rsi != unix.F_SETLK && r.Rsi != unix.F_SETLKW {
		return false
	}
	kind := make([]byte, 2)
	return memory(pid, r.Rdx, kind) == len(kind) && binary.NativeEndian.Uint16(kind) != unix.F_UNLCK
}

// text reads a path of the process, as far as its page goes.
func text(pid int, address uint64) string {
	b := make([]byte, min(4096-address%4096, 512))
	path, _, _ := strings.Cut(string(b[:memory(pid, address, b)]), "\x00")
	return path
}

// memory reads from the process into b and says how many bytes it got.
func memory(pid int, address uint64, b []byte) int {
	n, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}},
		[]unix.RemoteIovec{{Base: uintptr(address), Len: len(b)}}, 0)
	if err != nil {
		return 0
	}
	return n
}

// takes says whether the fault may be given to the call.
func (f Fault) takes(r *unix.PtraceRegs, path string) bool {
	switch f {
	case None:
		return false
	case Kill:
		return true
	}
	c, known := failing[r.Orig_rax]
	file := path != "" && !strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/sys/") &&
		!strings.HasPrefix(path, "anon_inode:") && !strings.HasPrefix(path, "pipe:")
	if !known || !file {
		return false
	}
	socket := strings.HasPrefix(path, "socket:")
	switch {
	case r.Orig_rax == unix.SYS_FCNTL:
		return f == EIO && !socket
	case f == EIO:
		return true
	case r.Orig_rax == unix.SYS_OPENAT:
		return r.Rdx&unix.O_CREAT != 0
	case r.Orig_rax == unix.SYS_OPEN:
		return r.Rsi&unix.O_CREAT != 0
	}
	return c.space && !socket
}

// names of calls that a Go program with cgo, SQLite and SoftHSM makes.
var names = map[uint64]string{
	unix.SYS_OPENAT: "openat", unix.SYS_OPEN: "open", unix.SYS_READ: "read", unix.SYS_READV: "readv", unix.SYS_PREAD64: "pread64",
	unix.SYS_PREADV: "preadv", unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev", unix.SYS_PWRITE64: "pwrite64", unix.SYS_PWRITEV: "pwritev",
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate",
	unix.SYS_GETDENTS64: "getdents64", unix.SYS_FCNTL: "fcntl", unix.SYS_RENAME: "rename", unix.SYS_RENAMEAT: "renameat",
	unix.SYS_RENAMEAT2: "renameat2", unix.SYS_MKDIR: "mkdir", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_UNLINK: "unlink",
	unix.SYS_UNLINKAT: "unlinkat", unix.SYS_RMDIR: "rmdir", unix.SYS_CLOSE: "close", unix.SYS_STAT: "stat", unix.SYS_FSTAT: "fstat",
	unix.SYS_LSTAT: "lstat", unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_LSEEK: "lseek", unix.SYS_ACCESS: "access", unix.SYS_MMAP: "mmap",
	unix.SYS_MUNMAP: "munmap", unix.SYS_MPROTECT: "mprotect", unix.SYS_MADVISE: "madvise", unix.SYS_BRK: "brk", unix.SYS_FUTEX: "futex",
	unix.SYS_EPOLL_CTL: "epoll_ctl", unix.SYS_EPOLL_PWAIT: "epoll_pwait", unix.SYS_EPOLL_WAIT: "epoll_wait", unix.SYS_NANOSLEEP: "nanosleep",
	unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep", unix.SYS_SOCKET: "socket", unix.SYS_CONNECT: "connect", unix.SYS_ACCEPT4: "accept4",
	unix.SYS_GETSOCKNAME: "getsockname", unix.SYS_GETPEERNAME: "getpeername", unix.SYS_SETSOCKOPT: "setsockopt",
	unix.SYS_GETSOCKOPT: "getsockopt", unix.SYS_SENDTO: "sendto", unix.SYS_RECVFROM: "recvfrom", unix.SYS_SHUTDOWN: "shutdown",
	unix.SYS_GETPID: "getpid", unix.SYS_GETTID: "gettid", unix.SYS_TGKILL: "tgkill", unix.SYS_RT_SIGPROCMASK: "rt_sigprocmask",
	unix.SYS_RT_SIGRETURN: "rt_sigreturn", unix.SYS_RT_SIGACTION: "rt_sigaction", unix.SYS_SIGALTSTACK: "sigaltstack",
	unix.SYS_CLONE: "clone", unix.SYS_CLONE3: "clone3", unix.SYS_EXIT: "exit", unix.SYS_EXIT_GROUP: "exit_group",
	unix.SYS_SCHED_YIELD: "sched_yield", unix.SYS_GETRANDOM: "getrandom", unix.SYS_RESTART_SYSCALL: "restart_syscall",
	unix.SYS_GETPPID: "getppid", unix.SYS_FLOCK: "flock", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHOWN: "fchown", unix.SYS_GETEUID: "geteuid",
	unix.SYS_TIMERFD_SETTIME: "timerfd_settime", unix.SYS_PPOLL: "ppoll", unix.SYS_POLL: "poll", unix.SYS_UMASK: "umask", unix.SYS_PAUSE: "pause",
}

func name(number uint64) string {
	if n, known := names[number]; known {
		return n
	}
	return fmt.Sprintf("syscall %d", number)
}
