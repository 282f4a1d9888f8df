/*
 * echo.c - the package "echo": its one task gives back its inputs, whatever they
 * are, by one malloc and one memcpy. What a call of it takes is the way there and
 * back, so the overhead report measures payloads with it.
 */
#include "tdl_value.h"

SpiderTdlVersion __spider_tdl_package_get_version(void)
{
	return spider_version();
}

SpiderTdlCharArray __spider_tdl_package_get_name(void)
{
	static const char name[] = "echo";

	return (SpiderTdlCharArray){ name, sizeof(name) - 1 };
}

SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray name, SpiderTdlByteArray ctx,
					     SpiderTdlByteArray inputs)
{
	(void)ctx;
	if (!spider_task_is(name, "echo"))
		return spider_task_not_found(name);
	return spider_raw(false, inputs.ptr, inputs.len);
}
