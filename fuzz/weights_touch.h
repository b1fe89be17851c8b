/* fuzz/weights_touch.h - reads all that an opened model promises: first and last row of every
 * matrix, every vector. */
#ifndef FUZZ_WEIGHTS_TOUCH_H
#define FUZZ_WEIGHTS_TOUCH_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/weights.h"

static inline void touch_matrix(const struct chip_matrix *m)
{
	float *row = mem_alloc(m->columns, sizeof(*row));
	uint32_t rows = 0;

	assert(row && m->rows > 0 && m->columns > 0);
	for (uint32_t i = 0; i < m->span_count; i++)
		rows += m->spans[i].row_count;
	assert(rows == m->rows);
	dtype_row_to_f32(m->type, weights_row(m, 0), m->columns, row);
	dtype_row_to_f32(m->type, weights_row(m, m->rows - 1), m->columns, row);
	mem_free(row);
}

static inline void touch_vector(const struct weight_vector *v)
{
	for (uint32_t i = 0; i < v->count; i++)
		assert(isfinite(v->values[i]));
}

static inline void touch_weights(const struct weights *w)
{
	const struct arch *arch = arch_get(w->config.arch);

	assert(w->config.vocab_used >= 1 && w->config.vocab_used <= w->config.vocab);
	assert(w->config.attention_layers + w->config.delta_layers == w->config.layers);
	assert(!w->chat_template || strlen(w->chat_template) <= w->chat_template_size);
	for (uint32_t layer = 0; layer < w->config.layers; layer++)
		for (size_t i = 0; i < arch->rule_count; i++) {
			const struct weight_rule *rule = &arch->rules[i];

			if (!arch_layer_has(&w->config, rule->place, layer))
				continue;
			if (rule->form == FORM_MATRIX)
				touch_matrix(weights_matrix(w, rule->weight, layer));
			else
				touch_vector(weights_vector(w, rule->weight, layer));
		}
}

#endif
