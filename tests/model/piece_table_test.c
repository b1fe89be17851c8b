/* tests/model/piece_table_test.c - a short piece is found by all of its bytes, and what is
 * remembered of one is never taken for another's. */
#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "model/tokenizer/piece_table.h"

#define ARENA_BYTES ((size_t)1 << 20)

/* Texts over few letters, so that many begin or end alike. */
static size_t random_piece(uint64_t seed, char out[PIECE_BYTES_MAX])
{
	const size_t size = 1 + prng_hash(seed, 0) % PIECE_BYTES_MAX;

	for (size_t i = 0; i < size; i++)
		out[i] = (char)(prng_hash(seed, i + 1) % 2 ? 'a' : 0);
	return size;
}

static void keys_are_equal_only_of_equal_pieces(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200000; i++) {
		char a[PIECE_BYTES_MAX], b[PIECE_BYTES_MAX];
		const size_t a_size = random_piece(2 * i, a), b_size = random_piece(2 * i + 1, b);
		const struct piece_key x = piece_key_of(a, a_size), y = piece_key_of(b, b_size);
		const bool same_key = x.low == y.low && x.high == y.high && x.size == y.size;
		const bool same = a_size == b_size && memcmp(a, b, a_size) == 0;

		assert_int_equal(same_key, same);
		assert_true(!same || x.hash == y.hash);
	}
}

/* Letters and words of the alphabet that stands for itself. */
static void every_token_is_found_and_nothing_else(void **state)
{
	static const char *const words[] = {"a", "b", "ab", "abc", "abcd", "abcde", "abcdefg",
		"abcdefgh", "abcdefghi", "abcdefghijklmno", "abcdefghijklmnop",
		"abcdefghijklmnopq", "aaaaaaaa", "aaaaaaaaa", "ba"};
	struct token_text tokens[sizeof(words) / sizeof(*words)];
	const size_t count = sizeof(words) / sizeof(*words);
	const struct tokenizer_source source = {.tokens = tokens, .token_count = count};
	struct token_table t;
	struct piece_table p;

	(void)state;
	for (size_t i = 0; i < count; i++)
		tokens[i] = (struct token_text){words[i], strlen(words[i])};
	assert_int_equal(token_table_open(&t, &source, UNIT_IGNORED), ERR_NONE);
	t.kinds[3] = TOKEN_UNREACHED;
	assert_int_equal(piece_table_open(&p, &t, UNIT_IGNORED), ERR_NONE);
	for (uint32_t i = 0; i < count; i++) {
		if (strlen(words[i]) > PIECE_BYTES_MAX)
			continue;
		const struct piece_key key = piece_key_of(words[i], strlen(words[i]));

		assert_int_equal(piece_table_find(&p, &key), i == 3 ? TOKENIZER_ID_NONE : i);
	}
	for (size_t size = 1; size <= PIECE_BYTES_MAX; size++) {
		const struct piece_key key = piece_key_of("zbcdefghijklmnop", size);

		assert_int_equal(piece_table_find(&p, &key), TOKENIZER_ID_NONE);
	}
	piece_table_close(&p);
	token_table_close(&t);
}

static void what_is_remembered_belongs_to_its_piece(void **state)
{
	struct piece_memo memo = {0};
	size_t found = 0;
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096, ARENA_BYTES);
	for (uint64_t i = 0; i < 100000; i++) {
		char piece[PIECE_BYTES_MAX];
		const size_t size = random_piece(i % 20000, piece);
		const struct piece_key key = piece_key_of(piece, size);
		const struct piece_memo_entry *entry = piece_memo_find(&memo, &key);
		uint32_t ids[2] = {(uint32_t)key.low, (uint32_t)(key.high >> 32)};

		if (entry) {
			assert_int_equal(entry->count, 1 + size % 2);
			assert_memory_equal(entry->ids, ids, entry->count * sizeof(*ids));
			found++;
		}
		piece_memo_put(&memo, &arena, &key, ids, 1 + size % 2);
	}
	assert_true(found > 10000);
	arena_reset(&arena);
}

static void without_room_nothing_is_remembered(void **state)
{
	const struct piece_key key = piece_key_of("word", 4);
	const uint32_t id = 7;
	struct piece_memo memo = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096, 8192);
	for (int i = 0; i < 10000; i++)
		piece_memo_put(&memo, &arena, &key, &id, 1);
	assert_null(piece_memo_find(&memo, &key));
	arena_reset(&arena);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(keys_are_equal_only_of_equal_pieces),
	cmocka_unit_test(every_token_is_found_and_nothing_else),
	cmocka_unit_test(what_is_remembered_belongs_to_its_piece),
	cmocka_unit_test(without_room_nothing_is_remembered),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
