/* model/arch/config_quantized.c - see config_quantized.h. The fields of four libraries:
 * transformers' fp8, GPTQModel (and AutoGPTQ before it), AutoAWQ, compressed-tensors. */
#include "model/arch/config_quantized.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

#define GROUP_DEFAULT 128

static const char *const METHODS[] = {
	[QUANTIZATION_NONE] = "",
	[QUANTIZATION_FP8] = "fp8",
	[QUANTIZATION_GPTQ] = "gptq",
	[QUANTIZATION_AWQ] = "awq",
	[QUANTIZATION_COMPRESSED] = "compressed-tensors",
};

#define METHOD_COUNT (sizeof(METHODS) / sizeof(METHODS[0]))

static enum err refuse(struct err_info *info, const char *field, const char *value,
	const char *known)
{
	return err_set(info, ERR_UNSUPPORTED, "%s %.48s is not supported, only %s", field, value,
		known);
}

/* A field that must have one value, where it is there. */
static enum err need_word(const json_t *object, const char *field, const char *word,
	struct err_info *info)
{
	const char *value = word;

	if (json_get_string(object, field, &value, info))
		return info->code;
	return strcasecmp(value, word) == 0 ? ERR_NONE : refuse(info, field, value, word);
}

/* A field that asks for arithmetic of its own when it is there and not empty. */
static enum err need_absent(const json_t *object, const char *field, struct err_info *info)
{
	const json_t *value = json_object_get(object, field);

	if (!value || json_is_null(value) || json_is_false(value) ||
		(json_is_object(value) && json_object_size(value) == 0))
		return ERR_NONE;
	return err_set(info, ERR_UNSUPPORTED, "%s is not supported", field);
}

static bool same_scheme(const struct quantization_scheme *a, const struct quantization_scheme *b)
{
	return a->is_float == b->is_float && a->symmetric == b->symmetric && a->bits == b->bits &&
	       a->group == b->group && a->group_rows == b->group_rows;
}

/* Configs repeat themselves for one module after the other. */
static enum err add_scheme(struct model_quantization *q, const struct quantization_scheme *scheme,
	struct err_info *info)
{
	for (uint32_t i = 0; i < q->scheme_count; i++)
		if (same_scheme(&q->schemes[i], scheme))
			return ERR_NONE;
	if (q->scheme_count == QUANTIZATION_SCHEMES_MAX)
		return err_set(info, ERR_LIMIT, "more than %d ways to quantize",
			QUANTIZATION_SCHEMES_MAX);
	q->schemes[q->scheme_count++] = *scheme;
	return ERR_NONE;
}

/* *group keeps its default when the field is not there; -1 means the whole row. */
static enum err read_group(const json_t *object, const char *field, uint32_t *group,
	struct err_info *info)
{
	int64_t value = *group ? (int64_t)*group : -1;

	if (json_get_int(object, field, -1, QUANTIZATION_GROUP_MAX, &value, info))
		return info->code;
	if (value == 0)
		return err_set(info, ERR_INPUT, "%s is 0", field);
	*group = value < 0 ? 0 : (uint32_t)value;
	return ERR_NONE;
}

static enum err read_bits(const json_t *object, const char *field, uint8_t *bits, bool eight,
	struct err_info *info)
{
	int64_t value = *bits;

	if (json_get_int(object, field, 1, 64, &value, info))
		return info->code;
	if (value != 4 && !(eight && value == 8))
		return err_set(info, ERR_UNSUPPORTED, "%s %" PRId64 " is not supported, only %s",
			field, value, eight ? "4 and 8" : "4");
	*bits = (uint8_t)value;
	return ERR_NONE;
}

/* ---- fp8 ------------------------------------------------------------------------------------- */

static enum err read_block(const json_t *block, const char *field,
	struct quantization_scheme *scheme, struct err_info *info)
{
	uint32_t sides[2];

	for (size_t i = 0; i < 2; i++) {
		const json_t *side = json_array_get(block, i);
		const json_int_t value = json_integer_value(side);

		if (json_array_size(block) != 2 || value < 1 || value > QUANTIZATION_GROUP_MAX)
			return err_set(info, ERR_INPUT, "%s is not [rows, columns] of a block",
				field);
		sides[i] = (uint32_t)value;
	}
	scheme->group_rows = sides[0];
	scheme->group = sides[1];
	return ERR_NONE;
}

/* Without a block size transformers takes 128 x 128, other libraries the whole matrix: the tensors
 * tell which it is. */
static enum err read_fp8(struct model_quantization *q, const json_t *object, struct err_info *info)
{
	const json_t *block = json_object_get(object, "weight_block_size");
	struct quantization_scheme whole = {.is_float = true, .symmetric = true, .bits = 8};
	struct quantization_scheme blocks = whole;

	blocks.group = blocks.group_rows = GROUP_DEFAULT;
	if (need_word(object, "fmt", "e4m3", info) || need_word(object, "expert_dtype", "fp8", info))
		return info->code;
	if (block && !json_is_null(block))
		return read_block(block, "weight_block_size", &blocks, info)
			? info->code
			: add_scheme(q, &blocks, info);
	if (!block && add_scheme(q, &blocks, info))
		return info->code;
	return add_scheme(q, &whole, info);
}

/* ---- gptq, awq ------------------------------------------------------------------------------- */

static enum err read_gptq_scheme(struct model_quantization *q, const json_t *object,
	const struct quantization_scheme *defaults, struct err_info *info)
{
	struct quantization_scheme scheme = *defaults;

	if (read_bits(object, "bits", &scheme.bits, true, info) ||
		read_group(object, "group_size", &scheme.group, info) ||
		json_get_bool(object, "sym", &scheme.symmetric, info))
		return info->code;
	return add_scheme(q, &scheme, info);
}

/* "dynamic" changes fields for the modules that a pattern matches; "-:" leaves them as they were. */
static enum err read_gptq_dynamic(struct model_quantization *q, const json_t *object,
	struct err_info *info)
{
	json_t *dynamic = json_object_get(object, "dynamic");
	const struct quantization_scheme defaults = q->schemes[0];
	const char *pattern;
	json_t *fields;

	json_object_foreach(dynamic, pattern, fields)
	{
		if (strncmp(pattern, "-:", 2) == 0)
			continue;
		if (!json_is_object(fields))
			return err_set(info, ERR_INPUT, "dynamic: %.64s is not an object", pattern);
		if (read_gptq_scheme(q, fields, &defaults, info))
			return err_prefix(info, "dynamic: %.64s", pattern);
	}
	return ERR_NONE;
}

static enum err read_gptq(struct model_quantization *q, const json_t *object, struct err_info *info)
{
	const struct quantization_scheme defaults = {
		.symmetric = true, .bits = 4, .group = GROUP_DEFAULT, .group_rows = 1};
	const char *format = "gptq";

	if (need_absent(object, "is_marlin_format", info) || need_absent(object, "rotation", info) ||
		need_absent(object, "adapter", info) ||
		need_word(object, "pack_dtype", "int32", info) ||
		json_get_string(object, "format", &format, info) ||
		json_get_string(object, "checkpoint_format", &format, info))
		return info->code;
	if (strcmp(format, "gptq") != 0 && strcmp(format, "gptq_v2") != 0)
		return refuse(info, "checkpoint_format", format, "gptq and gptq_v2");
	q->zeros_less_one = strcmp(format, "gptq") == 0;
	if (read_gptq_scheme(q, object, &defaults, info))
		return info->code;
	return read_gptq_dynamic(q, object, info);
}

static enum err read_awq(struct model_quantization *q, const json_t *object, struct err_info *info)
{
	struct quantization_scheme scheme = {.bits = 4, .group = GROUP_DEFAULT, .group_rows = 1};

	if (need_word(object, "version", "gemm", info) || need_word(object, "format", "gemm", info) ||
		need_word(object, "checkpoint_format", "gemm", info) ||
		read_bits(object, "w_bit", &scheme.bits, false, info) ||
		read_bits(object, "bits", &scheme.bits, false, info) ||
		read_group(object, "q_group_size", &scheme.group, info) ||
		read_group(object, "group_size", &scheme.group, info))
		return info->code;
	return add_scheme(q, &scheme, info);
}

/* ---- compressed-tensors ---------------------------------------------------------------------- */

static enum err check_format(const char *format, bool is_float, struct err_info *info)
{
	const char *only = is_float ? "float-quantized" : "pack-quantized";

	if (strcmp(format, only) == 0 || (is_float && strcmp(format, "naive-quantized") == 0))
		return ERR_NONE;
	return refuse(info, is_float ? "format of floats" : "format of whole numbers", format, only);
}

/* What the scales belong to. */
static enum err read_strategy(const json_t *weights, struct quantization_scheme *scheme,
	struct err_info *info)
{
	const char *strategy = NULL;

	scheme->group_rows = 1;
	if (read_group(weights, "group_size", &scheme->group, info) ||
		json_get_string(weights, "strategy", &strategy, info))
		return info->code;
	if (!strategy)
		strategy = scheme->group ? "group"
			: json_is_integer(json_object_get(weights, "group_size")) ? "channel"
									  : "tensor";
	if (strcmp(strategy, "group") == 0 && scheme->group)
		return ERR_NONE;
	if (strcmp(strategy, "group") == 0)
		return err_set(info, ERR_INPUT, "strategy group without a group_size");
	scheme->group = 0;
	if (strcmp(strategy, "channel") == 0)
		return ERR_NONE;
	if (!scheme->is_float)
		return refuse(info, "strategy of whole numbers", strategy, "group and channel");
	scheme->group_rows = 0;
	if (strcmp(strategy, "tensor") == 0)
		return ERR_NONE;
	if (strcmp(strategy, "block") == 0)
		return read_block(json_object_get(weights, "block_structure"), "block_structure",
			scheme, info);
	return refuse(info, "strategy", strategy, "tensor, channel, group and block");
}

/* Activations in whole numbers were part of how the weights were made; floats only round. */
static enum err check_activations(const json_t *group, struct err_info *info)
{
	const json_t *input = json_object_get(group, "input_activations");
	const char *type = "int";

	if (!json_is_object(input))
		return ERR_NONE;
	if (json_get_string(input, "type", &type, info))
		return info->code;
	return strcmp(type, "float") == 0
		? ERR_NONE
		: refuse(info, "input_activations of type", type, "float");
}

static enum err read_config_group(struct model_quantization *q, const json_t *group,
	const char *format, struct err_info *info)
{
	const json_t *weights = json_object_get(group, "weights");
	struct quantization_scheme scheme = {.bits = 8};
	const char *type = "int";

	if (!json_is_object(group))
		return err_set(info, ERR_INPUT, "not an object");
	if (!weights || json_is_null(weights))
		return ERR_NONE;
	scheme.symmetric = true;
	if (json_get_string(group, "format", &format, info) ||
		json_get_string(weights, "type", &type, info))
		return info->code;
	scheme.is_float = strcmp(type, "float") == 0;
	if (!scheme.is_float && strcmp(type, "int") != 0)
		return refuse(info, "type", type, "int and float");
	if (check_format(format, scheme.is_float, info) || check_activations(group, info) ||
		read_bits(weights, "num_bits", &scheme.bits, true, info) ||
		json_get_bool(weights, "symmetric", &scheme.symmetric, info) ||
		read_strategy(weights, &scheme, info))
		return info->code;
	if (scheme.is_float && (scheme.bits != 8 || !scheme.symmetric))
		return err_set(info, ERR_UNSUPPORTED,
			"floats of %u bits, %s, are not supported, only of 8 and symmetric",
			(unsigned)scheme.bits, scheme.symmetric ? "symmetric" : "not symmetric");
	return add_scheme(q, &scheme, info);
}

static enum err read_compressed(struct model_quantization *q, const json_t *object,
	struct err_info *info)
{
	json_t *groups = json_object_get(object, "config_groups");
	const json_t *sparsity = json_object_get(object, "sparsity_config");
	const char *format = "pack-quantized", *name;
	json_t *group;

	if (need_absent(object, "transform_config", info) ||
		(json_is_object(sparsity) && need_word(sparsity, "format", "dense", info)) ||
		json_get_string(object, "format", &format, info))
		return info->code;
	json_object_foreach(groups, name, group)
	{
		if (read_config_group(q, group, format, info))
			return err_prefix(info, "config_groups: %.32s", name);
	}
	if (q->scheme_count == 0)
		return err_set(info, ERR_INPUT, "config_groups says nothing about weights");
	return ERR_NONE;
}

/* ---------------------------------------------------------------------------------------------- */

static enum err read_method(struct model_quantization *q, const json_t *object,
	struct err_info *info)
{
	switch (q->method) {
	case QUANTIZATION_FP8:
		return read_fp8(q, object, info);
	case QUANTIZATION_GPTQ:
		return read_gptq(q, object, info);
	case QUANTIZATION_AWQ:
		return read_awq(q, object, info);
	case QUANTIZATION_COMPRESSED:
		return read_compressed(q, object, info);
	case QUANTIZATION_NONE:
		break;
	}
	assert(false && "a method of the enum");
	return ERR_UNSUPPORTED;
}

enum err model_quantization_from_json(struct model_quantization *q, const json_t *object,
	struct err_info *info)
{
	const char *method = NULL;

	*q = (struct model_quantization){0};
	if (!json_is_object(object))
		return err_set(info, ERR_INPUT, "quantization_config: not an object");
	if (json_get_string(object, "quant_method", &method, info))
		return err_prefix(info, "quantization_config");
	if (!method)
		return err_set(info, ERR_INPUT, "quantization_config: quant_method is missing");
	for (size_t i = 1; i < METHOD_COUNT; i++)
		if (strcmp(method, METHODS[i]) == 0)
			q->method = (enum quantization_method)i;
	if (q->method == QUANTIZATION_NONE)
		return err_set(info, ERR_UNSUPPORTED,
			"quantization_config: quant_method %.32s is not supported, only fp8, gptq, "
			"awq and compressed-tensors; take another release or a GGUF file",
			method);
	if (read_method(q, object, info))
		return err_prefix(info, "quantization_config: %s", method);
	return ERR_NONE;
}

void model_quantization_format(char out[QUANTIZATION_NAME_MAX], const struct model_quantization *q)
{
	const struct quantization_scheme *first = &q->schemes[0];
	char scale[32] = "";

	out[0] = 0;
	if (q->method == QUANTIZATION_NONE)
		return;
	if (first->group && first->group_rows > 1)
		snprintf(scale, sizeof(scale), " block %" PRIu32 "x%" PRIu32, first->group_rows,
			first->group);
	else if (first->group)
		snprintf(scale, sizeof(scale), " group %" PRIu32, first->group);
	snprintf(out, QUANTIZATION_NAME_MAX, "%s %s%s", METHODS[q->method],
		first->is_float ? "e4m3" : first->bits == 4 ? "int4" : "int8", scale);
}
