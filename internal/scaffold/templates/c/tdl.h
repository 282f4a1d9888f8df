/*
 * tdl.h - the C ABI of a TDL package.
 *
 * A TDL package is a shared library whose functions ("tasks") are run by a
 * Spider task executor: a subprocess that opens the library with dlopen and
 * runs one task at a time. This header is the whole contract; a package can be
 * written from it alone, in any language that can export C functions.
 *
 * WHERE A PACKAGE LIVES
 *   $SPIDER_TDL_PACKAGE_DIR/<name>/lib<name>.so
 *   <name> must be what __spider_tdl_package_get_name returns. Install a new
 *   version by rename(2), never by writing into the old file: a running
 *   executor has it mapped. A package is opened on the first request that
 *   names it (RTLD_NOW | RTLD_LOCAL) and never closed: reloading means a new
 *   process.
 *
 * WHAT IT EXPORTS
 *   __spider_tdl_package_get_version   required   called first
 *   __spider_tdl_package_get_name      required   called second
 *   __spider_tdl_package_init          optional   called third, once per load
 *   __spider_tdl_package_execute       required   called once per request
 *   __spider_tdl_package_describe      optional   called by tools, see below
 *   All calls come from one thread, which lives as long as the process.
 *
 *   gcc -shared -fPIC -O2 -o lib<name>.so <name>.c
 *
 * WHO OWNS WHICH BYTES
 *   - The three inputs of execute are borrowed: valid until it returns, not
 *     NUL-terminated, and never to be written to.
 *   - A result with len > 0 must come from malloc(); the executor frees it.
 *   - A result with len == 0 has no allocation: ptr is never read and never
 *     freed. It must not be NULL either (a debug-built Rust host aborts on
 *     it): return spider_tdl_no_bytes().
 *   - In both directions a ptr whose len is 0 is meaningless, often 0x1.
 *   - The bytes of the name live as long as the process; nobody frees them.
 *
 * WHAT THE BYTES ARE
 *   ctx     the TaskContext, msgpack: an array of 5
 *             [job_id, task_id, task_instance_id, resource_group_id, outputs]
 *             task_id: {"Index": n} | "Commit" | "Cleanup"
 *             outputs: nil, or for a commit task an array of integers (bytes)
 *   inputs  a payload sequence, one payload per parameter
 *   result  is_error false: a payload sequence, one payload per result
 *           is_error true:  a TdlError, msgpack: a map of one entry
 *             {"ExecutionError": "what went wrong"}
 *           The other variants are TaskNotFound, DeserializationError,
 *           SerializationError, InvalidTaskContext and Custom, each with one
 *           string.
 *   A payload sequence is
 *             u32 little-endian  count
 *             count times: u32 little-endian length, then that many bytes
 *   and each payload is one msgpack value: an integer in its shortest form, a
 *   double as 0xcb, a string as str, bytes as an array of integers, a list, a
 *   tuple or a struct as an array, None as nil.
 *   No results: the four bytes 00 00 00 00. (Not an empty buffer.)
 *
 *   Check, in this order: is the task known (else TaskNotFound with its name),
 *   does the context decode, do the inputs decode (else DeserializationError).
 *
 * WHAT DESCRIBE RETURNS
 *   Optional, for people and tools: without it a package loads and runs just
 *   the same. is_error is false and the bytes are one JSON object in UTF-8,
 *   not a payload sequence; every key but "describe" and "tasks" may be left
 *   out, and unknown keys are ignored:
 *     {"describe": 1, "name": "geo", "abi": "0.1.0", "sdk": "none, tdl.h",
 *      "build": {"language": "C", "compiler": "gcc 14.2"},
 *      "types": {"Point": {"kind": "struct", "fields": [
 *          {"name": "x", "type": "double"}, {"name": "y", "type": "double"}]}},
 *      "tasks": [{"name": "mean", "doc": "The centre of the points.",
 *          "params": [{"name": "points", "type": "List<Point>"}],
 *          "results": [{"type": "Option<Point>"}]}]}
 *   A type is one of bool, int8 ... int64, uint8 ... uint64, float (32 bits),
 *   double (64), string, unit, any, List<T>, Array<T, N>, Map<K, V>, Option<T>,
 *   Tuple<A, B, ...>, or a name that "types" defines: {"kind": "struct" or
 *   "tuple", "fields": [...]}, {"kind": "enum", "variants": [...]}, where a
 *   variant without a value has no type, {"kind": "newtype", "fields": [one]} for
 *   a list, map or option that contains itself, or {"kind": "opaque"}. A type
 *   without a name is written struct{a: A, b: B} or enum{A, B: T} in place.
 *
 * WHAT A TASK MAY DO
 *   It may crash, hang or exit: that costs this process, and the parent learns
 *   the signal. Its stdin is empty, and what it prints to stdout appears on
 *   stderr. It must not close or write to descriptors it did not open.
 */
#ifndef SPIDER_TDL_H
#define SPIDER_TDL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this ABI: what get_version returns. A 0.x host loads packages
 * of equal major and minor; from 1.0 on, of equal major. */
#define SPIDER_TDL_VERSION_MAJOR 0
#define SPIDER_TDL_VERSION_MINOR 1
#define SPIDER_TDL_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#define SPIDER_TDL_STATIC_ASSERT static_assert
#else
#define SPIDER_TDL_STATIC_ASSERT _Static_assert
#endif

/* All structs travel by value (System V AMD64, AAPCS64). */

typedef struct SpiderTdlVersion {
	uint32_t major;
	uint32_t minor;
	uint32_t patch;
} SpiderTdlVersion;

/* UTF-8, not NUL-terminated. */
typedef struct SpiderTdlCharArray {
	const char *ptr;
	size_t len;
} SpiderTdlCharArray;

typedef struct SpiderTdlByteArray {
	const uint8_t *ptr;
	size_t len;
} SpiderTdlByteArray;

typedef struct SpiderTdlResult {
	bool is_error;
	uint8_t *ptr;
	size_t len;
} SpiderTdlResult;

SPIDER_TDL_STATIC_ASSERT(sizeof(SpiderTdlVersion) == 12, "three 32-bit words, no padding");
SPIDER_TDL_STATIC_ASSERT(sizeof(SpiderTdlCharArray) == 16, "a pointer and a length, 64-bit");
SPIDER_TDL_STATIC_ASSERT(sizeof(SpiderTdlByteArray) == 16, "a pointer and a length, 64-bit");
SPIDER_TDL_STATIC_ASSERT(sizeof(SpiderTdlResult) == 24, "a flag, a pointer and a length, 64-bit");
SPIDER_TDL_STATIC_ASSERT(offsetof(SpiderTdlResult, ptr) == 8, "the flag is padded to a word");
SPIDER_TDL_STATIC_ASSERT(offsetof(SpiderTdlResult, len) == 16, "the length follows the pointer");

/* Function types, for hosts that look the symbols up with dlsym. */
typedef SpiderTdlVersion (*SpiderTdlGetVersion)(void);
typedef SpiderTdlCharArray (*SpiderTdlGetName)(void);
typedef SpiderTdlResult (*SpiderTdlInit)(void);
typedef SpiderTdlResult (*SpiderTdlExecute)(SpiderTdlCharArray task, SpiderTdlByteArray ctx,
					    SpiderTdlByteArray inputs);
typedef SpiderTdlResult (*SpiderTdlDescribe)(void);

#define SPIDER_TDL_SYMBOL_GET_VERSION "__spider_tdl_package_get_version"
#define SPIDER_TDL_SYMBOL_GET_NAME "__spider_tdl_package_get_name"
#define SPIDER_TDL_SYMBOL_INIT "__spider_tdl_package_init"
#define SPIDER_TDL_SYMBOL_EXECUTE "__spider_tdl_package_execute"
#define SPIDER_TDL_SYMBOL_DESCRIBE "__spider_tdl_package_describe"

/* What a package defines. SPIDER_TDL_EXPORT keeps the symbols visible under
 * -fvisibility=hidden. */
#define SPIDER_TDL_EXPORT __attribute__((visibility("default")))

SPIDER_TDL_EXPORT SpiderTdlVersion __spider_tdl_package_get_version(void);
SPIDER_TDL_EXPORT SpiderTdlCharArray __spider_tdl_package_get_name(void);
SPIDER_TDL_EXPORT SpiderTdlResult __spider_tdl_package_init(void);
SPIDER_TDL_EXPORT SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray task,
							       SpiderTdlByteArray ctx,
							       SpiderTdlByteArray inputs);
SPIDER_TDL_EXPORT SpiderTdlResult __spider_tdl_package_describe(void);

/* The pointer to return with len 0: valid, never read, never freed. */
static inline uint8_t *spider_tdl_no_bytes(void)
{
	static uint8_t none;
	return &none;
}

#ifdef __cplusplus
}
#endif
#endif
