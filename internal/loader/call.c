#define _GNU_SOURCE
#include "call.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "signals.h"

bool spider_guard_thread;

/* Set in a child that was forked without exec. If a task returns in it, it must
 * not answer a second time. */
static volatile bool spider_forked;

static void note_fork(void)
{
	spider_forked = true;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, note_fork);
}

void *spider_open(const char *path, char **error)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL) {
		const char *text = dlerror();
		*error = strdup(text != NULL ? text : "dlopen failed without a reason");
	}
	/* Also after a failure: a dependency may have been loaded and initialised. */
	spider_adopt_handlers();
	return library;
}

void *spider_symbol(void *library, const char *name)
{
	return dlsym(library, name);
}

/* What the task printed must not wait in a buffer for the next task. But if a
 * thread of the package sits on the stream's lock, the answer must not wait for it. */
static void flush_stdout(void)
{
	if (ftrylockfile(stdout) != 0)
		return;
	fflush_unlocked(stdout);
	funlockfile(stdout);
}

/* Runs only if a call below is left by the end of its thread. The process would
 * live on without its task thread and never answer; a crash the parent sees. */
static void left_thread(void *what)
{
	static const char text[] = "the native code ended its thread (pthread_exit) during ";
	ssize_t ignored;

	ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	ignored = write(STDERR_FILENO, what, strlen(what));
	ignored = write(STDERR_FILENO, "; aborting\n", 11);
	(void)ignored;
	abort();
}

static void unguarded(void *what)
{
	(void)what;
}

/* GUARDED runs a call with left_thread waiting behind it. A macro, since
 * pthread_cleanup_push and _pop must stand in one block. */
#define GUARDED(what, call)                                                                    \
	do {                                                                                   \
		pthread_cleanup_push(spider_guard_thread ? left_thread : unguarded, what);     \
		call;                                                                          \
		pthread_cleanup_pop(0);                                                        \
	} while (0)

static spider_result normalise(SpiderTdlResult r)
{
	/* With length 0 the pointer is no allocation: forget it here. */
	spider_result n = { r.len != 0 ? (uintptr_t)r.ptr : 0, r.len, r.is_error };
	return n;
}

SpiderTdlVersion spider_get_version(void *fn)
{
	SpiderTdlVersion version;

	GUARDED("get_version", version = ((SpiderTdlGetVersion)fn)());
	return version;
}

spider_bytes spider_get_name(void *fn)
{
	SpiderTdlCharArray name;

	GUARDED("get_name", name = ((SpiderTdlGetName)fn)());
	spider_bytes n = { name.len != 0 ? (uintptr_t)name.ptr : 0, name.len };
	return n;
}

spider_result spider_produce(void *fn)
{
	SpiderTdlResult r;

	GUARDED("init or describe", r = ((SpiderTdlInit)fn)());
	flush_stdout();
	/* It may have loaded libraries of its own. */
	spider_adopt_handlers();
	return normalise(r);
}

/* Never NULL, also for an empty buffer: a debug-built Rust package aborts on it. */
static const void *present(uintptr_t ptr, size_t len)
{
	static const uint8_t none;

	return len != 0 ? (const void *)ptr : &none;
}

spider_result spider_execute(void *fn, uintptr_t task, size_t task_len, uintptr_t ctx, size_t ctx_len,
			     uintptr_t inputs, size_t inputs_len)
{
	SpiderTdlResult r;

	GUARDED("execute", r = ((SpiderTdlExecute)fn)(
				   (SpiderTdlCharArray){ present(task, task_len), task_len },
				   (SpiderTdlByteArray){ present(ctx, ctx_len), ctx_len },
				   (SpiderTdlByteArray){ present(inputs, inputs_len), inputs_len }));
	if (spider_forked) {
		static const char text[] =
			"a process that a task forked came back from the task; ended\n";
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

		(void)ignored;
		_exit(1);
	}
	flush_stdout();
	return normalise(r);
}

void spider_free(uintptr_t ptr)
{
	free((void *)ptr);
}
