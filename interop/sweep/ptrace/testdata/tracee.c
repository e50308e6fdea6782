// A program whose system calls can be counted by hand. For each line on its standard input it works once and answers
// with one line: how many of its writes failed, and with which error the first did.
//
//	tracee FILE calls N      two threads make N getppid each and append N bytes each to FILE
//	tracee FILE one N        one thread appends N bytes to FILE
//	tracee FILE threads N    N threads, one after the other, append 5 bytes each and end
//	tracee FILE child N      N children by vfork, each runs /bin/true; then as one
//	tracee FILE signal N     waits for N SIGUSR1; the handler appends a byte
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int file, n, to[2], from[2];
static volatile int failed, first, signals;

static void append(void) {
	if (syscall(SYS_write, file, "x", 1) == 1) return;
	if (!failed) first = errno;
	__sync_fetch_and_add(&failed, 1);
}

static void *half(void *arg) {
	for (int i = 0; i < n; i++) {
		syscall(SYS_getppid);
		append();
	}
	return arg;
}

static void *other(void *arg) { // lives as long as the program
	char c;
	while (read(to[0], &c, 1) == 1) {
		half(0);
		if (write(from[1], &c, 1) != 1) exit(2);
	}
	return arg;
}

static void *five(void *arg) {
	for (int i = 0; i < 5; i++) append();
	return arg;
}

static void handler(int s) {
	(void)s;
	append();
	signals++;
}

int main(int argc, char **argv) {
	char c, line[64];
	pthread_t t;
	if (argc != 4 || (file = open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0600)) < 0 || pipe(to) || pipe(from)) return 2;
	n = atoi(argv[3]);
	signal(SIGUSR1, handler);
	if (pthread_create(&t, 0, other, 0)) return 2;
	while (syscall(SYS_read, 0, &c, 1) == 1) {
		failed = first = signals = 0;
		if (!strcmp(argv[2], "calls")) {
			if (write(to[1], &c, 1) != 1) return 2;
			half(0);
			if (read(from[0], &c, 1) != 1) return 2;
		} else if (!strcmp(argv[2], "threads")) {
			for (int i = 0; i < n; i++)
				if (pthread_create(&t, 0, five, 0) || pthread_join(t, 0)) return 2;
		} else if (!strcmp(argv[2], "signal")) {
			while (signals < n) usleep(1000);
		} else {
			for (int i = 0; i < n && !strcmp(argv[2], "child"); i++) {
				int status = 0;
				pid_t p = vfork();
				if (p == 0) {
					execl("/bin/true", "true", (char *)0);
					_exit(9);
				}
				if (p < 0 || waitpid(p, &status, 0) != p || status != 0) return 3;
			}
			for (int i = 0; i < n; i++) append();
		}
		int len = snprintf(line, sizeof line, "failed %d errno %d\n", failed, first);
		if (write(1, line, len) != len) return 2;
	}
	return 0;
}
