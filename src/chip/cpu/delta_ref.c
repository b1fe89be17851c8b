/* chip/cpu/delta_ref.c - the gated delta rule, token by token (Yang et al. 2024, equation 10):
 *
 *	S = decay S;  u = S^T k;  S = S + k (beta (v - u))^T;  out = S^T q
 *
 * Columns of S do not touch one another, so any part of them can be done on its own.
 */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

static void delta_column(const struct cpu_delta *d, uint32_t column, uint32_t row)
{
	const float *k = d->k + row * d->qk_stride;
	const float *q = d->q + row * d->qk_stride;
	const float decay = d->decay[row * d->gate_stride];
	float *state = d->state_out + column;
	float seen = 0.0F, out = 0.0F;

	for (uint32_t i = 0; i < d->k_dim; i++)
		seen = fmaf(state[(size_t)i * d->v_dim] * decay, k[i], seen);
	const float change = d->beta[row * d->gate_stride] * (d->v[row * d->v_stride + column] -
		seen);

	for (uint32_t i = 0; i < d->k_dim; i++) {
		const float s = fmaf(k[i], change, state[(size_t)i * d->v_dim] * decay);

		state[(size_t)i * d->v_dim] = s;
		out = fmaf(s, q[i], out);
	}
	d->out[row * d->out_stride + column] = out;
}

void ref_delta(const struct cpu_delta *d)
{
	for (uint32_t column = d->first; column < d->first + d->count; column++) {
		for (uint32_t i = 0; i < d->k_dim; i++) {
			const size_t at = (size_t)i * d->v_dim + column;

			d->state_out[at] = d->state_in ? d->state_in[at] : 0.0F;
		}
		for (uint32_t row = 0; row < d->rows; row++)
			delta_column(d, column, row);
	}
}
