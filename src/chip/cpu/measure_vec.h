/* chip/cpu/measure_vec.h - the loops that one instruction set measures with. */
#ifndef CHIP_CPU_MEASURE_VEC_H
#define CHIP_CPU_MEASURE_VEC_H

#include "chip/cpu/vec.h"

#define MEASURE_CHAINS 12   /* independent sums, to hide the latency of one */

/* One run of memory, or four side by side; with and without prefetching. */
uint64_t VEC_NAME(read_one)(const uint8_t *bytes, size_t size);
uint64_t VEC_NAME(read_one_ahead)(const uint8_t *bytes, size_t size);
uint64_t VEC_NAME(read_four)(const uint8_t *bytes, size_t size);
uint64_t VEC_NAME(read_four_ahead)(const uint8_t *bytes, size_t size);

/* MEASURE_CHAINS independent sums from start on; next is an expression of sum, the one before. All
 * are done, though they are equal and nobody uses them. */
#define MEASURE_LOOP(rounds, type, start, next)                                            \
	do {                                                                               \
		type sums[MEASURE_CHAINS];                                                 \
                                                                                           \
		VEC_UNROLL                                                                 \
		for (uint32_t j = 0; j < MEASURE_CHAINS; j++)                              \
			sums[j] = (start);                                                 \
		for (int64_t i = 0; i < (rounds); i++)                                     \
			VEC_UNROLL                                                         \
			for (uint32_t j = 0; j < MEASURE_CHAINS; j++) {                    \
				const type sum = sums[j];                                  \
                                                                                           \
				sums[j] = (next);                                          \
				VEC_KEEP(sums[j]);                                         \
			}                                                                  \
	} while (0)

int64_t VEC_NAME(int8_ops)(int64_t rounds);
int64_t VEC_NAME(f32_ops)(int64_t rounds);

#endif
