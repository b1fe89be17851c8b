/* chip/cpu/matmul_ref.c - y = W x, one output after the other.
 *
 * Plain types: y = w[0] x[0], then fused w[k] x[k] + y for each next column. Reads panels of any
 * number of lanes, so that it can stand in for a kernel that is missing.
 */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"
#include "chip/format_decode.h"

/* Where a panel's lane writes its output; the last panel has lanes of no output. */
static float *output_of(const struct cpu_matmul *m, uint32_t panel, uint32_t lane, uint32_t row)
{
	const uint32_t output = panel * m->lanes + lane;

	return output < m->outputs ? m->out + (size_t)row * m->out_stride + output : NULL;
}

/* Calls dot for each output and row, with what its sum starts from. */
static void each_output(const struct cpu_matmul *m, uint32_t first, uint32_t end,
	float (*dot)(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane, uint32_t row,
	float sum))
{
	for (uint32_t panel = first; panel < end; panel++)
		for (uint32_t lane = 0; lane < m->lanes; lane++)
			for (uint32_t row = 0; row < m->rows; row++) {
				float *out = output_of(m, panel, lane, row);

				if (out)
					*out = dot(m, m->panels + panel * m->panel_bytes,
						lane, row, m->add ? *out : 0.0F);
			}
}

static float dot_f32(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane, uint32_t row,
	float sum)
{
	const float *w = (const float *)(const void *)panel + lane;
	const float *x = m->in.rows + row * m->in.stride;

	for (uint32_t k = 0; k < m->columns; k++)
		sum = fmaf(w[(size_t)k * m->lanes], x[k], sum);
	return sum;
}

static float dot_f16(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane, uint32_t row,
	float sum)
{
	const uint16_t *w = (const uint16_t *)(const void *)panel + lane;
	const float *x = m->in.rows + row * m->in.stride;

	for (uint32_t k = 0; k < m->columns; k++)
		sum = fmaf(math_f32_from_f16(w[(size_t)k * m->lanes]), x[k], sum);
	return sum;
}

static float dot_bf16(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane, uint32_t row,
	float sum)
{
	const uint16_t *w = (const uint16_t *)(const void *)panel;
	const float *x = m->in.rows + row * m->in.stride;

	for (size_t k = 0; k < m->columns; k++) {
		const size_t at = m->pairs ? (k / 2 * m->lanes + lane) * 2 + k % 2
			: k * m->lanes + lane;

		sum = fmaf(math_f32_from_bf16(w[at]), x[k], sum);
	}
	return sum;
}

/* In pairs, of inputs that were rounded as well; the odd column first, as vdpbf16ps does. */
static float dot_bf16_pairs(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane,
	uint32_t row, float sum)
{
	const size_t even = ((size_t)m->columns + 1) / 2 * 2;
	const uint16_t *w = (const uint16_t *)(const void *)panel + 2 * lane;
	const uint16_t *x = m->in.halves + row * even;

	for (size_t k = 0; k < even; k += 2)
		for (size_t i = 2; i-- > 0;)
			sum = fmaf(math_f32_from_bf16(w[k * m->lanes + i]),
				math_f32_from_bf16(x[k + i]), sum);
	return sum;
}

/* Of the matrix with its scales multiplied in, as f32. */
static float dot_f8(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane, uint32_t row,
	float sum)
{
	const float *scales = (const float *)(const void *)panel + lane;
	const uint8_t *w = panel + m->scales_bytes + lane;
	const float *x = m->in.rows + row * m->in.stride;

	for (size_t k = 0; k < m->columns; k++)
		sum = fmaf(scales[k / m->group * m->lanes] * format_e4m3(w[k * m->lanes]), x[k],
			sum);
	return sum;
}

/* In pairs as in dot_bf16_pairs: a run of columns without scale, then its sum times it. */
static float dot_f8_pairs(const struct cpu_matmul *m, const uint8_t *panel, uint32_t lane,
	uint32_t row, float sum)
{
	const uint32_t even = (m->columns + 1) / 2 * 2;
	const float *scales = (const float *)(const void *)panel + lane;
	const uint8_t *w = panel + m->scales_bytes + 2 * lane;
	const uint16_t *x = m->in.halves + (size_t)row * even;
	uint32_t end;

	for (uint32_t first = 0; first < even; first = end) {
		float run = 0.0F;

		end = cpu_f8_run_end(m, first, even);
		for (size_t k = first; k < end; k += 2)
			for (size_t i = 2; i-- > 0;)
				run = fmaf(format_e4m3(w[k * m->lanes + i]),
					math_f32_from_bf16(x[k + i]), run);
		sum = fmaf(run, scales[(size_t)(first / m->group) * m->lanes], sum);
	}
	return sum;
}

void ref_matmul_f32(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_f32);
}

void ref_matmul_f16(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_f16);
}

void ref_matmul_bf16(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_bf16);
}

void ref_matmul_bf16_pairs(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_bf16_pairs);
}

void ref_matmul_f8(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_f8);
}

void ref_matmul_f8_pairs(const struct cpu_matmul *m, uint32_t first, uint32_t end)
{
	each_output(m, first, end, dot_f8_pairs);
}
