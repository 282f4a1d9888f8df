/*
 * odd.c - packages that are wrong, or unusual, before any task runs.
 *
 * One source; the build says what is odd:
 *   -DNAME="x"                  the declared name
 *   -DNAME_DANGLING             a name of length 0 at address 1
 *   -DVERSION=9,8,7             instead of the header's version
 *   -DNO_NAME -DNO_VERSION -DNO_EXECUTE   leaves that symbol out
 *   -DINIT_<what>               has an init function that does <what>
 *   -DUNDEFINED_SYMBOL          needs a function that exists nowhere
 *   -DCONSTRUCTOR_<what>        does <what> inside dlopen
 *   -DDESCRIBE="x"              describes itself as x
 *   -DDESCRIBE_<what>           has a describe function that does <what>
 * Tasks: ok (no result), init_calls -> u64.
 */
#include <signal.h>
#include <unistd.h>

#include "tdl_value.h"

#ifndef VERSION
#define VERSION SPIDER_TDL_VERSION_MAJOR, SPIDER_TDL_VERSION_MINOR, SPIDER_TDL_VERSION_PATCH
#endif

#ifndef NO_EXECUTE
static uint64_t init_calls;
#endif

#if defined(INIT_CRASHES) || defined(CONSTRUCTOR_CRASHES)
static void crash(void)
{
	int *volatile nowhere = (int *)16;

	*nowhere = 1;
}
#endif

#ifdef CONSTRUCTOR_CRASHES
__attribute__((constructor)) static void constructor(void)
{
	crash();
}
#endif

#if defined(CONSTRUCTOR_HANGS)
__attribute__((constructor)) static void constructor(void)
{
	for (;;)
		pause();
}
#elif defined(CONSTRUCTOR_FORKS)
__attribute__((constructor)) static void constructor(void)
{
	if (fork() != 0)
		return;
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (;;)
		pause();
}
#elif defined(CONSTRUCTOR_EXITS)
__attribute__((constructor)) static void constructor(void)
{
	_exit(7);
}
#endif

#ifndef NO_VERSION
SpiderTdlVersion __spider_tdl_package_get_version(void)
{
	return (SpiderTdlVersion){ VERSION };
}
#endif

#ifndef NO_NAME
SpiderTdlCharArray __spider_tdl_package_get_name(void)
{
#ifdef NAME_DANGLING
	return (SpiderTdlCharArray){ (const char *)1, 0 };
#else
	return (SpiderTdlCharArray){ NAME, sizeof(NAME) - 1 };
#endif
}
#endif

#if defined(INIT_OK_ZERO_LEN)
SpiderTdlResult __spider_tdl_package_init(void)
{
	/* The dangling pointer a Rust package answers with. */
	return (SpiderTdlResult){ false, (uint8_t *)1, 0 };
}
#elif defined(INIT_FAILS)
SpiderTdlResult __spider_tdl_package_init(void)
{
	return spider_fail("init refuses");
}
#elif defined(INIT_FAILS_GARBAGE)
SpiderTdlResult __spider_tdl_package_init(void)
{
	return spider_raw(true, "\xc1\xff\x00", 3);
}
#elif defined(INIT_FAILS_EMPTY)
SpiderTdlResult __spider_tdl_package_init(void)
{
	return (SpiderTdlResult){ true, (uint8_t *)1, 0 };
}
#elif defined(INIT_CRASHES)
SpiderTdlResult __spider_tdl_package_init(void)
{
	crash();
	return spider_answer_none();
}
#elif defined(INIT_HANGS)
SpiderTdlResult __spider_tdl_package_init(void)
{
	for (;;)
		pause();
}
#elif defined(INIT_PAYLOAD)
/* Bytes nobody asked for: the loader must free them and go on. */
SpiderTdlResult __spider_tdl_package_init(void)
{
	return spider_answer_uint(42);
}
#elif defined(INIT_COUNTS)
SpiderTdlResult __spider_tdl_package_init(void)
{
	init_calls++;
	return spider_answer_none();
}
#endif

#if defined(DESCRIBE)
SpiderTdlResult __spider_tdl_package_describe(void)
{
	return spider_description(DESCRIBE);
}
#elif defined(DESCRIBE_HANGS)
SpiderTdlResult __spider_tdl_package_describe(void)
{
	for (;;)
		pause();
}
#elif defined(DESCRIBE_CRASHES)
SpiderTdlResult __spider_tdl_package_describe(void)
{
	fprintf(stderr, "describe gives up\n");
	abort();
}
#elif defined(DESCRIBE_FAILS)
SpiderTdlResult __spider_tdl_package_describe(void)
{
	return spider_fail("describe refuses");
}
#elif defined(DESCRIBE_LONG)
SpiderTdlResult __spider_tdl_package_describe(void)
{
	/* A JSON string in which nothing is. */
	size_t n = 5 << 20;
	char *text = (char *)malloc(n);

	memset(text, ' ', n);
	text[0] = '"';
	text[n - 1] = '"';
	return (SpiderTdlResult){ false, (uint8_t *)text, n };
}
#endif

#ifdef UNDEFINED_SYMBOL
extern void spider_tasktest_exists_nowhere(void);
#endif

#ifndef NO_EXECUTE
SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray task, SpiderTdlByteArray ctx,
					     SpiderTdlByteArray inputs)
{
	(void)ctx;
	(void)inputs;
#ifdef UNDEFINED_SYMBOL
	/* Never reached: with RTLD_NOW the library does not even open. */
	spider_tasktest_exists_nowhere();
#endif
	if (spider_task_is(task, "ok"))
		return spider_answer_none();
	if (spider_task_is(task, "init_calls"))
		return spider_answer_uint(init_calls);
	return spider_task_not_found(task);
}
#endif
