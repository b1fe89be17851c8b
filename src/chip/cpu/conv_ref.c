/* chip/cpu/conv_ref.c - causal depthwise convolution and silu, channel by channel
 * through the rows. */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

static void conv_channel(const struct cpu_conv *c, uint32_t channel)
{
	const uint32_t kept = c->width - 1;
	float inputs[CHIP_CONV_WIDTH_MAX];  /* the last ones, oldest first; inputs[kept] is
					     * the current one */

	for (uint32_t j = 0; j < kept; j++)
		inputs[j] = c->state_in ? c->state_in[(size_t)j * c->channels + channel] : 0.0F;
	for (uint32_t row = 0; row < c->rows; row++) {
		float sum = 0.0F;

		inputs[kept] = c->in[row * c->in_stride + channel];
		for (uint32_t j = 0; j < c->width; j++)
			sum = fmaf(c->taps[(size_t)j * c->channels + channel], inputs[j], sum);
		c->out[row * c->out_stride + channel - c->first] = math_siluf(sum);
		for (uint32_t j = 0; j < kept; j++)
			inputs[j] = inputs[j + 1];
	}
	for (uint32_t j = 0; j < kept; j++)
		c->state_out[(size_t)j * c->channels + channel] = inputs[j];
}

void ref_conv(const struct cpu_conv *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		conv_channel(c, c->first + i);
}
