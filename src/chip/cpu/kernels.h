/* chip/cpu/kernels.h - the inner work of every operation, one table of functions per
 * instruction set.
 *
 * A kernel does its share of an operation on plain arrays; who does which share is ops.c's
 * business. The reference table is complete; the others leave out what they do no better
 * (NULL) and, where a kernel wants whole vectors, shapes that do not fit: those fall back
 * to the reference.
 *
 * Rounding. Every table gives the same bits, avx512bf16 with bf16 (keys too) and f8_e4m3
 * excepted: a product that is added to a sum is fused with the addition (one rounding), nothing
 * else is, nor rotations; one output element takes its terms one after the other, or in the 16
 * stripes of kernels_ref.h; exp is the one of base/math. Vectors therefore lie across outputs, keys
 * or channels, never along a sum.
 *
 * Packed matrix: panels of `lanes` output rows, so that a vector holds one column of each.
 *
 *   f32 f16   [columns][lanes]
 *   bf16      [columns / 2][lanes][2] where bf16_pairs: a shift or mask makes f32; else as f16
 *   f8_e4m3   scales f32 [groups][lanes] | u8 [columns][lanes], or [columns / 2][lanes][2] where
 *             bf16_inputs; not if groups of an odd size are to be parted, or columns reordered
 *   blocks    block.h
 *
 * Types without a kernel of their own stay rows as in the source. Panels of them are decoded to f32
 * when they are used, and go through that kernel: the bits are those of the f32 matrix.
 */
#ifndef CHIP_CPU_KERNELS_H
#define CHIP_CPU_KERNELS_H

#include <float.h>
#include <math.h>

#include "base/math.h"
#include "chip/chip.h"

#define CPU_BLOCK          32    /* values of a quantized block */
#define CPU_RECORD_COLUMNS 256   /* of 8 blocks: block.h */
#define CPU_LANES_MAX   16
#define CPU_ALIGN       64   /* of what is allocated */
/* channels or columns of one share of CONV, SWIGLU and COMBINE; a multiple of any vector */
#define CPU_COLUMN_PART 256
_Static_assert(CPU_COLUMN_PART % CPU_RECORD_COLUMNS == 0, "shares end with units of inputs");
#define CPU_MAXIMA      128  /* logits that share a maximum */

/* ---- matrices -------------------------------------------------------------------------------- */

/* 32 inputs that were quantized: value = scale * integer, scale = largest magnitude / 127, of this
 * block or of all that share it. What follows from the integers alone is added up once for all
 * matrices. */
struct cpu_block {
	float scale;
	float sum;                  /* scale * their sum */
	/* -128 times the sum of all of them, of the first 16, of the last 16: what a product with
	 * weights that are 128 too large has too much */
	int32_t start[3];
	int16_t halves[2];          /* the sums of the first 16, of the last 16 */
	int16_t pair[2];            /* of blocks with an even number in what is quantized at once:
				     * the sums of this one, of the next; of others zeros */
};

/* What a matrix multiplies: rows of activations in the form that its type takes. */
struct cpu_input {
	const float *rows;          /* [rows][stride] */
	size_t stride;
	const int8_t *values;       /* [rows][columns]: quantized */
	const struct cpu_block *blocks;    /* [rows][columns / CPU_BLOCK]: of values */
	const uint16_t *halves;     /* [rows][columns rounded up to 2]: bf16, where bf16_inputs */
};

struct cpu_matmul {
	const uint8_t *panels;
	size_t panel_bytes;
	size_t scales_bytes;        /* of f8_e4m3: of a panel, in front of its values */
	enum chip_type type;
	uint32_t lanes;
	bool pairs;                 /* of bf16 columns */
	uint32_t columns;
	uint32_t group;             /* columns with one scale; of blocks 0: the whole row */
	uint32_t outputs;           /* rows of the matrix; the last panel is filled with zeros */
	struct cpu_input in;
	uint32_t rows;
	float *out;                 /* [rows][out_stride] */
	size_t out_stride;
	bool add;                   /* plain types only: sums go on from what is in out */
};

/* Of f8_e4m3 in pairs: columns that are summed before their scale is multiplied in. */
#define CPU_F8_RUN 256

/* Where the run that begins at that column ends: with its group, or sooner. */
static inline uint32_t cpu_f8_run_end(const struct cpu_matmul *m, uint32_t first, uint32_t columns)
{
	uint32_t count = m->group - first % m->group;

	count = count < CPU_F8_RUN ? count : CPU_F8_RUN;
	count += count % 2;   /* the last of all groups */
	return count < columns - first ? first + count : columns;
}

/* Rows of a matrix as the source has them, one panel of them. */
struct cpu_stored {
	enum chip_type type;
	uint32_t group;             /* as in struct chip_matrix */
	uint32_t count;             /* rows, at most lanes */
	const uint8_t *rows;
	size_t row_bytes;
};

/* ---- norms and heads ------------------------------------------------------------------------- */

/* Of a sum of squares. NaN where the sum is too large for a float: zeros would hide it. */
static inline float cpu_inverse_root(float sum)
{
	return sum <= FLT_MAX ? 1.0F / math_sqrtf(sum) : NAN;
}

/* Heads of a row that are normed with the same weights, as by rms_norm, and rotated by the same
 * angles, in place. */
struct cpu_heads {
	uint32_t count;
	size_t stride;              /* from one to the next */
	uint32_t head_dim;
	const float *weight;        /* [head_dim], or NULL: not normed */
	float eps;
	const float *cosines, *sines;      /* [pairs] */
	uint32_t pairs;             /* of dimensions i, i + pairs */
};

/* ---- attention ------------------------------------------------------------------------------- */

/* Keys and values of one layer and head lie page by page, so that a vector holds one dimension, or
 * a pair of them, of several keys:
 *
 *   f32 f16   keys [head_dim][CHIP_PAGE_TOKENS]        values [CHIP_PAGE_TOKENS][head_dim]
 *   bf16      keys [head_dim / 2][CHIP_PAGE_TOKENS][2] values [CHIP_PAGE_TOKENS / 2][head_dim][2]
 *
 *   q8_0      keys i8 [head_dim / 4][CHIP_PAGE_TOKENS][4]
 *             | scales f16 [head_dim / 32][CHIP_PAGE_TOKENS]
 *             | values i8 [CHIP_PAGE_TOKENS][head_dim] | scales as those of the keys
 *
 * Of a pair of values the second is 0 until there is a token: nothing is left there of others. A
 * value that is not finite makes all queries NaN that go past its block together, so that the model
 * is seen to be damaged.
 *
 * A query's keys, counted from the start of its sequence, are cut into spans, and these into
 * blocks. A span has its own largest score; a span's blocks, and the spans of a query, are added in
 * order, whoever computes them. */
#define CPU_ATTEND_BLOCK   64    /* keys between two looks at the largest score */
#define CPU_ATTEND_SPAN    512   /* keys */
#define CPU_ATTEND_QUERIES 64    /* most queries of one call; they share a key head */

/* Keys [begin, end) of a sequence, within one span. */
struct cpu_attend {
	const uint8_t *pages;       /* of the cache, at this layer and head */
	size_t page_bytes;          /* from one page to the next */
	const uint32_t *table;      /* the sequence's pages */
	enum chip_type kv_type;
	bool rounded;               /* queries and weights are rounded to bf16, as the keys are */
	uint32_t head_dim;
	float scale;
	uint32_t begin, end;
};

/* What a query has of some of its keys: of weights e^(score - largest). */
struct cpu_attended {
	float largest;              /* CPU_ATTEND_NONE: no key was seen */
	float sum;                  /* of the weights; 0 where no key was seen */
	float *values;              /* [head_dim]: the weighted sum of the values */
};

#define CPU_ATTEND_NONE (-0x1.fffffep127F)

/* One query: a row and a head. */
struct cpu_query {
	const float *q;             /* [head_dim] */
	uint32_t first, keys;       /* sees keys [first, keys), counted from the start of the
				     * sequence */
	struct cpu_attended out;
};

/* ---- DeltaNet -------------------------------------------------------------------------------- */

/* Some columns of the value dimension of one head, over the rows of one sequence. A state lies in
 * such parts, [v_heads][parts], so that one is read from memory in one go and fills the first-level
 * cache evenly:
 *
 *	T [k_dim][CPU_DELTA_COLUMNS, fewer in the last part] | scale | padding to a cache line
 *
 * The state itself is scale T, see delta_ref.c. */
struct cpu_delta {
	const float *state_in;      /* T, then its scale; or NULL: zeros */
	float *state_out;           /* the same, may equal state_in */
	uint32_t k_dim;
	uint32_t count;
	uint32_t rows;
	const float *q, *k;         /* of row 0: normalised, q scaled [k_dim] */
	size_t qk_stride;           /* from row to row */
	const float *v;             /* of row 0 [count] */
	size_t v_stride;
	const float *decay, *beta;  /* of row 0: e^g and the step size */
	size_t gate_stride;
	float *out;                 /* of row 0 [count] */
	size_t out_stride;
};

#define CPU_DELTA_COLUMNS 32    /* of one part: k_dim x 32 floats stay in the first-level cache */

static inline float cpu_delta_scale(const struct cpu_delta *d)
{
	return d->state_in ? d->state_in[(size_t)d->k_dim * d->count] : 1.0F;
}

/* From a part of so many columns to the next. */
static inline size_t cpu_delta_part_floats(uint32_t k_dim, uint32_t count)
{
	return ((size_t)k_dim * count / 16 + 1) * 16;
}

/* From a head to the next. */
static inline size_t cpu_delta_head_floats(uint32_t k_dim, uint32_t v_dim)
{
	const uint32_t left = v_dim % CPU_DELTA_COLUMNS;

	return v_dim / CPU_DELTA_COLUMNS * cpu_delta_part_floats(k_dim, CPU_DELTA_COLUMNS) +
		(left ? cpu_delta_part_floats(k_dim, left) : 0);
}

/* ---- convolution ----------------------------------------------------------------------------- */

/* Channels [first, first + count) over the rows of one sequence; count <= CPU_COLUMN_PART. */
struct cpu_conv {
	const float *state_in;      /* [width - 1][channels], oldest first; NULL: zeros */
	float *state_out;
	const float *taps;          /* [width][channels], oldest first */
	uint32_t channels, width;
	uint32_t first, count;
	uint32_t rows;
	const float *in;            /* of row 0, all channels: [rows][in_stride] */
	size_t in_stride;
	float *out;                 /* of row 0 and channel first; where they are in in is legal */
	size_t out_stride;
};

/* ---- loops to measure with ------------------------------------------------------------------- */

#define CPU_READS_MAX 4

struct cpu_gauge {
	/* Ways to read memory, as fast as can be; size is a multiple of 4096. The sum keeps
	 * the reads alive. */
	uint64_t (*read[CPU_READS_MAX])(const uint8_t *bytes, size_t size);
	/* Multiply-accumulates in registers alone, a product and a sum each counted as an
	 * operation: returns how many were done in that many rounds. NULL: there is no
	 * such instruction. */
	int64_t (*int8)(int64_t rounds);
	int64_t (*bf16)(int64_t rounds);
	int64_t (*f32)(int64_t rounds);
};

/* ---- the table ------------------------------------------------------------------------------- */

struct cpu_kernels {
	const char *name;           /* "avx2" */
	uint32_t lanes;
	bool bf16_pairs;            /* bf16 matrices are packed in pairs of columns */
	bool bf16_inputs;           /* and take inputs rounded to bf16 */

	/* A row to blocks of 8 bits, to nearest even; unit columns share a scale, CPU_BLOCK or
	 * CPU_RECORD_COLUMNS. */
	void (*quantize)(const float *in, uint32_t columns, uint32_t unit, int8_t *values,
		struct cpu_block *blocks);
	/* Outputs of panels [first, end) for all rows. NULL: stored rows, see above. */
	void (*matmul[CHIP_TYPES])(const struct cpu_matmul *m, uint32_t first, uint32_t end);
	/* Columns [first, first + count), first a multiple of CHIP_BLOCK_MAX, of a panel of
	 * stored rows as f32 [count][lanes], zeros in lanes without a row. */
	void (*unpack)(const struct cpu_stored *s, uint32_t lanes, uint32_t first, uint32_t count,
		float *panel);

	/* x += add unless NULL; out = x / sqrt(mean x^2 + eps) * weight; out may be x. */
	void (*rms_norm)(float *x, const float *add, const float *weight, float eps,
		uint32_t columns, float *out);
	/* out = (x / sqrt(mean x^2 + eps) * weight) * silu(gate). */
	void (*rms_norm_gate)(const float *x, const float *gate, const float *weight, float eps,
		uint32_t columns, float *out);
	void (*rope)(const struct cpu_heads *h, float *x);
	void (*swiglu)(const float *gate, const float *up, float *out, uint32_t count);
	void (*add)(float *out, const float *in, uint32_t count);
	/* out += in * factor, fused. */
	void (*add_scaled)(float *out, const float *in, float factor, uint32_t count);

	/* Words of 32 bits: out[column][row] = in[row][column]; strides in bytes, from one row of
	 * in, of out, to the next. */
	void (*transpose)(const uint8_t *in, size_t in_stride, uint32_t rows, uint32_t columns,
		uint8_t *out, size_t out_stride);
	/* Two rows to bf16, out [count][2]. first NULL: what is there of it stays; second NULL:
	 * zeros. */
	void (*bf16_pairs_from_f32)(const float *first, const float *second, uint16_t *out,
		uint32_t count);

	/* At most CPU_ATTEND_QUERIES queries that see nearly the same keys. */
	void (*attend)(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count);
	/* out = out * shrink + in * factor, the sum fused. */
	void (*attend_join)(float *out, float shrink, const float *in, float factor,
		uint32_t count);
	/* x = x * factor, times sigmoid(gate) unless NULL; a zero is positive. */
	void (*attend_finish)(float *x, float factor, const float *gate, uint32_t count);
	void (*conv)(const struct cpu_conv *c);
	void (*delta)(const struct cpu_delta *d);
	/* decay_out = exp(decay softplus(a + dt_bias)), beta_out = sigmoid(b). */
	void (*delta_gates)(const float *a, const float *b, const float *decay,
		const float *dt_bias, uint32_t count, float *decay_out, float *beta_out);
	/* x = x / sqrt(sum x^2 + eps) * scale. */
	void (*l2_norm)(const float *x, float eps, float scale, uint32_t count, float *out);

	struct cpu_gauge gauge;

	/* f32 to f16, to bf16, to nearest even. */
	void (*f16_from_f32)(const float *in, uint16_t *out, uint32_t count);
	void (*bf16_from_f32)(const float *in, uint16_t *out, uint32_t count);

	/* The largest of count values; false if one is NaN or infinite. */
	bool (*largest)(const float *values, uint32_t count, float *out);
	/* The largest of each CPU_MAXIMA values, the last of fewer; false if a value is NaN or
	 * infinite. */
	bool (*maxima)(const float *values, uint32_t count, float *out);
	/* out[i] = exp(values[i] / divisor - shift) unless out is NULL; returns their sum,
	 * in stripes of f64. */
	double (*exponentials)(const float *values, float divisor, float shift, uint32_t count,
		float *out);
};

/* Types of matrices in blocks (block.h): X(what is passed, name, TYPE) of each. */
#define CPU_BLOCK_TYPES(X, passed)                                                          \
	X(passed, q8_0, Q8_0)                                                               \
	X(passed, q4_0, Q4_0)                                                               \
	X(passed, q4_1, Q4_1)                                                               \
	X(passed, q5_0, Q5_0)                                                               \
	X(passed, q5_1, Q5_1)                                                               \
	X(passed, q4_k, Q4_K)                                                               \
	X(passed, q5_k, Q5_K)                                                               \
	X(passed, q6_k, Q6_K)                                                               \
	X(passed, iq4_nl, IQ4_NL)                                                           \
	X(passed, iq4_xs, IQ4_XS)                                                           \
	X(passed, mxfp4, MXFP4)                                                             \
	X(passed, int4, INT4)

/* Of a table: one function multiplies them all. */
#define CPU_BLOCK_MATMUL(function, name, TYPE) [CHIP_##TYPE] = (function),
#define CPU_BLOCK_MATMULS(function)            CPU_BLOCK_TYPES(CPU_BLOCK_MATMUL, function)

extern const struct cpu_kernels cpu_kernels_ref;
extern const struct cpu_kernels cpu_kernels_avx2;
extern const struct cpu_kernels cpu_kernels_avxvnni;
extern const struct cpu_kernels cpu_kernels_avx512;
extern const struct cpu_kernels cpu_kernels_avx512bf16;

#endif
