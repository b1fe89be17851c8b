/* model/tokenizer/pretokenizer.c - see pretokenizer.h. What tokenizer.json's words mean is
 * Hugging Face tokenizers' NormalizedString::split and Pattern::find_matches. */
#include "model/tokenizer/pretokenizer.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "model/tokenizer/text_span.h"

/* ---- open ------------------------------------------------------------------------------------ */

enum err pretokenizer_add(struct pretokenizer_steps *steps, struct pretokenizer_step step,
	struct err_info *info)
{
	if (steps->count == PRETOKENIZER_STEPS_MAX)
		return err_set(info, ERR_LIMIT, "pre_tokenizer: more than %zu steps",
			PRETOKENIZER_STEPS_MAX);
	steps->steps[steps->count++] = step;
	return ERR_NONE;
}

/* Whether to keep the matches and drop the rest is to keep them all: the rule's expression matches
 * everything. */
static bool rule_is_total(enum pretokenize_rule rule)
{
	return rule != PRETOKENIZE_DIGITS;
}

enum err pretokenizer_add_regex(struct pretokenizer_steps *steps, struct pretokenizer_step step,
	struct err_info *info)
{
	for (int i = 0; i < PRETOKENIZE_RULES && !step.literal; i++) {
		const enum pretokenize_rule rule = (enum pretokenize_rule)i;
		const char *regex = pretokenize_regex(rule);
		const bool isolates = step.behavior == PRETOKENIZER_ISOLATED ||
				      (step.behavior == PRETOKENIZER_REMOVED && step.invert &&
					      rule_is_total(rule));

		if (isolates && strlen(regex) == step.pattern_size &&
			memcmp(regex, step.pattern, step.pattern_size) == 0)
			return pretokenizer_add(steps,
				(struct pretokenizer_step){.kind = PRETOKENIZER_RULE, .rule = rule},
				info);
	}
	step.kind = PRETOKENIZER_REGEX;
	return pretokenizer_add(steps, step, info);
}

enum err pretokenizer_open(struct pretokenizer *p, const struct pretokenizer_steps *steps,
	struct err_info *info)
{
	enum err code = ERR_NONE;

	memset(p, 0, sizeof(*p));
	p->steps = *steps;
	for (size_t i = 0; i < steps->count && !code; i++) {
		const struct pretokenizer_step *step = &steps->steps[i];

		if (step->kind != PRETOKENIZER_REGEX)
			continue;
		p->regex_count++;
		if (step->literal && step->pattern_size == 0)
			code = err_set(
				info, ERR_UNSUPPORTED, "pre_tokenizer: a split by nothing");
		else
			code = step->literal ? regex_open_literal(&p->regexes[i], step->pattern,
					       step->pattern_size, info)
				     : regex_open(&p->regexes[i], step->pattern,
					       step->pattern_size, info);
		p->steps.steps[i].pattern = NULL;  /* not ours */
	}
	if (code)
		pretokenizer_close(p);
	return code;
}

void pretokenizer_close(struct pretokenizer *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < PRETOKENIZER_STEPS_MAX; i++)
		regex_close(p->regexes[i]);
	memset(p, 0, sizeof(*p));
}

/* ---- cut ------------------------------------------------------------------------------------- */

struct cutter {
	const struct pretokenizer *p;
	struct pretokenizer_work *work;
	pretokenizer_take *take;
	void *context;
	struct err_info *info;
};

static enum err cut_from(struct cutter *c, size_t first, const char *text, size_t size);

static enum err cut_by_rule(struct cutter *c, size_t step, const char *text, size_t size)
{
	const enum pretokenize_rule rule = c->p->steps.steps[step].rule;
	const bool last = step + 1 == c->p->steps.count;
	enum err code = ERR_NONE;

	for (size_t at = 0, length; at < size && !code; at += length) {
		length = pretokenize_next(rule, text + at, size - at);
		code = last ? c->take(c->context, text + at, length)
			    : cut_from(c, step + 1, text + at, length);
	}
	return code;
}

/* Matches and what lies between them become pieces as the step's behavior says. */
struct joiner {
	struct cutter *c;
	size_t step;
	const char *text;
	bool waits;                 /* for what comes next */
	struct text_span waiting;
	bool last_matched;
};

static enum err join_emit(struct joiner *j, struct text_span span)
{
	if (span.begin == span.end)
		return ERR_NONE;
	return cut_from(j->c, j->step + 1, j->text + span.begin, span.end - span.begin);
}

/* Lets go of what waits; span waits now. */
static enum err join_wait(struct joiner *j, struct text_span span)
{
	const enum err code = j->waits ? join_emit(j, j->waiting) : ERR_NONE;

	j->waiting = span;
	j->waits = true;
	return code;
}

static enum err join_flush(struct joiner *j)
{
	const enum err code = j->waits ? join_emit(j, j->waiting) : ERR_NONE;

	j->waits = false;
	return code;
}

/* The next stretch of the text, and whether it is a match. */
static enum err join(void *context, size_t begin, size_t end, bool matched)
{
	struct joiner *j = context;
	const struct text_span span = {.begin = begin, .end = end};
	const bool last_matched = j->last_matched;
	bool extends;

	if (j->c->p->steps.steps[j->step].invert)
		matched = !matched;
	j->last_matched = matched;
	switch (j->c->p->steps.steps[j->step].behavior) {
	case PRETOKENIZER_ISOLATED:
		return join_emit(j, span);
	case PRETOKENIZER_REMOVED:
		return matched ? ERR_NONE : join_emit(j, span);
	case PRETOKENIZER_CONTIGUOUS:
		extends = matched == last_matched;
		break;
	case PRETOKENIZER_MERGED_WITH_PREVIOUS:
		extends = matched && !last_matched;
		break;
	case PRETOKENIZER_MERGED_WITH_NEXT:
	default:
		extends = !matched && last_matched;
		break;
	}
	if (!extends || !j->waits)
		return join_wait(j, span);
	j->waiting.end = end;
	return ERR_NONE;
}

static enum err cut_by_regex(struct cutter *c, size_t step, const char *text, size_t size)
{
	struct joiner j = {.c = c, .step = step, .text = text};
	const enum err code = regex_split(c->p->regexes[step], c->work->regex, text, size, join, &j,
		c->info);

	return code ? code : join_flush(&j);
}

/* There is one such step, so one buffer serves. */
static enum err cut_with_prefix(struct cutter *c, size_t step, const char *text, size_t size)
{
	struct pretokenizer_work *w = c->work;

	if (text[0] == ' ')
		return cut_from(c, step + 1, text, size);
	if (size >= w->prefixed_capacity) {
		w->prefixed_capacity = 2 * size + 64;
		w->prefixed = arena_alloc(w->arena, w->prefixed_capacity);
	}
	if (!w->prefixed)
		return err_set(c->info, ERR_LIMIT, "no room to tokenize %zu bytes of text", size);
	w->prefixed[0] = ' ';
	memcpy(w->prefixed + 1, text, size);
	return cut_from(c, step + 1, w->prefixed, size + 1);
}

/* By the steps from first on, size > 0. As deep as there are steps. */
static enum err cut_from(struct cutter *c, size_t first, const char *text, size_t size)
{
	if (first == c->p->steps.count)
		return c->take(c->context, text, size);
	switch (c->p->steps.steps[first].kind) {
	case PRETOKENIZER_REGEX:
		return cut_by_regex(c, first, text, size);
	case PRETOKENIZER_PREFIX_SPACE:
		return cut_with_prefix(c, first, text, size);
	case PRETOKENIZER_RULE:
	default:
		return cut_by_rule(c, first, text, size);
	}
}

enum err pretokenizer_cut(const struct pretokenizer *p, struct pretokenizer_work *work,
	const char *text, size_t size, pretokenizer_take *take, void *context,
	struct err_info *info)
{
	struct cutter c = {
		.p = p, .work = work, .take = take, .context = context, .info = info};

	if (size == 0)
		return ERR_NONE;
	for (size_t i = 0; i < p->regex_count; i++)
		if (regex_work_allow(&work->regex, work->arena, size, info))
			return info->code;
	return cut_from(&c, 0, text, size);
}
