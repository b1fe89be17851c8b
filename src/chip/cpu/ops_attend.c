/* chip/cpu/ops_attend.c - attention: tiles of queries over the keys and values in their pages.
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
	const uint32_t end = math_divide_up_u32(queries[p->count - 1].keys, CPU_ATTEND_SPAN);

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
