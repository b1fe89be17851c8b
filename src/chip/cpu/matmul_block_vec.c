/* chip/cpu/matmul_block_vec.c - matmul_block_ref.c in vectors of outputs: how rows and panels of a
 * product are cut into tiles (block_tile.h). */
#include <assert.h>

#include "base/math.h"
#include "chip/cpu/block_tile.h"

#define TILE(n, panels, type, source)                                                      \
	case n:                                                                            \
		tile(t, n, panels, type, source);                                          \
		break

/* ---- few rows -------------------------------------------------------------------------------- */

/* Half of a tile's rows and fewer. */
VEC_INLINE void few_rows(const struct tile *t, uint32_t rows, const enum chip_type type)
{
	switch (rows) {
	TILE(1, 1, type, PANELS);
	TILE(2, 1, type, PANELS);
	TILE(3, 1, type, PANELS);
	TILE(4, 1, type, PANELS);
	default:
		assert(0 && "more rows than half of a tile");
	}
}

/* 5 rows and more, divided evenly into tiles. */
VEC_INLINE void some_rows(const struct tile *t, uint32_t rows, const enum chip_type type)
{
	switch (rows) {
#if PART_ROWS > FEW_ROWS + 1    /* 9 rows: 4 and 5 */
	TILE(4, 1, type, PANELS);
#endif
	TILE(5, 1, type, PANELS);
	TILE(6, 1, type, PANELS);
	TILE(7, 1, type, PANELS);
	TILE(8, 1, type, PANELS);
	default:
		assert(0 && "rows are divided evenly");
	}
}

/* Rows divided evenly; panel after panel, which stays in the second-level cache for all rows. */
VEC_INLINE void each_panel(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	const enum chip_type type, const bool few)
{
	const uint32_t tiles = few ? 1 : math_divide_up_u32(m->rows, FEW_ROWS);

	for (uint32_t panel = first; panel < end; panel++)
		for (uint32_t i = 0; i < tiles; i++) {
			const uint32_t row = m->rows * i / tiles;
			const uint32_t rows = m->rows * (i + 1) / tiles - row;
			const struct tile t = {.m = m, .panel = panel, .row = row,
				.end = m->columns / CPU_BLOCK};

			if (few)
				few_rows(&t, rows, type);
			else
				some_rows(&t, rows, type);
		}
}

/* ---- many rows ------------------------------------------------------------------------------- */

/* Once decoded, some types are the same. */
VEC_INLINE enum chip_type decoded_type(const enum chip_type type)
{
	const struct cpu_block_format *f = format_of(type);
	const bool small = WORDS_DOT || f->bits == 4;

	if (cpu_sums_records(type))
		return !f->minima ? type : small ? CHIP_Q4_K : CHIP_Q5_K;
	if (is_signed(type) || (WORDS_DOT && !f->minima))
		return CHIP_Q8_0;
	return !f->minima ? type : small ? CHIP_Q4_1 : CHIP_Q5_1;
}

VEC_INLINE void part_rows(const struct tile *t, uint32_t rows, const uint32_t panels,
	const enum chip_type type)
{
	switch (rows) {
#if TILE_ROWS == 3
	TILE(2, panels, type, PART);
	TILE(3, panels, type, PART);
#else
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
PART_TILES(minima, CHIP_Q4_1)
PART_TILES(record_signed, CHIP_IQ4_XS)
PART_TILES(record_minima, CHIP_Q4_K)
PART_TILES(record_halves, CHIP_Q6_K)
#if !WORDS_DOT
PART_TILES(q4_0, CHIP_Q4_0)
PART_TILES(q5_0, CHIP_Q5_0)
PART_TILES(q5_1, CHIP_Q5_1)
PART_TILES(q5_k, CHIP_Q5_K)
PART_TILES(int4, CHIP_INT4)
#endif

static void tiles_of(enum chip_type type, const struct tile *t, uint32_t panels)
{
	switch ((int)type) {
	case CHIP_Q8_0: part_tiles_signed(t, panels); break;
	case CHIP_Q4_1: part_tiles_minima(t, panels); break;
	case CHIP_IQ4_XS: part_tiles_record_signed(t, panels); break;
	case CHIP_Q4_K: part_tiles_record_minima(t, panels); break;
	case CHIP_Q6_K: part_tiles_record_halves(t, panels); break;
#if !WORDS_DOT
	case CHIP_Q4_0: part_tiles_q4_0(t, panels); break;
	case CHIP_Q5_0: part_tiles_q5_0(t, panels); break;
	case CHIP_Q5_1: part_tiles_q5_1(t, panels); break;
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

/* Functions of their own, and not copies in one large one: each compiles well alone. 4 rows of Q8_0
 * take 1.2 times as long in one function with tiles of 5 to 8. */
#define BLOCK_WAY(way, name, ...)                                                          \
	static __attribute__((noinline)) void way##_##name(const struct cpu_matmul *m,     \
		uint32_t first, uint32_t end)                                              \
	{                                                                                  \
		__VA_ARGS__;                                                               \
	}

#define BLOCK_TYPE(nothing, name, TYPE)                                                    \
	BLOCK_WAY(few, name, each_panel(m, first, end, CHIP_##TYPE, true))                 \
	BLOCK_WAY(some, name, each_panel(m, first, end, CHIP_##TYPE, false))               \
	BLOCK_WAY(many, name, each_part(m, first, end, CHIP_##TYPE))

CPU_BLOCK_TYPES(BLOCK_TYPE, )

#define BLOCK_CASE(nothing, name, TYPE)                                                    \
	case CHIP_##TYPE:                                                                  \
		if (m->rows <= FEW_ROWS / 2)                                               \
			few_##name(m, first, end);                                         \
		else if (m->rows < PART_ROWS)                                              \
			some_##name(m, first, end);                                        \
		else                                                                       \
			many_##name(m, first, end);                                        \
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
