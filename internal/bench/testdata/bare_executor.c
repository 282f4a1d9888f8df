/*
 * bare_executor is the least that an executor can be: it speaks the protocol, and
 * answers every task with its inputs. With it in the place of an executor the
 * overhead report tells what the parent costs, and what a process costs to start.
 *
 * Started with the argument N it is the parent, too: N times it starts itself as an
 * executor, has one request answered and ends it. Stdout gets one u64 for each:
 * nanoseconds from before the start to after the answer.
 */
#include "bare.h"

#include <spawn.h>
#include <stddef.h>

extern char **environ;

enum { MAX_FRAME = 8 * 1024 * 1024, HEADER = 4 };

static void damaged(const char *what) {
	fprintf(stderr, "bare_executor: %s\n", what);
	_exit(1);
}

/* Takes a u64 length and that many bytes off the request. */
static const unsigned char *take(const unsigned char **p, const unsigned char *end, uint64_t *n) {
	if (end - *p < (ptrdiff_t)sizeof *n) {
		damaged("a request cut short");
	}
	memcpy(n, *p, sizeof *n);
	*p += sizeof *n;
	const unsigned char *bytes = *p;
	if ((uint64_t)(end - bytes) < *n) {
		damaged("a request cut short");
	}
	*p += *n;
	return bytes;
}

/* Reads a frame into body, which has room for MAX_FRAME. Returns its size, or -1 at
 * the end of the stream. */
static long read_frame(int fd, unsigned char *body) {
	unsigned char header[HEADER];
	if (!read_all(fd, header, sizeof header)) {
		return -1;
	}
	uint32_t size = (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
	if (size > MAX_FRAME || !read_all(fd, body, size)) {
		damaged("no whole frame");
	}
	return (long)size;
}

static void put_header(unsigned char *frame, uint32_t size) {
	frame[0] = (unsigned char)(size >> 24);
	frame[1] = (unsigned char)(size >> 16);
	frame[2] = (unsigned char)(size >> 8);
	frame[3] = (unsigned char)size;
}

static int serve(unsigned char *request, unsigned char *response) {
	for (;;) {
		long size = read_frame(STDIN_FILENO, request);
		uint32_t tag;
		if (size < 0) {
			return 0;
		}
		if (size < (long)sizeof tag) {
			damaged("a request cut short");
		}
		memcpy(&tag, request, sizeof tag);
		if (tag == 1) {
			return 0; /* shut down */
		}
		const unsigned char *p = request + sizeof tag, *end = request + size, *inputs = NULL;
		uint64_t n = 0;
		for (int field = 0; field < 4; field++) { /* package, task, context, inputs */
			inputs = take(&p, end, &n);
		}
		/* A result, a success: two tags of 0, the outputs, the time. */
		unsigned char *q = response + HEADER;
		memset(q, 0, 8);
		q += 8;
		memcpy(q, &n, sizeof n);
		q += sizeof n;
		memcpy(q, inputs, n);
		q += n;
		memset(q, 0, 8);
		q += 8;
		put_header(response, (uint32_t)(q - response) - HEADER);
		write_all(STDOUT_FILENO, response, (size_t)(q - response));
	}
}

static uint64_t start_once(char *self, unsigned char *body) {
	/* Execute{"", "", [], []}: a tag and four lengths. */
	unsigned char request[HEADER + 4 + 4 * 8] = {0};
	put_header(request, sizeof request - HEADER);
	int to[2], from[2];
	uint64_t start = now();
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
		fail("pipe2");
	}
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
	char *argv[] = {self, NULL};
	pid_t pid;
	errno = posix_spawn(&pid, self, &actions, NULL, argv, environ);
	if (errno != 0) {
		fail("posix_spawn");
	}
	close(to[0]);
	close(from[1]);
	write_all(to[1], request, sizeof request);
	if (read_frame(from[0], body) < 0) {
		damaged("no answer");
	}
	uint64_t took = now() - start;
	close(to[1]);
	close(from[0]);
	posix_spawn_file_actions_destroy(&actions);
	waitpid(pid, NULL, 0);
	return took;
}

int main(int argc, char **argv) {
	unsigned char *request = malloc(MAX_FRAME), *response = malloc(MAX_FRAME + 64);
	if (request == NULL || response == NULL) {
		fail("malloc");
	}
	if (argc < 2) {
		return serve(request, response);
	}
	for (long n = atol(argv[1]); n > 0; n--) {
		uint64_t took = start_once(argv[0], request);
		write_all(STDOUT_FILENO, &took, sizeof took);
	}
	return 0;
}
