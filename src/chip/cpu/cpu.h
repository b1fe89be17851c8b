/* chip/cpu/cpu.h - what the files of the CPU chip share: its structs behind the
 * opaque ones of chip.h. */
#ifndef CHIP_CPU_CPU_H
#define CHIP_CPU_CPU_H

#include "chip/cpu/kernels.h"
#include "chip/cpu/worker.h"
#include "chip/driver.h"

#define CPU_SLOT_PROMPT 0x8000U  /* the token stands in the prompt */
#define CPU_SLOT_COUNT  0x7FFFU  /* how often it stands in the answer, stopping there */

#define CPU_STEPS_MAX 8         /* in flight, of all programs; below CPU_JOBS_MAX */

struct cpu_slab;
struct cpu_step;

struct cpu_chip {
	struct chip base;
	struct cpu_kernels kernels;
	struct cpu_pool *pool;
	char isas[128];
	int64_t memory_max;
	int64_t memory_used;
	struct cpu_slab *slabs;     /* of pieces, see memory.c */
	uint32_t slab_count;
	struct cpu_step *steps[CPU_STEPS_MAX];   /* in flight, oldest first */
	uint32_t steps_in_flight;
	bool profiled;
	struct chip_profile profile;             /* of the first worker, while steps run */
};

/* ---- memory.c -------------------------------------------------------------------------------- */

/* Memory of the chip: counted, limited, zeroed; what says what it is for, in the error. */
enum err cpu_reserve(struct cpu_chip *chip, void **out, int64_t bytes, const char *what,
	struct err_info *info) MUST_CHECK;
void cpu_release(struct cpu_chip *chip, void *memory, int64_t bytes);
/* The same for what stays as long as a model does, side by side in huge pages. */
enum err cpu_reserve_piece(struct cpu_chip *chip, void **out, int64_t bytes, const char *what,
	struct err_info *info) MUST_CHECK;
void cpu_release_piece(struct cpu_chip *chip, void *memory, int64_t bytes);
/* When everything has been released. */
void cpu_memory_close(struct cpu_chip *chip);

/* ---- weight.c -------------------------------------------------------------------------------- */

struct cpu_weight {
	struct chip_weight base;
	uint8_t *panels;            /* layout in kernels.h */
	size_t panel_bytes;
	size_t scales_bytes;        /* of f8_e4m3 */
	uint32_t group;             /* as in struct cpu_matmul */
	uint32_t part_rows;
	uint32_t part_panels;       /* of a part: its last one may have fewer rows than lanes */
	uint32_t panel_count;       /* of all parts */
	uint32_t lanes;
	bool pairs;                 /* of bf16 columns */
	bool halves;                /* takes inputs rounded to bf16 */
	bool blocks;                /* takes inputs quantized in blocks */
	uint16_t unit;              /* of these: columns that share a scale */
	bool stored;                /* no kernel reads the type: rows as in the source, without
				     * padding, decoded panel by panel */
	size_t row_bytes;           /* of the source */
	uint32_t *column_order;     /* [columns] behind the panels, or NULL */
	int64_t memory_bytes;
};

/* The rows of a panel: the first, and how many. */
static inline uint32_t cpu_weight_panel_rows(const struct cpu_weight *w, uint32_t panel,
	uint32_t *count)
{
	const uint32_t before = panel % w->part_panels * w->lanes;
	const uint32_t left = w->part_rows - before;

	*count = left < w->lanes ? left : w->lanes;
	return panel / w->part_panels * w->part_rows + before;
}

static inline uint8_t *cpu_weight_panel(const struct cpu_weight *w, uint32_t panel)
{
	uint32_t count;

	if (w->stored)
		return w->panels + cpu_weight_panel_rows(w, panel, &count) * w->row_bytes;
	return w->panels + panel * w->panel_bytes;
}

struct cpu_vector {
	struct chip_vector base;
	float *values;
};

/* One row of the packed matrix, exactly. */
void cpu_weight_row(const struct cpu_weight *w, uint32_t row, float *out);

/* ---- multiply.c ------------------------------------------------------------------------------ */

/* of stored rows: panels decoded together, and their columns; 128 KiB for 16 lanes */
#define CPU_STORED_PANELS  4
#define CPU_STORED_COLUMNS 512

/* What cpu_weight_multiply wants as scratch, 0 for most. */
size_t cpu_weight_scratch_floats(const struct cpu_weight *w);

/* Outputs of panels [first, end) of one part for rows of inputs, in the form that the weight takes:
 * out[row][panel * lanes + lane], stride from row to row. scratch is the caller's alone. */
void cpu_weight_multiply(const struct cpu_kernels *kernels, const struct cpu_weight *w,
	uint32_t part, const struct cpu_input *in, uint32_t rows, float *out, size_t out_stride,
	uint32_t first, uint32_t end, float *scratch);

/* ---- cache.c --------------------------------------------------------------------------------- */

struct cpu_slot {
	struct chip_sampling sampling;
	uint32_t last;              /* the last token sampled; 0 before there is one */
	bool counts;                /* the sampling has penalties: tokens are counted */
};

struct cpu_cache {
	struct chip_cache base;
	uint8_t *pages;             /* [pages][layers][kv_heads] of keys and
				     * values, see kernels.h */
	size_t page_bytes;
	size_t head_bytes;
	float *states;              /* [states][delta_layers] of convolution inputs, then S */
	size_t state_floats;
	size_t conv_floats;         /* of one layer, in front of its S */
	size_t delta_floats;
	struct cpu_slot *slots;
	uint16_t *counts;           /* [slots][vocab]: CPU_SLOT_PROMPT, CPU_SLOT_COUNT */
	struct chip_bias *biases;   /* [slots][CHIP_BIASES_MAX]: of their samplings */
	uint32_t *marks;            /* [slots + states]: of the step that last named it,
				     * to find doubles */
	uint32_t mark;
};

/* A token has been chosen for the slot's answer. */
static inline void cpu_slot_count(struct cpu_slot *slot, uint16_t *counts, uint32_t vocab,
	uint32_t token)
{
	slot->last = token;
	if (slot->counts && token < vocab && (counts[token] & CPU_SLOT_COUNT) < CPU_SLOT_COUNT)
		counts[token]++;
}

static inline uint8_t *cpu_cache_head(const struct cpu_cache *c, uint32_t layer, uint32_t head)
{
	return c->pages + ((size_t)layer * c->base.layout.kv_heads + head) * c->head_bytes;
}

static inline float *cpu_cache_conv(const struct cpu_cache *c, uint32_t state, uint32_t layer)
{
	return c->states + state * c->state_floats + layer * (c->conv_floats + c->delta_floats);
}

static inline float *cpu_cache_delta(const struct cpu_cache *c, uint32_t state, uint32_t layer)
{
	return cpu_cache_conv(c, state, layer) + c->conv_floats;
}

/* ---- fuse.c ---------------------------------------------------------------------------------- */

#define CPU_INPUTS 2            /* sets of inputs: one is read while another is made */

/* Rows of a step up to which shares of matrices go on with what is behind them. More rows of one
 * share lie apart in memory as wide as the matrix, and have left the caches by then. */
#define CPU_JOINED_ROWS 32

/* Rows of a step up to which one worker routes and spreads all of them: less than a barrier. */
#define CPU_ROUTED_AT_ONCE 2

/* Key heads of DeltaNet, of all sequences of a step, for each thread, from which on convolution,
 * state and norm are done head by head; and rows of a head that are done together. */
#define CPU_HEADS_PER_THREAD 2
#define CPU_DELTA_ROWS       64

/* What is done along with an operation; behind matrices in steps of few rows alone. */
struct cpu_fusion {
	uint8_t followers;          /* operations behind it that are done in its shares */
	bool follows;               /* is done in the shares of one before */
	bool makes_inputs;          /* what it and its followers made becomes the inputs of the
				     * matrices behind it at once */
	bool alone;                 /* of a norm: each worker may do it for itself; of the matrices
				     * behind it: what they read then is each worker's */
	bool added;                 /* of a norm: its addition has been done */
	bool unread;                /* of a norm, a swiglu, a spread and the matrices behind it:
				     * nobody reads the result but as inputs: not kept */
	uint32_t heads;             /* of a convolution, the DeltaNet and the norm behind it: key
				     * heads, they may be done one by one; else 0 */
	/* of matrices */
	bool has_inputs;            /* an operation before made them */
	bool blocks, halves;        /* forms of inputs that they take */
	uint16_t unit;              /* of blocks: columns that share a scale */
	bool gated;                 /* the last two are gate and up of the swiglu behind them */
	uint8_t inputs;             /* which of the sets */
	bool maxima;                /* the outputs are logits, whose maxima are wanted */
	uint32_t sum;               /* buffer that the outputs are added to, or CHIP_NONE */
};

/* [op_count] of a description that has been checked. */
void cpu_fuse(const struct chip_program_desc *desc, struct cpu_fusion *fusions);

/* Few enough for each worker to do their norm for itself: one, or so many values. */
#define CPU_ALONE_VALUES 4096

static inline bool cpu_alone_rows(uint32_t rows, uint32_t columns)
{
	/* halves of an odd number of columns take one more */
	return rows <= 1 || (uint64_t)rows * (columns + columns % 2) <= CPU_ALONE_VALUES;
}

/* ---- program.c ------------------------------------------------------------------------------- */

/* Rows in the forms that matrices take. */
struct cpu_inputs {
	int8_t *values;
	struct cpu_block *blocks;
	uint16_t *halves;
};

/* Of one worker: rows that it normed for itself; and a row that nobody else reads, which a swiglu
 * behind matrices may need while these still read the others. */
struct cpu_own {
	float *rows, *row;
	struct cpu_inputs inputs;
};

/* Rows of one sequence that attention takes together. */
struct cpu_tile {
	uint32_t sequence;
	uint32_t first_row;         /* of the step */
	uint32_t row_count;
};

/* One step: its tables, copied, and its results. */
struct cpu_step {
	struct cpu_job job;         /* first: the job is the step */
	struct cpu_program *program;
	struct cpu_cache *cache;
	bool in_flight;
	uint64_t ticket;
	struct chip_observer observer;

	uint32_t row_count;
	uint32_t sequence_count;
	uint32_t wanted_count;
	uint32_t tile_count;
	uint32_t span_count;                /* of keys, of the longest sequence */
	bool split;                         /* a span is a share of attention */
	struct chip_row *rows;              /* [rows_max] */
	uint32_t *tokens_before;            /* [rows_max]: of its sequence, before the row */
	struct chip_sequence *sequences;    /* [sequences_max], masks pointing to
					     * the copies below */
	uint32_t *first_rows;               /* [sequences_max] */
	uint32_t *first_wanted;             /* [sequences_max + 1]: index into wanted */
	uint32_t *pages;                    /* [CHIP_STEP_PAGES_MAX] */
	uint32_t *masks;                    /* [wanted_max][mask_words] */
	float *embeddings;                  /* [rows_max][hidden] */
	uint32_t *wanted;                   /* [wanted_max]: rows */
	struct cpu_tile *tiles;             /* [rows_max] */

	float *logits, *hidden;             /* this step's own result buffers, or NULL */
	uint32_t *tokens;                   /* [wanted_max] */
	struct chip_logprobs *logprobs;     /* [wanted_max] */
	_Atomic bool not_finite;
};

/* Angles of one set of frequencies, computed once per step for all layers. */
struct cpu_rope {
	const struct chip_vector *frequencies;
	float factor;
	uint32_t pairs;
	float *cosines, *sines;     /* [rows_max][pairs] */
};

#define CPU_ROPES_MAX 4

/* What the last CHIP_OP_ROUTE chose. A place is a row of CHIP_ROUTED.
 *
 *	experts  row 0: 5 2   row 1: 2 7        places  row 0: 2 0   row 1: 1 3
 *	                                        which belong to experts 2 2 5 7
 */
struct cpu_route {
	uint32_t used;              /* by a row */
	uint32_t expert_count;
	uint32_t *experts;          /* [rows_max][used]: best first */
	uint32_t *places;           /* [rows_max][used] */
	uint32_t *first;            /* [experts + 1]: first place of each expert */
	uint32_t *active;           /* [experts]: those that have a row, ascending */
	uint32_t active_count;
	float *shares;              /* [threads][experts]: of one row */
};

/* What sampling one row needs, a set for each worker. */
struct cpu_sampler {
	float *scores;              /* [vocab] */
	float *weights;             /* [vocab] */
	uint64_t *candidates;       /* [vocab] */
	float *maxima;              /* [vocab / CPU_MAXIMA, rounded up]: of the logits */
	float *view_maxima;         /* of the scores */
};

static inline uint32_t cpu_maxima_count(uint32_t vocab)
{
	return math_divide_up_u32(vocab, CPU_MAXIMA);
}

struct cpu_program {
	struct chip_program base;
	struct cpu_chip *chip;
	uint32_t threads;
	uint32_t sequences_max;
	uint32_t mask_words;
	uint32_t embedding_columns;         /* 0: no embed operation */
	uint32_t tile_rows;
	uint8_t *memory;                    /* everything below */
	size_t memory_bytes;

	struct chip_op *ops;
	struct chip_buffer *buffer_descs;
	uint8_t *op_rope;                   /* [ops]: index of its angles */
	float **op_taps;                    /* [ops]: convolution weights as [width][channels] */
	struct cpu_rope ropes[CPU_ROPES_MAX];
	uint32_t rope_count;
	struct cpu_route route;
	float *buffers[CHIP_BUFFERS_MAX];   /* NULL: the step's own */

	struct cpu_fusion *fusions;         /* [ops] */
	struct cpu_inputs inputs[CPU_INPUTS];
	struct cpu_own *own;                /* [threads] */
	float *maxima;                      /* [wanted][cpu_maxima_count], of few wanted rows */
	/* Intermediate results of one operation. */
	float *delta_q, *delta_k;           /* [rows_max][k_heads * k_dim] */
	float *delta_decay, *delta_beta;    /* [rows_max][v_heads] */
	float *delta_heads;                 /* [threads][delta_head_floats]: rows of one head */
	size_t delta_head_floats;
	/* Of attention: what a worker's queries have of one span [threads][attended_floats], and
	 * what those of a split step have of each [rows][heads][spans of the step]. */
	float *attended;
	size_t attended_floats;
	struct cpu_attended *kept;
	float *kept_values;
	uint32_t kept_max;                  /* rows times spans */
	struct cpu_sampler *samplers;       /* [threads] */
	float *decoded;                     /* [threads][decoded_floats] of stored weights */
	size_t decoded_floats;

	struct cpu_step steps[CHIP_STEPS_MAX];
};

/* ---- ops.c, sample.c, logprobs.c ------------------------------------------------------------- */

void cpu_step_run(struct cpu_job *job, struct cpu_worker *worker);

/* A row of logits, and by what a token of it is chosen. */
struct cpu_choice {
	const struct cpu_slot *slot;
	const uint16_t *counts;     /* the slot's, where it counts */
	const uint32_t *mask;       /* or NULL */
	const float *logits;        /* [vocab] */
	const float *maxima;        /* of the logits, NaN where one is not finite; or NULL */
	uint32_t vocab;
	uint32_t position;          /* of the token, from the sequence's start */
	uint32_t forced;            /* the token that it is, or CHIP_NONE */
};

/* What may be drawn: the token ids[i], or i where ids is NULL, with weight scratch->weights[i] of
 * sum. */
struct cpu_distribution {
	const uint64_t *ids;        /* [count] in their lower halves */
	uint32_t count;             /* 0: nothing is allowed */
	double sum;                 /* of the weights */
};

/* Of finite logits, without regard to forced. */
struct cpu_distribution cpu_distribution(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct cpu_choice *c);
/* The next token. CHIP_NONE: not finite, or nothing allowed; logprobs then stay as they are. */
uint32_t cpu_sample(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_choice *c, struct chip_logprobs *logprobs, bool *finite);
/* Of finite logits; maxima are theirs. */
void cpu_logprobs(const struct cpu_kernels *kernels, const float *logits, const float *maxima,
	uint32_t vocab, uint32_t token, uint32_t top_count, struct chip_logprobs *out);

/* ---- the driver's functions ------------------------------------------------------------------ */

/* As chip_open, with a table of kernels of the caller's: for tests. */
enum err cpu_open_kernels(struct chip **out, const struct cpu_kernels *kernels,
	const struct chip_config *config, struct err_info *info) MUST_CHECK;

enum err cpu_measure(struct chip *chip, struct chip_rates *out, struct err_info *info);

enum err cpu_weight_pack(struct chip *chip, struct chip_weight **out, const struct chip_matrix *m,
	struct err_info *info);
void cpu_weight_close(struct chip *chip, struct chip_weight *w);
enum err cpu_vector_open(struct chip *chip, struct chip_vector **out, const float *values,
	size_t count, struct err_info *info);
void cpu_vector_close(struct chip *chip, struct chip_vector *v);

int64_t cpu_cache_page_bytes(const struct chip *chip, const struct chip_cache_layout *layout);
int64_t cpu_cache_state_bytes(const struct chip *chip, const struct chip_cache_layout *layout);
enum err cpu_cache_open(struct chip *chip, struct chip_cache **out,
	const struct chip_cache_layout *layout, struct err_info *info);
void cpu_cache_close(struct chip *chip, struct chip_cache *cache);
void cpu_state_copy(struct chip *chip, struct chip_cache *cache, uint32_t from, uint32_t to);
void cpu_slot_open(struct chip *chip, struct chip_cache *cache, uint32_t slot,
	const struct chip_sampling *sampling, const uint32_t *prompt, uint32_t prompt_count,
	const uint32_t *answer, uint32_t answer_count);

enum err cpu_program_open(struct chip *chip, struct chip_program **out,
	const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	struct err_info *info);
void cpu_program_close(struct chip *chip, struct chip_program *program);

enum err cpu_submit(struct chip *chip, struct chip_program *program, struct chip_cache *cache,
	const struct chip_step *step, const struct chip_observer *observer, uint64_t *ticket,
	struct err_info *info);
enum err cpu_wait(struct chip *chip, uint64_t ticket, struct chip_output *output,
	struct err_info *info);

#endif
