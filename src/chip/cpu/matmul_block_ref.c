/* chip/cpu/matmul_block_ref.c - y = W x for matrices and inputs in blocks, one output after the
 * other: what every other kernel gives, bit for bit.
 *
 * An exact integer product of a block, then y = (weight scale * input scale) * product + y, fused,
 * and where there are minima y = minimum * input sum + y, fused; block after block.
 *
 * K types: the exact integer sum over a record of products of halves times their factors, then
 * y = (record scale * input scale) * sum + y, fused, and where there are minima, with the integer
 * sum of their factors times sums of inputs, y = (scale of minima * input scale) * sum + y, fused;
 * record after record.
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
	const int32_t product = dot_16(w->codes, x) + dot_16(w->codes + 16, x + 16);

	sum = fmaf(w->scales[0] * input->scale, (float)product, sum);
	return f->minima ? fmaf(w->least, input->sum, sum) : sum;
}

/* w, inputs: the 8 blocks of a record. */
static float add_record(const struct cpu_block_format *f, const struct cpu_lane_block *w,
	const int8_t *x, const struct cpu_block *inputs, float sum)
{
	int32_t products = 0, least = 0;

	for (uint32_t b = 0; b < CPU_RECORD_BLOCKS; b++, x += CPU_BLOCK) {
		products += w[b].factors[0] * dot_16(w[b].codes, x) +
			w[b].factors[1] * dot_16(w[b].codes + 16, x + 16);
		least += w[b].least_factor * (inputs[b].halves[0] + inputs[b].halves[1]);
	}
	sum = fmaf(w->record_scale * inputs->scale, (float)products, sum);
	return f->minima ? fmaf(w->record_least * inputs->scale, (float)least, sum) : sum;
}

static void multiply_lane(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane,
	float *out)
{
	const struct cpu_block_format *f = &cpu_block_formats[m->type];
	const uint32_t blocks = m->columns / CPU_BLOCK;
	const uint32_t each = cpu_sums_records(m->type) ? CPU_RECORD_BLOCKS : 1;

	for (uint32_t row = 0; row < m->rows; row++)
		out[row * m->out_stride] = 0.0F;
	for (uint32_t b = 0; b < blocks; b += each) {
		struct cpu_lane_block w[CPU_RECORD_BLOCKS];

		for (uint32_t i = 0; i < each; i++)
			cpu_block_read(m, m->type, panel, lane, b + i, &w[i]);
		for (uint32_t row = 0; row < m->rows; row++) {
			const int8_t *x = m->in.values + (size_t)row * m->columns + b * CPU_BLOCK;
			const struct cpu_block *inputs = m->in.blocks + (size_t)row * blocks + b;
			float *sum = out + row * m->out_stride;

			*sum = each == 1 ? add_block(f, w, x, inputs, *sum)
				: add_record(f, w, x, inputs, *sum);
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
