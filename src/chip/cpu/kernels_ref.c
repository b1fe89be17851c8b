/* chip/cpu/kernels_ref.c - the table of the reference: complete, one row at a time. */
#include "chip/cpu/kernels_ref.h"

const struct cpu_kernels cpu_kernels_ref = {
	.name = "ref",
	.lanes = 1,
	.quantise = ref_quantise,
	.matmul = {
		[CHIP_F32] = ref_matmul_f32,
		[CHIP_F16] = ref_matmul_f16,
		[CHIP_BF16] = ref_matmul_bf16,
		[CHIP_Q8_0] = ref_matmul_q8_0,
		[CHIP_Q4_0] = ref_matmul_q4_0,
	},
	.norm = ref_norm,
	.norm_gate = ref_norm_gate,
	.rotate = ref_rotate,
	.swiglu = ref_swiglu,
	.add = ref_add,
	.attend = ref_attend,
	.conv = ref_conv,
	.delta = ref_delta,
	.unit = ref_unit,
	.halve = ref_halve,
	.largest = ref_largest,
	.exponentials = ref_exponentials,
	.gauge = {
		.read = {ref_read},
		.int8 = ref_int8_ops,
		.f32 = ref_f32_ops,
	},
};
