/* model/quantize/quantize_mix.h - which tensor of a file gets which type.
 *
 * A type that a user asks for is a mix: some tensors lose more than others and get more bits. The
 * mixes are those of llama.cpp: q4_k is its Q4_K_M, q3_k its Q3_K_M, q5_k its Q5_K_M, mxfp4 its
 * MXFP4_MOE (and in a model without experts, where that would be Q8_0 throughout, MXFP4 for all
 * but embedding and head).
 */
#ifndef MODEL_QUANTIZE_QUANTIZE_MIX_H
#define MODEL_QUANTIZE_QUANTIZE_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/files/dtype.h"
#include "model/files/gguf.h"

struct quantize_mix {
	const char *name;         /* "q4_k" */
	const char *also;         /* another spelling, or NULL: "q4_k_m" */
	enum chip_type type;      /* of most tensors */
	uint32_t file_type;       /* general.file_type */
};

/* By either spelling, upper or lower case; NULL when there is none. */
const struct quantize_mix *quantize_mix_find(const char *name);

#define QUANTIZE_MIX_NAMES_BYTES 256

/* "f32 f16 ...": for errors. */
const char *quantize_mix_names(char out[QUANTIZE_MIX_NAMES_BYTES]);

struct mix_model {
	uint32_t layers;          /* blocks, those of multi-token prediction included */
	uint32_t heads_per_kv;    /* query heads that share keys */
	uint32_t experts;         /* 0: none */
	bool tied;                /* the head is the embedding */
	bool wide_values;         /* 80 layers of llama or qwen2: values get a bit more */
};

/* In the order of quantize_mix_compare. */
struct mix_tensor {
	const char *name;         /* as in the file */
	uint32_t name_size;
	uint32_t dim_count;       /* outermost first */
	uint64_t dims[GGUF_DIMS_MAX];
	const struct dtype *stored;
	const struct dtype *chosen;   /* out */
};

/* The order that counts "the n-th of its kind": what belongs to no block by name, then block by
 * block, in a block by name. For qsort. */
int quantize_mix_compare(const void *left, const void *right);

/* Fills chosen of all tensors. What is small or delicate stays as it is stored: vectors, norms,
 * routers, convolutions. */
void quantize_mix_choose(const struct quantize_mix *mix, const struct mix_model *model,
	struct mix_tensor *tensors, size_t count);

#endif
