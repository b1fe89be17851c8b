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
 * the stripes of kernels_ref.h.
 *
 * How it is computed. The largest of every CPU_MAXIMA logits come with them; where nothing changes
 * the logits, the largest of all, the first k and whatever is near the largest are found in the few
 * parts whose maximum says so. Sorting everything is avoided by looking only at what lies near the
 * largest first, and farther down only when that did not decide it: the result is that of
 * the whole sort.
 */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/prng.h"
#include "chip/cpu/cpu.h"

#define SPREAD_FIRST 2.0F     /* below the largest z: e^-2 of its weight */
#define SPREAD_LAST  512.0F   /* farther down weights are 0, but ids may still be wanted */

/* The scores l of 1 to 4, and the largest of each CPU_MAXIMA of them. z is not kept: a division is
 * quicker than another array. */
struct view {
	const float *scores;        /* [vocab] */
	const float *maxima;
	uint32_t vocab;
	float temperature;
};

static float z_of(const struct view *v, uint32_t id)
{
	return v->scores[id] / v->temperature;
}

/* ---- what changes the logits ----------------------------------------------------------------- */

static void apply_biases(const struct chip_sampling *s, float *scores, uint32_t vocab)
{
	for (uint32_t i = 0; i < s->bias_count; i++)
		if (s->biases[i].token < vocab)
			scores[s->biases[i].token] += s->biases[i].bias;
}

static void penalise(const struct chip_sampling *s, uint16_t tokens, float *score)
{
	const uint32_t count = tokens & CPU_SLOT_COUNT;
	float l = *score;

	if (tokens == 0)
		return;
	l = l > 0.0F ? l / s->repetition_penalty : l * s->repetition_penalty;
	if (count > 0)
		l = l - s->presence_penalty - s->frequency_penalty * (float)count;
	*score = l;
}

/* Most tokens were not seen: four at a time are passed over. */
static void apply_penalties(const struct chip_sampling *s, const uint16_t *counts, float *scores,
	uint32_t vocab)
{
	uint64_t four;
	uint32_t id = 0;

	for (; id + 4 <= vocab; id += 4) {
		memcpy(&four, counts + id, sizeof(four));
		for (uint32_t i = id; four && i < id + 4; i++)
			penalise(s, counts[i], &scores[i]);
	}
	for (; id < vocab; id++)
		penalise(s, counts[id], &scores[id]);
}

static void forbid(const struct chip_sampling *s, const uint32_t *mask, uint32_t position,
	float *scores, uint32_t vocab)
{
	const float never = -__builtin_inff();

	for (uint32_t first = 0; mask && first < vocab; first += 32) {
		const uint32_t end = math_min_u32(first + 32, vocab);

		for (uint32_t id = first; mask[first / 32] != UINT32_MAX && id < end; id++)
			scores[id] = mask[first / 32] >> id % 32 & 1 ? scores[id] : never;
	}
	for (uint32_t i = 0; i < s->banned_count && position < s->banned_until; i++)
		if (s->banned[i] < vocab)
			scores[s->banned[i]] = never;
}

/* The logits themselves where nothing changes them. */
static struct view view_of(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_choice *c)
{
	const struct chip_sampling *s = &c->slot->sampling;
	const bool bans = s->banned_count && c->position < s->banned_until;
	const struct view v = {c->logits, c->maxima, c->vocab, s->temperature};

	if (c->maxima && !s->bias_count && !c->slot->counts && !c->mask && !bans)
		return v;
	memcpy(scratch->scores, c->logits, c->vocab * sizeof(float));
	apply_biases(s, scratch->scores, c->vocab);
	if (c->slot->counts)
		apply_penalties(s, c->counts, scratch->scores, c->vocab);
	forbid(s, c->mask, c->position, scratch->scores, c->vocab);
	(void)kernels->maxima(scratch->scores, c->vocab, scratch->view_maxima);
	return (struct view){scratch->scores, scratch->view_maxima, c->vocab, s->temperature};
}

static uint32_t first_of_largest(const struct view *v)
{
	uint32_t best = 0;

	for (uint32_t part = 1; part < cpu_maxima_count(v->vocab); part++)
		if (v->maxima[part] > v->maxima[best])
			best = part;
	uint32_t id = best * CPU_MAXIMA;

	while (id + 1 < v->vocab && v->scores[id] != v->maxima[best])
		id++;
	return id;
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

/* Heapsort, of few. */
static void sort_few(uint64_t *keys, uint32_t count)
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

#define DIGIT_BITS 8
#define DIGITS     (1U << DIGIT_BITS)

/* Radix sort, most significant digit first (McIlroy, Bostic and McIlroy 1993): in place, and as
 * many digits a key as there are whatever the logits are. */
static void sort_digits(uint64_t *keys, uint32_t count, uint32_t shift)
{
	uint32_t ends[DIGITS] = {0}, next[DIGITS], first = 0;

	if (count <= DIGITS) {
		sort_few(keys, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		ends[keys[i] >> shift & (DIGITS - 1)]++;
	for (uint32_t digit = 0; digit < DIGITS; digit++) {
		next[digit] = first;
		ends[digit] = first += ends[digit];
	}
	for (uint32_t digit = 0; digit < DIGITS; digit++)
		while (next[digit] < ends[digit]) {
			const uint64_t key = keys[next[digit]];
			uint32_t *to = &next[key >> shift & (DIGITS - 1)];

			keys[next[digit]] = keys[*to];
			keys[(*to)++] = key;
		}
	for (uint32_t digit = 0; shift > 0 && digit < DIGITS; digit++) {
		const uint32_t begin = digit ? ends[digit - 1] : 0;

		sort_digits(keys + begin, ends[digit] - begin, shift - DIGIT_BITS);
	}
}

static void sort_keys(uint64_t *keys, uint32_t count)
{
	sort_digits(keys, count, 64 - DIGIT_BITS);
}

/* All that are allowed and whose z is no smaller than least. */
static uint32_t collect(const struct cpu_sampler *scratch, const struct view *v, float least)
{
	uint32_t count = 0;

	for (uint32_t first = 0; first < v->vocab; first += CPU_MAXIMA) {
		const uint32_t end = math_min_u32(first + CPU_MAXIMA, v->vocab);

		if (!(v->maxima[first / CPU_MAXIMA] / v->temperature >= least))
			continue;
		for (uint32_t id = first; id < end; id++) {
			const float z = z_of(v, id);

			if (z >= least && z > -__builtin_inff())
				scratch->candidates[count++] = candidate_key(z, id);
		}
	}
	return count;
}

/* What the k first are no smaller than: the k-th of the maxima, if there are so many. */
static float least_of_first(const struct cpu_sampler *scratch, const struct view *v, uint32_t k)
{
	uint64_t *keys = scratch->candidates;   /* a heap, the smallest maximum on top */
	const uint32_t count = cpu_maxima_count(v->vocab);

	if (count < k)
		return -__builtin_inff();
	for (uint32_t i = 0; i < k; i++)
		keys[i] = candidate_key(v->maxima[i], i);
	for (uint32_t root = k / 2; root-- > 0;)
		sift_down(keys, root, k);
	for (uint32_t i = k; i < count; i++) {
		const uint64_t key = candidate_key(v->maxima[i], i);

		if (key < keys[0]) {
			keys[0] = key;
			sift_down(keys, 0, k);
		}
	}
	return v->maxima[(uint32_t)keys[0]] / v->temperature;
}

/* How many of the sorted candidates stay; their weights go into scratch, their sum into *sum. */
static uint32_t keep(const struct cpu_sampler *scratch, const struct view *v,
	const struct chip_sampling *s, uint32_t top_k, double total, float largest, uint32_t count,
	double *sum)
{
	const uint32_t most = top_k && top_k < count ? top_k : count;
	uint32_t kept = 0;
	double limit;

	for (uint32_t i = 0; i < most; i++)
		scratch->weights[i] =
			math_expf(z_of(v, (uint32_t)scratch->candidates[i]) - largest);
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
static void measure_distances(const struct cpu_sampler *scratch, const struct view *v,
	uint32_t count, double sum, float largest)
{
	double mean = 0.0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t id = (uint32_t)scratch->candidates[i];

		if (scratch->weights[i] > 0.0F)
			mean += (double)scratch->weights[i] *
				(double)(z_of(v, id) - largest);
	}
	mean /= sum;
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t id = (uint32_t)scratch->candidates[i];
		const double away = (double)(z_of(v, id) - largest) - mean;
		const float distance = scratch->weights[i] > 0.0F
			? (float)(away < 0.0 ? -away : away) : __builtin_inff();

		scratch->candidates[i] = (uint64_t)math_f32_bits(distance) << 32 | id;
	}
}

/* Takes the weight of all candidates away that are not typical; returns what is left of sum. The
 * largest distance that stays is found by bisection over the bits: sums of more candidates in the
 * same order are never smaller. */
static double keep_typical(const struct cpu_sampler *scratch, const struct view *v, float mass,
	uint32_t count, double sum, float largest)
{
	uint32_t low = 0, high = math_f32_bits(__builtin_inff());

	measure_distances(scratch, v, count, sum, largest);
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
	const struct cpu_sampler *scratch, const struct view *v, const struct chip_sampling *s,
	uint32_t top_k, float largest)
{
	const float everything = -__builtin_inff();
	const double total = top_k || !(s->top_p < 1.0F) ? 0.0
		: kernels->exponentials(v->scores, v->temperature, largest, v->vocab, NULL);
	struct cpu_distribution d = {.ids = scratch->candidates};

	for (float spread = SPREAD_FIRST;; spread *= 2.0F) {
		const float least = top_k ? least_of_first(scratch, v, top_k)
			: spread > SPREAD_LAST ? everything : largest - spread;
		const uint32_t count = collect(scratch, v, least);

		sort_keys(scratch->candidates, count);
		d.count = keep(scratch, v, s, top_k, total, largest, count, &d.sum);
		if (top_k || d.count < count || !(least > everything))
			break;
	}
	if (wants_typical(s))
		d.sum = keep_typical(scratch, v, s->typical_p, d.count, d.sum, largest);
	return d;
}

static struct cpu_distribution unfiltered(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct view *v, const struct chip_sampling *s,
	float largest)
{
	struct cpu_distribution d = {.count = v->vocab};

	d.sum = kernels->exponentials(v->scores, v->temperature, largest, v->vocab,
		scratch->weights);
	if (wants_typical(s)) {
		for (uint32_t id = 0; id < v->vocab; id++)
			scratch->candidates[id] = id;
		d.sum = keep_typical(scratch, v, s->typical_p, v->vocab, d.sum, largest);
	}
	return d;
}

struct cpu_distribution cpu_distribution(const struct cpu_kernels *kernels,
	const struct cpu_sampler *scratch, const struct cpu_choice *c)
{
	const struct chip_sampling *s = &c->slot->sampling;
	const uint32_t top_k = s->top_k <= CHIP_CANDIDATES_MAX ? s->top_k : 0;
	const struct view v = view_of(kernels, scratch, c);
	const uint32_t best = first_of_largest(&v);

	if (!(v.scores[best] > -__builtin_inff()))
		return (struct cpu_distribution){.count = 0};
	if (!(s->temperature > 0.0F))
		return only(scratch, best);
	const float largest = z_of(&v, best);

	if (!(largest < __builtin_inff()))
		/* beyond f32 no weight can be formed: the limit is the choice of 5 */
		return only(scratch, best);
	if (top_k || s->top_p < 1.0F || s->min_p > 0.0F)
		return filtered(kernels, scratch, &v, s, top_k, largest);
	return unfiltered(kernels, scratch, &v, s, largest);
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

/* NaN among them: a logit is not finite. */
static bool all_finite(const float *maxima, uint32_t count)
{
	bool finite = true;

	for (uint32_t i = 0; i < count; i++)
		finite = finite && maxima[i] == maxima[i];
	return finite;
}

uint32_t cpu_sample(const struct cpu_kernels *kernels, const struct cpu_sampler *scratch,
	const struct cpu_choice *choice, struct chip_logprobs *logprobs, bool *finite)
{
	const struct chip_sampling *s = &choice->slot->sampling;
	struct cpu_choice c = *choice;

	if (c.maxima) {
		*finite = all_finite(c.maxima, cpu_maxima_count(c.vocab));
	} else {
		*finite = kernels->maxima(c.logits, c.vocab, scratch->maxima);
		c.maxima = scratch->maxima;
	}
	if (!*finite)
		return CHIP_NONE;
	const uint32_t token = c.forced != CHIP_NONE ? c.forced : choose(kernels, scratch, &c);

	if (token == CHIP_NONE)
		return CHIP_NONE;
	assert(token < c.vocab);
	if (s->logprobs)
		cpu_logprobs(kernels, c.logits, c.maxima, c.vocab, token, s->top_logprobs,
			logprobs);
	return token;
}
