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
int64_t VEC_NAME(int8_ops)(int64_t rounds);
int64_t VEC_NAME(f32_ops)(int64_t rounds);

#endif
