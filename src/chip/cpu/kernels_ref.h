/* chip/cpu/kernels_ref.h - the plain C kernels: what every other table must give, bit for bit.
 *
 * Sums over a vector (norms, softmax) run in 16 stripes, element i in stripe i mod 16, which
 * are then folded: 8 onto 8, 4 onto 4, 2 onto 2, 1 onto 1. That is how vectors of 4, 8 and
 * 16 floats all add.
 */
#ifndef CHIP_CPU_KERNELS_REF_H
#define CHIP_CPU_KERNELS_REF_H

#include "chip/cpu/kernels.h"

#define CPU_STRIPES 16

/* What a block says, from its scale and the sums of its halves. */
static inline struct cpu_block ref_block(float scale, int32_t low, int32_t high)
{
	return (struct cpu_block){
		.scale = scale,
		.sum = scale * (float)(low + high),
		.start = {-128 * (low + high), -128 * low, -128 * high},
		.halves = {(int16_t)low, (int16_t)high},
	};
}

static inline float ref_fold(float s[CPU_STRIPES])
{
	for (uint32_t half = CPU_STRIPES / 2; half > 0; half /= 2)
		for (uint32_t i = 0; i < half; i++)
			s[i] += s[i + half];
	return s[0];
}

/* Weights of attention that are rounded to bf16: 2^x on [0, 1], minimax for the relative error
 * (Remez): 7.5e-5, 13 bits. */
#define CPU_POWER_0 0x1.fff632p-1F
#define CPU_POWER_1 0x1.64444cp-1F
#define CPU_POWER_2 0x1.cefc4cp-3F
#define CPU_POWER_3 0x1.3f96a4p-4F
#define CPU_LOG2_E  0x1.715476p+0F
#define CPU_LN_2    0x1.62e43p-1F

/* Smallest scale of a DeltaNet state: what is added to the state is divided by it. */
#define CPU_DELTA_SCALE_MIN 0x1p-20F

/* A row's decay goes into the scale; what the state is to be multiplied with: 1, or the scale where
 * it leaves its range (a decay above 1 and NaN too), which then begins at 1 again. */
static inline float ref_delta_decay(float *scale, float decay)
{
	const float next = *scale * decay;
	const bool fits = next >= CPU_DELTA_SCALE_MIN && next <= 1.0F;

	*scale = fits ? next : 1.0F;
	return fits ? 1.0F : next;
}

void ref_quantize(const float *in, uint32_t columns, uint32_t unit, int8_t *values,
	struct cpu_block *blocks);
void ref_matmul_f32(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_f16(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_bf16(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_bf16_pairs(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_f8(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_f8_pairs(const struct cpu_matmul *m, uint32_t first, uint32_t end);
void ref_matmul_block(const struct cpu_matmul *m, uint32_t first, uint32_t end);

void ref_unpack(const struct cpu_stored *s, uint32_t lanes, uint32_t first, uint32_t count,
	float *panel);

void ref_rms_norm(float *x, const float *add, const float *weight, float eps, uint32_t columns,
	float *out);
void ref_rms_norm_gate(const float *x, const float *gate, const float *weight, float eps,
	uint32_t columns, float *out);
void ref_l2_norm(const float *x, float eps, float scale, uint32_t count, float *out);
void ref_rope(const struct cpu_heads *h, float *x);

void ref_swiglu(const float *gate, const float *up, float *out, uint32_t count);
void ref_add(float *out, const float *in, uint32_t count);
void ref_add_scaled(float *out, const float *in, float factor, uint32_t count);
void ref_f16_from_f32(const float *in, uint16_t *out, uint32_t count);
void ref_bf16_from_f32(const float *in, uint16_t *out, uint32_t count);

void ref_transpose(const uint8_t *in, size_t in_stride, uint32_t rows, uint32_t columns,
	uint8_t *out, size_t out_stride);
void ref_bf16_pairs_from_f32(const float *first, const float *second, uint16_t *out,
	uint32_t count);

void ref_attend(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count);
void ref_attend_join(float *out, float shrink, const float *in, float factor, uint32_t count);
void ref_attend_finish(float *x, float factor, const float *gate, uint32_t count);
void ref_conv(const struct cpu_conv *c);
void ref_delta(const struct cpu_delta *d);
void ref_delta_gates(const float *a, const float *b, const float *decay, const float *dt_bias,
	uint32_t count, float *decay_out, float *beta_out);

bool ref_largest(const float *values, uint32_t count, float *out);
bool ref_maxima(const float *values, uint32_t count, float *out);
double ref_exponentials(const float *values, float divisor, float shift, uint32_t count,
	float *out);

uint64_t ref_read(const uint8_t *bytes, size_t size);
int64_t ref_int8_ops(int64_t rounds);
int64_t ref_f32_ops(int64_t rounds);

#endif
