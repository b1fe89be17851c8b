/* model/arch/program.h - the forward pass of a model, recorded as a chip program.
 *
 * There is one forward pass for all architectures: the config says, layer by layer, what it is made
 * of.
 *
 *	x  residual [rows, hidden]        d  what the last block adds to it
 *	per layer:  y = norm(x += d) -> attention or DeltaNet -> d;  y = norm(x += d) -> SwiGLU -> d
 *	at the end: x += d, rows that want something, norm, head, sample
 */
#ifndef MODEL_ARCH_PROGRAM_H
#define MODEL_ARCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "chip/chip.h"
#include "model/arch/arch.h"
#include "model/arch/config.h"

/* A packed weight: a matrix or a vector by its rule in arch.c; both NULL where the layer's
 * kind has none. */
struct packed {
	struct chip_weight *matrix;
	struct chip_vector *vector;
};

struct packed_weights {
	struct chip_vector *rope;                /* frequencies [config->rotary_dim / 2] */
	/* embedding, final norm, head; a tied head is the embedding */
	struct packed once[WEIGHTS];
	struct packed (*layers)[WEIGHTS];        /* [config->layers] */
};

/* A recorded program; ops and buffers are owned by it. */
struct program {
	struct chip_op *ops;
	uint32_t op_count;
	uint32_t op_capacity;
	struct chip_buffer buffers[CHIP_BUFFERS_MAX];
	uint32_t buffer_count;
	struct chip_program_desc desc;
};

/* taps: name every intermediate result (tools/goldens/README.md lists the names). */
enum err program_record(struct program *p, const struct model_config *config,
	const struct packed_weights *weights, uint32_t rows_max, uint32_t wanted_max, bool taps,
	struct err_info *info) MUST_CHECK;
void program_free(struct program *p);

#endif
