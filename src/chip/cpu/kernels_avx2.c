/* chip/cpu/kernels_avx2.c - the table of AVX2 (with FMA and F16C). */
#include "chip/cpu/kernels_vec.h"
#include "chip/cpu/measure_vec.h"

const struct cpu_kernels cpu_kernels_avx2 = {
	.name = "avx2",
	.lanes = VEC_LANES,
	.quantise = VEC_NAME(quantise),
	.matmul = {
		[CHIP_F32] = VEC_NAME(matmul_f32),
		[CHIP_F16] = VEC_NAME(matmul_f16),
		[CHIP_BF16] = VEC_NAME(matmul_bf16),
		[CHIP_Q8_0] = VEC_NAME(matmul_q8_0),
		[CHIP_Q4_0] = VEC_NAME(matmul_q4_0),
	},
	.norm = VEC_NAME(norm),
	.norm_gate = VEC_NAME(norm_gate),
	.rotate = VEC_NAME(rotate),
	.swiglu = VEC_NAME(swiglu),
	.add = VEC_NAME(add),
	.attend = VEC_NAME(attend),
	.conv = VEC_NAME(conv),
	.delta = VEC_NAME(delta),
	.unit = VEC_NAME(unit),
	.halve = VEC_NAME(halve),
	.largest = VEC_NAME(largest),
	.exponentials = VEC_NAME(exponentials),
	.gauge = {
		.read = {
			VEC_NAME(read_one), VEC_NAME(read_one_ahead), VEC_NAME(read_four),
			VEC_NAME(read_four_ahead),
		},
		.int8 = VEC_NAME(int8_ops),
		.f32 = VEC_NAME(f32_ops),
	},
};
