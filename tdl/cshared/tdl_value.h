/*
 * tdl_value.h - reads a task's inputs and writes its results, for packages in C
 * (C11) and C++ (C++11). Header only; tdl.h is the contract behind it.
 *
 * A COMPLETE PACKAGE, libgeo.so
 *
 *	#include <math.h>
 *
 *	#include "tdl_value.h"
 *
 *	static SpiderTdlResult length(struct spider_reader *in)
 *	{
 *		double x = spider_read_double(spider_param(in, "x"));
 *		double y = spider_read_double(spider_param(in, "y"));
 *
 *		if (!spider_end(in))
 *			return spider_refusal(in);
 *		return spider_answer_double(sqrt(x * x + y * y));
 *	}
 *
 *	// sizes(words: List<string>) -> (List<uint64>, uint64): two results
 *	static SpiderTdlResult sizes(struct spider_reader *in)
 *	{
 *		size_t n = spider_read_array(spider_param(in, "words")), sum = 0;
 *		size_t *len = (size_t *)spider_alloc(in, n, sizeof(*len));
 *		struct spider_writer out;
 *
 *		for (size_t i = 0; i < n; i++)
 *			sum += len[i] = spider_read_str(in).len;
 *		if (!spider_end(in))
 *			return spider_refusal(in);
 *		if (sum == 0)
 *			return spider_fail("%zu words, all of them empty", n);
 *		out = spider_results();
 *		spider_write_array(spider_result(&out), n);
 *		for (size_t i = 0; i < n; i++)
 *			spider_write_uint(&out, len[i]);
 *		spider_write_uint(spider_result(&out), sum);
 *		return spider_done(&out);
 *	}
 *
 *	static const struct spider_task tasks[] = {
 *		{ "length", length },
 *		{ "sizes", sizes },
 *	};
 *
 *	SPIDER_PACKAGE("geo", tasks);
 *
 *	gcc -shared -fPIC -O2 -I <folder of tdl.h> -o libgeo.so geo.c -lm
 *
 * READING
 *   spider_param opens the next input and checks that it holds one whole value,
 *   of at most 1,023 nested arrays and maps; after it, read that value. The
 *   first thing that is wrong is kept: every read after it returns 0, "", an
 *   empty list, and no result of the task counts any more. So a task may read
 *   everything first and ask spider_end once. The refusal is a
 *   DeserializationError that names the task, the parameter and its position.
 *
 *   The count that spider_read_array and spider_read_map return is never larger
 *   than the bytes that are left, so memory may be allocated by it. What the
 *   reader returns by pointer lies in the inputs or belongs to the reader:
 *   valid until the task returns, never to be freed.
 *
 *   Accepted are: an integer in any form if it fits, for a floating-point number
 *   also an integer, for a string also a bin that is UTF-8, for bytes an array
 *   of integers or a bin. A list or tuple is an array, or a bin whose bytes are
 *   then its elements; so is a struct, which may also be a map from its field
 *   names, or their indices, if it is read with spider_read_fields:
 *
 *	static const char *const names[] = { "x", "y", "label" };
 *
 *	spider_read_fields(in, names, 3);
 *	x = spider_read_double(in);
 *	y = spider_read_double(in);
 *	if (spider_read_some(in))	// only an option may be missing in a map
 *		label = spider_read_str(in);
 *
 *   The fields are read in their own order, whatever that of the map. An enum is
 *   read with spider_read_variant. Bytes after a value are ignored.
 *
 *   Other than in Rust and Go, the map of an enum's variant counts among the
 *   nested ones, and a map is handed out as it comes: of a key that is there
 *   twice, the last value counts.
 *
 * WRITING
 *   spider_result opens the next result, after which exactly one value is
 *   written: an array of n counts together with its n elements. Too much, too
 *   little, and strings that are not UTF-8 end as a SerializationError of
 *   spider_done. A writer that is not passed to spider_done needs spider_drop.
 *
 * OUT OF MEMORY
 *   ends the process by abort(): the parent learns that the task died of
 *   SIGABRT.
 *
 * Names that end in an underscore are not for use outside of this file.
 */
#ifndef SPIDER_TDL_VALUE_H
#define SPIDER_TDL_VALUE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tdl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The types.
 */

enum spider_task_kind {
	SPIDER_TASK_INDEX,
	SPIDER_TASK_COMMIT,
	SPIDER_TASK_CLEANUP
};

/* Who the task is. */
struct spider_context {
	uint64_t job_id;
	enum spider_task_kind kind;
	uint64_t task_index; /* of a SPIDER_TASK_INDEX */
	uint64_t task_instance_id;
	uint64_t resource_group_id;

	/* Of a commit task: the outputs of the graph, as docs/PROTOCOL.md has
	 * them. Else empty. */
	SpiderTdlByteArray graph_outputs;
};

/* What a variant of an enum is called, and whether a value belongs to it. */
struct spider_variant {
	const char *name;
	bool has_value;
};

/* A struct that has come as a map. After it stand two pointers for each field, to
 * where its value begins and ends. */
struct spider_fields_ {
	struct spider_fields_ *outer;
	const char *const *names;
	size_t next, count; /* the field to be read next, and how many there are */
	const uint8_t *resume, *resume_end; /* what follows the map */
};

/* Where a map begins and ends. */
struct spider_map_ {
	const uint8_t *at, *end;
};

struct spider_memory_ {
	struct spider_memory_ *next;
	void *padding; /* what follows is aligned as malloc aligns */
};

/* The inputs of one call. */
struct spider_reader {
	struct spider_context context;
	bool failed;	   /* something was wrong */
	char message[512]; /* what */

	const char *task_;
	const char *where_;		   /* the open parameter, or what else is read */
	uint32_t given_, opened_;	   /* parameters */
	const uint8_t *next_, *end_;	   /* of the open one */
	const uint8_t *inputs_, *limit_;   /* what follows it */
	struct spider_fields_ *fields_;	   /* the innermost open one; then next_ and end_ are of a field */
	size_t bytes_, excess_;		   /* of an open bin: elements to be read, and bytes after them */
	struct spider_map_ *maps_;	   /* inside the outermost open struct, in their order */
	size_t maps_len_, maps_cap_;
	bool note_maps_; /* spider_skip_ is to note the maps it passes, else it may jump over them */
	struct spider_memory_ *memory_;
};

/* The results of one call. */
struct spider_writer {
	uint8_t *bytes_;
	size_t len_, cap_;
	size_t payload_; /* where the open result's length stands; 0: none is open */
	uint32_t count_;
	uint64_t missing_; /* values that the open result still needs */
	const char *fault_;
};

struct spider_task {
	const char *name;
	SpiderTdlResult (*run)(struct spider_reader *in);
};

/*
 * Memory.
 */

/* Like realloc, but does not fail. */
static inline void *spider_realloc_(void *p, size_t n)
{
	if (n <= SIZE_MAX / 4)
		p = realloc(p, n ? n : 1);
	if (n > SIZE_MAX / 4 || !p) {
		fprintf(stderr, "tdl_value.h: no memory for %zu bytes\n", n);
		abort();
	}
	return p;
}

/* Zeroed memory for count elements, until the task returns. */
static inline void *spider_alloc(struct spider_reader *in, size_t count, size_t size)
{
	struct spider_memory_ *m;

	if (size != 0 && count > SIZE_MAX / 4 / size)
		spider_realloc_(NULL, SIZE_MAX); /* says so and aborts */
	m = (struct spider_memory_ *)spider_realloc_(NULL, sizeof(*m) + count * size);
	m->next = in->memory_;
	in->memory_ = m;
	memset(m + 1, 0, count * size);
	return m + 1;
}

/* How many bytes at s are whole UTF-8 characters. */
static inline size_t spider_utf8_(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0;

	while (i < n) {
		size_t more = p[i] < 0x80 ? 0 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : 3;

		if (more > 0) {
			if (p[i] < 0xc2 || p[i] > 0xf4 || n - i <= more)
				break;
			/* Overlong forms, surrogates, beyond U+10FFFF. */
			if ((p[i] == 0xe0 && p[i + 1] < 0xa0) || (p[i] == 0xed && p[i + 1] > 0x9f) ||
			    (p[i] == 0xf0 && p[i + 1] < 0x90) || (p[i] == 0xf4 && p[i + 1] > 0x8f))
				break;
			if ((p[i + 1] & 0xc0) != 0x80 || (more > 1 && (p[i + 2] & 0xc0) != 0x80) ||
			    (more > 2 && (p[i + 3] & 0xc0) != 0x80))
				break;
		}
		i += more + 1;
	}
	return i;
}

/*
 * Writing.
 */

/* Where the next n bytes go. */
static inline uint8_t *spider_room_(struct spider_writer *out, size_t n)
{
	if (n > out->cap_ - out->len_) {
		size_t cap = n > SIZE_MAX / 4 - out->len_ ? SIZE_MAX : 2 * (out->len_ + n);

		cap = cap < 64 ? 64 : cap;
		out->bytes_ = (uint8_t *)spider_realloc_(out->bytes_, cap);
		out->cap_ = cap;
	}
	return out->bytes_ + out->len_;
}

static inline void spider_put_(struct spider_writer *out, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	memcpy(spider_room_(out, n), bytes, n);
	out->len_ += n;
}

/* A tag and a big-endian number of width bytes. */
static inline void spider_put_tagged_(struct spider_writer *out, unsigned tag, uint64_t v, int width)
{
	uint8_t b[9];

	b[0] = (uint8_t)tag;
	for (int i = 0; i < width; i++)
		b[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	spider_put_(out, b, 1 + (size_t)width);
}

/* The shortest of the forms short_tag | v (below the limit) and tag + 0, 1, 2, 3
 * with 8, 16, 32, 64 bits. tag8 is 0 where there is no form of 8 bits. */
static inline void spider_put_number_(struct spider_writer *out, unsigned short_tag, unsigned limit,
				      unsigned tag8, unsigned tag16, uint64_t v)
{
	if (v < limit)
		spider_put_tagged_(out, short_tag | (unsigned)v, 0, 0);
	else if (tag8 != 0 && v <= UINT8_MAX)
		spider_put_tagged_(out, tag8, v, 1);
	else if (v <= UINT16_MAX)
		spider_put_tagged_(out, tag16, v, 2);
	else if (v <= UINT32_MAX)
		spider_put_tagged_(out, tag16 + 1, v, 4);
	else
		spider_put_tagged_(out, tag16 + 2, v, 8);
}

static inline void spider_put_str_(struct spider_writer *out, const char *s, size_t n)
{
	spider_put_number_(out, 0xa0, 32, 0xd9, 0xda, n);
	spider_put_(out, s, n);
}

static inline void spider_put_u32_(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static inline void spider_write_fault_(struct spider_writer *out, const char *fault)
{
	if (!out->fault_)
		out->fault_ = fault;
}

/* Every value passes here. False if it has no place. */
static inline bool spider_value_(struct spider_writer *out, uint64_t elements)
{
	if (out->missing_ == 0) {
		spider_write_fault_(out, "a value too many was written");
		return false;
	}
	out->missing_ += elements - 1;
	return true;
}

static inline struct spider_writer spider_results(void)
{
	static const uint8_t count[4] = { 0, 0, 0, 0 };
	struct spider_writer out;

	memset(&out, 0, sizeof(out));
	spider_put_(&out, count, sizeof(count));
	return out;
}

static inline void spider_close_result_(struct spider_writer *out)
{
	size_t n = out->len_ - out->payload_ - 4;

	if (out->payload_ == 0)
		return;
	if (out->missing_ != 0)
		spider_write_fault_(out, "it ends before its value does");
	if (n > UINT32_MAX)
		spider_write_fault_(out, "it is larger than 4 GiB");
	/* From here on the number of the result in a fault would be wrong. */
	if (!out->fault_)
		spider_put_u32_(out->bytes_ + out->payload_, (uint32_t)n);
}

/* Opens the next result. Returns out. */
static inline struct spider_writer *spider_result(struct spider_writer *out)
{
	static const uint8_t length[4] = { 0, 0, 0, 0 };

	spider_close_result_(out);
	if (out->fault_)
		return out;
	out->count_++;
	out->payload_ = out->len_;
	out->missing_ = 1;
	spider_put_(out, length, sizeof(length));
	return out;
}

static inline void spider_write_uint(struct spider_writer *out, uint64_t v)
{
	if (spider_value_(out, 0))
		spider_put_number_(out, 0, 0x80, 0xcc, 0xcd, v);
}

static inline void spider_write_int(struct spider_writer *out, int64_t v)
{
	if (v >= 0) {
		spider_write_uint(out, (uint64_t)v);
		return;
	}
	if (!spider_value_(out, 0))
		return;
	if (v >= -32)
		spider_put_tagged_(out, (uint8_t)v, 0, 0);
	else if (v >= INT8_MIN)
		spider_put_tagged_(out, 0xd0, (uint64_t)v, 1);
	else if (v >= INT16_MIN)
		spider_put_tagged_(out, 0xd1, (uint64_t)v, 2);
	else if (v >= INT32_MIN)
		spider_put_tagged_(out, 0xd2, (uint64_t)v, 4);
	else
		spider_put_tagged_(out, 0xd3, (uint64_t)v, 8);
}

static inline void spider_write_double(struct spider_writer *out, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (spider_value_(out, 0))
		spider_put_tagged_(out, 0xcb, bits, 8);
}

/* For a type that is declared as 32 bits. */
static inline void spider_write_float(struct spider_writer *out, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (spider_value_(out, 0))
		spider_put_tagged_(out, 0xca, bits, 4);
}

static inline void spider_write_bool(struct spider_writer *out, bool v)
{
	if (spider_value_(out, 0))
		spider_put_tagged_(out, v ? 0xc3 : 0xc2, 0, 0);
}

/* None of an option. Some is the bare value. */
static inline void spider_write_nil(struct spider_writer *out)
{
	if (spider_value_(out, 0))
		spider_put_tagged_(out, 0xc0, 0, 0);
}

static inline void spider_write_str(struct spider_writer *out, const char *s, size_t n)
{
	if (!spider_value_(out, 0))
		return;
	if (n > UINT32_MAX)
		spider_write_fault_(out, "a string is larger than 4 GiB");
	else if (spider_utf8_(s, n) != n)
		spider_write_fault_(out, "a string is not UTF-8");
	else
		spider_put_str_(out, s, n);
}

static inline void spider_write_cstr(struct spider_writer *out, const char *s)
{
	spider_write_str(out, s, strlen(s));
}

/* The header of a list, tuple or struct: n values follow. */
static inline void spider_write_array(struct spider_writer *out, size_t n)
{
	if (n > UINT32_MAX)
		spider_write_fault_(out, "a list has more than 2^32-1 elements");
	else if (spider_value_(out, n))
		spider_put_number_(out, 0x90, 16, 0, 0xdc, n);
}

/* The header of a map: n times a key and a value follow. */
static inline void spider_write_map(struct spider_writer *out, size_t n)
{
	if (n > UINT32_MAX)
		spider_write_fault_(out, "a map has more than 2^32-1 entries");
	else if (spider_value_(out, 2 * (uint64_t)n))
		spider_put_number_(out, 0x80, 16, 0, 0xde, n);
}

/* As an array of integers, which is what List<uint8> is. */
static inline void spider_write_bytes(struct spider_writer *out, const uint8_t *bytes, size_t n)
{
	uint8_t *at;

	spider_write_array(out, n);
	if (out->fault_)
		return;
	/* All at once: there may be millions. */
	out->missing_ -= n;
	at = spider_room_(out, 2 * n);
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] > 0x7f)
			*at++ = 0xcc;
		*at++ = bytes[i];
	}
	out->len_ = (size_t)(at - out->bytes_);
}

/* Frees a writer whose results are not wanted after all. */
static inline void spider_drop(struct spider_writer *out)
{
	free(out->bytes_);
	memset(out, 0, sizeof(*out));
}

/*
 * What a task returns: errors, and results.
 */

/* The kinds of errors. */
#define SPIDER_EXECUTION_ERROR "ExecutionError"
#define SPIDER_CUSTOM "Custom"
#define SPIDER_TASK_NOT_FOUND "TaskNotFound"
#define SPIDER_DESERIALIZATION_ERROR "DeserializationError"
#define SPIDER_SERIALIZATION_ERROR "SerializationError"
#define SPIDER_INVALID_TASK_CONTEXT "InvalidTaskContext"

/* Exactly these bytes: a copy of them. */
static inline SpiderTdlResult spider_raw(bool is_error, const void *bytes, size_t n)
{
	SpiderTdlResult result;

	result.is_error = is_error;
	result.len = n;
	result.ptr = spider_tdl_no_bytes();
	if (n > 0) {
		result.ptr = (uint8_t *)spider_realloc_(NULL, n);
		memcpy(result.ptr, bytes, n);
	}
	return result;
}

/* What __spider_tdl_package_describe returns. */
static inline SpiderTdlResult spider_description(const char *json)
{
	return spider_raw(false, json, strlen(json));
}

static inline SpiderTdlResult spider_verror_(const char *kind, const char *format, va_list args,
					     const char *more)
{
	struct spider_writer out;
	SpiderTdlResult result;
	va_list again;
	char *text;
	size_t size;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	size = (n < 0 ? 0 : (size_t)n) + strlen(more) + 1;
	text = (char *)spider_realloc_(NULL, size);
	if (n < 0 || vsnprintf(text, size, format, args) < 0)
		text[0] = '\0';
	strcat(text, more);

	/* An error that is not UTF-8 would be none. */
	size = strlen(text);
	for (size_t i = 0; (i += spider_utf8_(text + i, size - i)) < size;)
		text[i] = '?';

	memset(&out, 0, sizeof(out));
	spider_put_tagged_(&out, 0x81, 0, 0);
	spider_put_str_(&out, kind, strlen(kind));
	spider_put_str_(&out, text, size);
	free(text);
	result.is_error = true;
	result.ptr = out.bytes_;
	result.len = out.len_;
	return result;
}

/* An error of the given kind, with a text as of printf. */
__attribute__((format(printf, 2, 3)))
static inline SpiderTdlResult spider_error(const char *kind, const char *format, ...)
{
	SpiderTdlResult result;
	va_list args;

	va_start(args, format);
	result = spider_verror_(kind, format, args, "");
	va_end(args);
	return result;
}

/* An ExecutionError: the task ran and failed. */
__attribute__((format(printf, 1, 2)))
static inline SpiderTdlResult spider_fail(const char *format, ...)
{
	SpiderTdlResult result;
	va_list args;

	va_start(args, format);
	result = spider_verror_(SPIDER_EXECUTION_ERROR, format, args, "");
	va_end(args);
	return result;
}

/* An ExecutionError that ends with ": " and what errno says. */
__attribute__((format(printf, 1, 2)))
static inline SpiderTdlResult spider_fail_errno(const char *format, ...)
{
	SpiderTdlResult result;
	char reason[256];
	va_list args;

	snprintf(reason, sizeof(reason), ": %s", strerror(errno));
	va_start(args, format);
	result = spider_verror_(SPIDER_EXECUTION_ERROR, format, args, reason);
	va_end(args);
	return result;
}

/* What the task returns once all its results are written. The writer is empty
 * after it. */
static inline SpiderTdlResult spider_done(struct spider_writer *out)
{
	SpiderTdlResult result;

	spider_close_result_(out);
	if (out->fault_) {
		result = spider_error(SPIDER_SERIALIZATION_ERROR, "result %u: %s",
				      (unsigned)out->count_, out->fault_);
		spider_drop(out);
		return result;
	}
	spider_put_u32_(out->bytes_, out->count_);
	result.is_error = false;
	result.ptr = out->bytes_;
	result.len = out->len_;
	memset(out, 0, sizeof(*out));
	return result;
}

/* No result, and one result. */

static inline SpiderTdlResult spider_answer_none(void)
{
	struct spider_writer out = spider_results();

	return spider_done(&out);
}

static inline SpiderTdlResult spider_answer_int(int64_t v)
{
	struct spider_writer out = spider_results();

	spider_write_int(spider_result(&out), v);
	return spider_done(&out);
}

static inline SpiderTdlResult spider_answer_uint(uint64_t v)
{
	struct spider_writer out = spider_results();

	spider_write_uint(spider_result(&out), v);
	return spider_done(&out);
}

static inline SpiderTdlResult spider_answer_double(double v)
{
	struct spider_writer out = spider_results();

	spider_write_double(spider_result(&out), v);
	return spider_done(&out);
}

static inline SpiderTdlResult spider_answer_bool(bool v)
{
	struct spider_writer out = spider_results();

	spider_write_bool(spider_result(&out), v);
	return spider_done(&out);
}

static inline SpiderTdlResult spider_answer_cstr(const char *s)
{
	struct spider_writer out = spider_results();

	spider_write_cstr(spider_result(&out), s);
	return spider_done(&out);
}

/*
 * Reading.
 */

enum spider_form_ {
	SPIDER_NIL_,
	SPIDER_BOOL_,
	SPIDER_UINT_,
	SPIDER_INT_, /* negative */
	SPIDER_FLOAT_,
	SPIDER_DOUBLE_,
	SPIDER_STR_,
	SPIDER_BIN_,
	SPIDER_ARRAY_,
	SPIDER_MAP_,
	SPIDER_EXT_
};

/* The start of a value. */
struct spider_head_ {
	enum spider_form_ form;
	uint64_t number; /* the integer, the bits of a float, the length or count */
};

/* Keeps the first thing that is wrong. */
__attribute__((format(printf, 2, 3)))
static inline void spider_wrong_(struct spider_reader *in, const char *format, ...)
{
	va_list args;
	int n;

	if (in->failed)
		return;
	in->failed = true;
	in->next_ = in->end_;
	in->bytes_ = 0;
	if (in->opened_ > 0)
		n = snprintf(in->message, sizeof(in->message), "task \"%.100s\": parameter %u (%.100s): ",
			     in->task_, (unsigned)in->opened_, in->where_);
	else
		n = snprintf(in->message, sizeof(in->message), "task \"%.100s\": %s: ", in->task_,
			     in->where_);
	va_start(args, format);
	vsnprintf(in->message + n, sizeof(in->message) - (size_t)n, format, args);
	va_end(args);
}

/* Takes n bytes. NULL if there are not as many. */
static inline const uint8_t *spider_take_(struct spider_reader *in, uint64_t n)
{
	const uint8_t *at = in->next_;

	if (in->failed)
		return NULL;
	if (n > (uint64_t)(in->end_ - at)) {
		spider_wrong_(in, "the value is cut short");
		return NULL;
	}
	in->next_ += n;
	return at;
}

static inline bool spider_take_number_(struct spider_reader *in, int width, uint64_t *number)
{
	const uint8_t *at = spider_take_(in, (uint64_t)width);

	*number = 0;
	if (!at)
		return false;
	for (int i = 0; i < width; i++)
		*number = *number << 8 | at[i];
	return true;
}

/* Stands for the field of a map that is missing: the nil of an option, for
 * everything else an error. */
static inline const uint8_t *spider_absent_(void)
{
	static const uint8_t nil = 0xc0;

	return &nil;
}

static inline void spider_close_fields_(struct spider_reader *in)
{
	struct spider_fields_ *f = in->fields_;

	in->next_ = f->resume;
	in->end_ = f->resume_end;
	in->fields_ = f->outer;
	free(f);
}

/* Where a value begins: goes to the next field of a struct that has come as a map,
 * and after the last one to what follows the map. */
static inline void spider_go_on_(struct spider_reader *in)
{
	while (in->fields_ && in->next_ == in->end_ && !in->failed) {
		struct spider_fields_ *f = in->fields_;

		if (f->next < f->count) {
			const uint8_t **at = (const uint8_t **)(f + 1) + 2 * f->next++;

			in->next_ = at[0];
			in->end_ = at[1];
			return;
		}
		spider_close_fields_(in);
	}
}

/* Begins a bin of n bytes, of which the first are the elements of a list, tuple or
 * struct. */
static inline void spider_open_bytes_(struct spider_reader *in, size_t elements, size_t n)
{
	in->bytes_ = elements;
	in->excess_ = n - elements;
	if (elements == 0)
		in->next_ += n;
}

/* Reads the start of a value. A length or count that the bytes left cannot hold
 * is refused here. */
static inline bool spider_take_head_(struct spider_reader *in, struct spider_head_ *head)
{
	const uint8_t *at;
	unsigned tag;
	int width = 0;
	uint64_t least;

	head->form = SPIDER_NIL_;
	head->number = 0;
	if (in->bytes_ > 0) {
		head->form = SPIDER_UINT_;
		head->number = *in->next_++;
		if (--in->bytes_ == 0)
			in->next_ += in->excess_;
		return true;
	}
	spider_go_on_(in);
	if (in->next_ == spider_absent_()) {
		spider_wrong_(in, "field %s is missing", in->fields_->names[in->fields_->next - 1]);
		return false;
	}
	at = spider_take_(in, 1);
	if (!at)
		return false;
	tag = *at;
	if (tag <= 0x7f) {
		head->form = SPIDER_UINT_;
		head->number = tag;
	} else if (tag <= 0x8f) {
		head->form = SPIDER_MAP_;
		head->number = tag & 0x0f;
	} else if (tag <= 0x9f) {
		head->form = SPIDER_ARRAY_;
		head->number = tag & 0x0f;
	} else if (tag <= 0xbf) {
		head->form = SPIDER_STR_;
		head->number = tag & 0x1f;
	} else if (tag >= 0xe0) {
		head->form = SPIDER_INT_;
		head->number = (uint64_t)(int64_t)(int8_t)tag;
	} else if (tag == 0xc0) {
		head->form = SPIDER_NIL_;
	} else if (tag == 0xc1) {
		spider_wrong_(in, "0xc1 begins no value");
		return false;
	} else if (tag <= 0xc3) {
		head->form = SPIDER_BOOL_;
		head->number = tag & 1;
	} else if (tag <= 0xc6) {
		head->form = SPIDER_BIN_;
		width = 1 << (tag - 0xc4);
	} else if (tag <= 0xc9) {
		head->form = SPIDER_EXT_;
		width = 1 << (tag - 0xc7);
	} else if (tag <= 0xcb) {
		head->form = tag == 0xca ? SPIDER_FLOAT_ : SPIDER_DOUBLE_;
		width = tag == 0xca ? 4 : 8;
	} else if (tag <= 0xd3) {
		head->form = tag <= 0xcf ? SPIDER_UINT_ : SPIDER_INT_;
		width = 1 << (tag & 3);
	} else if (tag <= 0xd8) {
		head->form = SPIDER_EXT_;
		head->number = (uint64_t)1 << (tag - 0xd4);
	} else if (tag <= 0xdb) {
		head->form = SPIDER_STR_;
		width = 1 << (tag - 0xd9);
	} else {
		head->form = tag <= 0xdd ? SPIDER_ARRAY_ : SPIDER_MAP_;
		width = 2 << (tag & 1);
	}
	if (width > 0 && !spider_take_number_(in, width, &head->number))
		return false;

	least = 0;
	switch (head->form) {
	case SPIDER_INT_:
		if (width > 0 && width < 8 && head->number >> (8 * width - 1))
			head->number |= ~(uint64_t)0 << (8 * width);
		if (head->number >> 63 == 0)
			head->form = SPIDER_UINT_;
		break;
	case SPIDER_EXT_:
		head->number++; /* the byte of its type */
		least = head->number;
		break;
	case SPIDER_STR_:
	case SPIDER_BIN_:
	case SPIDER_ARRAY_:
		least = head->number;
		break;
	case SPIDER_MAP_:
		least = 2 * head->number;
		break;
	default:
		break;
	}
	if (least > (uint64_t)(in->end_ - in->next_)) {
		spider_wrong_(in, "the value is cut short");
		return false;
	}
	return true;
}

static inline void spider_unwanted_(struct spider_reader *in, const char *wanted,
				    struct spider_head_ head)
{
	static const char *const names[] = { "nil",	 "a bool",	  "an integer",
					     "a negative integer", "a float", "a float",
					     "a string", "binary",	  "an array",
					     "a map",	 "an extension" };

	spider_wrong_(in, "want %s, got %s", wanted, names[head.form]);
}

/* Structs that have come as maps in one another would each be skipped as often as
 * they are deep. So the maps are noted when the outermost is read, but none that is
 * within so many bytes of the one before, or not as long: the notes stay smaller than
 * the value, and what is skipped again is bounded. */
enum { SPIDER_NOTED_ = 16 };

/* Returns whether the map is noted; then it is the last one. */
static inline bool spider_note_map_(struct spider_reader *in, const uint8_t *at)
{
	size_t n = in->maps_len_;

	if (n > 0 && at - in->maps_[n - 1].at < SPIDER_NOTED_)
		return false;
	if (n == in->maps_cap_) {
		in->maps_cap_ = n ? 2 * n : 16;
		in->maps_ = (struct spider_map_ *)spider_realloc_(in->maps_,
								  in->maps_cap_ * sizeof(*in->maps_));
	}
	in->maps_[n].at = in->maps_[n].end = at;
	in->maps_len_++;
	return true;
}

/* Where the map that begins at this byte ends. NULL: it is not noted. */
static inline const uint8_t *spider_map_end_(const struct spider_reader *in, const uint8_t *at)
{
	size_t low = 0, high = in->maps_len_;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (in->maps_[middle].at == at)
			return in->maps_[middle].end;
		if (in->maps_[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static inline void spider_skip_(struct spider_reader *in, int depth)
{
	struct spider_head_ head;
	const uint8_t *at, *end;
	bool noted = false;
	size_t map = 0;
	uint64_t n;

	spider_go_on_(in);
	at = in->next_;
	if (!spider_take_head_(in, &head))
		return;
	if (head.form == SPIDER_MAP_ && in->note_maps_) {
		map = in->maps_len_;
		noted = spider_note_map_(in, at);
	} else if (head.form == SPIDER_MAP_ && (end = spider_map_end_(in, at)) != NULL) {
		in->next_ = end;
		return;
	}
	switch (head.form) {
	case SPIDER_STR_:
	case SPIDER_BIN_:
	case SPIDER_EXT_:
		spider_take_(in, head.number);
		return;
	case SPIDER_ARRAY_:
		n = head.number;
		break;
	case SPIDER_MAP_:
		n = 2 * head.number;
		break;
	default:
		return;
	}
	if (depth >= 1023) {
		spider_wrong_(in, "more than 1023 nested arrays and maps");
		return;
	}
	while (n-- > 0 && !in->failed) {
		/* Long lists are mostly bytes. */
		if (in->next_ < in->end_ && *in->next_ <= 0x7f)
			in->next_++;
		else if (in->end_ - in->next_ >= 2 && *in->next_ == 0xcc)
			in->next_ += 2;
		else
			spider_skip_(in, depth + 1);
	}
	if (noted && in->next_ - at < SPIDER_NOTED_)
		in->maps_len_ = map; /* none inside of it is noted */
	else if (noted)
		in->maps_[map].end = in->next_;
}

/* Skips one value, of whatever type. */
static inline void spider_skip(struct spider_reader *in)
{
	spider_skip_(in, 0);
}

/* Sets the bytes to read from, and checks that they begin with one whole value. */
static inline void spider_open_value_(struct spider_reader *in, const uint8_t *at, size_t n)
{
	while (in->fields_)
		spider_close_fields_(in);
	in->bytes_ = 0;
	in->maps_len_ = 0;
	in->next_ = at;
	in->end_ = at + n;
	spider_skip(in);
	if (!in->failed)
		in->next_ = at;
}

/* Opens the next parameter, whose name is for the message if it is wrong.
 * Returns in. */
static inline struct spider_reader *spider_param(struct spider_reader *in, const char *name)
{
	size_t left = (size_t)(in->limit_ - in->inputs_);
	uint64_t n;

	if (in->failed)
		return in;
	in->opened_++;
	in->where_ = name;
	in->next_ = in->end_ = in->inputs_;
	if (in->opened_ > in->given_) {
		spider_wrong_(in, "missing, only %u given", (unsigned)in->given_);
		return in;
	}
	n = left < 4 ? 0 : in->inputs_[0] | (uint64_t)in->inputs_[1] << 8 |
				   (uint64_t)in->inputs_[2] << 16 | (uint64_t)in->inputs_[3] << 24;
	if (left < 4 || n > left - 4) {
		spider_wrong_(in, "the inputs are cut short");
		return in;
	}
	in->inputs_ += 4 + n;
	spider_open_value_(in, in->inputs_ - n, (size_t)n);
	return in;
}

static inline uint64_t spider_read_uint(struct spider_reader *in)
{
	struct spider_head_ head;

	if (!spider_take_head_(in, &head))
		return 0;
	if (head.form == SPIDER_UINT_)
		return head.number;
	spider_unwanted_(in, "an unsigned integer", head);
	return 0;
}

static inline int64_t spider_read_int(struct spider_reader *in)
{
	struct spider_head_ head;

	if (!spider_take_head_(in, &head))
		return 0;
	if (head.form == SPIDER_INT_ || (head.form == SPIDER_UINT_ && head.number <= INT64_MAX))
		return (int64_t)head.number;
	if (head.form == SPIDER_UINT_)
		spider_wrong_(in, "%llu is more than 64 bits with a sign hold",
			      (unsigned long long)head.number);
	else
		spider_unwanted_(in, "an integer", head);
	return 0;
}

/* For smaller types, such as spider_read_uint_max(in, UINT32_MAX). */
static inline uint64_t spider_read_uint_max(struct spider_reader *in, uint64_t max)
{
	uint64_t v = spider_read_uint(in);

	if (v <= max)
		return v;
	spider_wrong_(in, "%llu is more than %llu", (unsigned long long)v, (unsigned long long)max);
	return 0;
}

/* For smaller types, such as spider_read_int_between(in, INT8_MIN, INT8_MAX). */
static inline int64_t spider_read_int_between(struct spider_reader *in, int64_t min, int64_t max)
{
	int64_t v = spider_read_int(in);

	if (in->failed || (v >= min && v <= max))
		return v;
	spider_wrong_(in, "%lld is not between %lld and %lld", (long long)v, (long long)min,
		      (long long)max);
	return 0;
}

static inline double spider_read_double(struct spider_reader *in)
{
	struct spider_head_ head;
	uint32_t bits;
	double v;
	float f;

	if (!spider_take_head_(in, &head))
		return 0;
	switch (head.form) {
	case SPIDER_DOUBLE_:
		memcpy(&v, &head.number, sizeof(v));
		return v;
	case SPIDER_FLOAT_:
		bits = (uint32_t)head.number;
		memcpy(&f, &bits, sizeof(f));
		return (double)f;
	case SPIDER_UINT_:
		return (double)head.number;
	case SPIDER_INT_:
		return (double)(int64_t)head.number;
	default:
		spider_unwanted_(in, "a number", head);
		return 0;
	}
}

/* For a type that is declared as 32 bits: rounds once, and keeps every NaN. */
static inline float spider_read_float(struct spider_reader *in)
{
	struct spider_head_ head;
	uint32_t bits;
	double v;
	float f;

	if (!spider_take_head_(in, &head))
		return 0;
	switch (head.form) {
	case SPIDER_FLOAT_:
		bits = (uint32_t)head.number;
		memcpy(&f, &bits, sizeof(f));
		return f;
	case SPIDER_DOUBLE_:
		memcpy(&v, &head.number, sizeof(v));
		return (float)v;
	case SPIDER_UINT_:
		return (float)head.number;
	case SPIDER_INT_:
		return (float)(int64_t)head.number;
	default:
		spider_unwanted_(in, "a number", head);
		return 0;
	}
}

static inline bool spider_read_bool(struct spider_reader *in)
{
	struct spider_head_ head;

	if (!spider_take_head_(in, &head))
		return false;
	if (head.form == SPIDER_BOOL_)
		return head.number != 0;
	spider_unwanted_(in, "a bool", head);
	return false;
}

static inline void spider_read_nil(struct spider_reader *in)
{
	struct spider_head_ head;

	if (spider_take_head_(in, &head) && head.form != SPIDER_NIL_)
		spider_unwanted_(in, "nil", head);
}

/* Of an option: true if there is a value, which is then read next. */
static inline bool spider_read_some(struct spider_reader *in)
{
	spider_go_on_(in);
	if (in->bytes_ > 0) {
		/* As in Rust, where such an element is a number and nothing else. */
		spider_wrong_(in, "want an array, got a byte of binary");
		return false;
	}
	if (in->failed || in->next_ == in->end_)
		return spider_take_(in, 1) != NULL;
	if (*in->next_ != 0xc0)
		return true;
	in->next_++;
	return false;
}

/* UTF-8, not NUL-terminated. */
static inline SpiderTdlCharArray spider_read_str(struct spider_reader *in)
{
	struct spider_head_ head;
	SpiderTdlCharArray s;

	s.ptr = "";
	s.len = 0;
	if (!spider_take_head_(in, &head))
		return s;
	if (head.form != SPIDER_STR_ && head.form != SPIDER_BIN_) {
		spider_unwanted_(in, "a string", head);
	} else if (spider_utf8_((const char *)in->next_, (size_t)head.number) != head.number) {
		spider_wrong_(in, "the string is not UTF-8");
	} else {
		s.ptr = (const char *)in->next_;
		s.len = (size_t)head.number;
		in->next_ += s.len;
	}
	return s;
}

/* NUL-terminated, for paths and the like. A string with a NUL in it is refused. */
static inline const char *spider_read_cstr(struct spider_reader *in)
{
	SpiderTdlCharArray s = spider_read_str(in);
	char *copy;

	if (memchr(s.ptr, '\0', s.len)) {
		spider_wrong_(in, "the string has a NUL byte in it");
		return "";
	}
	if (s.len == 0)
		return "";
	copy = (char *)spider_alloc(in, s.len + 1, 1);
	memcpy(copy, s.ptr, s.len);
	return copy;
}

/* The header of a list: as many values follow. */
static inline size_t spider_read_array(struct spider_reader *in)
{
	struct spider_head_ head;

	if (!spider_take_head_(in, &head))
		return 0;
	if (head.form == SPIDER_BIN_)
		spider_open_bytes_(in, (size_t)head.number, (size_t)head.number);
	else if (head.form != SPIDER_ARRAY_) {
		spider_unwanted_(in, "a list", head);
		return 0;
	}
	return (size_t)head.number;
}

static inline void spider_open_struct_(struct spider_reader *in, const char *wanted, size_t n,
				       struct spider_head_ head)
{
	if (head.form != SPIDER_ARRAY_ && head.form != SPIDER_BIN_)
		spider_unwanted_(in, wanted, head);
	else if (head.form == SPIDER_ARRAY_ ? head.number != n : head.number < n)
		spider_wrong_(in, "want %zu fields, got %zu", n, (size_t)head.number);
	else if (head.form == SPIDER_BIN_)
		spider_open_bytes_(in, n, (size_t)head.number);
}

/* The header of a tuple, or of a struct whose field names do not matter: exactly n
 * values follow. */
static inline void spider_read_struct(struct spider_reader *in, size_t n)
{
	struct spider_head_ head;

	if (spider_take_head_(in, &head))
		spider_open_struct_(in, "a list", n, head);
}

/* Reads a name, as a string or bin, or an index, and returns which of the n names it
 * is. These stand at first and then every stride bytes. n: it is none of them. */
static inline size_t spider_read_key_(struct spider_reader *in, const char *wanted,
				      const void *first, size_t stride, size_t n)
{
	bool has_sign = in->next_ < in->end_ && *in->next_ >= 0xd0 && *in->next_ <= 0xd3;
	struct spider_head_ head;
	const char *key;

	if (!spider_take_head_(in, &head))
		return n;
	if (head.form == SPIDER_UINT_ && !has_sign)
		return head.number < n ? (size_t)head.number : n;
	if (head.form != SPIDER_STR_ && head.form != SPIDER_BIN_) {
		spider_unwanted_(in, wanted, head);
		return n;
	}
	key = (const char *)spider_take_(in, head.number);
	for (size_t i = 0; i < n; i++) {
		const char *name = *(const char *const *)((const char *)first + i * stride);

		if (head.number == strlen(name) && memcmp(key, name, (size_t)head.number) == 0)
			return i;
	}
	return n;
}

/* The header of a struct of these fields: their n values follow, in this order, also
 * if it is a map. The names must stay until they are read. */
static inline void spider_read_fields(struct spider_reader *in, const char *const *names, size_t n)
{
	struct spider_head_ head;
	struct spider_fields_ *f;
	const uint8_t **at;

	if (!spider_take_head_(in, &head))
		return;
	if (head.form != SPIDER_MAP_) {
		spider_open_struct_(in, "a struct", n, head);
		return;
	}
	if (n > SIZE_MAX / 4 / sizeof(*at))
		spider_realloc_(NULL, SIZE_MAX); /* says so and aborts */
	f = (struct spider_fields_ *)spider_realloc_(NULL, sizeof(*f) + 2 * n * sizeof(*at));
	at = (const uint8_t **)(f + 1);
	for (size_t i = 0; i < n; i++) {
		at[2 * i] = spider_absent_();
		at[2 * i + 1] = spider_absent_() + 1;
	}
	if (!in->fields_) {
		in->maps_len_ = 0;
		in->note_maps_ = true;
	}
	for (uint64_t i = 0; i < head.number && !in->failed; i++) {
		size_t field = spider_read_key_(in, "the name or the index of a field", names,
						sizeof(*names), n);
		const uint8_t *value = in->next_;

		spider_skip(in);
		if (field == n)
			continue;
		if (at[2 * field] != spider_absent_())
			spider_wrong_(in, "field %s is there twice", names[field]);
		at[2 * field] = value;
		at[2 * field + 1] = in->next_;
	}
	in->note_maps_ = false;
	if (in->failed) {
		free(f);
		return;
	}
	f->names = names;
	f->next = 0;
	f->count = n;
	f->resume = in->next_;
	f->resume_end = in->end_;
	f->outer = in->fields_;
	in->fields_ = f;
	in->next_ = in->end_; /* of no field yet */
}

/* Which of the n variants an enum is. The value of one that has_value is read next. */
static inline size_t spider_read_variant(struct spider_reader *in,
					 const struct spider_variant *variants, size_t n)
{
	struct spider_head_ head;
	const uint8_t *key;
	bool entry;
	size_t i;

	spider_go_on_(in);
	if (in->bytes_ > 0)
		spider_wrong_(in, "want an array, got a byte of binary");
	key = in->next_;
	entry = key < in->end_ && ((*key & 0xf0) == 0x80 || *key == 0xde || *key == 0xdf);
	if (entry && spider_take_head_(in, &head) && head.number != 1)
		spider_wrong_(in, "want a variant, got a map of %zu", (size_t)head.number);
	key = in->next_;
	i = spider_read_key_(in, "the name or the index of a variant", &variants->name,
			     sizeof(*variants), n);
	if (!in->failed && i == n) {
		in->next_ = key;
		spider_take_head_(in, &head);
		if (head.form == SPIDER_UINT_)
			spider_wrong_(in, "unknown variant %llu", (unsigned long long)head.number);
		else
			spider_wrong_(in, "unknown variant %.*s",
				      (int)spider_utf8_((const char *)in->next_,
							head.number > 100 ? 100 : (size_t)head.number),
				      (const char *)in->next_);
	}
	if (!in->failed && variants[i].has_value && !entry)
		spider_wrong_(in, "variant %s is without its value", variants[i].name);
	if (!in->failed && !variants[i].has_value && entry)
		spider_read_nil(in);
	return in->failed ? 0 : i;
}

/* The header of a map: as many times a key and a value follow. */
static inline size_t spider_read_map(struct spider_reader *in)
{
	struct spider_head_ head;

	if (!spider_take_head_(in, &head))
		return 0;
	if (head.form == SPIDER_MAP_)
		return (size_t)head.number;
	spider_unwanted_(in, "a map", head);
	return 0;
}

static inline SpiderTdlByteArray spider_read_bytes(struct spider_reader *in)
{
	struct spider_head_ head;
	SpiderTdlByteArray b;
	uint8_t *copy;
	size_t n;

	b.ptr = spider_tdl_no_bytes();
	b.len = 0;
	if (!spider_take_head_(in, &head))
		return b;
	n = (size_t)head.number;
	if (head.form != SPIDER_ARRAY_ && head.form != SPIDER_BIN_) {
		spider_unwanted_(in, "bytes", head);
		return b;
	}
	if (n == 0)
		return b;
	if (head.form == SPIDER_BIN_) {
		b.ptr = in->next_;
		b.len = n;
		in->next_ += n;
		return b;
	}
	copy = (uint8_t *)spider_alloc(in, n, 1);
	for (size_t i = 0; i < n; i++) {
		if (in->next_ < in->end_ && *in->next_ <= 0x7f)
			copy[i] = *in->next_++;
		else if (in->end_ - in->next_ >= 2 && *in->next_ == 0xcc)
			copy[i] = (in->next_ += 2)[-1];
		else
			copy[i] = (uint8_t)spider_read_uint_max(in, UINT8_MAX);
	}
	if (in->failed)
		return b;
	b.ptr = copy;
	b.len = n;
	return b;
}

/* True if nothing was wrong and there is no further input. */
static inline bool spider_end(struct spider_reader *in)
{
	unsigned wanted = in->opened_;

	if (!in->failed && in->given_ != wanted) {
		in->opened_ = 0; /* not about a parameter */
		in->where_ = "inputs";
		spider_wrong_(in, "want %u arguments, got %u", wanted, (unsigned)in->given_);
	}
	return !in->failed;
}

/* What the task returns after a spider_end that is false. */
static inline SpiderTdlResult spider_refusal(struct spider_reader *in)
{
	return spider_error(SPIDER_DESERIALIZATION_ERROR, "%s",
			    in->failed ? in->message : "the arguments were refused");
}

/*
 * Around a task. A package that uses SPIDER_PACKAGE needs none of these.
 */

/* A reader of inputs. It needs spider_close. */
static inline void spider_open(struct spider_reader *in, const char *task, SpiderTdlByteArray inputs)
{
	const uint8_t *at = inputs.ptr;

	memset(in, 0, sizeof(*in));
	in->task_ = task;
	in->where_ = "inputs";
	in->context.graph_outputs.ptr = spider_tdl_no_bytes();
	in->next_ = in->end_ = in->inputs_ = in->limit_ = spider_tdl_no_bytes();
	if (inputs.len < 4) {
		spider_wrong_(in, "the inputs are no payload sequence");
		return;
	}
	for (int i = 3; i >= 0; i--)
		in->given_ = in->given_ << 8 | at[i];
	in->inputs_ = at + 4;
	in->limit_ = at + inputs.len;
}

static inline void spider_close(struct spider_reader *in)
{
	while (in->fields_)
		spider_close_fields_(in);
	while (in->memory_) {
		struct spider_memory_ *m = in->memory_;

		in->memory_ = m->next;
		free(m);
	}
	free(in->maps_);
	in->maps_ = NULL;
	in->maps_len_ = in->maps_cap_ = 0;
}

/* Reads the context, an array of 5 or a map, into in->context. Before the first
 * spider_param. */
static inline void spider_read_context(struct spider_reader *in, SpiderTdlByteArray ctx)
{
	static const char *const names[] = { "job_id", "task_id", "task_instance_id",
					     "resource_group_id", "serialized_task_graph_outputs" };
	static const struct spider_variant kinds[] = { { "Index", true }, { "Commit", false },
						       { "Cleanup", false } };
	/* Wrong inputs are for later: the context comes first. */
	struct spider_reader inputs = *in;

	in->failed = false;
	in->where_ = "task context";
	spider_open_value_(in, ctx.len ? ctx.ptr : spider_tdl_no_bytes(), ctx.len);
	spider_read_fields(in, names, 5);
	in->context.job_id = spider_read_uint(in);
	in->context.kind = (enum spider_task_kind)spider_read_variant(in, kinds, 3);
	if (!in->failed && in->context.kind == SPIDER_TASK_INDEX)
		in->context.task_index = spider_read_uint(in);
	in->context.task_instance_id = spider_read_uint(in);
	in->context.resource_group_id = spider_read_uint(in);
	if (spider_read_some(in))
		in->context.graph_outputs = spider_read_bytes(in);
	while (in->fields_)
		spider_close_fields_(in);
	if (in->failed)
		return;
	inputs.context = in->context;
	inputs.memory_ = in->memory_;
	inputs.maps_ = in->maps_;
	inputs.maps_cap_ = in->maps_cap_;
	*in = inputs;
}

static inline bool spider_task_is(SpiderTdlCharArray task, const char *name)
{
	return task.len == strlen(name) && memcmp(task.ptr, name, task.len) == 0;
}

static inline SpiderTdlResult spider_task_not_found(SpiderTdlCharArray task)
{
	return spider_error(SPIDER_TASK_NOT_FOUND, "%.*s", task.len > 1000 ? 1000 : (int)task.len,
			    task.len ? task.ptr : "");
}

/* Finds the task, reads the context, runs the task: what execute does. */
static inline SpiderTdlResult spider_execute(const struct spider_task *tasks, size_t count,
					     SpiderTdlCharArray task, SpiderTdlByteArray ctx,
					     SpiderTdlByteArray inputs)
{
	struct spider_reader in;
	SpiderTdlResult result;

	for (size_t i = 0; i < count; i++) {
		if (!spider_task_is(task, tasks[i].name))
			continue;
		spider_open(&in, tasks[i].name, inputs);
		spider_read_context(&in, ctx);
		if (in.failed)
			result = spider_refusal(&in);
		else
			result = tasks[i].run(&in);
		if (in.failed && !result.is_error) {
			/* It did not ask spider_end, and worked with zeroes. */
			if (result.len > 0)
				free(result.ptr);
			result = spider_refusal(&in);
		}
		if (result.len == 0)
			result.ptr = spider_tdl_no_bytes();
		spider_close(&in);
		return result;
	}
	return spider_task_not_found(task);
}

static inline SpiderTdlVersion spider_version(void)
{
	SpiderTdlVersion v;

	v.major = SPIDER_TDL_VERSION_MAJOR;
	v.minor = SPIDER_TDL_VERSION_MINOR;
	v.patch = SPIDER_TDL_VERSION_PATCH;
	return v;
}

/* Defines the three functions a package must have. The name is a string literal,
 * tasks an array of struct spider_task. */
#define SPIDER_PACKAGE(package_name, package_tasks)                                              \
	SpiderTdlVersion __spider_tdl_package_get_version(void)                                  \
	{                                                                                        \
		return spider_version();                                                         \
	}                                                                                        \
	SpiderTdlCharArray __spider_tdl_package_get_name(void)                                   \
	{                                                                                        \
		SpiderTdlCharArray name;                                                         \
                                                                                                 \
		name.ptr = package_name;                                                         \
		name.len = sizeof(package_name) - 1;                                             \
		return name;                                                                     \
	}                                                                                        \
	SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray task, SpiderTdlByteArray ctx, \
						     SpiderTdlByteArray inputs)                  \
	{                                                                                        \
		return spider_execute(package_tasks, sizeof(package_tasks) / sizeof((package_tasks)[0]), \
				      task, ctx, inputs);                                        \
	}                                                                                        \
	SPIDER_TDL_STATIC_ASSERT(sizeof(package_name) > 1, "the package needs a name")

#ifdef __cplusplus
}
#endif
#endif
