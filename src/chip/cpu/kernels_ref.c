/* chip/cpu/kernels_ref.c - the table of the reference: complete, one row at a time. */
#include "chip/cpu/kernels_ref.h"

const struct cpu_kernels cpu_kernels_ref = {
	.name = "ref",
	.lanes = 1,
	.quantize = ref_quantize,
	.matmul = {
		[CHIP_F32] = ref_matmul_f32,
		[CHIP_F16] = ref_matmul_f16,
		[CHIP_BF16] = ref_matmul_bf16,
		[CHIP_F8_E4M3] = ref_matmul_f8,
		CPU_BLOCK_MATMULS(ref_matmul_block)
	},
	.unpack = ref_unpack,
	.rms_norm = ref_rms_norm,
	.rms_norm_gate = ref_rms_norm_gate,
	.rope = ref_rope,
	.swiglu = ref_swiglu,
	.add = ref_add,
	.add_scaled = ref_add_scaled,
	.transpose = ref_transpose,
	.bf16_pairs_from_f32 = ref_bf16_pairs_from_f32,
	.attend = ref_attend,
	.attend_join = ref_attend_join,
	.attend_finish = ref_attend_finish,
	.conv = ref_conv,
	.delta = ref_delta,
	.delta_gates = ref_delta_gates,
	.l2_norm = ref_l2_norm,
	.f16_from_f32 = ref_f16_from_f32,
	.bf16_from_f32 = ref_bf16_from_f32,
	.largest = ref_largest,
	.maxima = ref_maxima,
	.exponentials = ref_exponentials,
	.gauge = {
		.read = {ref_read},
		.int8 = ref_int8_ops,
		.f32 = ref_f32_ops,
	},
};
