/* chip/cpu/ops_attend.c - attention: keys and values to their pages, then tiles of queries over
 * them. */
#include <string.h>

#include "base/math.h"
#include "chip/cpu/ops.h"

/* Keys lie across the page, a dimension of all its tokens together; a value lies in one piece. */
static void store_f32(float *head, uint32_t head_dim, uint32_t at, const float *key,
	const float *value)
{
	for (uint32_t d = 0; d < head_dim; d++)
		head[(size_t)d * CHIP_PAGE_TOKENS + at] = key[d];
	memcpy(head + (size_t)(CHIP_PAGE_TOKENS + at) * head_dim, value, head_dim * sizeof(float));
}

static void store_f16(const struct cpu_kernels *k, uint16_t *head, uint32_t head_dim, uint32_t at,
	const float *key, const float *value)
{
	uint16_t halves[CHIP_HEAD_DIM_MAX];

	k->f16_from_f32(key, halves, head_dim);
	for (uint32_t d = 0; d < head_dim; d++)
		head[(size_t)d * CHIP_PAGE_TOKENS + at] = halves[d];
	k->f16_from_f32(value, head + (size_t)(CHIP_PAGE_TOKENS + at) * head_dim, head_dim);
}

static void store_row(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t kv_head)
{
	const struct chip_sequence *s = &r->step->sequences[r->step->rows[row].sequence];
	const uint32_t token = r->step->tokens_before[row];
	const uint32_t page = r->step->pages[s->first_page + token / CHIP_PAGE_TOKENS];
	uint8_t *head = cpu_cache_head(r->cache, op->u.qk_rope.layer, kv_head) +
		page * r->cache->page_bytes;
	const uint32_t at = token % CHIP_PAGE_TOKENS;
	const float *key = head_of(r, &op->u.qk_rope.k, row, kv_head);
	const float *value = head_of(r, &op->u.qk_rope.v, row, kv_head);

	if (r->cache->base.layout.kv_type == CHIP_F16)
		store_f16(r->kernels, (uint16_t *)(void *)head, op->u.qk_rope.head_dim, at, key,
			value);
	else
		store_f32((float *)(void *)head, op->u.qk_rope.head_dim, at, key, value);
}

static void rope_head(const struct run *r, const struct chip_op *op, const struct chip_vector *norm,
	float *head, const struct cpu_rope *rope, uint32_t row)
{
	const size_t angles = (size_t)row * rope->pairs;

	if (norm)
		r->kernels->rms_norm(head, NULL, values(norm), op->u.qk_rope.eps,
			op->u.qk_rope.head_dim, head);
	if (rope->pairs)
		r->kernels->rope(head, rope->cosines + angles, rope->sines + angles, rope->pairs);
}

/* A key head of a row, and its part of the query heads. */
static void qk_rope_item(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope,
	uint32_t row, uint32_t kv_head)
{
	const uint32_t kv_heads = op->u.qk_rope.k.count;
	const uint32_t first = (uint32_t)((uint64_t)op->u.qk_rope.q.count * kv_head / kv_heads);
	const uint32_t end = (uint32_t)((uint64_t)op->u.qk_rope.q.count * (kv_head + 1) / kv_heads);

	for (uint32_t head = first; head < end; head++)
		rope_head(r, op, op->u.qk_rope.q_norm, head_of(r, &op->u.qk_rope.q, row, head),
			rope, row);
	rope_head(r, op, op->u.qk_rope.k_norm, head_of(r, &op->u.qk_rope.k, row, kv_head), rope,
		row);
	store_row(r, op, row, kv_head);
}

void cpu_run_qk_rope(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope)
{
	const uint32_t kv_heads = op->u.qk_rope.k.count;
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->row_count * kv_heads, &first, &end))
		for (uint32_t item = first; item < end; item++)
			qk_rope_item(r, op, rope, item / kv_heads, item % kv_heads);
}

static void attend_tile(const struct run *r, const struct chip_op *op, const struct cpu_tile *tile,
	uint32_t kv_head)
{
	const struct chip_sequence *s = &r->step->sequences[tile->sequence];
	const uint32_t head_dim = op->u.attend.head_dim;
	const uint32_t shared = op->u.attend.q.count / op->u.attend.kv_heads;
	struct cpu_query queries[CPU_ATTEND_QUERIES];
	uint32_t count = 0;
	const struct cpu_attend a = {
		.pages = cpu_cache_head(r->cache, op->u.attend.layer, kv_head),
		.page_bytes = r->cache->page_bytes,
		.table = r->step->pages + s->first_page,
		.kv_type = r->cache->base.layout.kv_type,
		.head_dim = head_dim,
		.scale = op->u.attend.scale,
	};

	for (uint32_t i = 0; i < tile->row_count * shared; i++) {
		const uint32_t row = tile->first_row + i / shared;
		const uint32_t head = kv_head * shared + i % shared;
		const uint32_t keys = r->step->tokens_before[row] + 1;
		const uint32_t window = op->u.attend.window;

		queries[count++] = (struct cpu_query){
			.q = head_of(r, &op->u.attend.q, row, head),
			.gate = op->u.attend.gate.buffer == CHIP_NONE ? NULL
				: head_of(r, &op->u.attend.gate, row, head),
			.out = row_of(r, op->u.attend.out, row) + (size_t)head * head_dim,
			.first = window > 0 && keys > window ? keys - window : 0,
			.keys = keys,
		};
		if (count == CPU_ATTEND_QUERIES || i + 1 == tile->row_count * shared) {
			r->kernels->attend(&a, queries, count);
			count = 0;
		}
	}
	for (uint32_t i = 0; i < tile->row_count; i++)
		cpu_makes_inputs(r, op, tile->first_row + i, kv_head * shared * head_dim,
			shared * head_dim);
}

/* Later tiles see more keys: they go first, so that the end is even. */
void cpu_run_attend(const struct run *r, const struct chip_op *op)
{
	const uint32_t kv_heads = op->u.attend.kv_heads;
	const uint32_t tiles = r->step->tile_count;
	uint32_t first, end;

	while (cpu_share(r->worker, tiles * kv_heads, &first, &end))
		for (uint32_t item = first; item < end; item++)
			attend_tile(r, op, &r->step->tiles[tiles - 1 - item / kv_heads],
				item % kv_heads);
}
