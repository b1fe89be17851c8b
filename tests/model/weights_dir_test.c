/* tests/model/weights_dir_test.c - directories and split files: what is read, which file wins, and
 * that nothing leads out. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chip/format.h"
#include "model/model_builder.h"
#include "model/weights/builtin.h"
#include "model/weights/weights.h"

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

/* The embedding into the file of that name, all others into "one". */
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

/* Two shards: "one" without the embedding, "two" with nothing else. */
static void put_shards(const char *dir)
{
	const char *name = "model.embed_tokens.weight";
	struct buf most = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.",
		&(struct model_builder_change){.drop = name});
	const uint16_t values[8 * 32] = {0x3f80};
	struct safetensors_builder b;

	safetensors_builder_init(&b);
	safetensors_add(&b, name, "BF16", "[8,32]", values, sizeof(values));
	struct buf embed = safetensors_builder_finish(&b);

	put_text(dir, "config.json", MODEL_BUILDER_QWEN3);
	put(dir, "one", most.data, most.size);
	put(dir, "two", embed.data, embed.size);
	put_index(dir, "two");
	buf_free(&most);
	buf_free(&embed);
}

static void tensors_are_taken_from_all_shards_each_once(void **state)
{
	char *dir = make_dir();
	struct buf whole = model_builder_safetensors(MODEL_BUILDER_QWEN3, "model.", &NO_CHANGE);
	struct err_info info = {0};
	struct weights w;
	float row[32];

	(void)state;
	put_shards(dir);
	assert_int_equal(weights_open(&w, dir, &info), ERR_NONE);
	chip_row_to_f32(CHIP_BF16, 0, weights_row(weights_matrix(&w, WEIGHT_EMBED, 0), 0), 32, row);
	assert_true(row[0] == 1 && row[1] == 0);
	weights_close(&w);
	put(dir, "one", whole.data, whole.size);
	check(dir, ERR_INPUT, "tensor model.embed_tokens.weight is in ");
	buf_free(&whole);
	drop_dir(dir);
}

static void a_shard_with_more_than_the_index_names_is_read_whole(void **state)
{
	char *dir = make_dir();
	const float eight[8] = {0};
	struct safetensors_builder b;

	(void)state;
	put_shards(dir);
	safetensors_builder_init(&b);
	safetensors_add(&b, "model.embed_tokens.weight", "BF16", "[8,32]", (uint16_t[256]){0}, 512);
	safetensors_add(&b, "model.layers.7.extra", "F32", "[8]", eight, sizeof(eight));
	struct buf more = safetensors_builder_finish(&b);

	put(dir, "two", more.data, more.size);
	check(dir, ERR_INPUT, "two: tensor model.layers.7.extra has no place");
	buf_free(&more);
	drop_dir(dir);
}

static void a_shard_that_is_no_file_or_cut_is_named(void **state)
{
	char *dir = make_dir();
	char path[512];

	(void)state;
	put_shards(dir);
	snprintf(path, sizeof(path), "%s/two", dir);
	assert_int_equal(truncate(path, 100), 0);
	check(dir, ERR_INPUT, "/two: ");
	drop(dir, "two");
	assert_int_equal(mkdir(path, 0700), 0);
	check(dir, ERR_INPUT, "/two: not a regular file");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	check(dir, ERR_INPUT, "/two: not a regular file");
	drop(dir, "two");
	assert_int_equal(symlink("two", path), 0);
	check(dir, ERR_IO, "/two: ");
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
struct split {
	uint16_t number, count;       /* of the second */
	int32_t tensors;              /* what the first says there are; below 0: nothing */
	const char *architecture;     /* what the second says; NULL: nothing */
	bool doubled;                 /* the first has a tensor of the second's */
};

static void put_split(const char *dir, const struct split *s)
{
	const struct model_config c = model_builder_config(MODEL_BUILDER_QWEN3);
	struct model_builder_sink sink = {.change = &NO_CHANGE};
	struct gguf_builder first;
	const uint16_t zero = 0, two = 2;
	const float norm[32] = {0};

	gguf_builder_init(&first);
	model_builder_gguf_keys(&first, &c);
	buf_add(gguf_add_key(&first, "split.no", GGUF_U16), &zero, sizeof(zero));
	buf_add(gguf_add_key(&first, "split.count", GGUF_U16), &two, sizeof(two));
	if (s->tensors >= 0)
		buf_add(gguf_add_key(&first, "split.tensors.count", GGUF_I32), &s->tensors,
			sizeof(s->tensors));
	if (s->doubled)
		gguf_add_tensor(&first, "output_norm.weight", 0, 1, (uint64_t[]){32}, norm,
			sizeof(norm));
	struct buf file = gguf_builder_finish(&first);
	put(dir, "m-00001-of-00002.gguf", file.data, file.size);
	put(dir, "other.gguf", file.data, file.size);
	buf_free(&file);
	gguf_builder_init(&sink.gguf);
	buf_add(gguf_add_key(&sink.gguf, "split.no", GGUF_U16), &s->number, sizeof(s->number));
	buf_add(gguf_add_key(&sink.gguf, "split.count", GGUF_U16), &s->count, sizeof(s->count));
	if (s->architecture)
		gguf_add_string(&sink.gguf, "general.architecture", s->architecture);
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
	put_split(dir, &(struct split){1, 2, 14, "qwen3", false});
	check(first, ERR_NONE, "");
	put_split(dir, &(struct split){1, 2, -1, NULL, false});
	check(first, ERR_NONE, "");
	check(second, ERR_INPUT, "shard 2 of 2; name the first one");
	check(other, ERR_INPUT, "not called ...-00001-of-00002.gguf");
	drop_dir(dir);
}

static void shards_that_do_not_belong_together_are_refused(void **state)
{
	static const struct {
		struct split split;
		const char *reason;
	} cases[] = {
		{{0, 2, -1, NULL, false}, "says it is shard 1 of 2"},
		{{1, 3, -1, NULL, false}, "says it is shard 2 of 3"},
		{{1, 0, -1, NULL, false}, "says it is shard 2 of 1"},
		{{1, 2, 15, NULL, false}, "hold 14 tensors, split.tensors.count says 15"},
		{{1, 2, -1, "llama", false}, "another model: its general.architecture is llama"},
		{{1, 2, -1, NULL, true}, "tensor output_norm.weight is in "},
	};
	char *dir = make_dir();
	char first[512];

	(void)state;
	snprintf(first, sizeof(first), "%s/m-00001-of-00002.gguf", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_split(dir, &cases[i].split);
		check(first, ERR_INPUT, cases[i].reason);
	}
	drop(dir, "m-00002-of-00002.gguf");
	check(first, ERR_NOT_FOUND, "shard 2 of 2: ");
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
		cmocka_unit_test(tensors_are_taken_from_all_shards_each_once),
		cmocka_unit_test(a_shard_with_more_than_the_index_names_is_read_whole),
		cmocka_unit_test(a_shard_that_is_no_file_or_cut_is_named),
		cmocka_unit_test(an_index_cannot_lead_out_of_the_directory_or_to_what_is_not_there),
		cmocka_unit_test(more_files_than_the_limit_are_refused),
		cmocka_unit_test(a_split_file_is_opened_by_its_first_shard),
		cmocka_unit_test(shards_that_do_not_belong_together_are_refused),
		cmocka_unit_test(the_model_inside_opens_or_says_that_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
