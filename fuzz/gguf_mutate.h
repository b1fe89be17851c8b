/* fuzz/gguf_mutate.h - one change to a GGUF file that leaves it parsable, or nearly: the file is
 * taken apart into keys and tensors, one of them is changed, and the rest is put right again. */
#ifndef FUZZ_GGUF_MUTATE_H
#define FUZZ_GGUF_MUTATE_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/prng.h"
#include "model/files/gguf.h"

#define GGUF_PARTS_MAX 512
#define GGUF_ALIGNED   32

/* An entry of the metadata as it lies in the file. */
struct gguf_entry {
	const uint8_t *bytes;
	size_t size;
};

struct gguf_item {
	const char *name;
	uint32_t name_size;
	uint32_t dim_count;
	uint64_t dims[STORED_DIMS_MAX];   /* as in the file: the contiguous one first */
	uint32_t type;
	const uint8_t *data;
	size_t size;                      /* of data that is there */
	uint64_t offset;                  /* set when it is written, then off by moved */
	int64_t moved;
};

struct gguf_parts {
	struct gguf_entry keys[GGUF_PARTS_MAX];
	struct gguf_item items[GGUF_PARTS_MAX];
	size_t key_count, item_count;
	int key_lie, item_lie;            /* added to the counts of the header */
};

static inline int gguf_compare_places(const void *left, const void *right)
{
	const struct gguf_key *a = left, *b = right;

	return (a->name > b->name) - (a->name < b->name);
}

static inline uint32_t gguf_number_of(const struct dtype *type)
{
	for (uint32_t i = 0; i < 64; i++)
		if (dtype_from_gguf(i) == type)
			return i;
	return 0;
}

/* False where the file has more parts than fit. keys is a copy of the reader's. */
static inline bool gguf_take_keys(struct gguf_parts *parts, const struct gguf *g)
{
	const size_t count = g->key_count;
	const char *end = NULL;

	if (count > GGUF_PARTS_MAX || g->tensors.count > GGUF_PARTS_MAX)
		return false;
	for (uint32_t i = 0; i < g->tensors.count; i++)
		if (!end || g->tensors.tensors[i].name < end)
			end = g->tensors.tensors[i].name;
	if (!end || count == 0)
		return false;
	qsort(g->keys, count, sizeof(*g->keys), gguf_compare_places);
	for (size_t i = 0; i < count; i++) {
		const char *next = i + 1 < count ? g->keys[i + 1].name : end;

		parts->keys[i] = (struct gguf_entry){
			.bytes = (const uint8_t *)g->keys[i].name - sizeof(uint64_t),
			.size = (size_t)(next - g->keys[i].name),
		};
	}
	parts->key_count = count;
	return true;
}

static inline void gguf_take_items(struct gguf_parts *parts, const struct gguf *g)
{
	for (uint32_t i = 0; i < g->tensors.count; i++) {
		const struct stored_tensor *t = &g->tensors.tensors[i];
		struct gguf_item *item = &parts->items[i];

		*item = (struct gguf_item){
			.name = t->name,
			.name_size = t->name_size,
			.dim_count = t->dim_count,
			.type = gguf_number_of(t->dtype),
			.data = t->data,
			.size = t->size_bytes,
		};
		for (uint32_t d = 0; d < t->dim_count; d++)
			item->dims[d] = t->dims[t->dim_count - 1 - d];
	}
	parts->item_count = g->tensors.count;
}

static inline void gguf_align(struct buf *out)
{
	static const uint8_t zeros[GGUF_ALIGNED];

	buf_add(out, zeros, (GGUF_ALIGNED - out->size % GGUF_ALIGNED) % GGUF_ALIGNED);
}

static inline void gguf_write_item(struct buf *out, const struct gguf_item *item)
{
	const uint64_t name_size = item->name_size;
	const uint64_t offset = item->offset + (uint64_t)item->moved;

	buf_add(out, &name_size, sizeof(name_size));
	buf_add(out, item->name, item->name_size);
	buf_add(out, &item->dim_count, sizeof(item->dim_count));
	buf_add(out, item->dims, item->dim_count * sizeof(item->dims[0]));
	buf_add(out, &item->type, sizeof(item->type));
	buf_add(out, &offset, sizeof(offset));
}

/* Bytes that the item says it has, as far as they are sane; what it had where they are not. */
static inline size_t gguf_item_bytes(const struct gguf_item *item, size_t size_max)
{
	struct err_info info = {0};
	struct stored_tensor t = {.file = "", .name = "", .dtype = dtype_from_gguf(item->type)};

	if (!t.dtype || item->dim_count > GGUF_DIMS_MAX)
		return item->size;
	t.dim_count = item->dim_count;
	memcpy(t.dims, item->dims, sizeof(t.dims));
	for (uint32_t d = 0; d < t.dim_count; d++)
		t.dims[d] = item->dims[t.dim_count - 1 - d];
	if (stored_tensor_measure(&t, &info) || t.size_bytes > size_max)
		return item->size;
	return t.size_bytes;
}

static inline void gguf_write(struct buf *out, struct gguf_parts *parts, size_t size_max)
{
	const uint32_t version = 3;
	const uint64_t counts[] = {parts->item_count + (uint64_t)(int64_t)parts->item_lie,
		parts->key_count + (uint64_t)(int64_t)parts->key_lie};
	uint64_t offset = 0;

	buf_add(out, "GGUF", 4);
	buf_add(out, &version, sizeof(version));
	buf_add(out, counts, sizeof(counts));
	for (size_t i = 0; i < parts->key_count; i++)
		buf_add(out, parts->keys[i].bytes, parts->keys[i].size);
	for (size_t i = 0; i < parts->item_count; i++) {
		struct gguf_item *item = &parts->items[i];

		item->offset = offset;
		offset += (gguf_item_bytes(item, size_max) + GGUF_ALIGNED - 1) / GGUF_ALIGNED *
			GGUF_ALIGNED;
		gguf_write_item(out, item);
	}
	for (size_t i = 0; i < parts->item_count && out->size <= size_max; i++) {
		const struct gguf_item *item = &parts->items[i];
		const size_t size = gguf_item_bytes(item, size_max);
		const size_t there = size < item->size ? size : item->size;

		gguf_align(out);
		buf_add(out, item->data, there);
		for (size_t k = there; k < size; k++)
			buf_add_char(out, 0);
	}
}

/* Sets a scalar to a number near the edges, or one byte of anything else; out is the file. */
static inline void gguf_change_value(struct buf *out, const uint8_t *data,
	const struct gguf_key *key, struct prng *p)
{
	static const uint64_t numbers[] = {0, 1, 2, 3, 4, 7, 8, 32, 255, 513, 65536, INT32_MAX,
		UINT32_MAX, INT64_MAX, UINT64_MAX};
	const uint64_t number = numbers[prng_below(p, sizeof(numbers) / sizeof(numbers[0]))];
	const bool wide = key->type == GGUF_U64 || key->type == GGUF_I64 || key->type == GGUF_F64;
	const bool narrow = key->type == GGUF_U8 || key->type == GGUF_I8 || key->type == GGUF_BOOL;
	const bool half = key->type == GGUF_U16 || key->type == GGUF_I16;
	char *value = out->data + (key->data - data);

	if (key->count == 0)
		return;
	if (key->type == GGUF_STRING || key->type == GGUF_ARRAY)
		value[prng_below(p, key->count)] = (char)prng_next(p);
	else
		memcpy(value, &number, wide ? 8 : narrow ? 1 : half ? 2 : 4);
}

static inline void gguf_change_dims(struct gguf_item *item, struct prng *p)
{
	static const uint64_t sides[] = {0, 1, 2, 8, 31, 32, 33, 64, 255, 256, 512, 1 << 20,
		UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 62, UINT64_MAX};
	uint64_t *dim = &item->dims[prng_below(p, item->dim_count ? item->dim_count : 1)];
	const uint64_t kept = item->dims[0];

	switch (prng_below(p, 5)) {
	case 0:
		*dim += 1;
		return;
	case 1:
		*dim /= 2;
		return;
	case 2:
		item->dims[0] = item->dims[1];
		item->dims[1] = kept;
		return;
	case 3:
		item->dim_count = (uint32_t)prng_below(p, 6);
		return;
	default:
		*dim = sides[prng_below(p, sizeof(sides) / sizeof(sides[0]))];
	}
}

static inline void gguf_change_items(struct gguf_parts *parts, struct prng *p)
{
	struct gguf_item *a = &parts->items[prng_below(p, parts->item_count)],
			 *b = &parts->items[prng_below(p, parts->item_count)], kept = *a;

	switch (prng_below(p, 9)) {
	case 0:
		*a = parts->items[--parts->item_count];
		return;
	case 1: /* twice, or once more under the next name */
		if (parts->item_count < GGUF_PARTS_MAX)
			parts->items[parts->item_count++] = *a;
		return;
	case 2:
		*a = *b;
		*b = kept;
		return;
	case 3:
		a->name = b->name;
		a->name_size = b->name_size;
		b->name = kept.name;
		b->name_size = kept.name_size;
		return;
	case 4:
		a->type = (uint32_t)prng_below(p, 44);
		return;
	case 5:
		a->moved = prng_below(p, 2) ? GGUF_ALIGNED : -GGUF_ALIGNED;
		return;
	case 6:
		parts->item_lie = prng_below(p, 2) ? 1 : -1;
		return;
	default:
		gguf_change_dims(a, p);
	}
}

static inline void gguf_change_keys(struct gguf_parts *parts, struct prng *p)
{
	struct gguf_entry *a = &parts->keys[prng_below(p, parts->key_count)],
			  *b = &parts->keys[prng_below(p, parts->key_count)], kept = *a;

	switch (prng_below(p, 4)) {
	case 0:
		*a = parts->keys[--parts->key_count];
		return;
	case 1:
		if (parts->key_count < GGUF_PARTS_MAX)
			parts->keys[parts->key_count++] = *a;
		return;
	case 2:
		*a = *b;
		*b = kept;
		return;
	default:
		parts->key_lie = prng_below(p, 2) ? 1 : -1;
	}
}

/* The new size; 0 where the file cannot be taken apart. */
static inline size_t gguf_mutate(uint8_t *data, size_t size, size_t size_max, struct prng *p)
{
	static struct gguf_parts parts;
	struct err_info info = {0};
	struct gguf g;
	struct buf out;
	size_t new_size = 0;

	if (gguf_open(&g, data, size, "fuzz.gguf", &info))
		return 0;
	parts = (struct gguf_parts){0};
	buf_init(&out, 4 * size_max + 4096);
	if (g.key_count > 0 && prng_below(p, 2)) {
		buf_add(&out, data, size);
		gguf_change_value(&out, data, &g.keys[prng_below(p, g.key_count)], p);
	} else if (gguf_take_keys(&parts, &g)) {
		gguf_take_items(&parts, &g);
		if (prng_below(p, 3) == 0)
			gguf_change_keys(&parts, p);
		else
			gguf_change_items(&parts, p);
		gguf_write(&out, &parts, size_max);
	}
	if (!out.failed && out.size <= size_max) {
		memcpy(data, out.data ? out.data : "", out.size);
		new_size = out.size;
	}
	buf_free(&out);
	gguf_close(&g);
	return new_size;
}

#endif
