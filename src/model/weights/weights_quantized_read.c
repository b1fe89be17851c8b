/* model/weights/weights_quantized_read.c - rows of a quantized matrix in the layouts of
 * chip/format.h.
 *
 * Two of the layouts lie across: neighbouring rows share words or cache lines. So a run of rows is
 * made at a time, the file is walked once for all of them, and a panel's worth of rows costs what
 * its cache lines cost. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/math.h"
#include "chip/format.h"
#include "model/weights/weights_quantized.h"

#define WORD_BYTES    4
#define ROWS_PER_WORD 8    /* of AWQ */
#define ROWS_AT_ONCE  16   /* a panel of most instruction sets */

/* Where output k of a word of AWQ stands among its eight. */
static const uint8_t AWQ_ORDER[ROWS_PER_WORD] = {0, 2, 4, 6, 1, 3, 5, 7};
static const uint8_t AWQ_PLACE[ROWS_PER_WORD] = {0, 4, 1, 5, 2, 6, 3, 7};

/* The run that is being made. */
struct run {
	const struct quantized_source *s;
	uint32_t first;
	uint32_t count;
	uint8_t *out;
	size_t row_bytes;
	uint32_t bits;
};

static uint32_t word_at(const uint8_t *bytes, size_t index)
{
	uint32_t word;

	memcpy(&word, bytes + index * WORD_BYTES, sizeof(word));
	return word;
}

static uint16_t half_at(const uint8_t *bytes, size_t index)
{
	uint16_t half;

	memcpy(&half, bytes + index * sizeof(half), sizeof(half));
	return half;
}

/* Keeps the lowest of the tensors that something was found in, so that the error does not depend on
 * who was first. 0 is none. */
static void tell_fault(const struct quantized_source *s, const struct stored_tensor *t)
{
	const uint64_t place = (uint64_t)(t - s->table->tensors) + 1;
	uint64_t told = atomic_load(s->fault);

	while ((told == 0 || place < told) && !atomic_compare_exchange_weak(s->fault, &told, place))
		;
}

static uint32_t group_columns(const struct quantized_source *s, uint32_t group)
{
	return math_min_u32(s->group, s->columns - group * s->group);
}

/* Where the head of a group of whole numbers begins in a row of the output. */
static size_t group_at(const struct run *r, uint32_t group)
{
	return (size_t)group * (CHIP_INT_HEAD_BYTES + (size_t)r->s->group * r->bits / 8);
}

/* ---- floats ---------------------------------------------------------------------------------- */

/* 2^(exponent - 127); 255 is no number. */
static float scale_e8m0(uint8_t exponent)
{
	if (exponent == 0)
		return math_f32_from_bits(0x00400000);
	return math_f32_from_bits(exponent == 255 ? 0x7fc00000 : (uint32_t)exponent << 23);
}

static float scale_at(const struct quantized_source *s, size_t index)
{
	const uint8_t *scales = s->scales->data;

	switch (s->scale) {
	case QUANTIZED_F32:
		return math_f32_from_bits(word_at(scales, index));
	case QUANTIZED_F16:
		return math_f32_from_f16(half_at(scales, index));
	case QUANTIZED_BF16:
		return math_f32_from_bf16(half_at(scales, index));
	case QUANTIZED_E8M0:
		break;
	}
	return scale_e8m0(scales[index]);
}

/* Of the block that row lies in: blocks lie by rows, those of a part after those of the last. */
static size_t block_row(const struct quantized_source *s, uint32_t row)
{
	const size_t blocks = math_divide_up(s->part_rows, s->group_rows);

	return row / s->part_rows * blocks + row % s->part_rows / s->group_rows;
}

/* 0x7f and 0xff are no numbers in E4M3: eight codes at a time. */
static bool all_numbers(const uint8_t *codes, size_t count)
{
	uint64_t seen = 0, eight;
	size_t i = 0;

	for (; i + 8 <= count; i += 8) {
		memcpy(&eight, codes + i, 8);
		seen |= (eight & 0x7f7f7f7f7f7f7f7f) + 0x0101010101010101;
	}
	for (; i < count; i++)
		seen |= (codes[i] & 0x7fU) + 1;
	return (seen & 0x8080808080808080) == 0;
}

static void read_floats(const struct run *r)
{
	const struct quantized_source *s = r->s;

	for (uint32_t i = 0; i < r->count; i++) {
		const uint32_t row = r->first + i;
		const size_t scales = block_row(s, row) * s->group_count;
		const uint8_t *codes = s->values->data + (size_t)row * s->columns;
		uint8_t *out = r->out + i * r->row_bytes;

		for (uint32_t g = 0; g < s->group_count; g++) {
			const size_t size = group_columns(s, g);
			const float scale = scale_at(s, scales + g);

			if (!(scale >= 0 && scale <= math_f32_from_bits(0x7f7fffff)))
				tell_fault(s, s->scales);
			memcpy(out, &scale, sizeof(scale));
			memcpy(out + CHIP_F8_HEAD_BYTES, codes, size);
			out += CHIP_F8_HEAD_BYTES + size;
			codes += size;
		}
		if (!all_numbers(s->values->data + (size_t)row * s->columns, s->columns))
			tell_fault(s, s->values);
	}
}

/* ---- heads of groups of whole numbers -------------------------------------------------------- */

static uint8_t field_of(const struct run *r, uint32_t word, uint32_t place)
{
	return (uint8_t)(word >> (r->bits * place) & ((1U << r->bits) - 1));
}

/* What is stored as the zero point of a group of a row. */
static uint8_t stored_zero(const struct run *r, uint32_t row, uint32_t group)
{
	const struct quantized_source *s = r->s;
	const uint32_t fields = 32 / r->bits;
	const uint8_t *zeros = s->zeros->data;
	const size_t down = (size_t)(row / fields) * s->group_count + group,
		     across = (size_t)group * (s->rows / fields) + row / fields;

	if (s->zeros_signed) /* as the values were before they were packed */
		return (uint8_t)(zeros[(size_t)row * s->group_count + group] +
			(1U << (r->bits - 1)));
	if (s->layout == QUANTIZED_PACKED)
		return field_of(r, word_at(zeros, down), row % fields);
	if (s->layout == QUANTIZED_BY_ROW)
		return field_of(r, word_at(zeros, across), AWQ_PLACE[row % fields]);
	uint32_t word = word_at(zeros, across);

	if (s->zeros_less_one && !s->symmetric) /* the carry undoes the borrow of who took it */
		word += r->bits == 4 ? 0x11111111 : 0x01010101;
	return field_of(r, word, row % fields);
}

/* Symmetric releases have the middle of the range, whichever of the two ways it was stored: some
 * say that one was taken when it was not. */
static uint8_t zero_of(const struct run *r, uint32_t row, uint32_t group)
{
	const uint8_t middle = (uint8_t)(1U << (r->bits - 1));

	if (!r->s->zeros)
		return middle;
	const uint8_t stored = stored_zero(r, row, group);
	const bool right = r->s->symmetric ? stored == middle || stored == middle - 1
		: stored >> r->bits == 0;

	if (!right)
		tell_fault(r->s, r->s->zeros);
	return right && !r->s->symmetric ? stored : middle;
}

static void write_heads(const struct run *r)
{
	const struct quantized_source *s = r->s;
	const bool bf16 = s->scale == QUANTIZED_BF16;
	const uint16_t exponent = bf16 ? 0x7f80 : 0x7c00;

	for (uint32_t g = 0; g < s->group_count; g++)
		for (uint32_t i = 0; i < r->count; i++) {
			const uint32_t row = r->first + i;
			const size_t at = s->layout == QUANTIZED_PACKED
				? (size_t)row * s->group_count + g
				: (size_t)g * s->rows + row;
			const uint16_t scale = half_at(s->scales->data, at);
			uint8_t *head = r->out + i * r->row_bytes + group_at(r, g);

			if ((scale & exponent) == exponent)
				tell_fault(s, s->scales);
			memcpy(head, &scale, sizeof(scale));
			head[2] = zero_of(r, row, g);
			head[3] = bf16 ? CHIP_INT_BF16 : 0;
		}
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Of the byte that the value of a stored column lies in; a group begins with its head. */
static size_t column_at(const struct run *r, uint32_t column)
{
	const uint32_t group = column / r->s->group;

	return group_at(r, group) + CHIP_INT_HEAD_BYTES +
		(size_t)(column - group * r->s->group) * r->bits / 8;
}

/* A word holds neighbouring columns in the order that the output has: words change places only. */
static void read_by_column(const struct run *r)
{
	const struct quantized_source *s = r->s;
	const uint32_t fields = 32 / r->bits;

	for (uint32_t column = 0; column < s->columns; column += fields) {
		const size_t word = (size_t)(column / fields) * s->rows + r->first;
		uint8_t *out = r->out + column_at(r, column);

		for (uint32_t i = 0; i < r->count; i++)
			memcpy(out + i * r->row_bytes, s->values->data + (word + i) * WORD_BYTES,
				WORD_BYTES);
	}
}

/* Where a word with a column of the first row of the run lies, and how far the next row's is. */
static size_t word_of(const struct run *r, uint32_t column, size_t *step)
{
	const struct quantized_source *s = r->s;
	const uint32_t fields = 32 / r->bits;

	if (s->layout == QUANTIZED_PACKED) {
		*step = s->columns / fields;
		return r->first * *step + column / fields;
	}
	*step = 1;
	return (size_t)(column / fields) * s->rows + r->first;
}

/* Puts one field of each row's word into another place of words. The common case stands alone,
 * with a count that a compiler can see. */
static void put_fields(uint32_t words[ROWS_AT_ONCE], const uint8_t *values, size_t step,
	uint32_t count, uint32_t mask, uint32_t from, uint32_t to)
{
	uint32_t taken[ROWS_AT_ONCE];

	if (step == 1 && count == ROWS_AT_ONCE) {
		memcpy(taken, values, sizeof(taken));
		for (uint32_t i = 0; i < ROWS_AT_ONCE; i++)
			words[i] |= (taken[i] >> from & mask) << to;
	} else {
		for (uint32_t i = 0; i < count; i++)
			words[i] |= (word_at(values, i * step) >> from & mask) << to;
	}
}

/* The same where columns were quantized in another order: a word of the output has a field from
 * each of several words. */
static void read_reordered(const struct run *r)
{
	const struct quantized_source *s = r->s;
	const uint32_t fields = 32 / r->bits, mask = (1U << r->bits) - 1;

	for (uint32_t column = 0; column < s->columns; column += fields)
		for (uint32_t done = 0; done < r->count; done += ROWS_AT_ONCE) {
			const uint32_t count = math_min_u32(r->count - done, ROWS_AT_ONCE);
			uint8_t *out = r->out + done * r->row_bytes + column_at(r, column);
			uint32_t words[ROWS_AT_ONCE] = {0};

			for (uint32_t f = 0; f < fields; f++) {
				const uint32_t from = s->column_order[column + f];
				size_t step;
				const size_t at = word_of(r, from, &step) + done * step;

				put_fields(words, s->values->data + at * WORD_BYTES, step, count,
					mask, from % fields * r->bits, f * r->bits);
			}
			for (uint32_t i = 0; i < count; i++)
				memcpy(out + i * r->row_bytes, &words[i], WORD_BYTES);
		}
}

/* The upper half of each of a's parts of 2 * shift bits, and the lower half of each of b's, change
 * places. */
static inline void swap_halves(uint64_t *a, uint64_t *b, uint32_t shift, uint64_t mask)
{
	const uint64_t moved = (*a >> shift ^ *b) & mask;

	*b ^= moved;
	*a ^= moved << shift;
}

/* Field k of word c and field c of word k change places, in both halves of each. */
static void transpose(uint64_t w[8])
{
	static const uint64_t four = 0x0000ffff0000ffff, two = 0x00ff00ff00ff00ff,
			      one = 0x0f0f0f0f0f0f0f0f;

	swap_halves(&w[0], &w[4], 16, four);
	swap_halves(&w[1], &w[5], 16, four);
	swap_halves(&w[2], &w[6], 16, four);
	swap_halves(&w[3], &w[7], 16, four);
	swap_halves(&w[0], &w[2], 8, two);
	swap_halves(&w[1], &w[3], 8, two);
	swap_halves(&w[4], &w[6], 8, two);
	swap_halves(&w[5], &w[7], 8, two);
	swap_halves(&w[0], &w[1], 4, one);
	swap_halves(&w[2], &w[3], 4, one);
	swap_halves(&w[4], &w[5], 4, one);
	swap_halves(&w[6], &w[7], 4, one);
}

/* Eight columns of sixteen rows at a time; the second eight may not be there. */
static void read_by_row(const struct run *r)
{
	const struct quantized_source *s = r->s;
	const size_t stride = s->rows / ROWS_PER_WORD;
	const uint32_t end = r->first + r->count;

	for (uint32_t column = 0; column < s->columns; column += 8)
		for (uint32_t base = r->first / 8 * 8; base < end; base += 16) {
			const uint8_t *values = s->values->data +
				(column * stride + base / ROWS_PER_WORD) * WORD_BYTES;
			const bool both = base + 8 < s->rows;
			uint8_t *out = r->out + column_at(r, column);
			uint64_t words[8];

			for (uint32_t c = 0; c < 8; c++)
				words[c] = word_at(values, c * stride) |
					(both ? (uint64_t)word_at(values, c * stride + 1) << 32
						: 0);
			transpose(words);
			for (uint32_t k = 0; k < 16; k++) {
				const uint32_t row = base + AWQ_ORDER[k % 8] + k / 8 * 8;
				const uint32_t word = (uint32_t)(words[k % 8] >> (k / 8 * 32));

				if (row >= r->first && row < end)
					memcpy(out + (row - r->first) * r->row_bytes, &word,
						WORD_BYTES);
			}
		}
}

static void read_packed(const struct run *r)
{
	const struct quantized_source *s = r->s;
	const size_t row_bytes = (size_t)s->columns * r->bits / 8;

	for (uint32_t i = 0; i < r->count; i++)
		for (uint32_t g = 0; g < s->group_count; g++) {
			const uint8_t *values = s->values->data + (r->first + i) * row_bytes;

			memcpy(r->out + i * r->row_bytes + group_at(r, g) + CHIP_INT_HEAD_BYTES,
				values + (size_t)g * s->group * r->bits / 8,
				(size_t)group_columns(s, g) * r->bits / 8);
		}
}

void quantized_read(const void *context, uint32_t first, uint32_t count, uint8_t *rows_out)
{
	const struct quantized_source *s = context;
	const struct run run = {
		.s = s,
		.first = first,
		.count = count,
		.out = rows_out,
		.row_bytes = chip_row_bytes(s->type, s->group, s->columns),
		.bits = s->type == CHIP_INT4 ? 4 : 8,
	};

	assert(first <= s->rows && count <= s->rows - first);
	if (s->layout == QUANTIZED_FLOATS) {
		read_floats(&run);
		return;
	}
	write_heads(&run);
	if (s->column_order)
		read_reordered(&run);
	else if (s->layout == QUANTIZED_BY_COLUMN)
		read_by_column(&run);
	else if (s->layout == QUANTIZED_BY_ROW)
		read_by_row(&run);
	else
		read_packed(&run);
}
