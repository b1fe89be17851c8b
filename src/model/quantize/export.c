/* model/quantize/export.c - see export.h: which tensors there are. */
#include "model/quantize/export.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/arch/rope.h"
#include "model/quantize/export_private.h"

#define MEMORY_CHUNK_BYTES ((size_t)256 << 10)
#define MEMORY_BYTES_MAX   ((size_t)1 << 30)
#define NAME_BYTES         64
#define LAYERS_OF_70B      80   /* llama.cpp tells a kind of model by this number of layers */

static enum err no_memory(struct err_info *info)
{
	return err_set(info, ERR_MEMORY, "no memory for the list of tensors");
}

/* ---- from a GGUF file ------------------------------------------------------------------------ */

static enum err list_stored(struct export *e, struct err_info *info)
{
	const struct stored_table *table = &e->weights->table;

	e->tensors = arena_array(&e->memory, table->count, sizeof(*e->tensors));
	if (!e->tensors)
		return no_memory(info);
	for (uint32_t i = 0; i < table->count; i++) {
		const struct stored_tensor *from = &table->tensors[i];
		struct export_tensor *t = &e->tensors[e->count++];

		assert(from->dim_count >= 1 && from->dim_count <= GGUF_DIMS_MAX);
		*t = (struct export_tensor){.bytes = from, .as = {
			.name = from->name, .name_size = from->name_size,
			.dim_count = from->dim_count, .stored = from->dtype}};
		memcpy(t->as.dims, from->dims, from->dim_count * sizeof(from->dims[0]));
	}
	return ERR_NONE;
}

/* ---- from a directory ------------------------------------------------------------------------ */

static void set_tiled(const struct export *e, struct export_tensor *t, enum weight weight)
{
	const struct model_config *c = &e->weights->config;

	if (c->delta_v_heads == c->delta_k_heads)
		return;
	switch ((int)weight) {
	case WEIGHT_DELTA_QKV:
	case WEIGHT_DELTA_CONV:
		t->first = 2 * c->delta_k_heads * c->delta_k_dim;
		t->unit = c->delta_v_dim;
		break;
	case WEIGHT_DELTA_Z:
	case WEIGHT_DELTA_OUT:
		t->unit = c->delta_v_dim;
		break;
	case WEIGHT_DELTA_A:
	case WEIGHT_DELTA_B:
	case WEIGHT_DELTA_DECAY:
	case WEIGHT_DELTA_DT_BIAS:
		t->unit = 1;
		break;
	default:
		return;
	}
	t->order = weight == WEIGHT_DELTA_OUT ? EXPORT_TILED_COLUMNS : EXPORT_TILED_ROWS;
}

/* Where GGUF keeps the two in one tensor, packed by key head, B stands for both. */
static bool is_packed(const struct export *e, enum weight weight)
{
	return weight == WEIGHT_DELTA_B && arch_get(e->weights->config.arch)->gguf_ba;
}

static bool is_packed_away(const struct export *e, enum weight weight)
{
	return weight == WEIGHT_DELTA_A && arch_get(e->weights->config.arch)->gguf_ba;
}

static void set_order(const struct export *e, struct export_tensor *t, enum weight weight)
{
	const struct model_config *c = &e->weights->config;
	const struct arch *arch = arch_get(c->arch);

	if (arch->gguf_tiled)
		set_tiled(e, t, weight);
	if (arch_is_paired(arch, weight)) {
		t->order = EXPORT_PAIRS;
		t->unit = c->head_dim;
	}
}

static bool is_tied_head(const struct export *e, const struct weight_rule *rule)
{
	return rule->weight == WEIGHT_HEAD && e->weights->config.tied;
}

static enum err name_tensor(struct export *e, struct export_tensor *t,
	const struct weight_rule *rule, uint32_t layer, struct err_info *info)
{
	const char *last = is_packed(e, rule->weight) ? arch_get(e->weights->config.arch)->gguf_ba
		: rule->gguf_name;
	char name[NAME_BYTES];
	const int size = rule->place == PLACE_ONCE
		? snprintf(name, sizeof(name), "%s", last)
		: snprintf(name, sizeof(name), "blk.%u.%s", layer, last);

	assert(size > 0 && (size_t)size < sizeof(name));
	t->as.name = arena_strndup(&e->memory, name, (size_t)size);
	t->as.name_size = (uint32_t)size;
	return t->as.name ? ERR_NONE : no_memory(info);
}

static void set_matrix(struct export_tensor *t, const struct chip_matrix *m)
{
	t->matrix = m;
	t->as.dim_count = 2;
	t->as.dims[0] = m->rows;
	t->as.dims[1] = m->columns;
	if (m->parts > 1) {
		t->as.dim_count = 3;
		t->as.dims[0] = m->parts;
		t->as.dims[1] = m->rows / m->parts;
		t->as.dims[2] = m->columns;
	}
}

/* B and A, rows of each key head by turns. */
static void set_packed(const struct export *e, struct export_tensor *t, uint32_t layer)
{
	const struct model_config *c = &e->weights->config;

	t->other = weights_matrix(e->weights, WEIGHT_DELTA_A, layer);
	t->order = EXPORT_TURNS;
	t->unit = c->delta_v_heads / c->delta_k_heads;
	t->as.dims[0] *= 2;
}

static void set_vector(const struct export *e, struct export_tensor *t,
	const struct weight_rule *rule, const struct weight_vector *v)
{
	const uint64_t columns = arch_extent(&e->weights->config, rule->columns);

	t->values = v->values;
	t->as.dim_count = rule->form == FORM_CONV ? 2 : 1;
	t->as.dims[0] = rule->form == FORM_CONV ? v->count / columns : v->count;
	t->as.dims[1] = columns;
}

static enum err list_weight(struct export *e, const struct weight_rule *rule, uint32_t layer,
	struct err_info *info)
{
	struct export_tensor *t = &e->tensors[e->count++];

	*t = (struct export_tensor){.as = {.stored = dtype_of_chip(CHIP_F32)}};
	if (arch_form_is_matrix(rule->form))
		set_matrix(t, weights_matrix(e->weights, rule->weight, layer));
	else
		set_vector(e, t, rule, weights_vector(e->weights, rule->weight, layer));
	set_order(e, t, rule->weight);
	if (is_packed(e, rule->weight))
		set_packed(e, t, layer);
	return name_tensor(e, t, rule, layer, info);
}

/* Rotary frequencies that Llama 3 scales are divided by a tensor of their own. */
static enum err list_divisors(struct export *e, struct err_info *info)
{
	const struct model_config *c = &e->weights->config;
	const char *name = arch_get(c->arch)->gguf_divisors;
	float *divisors;

	if (c->rope_scaling.kind != MODEL_ROPE_LLAMA3)
		return ERR_NONE;
	if (!name)
		return err_set(info, ERR_UNSUPPORTED,
			"GGUF has no way to say rope scaling llama3 in %s",
			model_arch_name(c->arch));
	divisors = arena_array(&e->memory, c->rotary_dim / 2, sizeof(*divisors));
	if (!divisors)
		return no_memory(info);
	rope_divisors(c, divisors);
	e->tensors[e->count++] = (struct export_tensor){.values = divisors, .as = {
		.name = name, .name_size = (uint32_t)strlen(name), .dim_count = 1,
		.dims = {c->rotary_dim / 2}, .stored = dtype_of_chip(CHIP_F32)}};
	return ERR_NONE;
}

static enum err list_weights(struct export *e, struct err_info *info)
{
	const struct model_config *c = &e->weights->config;
	const struct arch *arch = arch_get(c->arch);

	/* no rule makes more than a tensor a layer, or one; and one without a rule */
	e->tensors = arena_array(&e->memory, arch->rule_count * c->layers + arch->rule_count + 1,
		sizeof(*e->tensors));
	if (!e->tensors)
		return no_memory(info);
	for (size_t r = 0; r < arch->rule_count; r++) {
		const struct weight_rule *rule = &arch->rules[r];

		if (rule->place == PLACE_ONCE && !is_tied_head(e, rule) &&
			list_weight(e, rule, 0, info))
			return info->code;
		for (uint32_t layer = 0; layer < c->layers; layer++)
			if (arch_layer_has(c, rule->place, layer) &&
				!is_packed_away(e, rule->weight) &&
				list_weight(e, rule, layer, info))
				return info->code;
	}
	return list_divisors(e, info);
}

/* ---- opening --------------------------------------------------------------------------------- */

static struct mix_model mix_model_of(const struct weights *w)
{
	const struct model_config *c = &w->config;
	const uint32_t blocks = c->layers + (w->gguf ? c->mtp_layers : 0);
	const bool llama = c->arch == MODEL_ARCH_LLAMA && c->heads != c->kv_heads;

	return (struct mix_model){
		.layers = blocks,
		.heads_per_kv = c->heads / c->kv_heads,
		.experts = c->experts,
		.tied = c->tied,
		.wide_values = blocks == LAYERS_OF_70B && (llama || c->arch == MODEL_ARCH_QWEN2),
	};
}

static int compare(const void *left, const void *right)
{
	const struct export_tensor *a = left, *b = right;

	return quantize_mix_compare(&a->as, &b->as);
}

enum err export_open(struct export *e, const struct weights *w, struct err_info *info)
{
	*e = (struct export){.weights = w, .model = mix_model_of(w)};
	arena_init(&e->memory, MEMORY_CHUNK_BYTES, MEMORY_BYTES_MAX);
	if (w->gguf ? list_stored(e, info) : list_weights(e, info)) {
		export_close(e);
		return info->code;
	}
	qsort(e->tensors, e->count, sizeof(*e->tensors), compare);
	return ERR_NONE;
}

void export_close(struct export *e)
{
	arena_reset(&e->memory);
}
