/* chip/cpu/matmul_block_vec.c - matmul_block_ref.c in vectors of outputs.
 *
 * Few rows: a panel at a time, its codes decoded in registers as they come from memory.
 *
 *	panel --load, decode--> words --dot--> [rows] integer sums of a block --scale--> [rows] sums
 *
 * Many rows: a part of some panels is decoded once, by the first tile of rows, into bytes that stay
 * in the cache with their scales, while all other rows go past it; between parts a sum waits in the
 * output, exactly.
 *
 *	panel  --decode--> part  PART_PANELS x PART_BLOCKS blocks
 *	rows   -- tiles of TILE_ROWS --> sums in registers
 *
 * Products are of unsigned weights and signed inputs. With WORDS_DOT signed weights go in as
 * w + 128 (in a part all without minima do); what that is too large is in the block of the inputs,
 * and a sum starts from there. Without it, codes of 4 to 6 bits are small enough to add up some
 * products in 16 bits (15 x 127 x 2 x 8, 31 x 127 x 2 x 4, 63 x 127 x 2 x 2 are below 2^15), and
 * signed weights take their sign to the inputs. Everything is exact.
 */
#include <assert.h>

#include "base/math.h"
#include "chip/cpu/block_vec.h"

#if VEC_LANES == 16
#define FEW_ROWS    4    /* of a tile without a part */
#define TILE_ROWS   6    /* of a part: 6 x 2 integer sums, as many of floats, 5 more registers */
#define PART_ROWS   5    /* from so many on there are parts: they are fetched in time */
#else
#define FEW_ROWS    8    /* 8 integer sums; those of floats may wait in the first-level cache */
#define TILE_ROWS   3
#define PART_ROWS   25   /* tiles of a part have fewer rows: worth it for four of those without */
#endif
/* A tile without a part fetches so many bytes ahead; with fewer rows, and so with 16 lanes, the
 * processor's own prefetcher keeps up. */
#define AHEAD         4096
#define PREFETCH_ROWS 5
#define PART_PANELS 2
#define ROWS_MAX    (FEW_ROWS > TILE_ROWS ? FEW_ROWS : TILE_ROWS)
#define PART_BLOCKS 96   /* with two panels of 16 lanes: 120 KiB of the second-level cache */

/* Decoded: weights as bytes; for each block its scales, and what else it has: minima, the scales of
 * its second half, or zeros as pairs of halves. */
struct part {
	uint8_t weights[PART_PANELS][PART_BLOCKS * 2 * GROUPS * (WORDS_DOT ? 1 : 2) * GROUP_BYTES];
	float scales[PART_PANELS][PART_BLOCKS][VEC_LANES];
	float others[PART_PANELS][PART_BLOCKS][VEC_LANES];
} __attribute__((aligned(CPU_ALIGN)));

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

/* Integer sums of one output vector: of the whole block, or of its halves; what is not wanted the
 * compiler drops. */
struct dots {
	words sums[2];
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

VEC_INLINE struct dots dots_start(const struct cpu_block *x, words zeros, const enum chip_type type,
	const enum source source)
{
	const uint32_t offset = offset_of(type, source);
	const bool halves = format_of(type)->halves;
	struct dots d = {.sums[0] = start_of(x, halves ? 1 : 0, offset)};

	if (halves)
		d.sums[1] = start_of(x, 2, offset);
	if (has_zeros(type) && !(WORDS_DOT && source != PANELS))
		d.sums[0] = words_dot_halves(words_set(0), zeros, input_word(x->halves));
	d.small = words_set(0);
	return d;
}

/* Where group number i of a block is, in the order in which they are multiplied. */
struct place {
	uint32_t half, g;
};

/* By halves each of their sums is in a register in its time; else low and high codes that lie
 * together are taken together. */
VEC_INLINE struct place place_of(const uint32_t i, const bool by_halves)
{
	if (WORDS_DOT)
		return (struct place){.half = i % 2, .g = i / 2};
	if (by_halves)
		return (struct place){.half = i / GROUPS, .g = i % GROUPS};
	return (struct place){.half = i / 2 % 2, .g = i / 4 * 2 + i % 2};
}

VEC_INLINE bool by_halves(const enum chip_type type, const uint32_t rows, const enum source source)
{
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

/* Group number i of the block, in this half of it. */
VEC_INLINE void dots_add(struct dots *d, const uint32_t i, const uint32_t half,
	const struct group *w, words x, const enum chip_type type, const enum source source)
{
	const uint32_t which = format_of(type)->halves ? half : 0;

#if WORDS_DOT
	(void)i, (void)source;
	d->sums[which] = words_dot(d->sums[which], w->weights, x);
#else
	const uint32_t together = small_groups(type);

	if (has_signs(type, source)) {
		d->sums[which] = words_dot_flipped(d->sums[which], w->weights, w->below, x);
	} else if (is_signed(type)) {
		d->sums[which] = words_dot_signed(d->sums[which], w->weights, x);
	} else {
		const words products = words_multiply(w->weights, x);

		d->small = i % together ? words_accumulate_halves(d->small, products) : products;
		if (i % together == together - 1)
			d->sums[which] = words_widen(d->sums[which], d->small);
	}
#endif
}

VEC_INLINE vec scaled(const struct dots *d, const struct scales *w, const struct cpu_block *x,
	vec sum, const enum chip_type type, const enum source source)
{
	const vec scale = vec_set(x->scale);
	words first = d->sums[0];

	if (has_signs(type, source))
		first = words_add(first, w->zeros);
	sum = vec_fma(vec_mul(w->scale, scale), words_to_vec(first), sum);
	if (format_of(type)->halves)
		sum = vec_fma(vec_mul(w->other, scale), words_to_vec(d->sums[1]), sum);
	if (format_of(type)->minima)
		sum = vec_fma(w->other, vec_set(x->sum), sum);
	return sum;
}

/* ---- a tile ---------------------------------------------------------------------------------- */

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
	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		vec_store(t->part->scales[p][at], b->scales[p].scale);
		if (has_zeros(type) || has_signs(type, DECODING))
			words_store(t->part->others[p][at], b->scales[p].zeros);
		else if (format_of(type)->minima || format_of(type)->halves)
			vec_store(t->part->others[p][at], b->scales[p].other);
	}
}

VEC_INLINE void block_open_part(struct block *b, const struct tile *t, uint32_t block,
	const uint32_t panels, const enum chip_type type)
{
	const uint32_t at = block - t->first;

	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++) {
		b->scales[p] = (struct scales){
			.scale = vec_load(t->part->scales[p][at]),
			.other = vec_load(t->part->others[p][at]),
		};
		if (has_zeros(type) || has_signs(type, PART))
			b->scales[p].zeros = words_load(t->part->others[p][at]);
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

	*flipped = words_widen(*flipped, words_multiply(missed, repeat(1)));
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

VEC_INLINE void block_products(const struct tile *t, struct block *b, uint32_t block,
	struct dots dots[ROWS_MAX][PART_PANELS], const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	const struct cpu_matmul *m = t->m;
	const int8_t *x = m->in.values + (size_t)t->row * m->columns + (size_t)block * CPU_BLOCK;
	const bool halves = by_halves(type, rows, source);
	const uint32_t together = groups_together(type, halves);

	VEC_UNROLL
	for (uint32_t first = 0; first < 2 * GROUPS; first += together) {
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
					dots_add(&dots[r][p], first + i, at.half, &w[p][i], four,
						type, source);
			}
	}
}

VEC_INLINE void prefetch(const uint8_t *from, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += 64)
		vec_prefetch_later(from + at);
}

VEC_INLINE void fetch_ahead(const struct tile *t, const struct block *b, uint32_t block,
	const uint32_t rows, const uint32_t panels, const enum chip_type type,
	const enum source source)
{
	VEC_UNROLL
	for (uint32_t p = 0; p < panels; p++)
		if (source != PANELS)
			prefetch(t->fetch + p * t->m->panel_bytes +
				(size_t)(block - t->first) * t->fetch_bytes, t->fetch_bytes);
		else if (rows >= PREFETCH_ROWS)
			prefetch(b->weights[p] + AHEAD, cpu_block_bytes(type, VEC_LANES));
}

VEC_INLINE void tile_block(const struct tile *t, uint32_t block,
	vec sums[ROWS_MAX][PART_PANELS], const uint32_t rows, const uint32_t panels,
	const enum chip_type type, const enum source source)
{
	const struct cpu_matmul *m = t->m;
	const size_t blocks = m->columns / CPU_BLOCK;
	const struct cpu_block *x = m->in.blocks + t->row * blocks + block;
	struct dots dots[ROWS_MAX][PART_PANELS];
	struct block b;

	if (source == PART) {
		block_open_part(&b, t, block, panels, type);
	} else {
		block_open(&b, t, block, panels, type);
	}
	fetch_ahead(t, &b, block, rows, panels, type, source);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			dots[r][p] = dots_start(x + r * blocks, b.scales[p].zeros, type, source);
	block_products(t, &b, block, dots, rows, panels, type, source);
	if (source == DECODING)
		keep_scales(t, &b, block - t->first, panels, type);
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r][p] = scaled(&dots[r][p], &b.scales[p], x + r * blocks, sums[r][p],
				type, source);
}

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
	vec sums[ROWS_MAX][PART_PANELS];

	if (source != PANELS)
		prefetch_outputs(t, rows, panels);
	vec_open_sums(t->m, t->panel, t->row, t->first > 0, &sums[0][0], PART_PANELS, rows, panels);
	for (uint32_t block = t->first; block < t->end; block++)
		tile_block(t, block, sums, rows, panels, type, source);
	vec_close_sums(t->m, t->panel, t->row, &sums[0][0], PART_PANELS, rows, panels);
}

#define TILE(n, panels, type, source)                                                      \
	case n:                                                                            \
		tile(t, n, panels, type, source);                                          \
		break

/* ---- few rows -------------------------------------------------------------------------------- */

VEC_INLINE void few_rows(const struct tile *t, uint32_t rows, const enum chip_type type)
{
	switch (rows) {
	TILE(1, 1, type, PANELS);
	TILE(2, 1, type, PANELS);
	TILE(3, 1, type, PANELS);
	TILE(4, 1, type, PANELS);
#if FEW_ROWS == 8
	TILE(5, 1, type, PANELS);
	TILE(6, 1, type, PANELS);
	TILE(7, 1, type, PANELS);
	TILE(8, 1, type, PANELS);
#endif
	default:
		assert(0 && "more rows than a tile has");
	}
}

/* Rows divided evenly; panel after panel, which stays in the second-level cache for all rows. */
VEC_INLINE void each_panel(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type)
{
	const uint32_t tiles = math_divide_up_u32(m->rows, FEW_ROWS);

	for (uint32_t panel = first; panel < end; panel++)
		for (uint32_t i = 0; i < tiles; i++) {
			const uint32_t row = m->rows * i / tiles;
			const struct tile t = {.m = m, .panel = panel, .row = row,
				.end = m->columns / CPU_BLOCK};

			few_rows(&t, m->rows * (i + 1) / tiles - row, type);
		}
}

/* ---- many rows ------------------------------------------------------------------------------- */

/* Once decoded, some types are the same. */
VEC_INLINE enum chip_type decoded_type(const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);

	if (is_signed(type) || (WORDS_DOT && !f->minima && !f->halves))
		return CHIP_Q8_0;
	if (f->minima)
		return WORDS_DOT || f->bits == 4 ? CHIP_Q4_K : CHIP_Q5_K;
	return type;
}

VEC_INLINE void part_rows(const struct tile *t, uint32_t rows, const uint32_t panels,
	const enum chip_type type)
{
	switch (rows) {
#if TILE_ROWS == 3
	TILE(2, panels, type, PART);
#endif
	TILE(3, panels, type, PART);
#if TILE_ROWS == 6
	TILE(4, panels, type, PART);
	TILE(5, panels, type, PART);
	TILE(6, panels, type, PART);
#endif
	default:
		assert(0 && "rows are divided evenly");
	}
}

/* Tiles after the first of a part, and rows of the first. */
VEC_INLINE uint32_t more_tiles(const struct cpu_matmul *m)
{
	return (m->rows - 1) / TILE_ROWS;
}

VEC_INLINE uint32_t first_rows(const struct cpu_matmul *m)
{
	return math_divide_up_u32(m->rows, 1 + more_tiles(m));
}

/* Fetching the part that comes next is divided among all tiles of this one: memory is busy all the
 * time, and nobody waits for it. */
VEC_INLINE void plan_fetch(struct tile *t, uint32_t index)
{
	const struct cpu_matmul *m = t->m;
	const uint32_t blocks = t->end - t->first, steps = blocks * (1 + more_tiles(m));
	const uint32_t each = (t->next_bytes / steps + 64) / 64 * 64;
	const uint32_t from = index * blocks * each;

	t->fetch = t->next + from;
	t->fetch_bytes = from < t->next_bytes ? each : 0;
}

/* Rows from the second tile on, divided evenly. */
VEC_INLINE void part_tiles(const struct tile *part, uint32_t panels, const enum chip_type type)
{
	const uint32_t before = first_rows(part->m), rows = part->m->rows - before;
	const uint32_t tiles = more_tiles(part->m);
	struct tile t = *part;

	for (uint32_t i = 0; i < tiles; i++) {
		const uint32_t first = rows * i / tiles, count = rows * (i + 1) / tiles - first;

		t.row = before + first;
		plan_fetch(&t, i + 1);
		if (panels == PART_PANELS)
			part_rows(&t, count, PART_PANELS, type);
		else
			part_rows(&t, count, 1, type);
	}
}

/* A function of its own for each type that is left when decoded: who decodes shares it. */
#define PART_TILES(name, type)                                                             \
	static void part_tiles_##name(const struct tile *part, uint32_t panels)            \
	{                                                                                  \
		part_tiles(part, panels, type);                                            \
	}

PART_TILES(signed, CHIP_Q8_0)
PART_TILES(minima, CHIP_Q4_K)
PART_TILES(halves, CHIP_Q6_K)
#if !WORDS_DOT
PART_TILES(q4_0, CHIP_Q4_0)
PART_TILES(q5_0, CHIP_Q5_0)
PART_TILES(q5_k, CHIP_Q5_K)
PART_TILES(int4, CHIP_INT4)
#endif

static void tiles_of(enum chip_type type, const struct tile *t, uint32_t panels)
{
	switch ((int)type) {
	case CHIP_Q8_0: part_tiles_signed(t, panels); break;
	case CHIP_Q4_K: part_tiles_minima(t, panels); break;
	case CHIP_Q6_K: part_tiles_halves(t, panels); break;
#if !WORDS_DOT
	case CHIP_Q4_0: part_tiles_q4_0(t, panels); break;
	case CHIP_Q5_0: part_tiles_q5_0(t, panels); break;
	case CHIP_Q5_K: part_tiles_q5_k(t, panels); break;
	case CHIP_INT4: part_tiles_int4(t, panels); break;
#endif
	default: assert(0 && "no such decoded type");
	}
}

/* The first tile of a part. */
VEC_INLINE void decode_rows(const struct tile *t, const uint32_t panels, const enum chip_type type)
{
	switch (first_rows(t->m)) {
#if TILE_ROWS == 6
	TILE(4, panels, type, DECODING);
	TILE(5, panels, type, DECODING);
#endif
	TILE(TILE_ROWS, panels, type, DECODING);
	default:
		assert(0 && "rows are divided evenly");
	}
}

/* Blocks of a part: all parts but the last have as many, and whole records. */
VEC_INLINE uint32_t part_blocks(uint32_t blocks)
{
	const uint32_t parts = math_divide_up_u32(blocks, PART_BLOCKS);

	return math_divide_up_u32(blocks, parts * CPU_RECORD_BLOCKS) * CPU_RECORD_BLOCKS;
}

VEC_INLINE void each_part(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type)
{
	const size_t record_bytes = cpu_record_bytes(type, m->group, VEC_LANES);
	const uint32_t blocks = m->columns / CPU_BLOCK, each = part_blocks(blocks);
	struct part part;

	for (uint32_t panel = first; panel < end; panel += PART_PANELS)
		for (uint32_t block = 0; block < blocks; block += each) {
			const uint32_t panels = math_min_u32(end - panel, PART_PANELS);
			const bool last = block + each >= blocks;
			const uint32_t next = last ? 0 : block + each;
			struct tile t = {.m = m, .part = &part, .panel = panel,
				.first = block, .end = last ? blocks : block + each,
				.next = m->panels + (last ? panel + PART_PANELS : panel) *
					m->panel_bytes + next / CPU_RECORD_BLOCKS * record_bytes,
				.next_bytes = (uint32_t)(math_min_u32(each, blocks - next) *
					record_bytes / CPU_RECORD_BLOCKS)};

			plan_fetch(&t, 0);
			if (panels == PART_PANELS)
				decode_rows(&t, PART_PANELS, type);
			else
				decode_rows(&t, 1, type);
			tiles_of(decoded_type(type), &t, panels);
		}
}

/* ---- types ----------------------------------------------------------------------------------- */

/* Functions of their own, and not copies in one large one: each compiles well alone. */
#define BLOCK_TYPE(nothing, name, TYPE)                                                    \
	static __attribute__((noinline)) void matmul_##name(const struct cpu_matmul *m,    \
		uint32_t first, uint32_t end)                                              \
	{                                                                                  \
		if (m->rows < PART_ROWS)                                                   \
			each_panel(m, first, end, CHIP_##TYPE);                            \
		else                                                                       \
			each_part(m, first, end, CHIP_##TYPE);                             \
	}

CPU_BLOCK_TYPES(BLOCK_TYPE, )

#define BLOCK_CASE(nothing, name, TYPE)                                                    \
	case CHIP_##TYPE:                                                                  \
		matmul_##name(m, first, end);                                              \
		break;

void VEC_NAME(matmul_block)(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	assert(m->lanes == VEC_LANES);
	switch ((int)m->type) {
	CPU_BLOCK_TYPES(BLOCK_CASE, )
	default:
		assert(0 && "not in blocks");
	}
}
