/* chip/cpu/kernels_vec.h - the kernels of one instruction set, declared for the
 * files that share it. */
#ifndef CHIP_CPU_KERNELS_VEC_H
#define CHIP_CPU_KERNELS_VEC_H

#include "chip/cpu/vec.h"

void VEC_NAME(quantize)(const float *in, uint32_t columns, uint32_t unit, int8_t *values,
	struct cpu_block *blocks);
void VEC_NAME(matmul_f32)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void VEC_NAME(matmul_f16)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void VEC_NAME(matmul_bf16)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void VEC_NAME(matmul_f8)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
/* AVX-512 with the bf16 instruction alone. */
void VEC_NAME(matmul_bf16_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void VEC_NAME(matmul_f8_pairs)(const struct cpu_matmul *m, uint32_t first, uint32_t end);
int64_t VEC_NAME(bf16_ops)(int64_t rounds);

void VEC_NAME(matmul_block)(const struct cpu_matmul *m, uint32_t first, uint32_t end);

void VEC_NAME(unpack)(const struct cpu_stored *s, uint32_t lanes, uint32_t first, uint32_t count,
	float *panel);

void VEC_NAME(rms_norm)(float *x, const float *add, const float *weight, float eps,
	uint32_t columns, float *out);
void VEC_NAME(rms_norm_gate)(const float *x, const float *gate, const float *weight, float eps,
	uint32_t columns, float *out);
void VEC_NAME(l2_norm)(const float *x, float eps, float scale, uint32_t count, float *out);
void VEC_NAME(rope)(const struct cpu_heads *h, float *x);
void VEC_NAME(swiglu)(const float *gate, const float *up, float *out, uint32_t count);
void VEC_NAME(add)(float *out, const float *in, uint32_t count);
void VEC_NAME(add_scaled)(float *out, const float *in, float factor, uint32_t count);
void VEC_NAME(f16_from_f32)(const float *in, uint16_t *out, uint32_t count);
void VEC_NAME(bf16_from_f32)(const float *in, uint16_t *out, uint32_t count);
void VEC_NAME(transpose)(const uint8_t *in, size_t in_stride, uint32_t rows, uint32_t columns,
	uint8_t *out, size_t out_stride);
void VEC_NAME(bf16_pairs_from_f32)(const float *first, const float *second, uint16_t *out,
	uint32_t count);
void VEC_NAME(attend)(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count);
/* As attend, and with the bf16 instruction over bf16 keys and values. */
void VEC_NAME(attend_bf16)(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count);
void VEC_NAME(attend_join)(float *out, float shrink, const float *in, float factor, uint32_t count);
void VEC_NAME(attend_finish)(float *x, float factor, const float *gate, uint32_t count);
void VEC_NAME(conv)(const struct cpu_conv *c);
void VEC_NAME(delta)(const struct cpu_delta *d);
void VEC_NAME(delta_gates)(const float *a, const float *b, const float *decay,
	const float *dt_bias, uint32_t count, float *decay_out, float *beta_out);
bool VEC_NAME(largest)(const float *values, uint32_t count, float *out);
bool VEC_NAME(maxima)(const float *values, uint32_t count, float *out);
double VEC_NAME(exponentials)(const float *values, float divisor, float shift, uint32_t count,
	float *out);

/* A whole table; instruction sets that add to another one have some kernels of their own. */
#define VEC_TABLE(table_name, rounded, block_kernel, bf16_kernel, f8_kernel, attend_kernel,    \
	int8_gauge, bf16_gauge)                                                         \
	{                                                                               \
		.name = table_name, .lanes = VEC_LANES,                                 \
		.bf16_pairs = true, .bf16_inputs = (rounded),                           \
		.quantize = VEC_NAME(quantize),                                         \
		.matmul = {                                                             \
			[CHIP_F32] = VEC_NAME(matmul_f32),                              \
			[CHIP_F16] = VEC_NAME(matmul_f16),                              \
			[CHIP_BF16] = bf16_kernel,                                      \
			[CHIP_F8_E4M3] = f8_kernel,                                     \
			CPU_BLOCK_MATMULS(block_kernel)                                 \
		},                                                                      \
		.unpack = VEC_NAME(unpack),                                             \
		.rms_norm = VEC_NAME(rms_norm),                                         \
		.rms_norm_gate = VEC_NAME(rms_norm_gate),                               \
		.rope = VEC_NAME(rope), .swiglu = VEC_NAME(swiglu),                     \
		.add = VEC_NAME(add), .add_scaled = VEC_NAME(add_scaled),               \
		.transpose = VEC_NAME(transpose),                                       \
		.bf16_pairs_from_f32 = VEC_NAME(bf16_pairs_from_f32),                   \
		.attend = attend_kernel,                                                \
		.attend_join = VEC_NAME(attend_join),                                   \
		.attend_finish = VEC_NAME(attend_finish),                               \
		.conv = VEC_NAME(conv), .delta = VEC_NAME(delta),                       \
		.delta_gates = VEC_NAME(delta_gates),                                   \
		.l2_norm = VEC_NAME(l2_norm), .f16_from_f32 = VEC_NAME(f16_from_f32),   \
		.bf16_from_f32 = VEC_NAME(bf16_from_f32),                               \
		.largest = VEC_NAME(largest), .maxima = VEC_NAME(maxima),               \
		.exponentials = VEC_NAME(exponentials),                                 \
		.gauge = {                                                              \
			.read = {                                                       \
				VEC_NAME(read_one), VEC_NAME(read_one_ahead),           \
				VEC_NAME(read_four), VEC_NAME(read_four_ahead),         \
			},                                                              \
			.int8 = int8_gauge, .bf16 = bf16_gauge,                         \
			.f32 = VEC_NAME(f32_ops),                                       \
		},                                                                      \
	}

/* Where a panel's outputs of a row are: all lanes, or in the last panel those that there are. */
VEC_INLINE void vec_store_outputs(const struct cpu_matmul *m, uint32_t panel, uint32_t row, vec v)
{
	const uint32_t output = panel * VEC_LANES;

	vec_store_n(m->out + row * m->out_stride + output, v, vec_lanes_at(output, m->outputs));
}

VEC_INLINE vec vec_load_outputs(const struct cpu_matmul *m, uint32_t panel, uint32_t row)
{
	const uint32_t output = panel * VEC_LANES;

	return vec_load_n(m->out + row * m->out_stride + output, vec_lanes_at(output, m->outputs));
}

/* ---- sums of a tile: sums[row * stride + panel]; rows and panels are constants --------------- */

/* resumed: they go on from what is in the output. */
VEC_INLINE void vec_open_sums(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	bool resumed, vec *sums, const uint32_t stride, const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			sums[r * stride + p] = resumed ? vec_load_outputs(m, panel + p, row + r)
				: vec_set(0.0F);
}

VEC_INLINE void vec_close_sums(const struct cpu_matmul *m, uint32_t panel, uint32_t row,
	const vec *sums, const uint32_t stride, const uint32_t rows, const uint32_t panels)
{
	VEC_UNROLL
	for (uint32_t r = 0; r < rows; r++)
		VEC_UNROLL
		for (uint32_t p = 0; p < panels; p++)
			vec_store_outputs(m, panel + p, row + r, sums[r * stride + p]);
}

#endif
