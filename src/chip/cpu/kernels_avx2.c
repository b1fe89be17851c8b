/* chip/cpu/kernels_avx2.c - the tables of AVX2 (with FMA and F16C), without and with the products
 * of bytes of AVX-VNNI. */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

#define WITH_PRODUCTS(name, prefix)                                                        \
	VEC_TABLE(name, false, prefix##_matmul_block, VEC_NAME(matmul_bf16),               \
		VEC_NAME(matmul_f8), VEC_NAME(attend), prefix##_int8_ops, NULL)

#if defined(CPU_VEC_EVEX)
void avxvnni_evex_matmul_block(const struct cpu_matmul *m, uint32_t first, uint32_t end);
int64_t avxvnni_evex_int8_ops(int64_t rounds);

/* For tests where only AVX512_VNNI has them: the same source in the other encoding. */
extern const struct cpu_kernels cpu_kernels_avxvnni_evex;

const struct cpu_kernels cpu_kernels_avxvnni_evex = WITH_PRODUCTS("avxvnni-evex", avxvnni_evex);
#else
void avxvnni_matmul_block(const struct cpu_matmul *m, uint32_t first, uint32_t end);
int64_t avxvnni_int8_ops(int64_t rounds);

const struct cpu_kernels cpu_kernels_avx2 = VEC_TABLE("avx2", false, VEC_NAME(matmul_block),
	VEC_NAME(matmul_bf16), VEC_NAME(matmul_f8), VEC_NAME(attend), VEC_NAME(int8_ops), NULL);
const struct cpu_kernels cpu_kernels_avxvnni = WITH_PRODUCTS("avxvnni", avxvnni);
#endif
