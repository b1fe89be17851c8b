/* model/arch/config.h - what a model is: sizes, kinds of layers, rotary positions, ends, sampling.
 *
 * Plain data, filled once from config.json and its companions or from GGUF metadata. After
 * model_config_check every field is in the bounds written beside it and the fields agree with each
 * other; nobody checks again. What the files say and this program would compute wrongly is refused
 * by name, never ignored.
 */
#ifndef MODEL_ARCH_CONFIG_H
#define MODEL_ARCH_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "chip/chip.h"
#include "model/arch/config_quantized.h"

/* Within what a chip takes: what passes here is not refused when it is loaded. */
#define MODEL_LAYERS_MAX   512
#define MODEL_HIDDEN_MAX   65536
#define MODEL_HEADS_MAX    CHIP_HEADS_MAX
#define MODEL_HEAD_DIM_MAX CHIP_HEAD_DIM_MAX
#define MODEL_WIDTH_MAX    CHIP_COLUMNS_MAX       /* outputs of one projection, conv channels */
#define MODEL_VOCAB_MAX    CHIP_COLUMNS_MAX
#define MODEL_CONTEXT_MAX  CHIP_CONTEXT_MAX       /* tokens */
#define MODEL_CONV_MAX     CHIP_CONV_WIDTH_MAX    /* taps */
#define MODEL_EXPERTS_MAX  1024
#define MODEL_EOS_MAX      16
#define MODEL_NO_TOKEN     UINT32_MAX

/* An architecture more: README.md. */
enum model_arch {
	MODEL_ARCH_LLAMA,
	MODEL_ARCH_QWEN2,
	MODEL_ARCH_QWEN2_MOE,
	MODEL_ARCH_QWEN2_VL,
	MODEL_ARCH_QWEN3,
	MODEL_ARCH_QWEN3_MOE,
	MODEL_ARCH_QWEN3_VL,
	MODEL_ARCH_QWEN3_VL_MOE,
	MODEL_ARCH_QWEN3_NEXT,
	MODEL_ARCH_QWEN3_5,
	MODEL_ARCH_QWEN3_5_MOE,
	MODEL_ARCHS
};

enum model_layer {
	MODEL_LAYER_ATTENTION,   /* softmax attention over all tokens */
	MODEL_LAYER_DELTA,       /* gated delta rule over a recurrent state */
};

enum model_ffn {
	MODEL_FFN_DENSE,
	MODEL_FFN_EXPERTS,       /* some of many, and a shared one if there is one */
};

/* How rotary frequencies are stretched beyond the context that a model was trained on (rope.c). */
enum model_rope {
	MODEL_ROPE_PLAIN,
	MODEL_ROPE_LINEAR,
	MODEL_ROPE_YARN,
	MODEL_ROPE_LLAMA3,
};

/* What the files say; fields of other kinds are 0. */
struct model_rope_scaling {
	enum model_rope kind;
	double factor;              /* 1 .. 1e6 */
	uint32_t context;           /* trained on: YaRN, llama3 */
	double beta_fast, beta_slow;    /* YaRN */
	double attention;           /* YaRN: on cosines and sines, 0.01 .. 100 */
	bool truncate;              /* YaRN: the ramp begins and ends at whole pairs */
	double low, high;           /* llama3: frequency factors, low < high */
};

struct model_config {
	enum model_arch arch;

	uint32_t hidden;            /* 1 .. MODEL_HIDDEN_MAX */
	uint32_t layers;            /* 1 .. MODEL_LAYERS_MAX, without mtp_layers */
	uint32_t mtp_layers;        /* for multi-token prediction, last in a GGUF file; unused */
	uint32_t ffn;               /* of dense layers, 1 .. MODEL_WIDTH_MAX; may be 0 if there is
				     * none */
	uint32_t vocab;             /* rows of embedding and head, 1 .. MODEL_VOCAB_MAX */
	uint32_t vocab_used;        /* ids below are tokens; rows above padding, never sampled */
	uint32_t context_max;       /* prompt and answer together, 1 .. MODEL_CONTEXT_MAX */
	float rms_eps;              /* above 0, up to 0.01 */
	bool tied;                  /* the head is the embedding */
	bool tied_unsure;           /* the files say both; a head that is there is used */

	/* Softmax attention. Query head j uses key head j / (heads / kv_heads). */
	uint32_t heads;             /* a multiple of kv_heads, up to MODEL_HEADS_MAX */
	uint32_t kv_heads;
	uint32_t head_dim;          /* even, up to MODEL_HEAD_DIM_MAX; not hidden / heads */
	uint32_t rotary_dim;        /* even, 2 .. head_dim; pairs (i, i + rotary_dim / 2) turn */
	double rope_theta;          /* 1 .. 1e12 */
	struct model_rope_scaling rope_scaling;
	uint32_t rope_sections[3];  /* pairs turned by time, height, width; all 0: by time */
	bool rope_interleaved;      /* sections interleaved, not one after the other */
	/* Computed from the above: what pair i turns by from token to token, [rotary_dim / 2], and
	 * a factor on cosines and sines. */
	float rope_frequencies[MODEL_HEAD_DIM_MAX / 2];
	float rope_factor;
	uint32_t window;            /* keys that some layers see, up to MODEL_CONTEXT_MAX; 0: all
				     * layers see all */
	bool q_gate;                /* rows of q, per head: head_dim of query, head_dim of gate */
	bool qkv_bias;
	bool out_bias;
	bool ffn_bias;

	/* Gated DeltaNet; all 0 in models without such layers. */
	uint32_t delta_k_heads;
	uint32_t delta_v_heads;     /* a multiple of delta_k_heads */
	uint32_t delta_k_dim;
	uint32_t delta_v_dim;
	uint32_t delta_conv;        /* taps, 2 .. MODEL_CONV_MAX */
	bool delta_tiled;           /* GGUF: v head j uses k head j mod k_heads; else it uses
	                             * j / (v_heads / k_heads) */

	/* Experts; all 0 in models without. */
	uint32_t experts;           /* up to MODEL_EXPERTS_MAX */
	uint32_t experts_used;      /* by a token: 1 .. experts, CHIP_ROUTES_MAX */
	uint32_t expert_ffn;        /* 1 .. MODEL_WIDTH_MAX */
	uint32_t shared_ffn;        /* of the shared expert; 0: there is none */
	bool experts_norm;          /* their weights are divided by their sum */
	float experts_scale;        /* and multiplied by this; 1 in models without */

	/* The file stores w where 1 + w is meant. Vectors from weights.h have it added. */
	bool norm_plus_one;

	struct model_quantization quantization;   /* of a safetensors release */

	uint8_t layer_kind[MODEL_LAYERS_MAX];   /* enum model_layer */
	uint8_t layer_ffn[MODEL_LAYERS_MAX];    /* enum model_ffn */
	uint8_t layer_window[MODEL_LAYERS_MAX]; /* 1: an attention layer that sees window keys */
	uint32_t attention_layers;  /* how many of each kind */
	uint32_t delta_layers;
	uint32_t expert_layers;

	uint32_t bos;               /* MODEL_NO_TOKEN: none */
	uint32_t pad;
	uint32_t eos[MODEL_EOS_MAX];
	uint32_t eos_count;

	/* What a request gets that asks for nothing: generation_config.json. temperature up to 100,
	 * top_p above 0 and up to 1, min_p and typical_p 0 .. 1, repetition_penalty above 0 and up
	 * to 100, presence_penalty -100 .. 100; the rest is 0. */
	struct chip_sampling sampling;
};

/* The files beside the weights; NULL for one that is not there. */
struct model_config_texts {
	const json_t *config;       /* config.json, required */
	const json_t *generation;   /* generation_config.json */
	const json_t *tokenizer;    /* tokenizer_config.json */
};

struct gguf;
struct stored_table;

/* Both fill and check all of *c. vocab_used is vocab until the tokenizer is known, except in a GGUF
 * file that brings its own. tensors are those of all shards. ERR_UNSUPPORTED for what is valid but
 * not computed here, ERR_INPUT for what is wrong. */
enum err model_config_from_json(struct model_config *c, const struct model_config_texts *texts,
	struct err_info *info) MUST_CHECK;
enum err model_config_from_gguf(struct model_config *c, const struct gguf *g,
	const struct stored_table *tensors, struct err_info *info) MUST_CHECK;

/* Bounds and agreement of all fields; counts the layers of each kind. */
enum err model_config_check(struct model_config *c, struct err_info *info) MUST_CHECK;

/* The tokenizer's word on how many ids there are: at most vocab. */
enum err model_config_set_vocab_used(struct model_config *c, uint32_t tokens,
	struct err_info *info) MUST_CHECK;

/* Adds one more end of text; nothing if it is known or there is no room. */
void model_config_add_eos(struct model_config *c, uint32_t token);
bool model_config_is_eos(const struct model_config *c, uint32_t token);

/* Of the convolution: q and k of each key head, v of each value head. */
static inline uint32_t model_config_delta_channels(const struct model_config *c)
{
	return 2 * c->delta_k_heads * c->delta_k_dim + c->delta_v_heads * c->delta_v_dim;
}

/* "qwen3", "qwen3_5_moe". */
const char *model_arch_name(enum model_arch arch);

#endif
