/* model/weights/weights_map.c - from the names, shapes and conventions of a file to the weights
 * of arch.h.
 *
 * Walks the architecture's rules, layer by layer. Each tensor that a rule takes is marked; what is
 * left over at the end is either of a kind that is known to be left out, or the file is not what
 * its config says. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "chip/format.h"
#include "model/weights/weights_mapper.h"
#include "model/weights/weights_quantized.h"

/* Where libraries put the text model, and its head, in a safetensors checkpoint. */
static const struct mapper_prefix PREFIXES[] = {
	{"model.", "lm_head.weight"},
	{"model.language_model.", "lm_head.weight"},
	{"language_model.model.", "language_model.lm_head.weight"},
	{"", "lm_head.weight"},
};

/* Tensors that may be there and are not used. */
static const char *const VISION_PREFIXES[] = {
	"model.visual.", "visual.", "model.vision_tower.", "vision_tower."};
static const char *const MTP_PREFIXES[] = {"mtp.", "model.mtp.", "language_model.mtp."};
/* Computed here, or of activations that were meant to be quantized. */
static const char *const UNUSED_SUFFIXES[] = {".rotary_emb.inv_freq", ".input_scale",
	".output_scale", ".k_scale", ".v_scale", "activation_scale"};

static bool is_once(const struct weight_rule *rule)
{
	return rule->place == PLACE_ONCE;
}

void mapper_name(const struct mapper *m, char out[MAPPER_NAME_MAX], const char *last,
	uint32_t layer, bool once)
{
	const char *body = m->prefix ? m->prefix->body : "";
	int size;

	if (once)
		size = snprintf(out, MAPPER_NAME_MAX, "%s%s", body, last);
	else
		size = snprintf(out, MAPPER_NAME_MAX, "%s%s.%" PRIu32 ".%s", body,
			m->prefix ? "layers" : "blk", layer, last);
	assert(size > 0 && size < MAPPER_NAME_MAX);
}

static void rule_name(const struct mapper *m, char out[MAPPER_NAME_MAX],
	const struct weight_rule *rule, uint32_t layer)
{
	if (m->prefix && rule->weight == WEIGHT_HEAD)
		snprintf(out, MAPPER_NAME_MAX, "%s", m->prefix->head);
	else
		mapper_name(m, out, m->prefix ? rule->json_name : rule->gguf_name, layer,
			is_once(rule));
}

const struct stored_tensor *mapper_take(struct mapper *m, const char *name)
{
	const struct stored_tensor *t = stored_table_find(&m->w->table, name);

	if (t)
		m->taken[t - m->w->table.tensors] = true;
	return t;
}

enum err mapper_missing(const struct mapper *m, const char *name)
{
	return err_set(
		m->info, ERR_INPUT, "%s: tensor %s is missing", m->w->table.tensors[0].file, name);
}

/* Shapes compared without leading ones: GGUF drops dimensions of one there. */
static bool same_shape(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count)
{
	while (a_count > 1 && a[0] == 1) {
		a++;
		a_count--;
	}
	while (b_count > 1 && b[0] == 1) {
		b++;
		b_count--;
	}
	return a_count == b_count && memcmp(a, b, a_count * sizeof(*a)) == 0;
}

enum err mapper_check_shape(const struct mapper *m, const struct stored_tensor *t,
	const uint64_t *dims, uint32_t dim_count)
{
	char there[128], wanted[128], names[DTYPE_NAMES_BYTES];

	if (!dtype_is_readable(t->dtype)) {
		dtype_readable_names(names);
		return err_set(m->info, ERR_UNSUPPORTED, "%s: tensor %.*s has type %s; read are %s",
			t->file, (int)t->name_size, t->name, t->dtype->name, names);
	}
	if (same_shape(t->dims, t->dim_count, dims, dim_count))
		return ERR_NONE;
	stored_shape_format(there, sizeof(there), t->dims, t->dim_count);
	stored_shape_format(wanted, sizeof(wanted), dims, dim_count);
	return err_set(m->info, ERR_INPUT, "%s: tensor %.*s has shape %s, the config says %s",
		t->file, (int)t->name_size, t->name, there, wanted);
}

enum err mapper_no_memory(const struct mapper *m)
{
	return err_set(m->info, ERR_MEMORY, "%s: no memory for its small weights",
		m->w->table.tensors[0].file);
}

void mapper_count(struct mapper *m, const struct stored_tensor *t, uint64_t elements)
{
	m->w->parameters += elements;
	m->w->size_bytes += t->size_bytes;
	m->w->type_bytes[t->dtype->chip_type] += t->size_bytes;
}

/* ---- matrices -------------------------------------------------------------------------------- */

static enum err find_quantized(struct mapper *m, const char *name, uint32_t parts, uint32_t rows,
	uint32_t columns, struct chip_matrix *out)
{
	struct quantized_matrix found;

	if (weights_find_quantized(m->w, name, rows, columns, parts, &found, m->info))
		return m->info->code;
	m->w->parameters += (uint64_t)rows * columns;
	for (uint32_t i = 0; i < found.tensor_count; i++) {
		const struct stored_tensor *t = found.tensors[i];

		m->taken[t - m->w->table.tensors] = true;
		m->w->size_bytes += t->size_bytes;
		m->w->type_bytes[found.matrix.type] += t->size_bytes;
	}
	*out = found.matrix;
	return ERR_NONE;
}

/* Whether there is a matrix of that name, in whatever form. */
bool mapper_has(const struct mapper *m, const char *name)
{
	return stored_table_find(&m->w->table, name) || weights_is_quantized(m->w, name);
}

/* The matrix of that name, which is there: as it lies, or through a reader. */
enum err mapper_find(struct mapper *m, const char *name, uint32_t parts, uint32_t rows,
	uint32_t columns, struct chip_matrix *out)
{
	const uint64_t dims[] = {parts, rows / parts, columns};
	struct chip_span *span;

	if (m->prefix && weights_is_quantized(m->w, name))
		return find_quantized(m, name, parts, rows, columns, out);
	const struct stored_tensor *t = mapper_take(m, name);

	if (!t)
		return mapper_missing(m, name);
	if (mapper_check_shape(m, t, parts > 1 ? dims : dims + 1, parts > 1 ? 3 : 2))
		return m->info->code;
	span = arena_array(&m->w->side, 1, sizeof(*span));
	if (!span)
		return mapper_no_memory(m);
	*span = (struct chip_span){.rows = t->data, .row_count = rows};
	*out = (struct chip_matrix){
		.type = t->dtype->chip_type,
		.rows = rows,
		.columns = columns,
		.spans = span,
		.span_count = 1,
	};
	mapper_count(m, t, (uint64_t)rows * columns);
	return ERR_NONE;
}

/* Whether the file keeps the halves of each head of this weight in turns. */
static bool is_paired(const struct mapper *m, enum weight weight)
{
	return !m->prefix && arch_is_paired(m->arch, weight);
}

/* Where a row lies in such a file: dims i and i + head_dim / 2 are 2i and 2i + 1 of their head. */
static uint32_t paired_row(const struct model_config *c, uint32_t row)
{
	const uint32_t half = c->head_dim / 2, at = row % c->head_dim;

	return row - at + 2 * (at % half) + at / half;
}

/* A span for each row instead of one for all. */
static enum err unpair_rows(struct mapper *m, struct chip_matrix *matrix)
{
	const uint8_t *rows = matrix->spans[0].rows;
	const size_t row_bytes = chip_row_bytes(matrix->type, matrix->group, matrix->columns);
	struct chip_span *spans = arena_array(&m->w->side, matrix->rows, sizeof(*spans));

	assert(matrix->span_count == 1);
	if (!spans)
		return mapper_no_memory(m);
	for (uint32_t i = 0; i < matrix->rows; i++)
		spans[i] = (struct chip_span){
			.rows = rows + paired_row(&m->w->config, i) * row_bytes,
			.row_count = 1,
		};
	matrix->spans = spans;
	matrix->span_count = matrix->rows;
	return ERR_NONE;
}

static enum err map_matrix(struct mapper *m, enum weight weight, struct weight_slot *slot,
	const char *name, uint32_t rows, uint32_t columns)
{
	if (mapper_find(m, name, 1, rows, columns, &slot->matrix) ||
		(is_paired(m, weight) && unpair_rows(m, &slot->matrix)))
		return m->info->code;
	slot->present = true;
	return ERR_NONE;
}

/* The head: stored, or the embedding once more. A safetensors checkpoint that is tied may
 * hold a copy. */
static enum err map_head(struct mapper *m, const struct weight_rule *rule)
{
	struct model_config *c = &m->w->config;
	struct weight_slot *slot = weights_slot(m->w, WEIGHT_HEAD, 0, true);
	const struct weight_slot *embed = weights_slot(m->w, WEIGHT_EMBED, 0, true);
	char name[MAPPER_NAME_MAX];

	assert(embed->present);
	rule_name(m, name, rule, 0);
	if (!c->tied || (mapper_has(m, name) && (!m->prefix || c->tied_unsure))) {
		c->tied = false;
		return map_matrix(m, WEIGHT_HEAD, slot, name, c->vocab, c->hidden);
	}
	(void)mapper_take(m, name);
	slot->matrix = embed->matrix;
	slot->present = true;
	return ERR_NONE;
}

/* Rows [first, first + count) of each of groups equal groups of a matrix. */
static void cut_pieces(struct weights_piece *pieces, const struct chip_matrix *of,
	uint32_t groups, uint32_t first, uint32_t count)
{
	for (uint32_t g = 0; g < groups; g++)
		pieces[g] = (struct weights_piece){
			.of = *of,
			.first = g * (of->rows / groups) + first,
			.count = count,
		};
}

static enum err set_packed(const struct mapper *m, enum weight weight, uint32_t layer,
	const char *name, const struct weights_piece *pieces, uint32_t count)
{
	struct weight_slot *slot = weights_slot(m->w, weight, layer, false);

	if (weights_join(m->w, pieces, count, name, &slot->matrix, m->info))
		return m->info->code;
	slot->present = true;
	return ERR_NONE;
}

/* Two projections of a delta layer in one, rows grouped by key head: per group
 * [q k_dim | k k_dim | v r v_dim | z r v_dim], or [b r | a r], with r = v_heads / k_heads. */

/* q, k and v, and z. */
static enum err cut_qkvz(struct mapper *m, uint32_t layer, const char *name,
	const struct chip_matrix *qkvz, struct weights_piece *pieces)
{
	const struct model_config *c = &m->w->config;
	const uint32_t groups = c->delta_k_heads;
	const uint32_t k = c->delta_k_dim, v = c->delta_v_heads / groups * c->delta_v_dim;

	cut_pieces(pieces, qkvz, groups, 0, k);
	cut_pieces(pieces + groups, qkvz, groups, k, k);
	cut_pieces(pieces + (size_t)2 * groups, qkvz, groups, 2 * k, v);
	if (set_packed(m, WEIGHT_DELTA_QKV, layer, name, pieces, 3 * groups))
		return m->info->code;
	cut_pieces(pieces, qkvz, groups, 2 * k + v, v);
	return set_packed(m, WEIGHT_DELTA_Z, layer, name, pieces, groups);
}

static enum err cut_ba(struct mapper *m, uint32_t layer, const char *name,
	const struct chip_matrix *ba, struct weights_piece *pieces)
{
	const struct model_config *c = &m->w->config;
	const uint32_t groups = c->delta_k_heads, share = c->delta_v_heads / groups;

	cut_pieces(pieces, ba, groups, 0, share);
	if (set_packed(m, WEIGHT_DELTA_B, layer, name, pieces, groups))
		return m->info->code;
	cut_pieces(pieces, ba, groups, share, share);
	return set_packed(m, WEIGHT_DELTA_A, layer, name, pieces, groups);
}

/* One of the two packed projections, in the order of rows of its two plain ones. */
static enum err map_packed(struct mapper *m, enum weight weight, uint32_t layer, const char *name)
{
	const struct model_config *c = &m->w->config;
	const uint32_t groups = c->delta_k_heads, share = c->delta_v_heads / groups,
		       group = 2 * (c->delta_k_dim + share * c->delta_v_dim);
	const bool is_ba = weight == WEIGHT_DELTA_B;
	struct chip_matrix packed;

	if (mapper_find(m, name, 1, is_ba ? 2 * c->delta_v_heads : groups * group, c->hidden,
		    &packed))
		return m->info->code;
	struct weights_piece *pieces = mem_alloc((size_t)3 * groups, sizeof(*pieces));

	if (!pieces)
		return mapper_no_memory(m);
	const enum err code = is_ba ? cut_ba(m, layer, name, &packed, pieces)
				    : cut_qkvz(m, layer, name, &packed, pieces);

	mem_free(pieces);
	return code;
}

/* What a packed projection that begins with this weight is called; NULL when there is none. */
static const char *packed_name(const struct mapper *m, enum weight weight)
{
	if (weight == WEIGHT_DELTA_QKV)
		return m->prefix ? m->arch->json_qkvz : m->arch->gguf_qkvz;
	if (weight == WEIGHT_DELTA_B)
		return m->prefix ? m->arch->json_ba : m->arch->gguf_ba;
	return NULL;
}

/* Whether a weight is there only as a part of a packed projection, whose name that is then. */
static bool find_packed(const struct mapper *m, const struct weight_rule *rule, uint32_t layer,
	char name[MAPPER_NAME_MAX])
{
	const char *last = packed_name(m, rule->weight);
	char packed[MAPPER_NAME_MAX];

	if (!last || mapper_has(m, name))
		return false;
	mapper_name(m, packed, last, layer, false);
	if (!mapper_has(m, packed))
		return false;
	memcpy(name, packed, sizeof(packed));
	return true;
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* The floats of a tensor, in the order the program wants. */
static enum err read_values(const struct mapper *m, enum weight weight,
	const struct stored_tensor *t, uint32_t count, float *out)
{
	if (!is_paired(m, weight)) {
		chip_row_to_f32(t->dtype->chip_type, 0, t->data, count, out);
		return ERR_NONE;
	}
	if (t->dtype->block_elements > 1)
		return err_set(m->info, ERR_UNSUPPORTED,
			"%s: tensor %.*s has type %s, which a vector cannot have", t->file,
			(int)t->name_size, t->name, t->dtype->name);
	for (uint32_t i = 0; i < count; i++)
		chip_row_to_f32(t->dtype->chip_type, 0,
			t->data + paired_row(&m->w->config, i) * t->dtype->block_bytes, 1, out + i);
	return ERR_NONE;
}

/* In place, from what the file means to what the program uses. */
static bool convert(const struct mapper *m, enum weight_form form, float *values, uint32_t count)
{
	const bool json = m->prefix != NULL;

	for (uint32_t i = 0; i < count; i++) {
		if (form == FORM_NORM && m->w->config.norm_plus_one)
			values[i] += 1.0F;
		else if (form == FORM_DECAY && json)
			values[i] = -math_expf(values[i]);
		if (!isfinite(values[i]))
			return false;
		if (form == FORM_DECAY && values[i] > 0)
			return false;
	}
	return true;
}

static enum err map_vector(struct mapper *m, const struct weight_rule *rule,
	struct weight_slot *slot, const struct stored_tensor *t, uint32_t rows, uint32_t columns)
{
	const uint64_t plain[] = {rows, columns}, with_one[] = {rows, 1, columns};
	const bool conv = rule->form == FORM_CONV, json_conv = conv && m->prefix;
	const uint32_t count = rows * columns;
	float *values;

	if (mapper_check_shape(m, t, json_conv ? with_one : plain, json_conv ? 3 : conv ? 2 : 1))
		return m->info->code;
	values = arena_array(&m->w->side, count, sizeof(*values));
	if (!values)
		return mapper_no_memory(m);
	if (read_values(m, rule->weight, t, count, values))
		return m->info->code;
	if (!convert(m, rule->form, values, count))
		return err_set(m->info, ERR_INPUT,
			"%s: tensor %.*s holds a number that is not finite or not allowed there",
			t->file, (int)t->name_size, t->name);
	slot->vector = (struct weight_vector){.values = values, .count = count};
	slot->present = true;
	mapper_count(m, t, count);
	return ERR_NONE;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static enum err map_rule(struct mapper *m, const struct weight_rule *rule, uint32_t layer)
{
	const struct model_config *c = &m->w->config;
	struct weight_slot *slot = weights_slot(m->w, rule->weight, layer, is_once(rule));
	/* Both fit: model_config_check bounds every width. */
	const uint32_t rows = (uint32_t)arch_extent(c, rule->rows),
		       columns = (uint32_t)arch_extent(c, rule->columns);
	char name[MAPPER_NAME_MAX];

	if (slot->present) /* a packed projection, or its fellow experts, brought it */
		return ERR_NONE;
	rule_name(m, name, rule, layer);
	if (find_packed(m, rule, layer, name))
		return map_packed(m, rule->weight, layer, name);
	if (rule->form == FORM_EXPERTS)
		return mapper_experts(m, layer);
	if (arch_form_is_matrix(rule->form)) {
		if (map_matrix(m, rule->weight, slot, name, rows, columns))
			return m->info->code;
		return rule->form == FORM_ROUTER ? mapper_plain(m, &slot->matrix) : ERR_NONE;
	}
	const struct stored_tensor *t = mapper_take(m, name);
	if (!t)
		return mapper_missing(m, name);
	return map_vector(m, rule, slot, t, rows, columns);
}

static enum err map_rules(struct mapper *m)
{
	for (size_t i = 0; i < m->arch->rule_count; i++) {
		const struct weight_rule *rule = &m->arch->rules[i];

		if (!is_once(rule))
			continue;
		if (rule->weight == WEIGHT_HEAD ? map_head(m, rule) : map_rule(m, rule, 0))
			return m->info->code;
	}
	for (uint32_t layer = 0; layer < m->w->config.layers; layer++)
		for (size_t i = 0; i < m->arch->rule_count; i++)
			if (arch_layer_has(&m->w->config, m->arch->rules[i].place, layer) &&
				map_rule(m, &m->arch->rules[i], layer))
				return m->info->code;
	return ERR_NONE;
}

/* ---- what is left ---------------------------------------------------------------------------- */

static bool starts_with(const struct stored_tensor *t, const char *prefix)
{
	const size_t size = strlen(prefix);

	return t->name_size >= size && memcmp(t->name, prefix, size) == 0;
}

static bool starts_with_any(const struct stored_tensor *t, const char *const *prefixes,
	size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (starts_with(t, prefixes[i]))
			return true;
	return false;
}

/* GGUF appends the blocks of multi-token prediction to the layers. */
static bool is_block_beyond(const struct mapper *m, const struct stored_tensor *t)
{
	uint32_t block = 0, i = 4;

	if (!starts_with(t, "blk."))
		return false;
	for (; i < t->name_size && t->name[i] >= '0' && t->name[i] <= '9' &&
		block <= MODEL_LAYERS_MAX;
		i++)
		block = 10 * block + (uint32_t)(t->name[i] - '0');
	return i > 4 && i < t->name_size && t->name[i] == '.' && block >= m->w->config.layers &&
	       block < m->w->config.layers + m->w->config.mtp_layers;
}

static bool is_unused(const struct mapper *m, const struct stored_tensor *t)
{
	const char *divisors = m->arch->gguf_divisors;   /* the config has them */

	if (!m->prefix)
		return divisors && t->name_size == strlen(divisors) && starts_with(t, divisors);
	for (size_t i = 0; i < sizeof(UNUSED_SUFFIXES) / sizeof(UNUSED_SUFFIXES[0]); i++) {
		const size_t size = strlen(UNUSED_SUFFIXES[i]);

		if (t->name_size > size &&
			memcmp(t->name + t->name_size - size, UNUSED_SUFFIXES[i], size) == 0)
			return true;
	}
	return weights_is_zero_bias(m->w, t);
}

static bool is_vision(const struct mapper *m, const struct stored_tensor *t)
{
	return m->prefix &&
		starts_with_any(t, VISION_PREFIXES, sizeof(VISION_PREFIXES) / sizeof(char *));
}

static bool is_mtp(const struct mapper *m, const struct stored_tensor *t)
{
	if (!m->prefix)
		return is_block_beyond(m, t);
	return starts_with_any(t, MTP_PREFIXES, sizeof(MTP_PREFIXES) / sizeof(char *));
}

static void note_left_out(char *out, size_t size, uint32_t vision, uint32_t mtp)
{
	if (vision > 0 && mtp > 0)
		snprintf(out, size, "left out: %" PRIu32 " tensors of vision, %" PRIu32
			" of multi-token prediction", vision, mtp);
	else if (vision + mtp > 0)
		snprintf(out, size, "left out: %" PRIu32 " tensors of %s", vision + mtp,
			vision ? "vision" : "multi-token prediction");
}

static enum err check_left_over(struct mapper *m)
{
	const struct stored_tensor *unknown = NULL;
	uint32_t vision = 0, mtp = 0, unknown_count = 0;

	for (uint32_t i = 0; i < m->w->table.count; i++) {
		const struct stored_tensor *t = &m->w->table.tensors[i];

		if (m->taken[i] || is_unused(m, t))
			continue;
		if (is_vision(m, t))
			vision++;
		else if (is_mtp(m, t))
			mtp++;
		else if (unknown_count++ == 0)
			unknown = t;
	}
	if (unknown)
		return err_set(m->info, ERR_INPUT,
			"%s: tensor %.*s has no place in a %s model of %" PRIu32 " layers (%" PRIu32
			" such tensors)",
			unknown->file, (int)unknown->name_size, unknown->name, m->arch->name,
			m->w->config.layers, unknown_count);
	note_left_out(m->w->note, sizeof(m->w->note), vision, mtp);
	return ERR_NONE;
}

/* The prefix under which the embedding is found; it must be one. */
static enum err find_prefix(struct mapper *m)
{
	const char *last = arch_rule(m->arch, WEIGHT_EMBED)->json_name;

	for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++) {
		char name[MAPPER_NAME_MAX];

		snprintf(name, sizeof(name), "%s%s", PREFIXES[i].body, last);
		if (!stored_table_find(&m->w->table, name))
			continue;
		if (m->prefix)
			return err_set(m->info, ERR_INPUT,
				"%s: the model is there twice, under \"%s\" and \"%s\"",
				m->w->table.tensors[0].file, m->prefix->body, PREFIXES[i].body);
		m->prefix = &PREFIXES[i];
	}
	if (!m->prefix)
		return mapper_missing(m, "model.embed_tokens.weight");
	return ERR_NONE;
}

static enum chip_type most_bytes(const struct mapper *m)
{
	enum chip_type most = CHIP_F32;

	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++)
		if (m->w->type_bytes[type] > m->w->type_bytes[most])
			most = type;
	return most;
}

enum err weights_map(struct weights *w, bool from_gguf, struct err_info *info)
{
	struct mapper m = {.w = w, .arch = arch_get(w->config.arch), .info = info};
	enum err code;

	if (w->table.count == 0)
		return err_set(info, ERR_INPUT, "the files hold no tensors");
	if (!from_gguf && find_prefix(&m))
		return info->code;
	m.taken = mem_alloc(w->table.count, sizeof(*m.taken));
	w->slots =
		arena_array(&w->side, ((size_t)w->config.layers + 1) * WEIGHTS, sizeof(*w->slots));
	if (!m.taken || !w->slots) {
		code = mapper_no_memory(&m);
		goto done;
	}
	code = map_rules(&m);
	if (!code)
		code = check_left_over(&m);
	w->type = most_bytes(&m);
done:
	mem_free(m.taken);
	return code;
}
