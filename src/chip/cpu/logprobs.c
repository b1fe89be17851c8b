/* chip/cpu/logprobs.c - how likely the chosen token was, and which were the likeliest: the
 * logarithm of softmax(logits), as the model gave them. */
#include "base/math.h"
#include "chip/cpu/cpu.h"

/* The likeliest first, the lower id among equals. Here logprob is still the logit. */
static void find_top(const float *logits, const float *maxima, uint32_t vocab, uint32_t wanted,
	struct chip_logprobs *out)
{
	struct chip_logprob *top = out->top;
	uint32_t count = 0;

	for (uint32_t id = 0; wanted > 0 && id < vocab; id++) {
		uint32_t at = count;

		if (count == wanted && id % CPU_MAXIMA == 0 &&
		    !(maxima[id / CPU_MAXIMA] > top[count - 1].logprob)) {
			id += CPU_MAXIMA - 1;   /* none of them */
			continue;
		}
		if (count == wanted && !(logits[id] > top[count - 1].logprob))
			continue;
		at -= count == wanted;
		for (; at > 0 && logits[id] > top[at - 1].logprob; at--)
			top[at] = top[at - 1];
		top[at] = (struct chip_logprob){.token = id, .logprob = logits[id]};
		count += count < wanted;
	}
	out->top_count = count;
}

static float logprob_of(float logit, float largest, double log_sum)
{
	return (float)((double)logit - (double)largest - log_sum);
}

void cpu_logprobs(const struct cpu_kernels *kernels, const float *logits, const float *maxima,
	uint32_t vocab, uint32_t token, uint32_t top_count, struct chip_logprobs *out)
{
	float largest = maxima[0];

	for (uint32_t i = 1; i < cpu_maxima_count(vocab); i++)
		largest = maxima[i] > largest ? maxima[i] : largest;
	const double log_sum = math_log(kernels->exponentials(logits, 1.0F, largest, vocab, NULL));

	out->chosen = logprob_of(logits[token], largest, log_sum);
	find_top(logits, maxima, vocab, top_count, out);
	for (uint32_t i = 0; i < out->top_count; i++)
		out->top[i].logprob = logprob_of(out->top[i].logprob, largest, log_sum);
}
