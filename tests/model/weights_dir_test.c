/* tests/model/weights_dir_test.c - directories and split files: what is read, which file wins, and
 * that nothing leads out. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/builtin.h"
#include "model/model_builder.h"
#include "model/weights.h"

static const struct model_builder_change NO_CHANGE;

static char *make_dir(void)
{
	char *dir = strdup("/tmp/tongyun-weights-XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

static void put(const char *dir, const char *name, const void *bytes, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void put_text(const char *dir, const char *name, const char *text)
{
	put(dir, name, text, strlen(text));
}

static void drop(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static void drop_dir(char *dir)
{
	static const char *const names[] = {"config.json", "generation_config.json",
		"tokenizer_config.json", "chat_template.jinja", "chat_template.json",
		"model.safetensors", "model.safetensors.index.json", "one", "two",
		"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m.gguf", "other.gguf"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		drop(dir, names[i]);
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

static char *make_model(void)
{
	char *dir = make_dir();
	struct buf file = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.", &NO_CHANGE);

	put_text(dir, "config.json", MODEL_BUILDER_QWEN3);
	put(dir, "model.safetensors", file.data, file.size);
	buf_free(&file);
	return dir;
}

static void check(const char *path, enum err wanted, const char *part)
{
	struct err_info info = {0};
	struct weights w;

	const enum err code = weights_open(&w, path, &info);
	if (code != wanted || !strstr(info.text, part))
		fail_msg("%d, not %d: \"%s\" should say \"%s\"", (int)code, (int)wanted,
			info.text, part);
	if (!code)
		weights_close(&w);
}

static void what_is_no_model_says_what_is_missing(void **state)
{
	char *dir = make_model();
	char path[512];

	(void)state;
	check("/nonexistent/model", ERR_NOT_FOUND, "/nonexistent/model");
	check(dir, ERR_NONE, "");
	snprintf(path, sizeof(path), "%s/model.safetensors", dir);
	check(path, ERR_UNSUPPORTED, "name the directory");
	drop(dir, "model.safetensors");
	check(dir, ERR_NOT_FOUND, "neither model.safetensors nor model.safetensors.index.json");
	put_text(dir, "model.safetensors", "");
	check(dir, ERR_INPUT, "model.safetensors: 0 bytes");
	put_text(dir, "config.json", "");
	check(dir, ERR_INPUT, "config.json: line 1");
	put_text(dir, "config.json", "[1]");
	check(dir, ERR_INPUT, "config.json");
	drop(dir, "config.json");
	check(dir, ERR_NOT_FOUND, "no config.json");
	put_text(dir, "m.gguf", "plain text");
	snprintf(path, sizeof(path), "%s/m.gguf", dir);
	check(path, ERR_INPUT, "not a GGUF file");
	drop_dir(dir);
}

static void a_config_cut_anywhere_is_refused(void **state)
{
	char *dir = make_model();

	(void)state;
	for (size_t size = 0; size < strlen(MODEL_BUILDER_QWEN3); size += 7) {
		put(dir, "config.json", MODEL_BUILDER_QWEN3, size);
		check(dir, ERR_INPUT, "config.json: line 1");
	}
	drop_dir(dir);
}

static void check_template(const char *dir, const char *wanted)
{
	struct err_info info = {0};
	struct weights w;

	assert_int_equal(weights_open(&w, dir, &info), ERR_NONE);
	if (wanted)
		assert_string_equal(w.chat_template, wanted);
	else
		assert_null(w.chat_template);
	weights_close(&w);
}

static void the_template_comes_from_jinja_then_tokenizer_config_then_the_early_file(void **state)
{
	char *dir = make_model();

	(void)state;
	check_template(dir, NULL);
	put_text(dir, "chat_template.json", "{\"chat_template\":\"early\"}");
	check_template(dir, "early");
	put_text(dir, "tokenizer_config.json",
		"{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"t\"},"
		"{\"name\":\"default\",\"template\":\"listed\"}]}");
	check_template(dir, "listed");
	put_text(dir, "tokenizer_config.json", "{\"chat_template\":\"config\"}");
	check_template(dir, "config");
	put_text(dir, "chat_template.jinja", "jinja");
	check_template(dir, "jinja");
	drop_dir(dir);
}

/* All tensors into file "one", none to "two". */
static void put_index(const char *dir, const char *first_file)
{
	const struct model_config c = model_builder_config(MODEL_BUILDER_QWEN3);
	const struct arch *arch = arch_get(c.arch);
	struct buf index;

	buf_init(&index, 65536);
	buf_add_str(&index, "{\"weight_map\":{");
	for (size_t i = 0; i < arch->rule_count; i++) {
		const struct weight_rule *rule = &arch->rules[i];
		const char *place = rule->weight == WEIGHT_HEAD ? ""
				    : rule->place == PLACE_ONCE ? "model."
								: "model.layers.0.";

		if (rule->place != PLACE_ONCE && !arch_layer_has(&c, rule->place, 0))
			continue;
		buf_printf(&index, "%s\"%s%s\":\"%s\"", i ? "," : "", place, rule->json_name,
			i ? "one" : first_file);
	}
	buf_add_str(&index, "}}");
	put(dir, "model.safetensors.index.json", index.data, index.size);
	buf_free(&index);
}

static void the_index_decides_where_a_tensor_is_taken_from(void **state)
{
	char *dir = make_dir();
	struct buf whole = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.", &NO_CHANGE);
	struct buf poisoned = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.",
		&(struct model_builder_change){.poison = "model.embed_tokens.weight", .value = 7});
	struct err_info info = {0};
	struct weights w;
	float row[32];

	(void)state;
	put_text(dir, "config.json", MODEL_BUILDER_QWEN3);
	put(dir, "one", whole.data, whole.size);
	put(dir, "two", poisoned.data, poisoned.size);
	put_index(dir, "two");
	assert_int_equal(weights_open(&w, dir, &info), ERR_NONE);
	dtype_row_to_f32(CHIP_BF16, weights_row(weights_matrix(&w, WEIGHT_EMBED, 0), 7), 32, row);
	assert_true(row[31] == 7);
	weights_close(&w);
	put_index(dir, "one");
	assert_int_equal(weights_open(&w, dir, &info), ERR_NONE);
	dtype_row_to_f32(CHIP_BF16, weights_row(weights_matrix(&w, WEIGHT_EMBED, 0), 7), 32, row);
	assert_true(row[31] != 7);
	weights_close(&w);
	buf_free(&whole);
	buf_free(&poisoned);
	drop_dir(dir);
}

static void an_index_cannot_lead_out_of_the_directory_or_to_what_is_not_there(void **state)
{
	static const char *const outside[] = {
		"../one", "/etc/passwd", "..", ".", "", "sub/one", ".hidden"};
	char *dir = make_dir();
	struct buf whole = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.", &NO_CHANGE);
	struct buf part = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.",
		&(struct model_builder_change){.drop = "model.embed_tokens.weight"});

	(void)state;
	put_text(dir, "config.json", MODEL_BUILDER_QWEN3);
	put(dir, "one", whole.data, whole.size);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		put_index(dir, outside[i]);
		check(dir, ERR_INPUT, "not a file of this directory");
	}
	put_index(dir, "two");
	check(dir, ERR_NOT_FOUND, "two");
	put(dir, "two", part.data, part.size);
	check(dir, ERR_INPUT, "tensor model.embed_tokens.weight is not in two");
	put_text(dir, "model.safetensors.index.json", "{\"weight_map\":{\"a\":7}}");
	check(dir, ERR_INPUT, "(no name)");
	put_text(dir, "model.safetensors.index.json", "{\"weight_map\":{}}");
	check(dir, ERR_INPUT, "no weight_map");
	put_text(dir, "model.safetensors.index.json", "[]");
	check(dir, ERR_INPUT, "no weight_map");
	put_text(dir, "model.safetensors.index.json", "{\"weight_map\":");
	check(dir, ERR_INPUT, "model.safetensors.index.json: line 1");
	buf_free(&whole);
	buf_free(&part);
	drop_dir(dir);
}

static void more_files_than_the_limit_are_refused(void **state)
{
	char *dir = make_dir();
	struct buf index;
	struct buf empty = safetensors_join("{}", 2, NULL, 0);
	char name[16];

	(void)state;
	put_text(dir, "config.json", MODEL_BUILDER_QWEN3);
	buf_init(&index, 1 << 20);
	for (int i = 0; i <= WEIGHTS_FILES_MAX; i++) {
		buf_printf(&index, "%s\"t%d\":\"f%d\"", i ? "," : "{\"weight_map\":{", i, i);
		snprintf(name, sizeof(name), "f%d", i);
		put(dir, name, empty.data, empty.size);
	}
	buf_add_str(&index, "}}");
	put(dir, "model.safetensors.index.json", index.data, index.size);
	check(dir, ERR_LIMIT, "more than 1024 files");
	for (int i = 0; i <= WEIGHTS_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		drop(dir, name);
	}
	buf_free(&index);
	buf_free(&empty);
	drop_dir(dir);
}

/* split GGUF. */

/* Metadata in the first shard, all tensors in the second. */
static void put_split(const char *dir, uint16_t second_number, uint16_t second_count)
{
	const struct model_config c = model_builder_config(MODEL_BUILDER_QWEN3);
	struct model_builder_sink sink = {.change = &NO_CHANGE};
	struct gguf_builder first;
	const uint16_t zero = 0, two = 2;

	gguf_builder_init(&first);
	model_builder_gguf_keys(&first, &c);
	buf_add(gguf_add_key(&first, "split.no", GGUF_U16), &zero, sizeof(zero));
	buf_add(gguf_add_key(&first, "split.count", GGUF_U16), &two, sizeof(two));
	struct buf file = gguf_builder_finish(&first);
	put(dir, "m-00001-of-00002.gguf", file.data, file.size);
	put(dir, "other.gguf", file.data, file.size);
	buf_free(&file);
	gguf_builder_init(&sink.gguf);
	buf_add(gguf_add_key(&sink.gguf, "split.no", GGUF_U16), &second_number,
		sizeof(second_number));
	buf_add(gguf_add_key(&sink.gguf, "split.count", GGUF_U16), &second_count,
		sizeof(second_count));
	model_builder_walk(&c, true, "", &NO_CHANGE, model_builder_to_gguf, &sink);
	file = gguf_builder_finish(&sink.gguf);
	put(dir, "m-00002-of-00002.gguf", file.data, file.size);
	buf_free(&file);
}

static void a_split_file_is_opened_by_its_first_shard(void **state)
{
	char *dir = make_dir();
	char first[512], second[512], other[512];

	(void)state;
	snprintf(first, sizeof(first), "%s/m-00001-of-00002.gguf", dir);
	snprintf(second, sizeof(second), "%s/m-00002-of-00002.gguf", dir);
	snprintf(other, sizeof(other), "%s/other.gguf", dir);
	put_split(dir, 1, 2);
	check(first, ERR_NONE, "");
	check(second, ERR_INPUT, "shard 2 of 2; name the first one");
	check(other, ERR_INPUT, "not called ...-00001-of-00002.gguf");
	put_split(dir, 0, 2);
	check(first, ERR_INPUT, "says it is shard 1 of 2");
	put_split(dir, 1, 3);
	check(first, ERR_INPUT, "says it is shard 2 of 3");
	drop(dir, "m-00002-of-00002.gguf");
	check(first, ERR_NOT_FOUND, "m-00002-of-00002.gguf");
	drop_dir(dir);
}

/* the model inside. */

static void the_model_inside_opens_or_says_that_there_is_none(void **state)
{
	struct err_info info = {0};
	struct weights w;
	size_t size;
	const void *bytes = builtin_model(&size);

	(void)state;
	assert_true((bytes != NULL) == (size > 0));
	assert_int_equal(strlen(builtin_model_sha256()), bytes ? 64 : 0);
	const enum err code = builtin_weights_open(&w, &info);
	assert_int_equal(code, bytes ? ERR_NONE : ERR_NOT_FOUND);
	if (code) {
		assert_non_null(strstr(info.text, "without a model inside"));
		return;
	}
	assert_true((uintptr_t)bytes % 64 == 0);
	assert_int_equal(w.config.arch, MODEL_ARCH_QWEN3_5);
	assert_non_null(w.chat_template);
	weights_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_model_says_what_is_missing),
		cmocka_unit_test(a_config_cut_anywhere_is_refused),
		cmocka_unit_test(
			the_template_comes_from_jinja_then_tokenizer_config_then_the_early_file),
		cmocka_unit_test(the_index_decides_where_a_tensor_is_taken_from),
		cmocka_unit_test(an_index_cannot_lead_out_of_the_directory_or_to_what_is_not_there),
		cmocka_unit_test(more_files_than_the_limit_are_refused),
		cmocka_unit_test(a_split_file_is_opened_by_its_first_shard),
		cmocka_unit_test(the_model_inside_opens_or_says_that_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
