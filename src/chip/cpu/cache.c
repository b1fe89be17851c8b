/* chip/cpu/cache.c - pages of keys and values, states, slots: one block of memory each. */
#include "chip/cpu/cpu.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"

#define FLOATS_PER_LINE 16   /* parts of a state begin on a cache line */

static int64_t head_bytes(const struct chip_cache_layout *l)
{
	return 2 * CHIP_PAGE_TOKENS * (int64_t)chip_row_bytes(l->kv_type, 0, l->head_dim);
}

static size_t round_floats(size_t floats)
{
	return math_round_up(floats, FLOATS_PER_LINE);
}

static size_t conv_floats(const struct chip_cache_layout *l)
{
	return l->delta_layers ? round_floats((size_t)(l->conv_width - 1) * l->conv_channels) : 0;
}

static size_t delta_floats(const struct chip_cache_layout *l)
{
	return l->delta_layers ? l->v_heads * cpu_delta_head_floats(l->k_dim, l->v_dim) : 0;
}

int64_t cpu_cache_page_bytes(const struct chip *chip, const struct chip_cache_layout *l)
{
	(void)chip;
	return l->attention_layers ? head_bytes(l) * l->attention_layers * l->kv_heads : 0;
}

int64_t cpu_cache_state_bytes(const struct chip *chip, const struct chip_cache_layout *l)
{
	(void)chip;
	return (int64_t)((conv_floats(l) + delta_floats(l)) * l->delta_layers * sizeof(float));
}

static int64_t pages_bytes(const struct chip_cache *c)
{
	return cpu_cache_page_bytes(NULL, &c->layout) * c->layout.pages;
}

static int64_t states_bytes(const struct chip_cache *c)
{
	return cpu_cache_state_bytes(NULL, &c->layout) * c->layout.states;
}

static int64_t counts_bytes(const struct chip_cache *c)
{
	return (int64_t)c->layout.slots * c->layout.vocab * (int64_t)sizeof(uint16_t);
}

static int64_t biases_bytes(const struct chip_cache *c)
{
	return (int64_t)c->layout.slots * CHIP_BIASES_MAX * (int64_t)sizeof(struct chip_bias);
}

static int64_t slots_bytes(const struct chip_cache *c)
{
	return (int64_t)c->layout.slots * (int64_t)sizeof(struct cpu_slot);
}

static int64_t marks_bytes(const struct chip_cache *c)
{
	return ((int64_t)c->layout.slots + c->layout.states) * (int64_t)sizeof(uint32_t);
}

enum err cpu_cache_open(struct chip *chip, struct chip_cache **out,
	const struct chip_cache_layout *layout, struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_cache *c = mem_alloc(1, sizeof(*c));

	if (!c)
		return err_set(info, ERR_MEMORY, "no memory for a cache");
	c->base.layout = *layout;
	c->page_bytes = (size_t)cpu_cache_page_bytes(chip, layout);
	c->head_bytes = layout->attention_layers ? (size_t)head_bytes(layout) : 0;
	c->conv_floats = conv_floats(layout);
	c->delta_floats = delta_floats(layout);
	c->state_floats = (c->conv_floats + c->delta_floats) * layout->delta_layers;
	enum err err = cpu_reserve(cpu, (void **)&c->pages, pages_bytes(&c->base), "pages", info);

	if (!err)
		err = cpu_reserve(cpu, (void **)&c->states, states_bytes(&c->base), "states", info);
	if (!err)
		err = cpu_reserve(cpu, (void **)&c->slots, slots_bytes(&c->base), "slots", info);
	if (!err)
		err = cpu_reserve(cpu, (void **)&c->counts, counts_bytes(&c->base), "slots", info);
	if (!err)
		err = cpu_reserve(cpu, (void **)&c->biases, biases_bytes(&c->base), "slots", info);
	if (!err)
		err = cpu_reserve(cpu, (void **)&c->marks, marks_bytes(&c->base), "slots", info);
	if (err)
		cpu_cache_close(chip, &c->base);
	else
		*out = &c->base;
	return err;
}

void cpu_cache_close(struct chip *chip, struct chip_cache *cache)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_cache *c = (struct cpu_cache *)cache;

	cpu_release(cpu, c->marks, marks_bytes(cache));
	cpu_release(cpu, c->biases, biases_bytes(cache));
	cpu_release(cpu, c->counts, counts_bytes(cache));
	cpu_release(cpu, c->slots, slots_bytes(cache));
	cpu_release(cpu, c->states, states_bytes(cache));
	cpu_release(cpu, c->pages, pages_bytes(cache));
	mem_free(c);
}

/* In order with the steps that were submitted before it. */
void cpu_state_copy(struct chip *chip, struct chip_cache *cache, uint32_t from, uint32_t to)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_cache *c = (struct cpu_cache *)cache;

	cpu_pool_wait_all(cpu->pool);
	memcpy(c->states + to * c->state_floats, c->states + from * c->state_floats,
		c->state_floats * sizeof(float));
}

/* ---- slots ----------------------------------------------------------------------------------- */

static uint16_t *slot_counts(const struct cpu_cache *c, uint32_t slot)
{
	return c->counts + (size_t)slot * c->base.layout.vocab;
}

/* The slot's own copy. */
static void copy_biases(struct cpu_cache *c, uint32_t slot)
{
	struct chip_sampling *s = &c->slots[slot].sampling;
	struct chip_bias *own = c->biases + (size_t)slot * CHIP_BIASES_MAX;

	if (s->bias_count > 0)
		memcpy(own, s->biases, s->bias_count * sizeof(*own));
	s->biases = own;
}

static bool has_penalties(const struct chip_sampling *s)
{
	return s->repetition_penalty < 1.0F || s->repetition_penalty > 1.0F ||
		s->presence_penalty < 0.0F || s->presence_penalty > 0.0F ||
		s->frequency_penalty < 0.0F || s->frequency_penalty > 0.0F;
}

void cpu_slot_open(struct chip *chip, struct chip_cache *cache, uint32_t slot,
	const struct chip_sampling *sampling, const uint32_t *prompt, uint32_t prompt_count,
	const uint32_t *answer, uint32_t answer_count)
{
	struct cpu_cache *c = (struct cpu_cache *)cache;
	uint16_t *counts = slot_counts(c, slot);
	struct cpu_slot *s = &c->slots[slot];

	(void)chip;
	*s = (struct cpu_slot){.sampling = *sampling, .counts = has_penalties(sampling)};
	copy_biases(c, slot);
	if (s->counts) {
		memset(counts, 0, c->base.layout.vocab * sizeof(*counts));
		for (uint32_t i = 0; i < prompt_count; i++)
			if (prompt[i] < c->base.layout.vocab)
				counts[prompt[i]] = CPU_SLOT_PROMPT;
	}
	for (uint32_t i = 0; i < answer_count; i++)
		cpu_slot_count(s, counts, c->base.layout.vocab, answer[i]);
}
