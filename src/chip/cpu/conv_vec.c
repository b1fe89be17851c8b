/* chip/cpu/conv_vec.c - conv_ref.c in vectors of channels.
 *
 * The rows are overwritten as they are used, so the last inputs are kept in a ring of rows of this
 * share: slot t mod width holds the input of row t - (width - 1).
 */
#include "chip/cpu/kernels_vec.h"

#include <string.h>

struct ring {
	float rows[CHIP_CONV_WIDTH_MAX][CPU_COLUMN_PART];
};

/* One row: oldest tap first. first_slot is where the oldest input lies. */
static void conv_row(const struct cpu_conv *c, const struct ring *ring, uint32_t first_slot,
	float *data)
{
	for (uint32_t i = 0; i < c->count; i += VEC_LANES) {
		const uint32_t n = vec_lanes_at(i, c->count);
		const float *taps = c->taps + c->first + i;
		vec sum = vec_set(0.0F);
		uint32_t slot = first_slot;

		for (uint32_t j = 0; j < c->width; j++) {
			sum = vec_fma(vec_load_n(taps + (size_t)j * c->channels, n),
				vec_load_n(ring->rows[slot] + i, n), sum);
			slot = slot + 1 == c->width ? 0 : slot + 1;
		}
		vec_store_n(data + i, vec_silu(sum), n);
	}
}

void VEC_NAME(conv)(const struct cpu_conv *c)
{
	const uint32_t kept = c->width - 1;
	const size_t bytes = c->count * sizeof(float);
	struct ring ring;
	uint32_t oldest = 0;

	for (uint32_t j = 0; j < kept; j++) {
		if (c->state_in)
			memcpy(ring.rows[j], c->state_in + (size_t)j * c->channels + c->first,
				bytes);
		else
			memset(ring.rows[j], 0, bytes);
	}
	for (uint32_t row = 0; row < c->rows; row++) {
		float *data = c->data + row * c->stride + c->first;

		memcpy(ring.rows[(oldest + kept) % c->width], data, bytes);
		conv_row(c, &ring, oldest, data);
		oldest = (oldest + 1) % c->width;
	}
	for (uint32_t j = 0; j < kept; j++)
		memcpy(c->state_out + (size_t)j * c->channels + c->first,
			ring.rows[(oldest + j) % c->width], bytes);
}
