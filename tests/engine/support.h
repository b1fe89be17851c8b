/* tests/engine/support.h - what the tests of whole models share: loading, running, comparing. */
#ifndef TESTS_ENGINE_SUPPORT_H
#define TESTS_ENGINE_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "chip/chip.h"
#include "engine/session.h"
#include "model/model.h"

/* A model on a chip, opened for a test; everything that fails fails the test. */
struct support_model {
	struct chip *chip;
	struct model *model;
};

void support_model_open(struct support_model *m, const char *path, const char *isa,
	uint32_t threads, uint32_t rows_max, uint32_t wanted_max);
void support_model_close(struct support_model *m);

/* The instruction sets this machine can run, the reference first, then those that the test
 * programs emulate because it cannot; NULL terminated. */
const char *const *support_isas(void);
bool support_isa_emulated(const char *isa);
/* It rounds what BF16 matrices multiply to BF16. */
bool support_isa_rounds(const char *isa);
/* Says in the output which these are. */
void support_isas_note(void);

/* Logits of every position of tokens, fed in chunks: [count, vocab rows]; mem_free it. */
float *support_logits(struct support_model *m, const struct session_options *options,
	const uint32_t *tokens, uint32_t count);

/* The same in a session that is open, on top of what its sequence 0 has: to logits. */
void support_feed(struct support_model *m, struct session *s, uint32_t chunk,
	const uint32_t *tokens, uint32_t count, float *logits);

/* Where tests/ lies: $TONGYUN_TESTS, else what the build says. */
void support_path(char *out, size_t size, const char *name);

/* Writes a random GGUF model (a fixed seed) and returns its path, static storage. The shape is that
 * of Qwen3-0.6B's or Qwen3.5-0.8B's layers. */
struct support_shape {
	const char *arch;       /* "qwen3", "qwen35" */
	uint32_t hidden, layers, ffn, vocab;
	uint32_t heads, kv_heads, head_dim, rotary_dim;
	uint32_t delta_k_heads, delta_v_heads, delta_dim;   /* 0 for qwen3 */
	uint32_t interval;      /* every n-th layer is attention */
	enum chip_type type;    /* of all matrices; CHIP_TYPES: each of another one, of all that
				 * GGUF has */
};
void support_write_model(const char *path, const struct support_shape *shape, uint64_t seed);

#endif
