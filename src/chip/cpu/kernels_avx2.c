/* chip/cpu/kernels_avx2.c - the table of AVX2 (with FMA and F16C). */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

const struct cpu_kernels cpu_kernels_avx2 = VEC_TABLE("avx2", false,
	VEC_NAME(matmul_bf16), VEC_NAME(matmul_f8), VEC_NAME(attend), NULL);
