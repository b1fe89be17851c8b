/* model/arch/config_json.c - struct model_config from config.json, generation_config.json and
 * tokenizer_config.json.
 *
 * Spellings differ by the age of the library that wrote the file: text fields in text_config or at
 * the top. Unknown fields are tolerated; what would change the result and is not computed here is
 * refused. */
#include "model/arch/config.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "chip/chip.h"
#include "model/arch/config_json.h"
#include "model/arch/rope.h"

enum err config_need_u32(const struct config_source *s, const char *key, uint32_t max,
	uint32_t *out)
{
	int64_t value = -1;

	if (json_get_int(s->text, key, 1, max, &value, s->info))
		return s->info->code;
	if (value < 0)
		return err_set(s->info, ERR_INPUT, "%s is missing", key);
	*out = (uint32_t)value;
	return ERR_NONE;
}

enum err config_want_u32(const struct config_source *s, const char *key, uint32_t max,
	uint32_t *out)
{
	int64_t value = *out;

	if (json_get_int(s->text, key, 1, max, &value, s->info))
		return s->info->code;
	*out = (uint32_t)value;
	return ERR_NONE;
}

/* The class names the program that wrote the checkpoint; model_type alone is enough. */
static enum err read_arch(struct config_source *s, const json_t *config)
{
	const json_t *classes = json_object_get(config, "architectures");
	const char *class_name = json_string_value(json_array_get(classes, 0));
	const char *type = NULL, *text_type = NULL;
	char known[ARCH_KNOWN_MAX];

	if (!json_is_object(config))
		return err_set(s->info, ERR_INPUT, "not an object");
	s->whole = config;
	s->text = json_object_get(config, "text_config");
	if (!s->text || json_is_null(s->text))
		s->text = config;
	if (!json_is_object(s->text))
		return err_set(s->info, ERR_INPUT, "text_config is not an object");
	if (json_get_string(s->whole, "model_type", &type, s->info) ||
		json_get_string(s->text, "model_type", &text_type, s->info))
		return s->info->code;
	s->arch = type ? arch_from_model_type(type) : class_name ? arch_from_class(class_name)
								 : NULL;
	if (s->arch && text_type && arch_from_model_type(text_type) != s->arch)
		return err_set(s->info, ERR_UNSUPPORTED,
			"a text_config of model type %.64s is not supported in one of %s", text_type,
			s->arch->name);
	if (!s->arch)
		return err_set(s->info, ERR_UNSUPPORTED,
			"architecture %.64s is not supported; known: %s",
			type         ? type
			: class_name ? class_name
				     : "(none named)",
			arch_known_names(known, false));
	if (class_name && arch_from_class(class_name) != s->arch)
		return err_set(s->info, ERR_UNSUPPORTED,
			"class %.64s of model type %s is not supported; known: %s", class_name,
			s->arch->name, s->arch->classes[0]);
	return ERR_NONE;
}

static enum err read_quantization(const struct config_source *s, struct model_config *c)
{
	const json_t *object = json_object_get(s->whole, "quantization_config");

	if (!object)
		object = json_object_get(s->text, "quantization_config");
	if (!object || json_is_null(object))
		return ERR_NONE;
	return model_quantization_from_json(&c->quantization, object, s->info);
}

/* What would silently give other numbers. */
static enum err refuse_foreign(const struct config_source *s)
{
	const struct arch *arch = s->arch;
	const char *activation = "silu", *gate = "swish";
	bool attn_gate = arch->q_gate;

	if (json_get_string(s->text, "hidden_act", &activation, s->info) ||
		json_get_string(s->text, "output_gate_type", &gate, s->info) ||
		json_get_bool(s->text, "attn_output_gate", &attn_gate, s->info))
		return s->info->code;
	if (strcmp(activation, "silu") != 0)
		return err_set(s->info, ERR_UNSUPPORTED,
			"hidden_act %.32s is not supported, only silu", activation);
	if (strcmp(gate, "swish") != 0 && strcmp(gate, "silu") != 0)
		return err_set(s->info, ERR_UNSUPPORTED,
			"output_gate_type %.32s is not supported, only swish", gate);
	if (attn_gate != arch->q_gate)
		return err_set(s->info, ERR_UNSUPPORTED,
			"attn_output_gate %s is not supported in %s", attn_gate ? "true" : "false",
			arch->name);
	return ERR_NONE;
}

/* The outer object speaks for the class that is loaded, the inner one for older libraries. */
static enum err read_tied(const struct config_source *s, struct model_config *c)
{
	bool outer = false, inner = false;

	if (json_get_bool(s->text, "tie_word_embeddings", &inner, s->info))
		return s->info->code;
	outer = inner;
	if (json_get_bool(s->whole, "tie_word_embeddings", &outer, s->info))
		return s->info->code;
	c->tied = outer || inner;
	c->tied_unsure = outer != inner && json_object_get(s->text, "tie_word_embeddings");
	return ERR_NONE;
}

static enum err read_biases(const struct config_source *s, struct model_config *c)
{
	bool attention = false, qkv = true, ffn = false;

	if (json_get_bool(s->text, "attention_bias", &attention, s->info) ||
		json_get_bool(s->text, "qkv_bias", &qkv, s->info) ||
		json_get_bool(s->text, "mlp_bias", &ffn, s->info))
		return s->info->code;
	c->qkv_bias = s->arch->bias == ARCH_BIAS_CONFIG ? attention
		      : s->arch->bias == ARCH_BIAS_QKV_CONFIG ? qkv
							      : true;
	c->out_bias = attention && s->arch->bias == ARCH_BIAS_CONFIG;
	c->ffn_bias = ffn && arch_has_ffn_bias(s->arch);
	return ERR_NONE;
}

static enum err read_sizes(const struct config_source *s, struct model_config *c)
{
	double eps = 0;

	if (config_need_u32(s, "hidden_size", MODEL_HIDDEN_MAX, &c->hidden) ||
		config_need_u32(s, "num_hidden_layers", MODEL_LAYERS_MAX, &c->layers) ||
		config_need_u32(s, "vocab_size", MODEL_VOCAB_MAX, &c->vocab) ||
		config_need_u32(s, "max_position_embeddings", MODEL_CONTEXT_MAX, &c->context_max) ||
		config_need_u32(s, "num_attention_heads", MODEL_HEADS_MAX, &c->heads))
		return s->info->code;
	c->head_dim = s->arch->head_dim ? s->arch->head_dim : c->hidden / c->heads;
	if (config_want_u32(s, "head_dim", MODEL_HEAD_DIM_MAX, &c->head_dim))
		return s->info->code;
	c->vocab_used = c->vocab;
	c->kv_heads = c->heads;
	if (config_want_u32(s, "num_key_value_heads", MODEL_HEADS_MAX, &c->kv_heads) ||
		json_get_double(s->text, "rms_norm_eps", 0, 1, &eps, s->info))
		return s->info->code;
	if (eps <= 0)
		return err_set(s->info, ERR_INPUT, "rms_norm_eps is missing or zero");
	c->rms_eps = (float)eps;
	return ERR_NONE;
}

static enum err read_config(struct model_config *c, const json_t *config, struct err_info *info)
{
	struct config_source s = {.info = info};

	if (read_arch(&s, config) || refuse_foreign(&s) || read_quantization(&s, c))
		return info->code;
	c->arch = s.arch->arch;
	c->q_gate = s.arch->q_gate;
	c->norm_plus_one = s.arch->norm_plus_one;
	if (read_sizes(&s, c) || read_biases(&s, c) || config_read_rope(&s, c) ||
		config_read_layers(&s, c) || read_tied(&s, c))
		return info->code;
	return ERR_NONE;
}

/* A token id, a list of them, or nothing. */
static enum err add_eos(struct model_config *c, const json_t *object, struct err_info *info)
{
	const json_t *value = json_object_get(object, "eos_token_id");
	const size_t count = json_is_array(value) ? json_array_size(value) : 1;

	if (!value || json_is_null(value))
		return ERR_NONE;
	if (count > MODEL_EOS_MAX)
		return err_set(info, ERR_LIMIT, "%zu end tokens, at most %d", count, MODEL_EOS_MAX);
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;

		if (!json_is_integer(item) || json_integer_value(item) < 0 ||
			json_integer_value(item) >= MODEL_VOCAB_MAX)
			return err_set(info, ERR_INPUT,
				"eos_token_id is not a token id or a list of them");
		model_config_add_eos(c, (uint32_t)json_integer_value(item));
	}
	return ERR_NONE;
}

/* *out = object[key], a token id, if it is there. */
static enum err read_token(const json_t *object, const char *key, uint32_t *out,
	struct err_info *info)
{
	int64_t value = -1;

	if (json_get_int(object, key, 0, MODEL_VOCAB_MAX - 1, &value, info))
		return info->code;
	if (value >= 0)
		*out = (uint32_t)value;
	return ERR_NONE;
}

static enum err read_sampling(struct chip_sampling *s, const json_t *generation,
	struct err_info *info)
{
	double temperature = 1, top_p = 1, min_p = 0, typical_p = 1, repetition = 1, presence = 0;
	int64_t top_k = 0;
	bool sample = true;

	if (json_get_bool(generation, "do_sample", &sample, info) ||
		json_get_double(generation, "temperature", 0, 100, &temperature, info) ||
		json_get_double(generation, "top_p", (double)FLT_MIN, 1, &top_p, info) ||
		json_get_double(generation, "min_p", 0, 1, &min_p, info) ||
		json_get_double(generation, "typical_p", 0, 1, &typical_p, info) ||
		json_get_int(generation, "top_k", -1, INT32_MAX, &top_k,
			info) || /* -1: off, as some write it */
		json_get_double(generation, "repetition_penalty", (double)FLT_MIN, 100, &repetition,
			info) ||
		json_get_double(generation, "presence_penalty", -100, 100, &presence, info))
		return info->code;
	*s = (struct chip_sampling){
		.temperature = sample ? chip_temperature(temperature) : 0,
		.top_p = (float)top_p,
		.min_p = (float)min_p,
		.typical_p = (float)typical_p,
		.top_k = top_k > 0 ? (uint32_t)top_k : 0,
		.repetition_penalty = (float)repetition,
		.presence_penalty = (float)presence,
	};
	return ERR_NONE;
}

/* tokenizer_config.json names the end token by its text; its id stands in added_tokens_decoder. */
static enum err add_named_eos(struct model_config *c, const json_t *tokenizer,
	struct err_info *info)
{
	const json_t *eos = json_object_get(tokenizer, "eos_token");
	const char *text =
		json_string_value(json_is_object(eos) ? json_object_get(eos, "content") : eos);
	json_t *added = json_object_get(tokenizer, "added_tokens_decoder");
	const char *key;
	json_t *token;

	if (!text)
		return ERR_NONE;
	json_object_foreach(added, key, token)
	{
		const char *content = json_string_value(json_object_get(token, "content"));
		char *end;

		if (!content || strcmp(content, text) != 0)
			continue;
		const unsigned long id = strtoul(key, &end, 10);
		if (key[0] < '0' || key[0] > '9' || *end || id >= MODEL_VOCAB_MAX)
			return err_set(info, ERR_INPUT,
				"added_tokens_decoder has the key %.32s, not a token id", key);
		model_config_add_eos(c, (uint32_t)id);
	}
	return ERR_NONE;
}

/* What generation_config.json names, as transformers' generate does; where it names nothing, what
 * tokenizer_config.json and config.json do: the last often has the end of text only, also for
 * chats. */
static enum err read_ends(struct model_config *c, const struct model_config_texts *texts,
	struct err_info *info)
{
	const json_t *text = json_object_get(texts->config, "text_config");
	const json_t *const objects[] = {texts->config, text, texts->generation};
	static const char *const files[] = {"config.json", "config.json", "generation_config.json"};

	if (add_eos(c, texts->generation, info))
		return err_prefix(info, "generation_config.json");
	if (c->eos_count == 0) {
		if (add_named_eos(c, texts->tokenizer, info))
			return err_prefix(info, "tokenizer_config.json");
		if (add_eos(c, texts->config, info) || add_eos(c, text, info))
			return err_prefix(info, "config.json");
	}
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) /* the later one wins */
		if (json_is_object(objects[i]) &&
			(read_token(objects[i], "bos_token_id", &c->bos, info) ||
				read_token(objects[i], "pad_token_id", &c->pad, info)))
			return err_prefix(info, "%s", files[i]);
	return ERR_NONE;
}

enum err model_config_from_json(struct model_config *c, const struct model_config_texts *texts,
	struct err_info *info)
{
	assert(texts->config);
	*c = (struct model_config){
		.bos = MODEL_NO_TOKEN,
		.pad = MODEL_NO_TOKEN,
		.sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
	};
	if (read_config(c, texts->config, info))
		return err_prefix(info, "config.json");
	if (texts->generation && !json_is_object(texts->generation))
		return err_set(info, ERR_INPUT, "generation_config.json: not an object");
	if (texts->tokenizer && !json_is_object(texts->tokenizer))
		return err_set(info, ERR_INPUT, "tokenizer_config.json: not an object");
	if (texts->generation && read_sampling(&c->sampling, texts->generation, info))
		return err_prefix(info, "generation_config.json");
	if (read_ends(c, texts, info))
		return info->code;
	if (model_config_check(c, info) || rope_fill(c, NULL, info))
		return err_prefix(info, "config.json");
	return ERR_NONE;
}
