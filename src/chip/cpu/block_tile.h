/* chip/cpu/block_tile.h - some blocks of some panels times some rows: what matmul_block_vec.c cuts
 * a product into.
 *
 * Few rows: a panel's codes are decoded in registers as they come from memory. Many rows: a part of
 * some panels is decoded once, by the first tile of rows, into bytes that stay in the cache with
 * their scales, while all other rows go past it; between parts a sum waits in the output, exactly.
 *
 *	panel  --load, decode--> words --dot--> [rows] integer sums of a block --scale--> sums
 *	panel  --decode--> part  PART_PANELS x PART_BLOCKS blocks
 *	rows   -- tiles of TILE_ROWS --> sums in registers
 *
 * Products are of unsigned weights and signed inputs. With WORDS_DOT signed weights go in as
 * w + 128 (in a part all without minima do); what that is too large is in the block of the inputs,
 * and a sum starts from there. Without it, codes of 4 to 6 bits are small enough to add up some
 * products in 16 bits (15 x 127 x 2 x 8, 31 x 127 x 2 x 4, 63 x 127 x 2 x 2 are below 2^15), and
 * signed weights take their sign to the inputs. Everything is exact.
 *
 * Where inputs share a scale in a record, the integer sum of a block times its factor is added to
 * one of the record. It stays below 2^28: 256 columns, inputs of 127, and a code times its factor
 * at most 63 x 128 (6 bits, the offset not yet taken off), 31 x 63 or 127 x 32 (IQ4_XS).
 */
#ifndef CHIP_CPU_BLOCK_TILE_H
#define CHIP_CPU_BLOCK_TILE_H

#include "chip/cpu/block_vec.h"

#define FEW_ROWS    8    /* of a tile without a part: 8 integer sums; those of floats may wait in
			  * the first-level cache where there are 16 registers */
#if VEC_LANES == 16
#define TILE_ROWS   6    /* of a part: 6 x 2 integer sums, as many of floats, 5 more registers; of
			  * records integers again, and the floats wait in memory */
#define PART_ROWS   9    /* from so many rows on there are parts: they are fetched in time */
#else
#define TILE_ROWS   3
#define PART_ROWS   25   /* tiles of a part have fewer rows: worth it for four of those without */
#endif
/* A tile without a part fetches so many bytes ahead: less, and one core does not have as many lines
 * on their way as memory can take. */
#define AHEAD       8192
#define PART_PANELS 2
#define ROWS_MAX    FEW_ROWS
#define PART_BLOCKS 96   /* with two panels of 16 lanes: 123 KiB of the second-level cache */

/* Decoded: weights as bytes; for each block its scales or factors, and what else it has: minima or
 * their factors, the factors of its second half, or zeros as pairs of halves. */
struct part {
	uint8_t weights[PART_PANELS][PART_BLOCKS * 2 * GROUPS * (WORDS_DOT ? 1 : 2) * GROUP_BYTES];
	float scales[PART_PANELS][PART_BLOCKS][VEC_LANES];
	float others[PART_PANELS][PART_BLOCKS][VEC_LANES];
	/* Of the records: their own scale, that of minima. */
	float records[PART_PANELS][PART_BLOCKS / CPU_RECORD_BLOCKS][2][VEC_LANES];
} __attribute__((aligned(CPU_ALIGN)));

_Static_assert(TILE_ROWS <= ROWS_MAX, "sums of a tile");
_Static_assert(PART_BLOCKS % CPU_RECORD_BLOCKS == 0, "a part is whole records");

/* Where a tile has its weights from. */
enum source {
	PANELS,      /* decoded as they come */
	DECODING,    /* so, and kept in the part */
	PART,
};

/* What is done with some blocks of some panels for some rows. */
struct tile {
	const struct cpu_matmul *m;
	struct part *part;          /* not for PANELS */
	uint32_t panel, row;
	uint32_t first, end;        /* blocks */
	/* The part that comes next, bytes of a panel; and what is fetched of it with a block. */
	const uint8_t *next, *fetch;
	uint32_t next_bytes, fetch_bytes;
};

/* ---- products -------------------------------------------------------------------------------- */

/* Whether weights are magnitudes, and bytes that say which are below 0. */
VEC_INLINE bool has_signs(const enum chip_type type, const enum source source)
{
	return !WORDS_DOT && is_signed(type) && source != PANELS;
}

/* By how much the weights of a product are too large. */
VEC_INLINE uint32_t offset_of(const enum chip_type type, const enum source source)
{
	const bool decoded = source != PANELS;

	if (WORDS_DOT && (is_signed(type) || (decoded && !format_of(type)->minima)))
		return 128;
	return is_signed(type) ? 0 : format_of(type)->offset;
}

/* The integer sum of one output vector. */
struct dots {
	words sum;
	words small;    /* in 16 bits */
};

VEC_INLINE words input_word(const void *x)
{
	int32_t word;

	memcpy(&word, x, sizeof(word));
	return words_set(word);
}

/* Minus the offset times the sum of the inputs: of all (0), of the first, of the second half. */
VEC_INLINE words start_of(const struct cpu_block *x, const uint32_t which, const uint32_t offset)
{
	const words start = offset ? input_word(&x->start[which]) : words_set(0);

	return offset == 8 ? words_right_signed(start, 4)
		: offset == 16 ? words_right_signed(start, 3)
		: offset == 32 ? words_right_signed(start, 2) : start;
}

/* Where group number i of a block is, in the order in which they are multiplied. */
struct place {
	uint32_t half, g;
};

/* By halves each half has the registers in its time; else low and high codes that lie together are
 * taken together. */
VEC_INLINE struct place place_of(const uint32_t i, const bool by_halves)
{
	if (by_halves)
		return (struct place){.half = i / GROUPS, .g = i % GROUPS};
	if (WORDS_DOT)
		return (struct place){.half = i % 2, .g = i / 2};
	return (struct place){.half = i / 2 % 2, .g = i / 4 * 2 + i % 2};
}

VEC_INLINE bool by_halves(const enum chip_type type, const uint32_t rows, const enum source source)
{
	if (WORDS_DOT)
		return format_of(type)->halves;
	return is_signed(type) || (format_of(type)->halves && (rows > 4 || source != PANELS));
}

/* Four weights of each output. */
struct group {
	words weights;
	words below;    /* has_signs */
};

/* Groups whose products fit 16 bits together. */
VEC_INLINE uint32_t small_groups(const enum chip_type type)
{
	const uint32_t bits = format_of(type)->bits;

	return is_signed(type) ? 1 : bits == 4 ? 8 : bits == 5 ? 4 : 2;
}

/* Group number i of the block; factor: of what it is added to, where there are factors_in_pairs. */
VEC_INLINE void dots_add(struct dots *d, const uint32_t i, const struct group *w, words x,
	words factor, const enum chip_type type, const enum source source)
{
#if WORDS_DOT
	(void)i, (void)factor, (void)type, (void)source;
	d->sum = words_dot(d->sum, w->weights, x);
#else
	const uint32_t together = small_groups(type);

	if (has_signs(type, source)) {
		d->sum = words_dot_flipped(d->sum, w->weights, w->below, x);
	} else if (is_signed(type)) {
		d->sum = words_dot_signed(d->sum, w->weights, x);
	} else {
		const words products = words_multiply_bytes(w->weights, x);

		d->small = i % together ? words_accumulate_halves(d->small, products) : products;
		if (i % together != together - 1)
			return;
		d->sum = cpu_sums_records(type) ? words_dot_halves(d->sum, d->small, factor)
			: words_widen(d->sum, d->small);
	}
#endif
}

/* ---- a block --------------------------------------------------------------------------------- */

/* Where the weights and scales of a block are, for each panel. */
struct block {
	const uint8_t *weights[PART_PANELS];
	struct scales scales[PART_PANELS];
};

VEC_INLINE void block_open(struct block *b, const struct tile *t, uint32_t block,
	const uint32_t panels, const enum chip_type type)
{
	const struct cpu_matmul *m = t->m;
	const uint32_t in_record = block % CPU_RECORD_BLOCKS;
	const size_t record = block / CPU_RECORD_BLOCKS *
		cpu_record_bytes(type, m->group, VEC_LANES);

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const uint8_t *head = m->panels + (t->panel + p) * m->panel_bytes + record;

		b->weights[p] = head + cpu_head_bytes(type, m->group, VEC_LANES) +
			in_record * cpu_block_bytes(type, VEC_LANES);
		b->scales[p] = load_scales(head, m->group, in_record, type);
	}
}

VEC_INLINE void keep_scales(const struct tile *t, const struct block *b, uint32_t at,
	const uint32_t panels, const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const struct scales *s = &b->scales[p];
		float *scale = t->part->scales[p][at], *other = t->part->others[p][at];

		if (cpu_sums_records(type))
			words_store(scale, s->factors[0]);
		else
			vec_store(scale, s->scale);
		if (has_zeros(type) || has_signs(type, DECODING))
			words_store(other, s->zeros);
		else if (f->halves)
			words_store(other, s->factors[1]);
		else if (f->minima && cpu_sums_records(type))
			words_store(other, s->least_factors);
		else if (f->minima)
			vec_store(other, s->least);
	}
}

VEC_INLINE void block_open_part(struct block *b, const struct tile *t, uint32_t block,
	const uint32_t panels, const enum chip_type type)
{
	const uint32_t at = block - t->first;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		const float *scale = t->part->scales[p][at], *other = t->part->others[p][at];

		if (cpu_sums_records(type))
			b->scales[p] = (struct scales){
				.factors = {words_load(scale), words_load(other)},
				.least_factors = words_load(other),
			};
		else
			b->scales[p] = (struct scales){
				.scale = vec_load(scale), .least = vec_load(other),
			};
		if (has_zeros(type) || has_signs(type, PART))
			b->scales[p].zeros = words_load(other);
	}
}

/* A byte of each lane, four times, from pairs of halves that are less than 128 in magnitude. */
VEC_INLINE words bytes_of_pairs(words pairs)
{
	const words bytes = words_and(pairs, words_set(0x00FF00FF));

	return words_or(bytes, words_left(bytes, 8));
}

/* With WORDS_DOT decoded codes without minima are 128 too large, whatever they were. */
VEC_INLINE words decoded_group(words w, words zeros, const enum chip_type type)
{
	if (!WORDS_DOT || format_of(type)->minima || is_signed(type))
		return w;
	if (has_zeros(type))
		return words_add8(w, words_add8(repeat(128), bytes_of_pairs(zeros)));
	return words_add8(w, repeat(offset_of(type, PART) - offset_of(type, PANELS)));
}

#if !WORDS_DOT
/* Magnitudes and signs; what flipping inputs by them will miss is added to flipped. */
VEC_INLINE struct group signs_apart(words w, words *flipped)
{
	const struct group group = {.weights = words_abs8(w), .below = words_below8(w)};
	const words missed = words_and(group.weights, group.below);

	*flipped = words_widen(*flipped, words_multiply_bytes(missed, repeat(1)));
	return group;
}
#endif

/* Where a part has a group of a block: its weights, then their signs. */
VEC_INLINE size_t kept_at(uint32_t block, const uint32_t group, const enum chip_type type)
{
	const size_t bytes = (has_signs(type, PART) ? 2 : 1) * GROUP_BYTES;

	return ((size_t)block * 2 * GROUPS + group) * bytes;
}

VEC_INLINE struct group take_kept(const struct tile *t, const uint32_t p, uint32_t block,
	const uint32_t group, const enum chip_type type)
{
	const uint8_t *at = t->part->weights[p] + kept_at(block - t->first, group, type);
	struct group w = {.weights = words_load(at)};

	if (has_signs(type, PART))
		w.below = words_load(at + GROUP_BYTES);
	return w;
}

/* A group of panel p is decoded and kept. */
VEC_INLINE struct group decode_group(const struct tile *t, struct scales *s, const uint32_t p,
	uint32_t block, const uint32_t group, words decoded, const enum chip_type type)
{
	uint8_t *at = t->part->weights[p] + kept_at(block - t->first, group, type);
	struct group w = {.weights = decoded};

#if !WORDS_DOT
	if (has_signs(type, DECODING)) {
		w = signs_apart(decoded, &s->zeros);
		words_store(at + GROUP_BYTES, w.below);
	}
#endif
	w.weights = decoded_group(w.weights, s->zeros, type);
	words_store(at, w.weights);
	return w;
}

/* A group of a block of panel p. */
VEC_INLINE struct group take_group(const struct tile *t, struct block *b, const uint32_t p,
	uint32_t block, const struct place at, const enum chip_type type, const enum source source)
{
	const uint32_t group = GROUPS * at.half + at.g;

	if (source == PART)
		return take_kept(t, p, block, group, type);

	const words w = load_group(b->weights[p], at.half, at.g, type);

	if (source == PANELS)
		return (struct group){.weights = w};
	return decode_group(t, &b->scales[p], p, block, group, w, type);
}

/* Groups that are in registers at the same time. */
VEC_INLINE uint32_t groups_together(const enum chip_type type, const bool halves)
{
	return WORDS_DOT ? 2 : halves ? small_groups(type) : GROUPS;
}

/* Of groups [from, from + count), in the order of their places. */
VEC_INLINE void block_products(const struct tile *t, struct block *b, uint32_t block,
	const uint32_t from, const uint32_t count, struct dots dots[ROWS_MAX][PART_PANELS],
	const uint32_t rows, const uint32_t panels, const enum chip_type type,
	const enum source source)
{
	const struct cpu_matmul *m = t->m;
	const int8_t *x = m->in.values + (size_t)t->row * m->columns + (size_t)block * CPU_BLOCK;
	const bool halves = by_halves(type, rows, source);
	const uint32_t together = groups_together(type, halves);
	const bool has_halves = format_of(type)->halves;

	VEC_UNROLL
	for (uint32_t first = from; first < from + count; first += together) {
		struct group w[PART_PANELS][GROUPS];

		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			VEC_UNROLL
			for (uint32_t i = 0; i < together; i++)
				w[p][i] = take_group(t, b, p, block,
					place_of(first + i, halves), type, source);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t i = 0; i < together; i++) {
				const struct place at = place_of(first + i, halves);
				const words four = input_word(x + (size_t)r * m->columns +
					16 * at.half + 4 * at.g);

				VEC_UNROLL
				for (uint32_t p = 0; p < panels; p++)
					dots_add(&dots[r][p], first + i, &w[p][i], four,
						b->scales[p].factors[has_halves ? at.half : 0],
						type, source);
			}
	}
}

/* later: into the second-level cache. */
VEC_INLINE void prefetch(const uint8_t *from, size_t bytes, const bool later)
{
	for (size_t at = 0; at < bytes; at += 64)
		if (later)
			vec_prefetch_later(from + at);
		else
			vec_prefetch(from + at);
}

/* What comes AHEAD bytes behind a block in its panel; with the first block of a record its head. */
VEC_INLINE void fetch_panel(const struct tile *t, const uint8_t *weights, uint32_t block,
	const enum chip_type type)
{
	const size_t head = cpu_head_bytes(type, t->m->group, VEC_LANES);

	prefetch(weights + AHEAD, cpu_block_bytes(type, VEC_LANES), false);
	if (block % CPU_RECORD_BLOCKS == 0)
		prefetch(weights + AHEAD - head, head, false);
}

VEC_INLINE void fetch_ahead(const struct tile *t, const struct block *b, uint32_t block,
	const uint32_t panels, const enum chip_type type, const enum source source)
{
	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		if (source == PANELS)
			fetch_panel(t, b->weights[p], block, type);
		else
			prefetch(t->fetch + p * t->m->panel_bytes +
				(size_t)(block - t->first) * t->fetch_bytes, t->fetch_bytes, true);
}

VEC_INLINE void block_start(struct block *b, const struct tile *t, uint32_t block,
	const uint32_t panels, const enum chip_type type, const enum source source)
{
	if (source == PART)
		block_open_part(b, t, block, panels, type);
	else
		block_open(b, t, block, panels, type);
	fetch_ahead(t, b, block, panels, type, source);
}

/* Of the tile's first row; from there rows are that many blocks apart. */
VEC_INLINE const struct cpu_block *inputs_of(const struct tile *t, uint32_t block, size_t *apart)
{
	*apart = t->m->columns / CPU_BLOCK;
	return t->m->in.blocks + t->row * *apart + block;
}

/* ---- blocks with scales of their own --------------------------------------------------------- */

VEC_INLINE struct dots dots_start(const struct cpu_block *x, words zeros, const enum chip_type type,
	const enum source source)
{
	struct dots d = {.sum = start_of(x, 0, offset_of(type, source))};

	if (has_zeros(type) && !(WORDS_DOT && source != PANELS))
		d.sum = words_dot_halves(words_set(0), zeros, input_word(x->halves));
	d.small = words_set(0);
	return d;
}

VEC_INLINE vec scaled(const struct dots *d, const struct scales *w, const struct cpu_block *x,
	vec sum, const enum chip_type type, const enum source source)
{
	const vec scale = vec_set(x->scale);
	words dot = d->sum;

	if (has_signs(type, source))
		dot = words_add(dot, w->zeros);
	sum = vec_fma(vec_mul(w->scale, scale), words_to_vec(dot), sum);
	return format_of(type)->minima ? vec_fma(w->least, vec_set(x->sum), sum) : sum;
}

VEC_INLINE void tile_block(const struct tile *t, uint32_t block,
	vec sums[ROWS_MAX][PART_PANELS], const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	size_t apart;
	const struct cpu_block *x = inputs_of(t, block, &apart);
	struct dots dots[ROWS_MAX][PART_PANELS];
	struct block b;

	block_start(&b, t, block, panels, type, source);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			dots[r][p] = dots_start(x + r * apart, b.scales[p].zeros, type, source);
	block_products(t, &b, block, 0, 2 * GROUPS, dots, rows, panels, type, source);
	if (source == DECODING)
		keep_scales(t, &b, block - t->first, panels, type);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = scaled(&dots[r][p], &b.scales[p], x + r * apart, sums[r][p],
				type, source);
}

VEC_INLINE void tile_blocks(const struct tile *t, const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	vec sums[ROWS_MAX][PART_PANELS];

	vec_open_sums(t->m, t->panel, t->row, t->first > 0, &sums[0][0], PART_PANELS, rows, panels);
	for (uint32_t block = t->first; block < t->end; block++)
		tile_block(t, block, sums, rows, panels, type, source);
	vec_close_sums(t->m, t->panel, t->row, &sums[0][0], PART_PANELS, rows, panels);
}

/* ---- records: sums of integers, blocks have factors ------------------------------------------ */

/* What a product starts from. Where it is multiplied as it is added up, it goes on from the
 * record's sum, less the offset times the factors of the halves. */
VEC_INLINE struct dots record_dots(const struct cpu_block *x, const struct scales *w, words sum,
	const uint32_t half, const enum chip_type type, const enum source source)
{
	const uint32_t offset = offset_of(type, source);
	struct dots d = {.small = words_set(0)};

	if (!factors_in_pairs(type)) {
		d.sum = start_of(x, format_of(type)->halves ? 1 + half : 0, offset);
		return d;
	}
	d.sum = sum;
	if (offset) {
		const words factors = halves_of(w->factors[0], w->factors[1]);
		const words minus = words_set((int32_t)(0x10001U * (uint16_t)-offset));

		d.sum = words_dot_halves(sum, words_multiply_halves(factors, minus),
			input_word(x->halves));
	}
	return d;
}

VEC_INLINE words record_sum(const struct dots *d, const struct scales *w, words sum,
	const uint32_t half, const enum chip_type type, const enum source source)
{
	words dot = d->sum;

	if (factors_in_pairs(type))
		return dot;
	if (has_signs(type, source))
		dot = words_add(dot, w->zeros);
	return words_add(sum, words_multiply(dot, w->factors[half]));
}

VEC_INLINE void record_block(const struct tile *t, uint32_t block,
	words sums[ROWS_MAX][PART_PANELS], const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	const uint32_t turns = format_of(type)->halves && !factors_in_pairs(type) ? 2 : 1;
	size_t apart;
	const struct cpu_block *x = inputs_of(t, block, &apart);
	struct block b;

	block_start(&b, t, block, panels, type, source);
	VEC_UNROLL
	for (uint32_t half = 0; half < turns; half++) {
		const uint32_t count = 2 * GROUPS / turns;
		struct dots dots[ROWS_MAX][PART_PANELS];

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				dots[r][p] = record_dots(x + r * apart, &b.scales[p], sums[r][p],
					half, type, source);
		block_products(t, &b, block, half * count, count, dots, rows, panels, type,
			source);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = record_sum(&dots[r][p], &b.scales[p], sums[r][p], half,
					type, source);
	}
	if (source == DECODING)
		keep_scales(t, &b, block - t->first, panels, type);
}

/* The scale of the record and that of its minima, less than zero. */
VEC_INLINE void record_scales(const struct tile *t, uint32_t record, const uint32_t p,
	vec scales[2], const enum chip_type type, const enum source source)
{
	const struct cpu_matmul *m = t->m;
	const uint8_t *head = m->panels + (t->panel + p) * m->panel_bytes +
		record * cpu_record_bytes(type, m->group, VEC_LANES);
	const uint32_t count = format_of(type)->minima ? 2 : 1;
	const uint32_t at = record - t->first / CPU_RECORD_BLOCKS;

	VEC_UNROLL
	for (uint32_t i = 0; i < count; i++) {
		if (source == PART) {
			scales[i] = vec_load(t->part->records[p][at][i]);
			continue;
		}
		scales[i] = f16_at(head, i);
		if (i == 1)
			scales[i] = vec_mul(scales[i], vec_set(-1.0F));
		if (source == DECODING)
			vec_store(t->part->records[p][at][i], scales[i]);
	}
}

/* The sum of the minima's factors times the sums of the inputs. */
VEC_INLINE void record_minima(const struct tile *t, uint32_t record,
	words sums[ROWS_MAX][PART_PANELS], const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = words_set(0);
	for (uint32_t i = 0; i < CPU_RECORD_BLOCKS; i += 2) {
		size_t apart;
		const uint32_t block = record * CPU_RECORD_BLOCKS + i;
		const struct cpu_block *x = inputs_of(t, block, &apart);
		struct block b;

		if (source == PANELS)
			block_open(&b, t, block, panels, type);
		else
			block_open_part(&b, t, block, panels, type);
		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = words_dot_halves(sums[r][p],
					b.scales[p].least_factors, input_word(x[r * apart].pair));
	}
}

/* Outputs of a record's sums: output += scale * sum, and minima's scale * their sum. */
VEC_INLINE void record_close(const struct tile *t, uint32_t record,
	words sums[ROWS_MAX][PART_PANELS], vec outs[ROWS_MAX][PART_PANELS], const uint32_t rows,
	const uint32_t panels, const enum chip_type type, const enum source source)
{
	const bool minima = format_of(type)->minima;
	size_t apart;
	const struct cpu_block *x = inputs_of(t, record * CPU_RECORD_BLOCKS, &apart);
	vec scales[PART_PANELS][2];
	words least[ROWS_MAX][PART_PANELS];

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		record_scales(t, record, p, scales[p], type, source);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			outs[r][p] = vec_fma(vec_mul(scales[p][0], vec_set(x[r * apart].scale)),
				words_to_vec(sums[r][p]), outs[r][p]);
	if (minima)
		record_minima(t, record, least, rows, panels, type, source);
	VEC_UNROLL
	for (uint32_t r = 0; minima && r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			outs[r][p] = vec_fma(vec_mul(scales[p][1], vec_set(x[r * apart].scale)),
				words_to_vec(least[r][p]), outs[r][p]);
}

VEC_INLINE void tile_records(const struct tile *t, const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	vec outs[ROWS_MAX][PART_PANELS];

	vec_open_sums(t->m, t->panel, t->row, t->first > 0, &outs[0][0], PART_PANELS, rows, panels);
	for (uint32_t block = t->first; block < t->end;) {
		const uint32_t record = block / CPU_RECORD_BLOCKS;
		words sums[ROWS_MAX][PART_PANELS];

		VEC_UNROLL
		for (uint32_t r = 0; r < rows; r++)
			VEC_UNROLL
			for (uint32_t p = 0; p < panels; p++)
				sums[r][p] = words_set(0);
		/* to decode takes registers: better the outputs wait than what is in the loop */
		if (source == DECODING && !is_signed(type))
			VEC_IN_MEMORY(outs);
		for (uint32_t i = 0; i < CPU_RECORD_BLOCKS; i++, block++)
			record_block(t, block, sums, rows, panels, type, source);
		record_close(t, record, sums, outs, rows, panels, type, source);
	}
	vec_close_sums(t->m, t->panel, t->row, &outs[0][0], PART_PANELS, rows, panels);
}

/* ---- a tile ---------------------------------------------------------------------------------- */

/* Outputs of several rows lie far apart: they are fetched before they are needed, so that storing
 * sums does not keep the next tile waiting. */
VEC_INLINE void prefetch_outputs(const struct tile *t, const uint32_t rows, const uint32_t panels)
{
	const struct cpu_matmul *m = t->m;
	const float *out = m->out + t->row * m->out_stride + (size_t)t->panel * VEC_LANES;

	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t i = 0; i < panels * VEC_LANES; i += CPU_ALIGN / sizeof(*out))
			vec_prefetch_write(out + r * m->out_stride + i);
}

/* rows, panels, type and source are constants. */
VEC_INLINE void tile(const struct tile *t, const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	if (source != PANELS)
		prefetch_outputs(t, rows, panels);
	if (cpu_sums_records(type))
		tile_records(t, rows, panels, type, source);
	else
		tile_blocks(t, rows, panels, type, source);
}

#endif
