/* chip/cpu/norm_ref.c - RMS norm, alone and gated; L2 norm; rotary positions. */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

static float sum_of_squares(const float *x, uint32_t count)
{
	float stripes[CPU_STRIPES] = {0};

	for (uint32_t i = 0; i < count; i++)
		stripes[i % CPU_STRIPES] = fmaf(x[i], x[i], stripes[i % CPU_STRIPES]);
	return ref_fold(stripes);
}

static float inverse_rms(const float *x, uint32_t columns, float eps)
{
	return cpu_inverse_root(sum_of_squares(x, columns) / (float)columns + eps);
}

void ref_rms_norm(float *x, const float *add, const float *weight, float eps, uint32_t columns,
	float *out)
{
	if (add)
		ref_add(x, add, columns);
	const float factor = inverse_rms(x, columns, eps);

	for (uint32_t i = 0; i < columns; i++)
		out[i] = x[i] * factor * weight[i];
}

void ref_rms_norm_gate(const float *x, const float *gate, const float *weight, float eps,
	uint32_t columns, float *out)
{
	const float factor = inverse_rms(x, columns, eps);

	for (uint32_t i = 0; i < columns; i++)
		out[i] = x[i] * factor * weight[i] * math_siluf(gate[i]);
}

void ref_l2_norm(const float *x, float eps, float scale, uint32_t count, float *out)
{
	const float factor = cpu_inverse_root(sum_of_squares(x, count) + eps);

	for (uint32_t i = 0; i < count; i++)
		out[i] = x[i] * factor * scale;
}

/* Products and sums rounded one by one. */
static void rotate(const struct cpu_heads *h, float *x)
{
	for (uint32_t i = 0; i < h->pairs; i++) {
		const float a = x[i], b = x[i + h->pairs];

		x[i] = a * h->cosines[i] - b * h->sines[i];
		x[i + h->pairs] = b * h->cosines[i] + a * h->sines[i];
	}
}

void ref_rope(const struct cpu_heads *h, float *x)
{
	for (uint32_t i = 0; i < h->count; i++, x += h->stride) {
		if (h->weight)
			ref_rms_norm(x, NULL, h->weight, h->eps, h->head_dim, x);
		rotate(h, x);
	}
}
