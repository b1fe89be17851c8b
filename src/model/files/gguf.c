/* model/files/gguf.c - see gguf.h. One cursor walks the file from front to back; it is the only
 * thing that moves through unchecked bytes. */
#include "model/files/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"

#define GGUF_VERSION 3
#define GGUF_ALIGNMENT_DEFAULT 32
#define KEY_BYTES_LEAST 13    /* key length, one byte of key, type: for plausible counts */
#define TENSOR_BYTES_LEAST 32 /* name length, dimensions, one dimension, type, offset */

/* Bytes of a scalar; 0 for what has a length of its own. */
static const uint8_t SCALAR_BYTES[GGUF_TYPES] = {
	[GGUF_U8] = 1,
	[GGUF_I8] = 1,
	[GGUF_U16] = 2,
	[GGUF_I16] = 2,
	[GGUF_U32] = 4,
	[GGUF_I32] = 4,
	[GGUF_F32] = 4,
	[GGUF_BOOL] = 1,
	[GGUF_U64] = 8,
	[GGUF_I64] = 8,
	[GGUF_F64] = 8,
};

struct cursor {
	const uint8_t *data;
	size_t size;
	size_t at;
	const char *file;
	struct err_info *info;
};

static enum err cursor_take(struct cursor *c, uint64_t bytes, const uint8_t **out, const char *what)
{
	assert(c->at <= c->size);
	if (bytes > c->size - c->at)
		return err_set(c->info, ERR_INPUT, "%s: byte %zu: the file ends inside %s", c->file,
			c->at, what);
	*out = c->data + c->at;
	c->at += (size_t)bytes;
	return ERR_NONE;
}

static enum err cursor_u32(struct cursor *c, uint32_t *out, const char *what)
{
	const uint8_t *bytes = NULL;

	if (cursor_take(c, sizeof(*out), &bytes, what))
		return c->info->code;
	memcpy(out, bytes, sizeof(*out));
	return ERR_NONE;
}

static enum err cursor_u64(struct cursor *c, uint64_t *out, const char *what)
{
	const uint8_t *bytes = NULL;

	if (cursor_take(c, sizeof(*out), &bytes, what))
		return c->info->code;
	memcpy(out, bytes, sizeof(*out));
	return ERR_NONE;
}

/* A name: 1 .. size_max bytes, none of them zero. */
static enum err cursor_name(struct cursor *c, uint32_t size_max, const char **name,
	uint32_t *name_size, const char *what)
{
	const size_t start = c->at;
	const uint8_t *bytes = NULL;
	uint64_t size = 0;

	if (cursor_u64(c, &size, what))
		return c->info->code;
	if (size == 0 || size > size_max)
		return err_set(c->info, ERR_INPUT,
			"%s: byte %zu: %s of %" PRIu64 " bytes, 1 to %" PRIu32 " allowed", c->file,
			start, what, size, size_max);
	if (cursor_take(c, size, &bytes, what))
		return c->info->code;
	if (memchr(bytes, 0, (size_t)size))
		return err_set(
			c->info, ERR_INPUT, "%s: byte %zu: zero byte in %s", c->file, start, what);
	*name = (const char *)bytes;
	*name_size = (uint32_t)size;
	return ERR_NONE;
}

static enum err cursor_type(struct cursor *c, enum gguf_type *out)
{
	const size_t start = c->at;
	uint32_t number = 0;

	if (cursor_u32(c, &number, "a value's type"))
		return c->info->code;
	if (number >= GGUF_TYPES)
		return err_set(c->info, ERR_INPUT, "%s: byte %zu: no such value type: %" PRIu32,
			c->file, start, number);
	*out = (enum gguf_type)number;
	return ERR_NONE;
}

/* Moves over count elements of an array. depth counts the arrays around them. */
static enum err cursor_skip_items(struct cursor *c, enum gguf_type item, uint64_t count,
	uint32_t depth)
{
	const uint8_t *ignored;

	if (SCALAR_BYTES[item]) {
		if (count > (c->size - c->at) / SCALAR_BYTES[item])
			return err_set(c->info, ERR_INPUT,
				"%s: byte %zu: an array of %" PRIu64
				" elements is longer than the file",
				c->file, c->at, count);
		return cursor_take(c, count * SCALAR_BYTES[item], &ignored, "an array");
	}
	if (item == GGUF_ARRAY && depth >= GGUF_ARRAY_DEPTH_MAX)
		return err_set(c->info, ERR_INPUT, "%s: byte %zu: arrays nested deeper than %d",
			c->file, c->at, GGUF_ARRAY_DEPTH_MAX);
	for (uint64_t i = 0; i < count; i++) {
		enum gguf_type inner = GGUF_U8;
		uint64_t size = 0;

		if (item == GGUF_ARRAY && cursor_type(c, &inner))
			return c->info->code;
		if (cursor_u64(c, &size, "an array"))
			return c->info->code;
		if (item == GGUF_ARRAY) {
			if (cursor_skip_items(c, inner, size, depth + 1))
				return c->info->code;
		} else if (cursor_take(c, size, &ignored, "a string of an array")) {
			return c->info->code;
		}
	}
	return ERR_NONE;
}

static enum err read_value(struct cursor *c, struct gguf_key *key)
{
	if (cursor_type(c, &key->type))
		return c->info->code;
	key->count = 1;
	if (SCALAR_BYTES[key->type])
		return cursor_take(c, SCALAR_BYTES[key->type], &key->data, "a value");
	if (key->type == GGUF_ARRAY && cursor_type(c, &key->item))
		return c->info->code;
	if (cursor_u64(c, &key->count, "a value's length"))
		return c->info->code;
	if (key->type == GGUF_STRING)
		return cursor_take(c, key->count, &key->data, "a string");
	key->data = c->data + c->at;
	return cursor_skip_items(c, key->item, key->count, 1);
}

static enum err read_key(struct cursor *c, struct gguf_key *key)
{
	if (cursor_name(c, GGUF_KEY_BYTES_MAX, &key->name, &key->name_size, "a key") ||
		read_value(c, key))
		return c->info->code;
	key->size_bytes = (size_t)(c->data + c->at - key->data);
	return ERR_NONE;
}

static int compare_keys(const void *left, const void *right)
{
	const struct gguf_key *a = left, *b = right;
	const int order =
		memcmp(a->name, b->name, a->name_size < b->name_size ? a->name_size : b->name_size);

	if (order != 0)
		return order;
	return (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

static enum err read_keys(struct gguf *g, struct cursor *c, uint64_t count)
{
	if (count > GGUF_KEYS_MAX)
		return err_set(c->info, ERR_LIMIT, "%s: %" PRIu64 " metadata keys, at most %d",
			c->file, count, GGUF_KEYS_MAX);
	if (count > (c->size - c->at) / KEY_BYTES_LEAST)
		return err_set(c->info, ERR_INPUT,
			"%s: %" PRIu64 " metadata keys do not fit the file", c->file, count);
	if (count == 0)
		return ERR_NONE;
	g->keys = mem_alloc((size_t)count, sizeof(*g->keys));
	if (!g->keys)
		return err_set(
			c->info, ERR_MEMORY, "%s: no memory for %" PRIu64 " keys", c->file, count);
	for (; g->key_count < count; g->key_count++)
		if (read_key(c, &g->keys[g->key_count]))
			return c->info->code;
	qsort(g->keys, g->key_count, sizeof(*g->keys), compare_keys);
	for (uint32_t i = 1; i < g->key_count; i++)
		if (compare_keys(&g->keys[i - 1], &g->keys[i]) == 0)
			return err_set(c->info, ERR_INPUT, "%s: key %.*s is there twice", c->file,
				(int)g->keys[i].name_size, g->keys[i].name);
	return ERR_NONE;
}

/* Everything of a tensor info but the place: offset_bytes is relative to the data, which starts
 * after the last info. */
static enum err read_tensor(struct cursor *c, struct stored_tensor *t, uint64_t *offset_bytes)
{
	uint32_t type = 0;

	t->file = c->file;
	if (cursor_name(c, STORED_NAME_MAX, &t->name, &t->name_size, "a tensor's name"))
		return c->info->code;
	if (cursor_u32(c, &t->dim_count, "a tensor info"))
		return c->info->code;
	if (t->dim_count == 0 || t->dim_count > GGUF_DIMS_MAX)
		return err_set(c->info, ERR_INPUT,
			"%s: tensor %.*s has %" PRIu32 " dimensions, 1 to %d allowed", c->file,
			(int)t->name_size, t->name, t->dim_count, GGUF_DIMS_MAX);
	for (uint32_t i = t->dim_count; i-- > 0;) { /* the file has the contiguous one first */
		if (cursor_u64(c, &t->dims[i], "a tensor info"))
			return c->info->code;
		if (t->dims[i] == 0)
			return err_set(c->info, ERR_INPUT, "%s: tensor %.*s is empty", c->file,
				(int)t->name_size, t->name);
	}
	if (cursor_u32(c, &type, "a tensor info") || cursor_u64(c, offset_bytes, "a tensor info"))
		return c->info->code;
	t->dtype = dtype_from_gguf(type);
	if (t->dtype)
		return stored_tensor_measure(t, c->info);
	char names[DTYPE_NAMES_BYTES];

	dtype_readable_names(names);
	return err_set(c->info, ERR_UNSUPPORTED,
		"%s: tensor %.*s has the unknown type %" PRIu32 "; read are %s", c->file,
		(int)t->name_size, t->name, type, names);
}

static enum err place_tensor(const struct cursor *c, struct stored_tensor *t, size_t data_start,
	uint64_t offset_bytes, size_t alignment)
{
	if (offset_bytes % alignment != 0)
		return err_set(c->info, ERR_INPUT,
			"%s: tensor %.*s at offset %" PRIu64 ", not a multiple of %zu", c->file,
			(int)t->name_size, t->name, offset_bytes, alignment);
	if (data_start > c->size || offset_bytes > c->size - data_start ||
		t->size_bytes > c->size - data_start - offset_bytes)
		return err_set(c->info, ERR_INPUT,
			"%s: tensor %.*s (%zu bytes at offset %" PRIu64
			") reaches beyond the end of the file; is it whole?",
			c->file, (int)t->name_size, t->name, t->size_bytes, offset_bytes);
	t->data = c->data + data_start + offset_bytes;
	return ERR_NONE;
}

static int compare_places(const void *left, const void *right)
{
	const struct stored_tensor *a = left, *b = right;

	return (a->data > b->data) - (a->data < b->data);
}

/* Sorts by place. Holes are allowed: the format pads. */
static enum err check_overlaps(const struct cursor *c, struct stored_table *t)
{
	if (t->count == 0)
		return ERR_NONE;
	qsort(t->tensors, t->count, sizeof(*t->tensors), compare_places);
	for (uint32_t i = 1; i < t->count; i++) {
		const struct stored_tensor *a = &t->tensors[i - 1], *b = &t->tensors[i];

		if (b->data < a->data + a->size_bytes)
			return err_set(c->info, ERR_INPUT, "%s: tensors %.*s and %.*s overlap",
				c->file, (int)a->name_size, a->name, (int)b->name_size, b->name);
	}
	return ERR_NONE;
}

static enum err read_alignment(const struct gguf *g, size_t *alignment, struct err_info *info)
{
	int64_t value = GGUF_ALIGNMENT_DEFAULT;

	if (gguf_get_int(g, "general.alignment", 8, GGUF_ALIGNMENT_MAX, &value, info))
		return info->code;
	if ((value & (value - 1)) != 0)
		return err_set(info, ERR_INPUT,
			"%s: general.alignment is %" PRId64 ", not a power of two", g->file, value);
	*alignment = (size_t)value;
	return ERR_NONE;
}

static enum err read_tensors(struct gguf *g, struct cursor *c, uint64_t count)
{
	uint64_t *offsets = NULL;
	size_t alignment = GGUF_ALIGNMENT_DEFAULT, data_start;

	if (count > STORED_TENSORS_MAX)
		return err_set(c->info, ERR_LIMIT, "%s: %" PRIu64 " tensors, at most %d", c->file,
			count, STORED_TENSORS_MAX);
	if (count > (c->size - c->at) / TENSOR_BYTES_LEAST)
		return err_set(c->info, ERR_INPUT, "%s: %" PRIu64 " tensors do not fit the file",
			c->file, count);
	if (read_alignment(g, &alignment, c->info) || count == 0)
		return c->info->code;
	g->tensors.tensors = mem_alloc((size_t)count, sizeof(*g->tensors.tensors));
	offsets = mem_alloc((size_t)count, sizeof(*offsets));
	if (!g->tensors.tensors || !offsets) {
		err_set(c->info, ERR_MEMORY, "%s: no memory for %" PRIu64 " tensor infos", c->file,
			count);
		goto done;
	}
	g->tensors.count = (uint32_t)count;
	for (uint32_t i = 0; i < count; i++)
		if (read_tensor(c, &g->tensors.tensors[i], &offsets[i]))
			goto done;
	data_start = (c->at + alignment - 1) & ~(alignment - 1);
	for (uint32_t i = 0; i < count; i++)
		if (place_tensor(c, &g->tensors.tensors[i], data_start, offsets[i], alignment))
			goto done;
	if (check_overlaps(c, &g->tensors) || stored_table_sort(&g->tensors, c->info))
		goto done;
done:
	mem_free(offsets);
	return c->info->code;
}

static bool is_gguf(const void *data, size_t size)
{
	return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

enum err gguf_open(struct gguf *g, const void *data, size_t size, const char *file,
	struct err_info *info)
{
	struct cursor c = {.data = data, .size = size, .file = file, .info = info};
	uint64_t tensor_count = 0, key_count = 0;
	uint32_t version = 0;
	const uint8_t *magic;

	*g = (struct gguf){.file = file};
	if (stored_check_fetched(data, size, file, info))
		return info->code;
	if (!is_gguf(data, size))
		return err_set(info, ERR_INPUT, size ? "%s: not a GGUF file; name one, or a model "
			"directory" : "%s: an empty file, not a GGUF file", file);
	if (cursor_take(&c, 4, &magic, "the magic") || cursor_u32(&c, &version, "the version"))
		goto done;
	if (version != GGUF_VERSION) {
		/* Version 3 from a machine of the other byte order reads as 0x03000000. */
		err_set(info, ERR_UNSUPPORTED,
			"%s: GGUF version %" PRIu32 "%s, only %d (little endian) is read", file,
			version, version == 0x03000000 ? " (big endian)" : "", GGUF_VERSION);
		goto done;
	}
	if (cursor_u64(&c, &tensor_count, "the header") || cursor_u64(&c, &key_count, "the header"))
		goto done;
	if (read_keys(g, &c, key_count) || read_tensors(g, &c, tensor_count))
		goto done;
done:
	if (info->code)
		gguf_close(g);
	return info->code;
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	mem_free(g->keys);
	mem_free(g->tensors.tensors);
	*g = (struct gguf){0};
}

const struct gguf_key *gguf_find(const struct gguf *g, const char *key)
{
	const struct gguf_key wanted = {.name = key, .name_size = (uint32_t)strlen(key)};

	if (g->key_count == 0)
		return NULL;
	return bsearch(&wanted, g->keys, g->key_count, sizeof(*g->keys), compare_keys);
}

static enum err wrong_type(const struct gguf *g, const char *key, const char *wanted,
	struct err_info *info)
{
	return err_set(info, ERR_INPUT, "%s: %s is not %s", g->file, key, wanted);
}

/* Integers of every width as int64; false when the type is none, or the value does not fit. */
static bool load_int(enum gguf_type type, const uint8_t *data, int64_t *out)
{
	int8_t i8;
	uint16_t u16;
	int16_t i16;
	uint32_t u32;
	int32_t i32;
	int64_t i64;

	switch (type) {
	case GGUF_U8:
		*out = *data;
		return true;
	case GGUF_I8:
		memcpy(&i8, data, sizeof(i8));
		*out = i8;
		return true;
	case GGUF_U16:
		memcpy(&u16, data, sizeof(u16));
		*out = u16;
		return true;
	case GGUF_I16:
		memcpy(&i16, data, sizeof(i16));
		*out = i16;
		return true;
	case GGUF_U32:
		memcpy(&u32, data, sizeof(u32));
		*out = u32;
		return true;
	case GGUF_I32:
		memcpy(&i32, data, sizeof(i32));
		*out = i32;
		return true;
	case GGUF_U64:
	case GGUF_I64:
		memcpy(&i64, data, sizeof(i64));
		*out = i64;
		return type == GGUF_I64 || i64 >= 0;
	case GGUF_F32:
	case GGUF_BOOL:
	case GGUF_STRING:
	case GGUF_ARRAY:
	case GGUF_F64:
	case GGUF_TYPES:
		break;
	}
	return false;
}

enum err gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
	struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);
	int64_t value;

	if (!at)
		return ERR_NONE;
	if (!load_int(at->type, at->data, &value))
		return wrong_type(g, key, "an integer", info);
	if (value < min || value > max)
		return err_set(info, ERR_INPUT,
			"%s: %s is %" PRId64 ", not in %" PRId64 " to %" PRId64, g->file, key,
			value, min, max);
	*out = value;
	return ERR_NONE;
}

enum err gguf_get_double(const struct gguf *g, const char *key, double min, double max, double *out,
	struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);
	double value;
	float single;
	int64_t whole;

	if (!at)
		return ERR_NONE;
	if (at->type == GGUF_F64) {
		memcpy(&value, at->data, sizeof(value));
	} else if (at->type == GGUF_F32) {
		memcpy(&single, at->data, sizeof(single));
		value = (double)single;
	} else if (load_int(at->type, at->data, &whole)) {
		value = (double)whole;
	} else {
		return wrong_type(g, key, "a number", info);
	}
	if (!(value >= min && value <= max)) /* NaN too */
		return err_set(info, ERR_INPUT, "%s: %s is %g, not in %g to %g", g->file, key,
			value, min, max);
	*out = value;
	return ERR_NONE;
}

enum err gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);

	if (!at)
		return ERR_NONE;
	if (at->type != GGUF_BOOL || *at->data > 1)
		return wrong_type(g, key, "true or false", info);
	*out = *at->data != 0;
	return ERR_NONE;
}

enum err gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
	struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);

	if (!at)
		return ERR_NONE;
	if (at->type != GGUF_STRING)
		return wrong_type(g, key, "a string", info);
	*out = (struct gguf_string){.data = (const char *)at->data, .size = (size_t)at->count};
	return ERR_NONE;
}

enum err gguf_walk_strings(const struct gguf *g, const char *key, struct gguf_walk *walk,
	struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);

	*walk = (struct gguf_walk){0};
	if (!at)
		return ERR_NONE;
	if (at->type != GGUF_ARRAY || at->item != GGUF_STRING)
		return wrong_type(g, key, "an array of strings", info);
	*walk = (struct gguf_walk){
		.at = at->data, .end = at->data + at->size_bytes, .left = at->count};
	return ERR_NONE;
}

bool gguf_walk_next(struct gguf_walk *walk, struct gguf_string *out)
{
	uint64_t size;

	if (walk->left == 0 || (size_t)(walk->end - walk->at) < sizeof(size))
		return false;
	memcpy(&size, walk->at, sizeof(size));
	if (size > (size_t)(walk->end - walk->at) - sizeof(size))
		return false;
	*out = (struct gguf_string){
		.data = (const char *)walk->at + sizeof(size), .size = (size_t)size};
	walk->at += sizeof(size) + size;
	walk->left--;
	return true;
}

enum err gguf_get_ints(const struct gguf *g, const char *key, struct gguf_ints *out,
	struct err_info *info)
{
	const struct gguf_key *at = gguf_find(g, key);

	*out = (struct gguf_ints){0};
	if (!at)
		return ERR_NONE;
	if (at->type != GGUF_ARRAY || SCALAR_BYTES[at->item] == 0 || SCALAR_BYTES[at->item] > 4 ||
		at->item == GGUF_F32)
		return wrong_type(g, key, "an array of integers", info);
	*out = (struct gguf_ints){.data = at->data, .item = at->item, .count = at->count};
	return ERR_NONE;
}

int64_t gguf_int_at(const struct gguf_ints *ints, uint64_t index)
{
	const uint8_t *at = ints->data + index * SCALAR_BYTES[ints->item];
	int64_t value;

	assert(index < ints->count);
	if (ints->item == GGUF_BOOL)
		return *at != 0;
	const bool loaded = load_int(ints->item, at, &value);
	assert(loaded);
	return value;
}
