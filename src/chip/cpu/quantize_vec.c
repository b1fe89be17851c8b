/* chip/cpu/quantize_vec.c - quantize_ref.c, four blocks at a time: what there is one of in a block
 * (its largest magnitude, scale, sums) stands in a lane. In AVX2, whatever VEC_LANES is: vectors of
 * 16 would save few instructions, as most of the work is from 8 lanes to 1. */
#include <assert.h>
#include <immintrin.h>

#include "chip/cpu/kernels_vec.h"

#define GROUP 4   /* blocks; of fewer the first is done again in the lanes that are left */
#define GROUPS 4  /* that are done side by side */

/* Integers of at most 127, four vectors, as bytes: [4 of n[0] | 4 of n[1] | ... ] of the first four
 * lanes, then of the others. */
VEC_INLINE __m256i narrow(const __m256i *n)
{
	return _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
}

/* A block's bytes: stores them, returns the sums of each 8. */
VEC_INLINE __m128i store_bytes(const float *x, __m256 inverse, int8_t *values)
{
	const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256i n[4];

	VEC_UNROLL
	for (uint32_t i = 0; i < 4; i++)
		n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
	const __m256i bytes = narrow(n);
	const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
	const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));

	_mm256_storeu_si256((__m256i *)(void *)values,
		_mm256_permutevar8x32_epi32(bytes, in_order));
	return _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
}

/* Magnitudes as integers, where NaN is the largest of all: of a block in four lanes. */
VEC_INLINE __m128i largest_four(const float *x)
{
	const __m256 sign = _mm256_set1_ps(-0.0F);
	__m256i n[4];

	VEC_UNROLL
	for (uint32_t i = 0; i < 4; i++)
		n[i] = _mm256_castps_si256(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * i)));
	const __m256i eight = _mm256_max_epu32(_mm256_max_epu32(n[0], n[1]),
		_mm256_max_epu32(n[2], n[3]));

	return _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
}

/* The largest of four lanes each. */
VEC_INLINE __m128i largest_of(const __m128i *m)
{
	const __m128i a = _mm_max_epu32(_mm_unpacklo_epi32(m[0], m[1]),
		_mm_unpackhi_epi32(m[0], m[1]));
	const __m128i b = _mm_max_epu32(_mm_unpacklo_epi32(m[2], m[3]),
		_mm_unpackhi_epi32(m[2], m[3]));

	return _mm_max_epu32(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
}

/* Neither zero nor NaN nor infinite, as ref_quantize has it. */
VEC_INLINE bool all_usable(__m128i largest)
{
	const __m128i least = _mm_castps_si128(_mm_set1_ps(0x1p-119F));
	const __m128i infinity = _mm_set1_epi32(0x7F800000);
	const __m128i usable = _mm_andnot_si128(_mm_cmpgt_epi32(least, largest),
		_mm_cmpgt_epi32(infinity, largest));

	return _mm_movemask_epi8(usable) == 0xFFFF;
}

/* Of two vectors. */
VEC_INLINE __m128i even_lanes(__m128i a, __m128i b)
{
	return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0x88));
}

VEC_INLINE __m128i odd_lanes(__m128i a, __m128i b)
{
	return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0xDD));
}

/* Two words of each block: at its word of that number. */
VEC_INLINE void store_words(struct cpu_block *blocks, uint32_t count, size_t word, __m128i first,
	__m128i second)
{
	const __m128i two[2] = {_mm_unpacklo_epi32(first, second),
		_mm_unpackhi_epi32(first, second)};

	VEC_UNROLL
	for (uint32_t b = 0; b < count; b++) {
		uint8_t *to = (uint8_t *)(blocks + b) + 4 * word;

		if (b % 2)
			_mm_storeh_pd((double *)(void *)to, _mm_castsi128_pd(two[b / 2]));
		else
			_mm_storel_epi64((__m128i *)(void *)to, two[b / 2]);
	}
}

/* In even blocks: the sums of two. */
VEC_INLINE void store_pairs(struct cpu_block *blocks, uint32_t count, __m128i sums)
{
	const __m128i pairs = _mm_packs_epi32(sums, _mm_setzero_si128());
	const int32_t two[2] = {
		_mm_cvtsi128_si32(count > 1 ? pairs : _mm_and_si128(pairs, _mm_set1_epi32(0xFFFF))),
		_mm_extract_epi32(pairs, 1),
	};

	VEC_UNROLL
	for (uint32_t b = 0; b < count; b++)
		memcpy(blocks[b].pair, b % 2 ? &(int32_t){0} : &two[b / 2], sizeof(two[0]));
}

/* As ref_block: halves are the sums of the blocks' halves, two blocks in a vector. */
VEC_INLINE void store_blocks(struct cpu_block *blocks, uint32_t count, __m128 scale,
	const __m128i *halves)
{
	const __m128i zero = _mm_setzero_si128();
	const __m128i low = even_lanes(halves[0], halves[1]);
	const __m128i high = odd_lanes(halves[0], halves[1]);
	const __m128i both = _mm_add_epi32(low, high);
	const __m128 sum = _mm_mul_ps(scale, _mm_cvtepi32_ps(both));

	_Static_assert(sizeof(struct cpu_block) == 28 &&
		offsetof(struct cpu_block, start) == 8 &&
		offsetof(struct cpu_block, halves) == 20, "seven words");
	store_words(blocks, count, 0, _mm_castps_si128(scale), _mm_castps_si128(sum));
	store_words(blocks, count, 2, _mm_sub_epi32(zero, _mm_slli_epi32(both, 7)),
		_mm_sub_epi32(zero, _mm_slli_epi32(low, 7)));
	store_words(blocks, count, 4, _mm_sub_epi32(zero, _mm_slli_epi32(high, 7)),
		_mm_packs_epi32(halves[0], halves[1]));
	store_pairs(blocks, count, both);
}

/* Of a group: what its values are multiplied with, and the scales. */
struct factors {
	float inverse[GROUP], scale[GROUP];
	bool usable;
};

VEC_INLINE void set_factors(__m128i bits, struct factors *f)
{
	const __m128 most = _mm_set1_ps(127.0F);

	f->usable = all_usable(bits);
	_mm_storeu_ps(f->inverse, _mm_div_ps(most, _mm_castsi128_ps(bits)));
	_mm_storeu_ps(f->scale, _mm_div_ps(_mm_castsi128_ps(bits), most));
}

/* count: a constant, 1 to GROUP. Largest magnitudes, a block in a lane. */
VEC_INLINE __m128i largest_of_blocks(const float *in, uint32_t count)
{
	__m128i lanes[GROUP];

	VEC_UNROLL
	for (uint32_t b = 0; b < GROUP; b++)
		lanes[b] = b < count ? largest_four(in + (size_t)b * CPU_BLOCK) : lanes[0];
	return largest_of(lanes);
}

VEC_INLINE void convert_usable(const float *in, uint32_t count, const struct factors *f,
	int8_t *values, struct cpu_block *blocks)
{
	__m128i eights[GROUP], halves[GROUP / 2];

	VEC_UNROLL
	for (uint32_t b = 0; b < GROUP; b++)
		eights[b] = b < count ? store_bytes(in + (size_t)b * CPU_BLOCK,
			_mm256_set1_ps(f->inverse[b]), values + (size_t)b * CPU_BLOCK) : eights[0];
	halves[0] = _mm_hadd_epi32(eights[0], eights[1]);
	halves[1] = _mm_hadd_epi32(eights[2], eights[3]);
	store_blocks(blocks, count, _mm_loadu_ps(f->scale), halves);
}

VEC_INLINE void convert_group(const float *in, uint32_t count, const struct factors *f,
	int8_t *values, struct cpu_block *blocks)
{
	if (f->usable)
		convert_usable(in, count, f, values, blocks);
	else
		ref_quantize(in, count * CPU_BLOCK, CPU_BLOCK, values, blocks);
}

VEC_INLINE void quantize_few(const float *in, uint32_t count, int8_t *values,
	struct cpu_block *blocks)
{
	struct factors f;

	set_factors(largest_of_blocks(in, count), &f);
	convert_group(in, count, &f, values, blocks);
}

/* Several groups: so many divisions are under way at once. */
static uint32_t quantize_groups(const float *in, uint32_t count, int8_t *values,
	struct cpu_block *blocks)
{
	struct factors f[GROUPS];
	const uint32_t groups = count / GROUP < GROUPS ? count / GROUP : GROUPS;

	for (uint32_t g = 0; g < groups; g++)
		set_factors(largest_of_blocks(in + (size_t)g * GROUP * CPU_BLOCK, GROUP), &f[g]);
	for (uint32_t g = 0; g < groups; g++)
		convert_group(in + (size_t)g * GROUP * CPU_BLOCK, GROUP, &f[g],
			values + (size_t)g * GROUP * CPU_BLOCK, blocks + (size_t)g * GROUP);
	return groups * GROUP;
}

/* The blocks of a record have one scale. */
static void quantize_record(const float *in, int8_t *values, struct cpu_block *blocks)
{
	const size_t half = CPU_RECORD_COLUMNS / 2;
	struct factors f;

	_Static_assert(CPU_RECORD_COLUMNS == 2 * GROUP * CPU_BLOCK, "two groups");
	__m128i bits = _mm_max_epu32(largest_of_blocks(in, GROUP),
		largest_of_blocks(in + half, GROUP));

	bits = _mm_max_epu32(bits, _mm_shuffle_epi32(bits, 0x4E));
	bits = _mm_max_epu32(bits, _mm_shuffle_epi32(bits, 0xB1));
	set_factors(bits, &f);
	if (!f.usable) {
		ref_quantize(in, CPU_RECORD_COLUMNS, CPU_RECORD_COLUMNS, values, blocks);
		return;
	}
	convert_usable(in, GROUP, &f, values, blocks);
	convert_usable(in + half, GROUP, &f, values + half, blocks + GROUP);
}

void VEC_NAME(quantize)(const float *in, uint32_t columns, uint32_t unit, int8_t *values,
	struct cpu_block *blocks)
{
	const uint32_t count = columns / CPU_BLOCK;
	uint32_t b = 0;

	if (unit != CPU_BLOCK) {
		assert(unit == CPU_RECORD_COLUMNS && columns % unit == 0);
		for (; b < count; b += 2 * GROUP)
			quantize_record(in + (size_t)b * CPU_BLOCK, values + (size_t)b * CPU_BLOCK,
				blocks + b);
		return;
	}
	while (b + GROUP <= count)
		b += quantize_groups(in + (size_t)b * CPU_BLOCK, count - b,
			values + (size_t)b * CPU_BLOCK, blocks + b);
	for (; b + 2 <= count; b += 2)
		quantize_few(in + (size_t)b * CPU_BLOCK, 2, values + (size_t)b * CPU_BLOCK,
			blocks + b);
	if (b < count)
		quantize_few(in + (size_t)b * CPU_BLOCK, 1, values + (size_t)b * CPU_BLOCK,
			blocks + b);
}
