/* model/weights/weights_join.c - one matrix made of rows of others: experts that are stored one
 * by one, projections that are stored together. What spans are for rows as they lie, a reader is
 * here. */
#include <assert.h>
#include <string.h>

#include "chip/format.h"
#include "model/weights/weights_private.h"

struct joined {
	struct weights_piece *pieces;
	uint32_t *ends;           /* rows up to and with each piece */
	uint32_t piece_count;
	size_t row_bytes;
};

/* The piece that a row of the joined matrix lies in. */
static uint32_t piece_of(const struct joined *j, uint32_t row)
{
	uint32_t low = 0, high = j->piece_count;

	while (high - low > 1) {
		const uint32_t middle = low + (high - low) / 2;

		if (row < j->ends[middle - 1])
			high = middle;
		else
			low = middle;
	}
	return low;
}

static void read_joined(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out)
{
	const struct joined *j = context;

	for (uint32_t p = piece_of(j, first); count > 0; p++) {
		const struct weights_piece *piece = &j->pieces[p];
		const uint32_t begin = p ? j->ends[p - 1] : 0, left = j->ends[p] - first,
			       take = left < count ? left : count;

		assert(p < j->piece_count && first >= begin);
		weights_read_rows(
			&piece->of, piece->first + (first - begin), take, rows_out);
		rows_out += take * j->row_bytes;
		first += take;
		count -= take;
	}
}

static bool same_rows(const struct chip_matrix *a, const struct chip_matrix *b)
{
	if (a->type != b->type || a->group != b->group || a->columns != b->columns)
		return false;
	if (!a->column_order || !b->column_order)
		return a->column_order == b->column_order;
	return memcmp(a->column_order, b->column_order, a->columns * sizeof(uint32_t)) == 0;
}

/* Pieces whose rows lie in files as they are stay spans. */
static bool join_spans(struct weights *w, const struct weights_piece *pieces, uint32_t count,
	struct chip_matrix *out)
{
	struct chip_span *spans = arena_array(&w->side, count, sizeof(*spans));

	for (uint32_t i = 0; spans && i < count; i++) {
		const struct chip_matrix *of = &pieces[i].of;
		const size_t row_bytes = chip_row_bytes(of->type, of->group, of->columns);

		assert(of->span_count == 1);
		spans[i] = (struct chip_span){
			.rows = (const uint8_t *)of->spans[0].rows + pieces[i].first * row_bytes,
			.row_count = pieces[i].count,
		};
	}
	out->spans = spans;
	out->span_count = count;
	return spans != NULL;
}

static bool join_read(struct weights *w, const struct weights_piece *pieces, uint32_t count,
	struct chip_matrix *out)
{
	struct joined *j = arena_alloc(&w->side, sizeof(*j));
	struct weights_piece *kept = arena_array(&w->side, count, sizeof(*kept));
	uint32_t *ends = arena_array(&w->side, count, sizeof(*ends));

	if (!j || !kept || !ends)
		return false;
	memcpy(kept, pieces, count * sizeof(*kept));
	for (uint32_t i = 0; i < count; i++)
		ends[i] = (i ? ends[i - 1] : 0) + pieces[i].count;
	*j = (struct joined){
		.pieces = kept,
		.ends = ends,
		.piece_count = count,
		.row_bytes = chip_row_bytes(out->type, out->group, out->columns),
	};
	out->read = read_joined;
	out->context = j;
	return true;
}

enum err weights_join(struct weights *w, const struct weights_piece *pieces, uint32_t count,
	const char *what, struct chip_matrix *out, struct err_info *info)
{
	bool plain = true;

	assert(count > 0);
	*out = pieces[0].of;
	out->rows = 0;
	out->parts = 0;
	out->spans = NULL;
	out->span_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		assert(pieces[i].first + pieces[i].count <= pieces[i].of.rows);
		plain = plain && pieces[i].of.span_count == 1;
		out->rows += pieces[i].count;
		if (!same_rows(&pieces[0].of, &pieces[i].of))
			return err_set(info, ERR_UNSUPPORTED,
				"%s: the parts of %s are stored in different ways, or with their "
				"columns in different orders",
				w->table.tensors[0].file, what);
	}
	if (plain ? join_spans(w, pieces, count, out) : join_read(w, pieces, count, out))
		return ERR_NONE;
	return err_set(info, ERR_MEMORY, "%s: no memory for its small weights",
		w->table.tensors[0].file);
}
