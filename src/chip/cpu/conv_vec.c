/* chip/cpu/conv_vec.c - conv_ref.c in vectors of channels, for the four taps that models have: taps
 * and the last inputs of a strip of channels stay in registers through all rows. */
#include "chip/cpu/kernels_vec.h"

#define TAPS  4
#define KEPT  (TAPS - 1)
#define STRIP (VEC_LANES / 8)   /* vectors: half a cache line of each row, or two lines */
#define LINE_FLOATS 16
#define AHEAD 8                 /* rows, too far apart for the processor to see a pattern */

/* Channels [first, ...): some vectors, n floats of each; vectors and n are constants. */
VEC_INLINE void conv_strip(const struct cpu_conv *c, size_t first, const uint32_t vectors,
	const uint32_t n)
{
	vec taps[TAPS][STRIP], inputs[TAPS][STRIP];
	const float *in = c->in + first;
	float *out = c->out + (first - c->first);

	VEC_UNROLL
	for (uint32_t j = 0; j < vectors; j++) {
		const size_t at = first + j * VEC_LANES;

		VEC_UNROLL
		for (uint32_t i = 0; i < TAPS; i++)
			taps[i][j] = vec_load_n(c->taps + i * (size_t)c->channels + at, n);
		VEC_UNROLL
		for (uint32_t i = 0; i < KEPT; i++)
			inputs[i][j] = c->state_in
				? vec_load_n(c->state_in + i * (size_t)c->channels + at, n)
				: vec_set(0.0F);
	}
	for (uint32_t row = 0; row < c->rows; row++) {
		VEC_UNROLL
		for (uint32_t j = 0; j < vectors * VEC_LANES; j += LINE_FLOATS)
			vec_prefetch((const uint8_t *)(in + AHEAD * c->in_stride + j));
		VEC_UNROLL
		for (uint32_t j = 0; j < vectors; j++) {
			vec sum = vec_set(0.0F);

			inputs[KEPT][j] = vec_load_n(in + j * VEC_LANES, n);
			VEC_UNROLL
			for (uint32_t i = 0; i < TAPS; i++)
				sum = vec_fma(taps[i][j], inputs[i][j], sum);
			vec_store_n(out + j * VEC_LANES, vec_silu(sum), n);
			VEC_UNROLL
			for (uint32_t i = 0; i < KEPT; i++)
				inputs[i][j] = inputs[i + 1][j];
		}
		in += c->in_stride;
		out += c->out_stride;
	}
	VEC_UNROLL
	for (uint32_t j = 0; j < vectors; j++)
		VEC_UNROLL
		for (uint32_t i = 0; i < KEPT; i++)
			vec_store_n(c->state_out + i * (size_t)c->channels + first + j * VEC_LANES,
				inputs[i][j], n);
}

void VEC_NAME(conv)(const struct cpu_conv *c)
{
	const size_t end = (size_t)c->first + c->count;
	size_t first = c->first;

	if (c->width != TAPS) {
		ref_conv(c);
		return;
	}
	for (; end - first >= STRIP * VEC_LANES; first += STRIP * VEC_LANES)
		conv_strip(c, first, STRIP, VEC_LANES);
	for (; end - first >= VEC_LANES; first += VEC_LANES)
		conv_strip(c, first, 1, VEC_LANES);
	if (first < end)
		conv_strip(c, first, 1, (uint32_t)(end - first));
}
