/* What Go calls: each function hides the struct-passing ABI and normalises
 * pointers. Pointers whose length may be 0 travel to Go as integers, because the
 * Go runtime aborts when it finds an invalid pointer on a stack. */
#ifndef SPIDER_LOADER_CALL_H
#define SPIDER_LOADER_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../tdl/cshared/tdl.h"

typedef struct spider_bytes {
	uintptr_t ptr;
	size_t len;
} spider_bytes;

typedef struct spider_result {
	uintptr_t ptr;
	size_t len;
	bool is_error;
} spider_result;

/* NULL on failure: *error is then a malloc'd text. */
void *spider_open(const char *path, char **error);
void *spider_symbol(void *library, const char *name);

SpiderTdlVersion spider_get_version(void *fn);
spider_bytes spider_get_name(void *fn);
/* A function that takes nothing: init or describe. */
spider_result spider_produce(void *fn);
/* The pointers come as integers: see the loader's address. */
spider_result spider_execute(void *fn, uintptr_t task, size_t task_len, uintptr_t ctx, size_t ctx_len,
			     uintptr_t inputs, size_t inputs_len);
void spider_free(uintptr_t ptr);

/* If set, a task that ends its thread (pthread_exit) ends the process. */
extern bool spider_guard_thread;

#endif
