/* model/arch/program.c - see program.h. */
#include "model/arch/program.h"

#include <assert.h>

#include "base/mem.h"
#include "base/math.h"
#include "model/arch/config.h"

#define OPS_PER_LAYER_MAX 16   /* DeltaNet, experts and a shared one */
#define OPS_AROUND_MAX    6

_Static_assert(MODEL_LAYERS_MAX * OPS_PER_LAYER_MAX + OPS_AROUND_MAX <= CHIP_OPS_MAX &&
	MODEL_LAYERS_MAX <= CHIP_LAYERS_MAX && MODEL_HIDDEN_MAX <= CHIP_COLUMNS_MAX &&
	MODEL_EXPERTS_MAX <= CHIP_PARTS_MAX, "a chip takes every model that a config may be");

/* Of a feed-forward part. */
struct swiglu_buffers {
	uint32_t gate, up, act, out;
};

/* Buffers that every layer uses again. */
struct recorder {
	struct program *p;
	const struct model_config *config;
	bool taps;
	const struct chip_vector *rope;
	uint32_t x, y, d;                   /* residual, normed, addition */
	uint32_t q, k, v, attention;
	uint32_t qkv, z, a, b, delta, gated;
	struct swiglu_buffers dense, routed, shared;
	uint32_t router, expert_weights, spread, shared_router, shared_out;
	uint32_t layer;
	uint32_t attention_layer, delta_layer;
};

static uint32_t buffer_add(struct recorder *r, const char *name, enum chip_space space,
	uint32_t columns)
{
	struct program *p = r->p;

	assert(p->buffer_count < CHIP_BUFFERS_MAX);
	p->buffers[p->buffer_count] = (struct chip_buffer){
		.name = name, .space = space, .columns = columns};
	return p->buffer_count++;
}

static struct chip_op *op_add(struct recorder *r, enum chip_op_kind kind, const char *tap)
{
	struct program *p = r->p;

	assert(p->op_count < p->op_capacity);
	struct chip_op *op = &p->ops[p->op_count++];
	*op = (struct chip_op){.kind = kind, .tap = r->taps ? tap : NULL, .tap_layer = r->layer};
	return op;
}

static void record_norm(struct recorder *r, uint32_t add, const struct chip_vector *weight,
	const char *tap)
{
	struct chip_op *op = op_add(r, CHIP_OP_NORM, tap);

	op->u.norm.residual = r->x;
	op->u.norm.add = add;
	op->u.norm.out = r->y;
	op->u.norm.weight = weight;
	op->u.norm.eps = r->config->rms_eps;
}

/* A matrix product that others with the same input may join. */
static struct chip_op *record_matmul(struct recorder *r, uint32_t in, const char *tap)
{
	struct chip_op *op = op_add(r, CHIP_OP_MATMUL, tap);

	op->u.matmul.in = in;
	return op;
}

/* bias: NULL where there is none. */
static void matmul_join(struct chip_op *op, const struct packed *weight, const struct packed *bias,
	uint32_t out)
{
	const uint32_t at = op->u.matmul.count++;

	assert(at < CHIP_MATRICES_MAX && weight->matrix);
	op->u.matmul.weight[at] = weight->matrix;
	op->u.matmul.bias[at] = bias ? bias->vector : NULL;
	op->u.matmul.out[at] = out;
}

static void record_attention(struct recorder *r, const struct packed *w)
{
	const struct model_config *c = r->config;
	const uint32_t q_stride = c->q_gate ? 2 * c->head_dim : c->head_dim;
	const struct chip_heads q = {r->q, 0, q_stride, c->heads};
	struct chip_op *op = record_matmul(r, r->y, NULL);

	matmul_join(op, &w[WEIGHT_ATTN_Q], &w[WEIGHT_ATTN_Q_BIAS], r->q);
	matmul_join(op, &w[WEIGHT_ATTN_K], &w[WEIGHT_ATTN_K_BIAS], r->k);
	matmul_join(op, &w[WEIGHT_ATTN_V], &w[WEIGHT_ATTN_V_BIAS], r->v);

	op = op_add(r, CHIP_OP_QK_ROPE, NULL);
	op->u.qk_rope.q = q;
	op->u.qk_rope.k = (struct chip_heads){r->k, 0, c->head_dim, c->kv_heads};
	op->u.qk_rope.v = (struct chip_heads){r->v, 0, c->head_dim, c->kv_heads};
	op->u.qk_rope.head_dim = c->head_dim;
	op->u.qk_rope.rotary_dim = c->rotary_dim;
	op->u.qk_rope.frequencies = r->rope;
	op->u.qk_rope.factor = c->rope_factor;
	op->u.qk_rope.q_norm = w[WEIGHT_ATTN_Q_NORM].vector;
	op->u.qk_rope.k_norm = w[WEIGHT_ATTN_K_NORM].vector;
	op->u.qk_rope.eps = c->rms_eps;
	op->u.qk_rope.layer = r->attention_layer;

	op = op_add(r, CHIP_OP_ATTEND, c->q_gate ? "attn_gated" : "attn_o");
	op->u.attend.q = q;
	op->u.attend.gate = (struct chip_heads){CHIP_NONE, 0, 0, 0};
	if (c->q_gate)
		op->u.attend.gate = (struct chip_heads){r->q, c->head_dim, q_stride, c->heads};
	op->u.attend.out = r->attention;
	op->u.attend.kv_heads = c->kv_heads;
	op->u.attend.head_dim = c->head_dim;
	op->u.attend.window = c->layer_window[r->layer] ? c->window : 0;
	op->u.attend.scale = 1.0f / math_sqrtf((float)c->head_dim);
	op->u.attend.layer = r->attention_layer++;

	matmul_join(record_matmul(r, r->attention, "attn_out"), &w[WEIGHT_ATTN_OUT],
		&w[WEIGHT_ATTN_OUT_BIAS], r->d);
}

static void record_delta(struct recorder *r, const struct packed *w)
{
	const struct model_config *c = r->config;
	struct chip_op *op = record_matmul(r, r->y, NULL);

	matmul_join(op, &w[WEIGHT_DELTA_QKV], NULL, r->qkv);
	matmul_join(op, &w[WEIGHT_DELTA_Z], NULL, r->z);
	matmul_join(op, &w[WEIGHT_DELTA_A], NULL, r->a);
	matmul_join(op, &w[WEIGHT_DELTA_B], NULL, r->b);

	op = op_add(r, CHIP_OP_CONV, "gdn_conv");
	op->u.conv.data = r->qkv;
	op->u.conv.weight = w[WEIGHT_DELTA_CONV].vector;
	op->u.conv.layer = r->delta_layer;

	op = op_add(r, CHIP_OP_DELTA, "gdn_o");
	op->u.delta.qkv = r->qkv;
	op->u.delta.a = r->a;
	op->u.delta.b = r->b;
	op->u.delta.out = r->delta;
	op->u.delta.decay = w[WEIGHT_DELTA_DECAY].vector;
	op->u.delta.dt_bias = w[WEIGHT_DELTA_DT_BIAS].vector;
	op->u.delta.k_heads = c->delta_k_heads;
	op->u.delta.v_heads = c->delta_v_heads;
	op->u.delta.k_dim = c->delta_k_dim;
	op->u.delta.v_dim = c->delta_v_dim;
	op->u.delta.tiled = c->delta_tiled;
	op->u.delta.layer = r->delta_layer++;

	op = op_add(r, CHIP_OP_NORM_GATE, "gdn_gated");
	op->u.norm_gate.in = r->delta;
	op->u.norm_gate.gate = r->z;
	op->u.norm_gate.out = r->gated;
	op->u.norm_gate.weight = w[WEIGHT_DELTA_NORM].vector;
	op->u.norm_gate.head_dim = c->delta_v_dim;
	op->u.norm_gate.eps = c->rms_eps;

	matmul_join(record_matmul(r, r->gated, "gdn_out"), &w[WEIGHT_DELTA_OUT], NULL, r->d);
}

/* act = silu(gate) * up, then out = down act: what follows the two products with the input. */
static void record_swiglu(struct recorder *r, const struct swiglu_buffers *b,
	const struct packed *down, const struct packed *down_bias, const char *tap)
{
	struct chip_op *op = op_add(r, CHIP_OP_SWIGLU, NULL);

	op->u.swiglu.gate = b->gate;
	op->u.swiglu.up = b->up;
	op->u.swiglu.out = b->act;
	matmul_join(record_matmul(r, b->act, tap), down, down_bias, b->out);
}

static void record_dense(struct recorder *r, const struct packed *w)
{
	struct chip_op *op = record_matmul(r, r->y, NULL);

	matmul_join(op, &w[WEIGHT_FFN_GATE], &w[WEIGHT_FFN_GATE_BIAS], r->dense.gate);
	matmul_join(op, &w[WEIGHT_FFN_UP], &w[WEIGHT_FFN_UP_BIAS], r->dense.up);
	record_swiglu(r, &r->dense, &w[WEIGHT_FFN_DOWN], &w[WEIGHT_FFN_DOWN_BIAS], "ffn_out");
}

static void record_route(struct recorder *r)
{
	const struct model_config *c = r->config;
	struct chip_op *op = op_add(r, CHIP_OP_ROUTE, NULL);

	op->u.route.logits = r->router;
	op->u.route.weights = r->expert_weights;
	op->u.route.experts = c->experts;
	op->u.route.used = c->experts_used;
	op->u.route.normalise = c->experts_norm;
	op->u.route.scale = c->experts_scale;

	op = op_add(r, CHIP_OP_GATHER, NULL);
	op->u.gather.in = r->y;
	op->u.gather.out = r->spread;
}

/* The shared expert's two products share the router's input. */
static void record_experts(struct recorder *r, const struct packed *w)
{
	const bool shared = r->config->shared_ffn > 0;
	struct chip_op *op = record_matmul(r, r->y, NULL);

	matmul_join(op, &w[WEIGHT_ROUTER], NULL, r->router);
	if (shared) {
		matmul_join(op, &w[WEIGHT_SHARED_ROUTER], NULL, r->shared_router);
		matmul_join(op, &w[WEIGHT_SHARED_GATE], NULL, r->shared.gate);
		matmul_join(op, &w[WEIGHT_SHARED_UP], NULL, r->shared.up);
		record_swiglu(r, &r->shared, &w[WEIGHT_SHARED_DOWN], NULL, NULL);
	}
	record_route(r);
	op = record_matmul(r, r->spread, NULL);
	matmul_join(op, &w[WEIGHT_EXPERTS_GATE], NULL, r->routed.gate);
	matmul_join(op, &w[WEIGHT_EXPERTS_UP], NULL, r->routed.up);
	record_swiglu(r, &r->routed, &w[WEIGHT_EXPERTS_DOWN], NULL, NULL);

	op = op_add(r, CHIP_OP_COMBINE, "ffn_out");
	op->u.combine.in = r->routed.out;
	op->u.combine.weights = r->expert_weights;
	op->u.combine.out = r->d;
	op->u.combine.shared = shared ? r->shared.out : CHIP_NONE;
	op->u.combine.gate = shared ? r->shared_router : CHIP_NONE;
}

static struct swiglu_buffers swiglu_buffers(struct recorder *r, enum chip_space space, uint32_t ffn)
{
	return (struct swiglu_buffers){
		.gate = buffer_add(r, "gate", space, ffn),
		.up = buffer_add(r, "up", space, ffn),
		.act = buffer_add(r, "act", space, ffn),
	};
}

static void record_ffn_buffers(struct recorder *r)
{
	const struct model_config *c = r->config;

	if (c->expert_layers < c->layers) {
		r->dense = swiglu_buffers(r, CHIP_ROWS, c->ffn);
		r->dense.out = r->d;
	}
	if (c->expert_layers == 0)
		return;
	r->router = buffer_add(r, "router", CHIP_ROWS, c->experts);
	r->expert_weights = buffer_add(r, "expert weights", CHIP_ROWS, c->experts_used);
	r->spread = buffer_add(r, "spread", CHIP_ROUTED, c->hidden);
	r->routed = swiglu_buffers(r, CHIP_ROUTED, c->expert_ffn);
	r->routed.out = buffer_add(r, "routed", CHIP_ROUTED, c->hidden);
	if (c->shared_ffn == 0)
		return;
	r->shared_router = buffer_add(r, "shared router", CHIP_ROWS, 1);
	r->shared = swiglu_buffers(r, CHIP_ROWS, c->shared_ffn);
	r->shared.out = buffer_add(r, "shared", CHIP_ROWS, c->hidden);
}

static void record_buffers(struct recorder *r)
{
	const struct model_config *c = r->config;
	const uint32_t q_columns = c->heads * c->head_dim * (c->q_gate ? 2 : 1);
	const uint32_t kv_columns = c->kv_heads * c->head_dim;
	const uint32_t v_columns = c->delta_v_heads * c->delta_v_dim;

	r->x = buffer_add(r, "x", CHIP_ROWS, c->hidden);
	r->y = buffer_add(r, "y", CHIP_ROWS, c->hidden);
	r->d = buffer_add(r, "d", CHIP_ROWS, c->hidden);
	r->q = buffer_add(r, "q", CHIP_ROWS, q_columns);
	r->k = buffer_add(r, "k", CHIP_ROWS, kv_columns);
	r->v = buffer_add(r, "v", CHIP_ROWS, kv_columns);
	r->attention = buffer_add(r, "attention", CHIP_ROWS, c->heads * c->head_dim);
	record_ffn_buffers(r);
	if (c->delta_layers == 0)
		return;
	r->qkv = buffer_add(r, "qkv", CHIP_ROWS, model_config_delta_channels(c));
	r->z = buffer_add(r, "z", CHIP_ROWS, v_columns);
	r->a = buffer_add(r, "a", CHIP_ROWS, c->delta_v_heads);
	r->b = buffer_add(r, "b", CHIP_ROWS, c->delta_v_heads);
	r->delta = buffer_add(r, "delta", CHIP_ROWS, v_columns);
	r->gated = buffer_add(r, "gated", CHIP_ROWS, v_columns);
}

/* Final norm, head and sampling of the rows that want something. */
static void record_head(struct recorder *r, const struct packed_weights *w)
{
	const struct model_config *c = r->config;
	const uint32_t wanted = buffer_add(r, "wanted", CHIP_WANTED, c->hidden);
	const uint32_t hidden = buffer_add(r, "hidden", CHIP_WANTED, c->hidden);
	const uint32_t logits = buffer_add(r, "logits", CHIP_WANTED, c->vocab);
	struct chip_op *op = op_add(r, CHIP_OP_ADD, NULL);

	op->u.add.out = r->x;
	op->u.add.in = r->d;

	op = op_add(r, CHIP_OP_GATHER, NULL);
	op->u.gather.in = r->x;
	op->u.gather.out = wanted;

	op = op_add(r, CHIP_OP_NORM, "final_norm");
	op->u.norm.residual = wanted;
	op->u.norm.add = CHIP_NONE;
	op->u.norm.out = hidden;
	op->u.norm.weight = w->once[WEIGHT_FINAL_NORM].vector;
	op->u.norm.eps = c->rms_eps;

	matmul_join(record_matmul(r, hidden, "logits"), &w->once[WEIGHT_HEAD], NULL, logits);

	op = op_add(r, CHIP_OP_SAMPLE, NULL);
	op->u.sample.logits = logits;
	op->u.sample.vocab = c->vocab_used;
	r->p->desc.logits = logits;
	r->p->desc.hidden = hidden;
}

static void record_layers(struct recorder *r, const struct packed_weights *w)
{
	uint32_t add = CHIP_NONE;   /* the first layer has nothing to add */

	for (r->layer = 0; r->layer < r->config->layers; r->layer++) {
		const struct packed *layer = w->layers[r->layer];

		record_norm(r, add, layer[WEIGHT_INPUT_NORM].vector, "attn_norm");
		if (r->config->layer_kind[r->layer] == MODEL_LAYER_ATTENTION)
			record_attention(r, layer);
		else
			record_delta(r, layer);
		record_norm(r, r->d, layer[WEIGHT_FFN_NORM].vector, "ffn_norm");
		if (r->config->layer_ffn[r->layer] == MODEL_FFN_EXPERTS)
			record_experts(r, layer);
		else
			record_dense(r, layer);
		add = r->d;
	}
	r->layer = CHIP_NONE;
}

enum err program_record(struct program *p, const struct model_config *config,
	const struct packed_weights *weights, uint32_t rows_max, uint32_t wanted_max, bool taps,
	struct err_info *info)
{
	struct recorder r = {
		.p = p,
		.config = config,
		.taps = taps,
		.rope = weights->rope,
		.layer = CHIP_NONE,
	};
	struct chip_op *op;

	*p = (struct program){.op_capacity = config->layers * OPS_PER_LAYER_MAX + OPS_AROUND_MAX};
	p->ops = mem_alloc(p->op_capacity, sizeof(*p->ops));
	if (!p->ops)
		return err_set(info, ERR_MEMORY, "out of memory for a program of %u operations",
			p->op_capacity);
	record_buffers(&r);
	op = op_add(&r, CHIP_OP_EMBED, "embed");
	op->u.embed.out = r.x;
	op->u.embed.table = weights->once[WEIGHT_EMBED].matrix;
	record_layers(&r, weights);
	record_head(&r, weights);
	p->desc.ops = p->ops;
	p->desc.op_count = p->op_count;
	p->desc.buffers = p->buffers;
	p->desc.buffer_count = p->buffer_count;
	p->desc.rows_max = rows_max;
	p->desc.wanted_max = wanted_max;
	return ERR_NONE;
}

void program_free(struct program *p)
{
	mem_free(p->ops);
	*p = (struct program){0};
}
