/* bench/kernels_case.h - one operation alone: a program that prepares its input and runs it, timed
 * with and without it over numbers of rows, and printed as shares of what the machine can do.
 *
 *	in = case_begin(b, columns);             random rows in a first buffer
 *	op = case_measured(b, CHIP_OP_MATMUL);   what is added before it is not measured
 *	...
 *	case_run(b, name, depth, &work);         times it, prints its rows, takes it down
 */
#ifndef BENCH_KERNELS_CASE_H
#define BENCH_KERNELS_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/prng.h"
#include "chip/chip.h"

#define CASE_REPEATS 5
#define CASE_GROUP   128     /* of the grouped types */
#define DEPTH        32768   /* most tokens before a step; ROWS_MAX more fit */
#define ROWS_MAX     512
#define ROWS_APART   64      /* most rows where each is of another sequence */
#define COPIES_MAX   64      /* of operations that take microseconds */
#define OWNED_MAX    16

struct bench {
	struct chip *chip;
	struct chip_info info;
	struct chip_rates rates;
	bool cpu_clock;
	const char *only;           /* NULL, or how the names begin that are wanted */

	/* The case that is being built and run. */
	struct chip_cache_layout layout;
	struct chip_op ops[COPIES_MAX + 8];
	struct chip_buffer buffers[8];
	struct chip_program_desc desc;
	struct chip_weight *weights[OWNED_MAX];
	struct chip_vector *vectors[OWNED_MAX];
	uint32_t weight_count, vector_count;
	float *embeddings;
	uint32_t prepared;          /* operations that are not measured */
	uint32_t together;          /* of those that are, counted as one */
	bool apart;                 /* each row is of another sequence, with a state of its own */
	enum chip_input input;
	enum chip_want want;        /* of the last row */
	struct chip_sampling sampling;
	struct chip_cache *cache;
	struct chip_program *program;
};

/* What one operation reads and computes, for the shares. */
struct work {
	double bytes, bytes_per_row;    /* from memory; 0: what it reads lies in caches */
	double share;                   /* of the bytes that a row reads, each another; 0: all */
	double ops_per_row;
	double ops_per_pair;            /* of a row and a row of the step that it sees */
	struct chip_peak peak;          /* of its arithmetic */
};

extern struct err_info case_info;

/* Ends the program with case_info if there is an error. */
void case_must(enum err err);
/* Of zeros. */
void *case_memory(size_t count, size_t size);

/* A row of random bytes with plausible scales: halves at the ends of a block, and behind the first,
 * are about 0.01 (most types have their scales and minima there), those of groups too. */
void case_random_row(struct prng *p, enum chip_type type, uint32_t group, uint32_t columns,
	uint8_t *out);
/* Weights and vectors are the case's: case_run closes them. Of random values; parts: of a stack. */
struct chip_weight *case_parts(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns, uint32_t parts);
struct chip_weight *case_weight(struct bench *b, enum chip_type type, uint32_t rows,
	uint32_t columns);
struct chip_vector *case_vector(struct bench *b, size_t count, float value);

uint32_t case_buffer(struct bench *b, enum chip_space space, uint32_t columns);
struct chip_op *case_op(struct bench *b, enum chip_op_kind kind);
uint32_t case_begin(struct bench *b, uint32_t columns);
struct chip_op *case_measured(struct bench *b, enum chip_op_kind kind);
/* The operation that is measured that many times, into the same place. */
void case_repeat(struct bench *b, uint32_t copies);
void case_run(struct bench *b, const char *name, uint32_t depth, const struct work *w);

/* For what is no step: the clock that was chosen, an order for qsort, a row of the table. */
int64_t case_now_ns(const struct bench *b);
int case_by_size(const void *x, const void *y);
void case_print(const struct bench *b, const char *name, double rows, double ns,
	const struct work *w);

#endif
