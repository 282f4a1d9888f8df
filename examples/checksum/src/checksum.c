/*
 * checksum.c - a TDL package in C: checksums of files and bytes.
 *
 *	crc32(path: string) -> (crc: uint32, bytes: uint64)
 *	xxh64(path: string, seed: uint64) -> uint64
 *	crc32_bytes(data: List<uint8>) -> uint32
 *
 * crc32 is that of zlib, gzip and zip; xxh64 is that of the xxHash family. Files
 * of any size are read in blocks. A file that cannot be read is an
 * ExecutionError with the system's reason.
 *
 *	mkdir -p packages/checksum
 *	cc -shared -fPIC -O2 -I tdl/cshared -o packages/checksum/libchecksum.so \
 *		examples/checksum/src/checksum.c
 *	SPIDER_TDL_PACKAGE_DIR=packages spider run checksum crc32 '"README.md"'
 */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC, also with -std=c11 */

#include <fcntl.h>
#include <unistd.h>

#include "tdl_value.h"

/*
 * CRC-32: the polynomial 0x04c11db7, bit-reversed, eight bytes at a time.
 */

#define CRC32_POLYNOMIAL 0xedb88320u

/* tables[n][b] is byte b followed by n zero bytes. */
static uint32_t crc32_tables[8][256];

static void crc32_prepare(void)
{
	if (crc32_tables[0][1] != 0)
		return;
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC32_POLYNOMIAL : 0);
		crc32_tables[0][b] = crc;
	}
	for (int n = 1; n < 8; n++) {
		for (int b = 0; b < 256; b++) {
			uint32_t crc = crc32_tables[n - 1][b];

			crc32_tables[n][b] = crc >> 8 ^ crc32_tables[0][crc & 0xff];
		}
	}
}

static inline uint32_t load32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load64(const uint8_t *p)
{
	return load32(p) | (uint64_t)load32(p + 4) << 32;
}

/* Continues crc, which is 0 at the start. */
static uint32_t crc32_update(uint32_t crc, const uint8_t *p, size_t n)
{
	uint32_t(*const t)[256] = crc32_tables;

	crc = ~crc;
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t low = crc ^ load32(p), high = load32(p + 4);

		crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^
		      t[4][low >> 24] ^ t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^
		      t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
	}
	while (n-- > 0)
		crc = crc >> 8 ^ t[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

/*
 * XXH64, after the specification of the xxHash algorithms: four lanes of 64 bits
 * over stripes of 32 bytes.
 */

#define P1 0x9e3779b185ebca87u
#define P2 0xc2b2ae3d27d4eb4fu
#define P3 0x165667b19e3779f9u
#define P4 0x85ebca77c2b2ae63u
#define P5 0x27d4eb2f165667c5u

struct xxh64 {
	uint64_t seed, lanes[4];
	uint64_t total;	   /* bytes so far */
	uint8_t stripe[32]; /* the last total % 32 of them */
};

static inline uint64_t rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline uint64_t xxh64_round(uint64_t lane, uint64_t v)
{
	return rotate(lane + v * P2, 31) * P1;
}

static void xxh64_begin(struct xxh64 *x, uint64_t seed)
{
	*x = (struct xxh64){
		.seed = seed,
		.lanes = { seed + P1 + P2, seed + P2, seed, seed - P1 },
	};
}

static const uint8_t *xxh64_stripes(struct xxh64 *x, const uint8_t *p, size_t stripes)
{
	uint64_t a = x->lanes[0], b = x->lanes[1], c = x->lanes[2], d = x->lanes[3];

	for (; stripes > 0; stripes--, p += 32) {
		a = xxh64_round(a, load64(p));
		b = xxh64_round(b, load64(p + 8));
		c = xxh64_round(c, load64(p + 16));
		d = xxh64_round(d, load64(p + 24));
	}
	x->lanes[0] = a, x->lanes[1] = b, x->lanes[2] = c, x->lanes[3] = d;
	return p;
}

static void xxh64_update(struct xxh64 *x, const uint8_t *p, size_t n)
{
	size_t held = x->total % 32;

	x->total += n;
	if (held + n < 32) {
		memcpy(x->stripe + held, p, n);
		return;
	}
	if (held > 0) {
		memcpy(x->stripe + held, p, 32 - held);
		xxh64_stripes(x, x->stripe, 1);
		p += 32 - held;
		n -= 32 - held;
	}
	p = xxh64_stripes(x, p, n / 32);
	memcpy(x->stripe, p, n % 32);
}

static uint64_t xxh64_end(const struct xxh64 *x)
{
	const uint8_t *p = x->stripe;
	size_t n = x->total % 32;
	uint64_t h = x->seed + P5;

	if (x->total >= 32) {
		h = rotate(x->lanes[0], 1) + rotate(x->lanes[1], 7) + rotate(x->lanes[2], 12) +
		    rotate(x->lanes[3], 18);
		for (int i = 0; i < 4; i++)
			h = (h ^ xxh64_round(0, x->lanes[i])) * P1 + P4;
	}
	h += x->total;
	for (; n >= 8; p += 8, n -= 8)
		h = rotate(h ^ xxh64_round(0, load64(p)), 27) * P1 + P4;
	if (n >= 4) {
		h = rotate(h ^ load32(p) * P1, 23) * P2 + P3;
		p += 4;
		n -= 4;
	}
	while (n-- > 0)
		h = rotate(h ^ *p++ * P5, 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

/*
 * Files.
 */

/* Calls update for each block of the file. False, with errno set, if it cannot be
 * read to its end. */
static bool each_block(const char *path, void (*update)(void *state, const uint8_t *p, size_t n),
		       void *state)
{
	static uint8_t block[256 * 1024]; /* tasks run one at a time */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int error;

	if (fd < 0)
		return false;
	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n > 0)
			update(state, block, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	error = errno;
	close(fd);
	errno = error;
	return n == 0;
}

/*
 * Tasks.
 */

struct crc32 {
	uint32_t crc;
	uint64_t bytes;
};

static void crc32_block(void *state, const uint8_t *p, size_t n)
{
	struct crc32 *c = state;

	c->crc = crc32_update(c->crc, p, n);
	c->bytes += n;
}

static SpiderTdlResult task_crc32(struct spider_reader *in)
{
	const char *path = spider_read_cstr(spider_param(in, "path"));
	struct spider_writer out;
	struct crc32 c = { 0 };

	if (!spider_end(in))
		return spider_refusal(in);
	crc32_prepare();
	if (!each_block(path, crc32_block, &c))
		return spider_fail_errno("crc32 of %s", path);
	out = spider_results();
	spider_write_uint(spider_result(&out), c.crc);
	spider_write_uint(spider_result(&out), c.bytes);
	return spider_done(&out);
}

static void xxh64_block(void *state, const uint8_t *p, size_t n)
{
	xxh64_update(state, p, n);
}

static SpiderTdlResult task_xxh64(struct spider_reader *in)
{
	const char *path = spider_read_cstr(spider_param(in, "path"));
	uint64_t seed = spider_read_uint(spider_param(in, "seed"));
	struct xxh64 x;

	if (!spider_end(in))
		return spider_refusal(in);
	xxh64_begin(&x, seed);
	if (!each_block(path, xxh64_block, &x))
		return spider_fail_errno("xxh64 of %s", path);
	return spider_answer_uint(xxh64_end(&x));
}

static SpiderTdlResult task_crc32_bytes(struct spider_reader *in)
{
	SpiderTdlByteArray data = spider_read_bytes(spider_param(in, "data"));

	if (!spider_end(in))
		return spider_refusal(in);
	crc32_prepare();
	return spider_answer_uint(crc32_update(0, data.ptr, data.len));
}

static const struct spider_task tasks[] = {
	{ "crc32", task_crc32 },
	{ "xxh64", task_xxh64 },
	{ "crc32_bytes", task_crc32_bytes },
};

SPIDER_PACKAGE("checksum", tasks);

/* Optional: for tools that list what a package can do. */
SpiderTdlResult __spider_tdl_package_describe(void)
{
	return spider_description(
		"{\"describe\": 1, \"name\": \"checksum\", \"abi\": \"0.1.0\", \"sdk\": \"tdl_value.h\","
		" \"build\": {\"language\": \"C\", \"compiler\": \"" __VERSION__ "\"},"
		" \"tasks\": ["
		"{\"name\": \"crc32\", \"doc\": \"The CRC-32 of a file, as zlib has it, and its size.\","
		" \"params\": [{\"name\": \"path\", \"type\": \"string\"}],"
		" \"results\": [{\"name\": \"crc\", \"type\": \"uint32\"}, {\"name\": \"bytes\", \"type\": \"uint64\"}]},"
		"{\"name\": \"xxh64\", \"doc\": \"The XXH64 of a file.\","
		" \"params\": [{\"name\": \"path\", \"type\": \"string\"}, {\"name\": \"seed\", \"type\": \"uint64\"}],"
		" \"results\": [{\"type\": \"uint64\"}]},"
		"{\"name\": \"crc32_bytes\", \"doc\": \"The CRC-32 of bytes.\","
		" \"params\": [{\"name\": \"data\", \"type\": \"List<uint8>\"}],"
		" \"results\": [{\"type\": \"uint32\"}]}"
		"]}");
}
