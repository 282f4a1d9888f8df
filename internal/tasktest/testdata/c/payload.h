/*
 * payload.h - just enough payload sequences and msgpack for the test packages:
 * read a u64 or a string, build results and errors.
 */
#ifndef TASKTEST_PAYLOAD_H
#define TASKTEST_PAYLOAD_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tdl.h"

/* A growing malloc'ed buffer: what a result must be made of. */
struct buf {
	uint8_t *ptr;
	size_t len, cap;
};

static inline void put(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	if (n > PTRDIFF_MAX - b->len)
		abort();
	if (b->len + n > b->cap) {
		b->cap = 2 * b->cap > b->len + n ? 2 * b->cap : b->len + n;
		b->ptr = realloc(b->ptr, b->cap);
		if (!b->ptr)
			abort();
	}
	memcpy(b->ptr + b->len, bytes, n);
	b->len += n;
}

static inline void put_byte(struct buf *b, uint8_t v)
{
	put(b, &v, 1);
}

static inline void put_big_endian(struct buf *b, uint64_t v, int width)
{
	while (width-- > 0)
		put_byte(b, (uint8_t)(v >> (8 * width)));
}

static inline void put_u64(struct buf *b, uint64_t v)
{
	if (v <= 0x7f) {
		put_byte(b, (uint8_t)v);
	} else if (v <= UINT8_MAX) {
		put_byte(b, 0xcc);
		put_big_endian(b, v, 1);
	} else if (v <= UINT16_MAX) {
		put_byte(b, 0xcd);
		put_big_endian(b, v, 2);
	} else if (v <= UINT32_MAX) {
		put_byte(b, 0xce);
		put_big_endian(b, v, 4);
	} else {
		put_byte(b, 0xcf);
		put_big_endian(b, v, 8);
	}
}

static inline void put_str_header(struct buf *b, size_t n)
{
	if (n <= 31) {
		put_byte(b, (uint8_t)(0xa0 | n));
	} else if (n <= UINT8_MAX) {
		put_byte(b, 0xd9);
		put_big_endian(b, n, 1);
	} else if (n <= UINT16_MAX) {
		put_byte(b, 0xda);
		put_big_endian(b, n, 2);
	} else {
		put_byte(b, 0xdb);
		put_big_endian(b, n, 4);
	}
}

static inline void put_str(struct buf *b, const char *s, size_t n)
{
	put_str_header(b, n);
	put(b, s, n);
}

static inline void put_array_header(struct buf *b, size_t n)
{
	if (n <= 15) {
		put_byte(b, (uint8_t)(0x90 | n));
	} else if (n <= UINT16_MAX) {
		put_byte(b, 0xdc);
		put_big_endian(b, n, 2);
	} else {
		put_byte(b, 0xdd);
		put_big_endian(b, n, 4);
	}
}

static inline void put_u32_little_endian(struct buf *b, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		put_byte(b, (uint8_t)(v >> (8 * i)));
}

/* One payload of a sequence; frees the value it was made of. */
static inline void put_payload(struct buf *sequence, struct buf value)
{
	put_u32_little_endian(sequence, (uint32_t)value.len);
	put(sequence, value.ptr, value.len);
	free(value.ptr);
}

static inline SpiderTdlResult result_of(bool is_error, struct buf b)
{
	return (SpiderTdlResult){ is_error, b.len ? b.ptr : spider_tdl_no_bytes(), b.len };
}

static inline SpiderTdlResult result_none(void)
{
	struct buf b = { 0 };

	put_u32_little_endian(&b, 0);
	return result_of(false, b);
}

static inline SpiderTdlResult result_one(struct buf value)
{
	struct buf b = { 0 };

	put_u32_little_endian(&b, 1);
	put_payload(&b, value);
	return result_of(false, b);
}

static inline SpiderTdlResult result_u64(uint64_t v)
{
	struct buf value = { 0 };

	put_u64(&value, v);
	return result_one(value);
}

static inline SpiderTdlResult result_u64_pair(uint64_t first, uint64_t second)
{
	struct buf b = { 0 }, v = { 0 }, w = { 0 };

	put_u64(&v, first);
	put_u64(&w, second);
	put_u32_little_endian(&b, 2);
	put_payload(&b, v);
	put_payload(&b, w);
	return result_of(false, b);
}

static inline SpiderTdlResult result_bool(bool v)
{
	struct buf value = { 0 };

	put_byte(&value, v ? 0xc3 : 0xc2);
	return result_one(value);
}

static inline SpiderTdlResult result_str(const char *s)
{
	struct buf value = { 0 };

	put_str(&value, s, strlen(s));
	return result_one(value);
}

/* Exactly these bytes, valid or not. */
static inline SpiderTdlResult result_raw(bool is_error, const void *bytes, size_t n)
{
	struct buf b = { 0 };

	put(&b, bytes, n);
	return result_of(is_error, b);
}

/* A TdlError: {variant: text}. */
static inline SpiderTdlResult error_bytes(const char *variant, const char *text, size_t n)
{
	struct buf b = { 0 };

	put_byte(&b, 0x81);
	put_str(&b, variant, strlen(variant));
	put_str(&b, text, n);
	return result_of(true, b);
}

__attribute__((format(printf, 2, 3)))
static inline SpiderTdlResult error_text(const char *variant, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_bytes(variant, text, strlen(text));
}

static inline SpiderTdlResult error_errno(const char *what)
{
	return error_text("ExecutionError", "%s: %s", what, strerror(errno));
}

static inline bool task_is(SpiderTdlCharArray task, const char *name)
{
	return task.len == strlen(name) && memcmp(task.ptr, name, task.len) == 0;
}

static inline SpiderTdlResult error_task_not_found(SpiderTdlCharArray task)
{
	return error_bytes("TaskNotFound", task.ptr, task.len);
}

/* Takes n bytes off the front of *from. */
static inline bool take(SpiderTdlByteArray *from, size_t n, SpiderTdlByteArray *out)
{
	if (from->len < n)
		return false;
	*out = (SpiderTdlByteArray){ from->ptr, n };
	from->ptr += n;
	from->len -= n;
	return true;
}

static inline bool take_u32_little_endian(SpiderTdlByteArray *from, uint32_t *out)
{
	SpiderTdlByteArray b;

	if (!take(from, 4, &b))
		return false;
	*out = 0;
	for (int i = 3; i >= 0; i--)
		*out = *out << 8 | b.ptr[i];
	return true;
}

static inline bool take_payload(SpiderTdlByteArray *sequence, SpiderTdlByteArray *out)
{
	uint32_t n;

	return take_u32_little_endian(sequence, &n) && take(sequence, n, out);
}

static inline bool take_big_endian(SpiderTdlByteArray *from, size_t width, uint64_t *out)
{
	SpiderTdlByteArray b;

	if (!take(from, width, &b))
		return false;
	*out = 0;
	for (size_t i = 0; i < width; i++)
		*out = *out << 8 | b.ptr[i];
	return true;
}

/* Any msgpack integer form that is not negative. */
static inline bool read_u64(SpiderTdlByteArray value, uint64_t *out)
{
	uint64_t tag;
	size_t width;

	if (!take_big_endian(&value, 1, &tag))
		return false;
	if (tag <= 0x7f) {
		*out = tag;
		return true;
	}
	if (tag < 0xcc || tag > 0xd3)
		return false;
	width = (size_t)1 << (tag & 3);
	if (!take_big_endian(&value, width, out))
		return false;
	return tag < 0xd0 || *out >> (8 * width - 1) == 0;
}

static inline bool read_str(SpiderTdlByteArray value, SpiderTdlByteArray *out)
{
	uint64_t tag, n;

	if (!take_big_endian(&value, 1, &tag))
		return false;
	if ((tag & 0xe0) == 0xa0)
		n = tag & 0x1f;
	else if (tag < 0xd9 || tag > 0xdb || !take_big_endian(&value, (size_t)1 << (tag - 0xd9), &n))
		return false;
	return take(&value, n, out);
}

#endif
