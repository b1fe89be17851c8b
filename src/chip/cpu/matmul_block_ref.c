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

/* ---- heads ----------------------------------------------------------------------------------- */

static float half_at(const uint8_t *head, size_t index)
{
	return format_f16(head + 2 * index);
}

/* Bytes that multiply the scale of the record. */
static void read_k(enum chip_type type, const uint8_t *head, uint32_t lanes, uint32_t lane,
	uint32_t b, struct cpu_lane_block *out)
{
	const struct cpu_block_format *f = &cpu_block_formats[type];
	const float scale = half_at(head, lane);
	const uint8_t *bytes = head + (size_t)(f->minima ? 4 : 2) * lanes + lane;

	if (f->halves) {
		out->scales[0] = scale * (float)(int8_t)bytes[(size_t)2 * b * lanes];
		out->scales[1] = scale * (float)(int8_t)bytes[(size_t)(2 * b + 1) * lanes];
		return;
	}
	out->scales[0] = out->scales[1] = scale * (float)(int8_t)bytes[(size_t)b * lanes];
	if (f->minima)
		out->least = -(half_at(head, (size_t)lanes + lane) *
			(float)bytes[(size_t)(CPU_RECORD_BLOCKS + b) * lanes]);
}

/* The scale of the group; its zero is returned. */
static int32_t read_group(uint32_t group, const uint8_t *head, uint32_t lanes, uint32_t lane,
	uint32_t b, struct cpu_lane_block *out)
{
	const uint32_t each = cpu_group_blocks(group), count = CPU_RECORD_BLOCKS / each;
	const uint8_t *bits = head + ((size_t)(b / each) * lanes + lane) * 2;
	const uint8_t zero = head[(size_t)(2 * count + b / each) * lanes + lane];

	out->scales[0] = out->scales[1] = zero & 128 ? math_f32_from_bf16(format_u16(bits))
		: format_f16(bits);
	return zero & 127;
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Column 4g + c of a block. */
static uint32_t code_at(const struct cpu_block_format *f, const uint8_t *block, uint32_t lanes,
	uint32_t lane, uint32_t g, uint32_t c)
{
	const uint8_t byte = block[((size_t)(g % 4) * lanes + lane) * 4 + c];
	const uint8_t *high = block + (size_t)16 * lanes;
	const uint32_t low = g < 4 ? byte & 15 : byte >> 4;

	if (f->bits == 5)
		return low | (uint32_t)(high[(size_t)lane * 4 + c] >> g & 1) << 4;
	if (f->bits == 6)
		return low | (uint32_t)(high[((size_t)(g / 4) * lanes + lane) * 4 + c] >>
			2 * (g % 4) & 3) << 4;
	return low;
}

static void read_codes(const struct cpu_block_format *f, const uint8_t *block, uint32_t lanes,
	uint32_t lane, int32_t zero, int32_t *out)
{
	for (uint32_t g = 0; g < 8; g++)
		for (uint32_t c = 0; c < 4; c++) {
			const uint32_t code = f->bits == 8 ? 0
				: code_at(f, block, lanes, lane, g, c);

			if (f->bits == 8)
				out[4 * g + c] = (int8_t)block[((size_t)g * lanes + lane) * 4 + c];
			else
				out[4 * g + c] = f->values ? f->values[code] : (int32_t)code - zero;
		}
}

void cpu_block_read(const struct cpu_matmul *m, enum chip_type type, const uint8_t *panel,
	uint32_t lane, uint32_t block, struct cpu_lane_block *out)
{
	const struct cpu_block_format *f = &cpu_block_formats[type];
	const uint32_t lanes = m->lanes, b = block % CPU_RECORD_BLOCKS;
	const uint8_t *head = panel + block / CPU_RECORD_BLOCKS *
		cpu_record_bytes(type, m->group, lanes);
	int32_t zero = f->offset;

	*out = (struct cpu_lane_block){.least = 0.0F};
	if (f->scales == CPU_SCALES_F16) {
		out->scales[0] = out->scales[1] = half_at(head, (size_t)b * lanes + lane);
		if (f->minima)
			out->least = half_at(head, (size_t)(CPU_RECORD_BLOCKS + b) * lanes + lane);
	} else if (f->scales == CPU_SCALES_K) {
		read_k(type, head, lanes, lane, b, out);
	} else if (f->scales == CPU_SCALES_E8M0) {
		out->scales[0] = out->scales[1] =
			format_e8m0_half(head[(size_t)b * lanes + lane]);
	} else {
		zero = read_group(m->group, head, lanes, lane, b, out);
	}
	read_codes(f, head + cpu_head_bytes(type, m->group, lanes) +
		b * cpu_block_bytes(type, lanes), lanes, lane, zero, out->codes);
}

/* ---- products -------------------------------------------------------------------------------- */

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
