/* chip/cpu/ops_attend.c - attention: keys and values to their pages, then tiles of queries over
 * them.
 *
 * Where there are few tiles and long sequences, each span of keys is a share of its own, and what
 * the queries have of it is kept apart until all is there:
 *
 *	split    tile 0: | span 0 | span 1 | span 2 |  barrier  | row 0 | row 1 | ...
 *	else     tile 0: | span 0, joined with span 1, joined with span 2 |
 */
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

/* In pairs: of dimensions for a key, of tokens for a value. After the last token of a step comes a
 * value of zeros, so that its pair holds nothing of others. */
static void store_bf16(const struct cpu_kernels *k, uint16_t *head, uint32_t head_dim, uint32_t at,
	const float *key, const float *value, bool last)
{
	uint16_t *values = head + (size_t)(CHIP_PAGE_TOKENS + at / 2 * 2) * head_dim;
	uint16_t halves[CHIP_HEAD_DIM_MAX];

	k->bf16_from_f32(key, halves, head_dim);
	for (uint32_t d = 0; d < head_dim; d += 2)
		memcpy(head + ((size_t)d * CHIP_PAGE_TOKENS + at * 2), halves + d,
			2 * sizeof(halves[0]));
	k->bf16_from_f32(value, halves, head_dim);
	for (uint32_t d = 0; d < head_dim; d++)
		values[2 * d + at % 2] = halves[d];
	for (uint32_t d = 0; last && at % 2 == 0 && d < head_dim; d++)
		values[2 * d + 1] = 0;
}

/* Four dimensions of a key together, a value in one piece. */
static void store_q8_0(const struct cpu_kernels *k, uint8_t *head, uint32_t head_dim, uint32_t at,
	const float *key, const float *value)
{
	const size_t bytes = (size_t)head_dim * CHIP_PAGE_TOKENS;
	const uint32_t blocks = head_dim / CHIP_KV_BLOCK;
	uint16_t *key_scales = (uint16_t *)(void *)(head + bytes) + at;
	uint8_t *values = head + bytes + (size_t)blocks * CHIP_PAGE_TOKENS * sizeof(*key_scales);
	uint16_t *value_scales = (uint16_t *)(void *)(values + bytes) + at;
	struct cpu_block of[CHIP_HEAD_DIM_MAX / CHIP_KV_BLOCK];
	int8_t quantized[CHIP_HEAD_DIM_MAX];

	k->quantize(key, head_dim, quantized, of);
	for (uint32_t d = 0; d < head_dim; d += 4)
		memcpy(head + (size_t)d * CHIP_PAGE_TOKENS + at * 4, quantized + d, 4);
	for (uint32_t b = 0; b < blocks; b++)
		key_scales[b * CHIP_PAGE_TOKENS] = math_f16_from_f32(of[b].scale);
	k->quantize(value, head_dim, quantized, of);
	memcpy(values + (size_t)at * head_dim, quantized, head_dim);
	for (uint32_t b = 0; b < blocks; b++)
		value_scales[b * CHIP_PAGE_TOKENS] = math_f16_from_f32(of[b].scale);
}

static void store_row(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t kv_head)
{
	const struct chip_sequence *s = &r->step->sequences[r->step->rows[row].sequence];
	const uint32_t token = r->step->tokens_before[row];
	const uint32_t page = r->step->pages[s->first_page + token / CHIP_PAGE_TOKENS];
	uint8_t *head = cpu_cache_head(r->cache, op->u.qk_rope.layer, kv_head) +
		page * r->cache->page_bytes;
	const uint32_t at = token % CHIP_PAGE_TOKENS, head_dim = op->u.qk_rope.head_dim;
	const float *key = head_of(r, &op->u.qk_rope.k, row, kv_head);
	const float *value = head_of(r, &op->u.qk_rope.v, row, kv_head);
	const enum chip_type type = r->cache->base.layout.kv_type;

	if (type == CHIP_BF16)
		store_bf16(r->kernels, (uint16_t *)(void *)head, head_dim, at, key, value,
			token + 1 == s->cached_tokens + s->row_count);
	else if (type == CHIP_Q8_0)
		store_q8_0(r->kernels, head, head_dim, at, key, value);
	else if (type == CHIP_F16)
		store_f16(r->kernels, (uint16_t *)(void *)head, head_dim, at, key, value);
	else
		store_f32((float *)(void *)head, head_dim, at, key, value);
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

/* ---- attention ------------------------------------------------------------------------------- */

/* A query's head of the output. */
static float *attended(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t head)
{
	return row_of(r, op->u.attend.out, row) + (size_t)head * op->u.attend.head_dim;
}

/* Adds what a query has of further keys. */
static void join(const struct run *r, uint32_t head_dim, struct cpu_attended *into,
	const struct cpu_attended *more)
{
	const float largest = more->largest > into->largest ? more->largest : into->largest;
	const float shrink = math_expf(into->largest - largest);
	const float factor = math_expf(more->largest - largest);

	r->kernels->attend_join(into->values, shrink, more->values, factor, head_dim);
	r->kernels->attend_join(&into->sum, shrink, &more->sum, factor, 1);
	into->largest = largest;
}

static void finish(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t head,
	const struct cpu_attended *a)
{
	const float *gate = op->u.attend.gate.buffer == CHIP_NONE ? NULL
		: head_of(r, &op->u.attend.gate, row, head);

	r->kernels->attend_finish(a->values, 1.0F / a->sum, gate, op->u.attend.head_dim);
}

/* Some queries of a tile: a row's heads that share the key head, then the next row's. */
struct part {
	const struct chip_op *op;
	const struct cpu_tile *tile;
	uint32_t kv_head;
	uint32_t first, count;
};

static uint32_t shared_heads(const struct chip_op *op)
{
	return op->u.attend.q.count / op->u.attend.kv_heads;
}

static uint32_t row_of_query(const struct part *p, uint32_t i)
{
	return p->tile->first_row + (p->first + i) / shared_heads(p->op);
}

static uint32_t head_of_query(const struct part *p, uint32_t i)
{
	const uint32_t shared = shared_heads(p->op);

	return p->kv_head * shared + (p->first + i) % shared;
}

static void fill_queries(const struct run *r, const struct part *p, struct cpu_query *queries)
{
	const uint32_t window = p->op->u.attend.window;

	for (uint32_t i = 0; i < p->count; i++) {
		const uint32_t row = row_of_query(p, i), head = head_of_query(p, i);
		const uint32_t keys = r->step->tokens_before[row] + 1;

		queries[i] = (struct cpu_query){
			.q = head_of(r, &p->op->u.attend.q, row, head),
			.first = window > 0 && keys > window ? keys - window : 0,
			.keys = keys,
		};
	}
}

static struct cpu_attend keys_of(const struct run *r, const struct part *p, uint32_t span)
{
	const struct chip_sequence *s = &r->step->sequences[p->tile->sequence];

	return (struct cpu_attend){
		.pages = cpu_cache_head(r->cache, p->op->u.attend.layer, p->kv_head),
		.page_bytes = r->cache->page_bytes,
		.table = r->step->pages + s->first_page,
		.kv_type = r->cache->base.layout.kv_type,
		.rounded = r->kernels->bf16_inputs,
		.head_dim = p->op->u.attend.head_dim,
		.scale = p->op->u.attend.scale,
		.begin = span * CPU_ATTEND_SPAN,
		.end = (span + 1) * CPU_ATTEND_SPAN,
	};
}

/* All spans one after the other, the first into the output. */
static void attend_whole(const struct run *r, const struct part *p)
{
	const uint32_t head_dim = p->op->u.attend.head_dim;
	float *more = r->program->attended + (size_t)r->worker->index * r->program->attended_floats;
	struct cpu_query queries[CPU_ATTEND_QUERIES];
	struct cpu_attended all[CPU_ATTEND_QUERIES];

	fill_queries(r, p, queries);
	const uint32_t first = queries[0].first / CPU_ATTEND_SPAN;
	const uint32_t end = divide_up(queries[p->count - 1].keys, CPU_ATTEND_SPAN);

	for (uint32_t span = first; span < end; span++) {
		const struct cpu_attend a = keys_of(r, p, span);

		for (uint32_t i = 0; i < p->count; i++)
			queries[i].out.values = span > first ? more + (size_t)i * head_dim
				: attended(r, p->op, row_of_query(p, i), head_of_query(p, i));
		r->kernels->attend(&a, queries, p->count);
		for (uint32_t i = 0; i < p->count; i++)
			if (span == first)
				all[i] = queries[i].out;
			else
				join(r, head_dim, &all[i], &queries[i].out);
	}
	for (uint32_t i = 0; i < p->count; i++)
		finish(r, p->op, row_of_query(p, i), head_of_query(p, i), &all[i]);
}

/* Where a split step keeps what a query has of a span. */
static struct cpu_attended *kept(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t head, uint32_t span)
{
	const size_t query = (size_t)row * op->u.attend.q.count + head;
	const size_t index = query * r->step->span_count + span;
	struct cpu_attended *a = &r->program->kept[index];

	a->values = r->program->kept_values + index * op->u.attend.head_dim;
	return a;
}

static void attend_span(const struct run *r, const struct part *p, uint32_t span)
{
	const struct cpu_attend a = keys_of(r, p, span);
	struct cpu_query queries[CPU_ATTEND_QUERIES];

	fill_queries(r, p, queries);
	if (queries[p->count - 1].keys <= a.begin || queries[0].first >= a.end)
		return;
	for (uint32_t i = 0; i < p->count; i++)
		queries[i].out = *kept(r, p->op, row_of_query(p, i), head_of_query(p, i), span);
	r->kernels->attend(&a, queries, p->count);
	for (uint32_t i = 0; i < p->count; i++)
		*kept(r, p->op, row_of_query(p, i), head_of_query(p, i), span) = queries[i].out;
}

/* All heads of a row that share a key head are there. */
static void make_inputs(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t kv_head)
{
	const uint32_t columns_each = shared_heads(op) * op->u.attend.head_dim;

	cpu_makes_inputs(r, op, row, kv_head * columns_each, columns_each);
}

static void attend_part(const struct run *r, const struct part *p, uint32_t span)
{
	if (r->step->split)
		attend_span(r, p, span);
	else
		attend_whole(r, p);
}

static void attend_tile(const struct run *r, const struct chip_op *op, const struct cpu_tile *tile,
	uint32_t kv_head, uint32_t span)
{
	const uint32_t count = tile->row_count * shared_heads(op);

	for (uint32_t first = 0; first < count; first += CPU_ATTEND_QUERIES) {
		const uint32_t left = count - first;
		const struct part part = {op, tile, kv_head, first,
			left < CPU_ATTEND_QUERIES ? left : CPU_ATTEND_QUERIES};

		attend_part(r, &part, span);
	}
	for (uint32_t i = 0; !r->step->split && i < tile->row_count; i++)
		make_inputs(r, op, tile->first_row + i, kv_head);
}

/* What a query has of all spans, from what it has of each. */
static void join_spans(const struct run *r, const struct chip_op *op, uint32_t row, uint32_t head)
{
	const uint32_t head_dim = op->u.attend.head_dim, window = op->u.attend.window;
	const uint32_t keys = r->step->tokens_before[row] + 1;
	const uint32_t first = (window > 0 && keys > window ? keys - window : 0) / CPU_ATTEND_SPAN;
	struct cpu_attended all = *kept(r, op, row, head, first);

	all.values = attended(r, op, row, head);
	memcpy(all.values, kept(r, op, row, head, first)->values, head_dim * sizeof(float));
	for (uint32_t span = first + 1; span * CPU_ATTEND_SPAN < keys; span++)
		join(r, head_dim, &all, kept(r, op, row, head, span));
	finish(r, op, row, head, &all);
}

static void join_heads(const struct run *r, const struct chip_op *op, uint32_t row,
	uint32_t kv_head)
{
	const uint32_t shared = shared_heads(op);

	for (uint32_t i = 0; i < shared; i++)
		join_spans(r, op, row, kv_head * shared + i);
	make_inputs(r, op, row, kv_head);
}

/* Later tiles see more keys: they go first, so that the end is even. */
void cpu_run_attend(const struct run *r, const struct chip_op *op)
{
	const uint32_t kv_heads = op->u.attend.kv_heads;
	const uint32_t spans = r->step->split ? r->step->span_count : 1;
	const uint32_t tiles = r->step->tile_count;
	uint32_t first, end;

	while (cpu_share(r->worker, tiles * kv_heads * spans, &first, &end))
		for (uint32_t item = first; item < end; item++)
			attend_tile(r, op, &r->step->tiles[tiles - 1 - item / spans / kv_heads],
				item / spans % kv_heads, item % spans);
	if (!r->step->split)
		return;
	cpu_meet(r);
	while (cpu_share(r->worker, r->step->row_count * kv_heads, &first, &end))
		for (uint32_t item = first; item < end; item++)
			join_heads(r, op, item / kv_heads, item % kv_heads);
}
