#include "tdl.h"

#include <sys/resource.h>

#include "_cgo_export.h"

/* Each Go runtime raises the soft limit on open files when it starts. The process
 * belongs to the host: note the limit when the library is opened, and put it back
 * when the runtime is ready. */
static struct rlimit open_files;

__attribute__((constructor)) static void note_open_files(void)
{
	if (getrlimit(RLIMIT_NOFILE, &open_files) != 0)
		open_files.rlim_max = 0;
}

void spider_restore_open_files(void)
{
	struct rlimit now;

	/* A hard limit that the host has lowered since is not to be raised again. */
	if (open_files.rlim_max != 0 && getrlimit(RLIMIT_NOFILE, &now) == 0) {
		now.rlim_cur = open_files.rlim_cur < now.rlim_max ? open_files.rlim_cur : now.rlim_max;
		setrlimit(RLIMIT_NOFILE, &now);
	}
}

/* The exported symbols stand in C: a Go function would receive the pointers as
 * Go pointers, and the Go runtime aborts when it meets the 0x1 that stands for
 * "no bytes" in some languages. */

SpiderTdlVersion __spider_tdl_package_get_version(void)
{
	SpiderTdlVersion v = { SPIDER_TDL_VERSION_MAJOR, SPIDER_TDL_VERSION_MINOR,
			       SPIDER_TDL_VERSION_PATCH };
	return v;
}

SpiderTdlCharArray __spider_tdl_package_get_name(void)
{
	SpiderTdlCharArray name = { NULL, 0 };

	spiderName(&name);
	if (name.len == 0)
		name.ptr = (const char *)spider_tdl_no_bytes();
	return name;
}

static SpiderTdlResult present(SpiderTdlResult r)
{
	if (r.len == 0)
		r.ptr = spider_tdl_no_bytes();
	return r;
}

SpiderTdlResult __spider_tdl_package_init(void)
{
	return present(spiderInit());
}

SpiderTdlResult __spider_tdl_package_describe(void)
{
	return present(spiderDescribe());
}

static uintptr_t address(const void *ptr, size_t len)
{
	return len != 0 ? (uintptr_t)ptr : 0;
}

SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray task, SpiderTdlByteArray ctx,
					     SpiderTdlByteArray inputs)
{
	return present(spiderExecute(address(task.ptr, task.len), task.len,
				     address(ctx.ptr, ctx.len), ctx.len,
				     address(inputs.ptr, inputs.len), inputs.len));
}
