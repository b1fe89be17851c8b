/* fuzz/weights_touch.h - reads all that an opened model promises: every row of every matrix,
 * every vector. */
#ifndef FUZZ_WEIGHTS_TOUCH_H
#define FUZZ_WEIGHTS_TOUCH_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"
#include "model/weights/weights.h"

#define TOUCH_ROWS 16   /* as a panel of a chip's */

/* Every row, in runs; what a reader has nothing against is finite where it is quantized. */
static inline void touch_matrix(const struct chip_matrix *m)
{
	const size_t row_bytes = chip_row_bytes(m->type, m->group, m->columns);
	uint8_t *rows = mem_alloc(TOUCH_ROWS, row_bytes);
	float *row = mem_alloc(m->columns, sizeof(*row));
	uint32_t span_rows = 0;

	assert(row && rows && m->rows > 0 && m->columns > 0);
	for (uint32_t i = 0; i < m->span_count; i++)
		span_rows += m->spans[i].row_count;
	assert(m->read ? m->span_count == 0 : span_rows == m->rows);
	for (uint32_t i = 0; m->column_order && i < m->columns; i++)
		assert(m->column_order[i] < m->columns);
	for (uint32_t first = 0; first < m->rows; first += TOUCH_ROWS) {
		const uint32_t count = m->rows - first < TOUCH_ROWS ? m->rows - first : TOUCH_ROWS;

		weights_read_rows(m, first, count, rows);
		for (uint32_t i = 0; i < count; i++)
			chip_row_to_f32(m->type, m->group, rows + i * row_bytes, m->columns, row);
	}
	mem_free(row);
	mem_free(rows);
}

static inline void touch_vector(const struct weight_vector *v)
{
	for (uint32_t i = 0; i < v->count; i++)
		assert(isfinite(v->values[i]));
}

static inline void touch_weights(const struct weights *w)
{
	const struct arch *arch = arch_get(w->config.arch);
	struct err_info info = {0};

	assert(w->config.vocab_used >= 1 && w->config.vocab_used <= w->config.vocab);
	assert(w->config.attention_layers + w->config.delta_layers == w->config.layers);
	assert(!w->chat_template || strlen(w->chat_template) <= w->chat_template_size);
	for (uint32_t layer = 0; layer < w->config.layers; layer++)
		for (size_t i = 0; i < arch->rule_count; i++) {
			const struct weight_rule *rule = &arch->rules[i];

			if (!arch_layer_has(&w->config, rule->place, layer))
				continue;
			if (arch_form_is_matrix(rule->form))
				touch_matrix(weights_matrix(w, rule->weight, layer));
			else
				touch_vector(weights_vector(w, rule->weight, layer));
		}
	if (weights_read_faults(w, &info))
		assert(info.code == ERR_INPUT && info.text[0]);
}

#endif
