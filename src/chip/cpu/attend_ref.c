/* chip/cpu/attend_ref.c - attention of one query over its keys, page by page.
 *
 * Per page: scores, the new maximum, then what was summed so far is scaled down to it and the
 * page's weighted values are added key by key. The maximum is exact, so only the order of pages and
 * keys, counted from the start of the sequence, decides the bits.
 */
#include "chip/cpu/kernels_ref.h"

#include <math.h>

#include "base/math.h"

/* Keys [head_dim][CHIP_PAGE_TOKENS] of a page, then its values [CHIP_PAGE_TOKENS][head_dim]. */
static float element(const struct cpu_attend *a, const uint8_t *page, size_t index)
{
	if (a->kv_type == CHIP_F16)
		return math_f32_from_f16(((const uint16_t *)(const void *)page)[index]);
	return ((const float *)(const void *)page)[index];
}

static float score(const struct cpu_attend *a, const uint8_t *page, const float *q, uint32_t key)
{
	float sum = 0.0F;

	for (uint32_t d = 0; d < a->head_dim; d++)
		sum = fmaf(q[d], element(a, page, (size_t)d * CHIP_PAGE_TOKENS + key), sum);
	return sum * a->scale;
}

/* What has been summed over the pages so far. */
struct softmax {
	float largest;
	float sum;
};

/* Keys [first, keys) of a page. */
static void add_page(const struct cpu_attend *a, const uint8_t *page, const struct cpu_query *query,
	uint32_t first, uint32_t keys, struct softmax *s)
{
	const size_t values = (size_t)a->head_dim * CHIP_PAGE_TOKENS;
	float weights[CHIP_PAGE_TOKENS];
	float stripes[CPU_STRIPES];
	float largest = s->largest;

	for (uint32_t j = first; j < keys; j++) {
		weights[j] = score(a, page, query->q, j);
		largest = weights[j] > largest ? weights[j] : largest;
	}
	for (uint32_t j = 0; j < CHIP_PAGE_TOKENS; j++)
		weights[j] = j >= first && j < keys ? math_expf(weights[j] - largest) : 0.0F;
	for (uint32_t i = 0; i < CPU_STRIPES; i++)
		stripes[i] = weights[i] + weights[i + CPU_STRIPES];
	const float shrink = math_expf(s->largest - largest);

	s->sum = fmaf(s->sum, shrink, ref_fold(stripes));
	s->largest = largest;
	for (uint32_t d = 0; d < a->head_dim; d++) {
		float sum = query->out[d] * shrink;

		for (uint32_t j = first; j < keys; j++)
			sum = fmaf(weights[j], element(a, page, values + (size_t)j * a->head_dim +
				d), sum);
		query->out[d] = sum;
	}
}

static void attend_one(const struct cpu_attend *a, const struct cpu_query *query)
{
	struct softmax s = {.largest = -__builtin_inff()};

	for (uint32_t d = 0; d < a->head_dim; d++)
		query->out[d] = 0.0F;
	for (uint32_t at = query->first / CHIP_PAGE_TOKENS * CHIP_PAGE_TOKENS; at < query->keys;
		at += CHIP_PAGE_TOKENS) {
		const uint32_t left = query->keys - at;
		const uint8_t *page = a->pages + a->table[at / CHIP_PAGE_TOKENS] * a->page_bytes;

		add_page(a, page, query, query->first > at ? query->first - at : 0,
			left < CHIP_PAGE_TOKENS ? left : CHIP_PAGE_TOKENS, &s);
	}
	const float factor = 1.0F / s.sum;

	for (uint32_t d = 0; d < a->head_dim; d++) {
		query->out[d] *= factor;
		if (query->gate)
			query->out[d] *= math_sigmoidf(query->gate[d]);
	}
}

void ref_attend(const struct cpu_attend *a, const struct cpu_query *queries, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		attend_one(a, &queries[i]);
}
