/* chip/cpu/matmul_block_ref.c - y = W x for matrices and inputs in blocks, one output after the
 * other: what every other kernel gives, bit for bit.
 *
 * An exact integer product of a block, or of each half that has a scale of its own, then
 * y = (weight scale * input scale) * product + y, fused, and where there are minima
 * y = minimum * input sum + y, fused; block after block.
 */
#include "chip/cpu/block.h"
#include "chip/cpu/kernels_ref.h"

#include <math.h>

static int32_t dot_16(const int32_t *codes, const int8_t *x)
{
	int32_t sum = 0;

	for (uint32_t i = 0; i < 16; i++)
		sum += codes[i] * x[i];
	return sum;
}

static float add_block(const struct cpu_block_format *f, const struct cpu_lane_block *w,
	const int8_t *x, const struct cpu_block *input, float sum)
{
	const int32_t low = dot_16(w->codes, x), high = dot_16(w->codes + 16, x + 16);

	if (f->halves) {
		sum = fmaf(w->scales[0] * input->scale, (float)low, sum);
		return fmaf(w->scales[1] * input->scale, (float)high, sum);
	}
	sum = fmaf(w->scales[0] * input->scale, (float)(low + high), sum);
	return f->minima ? fmaf(w->least, input->sum, sum) : sum;
}

static void multiply_lane(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane,
	float *out)
{
	const uint32_t blocks = m->columns / CPU_BLOCK;

	for (uint32_t row = 0; row < m->rows; row++)
		out[row * m->out_stride] = 0.0F;
	for (uint32_t b = 0; b < blocks; b++) {
		struct cpu_lane_block w;

		cpu_block_read(m, m->type, panel, lane, b, &w);
		for (uint32_t row = 0; row < m->rows; row++) {
			float *sum = out + row * m->out_stride;

			*sum = add_block(&cpu_block_formats[m->type], &w,
				m->in.values + (size_t)row * m->columns + b * CPU_BLOCK,
				m->in.blocks + (size_t)row * blocks + b, *sum);
		}
	}
}

void ref_matmul_block(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	for (uint32_t output = first * m->lanes; output < end * m->lanes; output++)
		if (output < m->outputs)
			multiply_lane(m, m->panels + output / m->lanes * m->panel_bytes,
				output % m->lanes, m->out + output);
}
