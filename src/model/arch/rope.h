/* model/arch/rope.h - rotary frequencies of a config, as transformers computes them.
 *
 * Every step is rounded to float where theirs is: a frequency that differs in its last bit is an
 * angle that is off by a twentieth at a million tokens.
 */
#ifndef MODEL_ARCH_ROPE_H
#define MODEL_ARCH_ROPE_H

#include "base/err.h"
#include "model/arch/config.h"

/* Fills rope_frequencies and rope_factor from the other fields, which are in their bounds.
 * divisors: of each frequency, [rotary_dim / 2] (rope_freqs.weight of GGUF), or NULL. ERR_INPUT for
 * a frequency that no chip takes. */
enum err rope_fill(struct model_config *c, const float *divisors, struct err_info *info) MUST_CHECK;

/* Of a config that llama3 scales: what GGUF divides the plain frequencies by, [rotary_dim / 2]. The
 * quotients are the frequencies but for the last bit of some that no divisor gives. */
void rope_divisors(const struct model_config *c, float *out);

/* What YaRN multiplies cosines and sines with where the files do not say. */
double rope_yarn_attention(double factor);

#endif
