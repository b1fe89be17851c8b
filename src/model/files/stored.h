/* model/files/stored.h - tensors as they lie in files: names, shapes, and where the bytes are.
 *
 * GGUF and safetensors both end up here: a table sorted by name, whose entries point into the
 * mapped file. By the time a tensor is in a table its bytes are inside the file and fit its shape;
 * nothing is copied.
 */
#ifndef MODEL_FILES_STORED_H
#define MODEL_FILES_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/files/dtype.h"

#define STORED_DIMS_MAX    8
#define STORED_NAME_MAX    256       /* bytes of a tensor's name */
#define STORED_TENSORS_MAX 1000000   /* of one model, all files together */

struct stored_tensor {
	const char *name;                  /* name_size bytes, not terminated */
	uint32_t name_size;                /* 1 .. STORED_NAME_MAX */
	uint32_t dim_count;                /* 0 is a scalar */
	uint64_t dims[STORED_DIMS_MAX];    /* outermost first; the last one is contiguous */
	const struct dtype *dtype;
	const uint8_t *data;               /* any alignment */
	size_t size_bytes;
	const char *file;                  /* where it lies, for errors; borrowed */
};

struct stored_table {
	struct stored_tensor *tensors;     /* sorted by name after stored_table_sort */
	uint32_t count;
};

/* Makes find work; ERR_INPUT names a tensor that is there twice. */
enum err stored_table_sort(struct stored_table *t, struct err_info *info) MUST_CHECK;

/* By its whole name, NULL when it is not there. The table is sorted. */
const struct stored_tensor *stored_table_find(const struct stored_table *t, const char *name);

/* Sets size_bytes from dtype and dims. ERR_INPUT, naming the tensor, when the product overflows or
 * the rows do not fill whole blocks; ERR_UNSUPPORTED when the layout is not known. */
enum err stored_tensor_measure(struct stored_tensor *t, struct err_info *info) MUST_CHECK;

/* ERR_INPUT when the bytes are not those of the file, but the few lines that git has in the place
 * of a large one that was not fetched (Git LFS): what a clone has where Git LFS is missing. */
enum err stored_check_fetched(const void *data, size_t size, const char *file,
	struct err_info *info) MUST_CHECK;

/* "[1024, 3072]" into out, cut where it does not fit: for errors and show. */
void stored_shape_format(char *out, size_t size, const uint64_t *dims, uint32_t dim_count);

#endif
