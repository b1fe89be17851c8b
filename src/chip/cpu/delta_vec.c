/* chip/cpu/delta_vec.c - delta_ref.c in vectors of columns, up to CPU_DELTA_COLUMNS of
 * them in registers.
 *
 * A row must know what its key sees of the state before it can change it. After the first row that
 * costs no pass of its own: what a row leaves, the next key sees at once.
 *
 *   before row 0   seen = T^T k
 *   row t          T = T + k (beta / scale (v - scale seen))^T
 *                  out = scale T^T q;  seen = T^T next k
 *
 * That is a load, three products added to sums and a store for each element and row; the part
 * (k_dim x 32 floats) stays in the first-level cache.
 */
#include "chip/cpu/kernels_vec.h"

#define WIDE (CPU_DELTA_COLUMNS / VEC_LANES)   /* vectors of a whole part */

/* Some vectors of columns, n floats of each; vectors and n are constants. The part is a copy, so
 * that the compiler knows it does not change. */
struct columns {
	struct cpu_delta d;
	uint32_t first;
	uint32_t vectors, n;
};

/* The state to where it will stay, and what the first key sees of it. */
VEC_INLINE void see_first(const struct columns c, float factor, vec *seen)
{
	const float *in = c.d.state_in + c.first;
	float *state = c.d.state_out + c.first;

	VEC_UNROLL
	for (uint32_t j = 0; j < c.vectors; j++)
		seen[j] = vec_set(0.0F);
	for (size_t i = 0; i < c.d.k_dim; i++, state += c.d.count, in += c.d.count) {
		const vec k = vec_set(c.d.k[i]);

		VEC_UNROLL
		for (uint32_t j = 0; j < c.vectors; j++) {
			const vec old = vec_mul(vec_load_n(in + j * VEC_LANES, c.n),
				vec_set(factor));

			vec_store_n(state + j * VEC_LANES, old, c.n);
			seen[j] = vec_fma(old, k, seen[j]);
		}
	}
}

/* From zeros: where the decay is no number, neither is the state. */
VEC_INLINE void see_nothing(const struct columns c, float factor, vec *seen)
{
	const vec zero = vec_mul(vec_set(0.0F), vec_set(factor));
	float *state = c.d.state_out + c.first;

	VEC_UNROLL
	for (uint32_t j = 0; j < c.vectors; j++)
		seen[j] = vec_set(0.0F);
	for (size_t i = 0; i < c.d.k_dim; i++, state += c.d.count) {
		const vec k = vec_set(c.d.k[i]);

		VEC_UNROLL
		for (uint32_t j = 0; j < c.vectors; j++) {
			vec_store_n(state + j * VEC_LANES, zero, c.n);
			seen[j] = vec_fma(zero, k, seen[j]);
		}
	}
}

/* What of a row is the same in all columns. */
struct row {
	const float *k, *q, *next_k;
	float scale, step;
	float factor;               /* of the state before the next row */
};

/* change in, out out; seen by the next key, unless the row is the last. */
VEC_INLINE void delta_pass(const struct columns c, const struct row r, const bool last,
	const bool scaled, const vec *change, vec *out, vec *seen)
{
	float *state = c.d.state_out + c.first;
	const vec factor = vec_set(r.factor);

	for (size_t i = 0; i < c.d.k_dim; i++, state += c.d.count) {
		const vec k = vec_set(r.k[i]), q = vec_set(r.q[i]);
		const vec next_k = vec_set(last ? 0.0F : r.next_k[i]);

		VEC_UNROLL
		for (uint32_t j = 0; j < c.vectors; j++) {
			float *at = state + j * VEC_LANES;
			vec new = vec_fma(k, change[j], vec_load_n(at, c.n));

			out[j] = vec_fma(new, q, out[j]);
			if (scaled)
				new = vec_mul(new, factor);
			vec_store_n(at, new, c.n);
			if (!last)
				seen[j] = vec_fma(new, next_k, seen[j]);
		}
	}
}

/* In: what the row's key sees. Out: what the next one's sees, unless the row is the last. */
VEC_INLINE void delta_row(const struct columns c, uint32_t row, const struct row r,
	const bool last, vec *seen)
{
	const float *v = c.d.v + row * c.d.v_stride + c.first;
	float *to = c.d.out + row * c.d.out_stride + c.first;
	vec change[WIDE], out[WIDE];

	VEC_UNROLL
	for (uint32_t j = 0; j < c.vectors; j++) {
		change[j] = vec_mul(vec_set(r.step), vec_fma(vec_set(-r.scale), seen[j],
			vec_load_n(v + j * VEC_LANES, c.n)));
		out[j] = seen[j] = vec_set(0.0F);
	}
	if (last)
		delta_pass(c, r, true, false, change, out, seen);
	else if (r.factor < 1.0F || r.factor > 1.0F || r.factor != r.factor)
		delta_pass(c, r, false, true, change, out, seen);
	else
		delta_pass(c, r, false, false, change, out, seen);
	VEC_UNROLL
	for (uint32_t j = 0; j < c.vectors; j++)
		vec_store_n(to + j * VEC_LANES, vec_mul(vec_set(r.scale), out[j]), c.n);
}

/* Returns the scale that the state is left with. */
VEC_INLINE float delta_rows(const struct cpu_delta *d, uint32_t first, const uint32_t vectors,
	const uint32_t n)
{
	const struct columns c = {*d, first, vectors, n};
	float scale = cpu_delta_scale(d);
	const float factor = ref_delta_decay(&scale, c.d.decay[0]);
	vec seen[WIDE];

	if (c.d.state_in)
		see_first(c, factor, seen);
	else
		see_nothing(c, factor, seen);
	for (uint32_t row = 0; row < c.d.rows; row++) {
		struct row r = {
			.k = c.d.k + row * c.d.qk_stride,
			.q = c.d.q + row * c.d.qk_stride,
			.scale = scale,
			.step = c.d.beta[row * c.d.gate_stride] / scale,
		};

		if (row + 1 == c.d.rows) {
			delta_row(c, row, r, true, seen);
			break;
		}
		r.next_k = r.k + c.d.qk_stride;
		r.factor = ref_delta_decay(&scale, c.d.decay[(row + 1) * c.d.gate_stride]);
		delta_row(c, row, r, false, seen);
	}
	return scale;
}

void VEC_NAME(delta)(const struct cpu_delta *d)
{
	uint32_t first = 0;
	float scale = 1.0F;

	for (; d->count - first >= CPU_DELTA_COLUMNS; first += CPU_DELTA_COLUMNS)
		scale = delta_rows(d, first, WIDE, VEC_LANES);
	for (; d->count - first >= VEC_LANES; first += VEC_LANES)
		scale = delta_rows(d, first, 1, VEC_LANES);
	if (first < d->count)
		scale = delta_rows(d, first, 1, d->count - first);
	d->state_out[(size_t)d->k_dim * d->count] = scale;
}

void VEC_NAME(delta_gates)(const float *a, const float *b, const float *decay,
	const float *dt_bias, uint32_t count, float *decay_out, float *beta_out)
{
	for (uint32_t i = 0; i < count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, count);
		const vec step = vec_softplus(vec_add(vec_load_n(a + i, n),
			vec_load_n(dt_bias + i, n)));

		vec_store_n(decay_out + i, vec_exp(vec_mul(vec_load_n(decay + i, n), step)), n);
		vec_store_n(beta_out + i, vec_sigmoid(vec_load_n(b + i, n)), n);
	}
}
