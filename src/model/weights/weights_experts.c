/* model/weights/weights_experts.c - the experts of a layer: three matrices in parts, however
 * they are stored.
 *
 *	safetensors   one by one       experts.N.gate_proj, up_proj [f, h], down_proj [h, f]
 *	              in stacks        experts.gate_up_proj [E, 2 f, h], down_proj [E, h, f]
 *	              transposed       experts.gate_up_proj [E, h, 2 f], down_proj [E, f, h]
 *	GGUF          in stacks        ffn_gate_exps, ffn_up_exps [E, f, h], ffn_down_exps [E, h, f]
 *	              gate with up     ffn_gate_up_exps [E, 2 f, h]
 *
 * Rows that lie in the file as the program wants them are spans of it. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"
#include "model/weights/weights_mapper.h"

/* Of stacks; what one expert's are called, and all in GGUF, the rules say. */
static const char JSON_GATE_UP[] = "mlp.experts.gate_up_proj";
static const char JSON_DOWN[] = "mlp.experts.down_proj";
static const char GGUF_GATE_UP[] = "ffn_gate_up_exps.weight";

/* ---- transposed stacks ----------------------------------------------------------------------- */

/* Row r of a part is column first_column + r of it in the file. */
struct transposed {
	const uint8_t *data;     /* [parts, columns, width] in the file */
	uint32_t part_rows;
	uint32_t columns;
	uint32_t width;
	uint32_t first_column;
	uint32_t element_bytes;
};

/* Rows of one part, side by side in the file: a column of all of them at a time. */
static void read_part(const struct transposed *t, uint32_t part, uint32_t row, uint32_t count,
	uint8_t *out)
{
	const size_t size = t->element_bytes, row_bytes = t->columns * size;
	const uint8_t *from = t->data +
		((size_t)part * t->columns * t->width + t->first_column + row) * size;

	for (uint32_t k = 0; k < t->columns; k++)
		for (uint32_t i = 0; i < count; i++)
			memcpy(out + i * row_bytes + k * size,
				from + ((size_t)k * t->width + i) * size, size);
}

static void read_transposed(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out)
{
	const struct transposed *t = context;

	while (count > 0) {
		const uint32_t row = first % t->part_rows, left = t->part_rows - row;
		const uint32_t take = left < count ? left : count;

		read_part(t, first / t->part_rows, row, take, rows_out);
		rows_out += (size_t)take * t->columns * t->element_bytes;
		first += take;
		count -= take;
	}
}

/* Whether a stack, [parts, rows, columns] for the program, has a shape that it can have only as
 * [parts, columns, rows]. */
static bool shows_transposed(const struct mapper *m, uint32_t layer, const char *last,
	uint32_t rows, uint32_t columns)
{
	char name[MAPPER_NAME_MAX];

	mapper_name(m, name, last, layer, false);
	const struct stored_tensor *t = stored_table_find(&m->w->table, name);

	return t && t->dim_count == 3 && rows != columns && t->dims[1] == columns &&
		t->dims[2] == rows;
}

/* Both stacks of a layer lie one way, and at most one of them can have a square shape. */
static bool is_transposed(const struct mapper *m, uint32_t layer)
{
	const struct model_config *c = &m->w->config;

	return m->prefix && m->arch->stack_transposed &&
		(shows_transposed(m, layer, JSON_DOWN, c->hidden, c->expert_ffn) ||
			shows_transposed(m, layer, JSON_GATE_UP, 2 * c->expert_ffn, c->hidden));
}

/* Rows [first, first + part_rows) of each part of a transposed stack. */
static enum err read_stack(struct mapper *m, const struct stored_tensor *t, uint32_t first,
	uint32_t part_rows, struct chip_matrix *out)
{
	struct transposed *reader = arena_alloc(&m->w->side, sizeof(*reader));

	if (!reader)
		return mapper_no_memory(m);
	*reader = (struct transposed){
		.data = t->data,
		.part_rows = part_rows,
		.columns = (uint32_t)t->dims[1],
		.width = (uint32_t)t->dims[2],
		.first_column = first,
		.element_bytes = t->dtype->block_bytes,
	};
	*out = (struct chip_matrix){
		.type = t->dtype->chip_type,
		.rows = (uint32_t)t->dims[0] * part_rows,
		.columns = reader->columns,
		.read = read_transposed,
		.context = reader,
	};
	return ERR_NONE;
}

/* Takes a transposed stack, [parts, columns, width] in the file, whose elements stand alone. */
static enum err take_transposed(struct mapper *m, const char *name, uint32_t columns,
	uint32_t width, const struct stored_tensor **out)
{
	const uint64_t dims[] = {m->w->config.experts, columns, width};
	const struct stored_tensor *t = mapper_take(m, name);

	if (!t)
		return mapper_missing(m, name);
	*out = t;
	if (mapper_check_shape(m, t, dims, 3))
		return m->info->code;
	if (t->dtype->block_elements > 1)
		return err_set(m->info, ERR_UNSUPPORTED,
			"%s: tensor %.*s of type %s is transposed, which is not supported", t->file,
			(int)t->name_size, t->name, t->dtype->name);
	mapper_count(m, t, dims[0] * columns * width);
	return ERR_NONE;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static struct chip_matrix *matrix_of(const struct mapper *m, enum weight weight, uint32_t layer)
{
	struct weight_slot *slot = weights_slot(m->w, weight, layer, false);

	slot->present = true;
	return &slot->matrix;
}

/* Half of the rows of each part: gate and up that are stored as one. */
static enum err cut_half(struct mapper *m, const char *name, const struct chip_matrix *both,
	uint32_t first, struct chip_matrix *out)
{
	const uint32_t parts = m->w->config.experts, rows = m->w->config.expert_ffn;
	struct weights_piece *pieces = mem_alloc(parts, sizeof(*pieces));

	if (!pieces)
		return mapper_no_memory(m);
	for (uint32_t e = 0; e < parts; e++)
		pieces[e] = (struct weights_piece){
			.of = *both, .first = 2 * e * rows + first, .count = rows};
	const enum err code = weights_join(m->w, pieces, parts, name, out, m->info);

	mem_free(pieces);
	return code;
}

static enum err map_gate_up(struct mapper *m, const char *name, uint32_t layer)
{
	const struct model_config *c = &m->w->config;
	struct chip_matrix *gate = matrix_of(m, WEIGHT_EXPERTS_GATE, layer);
	struct chip_matrix *up = matrix_of(m, WEIGHT_EXPERTS_UP, layer);
	const struct stored_tensor *t;
	struct chip_matrix both;

	if (is_transposed(m, layer)) {
		if (take_transposed(m, name, c->hidden, 2 * c->expert_ffn, &t) ||
			read_stack(m, t, 0, c->expert_ffn, gate) ||
			read_stack(m, t, c->expert_ffn, c->expert_ffn, up))
			return m->info->code;
		return ERR_NONE;
	}
	if (mapper_find(m, name, c->experts, 2 * c->experts * c->expert_ffn, c->hidden, &both) ||
		cut_half(m, name, &both, 0, gate) || cut_half(m, name, &both, c->expert_ffn, up))
		return m->info->code;
	return ERR_NONE;
}

static enum err map_stack(struct mapper *m, const char *last, uint32_t layer, uint32_t part_rows,
	uint32_t columns, struct chip_matrix *out)
{
	const struct stored_tensor *t;
	char name[MAPPER_NAME_MAX];

	mapper_name(m, name, last, layer, false);
	if (!is_transposed(m, layer))
		return mapper_find(m, name, m->w->config.experts,
			m->w->config.experts * part_rows, columns, out);
	if (take_transposed(m, name, columns, part_rows, &t))
		return m->info->code;
	return read_stack(m, t, 0, part_rows, out);
}

/* ---- one by one ------------------------------------------------------------------------------ */

static enum err map_each(struct mapper *m, uint32_t layer, enum weight weight, uint32_t part_rows,
	uint32_t columns, struct chip_matrix *out)
{
	const char *last = arch_rule(m->arch, weight)->json_name;
	const uint32_t parts = m->w->config.experts;
	struct weights_piece *pieces = mem_alloc(parts, sizeof(*pieces));
	char name[MAPPER_NAME_MAX], of_expert[MAPPER_NAME_MAX];
	enum err code = ERR_NONE;

	if (!pieces)
		return mapper_no_memory(m);
	for (uint32_t e = 0; e < parts && !code; e++) {
		snprintf(of_expert, sizeof(of_expert), "mlp.experts.%" PRIu32 ".%s", e, last);
		mapper_name(m, name, of_expert, layer, false);
		pieces[e].count = part_rows;
		code = mapper_find(m, name, 1, part_rows, columns, &pieces[e].of);
	}
	if (!code)
		code = weights_join(m->w, pieces, parts, last, out, m->info);
	mem_free(pieces);
	return code;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum err map_json(struct mapper *m, uint32_t layer, struct chip_matrix *gate,
	struct chip_matrix *up, struct chip_matrix *down)
{
	const struct model_config *c = &m->w->config;
	char name[MAPPER_NAME_MAX];

	mapper_name(m, name, JSON_GATE_UP, layer, false);
	if (mapper_has(m, name)) {
		if (map_gate_up(m, name, layer))
			return m->info->code;
		return map_stack(m, JSON_DOWN, layer, c->hidden, c->expert_ffn, down);
	}
	if (map_each(m, layer, WEIGHT_EXPERTS_GATE, c->expert_ffn, c->hidden, gate) ||
		map_each(m, layer, WEIGHT_EXPERTS_UP, c->expert_ffn, c->hidden, up) ||
		map_each(m, layer, WEIGHT_EXPERTS_DOWN, c->hidden, c->expert_ffn, down))
		return m->info->code;
	return ERR_NONE;
}

static const char *gguf_name(const struct mapper *m, enum weight weight)
{
	return arch_rule(m->arch, weight)->gguf_name;
}

static enum err map_gguf(struct mapper *m, uint32_t layer, struct chip_matrix *gate,
	struct chip_matrix *up, struct chip_matrix *down)
{
	const struct model_config *c = &m->w->config;
	char name[MAPPER_NAME_MAX];

	mapper_name(m, name, GGUF_GATE_UP, layer, false);
	if (mapper_has(m, name)) {
		if (map_gate_up(m, name, layer))
			return m->info->code;
	} else {
		if (map_stack(m, gguf_name(m, WEIGHT_EXPERTS_GATE), layer, c->expert_ffn,
			    c->hidden, gate) ||
			map_stack(m, gguf_name(m, WEIGHT_EXPERTS_UP), layer, c->expert_ffn,
				c->hidden, up))
			return m->info->code;
	}
	return map_stack(m, gguf_name(m, WEIGHT_EXPERTS_DOWN), layer, c->hidden, c->expert_ffn,
		down);
}

enum err mapper_experts(struct mapper *m, uint32_t layer)
{
	struct chip_matrix *gate = matrix_of(m, WEIGHT_EXPERTS_GATE, layer);
	struct chip_matrix *up = matrix_of(m, WEIGHT_EXPERTS_UP, layer);
	struct chip_matrix *down = matrix_of(m, WEIGHT_EXPERTS_DOWN, layer);

	if (m->prefix ? map_json(m, layer, gate, up, down) : map_gguf(m, layer, gate, up, down))
		return m->info->code;
	gate->parts = up->parts = down->parts = m->w->config.experts;
	return ERR_NONE;
}

/* ---- routers --------------------------------------------------------------------------------- */

/* Context of a matrix that is read as F32: where it lies, in spans. */
static void read_plain(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out)
{
	const struct chip_matrix *of = context;
	const size_t part_bytes = chip_row_bytes(of->type, 0, CHIP_BLOCK_MAX);
	float part[CHIP_BLOCK_MAX];

	for (uint32_t row = first; row < first + count; row++) {
		const uint8_t *from = weights_row(of, row);

		for (uint32_t at = 0; at < of->columns; at += CHIP_BLOCK_MAX) {
			const uint32_t left = of->columns - at;
			const uint32_t take = left < CHIP_BLOCK_MAX ? left : CHIP_BLOCK_MAX;

			chip_row_to_f32(of->type, 0, from, take, part);
			memcpy(rows_out, part, take * sizeof(float));
			from += part_bytes;
			rows_out += take * sizeof(float);
		}
	}
}

/* What has a reader already is of a grouped type, whose inputs are never rounded. */
enum err mapper_plain(struct mapper *m, struct chip_matrix *matrix)
{
	struct chip_matrix *of;

	if (matrix->type == CHIP_F32 || matrix->span_count == 0)
		return ERR_NONE;
	of = arena_alloc(&m->w->side, sizeof(*of));
	if (!of)
		return mapper_no_memory(m);
	*of = *matrix;
	*matrix = (struct chip_matrix){
		.type = CHIP_F32,
		.rows = of->rows,
		.columns = of->columns,
		.read = read_plain,
		.context = of,
	};
	return ERR_NONE;
}
