/* chip/cpu/multiply.c - a packed matrix, or one part of it, times rows of inputs: by the kernel of
 * its type, or panel by panel through f32.
 *
 *	stored rows --unpack--> scratch, CPU_STORED_COLUMNS wide --> f32 kernel
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "chip/cpu/cpu.h"
#include "chip/format.h"

size_t cpu_weight_scratch_floats(const struct cpu_weight *w)
{
	if (!w->stored)
		return 0;
	return (size_t)w->lanes *
		(w->column_order ? w->base.columns + (size_t)CHIP_BLOCK_MAX
				 : CPU_STORED_PANELS * (size_t)CPU_STORED_COLUMNS);
}

/* One panel whose columns lie in an order of their own: whole, for all rows of inputs. */
static void multiply_reordered(const struct cpu_kernels *k, const struct cpu_weight *w,
	const struct cpu_matmul *m, const struct cpu_stored *s, float *scratch)
{
	const size_t column_bytes = w->lanes * sizeof(float);
	struct cpu_matmul plain = *m;
	float *part = scratch + (size_t)w->base.columns * w->lanes;

	for (uint32_t at = 0; at < w->base.columns; at += CHIP_BLOCK_MAX) {
		const uint32_t count = math_min_u32(w->base.columns - at, CHIP_BLOCK_MAX);

		k->unpack(s, w->lanes, at, count, part);
		for (uint32_t j = 0; j < count; j++)
			memcpy(scratch + (size_t)w->column_order[at + j] * w->lanes,
				part + (size_t)j * w->lanes, column_bytes);
	}
	plain.panels = (const uint8_t *)scratch;
	k->matmul[CHIP_F32](&plain, 0, 1);
}

/* Some panels, columns part by part; between parts a sum waits in the output, exactly. */
static void multiply_parts(const struct cpu_kernels *k, const struct cpu_weight *w,
	const struct cpu_matmul *m, const struct cpu_stored *s, uint32_t panels, float *scratch)
{
	struct cpu_matmul plain = *m;

	plain.panels = (const uint8_t *)scratch;
	for (uint32_t at = 0; at < w->base.columns; at += CPU_STORED_COLUMNS) {
		plain.columns = math_min_u32(w->base.columns - at, CPU_STORED_COLUMNS);
		plain.panel_bytes = (size_t)plain.columns * w->lanes * sizeof(float);
		for (uint32_t p = 0; p < panels; p++)
			k->unpack(&s[p], w->lanes, at, plain.columns,
				scratch + (size_t)p * plain.columns * w->lanes);
		plain.in.rows = m->in.rows + at;
		plain.add = at > 0;
		k->matmul[CHIP_F32](&plain, 0, panels);
	}
}

/* Panels decoded to f32 as they are needed: whatever the shares, the bits are those of the f32
 * matrix. */
static void multiply_stored(const struct cpu_kernels *k, const struct cpu_weight *w, uint32_t part,
	const struct cpu_matmul *m, uint32_t first, uint32_t end, float *scratch)
{
	const uint32_t together = w->column_order ? 1 : CPU_STORED_PANELS;

	for (uint32_t panel = first; panel < end; panel += together) {
		const uint32_t panels = math_min_u32(end - panel, together);
		struct cpu_stored s[CPU_STORED_PANELS];
		struct cpu_matmul some = *m;

		for (uint32_t p = 0; p < panels; p++) {
			const uint32_t index = part * w->part_panels + panel + p;

			s[p] = (struct cpu_stored){.type = w->base.type, .group = w->base.group,
				.rows = cpu_weight_panel(w, index), .row_bytes = w->row_bytes};
			(void)cpu_weight_panel_rows(w, index, &s[p].count);
		}
		some.out += (size_t)panel * w->lanes;
		some.outputs -= panel * w->lanes;
		if (w->column_order)
			multiply_reordered(k, w, &some, s, scratch);
		else
			multiply_parts(k, w, &some, s, panels, scratch);
	}
}

void cpu_weight_multiply(const struct cpu_kernels *kernels, const struct cpu_weight *w,
	uint32_t part, const struct cpu_input *in, uint32_t rows, float *out, size_t out_stride,
	uint32_t first, uint32_t end, float *scratch)
{
	const struct cpu_matmul m = {
		.panels = w->stored ? NULL : cpu_weight_panel(w, part * w->part_panels),
		.panel_bytes = w->panel_bytes,
		.scales_bytes = w->scales_bytes,
		.type = w->base.type,
		.lanes = w->lanes,
		.pairs = w->pairs,
		.columns = w->base.columns,
		.group = w->group,
		.outputs = w->part_rows,
		.in = *in,
		.rows = rows,
		.out = out,
		.out_stride = out_stride,
	};

	assert(part < w->base.parts && first < end && end <= w->part_panels);
	if (w->stored)
		multiply_stored(kernels, w, part, &m, first, end, scratch);
	else
		kernels->matmul[w->base.type](&m, first, end);
}
