/* chip/cpu/ops_rope.c - heads of queries and keys are normed and rotated, keys and values go to
 * their pages.
 *
 * A share takes a stretch: rows of one sequence whose tokens follow each other in a page, and one
 * of the key heads. Keys lie across a page, so that several of them are stored in whole vectors,
 * and a cache line is written once.
 */
#include <string.h>

#include "base/math.h"
#include "chip/cpu/ops.h"

/* A stretch begins at a multiple of these tokens, or with the rows of its sequence. */
#define STRETCH_TOKENS 16
#define LINE_BYTES     64

struct stretch {
	uint32_t row, count;
	uint32_t kv_head;
	uint8_t *head;              /* of the page */
	uint32_t at;                /* of the first token in the page */
};

/* False if the row is within a stretch that begins before it. */
static bool find_stretch(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t kv_head, struct stretch *out)
{
	const uint32_t sequence = r->step->rows[row].sequence;
	const struct chip_sequence *s = &r->step->sequences[sequence];
	const uint32_t first = r->step->first_rows[sequence];
	const uint32_t token = r->step->tokens_before[row];

	if (row > first && token % STRETCH_TOKENS != 0)
		return false;
	const uint32_t page = r->step->pages[s->first_page + token / CHIP_PAGE_TOKENS];

	*out = (struct stretch){
		.row = row,
		.count = math_min_u32(STRETCH_TOKENS - token % STRETCH_TOKENS,
			first + s->row_count - row),
		.kv_head = kv_head,
		.head = cpu_cache_head(r->cache, op->u.qk_rope.layer, kv_head) +
			page * r->cache->page_bytes,
		.at = token % CHIP_PAGE_TOKENS,
	};
	return true;
}

/* ---- to the page ----------------------------------------------------------------------------- */

static const float *key_of(const struct run *r, const struct chip_op *op, const struct stretch *s,
	uint32_t i)
{
	return head_of(r, &op->u.qk_rope.k, s->row + i, s->kv_head);
}

static const float *value_of(const struct run *r, const struct chip_op *op,
	const struct stretch *s, uint32_t i)
{
	return head_of(r, &op->u.qk_rope.v, s->row + i, s->kv_head);
}

/* Words of keys, so many bytes from one key to the next, across the page. */
static void store_across(const struct run *r, const struct stretch *s, const void *keys,
	size_t key_bytes, uint32_t words)
{
	r->kernels->transpose(keys, key_bytes, s->count, words,
		s->head + sizeof(uint32_t) * s->at, CHIP_PAGE_TOKENS * sizeof(uint32_t));
}

static void store_f32(const struct run *r, const struct chip_op *op, const struct stretch *s)
{
	const uint32_t head_dim = op->u.qk_rope.head_dim;
	float *values = (float *)(void *)s->head + (size_t)(CHIP_PAGE_TOKENS + s->at) * head_dim;

	store_across(r, s, key_of(r, op, s, 0),
		columns(r, op->u.qk_rope.k.buffer) * sizeof(float), head_dim);
	for (uint32_t i = 0; i < s->count; i++)
		memcpy(values + (size_t)i * head_dim, value_of(r, op, s, i),
			head_dim * sizeof(float));
}

static void store_f16(const struct run *r, const struct chip_op *op, const struct stretch *s)
{
	const uint32_t head_dim = op->u.qk_rope.head_dim;
	uint16_t *keys = (uint16_t *)(void *)s->head + s->at;
	uint16_t *values = (uint16_t *)(void *)s->head +
		(size_t)(CHIP_PAGE_TOKENS + s->at) * head_dim;
	uint16_t halves[CHIP_HEAD_DIM_MAX];

	for (uint32_t i = 0; i < s->count; i++) {
		r->kernels->f16_from_f32(key_of(r, op, s, i), halves, head_dim);
		for (uint32_t d = 0; d < head_dim; d++)
			keys[(size_t)d * CHIP_PAGE_TOKENS + i] = halves[d];
		r->kernels->f16_from_f32(value_of(r, op, s, i), values + (size_t)i * head_dim,
			head_dim);
	}
}

/* In pairs: of dimensions for a key, of tokens for a value. A first token is alone only where its
 * sequence ends: zeros come after it, so that its pair holds nothing of others. A second one is
 * alone only where the first has been there before this step. */
static void store_bf16(const struct run *r, const struct chip_op *op, const struct stretch *s)
{
	const uint32_t head_dim = op->u.qk_rope.head_dim;
	uint16_t *values = (uint16_t *)(void *)s->head +
		(size_t)(CHIP_PAGE_TOKENS + s->at / 2 * 2) * head_dim;
	uint16_t keys[STRETCH_TOKENS][CHIP_HEAD_DIM_MAX];
	uint32_t i = 0;

	for (uint32_t j = 0; j < s->count; j++)
		r->kernels->bf16_from_f32(key_of(r, op, s, j), keys[j], head_dim);
	store_across(r, s, keys, sizeof(keys[0]), head_dim / 2);
	if (s->at % 2) {
		r->kernels->bf16_pairs_from_f32(NULL, value_of(r, op, s, i++), values, head_dim);
		values += (size_t)2 * head_dim;
	}
	for (; i < s->count; i += 2, values += (size_t)2 * head_dim)
		r->kernels->bf16_pairs_from_f32(value_of(r, op, s, i),
			i + 1 < s->count ? value_of(r, op, s, i + 1) : NULL, values, head_dim);
}

/* Four dimensions of a key together, a value in one piece. */
static void store_q8_0(const struct run *r, const struct chip_op *op, const struct stretch *s)
{
	const uint32_t head_dim = op->u.qk_rope.head_dim, blocks = head_dim / CHIP_KV_BLOCK;
	const size_t bytes = (size_t)head_dim * CHIP_PAGE_TOKENS;
	uint16_t *key_scales = (uint16_t *)(void *)(s->head + bytes) + s->at;
	uint8_t *values = s->head + bytes +
		(size_t)blocks * CHIP_PAGE_TOKENS * sizeof(*key_scales);
	uint16_t *value_scales = (uint16_t *)(void *)(values + bytes) + s->at;
	struct cpu_block of[CHIP_HEAD_DIM_MAX / CHIP_KV_BLOCK];
	int8_t keys[STRETCH_TOKENS][CHIP_HEAD_DIM_MAX];

	for (uint32_t i = 0; i < s->count; i++) {
		r->kernels->quantize(key_of(r, op, s, i), head_dim, CPU_BLOCK, keys[i], of);
		for (uint32_t b = 0; b < blocks; b++)
			key_scales[b * CHIP_PAGE_TOKENS + i] = math_f16_from_f32(of[b].scale);
		r->kernels->quantize(value_of(r, op, s, i), head_dim, CPU_BLOCK,
			(int8_t *)values + (size_t)(s->at + i) * head_dim, of);
		for (uint32_t b = 0; b < blocks; b++)
			value_scales[b * CHIP_PAGE_TOKENS + i] = math_f16_from_f32(of[b].scale);
	}
	store_across(r, s, keys, sizeof(keys[0]), head_dim / 4);
}

static void store(const struct run *r, const struct chip_op *op, const struct stretch *s)
{
	const enum chip_type type = r->cache->base.layout.kv_type;

	if (type == CHIP_BF16)
		store_bf16(r, op, s);
	else if (type == CHIP_Q8_0)
		store_q8_0(r, op, s);
	else if (type == CHIP_F16)
		store_f16(r, op, s);
	else
		store_f32(r, op, s);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void prefetch(const void *from, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += LINE_BYTES)
		__builtin_prefetch((const uint8_t *)from + at);
}

/* The query heads of a key head. */
static uint32_t first_query(const struct chip_op *op, uint32_t kv_head)
{
	return (uint32_t)((uint64_t)op->u.qk_rope.q.count * kv_head / op->u.qk_rope.k.count);
}

/* A row's heads lie far from those of the row before. */
static void prefetch_row(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t kv_head)
{
	const size_t bytes = op->u.qk_rope.head_dim * sizeof(float);

	for (uint32_t head = first_query(op, kv_head); head < first_query(op, kv_head + 1); head++)
		prefetch(head_of(r, &op->u.qk_rope.q, row, head), bytes);
	prefetch(head_of(r, &op->u.qk_rope.k, row, kv_head), bytes);
	prefetch(head_of(r, &op->u.qk_rope.v, row, kv_head), bytes);
}

/* Heads from x on. */
static void rope_heads(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope,
	const struct chip_vector *norm, uint32_t row, float *x, size_t stride, uint32_t count)
{
	const size_t angles = (size_t)row * rope->pairs;
	const struct cpu_heads heads = {
		.count = count,
		.stride = stride,
		.head_dim = op->u.qk_rope.head_dim,
		.weight = values(norm),
		.eps = op->u.qk_rope.eps,
		.cosines = rope->pairs ? rope->cosines + angles : NULL,
		.sines = rope->pairs ? rope->sines + angles : NULL,
		.pairs = rope->pairs,
	};

	r->kernels->rope(&heads, x);
}

static void rope_row(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope,
	uint32_t row, uint32_t kv_head)
{
	const struct chip_heads *q = &op->u.qk_rope.q, *k = &op->u.qk_rope.k;
	const uint32_t first = first_query(op, kv_head), end = first_query(op, kv_head + 1);

	rope_heads(r, op, rope, op->u.qk_rope.q_norm, row, head_of(r, q, row, first), q->stride,
		end - first);
	rope_heads(r, op, rope, op->u.qk_rope.k_norm, row, head_of(r, k, row, kv_head), k->stride,
		1);
}

static void run_stretch(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope,
	const struct stretch *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (i + 1 < s->count)
			prefetch_row(r, op, s->row + i + 1, s->kv_head);
		rope_row(r, op, rope, s->row + i, s->kv_head);
	}
	store(r, op, s);
}

void cpu_run_qk_rope(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope)
{
	const uint32_t kv_heads = op->u.qk_rope.k.count;
	struct stretch s;
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->row_count * kv_heads, &first, &end))
		for (uint32_t item = first; item < end; item++)
			if (find_stretch(r, op, item / kv_heads, item % kv_heads, &s))
				run_stretch(r, op, rope, &s);
}
