/* model/weights/weights_quantized.c - see weights_quantized.h: which tensors a quantized matrix
 * is made of, and whether they fit each other, the config and the shape that the model wants. */
#include "model/weights/weights_quantized.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "model/weights/weights_private.h"

#define NAME_BYTES   256
#define SHAPE_BYTES  128

/* One matrix while it is found. */
struct finder {
	struct weights *w;
	const char *name;         /* of the plain matrix */
	uint32_t parts;           /* rows are so many equal parts */
	struct quantized_source s;
	struct quantized_matrix *out;
	struct err_info *info;
};

static bool is_type(const struct stored_tensor *t, const char *name)
{
	return strcmp(t->dtype->name, name) == 0;
}

/* The tensor with another last part of its name: "x.weight" to "x.scales". With suffix "" and no
 * part to replace it is the name itself. */
static const struct stored_tensor *find(const struct weights *w, const char *name,
	const char *suffix)
{
	static const char plain[] = ".weight";
	const size_t size = strlen(name), tail = sizeof(plain) - 1;
	const bool replace = suffix[0] == '.' && size > tail &&
		strcmp(name + size - tail, plain) == 0;
	char text[NAME_BYTES];
	const int length = snprintf(text, sizeof(text), "%.*s%s",
		(int)(replace ? size - tail : size), name, suffix);

	if (length < 0 || (size_t)length >= sizeof(text))
		return NULL;
	return stored_table_find(&w->table, text);
}

static const struct stored_tensor *keep(struct finder *f, const struct stored_tensor *t)
{
	if (t) {
		assert(f->out->tensor_count < QUANTIZED_TENSORS_MAX);
		f->out->tensors[f->out->tensor_count++] = t;
	}
	return t;
}

static const struct stored_tensor *need(struct finder *f, const char *suffix)
{
	const struct stored_tensor *t = find(f->w, f->name, suffix);

	if (!t)
		err_set(f->info, ERR_INPUT, "%s: tensor %s is quantized, but its %s is missing",
			f->w->table.tensors[0].file, f->name, suffix + 1);
	return keep(f, t);
}

bool weights_is_quantized(const struct weights *w, const char *name)
{
	const struct stored_tensor *plain = find(w, name, "");

	if (plain)
		return is_type(plain, "F8_E4M3");
	return find(w, name, ".qweight") || find(w, name, ".weight_packed");
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* Shapes compared without dimensions of one: scales come as [], [1], [rows] and [rows, 1]. */
static bool same_shape(const struct stored_tensor *t, const uint64_t *dims, uint32_t dim_count)
{
	uint32_t a = 0, b = 0;

	for (;;) {
		while (a < t->dim_count && t->dims[a] == 1)
			a++;
		while (b < dim_count && dims[b] == 1)
			b++;
		if (a == t->dim_count || b == dim_count)
			return a == t->dim_count && b == dim_count;
		if (t->dims[a++] != dims[b++])
			return false;
	}
}

static enum err need_shape(const struct finder *f, const struct stored_tensor *t,
	const uint64_t *dims, uint32_t dim_count)
{
	char there[SHAPE_BYTES], wanted[SHAPE_BYTES];

	if (same_shape(t, dims, dim_count))
		return ERR_NONE;
	stored_shape_format(there, sizeof(there), t->dims, t->dim_count);
	stored_shape_format(wanted, sizeof(wanted), dims, dim_count);
	return err_set(f->info, ERR_INPUT,
		"%s: tensor %.*s has shape %s, the config and its quantization_config say %s",
		t->file, (int)t->name_size, t->name, there, wanted);
}

static enum err need_2d(const struct finder *f, const struct stored_tensor *t, uint64_t outer,
	uint64_t inner)
{
	return need_shape(f, t, (const uint64_t[]){outer, inner}, 2);
}

static enum err need_type(const struct finder *f, const struct stored_tensor *t,
	const char *const *names, size_t count, size_t *which)
{
	char known[64] = "";

	for (size_t i = 0; i < count; i++)
		if (is_type(t, names[i])) {
			*which = i;
			return ERR_NONE;
		}
	for (size_t i = 0, used = 0; i < count && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
			i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
	return err_set(f->info, ERR_UNSUPPORTED, "%s: tensor %.*s has type %s, not %s", t->file,
		(int)t->name_size, t->name, t->dtype->name, known);
}

static enum err need_i32(const struct finder *f, const struct stored_tensor *t)
{
	static const char *const names[] = {"I32"};
	size_t ignored;

	return need_type(f, t, names, 1, &ignored);
}

/* Scales of whole numbers have 16 bits in a row of the output. */
static enum err need_half_scales(struct finder *f)
{
	static const char *const names[] = {"F16", "BF16"};
	size_t which = 0;

	if (need_type(f, f->s.scales, names, 2, &which))
		return f->info->code;
	f->s.scale = which ? QUANTIZED_BF16 : QUANTIZED_F16;
	return ERR_NONE;
}

/* ---- schemes --------------------------------------------------------------------------------- */

/* A scheme says what the groups of this matrix are. */
static void set_groups(struct quantized_source *s, const struct quantization_scheme *scheme)
{
	s->group = scheme->group && scheme->group < s->columns ? scheme->group : s->columns;
	s->group_count = math_divide_up_u32(s->columns, s->group);
	s->group_rows = scheme->group_rows && scheme->group_rows < s->part_rows
		? scheme->group_rows
		: s->part_rows;
}

static uint64_t scale_rows(const struct quantized_source *s)
{
	return math_divide_up(s->part_rows, s->group_rows);
}

static bool scales_fit(const struct finder *f, const struct quantized_source *s)
{
	const uint64_t by_row[] = {f->parts, scale_rows(s), s->group_count},
		       by_group[] = {s->group_count, s->rows};
	const bool across = s->layout == QUANTIZED_BY_COLUMN || s->layout == QUANTIZED_BY_ROW;

	return across ? same_shape(s->scales, by_group, 2) : same_shape(s->scales, by_row, 3);
}

/* Packed ones keep zero points where they need them, whatever the config says. */
static bool same_meaning(const struct quantized_source *a, const struct quantized_source *b)
{
	return a->group == b->group && a->group_rows == b->group_rows &&
	       (a->layout == QUANTIZED_PACKED || a->symmetric == b->symmetric);
}

/* The scheme of the config that the scales have the shape for. Which of several modules it was
 * meant for does not matter, unless two fit that mean different numbers. */
static enum err choose_scheme(struct finder *f, bool is_float, uint8_t bits)
{
	const struct model_quantization *q = &f->w->config.quantization;
	struct quantized_source chosen = {0}, tried;
	char there[SHAPE_BYTES];

	for (uint32_t i = 0; i < q->scheme_count; i++) {
		const struct quantization_scheme *scheme = &q->schemes[i];

		if (scheme->is_float != is_float || scheme->bits != bits)
			continue;
		tried = f->s;
		tried.symmetric = scheme->symmetric;
		set_groups(&tried, scheme);
		if (!scales_fit(f, &tried))
			continue;
		if (chosen.rows && !same_meaning(&chosen, &tried))
			return err_set(f->info, ERR_UNSUPPORTED,
				"%s: more than one way to quantize in the config fits tensor %s",
				f->s.values->file, f->name);
		tried.symmetric |= chosen.symmetric;
		chosen = tried;
	}
	stored_shape_format(there, sizeof(there), f->s.scales->dims, f->s.scales->dim_count);
	if (!chosen.rows)
		return err_set(f->info, ERR_INPUT,
			"%s: tensor %s [%" PRIu32 ", %" PRIu32
			"] has %u bits and scales %s, which is not what the quantization_config "
			"says",
			f->s.values->file, f->name, f->s.rows, f->s.columns, (unsigned)bits, there);
	f->s = chosen;
	return ERR_NONE;
}

/* ---- floats ---------------------------------------------------------------------------------- */

static enum err find_floats(struct finder *f)
{
	static const char *const names[] = {"F32", "F16", "BF16", "F8_E8M0", "U8"};
	const uint64_t dims[] = {f->parts, f->s.part_rows, f->s.columns};
	const char *suffix = "_scale_inv";
	size_t which = 0;

	f->s.layout = QUANTIZED_FLOATS;
	f->s.type = CHIP_F8_E4M3;
	f->s.values = keep(f, find(f->w, f->name, ""));
	if (need_shape(f, f->s.values, dims, 3))
		return f->info->code;
	if (!find(f->w, f->name, suffix))
		suffix = "_scale";
	f->s.scales = need(f, suffix);
	if (!f->s.scales ||
		need_type(f, f->s.scales, names, sizeof(names) / sizeof(names[0]), &which))
		return f->info->code;
	f->s.scale = which < QUANTIZED_E8M0 ? (enum quantized_scale)which : QUANTIZED_E8M0;
	return choose_scheme(f, true, 8);
}

/* ---- whole numbers --------------------------------------------------------------------------- */

/* Bits of a value in words of which along hold all values of a row; 0 when it cannot be. */
static uint8_t bits_in(uint64_t along, uint32_t values)
{
	return along == values / 8 ? 4 : along == values / 4 ? 8 : 0;
}

static enum err check_multiples(const struct finder *f, uint32_t fields)
{
	if (f->s.columns % fields == 0 && f->s.group % fields == 0 &&
		(f->s.layout == QUANTIZED_PACKED || f->s.rows % fields == 0))
		return ERR_NONE;
	return err_set(f->info, ERR_UNSUPPORTED,
		"%s: tensor %s [%" PRIu32 ", %" PRIu32 "] in groups of %" PRIu32
		" does not fill whole words of %" PRIu32 " values",
		f->s.values->file, f->name, f->s.rows, f->s.columns, f->s.group, fields);
}

static enum err bad_order(const struct finder *f, const struct stored_tensor *t, const char *what)
{
	return err_set(f->info, ERR_INPUT, "%s: tensor %.*s: %s", t->file, (int)t->name_size,
		t->name, what);
}

static int32_t group_of(const struct stored_tensor *t, uint32_t column)
{
	int32_t group;

	memcpy(&group, t->data + (size_t)column * sizeof(group), sizeof(group));
	return group;
}

/* Whether columns come group by group as they are: so in most releases, which need no order. */
static bool is_sorted(const struct quantized_source *s, const struct stored_tensor *t)
{
	for (uint32_t column = 0; column < s->columns; column++)
		if (group_of(t, column) != (int64_t)(column / s->group))
			return false;
	return true;
}

/* Columns sorted by the group that they belong to; next[g] is where the next one of g goes. */
static enum err sort_columns(const struct finder *f, const struct stored_tensor *t, uint32_t *next,
	uint32_t *order)
{
	const struct quantized_source *s = &f->s;

	for (uint32_t g = 0; g < s->group_count; g++)
		next[g] = g * s->group;
	for (uint32_t column = 0; column < s->columns; column++) {
		const int32_t group = group_of(t, column);

		if (group < 0 || (uint32_t)group >= s->group_count)
			return bad_order(f, t, "a column belongs to a group that is not there");
		const uint64_t end = ((uint64_t)group + 1) * s->group;
		if (next[group] >= end || next[group] >= s->columns)
			return bad_order(f, t, "a group has more columns than the group size");
		order[next[group]++] = column;
	}
	return ERR_NONE;
}

/* Columns in another order than the model's, if a tensor says so. */
static enum err find_order(struct finder *f, const char *suffix)
{
	const struct stored_tensor *t = keep(f, find(f->w, f->name, suffix));
	struct quantized_source *s = &f->s;
	uint32_t *order, *next;
	enum err code;

	if (!t)
		return ERR_NONE;
	if (need_i32(f, t) || need_shape(f, t, (const uint64_t[]){s->columns}, 1))
		return f->info->code;
	if (is_sorted(s, t))
		return ERR_NONE;
	order = arena_array(&f->w->side, s->columns, sizeof(*order));
	next = mem_alloc(s->group_count, sizeof(*next));
	code = order && next
		? sort_columns(f, t, next, order)
		: err_set(f->info, ERR_MEMORY, "%s: no memory for an order of columns", t->file);
	mem_free(next);
	s->column_order = order;
	return code;
}

static enum err no_method(const struct finder *f, const struct stored_tensor *t)
{
	return err_set(f->info, ERR_INPUT,
		"%s: tensor %.*s is quantized, but config.json says %s", t->file, (int)t->name_size,
		t->name,
		f->w->config.quantization.method == QUANTIZATION_NONE
			? "nothing of it; its quantization_config is missing"
			: "that it was done in another way");
}

static enum err set_int(struct finder *f, uint8_t bits)
{
	if (bits == 0)
		return err_set(f->info, ERR_INPUT,
			"%s: tensor %.*s does not hold [%" PRIu32 ", %" PRIu32
			"] values of 4 or 8 bits",
			f->s.values->file, (int)f->s.values->name_size, f->s.values->name,
			f->s.rows, f->s.columns);
	f->s.type = bits == 4 ? CHIP_INT4 : CHIP_INT8;
	return choose_scheme(f, false, bits);
}

/* GPTQ and AWQ: both across, with the same names. */
static enum err find_across(struct finder *f)
{
	const bool awq = f->w->config.quantization.method == QUANTIZATION_AWQ;
	struct quantized_source *s = &f->s;

	s->layout = awq ? QUANTIZED_BY_ROW : QUANTIZED_BY_COLUMN;
	s->zeros_less_one = f->w->config.quantization.zeros_less_one;
	s->values = keep(f, find(f->w, f->name, ".qweight"));
	if (!(s->scales = need(f, ".scales")) || !(s->zeros = need(f, ".qzeros")) ||
		need_i32(f, s->values) || need_i32(f, s->zeros) || need_half_scales(f))
		return f->info->code;
	const uint8_t bits = awq ? 4
		: s->values->dim_count ? bits_in(s->values->dims[0], s->columns)
				       : 0;
	if (set_int(f, bits))
		return f->info->code;
	const uint32_t fields = 32U / bits;
	if (check_multiples(f, fields) ||
		(awq ? need_2d(f, s->values, s->columns, s->rows / fields)
		     : need_2d(f, s->values, s->columns / fields, s->rows)) ||
		need_2d(f, s->zeros, s->group_count, s->rows / fields))
		return f->info->code;
	return awq ? ERR_NONE : find_order(f, ".g_idx");
}

/* compressed-tensors repeats the shape of the matrix in a tensor. */
static enum err check_stated_shape(struct finder *f)
{
	static const char *const names[] = {"I64", "I32"};
	const struct stored_tensor *t = keep(f, find(f->w, f->name, ".weight_shape"));
	int64_t sides[2] = {0};
	size_t which = 0;

	if (!t)
		return ERR_NONE;
	if (need_type(f, t, names, 2, &which) || need_shape(f, t, (const uint64_t[]){2}, 1))
		return f->info->code;
	for (size_t i = 0; i < 2; i++) {
		int32_t narrow;

		if (which == 0) {
			memcpy(&sides[i], t->data + i * sizeof(sides[i]), sizeof(sides[i]));
		} else {
			memcpy(&narrow, t->data + i * sizeof(narrow), sizeof(narrow));
			sides[i] = narrow;
		}
	}
	if (sides[0] == f->s.rows && sides[1] == f->s.columns)
		return ERR_NONE;
	return err_set(f->info, ERR_INPUT,
		"%s: tensor %.*s says [%" PRId64 ", %" PRId64 "], the config says [%" PRIu32
		", %" PRIu32 "]",
		t->file, (int)t->name_size, t->name, sides[0], sides[1], f->s.rows, f->s.columns);
}

/* Packed along the rows, or, as it was first, a byte each. */
static enum err find_packed_zeros(struct finder *f, uint32_t fields, bool needed)
{
	static const char *const names[] = {"I32", "I8"};
	struct quantized_source *s = &f->s;
	size_t which = 0;

	s->zeros = needed ? need(f, ".weight_zero_point")
			  : keep(f, find(f->w, f->name, ".weight_zero_point"));
	if (!s->zeros)
		return f->info->code;
	if (need_type(f, s->zeros, names, 2, &which))
		return f->info->code;
	s->zeros_signed = which == 1;
	return need_2d(f, s->zeros, s->zeros_signed ? s->rows : math_divide_up(s->rows, fields),
		s->group_count);
}

static enum err find_packed(struct finder *f)
{
	struct quantized_source *s = &f->s;

	s->layout = QUANTIZED_PACKED;
	s->values = keep(f, find(f->w, f->name, ".weight_packed"));
	if (!(s->scales = need(f, ".weight_scale")) || need_i32(f, s->values) ||
		need_half_scales(f) || check_stated_shape(f))
		return f->info->code;
	const uint32_t last = s->values->dim_count;
	const uint8_t bits = last ? bits_in(s->values->dims[last - 1], s->columns) : 0;
	if (set_int(f, bits))
		return f->info->code;
	const uint32_t fields = 32U / bits;
	if (check_multiples(f, fields) || need_2d(f, s->values, s->rows, s->columns / fields) ||
		find_packed_zeros(f, fields, !s->symmetric))
		return f->info->code;
	s->symmetric = false; /* what zeros says holds */
	return find_order(f, ".weight_g_idx");
}

/* ---------------------------------------------------------------------------------------------- */

static enum err find_by_method(struct finder *f)
{
	const enum quantization_method method = f->w->config.quantization.method;
	const struct stored_tensor *plain = find(f->w, f->name, ""),
				   *packed = find(f->w, f->name, ".weight_packed"),
				   *across = find(f->w, f->name, ".qweight");

	if (plain)
		return method == QUANTIZATION_FP8 || method == QUANTIZATION_COMPRESSED
			? find_floats(f)
			: no_method(f, plain);
	if (f->parts > 1)
		return err_set(f->info, ERR_UNSUPPORTED,
			"%s: a stack of experts, %s, quantized in whole numbers is not supported",
			f->w->table.tensors[0].file, f->name);
	if (across)
		return method == QUANTIZATION_GPTQ || method == QUANTIZATION_AWQ
			? find_across(f)
			: no_method(f, across);
	return method == QUANTIZATION_COMPRESSED ? find_packed(f) : no_method(f, packed);
}

enum err weights_find_quantized(struct weights *w, const char *name, uint32_t rows,
	uint32_t columns, uint32_t parts, struct quantized_matrix *out, struct err_info *info)
{
	struct finder f = {.w = w, .name = name, .parts = parts, .out = out, .info = info};
	struct quantized_source *kept;

	assert(weights_is_quantized(w, name) && parts > 0 && rows % parts == 0);
	*out = (struct quantized_matrix){0};
	f.s.rows = rows;
	f.s.columns = columns;
	f.s.part_rows = rows / parts;
	f.s.table = &w->table;
	if (!w->read_fault)
		w->read_fault = arena_alloc(&w->side, sizeof(*w->read_fault));
	kept = arena_alloc(&w->side, sizeof(*kept));
	if (!w->read_fault || !kept)
		return err_set(info, ERR_MEMORY, "%s: no memory for its small weights",
			w->table.tensors[0].file);
	f.s.fault = w->read_fault;
	if (find_by_method(&f))
		return info->code;
	*kept = f.s;
	out->matrix = (struct chip_matrix){
		.type = kept->type,
		.rows = rows,
		.columns = columns,
		.group = kept->group,
		.parts = parts,
		.column_order = kept->column_order,
		.read = quantized_read,
		.context = kept,
	};
	return ERR_NONE;
}

bool weights_is_zero_bias(const struct weights *w, const struct stored_tensor *t)
{
	static const char last[] = ".bias";
	const enum quantization_method method = w->config.quantization.method;
	const size_t size = sizeof(last) - 1;

	if ((method != QUANTIZATION_GPTQ && method != QUANTIZATION_AWQ) || t->name_size <= size ||
		memcmp(t->name + t->name_size - size, last, size) != 0)
		return false;
	for (size_t i = 0; i < t->size_bytes; i++)
		if (t->data[i] != 0)
			return false;
	return true;
}

enum err weights_read_faults(const struct weights *w, struct err_info *info)
{
	const uint64_t place = w->read_fault ? atomic_load(w->read_fault) : 0;

	if (place == 0)
		return ERR_NONE;
	const struct stored_tensor *t = &w->table.tensors[place - 1];

	return err_set(info, ERR_INPUT,
		"%s: tensor %.*s holds a number that is not finite or not allowed there", t->file,
		(int)t->name_size, t->name);
}
