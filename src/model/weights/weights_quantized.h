/* model/weights/weights_quantized.h - a matrix that a release stores quantized, as rows in a
 * layout of the chip's own: found by the tensors that are there, checked against the config,
 * read where it lies.
 *
 *	X.weight, X.weight_scale_inv             fp8 in blocks               CHIP_F8_E4M3
 *	X.weight, X.weight_scale                 compressed-tensors, floats  CHIP_F8_E4M3
 *	X.qweight, X.scales, X.qzeros, X.g_idx   gptq                        CHIP_INT4, CHIP_INT8
 *	X.qweight, X.scales, X.qzeros            awq                         CHIP_INT4
 *	X.weight_packed, X.weight_scale, ...     compressed-tensors          CHIP_INT4, CHIP_INT8
 *
 * Shapes, types and orders of columns are checked when the matrix is found. What would take a pass
 * over all its bytes (numbers that are no numbers) is seen by who reads them, once, while they are
 * packed: weights_read_faults tells.
 */
#ifndef MODEL_WEIGHTS_WEIGHTS_QUANTIZED_H
#define MODEL_WEIGHTS_WEIGHTS_QUANTIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "chip/chip.h"
#include "model/weights/weights.h"

#define QUANTIZED_TENSORS_MAX 5

enum quantized_layout {
	QUANTIZED_FLOATS,      /* bytes [rows, columns] */
	QUANTIZED_BY_COLUMN,   /* words of neighbouring columns, [columns / n, rows]: GPTQ */
	QUANTIZED_BY_ROW,      /* words of eight rows, [columns, rows / 8]: AWQ */
	QUANTIZED_PACKED,      /* words of neighbouring columns, [rows, columns / n] */
};

enum quantized_scale { QUANTIZED_F32, QUANTIZED_F16, QUANTIZED_BF16, QUANTIZED_E8M0 };

/* Everything that a reader needs; immutable but for what faults points to. */
struct quantized_source {
	enum quantized_layout layout;
	enum chip_type type;
	uint32_t rows;
	uint32_t columns;
	uint32_t group;               /* columns that share a scale, 1 .. columns */
	uint32_t group_count;         /* of a row */
	uint32_t group_rows;          /* rows that share it */
	uint32_t part_rows;           /* blocks of group_rows start anew in each part */
	const struct stored_tensor *values;
	const struct stored_tensor *scales;
	const struct stored_tensor *zeros;   /* NULL: the middle of the range */
	enum quantized_scale scale;
	bool symmetric;               /* the middle, if zeros says that or one less */
	bool zeros_less_one;          /* GPTQ as it was first */
	bool zeros_signed;            /* bytes around 0, not words of fields */
	const uint32_t *column_order; /* [columns] as in struct chip_matrix, or NULL */
	const struct stored_table *table;
	_Atomic uint64_t *fault;      /* the lowest tensor that one was found in */
};

struct quantized_matrix {
	struct chip_matrix matrix;    /* its context is a struct quantized_source */
	const struct stored_tensor *tensors[QUANTIZED_TENSORS_MAX];
	uint32_t tensor_count;
};

/* Whether the matrix of that name ("model.layers.0.mlp.up_proj.weight") is stored quantized. */
bool weights_is_quantized(const struct weights *w, const char *name);

/* The matrix [rows, columns] of that name, which is quantized; parts above 1: a stack [parts,
 * rows / parts, columns]. Its memory is w's. ERR_INPUT names the tensor that does not fit. */
enum err weights_find_quantized(struct weights *w, const char *name, uint32_t rows,
	uint32_t columns, uint32_t parts, struct quantized_matrix *out,
	struct err_info *info) MUST_CHECK;

/* Whether a tensor is a bias of zeros in a release whose library writes one for each matrix, also
 * where the model has none. */
bool weights_is_zero_bias(const struct weights *w, const struct stored_tensor *t);

/* The reader of struct chip_matrix; context is a struct quantized_source. */
void quantized_read(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out);

#endif
