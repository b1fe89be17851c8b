/* tests/model/tokenizer_gguf_test.c - a GGUF file's tokenizer is that of the checkpoint it was made
 * from. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/byte_tokens.h"
#include "model/gguf_builder.h"
#include "model/tokenizer/tokenizer_gguf.h"
#include "test_data.h"

#define IDS_MAX 256

/* Also as a user's text, which has no special token. */
static void encode(const struct tokenizer *t, const char *text, struct token_list *out)
{
	struct err_info info = {0};
	struct arena scratch;

	arena_init(&scratch, 4096, (size_t)64 << 20);
	out->count = 0;
	if (tokenizer_encode(t, text, strlen(text), false, &scratch, out, &info))
		fail_msg("%s", info.text);
	for (size_t i = 0; i < out->count; i++)
		assert_false(tokenizer_is_special(t, out->ids[i]));
	out->count = 0;
	if (tokenizer_encode(t, text, strlen(text), true, &scratch, out, &info))
		fail_msg("%s", info.text);
	arena_reset(&scratch);
}

static void check_same(const char *dir, const char *file, enum pretokenize_rule rule)
{
	static const char *const texts[] = {"", "Hello, world! 12345",
		"<|im_start|>user\n春雨<|im_end|>\n", "\xC3\xA9t\xC3\xA9 ", "a\t\n  b\r\n",
		"<think>x</think>", "\xF0\x9F\x98\x80 <|endoftext|>"};
	struct buf bytes = test_read(file);
	struct err_info info = {0};
	struct tokenizer *from_dir, *from_gguf;
	uint32_t a_ids[IDS_MAX], b_ids[IDS_MAX];
	struct token_list a = {.ids = a_ids, .count_max = IDS_MAX},
			  b = {.ids = b_ids, .count_max = IDS_MAX};
	struct gguf g;

	if (tokenizer_open_dir(&from_dir, test_path(dir), rule, &info) ||
		gguf_open(&g, bytes.data, bytes.size, file, &info) ||
		tokenizer_open_gguf(&from_gguf, &g, &info))
		fail_msg("%s", info.text);
	gguf_close(&g);
	buf_free(&bytes); /* the tokenizer keeps nothing of it */
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		encode(from_dir, texts[i], &a);
		encode(from_gguf, texts[i], &b);
		assert_int_equal(a.count, b.count);
		assert_memory_equal(a_ids, b_ids, a.count * sizeof(*a_ids));
	}
	for (uint32_t id = 0; id < tokenizer_count(from_dir); id++) {
		const struct token_text x = tokenizer_text(from_dir, id),
					y = tokenizer_text(from_gguf, id);

		assert_int_equal(x.size, y.size);
		assert_memory_equal(x.bytes ? x.bytes : "", y.bytes ? y.bytes : "", x.size);
		assert_int_equal(
			tokenizer_is_special(from_dir, id), tokenizer_is_special(from_gguf, id));
	}
	assert_int_equal(tokenizer_eos(from_dir), tokenizer_eos(from_gguf));
	tokenizer_close(from_dir);
	tokenizer_close(from_gguf);
}

static void the_golden_files_tokenize_like_their_checkpoints(void **state)
{
	(void)state;
	check_same(
		"golden/checkpoints/qwen3-f32", "golden/gguf/qwen3-q8_0.gguf", PRETOKENIZE_QWEN2);
	check_same("golden/checkpoints/qwen3_5-mini-bf16", "golden/gguf/qwen3_5-mini-f32.gguf",
		PRETOKENIZE_QWEN35);
}

/* 256 single bytes, three merges and one control token; one thing left out or made wrong. */
static struct buf make_file_of(const char *pre, const char *wrong)
{
	struct token_text bytes[BYTE_TOKENS];
	const char *tokens[260], *merges[] = {"a b", "1 2", "y \u00cc"};
	int32_t types[260];
	struct gguf_builder b;

	byte_tokens_make(bytes);
	for (int byte = 0; byte < 256; byte++) {
		tokens[byte] = bytes[byte].bytes;
		types[byte] = TOKENIZER_GGUF_NORMAL;
	}
	tokens[256] = "ab";
	types[256] = TOKENIZER_GGUF_NORMAL;
	tokens[257] = "<|im_end|>";
	types[257] = TOKENIZER_GGUF_CONTROL;
	if (strcmp(wrong, "special merge") == 0)
		types[256] = TOKENIZER_GGUF_CONTROL;
	tokens[258] = "12";
	types[258] = TOKENIZER_GGUF_NORMAL;
	tokens[259] = "y\u00cc";  /* the first byte of a combining mark */
	types[259] = TOKENIZER_GGUF_NORMAL;
	gguf_builder_init(&b);
	if (strcmp(wrong, "model") != 0)
		gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
	else
		gguf_add_string(&b, "tokenizer.ggml.model", "llama");
	if (strcmp(wrong, "tokens") != 0)
		gguf_add_strings(&b, "tokenizer.ggml.tokens", 260, tokens);
	if (strcmp(wrong, "types") != 0)
		gguf_add_i32s(&b, "tokenizer.ggml.token_type", 260, types);
	gguf_add_strings(&b, "tokenizer.ggml.merges", 3,
		strcmp(wrong, "merges") == 0 ? &tokens[256] : merges);
	gguf_add_string(&b, "general.architecture", wrong[0] ? wrong : "qwen3");
	if (pre)
		gguf_add_string(&b, "tokenizer.ggml.pre", pre);
	gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", 257);
	gguf_add_u32(&b, "tokenizer.ggml.eos_token_id", strcmp(wrong, "eos") == 0 ? 260 : 257);
	return gguf_builder_finish(&b);
}

static struct buf make_file(const char *wrong)
{
	return make_file_of(strcmp(wrong, "pre") == 0 ? "llama-bp" : "qwen35", wrong);
}

static enum err open_file(const char *wrong, struct err_info *info)
{
	struct buf file = make_file(wrong);
	struct tokenizer *t = NULL;
	struct gguf g;

	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", info), ERR_NONE);
	const enum err code = tokenizer_open_gguf(&t, &g, info);
	assert_true((t == NULL) == (code != ERR_NONE));
	tokenizer_close(t);
	gguf_close(&g);
	buf_free(&file);
	return code;
}

static void what_is_missing_or_of_another_kind_is_said(void **state)
{
	static const struct {
		const char *wrong;
		enum err wanted;
		const char *part;
	} cases[] = {
		{"", ERR_NONE, ""},
		{"types", ERR_NONE, ""},
		{"tokens", ERR_NOT_FOUND, "no tokenizer"},
		{"model", ERR_UNSUPPORTED, "llama"},
		{"pre", ERR_UNSUPPORTED, "\"llama-bp\" is not known, only qwen2 "},
		{"merges", ERR_INPUT, "merge 0"},
		{"special merge", ERR_INPUT, "merge 0: \"a\" + \"b\" is no ordinary token"},
		{"eos", ERR_INPUT, "eos_token_id is 260"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err_info info = {0};

		assert_int_equal(open_file(cases[i].wrong, &info), cases[i].wanted);
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

/* The tokens' texts with | between them. */
static const char *joined(const struct tokenizer *t, const struct token_list *list)
{
	static char text[256];
	size_t size = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct token_text token = tokenizer_text(t, list->ids[i]);

		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s", i ? "|" : "",
			(int)token.size, token.bytes);
		assert_true(size < sizeof(text));
	}
	return text;
}

/* Named as llama.cpp names them; a text of Llama 3 begins with a token unless the file says no. */
static void the_ways_of_cutting_have_llama_cpps_names(void **state)
{
	static const struct {
		const char *pre;
		const char *cut;   /* of "ab 12y\u0301" */
		bool adds_bos;
	} cases[] = {{"qwen2", "ab| |1|2|y|\xCC|\x81", false},
		{"qwen35", "ab| |1|2|y\xCC|\x81", false},
		{"llama-bpe", "ab| |12|y|\xCC|\x81", true}, {"llama3", "ab| |12|y|\xCC|\x81", true},
		{"gpt-2", "ab| |12|y|\xCC|\x81", false}, {"smollm", "ab| |1|2|y|\xCC|\x81", false},
		{"deepseek-r1-qwen", "ab| |1|2|y|\xCC|\x81", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf file = make_file_of(cases[i].pre, "");
		uint32_t ids[IDS_MAX];
		struct token_list list = {.ids = ids, .count_max = IDS_MAX};
		struct err_info info = {0};
		struct tokenizer *t = NULL;
		struct gguf g;

		if (gguf_open(&g, file.data, file.size, "test.gguf", &info) ||
			tokenizer_open_gguf(&t, &g, &info))
			fail_msg("%s", info.text);
		encode(t, "ab 12y\u0301", &list);
		assert_string_equal(joined(t, &list), cases[i].cut);
		assert_int_equal(tokenizer_adds_bos(t), cases[i].adds_bos);
		tokenizer_close(t);
		gguf_close(&g);
		buf_free(&file);
	}
}

/* Each name's expressions are known to the translator and to PCRE2. */
static void every_name_opens(void **state)
{
	static const char *const names[] = {"qwen2", "deepseek-r1-qwen", "qwen35", "llama-bpe",
		"smaug-bpe", "gpt-2", "smollm", "tekken", "gpt-4o", "llama4", "deepseek-llm",
		"deepseek-coder", "deepseek-v3", "falcon", "bloom", "viking", "bailingmoe",
		"seed-coder", "superbpe", "minicpm5", "default"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct err_info info = {0};
		struct tokenizer *t = NULL;
		struct buf file = make_file_of(names[i], "");
		uint32_t ids[IDS_MAX];
		struct token_list list = {.ids = ids, .count_max = IDS_MAX};
		struct gguf g;

		assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
		if (tokenizer_open_gguf(&t, &g, &info))
			fail_msg("%s: %s", names[i], info.text);
		encode(t, "Hello, \u4e16\u754c! 12345\n\n x", &list);
		assert_true(list.count == 24 || list.count == 23);  /* with 12 in one piece */
		tokenizer_close(t);
		gguf_close(&g);
		buf_free(&file);
	}
}

/* Qwen's files of before there were names, and other people's. */
static void a_file_without_a_name_is_cut_by_its_architecture(void **state)
{
	static const char *const cases[][2] = {{"qwen2", "ab| |1|2|y|\xCC|\x81"},
		{"qwen2moe", "ab| |1|2|y|\xCC|\x81"}, {"llama", "ab| |12|y|\xCC|\x81"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err_info info = {0};
		struct tokenizer *t = NULL;
		struct buf file = make_file_of(NULL, cases[i][0]);
		uint32_t ids[IDS_MAX];
		struct token_list list = {.ids = ids, .count_max = IDS_MAX};
		struct gguf g;

		assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
		assert_int_equal(tokenizer_open_gguf(&t, &g, &info), ERR_NONE);
		encode(t, "ab 12y\u0301", &list);
		assert_string_equal(joined(t, &list), cases[i][1]);
		tokenizer_close(t);
		gguf_close(&g);
		buf_free(&file);
	}
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
	struct buf file = make_file("");
	enum err code = ERR_MEMORY;
	struct err_info info = {0};
	struct tokenizer *t;
	struct gguf g;

	(void)state;
	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
	for (int64_t n = 1; code; n++) {
		mem_fail_after(n, 1);
		code = tokenizer_open_gguf(&t, &g, &info);
		mem_fail_after(0, 0);
		assert_true(code == ERR_NONE || code == ERR_MEMORY ||
			    code == ERR_LIMIT); /* an arena cannot grow */
	}
	tokenizer_close(t);
	gguf_close(&g);
	buf_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_files_tokenize_like_their_checkpoints),
		cmocka_unit_test(the_ways_of_cutting_have_llama_cpps_names),
		cmocka_unit_test(every_name_opens),
		cmocka_unit_test(a_file_without_a_name_is_cut_by_its_architecture),
		cmocka_unit_test(what_is_missing_or_of_another_kind_is_said),
		cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
