/* tests/model/bpe_test.c - merging is the textbook's, and its time grows with the piece, not with
 * its square. */
#include "unit.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "model/tokenizer/bpe.h"

/* a is token 0, b 1 and so on; the other bytes are token 25. Doublings of a: aa 100, aaaa 101, ...
 */
#define DOUBLINGS 12

static void open_doublings(struct bpe *b)
{
	struct bpe_merge merges[DOUBLINGS];
	uint32_t byte_ids[256];

	for (unsigned i = 0; i < 256; i++)
		byte_ids[i] = i >= 'a' && i <= 'y' ? i - 'a' : 25;
	for (uint32_t i = 0; i < DOUBLINGS; i++) {
		const uint32_t half = i ? 99 + i : 0;

		merges[i] = (struct bpe_merge){.left = half, .right = half, .id = 100 + i};
	}
	assert_int_equal(bpe_open(b, byte_ids, merges, DOUBLINGS, UNIT_IGNORED), ERR_NONE);
}

static void a_million_equal_letters_take_time_in_proportion(void **state)
{
	uint64_t steps[2];
	struct arena arena;
	struct bpe b;
	char *piece = mem_alloc(BPE_PIECE_BYTES_MAX, 1);

	(void)state;
	open_doublings(&b);
	memset(piece, 'a', BPE_PIECE_BYTES_MAX);
	for (int i = 0; i < 2; i++) {
		const size_t size = i ? BPE_PIECE_BYTES_MAX : BPE_PIECE_BYTES_MAX / 16;
		struct bpe_work work = {0};

		arena_init(&arena, 4096, BPE_WORK_BYTES_MAX);
		assert_int_equal(bpe_work_reserve(&work, &arena, size, UNIT_IGNORED), ERR_NONE);
		assert_int_equal(bpe_encode(&b, &work, piece, size), size >> DOUBLINGS);
		steps[i] = work.steps;
		arena_reset(&arena);
	}
	assert_true(steps[1] < BPE_PIECE_BYTES_MAX * 64);
	assert_true(steps[1] < steps[0] * 16 * 2);
	mem_free(piece);
	bpe_close(&b);
}

static void memory_stays_within_its_limit_however_pieces_grow(void **state)
{
	struct bpe_work work = {0};
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096, BPE_WORK_BYTES_MAX);
	for (size_t size = 1; size < BPE_PIECE_BYTES_MAX; size += size / 2 + 1)
		assert_int_equal(bpe_work_reserve(&work, &arena, size, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(bpe_work_reserve(&work, &arena, BPE_PIECE_BYTES_MAX, UNIT_IGNORED),
		ERR_NONE);
	arena_reset(&arena);
}

/* The textbook: while some pair has a rank, join the leftmost of the lowest. */
static size_t encode_plainly(
	const struct bpe_merge *merges, size_t merge_count, uint32_t *ids, size_t count)
{
	for (;;) {
		size_t best_rank = merge_count, best = 0;

		for (size_t i = 0; i + 1 < count; i++) {
			for (size_t rank = 0; rank < best_rank; rank++) {
				if (merges[rank].left == ids[i] &&
					merges[rank].right == ids[i + 1]) {
					best_rank = rank;
					best = i;
				}
			}
		}
		if (best_rank == merge_count)
			return count;
		ids[best] = merges[best_rank].id;
		memmove(&ids[best + 1], &ids[best + 2], (count - best - 2) * sizeof(*ids));
		count--;
	}
}

/* Random merges over three letters; each pair once, each result a token of its own. */
static size_t random_merges(uint64_t seed, struct bpe_merge *merges, size_t merge_max)
{
	size_t count = 0;

	for (uint64_t i = 0; count < merge_max; i++) {
		const uint32_t tokens = (uint32_t)(3 + count);
		struct bpe_merge merge = {.left = (uint32_t)(prng_hash(seed, 2 * i) % tokens),
			.right = (uint32_t)(prng_hash(seed, 2 * i + 1) % tokens), .id = tokens};
		bool known = false;

		for (size_t k = 0; k < count; k++)
			known = known ||
				(merges[k].left == merge.left && merges[k].right == merge.right);
		if (!known)
			merges[count++] = merge;
	}
	return count;
}

static void equals_the_textbook_on_random_merges(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		struct bpe_work work = {0};
		struct bpe_merge merges[30];
		uint32_t byte_ids[256] = {0}, plain[200];
		struct arena arena;
		struct bpe b;
		char piece[200];

		byte_ids['b'] = 1;
		byte_ids['c'] = 2;
		const size_t merge_count = random_merges(seed, merges, 1 + seed % 30);
		const size_t size = 1 + seed % sizeof(piece);  /* short ones go another way */

		for (size_t i = 0; i < size; i++) {
			piece[i] = (char)('a' + prng_hash(seed + 1000, i) % 3);
			plain[i] = byte_ids[(unsigned char)piece[i]];
		}
		assert_int_equal(bpe_open(&b, byte_ids, merges, merge_count, UNIT_IGNORED),
			ERR_NONE);
		arena_init(&arena, 4096, BPE_WORK_BYTES_MAX);
		assert_int_equal(
			bpe_work_reserve(&work, &arena, size, UNIT_IGNORED), ERR_NONE);
		const size_t count = bpe_encode(&b, &work, piece, size);
		assert_int_equal(count, encode_plainly(merges, merge_count, plain, size));
		assert_memory_equal(work.ids, plain, count * sizeof(*plain));
		arena_reset(&arena);
		bpe_close(&b);
	}
}

/* As Hugging Face tokenizers do: what cannot be said is left out before anything is merged. */
static void a_byte_without_a_token_is_left_out(void **state)
{
	const struct bpe_merge merge = {.left = 0, .right = 1, .id = 2};
	struct bpe_work work = {0};
	uint32_t byte_ids[256];
	struct arena arena;
	struct bpe b;

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		byte_ids[i] = BPE_ID_NONE;
	byte_ids['a'] = 0;
	byte_ids['b'] = 1;
	assert_int_equal(bpe_open(&b, byte_ids, &merge, 1, UNIT_IGNORED), ERR_NONE);
	arena_init(&arena, 4096, BPE_WORK_BYTES_MAX);
	assert_int_equal(bpe_work_reserve(&work, &arena, 8, UNIT_IGNORED), ERR_NONE);
	assert_int_equal(bpe_encode(&b, &work, "xa\x04yba", 6), 2);
	assert_int_equal(work.ids[0], 2);
	assert_int_equal(work.ids[1], 0);
	assert_int_equal(bpe_encode(&b, &work, "xyz", 3), 0);
	arena_reset(&arena);
	bpe_close(&b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_million_equal_letters_take_time_in_proportion),
	cmocka_unit_test(memory_stays_within_its_limit_however_pieces_grow),
	cmocka_unit_test(equals_the_textbook_on_random_merges),
	cmocka_unit_test(a_byte_without_a_token_is_left_out),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
