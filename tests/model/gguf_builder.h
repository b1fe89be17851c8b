/* tests/model/gguf_builder.h - GGUF files made in memory, right ones and wrong ones: what tests and
 *fuzz seeds read.
 *
 *	struct gguf_builder b;
 *	gguf_builder_init(&b);
 *	gguf_add_u32(&b, "qwen3.block_count", 2);
 *	gguf_add_tensor(&b, "output_norm.weight", 0, 1, (uint64_t[]){32}, bytes, 128);
 *	struct buf file = gguf_builder_finish(&b);   // caller frees with buf_free
 */
#ifndef TESTS_MODEL_GGUF_BUILDER_H
#define TESTS_MODEL_GGUF_BUILDER_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "model/files/gguf.h"

#define GGUF_BUILDER_ALIGNMENT 32

struct gguf_builder {
	struct buf keys;
	struct buf infos;
	struct buf data;
	uint64_t key_count; /* as written to the header: a test may lie */
	uint64_t tensor_count;
};

static inline void gguf_builder_init(struct gguf_builder *b)
{
	*b = (struct gguf_builder){0};
	buf_init(&b->keys, (size_t)64 << 20);
	buf_init(&b->infos, (size_t)64 << 20);
	buf_init(&b->data, (size_t)64 << 20);
}

static inline void gguf_put_u32(struct buf *out, uint32_t value)
{
	buf_add(out, &value, sizeof(value));
}

static inline void gguf_put_u64(struct buf *out, uint64_t value)
{
	buf_add(out, &value, sizeof(value));
}

static inline void gguf_put_string(struct buf *out, const char *text)
{
	gguf_put_u64(out, strlen(text));
	buf_add_str(out, text);
}

/* Key and type; the value follows by gguf_put_* on b->keys. */
static inline struct buf *gguf_add_key(struct gguf_builder *b, const char *key, enum gguf_type type)
{
	b->key_count++;
	gguf_put_string(&b->keys, key);
	gguf_put_u32(&b->keys, type);
	return &b->keys;
}

static inline void gguf_add_u32(struct gguf_builder *b, const char *key, uint32_t value)
{
	gguf_put_u32(gguf_add_key(b, key, GGUF_U32), value);
}

static inline void gguf_add_f32(struct gguf_builder *b, const char *key, float value)
{
	buf_add(gguf_add_key(b, key, GGUF_F32), &value, sizeof(value));
}

static inline void gguf_add_string(struct gguf_builder *b, const char *key, const char *text)
{
	gguf_put_string(gguf_add_key(b, key, GGUF_STRING), text);
}

static inline void gguf_add_strings(
	struct gguf_builder *b, const char *key, uint64_t count, const char *const *texts)
{
	struct buf *out = gguf_add_key(b, key, GGUF_ARRAY);

	gguf_put_u32(out, GGUF_STRING);
	gguf_put_u64(out, count);
	for (uint64_t i = 0; i < count; i++)
		gguf_put_string(out, texts[i]);
}

static inline void gguf_add_i32s(
	struct gguf_builder *b, const char *key, uint64_t count, const int32_t *values)
{
	struct buf *out = gguf_add_key(b, key, GGUF_ARRAY);

	gguf_put_u32(out, GGUF_I32);
	gguf_put_u64(out, count);
	buf_add(out, values, count * sizeof(*values));
}

/* An info as it is; dims as in the file, the contiguous one first. */
static inline void gguf_add_info(struct gguf_builder *b, const char *name, uint32_t type,
	uint32_t dim_count, const uint64_t *dims, uint64_t offset_bytes)
{
	b->tensor_count++;
	gguf_put_string(&b->infos, name);
	gguf_put_u32(&b->infos, dim_count);
	for (uint32_t i = 0; i < dim_count; i++)
		gguf_put_u64(&b->infos, dims[i]);
	gguf_put_u32(&b->infos, type);
	gguf_put_u64(&b->infos, offset_bytes);
}

static inline void gguf_pad(struct buf *out)
{
	while (out->size % GGUF_BUILDER_ALIGNMENT != 0)
		buf_add_char(out, '\0');
}

/* Info and bytes, at the next aligned place. */
static inline void gguf_add_tensor(struct gguf_builder *b, const char *name, uint32_t type,
	uint32_t dim_count, const uint64_t *dims, const void *bytes, size_t size)
{
	gguf_pad(&b->data);
	gguf_add_info(b, name, type, dim_count, dims, b->data.size);
	buf_add(&b->data, bytes, size);
}

static inline struct buf gguf_builder_finish(struct gguf_builder *b)
{
	struct buf out;

	buf_init(&out, (size_t)256 << 20);
	buf_add_str(&out, "GGUF");
	gguf_put_u32(&out, 3);
	gguf_put_u64(&out, b->tensor_count);
	gguf_put_u64(&out, b->key_count);
	if (b->keys.size)
		buf_add(&out, b->keys.data, b->keys.size);
	if (b->infos.size)
		buf_add(&out, b->infos.data, b->infos.size);
	if (b->data.size) {
		gguf_pad(&out);
		buf_add(&out, b->data.data, b->data.size);
	}
	assert(!out.failed);
	buf_free(&b->keys);
	buf_free(&b->infos);
	buf_free(&b->data);
	return out;
}

#endif
