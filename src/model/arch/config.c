/* model/arch/config.c - see config.h: bounds and agreement, whatever file the fields came from. */
#include "model/arch/config.h"

#include <assert.h>
#include <inttypes.h>

#include "model/arch/arch.h"

static enum err check_range(const char *what, uint64_t value, uint64_t min, uint64_t max,
	struct err_info *info)
{
	if (value >= min && value <= max)
		return ERR_NONE;
	return err_set(info, ERR_INPUT, "%s is %" PRIu64 ", not in %" PRIu64 " to %" PRIu64, what,
		value, min, max);
}

static enum err check_sizes(const struct model_config *c, struct err_info *info)
{
	if (check_range("the number of layers", c->layers, 1, MODEL_LAYERS_MAX, info) ||
		check_range("the hidden size", c->hidden, 1, MODEL_HIDDEN_MAX, info) ||
		check_range("the vocabulary", c->vocab, 1, MODEL_VOCAB_MAX, info) ||
		check_range("the number of tokens in use", c->vocab_used, 1, c->vocab, info) ||
		check_range("the context length", c->context_max, 1, MODEL_CONTEXT_MAX, info))
		return info->code;
	if (!(c->rms_eps > 0 && c->rms_eps <= 0.01F)) /* NaN too */
		return err_set(info, ERR_INPUT, "the epsilon of the norms is %g, not in 0 to 0.01",
			(double)c->rms_eps);
	return ERR_NONE;
}

static bool between(double value, double min, double max)
{
	return value >= min && value <= max; /* not NaN */
}

static enum err check_scaling(const struct model_config *c, struct err_info *info)
{
	const struct model_rope_scaling *s = &c->rope_scaling;
	const bool yarn = s->kind == MODEL_ROPE_YARN, llama3 = s->kind == MODEL_ROPE_LLAMA3;
	const struct {
		const char *name;
		bool good;
	} checks[] = {
		{"factor", between(s->factor, 1, 1e6)},
		{"original context", !(yarn || llama3) || between(s->context, 1, MODEL_CONTEXT_MAX)},
		{"base", !yarn || c->rope_theta >= 2},
		{"beta_fast", !yarn || between(s->beta_fast, 1e-3, 1e6)},
		{"beta_slow", !yarn || between(s->beta_slow, 1e-3, 1e6)},
		{"attention factor", !yarn || between(s->attention, 0.01, 100)},
		{"low frequency factor", !llama3 || between(s->low, 1e-3, 1e6)},
		{"high frequency factor", !llama3 || (between(s->high, 1e-3, 1e6) && s->low < s->high)},
	};

	for (size_t i = 0; s->kind != MODEL_ROPE_PLAIN && i < sizeof(checks) / sizeof(checks[0]);
		i++)
		if (!checks[i].good)
			return err_set(info, ERR_INPUT, "the %s of the rotary scaling is out of range",
				checks[i].name);
	return ERR_NONE;
}

static enum err check_rope(const struct model_config *c, struct err_info *info)
{
	const uint64_t pairs =
		(uint64_t)c->rope_sections[0] + c->rope_sections[1] + c->rope_sections[2];

	if (!between(c->rope_theta, 1, 1e12))
		return err_set(info, ERR_INPUT,
			"the base of the rotary positions is %g, not in 1 to 1e12", c->rope_theta);
	if (pairs != 0 && pairs != c->rotary_dim / 2)
		return err_set(info, ERR_INPUT,
			"the sections of the rotary positions add up to %" PRIu64
			" pairs, there are %" PRIu32,
			pairs, c->rotary_dim / 2);
	return check_scaling(c, info);
}

static enum err check_attention(const struct model_config *c, struct err_info *info)
{
	if (check_range("the number of heads", c->heads, 1, MODEL_HEADS_MAX, info) ||
		check_range("the number of key heads", c->kv_heads, 1, c->heads, info) ||
		check_range("the head dimension", c->head_dim, 2, MODEL_HEAD_DIM_MAX, info) ||
		check_range("the rotary dimension", c->rotary_dim, 2, c->head_dim, info) ||
		check_range("the width of q", arch_extent(c, EXTENT_Q), 1, MODEL_WIDTH_MAX, info))
		return info->code;
	if (c->heads % c->kv_heads != 0)
		return err_set(info, ERR_INPUT,
			"%" PRIu32 " heads cannot share %" PRIu32 " key heads evenly", c->heads,
			c->kv_heads);
	if (c->head_dim % 2 != 0 || c->rotary_dim % 2 != 0)
		return err_set(info, ERR_INPUT,
			"head dimension %" PRIu32 " and rotary dimension %" PRIu32 " must be even",
			c->head_dim, c->rotary_dim);
	return check_rope(c, info);
}

static enum err check_delta(const struct model_config *c, struct err_info *info)
{
	if (c->delta_layers == 0)
		return ERR_NONE;
	if (check_range(
		    "the number of linear key heads", c->delta_k_heads, 1, MODEL_HEADS_MAX, info) ||
		check_range("the number of linear value heads", c->delta_v_heads, 1,
			MODEL_HEADS_MAX, info) ||
		check_range("the linear key head dimension", c->delta_k_dim, 1, MODEL_HEAD_DIM_MAX,
			info) ||
		check_range("the linear value head dimension", c->delta_v_dim, 1,
			MODEL_HEAD_DIM_MAX, info) ||
		check_range(
			"the taps of the convolution", c->delta_conv, 2, MODEL_CONV_MAX, info) ||
		check_range("the channels of the convolution", model_config_delta_channels(c), 1,
			MODEL_WIDTH_MAX, info))
		return info->code;
	if (c->delta_v_heads % c->delta_k_heads != 0)
		return err_set(info, ERR_INPUT,
			"%" PRIu32 " linear value heads cannot share %" PRIu32 " key heads evenly",
			c->delta_v_heads, c->delta_k_heads);
	return ERR_NONE;
}

static enum err check_ffn(const struct model_config *c, struct err_info *info)
{
	const uint32_t used_max = c->experts < CHIP_ROUTES_MAX ? c->experts : CHIP_ROUTES_MAX;

	if (c->expert_layers < c->layers &&
		check_range("the feed-forward size", c->ffn, 1, MODEL_WIDTH_MAX, info))
		return info->code;
	if (c->expert_layers == 0)
		return ERR_NONE;
	if (check_range("the number of experts", c->experts, 1, MODEL_EXPERTS_MAX, info) ||
		check_range("the number of experts of a token", c->experts_used, 1, used_max,
			info) ||
		check_range("the feed-forward size of an expert", c->expert_ffn, 1,
			MODEL_WIDTH_MAX, info) ||
		(arch_has_shared_expert(arch_get(c->arch)) &&
			check_range("the feed-forward size of the shared expert", c->shared_ffn, 1,
				MODEL_WIDTH_MAX, info)))
		return info->code;
	if (!between((double)c->experts_scale, 1e-6, 1e6))
		return err_set(info, ERR_INPUT, "the scale of the experts' weights is %g",
			(double)c->experts_scale);
	return ERR_NONE;
}

static enum err check_tokens(const struct model_config *c, struct err_info *info)
{
	assert(c->eos_count <= MODEL_EOS_MAX);
	for (uint32_t i = 0; i < c->eos_count; i++)
		if (c->eos[i] >= c->vocab)
			return err_set(info, ERR_INPUT,
				"the end token %" PRIu32 " is not in the vocabulary of %" PRIu32,
				c->eos[i], c->vocab);
	if ((c->bos != MODEL_NO_TOKEN && c->bos >= c->vocab) ||
		(c->pad != MODEL_NO_TOKEN && c->pad >= c->vocab))
		return err_set(info, ERR_INPUT,
			"the begin or padding token is not in the vocabulary of %" PRIu32,
			c->vocab);
	return ERR_NONE;
}

static enum err check_sampling(const struct chip_sampling *s, struct err_info *info)
{
	const struct {
		const char *name;
		bool good;
	} checks[] = {
		{"temperature", between((double)s->temperature, 0, 100)},
		{"top_p", between((double)s->top_p, 0, 1) && s->top_p > 0},
		{"min_p", between((double)s->min_p, 0, 1)},
		{"typical_p", between((double)s->typical_p, 0, 1)},
		{"repetition_penalty",
			between((double)s->repetition_penalty, 0, 100) &&
				s->repetition_penalty > 0},
		{"presence_penalty", between((double)s->presence_penalty, -100, 100)},
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i].good)
			return err_set(
				info, ERR_INPUT, "the default %s is out of range", checks[i].name);
	return ERR_NONE;
}

static void count_layers(struct model_config *c)
{
	c->attention_layers = 0;
	c->delta_layers = 0;
	c->expert_layers = 0;
	for (uint32_t i = 0; i < c->layers; i++) {
		if (c->layer_kind[i] == MODEL_LAYER_DELTA)
			c->delta_layers++;
		else
			c->attention_layers++;
		c->expert_layers += c->layer_ffn[i] == MODEL_FFN_EXPERTS;
	}
}

enum err model_config_check(struct model_config *c, struct err_info *info)
{
	assert(c->arch < MODEL_ARCHS);
	if (check_sizes(c, info) || check_attention(c, info))
		return info->code;
	count_layers(c);
	if (c->attention_layers == 0)   /* a cache without pages holds no sequence */
		return err_set(info, ERR_UNSUPPORTED,
			"none of %" PRIu32 " layers has attention, which is not supported", c->layers);
	assert(c->delta_layers == 0 || arch_has_delta(arch_get(c->arch)));
	assert(c->expert_layers == 0 || arch_has_experts(arch_get(c->arch)));
	if (check_ffn(c, info) || check_delta(c, info) || check_tokens(c, info) ||
		check_sampling(&c->sampling, info))
		return info->code;
	return ERR_NONE;
}

enum err model_config_set_vocab_used(struct model_config *c, uint32_t tokens, struct err_info *info)
{
	if (tokens == 0 || tokens > c->vocab)
		return err_set(info, ERR_INPUT,
			"the tokenizer has %" PRIu32 " ids, the model %" PRIu32 " rows", tokens,
			c->vocab);
	c->vocab_used = tokens;
	return ERR_NONE;
}

bool model_config_is_eos(const struct model_config *c, uint32_t token)
{
	for (uint32_t i = 0; i < c->eos_count; i++)
		if (c->eos[i] == token)
			return true;
	return false;
}

void model_config_add_eos(struct model_config *c, uint32_t token)
{
	if (c->eos_count < MODEL_EOS_MAX && !model_config_is_eos(c, token))
		c->eos[c->eos_count++] = token;
}
