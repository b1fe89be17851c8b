/* model/quantize/quantize_mix.c - see quantize_mix.h. Rules from llama.cpp's
 * src/llama-quant.cpp. */
#include "model/quantize/quantize_mix.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "chip/format.h"

static const struct quantize_mix MIXES[] = {
	{"f32", NULL, CHIP_F32, 0},
	{"f16", NULL, CHIP_F16, 1},
	{"bf16", NULL, CHIP_BF16, 32},
	{"q8_0", NULL, CHIP_Q8_0, 7},
	{"q4_0", NULL, CHIP_Q4_0, 2},
	{"q4_1", NULL, CHIP_Q4_1, 3},
	{"q5_0", NULL, CHIP_Q5_0, 8},
	{"q5_1", NULL, CHIP_Q5_1, 9},
	{"q2_k", NULL, CHIP_Q2_K, 10},
	{"q3_k", "q3_k_m", CHIP_Q3_K, 12},
	{"q4_k", "q4_k_m", CHIP_Q4_K, 15},
	{"q5_k", "q5_k_m", CHIP_Q5_K, 17},
	{"q6_k", NULL, CHIP_Q6_K, 18},
	{"iq4_nl", NULL, CHIP_IQ4_NL, 25},
	{"iq4_xs", NULL, CHIP_IQ4_XS, 30},
	{"mxfp4", "mxfp4_moe", CHIP_MXFP4, 38},
};
#define MIX_COUNT (sizeof(MIXES) / sizeof(MIXES[0]))

enum kind {
	KIND_OTHER, KIND_HEAD, KIND_EMBED, KIND_V, KIND_K, KIND_OUT, KIND_DOWN,
};

/* Which of a kind's tensors a rule is for; layer counts from 0. */
enum when {
	ALWAYS,
	FIRST_TWO,
	FIRST_16TH,
	FIRST_8TH,
	MORE_BITS,      /* the first and the last eighth, and of the rest every third */
	SHARED_KEYS,    /* in models whose keys serve four queries or more */
	EIGHT_EXPERTS,  /* in models of exactly that many */
};

/* The first that fits is taken; without one the mix's own type. */
static const struct rule {
	enum chip_type mix;
	enum kind kind;
	enum when when;
	enum chip_type type;
} RULES[] = {
	{CHIP_Q2_K, KIND_V, SHARED_KEYS, CHIP_Q4_K},
	{CHIP_Q2_K, KIND_V, ALWAYS, CHIP_Q3_K},
	{CHIP_Q2_K, KIND_DOWN, ALWAYS, CHIP_Q3_K},
	{CHIP_Q2_K, KIND_OUT, EIGHT_EXPERTS, CHIP_Q5_K},
	{CHIP_Q2_K, KIND_OUT, ALWAYS, CHIP_Q3_K},
	{CHIP_Q3_K, KIND_V, FIRST_TWO, CHIP_Q5_K},
	{CHIP_Q3_K, KIND_V, ALWAYS, CHIP_Q4_K},
	{CHIP_Q3_K, KIND_DOWN, FIRST_16TH, CHIP_Q5_K},
	{CHIP_Q3_K, KIND_DOWN, ALWAYS, CHIP_Q4_K},
	{CHIP_Q3_K, KIND_OUT, EIGHT_EXPERTS, CHIP_Q5_K},
	{CHIP_Q3_K, KIND_OUT, ALWAYS, CHIP_Q4_K},
	{CHIP_Q4_K, KIND_V, MORE_BITS, CHIP_Q6_K},
	{CHIP_Q4_K, KIND_DOWN, MORE_BITS, CHIP_Q6_K},
	{CHIP_Q4_K, KIND_OUT, EIGHT_EXPERTS, CHIP_Q5_K},
	{CHIP_Q5_K, KIND_V, MORE_BITS, CHIP_Q6_K},
	{CHIP_Q5_K, KIND_DOWN, MORE_BITS, CHIP_Q6_K},
	{CHIP_IQ4_NL, KIND_V, SHARED_KEYS, CHIP_Q5_K},
	{CHIP_IQ4_NL, KIND_DOWN, FIRST_8TH, CHIP_Q5_K},
	{CHIP_IQ4_NL, KIND_OUT, EIGHT_EXPERTS, CHIP_Q5_K},
	{CHIP_IQ4_XS, KIND_V, SHARED_KEYS, CHIP_Q5_K},
	{CHIP_IQ4_XS, KIND_DOWN, FIRST_8TH, CHIP_Q5_K},
	{CHIP_IQ4_XS, KIND_OUT, EIGHT_EXPERTS, CHIP_Q5_K},
};

const struct quantize_mix *quantize_mix_find(const char *name)
{
	for (size_t i = 0; i < MIX_COUNT; i++)
		if (strcasecmp(MIXES[i].name, name) == 0 ||
			(MIXES[i].also && strcasecmp(MIXES[i].also, name) == 0))
			return &MIXES[i];
	return NULL;
}

const char *quantize_mix_names(char out[QUANTIZE_MIX_NAMES_BYTES])
{
	size_t used = 0;

	for (size_t i = 0; i < MIX_COUNT; i++) {
		used += (size_t)snprintf(out + used, QUANTIZE_MIX_NAMES_BYTES - used, "%s%s",
			i ? " " : "", MIXES[i].name);
		assert(used < QUANTIZE_MIX_NAMES_BYTES);
	}
	return out;
}

/* The block that a name belongs to; -1 if none. */
static int64_t block_of(const struct mix_tensor *t)
{
	int64_t block = 0;
	uint32_t i = 4;

	if (t->name_size < 6 || memcmp(t->name, "blk.", 4) != 0)
		return -1;
	for (; i < t->name_size && t->name[i] >= '0' && t->name[i] <= '9' && i < 12; i++)
		block = 10 * block + (t->name[i] - '0');
	return i > 4 ? block : -1;
}

int quantize_mix_compare(const void *left, const void *right)
{
	const struct mix_tensor *a = left, *b = right;
	const int64_t block = block_of(a), other = block_of(b);

	if (block != other)
		return block < other ? -1 : 1;
	const uint32_t size = a->name_size < b->name_size ? a->name_size : b->name_size;
	const int order = memcmp(a->name, b->name, size);

	return order != 0 ? order : (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

static bool is_named(const struct mix_tensor *t, const char *name)
{
	return t->name_size == strlen(name) && memcmp(t->name, name, t->name_size) == 0;
}

static bool has(const struct mix_tensor *t, const char *part)
{
	return memmem(t->name, t->name_size, part, strlen(part)) != NULL;
}

static enum kind kind_of(const struct mix_tensor *t)
{
	if (is_named(t, "output.weight"))
		return KIND_HEAD;
	if (is_named(t, "token_embd.weight"))
		return KIND_EMBED;
	if (has(t, "attn_qkv.weight") || has(t, "attn_v.weight"))
		return KIND_V;
	if (has(t, "attn_k.weight"))
		return KIND_K;
	if (has(t, "attn_output.weight"))
		return KIND_OUT;
	return has(t, "ffn_down") ? KIND_DOWN : KIND_OTHER;
}

/* Dimensions without outer ones of 1. */
static uint32_t rank_of(const struct mix_tensor *t)
{
	uint32_t outer = 0;

	while (outer + 1 < t->dim_count && t->dims[outer] == 1)
		outer++;
	return t->dim_count - outer;
}

static bool stays(const struct mix_tensor *t)
{
	static const char weight[] = "weight";
	const uint32_t size = sizeof(weight) - 1;
	const bool is_weight = t->name_size >= size &&
		memcmp(t->name + t->name_size - size, weight, size) == 0;

	return !is_weight || !dtype_is_readable(t->stored) || rank_of(t) < 2 ||
		has(t, "_norm.weight") || has(t, "ffn_gate_inp.weight") || has(t, "ssm_conv1d");
}

struct place {
	uint64_t index;     /* of count, among those that a rule counts */
	uint64_t count;
};

static bool holds(enum when when, const struct place *p, const struct mix_model *model)
{
	const uint64_t i = p->index, n = p->count;

	switch (when) {
	case ALWAYS:
		return true;
	case FIRST_TWO:
		return i < 2;
	case FIRST_16TH:
		return i < n / 16;
	case FIRST_8TH:
		return i < n / 8;
	case MORE_BITS:
		return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
	case SHARED_KEYS:
		return model->heads_per_kv >= 4;
	case EIGHT_EXPERTS:
		return model->experts == 8;
	}
	return false;
}

static enum chip_type rule_type(const struct quantize_mix *mix, enum kind kind,
	const struct place *p, const struct mix_model *model)
{
	for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++)
		if (RULES[i].mix == mix->type && RULES[i].kind == kind &&
			holds(RULES[i].when, p, model))
			return RULES[i].type;
	return mix->type;
}

static bool fits(const struct mix_tensor *t, enum chip_type type)
{
	return t->dims[t->dim_count - 1] % chip_type_block_values(type) == 0;
}

/* Embedding and head in one, or the head alone: more bits than the rest. */
static enum chip_type head_type(const struct quantize_mix *mix, const struct mix_tensor *t)
{
	if (mix->type == CHIP_MXFP4 || mix->type == CHIP_Q8_0 || !fits(t, mix->type))
		return CHIP_Q8_0;
	return CHIP_Q6_K;
}

/* Without experts all matrices of the blocks are MXFP4; with them only theirs. */
static enum chip_type mxfp4_type(const struct mix_model *model, const struct mix_tensor *t,
	enum kind kind)
{
	if (model->experts > 0)
		return rank_of(t) > 2 ? CHIP_MXFP4 : CHIP_Q8_0;
	return kind == KIND_EMBED ? CHIP_Q8_0 : CHIP_MXFP4;
}

static enum chip_type wanted_type(const struct quantize_mix *mix, const struct mix_model *model,
	const struct mix_tensor *t, enum kind kind, const struct place *p)
{
	if (kind == KIND_HEAD || (kind == KIND_EMBED && model->tied))
		return head_type(mix, t);
	if (mix->type == CHIP_MXFP4)
		return mxfp4_type(model, t, kind);
	if ((kind == KIND_V || kind == KIND_K) && model->experts == 8)
		return CHIP_Q8_0;
	const enum chip_type type = rule_type(mix, kind, p, model);

	if (kind == KIND_V && model->wide_values && (type == CHIP_Q3_K || type == CHIP_Q4_K))
		return CHIP_Q5_K;
	return type;
}

/* A type of blocks of 32 in place of one of 256 that the rows do not fill. */
static enum chip_type smaller_blocks(enum chip_type type)
{
	switch ((int)type) {
	case CHIP_Q2_K:
	case CHIP_Q3_K:
		return CHIP_Q4_0;
	case CHIP_Q4_K:
		return CHIP_Q5_0;
	case CHIP_Q5_K:
		return CHIP_Q5_1;
	case CHIP_Q6_K:
		return CHIP_Q8_0;
	case CHIP_IQ4_XS:
		return CHIP_IQ4_NL;
	default:
		return CHIP_F16;
	}
}

static enum chip_type fitting_type(const struct mix_tensor *t, enum chip_type type)
{
	if (!fits(t, type))
		type = smaller_blocks(type);
	return fits(t, type) ? type : CHIP_F16;
}

static bool is_plain(enum chip_type type)
{
	return type == CHIP_F32 || type == CHIP_F16 || type == CHIP_BF16;
}

/* Value projections are counted one by one; down projections by their block where a model has
 * several in each. */
static struct place place_of(const struct mix_model *model, const struct mix_tensor *t,
	enum kind kind, const struct place *values, uint64_t downs)
{
	if (kind == KIND_V)
		return *values;
	const int64_t block = block_of(t);

	return (struct place){
		.index = model->experts > 1 && block >= 0 ? (uint64_t)block : downs,
		.count = model->layers,
	};
}

void quantize_mix_choose(const struct quantize_mix *mix, const struct mix_model *model,
	struct mix_tensor *tensors, size_t count)
{
	struct place values = {0};
	uint64_t downs = 0;

	for (size_t i = 0; i < count; i++)
		values.count += kind_of(&tensors[i]) == KIND_V;
	for (size_t i = 0; i < count; i++) {
		struct mix_tensor *t = &tensors[i];
		const enum kind kind = kind_of(t);
		const struct place p = place_of(model, t, kind, &values, downs);

		t->chosen = t->stored;
		if (stays(t))
			continue;
		values.index += kind == KIND_V;
		downs += kind == KIND_DOWN;
		t->chosen = dtype_of_chip(is_plain(mix->type) ? mix->type :
			fitting_type(t, wanted_type(mix, model, t, kind, &p)));
	}
}
