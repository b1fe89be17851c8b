/* chip/cpu/unpack_ref.c - stored rows into an f32 panel, one after the other, by the decoders of
 * format.h. */
#include "chip/cpu/kernels_ref.h"

#include "chip/format.h"

void ref_unpack(const struct cpu_stored *s, uint32_t lanes, uint32_t first, uint32_t count,
	float *panel)
{
	float part[CHIP_BLOCK_MAX] = {0};

	for (uint32_t at = 0; at < count; at += CHIP_BLOCK_MAX) {
		const uint32_t columns = count - at < CHIP_BLOCK_MAX ? count - at : CHIP_BLOCK_MAX;

		for (uint32_t lane = 0; lane < lanes; lane++) {
			const uint8_t *row = s->rows + lane * s->row_bytes;

			if (lane < s->count)
				chip_row_part_to_f32(s->type, s->group, row, first + at, columns,
					part);
			for (uint32_t j = 0; j < columns; j++)
				panel[(size_t)(at + j) * lanes + lane] = lane < s->count ? part[j]
					: 0.0F;
		}
	}
}
