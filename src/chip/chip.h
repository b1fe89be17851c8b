/* chip/chip.h - a machine that computes: memory, packed weights, and programs of operations.
 *
 * A chip here is a group of devices used as one (one CPU, one GPU, later tensor-parallel ranks). A
 * model records its forward pass once as a program: an array of fused operations over named
 * buffers. A step then says which rows of which sequences to run; everything that changes from
 * step to step is in the step's tables, never in an operation, so that a GPU can capture the
 * program as a graph.
 *
 *   struct chip *chip;                                    // once
 *   chip_open(&chip, "cpu", &config, &info);
 *   chip_weight_pack(chip, &w, &matrix, &info);           // once per matrix; the source may go
 *   chip_cache_open(chip, &cache, &layout, &info);        // pages, states, slots
 *   chip_program_open(chip, &program, &desc, &layout, &info);  // operations, checked and planned
 *   chip_slot_open(chip, cache, slot, &sampling, prompt, n, NULL, 0);
 *   chip_submit(chip, program, cache, &step, NULL, &ticket, &info);  // prefill and decode
 *   chip_wait(chip, ticket, &output, &info);              // tokens; logits if wanted
 *
 * Nothing here assumes that chip memory is host memory: what crosses goes through these functions.
 * Threads: one thread (the executor) uses a chip; the chip has its own workers below it.
 *
 * Numbers that never move: the bits of a row's results depend on its own sequence, the weights and
 * the instruction set alone, not on which rows share the step, how a prompt was cut into steps, the
 * number of threads or which pages and slots were used. Each output element has one order of
 * summation; keys are taken in blocks counted from the start of the sequence;
 * the DeltaNet state advances token by token in prefill as in decode.
 */
#ifndef CHIP_CHIP_H
#define CHIP_CHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CHIP_PAGE_TOKENS     32     /* in a page of keys and values */
#define CHIP_KV_BLOCK        32     /* dimensions that share a scale where those are q8_0 */
#define CHIP_OPS_MAX         16384  /* operations of a program */
#define CHIP_BUFFERS_MAX     64     /* buffers of a program */
#define CHIP_ROWS_MAX        4096   /* rows of a step */
#define CHIP_STEP_PAGES_MAX  131072 /* page table entries of a step */
#define CHIP_STEPS_MAX       2      /* steps of one program in flight: one runs, one is ready */
#define CHIP_COLUMNS_MAX     (1u << 20)  /* columns of a buffer, rows and columns of a matrix */
#define CHIP_HEAD_DIM_MAX    512
#define CHIP_HEADS_MAX       1024
#define CHIP_LAYERS_MAX      1024   /* of attention in a cache, and as many of DeltaNet */
#define CHIP_CONTEXT_MAX     (1u << 24)  /* tokens of a sequence */
#define CHIP_CONV_WIDTH_MAX  8
#define CHIP_SEQUENCES_MAX   1024   /* sequences of a step */
#define CHIP_PARTS_MAX       4096   /* parts of a matrix, experts */
#define CHIP_ROUTES_MAX      64     /* experts that a row uses */
#define CHIP_MATRICES_MAX    4      /* matrices that share the input of one CHIP_OP_MATMUL */
#define CHIP_BANNED_MAX      16     /* tokens that a sampling can ban until a position */
#define CHIP_BIASES_MAX      1024   /* tokens whose logits a sampling changes */
#define CHIP_TOP_LOGPROBS_MAX 20    /* likeliest tokens that are told beside the chosen one */
#define CHIP_CANDIDATES_MAX  1024   /* top_k above this, and 0, mean the whole vocabulary */
#define CHIP_DELTA_EPS       1e-6F
#define CHIP_FREQUENCY_MAX   32.0F  /* radians that a pair turns from token to token */
#define CHIP_NONE            UINT32_MAX

/* Pages that hold so many tokens of a sequence. */
static inline uint32_t chip_pages(uint32_t tokens)
{
	return tokens / CHIP_PAGE_TOKENS + (tokens % CHIP_PAGE_TOKENS > 0);
}

/* Element types of weights and caches. Layouts are in format.h: blocks as in GGUF, and
 * three of ours in groups of any size. */
enum chip_type {
	CHIP_F32,
	CHIP_F16,
	CHIP_BF16,
	CHIP_Q8_0,   /* blocks of 32 */
	CHIP_Q4_0,
	CHIP_Q4_1,
	CHIP_Q5_0,
	CHIP_Q5_1,
	CHIP_Q2_K,   /* blocks of 256 */
	CHIP_Q3_K,
	CHIP_Q4_K,
	CHIP_Q5_K,
	CHIP_Q6_K,
	CHIP_IQ4_NL, /* blocks of 32 */
	CHIP_IQ4_XS, /* blocks of 256 */
	CHIP_MXFP4,  /* blocks of 32 */
	CHIP_F8_E4M3,    /* groups */
	CHIP_INT4,
	CHIP_INT8,
	CHIP_TYPES
};

/* ---- the machine ----------------------------------------------------------------------------- */

struct chip_config {
	uint32_t device;        /* of its kind, as chip_list counts them; a CPU has only 0 */
	const char *isa;        /* NULL: the best the machine has; else "ref", "avx2",
				 * "avxvnni", "avx512", "avx512bf16" */
	uint32_t threads;       /* 0: one per available core */
	int64_t memory_bytes;   /* what it may reserve; 0: what the machine has
				 * free, less a tenth */
};

/* One chip of this machine as `tongyun chips` lists it. */
struct chip_info {
	char name[64];          /* "AMD EPYC", "NVIDIA H100" */
	char kind[16];          /* "cpu" */
	uint32_t device;        /* which of its kind */
	char isa[64];           /* chosen: "avx2" */
	char isas[128];         /* that it can run, blank separated, best last: "ref avx2" */
	uint32_t direct_types;  /* bit t: it computes with weights of enum chip_type t as they
				 * are; with others it decodes to f32 each time they are used */
	/* of these it multiplies matrices as integers of 8 bits, as bf16; others as f32 */
	uint32_t int8_types, bf16_types;
	enum chip_type kv_type; /* in which attention over keys and values is fastest here */
	uint32_t cores;
	int64_t memory_bytes;
};

static inline bool chip_is_direct(const struct chip_info *chip, enum chip_type type)
{
	return chip->direct_types >> type & 1;
}

/* Measured on all threads, not from a data sheet: what `bench` divides by. */
struct chip_rates {
	int64_t read_bytes_per_s;   /* best of several read loops over at least 1 GiB */
	/* Register-only loops of the widest multiply-accumulate, which is 2 operations. */
	int64_t int8_ops_per_s;
	int64_t bf16_ops_per_s;     /* 0: no such instruction */
	int64_t f32_ops_per_s;
};

/* What arithmetic of some kind could do here. */
struct chip_peak {
	const char *arithmetic;   /* "int8", "bf16", "f32" */
	int64_t ops_per_s;
};

static inline struct chip_peak chip_f32_peak(const struct chip_rates *rates)
{
	return (struct chip_peak){"f32", rates->f32_ops_per_s};
}

/* Of the arithmetic in which matrices of a type are multiplied. */
static inline struct chip_peak chip_peak(const struct chip_info *chip,
	const struct chip_rates *rates, enum chip_type type)
{
	if (chip->int8_types >> type & 1)
		return (struct chip_peak){"int8", rates->int8_ops_per_s};
	if (chip->bf16_types >> type & 1)
		return (struct chip_peak){"bf16", rates->bf16_ops_per_s};
	return chip_f32_peak(rates);
}

/* The same of attention: over keys in q8_0 scores are integers, half of the operations, and values
 * are multiplied as f32. */
static inline struct chip_peak chip_attend_peak(const struct chip_info *chip,
	const struct chip_rates *rates, enum chip_type kv_type)
{
	const double scores = (double)rates->int8_ops_per_s, values = (double)rates->f32_ops_per_s;

	if (kv_type == CHIP_Q8_0)
		return (struct chip_peak){"int8, f32",
			(int64_t)(2 * scores * values / (scores + values))};
	return kv_type == CHIP_BF16 ? chip_peak(chip, rates, CHIP_BF16) : chip_f32_peak(rates);
}

struct chip;

/* How many chips there are; fills the first infos_max. */
uint32_t chip_list(struct chip_info *infos, uint32_t infos_max);
enum err chip_open(struct chip **out, const char *kind, const struct chip_config *config,
	struct err_info *info) MUST_CHECK;
/* All weights, caches and programs must have been closed. NULL is legal. */
void chip_close(struct chip *chip);
void chip_describe(const struct chip *chip, struct chip_info *out);
/* Takes some seconds. */
enum err chip_measure(struct chip *chip, struct chip_rates *out, struct err_info *info) MUST_CHECK;
/* Bytes reserved now, for weights, caches and programs together. */
int64_t chip_memory_used(const struct chip *chip);

/* ---- weights: packed once, immutable --------------------------------------------------------- */

/* A run of consecutive rows of a matrix as a file stores it (row-major [rows, columns]). A
 * matrix is the concatenation of its spans: so are rows taken in another order than the
 * file's, without a copy. */
struct chip_span {
	const void *rows;       /* first row, in the source type's block layout, any alignment */
	uint32_t row_count;
};

/* Spans, or a reader for rows that no file holds in this layout. */
struct chip_matrix {
	enum chip_type type;    /* of the source; the packed form is the chip's business */
	uint32_t rows;          /* outputs */
	uint32_t columns;       /* inputs; a multiple of the type's block */
	const struct chip_span *spans;
	uint32_t span_count;    /* 0: read them */

	uint32_t group;         /* values that share a scale, of a grouped type; else 0 */
	/* 0 or 1: one matrix. Else the rows are that many equal parts, experts, and an
	 * operation can use one of them alone. */
	uint32_t parts;
	/* [columns] or NULL: stored column j is input column column_order[j], of a grouped type */
	const uint32_t *column_order;
	/* Writes rows [first, first + count), one after the other, in the type's layout; called
	 * from several threads at once. */
	void (*read)(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out);
	const void *context;
};

struct chip_weight;   /* a packed matrix: y = W x, and row gather for embeddings */
struct chip_vector;   /* float constants: norm weights, convolution taps, decays */

enum err chip_weight_pack(struct chip *chip, struct chip_weight **out, const struct chip_matrix *m,
	struct err_info *info) MUST_CHECK;
void chip_weight_close(struct chip *chip, struct chip_weight *w);
/* Bytes a step must read to use the whole matrix: for bandwidth shares. */
int64_t chip_weight_bytes(const struct chip_weight *w);

enum err chip_vector_open(struct chip *chip, struct chip_vector **out, const float *values,
	size_t count, struct err_info *info) MUST_CHECK;
void chip_vector_close(struct chip *chip, struct chip_vector *v);

/* ---- cache: what sequences leave behind ------------------------------------------------------ */

/* One model's: pages of keys and values for its attention layers, state slots for its DeltaNet
 * layers, sequence slots for what a running sequence carries. The layout inside a page or a
 * state is the chip's. */
struct chip_cache_layout {
	enum chip_type kv_type;     /* CHIP_F32, CHIP_F16, CHIP_BF16 (an even head_dim) or
				     * CHIP_Q8_0 (a multiple of CHIP_KV_BLOCK) */
	uint32_t attention_layers;
	uint32_t kv_heads;
	uint32_t head_dim;
	uint32_t pages;             /* a page holds CHIP_PAGE_TOKENS tokens of all
				     * attention layers */
	uint32_t delta_layers;
	uint32_t conv_channels;     /* C = 2 k_heads k_dim + v_heads v_dim */
	uint32_t conv_width;        /* taps, 4; the state keeps conv_width - 1 inputs */
	uint32_t v_heads;
	uint32_t k_dim;
	uint32_t v_dim;
	uint32_t states;            /* state slots: all delta layers' conv inputs and S
				     * [v_heads, k_dim, v_dim] */
	uint32_t slots;             /* sequence slots */
	uint32_t vocab;             /* for the slots' token counts */
	uint32_t context_max;       /* tokens of one sequence */
};

struct chip_cache;

int64_t chip_cache_page_bytes(const struct chip *chip, const struct chip_cache_layout *layout);
int64_t chip_cache_state_bytes(const struct chip *chip, const struct chip_cache_layout *layout);
enum err chip_cache_open(struct chip *chip, struct chip_cache **out,
	const struct chip_cache_layout *layout, struct err_info *info) MUST_CHECK;
void chip_cache_close(struct chip *chip, struct chip_cache *cache);

/* Copies a state (snapshot, roll back, share a prefix): after the steps submitted before,
 * ahead of those after. */
void chip_state_copy(struct chip *chip, struct chip_cache *cache, uint32_t from, uint32_t to);

/* Below it the choice is greedy: logits that differ by 0.1 weigh e^-100 there, so nothing else
 * could be drawn, and far below it logits divided by it leave f32. vLLM, for the same reason, takes
 * what is below 1e-5 as greedy and raises what is below 0.01. */
#define CHIP_TEMPERATURE_MIN 1e-3F

/* What was asked for, as a sampling may have it. For whoever reads one from outside. */
static inline float chip_temperature(double asked)
{
	return (float)asked < CHIP_TEMPERATURE_MIN ? 0.0F : (float)asked;
}

/* Added to the logit of a token. */
struct chip_bias {
	uint32_t token;
	float bias;
};

/* How a sequence's next token is chosen. The order is Hugging Face's: biases, penalties,
 * temperature, top_k, top_p, min_p, typical_p. */
struct chip_sampling {
	float temperature;          /* 0: greedy, ties to the lower id; else at least
				     * CHIP_TEMPERATURE_MIN */
	float top_p;                /* 1: off */
	float min_p;                /* 0: off */
	float typical_p;            /* 0, 1: off */
	uint32_t top_k;             /* 0: off */
	float repetition_penalty;   /* 1: off; over prompt and answer */
	float presence_penalty;     /* 0: off; over the answer */
	float frequency_penalty;    /* 0: off; over the answer */
	uint64_t seed;              /* the random number of a token is
				     * prng_hash(seed, its position) */
	uint32_t banned[CHIP_BANNED_MAX];  /* never chosen before banned_until:
					    * min_tokens, ignore_eos */
	uint32_t banned_count;
	uint32_t banned_until;      /* position of the sampled token, counted from the
				     * sequence's start */
	const struct chip_bias *biases;    /* each token once; read by chip_slot_open only */
	uint32_t bias_count;        /* at most CHIP_BIASES_MAX */
	bool logprobs;              /* of the tokens, in chip_output: another pass over all
				     * logits */
	uint32_t top_logprobs;      /* with logprobs: of so many likeliest tokens too */
};

/* Makes a slot ready for a sequence. Penalties count the prompt, and the answer so far of a
 * sequence that was preempted and comes back. No step in flight may name the slot. */
void chip_slot_open(struct chip *chip, struct chip_cache *cache, uint32_t slot,
	const struct chip_sampling *sampling, const uint32_t *prompt, uint32_t prompt_count,
	const uint32_t *answer, uint32_t answer_count);

/* ---- programs -------------------------------------------------------------------------------- */

/* Rows of a buffer: one per row of the step, one per row that wants something, or one for each
 * expert that each row of the step uses. The last CHIP_OP_ROUTE says which those are; they lie
 * grouped by expert, so that an expert's part of a matrix is read once for all its rows. */
enum chip_space { CHIP_ROWS, CHIP_WANTED, CHIP_ROUTED };

struct chip_buffer {
	const char *name;       /* "x", "qkv": for dumps and errors; static storage */
	enum chip_space space;
	uint32_t columns;       /* float32 values per row, as seen by operations */
};

enum chip_op_kind {
	CHIP_OP_EMBED,      /* out[r] = table[token of r], or the embedding row it names */
	CHIP_OP_NORM,       /* residual += add (if any); out = residual * rsqrt(mean square
			     * + eps) * weight */
	CHIP_OP_MATMUL,     /* out_i = W_i in + bias_i, for up to CHIP_MATRICES_MAX matrices;
			     * the input is prepared once; in CHIP_ROUTED each row by the part of
			     * W_i that is its expert's */
	CHIP_OP_SWIGLU,     /* out = silu(gate) * up */
	CHIP_OP_QK_ROPE,    /* per head: norm q and k, rotate both; keys and values go
			     * to their pages */
	CHIP_OP_ATTEND,     /* causal attention of q over the pages, or over the last keys of
			     * them, times sigmoid(gate) if there is one */
	CHIP_OP_CONV,       /* causal depthwise convolution with its state, then silu; in place */
	CHIP_OP_DELTA,      /* the gated delta rule with its state */
	CHIP_OP_NORM_GATE,  /* per head: out = norm(in) * weight * silu(gate) */
	CHIP_OP_ADD,        /* out += in */
	CHIP_OP_GATHER,     /* rows that want something, in order: CHIP_ROWS to CHIP_WANTED; or
			     * each row for each of its experts: CHIP_ROWS to CHIP_ROUTED */
	CHIP_OP_ROUTE,      /* softmax of the logits over all experts; the largest are the row's
			     * experts, ties to the lower one, and weights[r] their shares, best
			     * first */
	CHIP_OP_COMBINE,    /* out[r] = the sum of its experts' rows times their weights, best
			     * first, + sigmoid(gate[r]) * shared[r] if there is one */
	CHIP_OP_SAMPLE,     /* logits to tokens by the slots' samplings; the token becomes
			     * its slot's last */
};

#define CHIP_OP_KINDS (CHIP_OP_SAMPLE + 1)

/* A head-major part of a buffer: head h at columns [first + h * stride, + head_dim). */
struct chip_heads {
	uint32_t buffer;
	uint32_t first;
	uint32_t stride;
	uint32_t count;
};

/* Buffers are named by their index in the program; CHIP_NONE where there is none. */
struct chip_op {
	enum chip_op_kind kind;
	const char *tap;        /* NULL, or the name under which an observer sees this
				 * operation's result */
	uint32_t tap_layer;
	union {
		struct { uint32_t out; const struct chip_weight *table; } embed;
		struct {
			uint32_t residual, add, out;
			const struct chip_vector *weight;
			float eps;
		} norm;
		struct {
			uint32_t in;
			uint32_t count;
			const struct chip_weight *weight[CHIP_MATRICES_MAX];
			/* [rows of the matrix], added to the whole sum; NULL: none */
			const struct chip_vector *bias[CHIP_MATRICES_MAX];
			uint32_t out[CHIP_MATRICES_MAX];
		} matmul;
		struct { uint32_t gate, up, out; } swiglu;
		struct {
			struct chip_heads q, k, v;
			uint32_t head_dim;
			uint32_t rotary_dim;        /* leading dims that rotate, in pairs
						     * (i, i + rotary_dim / 2) */
			/* [rotary_dim / 2]: pair i turns by position * frequency i, 0 to
			 * CHIP_FREQUENCY_MAX; NULL where rotary_dim is 0 */
			const struct chip_vector *frequencies;
			float factor;               /* on cosines and sines; 1: none */
			const struct chip_vector *q_norm, *k_norm;   /* [head_dim], NULL: no norm */
			float eps;
			uint32_t layer;             /* of the cache's attention layers */
		} qk_rope;
		struct {
			struct chip_heads q;
			struct chip_heads gate;     /* gate.buffer CHIP_NONE: no gate */
			uint32_t out;               /* [heads * head_dim] */
			uint32_t kv_heads, head_dim;
			uint32_t window;            /* keys that a query sees, its own included;
						     * 0: all so far; else one number in all of
						     * a program */
			float scale;
			uint32_t layer;
		} attend;
		struct {
			uint32_t data;
			const struct chip_vector *weight;   /* [channels, width] */
			uint32_t layer;
		} conv;
		/* Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464, equation 10), for each value
		 * head and token, with S [k_dim, v_dim]: q and k over the roots of their squares'
		 * sums + CHIP_DELTA_EPS, q times k_dim^-1/2; beta = sigmoid(b);
		 *	S = exp(decay softplus(a + dt_bias)) S
		 *	S = S + k (beta (v - S^T k))^T;  out = S^T q */
		struct {
			uint32_t qkv;               /* [q k_heads k_dim | k k_heads k_dim |
						     * v v_heads v_dim] */
			uint32_t a, b;              /* [v_heads] each */
			uint32_t out;               /* [v_heads * v_dim] */
			const struct chip_vector *decay;    /* -exp(A_log) [v_heads] */
			const struct chip_vector *dt_bias;  /* [v_heads] */
			uint32_t k_heads, v_heads, k_dim, v_dim;
			bool tiled;                 /* v head j uses k head j mod k_heads,
						     * else j / (v_heads / k_heads) */
			uint32_t layer;             /* of the cache's delta layers */
		} delta;
		struct {
			uint32_t in, gate, out;
			const struct chip_vector *weight;   /* [head_dim] */
			uint32_t head_dim;
			float eps;
		} norm_gate;
		struct { uint32_t out, in; } add;
		struct { uint32_t in, out; } gather;
		struct {
			uint32_t logits;            /* [experts] */
			uint32_t weights;           /* [used] */
			uint32_t experts, used;     /* the same in all of a program */
			bool normalise;             /* shares over their sum */
			float scale;                /* of each then; 1: none */
		} route;
		struct {
			uint32_t in, weights, out;
			uint32_t shared;            /* CHIP_NONE: none */
			uint32_t gate;              /* [1]; CHIP_NONE where shared is */
		} combine;
		struct {
			uint32_t logits;
			uint32_t vocab;             /* real tokens; rows above are padding */
		} sample;
	} u;
};

struct chip_program_desc {
	const struct chip_op *ops;
	uint32_t op_count;
	const struct chip_buffer *buffers;
	uint32_t buffer_count;
	uint32_t rows_max;          /* the bucket: at most this many rows a step, CHIP_ROWS_MAX */
	uint32_t wanted_max;        /* at most this many that want something */
	uint32_t logits;            /* buffer that rows wanting CHIP_WANT_LOGITS are read from */
	uint32_t hidden;            /* ... CHIP_WANT_HIDDEN */
};

struct chip_program;

/* Copies the description; checks every index, shape and limit. Buffers may share memory below. */
enum err chip_program_open(struct chip *chip, struct chip_program **out,
	const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	struct err_info *info) MUST_CHECK;
void chip_program_close(struct chip *chip, struct chip_program *program);

/* ---- steps ----------------------------------------------------------------------------------- */

enum chip_input {
	CHIP_INPUT_TOKEN,       /* value is a token id */
	CHIP_INPUT_LAST,        /* the last token of its slot, wherever that is by then; 0
				 * before there is one */
	CHIP_INPUT_EMBEDDING,   /* value is a row of the step's embeddings */
};

enum chip_want { CHIP_WANT_NOTHING, CHIP_WANT_TOKEN, CHIP_WANT_LOGITS, CHIP_WANT_HIDDEN };

struct chip_row {
	uint32_t sequence;      /* index into the step's sequences; rows of a sequence are
				 * consecutive, in order */
	uint8_t input;          /* enum chip_input */
	uint8_t want;           /* enum chip_want */
	uint32_t value;
	uint32_t position[3];   /* time, height, width; all equal for text */
};

struct chip_sequence {
	uint32_t slot;
	uint32_t row_count;         /* at least 1 */
	uint32_t cached_tokens;     /* in its pages before this step */
	uint32_t first_page;        /* index into the step's pages; enough for
				     * cached_tokens + row_count */
	uint32_t page_count;
	uint32_t state_read;        /* CHIP_NONE: starts from zero */
	uint32_t state_write;       /* may equal state_read; CHIP_NONE where the model has
				     * no delta layers */
	const uint32_t *mask;       /* allowed tokens, a bit each, or NULL: all */
	bool forced;                /* forced_token is chosen, whatever the logits and mask say */
	uint32_t forced_token;
};

struct chip_step {
	const struct chip_row *rows;
	uint32_t row_count;
	const struct chip_sequence *sequences;
	uint32_t sequence_count;
	const uint32_t *pages;
	uint32_t page_count;
	const float *embeddings;    /* [n, hidden], or NULL */
};

/* Called after every operation that has a tap, with its result copied to the host: values [rows,
 * columns]. Called in a thread of the chip's, before chip_wait returns for that step. */
struct chip_observer {
	void (*see)(void *context, const char *tap, uint32_t layer, const float *values,
		uint32_t rows, uint32_t columns);
	void *context;
};

struct chip_logprob {
	uint32_t token;
	float logprob;
};

/* Logarithms of softmax(logits), before biases, penalties and temperature. */
struct chip_logprobs {
	float chosen;
	uint32_t top_count;         /* 0 to CHIP_TOP_LOGPROBS_MAX */
	struct chip_logprob top[CHIP_TOP_LOGPROBS_MAX];    /* the likeliest first, the lower id
							    * among equals */
};

/* ---- where the time of steps goes ------------------------------------------------------------ */

/* Kinds of work that are told apart: operations as enum chip_op_kind counts them, and what is done
 * for several of them. */
enum chip_phase {
	CHIP_PHASE_HEAD = CHIP_OP_KINDS,    /* matrices of wanted rows alone: the output layer */
	CHIP_PHASE_INPUTS,                  /* rows into the form that a matrix takes */
	CHIP_PHASE_ANGLES,                  /* of rotations, once a step */
	CHIP_PHASES
};

/* By the clock of one worker. What is fused counts where it is done: with the matrix whose outputs
 * are added, gated or made the next one's inputs in the same pass. */
struct chip_phase_times {
	int64_t work_ns;        /* until the worker had no more to do */
	int64_t wait_ns;        /* for the others, at barriers */
	int64_t barriers;
};

struct chip_profile {
	struct chip_phase_times phases[CHIP_PHASES];
};

/* "matmul". */
const char *chip_phase_name(enum chip_phase phase);
/* Steps from here to chip_profile_stop are timed, which costs two looks at the clock a barrier. No
 * step may be in flight at either. */
void chip_profile_start(struct chip *chip);
/* Adds the times to those in out. */
void chip_profile_stop(struct chip *chip, struct chip_profile *out);

/* ---- results --------------------------------------------------------------------------------- */

/* What a step gave; arrays are the caller's, one entry per wanted row in order. */
struct chip_output {
	uint32_t *tokens;           /* for CHIP_WANT_TOKEN; CHIP_NONE for others, and where no
				     * token can be chosen: not finite, or nothing allowed.
				     * NULL: not wanted */
	struct chip_logprobs *logprobs;    /* where the slot's sampling asks for them and there
					    * is a token; NULL: not wanted */
	float *logits;              /* [wanted, vocab rows] for CHIP_WANT_LOGITS;
				     * NULL: not wanted */
	float *hidden;              /* [wanted, hidden] for CHIP_WANT_HIDDEN; NULL: not wanted */
	bool not_finite;            /* a logit was NaN or infinite: the engine ends that
				     * request with an error */
};

/* Starts a step; its tables are copied, embeddings and masks with them, before this returns. A
 * broken step (index out of range) is the caller's bug and asserts; ERR_BUSY when CHIP_STEPS_MAX
 * steps of the program have not been waited for. */
enum err chip_submit(struct chip *chip, struct chip_program *program, struct chip_cache *cache,
	const struct chip_step *step, const struct chip_observer *observer, uint64_t *ticket,
	struct err_info *info)
	MUST_CHECK;
/* Waits for a step; tickets end in the order they were given. The ticket is used up, also when this
 * fails: the step is over and what it gave is lost. */
enum err chip_wait(struct chip *chip, uint64_t ticket, struct chip_output *output,
	struct err_info *info) MUST_CHECK;

#endif
