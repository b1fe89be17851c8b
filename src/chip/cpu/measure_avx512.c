/* chip/cpu/measure_avx512.c - loops to measure with, in AVX-512; int8 is vpdpbusd, 64
 * multiply-accumulates. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#define CHAINS  12    /* independent sums, to hide the latency of one */
#define LINE    64
#define AHEAD   1024  /* bytes to prefetch ahead */
#define STREAMS 4

VEC_INLINE uint64_t read_streams(const uint8_t *bytes, size_t size, const size_t streams,
	const size_t ahead)
{
	const size_t part = size / streams;
	__m512i sums[STREAMS];
	uint64_t words[8];

	VEC_UNROLL
	for (size_t j = 0; j < streams; j++)
		sums[j] = _mm512_setzero_si512();
	for (size_t i = 0; i < part; i += LINE)
		VEC_UNROLL
		for (size_t j = 0; j < streams; j++) {
			const uint8_t *line = bytes + j * part + i;

			if (ahead)
				vec_prefetch(line + ahead);
			sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(line));
		}
	VEC_UNROLL
	for (size_t j = 1; j < streams; j++)
		sums[0] = _mm512_xor_si512(sums[0], sums[j]);
	memcpy(words, &sums[0], sizeof(words));
	return words[0] ^ words[1] ^ words[2] ^ words[3] ^
		words[4] ^ words[5] ^ words[6] ^ words[7];
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
	const __m512i factor = _mm512_set1_epi32(0x03030303);
	__m512i sums[CHAINS];

	VEC_UNROLL
	for (uint32_t j = 0; j < CHAINS; j++)
		sums[j] = _mm512_setzero_si512();
	for (int64_t i = 0; i < rounds; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < CHAINS; j++) {
			sums[j] = _mm512_dpbusd_epi32(sums[j], factor, factor);
			VEC_KEEP(sums[j]);   /* all are done, though they are equal */
		}
	return rounds * CHAINS * 64 * 2;
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
