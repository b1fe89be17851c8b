/* chip/cost.c - see cost.h. Sums saturate at CHIP_COST_MAX: a cost that large is
 * "never" either way. */
#include "chip/cost.h"

#include <assert.h>

#include "base/math.h"
#include "base/units.h"
#include "chip/format.h"
#include "chip/driver.h"

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	assert(a >= 0 && b >= 0);
	return math_add_i64(a, b, &sum) ? math_min_i64(sum, CHIP_COST_MAX) : CHIP_COST_MAX;
}

static int64_t mul(int64_t a, int64_t b)
{
	int64_t product;

	assert(a >= 0 && b >= 0);
	return math_mul_i64(a, b, &product) ? math_min_i64(product, CHIP_COST_MAX) : CHIP_COST_MAX;
}

static void add_matrix(struct chip_cost *c, enum chip_space space, int64_t bytes, int64_t ops)
{
	if (space == CHIP_WANTED) {
		c->wanted_weight_bytes = add(c->wanted_weight_bytes, bytes);
		c->weight_ops_per_wanted = add(c->weight_ops_per_wanted, ops);
	} else {
		c->weight_bytes = add(c->weight_bytes, bytes);
		c->weight_ops_per_row = add(c->weight_ops_per_row, ops);
	}
}

void chip_cost_add_matrix(struct chip_cost *c, enum chip_space space, enum chip_type type,
	uint32_t group, uint32_t rows, uint32_t columns)
{
	add_matrix(c, space, mul(rows, (int64_t)chip_row_bytes(type, group, columns)),
		mul(2 * (int64_t)rows, columns));
}

static void add_experts(struct chip_cost *c, uint32_t experts, uint32_t used, int64_t bytes,
	int64_t ops)
{
	assert(used > 0 && used <= experts);
	assert(c->experts == 0 || (c->experts == experts && c->experts_used == used));
	c->experts = experts;
	c->experts_used = used;
	c->expert_bytes = add(c->expert_bytes, bytes);
	c->weight_ops_per_row = add(c->weight_ops_per_row, mul(used, ops));
}

void chip_cost_add_experts(struct chip_cost *c, enum chip_type type, uint32_t group,
	uint32_t experts, uint32_t used, uint32_t rows, uint32_t columns)
{
	add_experts(c, experts, used, mul(rows, (int64_t)chip_row_bytes(type, group, columns)),
		mul(2 * (int64_t)rows, columns));
}

void chip_cost_add_attention(struct chip_cost *c, enum chip_type kv_type, uint32_t heads,
	uint32_t kv_heads, uint32_t head_dim, uint32_t window)
{
	const int64_t bytes = mul(2 * (int64_t)kv_heads,
		(int64_t)chip_row_bytes(kv_type, 0, head_dim));
	const int64_t ops = mul(4 * (int64_t)heads, head_dim);

	if (window == 0) {
		c->kv_bytes_per_token = add(c->kv_bytes_per_token, bytes);
		c->attend_ops_per_key = add(c->attend_ops_per_key, ops);
		return;
	}
	assert(c->window == 0 || c->window == window);
	c->window = window;
	c->window_bytes_per_token = add(c->window_bytes_per_token, bytes);
	c->window_ops_per_key = add(c->window_ops_per_key, ops);
}

void chip_cost_add_delta(struct chip_cost *c, uint32_t v_heads, uint32_t k_dim, uint32_t v_dim,
	uint32_t conv_channels, uint32_t conv_width)
{
	const int64_t matrix = mul(mul(v_heads, k_dim), v_dim);
	const int64_t taps = mul(conv_channels, conv_width);

	c->state_bytes = add(c->state_bytes, 2 * 4 * add(matrix, taps));
	c->delta_ops_per_row = add(c->delta_ops_per_row, add(mul(8, matrix), mul(2, taps)));
}

/* A matrix of a program: its packed bytes are known exactly. */
static void add_weight(struct chip_cost *c, enum chip_space space, const struct chip_weight *w)
{
	if (space == CHIP_ROUTED)
		add_experts(c, w->parts, (uint32_t)c->experts_used, w->read_bytes / w->parts,
			mul(2 * (int64_t)(w->rows / w->parts), w->columns));
	else
		add_matrix(c, space, w->read_bytes, mul(2 * (int64_t)w->rows, w->columns));
}

static void add_op(struct chip_cost *c, const struct chip_program_desc *desc,
	const struct chip_op *op, const struct chip_cache_layout *layout)
{
	if (op->kind == CHIP_OP_MATMUL) {
		for (uint32_t i = 0; i < op->u.matmul.count; i++)
			add_weight(c, desc->buffers[op->u.matmul.in].space, op->u.matmul.weight[i]);
	} else if (op->kind == CHIP_OP_ROUTE) {
		c->experts = op->u.route.experts;
		c->experts_used = op->u.route.used;
	} else if (op->kind == CHIP_OP_EMBED) {
		const struct chip_weight *table = op->u.embed.table;

		c->embed_bytes_per_row = add(c->embed_bytes_per_row,
			(int64_t)chip_row_bytes(table->type, table->group, table->columns));
	} else if (op->kind == CHIP_OP_ATTEND) {
		chip_cost_add_attention(c, layout->kv_type, op->u.attend.q.count,
			op->u.attend.kv_heads, op->u.attend.head_dim, op->u.attend.window);
	} else if (op->kind == CHIP_OP_DELTA) {
		chip_cost_add_delta(c, op->u.delta.v_heads, op->u.delta.k_dim, op->u.delta.v_dim,
			layout->conv_channels, layout->conv_width);
	}
}

void chip_cost_program(struct chip_cost *out, const struct chip_program_desc *desc,
	const struct chip_cache_layout *layout)
{
	*out = (struct chip_cost){0};
	for (uint32_t i = 0; i < desc->op_count; i++)
		add_op(out, desc, &desc->ops[i], layout);
}

void chip_cost_of_phase(struct chip_cost *out, const struct chip_cost *c, enum chip_phase phase)
{
	*out = (struct chip_cost){0};
	switch ((int)phase) {
	case CHIP_OP_MATMUL:
		out->weight_bytes = c->weight_bytes;
		out->weight_ops_per_row = c->weight_ops_per_row;
		out->experts = c->experts;
		out->experts_used = c->experts_used;
		out->expert_bytes = c->expert_bytes;
		break;
	case CHIP_PHASE_HEAD:
		out->wanted_weight_bytes = c->wanted_weight_bytes;
		out->weight_ops_per_wanted = c->weight_ops_per_wanted;
		break;
	case CHIP_OP_EMBED:
		out->embed_bytes_per_row = c->embed_bytes_per_row;
		break;
	case CHIP_OP_ATTEND:
		out->kv_bytes_per_token = c->kv_bytes_per_token;
		out->attend_ops_per_key = c->attend_ops_per_key;
		out->window = c->window;
		out->window_bytes_per_token = c->window_bytes_per_token;
		out->window_ops_per_key = c->window_ops_per_key;
		break;
	case CHIP_OP_DELTA:
		out->state_bytes = c->state_bytes;
		out->delta_ops_per_row = c->delta_ops_per_row;
		break;
	default:
		break;
	}
}

void chip_cost_shape_add(struct chip_cost_shape *shape, int64_t cached_tokens, int64_t rows,
	int64_t wanted)
{
	assert(cached_tokens >= 0 && rows > 0 && wanted >= 0 && wanted <= rows);
	shape->rows += rows;
	shape->wanted += wanted;
	shape->sequences++;
	shape->cached_tokens += cached_tokens;
	/* Row i of the sequence sees the cached tokens, the rows before it and itself. */
	shape->keys += rows * cached_tokens + rows * (rows + 1) / 2;
}

/* Bytes of the experts that some row uses: 1 - (1 - used / experts)^rows of them, in 2^-30. */
static int64_t experts_bytes(const struct chip_cost *c, int64_t rows)
{
	const uint64_t one = (uint64_t)1 << 30;
	uint64_t unused = one;

	if (c->experts == 0)
		return 0;
	uint64_t power = (uint64_t)(c->experts - c->experts_used) * one / (uint64_t)c->experts;

	for (uint64_t n = (uint64_t)rows; n > 0; n >>= 1) {
		if (n & 1)
			unused = unused * power >> 30;
		power = power * power >> 30;
	}
	const math_u128 bytes = (math_u128)(uint64_t)mul(c->experts, c->expert_bytes) *
		(one - unused) >> 30;

	return bytes < CHIP_COST_MAX ? (int64_t)bytes : CHIP_COST_MAX;
}

void chip_cost_step(const struct chip_cost *c, const struct chip_cost_shape *s,
	struct chip_cost_sum *out)
{
	int64_t bytes = s->rows ? c->weight_bytes : 0;
	int64_t ops = mul(c->weight_ops_per_row, s->rows);

	bytes = add(bytes, experts_bytes(c, s->rows));
	if (s->wanted)
		bytes = add(bytes, c->wanted_weight_bytes);
	bytes = add(bytes, mul(c->embed_bytes_per_row, s->rows));
	bytes = add(bytes, mul(c->kv_bytes_per_token, s->cached_tokens + s->rows));
	/* At most: sequences, and rows, that are shorter than the window count as long ones. */
	bytes = add(bytes, mul(c->window_bytes_per_token, s->rows +
		math_min_i64(s->cached_tokens, mul(s->sequences, c->window))));
	ops = add(ops, mul(c->window_ops_per_key, math_min_i64(s->keys, mul(s->rows, c->window))));
	bytes = add(bytes, mul(c->state_bytes, s->sequences));
	ops = add(ops, mul(c->weight_ops_per_wanted, s->wanted));
	ops = add(ops, mul(c->attend_ops_per_key, s->keys));
	ops = add(ops, mul(c->delta_ops_per_row, s->rows));
	out->bytes = bytes;
	out->ops = ops;
}

/* amount / per_s in nanoseconds, rounded up. */
static int64_t time_ns(int64_t amount, int64_t per_s)
{
	assert(amount >= 0 && per_s > 0);
	const math_u128 scaled = (math_u128)(uint64_t)amount * (uint64_t)NS_PER_S +
		(uint64_t)per_s - 1;
	const math_u128 ns = scaled / (uint64_t)per_s;

	return ns < CHIP_COST_MAX ? (int64_t)ns : CHIP_COST_MAX;
}

int64_t chip_cost_ns(const struct chip_cost_sum *sum, const struct chip_cost_rates *rates)
{
	const int64_t read_ns = time_ns(sum->bytes, rates->bytes_per_s);
	const int64_t compute_ns = time_ns(sum->ops, rates->ops_per_s);

	return add(math_max_i64(read_ns, compute_ns), rates->step_ns);
}
