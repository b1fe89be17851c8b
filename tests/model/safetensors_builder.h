/* tests/model/safetensors_builder.h - safetensors files made in memory, right ones and wrong ones.
 */
#ifndef TESTS_MODEL_SAFETENSORS_BUILDER_H
#define TESTS_MODEL_SAFETENSORS_BUILDER_H

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

struct safetensors_builder {
	struct buf header;
	struct buf data;
};

static inline void safetensors_builder_init(struct safetensors_builder *b)
{
	buf_init(&b->header, (size_t)64 << 20);
	buf_init(&b->data, (size_t)64 << 20);
	buf_add_char(&b->header, '{');
}

/* An entry as it is: shape is JSON. */
static inline void safetensors_add_entry(struct safetensors_builder *b, const char *name,
	const char *dtype, const char *shape, uint64_t begin, uint64_t end)
{
	if (b->header.size > 1)
		buf_add_char(&b->header, ',');
	buf_printf(&b->header,
		"\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
		name, dtype, shape, begin, end);
}

/* Entry and bytes, after those that are there. */
static inline void safetensors_add(struct safetensors_builder *b, const char *name,
	const char *dtype, const char *shape, const void *bytes, size_t size)
{
	safetensors_add_entry(b, name, dtype, shape, b->data.size, b->data.size + size);
	if (size)
		buf_add(&b->data, bytes, size);
}

/* Length, header, data. The caller frees it. */
static inline struct buf safetensors_join(
	const char *header, size_t header_size, const void *data, size_t data_size)
{
	const uint64_t size = header_size;
	struct buf out;

	buf_init(&out, (size_t)256 << 20);
	buf_add(&out, &size, sizeof(size));
	buf_add(&out, header, header_size);
	if (data_size)
		buf_add(&out, data, data_size);
	assert(!out.failed);
	return out;
}

static inline struct buf safetensors_builder_finish(struct safetensors_builder *b)
{
	buf_add_char(&b->header, '}');
	const struct buf out =
		safetensors_join(b->header.data, b->header.size, b->data.data, b->data.size);
	buf_free(&b->header);
	buf_free(&b->data);
	return out;
}

#endif
