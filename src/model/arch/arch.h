/* model/arch/arch.h - what each architecture is called and which tensors it is made of.
 *
 * A family of architectures is a file, arch_NAME.c: a struct arch and its rules, most of them
 * shared (arch_rules.h). A reader of files asks by the name the file uses; weights_map.c walks the
 * rules to find, check and convert every tensor; the program is recorded from the config alone. To
 * add an architecture: README.md.
 */
#ifndef MODEL_ARCH_ARCH_H
#define MODEL_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/arch/config.h"
#include "model/tokenizer/pretokenize.h"

/* Every tensor that a program may ask for. Matrices are [outputs, inputs]. */
enum weight {
	WEIGHT_EMBED,           /* [vocab, hidden] */
	WEIGHT_FINAL_NORM,      /* [hidden] */
	WEIGHT_HEAD,            /* [vocab, hidden]; the embedding's rows where tied */
	/* each layer */
	WEIGHT_INPUT_NORM,      /* [hidden], before attention or delta rule */
	WEIGHT_FFN_NORM,        /* [hidden], before the feed-forward part */
	WEIGHT_FFN_GATE,        /* [ffn, hidden] */
	WEIGHT_FFN_UP,          /* [ffn, hidden] */
	WEIGHT_FFN_DOWN,        /* [hidden, ffn] */
	WEIGHT_FFN_GATE_BIAS,   /* [ffn] */
	WEIGHT_FFN_UP_BIAS,     /* [ffn] */
	WEIGHT_FFN_DOWN_BIAS,   /* [hidden] */
	/* layers with experts; f: expert_ffn, parts: one for each expert */
	WEIGHT_ROUTER,          /* [experts, hidden], F32 */
	WEIGHT_EXPERTS_GATE,    /* [experts * f, hidden] in parts */
	WEIGHT_EXPERTS_UP,      /* [experts * f, hidden] in parts */
	WEIGHT_EXPERTS_DOWN,    /* [experts * hidden, f] in parts */
	WEIGHT_SHARED_ROUTER,   /* [1, hidden], F32: how much of the shared expert */
	WEIGHT_SHARED_GATE,     /* [shared_ffn, hidden] */
	WEIGHT_SHARED_UP,       /* [shared_ffn, hidden] */
	WEIGHT_SHARED_DOWN,     /* [hidden, shared_ffn] */
	/* attention layers */
	WEIGHT_ATTN_Q,          /* [heads * head_dim, hidden]; with q_gate twice as many rows */
	WEIGHT_ATTN_K,          /* [kv_heads * head_dim, hidden] */
	WEIGHT_ATTN_V,          /* [kv_heads * head_dim, hidden] */
	WEIGHT_ATTN_OUT,        /* [hidden, heads * head_dim] */
	WEIGHT_ATTN_Q_BIAS,     /* as many as rows of q */
	WEIGHT_ATTN_K_BIAS,     /* [kv_heads * head_dim] */
	WEIGHT_ATTN_V_BIAS,     /* [kv_heads * head_dim] */
	WEIGHT_ATTN_OUT_BIAS,   /* [hidden] */
	WEIGHT_ATTN_Q_NORM,     /* [head_dim] */
	WEIGHT_ATTN_K_NORM,     /* [head_dim] */
	/* delta layers */
	WEIGHT_DELTA_QKV,       /* [channels, hidden]: q heads, k heads, v heads */
	WEIGHT_DELTA_Z,         /* [v_heads * v_dim, hidden]: the output gate */
	WEIGHT_DELTA_B,         /* [v_heads, hidden]: beta before its sigmoid */
	WEIGHT_DELTA_A,         /* [v_heads, hidden]: the step before its softplus */
	WEIGHT_DELTA_CONV,      /* [channels, conv taps], the last tap for the newest input */
	WEIGHT_DELTA_DECAY,     /* [v_heads]: -exp(A_log) */
	WEIGHT_DELTA_DT_BIAS,   /* [v_heads] */
	WEIGHT_DELTA_NORM,      /* [v_dim], plain */
	WEIGHT_DELTA_OUT,       /* [hidden, v_heads * v_dim] */
	WEIGHTS
};

/* Which layers have a weight. */
enum weight_place {
	PLACE_ONCE,             /* none: the model has it */
	PLACE_LAYER,
	PLACE_ATTENTION,
	PLACE_QKV_BIAS,         /* attention layers of a model whose projections have biases */
	PLACE_OUT_BIAS,
	PLACE_DELTA,
	PLACE_DENSE,            /* layers whose feed-forward part is one */
	PLACE_FFN_BIAS,
	PLACE_EXPERTS,          /* layers whose feed-forward part is many */
	PLACE_SHARED,           /* those of a model with a shared expert */
};

/* How a stored tensor becomes what the program uses. */
enum weight_form {
	FORM_MATRIX,    /* stays where it lies */
	FORM_ROUTER,    /* a matrix, read as F32 whatever it is stored as */
	FORM_EXPERTS,   /* a matrix in parts; the names are of one expert of many, in safetensors,
			 * and of all, in GGUF */
	FORM_VECTOR,    /* floats */
	FORM_NORM,      /* floats, 1 added where the file leaves it out */
	FORM_CONV,      /* floats; safetensors keeps a dimension of 1 in the middle */
	FORM_DECAY,     /* floats; safetensors keeps A_log, GGUF -exp(A_log) */
};

enum weight_extent {
	EXTENT_NONE,    /* a vector's second */
	EXTENT_VOCAB, EXTENT_HIDDEN, EXTENT_FFN, EXTENT_Q, EXTENT_KV, EXTENT_ATTN, EXTENT_HEAD,
	EXTENT_CHANNELS, EXTENT_V, EXTENT_V_HEADS, EXTENT_V_DIM, EXTENT_TAPS,
	EXTENT_EXPERTS, EXTENT_EXPERT_FFN, EXTENT_EXPERTS_FFN, EXTENT_EXPERTS_HIDDEN,
	EXTENT_SHARED_FFN,
};

struct weight_rule {
	enum weight weight;
	enum weight_place place;
	enum weight_form form;
	enum weight_extent rows;
	enum weight_extent columns;
	const char *json_name;   /* in safetensors, after the body's prefix and "layers.N." */
	const char *gguf_name;   /* in GGUF, after "blk.N." for layers */
};

/* Whether the projections of q, k and v have biases. */
enum arch_bias {
	ARCH_BIAS_CONFIG,       /* config.json's attention_bias says so, of the output too; in GGUF
				 * the tensors that are there */
	ARCH_BIAS_QKV,          /* always, and the output's never */
	ARCH_BIAS_QKV_CONFIG,   /* unless config.json's qkv_bias says no; the output's never */
};

/* Whether the weights of a row's experts are divided by their sum. */
enum arch_norm {
	ARCH_NORM_ALWAYS,
	ARCH_NORM_ON,           /* unless config.json's norm_topk_prob says no */
	ARCH_NORM_OFF,          /* only if it says yes */
};

/* Which layers look at a window only, where config.json's use_sliding_window says that some do. */
enum arch_window {
	ARCH_WINDOW_NONE,       /* none, whatever it says */
	ARCH_WINDOW_LAST,       /* from layer max_window_layers on */
	ARCH_WINDOW_EVEN,       /* every other layer below max_window_layers, the first too */
	ARCH_WINDOW_ALL,
};

#define ARCH_TYPES_MAX   8
#define ARCH_CLASSES_MAX 8

struct arch {
	enum model_arch arch;
	const char *name;
	const char *model_types[ARCH_TYPES_MAX];    /* config.json's model_type; unused ones are
						     * NULL */
	const char *classes[ARCH_CLASSES_MAX];      /* config.json's architectures */
	const char *gguf_name;          /* general.architecture and prefix of its keys */
	enum arch_bias bias;
	bool stack_transposed;          /* stacks of experts in safetensors may be, as their shape
					 * tells */
	enum arch_norm norm_topk;
	bool gguf_norm_topk;            /* in GGUF where expert_weights_norm is not said */
	enum arch_window window;        /* where layer_types does not say */
	bool q_gate;
	bool norm_plus_one;             /* in safetensors */
	bool gguf_pairs;                /* GGUF keeps rows of q and k so that dims 2i and 2i + 1 of
					 * a head turn together */
	const char *gguf_divisors;      /* tensor of a GGUF file that rotary frequencies are divided
					 * by, if it is there; NULL: never */
	bool gguf_tiled;                /* GGUF keeps delta value heads tiled */
	/* Tensors that may stand for two projections of a delta layer, rows by key head: of
	 * WEIGHT_DELTA_QKV and _Z, of _B and _A; NULL: never. gguf_ba is also what is written. */
	const char *json_qkvz, *json_ba;
	const char *gguf_qkvz, *gguf_ba;
	bool mrope_interleaved;         /* how GGUF's rope.dimension_sections lie */
	uint32_t head_dim;              /* where config.json leaves it out; 0: hidden / heads */
	double partial_rotary;          /* likewise */
	double rope_theta;              /* likewise, and in GGUF; 0: must be there */
	enum pretokenize_rule pretokenize;  /* where vocab.json and merges.txt are all there is */
	const struct weight_rule *rules;
	size_t rule_count;
};

static inline bool arch_form_is_matrix(enum weight_form form)
{
	return form == FORM_MATRIX || form == FORM_ROUTER || form == FORM_EXPERTS;
}

/* The rule of a weight; NULL when the architecture has no such weight. */
const struct weight_rule *arch_rule(const struct arch *arch, enum weight weight);

/* What the layers of an architecture can be: what it has rules for. */
static inline bool arch_has_delta(const struct arch *arch)
{
	return arch_rule(arch, WEIGHT_DELTA_QKV) != NULL;
}

static inline bool arch_has_experts(const struct arch *arch)
{
	return arch_rule(arch, WEIGHT_ROUTER) != NULL;
}

static inline bool arch_has_shared_expert(const struct arch *arch)
{
	return arch_rule(arch, WEIGHT_SHARED_ROUTER) != NULL;
}

static inline bool arch_has_dense(const struct arch *arch)
{
	return arch_rule(arch, WEIGHT_FFN_GATE) != NULL;
}

static inline bool arch_has_ffn_bias(const struct arch *arch)
{
	return arch_rule(arch, WEIGHT_FFN_GATE_BIAS) != NULL;
}

/* Whether gguf_pairs is about the rows of this weight. */
bool arch_is_paired(const struct arch *arch, enum weight weight);

const struct arch *arch_get(enum model_arch arch);
/* NULL when nobody is called that. */
const struct arch *arch_from_model_type(const char *model_type);
const struct arch *arch_from_class(const char *class_name);
const struct arch *arch_from_gguf(const char *name, size_t name_size);

#define ARCH_KNOWN_MAX 256

/* "llama, qwen2, ...": for errors; what GGUF calls them where gguf. */
const char *arch_known_names(char out[ARCH_KNOWN_MAX], bool gguf);

/* The number that an extent stands for. */
uint64_t arch_extent(const struct model_config *c, enum weight_extent extent);

/* Whether a layer has a weight of this place. */
bool arch_layer_has(const struct model_config *c, enum weight_place place, uint32_t layer);

#endif
