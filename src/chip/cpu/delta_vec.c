/* chip/cpu/delta_vec.c - delta_ref.c in vectors of columns, up to CPU_DELTA_COLUMNS of
 * them in registers.
 *
 * A row must know what its key sees of the decayed state before it can change it. After the first
 * row that costs no pass of its own: while a row changes S, the next decay and the next key are
 * applied to what it leaves.
 *
 *   before row 0   seen = (decay S)^T k
 *   row t          S = decay S + k (beta (v - seen))^T; out = S^T q; seen = (next decay S)^T next k
 *
 * Between rows memory holds the decayed state. The part of a share (k_dim x 32 floats) stays in the
 * first-level cache.
 */
#include "chip/cpu/kernels_vec.h"

#define WIDE (CPU_DELTA_COLUMNS / VEC_LANES)   /* vectors of a full share */

/* Some vectors of columns of one share, n floats of each; vectors and n are constants. The share is
 * a copy, so that the compiler knows it does not change. */
struct part {
	struct cpu_delta d;
	uint32_t column;
	uint32_t vectors, n;
};

VEC_INLINE vec old_state(const struct part *p, size_t i, uint32_t j)
{
	if (!p->d.state_in)
		return vec_set(0.0F);
	return vec_load_n(p->d.state_in + i * p->d.v_dim + p->column + j * VEC_LANES, p->n);
}

VEC_INLINE void see_first(const struct part p, vec *seen)
{
	const vec decay = vec_set(p.d.decay[0]);

	VEC_UNROLL
	for (uint32_t j = 0; j < p.vectors; j++)
		seen[j] = vec_set(0.0F);
	for (size_t i = 0; i < p.d.k_dim; i++)
		VEC_UNROLL
		for (uint32_t j = 0; j < p.vectors; j++)
			seen[j] = vec_fma(vec_mul(old_state(&p, i, j), decay), vec_set(p.d.k[i]),
				seen[j]);
}

/* In: what the row's key sees. Out: what the next one's sees, unless the row is the last. */
VEC_INLINE void delta_row(const struct part p, uint32_t row, const bool first, const bool last,
	vec *seen)
{
	const float *k = p.d.k + row * p.d.qk_stride, *q = p.d.q + row * p.d.qk_stride;
	const float *next_k = k + p.d.qk_stride, *v = p.d.v + row * p.d.v_stride + p.column;
	float *state = p.d.state_out + p.column, *to = p.d.out + row * p.d.out_stride + p.column;
	const vec beta = vec_set(p.d.beta[row * p.d.gate_stride]);
	const vec decay = vec_set(p.d.decay[row * p.d.gate_stride]);
	const vec next_decay = vec_set(last ? 0.0F : p.d.decay[(row + 1) * p.d.gate_stride]);
	vec change[WIDE], out[WIDE];

	VEC_UNROLL
	for (uint32_t j = 0; j < p.vectors; j++) {
		change[j] = vec_mul(beta, vec_sub(vec_load_n(v + j * VEC_LANES, p.n), seen[j]));
		out[j] = seen[j] = vec_set(0.0F);
	}
	for (size_t i = 0; i < p.d.k_dim; i++, state += p.d.v_dim)
		VEC_UNROLL
		for (uint32_t j = 0; j < p.vectors; j++) {
			float *at = state + j * VEC_LANES;
			const vec left = first ? vec_mul(old_state(&p, i, j), decay)
				: vec_load_n(at, p.n);
			const vec new = vec_fma(vec_set(k[i]), change[j], left);

			out[j] = vec_fma(new, vec_set(q[i]), out[j]);
			if (last) {
				vec_store_n(at, new, p.n);
			} else {
				vec_store_n(at, vec_mul(new, next_decay), p.n);
				seen[j] = vec_fma(vec_mul(new, next_decay), vec_set(next_k[i]),
					seen[j]);
			}
		}
	VEC_UNROLL
	for (uint32_t j = 0; j < p.vectors; j++)
		vec_store_n(to + j * VEC_LANES, out[j], p.n);
}

VEC_INLINE void delta_rows(const struct cpu_delta *d, uint32_t column, const uint32_t vectors,
	const uint32_t n)
{
	const struct part p = {*d, column, vectors, n};
	vec seen[WIDE];

	see_first(p, seen);
	if (p.d.rows == 1) {
		delta_row(p, 0, true, true, seen);
		return;
	}
	delta_row(p, 0, true, false, seen);
	for (uint32_t row = 1; row + 1 < p.d.rows; row++)
		delta_row(p, row, false, false, seen);
	delta_row(p, p.d.rows - 1, false, true, seen);
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
