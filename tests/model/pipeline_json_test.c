/* tests/model/pipeline_json_test.c - what a tokenizer.json says it does with text is understood, or
 * refused by its name. */
#include "unit.h"

#include <string.h>

#include "model/tokenizer/pipeline_json.h"

static json_t *parse(const char *text)
{
	struct err_info info = {0};
	json_t *node = NULL;

	if (json_parse(&node, text, strlen(text), &JSON_LIMITS_FILE, true, &info))
		fail_msg("%s: %s", text, info.text);
	return node;
}

static void assert_normalizer(const char *text, enum err code, size_t count, const char *says)
{
	struct normalizer_steps steps = {.count = 0};
	struct err_info info = {0};
	json_t *node = parse(text);

	assert_int_equal(pipeline_normalizer(node, &steps, &info), code);
	assert_string_equal(info.text, says);
	assert_int_equal(code ? 0 : steps.count, count);
	json_decref(node);
}

static void assert_pre_tokenizer(const char *text, enum err code, size_t count, const char *says)
{
	struct pretokenizer_steps steps = {.count = 0};
	struct err_info info = {0};
	json_t *node = parse(text);

	assert_int_equal(pipeline_pre_tokenizer(node, &steps, &info), code);
	assert_string_equal(info.text, says);
	assert_int_equal(code ? 0 : steps.count, count);
	json_decref(node);
}

#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define STEPS(list) "{\"type\":\"Sequence\",\"pretokenizers\":[" list "]}"

#define ONLY_NORMALIZERS \
	", only NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace and Sequence"

static void normalizers_are_read_or_named(void **state)
{
	(void)state;
	assert_normalizer("null", ERR_NONE, 0, "");
	assert_normalizer("{\"type\":\"NFKD\"}", ERR_NONE, 1, "");
	assert_normalizer("{\"type\":\"Sequence\",\"normalizers\":[]}", ERR_NONE, 0, "");
	assert_normalizer("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
		"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}]}",
		ERR_NONE, 2, "");
	assert_normalizer("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA\"}",
		ERR_UNSUPPORTED, 0, "normalizer: Precompiled is not supported" ONLY_NORMALIZERS);
	assert_normalizer("{\"type\":\"BertNormalizer\"}", ERR_UNSUPPORTED, 0,
		"normalizer: BertNormalizer is not supported" ONLY_NORMALIZERS);
	assert_normalizer("{}", ERR_UNSUPPORTED, 0,
		"normalizer: a step without a type is not supported" ONLY_NORMALIZERS);
	assert_normalizer("[1]", ERR_UNSUPPORTED, 0,
		"normalizer: a step without a type is not supported" ONLY_NORMALIZERS);
	assert_normalizer("{\"type\":\"Replace\",\"content\":\"x\"}", ERR_INPUT, 0,
		"normalizer: Replace: Regex is not a text");
	assert_normalizer("{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"}}", ERR_INPUT, 0,
		"normalizer: Replace: content is not a text");
	assert_normalizer("{\"type\":\"Prepend\",\"prepend\":7}", ERR_INPUT, 0,
		"normalizer: Prepend: prepend is not a text");
}

static void pre_tokenizers_are_read_or_named(void **state)
{
	(void)state;
	assert_pre_tokenizer(BYTES, ERR_NONE, 0, "");
	assert_pre_tokenizer("{\"type\":\"ByteLevel\"}", ERR_NONE, 2, "");  /* a space, GPT-2 */
	assert_pre_tokenizer(STEPS("{\"type\":\"Digits\",\"individual_digits\":true},"
		"{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}," BYTES), ERR_NONE, 2, "");
	assert_pre_tokenizer(STEPS("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}\"},"
		"\"behavior\":\"Isolated\",\"invert\":false}," BYTES), ERR_NONE, 1, "");
	assert_pre_tokenizer(STEPS("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
		"\"behavior\":\"Dropped\",\"invert\":false}," BYTES), ERR_UNSUPPORTED, 0,
		"pre_tokenizer: the behavior Dropped is not supported");
	assert_pre_tokenizer(STEPS("{\"type\":\"Split\",\"pattern\":\"a\","
		"\"behavior\":\"Isolated\"}," BYTES), ERR_INPUT, 0,
		"pre_tokenizer: Split: Regex is not a text");
	assert_pre_tokenizer(STEPS("{\"type\":\"Whitespace\"}," BYTES), ERR_UNSUPPORTED, 0,
		"pre_tokenizer: Whitespace is not supported, only Split, Digits, Punctuation, "
		"ByteLevel and Sequence");
	assert_pre_tokenizer(STEPS(BYTES ",{\"type\":\"Digits\"}"), ERR_UNSUPPORTED, 0,
		"pre_tokenizer: Digits behind ByteLevel is not supported");
	assert_pre_tokenizer(STEPS(""), ERR_UNSUPPORTED, 0,
		"pre_tokenizer: no ByteLevel; only byte-level vocabularies are supported");
	assert_pre_tokenizer("null", ERR_UNSUPPORTED, 0,
		"pre_tokenizer: no ByteLevel; only byte-level vocabularies are supported");
}

#define FOUR(text) text text text text

static void sequences_end_somewhere(void **state)
{
	(void)state;
	assert_pre_tokenizer(FOUR("{\"type\":\"Sequence\",\"pretokenizers\":[")
		FOUR("{\"type\":\"Sequence\",\"pretokenizers\":[") BYTES FOUR("]}") FOUR("]}"),
		ERR_NONE, 0, "");
	assert_pre_tokenizer("{\"type\":\"Sequence\",\"pretokenizers\":["
		FOUR("{\"type\":\"Sequence\",\"pretokenizers\":[")
		FOUR("{\"type\":\"Sequence\",\"pretokenizers\":[") BYTES FOUR("]}") FOUR("]}") "]}",
		ERR_LIMIT, 0, "pre_tokenizer: more than 8 sequences in each other");
	assert_normalizer("{\"type\":\"Sequence\",\"normalizers\":["
		FOUR("{\"type\":\"Sequence\",\"normalizers\":[")
		FOUR("{\"type\":\"Sequence\",\"normalizers\":[") FOUR("]}") FOUR("]}") "]}",
		ERR_LIMIT, 0, "normalizer: more than 8 sequences in each other");
	assert_normalizer("{\"type\":\"Sequence\",\"normalizers\":["
		FOUR(FOUR("{\"type\":\"NFC\"},")) "{\"type\":\"NFC\"}]}",
		ERR_LIMIT, 0, "normalizer: more than 16 steps");
}

static void the_first_token_is_found_in_a_template(void **state)
{
	static const char *const cases[][2] = {
		{"null", ""},
		{"{\"type\":\"ByteLevel\"}", ""},
		{"{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
		 "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\"}}]}", "<s>"},
		{"{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},"
		 "{\"SpecialToken\":{\"id\":\"</s>\"}}]}", ""},
		{"{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
		 "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
		 "{\"id\":\"<|begin|>\"}}]}]}", "<|begin|>"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *node = parse(cases[i][0]);
		const char *found = json_string_value(pipeline_first_token(node));

		assert_string_equal(found ? found : "", cases[i][1]);
		json_decref(node);
	}
}

static void only_bytes_are_decoded(void **state)
{
	struct err_info info = {0};
	json_t *bytes = parse("{\"type\":\"ByteLevel\"}"), *word = parse("{\"type\":\"WordPiece\"}");

	(void)state;
	assert_int_equal(pipeline_decoder(NULL, &info), ERR_NONE);
	assert_int_equal(pipeline_decoder(bytes, &info), ERR_NONE);
	assert_int_equal(pipeline_decoder(word, &info), ERR_UNSUPPORTED);
	assert_string_equal(info.text, "decoder: WordPiece is not supported, only ByteLevel");
	json_decref(bytes);
	json_decref(word);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(normalizers_are_read_or_named),
	cmocka_unit_test(pre_tokenizers_are_read_or_named),
	cmocka_unit_test(sequences_end_somewhere),
	cmocka_unit_test(the_first_token_is_found_in_a_template),
	cmocka_unit_test(only_bytes_are_decoded),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
