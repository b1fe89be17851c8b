/* chip/cost.h - what a program takes on a given chip: bytes, operations, time.
 *
 * Pure integers, no floating point: the simulator and the scheduler use it and must be exact. It knows
 * operations and rates, no model. Time of a step = fixed + max(bytes / read rate, operations / peak), each rate
 * scaled by the share that was measured to be reached.
 */
#ifndef CHIP_COST_H
#define CHIP_COST_H

#include <stdint.h>

#include "chip/chip.h"

/* How a program's cost depends on a step: derived once from its description. */
struct chip_cost {
	int64_t weight_bytes;           /* read once a step */
	int64_t wanted_weight_bytes;    /* read once a step in which a row wants something: the head */
	int64_t row_ops;                /* per row: 2 x matrix elements, head excluded */
	int64_t wanted_ops;             /* per wanted row: the head */
	int64_t row_state_bytes;        /* DeltaNet state read and written per row */
	int64_t key_bytes;              /* keys and values read per (row, cached token) */
	int64_t key_ops;                /* attention operations per (row, cached token) */
};

/* A step by its counts alone. */
struct chip_cost_step {
	int64_t rows;
	int64_t wanted;
	int64_t sequences;
	int64_t row_keys;               /* sum over rows of the tokens they attend to, themselves included */
	int64_t sequence_keys;          /* sum over sequences of their tokens: keys read at least once */
};

struct chip_cost_rates {
	int64_t read_bytes_per_s;       /* reached, not peak */
	int64_t ops_per_s;
	int64_t step_ns;                /* fixed cost of a step */
};

void chip_cost_program(struct chip_cost *out, const struct chip_program_desc *desc,
	const struct chip_cache_layout *layout);
int64_t chip_cost_bytes(const struct chip_cost *cost, const struct chip_cost_step *step);
int64_t chip_cost_ops(const struct chip_cost *cost, const struct chip_cost_step *step);
int64_t chip_cost_ns(const struct chip_cost *cost, const struct chip_cost_step *step,
	const struct chip_cost_rates *rates);

#endif
