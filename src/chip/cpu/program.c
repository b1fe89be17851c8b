/* chip/cpu/program.c - from a checked description to one block of memory with
 * everything a step needs.
 *
 * lay_out runs twice: with no memory, to learn the size, then to hand it out. Buffers whose values
 * are never needed at the same time share memory:
 *
 *   operation   0  1  2  3  4  5  6
 *   x           ####################      live: from a write to the last read before the next write
 *   qkv            ####     ####
 *   ffn                  ##       ##      may lie where qkv lies
 */
#include "chip/cpu/cpu.h"

#include <assert.h>
#include <string.h>

#include "base/carve.h"
#include "base/math.h"
#include "base/mem.h"
#include "chip/check.h"

#define BITMAP_WORDS (CHIP_OPS_MAX / 64)
/* rows that can be split over the spans of their keys, as long as they take no more than that many
 * spans together */
#define KEPT_ROWS   8
#define KEPT_ENOUGH 256

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* ---- which buffers live when ----------------------------------------------------------------- */

struct liveness {
	uint64_t at[CHIP_BUFFERS_MAX][BITMAP_WORDS];   /* a bit for each operation */
};

static void find_liveness(const struct chip_program_desc *desc, struct liveness *l)
{
	uint64_t needed = 0;   /* after the operation, a bit for each buffer */

	for (uint32_t i = desc->op_count; i-- > 0;) {
		struct chip_op_buffers b;
		uint64_t read = 0, written = 0;

		chip_op_buffers(&desc->ops[i], &b);
		for (uint32_t j = 0; j < b.count; j++) {
			read |= (uint64_t)(b.read >> j & 1) << b.buffer[j];
			written |= (uint64_t)(b.written >> j & 1) << b.buffer[j];
		}
		for (uint32_t j = 0; j < desc->buffer_count; j++)
			if ((needed | read | written) >> j & 1)
				l->at[j][i / 64] |= (uint64_t)1 << i % 64;
		needed = (needed & ~written) | read;
	}
}

/* What is done together is not parted by a barrier: all of its buffers live all the while. */
static void extend_liveness(const struct cpu_program *p, struct liveness *l)
{
	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct cpu_fusion *f = &p->fusions[i];
		const bool alone = f->alone && p->ops[i].kind == CHIP_OP_NORM;
		const uint32_t last = i + f->followers + (alone ? 1U + f[1].followers : 0);

		for (uint32_t j = 0; j < p->base.desc.buffer_count; j++) {
			bool live = false;

			for (uint32_t k = i; k <= last; k++)
				live = live || (l->at[j][k / 64] >> k % 64 & 1);
			for (uint32_t k = i; live && k <= last; k++)
				l->at[j][k / 64] |= (uint64_t)1 << k % 64;
		}
	}
}

static bool live_together(const struct liveness *l, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < BITMAP_WORDS; i++)
		if (l->at[a][i] & l->at[b][i])
			return true;
	return false;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t buffer_rows(const struct cpu_program *p, uint32_t buffer)
{
	const struct chip_program_desc *desc = &p->base.desc;
	const enum chip_space space = desc->buffers[buffer].space;

	if (space == CHIP_ROUTED)
		return (size_t)desc->rows_max * p->route.used;
	return space == CHIP_ROWS ? desc->rows_max : desc->wanted_max;
}

static size_t buffer_bytes(const struct cpu_program *p, uint32_t buffer)
{
	const size_t floats = buffer_rows(p, buffer) * p->base.desc.buffers[buffer].columns;

	return math_round_up(floats * sizeof(float), CPU_ALIGN);
}

/* Results stay readable while the next step runs: each step has its own. */
static bool is_result(const struct cpu_program *p, uint32_t buffer)
{
	return buffer == p->base.desc.logits || buffer == p->base.desc.hidden;
}

/* The lowest place for a buffer that no buffer placed before and live with it covers. */
static size_t place_buffer(const struct cpu_program *p, const struct liveness *l,
	const size_t *offsets, uint32_t buffer)
{
	size_t offset = 0;

	for (uint32_t i = 0; i < buffer; i++) {
		const bool overlaps = offsets[i] < offset + buffer_bytes(p, buffer) &&
			offset < offsets[i] + buffer_bytes(p, i);

		if (!is_result(p, i) && overlaps && live_together(l, i, buffer)) {
			offset = offsets[i] + buffer_bytes(p, i);
			i = UINT32_MAX;   /* look at all of them again from the new place */
		}
	}
	return offset;
}

static void lay_out_buffers(struct cpu_program *p, const struct liveness *l, struct carve *c)
{
	size_t offsets[CHIP_BUFFERS_MAX] = {0};
	size_t total = 0;

	for (uint32_t i = 0; i < p->base.desc.buffer_count; i++) {
		if (is_result(p, i))
			continue;
		offsets[i] = place_buffer(p, l, offsets, i);
		const size_t end = offsets[i] + buffer_bytes(p, i);

		total = larger(total, end);
	}
	uint8_t *base = carve_take(c, 1, total);

	for (uint32_t i = 0; base && i < p->base.desc.buffer_count; i++)
		p->buffers[i] = is_result(p, i) ? NULL : (float *)(void *)(base + offsets[i]);
}

/* Values of inputs, in each form that is wanted. */
struct input_sizes {
	size_t rows, row, blocks, halves;
};

static struct cpu_inputs lay_out_set(const struct input_sizes *s, struct carve *c)
{
	return (struct cpu_inputs){
		.values = carve_take(c, s->blocks, sizeof(int8_t)),
		.blocks = carve_take(c, s->blocks / CPU_BLOCK, sizeof(struct cpu_block)),
		.halves = carve_take(c, s->halves, sizeof(uint16_t)),
	};
}

/* The widest of all matrices, in shared sets, and of those that workers make for themselves. */
static void lay_out_inputs(struct cpu_program *p, struct carve *c)
{
	struct input_sizes shared = {0}, own = {0};

	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct chip_op *op = &p->base.desc.ops[i];
		const struct cpu_fusion *f = &p->fusions[i];

		if (op->kind != CHIP_OP_MATMUL)
			continue;
		const size_t width = p->base.desc.buffers[op->u.matmul.in].columns;
		const size_t even = (width + 1) / 2 * 2;
		const size_t count = buffer_rows(p, op->u.matmul.in) * even;
		const size_t alone = f->alone ? larger(even, CPU_ALONE_VALUES) : 0;

		shared.blocks = larger(shared.blocks, f->blocks ? count : 0);
		shared.halves = larger(shared.halves, f->halves ? count : 0);
		own.rows = larger(own.rows, alone);
		own.row = larger(own.row, f->unread ? even : 0);
		own.blocks = larger(own.blocks, f->blocks ? alone : 0);
		own.halves = larger(own.halves, f->halves ? alone : 0);
	}
	for (uint32_t i = 0; i < CPU_INPUTS; i++)
		p->inputs[i] = lay_out_set(&shared, c);
	p->own = carve_take(c, p->threads, sizeof(*p->own));
	for (uint32_t i = 0; i < p->threads; i++) {
		const struct cpu_own o = {
			.rows = carve_take(c, own.rows, sizeof(float)),
			.row = carve_take(c, own.row, sizeof(float)),
			.inputs = lay_out_set(&own, c),
		};

		if (p->own)
			p->own[i] = o;
	}
}

/* The widest that a stored weight is decoded to, for each worker. */
static void lay_out_decoded(struct cpu_program *p, struct carve *c)
{
	size_t floats = 0;

	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct chip_op *op = &p->base.desc.ops[i];

		for (uint32_t j = 0; op->kind == CHIP_OP_MATMUL && j < op->u.matmul.count; j++) {
			const size_t wanted = cpu_weight_scratch_floats(
				(const struct cpu_weight *)op->u.matmul.weight[j]);

			floats = larger(floats, wanted);
		}
	}
	p->decoded_floats = floats;
	p->decoded = carve_take(c, p->threads * floats, sizeof(*p->decoded));
}

/* Room to split a row of the longest sequence, and some rows of shorter ones. */
static void lay_out_attended(struct cpu_program *p, struct carve *c)
{
	const size_t spans = math_divide_up(p->base.layout.context_max, CPU_ATTEND_SPAN);
	size_t heads = 0, widest = 0, floats = 0;

	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct chip_op *op = &p->base.desc.ops[i];

		if (op->kind != CHIP_OP_ATTEND)
			continue;
		const size_t width = (size_t)op->u.attend.q.count * op->u.attend.head_dim;

		heads = larger(heads, op->u.attend.q.count);
		widest = larger(widest, op->u.attend.head_dim);
		floats = larger(floats, width);
	}
	p->kept_max = (uint32_t)(spans > KEPT_ENOUGH ? spans
		: spans * KEPT_ROWS < KEPT_ENOUGH ? spans * KEPT_ROWS : KEPT_ENOUGH);
	p->kept = carve_take(c, p->kept_max * heads, sizeof(*p->kept));
	p->kept_values = carve_take(c, p->kept_max * floats, sizeof(float));
	p->attended_floats = widest * CPU_ATTEND_QUERIES;
	p->attended = carve_take(c, p->threads * p->attended_floats, sizeof(float));
}

static void lay_out_delta(struct cpu_program *p, struct carve *c)
{
	size_t unit = 0, heads = 0, dims = 0;

	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct chip_op *op = &p->base.desc.ops[i];

		if (op->kind != CHIP_OP_DELTA)
			continue;
		const size_t width = (size_t)op->u.delta.k_heads * op->u.delta.k_dim;

		unit = larger(unit, width);
		heads = larger(heads, op->u.delta.v_heads);
		dims = larger(dims, (size_t)op->u.delta.k_dim + op->u.delta.v_dim);
	}
	p->delta_q = carve_take(c, p->base.desc.rows_max * unit, sizeof(float));
	p->delta_k = carve_take(c, p->base.desc.rows_max * unit, sizeof(float));
	p->delta_decay = carve_take(c, p->base.desc.rows_max * heads, sizeof(float));
	p->delta_beta = carve_take(c, p->base.desc.rows_max * heads, sizeof(float));
	p->delta_head_floats = 2 * CPU_DELTA_ROWS * dims;
	p->delta_heads = carve_take(c, p->threads * p->delta_head_floats, sizeof(float));
}

static void lay_out_route(struct cpu_program *p, struct carve *c)
{
	struct cpu_route *r = &p->route;
	const size_t routed = (size_t)p->base.desc.rows_max * r->used;

	r->experts = carve_take(c, routed, sizeof(*r->experts));
	r->places = carve_take(c, routed, sizeof(*r->places));
	r->first = carve_take(c, r->used ? r->expert_count + 1 : 0, sizeof(*r->first));
	r->active = carve_take(c, r->expert_count, sizeof(*r->active));
	r->shares = carve_take(c, (size_t)p->threads * r->expert_count, sizeof(*r->shares));
}

static void lay_out_samplers(struct cpu_program *p, struct carve *c)
{
	const struct chip_op *last = &p->base.desc.ops[p->base.desc.op_count - 1];
	const size_t vocab = last->kind == CHIP_OP_SAMPLE ? last->u.sample.vocab : 0;

	p->maxima = carve_take(c, (size_t)cpu_maxima_count((uint32_t)vocab) *
		math_min_u32(p->base.desc.wanted_max, CPU_JOINED_ROWS), sizeof(float));
	p->samplers = carve_take(c, p->threads, sizeof(*p->samplers));
	for (uint32_t i = 0; i < p->threads; i++) {
		const struct cpu_sampler s = {
			.scores = carve_take(c, vocab, sizeof(float)),
			.weights = carve_take(c, vocab, sizeof(float)),
			.candidates = carve_take(c, vocab, sizeof(uint64_t)),
			.maxima = carve_take(c, cpu_maxima_count((uint32_t)vocab), sizeof(float)),
			.view_maxima = carve_take(c, cpu_maxima_count((uint32_t)vocab),
				sizeof(float)),
		};

		if (p->samplers)
			p->samplers[i] = s;
	}
}

static void lay_out_step(struct cpu_program *p, struct cpu_step *s, struct carve *c)
{
	const struct chip_program_desc *desc = &p->base.desc;

	s->rows = carve_take(c, desc->rows_max, sizeof(*s->rows));
	s->tokens_before = carve_take(c, desc->rows_max, sizeof(*s->tokens_before));
	s->sequences = carve_take(c, p->sequences_max, sizeof(*s->sequences));
	s->first_rows = carve_take(c, p->sequences_max, sizeof(*s->first_rows));
	s->first_wanted = carve_take(c, p->sequences_max + 1, sizeof(*s->first_wanted));
	s->pages = carve_take(c, CHIP_STEP_PAGES_MAX, sizeof(*s->pages));
	s->masks = carve_take(c, (size_t)desc->wanted_max * p->mask_words, sizeof(*s->masks));
	s->embeddings = carve_take(c, (size_t)desc->rows_max * p->embedding_columns, sizeof(float));
	s->wanted = carve_take(c, desc->wanted_max, sizeof(*s->wanted));
	s->tiles = carve_take(c, desc->rows_max, sizeof(*s->tiles));
	s->tokens = carve_take(c, desc->wanted_max, sizeof(*s->tokens));
	s->logprobs = carve_take(c, desc->wanted_max, sizeof(*s->logprobs));
	if (desc->logits != CHIP_NONE)
		s->logits = carve_take(c, 1, buffer_bytes(p, desc->logits));
	if (desc->hidden == desc->logits)
		s->hidden = s->logits;
	else if (desc->hidden != CHIP_NONE)
		s->hidden = carve_take(c, 1, buffer_bytes(p, desc->hidden));
}

static void lay_out(struct cpu_program *p, const struct liveness *l, struct carve *c)
{
	const struct chip_program_desc *desc = &p->base.desc;

	for (uint32_t i = 0; i < p->rope_count; i++) {
		struct cpu_rope *r = &p->ropes[i];

		r->cosines = carve_take(c, (size_t)desc->rows_max * r->pairs, sizeof(float));
		r->sines = carve_take(c, (size_t)desc->rows_max * r->pairs, sizeof(float));
	}
	for (uint32_t i = 0; i < desc->op_count; i++)
		if (desc->ops[i].kind == CHIP_OP_CONV)
			p->op_taps[i] = carve_take(c, desc->ops[i].u.conv.weight->count,
				sizeof(float));
	lay_out_inputs(p, c);
	lay_out_decoded(p, c);
	lay_out_attended(p, c);
	lay_out_delta(p, c);
	lay_out_route(p, c);
	lay_out_samplers(p, c);
	for (uint32_t i = 0; i < CHIP_STEPS_MAX; i++)
		lay_out_step(p, &p->steps[i], c);
	lay_out_buffers(p, l, c);
}

/* ---- what is known from the description ------------------------------------------------------ */

/* Operations with the same frequencies share their angles. */
static enum err find_ropes(struct cpu_program *p, struct err_info *info)
{
	for (uint32_t i = 0; i < p->base.desc.op_count; i++) {
		const struct chip_op *op = &p->base.desc.ops[i];
		uint32_t j = 0;

		if (op->kind != CHIP_OP_QK_ROPE)
			continue;
		const struct cpu_rope rope = {
			.frequencies = op->u.qk_rope.frequencies,
			.factor = op->u.qk_rope.factor,
			.pairs = op->u.qk_rope.rotary_dim / 2,
		};

		while (j < p->rope_count && (p->ropes[j].frequencies != rope.frequencies ||
			       p->ropes[j].pairs != rope.pairs ||
			       math_f32_bits(p->ropes[j].factor) != math_f32_bits(rope.factor)))
			j++;
		if (j == CPU_ROPES_MAX)
			return err_set(info, ERR_LIMIT, "more than %d kinds of rotation",
				CPU_ROPES_MAX);
		if (j == p->rope_count)
			p->ropes[p->rope_count++] = rope;
		p->op_rope[i] = (uint8_t)j;
	}
	return ERR_NONE;
}

static void find_sizes(struct cpu_program *p)
{
	const struct chip_program_desc *desc = &p->base.desc;

	p->threads = cpu_pool_threads(p->chip->pool);
	p->sequences_max = desc->rows_max < CHIP_SEQUENCES_MAX ? desc->rows_max
		: CHIP_SEQUENCES_MAX;
	p->tile_rows = CPU_ATTEND_QUERIES;
	for (uint32_t i = 0; i < desc->op_count; i++) {
		const struct chip_op *op = &desc->ops[i];

		if (op->kind == CHIP_OP_EMBED)
			p->embedding_columns = op->u.embed.table->columns;
		if (op->kind == CHIP_OP_SAMPLE)
			p->mask_words = (op->u.sample.vocab + 31) / 32;
		if (op->kind == CHIP_OP_ROUTE) {
			p->route.used = op->u.route.used;
			p->route.expert_count = op->u.route.experts;
		}
		if (op->kind == CHIP_OP_ATTEND) {
			const uint32_t shared = op->u.attend.q.count / op->u.attend.kv_heads;
			const uint32_t rows = shared < CPU_ATTEND_QUERIES
				? CPU_ATTEND_QUERIES / shared : 1;

			p->tile_rows = rows < p->tile_rows ? rows : p->tile_rows;
		}
	}
}

/* Constants that are computed once: taps with the channels side by side. */
static void fill_constants(struct cpu_program *p)
{
	const struct chip_program_desc *desc = &p->base.desc;

	for (uint32_t i = 0; i < desc->op_count; i++) {
		if (desc->ops[i].kind != CHIP_OP_CONV)
			continue;
		const struct chip_vector *weight = desc->ops[i].u.conv.weight;
		const float *values = ((const struct cpu_vector *)weight)->values;
		const size_t channels = p->base.layout.conv_channels,
			width = p->base.layout.conv_width;

		for (size_t channel = 0; channel < channels; channel++)
			for (size_t j = 0; j < width; j++)
				p->op_taps[i][j * channels + channel] = values[channel * width + j];
	}
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum err copy_desc(struct cpu_program *p, const struct chip_program_desc *desc,
	struct err_info *info)
{
	p->ops = mem_alloc(desc->op_count, sizeof(*p->ops));
	p->buffer_descs = mem_alloc(desc->buffer_count, sizeof(*p->buffer_descs));
	p->op_rope = mem_alloc(desc->op_count, sizeof(*p->op_rope));
	p->op_taps = mem_alloc(desc->op_count, sizeof(*p->op_taps));
	p->fusions = mem_alloc(desc->op_count, sizeof(*p->fusions));
	if (!p->ops || !p->buffer_descs || !p->op_rope || !p->op_taps || !p->fusions)
		return err_set(info, ERR_MEMORY, "no memory for a program");
	memcpy(p->ops, desc->ops, desc->op_count * sizeof(*p->ops));
	memcpy(p->buffer_descs, desc->buffers, desc->buffer_count * sizeof(*p->buffer_descs));
	p->base.desc = *desc;
	p->base.desc.ops = p->ops;
	p->base.desc.buffers = p->buffer_descs;
	return ERR_NONE;
}

static enum err plan(struct cpu_program *p, struct err_info *info)
{
	struct liveness *l = mem_alloc(1, sizeof(*l));
	struct carve c = {0};
	enum err err;

	if (!l)
		return err_set(info, ERR_MEMORY, "no memory to plan a program");
	find_liveness(&p->base.desc, l);
	extend_liveness(p, l);
	lay_out(p, l, &c);
	p->memory_bytes = c.used;
	err = cpu_reserve(p->chip, (void **)&p->memory, (int64_t)c.used, "a program's buffers",
		info);
	if (!err) {
		c = (struct carve){.base = (char *)p->memory};
		lay_out(p, l, &c);
		assert(c.used == p->memory_bytes);
	}
	mem_free(l);
	return err;
}

enum err cpu_program_open(struct chip *chip, struct chip_program **out,
	const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	struct err_info *info)
{
	struct cpu_program *p = mem_alloc(1, sizeof(*p));
	enum err err;

	if (!p)
		return err_set(info, ERR_MEMORY, "no memory for a program");
	p->chip = (struct cpu_chip *)chip;
	p->base.layout = *layout;
	err = copy_desc(p, desc, info);
	if (!err) {
		cpu_fuse(desc, p->fusions);
		err = find_ropes(p, info);
	}
	if (!err) {
		find_sizes(p);
		err = plan(p, info);
	}
	if (err) {
		cpu_program_close(chip, &p->base);
		return err;
	}
	fill_constants(p);
	*out = &p->base;
	return ERR_NONE;
}

void cpu_program_close(struct chip *chip, struct chip_program *program)
{
	struct cpu_program *p = (struct cpu_program *)program;

	for (uint32_t i = 0; i < CHIP_STEPS_MAX; i++)
		assert(!p->steps[i].in_flight);
	cpu_release((struct cpu_chip *)chip, p->memory, (int64_t)p->memory_bytes);
	mem_free(p->fusions);
	mem_free(p->op_taps);
	mem_free(p->op_rope);
	mem_free(p->buffer_descs);
	mem_free(p->ops);
	mem_free(p);
}
