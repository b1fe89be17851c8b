/* chip/cpu/measure_ref.c - plain loops to measure with; the compiler may use whatever
 * every machine has. */
#include "chip/cpu/kernels_ref.h"

#define STREAMS 8
#define CHAINS  16

uint64_t ref_read(const uint8_t *bytes, size_t size)
{
	const uint64_t *words = (const uint64_t *)(const void *)bytes;
	uint64_t sums[STREAMS] = {0};

	for (size_t i = 0; i < size / sizeof(*words); i += STREAMS)
		for (size_t j = 0; j < STREAMS; j++)
			sums[j] += words[i + j];
	for (size_t j = 1; j < STREAMS; j++)
		sums[0] += sums[j];
	return sums[0];
}

/* Keeps values that nobody uses, and the compiler from knowing them. */
#define KEEP(value) __asm__ volatile("" : "+m"(value))

int64_t ref_int8_ops(int64_t rounds)
{
	int16_t factors[CHAINS] = {1};
	int32_t sums[CHAINS] = {0};

	for (int64_t i = 0; i < rounds; i++) {
		KEEP(factors);
		for (uint32_t j = 0; j < CHAINS; j++)
			sums[j] += factors[j] * factors[CHAINS - 1 - j];
	}
	KEEP(sums);
	return rounds * CHAINS * 2;
}

int64_t ref_f32_ops(int64_t rounds)
{
	float factors[CHAINS] = {1.0F};
	float sums[CHAINS] = {0};

	for (int64_t i = 0; i < rounds; i++) {
		KEEP(factors);
		for (uint32_t j = 0; j < CHAINS; j++)
			sums[j] += factors[j] * 0.5F;
	}
	KEEP(sums);
	return rounds * CHAINS * 2;
}
