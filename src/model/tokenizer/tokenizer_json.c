/* model/tokenizer/tokenizer_json.c - a tokenizer from tokenizer.json: a vocabulary of byte pairs
 * and what pipeline_json.c makes of the rest. */
#include <string.h>

#include "base/json.h"
#include "model/tokenizer/pipeline_json.h"
#include "model/tokenizer/source_builder.h"
#include "model/tokenizer/tokenizer.h"

static bool type_is(const json_t *object, const char *type)
{
	const char *value = json_string_value(json_object_get(object, "type"));

	return value && strcmp(value, type) == 0;
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static bool is_absent_or_empty(const json_t *value)
{
	return !value || json_is_null(value) ||
	       (json_is_string(value) && json_string_length(value) == 0);
}

static enum err check_model(const json_t *model, struct err_info *info)
{
	static const char *const unsupported[] = {
		"continuing_subword_prefix", "end_of_word_suffix"};
	const json_t *type = json_object_get(model, "type");

	if (!json_is_object(model))
		return err_set(info, ERR_INPUT, "model is not an object");
	if (type && !type_is(model, "BPE"))
		return err_set(info, ERR_UNSUPPORTED, "model: %.64s is not supported, only BPE",
			json_is_string(type) ? json_string_value(type) : "this type");
	if (is_true(model, "byte_fallback"))
		return err_set(info, ERR_UNSUPPORTED, "model: byte_fallback");
	if (json_number_value(json_object_get(model, "dropout")) > 0)
		return err_set(info, ERR_UNSUPPORTED, "model: dropout");
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
		if (!is_absent_or_empty(json_object_get(model, unsupported[i])))
			return err_set(info, ERR_UNSUPPORTED, "model: %s", unsupported[i]);
	return ERR_NONE;
}

/* A merge is "left right", or, in newer files, ["left", "right"]. */
static enum err read_merge(const json_t *value, struct tokenizer_merge *out, size_t index,
	struct err_info *info)
{
	const json_t *left = json_array_get(value, 0), *right = json_array_get(value, 1);

	if (json_is_string(value) && tokenizer_merge_split(source_text(value), out))
		return ERR_NONE;
	if (json_array_size(value) == 2 && json_string_length(left) > 0 &&
		json_string_length(right) > 0) {
		out->left = source_text(left);
		out->right = source_text(right);
		return ERR_NONE;
	}
	return err_set(info, ERR_INPUT, "merge %zu: not a pair", index);
}

static enum err read_model(struct source_builder *b, const json_t *model, struct err_info *info)
{
	const json_t *merges = json_object_get(model, "merges");
	enum err code;

	if ((code = check_model(model, info)) ||
		(code = source_builder_vocab(b, json_object_get(model, "vocab"), info)))
		return code;
	if (!json_is_array(merges))
		return err_set(info, ERR_INPUT, "model: merges is not an array");
	for (size_t i = 0; i < json_array_size(merges); i++) {
		struct tokenizer_merge merge;

		if ((code = read_merge(json_array_get(merges, i), &merge, i, info)) ||
			(code = source_builder_merge(b, merge, info)))
			return code;
	}
	b->source.ignore_merges = is_true(model, "ignore_merges");
	b->source.fuse_unk = is_true(model, "fuse_unk");
	b->source.unk_id = source_builder_find(b, json_object_get(model, "unk_token"));
	return ERR_NONE;
}

static enum err read_added(struct source_builder *b, const json_t *list, struct err_info *info)
{
	enum err code = ERR_NONE;

	for (size_t i = 0; i < json_array_size(list) && !code; i++) {
		const json_t *entry = json_array_get(list, i);
		int64_t id = -1;

		code = json_get_int(entry, "id", 0, (int64_t)TOKENIZER_TOKENS_MAX - 1, &id, info);
		if (!code)
			code = source_builder_added(b, entry, id, info);
	}
	return code;
}

static enum err read_tokenizer(struct source_builder *b, const json_t *root, struct err_info *info)
{
	enum err code;

	if (!json_is_object(root))
		return err_set(info, ERR_INPUT, "not an object");
	if ((code = pipeline_normalizer(
		     json_object_get(root, "normalizer"), &b->source.normalizer, info)) ||
		(code = pipeline_pre_tokenizer(json_object_get(root, "pre_tokenizer"),
			 &b->source.pretokenizer, info)) ||
		(code = pipeline_decoder(json_object_get(root, "decoder"), info)) ||
		(code = read_model(b, json_object_get(root, "model"), info)) ||
		(code = read_added(b, json_object_get(root, "added_tokens"), info)))
		return code;
	b->source.bos_id = source_builder_find(
		b, pipeline_first_token(json_object_get(root, "post_processor")));
	b->source.adds_bos = b->source.bos_id != TOKENIZER_ID_NONE;
	return ERR_NONE;
}

enum err source_read_json(const char *text, size_t size, const char *config, size_t config_size,
	tokenizer_use *use, void *context, struct err_info *info)
{
	json_t *root = NULL, *config_root = NULL;
	struct source_builder b;
	enum err code;

	source_builder_init(&b);
	if ((code = json_parse(&root, text, size, &JSON_LIMITS_FILE, true, info)) ||
		(code = read_tokenizer(&b, root, info)) ||
		(code = source_builder_config(&b, config, config_size, &config_root, info)))
		goto done;
	code = use(context, source_builder_finish(&b), info);
done:
	source_builder_close(&b);
	json_decref(config_root);
	json_decref(root);
	return code;
}

enum err tokenizer_open_json(struct tokenizer **out, const char *text, size_t size,
	const char *config, size_t config_size, struct err_info *info)
{
	*out = NULL;
	return source_read_json(text, size, config, config_size, source_open_tokenizer, out, info);
}
