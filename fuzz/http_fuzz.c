/* fuzz/http_fuzz.c - any bytes on a connection: never a crash, never past a limit, and the same
 * requests however the bytes are cut into pieces. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "server/http_parse.h"

#define REQUESTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_parse_limits LIMITS = {.header_bytes_max = 4096, .body_bytes_max = 1024};

static uint64_t request_hash(const struct http_parse *p, uint64_t hash)
{
	const char *method = http_parse_method(p), *path = http_parse_path(p);

	assert(p->body.size <= LIMITS.body_bytes_max && p->header_count <= HTTP_HEADERS_MAX);
	hash = hash_bytes(method, strlen(method), hash);
	hash = hash_bytes(path, strlen(path), hash);
	for (uint32_t i = 0; i < p->header_count; i++) {
		const char *name = p->head.data + p->headers[i].name_at;

		assert(http_parse_header(p, name));
		hash = hash_bytes(name, strlen(name), hash);
		hash = hash_bytes(p->head.data + p->headers[i].value_at,
			strlen(p->head.data + p->headers[i].value_at), hash);
	}
	hash = hash_mix(hash, p->keep_alive);
	return p->body.size ? hash_bytes(p->body.data, p->body.size, hash) : hash;
}

/* What a connection hears when its bytes come in pieces of at most this size. */
static uint64_t connection_hash(const char *bytes, size_t size, size_t piece)
{
	struct http_parse p;
	uint64_t hash = 0;
	size_t at = 0;

	http_parse_init(&p, &LIMITS);
	for (uint32_t requests = 0; at < size && p.state != HTTP_PARSE_FAILED &&
		requests < REQUESTS_MAX;) {
		const size_t taken = http_parse_feed(&p, bytes + at, size - at < piece ? size - at
			: piece);

		/* The parser stops before the header's last byte, to be asked again. */
		assert(taken > 0 || p.state == HTTP_PARSE_FAILED || p.state == HTTP_PARSE_HEADED);
		at += taken;
		if (p.state != HTTP_PARSE_COMPLETE)
			continue;
		hash = request_hash(&p, hash);
		requests++;
		http_parse_next(&p);
	}
	if (p.state == HTTP_PARSE_FAILED)
		assert(p.status >= 400 && p.problem);
	hash = hash_mix(hash, p.state);
	http_parse_free(&p);
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	const uint64_t whole = connection_hash(bytes, size, size + 1);

	/* Limits are seen at the end of a piece: a request that is too large may end in another
	 * piece than it began. */
	if (size < LIMITS.body_bytes_max) {
		assert(connection_hash(bytes, size, 1) == whole);
		assert(connection_hash(bytes, size, 7) == whole);
	}
	return 0;
}
