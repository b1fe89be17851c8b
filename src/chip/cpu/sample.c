/* chip/cpu/sample.c - from logits to a token. The same logits and seed give the same
 * token everywhere.
 *
 * What is computed, in this order (Hugging Face's), all in f32 but for sums, which are f64:
 *
 *   1. l += bias
 *   2. repetition penalty r on every token of prompt and answer: l > 0 ? l / r : l * r
 *   3. l -= presence, for every token of the answer; l -= frequency * count
 *   4. tokens that the mask forbids, and banned ones before banned_until, leave
 *   5. temperature 0: the largest l, the lower id among equals. Else z = l / temperature
 *   6. top_k: the k first in the order (z down, id up) stay
 *   7. top_p: in that order a token stays while the weights exp(z - largest z) before it add up to
 *      less than top_p of all that top_k left; the first always stays
 *   8. min_p: a token stays if its weight is at least min_p (the largest weight is 1)
 *   9. typical_p: of what is left, those stay whose -log p is nearest to their entropy, as few as
 *      have typical_p of the weight, with all that are as near as the last of them. -log p and the
 *      entropy differ from -z and the mean of -z by the same number, so that is what is compared
 *  10. u = the upper 53 bits of prng_hash(seed, position) as a fraction: the first token whose
 *      running sum of weights exceeds u of their sum, in the order above when 6, 7 or 8 was asked
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

static void apply_biases(const struct chip_sampling *s, float *scores, uint32_t vocab)
{
	for (uint32_t i = 0; i < s->bias_count; i++)
		if (s->biases[i].token < vocab)
			scores[s->biases[i].token] += s->biases[i].bias;
}

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

/* ---- locally typical sampling ---------------------------------------------------------------- */

/* The weight of all candidates that are at most so far from the entropy. */
static double weight_within(const struct cpu_sampler *scratch, uint32_t count, uint32_t distance)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < count; i++)
		if (scratch->candidates[i] >> 32 <= distance)
			sum += (double)scratch->weights[i];
	return sum;
}

/* The candidates' scores give way to their distances, as bits of f32, which order as numbers do. */
static void measure_distances(const struct cpu_sampler *scratch, uint32_t count, double sum,
	float largest)
{
	double mean = 0.0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t id = (uint32_t)scratch->candidates[i];

		if (scratch->weights[i] > 0.0F)
			mean += (double)scratch->weights[i] *
				(double)(scratch->scores[id] - largest);
	}
	mean /= sum;
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t id = (uint32_t)scratch->candidates[i];
		const double away = (double)(scratch->scores[id] - largest) - mean;
		const float distance = scratch->weights[i] > 0.0F
			? (float)(away < 0.0 ? -away : away) : __builtin_inff();

		scratch->candidates[i] = (uint64_t)math_f32_bits(distance) << 32 | id;
	}
}

/* Takes the weight of all candidates away that are not typical; returns what is left of sum. The
 * largest distance that stays is found by bisection over the bits: sums of more candidates in the
 * same order are never smaller. */
static double keep_typical(const struct cpu_sampler *scratch, float mass, uint32_t count,
	double sum, float largest)
{
	uint32_t low = 0, high = math_f32_bits(__builtin_inff());

	measure_distances(scratch, count, sum, largest);
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (weight_within(scratch, count, middle) >= (double)mass * sum)
			high = middle;
		else
			low = middle + 1;
	}
	for (uint32_t i = 0; i < count; i++)
		if (scratch->candidates[i] >> 32 > low)
			scratch->weights[i] = 0.0F;
	return weight_within(scratch, count, low);
}

static bool wants_typical(const struct chip_sampling *s)
{
	return s->typical_p > 0.0F && s->typical_p < 1.0F;
}

/* ---- what may be drawn ----------------------------------------------------------------------- */

static struct cpu_distribution only(const struct cpu_sampler *scratch, uint32_t id)
{
	scratch->candidates[0] = id;
	scratch->weights[0] = 1.0F;
	return (struct cpu_distribution){.ids = scratch->candidates, .count = 1, .sum = 1.0};
}

static struct cpu_distribution filtered(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct chip_sampling *s, uint32_t top_k,
	uint32_t vocab, float largest)
{
	const double total = top_k ? 0.0 : kernels->exponentials(scratch->scores, largest, vocab,
		NULL);
	struct cpu_distribution d = {.ids = scratch->candidates};

	for (float spread = SPREAD_FIRST;; spread *= 4.0F) {
		const bool all = spread > SPREAD_LAST;
		const uint32_t count = collect(scratch, vocab,
			all ? -__builtin_inff() : largest - spread);

		if (count < top_k && !all)
			continue;
		sort_keys(scratch->candidates, count);
		d.count = keep(scratch, s, top_k, total, largest, count, &d.sum);
		if (d.count < count || (top_k && count >= top_k) || all)
			break;
	}
	if (wants_typical(s))
		d.sum = keep_typical(scratch, s->typical_p, d.count, d.sum, largest);
	return d;
}

static struct cpu_distribution unfiltered(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct chip_sampling *s, uint32_t vocab,
	float largest)
{
	struct cpu_distribution d = {.count = vocab};

	d.sum = kernels->exponentials(scratch->scores, largest, vocab, scratch->weights);
	if (wants_typical(s)) {
		for (uint32_t id = 0; id < vocab; id++)
			scratch->candidates[id] = id;
		d.sum = keep_typical(scratch, s->typical_p, vocab, d.sum, largest);
	}
	return d;
}

struct cpu_distribution cpu_distribution(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct cpu_choice *c)
{
	const struct chip_sampling *s = &c->slot->sampling;
	const uint32_t top_k = s->top_k <= CHIP_CANDIDATES_MAX ? s->top_k : 0;

	for (uint32_t id = 0; id < c->vocab; id++)
		scratch->scores[id] = c->logits[id];
	apply_biases(s, scratch->scores, c->vocab);
	if (c->slot->counts)
		apply_penalties(s, c->counts, scratch->scores, c->vocab);
	forbid(s, c->mask, c->position, scratch->scores, c->vocab);
	const uint32_t best = first_of_largest(scratch->scores, c->vocab);

	if (!(scratch->scores[best] > -__builtin_inff()))
		return (struct cpu_distribution){.count = 0};
	if (!(s->temperature > 0.0F))
		return only(scratch, best);
	for (uint32_t id = 0; id < c->vocab; id++)
		scratch->scores[id] /= s->temperature;
	const float largest = scratch->scores[best];

	if (!(largest < __builtin_inff()))
		/* beyond f32 no weight can be formed: the limit is the choice of 5 */
		return only(scratch, best);
	if (top_k || s->top_p < 1.0F || s->min_p > 0.0F)
		return filtered(kernels, scratch, s, top_k, c->vocab, largest);
	return unfiltered(kernels, scratch, s, c->vocab, largest);
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

static uint32_t choose(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_choice *c)
{
	const struct cpu_distribution d = cpu_distribution(kernels, scratch, c);
	const double unit = unit_of(&c->slot->sampling, c->position);

	if (d.count == 0)
		return CHIP_NONE;
	const uint32_t drawn = draw(scratch->weights, d.count, unit * d.sum);

	return d.ids ? (uint32_t)d.ids[drawn] : drawn;
}

uint32_t cpu_sample(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_choice *c, struct chip_logprobs *logprobs, bool *finite)
{
	const struct chip_sampling *s = &c->slot->sampling;
	float largest;

	*finite = kernels->largest(c->logits, c->vocab, &largest);
	if (!*finite)
		return CHIP_NONE;
	const uint32_t token = c->forced != CHIP_NONE ? c->forced : choose(kernels, scratch, c);

	if (token == CHIP_NONE)
		return CHIP_NONE;
	assert(token < c->vocab);
	if (s->logprobs)
		cpu_logprobs(kernels, c->logits, c->vocab, largest, token, s->top_logprobs,
			logprobs);
	return token;
}
