/* model/files/stored.c - see stored.h. */
#include "model/files/stored.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
	const int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	if (order != 0)
		return order;
	return (a_size > b_size) - (a_size < b_size);
}

static int compare_tensors(const void *left, const void *right)
{
	const struct stored_tensor *a = left, *b = right;

	return compare_names(a->name, a->name_size, b->name, b->name_size);
}

enum err stored_table_sort(struct stored_table *t, struct err_info *info)
{
	if (t->count == 0)
		return ERR_NONE;
	qsort(t->tensors, t->count, sizeof(*t->tensors), compare_tensors);
	for (uint32_t i = 1; i < t->count; i++) {
		const struct stored_tensor *a = &t->tensors[i - 1], *b = &t->tensors[i];

		if (compare_tensors(a, b) != 0)
			continue;
		if (strcmp(a->file, b->file) == 0)
			return err_set(info, ERR_INPUT, "%s: tensor %.*s is there twice", b->file,
				(int)b->name_size, b->name);
		return err_set(info, ERR_INPUT, "tensor %.*s is in %s and in %s",
			(int)b->name_size, b->name, a->file, b->file);
	}
	return ERR_NONE;
}

const struct stored_tensor *stored_table_find(const struct stored_table *t, const char *name)
{
	const size_t name_size = strlen(name);
	uint32_t low = 0, high = t->count;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		const struct stored_tensor *at = &t->tensors[middle];
		const int order = compare_names(name, name_size, at->name, at->name_size);

		if (order == 0)
			return at;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

enum err stored_tensor_measure(struct stored_tensor *t, struct err_info *info)
{
	const uint64_t row = t->dim_count ? t->dims[t->dim_count - 1] : 1;
	size_t elements = 1;

	assert(t->dim_count <= STORED_DIMS_MAX);
	if (t->dtype->block_elements == 0)
		return err_set(info, ERR_UNSUPPORTED,
			"%s: tensor %.*s has type %s, whose layout is not known here", t->file,
			(int)t->name_size, t->name, t->dtype->name);
	for (uint32_t i = 0; i < t->dim_count; i++)
		if (!math_mul_size(elements, t->dims[i], &elements))
			return err_set(info, ERR_INPUT,
				"%s: the dimensions of tensor %.*s overflow", t->file,
				(int)t->name_size, t->name);
	if (row % t->dtype->block_elements != 0)
		return err_set(info, ERR_INPUT,
			"%s: tensor %.*s has rows of %" PRIu64 ", not a multiple of the %" PRIu32
			" of %s",
			t->file, (int)t->name_size, t->name, row, t->dtype->block_elements,
			t->dtype->name);
	if (!dtype_bytes(t->dtype, elements, &t->size_bytes))
		return err_set(info, ERR_INPUT, "%s: the size of tensor %.*s overflows", t->file,
			(int)t->name_size, t->name);
	return ERR_NONE;
}

enum err stored_check_fetched(const void *data, size_t size, const char *file,
	struct err_info *info)
{
	static const char pointer[] = "version https://git-lfs.github.com/spec/";

	if (size < sizeof(pointer) - 1 || memcmp(data, pointer, sizeof(pointer) - 1) != 0)
		return ERR_NONE;
	return err_set(info, ERR_INPUT, "%s: git's pointer to the file, not the file; `git lfs "
		"pull` in its directory fetches it", file);
}

void stored_shape_format(char *out, size_t size, const uint64_t *dims, uint32_t dim_count)
{
	size_t used = 0;

	assert(size > 0);
	out[0] = 0;
	for (uint32_t i = 0; i < dim_count && used < size; i++)
		used += (size_t)snprintf(
			out + used, size - used, "%s%" PRIu64, i ? ", " : "[", dims[i]);
	if (used < size)
		snprintf(out + used, size - used, dim_count ? "]" : "[]");
}
