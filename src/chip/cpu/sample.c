/* chip/cpu/sample.c - from logits to a token. The same logits and seed give the same
 * token everywhere.
 *
 * What is computed, in this order (Hugging Face's), all in f32 but for sums, which are f64:
 *
 *   1. repetition penalty r on every token of prompt and answer: l > 0 ? l / r : l * r
 *   2. l -= presence, for every token of the answer; l -= frequency * count
 *   3. tokens that the mask forbids, and banned ones before banned_until, leave
 *   4. temperature 0: the largest l, the lower id among equals. Else z = l / temperature
 *   5. top_k: the k first in the order (z down, id up) stay
 *   6. top_p: in that order a token stays while the weights exp(z - largest z) before it add up to
 *      less than top_p of all that top_k left; the first always stays
 *   7. min_p: a token stays if its weight is at least min_p (the largest weight is 1)
 *   8. u = the upper 53 bits of prng_hash(seed, position) as a fraction: the first token whose
 *      running sum of weights exceeds u of their sum, in the order above when 5, 6 or 7 was asked
 *      for, else by id
 *
 * Sums in the order of candidates run one by one; the sum over the whole vocabulary runs in
 * the stripes of kernels_ref.h. Sorting everything is avoided by looking only at what lies
 * near the largest first, and farther down only when that did not decide it: the result is
 * that of the whole sort.
 */
#include <assert.h>

#include "base/math.h"
#include "base/prng.h"
#include "chip/cpu/cpu.h"

#define SPREAD_FIRST 8.0F     /* below the largest z: e^-8 of its weight */
#define SPREAD_LAST  512.0F   /* farther down weights are 0, but ids may still be wanted */

static void apply_penalties(const struct chip_sampling *s, const uint16_t *counts, float *scores,
	uint32_t vocab)
{
	for (uint32_t id = 0; id < vocab; id++) {
		const uint32_t count = counts[id] & CPU_SLOT_COUNT;

		if (counts[id] == 0)
			continue;
		float l = scores[id];

		l = l > 0.0F ? l / s->repetition_penalty : l * s->repetition_penalty;
		if (count > 0)
			l = l - s->presence_penalty - s->frequency_penalty * (float)count;
		scores[id] = l;
	}
}

static void forbid(const struct chip_sampling *s, const uint32_t *mask, uint32_t position,
	float *scores, uint32_t vocab)
{
	const float never = -__builtin_inff();

	for (uint32_t id = 0; mask && id < vocab; id++)
		if (!(mask[id / 32] >> id % 32 & 1))
			scores[id] = never;
	for (uint32_t i = 0; i < s->banned_count && position < s->banned_until; i++)
		if (s->banned[i] < vocab)
			scores[s->banned[i]] = never;
}

static uint32_t first_of_largest(const float *scores, uint32_t vocab)
{
	uint32_t best = 0;

	for (uint32_t id = 1; id < vocab; id++)
		if (scores[id] > scores[best])
			best = id;
	return best;
}

/* ---- candidates: sorted by score down, id up ------------------------------------------------- */

/* Score and id in one number that sorts the right way round: larger scores give smaller numbers. */
static uint64_t candidate_key(float score, uint32_t id)
{
	const uint32_t bits = math_f32_bits(score + 0.0F);   /* minus zero equals zero */
	const uint32_t rising = bits & 0x80000000U ? ~bits : bits | 0x80000000U;

	return (uint64_t)~rising << 32 | id;
}

static void sift_down(uint64_t *keys, uint32_t root, uint32_t count)
{
	const uint64_t key = keys[root];

	for (uint32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
		if (child + 1 < count && keys[child + 1] > keys[child])
			child++;
		if (keys[child] <= key)
			break;
		keys[root] = keys[child];
		root = child;
	}
	keys[root] = key;
}

/* Heapsort: in place, and never slower than n log n whatever the logits are. */
static void sort_keys(uint64_t *keys, uint32_t count)
{
	for (uint32_t root = count / 2; root-- > 0;)
		sift_down(keys, root, count);
	for (uint32_t end = count; end-- > 1;) {
		const uint64_t largest = keys[0];

		keys[0] = keys[end];
		keys[end] = largest;
		sift_down(keys, 0, end);
	}
}

static uint32_t collect(const struct cpu_sampler *scratch, uint32_t vocab, float above)
{
	uint32_t count = 0;

	for (uint32_t id = 0; id < vocab; id++)
		if (scratch->scores[id] > above)
			scratch->candidates[count++] = candidate_key(scratch->scores[id], id);
	return count;
}

/* How many of the sorted candidates stay; their weights go into scratch, their sum into *sum. */
static uint32_t keep(const struct cpu_sampler *scratch, const struct chip_sampling *s,
	uint32_t top_k, double total, float largest, uint32_t count, double *sum)
{
	const uint32_t most = top_k && top_k < count ? top_k : count;
	uint32_t kept = 0;
	double limit;

	for (uint32_t i = 0; i < most; i++)
		scratch->weights[i] =
			math_expf(scratch->scores[(uint32_t)scratch->candidates[i]] - largest);
	if (top_k) {
		total = 0.0;
		for (uint32_t i = 0; i < most; i++)
			total += (double)scratch->weights[i];
	}
	limit = s->top_p < 1.0F ? (double)s->top_p * total : __builtin_inf();
	*sum = 0.0;
	while (kept < most && (kept == 0 || (*sum < limit && scratch->weights[kept] >= s->min_p)))
		*sum += (double)scratch->weights[kept++];
	return kept;
}

/* ---- the draw -------------------------------------------------------------------------------- */

static double unit_of(const struct chip_sampling *s, uint32_t position)
{
	return (double)(prng_hash(s->seed, position) >> 11) * 0x1p-53;
}

/* The first place where the running sum exceeds target; the last one with a weight if
 * rounding let it slip. */
static uint32_t draw(const float *weights, uint32_t count, double target)
{
	double sum = 0.0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!(weights[i] > 0.0F))
			continue;
		sum += (double)weights[i];
		if (sum > target)
			return i;
		last = i;
	}
	return last;
}

static uint32_t sample_filtered(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct chip_sampling *s, uint32_t top_k,
	uint32_t vocab, float largest, double unit)
{
	const double total = top_k ? 0.0 : kernels->exponentials(scratch->scores, largest, vocab,
		NULL);
	uint32_t count, kept;
	double sum;

	for (float spread = SPREAD_FIRST;; spread *= 4.0F) {
		const bool all = spread > SPREAD_LAST;

		count = collect(scratch, vocab, all ? -__builtin_inff() : largest - spread);
		if (count < top_k && !all)
			continue;
		sort_keys(scratch->candidates, count);
		kept = keep(scratch, s, top_k, total, largest, count, &sum);
		if (kept < count || (top_k && count >= top_k) || all)
			break;
	}
	return (uint32_t)scratch->candidates[draw(scratch->weights, kept, unit * sum)];
}

static uint32_t sample_token(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct chip_sampling *s, uint32_t vocab, uint32_t position)
{
	const uint32_t best = first_of_largest(scratch->scores, vocab);
	const uint32_t top_k = s->top_k <= CHIP_CANDIDATES_MAX ? s->top_k : 0;

	if (!(scratch->scores[best] > -__builtin_inff()))
		return CHIP_NONE;   /* everything is forbidden */
	if (!(s->temperature > 0.0F))
		return best;
	for (uint32_t id = 0; id < vocab; id++)
		scratch->scores[id] /= s->temperature;
	const float largest = scratch->scores[best];

	if (!(largest < __builtin_inff()))
		/* beyond f32 no weight can be formed: the limit is the choice of 4 */
		return best;
	const double unit = unit_of(s, position);

	if (top_k || s->top_p < 1.0F || s->min_p > 0.0F)
		return sample_filtered(kernels, scratch, s, top_k, vocab, largest, unit);
	const double sum = kernels->exponentials(scratch->scores, largest, vocab, scratch->weights);

	return draw(scratch->weights, vocab, unit * sum);
}

uint32_t cpu_sample(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_slot *slot, const uint16_t *counts, const uint32_t *mask,
	const float *logits,
	uint32_t vocab, uint32_t position, float *logprob, bool *finite)
{
	float largest;

	*finite = kernels->largest(logits, vocab, &largest);
	if (!*finite)
		return CHIP_NONE;
	for (uint32_t id = 0; id < vocab; id++)
		scratch->scores[id] = logits[id];
	if (slot->counts)
		apply_penalties(&slot->sampling, counts, scratch->scores, vocab);
	forbid(&slot->sampling, mask, position, scratch->scores, vocab);
	const uint32_t token = sample_token(kernels, scratch, &slot->sampling, vocab, position);

	if (token == CHIP_NONE)
		return CHIP_NONE;
	assert(token < vocab);
	if (logprob) {
		const double sum = kernels->exponentials(logits, largest, vocab, NULL);

		*logprob = (float)((double)logits[token] - (double)largest - math_log(sum));
	}
	return token;
}
