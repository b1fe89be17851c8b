/* chip/check.h - what can be told from a description alone, for every kind of chip.
 *
 * Descriptions come from model files, so they are checked once here, with an error that says what
 * is wrong; steps come from our own executor, so a broken one asserts.
 */
#ifndef CHIP_CHECK_H
#define CHIP_CHECK_H

#include "chip/chip.h"

enum err chip_check_matrix(const struct chip_matrix *m, struct err_info *info) MUST_CHECK;
/* Whether heads of so many dimensions can have keys and values of a type. */
enum err chip_check_kv(enum chip_type type, uint32_t head_dim, struct err_info *info) MUST_CHECK;
enum err chip_check_layout(const struct chip_cache_layout *layout,
	struct err_info *info) MUST_CHECK;
enum err chip_check_program(const struct chip_program_desc *desc,
	const struct chip_cache_layout *layout, struct err_info *info) MUST_CHECK;

/* These two assert. */
void chip_check_slot(const struct chip_cache_layout *layout, uint32_t slot,
	const struct chip_sampling *sampling);
void chip_check_step(const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	const struct chip_step *step);

/* "matmul", for any number. */
const char *chip_op_name(enum chip_op_kind kind);

/* The buffer an operation leaves its result in, for taps. */
uint32_t chip_op_result(const struct chip_op *op);

#define CHIP_OP_BUFFERS_MAX 8

/* The buffers an operation touches; written says which of them it writes, a bit each. */
struct chip_op_buffers {
	uint32_t count;
	uint32_t buffer[CHIP_OP_BUFFERS_MAX];
	uint32_t written;
	uint32_t read;
};

void chip_op_buffers(const struct chip_op *op, struct chip_op_buffers *out);

#endif
