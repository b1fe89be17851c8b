/* model/arch/config_quantized.h - how a safetensors release stores its matrices in fewer bits: the
 * quantization_config of its config.json.
 *
 * A release names its method and one scheme or a few. Which matrix is stored by which of them the
 * tensors say (weights_quantized.h), so the lists of what is left as it was, which every library
 * spells in its own way, are not needed. What would not be computed as it was meant is refused by
 * name.
 */
#ifndef MODEL_ARCH_CONFIG_QUANTIZED_H
#define MODEL_ARCH_CONFIG_QUANTIZED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define QUANTIZATION_GROUP_MAX   1048576   /* columns or rows that share a scale */
#define QUANTIZATION_SCHEMES_MAX 16
#define QUANTIZATION_NAME_MAX    64

enum quantization_method {
	QUANTIZATION_NONE,
	QUANTIZATION_FP8,         /* E4M3 with a scale for each block */
	QUANTIZATION_GPTQ,
	QUANTIZATION_AWQ,         /* its "gemm" layout */
	QUANTIZATION_COMPRESSED,  /* compressed-tensors: E4M3, or packed whole numbers */
};

/* One way to store a matrix [rows, columns]; a scale belongs to group_rows x group of it. */
struct quantization_scheme {
	bool is_float;            /* E4M3; else whole numbers from 0, less a zero point */
	bool symmetric;           /* the zero point is the middle of the range */
	uint8_t bits;             /* 4 or 8 */
	uint32_t group;           /* columns; 0: all of a row */
	uint32_t group_rows;      /* 1 for whole numbers; 0: all of the matrix */
};

struct model_quantization {
	enum quantization_method method;
	bool zeros_less_one;      /* GPTQ as it was first: words of zero points are stored with
				   * one taken from each */
	uint32_t scheme_count;    /* at least 1 unless method is QUANTIZATION_NONE */
	struct quantization_scheme schemes[QUANTIZATION_SCHEMES_MAX];
};

/* object is the quantization_config. ERR_UNSUPPORTED names the field that cannot be followed. */
enum err model_quantization_from_json(struct model_quantization *q, const json_t *object,
	struct err_info *info) MUST_CHECK;

/* "gptq int4 group 128", of its first scheme; "" for none. */
void model_quantization_format(char out[QUANTIZATION_NAME_MAX],
	const struct model_quantization *q);

#endif
