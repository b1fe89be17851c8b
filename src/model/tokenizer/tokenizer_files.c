/* model/tokenizer/tokenizer_files.c - a tokenizer from vocab.json and merges.txt, and from
 * whatever tokenizer files a model's directory has. */
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/files/stored.h"
#include "model/tokenizer/source_builder.h"
#include "model/tokenizer/tokenizer.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define MERGES_HEADER  "#version"

/* One merge a line; a first line beginning with #version and empty lines are none. */
static enum err read_merges(struct source_builder *b, const char *text, size_t size,
	struct err_info *info)
{
	size_t line_number = 0;

	for (size_t at = 0; at < size;) {
		const char *line = text + at;
		const char *newline = memchr(line, '\n', size - at);
		size_t line_size = newline ? (size_t)(newline - line) : size - at;
		struct tokenizer_merge merge;
		enum err code;

		at += line_size + 1;
		line_number++;
		if (line_size > 0 && line[line_size - 1] == '\r')
			line_size--;
		if (line_size == 0 ||
			(line_size >= strlen(MERGES_HEADER) &&
				memcmp(line, MERGES_HEADER, strlen(MERGES_HEADER)) == 0))
			continue;
		if (!tokenizer_merge_split((struct token_text){line, line_size}, &merge))
			return err_set(info, ERR_INPUT, "merges.txt line %zu: not two tokens",
				line_number);
		if ((code = source_builder_merge(b, merge, info)))
			return code;
	}
	return ERR_NONE;
}

/* The files do not tell how to cut: tokenizer_config.json may, else the rule is the caller's. */
static enum err add_pretokenizer(struct source_builder *b, const json_t *config,
	enum pretokenize_rule rule, struct err_info *info)
{
	const json_t *regex = json_object_get(config, "pretokenize_regex");
	const struct pretokenizer_step step = {.kind = PRETOKENIZER_REGEX,
		.pattern = json_string_value(regex), .pattern_size = json_string_length(regex)};

	if (json_is_string(regex))
		return pretokenizer_add_regex(&b->source.pretokenizer, step, info);
	return pretokenizer_add(
		&b->source.pretokenizer, (struct pretokenizer_step){.rule = rule}, info);
}

enum err source_read_vocab(const char *vocab, size_t vocab_size, const char *merges,
	size_t merges_size, const char *config, size_t config_size, enum pretokenize_rule rule,
	tokenizer_use *use, void *context, struct err_info *info)
{
	json_t *vocab_root = NULL, *config_root = NULL;
	struct source_builder b;
	enum err code;

	source_builder_init(&b);
	if ((code = json_parse(&vocab_root, vocab, vocab_size, &JSON_LIMITS_FILE, true, info)) ||
		(code = source_builder_vocab(&b, vocab_root, info)) ||
		(code = read_merges(&b, merges, merges_size, info)) ||
		(code = source_builder_config(&b, config, config_size, &config_root, info)) ||
		(code = normalizer_add(&b.source.normalizer,
			 (struct normalizer_step){.form = NORMAL_FORM_C}, info)) ||
		(code = add_pretokenizer(&b, config_root, rule, info)))
		goto done;
	code = use(context, source_builder_finish(&b), info);
done:
	source_builder_close(&b);
	json_decref(config_root);
	json_decref(vocab_root);
	return code;
}

enum err tokenizer_open_vocab(struct tokenizer **out, const char *vocab, size_t vocab_size,
	const char *merges, size_t merges_size, const char *config, size_t config_size,
	enum pretokenize_rule rule, struct err_info *info)
{
	*out = NULL;
	return source_read_vocab(vocab, vocab_size, merges, merges_size, config, config_size, rule,
		source_open_tokenizer, out, info);
}

/* Reads dir/name; a file that is not there leaves out empty (data NULL) and is no
 * error unless required. */
static enum err read_file(struct buf *out, const char *dir, const char *name, bool required,
	struct err_info *info)
{
	char path[PATH_MAX];
	enum err code;

	buf_init(out, FILE_BYTES_MAX);
	if ((code = file_join(path, sizeof(path), dir, name)))
		return err_set(info, code, "%s: path too long", dir);
	if (!required && !file_exists(path))
		return ERR_NONE;
	if ((code = file_read(out, path, info)))
		return code;
	return out->data ? stored_check_fetched(out->data, out->size, path, info) : ERR_NONE;
}

static bool is_there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return !file_join(path, sizeof(path), dir, name) && file_exists(path);
}

static enum err read_dir_vocab(const char *dir, const struct buf *config,
	enum pretokenize_rule rule, tokenizer_use *use, void *context, struct err_info *info)
{
	struct buf vocab = {0}, merges = {0};
	enum err code;

	if (!is_there(dir, "vocab.json") && !is_there(dir, "merges.txt"))
		return err_set(info, ERR_NOT_FOUND, "%s: no tokenizer: neither tokenizer.json nor "
			"vocab.json and merges.txt", dir);
	if (!(code = read_file(&vocab, dir, "vocab.json", true, info)) &&
		!(code = read_file(&merges, dir, "merges.txt", true, info)) &&
		(code = source_read_vocab(vocab.data, vocab.size, merges.data, merges.size,
			 config->data, config->size, rule, use, context, info)))
		err_prefix(info, "%s/vocab.json, merges.txt", dir);
	buf_free(&merges);
	buf_free(&vocab);
	return code;
}

enum err tokenizer_read_dir(const char *dir, enum pretokenize_rule rule, tokenizer_use *use,
	void *context, struct err_info *info)
{
	struct buf text = {0}, config = {0};
	enum err code;

	if ((code = read_file(&config, dir, "tokenizer_config.json", false, info)) ||
		(code = read_file(&text, dir, "tokenizer.json", false, info)))
		goto done;
	if (!text.data) {
		code = read_dir_vocab(dir, &config, rule, use, context, info);
		goto done;
	}
	code = source_read_json(
		text.data, text.size, config.data, config.size, use, context, info);
	if (code)
		err_prefix(info, "%s/tokenizer.json", dir);
done:
	buf_free(&text);
	buf_free(&config);
	return code;
}

enum err tokenizer_open_dir(struct tokenizer **out, const char *dir, enum pretokenize_rule rule,
	struct err_info *info)
{
	*out = NULL;
	return tokenizer_read_dir(dir, rule, source_open_tokenizer, out, info);
}
