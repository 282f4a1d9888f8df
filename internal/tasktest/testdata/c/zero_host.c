/* A host that calls a package with zero-length buffers at 0x1, as hosts in other
 * languages do, and at NULL:
 *
 *	zero_host LIBRARY [TASK]
 *
 * Without TASK the package has a task churn(int), which makes it collect garbage all
 * the while. Exit status 0 if it survives. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tdl.h"

enum { ROUNDS = 200, CHURN_EVERY = 20 };

static SpiderTdlExecute execute;

static bool call(const char *task, size_t task_len, const char *ctx, size_t ctx_len,
		 const char *in, size_t in_len)
{
	SpiderTdlResult r = execute((SpiderTdlCharArray){ task, task_len },
				    (SpiderTdlByteArray){ (const uint8_t *)ctx, ctx_len },
				    (SpiderTdlByteArray){ (const uint8_t *)in, in_len });

	if (r.ptr == NULL) {
		fprintf(stderr, "the result's pointer is NULL\n");
		exit(1);
	}
	if (r.len != 0)
		free(r.ptr);
	return !r.is_error;
}

int main(int argc, char **argv)
{
	static const char ctx[] = "\x95\x01\xa7" "Cleanup" "\x01\x01\xc0";
	static const char thousand[] = "\x01\0\0\0\x03\0\0\0\xcd\x03\xe8";
	const char *task = argc > 2 ? argv[2] : "churn";
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

	if (library == NULL) {
		fprintf(stderr, "zero_host: %s\n", argc > 1 ? dlerror() : "no library is named");
		return 2;
	}
	execute = (SpiderTdlExecute)dlsym(library, SPIDER_TDL_SYMBOL_EXECUTE);
	if (execute == NULL)
		return 2;
	for (int i = 0; i < ROUNDS; i++) {
		const char *none = i % 2 ? (const char *)1 : NULL;

		if (call(none, 0, none, 0, none, 0) || call(task, strlen(task), none, 0, none, 0) ||
		    call(task, strlen(task), ctx, sizeof(ctx) - 1, none, 0)) {
			fprintf(stderr, "an empty request succeeded\n");
			return 1;
		}
		if (argc == 2 && i % CHURN_EVERY == 0 &&
		    !call(task, strlen(task), ctx, sizeof(ctx) - 1, thousand, sizeof(thousand) - 1)) {
			fprintf(stderr, "churn failed\n");
			return 1;
		}
	}
	return 0;
}
