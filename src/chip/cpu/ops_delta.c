/* chip/cpu/ops_delta.c - what is left of a sequence in states: short convolutions and DeltaNet. */
#include "base/math.h"
#include "chip/cpu/ops.h"

void cpu_run_conv(const struct run *r, const struct chip_op *op, const float *taps)
{
	const struct chip_cache_layout *l = &r->cache->base.layout;
	const uint32_t parts = divide_up(l->conv_channels, CPU_COLUMN_PART);
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->sequence_count * parts, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const struct chip_sequence *s = &r->step->sequences[item / parts];
			const uint32_t at = item % parts * CPU_COLUMN_PART;
			const uint32_t left = l->conv_channels - at;
			const struct cpu_conv c = {
				.state_in = s->state_read == CHIP_NONE ? NULL
					: cpu_cache_conv(r->cache, s->state_read, op->u.conv.layer),
				.state_out = cpu_cache_conv(r->cache, s->state_write,
				op->u.conv.layer),
				.taps = taps,
				.channels = l->conv_channels,
				.width = l->conv_width,
				.first = at,
				.count = left < CPU_COLUMN_PART ? left : CPU_COLUMN_PART,
				.rows = s->row_count,
				.data = row_of(r, op->u.conv.data,
				r->step->first_rows[item / parts]),
				.stride = l->conv_channels,
			};

			r->kernels->conv(&c);
		}
}

/* Unit vectors of q and k, decay and step size of a row: once for all shares of the state. */
static void delta_prepare_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t k_dim = op->u.delta.k_dim, v_heads = op->u.delta.v_heads;
	const size_t width = (size_t)op->u.delta.k_heads * k_dim;
	const float *qkv = row_of(r, op->u.delta.qkv, row);
	const float *a = row_of(r, op->u.delta.a, row), *b = row_of(r, op->u.delta.b, row);
	const float *decay = values(op->u.delta.decay), *dt_bias = values(op->u.delta.dt_bias);
	const float scale = 1.0F / math_sqrtf((float)k_dim);

	for (size_t at = 0; at < width; at += k_dim) {
		r->kernels->l2_norm(qkv + at, CHIP_DELTA_EPS, scale, k_dim,
			r->program->delta_q + row * width + at);
		r->kernels->l2_norm(qkv + width + at, CHIP_DELTA_EPS, 1.0F, k_dim,
			r->program->delta_k + row * width + at);
	}
	for (size_t head = 0; head < v_heads; head++) {
		const float step = decay[head] * math_softplusf(a[head] + dt_bias[head]);

		r->program->delta_decay[row * v_heads + head] = math_expf(step);
		r->program->delta_beta[row * v_heads + head] = math_sigmoidf(b[head]);
	}
}

static void delta_item(const struct run *r, const struct chip_op *op, uint32_t sequence,
	uint32_t head, uint32_t first)
{
	const struct cpu_program *p = r->program;
	const struct chip_sequence *s = &r->step->sequences[sequence];
	const size_t row = r->step->first_rows[sequence];
	const uint32_t k_heads = op->u.delta.k_heads, v_heads = op->u.delta.v_heads;
	const uint32_t k_dim = op->u.delta.k_dim, v_dim = op->u.delta.v_dim;
	const size_t width = (size_t)k_heads * k_dim;
	const size_t k_head = op->u.delta.tiled ? head % k_heads : head / (v_heads / k_heads);
	const size_t state = head * cpu_delta_head_floats(k_dim, v_dim) +
		first / CPU_DELTA_COLUMNS * cpu_delta_part_floats(k_dim, CPU_DELTA_COLUMNS);
	const struct cpu_delta d = {
		.state_in = s->state_read == CHIP_NONE ? NULL
			: cpu_cache_delta(r->cache, s->state_read, op->u.delta.layer) + state,
		.state_out = cpu_cache_delta(r->cache, s->state_write, op->u.delta.layer) + state,
		.k_dim = k_dim,
		.count = v_dim - first < CPU_DELTA_COLUMNS ? v_dim - first : CPU_DELTA_COLUMNS,
		.rows = s->row_count,
		.q = p->delta_q + row * width + k_head * k_dim,
		.k = p->delta_k + row * width + k_head * k_dim,
		.qk_stride = width,
		.v = row_of(r, op->u.delta.qkv, (uint32_t)row) + 2 * width + (size_t)head * v_dim +
			first,
		.v_stride = columns(r, op->u.delta.qkv),
		.decay = p->delta_decay + row * v_heads + head,
		.beta = p->delta_beta + row * v_heads + head,
		.gate_stride = v_heads,
		.out = row_of(r, op->u.delta.out, (uint32_t)row) + (size_t)head * v_dim + first,
		.out_stride = columns(r, op->u.delta.out),
	};

	r->kernels->delta(&d);
}

void cpu_run_delta(const struct run *r, const struct chip_op *op)
{
	const uint32_t parts = divide_up(op->u.delta.v_dim, CPU_DELTA_COLUMNS);
	const uint32_t per_sequence = parts * op->u.delta.v_heads;
	uint32_t first, end;

	cpu_each_row(r, op, r->step->row_count, delta_prepare_row);
	cpu_meet(r);
	while (cpu_share(r->worker, r->step->sequence_count * per_sequence, &first, &end))
		for (uint32_t item = first; item < end; item++)
			delta_item(r, op, item / per_sequence, item % per_sequence / parts,
				item % parts * CPU_DELTA_COLUMNS);
}
