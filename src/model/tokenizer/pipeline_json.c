/* model/tokenizer/pipeline_json.c - see pipeline_json.h. */
#include "model/tokenizer/pipeline_json.h"

#include <string.h>

static const char *type_of(const json_t *node)
{
	const char *type = json_string_value(json_object_get(node, "type"));

	return type ? type : "a step without a type";
}

static bool type_is(const json_t *node, const char *type)
{
	return strcmp(type_of(node), type) == 0;
}

/* A required text; where names the step. */
static enum err read_text(const json_t *node, const char *key, const char *where, const char **text,
	size_t *size, struct err_info *info)
{
	const json_t *value = json_object_get(node, key);

	if (!json_is_string(value))
		return err_set(info, ERR_INPUT, "%s: %s is not a text", where, key);
	*text = json_string_value(value);
	*size = json_string_length(value);
	return ERR_NONE;
}

/* {"Regex": text} or {"String": text}. */
static enum err read_pattern(const json_t *node, const char *where, const char **text, size_t *size,
	bool *literal, struct err_info *info)
{
	const json_t *pattern = json_object_get(node, "pattern");

	*literal = json_object_get(pattern, "String") != NULL;
	return read_text(pattern, *literal ? "String" : "Regex", where, text, size, info);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

static const struct {
	const char *type;
	enum normalizer_kind kind;
	enum normal_form form;
} NORMALIZERS[] = {
	{"NFC", NORMALIZER_FORM, NORMAL_FORM_C},
	{"NFD", NORMALIZER_FORM, NORMAL_FORM_D},
	{"NFKC", NORMALIZER_FORM, NORMAL_FORM_KC},
	{"NFKD", NORMALIZER_FORM, NORMAL_FORM_KD},
	{"Lowercase", NORMALIZER_LOWERCASE, NORMAL_FORM_C},
	{"Strip", NORMALIZER_STRIP, NORMAL_FORM_C},
	{"StripAccents", NORMALIZER_STRIP_ACCENTS, NORMAL_FORM_C},
	{"Prepend", NORMALIZER_PREPEND, NORMAL_FORM_C},
	{"Replace", NORMALIZER_REPLACE, NORMAL_FORM_C},
};

#define NORMALIZER_NAMES \
	"NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace and Sequence"
#define NORMALIZER_COUNT (sizeof(NORMALIZERS) / sizeof(*NORMALIZERS))

static enum err read_normalizer_step(const json_t *node, struct normalizer_steps *out,
	struct err_info *info)
{
	struct normalizer_step step = {.kind = NORMALIZER_FORM};
	size_t i = 0;
	enum err code = ERR_NONE;

	while (i < NORMALIZER_COUNT && !type_is(node, NORMALIZERS[i].type))
		i++;
	if (i == NORMALIZER_COUNT)
		return err_set(info, ERR_UNSUPPORTED,
			"normalizer: %.64s is not supported, only " NORMALIZER_NAMES,
			type_of(node));
	step.kind = NORMALIZERS[i].kind;
	step.form = NORMALIZERS[i].form;
	if (step.kind == NORMALIZER_STRIP &&
		!(code = json_get_bool(node, "strip_left", &step.left, info)))
		code = json_get_bool(node, "strip_right", &step.right, info);
	if (step.kind == NORMALIZER_PREPEND)
		code = read_text(node, "prepend", "normalizer: Prepend", &step.content,
			&step.content_size, info);
	if (step.kind == NORMALIZER_REPLACE &&
		!(code = read_pattern(node, "normalizer: Replace", &step.pattern,
			  &step.pattern_size, &step.literal, info)))
		code = read_text(node, "content", "normalizer: Replace", &step.content,
			&step.content_size, info);
	return code ? code : normalizer_add(out, step, info);
}

static enum err read_normalizer(const json_t *node, unsigned depth, struct normalizer_steps *out,
	struct err_info *info)
{
	const json_t *list = json_object_get(node, "normalizers");
	enum err code = ERR_NONE;

	if (!type_is(node, "Sequence"))
		return read_normalizer_step(node, out, info);
	if (depth == PIPELINE_DEPTH_MAX)
		return err_set(info, ERR_LIMIT, "normalizer: more than %d sequences in each other",
			PIPELINE_DEPTH_MAX);
	for (size_t i = 0; i < json_array_size(list) && !code; i++)
		code = read_normalizer(json_array_get(list, i), depth + 1, out, info);
	return code;
}

enum err pipeline_normalizer(const json_t *node, struct normalizer_steps *out,
	struct err_info *info)
{
	if (!node || json_is_null(node))
		return ERR_NONE;
	return read_normalizer(node, 0, out, info);
}

/* ---- pre_tokenizer --------------------------------------------------------------------------- */

static enum err read_behavior(const json_t *node, enum pretokenizer_behavior *out,
	struct err_info *info)
{
	static const char *const names[] = {
		[PRETOKENIZER_ISOLATED] = "Isolated",
		[PRETOKENIZER_REMOVED] = "Removed",
		[PRETOKENIZER_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
		[PRETOKENIZER_MERGED_WITH_NEXT] = "MergedWithNext",
		[PRETOKENIZER_CONTIGUOUS] = "Contiguous",
	};
	const char *name = json_string_value(json_object_get(node, "behavior"));

	for (size_t i = 0; name && i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum pretokenizer_behavior)i;
			return ERR_NONE;
		}
	}
	return err_set(info, ERR_UNSUPPORTED, "pre_tokenizer: the behavior %.64s is not supported",
		name ? name : "that is not there");
}

static enum err read_split(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info)
{
	struct pretokenizer_step step = {.kind = PRETOKENIZER_REGEX};
	enum err code;

	if ((code = read_pattern(node, "pre_tokenizer: Split", &step.pattern, &step.pattern_size,
		     &step.literal, info)) ||
		(code = read_behavior(node, &step.behavior, info)) ||
		(code = json_get_bool(node, "invert", &step.invert, info)))
		return code;
	return pretokenizer_add_regex(out, step, info);
}

static enum err read_digits(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info)
{
	static const char numbers[] = "\\p{N}+";
	bool individual = false;
	enum err code = json_get_bool(node, "individual_digits", &individual, info);

	if (code)
		return code;
	if (individual)
		return pretokenizer_add(
			out, (struct pretokenizer_step){.rule = PRETOKENIZE_DIGITS}, info);
	return pretokenizer_add(out,
		(struct pretokenizer_step){.kind = PRETOKENIZER_REGEX, .pattern = numbers,
			.pattern_size = strlen(numbers)},
		info);
}

static enum err read_punctuation(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info)
{
	static const char marks[] = "[\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e\\p{P}]";
	struct pretokenizer_step step = {.kind = PRETOKENIZER_REGEX, .pattern = marks,
		.pattern_size = strlen(marks)};

	if (json_object_get(node, "behavior") && read_behavior(node, &step.behavior, info))
		return info->code;
	return pretokenizer_add(out, step, info);
}

/* What it says of offsets concerns nobody here. */
static enum err read_byte_level(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info)
{
	struct pretokenizer_step step = {.rule = PRETOKENIZE_GPT2};
	bool prefix = true, regex = true;
	enum err code;

	if ((code = json_get_bool(node, "add_prefix_space", &prefix, info)) ||
		(code = json_get_bool(node, "use_regex", &regex, info)))
		return code;
	step.kind = PRETOKENIZER_PREFIX_SPACE;
	if (prefix && (code = pretokenizer_add(out, step, info)))
		return code;
	step.kind = PRETOKENIZER_RULE;
	return regex ? pretokenizer_add(out, step, info) : ERR_NONE;
}

/* *byte_level: a ByteLevel has been read, so that no text is left to cut. */
static enum err read_pre_tokenizer(const json_t *node, unsigned depth,
	struct pretokenizer_steps *out, bool *byte_level, struct err_info *info)
{
	static const struct {
		const char *type;
		enum err (*read)(const json_t *, struct pretokenizer_steps *, struct err_info *);
	} types[] = {{"Split", read_split}, {"Digits", read_digits},
		{"Punctuation", read_punctuation}, {"ByteLevel", read_byte_level}};
	const json_t *list = json_object_get(node, "pretokenizers");
	enum err code = ERR_NONE;

	if (type_is(node, "Sequence") && depth == PIPELINE_DEPTH_MAX)
		return err_set(info, ERR_LIMIT,
			"pre_tokenizer: more than %d sequences in each other", PIPELINE_DEPTH_MAX);
	if (type_is(node, "Sequence")) {
		for (size_t i = 0; i < json_array_size(list) && !code; i++)
			code = read_pre_tokenizer(
				json_array_get(list, i), depth + 1, out, byte_level, info);
		return code;
	}
	if (*byte_level)
		return err_set(info, ERR_UNSUPPORTED,
			"pre_tokenizer: %.64s behind ByteLevel is not supported", type_of(node));
	*byte_level = type_is(node, "ByteLevel");
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (type_is(node, types[i].type))
			return types[i].read(node, out, info);
	return err_set(info, ERR_UNSUPPORTED,
		"pre_tokenizer: %.64s is not supported, only Split, Digits, Punctuation, ByteLevel "
		"and Sequence", type_of(node));
}

enum err pipeline_pre_tokenizer(const json_t *node, struct pretokenizer_steps *out,
	struct err_info *info)
{
	bool byte_level = false;
	enum err code = ERR_NONE;

	if (node && !json_is_null(node))
		code = read_pre_tokenizer(node, 0, out, &byte_level, info);
	if (!code && !byte_level)
		code = err_set(info, ERR_UNSUPPORTED,
			"pre_tokenizer: no ByteLevel; only byte-level vocabularies are supported");
	return code;
}

/* ---- decoder, post_processor ----------------------------------------------------------------- */

enum err pipeline_decoder(const json_t *node, struct err_info *info)
{
	if (!node || json_is_null(node) || type_is(node, "ByteLevel"))
		return ERR_NONE;
	return err_set(info, ERR_UNSUPPORTED, "decoder: %.64s is not supported, only ByteLevel",
		type_of(node));
}

const json_t *pipeline_first_token(const json_t *post_processor)
{
	const json_t *list = json_object_get(post_processor, "processors");
	const json_t *first;

	if (type_is(post_processor, "Sequence")) {
		for (size_t i = 0; i < json_array_size(list); i++)
			if (type_is(json_array_get(list, i), "TemplateProcessing"))
				return pipeline_first_token(json_array_get(list, i));
		return NULL;
	}
	if (!type_is(post_processor, "TemplateProcessing"))
		return NULL;
	first = json_array_get(json_object_get(post_processor, "single"), 0);
	first = json_object_get(json_object_get(first, "SpecialToken"), "id");
	return json_is_string(first) ? first : NULL;
}
