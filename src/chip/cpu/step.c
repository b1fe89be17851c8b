/* chip/cpu/step.c - a step's tables into the program's memory, and its results out of it. */
#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "chip/cpu/cpu.h"

static bool same_shape(const struct chip_cache_layout *a, const struct chip_cache_layout *b)
{
	return a->attention_layers == b->attention_layers && a->delta_layers == b->delta_layers &&
		a->vocab == b->vocab &&
		(a->attention_layers == 0 || (a->kv_heads == b->kv_heads &&
		a->head_dim == b->head_dim)) &&
		(a->delta_layers == 0 || (a->conv_channels == b->conv_channels &&
			a->conv_width == b->conv_width && a->v_heads == b->v_heads &&
			a->k_dim == b->k_dim && a->v_dim == b->v_dim));
}

/* No two sequences of a step may share a slot or a state that one of them writes. */
static void check_apart(struct cpu_cache *c, const struct chip_step *step)
{
	uint32_t *slots = c->marks, *states = c->marks + c->base.layout.slots;
	const bool has_states = c->base.layout.delta_layers > 0;
	const uint32_t mark = ++c->mark;

	for (uint32_t i = 0; i < step->sequence_count; i++) {
		const struct chip_sequence *s = &step->sequences[i];

		assert(slots[s->slot] != mark);
		slots[s->slot] = mark;
		if (has_states) {
			assert(states[s->state_write] != mark);
			states[s->state_write] = mark;
		}
	}
	for (uint32_t i = 0; has_states && i < step->sequence_count; i++) {
		const struct chip_sequence *s = &step->sequences[i];

		assert(s->state_read == CHIP_NONE || s->state_read == s->state_write ||
		       states[s->state_read] != mark);
	}
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void copy_rows(struct cpu_step *s, const struct chip_step *step)
{
	const size_t width = s->program->embedding_columns;
	uint32_t embedding_rows = 0;

	memcpy(s->rows, step->rows, step->row_count * sizeof(*s->rows));
	s->row_count = step->row_count;
	s->wanted_count = 0;
	for (uint32_t row = 0; row < step->row_count; row++) {
		const struct chip_row *r = &step->rows[row];

		if (r->want != CHIP_WANT_NOTHING)
			s->wanted[s->wanted_count++] = row;
		if (r->input == CHIP_INPUT_EMBEDDING && r->value >= embedding_rows)
			embedding_rows = r->value + 1;
	}
	assert(embedding_rows <= s->program->base.desc.rows_max);
	if (embedding_rows)
		memcpy(s->embeddings, step->embeddings, embedding_rows * width * sizeof(float));
}

static void add_tiles(struct cpu_step *s, uint32_t sequence, uint32_t first_row, uint32_t row_count)
{
	const uint32_t most = s->program->tile_rows;

	for (uint32_t at = 0; at < row_count; at += most)
		s->tiles[s->tile_count++] = (struct cpu_tile){
			.sequence = sequence,
			.first_row = first_row + at,
			.row_count = row_count - at < most ? row_count - at : most,
		};
}

static void copy_sequences(struct cpu_step *s, const struct chip_step *step)
{
	const size_t mask_words = s->program->mask_words;
	uint32_t row = 0, wanted = 0, masks = 0;

	memcpy(s->sequences, step->sequences, step->sequence_count * sizeof(*s->sequences));
	if (step->page_count)
		memcpy(s->pages, step->pages, step->page_count * sizeof(*s->pages));
	s->sequence_count = step->sequence_count;
	s->tile_count = 0;
	for (uint32_t i = 0; i < step->sequence_count; i++) {
		struct chip_sequence *q = &s->sequences[i];

		s->first_rows[i] = row;
		s->first_wanted[i] = wanted;
		add_tiles(s, i, row, q->row_count);
		for (uint32_t j = 0; j < q->row_count; j++, row++) {
			s->tokens_before[row] = q->cached_tokens + j;
			wanted += s->rows[row].want != CHIP_WANT_NOTHING;
		}
		if (q->mask && wanted > s->first_wanted[i]) {
			memcpy(s->masks + masks * mask_words, q->mask,
				mask_words * sizeof(uint32_t));
			q->mask = s->masks + masks++ * mask_words;
		}
	}
	s->first_wanted[step->sequence_count] = wanted;
}

/* Spans of keys are shares where there is room to keep what comes of them. */
static void count_spans(struct cpu_step *s)
{
	uint32_t keys = 0;

	for (uint32_t i = 0; i < s->sequence_count; i++) {
		const struct chip_sequence *q = &s->sequences[i];
		const uint32_t own = q->cached_tokens + q->row_count;

		keys = own > keys ? own : keys;
	}
	s->span_count = math_divide_up_u32(keys, CPU_ATTEND_SPAN);
	s->split = s->span_count > 1 &&
		(uint64_t)s->span_count * s->row_count <= s->program->kept_max;
}

/* ---- submit, wait ---------------------------------------------------------------------------- */

enum err cpu_submit(struct chip *chip, struct chip_program *program, struct chip_cache *cache,
	const struct chip_step *step, const struct chip_observer *observer, uint64_t *ticket,
	struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_program *p = (struct cpu_program *)program;
	struct cpu_step *s = p->steps;

	assert(same_shape(&program->layout, &cache->layout));
	assert(step->sequence_count <= p->sequences_max);
	while (s < p->steps + CHIP_STEPS_MAX && s->in_flight)
		s++;
	if (s == p->steps + CHIP_STEPS_MAX || cpu->steps_in_flight == CPU_STEPS_MAX)
		return err_set(info, ERR_BUSY, "too many steps have not been waited for");
	check_apart((struct cpu_cache *)cache, step);
	s->job.run = cpu_step_run;
	s->program = p;
	s->cache = (struct cpu_cache *)cache;
	s->observer = observer ? *observer : (struct chip_observer){0};
	s->not_finite = false;
	for (uint32_t i = 0; i < p->base.desc.wanted_max; i++)
		s->tokens[i] = CHIP_NONE;
	s->in_flight = true;
	copy_rows(s, step);
	copy_sequences(s, step);
	count_spans(s);
	s->ticket = *ticket = cpu_pool_post(cpu->pool, &s->job);
	cpu->steps[cpu->steps_in_flight++] = s;
	return ERR_NONE;
}

/* The rows that want this, from the step's buffer into the caller's. */
static void copy_results(const struct cpu_step *s, enum chip_want want, const float *from,
	float *to, size_t columns)
{
	for (uint32_t i = 0; to && from && i < s->wanted_count; i++)
		if (s->rows[s->wanted[i]].want == want)
			memcpy(to + i * columns, from + i * columns, columns * sizeof(float));
}

static size_t columns_of(const struct cpu_step *s, uint32_t buffer)
{
	return buffer == CHIP_NONE ? 0 : s->program->buffer_descs[buffer].columns;
}

static void copy_tokens(const struct cpu_step *s, struct chip_output *out)
{
	for (uint32_t i = 0; i < s->wanted_count; i++) {
		const bool token = s->rows[s->wanted[i]].want == CHIP_WANT_TOKEN;

		if (out->tokens)
			out->tokens[i] = token ? s->tokens[i] : CHIP_NONE;
		if (out->logprobs)
			out->logprobs[i] = s->logprobs[i];
	}
}

/* A row whose logits are handed out counts as well. */
static bool logits_finite(const struct cpu_step *s)
{
	const size_t columns = columns_of(s, s->program->base.desc.logits);
	bool finite = true;
	float unused;

	for (uint32_t i = 0; s->logits && i < s->wanted_count; i++)
		if (s->rows[s->wanted[i]].want == CHIP_WANT_LOGITS)
			finite &= s->program->chip->kernels.largest(s->logits + i * columns,
				(uint32_t)columns, &unused);
	return finite;
}

enum err cpu_wait(struct chip *chip, uint64_t ticket, struct chip_output *output,
	struct err_info *info)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;
	struct cpu_step *s = cpu->steps[0];

	(void)info;
	assert(cpu->steps_in_flight > 0 && s->ticket == ticket);   /* they end in order */
	cpu_pool_wait(cpu->pool, ticket);
	copy_tokens(s, output);
	copy_results(s, CHIP_WANT_LOGITS, s->logits, output->logits,
		columns_of(s, s->program->base.desc.logits));
	copy_results(s, CHIP_WANT_HIDDEN, s->hidden, output->hidden,
		columns_of(s, s->program->base.desc.hidden));
	output->not_finite = s->not_finite || !logits_finite(s);
	s->in_flight = false;
	cpu->steps_in_flight--;
	for (uint32_t i = 0; i < cpu->steps_in_flight; i++)
		cpu->steps[i] = cpu->steps[i + 1];
	return ERR_NONE;
}
