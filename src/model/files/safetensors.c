/* model/files/safetensors.c - see safetensors.h. The header's JSON is read by base/json, copied
 * into the table and given back: only names outlive it. */
#include "model/files/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/math.h"
#include "base/mem.h"

#define HEADER_START sizeof(uint64_t)

static const struct json_limits HEADER_LIMITS = {
	.bytes_max = SAFETENSORS_HEADER_MAX,
	.values_max = SAFETENSORS_VALUES_MAX,
	.depth_max = 4,
	.memory_max = (size_t)2 << 30,
};

/* The part of the file after the header. */
struct region {
	const uint8_t *data;
	size_t size;
};

static enum err bad_tensor(const struct stored_tensor *t, struct err_info *info, const char *reason)
{
	return err_set(info, ERR_INPUT, "%s: tensor %.*s: %s", t->file, (int)t->name_size, t->name,
		reason);
}

static enum err read_shape(struct stored_tensor *t, const json_t *shape, struct err_info *info)
{
	if (!json_is_array(shape) || json_array_size(shape) > STORED_DIMS_MAX)
		return bad_tensor(t, info, "shape is not an array of at most 8 dimensions");
	t->dim_count = (uint32_t)json_array_size(shape);
	for (uint32_t i = 0; i < t->dim_count; i++) {
		const json_t *dim = json_array_get(shape, i);

		if (!json_is_integer(dim) || json_integer_value(dim) < 0)
			return bad_tensor(t, info, "a dimension is not a whole number");
		t->dims[i] = (uint64_t)json_integer_value(dim);
	}
	return ERR_NONE;
}

static enum err read_place(struct stored_tensor *t, const json_t *offsets,
	const struct region *region, struct err_info *info)
{
	const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);

	if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
		return bad_tensor(t, info, "data_offsets is not a pair of whole numbers");
	const int64_t begin = json_integer_value(first), end = json_integer_value(second);
	if (begin < 0 || end < begin)
		return bad_tensor(t, info, "data_offsets run backwards");
	if ((uint64_t)end > region->size)
		return bad_tensor(t, info, "reaches beyond the end of the file; is it whole?");
	if ((size_t)(end - begin) != t->size_bytes)
		return err_set(info, ERR_INPUT,
			"%s: tensor %.*s has %" PRId64 " bytes, its shape says %zu", t->file,
			(int)t->name_size, t->name, end - begin, t->size_bytes);
	t->data = region->data + begin;
	return ERR_NONE;
}

static enum err read_tensor(struct stored_tensor *t, const json_t *entry,
	const struct region *region, struct err_info *info)
{
	const char *type = json_string_value(json_object_get(entry, "dtype"));

	if (!json_is_object(entry) || !type)
		return bad_tensor(t, info, "no dtype");
	t->dtype = dtype_from_safetensors(type);
	if (!t->dtype)
		return err_set(info, ERR_UNSUPPORTED, "%s: tensor %.*s has the unknown type %.32s",
			t->file, (int)t->name_size, t->name, type);
	if (read_shape(t, json_object_get(entry, "shape"), info) || stored_tensor_measure(t, info))
		return info->code;
	return read_place(t, json_object_get(entry, "data_offsets"), region, info);
}

/* Space for count tensors and all names of the header. */
static enum err make_room(struct safetensors *s, json_t *header, const char *file,
	struct err_info *info)
{
	size_t names_bytes = 0;
	const char *name;
	json_t *entry;

	if (json_object_size(header) > STORED_TENSORS_MAX)
		return err_set(info, ERR_LIMIT, "%s: %zu tensors, at most %d", file,
			json_object_size(header), STORED_TENSORS_MAX);
	json_object_foreach(header, name, entry)
	{
		const size_t name_size = strlen(name);

		if (name_size == 0 || name_size > STORED_NAME_MAX)
			return err_set(info, ERR_INPUT,
				"%s: a tensor's name has %zu bytes, 1 to %d allowed", file,
				name_size, STORED_NAME_MAX);
		names_bytes += name_size;
	}
	if (json_object_size(header) == 0)
		return ERR_NONE;
	s->names = mem_alloc(names_bytes, 1);
	s->tensors.tensors = mem_alloc(json_object_size(header), sizeof(*s->tensors.tensors));
	if (!s->names || !s->tensors.tensors)
		return err_set(info, ERR_MEMORY, "%s: no memory for its tensors' names", file);
	return ERR_NONE;
}

static enum err read_header(struct safetensors *s, json_t *header, const struct region *region,
	const char *file, struct err_info *info)
{
	const char *name;
	char *names;
	json_t *entry;

	if (!json_is_object(header))
		return err_set(info, ERR_INPUT, "%s: the header is not an object", file);
	if (make_room(s, header, file, info))
		return info->code;
	names = s->names;
	json_object_foreach(header, name, entry)
	{
		struct stored_tensor *t = &s->tensors.tensors[s->tensors.count];

		if (strcmp(name, "__metadata__") == 0) {
			if (!json_is_object(entry))
				return err_set(
					info, ERR_INPUT, "%s: __metadata__ is not an object", file);
			continue;
		}
		*t = (struct stored_tensor){
			.file = file, .name = names, .name_size = (uint32_t)strlen(name)};
		memcpy(names, name, t->name_size);
		names += t->name_size;
		if (read_tensor(t, entry, region, info))
			return info->code;
		s->tensors.count++;
	}
	return ERR_NONE;
}

/* By begin, then by size: tensors without elements may share a place. */
static int compare_places(const void *left, const void *right)
{
	const struct stored_tensor *a = left, *b = right;

	if (a->data != b->data)
		return a->data < b->data ? -1 : 1;
	return (a->size_bytes > b->size_bytes) - (a->size_bytes < b->size_bytes);
}

static enum err check_places(struct stored_table *t, const struct region *region, const char *file,
	struct err_info *info)
{
	const uint8_t *expected = region->data;

	if (t->count)
		qsort(t->tensors, t->count, sizeof(*t->tensors), compare_places);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct stored_tensor *at = &t->tensors[i];

		if (at->data != expected)
			return bad_tensor(at, info,
				at->data < expected ? "overlaps the one before it"
						    : "there is a hole before it");
		expected += at->size_bytes;
	}
	if (expected != region->data + region->size)
		return err_set(info, ERR_INPUT, "%s: %zu bytes at the end belong to no tensor",
			file, (size_t)(region->data + region->size - expected));
	return ERR_NONE;
}

/* Splits the file; the header's bytes begin with a brace and are inside the file. */
static enum err find_header(const uint8_t *bytes, size_t size, const char *file,
	size_t *header_size, struct err_info *info)
{
	uint64_t stated;

	if (size < HEADER_START)
		return err_set(
			info, ERR_INPUT, "%s: %zu bytes are no safetensors file", file, size);
	memcpy(&stated, bytes, sizeof(stated));
	if (stated > SAFETENSORS_HEADER_MAX)
		return err_set(info, ERR_INPUT,
			"%s: a header of %" PRIu64 " bytes, at most %d are allowed", file, stated,
			SAFETENSORS_HEADER_MAX);
	if (stated > size - HEADER_START)
		return err_set(info, ERR_INPUT, "%s: the file ends inside its header", file);
	if (stated < 2 || bytes[HEADER_START] != '{')
		return err_set(info, ERR_INPUT, "%s: the header does not begin with a brace", file);
	*header_size = (size_t)stated;
	return ERR_NONE;
}

enum err safetensors_open(struct safetensors *s, const void *data, size_t size, const char *file,
	struct err_info *info)
{
	const uint8_t *bytes = data;
	json_t *header = NULL;
	size_t header_size = 0;

	*s = (struct safetensors){0};
	if (stored_check_fetched(data, size, file, info) ||
		find_header(bytes, size, file, &header_size, info))
		return info->code;
	const struct region region = {
		.data = bytes + HEADER_START + header_size,
		.size = size - HEADER_START - header_size,
	};
	if (json_parse(&header, (const char *)bytes + HEADER_START, header_size, &HEADER_LIMITS,
		    true, info)) {
		err_prefix(info, "%s: header", file);
		goto done;
	}
	if (read_header(s, header, &region, file, info) ||
		check_places(&s->tensors, &region, file, info) ||
		stored_table_sort(&s->tensors, info))
		goto done;
done:
	json_decref(header);
	if (info->code)
		safetensors_close(s);
	return info->code;
}

void safetensors_close(struct safetensors *s)
{
	if (!s)
		return;
	mem_free(s->names);
	mem_free(s->tensors.tensors);
	*s = (struct safetensors){0};
}
