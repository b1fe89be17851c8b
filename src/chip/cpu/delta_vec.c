/* chip/cpu/delta_vec.c - delta_ref.c in vectors of columns, up to CPU_DELTA_COLUMNS of them in registers.
 *
 * Two passes over the rows of S for each token: what the key sees, then the change and the output. The
 * part of S that a share has (k_dim x 32 floats) stays in the first-level cache between them.
 */
#include "chip/cpu/kernels_vec.h"

#include <string.h>

#define WIDE (CPU_DELTA_COLUMNS / VEC_LANES)   /* vectors of a full share */

/* The vectors of columns from column on, n floats of each; both are constants for whole vectors. */
VEC_INLINE void delta_row(const struct cpu_delta *d, const float *in, uint32_t column, uint32_t row,
	const uint32_t vectors, const uint32_t n)
{
	const float *k = d->k + row * d->qk_stride, *q = d->q + row * d->qk_stride;
	const float *v = d->v + row * d->v_stride + column;
	const vec decay = vec_set(d->decay[row * d->gate_stride]);
	const vec beta = vec_set(d->beta[row * d->gate_stride]);
	vec seen[WIDE], change[WIDE], out[WIDE];

	VEC_UNROLL
	for (uint32_t j = 0; j < vectors; j++)
		seen[j] = out[j] = vec_set(0.0F);
	for (uint32_t i = 0; i < d->k_dim; i++) {
		const float *s = in + (size_t)i * d->v_dim + column;

		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++)
			seen[j] = vec_fma(vec_mul(vec_load_n(s + j * VEC_LANES, n), decay), vec_set(k[i]), seen[j]);
	}
	VEC_UNROLL
	for (uint32_t j = 0; j < vectors; j++)
		change[j] = vec_mul(beta, vec_sub(vec_load_n(v + j * VEC_LANES, n), seen[j]));
	for (uint32_t i = 0; i < d->k_dim; i++) {
		const float *s = in + (size_t)i * d->v_dim + column;
		float *to = d->state_out + (size_t)i * d->v_dim + column;

		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++) {
			const vec old = vec_mul(vec_load_n(s + j * VEC_LANES, n), decay);
			const vec new = vec_fma(vec_set(k[i]), change[j], old);

			vec_store_n(to + j * VEC_LANES, new, n);
			out[j] = vec_fma(new, vec_set(q[i]), out[j]);
		}
	}
	VEC_UNROLL
	for (uint32_t j = 0; j < vectors; j++)
		vec_store_n(d->out + row * d->out_stride + column + j * VEC_LANES, out[j], n);
}

/* All rows; the first one reads the old state, the others what the row before left. */
VEC_INLINE void delta_rows(const struct cpu_delta *d, uint32_t column, const uint32_t vectors, const uint32_t n)
{
	const float *in = d->state_in ? d->state_in : d->state_out;

	for (uint32_t i = 0; !d->state_in && i < d->k_dim; i++)
		memset(d->state_out + (size_t)i * d->v_dim + column, 0,
			((vectors - 1) * VEC_LANES + n) * sizeof(float));
	for (uint32_t row = 0; row < d->rows; row++) {
		delta_row(d, in, column, row, vectors, n);
		in = d->state_out;
	}
}

void VEC_NAME(delta)(const struct cpu_delta *d)
{
	const uint32_t end = d->first + d->count;
	uint32_t column = d->first;

	for (; end - column >= CPU_DELTA_COLUMNS; column += CPU_DELTA_COLUMNS)
		delta_rows(d, column, WIDE, VEC_LANES);
	for (; end - column >= VEC_LANES; column += VEC_LANES)
		delta_rows(d, column, 1, VEC_LANES);
	if (column < end)
		delta_rows(d, column, 1, end - column);
}
