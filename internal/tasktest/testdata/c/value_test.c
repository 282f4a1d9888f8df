/*
 * value_test.c - tdl_value.h under test; also compiles as C++.
 *
 *	value_test copy SIGNATURE < sequence    reads each payload by its type and
 *	                                        writes it again; status 1 and the
 *	                                        TdlError if it is refused
 *	value_test damage SIGNATURE < sequence  the same with every truncation, all
 *	                                        of which must be refused, and with
 *	                                        changed bytes
 *	value_test rows < rows                  each line is a signature and a value in
 *	                                        hex: the value as it is written again,
 *	                                        or err
 *	value_test context < context            its fields
 *	value_test damage-context < context
 *	value_test garbage ROUNDS               random bytes, random signatures
 *	value_test faults                       writers and tasks that are wrong
 *
 * A signature has one type after the other: u uint64, i int64, 8 uint8, 7 int8,
 * 6 uint16, 5 int32, d double, f float, b bool, n nil, s string, z string without
 * NUL, y bytes, k anything (written as nil), o<type> option, [<type> list,
 * {<key><value> map, (<types>) tuple, <name=type...> struct, c enum color,
 * l the struct <value=unext=ol>, a list linked through itself.
 */
#include "tdl_value.h"

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "value_test: %s\n", what);
	exit(2);
}

/* Steps over one type. */
static const char *after(const char *type)
{
	switch (*type) {
	case 'o':
	case '[':
		return after(type + 1);
	case '{':
		return after(after(type + 1));
	case '(':
		for (type++; *type != ')';)
			type = after(type);
		break;
	case '<':
		for (type++; *type != '>';)
			type = after(strchr(type, '=') + 1);
	}
	return type + 1;
}

static const struct spider_variant colors[] = { { "Red", false }, { "Green", false },
						{ "Blue", false }, { "Gray", true } };

static void copy(struct spider_reader *in, struct spider_writer *out, const char *type);

/* Reads and writes the struct of a type such as "<a=8b=s>". */
static void copy_struct(struct spider_reader *in, struct spider_writer *out, const char *type)
{
	const char *names[8] = { NULL }, *types[8] = { NULL }, *end;
	char text[100];
	size_t n = 0, used = 0;

	for (type++; *type != '>'; type = after(types[n++])) {
		end = strchr(type, '=');
		check(end && n < 8 && used + (size_t)(end - type) < sizeof(text), "bad signature");
		names[n] = text + used;
		types[n] = end + 1;
		memcpy(text + used, type, (size_t)(end - type));
		used += (size_t)(end - type) + 1;
		text[used - 1] = '\0';
	}
	spider_read_fields(in, names, n);
	spider_write_array(out, n);
	for (size_t i = 0; i < n; i++)
		copy(in, out, types[i]);
}

/* Reads a value of the type; writes it if out is not NULL. */
static void copy(struct spider_reader *in, struct spider_writer *out, const char *type)
{
	SpiderTdlCharArray s;
	SpiderTdlByteArray y;
	const char *z, *field;
	size_t n = 0;

	switch (*type) {
	case 'u':
		spider_write_uint(out, spider_read_uint(in));
		return;
	case 'i':
		spider_write_int(out, spider_read_int(in));
		return;
	case '8':
		spider_write_uint(out, spider_read_uint_max(in, UINT8_MAX));
		return;
	case '7':
		spider_write_int(out, spider_read_int_between(in, INT8_MIN, INT8_MAX));
		return;
	case '6':
		spider_write_uint(out, spider_read_uint_max(in, UINT16_MAX));
		return;
	case '5':
		spider_write_int(out, spider_read_int_between(in, INT32_MIN, INT32_MAX));
		return;
	case 'd':
		spider_write_double(out, spider_read_double(in));
		return;
	case 'f':
		spider_write_float(out, spider_read_float(in));
		return;
	case 'l':
		copy_struct(in, out, "<value=unext=ol>");
		return;
	case 'b':
		spider_write_bool(out, spider_read_bool(in));
		return;
	case 'n':
		spider_read_nil(in);
		spider_write_nil(out);
		return;
	case 's':
		s = spider_read_str(in);
		spider_write_str(out, s.ptr, s.len);
		return;
	case 'z':
		z = spider_read_cstr(in);
		spider_write_cstr(out, z);
		return;
	case 'y':
		y = spider_read_bytes(in);
		spider_write_bytes(out, y.ptr, y.len);
		return;
	case 'k':
		spider_skip(in);
		spider_write_nil(out);
		return;
	case 'o':
		if (spider_read_some(in))
			copy(in, out, type + 1);
		else
			spider_write_nil(out);
		return;
	case '[':
		n = spider_read_array(in);
		spider_write_array(out, n);
		while (n-- > 0)
			copy(in, out, type + 1);
		return;
	case '{':
		n = spider_read_map(in);
		spider_write_map(out, n);
		while (n-- > 0) {
			copy(in, out, type + 1);
			copy(in, out, after(type + 1));
		}
		return;
	case '(':
		for (field = type + 1; *field != ')'; field = after(field))
			n++;
		spider_read_struct(in, n);
		spider_write_array(out, n);
		for (field = type + 1; *field != ')'; field = after(field))
			copy(in, out, field);
		return;
	case '<':
		copy_struct(in, out, type);
		return;
	case 'c':
		n = (size_t)spider_read_variant(in, colors, 4);
		if (n == 3) {
			spider_write_map(out, 1);
			spider_write_cstr(out, "Gray");
			spider_write_uint(out, spider_read_uint_max(in, UINT8_MAX));
		} else {
			spider_write_cstr(out, colors[n].name);
		}
		return;
	default:
		check(false, "bad signature");
	}
}

static SpiderTdlResult copy_all(const char *signature, const uint8_t *bytes, size_t n)
{
	struct spider_writer out = spider_results();
	struct spider_reader in;
	SpiderTdlByteArray inputs;
	SpiderTdlResult result;

	inputs.ptr = bytes;
	inputs.len = n;
	spider_open(&in, "copy", inputs);
	for (const char *type = signature; *type; type = after(type)) {
		spider_param(&in, "value");
		copy(&in, spider_result(&out), type);
	}
	if (spider_end(&in)) {
		result = spider_done(&out);
		check(!result.is_error, "what was read cannot be written");
	} else {
		result = spider_refusal(&in);
		check(result.is_error && strlen(in.message) > 10, "no message");
		spider_drop(&out);
	}
	spider_close(&in);
	return result;
}

static bool read_context(struct spider_reader *in, const uint8_t *bytes, size_t n)
{
	static const uint8_t none[4] = { 0 };
	SpiderTdlByteArray b;

	b.ptr = none;
	b.len = sizeof(none);
	spider_open(in, "context", b);
	b.ptr = bytes;
	b.len = n;
	spider_read_context(in, b);
	return spider_end(in);
}

/* Of exactly this size, so that a read beyond it is noticed. */
static uint8_t *exact(const uint8_t *bytes, size_t n)
{
	uint8_t *b = (uint8_t *)malloc(n);

	check(n == 0 || b != NULL, "malloc");
	if (n > 0)
		memcpy(b, bytes, n);
	return b;
}

/* False if it is refused. */
static bool survives(const char *signature, const uint8_t *bytes, size_t n)
{
	uint8_t *b = exact(bytes, n);
	bool ok;

	if (signature) {
		SpiderTdlResult result = copy_all(signature, b, n);

		ok = !result.is_error;
		check(result.ptr != NULL && result.len > 0, "a result of no bytes");
		free(result.ptr);
	} else {
		struct spider_reader in;

		ok = read_context(&in, b, n);
		spider_close(&in);
	}
	free(b);
	return ok;
}

static void damage(const char *signature, uint8_t *bytes, size_t n)
{
	static const uint8_t others[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
					  0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcf,
					  0xd0, 0xd3, 0xd4, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde,
					  0xdf, 0xe0, 0xff };
	/* Long inputs are the same all over. */
	size_t step = n > 2000 ? n / 500 : 1;

	check(survives(signature, bytes, n), "the undamaged input is refused");
	for (size_t i = 0; i < n; i += i < 100 || n - i < 100 ? 1 : step)
		check(!survives(signature, bytes, i), "a truncated input is accepted");
	for (size_t i = 0; i < n; i += i < 100 ? 1 : step) {
		uint8_t was = bytes[i];

		for (size_t j = 0; j < sizeof(others); j++) {
			bytes[i] = others[j];
			survives(signature, bytes, n);
		}
		bytes[i] = was;
	}
}

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % n;
}

static void garbage(long rounds)
{
	static const char *const signatures[] = { "c", "[c", "<a=8b=o<c=sd=[u>>", "[<a=k>", "(ok<>)[(u)", "u", "i", "8", "7", "d", "f", "b", "n", "s", "z", "y",
						  "k", "ou", "[u", "[[s", "{sd", "(udb)", "os[y{uk",
						  "(s[(ud))[os", NULL };
	const size_t count = sizeof(signatures) / sizeof(signatures[0]);
	uint8_t bytes[64];

	while (rounds-- > 0) {
		size_t n = random_below(sizeof(bytes) + 1);

		for (size_t i = 0; i < n; i++)
			/* Tags, or small numbers that pass as lengths. */
			bytes[i] = (uint8_t)(random_below(2) ? random_below(256) : random_below(8));
		if (n > 8 && random_below(4)) {
			memset(bytes, 0, 8);
			bytes[0] = (uint8_t)random_below(4);
			bytes[4] = (uint8_t)(n - 8 - random_below(2));
		}
		survives(signatures[random_below((uint32_t)count)], bytes, n);
	}
}

static void check_fault(struct spider_writer out, const char *says)
{
	SpiderTdlResult result = spider_done(&out);
	char text[200] = "";

	check(result.is_error && result.len < sizeof(text), "a fault is no error");
	for (size_t i = 0; i < result.len; i++)
		text[i] = result.ptr[i] ? (char)result.ptr[i] : '?';
	check(strstr(text, "SerializationError") && strstr(text, says), text);
	free(result.ptr);
}

static void faults(void)
{
	struct spider_writer out = spider_results();

	spider_write_uint(&out, 1);
	check_fault(out, "result 0: a value too many");

	out = spider_results();
	spider_result(&out);
	check_fault(out, "result 1: it ends before its value does");

	out = spider_results();
	spider_write_uint(spider_result(&out), 1);
	spider_write_uint(&out, 1);
	spider_write_uint(spider_result(&out), 1);
	check_fault(out, "result 1: a value too many");

	out = spider_results();
	spider_write_uint(spider_result(&out), 1);
	spider_write_array(spider_result(&out), 3);
	spider_write_map(&out, 1);
	spider_write_uint(&out, 1);
	spider_write_uint(&out, 1);
	spider_write_uint(&out, 1);
	spider_result(&out);
	check_fault(out, "result 2: it ends before");

	out = spider_results();
	spider_write_str(spider_result(&out), "\xc3", 1);
	check_fault(out, "result 1: a string is not UTF-8");

	out = spider_results();
	spider_write_array(spider_result(&out), (size_t)UINT32_MAX + 1);
	check_fault(out, "more than 2^32-1");

	out = spider_results();
	spider_write_cstr(spider_result(&out), "dropped");
	spider_drop(&out);
}

/* Text in an error that is not UTF-8 is made so. */
static void check_error_text(void)
{
	static const uint8_t want[] = "\x81\xae" "ExecutionError" "\xa8" "a?\xc3\xa9?? 7";
	SpiderTdlResult result = spider_fail("a\xff\xc3\xa9\xe2\x82 %d", 7);

	check(result.is_error && result.len == sizeof(want) - 1 &&
		      memcmp(result.ptr, want, result.len) == 0, "error text");
	free(result.ptr);
}

static SpiderTdlResult careless(struct spider_reader *in)
{
	return spider_answer_uint(spider_read_uint(spider_param(in, "n")));
}

static SpiderTdlResult empty(struct spider_reader *in)
{
	SpiderTdlResult nothing;

	(void)in;
	memset(&nothing, 0, sizeof(nothing));
	return nothing;
}

/* A task that never asks whether its inputs were right, and one that answers
 * with a null pointer. */
static void check_execute(void)
{
	static const struct spider_task tasks[] = { { "careless", careless }, { "empty", empty } };
	static const uint8_t ctx[] = "\x95\x01\x02\x03\x04\xc0";
	static const uint8_t text[] = "\x01\0\0\0\x02\0\0\0\xa1x";
	SpiderTdlCharArray task = { "careless", 8 };
	SpiderTdlByteArray c = { ctx, sizeof(ctx) - 1 }, in = { text, sizeof(text) - 1 };
	SpiderTdlResult result = spider_execute(tasks, 2, task, c, in);

	check(result.is_error, "a task's result without its inputs");
	free(result.ptr);
	task.ptr = "empty";
	task.len = 5;
	result = spider_execute(tasks, 2, task, c, in);
	check(!result.is_error && result.len == 0 && result.ptr != NULL, "a null pointer");
}

static void rows(void)
{
	static char line[100000];
	static uint8_t bytes[8 + sizeof(line) / 2];

	while (fgets(line, sizeof(line), stdin)) {
		char *hex = strchr(line, ' ');
		size_t n = 8;
		unsigned b;
		uint8_t *b1;
		SpiderTdlResult result;

		check(hex && strchr(hex, '\n'), "bad row");
		*hex++ = '\0';
		for (; sscanf(hex, "%2x", &b) == 1; hex += 2)
			bytes[n++] = (uint8_t)b;
		memcpy(bytes, "\x01\0\0\0\0\0\0\0", 8);
		for (int i = 0; i < 4; i++)
			bytes[4 + i] = (uint8_t)((n - 8) >> (8 * i));
		b1 = exact(bytes, n);
		result = copy_all(line, b1, n);
		if (result.is_error)
			printf("err");
		for (size_t i = 8; i < result.len && !result.is_error; i++)
			printf("%02x", result.ptr[i]);
		printf("\n");
		free(b1);
		free(result.ptr);
	}
}

int main(int argc, char **argv)
{
	static uint8_t bytes[4 << 20];
	const char *mode = argc > 1 ? argv[1] : "";
	const char *argument = argc > 2 ? argv[2] : "";
	struct spider_reader in;
	size_t n;

	if (strcmp(mode, "garbage") == 0) {
		garbage(atol(argument));
		return 0;
	}
	if (strcmp(mode, "faults") == 0) {
		faults();
		check_error_text();
		check_execute();
		return 0;
	}
	if (strcmp(mode, "rows") == 0) {
		rows();
		return 0;
	}
	n = fread(bytes, 1, sizeof(bytes), stdin);
	check(n < sizeof(bytes), "too long");
	if (strcmp(mode, "copy") == 0) {
		SpiderTdlResult result = copy_all(argument, bytes, n);

		fwrite(result.ptr, 1, result.len, stdout);
		free(result.ptr);
		return result.is_error;
	}
	if (strcmp(mode, "damage") == 0) {
		damage(argument, bytes, n);
		return 0;
	}
	if (strcmp(mode, "damage-context") == 0) {
		damage(NULL, bytes, n);
		return 0;
	}
	check(strcmp(mode, "context") == 0, "unknown mode");
	if (!read_context(&in, bytes, n)) {
		printf("%s\n", in.message);
		return 1;
	}
	printf("%llu %d %llu %llu %llu", (unsigned long long)in.context.job_id, in.context.kind,
	       (unsigned long long)in.context.task_index,
	       (unsigned long long)in.context.task_instance_id,
	       (unsigned long long)in.context.resource_group_id);
	for (size_t i = 0; i < in.context.graph_outputs.len; i++)
		printf(" %02x", in.context.graph_outputs.ptr[i]);
	printf("\n");
	spider_close(&in);
	return 0;
}
