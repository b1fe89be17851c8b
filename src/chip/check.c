/* chip/check.c - see check.h. Programs: one function per kind of operation, each
 * a list of claims. */
#include "chip/check.h"

#include <assert.h>

#include "base/mem.h"
#include "chip/driver.h"
#include "chip/format.h"

#define PAGES_MAX      (1u << 24)
#define STATES_MAX     (1u << 16)
#define SLOTS_MAX      (1u << 16)

static const char *const op_names[] = {
	[CHIP_OP_EMBED] = "embed",         [CHIP_OP_NORM] = "norm",
	[CHIP_OP_MATMUL] = "matmul",       [CHIP_OP_SWIGLU] = "swiglu",
	[CHIP_OP_QK_ROPE] = "qk_rope",     [CHIP_OP_ATTEND] = "attend",
	[CHIP_OP_CONV] = "conv",           [CHIP_OP_DELTA] = "delta",
	[CHIP_OP_NORM_GATE] = "norm_gate", [CHIP_OP_ADD] = "add",
	[CHIP_OP_GATHER] = "gather",       [CHIP_OP_ROUTE] = "route",
	[CHIP_OP_COMBINE] = "combine",     [CHIP_OP_SAMPLE] = "sample",
};

const char *chip_op_name(enum chip_op_kind kind)
{
	return (size_t)kind < CHIP_OP_KINDS ? op_names[kind] : "unknown operation";
}

/* ---- matrices and layouts -------------------------------------------------------------------- */

/* Each stored column is one input column. */
static enum err check_column_order(const struct chip_matrix *m, struct err_info *info)
{
	uint8_t *seen = mem_alloc(m->columns, 1);
	uint32_t j = 0;

	if (!seen)
		return err_set(info, ERR_MEMORY, "no memory to check an order of columns");
	while (j < m->columns && m->column_order[j] < m->columns && !seen[m->column_order[j]])
		seen[m->column_order[j++]] = 1;
	mem_free(seen);
	return j == m->columns ? ERR_NONE
		: err_set(info, ERR_INPUT, "the order of %u columns is broken at column %u",
			m->columns, j);
}

static enum err check_spans(const struct chip_matrix *m, struct err_info *info)
{
	uint64_t rows = 0;

	if (m->read && m->span_count == 0)
		return ERR_NONE;
	for (uint32_t i = 0; i < m->span_count; i++) {
		if (m->spans[i].row_count && !m->spans[i].rows)
			return err_set(info, ERR_INPUT, "span %u of a matrix has no data", i);
		rows += m->spans[i].row_count;
	}
	if (rows != m->rows)
		return err_set(info, ERR_INPUT, "the spans have %llu rows, the matrix %u",
			(unsigned long long)rows, m->rows);
	return ERR_NONE;
}

enum err chip_check_matrix(const struct chip_matrix *m, struct err_info *info)
{
	const uint64_t rows_max = (uint64_t)CHIP_COLUMNS_MAX * (m->parts > 1 ? m->parts : 1);

	if ((uint32_t)m->type >= CHIP_TYPES)
		return err_set(info, ERR_UNSUPPORTED, "weight type %u", (unsigned)m->type);
	if (m->rows == 0 || m->rows > rows_max || m->columns == 0 ||
	    m->columns > CHIP_COLUMNS_MAX)
		return err_set(info, ERR_LIMIT, "a matrix of %u x %u", m->rows, m->columns);
	if (m->parts > CHIP_PARTS_MAX || (m->parts > 1 && m->rows % m->parts))
		return err_set(info, ERR_LIMIT, "%u rows in %u parts", m->rows, m->parts);
	if (!chip_row_fits(m->type, m->group, m->columns))
		return err_set(info, ERR_INPUT, "%u columns are not whole blocks of %s (group %u)",
			m->columns, chip_type_name(m->type), m->group);
	if (m->column_order && !chip_type_is_grouped(m->type))
		return err_set(info, ERR_UNSUPPORTED, "an order of columns for %s",
			chip_type_name(m->type));
	const enum err err = check_spans(m, info);

	return err || !m->column_order ? err : check_column_order(m, info);
}

enum err chip_check_kv(enum chip_type type, uint32_t head_dim, struct err_info *info)
{
	const uint32_t multiple = type == CHIP_BF16 ? 2 : type == CHIP_Q8_0 ? CHIP_KV_BLOCK : 1;

	if (type != CHIP_F32 && type != CHIP_F16 && type != CHIP_BF16 && type != CHIP_Q8_0)
		return err_set(info, ERR_UNSUPPORTED, "keys and values are f32, f16, bf16 or q8_0");
	if (head_dim % multiple)
		return err_set(info, ERR_UNSUPPORTED, "heads of %u cannot have keys and values in "
			"%s, which takes multiples of %u; f16 takes any", head_dim,
			chip_type_name(type), multiple);
	return ERR_NONE;
}

enum err chip_check_layout(const struct chip_cache_layout *l, struct err_info *info)
{
	enum err err;

	if (l->attention_layers > CHIP_LAYERS_MAX || l->delta_layers > CHIP_LAYERS_MAX)
		return err_set(info, ERR_LIMIT, "a cache of %u and %u layers", l->attention_layers,
			l->delta_layers);
	if (l->slots == 0 || l->slots > SLOTS_MAX || l->states > STATES_MAX || l->pages > PAGES_MAX)
		return err_set(info, ERR_LIMIT, "a cache of %u slots, %u states, %u pages",
			l->slots, l->states, l->pages);
	if (l->context_max > CHIP_CONTEXT_MAX || l->vocab > CHIP_COLUMNS_MAX)
		return err_set(info, ERR_LIMIT, "a context of %u tokens, a vocabulary of %u",
			l->context_max, l->vocab);
	if (l->attention_layers > 0 && (err = chip_check_kv(l->kv_type, l->head_dim, info)))
		return err;
	if (l->attention_layers > 0 &&
	    (l->kv_heads == 0 || l->kv_heads > CHIP_HEADS_MAX || l->head_dim == 0 ||
		    l->head_dim > CHIP_HEAD_DIM_MAX))
		return err_set(info, ERR_LIMIT, "%u key heads of %u", l->kv_heads, l->head_dim);
	if (l->delta_layers > 0 &&
	    (l->v_heads == 0 || l->v_heads > CHIP_HEADS_MAX || l->k_dim == 0 ||
		    l->k_dim > CHIP_HEAD_DIM_MAX || l->v_dim == 0 || l->v_dim > CHIP_HEAD_DIM_MAX ||
		    l->conv_channels == 0 || l->conv_channels > CHIP_COLUMNS_MAX ||
		    l->conv_width < 2 || l->conv_width > CHIP_CONV_WIDTH_MAX))
		return err_set(info, ERR_LIMIT, "a state of %u heads %u x %u, %u channels, %u taps",
			l->v_heads, l->k_dim, l->v_dim, l->conv_channels, l->conv_width);
	return ERR_NONE;
}

/* ---- what an operation touches --------------------------------------------------------------- */

enum { READS = 1, WRITES = 2, UPDATES = 3 };

static void touch(struct chip_op_buffers *b, uint32_t buffer, int how)
{
	if (buffer == CHIP_NONE)
		return;
	assert(b->count < CHIP_OP_BUFFERS_MAX);
	if (how & READS)
		b->read |= 1u << b->count;
	if (how & WRITES)
		b->written |= 1u << b->count;
	b->buffer[b->count++] = buffer;
}

void chip_op_buffers(const struct chip_op *op, struct chip_op_buffers *b)
{
	*b = (struct chip_op_buffers){0};
	switch (op->kind) {
	case CHIP_OP_EMBED:
		touch(b, op->u.embed.out, WRITES);
		break;
	case CHIP_OP_NORM:
		touch(b, op->u.norm.residual, op->u.norm.add == CHIP_NONE ? READS : UPDATES);
		touch(b, op->u.norm.add, READS);
		touch(b, op->u.norm.out, WRITES);
		break;
	case CHIP_OP_MATMUL:
		touch(b, op->u.matmul.in, READS);
		for (uint32_t i = 0; i < op->u.matmul.count && i < CHIP_MATRICES_MAX; i++)
			touch(b, op->u.matmul.out[i], WRITES);
		break;
	case CHIP_OP_SWIGLU:
		touch(b, op->u.swiglu.gate, READS);
		touch(b, op->u.swiglu.up, READS);
		touch(b, op->u.swiglu.out, WRITES);
		break;
	case CHIP_OP_QK_ROPE:
		touch(b, op->u.qk_rope.q.buffer, UPDATES);
		touch(b, op->u.qk_rope.k.buffer, UPDATES);
		touch(b, op->u.qk_rope.v.buffer, READS);
		break;
	case CHIP_OP_ATTEND:
		touch(b, op->u.attend.q.buffer, READS);
		touch(b, op->u.attend.gate.buffer, READS);
		touch(b, op->u.attend.out, WRITES);
		break;
	case CHIP_OP_CONV:
		touch(b, op->u.conv.data, UPDATES);
		break;
	case CHIP_OP_DELTA:
		touch(b, op->u.delta.qkv, READS);
		touch(b, op->u.delta.a, READS);
		touch(b, op->u.delta.b, READS);
		touch(b, op->u.delta.out, WRITES);
		break;
	case CHIP_OP_NORM_GATE:
		touch(b, op->u.norm_gate.in, READS);
		touch(b, op->u.norm_gate.gate, READS);
		touch(b, op->u.norm_gate.out, WRITES);
		break;
	case CHIP_OP_ADD:
		touch(b, op->u.add.out, UPDATES);
		touch(b, op->u.add.in, READS);
		break;
	case CHIP_OP_GATHER:
		touch(b, op->u.gather.in, READS);
		touch(b, op->u.gather.out, WRITES);
		break;
	case CHIP_OP_ROUTE:
		touch(b, op->u.route.logits, READS);
		touch(b, op->u.route.weights, WRITES);
		break;
	case CHIP_OP_COMBINE:
		touch(b, op->u.combine.in, READS);
		touch(b, op->u.combine.weights, READS);
		touch(b, op->u.combine.shared, READS);
		touch(b, op->u.combine.gate, READS);
		touch(b, op->u.combine.out, WRITES);
		break;
	case CHIP_OP_SAMPLE:
		touch(b, op->u.sample.logits, READS);
		break;
	}
}

uint32_t chip_op_result(const struct chip_op *op)
{
	struct chip_op_buffers b;

	if (op->kind == CHIP_OP_NORM)
		return op->u.norm.out;
	chip_op_buffers(op, &b);
	for (uint32_t i = 0; i < b.count; i++)
		if (b.written >> i & 1)
			return b.buffer[i];
	return CHIP_NONE;
}

/* ---- programs -------------------------------------------------------------------------------- */

/* A check in progress: the first claim that does not hold is kept. */
struct checker {
	const struct chip_program_desc *desc;
	const struct chip_cache_layout *layout;
	const struct chip_op *op;
	uint32_t op_index;
	uint64_t written;       /* buffers that an earlier operation wrote, a bit each */
	uint32_t experts, used; /* of all routes; 0: none yet */
	uint32_t window;        /* of all layers that have one; 0: none yet */
	struct err_info *info;
	enum err err;
};

static bool claim(struct checker *c, bool holds, const char *what)
{
	if (!holds && !c->err)
		c->err = err_set(c->info, ERR_INPUT, "operation %u (%s): %s", c->op_index,
			chip_op_name(c->op->kind), what);
	return holds;
}

/* A buffer that is there, has that many columns (0: any) and lies in that space. */
static bool claim_buffer(struct checker *c, uint32_t buffer, enum chip_space space,
	uint32_t columns)
{
	return claim(c, buffer < c->desc->buffer_count, "no such buffer") &&
	       claim(c, c->desc->buffers[buffer].space == space, "a buffer of the wrong space") &&
	       claim(c, columns == 0 || c->desc->buffers[buffer].columns == columns,
		       "a buffer of the wrong width");
}

static void claim_vector(struct checker *c, const struct chip_vector *v, uint64_t count)
{
	claim(c, v && v->count == count, "a vector of the wrong length");
}

/* All heads lie inside the buffer and do not overlap. */
static void claim_heads(struct checker *c, const struct chip_heads *h, uint32_t head_dim)
{
	if (!claim_buffer(c, h->buffer, CHIP_ROWS, 0))
		return;
	claim(c, h->count > 0 && h->count <= CHIP_HEADS_MAX, "no heads, or too many");
	claim(c, h->count < 2 || h->stride >= head_dim, "heads overlap");
	const uint64_t others = h->count ? h->count - 1 : 0;
	const uint64_t last = h->first + others * h->stride;
	claim(c, last + head_dim <= c->desc->buffers[h->buffer].columns, "heads beyond the buffer");
}

static enum chip_space space_of(const struct checker *c, uint32_t buffer)
{
	return buffer < c->desc->buffer_count ? c->desc->buffers[buffer].space : CHIP_ROWS;
}

static uint32_t columns_of(const struct checker *c, uint32_t buffer)
{
	return buffer < c->desc->buffer_count ? c->desc->buffers[buffer].columns : 0;
}

/* A step's rows name tokens of any table, and embeddings of one width. */
static void check_embed(struct checker *c)
{
	const struct chip_weight *table = c->op->u.embed.table;

	if (!claim(c, table, "no table"))
		return;
	claim_buffer(c, c->op->u.embed.out, CHIP_ROWS, table->columns);
	for (uint32_t i = 0; i < c->op_index; i++) {
		const struct chip_op *before = &c->desc->ops[i];

		claim(c, before->kind != CHIP_OP_EMBED ||
			(before->u.embed.table->rows == table->rows &&
			before->u.embed.table->columns == table->columns),
			"a table of another shape than the one before");
	}
}

static void check_norm(struct checker *c)
{
	const enum chip_space space = space_of(c, c->op->u.norm.residual);
	const uint32_t columns = columns_of(c, c->op->u.norm.residual);

	claim_buffer(c, c->op->u.norm.residual, space, columns);
	claim_buffer(c, c->op->u.norm.out, space, columns);
	claim_vector(c, c->op->u.norm.weight, columns);
	claim(c, c->op->u.norm.out != c->op->u.norm.residual, "in place");
	if (c->op->u.norm.add != CHIP_NONE) {
		claim_buffer(c, c->op->u.norm.add, space, columns);
		claim(c, c->op->u.norm.add != c->op->u.norm.residual, "a buffer added to itself");
	}
}

static void check_matmul(struct checker *c)
{
	const enum chip_space space = space_of(c, c->op->u.matmul.in);
	const uint32_t count = c->op->u.matmul.count;

	if (!claim(c, count > 0 && count <= CHIP_MATRICES_MAX, "no matrix, or too many"))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct chip_weight *w = c->op->u.matmul.weight[i];

		if (!claim(c, w, "no weight"))
			return;
		claim(c, w->parts == (space == CHIP_ROUTED ? c->experts : 1),
			"as many parts as experts");
		claim_buffer(c, c->op->u.matmul.in, space, w->columns);
		claim_buffer(c, c->op->u.matmul.out[i], space, w->rows / w->parts);
		claim(c, c->op->u.matmul.out[i] != c->op->u.matmul.in, "in place");
		claim(c, !c->op->u.matmul.bias[i] || space != CHIP_ROUTED, "a bias of experts");
		if (c->op->u.matmul.bias[i])
			claim_vector(c, c->op->u.matmul.bias[i], w->rows);
		for (uint32_t j = 0; j < i; j++)
			claim(c, c->op->u.matmul.out[i] != c->op->u.matmul.out[j],
				"two matrices write one buffer");
	}
}

static void check_swiglu(struct checker *c)
{
	const enum chip_space space = space_of(c, c->op->u.swiglu.out);
	const uint32_t columns = columns_of(c, c->op->u.swiglu.out);

	claim_buffer(c, c->op->u.swiglu.out, space, columns);
	claim_buffer(c, c->op->u.swiglu.gate, space, columns);
	claim_buffer(c, c->op->u.swiglu.up, space, columns);
}

static void check_qk_rope(struct checker *c)
{
	const struct chip_op *op = c->op;
	const uint32_t head_dim = op->u.qk_rope.head_dim;
	const uint32_t rotary_dim = op->u.qk_rope.rotary_dim;

	claim(c, head_dim == c->layout->head_dim, "heads are not as wide as the cache's");
	claim_heads(c, &op->u.qk_rope.q, head_dim);
	claim_heads(c, &op->u.qk_rope.k, head_dim);
	claim_heads(c, &op->u.qk_rope.v, head_dim);
	claim(c, op->u.qk_rope.k.count == c->layout->kv_heads, "key heads are not the cache's");
	claim(c, op->u.qk_rope.v.count == c->layout->kv_heads, "value heads are not the cache's");
	claim(c, rotary_dim <= head_dim && rotary_dim % 2 == 0, "rotary part is odd or too wide");
	if (rotary_dim > 0)
		claim_vector(c, op->u.qk_rope.frequencies, rotary_dim / 2);
	claim(c, op->u.qk_rope.layer < c->layout->attention_layers, "no such layer in the cache");
	if (op->u.qk_rope.q_norm)
		claim_vector(c, op->u.qk_rope.q_norm, head_dim);
	if (op->u.qk_rope.k_norm)
		claim_vector(c, op->u.qk_rope.k_norm, head_dim);
}

static void check_attend(struct checker *c)
{
	const struct chip_op *op = c->op;
	const uint32_t head_dim = op->u.attend.head_dim;
	const uint32_t heads = op->u.attend.q.count;

	claim(c, head_dim == c->layout->head_dim, "heads are not as wide as the cache's");
	claim(c, op->u.attend.kv_heads == c->layout->kv_heads, "key heads are not the cache's");
	claim_heads(c, &op->u.attend.q, head_dim);
	claim(c, op->u.attend.kv_heads && heads % op->u.attend.kv_heads == 0,
		"query heads do not divide among the key heads");
	claim_buffer(c, op->u.attend.out, CHIP_ROWS, heads * head_dim);
	claim(c, op->u.attend.out != op->u.attend.q.buffer, "in place");
	claim(c, !op->u.attend.window || !c->window || op->u.attend.window == c->window,
		"not the window of before");
	c->window = op->u.attend.window ? op->u.attend.window : c->window;
	claim(c, op->u.attend.layer < c->layout->attention_layers, "no such layer in the cache");
	if (op->u.attend.gate.buffer != CHIP_NONE) {
		claim_heads(c, &op->u.attend.gate, head_dim);
		claim(c, op->u.attend.gate.count == heads, "as many gates as heads");
		claim(c, op->u.attend.out != op->u.attend.gate.buffer, "in place");
	}
}

static void check_conv(struct checker *c)
{
	claim(c, c->op->u.conv.layer < c->layout->delta_layers, "no such layer in the cache");
	claim_buffer(c, c->op->u.conv.data, CHIP_ROWS, c->layout->conv_channels);
	claim_vector(c, c->op->u.conv.weight,
		(uint64_t)c->layout->conv_channels * c->layout->conv_width);
}

static void check_delta(struct checker *c)
{
	const struct chip_op *op = c->op;
	const uint32_t v_heads = op->u.delta.v_heads, k_heads = op->u.delta.k_heads;

	if (!claim(c, op->u.delta.layer < c->layout->delta_layers, "no such layer in the cache"))
		return;
	claim(c, v_heads == c->layout->v_heads && op->u.delta.k_dim == c->layout->k_dim &&
		op->u.delta.v_dim == c->layout->v_dim, "heads are not the cache's");
	if (!claim(c, k_heads > 0 && k_heads <= CHIP_HEADS_MAX && v_heads % k_heads == 0,
		    "value heads do not divide among the key heads"))
		return;
	claim_buffer(c, op->u.delta.qkv, CHIP_ROWS,
		2 * k_heads * op->u.delta.k_dim + v_heads * op->u.delta.v_dim);
	claim_buffer(c, op->u.delta.a, CHIP_ROWS, v_heads);
	claim_buffer(c, op->u.delta.b, CHIP_ROWS, v_heads);
	claim_buffer(c, op->u.delta.out, CHIP_ROWS, v_heads * op->u.delta.v_dim);
	claim_vector(c, op->u.delta.decay, v_heads);
	claim_vector(c, op->u.delta.dt_bias, v_heads);
	claim(c, op->u.delta.out != op->u.delta.qkv && op->u.delta.out != op->u.delta.a &&
		op->u.delta.out != op->u.delta.b, "in place");
}

static void check_norm_gate(struct checker *c)
{
	const enum chip_space space = space_of(c, c->op->u.norm_gate.out);
	const uint32_t columns = columns_of(c, c->op->u.norm_gate.out);
	const uint32_t head_dim = c->op->u.norm_gate.head_dim;

	claim_buffer(c, c->op->u.norm_gate.out, space, columns);
	claim_buffer(c, c->op->u.norm_gate.in, space, columns);
	claim_buffer(c, c->op->u.norm_gate.gate, space, columns);
	claim(c, head_dim > 0 && columns % head_dim == 0, "heads do not fill the buffer");
	claim_vector(c, c->op->u.norm_gate.weight, head_dim);
}

static void check_add(struct checker *c)
{
	const enum chip_space space = space_of(c, c->op->u.add.out);
	const uint32_t columns = columns_of(c, c->op->u.add.out);

	claim_buffer(c, c->op->u.add.out, space, columns);
	claim_buffer(c, c->op->u.add.in, space, columns);
	claim(c, c->op->u.add.out != c->op->u.add.in, "a buffer added to itself");
}

static void check_gather(struct checker *c)
{
	const uint32_t columns = columns_of(c, c->op->u.gather.in);

	const enum chip_space space = space_of(c, c->op->u.gather.out);

	claim_buffer(c, c->op->u.gather.in, CHIP_ROWS, columns);
	claim_buffer(c, c->op->u.gather.out, space == CHIP_ROUTED ? CHIP_ROUTED : CHIP_WANTED,
		columns);
}

static void check_route(struct checker *c)
{
	const uint32_t experts = c->op->u.route.experts, used = c->op->u.route.used;

	claim(c, experts > 0 && experts <= CHIP_PARTS_MAX, "no experts, or too many");
	claim(c, used > 0 && used <= experts && used <= CHIP_ROUTES_MAX,
		"a row uses no experts, or too many");
	claim_buffer(c, c->op->u.route.logits, CHIP_ROWS, experts);
	claim_buffer(c, c->op->u.route.weights, CHIP_ROWS, used);
	claim(c, c->op->u.route.logits != c->op->u.route.weights, "in place");
	claim(c, c->used == 0 || (c->experts == experts && c->used == used),
		"not as many experts as before");
	c->experts = experts;
	c->used = used;
	for (uint32_t i = 0; i < c->desc->buffer_count; i++)
		if (c->desc->buffers[i].space == CHIP_ROUTED)
			c->written &= ~((uint64_t)1 << i);   /* rows of another routing */
}

static void check_combine(struct checker *c)
{
	const struct chip_op *op = c->op;
	const uint32_t columns = columns_of(c, op->u.combine.out);
	const bool shared = op->u.combine.shared != CHIP_NONE;

	claim_buffer(c, op->u.combine.out, CHIP_ROWS, columns);
	claim_buffer(c, op->u.combine.in, CHIP_ROUTED, columns);
	claim_buffer(c, op->u.combine.weights, CHIP_ROWS, c->used);
	claim(c, shared == (op->u.combine.gate != CHIP_NONE), "a gate for what is shared");
	if (shared) {
		claim_buffer(c, op->u.combine.shared, CHIP_ROWS, columns);
		claim_buffer(c, op->u.combine.gate, CHIP_ROWS, 1);
		claim(c, op->u.combine.out != op->u.combine.shared &&
			op->u.combine.out != op->u.combine.gate, "in place");
	}
	claim(c, op->u.combine.out != op->u.combine.weights, "in place");
}

static void check_sample(struct checker *c)
{
	const uint32_t vocab = c->op->u.sample.vocab;

	claim_buffer(c, c->op->u.sample.logits, CHIP_WANTED, 0);
	claim(c, vocab > 0 && vocab <= columns_of(c, c->op->u.sample.logits),
		"more tokens than logits");
	claim(c, vocab <= c->layout->vocab, "more tokens than the cache's slots count");
	claim(c, c->op_index + 1 == c->desc->op_count, "sampling is the last operation");
}

/* Nothing is read that no earlier operation wrote. */
static void check_order(struct checker *c)
{
	struct chip_op_buffers b;

	chip_op_buffers(c->op, &b);
	for (uint32_t i = 0; i < b.count; i++) {
		if (!claim(c, b.buffer[i] < c->desc->buffer_count, "no such buffer"))
			return;
		if (b.read >> i & 1)
			claim(c, c->written >> b.buffer[i] & 1, "reads what nothing has written");
		claim(c, c->used > 0 || c->desc->buffers[b.buffer[i]].space != CHIP_ROUTED,
			"routed rows before a route");
	}
	for (uint32_t i = 0; i < b.count; i++)
		if (b.written >> i & 1)
			c->written |= (uint64_t)1 << b.buffer[i];
}

static void check_op(struct checker *c)
{
	switch (c->op->kind) {
	case CHIP_OP_EMBED: check_embed(c); break;
	case CHIP_OP_NORM: check_norm(c); break;
	case CHIP_OP_MATMUL: check_matmul(c); break;
	case CHIP_OP_SWIGLU: check_swiglu(c); break;
	case CHIP_OP_QK_ROPE: check_qk_rope(c); break;
	case CHIP_OP_ATTEND: check_attend(c); break;
	case CHIP_OP_CONV: check_conv(c); break;
	case CHIP_OP_DELTA: check_delta(c); break;
	case CHIP_OP_NORM_GATE: check_norm_gate(c); break;
	case CHIP_OP_ADD: check_add(c); break;
	case CHIP_OP_GATHER: check_gather(c); break;
	case CHIP_OP_ROUTE: check_route(c); break;
	case CHIP_OP_COMBINE: check_combine(c); break;
	case CHIP_OP_SAMPLE: check_sample(c); break;
	}
	if (!c->err)
		check_order(c);
}

static enum err check_buffers(const struct chip_program_desc *d, struct err_info *info)
{
	for (uint32_t i = 0; i < d->buffer_count; i++) {
		const struct chip_buffer *b = &d->buffers[i];

		if (b->columns == 0 || b->columns > CHIP_COLUMNS_MAX ||
		    (b->space != CHIP_ROWS && b->space != CHIP_WANTED &&
			    b->space != CHIP_ROUTED))
			return err_set(info, ERR_LIMIT, "buffer %u (%s) of %u columns", i,
				b->name ? b->name : "?", b->columns);
	}
	return ERR_NONE;
}

/* A result buffer is of the wanted rows and written by some operation. */
static enum err check_result(const struct checker *c, uint32_t buffer, const char *what)
{
	if (buffer == CHIP_NONE)
		return ERR_NONE;
	if (buffer >= c->desc->buffer_count || c->desc->buffers[buffer].space != CHIP_WANTED ||
	    !(c->written >> buffer & 1))
		return err_set(c->info, ERR_INPUT, "the buffer of %s is not a result", what);
	return ERR_NONE;
}

enum err chip_check_program(const struct chip_program_desc *d,
	const struct chip_cache_layout *layout, struct err_info *info)
{
	struct checker c = {.desc = d, .layout = layout, .info = info};

	if (d->op_count == 0 || d->op_count > CHIP_OPS_MAX || d->buffer_count == 0 ||
	    d->buffer_count > CHIP_BUFFERS_MAX)
		return err_set(info, ERR_LIMIT, "a program of %u operations and %u buffers",
			d->op_count, d->buffer_count);
	if (d->rows_max == 0 || d->rows_max > CHIP_ROWS_MAX || d->wanted_max == 0 ||
	    d->wanted_max > d->rows_max)
		return err_set(info, ERR_LIMIT, "a program of %u rows, %u wanted", d->rows_max,
			d->wanted_max);
	enum err err = check_buffers(d, info);
	if (err)
		return err;
	for (c.op_index = 0; c.op_index < d->op_count; c.op_index++) {
		c.op = &d->ops[c.op_index];
		if ((size_t)c.op->kind >= CHIP_OP_KINDS)
			return err_set(info, ERR_INPUT, "operation %u is unknown", c.op_index);
		check_op(&c);
		if (c.err)
			return c.err;
	}
	err = check_result(&c, d->logits, "logits");
	return err ? err : check_result(&c, d->hidden, "hidden states");
}

/* ---- slots and steps: ours, so they assert --------------------------------------------------- */

void chip_check_slot(const struct chip_cache_layout *layout, uint32_t slot,
	const struct chip_sampling *s)
{
	assert(slot < layout->slots);
	assert(s->temperature == 0 || s->temperature >= CHIP_TEMPERATURE_MIN);
	assert(s->top_p >= 0 && s->min_p >= 0 && s->min_p <= 1);
	assert(s->typical_p >= 0 && s->typical_p <= 1);
	assert(s->repetition_penalty > 0);
	assert(s->banned_count <= CHIP_BANNED_MAX && s->bias_count <= CHIP_BIASES_MAX);
	assert(s->top_logprobs <= CHIP_TOP_LOGPROBS_MAX);
}

/* The token that a row names must have a row in the table; an embedding row must be given. */
static void check_rows(const struct chip_program_desc *desc, const struct chip_step *step)
{
	uint32_t table_rows = 0, sequence = 0, seen = 0, wanted = 0;

	for (uint32_t i = 0; i < desc->op_count; i++)
		if (desc->ops[i].kind == CHIP_OP_EMBED)
			table_rows = desc->ops[i].u.embed.table->rows;
	for (uint32_t i = 0; i < step->row_count; i++) {
		const struct chip_row *r = &step->rows[i];

		if (seen == step->sequences[sequence].row_count) {
			sequence++;
			seen = 0;
		}
		assert(sequence < step->sequence_count && r->sequence == sequence);
		seen++;
		assert(r->input <= CHIP_INPUT_EMBEDDING && r->want <= CHIP_WANT_HIDDEN);
		assert(r->position[0] <= CHIP_CONTEXT_MAX);
		assert(r->input != CHIP_INPUT_TOKEN || r->value < table_rows);
		assert(r->input != CHIP_INPUT_EMBEDDING || (step->embeddings &&
			r->value < desc->rows_max));
		wanted += r->want != CHIP_WANT_NOTHING;
	}
	assert(sequence + 1 == step->sequence_count);
	assert(seen == step->sequences[sequence].row_count);
	assert(wanted <= desc->wanted_max);
}

void chip_check_step(const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	const struct chip_step *step)
{
	assert(step->row_count > 0 && step->row_count <= desc->rows_max);
	assert(step->sequence_count > 0 && step->sequence_count <= CHIP_SEQUENCES_MAX);
	assert(step->page_count <= CHIP_STEP_PAGES_MAX);
	for (uint32_t i = 0; i < step->sequence_count; i++) {
		const struct chip_sequence *s = &step->sequences[i];
		const uint64_t tokens = (uint64_t)s->cached_tokens + s->row_count;

		assert(s->slot < layout->slots && s->row_count > 0);
		assert(tokens <= layout->context_max);
		assert((uint64_t)s->first_page + s->page_count <= step->page_count);
		assert(layout->attention_layers == 0 ||
		       (uint64_t)s->page_count * CHIP_PAGE_TOKENS >= tokens);
		assert(layout->delta_layers == 0 || s->state_write < layout->states);
		assert(s->state_read == CHIP_NONE || s->state_read < layout->states);
	}
	for (uint32_t i = 0; i < step->page_count; i++)
		assert(step->pages[i] < layout->pages);
	check_rows(desc, step);
}
