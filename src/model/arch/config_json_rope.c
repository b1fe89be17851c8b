/* model/arch/config_json_rope.c - rotary positions of a config.json: base, scaling, sections.
 *
 * Spellings by the age of the library that wrote the file: rope_parameters, or rope_scaling with
 * rope_theta and partial_rotary_factor at the top; the kind in rope_type or type. */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "model/arch/config_json.h"
#include "model/arch/rope.h"

static enum err read_sections(const struct config_source *s, const json_t *rope,
	struct model_config *c)
{
	const json_t *sections = json_object_get(rope, "mrope_section");

	if (!sections || json_is_null(sections))
		return ERR_NONE;
	if (!json_is_array(sections) || json_array_size(sections) != 3)
		return err_set(
			s->info, ERR_INPUT, "mrope_section is not an array of three numbers");
	for (size_t i = 0; i < 3; i++) {
		const json_t *item = json_array_get(sections, i);

		if (!json_is_integer(item) || json_integer_value(item) < 0 ||
			json_integer_value(item) > MODEL_HEAD_DIM_MAX)
			return err_set(s->info, ERR_INPUT,
				"mrope_section is not an array of three numbers");
		c->rope_sections[i] = (uint32_t)json_integer_value(item);
	}
	c->rope_interleaved = s->arch->mrope_interleaved;
	return json_get_bool(rope, "mrope_interleaved", &c->rope_interleaved, s->info);
}

/* The context that a model was trained on before its rotary positions were scaled. */
static enum err read_original_context(const struct config_source *s, const json_t *rope,
	struct model_config *c)
{
	int64_t context = c->context_max;

	if (json_get_int(rope, "original_max_position_embeddings", 1, MODEL_CONTEXT_MAX, &context,
		    s->info) ||
		json_get_int(s->text, "original_max_position_embeddings", 1, MODEL_CONTEXT_MAX,
			&context, s->info))
		return s->info->code;
	c->rope_scaling.context = (uint32_t)context;
	return ERR_NONE;
}

/* 0.1 mscale ln(factor) + 1. */
static double yarn_scale(double factor, double mscale)
{
	return (rope_yarn_attention(factor) - 1) * mscale + 1;
}

static enum err read_yarn(const struct config_source *s, const json_t *rope,
	struct model_config *c)
{
	struct model_rope_scaling *r = &c->rope_scaling;
	double mscale = 0, mscale_all_dim = 0;

	if (read_original_context(s, rope, c))
		return s->info->code;
	r->factor = (double)c->context_max / r->context;
	r->beta_fast = 32;
	r->beta_slow = 1;
	r->truncate = true;
	if (json_get_double(rope, "factor", 1, 1e6, &r->factor, s->info) ||
		json_get_double(rope, "beta_fast", 0, 1e6, &r->beta_fast, s->info) ||
		json_get_double(rope, "beta_slow", 0, 1e6, &r->beta_slow, s->info) ||
		json_get_double(rope, "mscale", 0, 1e3, &mscale, s->info) ||
		json_get_double(rope, "mscale_all_dim", 0, 1e3, &mscale_all_dim, s->info) ||
		json_get_bool(rope, "truncate", &r->truncate, s->info))
		return s->info->code;
	r->beta_fast = r->beta_fast > 0 ? r->beta_fast : 32;
	r->beta_slow = r->beta_slow > 0 ? r->beta_slow : 1;
	r->attention = rope_yarn_attention(r->factor);
	if (mscale > 0 && mscale_all_dim > 0)
		r->attention = yarn_scale(r->factor, mscale) /
			yarn_scale(r->factor, mscale_all_dim);
	if (json_get_double(rope, "attention_factor", 0, 1e3, &r->attention, s->info))
		return s->info->code;
	/* The files often leave the length that was trained on where the whole belongs. */
	const double reach = r->context * r->factor;

	if (reach > c->context_max)
		c->context_max = reach < MODEL_CONTEXT_MAX ? (uint32_t)reach : MODEL_CONTEXT_MAX;
	return ERR_NONE;
}

static enum err need_factor(const struct config_source *s, const json_t *rope, const char *key,
	double *out)
{
	*out = 0;
	if (json_get_double(rope, key, 0, 1e6, out, s->info))
		return s->info->code;
	if (!(*out > 0))
		return err_set(s->info, ERR_INPUT, "%s of the rotary scaling is missing", key);
	return ERR_NONE;
}

static enum err read_llama3(const struct config_source *s, const json_t *rope,
	struct model_config *c)
{
	if (need_factor(s, rope, "factor", &c->rope_scaling.factor) ||
		need_factor(s, rope, "low_freq_factor", &c->rope_scaling.low) ||
		need_factor(s, rope, "high_freq_factor", &c->rope_scaling.high))
		return s->info->code;
	return read_original_context(s, rope, c);
}

/* "mrope" is an early word for default. */
static enum err read_scaling(const struct config_source *s, const char *place, const json_t *rope,
	struct model_config *c)
{
	const char *type = "default";

	if (json_get_string(rope, "type", &type, s->info) ||
		json_get_string(rope, "rope_type", &type, s->info))
		return s->info->code;
	c->rope_scaling = (struct model_rope_scaling){.kind = MODEL_ROPE_PLAIN};
	if (strcmp(type, "default") == 0 || strcmp(type, "mrope") == 0)
		return ERR_NONE;
	if (strcmp(type, "linear") == 0) {
		c->rope_scaling.kind = MODEL_ROPE_LINEAR;
		return need_factor(s, rope, "factor", &c->rope_scaling.factor);
	}
	if (strcmp(type, "yarn") == 0) {
		c->rope_scaling.kind = MODEL_ROPE_YARN;
		return read_yarn(s, rope, c);
	}
	if (strcmp(type, "llama3") == 0) {
		c->rope_scaling.kind = MODEL_ROPE_LLAMA3;
		return read_llama3(s, rope, c);
	}
	return err_set(s->info, ERR_UNSUPPORTED,
		"%s of type %.32s is not supported; known: default, linear, yarn, llama3", place,
		type);
}

enum err config_read_rope(const struct config_source *s, struct model_config *c)
{
	static const char *const places[] = {
		"rope_scaling", "rope_parameters"}; /* the later one wins */
	double theta = s->arch->rope_theta, partial = s->arch->partial_rotary;

	if (json_get_double(s->text, "rope_theta", 1, 1e12, &theta, s->info) ||
		json_get_double(s->text, "partial_rotary_factor", 0, 1, &partial, s->info))
		return s->info->code;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const json_t *rope = json_object_get(s->text, places[i]);

		if (!rope || json_is_null(rope))
			continue;
		if (!json_is_object(rope))
			return err_set(s->info, ERR_INPUT, "%s is not an object", places[i]);
		if (json_object_get(rope, "full_attention"))
			return err_set(s->info, ERR_UNSUPPORTED,
				"%s for each kind of layer is not supported", places[i]);
		if (json_get_double(rope, "rope_theta", 1, 1e12, &theta, s->info) ||
			json_get_double(rope, "partial_rotary_factor", 0, 1, &partial, s->info) ||
			read_scaling(s, places[i], rope, c) || read_sections(s, rope, c))
			return s->info->code;
	}
	if (theta < 1)
		return err_set(s->info, ERR_INPUT, "rope_theta is missing");
	if (s->arch->partial_rotary >= 1 && partial < 1)
		return err_set(s->info, ERR_UNSUPPORTED,
			"partial_rotary_factor %g is not supported in %s", partial, s->arch->name);
	c->rope_theta = theta;
	c->rotary_dim = (uint32_t)((double)c->head_dim * partial);
	return ERR_NONE;
}
