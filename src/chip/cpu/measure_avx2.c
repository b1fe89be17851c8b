/* chip/cpu/measure_avx2.c - loops to measure with, in AVX2.
 *
 * int8: vpmaddubsw and a 16-bit addition, 32 multiply-accumulates: nothing that AVX2 has does more.
 */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#define CHAINS     12    /* independent sums, to hide the latency of one */
#define LINE       64
#define AHEAD      1024  /* bytes to prefetch ahead */
#define STREAMS    4

VEC_INLINE __m256i load_bytes(const uint8_t *p)
{
	return _mm256_load_si256((const __m256i *)(const void *)p);
}

static uint64_t sum_of(__m256i v)
{
	uint64_t words[4];

	_mm256_storeu_si256((__m256i *)(void *)words, v);
	return words[0] ^ words[1] ^ words[2] ^ words[3];
}

VEC_INLINE uint64_t read_streams(const uint8_t *bytes, size_t size, const size_t streams,
	const size_t ahead)
{
	const size_t part = size / streams;
	__m256i sums[2 * STREAMS];

	VEC_UNROLL
	for (size_t j = 0; j < 2 * streams; j++)
		sums[j] = _mm256_setzero_si256();
	for (size_t i = 0; i < part; i += LINE)
		VEC_UNROLL
		for (size_t j = 0; j < streams; j++) {
			const uint8_t *line = bytes + j * part + i;

			if (ahead)
				vec_prefetch(line + ahead);
			sums[2 * j] = _mm256_xor_si256(sums[2 * j], load_bytes(line));
			sums[2 * j + 1] = _mm256_xor_si256(sums[2 * j + 1],
				load_bytes(line + LINE / 2));
		}
	VEC_UNROLL
	for (size_t j = 1; j < 2 * streams; j++)
		sums[0] = _mm256_xor_si256(sums[0], sums[j]);
	return sum_of(sums[0]);
}

uint64_t VEC_NAME(read_one)(const uint8_t *bytes, size_t size)
{
	return read_streams(bytes, size, 1, 0);
}

uint64_t VEC_NAME(read_one_ahead)(const uint8_t *bytes, size_t size)
{
	return read_streams(bytes, size, 1, AHEAD);
}

uint64_t VEC_NAME(read_four)(const uint8_t *bytes, size_t size)
{
	return read_streams(bytes, size, STREAMS, 0);
}

uint64_t VEC_NAME(read_four_ahead)(const uint8_t *bytes, size_t size)
{
	return read_streams(bytes, size, STREAMS, AHEAD);
}

int64_t VEC_NAME(int8_ops)(int64_t rounds)
{
	const __m256i b = _mm256_set1_epi8(5);
	__m256i sums[CHAINS];
	__m256i factor = _mm256_set1_epi8(3);

	VEC_UNROLL
	for (uint32_t j = 0; j < CHAINS; j++)
		sums[j] = _mm256_setzero_si256();
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < CHAINS; j++) {
			/* all products and all sums are done, though they are equal */
			VEC_KEEP(factor);
			sums[j] = _mm256_add_epi16(sums[j], _mm256_maddubs_epi16(factor, b));
			VEC_KEEP(sums[j]);
		}
	return rounds * CHAINS * 32 * 2;
}

int64_t VEC_NAME(f32_ops)(int64_t rounds)
{
	vec sums[CHAINS];
	const vec factor = vec_set(0.5F);

	VEC_UNROLL
	for (uint32_t j = 0; j < CHAINS; j++)
		sums[j] = vec_set(1.0F);
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < CHAINS; j++) {
			sums[j] = vec_fma(sums[j], factor, factor);
			VEC_KEEP(sums[j]);
		}
	return rounds * CHAINS * VEC_LANES * 2;
}
