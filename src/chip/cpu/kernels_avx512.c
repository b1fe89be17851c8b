/* chip/cpu/kernels_avx512.c - the tables of AVX-512 with VNNI, without and with the
 * bf16 instruction. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#if defined(CPU_VEC_AVX512_EMULATED)
extern const struct cpu_kernels cpu_kernels_avx512_emulated, cpu_kernels_avx512bf16_emulated;

const struct cpu_kernels cpu_kernels_avx512_emulated = VEC_TABLE("avx512-emulated", false,
	VEC_NAME(matmul_block), VEC_NAME(matmul_bf16), VEC_NAME(matmul_f8), VEC_NAME(attend),
	VEC_NAME(int8_ops), NULL);
const struct cpu_kernels cpu_kernels_avx512bf16_emulated = VEC_TABLE("avx512bf16-emulated", true,
	VEC_NAME(matmul_block), VEC_NAME(matmul_bf16_pairs), VEC_NAME(matmul_f8_pairs),
	VEC_NAME(attend_bf16), VEC_NAME(int8_ops), VEC_NAME(bf16_ops));
#else
const struct cpu_kernels cpu_kernels_avx512 = VEC_TABLE("avx512", false,
	VEC_NAME(matmul_block), VEC_NAME(matmul_bf16), VEC_NAME(matmul_f8), VEC_NAME(attend),
	VEC_NAME(int8_ops), NULL);
const struct cpu_kernels cpu_kernels_avx512bf16 = VEC_TABLE("avx512bf16", true,
	VEC_NAME(matmul_block), VEC_NAME(matmul_bf16_pairs), VEC_NAME(matmul_f8_pairs),
	VEC_NAME(attend_bf16), VEC_NAME(int8_ops), VEC_NAME(bf16_ops));
#endif
