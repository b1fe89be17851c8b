/* model/quantize/export.h - a model as the tensors and keys of one GGUF file, under llama.cpp's
 * names and in its orders: what quantize writes.
 *
 *	struct export e;
 *	if (export_open(&e, &weights, "Qwen3-0.6B", NULL, &info))   // a directory, or a GGUF file
 *		return info.code;
 *	... e.tensors[i].as.name, dims, stored: choose types, put e's keys into a writer
 *	export_rows(&e, i, first, count, values, scratch);          // floats, in the file's order
 *	export_close(&e);
 *
 * From a GGUF file all tensors and keys are carried over, used here or not; what belongs to one
 * shard or one quantization is left out. From a directory come those that are used: vectors as
 * floats with their 1 added, rows and columns where the converter of llama.cpp puts them.
 *
 * The weights outlive the export. Immutable once open: any number of threads may read rows.
 */
#ifndef MODEL_QUANTIZE_EXPORT_H
#define MODEL_QUANTIZE_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/files/gguf_write.h"
#include "model/quantize/quantize_mix.h"
#include "model/weights/weights.h"

/* How rows or columns of a tensor lie in the file, counted in the order of the weights. */
enum export_order {
	EXPORT_PLAIN,
	EXPORT_PAIRS,          /* rows of heads: dims i and i + half are neighbours */
	EXPORT_TILED_ROWS,     /* value heads of the delta rule, tiled where weights group them */
	EXPORT_TILED_COLUMNS,
	EXPORT_TURNS,          /* of two matrices: unit rows of one, unit of the other, ... */
};

struct export_tensor {
	struct mix_tensor as;                 /* stored: what it stays if it is not quantized */
	const struct stored_tensor *bytes;    /* carried over; else */
	const struct chip_matrix *matrix;     /* rows of this */
	const struct chip_matrix *other;      /* and of this, as wide; or */
	const float *values;                  /* all of them, in the order of the weights */
	enum export_order order;
	uint32_t first;                       /* rows before the heads */
	uint32_t unit;                        /* rows or columns of a head */
};

struct export {
	const struct weights *weights;
	struct arena memory;
	struct export_tensor *tensors;        /* in the order of quantize_mix_compare */
	size_t count;
	struct mix_model model;
};

/* ERR_UNSUPPORTED when GGUF has no way to say something of the model. */
enum err export_open(struct export *e, const struct weights *w, struct err_info *info) MUST_CHECK;
void export_close(struct export *e);

/* All keys but general.file_type. path is where the weights were opened; name is general.name, NULL
 * for what the file has or the folder is called. */
enum err export_keys(const struct export *e, const char *path, const char *name,
	struct gguf_writer *writer, struct err_info *info) MUST_CHECK;

static inline uint32_t export_columns(const struct export_tensor *t)
{
	return (uint32_t)t->as.dims[t->as.dim_count - 1];
}

/* Rows of all outer dimensions together. */
uint64_t export_row_count(const struct export_tensor *t);

/* Bytes of working memory that export_rows wants. */
size_t export_scratch_bytes(const struct export_tensor *t);

/* Rows [first, first + count) of a tensor of readable type, as floats. */
void export_rows(const struct export *e, const struct export_tensor *t, uint64_t first,
	uint32_t count, float *out, void *scratch);

#endif
