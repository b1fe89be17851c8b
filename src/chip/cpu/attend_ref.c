/* chip/cpu/attend_ref.c - attention of one query over the keys of a span, block by block.
 *
 * Per block: scores, the new maximum, then what was summed so far is scaled down to it and the
 * block's weighted values are added key by key. The maximum is exact, so only the order of blocks
 * and keys, counted from the start of the sequence, decides the bits.
 *
 * Where bf16 is rounded, two terms are added at a time, the second of a pair first, as vdpbf16ps
 * does; the sum of the weights is then of the rounded ones. Scores are powers of 2 there, and a
 * weight that is rounded to 8 bits is computed to 13.
 *
 * Over keys of q8_0 a query is quantized as well: an exact integer for each block of dimensions.
 */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

#define PAGE CHIP_PAGE_TOKENS

/* Keys of a block that a query sees: [first, end), counted from the block's start. */
struct seen {
	uint32_t first, end;
};

static bool is_rounded(const struct cpu_attend *a)
{
	return a->rounded && a->kv_type == CHIP_BF16;
}

/* To nearest even; what is below the smallest normal number is 0. */
static float round_bf16(float x)
{
	return fabsf(x) < 0x1p-126F ? 0.0F : math_f32_from_bf16(math_bf16_from_f32(x));
}

/* 2^x for x of at most 0. */
static float power_of_2(float x)
{
	if (x < -200.0F)
		return 0.0F;
	const int32_t whole = x == x ? (int32_t)x : 0;
	const int32_t n = (float)whole > x ? whole - 1 : whole;
	const float r = x - (float)n;
	float p = CPU_POWER_3;

	p = fmaf(p, r, CPU_POWER_2);
	p = fmaf(p, r, CPU_POWER_1);
	p = fmaf(p, r, CPU_POWER_0);
	return p * math_f32_from_bits((uint32_t)(n / 2 + 127) << 23) *
		math_f32_from_bits((uint32_t)(n - n / 2 + 127) << 23);
}

/* Of a score that lies so far below the largest. */
static float weight_of(const struct cpu_attend *a, float below)
{
	return is_rounded(a) ? round_bf16(power_of_2(below)) : math_expf(below);
}

struct query {
	const float *q;
	/* where keys are q8_0 */
	int8_t values[CHIP_HEAD_DIM_MAX];
	struct cpu_block blocks[CHIP_HEAD_DIM_MAX / CPU_BLOCK];
};

static const uint8_t *page_of(const struct cpu_attend *a, uint32_t key)
{
	return a->pages + a->table[key / PAGE] * a->page_bytes;
}

static float element(const struct cpu_attend *a, const uint8_t *page, size_t index)
{
	const uint16_t *halves = (const uint16_t *)(const void *)page;

	if (a->kv_type == CHIP_F16)
		return math_f32_from_f16(halves[index]);
	if (a->kv_type == CHIP_BF16)
		return math_f32_from_bf16(halves[index]);
	return ((const float *)(const void *)page)[index];
}

/* ---- q8_0 ------------------------------------------------------------------------------------ */

/* A page's keys, or values, with their scales behind them. */
static size_t q8_0_bytes(const struct cpu_attend *a)
{
	return (size_t)a->head_dim * PAGE + (size_t)a->head_dim / CPU_BLOCK * PAGE * 2;
}

static float q8_0_scale(const struct cpu_attend *a, const uint8_t *bytes, uint32_t key, uint32_t d)
{
	const uint16_t *scales = (const uint16_t *)(const void *)(bytes +
		(size_t)a->head_dim * PAGE);

	return math_f32_from_f16(scales[d / CPU_BLOCK * PAGE + key % PAGE]);
}

static float q8_0_score(const struct cpu_attend *a, const struct query *q, uint32_t key)
{
	const uint8_t *page = page_of(a, key);
	float sum = 0.0F;

	for (uint32_t b = 0; b < a->head_dim / CPU_BLOCK; b++) {
		const float scale = q8_0_scale(a, page, key, b * CPU_BLOCK) * q->blocks[b].scale;
		int32_t dot = 0;

		for (uint32_t d = b * CPU_BLOCK; d < (b + 1) * CPU_BLOCK; d++)
			dot += q->values[d] *
				(int8_t)page[((size_t)(d / 4) * PAGE + key % PAGE) * 4 + d % 4];
		sum = fmaf((float)dot, scale, sum);
	}
	return sum * a->scale;
}

/* sum + weight * the value's element. */
static float q8_0_add(const struct cpu_attend *a, float weight, uint32_t key, uint32_t d, float sum)
{
	const uint8_t *values = page_of(a, key) + q8_0_bytes(a);
	const int8_t value = (int8_t)values[(size_t)(key % PAGE) * a->head_dim + d];

	return fmaf(weight * q8_0_scale(a, values, key, d), (float)value, sum);
}

/* ---- scores and values ----------------------------------------------------------------------- */

static float key_element(const struct cpu_attend *a, uint32_t key, uint32_t d)
{
	const size_t at = key % PAGE;
	const size_t index = a->kv_type == CHIP_BF16 ? (d / 2 * PAGE + at) * 2 + d % 2
		: (size_t)d * PAGE + at;

	return element(a, page_of(a, key), index);
}

static float value_element(const struct cpu_attend *a, uint32_t key, uint32_t d)
{
	const size_t at = key % PAGE, keys = (size_t)a->head_dim * PAGE;
	const size_t index = a->kv_type == CHIP_BF16 ? (at / 2 * a->head_dim + d) * 2 + at % 2
		: at * a->head_dim + d;

	return element(a, page_of(a, key), keys + index);
}

static float score(const struct cpu_attend *a, const struct query *query, uint32_t key)
{
	const float *q = query->q;
	float sum = 0.0F;

	if (a->kv_type == CHIP_Q8_0)
		return q8_0_score(a, query, key);
	for (uint32_t i = 0; i < a->head_dim; i++) {
		const uint32_t d = is_rounded(a) ? i ^ 1U : i;
		const float x = is_rounded(a) ? round_bf16(q[d]) : q[d];

		sum = fmaf(x, key_element(a, key, d), sum);
	}
	return sum * (is_rounded(a) ? a->scale * CPU_LOG2_E : a->scale);
}

/* out = out * shrink + the block's weighted values. */
static void add_values(const struct cpu_attend *a, uint32_t at, const float *weights,
	struct seen seen, float shrink, float *out)
{
	for (uint32_t d = 0; d < a->head_dim; d++) {
		float sum = out[d] * shrink;

		for (uint32_t i = seen.first & ~1U; i < seen.end + seen.end % 2; i++) {
			const uint32_t j = is_rounded(a) ? i ^ 1U : i;

			if (j < seen.first || j >= seen.end)
				continue;
			if (a->kv_type == CHIP_Q8_0)
				sum = q8_0_add(a, weights[j], at + j, d, sum);
			else
				sum = fmaf(weights[j], value_element(a, at + j, d), sum);
		}
		out[d] = sum;
	}
}

/* sums[i] = sums[i] * shrink + the weights of its keys. */
static void add_weights(const struct cpu_attend *a, const float *weights, float shrink,
	float sums[CPU_STRIPES])
{
	for (uint32_t i = 0; i < CPU_STRIPES; i++) {
		float part = weights[i];

		if (is_rounded(a)) {
			sums[i] *= shrink;
			for (uint32_t j = i * 2; j < CPU_ATTEND_BLOCK; j += CPU_STRIPES * 2) {
				sums[i] += weights[j + 1];
				sums[i] += weights[j];
			}
			continue;
		}
		for (uint32_t j = i + CPU_STRIPES; j < CPU_ATTEND_BLOCK; j += CPU_STRIPES)
			part += weights[j];
		sums[i] = fmaf(sums[i], shrink, part);
	}
}

/* The block at key at. */
static void add_block(const struct cpu_attend *a, uint32_t at, struct seen seen,
	const struct query *query, struct cpu_attended *out, float sums[CPU_STRIPES])
{
	float weights[CPU_ATTEND_BLOCK];
	float largest = out->largest;

	for (uint32_t j = seen.first; j < seen.end; j++) {
		weights[j] = score(a, query, at + j);
		largest = weights[j] > largest ? weights[j] : largest;
	}
	for (uint32_t j = 0; j < CPU_ATTEND_BLOCK; j++)
		weights[j] = j >= seen.first && j < seen.end ? weight_of(a, weights[j] - largest)
			: 0.0F;
	const float fall = out->largest - largest;
	const float shrink = math_expf(is_rounded(a) ? fall * CPU_LN_2 : fall);

	out->largest = largest;
	add_weights(a, weights, shrink, sums);
	add_values(a, at, weights, seen, shrink, out->values);
}

static void attend_one(const struct cpu_attend *a, struct cpu_query *query)
{
	const uint32_t first = query->first > a->begin ? query->first : a->begin;
	const uint32_t end = query->keys < a->end ? query->keys : a->end;
	float sums[CPU_STRIPES] = {0};
	struct query q = {.q = query->q};

	if (a->kv_type == CHIP_Q8_0)
		ref_quantize(query->q, a->head_dim, CPU_BLOCK, q.values, q.blocks);
	query->out.largest = CPU_ATTEND_NONE;
	for (uint32_t d = 0; d < a->head_dim; d++)
		query->out.values[d] = 0.0F;
	for (uint32_t at = first / CPU_ATTEND_BLOCK * CPU_ATTEND_BLOCK; at < end;
		at += CPU_ATTEND_BLOCK) {
		const struct seen seen = {
			.first = first > at ? first - at : 0,
			.end = end - at < CPU_ATTEND_BLOCK ? end - at : CPU_ATTEND_BLOCK,
		};

		add_block(a, at, seen, &q, &query->out, sums);
	}
	query->out.sum = ref_fold(sums);
	if (is_rounded(a) && query->out.largest > CPU_ATTEND_NONE)
		query->out.largest *= CPU_LN_2;
}

void ref_attend(const struct cpu_attend *a, struct cpu_query *queries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		attend_one(a, &queries[i]);
}

void ref_attend_join(float *out, float shrink, const float *in, float factor, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = fmaf(in[i], factor, out[i] * shrink);
}

void ref_attend_finish(float *x, float factor, const float *gate, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		x[i] = x[i] * factor;
		if (gate)
			x[i] *= math_sigmoidf(gate[i]);
		x[i] += 0.0F;
	}
}
