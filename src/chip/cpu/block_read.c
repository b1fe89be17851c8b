/* chip/cpu/block_read.c - a block of one lane of a panel (block.h), read plainly. */
#include "chip/cpu/block.h"

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
	const uint32_t each = f->halves ? 2 : 1;
	const uint8_t *bytes = head + (size_t)(f->minima ? 4 : 2) * lanes + lane;

	out->record_scale = half_at(head, lane);
	for (uint32_t i = 0; i < 2; i++) {
		out->factors[i] = (int8_t)bytes[(size_t)(each * b + i % each) * lanes];
		out->scales[i] = out->record_scale * (float)out->factors[i];
	}
	if (f->minima) {
		out->record_least = -half_at(head, (size_t)lanes + lane);
		out->least_factor = bytes[(size_t)(CPU_RECORD_BLOCKS + b) * lanes];
		out->least = out->record_least * (float)out->least_factor;
	}
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
