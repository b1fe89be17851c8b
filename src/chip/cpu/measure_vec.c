/* chip/cpu/measure_vec.c - loops to measure with that are the same for every width: memory, read in
 * whole lines, and float32. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#define LINE       64
#define LINE_PARTS (LINE / sizeof(vec_bits))
#define AHEAD      1024  /* bytes to prefetch ahead */
#define STREAMS    4

static uint64_t sum_of(vec_bits v)
{
	uint64_t words[sizeof(v) / sizeof(uint64_t)];
	uint64_t sum = 0;

	memcpy(words, &v, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		sum ^= words[i];
	return sum;
}

/* A sum for each part of a line of each stream. Streams and ahead are constants. */
VEC_INLINE uint64_t read_streams(const uint8_t *bytes, size_t size, const size_t streams,
	const size_t ahead)
{
	const size_t stream_bytes = size / streams;
	vec_bits sums[STREAMS][LINE_PARTS];
	vec_bits all = vec_bits_zero();

	VEC_UNROLL
	for (size_t j = 0; j < streams; j++)
		VEC_UNROLL
		for (size_t p = 0; p < LINE_PARTS; p++)
			sums[j][p] = vec_bits_zero();
	for (size_t i = 0; i < stream_bytes; i += LINE)
		VEC_UNROLL
		for (size_t j = 0; j < streams; j++) {
			const uint8_t *line = bytes + j * stream_bytes + i;

			if (ahead)
				vec_prefetch(line + ahead);
			VEC_UNROLL
			for (size_t p = 0; p < LINE_PARTS; p++)
				sums[j][p] = vec_bits_xor(sums[j][p],
					vec_bits_load(line + p * sizeof(vec_bits)));
		}
	VEC_UNROLL
	for (size_t j = 0; j < streams; j++)
		VEC_UNROLL
		for (size_t p = 0; p < LINE_PARTS; p++)
			all = vec_bits_xor(all, sums[j][p]);
	return sum_of(all);
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

int64_t VEC_NAME(f32_ops)(int64_t rounds)
{
	const vec factor = vec_set(0.5F);

	MEASURE_LOOP(rounds, vec, vec_set(1.0F), vec_fma(sum, factor, factor));
	return rounds * MEASURE_CHAINS * VEC_LANES * 2;
}
