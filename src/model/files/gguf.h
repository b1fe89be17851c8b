/* model/files/gguf.h - GGUF version 3: metadata and tensors of one file, read where it lies.
 *
 *	+--------+-----------------+--------------+-----+------------------------------+
 *	| header | keys and values | tensor infos | pad | tensor data, aligned         |
 *	+--------+-----------------+--------------+-----+------------------------------+
 *	         ^ keys[] point in ^              data_start ^ tensors.data point here
 *
 * The bytes belong to the caller (a mapped file, or the program itself) and outlive the reader.
 * Everything is checked once, when it is opened: after that a key or a tensor is inside the file
 * and of the size it says.
 *
 *	struct gguf g = {0};
 *	if (gguf_open(&g, map.data, map.size, "m.gguf", &info))
 *		return info.code;
 *	...
 *	gguf_close(&g);
 */
#ifndef MODEL_FILES_GGUF_H
#define MODEL_FILES_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/files/stored.h"

#define GGUF_KEYS_MAX         65536
#define GGUF_KEY_BYTES_MAX    1024
#define GGUF_DIMS_MAX         4
#define GGUF_ARRAY_DEPTH_MAX  4         /* arrays in arrays */
#define GGUF_ALIGNMENT_MAX    65536

enum gguf_type {
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
	GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};

struct gguf_key {
	const char *name;          /* not terminated */
	uint32_t name_size;
	enum gguf_type type;
	enum gguf_type item;       /* of an array's elements */
	uint64_t count;            /* elements of an array, bytes of a string, else 1 */
	const uint8_t *data;       /* first byte of the value */
	size_t size_bytes;         /* from data on */
};

struct gguf_string {
	const char *data;          /* not terminated, not checked to be UTF-8 */
	size_t size;
};

struct gguf {
	const char *file;          /* the caller's name for it: in errors */
	struct gguf_key *keys;     /* sorted by name */
	uint32_t key_count;
	struct stored_table tensors;   /* sorted by name; dims turned to row-major order */
};

/* ERR_INPUT names the byte; ERR_UNSUPPORTED another version, or a tensor type of unknown layout. */
enum err gguf_open(struct gguf *g, const void *data, size_t size, const char *file,
	struct err_info *info) MUST_CHECK;
void gguf_close(struct gguf *g);

/* NULL when it is not there. */
const struct gguf_key *gguf_find(const struct gguf *g, const char *key);

/* *out = the number at key, of any integer type, in [min, max]. A key that is absent leaves *out
 * alone and is no error; one of another type or out of range is ERR_INPUT. */
enum err gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
	struct err_info *info) MUST_CHECK;
/* Finite, in [min, max]. */
enum err gguf_get_double(const struct gguf *g, const char *key, double min, double max, double *out,
	struct err_info *info) MUST_CHECK;
enum err gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err_info *info)
	MUST_CHECK;
enum err gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
	struct err_info *info) MUST_CHECK;

/* Walks an array of strings without copying:
 *	struct gguf_walk walk;
 *	if (gguf_walk_strings(g, "tokenizer.ggml.tokens", &walk, &info))
 *		...
 *	for (struct gguf_string s; gguf_walk_next(&walk, &s);)
 * An absent key is an array of no elements. The walk stays in the array though someone writes into
 * the file meanwhile: then it ends early. */
struct gguf_walk {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t left;
};

enum err gguf_walk_strings(const struct gguf *g, const char *key, struct gguf_walk *walk,
	struct err_info *info) MUST_CHECK;
bool gguf_walk_next(struct gguf_walk *walk, struct gguf_string *out);

/* An array of whole numbers of up to 32 bits, or of flags. An absent key has count 0. */
struct gguf_ints {
	const uint8_t *data;
	enum gguf_type item;
	uint64_t count;
};

enum err gguf_get_ints(const struct gguf *g, const char *key, struct gguf_ints *out,
	struct err_info *info) MUST_CHECK;
int64_t gguf_int_at(const struct gguf_ints *ints, uint64_t index);

#endif
