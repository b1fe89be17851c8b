/* tests/model/tokenizer_test.c - text becomes the tokens that the models were trained on, special
 * ones only where the caller trusts the text, and no vocabulary from outside can do harm. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/qwen_tokenizer.h"

#define TOKENS_MAX 4096

struct fixture {
	struct tokenizer *qwen2, *qwen35;
	struct arena scratch;
	uint32_t ids[TOKENS_MAX];
};

static int fixture_open(void **state)
{
	static struct fixture f;

	f.qwen2 = open_qwen2(PRETOKENIZE_QWEN2);
	f.qwen35 = open_qwen2(PRETOKENIZE_QWEN35);
	arena_init(&f.scratch, 4096, (size_t)64 << 20);
	*state = &f;
	return 0;
}

static int fixture_close(void **state)
{
	struct fixture *f = *state;

	arena_reset(&f->scratch);
	tokenizer_close(f->qwen2);
	tokenizer_close(f->qwen35);
	return 0;
}

static struct token_list encode(
	struct fixture *f, const struct tokenizer *t, const char *text, size_t size, bool special)
{
	struct token_list list = {.ids = f->ids, .count_max = TOKENS_MAX};
	struct err_info info = {0};

	arena_reset(&f->scratch);
	if (tokenizer_encode(t, text, size, special, &f->scratch, &list, &info))
		fail_msg("%s", info.text);
	return list;
}

static void assert_ids(const struct token_list *list, const json_t *expected, const char *text)
{
	bool same = list->count == json_array_size(expected);

	for (size_t i = 0; same && i < list->count; i++)
		same = list->ids[i] == json_integer_value(json_array_get(expected, i));
	if (!same)
		fail_msg("other tokens for \"%s\"", text);
}

/* Tokens put together again are the text, whatever the tokens. */
static void assert_round_trip(
	const struct tokenizer *t, const struct token_list *list, const char *text, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct token_text token = tokenizer_text(t, list->ids[i]);

		assert_true(token.size > 0 && token.size <= size - at);
		assert_memory_equal(token.bytes, text + at, token.size);
		at += token.size;
	}
	assert_int_equal(at, size);
}

static void qwen3_goldens(void **state)
{
	struct fixture *f = *state;
	json_t *cases = test_read_json("data/tokenizer/qwen2_tok_goldens.json");
	size_t i;
	json_t *item;

	assert_int_equal(json_array_size(cases), 30);
	json_array_foreach(cases, i, item) {
		const json_t *text = json_object_get(item, "text");
		const struct token_list list = encode(
			f, f->qwen2, json_string_value(text), json_string_length(text), true);

		assert_ids(&list, json_object_get(item, "ids"), json_string_value(text));
	}
	json_decref(cases);
}

static void three_hundred_random_texts_of_all_scripts(void **state)
{
	struct fixture *f = *state;
	json_t *cases = test_read_json("data/tok_random.json");
	size_t i;
	json_t *item;

	assert_true(json_array_size(cases) >= 300);
	json_array_foreach(cases, i, item) {
		const json_t *value = json_object_get(item, "text");
		const char *text = json_string_value(value);
		struct token_list list =
			encode(f, f->qwen2, text, json_string_length(value), false);

		assert_ids(&list, json_object_get(item, "qwen2"), text);
		list = encode(f, f->qwen35, text, json_string_length(value), false);
		assert_ids(&list, json_object_get(item, "qwen35"), text);
	}
	json_decref(cases);
}

/* A tokenizer as a GGUF file gives it: arrays in GPT-2's alphabet with types, and no NFC. */
static struct tokenizer *open_as_gguf(enum pretokenize_rule rule)
{
	json_t *vocab = test_read_json("data/tokenizer/qwen2-vocab.json");
	struct buf merges_text = test_read("data/tokenizer/qwen2-merges.txt");
	const size_t count = json_object_size(vocab),
		     added_count = sizeof(QWEN3_ADDED) / sizeof(QWEN3_ADDED[0]);
	struct token_text *tokens = mem_alloc(count + added_count + 1, sizeof(*tokens));
	int32_t *types = mem_alloc(count + added_count + 1, sizeof(*types));
	struct tokenizer_merge *merges = mem_alloc(200000, sizeof(*merges));
	struct tokenizer_source source = {.tokens = tokens,
		.types = types,
		.merges = merges,
		.pretokenizer = {.steps = {{.rule = rule}}, .count = 1},
		.unk_id = TOKENIZER_ID_NONE,
		.token_count = count + added_count + 1,
		.eos_id = QWEN3_ADDED_FIRST};
	struct err_info info = {0};
	struct tokenizer *t;
	const char *key;
	json_t *id;

	json_object_foreach(vocab, key, id) {
		tokens[json_integer_value(id)] = (struct token_text){key, strlen(key)};
		types[json_integer_value(id)] = TOKENIZER_GGUF_NORMAL;
	}
	for (size_t i = 0; i < added_count; i++) {
		tokens[count + i] = (struct token_text){QWEN3_ADDED[i], strlen(QWEN3_ADDED[i])};
		types[count + i] = QWEN3_ADDED[i][1] == '|' ? TOKENIZER_GGUF_CONTROL
							    : TOKENIZER_GGUF_USER_DEFINED;
	}
	tokens[count + added_count] = (struct token_text){"[PAD0]", 6};
	types[count + added_count] = TOKENIZER_GGUF_UNUSED;
	for (char *line = strchr(merges_text.data, '\n') + 1, *end; (end = strchr(line, '\n'));
		line = end + 1)
		assert_true(tokenizer_merge_split((struct token_text){line, (size_t)(end - line)},
			&merges[source.merge_count++]));
	if (tokenizer_open(&t, &source, &info))
		fail_msg("%s", info.text);
	mem_free(tokens);
	mem_free(types);
	mem_free(merges);
	buf_free(&merges_text);
	json_decref(vocab);
	return t;
}

/* llama.cpp's vectors: texts parted by a line, and a line of ids for each. Returns how many. */
static size_t assert_llama_vectors(
	struct fixture *f, const struct tokenizer *t, const char *inputs, const char *outputs)
{
	static const char separator[] = "\n__ggml_vocab_test__\n";
	struct buf texts = test_read(inputs), lines = test_read(outputs);
	char *text = texts.data, *line = lines.data, *next;
	size_t count = 0;

	for (; text; text = next ? next + strlen(separator) : NULL, count++) {
		next = strstr(text, separator);
		const size_t size = next ? (size_t)(next - text) : strlen(text);
		const struct token_list list = encode(f, t, text, size, false);

		for (size_t i = 0; i < list.count; i++)
			assert_int_equal(strtoul(line, &line, 10), list.ids[i]);
		line += strspn(line, " ");
		assert_true(*line == '\n' || *line == '\0');
		line += *line == '\n';
		assert_round_trip(t, &list, text, size);
	}
	buf_free(&texts);
	buf_free(&lines);
	return count;
}

static void llama_cpp_vectors_of_both_rules(void **state)
{
	struct fixture *f = *state;
	struct tokenizer *qwen2 = open_as_gguf(PRETOKENIZE_QWEN2),
			 *qwen35 = open_as_gguf(PRETOKENIZE_QWEN35);

	assert_int_equal(assert_llama_vectors(f, qwen2, "data/tokenizer/ggml-vocab-qwen2.gguf.inp",
		"data/tokenizer/ggml-vocab-qwen2.gguf.out"), 47);
	assert_int_equal(
		assert_llama_vectors(f, qwen35, "data/tokenizer/ggml-vocab-qwen35.gguf.inp",
			"data/tokenizer/ggml-vocab-qwen35.gguf.out"),
		51);
	assert_true(tokenizer_is_special(qwen2, 151645));
	assert_false(tokenizer_is_special(qwen2, 151667));
	assert_int_equal(tokenizer_text(qwen2, 151669).size, 0);
	assert_int_equal(tokenizer_text(qwen2, 151645).size, 10);
	assert_int_equal(tokenizer_answer_text(qwen2, 151645).size, 0);
	assert_int_equal(tokenizer_answer_text(qwen2, 151667).size, 7);     /* <think> is text */
	assert_int_equal(tokenizer_eos(qwen2), 151643);
	tokenizer_close(qwen2);
	tokenizer_close(qwen35);
}

/* Ids as a string: "9707 1879". */
static const char *ids_text(const struct token_list *list)
{
	static char text[1024];
	size_t size = 0;

	text[0] = '\0';
	for (size_t i = 0; i < list->count && size < sizeof(text) - 16; i++)
		size += (size_t)snprintf(
			text + size, sizeof(text) - size, i ? " %u" : "%u", list->ids[i]);
	return text;
}

static void what_a_user_writes_never_becomes_an_added_token(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(QWEN3_ADDED) / sizeof(QWEN3_ADDED[0]); i++) {
		const char *text = QWEN3_ADDED[i];
		struct token_list list = encode(f, f->qwen2, text, strlen(text), false);

		assert_true(list.count > 1);
		for (size_t k = 0; k < list.count; k++)
			assert_true(list.ids[k] < QWEN3_ADDED_FIRST);
		assert_round_trip(f->qwen2, &list, text, strlen(text));
		list = encode(f, f->qwen2, text, strlen(text), true);
		assert_int_equal(list.count, 1);
		assert_int_equal(list.ids[0], QWEN3_ADDED_FIRST + i);
	}
}

static void added_tokens_count_only_wholly_inside_a_trusted_span(void **state)
{
	static const char text[] = "<|im_end|>a<|im_end|>";
	struct fixture *f = *state;
	struct token_list list = {.ids = f->ids, .count_max = TOKENS_MAX};
	const struct text_span last = {.begin = 11, .end = 21}, cut = {.begin = 12, .end = 21};
	struct token_list plain;
	uint32_t front[16];

	assert_int_equal(
		tokenizer_encode_spans(f->qwen2, text, 21, &last, 1, &f->scratch, &list,
		UNIT_IGNORED), ERR_NONE);
	assert_int_equal(list.ids[list.count - 1], 151645);
	memcpy(front, list.ids, (list.count - 1) * sizeof(*front));
	const size_t front_count = list.count - 1;
	plain = encode(f, f->qwen2, text, 11, false);
	assert_int_equal(plain.count, front_count);
	assert_memory_equal(plain.ids, front, front_count * sizeof(*front));

	list.count = 0;
	assert_int_equal(
		tokenizer_encode_spans(f->qwen2, text, 21, &cut, 1, &f->scratch, &list,
		UNIT_IGNORED), ERR_NONE);
	for (size_t i = 0; i < list.count; i++)
		assert_true(list.ids[i] < QWEN3_ADDED_FIRST);
}

/* Text on both sides of a border between trusted and not is encoded as if there were none. */
static void a_border_of_trust_is_no_border_of_words(void **state)
{
	static const char text[] = "Hello world, how are you?";
	struct fixture *f = *state;
	const struct text_span spans[] = {{.begin = 0, .end = 3}, {.begin = 8, .end = 14}};
	struct token_list list = {.ids = f->ids, .count_max = TOKENS_MAX};

	assert_int_equal(tokenizer_encode_spans(
				 f->qwen2, text, strlen(text), spans, 2, &f->scratch, &list,
				 UNIT_IGNORED),
		ERR_NONE);
	assert_string_equal(ids_text(&list), "9707 1879 11 1246 525 498 30");
}

static void broken_utf8_survives_the_round_trip(void **state)
{
	static const char *const texts[] = {"\xff", "\x80 a", "a\xc3", "\xed\xa0\x80x",
		"\xf4\x90\x80\x80", "caf\xe9", "e\xcc\x81\xff\xcc", "\xe4\xbd", "\xc0\x80",
		"\xf0\x9f\x98"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct token_list list =
			encode(f, f->qwen35, texts[i], strlen(texts[i]), false);

		if (texts[i][0] != 'e')  /* that one NFC changes */
			assert_round_trip(f->qwen35, &list, texts[i], strlen(texts[i]));
	}
	const struct token_list list = encode(f, f->qwen2, "a\0b", 3, false);
	assert_round_trip(f->qwen2, &list, "a\0b", 3);
}

static void full_is_an_answer(void **state)
{
	struct fixture *f = *state;
	struct token_list list = {.ids = f->ids, .count_max = 6};
	struct err_info info = {0};
	struct arena tiny;
	char word[20000];

	assert_int_equal(
		tokenizer_encode(f->qwen2, "a b c d e f", 11, false, &f->scratch, &list, &info),
		ERR_NONE);
	assert_int_equal(
		tokenizer_encode(f->qwen2, "g", 1, false, &f->scratch, &list, &info), ERR_LIMIT);
	assert_string_equal(info.text, "the text has more than 6 tokens");
	assert_int_equal(list.count, 6);

	memset(word, 'q', sizeof(word));
	list = (struct token_list){.ids = f->ids, .count_max = TOKENS_MAX};
	arena_init(&tiny, 4096, 65536);
	assert_int_equal(tokenizer_encode(f->qwen2, word, sizeof(word), false, &tiny, &list, &info),
		ERR_LIMIT);
	arena_reset(&tiny);
}

/* Every form of a vocabulary gives the same tokens: tokenizer.json with merges as strings or pairs,
 * vocab.json with merges.txt. */
static void files_of_every_form_agree(void **state)
{
	static const char text[] = "<|im_start|>system\n你好<|im_end|> the user's 3.14\n\n";
	static const char *const dirs[] = {"golden/checkpoints/qwen3-f32",
		"golden/checkpoints/qwen3-mini-f16", "golden/checkpoints/qwen3-mini-bf16-sharded",
		"golden/checkpoints/qwen3_5-bf16"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct err_info info = {0};
		struct tokenizer *t;

		if (tokenizer_open_dir(&t, test_path(dirs[i]), PRETOKENIZE_QWEN2, &info))
			fail_msg("%s", info.text);
		const struct token_list list = encode(f, t, text, strlen(text), true);
		assert_string_equal(ids_text(&list),
			"288 263 198 268 289 273 220 258 6 82 220 18 13 16 19 282");
		const struct token_list plain = encode(f, t, text, strlen(text), false);
		for (size_t k = 0; k < plain.count; k++)
			assert_false(tokenizer_is_special(t, plain.ids[k]));
		const struct token_text end = tokenizer_text(t, tokenizer_eos(t));

		assert_int_equal(end.size, 10);
		assert_memory_equal(end.bytes, "<|im_end|>", 10);
		tokenizer_close(t);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(qwen3_goldens),
	cmocka_unit_test(llama_cpp_vectors_of_both_rules),
	cmocka_unit_test(three_hundred_random_texts_of_all_scripts),
	cmocka_unit_test(what_a_user_writes_never_becomes_an_added_token),
	cmocka_unit_test(added_tokens_count_only_wholly_inside_a_trusted_span),
	cmocka_unit_test(a_border_of_trust_is_no_border_of_words),
	cmocka_unit_test(broken_utf8_survives_the_round_trip),
	cmocka_unit_test(full_is_an_answer),
	cmocka_unit_test(files_of_every_form_agree),
};

int main(void)
{
	return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
