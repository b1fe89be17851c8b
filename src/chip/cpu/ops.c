/* chip/cpu/ops.c - runs a step: every worker goes through all operations and takes
 * its shares of each.
 *
 * What is split, operation by operation, so that no share depends on another:
 *
 *	rows                  embed norm norm_gate add gather route combine, preparing inputs,
 *	                      angles
 *	panels of outputs     matmul: a share does its panels for all rows, or all of an expert
 *	rows x column parts   swiglu
 *	rows x key heads      qk_rope
 *	tiles x key heads     attend
 *	sequences x channels  conv
 *	sequences x heads x column parts   delta
 *	sequences             sample
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "chip/check.h"
#include "chip/cpu/ops.h"

/* of packed weights: long enough to stream, short enough to share */
#define MATMUL_SHARE_BYTES  65536
/* that kernels take together, to hide the latency of one sum behind others */
#define MATMUL_SHARE_PANELS 4

/* ---- row by row ------------------------------------------------------------------------------ */

static void embed_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_weight *table = (const struct cpu_weight *)op->u.embed.table;
	const struct chip_row *from = &r->step->rows[row];
	float *out = row_of(r, op->u.embed.out, row);

	if (from->input == CHIP_INPUT_EMBEDDING) {
		const size_t width = r->program->embedding_columns;

		memcpy(out, r->step->embeddings + from->value * width, width * sizeof(float));
		return;
	}
	const uint32_t slot = r->step->sequences[from->sequence].slot;
	const uint32_t last = r->cache->slots[slot].last;

	cpu_weight_row(table, from->input == CHIP_INPUT_TOKEN ? from->value : last, out);
}

static void norm_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t residual = op->u.norm.residual, add = op->u.norm.add;
	const float *added = add == CHIP_NONE ? NULL : row_of(r, add, row);

	r->kernels->rms_norm(row_of(r, residual, row), added, values(op->u.norm.weight),
		op->u.norm.eps, columns(r, residual), row_of(r, op->u.norm.out, row));
}

static void norm_gate_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const uint32_t head_dim = op->u.norm_gate.head_dim;
	const float *in = row_of(r, op->u.norm_gate.in, row);
	const float *gate = row_of(r, op->u.norm_gate.gate, row);
	float *out = row_of(r, op->u.norm_gate.out, row);

	for (uint32_t at = 0; at < columns(r, op->u.norm_gate.in); at += head_dim)
		r->kernels->rms_norm_gate(in + at, gate + at, values(op->u.norm_gate.weight),
			op->u.norm_gate.eps, head_dim, out + at);
}

static void add_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	r->kernels->add(row_of(r, op->u.add.out, row), row_of(r, op->u.add.in, row),
		columns(r, op->u.add.in));
}

static void gather_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	memcpy(row_of(r, op->u.gather.out, row), row_of(r, op->u.gather.in, r->step->wanted[row]),
		columns(r, op->u.gather.in) * sizeof(float));
}

static void each_row(const struct run *r, const struct chip_op *op, uint32_t count,
	void (*one)(const struct run *r, const struct chip_op *op, uint32_t row))
{
	uint32_t first, end;

	while (cpu_share(r->worker, count, &first, &end))
		for (uint32_t row = first; row < end; row++)
			one(r, op, row);
}

static void run_swiglu(const struct run *r, const struct chip_op *op)
{
	const uint32_t width = columns(r, op->u.swiglu.out);
	const uint32_t parts = divide_up(width, CPU_COLUMN_PART);
	uint32_t first, end;

	while (cpu_share(r->worker, rows(r, op->u.swiglu.out) * parts, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			const uint32_t row = item / parts, at = item % parts * CPU_COLUMN_PART;
			const uint32_t count = width - at < CPU_COLUMN_PART ? width - at
				: CPU_COLUMN_PART;

			r->kernels->swiglu(row_of(r, op->u.swiglu.gate, row) + at,
				row_of(r, op->u.swiglu.up, row) + at,
				row_of(r, op->u.swiglu.out, row) + at, count);
		}
}

/* ---- matmul ---------------------------------------------------------------------------------- */

static void prepare_row(const struct run *r, const struct chip_op *op, uint32_t row)
{
	const struct cpu_program *p = r->program;
	const uint32_t width = columns(r, op->u.matmul.in);
	const size_t even = ((size_t)width + 1) / 2 * 2;
	const float *in = row_of(r, op->u.matmul.in, row);
	bool blocks = false, halves = false;

	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		blocks = blocks || w->blocks;
		halves = halves || w->halves;
	}
	if (blocks) {
		const size_t block = (size_t)row * (width / CPU_BLOCK);

		r->kernels->quantize(in, width, p->input_values + (size_t)row * width,
			p->input_scales + block, p->input_sums + block);
	}
	for (uint32_t k = 0; halves && k < even; k++)
		p->input_halves[row * even + k] = k < width ? math_bf16_from_f32(in[k]) : 0;
}

static bool needs_preparing(const struct chip_op *op)
{
	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		if (w->halves || w->blocks)
			return true;
	}
	return false;
}

/* Panels of one share: about MATMUL_SHARE_BYTES, and four shares for each thread if there are as
 * many; but no fewer than kernels take together as long as each thread gets two shares. */
static uint32_t share_panels(const struct run *r, const struct cpu_weight *w)
{
	const uint32_t by_size = (uint32_t)(MATMUL_SHARE_BYTES / w->panel_bytes);
	const uint32_t by_threads = w->part_panels / (r->program->threads * 4);
	const uint32_t panels =
		math_min_u32(by_size, by_threads) / MATMUL_SHARE_PANELS * MATMUL_SHARE_PANELS;
	const uint32_t least = math_min_u32(w->part_panels / (r->program->threads * 2),
		MATMUL_SHARE_PANELS);

	return panels ? panels : least ? least : 1;
}

/* Rows that one part of a matrix multiplies: all there are, or those of an expert. */
struct portion {
	uint32_t part, first_row, row_count;
};

static bool is_routed(const struct run *r, const struct chip_op *op)
{
	return r->program->base.desc.buffers[op->u.matmul.in].space == CHIP_ROUTED;
}

static struct portion portion_of(const struct run *r, const struct chip_op *op, uint32_t index)
{
	const struct cpu_route *route = &r->program->route;

	if (!is_routed(r, op))
		return (struct portion){.row_count = rows(r, op->u.matmul.in)};
	const uint32_t expert = route->active[index], first = route->first[expert];

	return (struct portion){expert, first, route->first[expert + 1] - first};
}

/* To outputs [first, end) of all rows. */
static void add_bias(const struct run *r, const struct chip_op *op, uint32_t matrix,
	uint32_t first, uint32_t end)
{
	const uint32_t out = op->u.matmul.out[matrix];
	const float *bias = values(op->u.matmul.bias[matrix]);

	for (uint32_t row = 0; row < rows(r, out); row++)
		r->kernels->add(row_of(r, out, row) + first, bias + first, end - first);
}

static void matmul_share(const struct run *r, const struct chip_op *op, uint32_t matrix,
	struct portion portion, uint32_t share)
{
	const struct cpu_program *p = r->program;
	const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[matrix];
	const uint32_t panels = share_panels(r, w), width = w->base.columns;
	const uint32_t first = share * panels;
	const uint32_t end = w->part_panels - first < panels ? w->part_panels : first + panels;
	const size_t row = portion.first_row, block = row * (width / CPU_BLOCK);
	const struct cpu_input in = {
		.rows = row_of(r, op->u.matmul.in, portion.first_row),
		.stride = width,
		.values = p->input_values + row * width,
		.scales = p->input_scales + block,
		.sums = p->input_sums + block,
		.halves = p->input_halves + row * (((size_t)width + 1) / 2 * 2),
	};

	cpu_weight_multiply(r->kernels, w, portion.part, &in, portion.row_count,
		row_of(r, op->u.matmul.out[matrix], portion.first_row), w->part_rows, first, end,
		p->decoded + r->worker->index * p->decoded_floats);
	if (op->u.matmul.bias[matrix])
		add_bias(r, op, matrix, first * w->lanes,
			math_min_u32(end * w->lanes, w->part_rows));
}

/* Shares of a matrix are [portions][shares of a part]. */
static void run_matmul(const struct run *r, const struct chip_op *op)
{
	const uint32_t portions = is_routed(r, op) ? r->program->route.active_count : 1;
	uint32_t shares[CHIP_MATRICES_MAX];
	uint32_t total = 0, first, end;

	if (needs_preparing(op)) {
		each_row(r, op, rows(r, op->u.matmul.in), prepare_row);
		cpu_barrier(r->worker);
	}
	for (uint32_t i = 0; i < op->u.matmul.count; i++) {
		const struct cpu_weight *w = (const struct cpu_weight *)op->u.matmul.weight[i];

		shares[i] = divide_up(w->part_panels, share_panels(r, w));
		total += portions * shares[i];
	}
	while (cpu_share(r->worker, total, &first, &end))
		for (uint32_t item = first; item < end; item++) {
			uint32_t matrix = 0, share = item;

			while (share >= portions * shares[matrix])
				share -= portions * shares[matrix++];
			matmul_share(r, op, matrix, portion_of(r, op, share / shares[matrix]),
				share % shares[matrix]);
		}
}

/* ---- attention ------------------------------------------------------------------------------- */

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

static void run_qk_rope(const struct run *r, const struct chip_op *op, const struct cpu_rope *rope)
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
}

/* Later tiles see more keys: they go first, so that the end is even. */
static void run_attend(const struct run *r, const struct chip_op *op)
{
	const uint32_t kv_heads = op->u.attend.kv_heads;
	const uint32_t tiles = r->step->tile_count;
	uint32_t first, end;

	while (cpu_share(r->worker, tiles * kv_heads, &first, &end))
		for (uint32_t item = first; item < end; item++)
			attend_tile(r, op, &r->step->tiles[tiles - 1 - item / kv_heads],
				item % kv_heads);
}

/* ---- DeltaNet -------------------------------------------------------------------------------- */

static void run_conv(const struct run *r, const struct chip_op *op, const float *taps)
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
	const size_t state = (size_t)head * k_dim * v_dim;
	const struct cpu_delta d = {
		.state_in = s->state_read == CHIP_NONE ? NULL
			: cpu_cache_delta(r->cache, s->state_read, op->u.delta.layer) + state,
		.state_out = cpu_cache_delta(r->cache, s->state_write, op->u.delta.layer) + state,
		.k_dim = k_dim,
		.v_dim = v_dim,
		.first = first,
		.count = v_dim - first < CPU_DELTA_COLUMNS ? v_dim - first : CPU_DELTA_COLUMNS,
		.rows = s->row_count,
		.q = p->delta_q + row * width + k_head * k_dim,
		.k = p->delta_k + row * width + k_head * k_dim,
		.qk_stride = width,
		.v = row_of(r, op->u.delta.qkv, (uint32_t)row) + 2 * width + (size_t)head * v_dim,
		.v_stride = columns(r, op->u.delta.qkv),
		.decay = p->delta_decay + row * v_heads + head,
		.beta = p->delta_beta + row * v_heads + head,
		.gate_stride = v_heads,
		.out = row_of(r, op->u.delta.out, (uint32_t)row) + (size_t)head * v_dim,
		.out_stride = columns(r, op->u.delta.out),
	};

	r->kernels->delta(&d);
}

static void run_delta(const struct run *r, const struct chip_op *op)
{
	const uint32_t parts = divide_up(op->u.delta.v_dim, CPU_DELTA_COLUMNS);
	const uint32_t per_sequence = parts * op->u.delta.v_heads;
	uint32_t first, end;

	each_row(r, op, r->step->row_count, delta_prepare_row);
	cpu_barrier(r->worker);
	while (cpu_share(r->worker, r->step->sequence_count * per_sequence, &first, &end))
		for (uint32_t item = first; item < end; item++)
			delta_item(r, op, item / per_sequence, item % per_sequence / parts,
				item % parts * CPU_DELTA_COLUMNS);
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* The wanted rows of one sequence in order: a token counts for the next one's penalties. */
static void sample_sequence(const struct run *r, const struct chip_op *op, uint32_t sequence)
{
	struct cpu_step *step = r->step;
	const struct chip_sequence *s = &step->sequences[sequence];
	const uint32_t vocab = r->cache->base.layout.vocab;
	struct cpu_slot *slot = &r->cache->slots[s->slot];
	uint16_t *counts = r->cache->counts + (size_t)s->slot * vocab;

	for (uint32_t i = step->first_wanted[sequence]; i < step->first_wanted[sequence + 1]; i++) {
		const uint32_t row = step->wanted[i];
		const struct cpu_choice choice = {
			.slot = slot,
			.counts = counts,
			.mask = s->mask,
			.logits = row_of(r, op->u.sample.logits, i),
			.vocab = op->u.sample.vocab,
			.position = step->tokens_before[row] + 1,
			.forced = s->forced ? s->forced_token : CHIP_NONE,
		};
		bool finite = true;

		step->logprobs[i] = (struct chip_logprobs){0};
		if (step->rows[row].want != CHIP_WANT_TOKEN)
			continue;
		step->tokens[i] = cpu_sample(r->kernels, &r->program->samplers[r->worker->index],
			&choice, &step->logprobs[i], &finite);
		if (!finite)
			step->not_finite = true;
		if (step->tokens[i] != CHIP_NONE)
			cpu_slot_count(slot, counts, vocab, step->tokens[i]);
	}
}

static void run_sample(const struct run *r, const struct chip_op *op)
{
	uint32_t first, end;

	while (cpu_share(r->worker, r->step->sequence_count, &first, &end))
		for (uint32_t sequence = first; sequence < end; sequence++)
			sample_sequence(r, op, sequence);
}

/* ---- the step -------------------------------------------------------------------------------- */

static void rope_row(const struct run *r, const struct chip_op *unused, uint32_t row)
{
	(void)unused;
	for (uint32_t i = 0; i < r->program->rope_count; i++) {
		const struct cpu_rope *rope = &r->program->ropes[i];
		const float *frequencies = values(rope->frequencies);
		const double position = (double)r->step->rows[row].position[0];

		for (uint32_t j = 0; j < rope->pairs; j++) {
			double sine, cosine;

			math_sincos(position * (double)frequencies[j], &sine, &cosine);
			rope->cosines[(size_t)row * rope->pairs + j] = (float)cosine * rope->factor;
			rope->sines[(size_t)row * rope->pairs + j] = (float)sine * rope->factor;
		}
	}
}

static void run_op(const struct run *r, const struct chip_op *op, uint32_t index)
{
	switch (op->kind) {
	case CHIP_OP_EMBED:
		each_row(r, op, r->step->row_count, embed_row);
		break;
	case CHIP_OP_NORM:
		each_row(r, op, rows(r, op->u.norm.residual), norm_row);
		break;
	case CHIP_OP_MATMUL:
		run_matmul(r, op);
		break;
	case CHIP_OP_SWIGLU:
		run_swiglu(r, op);
		break;
	case CHIP_OP_QK_ROPE:
		run_qk_rope(r, op, &r->program->ropes[r->program->op_rope[index]]);
		break;
	case CHIP_OP_ATTEND:
		run_attend(r, op);
		break;
	case CHIP_OP_CONV:
		run_conv(r, op, r->program->op_taps[index]);
		break;
	case CHIP_OP_DELTA:
		run_delta(r, op);
		break;
	case CHIP_OP_NORM_GATE:
		each_row(r, op, rows(r, op->u.norm_gate.in), norm_gate_row);
		break;
	case CHIP_OP_ADD:
		each_row(r, op, rows(r, op->u.add.out), add_row);
		break;
	case CHIP_OP_GATHER:
		if (r->program->base.desc.buffers[op->u.gather.out].space == CHIP_ROUTED)
			cpu_run_spread(r, op);
		else
			each_row(r, op, r->step->wanted_count, gather_row);
		break;
	case CHIP_OP_ROUTE:
		cpu_run_route(r, op);
		break;
	case CHIP_OP_COMBINE:
		cpu_run_combine(r, op);
		break;
	case CHIP_OP_SAMPLE:
		run_sample(r, op);
		break;
	}
}

/* Nobody goes on until the first worker has shown the result. */
static void observe(const struct run *r, const struct chip_op *op)
{
	const struct chip_observer *observer = &r->step->observer;
	const uint32_t result = chip_op_result(op);

	if (!observer->see || !op->tap || result == CHIP_NONE)
		return;
	if (r->worker->index == 0)
		observer->see(observer->context, op->tap, op->tap_layer, buffer(r, result),
			rows(r, result), columns(r, result));
	cpu_barrier(r->worker);
}

void cpu_step_run(struct cpu_job *job, struct cpu_worker *worker)
{
	struct cpu_step *step = (struct cpu_step *)job;
	struct cpu_program *program = step->program;
	const struct run r = {
		.kernels = &program->chip->kernels,
		.program = program,
		.step = step,
		.cache = step->cache,
		.worker = worker,
	};

	if (program->rope_count) {
		each_row(&r, NULL, step->row_count, rope_row);
		cpu_barrier(worker);
	}
	for (uint32_t i = 0; i < program->base.desc.op_count; i++) {
		const struct chip_op *op = &program->ops[i];
		const uint32_t result = chip_op_result(op);

		if (step->wanted_count == 0 && (result == CHIP_NONE ||
			    program->base.desc.buffers[result].space == CHIP_WANTED))
			continue;   /* nothing is wanted: the output layer is not read */
		run_op(&r, op, i);
		cpu_barrier(worker);
		observe(&r, op);
	}
}
