/* base/json.h - JSON from outside, bounded: jansson behind limits on depth, values and memory.
 *
 * Values are jansson's json_t; read them with jansson's own functions. What this adds: parsing that
 * cannot be made to use more than its limits, one error text, and typed reads with a
 * path in the error.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct json_limits {
	size_t bytes_max;
	uint32_t values_max;
	uint32_t depth_max;
	size_t memory_max;    /* what the values may take while they are built; 0: the
			       * others bound it */
};

/* rules.md 5: 16 MiB, 1,000,000 values, depth 64; 128 MiB of memory. */
extern const struct json_limits JSON_LIMITS_REQUEST;
/* tokenizer.json and the like: 256 MiB, 4,000,000 values (262,144 tokens and as many merges of two
 * strings each make a fourth of that), depth 64; 1 GiB of memory. */
extern const struct json_limits JSON_LIMITS_FILE;

/* Checks the limits in one pass before it builds anything; duplicate keys are refused when strict.
 * The text names line and column. *out is owned by the caller (json_decref). */
enum err json_parse(json_t **out, const char *text, size_t size, const struct json_limits *limits,
	bool strict, struct err_info *info) MUST_CHECK;
enum err json_read_file(json_t **out, const char *path, const struct json_limits *limits,
	struct err_info *info)
	MUST_CHECK;

/* Memory that the documents of many owners share: each within its limits, they are still
 * too much together. */
struct json_pool {
	_Atomic size_t left_bytes;
};

/* What one owner's documents take: counted up only, by what was allocated to build them (at most
 * twice what they are in the end), and given back when the owner says so. */
struct json_budget {
	struct json_pool *pool;     /* NULL: none, only bytes_max */
	size_t bytes_max;
	size_t used_bytes;
	size_t taken_bytes;         /* from the pool, in larger pieces */
};

void json_pool_init(struct json_pool *pool, size_t bytes);
void json_budget_init(struct json_budget *budget, struct json_pool *pool, size_t bytes_max);
/* As json_parse, for one more document of an owner, whose budget counts instead of
 * limits->memory_max. ERR_LIMIT: bytes_max is reached; ERR_MEMORY: the pool is, or the heap.
 * Documents of one pool may be parsed by many threads. */
enum err json_parse_budget(json_t **out, const char *text, size_t size,
	const struct json_limits *limits, bool strict, struct json_budget *budget,
	struct err_info *info) MUST_CHECK;
/* Gives back to the pool; the owner's documents are gone. */
void json_budget_end(struct json_budget *budget);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_add_string(struct buf *out, const char *text, size_t size);

/* *out = object[key] as an integer in [min, max]; absent (or null) leaves *out alone
 * and is no error. */
enum err json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *out,
	struct err_info *info) MUST_CHECK;
enum err json_get_double(const json_t *object, const char *key, double min, double max, double *out,
	struct err_info *info) MUST_CHECK;
enum err json_get_bool(const json_t *object, const char *key, bool *out,
	struct err_info *info) MUST_CHECK;
/* Borrowed from the object. */
enum err json_get_string(const json_t *object, const char *key, const char **out,
	struct err_info *info) MUST_CHECK;

#endif
