/* tests/model/tokenizer_hostile_test.c - vocabularies from outside: each mistake has its error,
 * none a crash. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "model/byte_tokens.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/tokenizer.h"
#include "test_data.h"

/* A good tokenizer.json of this project's own making, for each case to spoil. */
static json_t *good_json(void)
{
	return test_read_json("golden/tokenizer/tokenizer.json");
}

static enum err open_json(json_t *root, struct tokenizer **t, struct err_info *info)
{
	char *text = json_dumps(root, 0);
	const enum err code = tokenizer_open_json(t, text, strlen(text), NULL, 0, info);

	mem_free(text);
	json_decref(root);
	assert_true((*t == NULL) == (code != ERR_NONE));
	return code;
}

/* The error of a tokenizer.json must be this. */
static void assert_refused(json_t *root, enum err code, const char *text)
{
	struct err_info info = {0};
	struct tokenizer *t;

	assert_int_equal(open_json(root, &t, &info), code);
	assert_string_equal(info.text, text);
}

static json_t *at(json_t *root, const char *a, const char *b)
{
	return json_object_get(json_object_get(root, a), b);
}

static void pipelines_that_are_not_ours_are_named(void **state)
{
	json_t *root;

	(void)state;
	root = good_json();
	json_object_set_new(json_object_get(root, "normalizer"), "type", json_string("Nmt"));
	assert_refused(root, ERR_UNSUPPORTED, "normalizer: Nmt is not supported, only NFC, NFD, "
		"NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace and Sequence");
	root = good_json();
	json_object_set_new(json_object_get(root, "model"), "type", json_string("Unigram"));
	assert_refused(root, ERR_UNSUPPORTED, "model: Unigram is not supported, only BPE");
	root = good_json();
	json_object_set_new(json_object_get(root, "model"), "byte_fallback", json_true());
	assert_refused(root, ERR_UNSUPPORTED, "model: byte_fallback");
	root = good_json();
	json_object_set_new(json_array_get(at(root, "pre_tokenizer", "pretokenizers"), 1), "type",
		json_string("Metaspace"));
	assert_refused(root, ERR_UNSUPPORTED, "pre_tokenizer: Metaspace is not supported, only "
		"Split, Digits, Punctuation, ByteLevel and Sequence");
	root = good_json();
	json_object_set_new(
		json_object_get(
			json_array_get(at(root, "pre_tokenizer", "pretokenizers"), 0), "pattern"),
		"Regex", json_string("a\\K"));
	assert_refused(root, ERR_UNSUPPORTED,
		"regex \"a\\K\": this escape at byte 1 is not supported");
	root = good_json();
	json_object_set_new(root, "pre_tokenizer", json_null());
	assert_refused(root, ERR_UNSUPPORTED,
		"pre_tokenizer: no ByteLevel; only byte-level vocabularies are supported");
}

static void vocabularies_that_contradict_themselves_are_refused(void **state)
{
	json_t *root;

	(void)state;
	root = good_json();
	json_object_set_new(at(root, "model", "vocab"), "twin", json_integer(3));
	assert_refused(root, ERR_INPUT, "token id 3 is given twice");
	root = good_json();
	json_object_set_new(at(root, "model", "vocab"), "far", json_integer(1 << 20));
	assert_refused(root, ERR_LIMIT, "token id 1048576, must be below 1048576");
	root = good_json();
	json_object_set_new(at(root, "model", "vocab"), "under", json_integer(-1));
	assert_refused(root, ERR_LIMIT, "token id -1, must be below 1048576");
	root = good_json();
	json_object_set_new(at(root, "model", "vocab"), "word", json_string("7"));
	assert_refused(root, ERR_INPUT, "the id of \"word\" is not an integer");
	root = good_json();
	json_object_set_new(
		json_array_get(json_object_get(root, "added_tokens"), 0), "id", json_integer(5));
	assert_refused(root, ERR_INPUT, "id 5 is claimed by \"&\" and \"<|endoftext|>\"");
}

static void merges_that_lead_nowhere_are_refused(void **state)
{
	json_t *root;

	(void)state;
	root = good_json();
	json_array_insert_new(at(root, "model", "merges"), 0, json_string("q q"));
	assert_refused(root, ERR_INPUT, "merge 0: \"q\" + \"q\" is no ordinary token");
	root = good_json();
	json_array_insert_new(at(root, "model", "merges"), 0, json_string("qq"));
	assert_refused(root, ERR_INPUT, "merge 0: not a pair");
	root = good_json();
	json_array_insert_new(
		at(root, "model", "merges"), 1, json_pack("[s, s]", "\xe4\xbd\xa0", "a"));
	assert_refused(root, ERR_INPUT, "merge 1: not spelled in the byte alphabet");
	root = good_json();
	json_array_insert_new(at(root, "model", "merges"), 0, json_integer(7));
	assert_refused(root, ERR_INPUT, "merge 0: not a pair");
}

/* Were this allowed, a user could write it. */
static void a_merge_never_leads_to_a_special_token(void **state)
{
	json_t *root = good_json();

	(void)state;
	json_object_set_new(at(root, "model", "vocab"), "zz", json_integer(400));
	json_array_append_new(at(root, "model", "merges"), json_string("z z"));
	json_array_append_new(json_object_get(root, "added_tokens"),
		json_pack("{s:i, s:s, s:b}", "id", 400, "content", "zz", "special", 1));
	struct err_info info = {0};
	struct tokenizer *t;

	assert_int_equal(open_json(root, &t, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "\"z\" + \"z\" is no ordinary token"));
}

static void holes_and_tokens_spelled_alike_are_tolerated(void **state)
{
	static const char *const letters[] = {"a", "b", "ab", "ab"};
	struct tokenizer_merge merge = {{"a", 1}, {"b", 1}};
	struct token_text tokens[400] = {{0}};
	struct tokenizer_source source = {
		.tokens = tokens, .token_count = 400, .merges = &merge, .merge_count = 1};
	uint32_t ids[8];
	struct token_list list = {.ids = ids, .count_max = 8};
	struct arena scratch;
	struct tokenizer *t;

	(void)state;
	byte_tokens_make(tokens + 100);
	for (size_t i = 0; i < 4; i++)
		tokens[390 + i] = (struct token_text){letters[i], strlen(letters[i])};
	assert_int_equal(tokenizer_open(&t, &source, UNIT_IGNORED), ERR_NONE);
	arena_init(&scratch, 4096, 65536);
	assert_int_equal(tokenizer_encode(t, "abba", 4, true, &scratch, &list, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(list.count, 3);
	assert_int_equal(ids[0], 392);
	assert_int_equal(ids[1], 100 + 'b');
	assert_int_equal(tokenizer_text(t, 0).size, 0);
	assert_int_equal(tokenizer_text(t, 100000).size, 0);
	arena_reset(&scratch);
	tokenizer_close(t);
}

static void tokens_too_long_or_too_many_are_over_a_limit(void **state)
{
	char *text = mem_alloc(TOKENIZER_TOKEN_BYTES_MAX + 2, 1);
	json_t *root = good_json();

	(void)state;
	memset(text, 'x', TOKENIZER_TOKEN_BYTES_MAX + 1);
	json_object_set_new(at(root, "model", "vocab"), text, json_integer(400));
	assert_refused(root, ERR_LIMIT, "token 400 has 1025 bytes, at most 1024");
	mem_free(text);

	struct tokenizer_source source = {.added_count = TOKENIZER_ADDED_MAX + 1};
	struct err_info info = {0};
	struct tokenizer *t;

	assert_int_equal(tokenizer_open(&t, &source, &info), ERR_LIMIT);
	source = (struct tokenizer_source){
		.added = &(struct tokenizer_added){.id = UINT32_MAX, .text = {"x", 1}}};
	source.added_count = 1;
	assert_int_equal(tokenizer_open(&t, &source, &info), ERR_LIMIT);
}

static void merges_txt_names_its_line(void **state)
{
	static const char good[] = "#version: 0.2\r\nu s\r\n\r\n",
			  bad[] = "#version: 0.2\nu s\nu s e\n";
	struct buf vocab = test_read("golden/tokenizer/vocab.json");
	struct err_info info = {0};
	struct tokenizer *t;

	(void)state;
	assert_int_equal(tokenizer_open_vocab(&t, vocab.data, vocab.size, good, strlen(good), NULL,
				 0, PRETOKENIZE_QWEN2, &info),
		ERR_NONE);
	tokenizer_close(t);
	assert_int_equal(tokenizer_open_vocab(&t, vocab.data, vocab.size, bad, strlen(bad), NULL, 0,
				 PRETOKENIZE_QWEN2, &info),
		ERR_INPUT);
	assert_string_equal(info.text, "merges.txt line 3: not two tokens");
	buf_free(&vocab);
}

/* Every allocation of an open fails once; nothing leaks, nothing is half open. */
static void an_open_survives_every_failed_allocation(void **state)
{
	struct buf text = test_read("golden/tokenizer/tokenizer.json");
	enum err code = ERR_MEMORY;

	(void)state;
	for (int64_t n = 1; code == ERR_MEMORY || code == ERR_LIMIT; n++) {
		struct tokenizer *t;

		assert_true(n < 100000);
		mem_fail_after(n, 1);
		code = tokenizer_open_json(&t, text.data, text.size, NULL, 0, UNIT_IGNORED);
		mem_fail_after(0, 0);
		assert_true((t == NULL) == (code != ERR_NONE));
		tokenizer_close(t);
	}
	assert_int_equal(code, ERR_NONE);
	buf_free(&text);
}

/* Cut anywhere, a file is refused and never more. */
static void a_truncated_file_is_refused(void **state)
{
	struct buf text = test_read("golden/tokenizer/tokenizer.json");

	(void)state;
	for (size_t size = 0; size < text.size - 1; size += 7) {
		struct tokenizer *t;

		assert_int_equal(
			tokenizer_open_json(&t, text.data, size, NULL, 0, UNIT_IGNORED), ERR_INPUT);
		assert_null(t);
	}
	buf_free(&text);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(pipelines_that_are_not_ours_are_named),
	cmocka_unit_test(vocabularies_that_contradict_themselves_are_refused),
	cmocka_unit_test(merges_that_lead_nowhere_are_refused),
	cmocka_unit_test(a_merge_never_leads_to_a_special_token),
	cmocka_unit_test(holes_and_tokens_spelled_alike_are_tolerated),
	cmocka_unit_test(tokens_too_long_or_too_many_are_over_a_limit),
	cmocka_unit_test(merges_txt_names_its_line),
	cmocka_unit_test(an_open_survives_every_failed_allocation),
	cmocka_unit_test(a_truncated_file_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
