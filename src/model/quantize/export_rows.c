/* model/quantize/export_rows.c - see export.h: rows as floats, in the order of the file. */
#include <assert.h>
#include <string.h>

#include "chip/format.h"
#include "model/quantize/export.h"

#define RUN_ROWS 16   /* that are read at once */

uint64_t export_row_count(const struct export_tensor *t)
{
	uint64_t rows = 1;

	for (uint32_t i = 0; i + 1 < t->as.dim_count; i++)
		rows *= t->as.dims[i];
	return rows;
}

/* ---- where a row comes from ------------------------------------------------------------------ */

struct source {
	const struct chip_matrix *matrix;   /* NULL: the tensor's bytes, or its values */
	uint64_t row;
};

/* Value heads lie tiled in the file: 0 of each key head, then 1 of each; in the weights those of a
 * key head lie together. */
static uint64_t untiled(const struct export *e, const struct export_tensor *t, uint64_t i)
{
	const struct model_config *c = &e->weights->config;
	const uint64_t share = c->delta_v_heads / c->delta_k_heads;

	if (i < t->first)
		return i;
	const uint64_t head = (i - t->first) / t->unit, within = (i - t->first) % t->unit;
	const uint64_t grouped = head % c->delta_k_heads * share + head / c->delta_k_heads;

	return t->first + grouped * t->unit + within;
}

static struct source source_of(const struct export *e, const struct export_tensor *t, uint64_t i)
{
	const uint64_t unit = t->unit;

	switch (t->order) {
	case EXPORT_PLAIN:
	case EXPORT_TILED_COLUMNS:
		break;
	case EXPORT_PAIRS:
		return (struct source){t->matrix, i / unit * unit + i % 2 * (unit / 2) +
			i % unit / 2};
	case EXPORT_TILED_ROWS:
		return (struct source){t->matrix, untiled(e, t, i)};
	case EXPORT_TURNS:
		return (struct source){i / unit % 2 ? t->other : t->matrix,
			i / (2 * unit) * unit + i % unit};
	}
	return (struct source){t->matrix, i};
}

/* How many rows of the file, up to count, follow each other in the weights too. */
static uint32_t run_length(const struct export *e, const struct export_tensor *t, uint64_t first,
	uint32_t count)
{
	const struct source start = source_of(e, t, first);
	uint32_t run = 1;

	for (; run < count && run < RUN_ROWS; run++) {
		const struct source next = source_of(e, t, first + run);

		if (next.matrix != start.matrix || next.row != start.row + run)
			break;
	}
	return run;
}

/* ---- reading --------------------------------------------------------------------------------- */

static size_t matrix_row_bytes(const struct chip_matrix *m)
{
	return m ? chip_row_bytes(m->type, m->group, m->columns) : 0;
}

size_t export_scratch_bytes(const struct export_tensor *t)
{
	const size_t columns = export_columns(t);
	size_t row_bytes = matrix_row_bytes(t->matrix);

	if (t->bytes)
		row_bytes = chip_row_bytes(t->bytes->dtype->chip_type, 0, (uint32_t)columns);
	if (matrix_row_bytes(t->other) > row_bytes)
		row_bytes = matrix_row_bytes(t->other);
	return columns * sizeof(float) + row_bytes * RUN_ROWS;
}

/* Puts columns where they belong: input column column_order[j] is stored as column j. */
static void unsort_columns(const struct chip_matrix *m, float *row, float *spare)
{
	if (!m->column_order)
		return;
	memcpy(spare, row, m->columns * sizeof(*row));
	for (uint32_t j = 0; j < m->columns; j++)
		row[m->column_order[j]] = spare[j];
}

/* spare: a row of floats, then RUN_ROWS as they are stored. */
static void read_matrix(const struct source *s, uint32_t count, float *out, float *spare)
{
	const struct chip_matrix *m = s->matrix;
	const size_t row_bytes = matrix_row_bytes(m);
	uint8_t *raw = (uint8_t *)(spare + m->columns);

	weights_read_rows(m, (uint32_t)s->row, count, raw);
	for (uint32_t i = 0; i < count; i++) {
		float *row = out + (size_t)i * m->columns;

		chip_row_to_f32(m->type, m->group, raw + i * row_bytes, m->columns, row);
		unsort_columns(m, row, spare);
	}
}

static void read_bytes(const struct export_tensor *t, uint64_t first, uint32_t count, float *out)
{
	const enum chip_type type = t->bytes->dtype->chip_type;
	const uint32_t columns = export_columns(t);
	const size_t row_bytes = chip_row_bytes(type, 0, columns);

	for (uint32_t i = 0; i < count; i++)
		chip_row_to_f32(type, 0, t->bytes->data + (first + i) * row_bytes, columns,
			out + (size_t)i * columns);
}

/* What an order moves is a value of a vector, a row of a matrix. */
static void read_values(const struct export *e, const struct export_tensor *t, uint64_t first,
	uint32_t count, float *out)
{
	const bool vector = t->as.dim_count == 1;
	const uint64_t width = vector ? 1 : export_columns(t);
	const uint64_t rows = vector ? export_columns(t) : count;

	for (uint64_t i = 0; i < rows; i++)
		memcpy(out + i * width, t->values + source_of(e, t, first + i).row * width,
			width * sizeof(*out));
}

static void tile_columns(const struct export *e, const struct export_tensor *t, float *row,
	float *spare)
{
	const uint32_t columns = export_columns(t);

	memcpy(spare, row, columns * sizeof(*row));
	for (uint32_t i = 0; i < columns; i++)
		row[i] = spare[untiled(e, t, i)];
}

static void read_matrices(const struct export *e, const struct export_tensor *t, uint64_t first,
	uint32_t count, float *out, float *spare)
{
	const uint32_t columns = export_columns(t);

	for (uint32_t done = 0; done < count;) {
		const struct source s = source_of(e, t, first + done);
		const uint32_t run = run_length(e, t, first + done, count - done);

		read_matrix(&s, run, out + (size_t)done * columns, spare);
		done += run;
	}
	if (t->order == EXPORT_TILED_COLUMNS)
		for (uint32_t i = 0; i < count; i++)
			tile_columns(e, t, out + (size_t)i * columns, spare);
}

void export_rows(const struct export *e, const struct export_tensor *t, uint64_t first,
	uint32_t count, float *out, void *scratch)
{
	assert(first + count <= export_row_count(t));
	if (t->values)
		read_values(e, t, first, count, out);
	else if (t->bytes)
		read_bytes(t, first, count, out);
	else
		read_matrices(e, t, first, count, out, scratch);
}
