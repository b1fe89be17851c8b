/* tests/model/added_token_test.c - added tokens are where tokenizer.json's flags say, and a text
 * that is not trusted has none, whatever the file does to it. Flags one by one beside Hugging
 * Face's: test_tokenizer.py. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/byte_tokens.h"
#include "model/tokenizer/tokenizer.h"

#define IDS_MAX ((size_t)1 << 20)

struct fixture {
	struct tokenizer *t;
	struct arena scratch;
	uint32_t *ids;
};

/* A vocabulary of bytes that is lower-cased, with these tokens from id 256 on. */
static void open_added(struct fixture *f, struct tokenizer_added *added, size_t count)
{
	struct token_text tokens[BYTE_TOKENS];
	struct tokenizer_source source = {.tokens = tokens, .token_count = BYTE_TOKENS,
		.added = added, .added_count = count, .unk_id = TOKENIZER_ID_NONE};
	struct err_info info = {0};

	byte_tokens_make(tokens);
	for (size_t i = 0; i < count; i++)
		added[i].id = (uint32_t)(BYTE_TOKENS + i);
	source.normalizer.steps[0].kind = NORMALIZER_LOWERCASE;
	source.normalizer.count = 1;
	if (tokenizer_open(&f->t, &source, &info))
		fail_msg("%s", info.text);
	arena_init(&f->scratch, 4096, (size_t)64 << 20);
	f->ids = mem_alloc(IDS_MAX, sizeof(*f->ids));
}

static void close_added(struct fixture *f)
{
	tokenizer_close(f->t);
	arena_reset(&f->scratch);
	mem_free(f->ids);
}

/* Bytes as they are, tokens as [256]. */
static void assert_encoded(struct fixture *f, const char *text, const struct text_span *spans,
	size_t span_count, const char *expected)
{
	struct token_list list = {.ids = f->ids, .count_max = IDS_MAX};
	struct err_info info = {0};
	char shown[512];
	size_t size = 0;

	arena_reset(&f->scratch);
	if (tokenizer_encode_spans(f->t, text, strlen(text), spans, span_count, &f->scratch, &list,
		    &info))
		fail_msg("%s", info.text);
	shown[0] = '\0';
	for (size_t i = 0; i < list.count; i++)
		size += (size_t)snprintf(shown + size, sizeof(shown) - size,
			list.ids[i] < BYTE_TOKENS ? "%c" : "[%u]", list.ids[i]);
	assert_string_equal(shown, expected);
}

static void assert_a_token_a_byte(struct fixture *f, const char *text, size_t size)
{
	const struct text_span all = {0, size};
	struct token_list list = {.ids = f->ids, .count_max = IDS_MAX};

	assert_int_equal(tokenizer_encode_spans(f->t, text, size, &all, 1, &f->scratch, &list,
				 UNIT_IGNORED), ERR_NONE);
	assert_int_equal(list.count, size);
}

#define END {.text = {"<|End|>", 7}, .special = true, .normalized = true}

static void what_a_normalizer_makes_of_a_users_text_is_no_token(void **state)
{
	struct tokenizer_added added[] = {END, {.text = {"<|RAW|>", 7}, .special = true}};
	const struct text_span all = {0, 7}, half = {0, 3}, rest = {3, 7};
	struct fixture f;

	(void)state;
	open_added(&f, added, 2);
	assert_encoded(&f, "<|END|>", &all, 1, "[256]");
	assert_encoded(&f, "<|End|>", &all, 1, "[256]");
	assert_encoded(&f, "<|END|>", NULL, 0, "<|end|>");
	assert_encoded(&f, "<|end|>", NULL, 0, "<|end|>");
	assert_encoded(&f, "<|END|>", &half, 1, "<|end|>");
	assert_encoded(&f, "<|END|>", &rest, 1, "<|end|>");
	assert_encoded(&f, "<|RAW|>", &all, 1, "[257]");
	assert_encoded(&f, "<|raw|>", &all, 1, "<|raw|>");  /* looked for as it is */
	assert_encoded(&f, "<|RAW|>", NULL, 0, "<|raw|>");
	close_added(&f);
}

static void tokens_are_found_on_both_sides_of_a_users_text(void **state)
{
	struct tokenizer_added added[] = {END, {.text = {"[U]", 3}}};
	static const char text[] = "[U]<|end|>[U]X<|END|>";
	const struct text_span spans[] = {{0, 3}, {10, 13}, {14, 21}};
	struct fixture f;

	(void)state;
	open_added(&f, added, 2);
	assert_encoded(&f, text, spans, 3, "[257]<|end|>[257]x[256]");
	close_added(&f);
}

static void white_space_goes_with_the_token_that_asks_for_it(void **state)
{
	struct tokenizer_added added[] = {{.text = {"<l>", 3}, .lstrip = true},
		{.text = {"<r>", 3}, .rstrip = true}, {.text = {"word", 4}, .single_word = true}};
	const struct text_span all = {0, 27};
	struct fixture f;

	(void)state;
	open_added(&f, added, 3);
	assert_encoded(&f, "a \n<l> b<r>\t\xe3\x80\x80 words  word", &all, 1,
		"a[256] b[257]words  [258]");
	close_added(&f);
}

/* A token of one space that takes all that follow: each run of spaces is looked at once, or this
 * would not end. */
static void a_megabyte_of_tokens_that_strip_is_linear(void **state)
{
	struct tokenizer_added added[] = {{.text = {" ", 1}, .rstrip = true, .lstrip = true},
		{.text = {"  ", 2}, .rstrip = true, .normalized = true}};
	const size_t size = IDS_MAX / 2;
	char *text = mem_alloc(size, 1);
	struct fixture f;

	(void)state;
	open_added(&f, added, 2);
	memset(text, ' ', size);
	assert_a_token_a_byte(&f, text, size);
	close_added(&f);
	mem_free(text);
}

/* As long as one may be, and all but its last byte at every place of the text. */
static void a_text_of_almost_tokens_costs_a_token_a_byte(void **state)
{
	char token[257];
	struct tokenizer_added added[] = {{.text = {token, 256}}};
	const size_t size = (size_t)1 << 18;
	char *text = mem_alloc(size, 1);
	struct fixture f;

	(void)state;
	memset(token, 'a', sizeof(token));
	token[255] = 'b';
	open_added(&f, added, 1);
	memset(text, 'a', size);
	assert_a_token_a_byte(&f, text, size);
	close_added(&f);
	mem_free(text);
}

static void tokens_beyond_a_limit_are_refused(void **state)
{
	char text[300];
	struct token_text tokens[BYTE_TOKENS];
	struct tokenizer_added added = {.id = 256, .text = {text, 257}};
	const struct tokenizer_source source = {.tokens = tokens, .token_count = BYTE_TOKENS,
		.added = &added, .added_count = 1, .unk_id = TOKENIZER_ID_NONE};
	struct err_info info = {0};
	struct tokenizer *t;

	(void)state;
	byte_tokens_make(tokens);
	memset(text, 'x', sizeof(text));
	assert_int_equal(tokenizer_open(&t, &source, &info), ERR_LIMIT);
	assert_string_equal(info.text, "added token 256 has 257 bytes, at most 256");
}

/* Were it one, a byte that nobody has a token for would end the answer. */
static void an_unknown_byte_never_becomes_a_special_token(void **state)
{
	struct token_text tokens[BYTE_TOKENS];
	const struct tokenizer_added added = {
		.id = 256, .text = {"<unk>", 5}, .special = true};
	struct tokenizer_source source = {.tokens = tokens, .token_count = BYTE_TOKENS,
		.added = &added, .added_count = 1, .unk_id = 256};
	uint32_t ids[8];
	struct token_list list = {.ids = ids, .count_max = 8};
	struct tokenizer *t;
	struct arena scratch;

	(void)state;
	byte_tokens_make(tokens);
	tokens['x'] = (struct token_text){NULL, 0};
	assert_int_equal(tokenizer_open(&t, &source, UNIT_IGNORED), ERR_NONE);
	arena_init(&scratch, 4096, 65536);
	assert_int_equal(tokenizer_encode(t, "axb", 3, false, &scratch, &list, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(list.count, 2);
	tokenizer_close(t);

	source.unk_id = 'u';
	list.count = 0;
	assert_int_equal(tokenizer_open(&t, &source, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(tokenizer_encode(t, "axb", 3, false, &scratch, &list, UNIT_IGNORED),
		ERR_NONE);
	assert_int_equal(list.count, 3);
	assert_int_equal(ids[1], 'u');
	arena_reset(&scratch);
	tokenizer_close(t);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_a_normalizer_makes_of_a_users_text_is_no_token),
	cmocka_unit_test(tokens_are_found_on_both_sides_of_a_users_text),
	cmocka_unit_test(white_space_goes_with_the_token_that_asks_for_it),
	cmocka_unit_test(a_megabyte_of_tokens_that_strip_is_linear),
	cmocka_unit_test(a_text_of_almost_tokens_costs_a_token_a_byte),
	cmocka_unit_test(tokens_beyond_a_limit_are_refused),
	cmocka_unit_test(an_unknown_byte_never_becomes_a_special_token),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
