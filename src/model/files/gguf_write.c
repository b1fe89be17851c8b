/* model/files/gguf_write.c - see gguf_write.h. */
#include "model/files/gguf_write.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"

#define VERSION       3
#define HEADER_BYTES  24    /* magic, version, how many tensors and keys */

static const uint8_t ZEROS[GGUF_WRITE_ALIGNMENT];

void gguf_writer_init(struct gguf_writer *w)
{
	*w = (struct gguf_writer){.out = {.fd = -1}};
	buf_init(&w->meta, GGUF_WRITE_META_MAX);
	buf_init(&w->infos, GGUF_WRITE_TENSORS_MAX);
}

static void add_u32(struct buf *b, uint32_t value)
{
	buf_add(b, &value, sizeof(value));
}

static void add_u64(struct buf *b, uint64_t value)
{
	buf_add(b, &value, sizeof(value));
}

static void add_string(struct buf *b, const char *bytes, size_t size)
{
	add_u64(b, size);
	buf_add(b, bytes, size);
}

static void begin_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
	add_string(&w->meta, key, strlen(key));
	add_u32(&w->meta, (uint32_t)type);
	w->key_count++;
}

static void begin_array(struct gguf_writer *w, const char *key, enum gguf_type item,
	uint64_t count)
{
	begin_key(w, key, GGUF_ARRAY);
	add_u32(&w->meta, (uint32_t)item);
	add_u64(&w->meta, count);
}

void gguf_write_bytes(struct gguf_writer *w, const char *key, const char *bytes, size_t size)
{
	begin_key(w, key, GGUF_STRING);
	add_string(&w->meta, bytes, size);
}

void gguf_write_text(struct gguf_writer *w, const char *key, const char *text)
{
	gguf_write_bytes(w, key, text, strlen(text));
}

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
	begin_key(w, key, GGUF_U32);
	add_u32(&w->meta, value);
}

void gguf_write_i32(struct gguf_writer *w, const char *key, int32_t value)
{
	begin_key(w, key, GGUF_I32);
	buf_add(&w->meta, &value, sizeof(value));
}

void gguf_write_f32(struct gguf_writer *w, const char *key, float value)
{
	begin_key(w, key, GGUF_F32);
	buf_add(&w->meta, &value, sizeof(value));
}

void gguf_write_bool(struct gguf_writer *w, const char *key, bool value)
{
	begin_key(w, key, GGUF_BOOL);
	buf_add_char(&w->meta, value ? 1 : 0);
}

void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t count)
{
	begin_array(w, key, GGUF_I32, count);
	buf_add(&w->meta, values, count * sizeof(*values));
}

void gguf_write_bools(struct gguf_writer *w, const char *key, const uint8_t *values, size_t count)
{
	begin_array(w, key, GGUF_BOOL, count);
	buf_add(&w->meta, values, count);
}

void gguf_write_strings(struct gguf_writer *w, const char *key, uint64_t count)
{
	begin_array(w, key, GGUF_STRING, count);
}

void gguf_write_item(struct gguf_writer *w, const char *bytes, size_t size)
{
	add_string(&w->meta, bytes, size);
}

void gguf_write_key(struct gguf_writer *w, const struct gguf_key *key)
{
	add_string(&w->meta, key->name, key->name_size);
	add_u32(&w->meta, (uint32_t)key->type);
	if (key->type == GGUF_ARRAY) {
		add_u32(&w->meta, (uint32_t)key->item);
		add_u64(&w->meta, key->count);
	} else if (key->type == GGUF_STRING) {
		add_u64(&w->meta, key->count);
	}
	buf_add(&w->meta, key->data, key->size_bytes);
	w->key_count++;
}

static uint64_t padded(uint64_t size)
{
	return (size + GGUF_WRITE_ALIGNMENT - 1) / GGUF_WRITE_ALIGNMENT * GGUF_WRITE_ALIGNMENT;
}

/* Remembers the size of one more tensor; false if it cannot. */
static bool keep_size(struct gguf_writer *w, const uint64_t *dims, uint32_t dim_count,
	const struct dtype *dtype)
{
	uint64_t elements = 1, *sizes;
	size_t bytes;

	for (uint32_t i = 0; i < dim_count; i++)
		if (__builtin_mul_overflow(elements, dims[i], &elements))
			return false;
	if (!dtype_bytes(dtype, elements, &bytes) || bytes > UINT64_MAX / 4 ||
		w->data_size > UINT64_MAX / 4)
		return false;
	sizes = mem_resize(w->sizes, (size_t)w->tensor_count + 1, sizeof(*sizes));
	if (!sizes)
		return false;
	w->sizes = sizes;
	w->sizes[w->tensor_count++] = bytes;
	return true;
}

void gguf_write_tensor(struct gguf_writer *w, const char *name, size_t name_size,
	const uint64_t *dims, uint32_t dim_count, const struct dtype *dtype)
{
	assert(dim_count <= GGUF_DIMS_MAX);
	if (w->failed || !keep_size(w, dims, dim_count, dtype)) {
		w->failed = true;
		return;
	}
	add_string(&w->infos, name, name_size);
	add_u32(&w->infos, dim_count);
	for (uint32_t i = dim_count; i-- > 0;)
		add_u64(&w->infos, dims[i]);
	add_u32(&w->infos, dtype_gguf_number(dtype));
	add_u64(&w->infos, w->data_size);
	w->data_size += padded(w->sizes[w->tensor_count - 1]);
}

static uint64_t data_start(const struct gguf_writer *w)
{
	return padded(HEADER_BYTES + w->meta.size + w->infos.size);
}

uint64_t gguf_writer_size(const struct gguf_writer *w)
{
	return data_start(w) + w->data_size;
}

static enum err pad(struct gguf_writer *w, struct err_info *info)
{
	return file_out_write(&w->out, ZEROS, (size_t)(padded(w->out.size) - w->out.size), info);
}

static enum err write_header(struct gguf_writer *w, struct err_info *info)
{
	uint8_t header[HEADER_BYTES] = {'G', 'G', 'U', 'F', VERSION};

	memcpy(header + 8, &w->tensor_count, sizeof(w->tensor_count));
	memcpy(header + 16, &w->key_count, sizeof(w->key_count));
	if (file_out_write(&w->out, header, sizeof(header), info) ||
		file_out_write(&w->out, w->meta.data, w->meta.size, info) ||
		file_out_write(&w->out, w->infos.data, w->infos.size, info))
		return info->code;
	return pad(w, info);
}

enum err gguf_writer_open(struct gguf_writer *w, const char *path, struct err_info *info)
{
	if (w->failed || w->meta.failed || w->infos.failed)
		return err_set(info, ERR_MEMORY, "%s: no memory for its %llu keys and %llu tensors",
			path, (unsigned long long)w->key_count,
			(unsigned long long)w->tensor_count);
	if (file_out_open(&w->out, path, gguf_writer_size(w), 0666, info))
		return info->code;
	return write_header(w, info);
}

enum err gguf_writer_data(struct gguf_writer *w, const void *bytes, size_t size,
	struct err_info *info)
{
	assert(w->tensor < w->tensor_count && size <= w->sizes[w->tensor] - w->tensor_done);
	if (file_out_write(&w->out, bytes, size, info))
		return info->code;
	w->tensor_done += size;
	if (w->tensor_done < w->sizes[w->tensor])
		return ERR_NONE;
	w->tensor++;
	w->tensor_done = 0;
	return pad(w, info);
}

enum err gguf_writer_commit(struct gguf_writer *w, struct err_info *info)
{
	assert(w->tensor == w->tensor_count && w->out.size == gguf_writer_size(w));
	return file_out_commit(&w->out, info);
}

void gguf_writer_close(struct gguf_writer *w)
{
	file_out_close(&w->out);
	buf_free(&w->meta);
	buf_free(&w->infos);
	mem_free(w->sizes);
	w->sizes = NULL;
}
