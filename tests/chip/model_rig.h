/* tests/chip/model_rig.h - a random small hybrid model with every operation in it, and sequences
 * that run through it in any cut. The same seed gives the same model on every chip. */
#ifndef TESTS_CHIP_MODEL_RIG_H
#define TESTS_CHIP_MODEL_RIG_H

#include "rig.h"

#define MODEL_VOCAB   53    /* 50 of them real */
#define MODEL_PADDING 3
#define MODEL_PAGES   32
#define MODEL_STATES  8

struct model_shape {
	uint32_t hidden, ffn;
	uint32_t heads, kv_heads, head_dim, rotary_dim;
	uint32_t k_heads, v_heads, k_dim, v_dim;
	bool norm, gate, tiled, bias;
	uint32_t experts, used; /* 0: a dense feed-forward part */
	bool shared;
	uint32_t window;
	enum chip_type kv_type;
	struct prng dice;       /* types of weights, seeds of values */
	uint64_t seed;
};

static inline uint32_t pick(struct prng *p, const uint32_t *from, uint32_t count)
{
	return from[prng_below(p, count)];
}

#define COUNT(...) (sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define PICK(p, ...) pick(p, (const uint32_t[]){__VA_ARGS__}, COUNT(__VA_ARGS__))

static inline struct model_shape model_shape_of(uint64_t seed)
{
	struct model_shape s = {.seed = seed};
	struct prng *p = &s.dice;

	prng_init(p, seed);
	s.hidden = PICK(p, 32, 64, 96, 160, 45, 256);
	s.ffn = PICK(p, 32, 96, 288, 37, 768);
	s.kv_heads = PICK(p, 1, 2, 3);
	s.heads = s.kv_heads * PICK(p, 1, 2, 3, 5);
	s.head_dim = PICK(p, 8, 16, 32, 64, 48, 20);
	s.rotary_dim = s.head_dim / 4 * PICK(p, 0, 2, 4);
	s.k_heads = PICK(p, 1, 2, 3);
	s.v_heads = s.k_heads * PICK(p, 1, 2);
	s.k_dim = PICK(p, 8, 16, 32, 19);
	s.v_dim = PICK(p, 8, 16, 32, 64, 41);
	s.norm = prng_below(p, 2);
	s.gate = prng_below(p, 2);
	s.tiled = prng_below(p, 2);
	s.bias = prng_below(p, 2);
	s.experts = PICK(p, 0, 0, 1, 5, 9);
	s.used = s.experts < 3 ? s.experts : PICK(p, 1, 2, 3);
	s.shared = prng_below(p, 2);
	s.window = PICK(p, 0, 0, 1, 31, 40);
	s.kv_type = (enum chip_type)PICK(p, CHIP_F32, CHIP_F16, CHIP_BF16, CHIP_Q8_0);
	if (s.head_dim % CHIP_KV_BLOCK && s.kv_type == CHIP_Q8_0)
		s.kv_type = CHIP_F16;
	return s;
}

/* A weight of a random type that fits the columns, scaled so that values stay near one. */
static inline const struct chip_weight *model_parts(struct rig *r, struct model_shape *s,
	uint32_t parts, uint32_t rows, uint32_t columns)
{
	enum chip_type type = (enum chip_type)prng_below(&s->dice, CHIP_TYPES);

	while (!chip_row_fits(type, rig_group(type), columns))
		type = (enum chip_type)prng_below(&s->dice, CHIP_TYPES);
	const size_t count = (size_t)rows * columns;
	float *values = malloc(count * sizeof(float));
	const float scale = 2.0F / math_sqrtf((float)columns);

	assert_non_null(values);
	rig_fill(values, count, prng_next(&s->dice));
	for (size_t i = 0; i < count; i++)
		values[i] *= scale;
	const uint32_t index = rig_parts_of(r, type, parts, rows, columns, values);

	free(values);
	return r->weights[index];
}

static inline const struct chip_weight *model_weight(struct rig *r, struct model_shape *s,
	uint32_t rows, uint32_t columns)
{
	return model_parts(r, s, 1, rows, columns);
}

static inline void model_matmul(struct rig *r, struct model_shape *s, const char *tap, uint32_t in,
	uint32_t count, const uint32_t *outs)
{
	struct chip_op *op = rig_op(r, CHIP_OP_MATMUL, tap);

	op->u.matmul.in = in;
	op->u.matmul.count = count;
	for (uint32_t i = 0; i < count; i++) {
		op->u.matmul.out[i] = outs[i];
		const bool routed = r->buffers[in].space == CHIP_ROUTED;
		const uint32_t parts = routed ? s->experts : 1;

		op->u.matmul.weight[i] = model_parts(r, s, parts,
			parts * r->buffers[outs[i]].columns, r->buffers[in].columns);
		if (s->bias && !routed)
			op->u.matmul.bias[i] = rig_random_vector(r, r->buffers[outs[i]].columns,
				20 + i);
	}
}

static inline void model_norm(struct rig *r, const char *tap, uint32_t x, uint32_t add,
	uint32_t out)
{
	struct chip_op *op = rig_op(r, CHIP_OP_NORM, tap);

	op->u.norm.residual = x;
	op->u.norm.add = add;
	op->u.norm.out = out;
	op->u.norm.weight = rig_random_vector(r, r->buffers[x].columns, 5);
	op->u.norm.eps = 1e-6F;
}

static inline void model_attention(struct rig *r, struct model_shape *s, uint32_t x, uint32_t h)
{
	const uint32_t d = s->head_dim;
	const uint32_t q = rig_buffer(r, "q", CHIP_ROWS, s->heads * d * (s->gate ? 2 : 1));
	const uint32_t kv[] = {
		q, rig_buffer(r, "k", CHIP_ROWS, s->kv_heads * d),
		rig_buffer(r, "v", CHIP_ROWS, s->kv_heads * d)};
	const uint32_t out = rig_buffer(r, "attended", CHIP_ROWS, s->heads * d);
	const uint32_t o = rig_buffer(r, "o", CHIP_ROWS, s->hidden);
	const struct chip_heads queries = {q, 0, s->gate ? 2 * d : d, s->heads};
	struct chip_op *op;

	model_norm(r, "attention_norm", x, CHIP_NONE, h);
	model_matmul(r, s, "q", h, 3, kv);
	op = rig_op(r, CHIP_OP_QK_ROPE, "roped");
	op->u.qk_rope.q = queries;
	op->u.qk_rope.k = (struct chip_heads){kv[1], 0, d, s->kv_heads};
	op->u.qk_rope.v = (struct chip_heads){kv[2], 0, d, s->kv_heads};
	op->u.qk_rope.head_dim = d;
	op->u.qk_rope.rotary_dim = s->rotary_dim;
	op->u.qk_rope.frequencies = rig_frequencies(r, s->rotary_dim / 2);
	op->u.qk_rope.factor = 1;
	op->u.qk_rope.q_norm = s->norm ? rig_random_vector(r, d, 6) : NULL;
	op->u.qk_rope.k_norm = s->norm ? rig_random_vector(r, d, 7) : NULL;
	op->u.qk_rope.eps = 1e-6F;
	op = rig_op(r, CHIP_OP_ATTEND, "attended");
	op->u.attend.q = queries;
	op->u.attend.gate = queries;
	op->u.attend.gate.first = d;
	op->u.attend.gate.buffer = s->gate ? q : CHIP_NONE;
	op->u.attend.out = out;
	op->u.attend.kv_heads = s->kv_heads;
	op->u.attend.head_dim = d;
	op->u.attend.window = s->window;
	op->u.attend.scale = 1.0F / math_sqrtf((float)d);
	model_matmul(r, s, "o", out, 1, &o);
	model_norm(r, "delta_norm", x, o, h);
}

static inline void model_delta(struct rig *r, struct model_shape *s, uint32_t h, uint32_t delta_out)
{
	const uint32_t values = s->v_heads * s->v_dim;
	const uint32_t channels = 2 * s->k_heads * s->k_dim + values;
	const uint32_t parts[] = {
		rig_buffer(r, "qkv", CHIP_ROWS, channels), rig_buffer(r, "z", CHIP_ROWS, values),
		rig_buffer(r, "a", CHIP_ROWS, s->v_heads),
		rig_buffer(r, "b", CHIP_ROWS, s->v_heads),
	};
	const uint32_t out = rig_buffer(r, "delta", CHIP_ROWS, values);
	const uint32_t gated = s->gate ? rig_buffer(r, "gated", CHIP_ROWS, values) : out;
	float decay[16];
	struct chip_op *op;

	for (uint32_t i = 0; i < s->v_heads; i++)
		decay[i] = -0.1F * (float)(1 + i);
	model_matmul(r, s, "qkv", h, 4, parts);
	op = rig_op(r, CHIP_OP_CONV, "conv");
	op->u.conv.data = parts[0];
	op->u.conv.weight = rig_random_vector(r, channels * 4, 8);
	op = rig_op(r, CHIP_OP_DELTA, "delta");
	op->u.delta.qkv = parts[0];
	op->u.delta.a = parts[2];
	op->u.delta.b = parts[3];
	op->u.delta.out = out;
	op->u.delta.decay = rig_vector(r, decay, s->v_heads);
	op->u.delta.dt_bias = rig_random_vector(r, s->v_heads, 9);
	op->u.delta.k_heads = s->k_heads;
	op->u.delta.v_heads = s->v_heads;
	op->u.delta.k_dim = s->k_dim;
	op->u.delta.v_dim = s->v_dim;
	op->u.delta.tiled = s->tiled;
	op = rig_op(r, CHIP_OP_NORM_GATE, "norm_gate");
	op->u.norm_gate.in = out;
	op->u.norm_gate.out = gated;
	op->u.norm_gate.gate = parts[1];
	op->u.norm_gate.weight = rig_random_vector(r, s->v_dim, 10);
	op->u.norm_gate.head_dim = s->v_dim;
	op->u.norm_gate.eps = 1e-6F;
	model_matmul(r, s, "delta_out", gated, 1, &delta_out);
	r->layout.conv_channels = channels;
}

/* gate, up, silu, down: of all rows, or of routed ones by their experts. */
static inline uint32_t model_swiglu(struct rig *r, struct model_shape *s, enum chip_space space,
	uint32_t ffn, uint32_t in)
{
	const uint32_t parts[] = {
		rig_buffer(r, "gate", space, ffn), rig_buffer(r, "up", space, ffn)};
	const uint32_t act = s->gate ? rig_buffer(r, "act", space, ffn) : parts[0];
	const uint32_t down = rig_buffer(r, "down", space, s->hidden);

	model_matmul(r, s, "gate", in, 2, parts);
	struct chip_op *op = rig_op(r, CHIP_OP_SWIGLU, "swiglu");

	op->u.swiglu.gate = parts[0];
	op->u.swiglu.up = parts[1];
	op->u.swiglu.out = act;
	model_matmul(r, s, "down", act, 1, &down);
	return down;
}

static inline uint32_t model_experts(struct rig *r, struct model_shape *s, uint32_t h)
{
	const uint32_t logits = rig_buffer(r, "router", CHIP_ROWS, s->experts);
	const uint32_t weights = rig_buffer(r, "weights", CHIP_ROWS, s->used);
	const uint32_t spread = rig_buffer(r, "spread", CHIP_ROUTED, s->hidden);
	const uint32_t gate = rig_buffer(r, "shared_gate", CHIP_ROWS, 1);
	const uint32_t out = rig_buffer(r, "combined", CHIP_ROWS, s->hidden);

	model_matmul(r, s, "router", h, 1, &logits);
	struct chip_op *op = rig_op(r, CHIP_OP_ROUTE, "route");

	op->u.route.logits = logits;
	op->u.route.weights = weights;
	op->u.route.experts = s->experts;
	op->u.route.used = s->used;
	op->u.route.normalise = s->norm;
	op->u.route.scale = 1;
	op = rig_op(r, CHIP_OP_GATHER, "spread");
	op->u.gather.in = h;
	op->u.gather.out = spread;
	const uint32_t routed = model_swiglu(r, s, CHIP_ROUTED, s->ffn % 2 ? 37 : 32, spread);
	uint32_t shared = CHIP_NONE;

	if (s->shared) {
		shared = model_swiglu(r, s, CHIP_ROWS, 32, h);
		model_matmul(r, s, "shared_gate", h, 1, &gate);
	}
	op = rig_op(r, CHIP_OP_COMBINE, "combined");
	op->u.combine.in = routed;
	op->u.combine.weights = weights;
	op->u.combine.out = out;
	op->u.combine.shared = shared;
	op->u.combine.gate = s->shared ? gate : CHIP_NONE;
	return out;
}

static inline void model_ffn(struct rig *r, struct model_shape *s, uint32_t x, uint32_t h)
{
	const uint32_t down = s->experts ? model_experts(r, s, h)
		: model_swiglu(r, s, CHIP_ROWS, s->ffn, h);
	struct chip_op *op;

	op = rig_op(r, CHIP_OP_ADD, "x");
	op->u.add.out = x;
	op->u.add.in = down;
}

static inline void model_output(struct rig *r, struct model_shape *s, uint32_t x)
{
	const uint32_t wanted = rig_buffer(r, "wanted", CHIP_WANTED, s->hidden);
	struct chip_op *op = rig_op(r, CHIP_OP_GATHER, NULL);

	op->u.gather.in = x;
	op->u.gather.out = wanted;
	r->desc.hidden = rig_buffer(r, "hidden", CHIP_WANTED, s->hidden);
	model_norm(r, "hidden", wanted, CHIP_NONE, r->desc.hidden);
	r->desc.logits = rig_buffer(r, "logits", CHIP_WANTED, MODEL_VOCAB);
	model_matmul(r, s, "logits", r->desc.hidden, 1, &r->desc.logits);
	op = rig_op(r, CHIP_OP_SAMPLE, NULL);
	op->u.sample.logits = r->desc.logits;
	op->u.sample.vocab = MODEL_VOCAB - MODEL_PADDING;
}

static inline void model_open(struct rig *r, const struct rig_isa *isa, uint32_t threads,
	struct model_shape s)
{
	rig_open(r, isa, threads);
	const uint32_t x = rig_buffer(r, "x", CHIP_ROWS, s.hidden);
	const uint32_t h = rig_buffer(r, "h", CHIP_ROWS, s.hidden);
	const uint32_t delta_out = rig_buffer(r, "delta_out", CHIP_ROWS, s.hidden);
	struct chip_op *op = rig_op(r, CHIP_OP_EMBED, "embedded");

	op->u.embed.out = x;
	op->u.embed.table = model_weight(r, &s, MODEL_VOCAB, s.hidden);
	model_attention(r, &s, x, h);
	model_delta(r, &s, h, delta_out);
	model_norm(r, "ffn_norm", x, delta_out, h);
	model_ffn(r, &s, x, h);
	model_output(r, &s, x);
	r->layout = (struct chip_cache_layout){
		.kv_type = s.kv_type, .attention_layers = 1, .kv_heads = s.kv_heads,
			.head_dim = s.head_dim,
		.pages = MODEL_PAGES, .delta_layers = 1, .conv_channels = r->layout.conv_channels,
		.conv_width = 4, .v_heads = s.v_heads, .k_dim = s.k_dim, .v_dim = s.v_dim,
		.states = MODEL_STATES, .slots = 8, .vocab = MODEL_VOCAB - MODEL_PADDING,
		.context_max = 4096,
	};
	rig_start(r);
}

/* ---- sequences ------------------------------------------------------------------------------- */

#define SEQUENCES_MAX 4
#define TOKENS_MAX    100
#define TABLE_PAGES   4      /* of a sequence: TOKENS_MAX tokens */

struct sequence {
	uint32_t tokens[TOKENS_MAX];
	uint32_t count;
	uint32_t done;
	uint32_t pages[TABLE_PAGES];
	uint32_t slot, state;
};

static inline void sequence_random(struct sequence *s, uint32_t count, uint64_t seed)
{
	struct prng p;

	prng_init(&p, seed);
	memset(s, 0, sizeof(*s));
	s->count = count;
	for (uint32_t i = 0; i < count; i++)
		s->tokens[i] = (uint32_t)prng_below(&p, MODEL_VOCAB);
}

/* Adds the next rows of a sequence to a step; all of them want the same. */
struct stepper {
	struct chip_row rows[64];
	struct chip_sequence sequences[SEQUENCES_MAX];
	uint32_t pages[SEQUENCES_MAX * TABLE_PAGES];
	struct chip_step step;
};

static inline void stepper_add(struct stepper *t, struct sequence *s, uint32_t count,
	enum chip_want want)
{
	struct chip_sequence *q = &t->sequences[t->step.sequence_count];

	*q = (struct chip_sequence){
		.slot = s->slot,
		.row_count = count,
		.cached_tokens = s->done,
		.first_page = t->step.page_count,
		.page_count = TABLE_PAGES,
		.state_read = s->done ? s->state : CHIP_NONE,
		.state_write = s->state,
	};
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t at = s->done + i;

		t->rows[t->step.row_count++] = (struct chip_row){
			.sequence = t->step.sequence_count,
			.want = (uint8_t)want,
			.value = s->tokens[at],
			.position = {at, at, at},
		};
	}
	memcpy(t->pages + t->step.page_count, s->pages, sizeof(s->pages));
	t->step.page_count += TABLE_PAGES;
	t->step.sequence_count++;
	t->step.rows = t->rows;
	t->step.sequences = t->sequences;
	t->step.pages = t->pages;
	s->done += count;
}

#endif
