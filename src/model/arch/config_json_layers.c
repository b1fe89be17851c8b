/* model/arch/config_json_layers.c - the layers of a config.json: attention or delta, one
 * feed-forward part or many experts. */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "model/arch/config_json.h"

/* ---- attention and delta --------------------------------------------------------------------- */

static bool has_window_by_default(const struct config_source *s, uint32_t layer, int64_t first)
{
	switch (s->arch->window) {
	case ARCH_WINDOW_NONE:
		return false;
	case ARCH_WINDOW_LAST:
		return layer >= first;
	case ARCH_WINDOW_EVEN:
		return layer % 2 == 0 && layer < first;
	case ARCH_WINDOW_ALL:
		return true;
	}
	return false;
}

/* Which layers look at a window, unless layer_types says so. */
static enum err read_window(const struct config_source *s, struct model_config *c)
{
	const json_t *size = json_object_get(s->text, "sliding_window");
	bool used = false;
	int64_t window = 0, first = -1;

	if (json_get_bool(s->text, "use_sliding_window", &used, s->info))
		return s->info->code;
	if (!used || json_is_null(size) || s->arch->window == ARCH_WINDOW_NONE)
		return ERR_NONE;
	if (json_get_int(s->text, "sliding_window", 1, INT64_MAX, &window, s->info) ||
		json_get_int(s->text, "max_window_layers", 0, INT64_MAX, &first, s->info))
		return s->info->code;
	if (window == 0 || (first < 0 && s->arch->window != ARCH_WINDOW_ALL))
		return err_set(s->info, ERR_INPUT, "%s is missing",
			window == 0 ? "sliding_window" : "max_window_layers");
	c->window = window < MODEL_CONTEXT_MAX ? (uint32_t)window : MODEL_CONTEXT_MAX;
	for (uint32_t i = 0; i < c->layers; i++)
		c->layer_window[i] = has_window_by_default(s, i, first);
	return ERR_NONE;
}

static enum err set_kind(const struct config_source *s, struct model_config *c, uint32_t layer,
	const char *type)
{
	const bool sliding = strcmp(type, "sliding_attention") == 0;

	c->layer_kind[layer] = MODEL_LAYER_ATTENTION;
	if (sliding && c->window == 0 && s->arch->window != ARCH_WINDOW_NONE)
		return err_set(s->info, ERR_INPUT,
			"layer %" PRIu32 " is of type %s, but use_sliding_window and sliding_window "
			"give no window",
			layer, type);
	if (!sliding && c->window > 0 && s->arch->window == ARCH_WINDOW_ALL)
		return err_set(s->info, ERR_UNSUPPORTED,
			"layer %" PRIu32 " of type %.32s with use_sliding_window is not supported in %s",
			layer, type, s->arch->name);
	if (sliding && c->window > 0)
		c->layer_window[layer] = true;
	else if (strcmp(type, "full_attention") == 0 || strcmp(type, "attention") == 0)
		c->layer_window[layer] = false;
	else if (arch_has_delta(s->arch) && strcmp(type, "linear_attention") == 0)
		c->layer_kind[layer] = MODEL_LAYER_DELTA;
	else
		return err_set(s->info, ERR_UNSUPPORTED,
			"layer %" PRIu32 " of type %.32s is not supported in %s; known: "
			"full_attention%s%s",
			layer, type, s->arch->name,
			arch_has_delta(s->arch) ? ", linear_attention" : "",
			s->arch->window != ARCH_WINDOW_NONE ? ", sliding_attention" : "");
	return ERR_NONE;
}

/* Where the file does not list them every full_attention_interval-th is attention, the rest delta,
 * in architectures that have such layers. */
static enum err read_kinds_by_interval(const struct config_source *s, struct model_config *c)
{
	uint32_t interval = 4;

	if (config_want_u32(s, "full_attention_interval", MODEL_LAYERS_MAX, &interval))
		return s->info->code;
	for (uint32_t i = 0; arch_has_delta(s->arch) && i < c->layers; i++)
		c->layer_kind[i] = (i + 1) % interval == 0 ? MODEL_LAYER_ATTENTION
							   : MODEL_LAYER_DELTA;
	return ERR_NONE;
}

static enum err read_kinds(const struct config_source *s, struct model_config *c)
{
	const json_t *types = json_object_get(s->text, "layer_types");

	if (read_window(s, c) || read_kinds_by_interval(s, c))
		return s->info->code;
	if (!types || json_is_null(types))
		return ERR_NONE;
	if (!json_is_array(types) || json_array_size(types) != c->layers)
		return err_set(s->info, ERR_INPUT,
			"layer_types is not an array of one kind for each of %" PRIu32 " layers",
			c->layers);
	for (uint32_t i = 0; i < c->layers; i++) {
		const char *type = json_string_value(json_array_get(types, i));

		if (!type)
			return err_set(s->info, ERR_INPUT,
				"layer_types holds something that is not a name");
		if (set_kind(s, c, i, type))
			return s->info->code;
	}
	return ERR_NONE;
}

static enum err read_delta(const struct config_source *s, struct model_config *c)
{
	if (config_need_u32(s, "linear_num_key_heads", MODEL_HEADS_MAX, &c->delta_k_heads) ||
		config_need_u32(s, "linear_num_value_heads", MODEL_HEADS_MAX, &c->delta_v_heads) ||
		config_need_u32(s, "linear_key_head_dim", MODEL_HEAD_DIM_MAX, &c->delta_k_dim) ||
		config_need_u32(s, "linear_value_head_dim", MODEL_HEAD_DIM_MAX, &c->delta_v_dim) ||
		config_need_u32(s, "linear_conv_kernel_dim", MODEL_CONV_MAX, &c->delta_conv))
		return s->info->code;
	return ERR_NONE;
}

/* ---- feed-forward parts ---------------------------------------------------------------------- */

/* transformers has renamed it. */
static enum err read_expert_count(const struct config_source *s, struct model_config *c)
{
	int64_t count = 0;

	if (json_get_int(s->text, "num_experts", 0, MODEL_EXPERTS_MAX, &count, s->info) ||
		json_get_int(s->text, "num_local_experts", 0, MODEL_EXPERTS_MAX, &count, s->info))
		return s->info->code;
	if (count > 0 && !arch_has_experts(s->arch))
		return err_set(s->info, ERR_UNSUPPORTED,
			"a mixture of experts (num_experts) is not supported in %s", s->arch->name);
	c->experts = (uint32_t)count;
	return ERR_NONE;
}

static enum err read_expert_norm(const struct config_source *s, struct model_config *c)
{
	bool norm = s->arch->norm_topk != ARCH_NORM_OFF;

	if (json_get_bool(s->text, "norm_topk_prob", &norm, s->info))
		return s->info->code;
	if (!norm && s->arch->norm_topk == ARCH_NORM_ALWAYS)
		return err_set(s->info, ERR_UNSUPPORTED,
			"norm_topk_prob false is not supported in %s", s->arch->name);
	c->experts_norm = norm;
	return ERR_NONE;
}

static enum err read_expert_sizes(const struct config_source *s, struct model_config *c)
{
	if (config_need_u32(s, "num_experts_per_tok", MODEL_EXPERTS_MAX, &c->experts_used) ||
		config_need_u32(s, "moe_intermediate_size", MODEL_WIDTH_MAX, &c->expert_ffn) ||
		(arch_has_shared_expert(s->arch) && config_need_u32(s,
			"shared_expert_intermediate_size", MODEL_WIDTH_MAX, &c->shared_ffn)))
		return s->info->code;
	return read_expert_norm(s, c);
}

/* Layers that stay dense by name. */
static enum err read_dense_layers(const struct config_source *s, struct model_config *c)
{
	const json_t *list = json_object_get(s->text, "mlp_only_layers");

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(s->info, ERR_INPUT, "mlp_only_layers is not a list of layers");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const json_int_t layer = json_integer_value(item);

		if (!json_is_integer(item) || layer < 0 || layer >= c->layers)
			return err_set(s->info, ERR_INPUT,
				"mlp_only_layers holds something that is not one of %" PRIu32
				" layers",
				c->layers);
		if (!arch_has_dense(s->arch))
			return err_set(s->info, ERR_UNSUPPORTED,
				"mlp_only_layers is not supported in %s", s->arch->name);
		c->layer_ffn[layer] = MODEL_FFN_DENSE;
	}
	return ERR_NONE;
}

static enum err read_experts(const struct config_source *s, struct model_config *c)
{
	uint32_t step = 1;

	c->experts_scale = 1;
	if (read_expert_count(s, c) ||
		config_want_u32(s, "decoder_sparse_step", UINT32_MAX, &step))
		return s->info->code;
	if (c->experts == 0 && arch_has_experts(s->arch) && !arch_has_dense(s->arch))
		return err_set(s->info, ERR_INPUT, "num_experts is missing");
	if (c->experts == 0)
		return ERR_NONE;
	if (step > 1 && !arch_has_dense(s->arch))
		return err_set(s->info, ERR_UNSUPPORTED,
			"decoder_sparse_step %" PRIu32 " is not supported in %s", step,
			s->arch->name);
	for (uint32_t i = 0; i < c->layers; i++)
		c->layer_ffn[i] = (i + 1) % step == 0 ? MODEL_FFN_EXPERTS : MODEL_FFN_DENSE;
	return read_dense_layers(s, c) ? s->info->code : read_expert_sizes(s, c);
}

/* A model of experts alone need not say how wide a dense layer would be. */
static enum err read_ffn(const struct config_source *s, struct model_config *c)
{
	if (read_experts(s, c))
		return s->info->code;
	for (uint32_t i = 0; i < c->layers; i++)
		if (c->layer_ffn[i] == MODEL_FFN_DENSE)
			return config_need_u32(s, "intermediate_size", MODEL_WIDTH_MAX, &c->ffn);
	return config_want_u32(s, "intermediate_size", MODEL_WIDTH_MAX, &c->ffn);
}

enum err config_read_layers(const struct config_source *s, struct model_config *c)
{
	if (read_kinds(s, c) || read_ffn(s, c))
		return s->info->code;
	return arch_has_delta(s->arch) ? read_delta(s, c) : ERR_NONE;
}
