/* model/arch/config_gguf.c - struct model_config from the metadata of a GGUF file, whose keys are
 * those of llama.cpp's src/llama-arch.cpp. */
#include "model/arch/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chip/chip.h"
#include "model/arch/arch.h"
#include "model/arch/rope.h"
#include "model/files/gguf.h"

#define KEY_MAX 128
#define TOKEN_CONTROL 3 /* token types of tokenizer.ggml.token_type */
#define TOKEN_UNUSED 5

struct source {
	const struct gguf *g;
	const struct stored_table *tensors;
	const struct arch *arch;
	struct err_info *info;
};

/* "qwen35." before a key's last part. */
static const char *arch_key(char out[KEY_MAX], const struct source *s, const char *key)
{
	const int size = snprintf(out, KEY_MAX, "%s.%s", s->arch->gguf_name, key);

	assert(size > 0 && size < KEY_MAX);
	return out;
}

/* A whole number of the architecture's; absent leaves *out alone. */
static enum err want_u32(const struct source *s, const char *key, uint32_t min, uint32_t max,
	uint32_t *out)
{
	char name[KEY_MAX];
	int64_t value = *out;

	if (gguf_get_int(s->g, arch_key(name, s, key), min, max, &value, s->info))
		return s->info->code;
	*out = (uint32_t)value;
	return ERR_NONE;
}

static enum err need_u32(const struct source *s, const char *key, uint32_t max, uint32_t *out)
{
	char name[KEY_MAX];

	if (!gguf_find(s->g, arch_key(name, s, key)))
		return err_set(s->info, ERR_INPUT, "%s: %s is missing", s->g->file, name);
	return want_u32(s, key, 1, max, out);
}

/* A finite number of the architecture's; absent leaves *out alone. */
static enum err want_double(const struct source *s, const char *key, double min, double max,
	double *out)
{
	char name[KEY_MAX];

	return gguf_get_double(s->g, arch_key(name, s, key), min, max, out, s->info);
}

/* The tensor of a weight of a layer, or of what is there once; NULL: not in this file. */
static const struct stored_tensor *find_weight(const struct source *s, enum weight weight,
	uint32_t layer)
{
	const struct weight_rule *rule = arch_rule(s->arch, weight);
	char name[KEY_MAX];

	if (!rule)
		return NULL;
	if (rule->place == PLACE_ONCE)
		return stored_table_find(s->tensors, rule->gguf_name);
	snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s", layer, rule->gguf_name);
	return stored_table_find(s->tensors, name);
}

static bool is_text(const struct gguf_string *s, const char *text)
{
	return s->size == strlen(text) && memcmp(s->data, text, s->size) == 0;
}

static enum err read_arch(struct source *s)
{
	struct gguf_string name = {.data = "(none named)", .size = 12};
	char known[ARCH_KNOWN_MAX];

	if (gguf_get_string(s->g, "general.architecture", &name, s->info))
		return s->info->code;
	s->arch = arch_from_gguf(name.data, name.size);
	if (!s->arch)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: architecture %.*s is not supported; known: %s", s->g->file,
			(int)(name.size < 64 ? name.size : 64), name.data,
			arch_known_names(known, true));
	return ERR_NONE;
}

/* What would silently give other numbers. */
static enum err refuse_foreign(const struct source *s)
{
	double scale = 0;
	bool causal = true;
	char name[KEY_MAX];

	if (want_double(s, "attention.scale", -1e9, 1e9, &scale) ||
		gguf_get_bool(s->g, arch_key(name, s, "attention.causal"), &causal, s->info))
		return s->info->code;
	if (!causal)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: attention that looks ahead (%s) is not supported", s->g->file, name);
	if (scale < 0 || scale > 0)
		return err_set(s->info, ERR_UNSUPPORTED, "%s: attention.scale is not supported",
			s->g->file);
	return ERR_NONE;
}

/* Rows of the embedding: the only size that no key gives. */
static enum err read_vocab(const struct source *s, struct model_config *c)
{
	const struct stored_tensor *embed = find_weight(s, WEIGHT_EMBED, 0);

	if (!embed || embed->dim_count != 2)
		return err_set(s->info, ERR_INPUT, "%s: no matrix %s", s->g->file,
			arch_rule(s->arch, WEIGHT_EMBED)->gguf_name);
	if (embed->dims[0] > MODEL_VOCAB_MAX)
		return err_set(s->info, ERR_LIMIT, "%s: a vocabulary of %" PRIu64 ", at most %u",
			s->g->file, embed->dims[0], MODEL_VOCAB_MAX);
	c->vocab = (uint32_t)embed->dims[0];
	c->vocab_used = c->vocab;
	c->tied = !find_weight(s, WEIGHT_HEAD, 0);
	return ERR_NONE;
}

static enum err read_sizes(const struct source *s, struct model_config *c)
{
	double eps = 0;

	if (need_u32(s, "embedding_length", MODEL_HIDDEN_MAX, &c->hidden) ||
		need_u32(s, "block_count", MODEL_LAYERS_MAX, &c->layers) ||
		want_u32(s, "nextn_predict_layers", 0, MODEL_LAYERS_MAX, &c->mtp_layers) ||
		need_u32(s, "context_length", MODEL_CONTEXT_MAX, &c->context_max) ||
		read_vocab(s, c) ||
		want_double(s, "attention.layer_norm_rms_epsilon", 0, 1, &eps))
		return s->info->code;
	if (c->mtp_layers >= c->layers)
		return err_set(s->info, ERR_INPUT,
			"%s: all %" PRIu32 " blocks are for multi-token prediction", s->g->file,
			c->layers);
	c->layers -= c->mtp_layers;
	if (eps <= 0)
		return err_set(s->info, ERR_INPUT,
			"%s: attention.layer_norm_rms_epsilon is missing or zero", s->g->file);
	c->rms_eps = (float)eps;
	return ERR_NONE;
}

static enum err read_attention(const struct source *s, struct model_config *c)
{
	if (need_u32(s, "attention.head_count", MODEL_HEADS_MAX, &c->heads))
		return s->info->code;
	c->kv_heads = c->heads;
	c->head_dim = c->hidden / c->heads;
	if (want_u32(s, "attention.head_count_kv", 1, MODEL_HEADS_MAX, &c->kv_heads) ||
		want_u32(s, "attention.key_length", 1, MODEL_HEAD_DIM_MAX, &c->head_dim))
		return s->info->code;
	uint32_t value_dim = c->head_dim;
	if (want_u32(s, "attention.value_length", 1, MODEL_HEAD_DIM_MAX, &value_dim))
		return s->info->code;
	if (value_dim != c->head_dim)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: keys of %" PRIu32 " and values of %" PRIu32
			" per head are not supported",
			s->g->file, c->head_dim, value_dim);
	return ERR_NONE;
}

/* Biases are told by the tensors of the first attention layer; all layers must agree. */
static void read_biases(const struct source *s, struct model_config *c)
{
	uint32_t layer = 0;

	while (layer + 1 < c->layers && c->layer_kind[layer] != MODEL_LAYER_ATTENTION)
		layer++;
	c->qkv_bias = s->arch->bias == ARCH_BIAS_QKV || find_weight(s, WEIGHT_ATTN_Q_BIAS, layer);
	c->out_bias = s->arch->bias == ARCH_BIAS_CONFIG &&
		find_weight(s, WEIGHT_ATTN_OUT_BIAS, layer);
	c->ffn_bias = find_weight(s, WEIGHT_FFN_GATE_BIAS, 0);
}

/* Converters write transformers' attention_factor as yarn_attn_factor; attn_factor is one more. */
static enum err read_yarn(const struct source *s, struct model_config *c)
{
	struct model_rope_scaling *r = &c->rope_scaling;
	double extrapolation = 1, more = 1;

	r->kind = MODEL_ROPE_YARN;
	r->context = c->context_max;
	r->beta_fast = 32;
	r->beta_slow = 1;
	r->truncate = true;
	if (r->factor < 1)
		return err_set(s->info, ERR_INPUT, "%s: rope.scaling.factor is missing", s->g->file);
	r->attention = rope_yarn_attention(r->factor);
	if (want_u32(s, "rope.scaling.original_context_length", 1, MODEL_CONTEXT_MAX,
		    &r->context) ||
		want_double(s, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, &r->beta_fast) ||
		want_double(s, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, &r->beta_slow) ||
		want_double(s, "rope.scaling.yarn_attn_factor", 0, 1e3, &r->attention) ||
		want_double(s, "rope.scaling.yarn_ext_factor", -1, 1e3, &extrapolation) ||
		want_double(s, "rope.scaling.attn_factor", 0, 1e3, &more))
		return s->info->code;
	if (extrapolation >= 0 && (extrapolation < 1 || extrapolation > 1))
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: rope.scaling.yarn_ext_factor %g is not supported, only 1", s->g->file,
			extrapolation);
	r->attention *= more;
	const double reach = r->context * r->factor;

	if (reach > c->context_max)
		c->context_max = reach < MODEL_CONTEXT_MAX ? (uint32_t)reach : MODEL_CONTEXT_MAX;
	return ERR_NONE;
}

/* A factor without a type is linear. */
static enum err read_scaling(const struct source *s, struct model_config *c)
{
	struct model_rope_scaling *r = &c->rope_scaling;
	struct gguf_string type = {.data = "linear", .size = 6};
	char name[KEY_MAX];

	if (want_double(s, "rope.scale_linear", 0, 1e6, &r->factor) ||
		want_double(s, "rope.scaling.factor", 0, 1e6, &r->factor) ||
		gguf_get_string(s->g, arch_key(name, s, "rope.scaling.type"), &type, s->info))
		return s->info->code;
	if (is_text(&type, "yarn"))
		return read_yarn(s, c);
	if (!is_text(&type, "linear") && !is_text(&type, "none"))
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: rope scaling of type %.*s is not supported; known: none, linear, yarn",
			s->g->file, (int)(type.size < 32 ? type.size : 32), type.data);
	if (is_text(&type, "none") || !(r->factor < 1 || r->factor > 1) || !(r->factor > 0))
		*r = (struct model_rope_scaling){.kind = MODEL_ROPE_PLAIN};
	else
		r->kind = MODEL_ROPE_LINEAR;
	return ERR_NONE;
}

/* What each frequency is divided by; NULL where the file has none. */
static enum err find_divisors(const struct source *s, const struct model_config *c,
	float divisors[MODEL_HEAD_DIM_MAX / 2], const float **out)
{
	const char *name = s->arch->gguf_divisors;
	const struct stored_tensor *t = name ? stored_table_find(s->tensors, name) : NULL;

	*out = NULL;
	if (!t)
		return ERR_NONE;
	if (t->dim_count != 1 || t->dims[0] != c->rotary_dim / 2 ||
		t->dtype->chip_type != CHIP_F32)
		return err_set(s->info, ERR_INPUT,
			"%s: tensor %s is not F32 [%" PRIu32 "]", t->file, name,
			c->rotary_dim / 2);
	memcpy(divisors, t->data, t->size_bytes);
	*out = divisors;
	return ERR_NONE;
}

static enum err fill_rope(const struct source *s, struct model_config *c)
{
	float values[MODEL_HEAD_DIM_MAX / 2];
	const float *divisors;

	if (find_divisors(s, c, values, &divisors))
		return s->info->code;
	return rope_fill(c, divisors, s->info) ? err_prefix(s->info, "%s", s->g->file) : ERR_NONE;
}

static enum err read_rope(const struct source *s, struct model_config *c)
{
	struct gguf_ints sections;
	char name[KEY_MAX];

	c->rotary_dim = (uint32_t)((double)c->head_dim * s->arch->partial_rotary);
	c->rope_theta = s->arch->rope_theta;
	if (want_u32(s, "rope.dimension_count", 1, MODEL_HEAD_DIM_MAX, &c->rotary_dim) ||
		want_double(s, "rope.freq_base", 1, 1e12, &c->rope_theta) ||
		read_scaling(s, c) ||
		gguf_get_ints(
			s->g, arch_key(name, s, "rope.dimension_sections"), &sections, s->info))
		return s->info->code;
	if (c->rope_theta < 1)
		return err_set(s->info, ERR_INPUT, "%s: rope.freq_base is missing", s->g->file);
	if (s->arch->partial_rotary >= 1 && c->rotary_dim != c->head_dim)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: rope.dimension_count %" PRIu32 " of %" PRIu32
			" is not supported in %s",
			s->g->file, c->rotary_dim, c->head_dim, s->arch->name);
	for (uint64_t i = 0; i < sections.count; i++) {
		const int64_t pairs = gguf_int_at(&sections, i);

		if (pairs < 0 || pairs > MODEL_HEAD_DIM_MAX || (i >= 3 && pairs != 0))
			return err_set(s->info, ERR_INPUT,
				"%s: rope.dimension_sections is not three numbers and zeros",
				s->g->file);
		if (i < 3)
			c->rope_sections[i] = (uint32_t)pairs;
	}
	c->rope_interleaved = sections.count > 0 && s->arch->mrope_interleaved;
	return ERR_NONE;
}

/* A list with an entry for each layer, or none. Layers for multi-token prediction may stand at its
 * end. */
static enum err want_layer_ints(const struct source *s, const char *key, uint32_t layers,
	struct gguf_ints *out)
{
	char name[KEY_MAX];

	if (gguf_get_ints(s->g, arch_key(name, s, key), out, s->info))
		return s->info->code;
	if (out->count > 0 && out->count < layers)
		return err_set(s->info, ERR_INPUT,
			"%s: %s has %" PRIu64 " entries for %" PRIu32 " layers", s->g->file, key,
			out->count, layers);
	return ERR_NONE;
}

/* A flag per layer, or every full_attention_interval-th is attention. */
static enum err read_layer_kinds(const struct source *s, struct model_config *c)
{
	struct gguf_ints recurrent;
	uint32_t interval = 4;

	if (!arch_has_delta(s->arch))
		return ERR_NONE;
	if (want_u32(s, "full_attention_interval", 1, MODEL_LAYERS_MAX, &interval) ||
		want_layer_ints(s, "attention.recurrent_layers", c->layers, &recurrent))
		return s->info->code;
	for (uint32_t i = 0; i < c->layers; i++) {
		const bool delta = recurrent.count > 0 ? gguf_int_at(&recurrent, i) != 0
						       : (i + 1) % interval != 0;

		c->layer_kind[i] = delta ? MODEL_LAYER_DELTA : MODEL_LAYER_ATTENTION;
	}
	return ERR_NONE;
}

/* A window is of all layers, or of those that a list of flags says. */
static enum err read_window(const struct source *s, struct model_config *c)
{
	struct gguf_ints pattern;

	if (want_u32(s, "attention.sliding_window", 0, MODEL_CONTEXT_MAX, &c->window) ||
		want_layer_ints(s, "attention.sliding_window_pattern", c->layers, &pattern))
		return s->info->code;
	for (uint32_t i = 0; c->window > 0 && i < c->layers; i++)
		c->layer_window[i] = c->layer_kind[i] == MODEL_LAYER_ATTENTION &&
			(pattern.count == 0 || gguf_int_at(&pattern, i) != 0);
	return ERR_NONE;
}

/* What the weights of a row's experts are, beside a softmax. */
static enum err read_expert_weights(const struct source *s, struct model_config *c)
{
	uint32_t function = 1, groups = 0;
	double scale = 0;
	char name[KEY_MAX];

	c->experts_norm = s->arch->gguf_norm_topk;
	if (want_u32(s, "expert_gating_func", 0, UINT32_MAX, &function) ||
		want_u32(s, "expert_group_count", 0, UINT32_MAX, &groups) ||
		want_double(s, "expert_weights_scale", 0, 1e6, &scale) ||
		gguf_get_bool(s->g, arch_key(name, s, "expert_weights_norm"), &c->experts_norm,
			s->info))
		return s->info->code;
	c->experts_scale = scale > 0 ? (float)scale : 1;
	if (function > 1)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: expert_gating_func %" PRIu32 " is not supported, only 1 (softmax)",
			s->g->file, function);
	if (groups > 1)
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: experts in %" PRIu32 " groups are not supported", s->g->file, groups);
	return ERR_NONE;
}

/* Layers that have a router have experts; in some architectures all do. */
static void find_expert_layers(const struct source *s, struct model_config *c)
{
	for (uint32_t i = 0; i < c->layers && arch_has_experts(s->arch); i++)
		if (!arch_has_dense(s->arch) || find_weight(s, WEIGHT_ROUTER, i))
			c->layer_ffn[i] = MODEL_FFN_EXPERTS;
}

static enum err read_ffn(const struct source *s, struct model_config *c)
{
	c->experts_scale = 1;
	if (want_u32(s, "feed_forward_length", 0, MODEL_WIDTH_MAX, &c->ffn) ||
		want_u32(s, "expert_count", 0, MODEL_EXPERTS_MAX, &c->experts))
		return s->info->code;
	if (c->experts > 0 && !arch_has_experts(s->arch))
		return err_set(s->info, ERR_UNSUPPORTED,
			"%s: a mixture of experts is not supported in %s", s->g->file,
			s->arch->name);
	find_expert_layers(s, c);
	if (c->experts == 0)
		return arch_has_experts(s->arch) ? ERR_NONE
			: need_u32(s, "feed_forward_length", MODEL_WIDTH_MAX, &c->ffn);
	if (need_u32(s, "expert_used_count", MODEL_EXPERTS_MAX, &c->experts_used))
		return s->info->code;
	c->expert_ffn = c->ffn / c->experts_used;
	c->shared_ffn = arch_has_shared_expert(s->arch) ? c->ffn : 0;
	if (want_u32(s, "expert_feed_forward_length", 0, MODEL_WIDTH_MAX, &c->expert_ffn) ||
		(arch_has_shared_expert(s->arch) && want_u32(s,
			"expert_shared_feed_forward_length", 0, MODEL_WIDTH_MAX, &c->shared_ffn)))
		return s->info->code;
	return read_expert_weights(s, c);
}

static enum err read_delta(const struct source *s, struct model_config *c)
{
	uint32_t inner = 0;

	if (!arch_has_delta(s->arch))
		return ERR_NONE;
	if (need_u32(s, "ssm.group_count", MODEL_HEADS_MAX, &c->delta_k_heads) ||
		need_u32(s, "ssm.time_step_rank", MODEL_HEADS_MAX, &c->delta_v_heads) ||
		need_u32(s, "ssm.state_size", MODEL_HEAD_DIM_MAX, &c->delta_k_dim) ||
		need_u32(s, "ssm.inner_size", MODEL_WIDTH_MAX, &inner) ||
		need_u32(s, "ssm.conv_kernel", MODEL_CONV_MAX, &c->delta_conv))
		return s->info->code;
	if (inner % c->delta_v_heads != 0)
		return err_set(s->info, ERR_INPUT,
			"%s: ssm.inner_size %" PRIu32 " is not a multiple of %" PRIu32
			" value heads",
			s->g->file, inner, c->delta_v_heads);
	c->delta_v_dim = inner / c->delta_v_heads;
	c->delta_tiled = s->arch->gguf_tiled;
	return ERR_NONE;
}

/* A GGUF file names one end token only, while a chat model has two or three: the control tokens
 * with the well-known texts of Qwen and Llama 3 count too, as in llama.cpp. */
static bool is_end(const struct gguf_string *text)
{
	static const char *const ENDS[] = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>",
		"<|eom_id|>", "<|end_of_text|>"};

	for (size_t i = 0; i < sizeof(ENDS) / sizeof(ENDS[0]); i++)
		if (is_text(text, ENDS[i]))
			return true;
	return false;
}

/* Tokens of type unused at the end are padding. */
static enum err read_tokens(const struct source *s, struct model_config *c)
{
	struct gguf_walk walk;
	struct gguf_ints types;
	struct gguf_string text;
	uint32_t used = 0;

	if (gguf_walk_strings(s->g, "tokenizer.ggml.tokens", &walk, s->info) ||
		gguf_get_ints(s->g, "tokenizer.ggml.token_type", &types, s->info))
		return s->info->code;
	if (walk.left > c->vocab || (types.count > 0 && types.count != walk.left))
		return err_set(s->info, ERR_INPUT,
			"%s: %" PRIu64 " tokens and %" PRIu64 " token types for %" PRIu32
			" rows of the embedding",
			s->g->file, walk.left, types.count, c->vocab);
	for (uint32_t id = 0; gguf_walk_next(&walk, &text); id++) {
		const int64_t type = types.count > 0 ? gguf_int_at(&types, id) : 0;

		if (type != TOKEN_UNUSED)
			used = id + 1;
		if (type == TOKEN_CONTROL && is_end(&text))
			model_config_add_eos(c, id);
	}
	if (used > 0)
		c->vocab_used = used;
	return ERR_NONE;
}

static enum err read_token(const struct source *s, const char *key, uint32_t *out)
{
	int64_t value = -1;

	/* 0xFFFFFFFF and -1 stand for none. */
	if (gguf_get_int(s->g, key, -1, UINT32_MAX, &value, s->info))
		return s->info->code;
	if (value >= 0 && value < MODEL_NO_TOKEN)
		*out = (uint32_t)value;
	return ERR_NONE;
}

static enum err read_ends(const struct source *s, struct model_config *c)
{
	uint32_t eos = MODEL_NO_TOKEN, eot = MODEL_NO_TOKEN;

	if (read_token(s, "tokenizer.ggml.eos_token_id", &eos) ||
		read_token(s, "tokenizer.ggml.eot_token_id", &eot) ||
		read_token(s, "tokenizer.ggml.bos_token_id", &c->bos) ||
		read_token(s, "tokenizer.ggml.padding_token_id", &c->pad))
		return s->info->code;
	if (eos != MODEL_NO_TOKEN)
		model_config_add_eos(c, eos);
	if (eot != MODEL_NO_TOKEN)
		model_config_add_eos(c, eot);
	return read_tokens(s, c);
}

static enum err read_sampling(const struct source *s, struct chip_sampling *sampling)
{
	double temperature = 1, top_p = 1, min_p = 0, repetition = 1;
	int64_t top_k = 0;

	if (gguf_get_double(s->g, "general.sampling.temp", 0, 100, &temperature, s->info) ||
		gguf_get_double(s->g, "general.sampling.top_p", 0, 1, &top_p, s->info) ||
		gguf_get_double(s->g, "general.sampling.min_p", 0, 1, &min_p, s->info) ||
		gguf_get_int(s->g, "general.sampling.top_k", -1, INT32_MAX, &top_k, s->info) ||
		gguf_get_double(
			s->g, "general.sampling.penalty_repeat", 0, 100, &repetition, s->info))
		return s->info->code;
	*sampling = (struct chip_sampling){
		.temperature = chip_temperature(temperature),
		.top_p = (float)top_p,
		.min_p = (float)min_p,
		.top_k = top_k > 0 ? (uint32_t)top_k : 0,
		.repetition_penalty = (float)repetition,
	};
	return ERR_NONE;
}

enum err model_config_from_gguf(struct model_config *c, const struct gguf *g,
	const struct stored_table *tensors, struct err_info *info)
{
	struct source s = {.g = g, .tensors = tensors, .info = info};

	*c = (struct model_config){.bos = MODEL_NO_TOKEN, .pad = MODEL_NO_TOKEN};
	if (read_arch(&s) || refuse_foreign(&s))
		return info->code;
	c->arch = s.arch->arch;
	c->q_gate = s.arch->q_gate;
	if (read_sizes(&s, c) || read_attention(&s, c) || read_rope(&s, c) ||
		read_layer_kinds(&s, c) || read_window(&s, c) || read_ffn(&s, c) ||
		read_delta(&s, c) || read_ends(&s, c) || read_sampling(&s, &c->sampling))
		return info->code;
	read_biases(&s, c);
	if (model_config_check(c, info))
		return err_prefix(info, "%s", g->file);
	return fill_rope(&s, c);
}
