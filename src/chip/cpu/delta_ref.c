/* chip/cpu/delta_ref.c - the gated delta rule, token by token (Yang et al. 2024, equation 10):
 *
 *	S = decay S;  u = S^T k;  S = S + k (beta (v - u))^T;  out = S^T q
 *
 * with the decays kept apart from the state as long as they fit: S = scale T, and then
 *
 *	scale = decay scale;  T = T + k (beta / scale (v - scale T^T k))^T;  out = scale T^T q
 *
 * which spares a product for each element and token. The scale belongs to the state, so where it is
 * multiplied into T depends on the sequence alone. Columns of S do not touch one another, so any
 * part of them can be done on its own.
 */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

/* One column through all rows; returns the scale that it is left with. */
static float delta_column(const struct cpu_delta *d, uint32_t column)
{
	float scale = cpu_delta_scale(d);

	for (uint32_t row = 0; row < d->rows; row++) {
		const float *k = d->k + row * d->qk_stride, *q = d->q + row * d->qk_stride;
		const float factor = ref_delta_decay(&scale, d->decay[row * d->gate_stride]);
		float *state = d->state_out + column;
		float seen = 0.0F, out = 0.0F;

		for (uint32_t i = 0; i < d->k_dim; i++, state += d->count) {
			*state *= factor;
			seen = fmaf(*state, k[i], seen);
		}
		const float change = d->beta[row * d->gate_stride] / scale *
			fmaf(-scale, seen, d->v[row * d->v_stride + column]);

		state = d->state_out + column;
		for (uint32_t i = 0; i < d->k_dim; i++, state += d->count) {
			*state = fmaf(k[i], change, *state);
			out = fmaf(*state, q[i], out);
		}
		d->out[row * d->out_stride + column] = scale * out;
	}
	return scale;
}

void ref_delta(const struct cpu_delta *d)
{
	const size_t size = (size_t)d->k_dim * d->count;
	float scale = 1.0F;

	for (size_t i = 0; i < size; i++)
		d->state_out[i] = d->state_in ? d->state_in[i] : 0.0F;
	for (uint32_t column = 0; column < d->count; column++)
		scale = delta_column(d, column);
	d->state_out[size] = scale;
}

void ref_delta_gates(const float *a, const float *b, const float *decay, const float *dt_bias,
	uint32_t count, float *decay_out, float *beta_out)
{
	for (uint32_t i = 0; i < count; i++) {
		decay_out[i] = math_expf(decay[i] * math_softplusf(a[i] + dt_bias[i]));
		beta_out[i] = math_sigmoidf(b[i]);
	}
}
