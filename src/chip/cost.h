/* chip/cost.h - what a step takes on a given chip: bytes read, operations done, nanoseconds.
 *
 * Pure integer arithmetic; it knows programs and no model. Used by bench (which share of the
 * machine's limits a run used) and by the simulated executor (how long a batch would take).
 *
 *	struct chip_cost cost;
 *	chip_cost_program(&cost, desc, layout);              // or built up with chip_cost_add_*
 *	chip_cost_step(&cost, &shape, &sum);                 // of one step
 *	ns = chip_cost_ns(&sum, &rates);
 *
 * Bytes are those that must come from memory once per step: packed weights, keys and values,
 * states; activations stay in caches. Of experts those that some row of the step is expected to
 * use, each row as likely to use one as another. Operations are multiplications and additions: 2
 * per weight and row, 4 x head_dim per query head, row and key, 8 x k_dim x v_dim per value head
 * and row of DeltaNet. What takes longer, bytes or operations, is the step's time, plus a fixed
 * part.
 */
#ifndef CHIP_COST_H
#define CHIP_COST_H

#include "chip/chip.h"

#define CHIP_COST_MAX (INT64_MAX / 4)  /* sums stop here instead of overflowing */

/* Of a program, apart from the shape of a step. All fields may be summed and
 * scaled by the caller. */
struct chip_cost {
	int64_t weight_bytes;         /* matrices that every row uses */
	int64_t weight_ops_per_row;
	int64_t wanted_weight_bytes;  /* matrices that only wanted rows use: the output layer */
	int64_t weight_ops_per_wanted;
	int64_t embed_bytes_per_row;
	int64_t kv_bytes_per_token;   /* keys and values of one token, all layers */
	int64_t attend_ops_per_key;   /* of one row with one key, all layers and heads */
	int64_t window;               /* keys that layers with a window see; 0: there are none */
	int64_t window_bytes_per_token; /* as the two above, of those layers */
	int64_t window_ops_per_key;
	int64_t experts;              /* of each layer that routes; 0: none does */
	int64_t experts_used;         /* by a row */
	int64_t expert_bytes;         /* matrices of one expert, all layers */
	int64_t state_bytes;          /* of one sequence, read and written */
	int64_t delta_ops_per_row;
};

/* Of a step. */
struct chip_cost_shape {
	int64_t rows;
	int64_t wanted;
	int64_t sequences;
	int64_t cached_tokens;   /* summed over sequences: keys and values read once each */
	int64_t keys;            /* summed over rows: keys a row attends to, itself included */
};

struct chip_cost_sum {
	int64_t bytes;
	int64_t ops;
};

struct chip_cost_rates {
	int64_t bytes_per_s;
	int64_t ops_per_s;
	int64_t step_ns;         /* what a step takes at least */
};

/* Adds the cost of one more matrix, attention layer or DeltaNet layer; for who has a
 * config and no program. */
void chip_cost_add_matrix(struct chip_cost *c, enum chip_space space, enum chip_type type,
	uint32_t group, uint32_t rows, uint32_t columns);
/* One more matrix in parts, one for each expert, of which a row uses used: the same two numbers in
 * all layers. */
void chip_cost_add_experts(struct chip_cost *c, enum chip_type type, uint32_t group,
	uint32_t experts, uint32_t used, uint32_t rows, uint32_t columns);
/* window: keys that a row sees, 0 all; the same number in all layers that have one. */
void chip_cost_add_attention(struct chip_cost *c, enum chip_type kv_type, uint32_t heads,
	uint32_t kv_heads, uint32_t head_dim, uint32_t window);
void chip_cost_add_delta(struct chip_cost *c, uint32_t v_heads, uint32_t k_dim, uint32_t v_dim,
	uint32_t conv_channels, uint32_t conv_width);

/* Of a whole program. */
void chip_cost_program(struct chip_cost *out, const struct chip_program_desc *desc,
	const struct chip_cache_layout *layout);

/* What a part of a step's work takes, the rest left out: weights are read in CHIP_OP_MATMUL, those
 * of wanted rows in CHIP_PHASE_HEAD, tables in EMBED, keys and values in ATTEND, states
 * in DELTA. */
void chip_cost_of_phase(struct chip_cost *out, const struct chip_cost *c, enum chip_phase phase);

/* Adds a sequence to a shape: rows after cached tokens, as in a step's tables. */
void chip_cost_shape_add(struct chip_cost_shape *shape, int64_t cached_tokens, int64_t rows,
	int64_t wanted);

void chip_cost_step(const struct chip_cost *c, const struct chip_cost_shape *shape,
	struct chip_cost_sum *out);
int64_t chip_cost_ns(const struct chip_cost_sum *sum, const struct chip_cost_rates *rates);

#endif
