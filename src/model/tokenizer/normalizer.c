/* model/tokenizer/normalizer.c - see normalizer.h. The meaning of each step is that of Hugging Face
 * tokenizers' normalizer of this name. */
#include "model/tokenizer/normalizer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/unicode.h"

/* ---- open ------------------------------------------------------------------------------------ */

enum err normalizer_add(struct normalizer_steps *steps, struct normalizer_step step,
	struct err_info *info)
{
	if (steps->count == NORMALIZER_STEPS_MAX)
		return err_set(info, ERR_LIMIT, "normalizer: more than %zu steps",
			NORMALIZER_STEPS_MAX);
	steps->steps[steps->count++] = step;
	return ERR_NONE;
}

static enum err step_open(struct normalizer *n, size_t index, char **content,
	struct err_info *info)
{
	struct normalizer_step *step = &n->steps.steps[index];

	if (step->content_size > 0)
		memcpy(*content, step->content, step->content_size);
	step->content = *content;
	*content += step->content_size;
	if (step->kind != NORMALIZER_REPLACE)
		return ERR_NONE;
	if (step->literal && step->pattern_size == 0)
		return err_set(info, ERR_UNSUPPORTED, "normalizer: Replace of nothing");
	const enum err code = step->literal ? regex_open_literal(&n->regexes[index], step->pattern,
						      step->pattern_size, info)
					    : regex_open(&n->regexes[index], step->pattern,
						      step->pattern_size, info);
	step->pattern = NULL;  /* not ours */
	return code;
}

enum err normalizer_open(struct normalizer *n, const struct normalizer_steps *steps,
	struct err_info *info)
{
	size_t bytes = 1;
	enum err code = ERR_NONE;

	memset(n, 0, sizeof(*n));
	n->steps = *steps;
	for (size_t i = 0; i < steps->count; i++)
		bytes += steps->steps[i].content_size;
	n->contents = mem_alloc(bytes, 1);
	if (!n->contents)
		return err_set(info, ERR_MEMORY, "no memory for a normalizer");

	char *content = n->contents;
	for (size_t i = 0; i < steps->count && !code; i++)
		code = step_open(n, i, &content, info);
	if (code)
		normalizer_close(n);
	return code;
}

void normalizer_close(struct normalizer *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < NORMALIZER_STEPS_MAX; i++)
		regex_close(n->regexes[i]);
	mem_free(n->contents);
	memset(n, 0, sizeof(*n));
}

/* ---- apply ----------------------------------------------------------------------------------- */

/* The text that a step makes of another. */
struct output {
	const struct normalizer_text *in;
	struct arena *arena;
	char *bytes;
	uint8_t *trusted;           /* where the input has it */
	size_t size;
	size_t capacity;
	size_t size_max;
	struct err_info *info;
};

static enum err output_reserve(struct output *o, size_t size)
{
	const size_t capacity = 2 * (o->size + size) + 64;
	char *bytes;
	uint8_t *trusted = NULL;

	if (size > o->size_max - o->size)
		return err_set(o->info, ERR_LIMIT,
			"normalizer: more than %zu bytes come of the text", o->size_max);
	if (size <= o->capacity - o->size)
		return ERR_NONE;
	bytes = arena_alloc(o->arena, capacity);
	if (o->in->trusted)
		trusted = arena_alloc(o->arena, capacity);
	if (!bytes || (o->in->trusted && !trusted))
		return err_set(o->info, ERR_LIMIT, "no room to normalise %zu bytes of text",
			o->in->size);
	if (o->size > 0)
		memcpy(bytes, o->bytes, o->size);
	if (o->size > 0 && trusted)
		memcpy(trusted, o->trusted, o->size);
	o->bytes = bytes;
	o->trusted = trusted;
	o->capacity = capacity;
	return ERR_NONE;
}

/* in[begin .. end) as it is. */
static enum err output_copy(struct output *o, size_t begin, size_t end)
{
	const size_t size = end - begin;

	if (size == 0)
		return ERR_NONE;
	if (output_reserve(o, size))
		return o->info->code;
	memcpy(o->bytes + o->size, o->in->bytes + begin, size);
	if (o->in->trusted)
		memcpy(o->trusted + o->size, o->in->trusted + begin, size);
	o->size += size;
	return ERR_NONE;
}

/* bytes instead of in[begin .. end). */
static enum err output_put(struct output *o, const char *bytes, size_t size, size_t begin,
	size_t end)
{
	if (size == 0)
		return ERR_NONE;
	if (output_reserve(o, size))
		return o->info->code;
	memcpy(o->bytes + o->size, bytes, size);
	if (o->in->trusted) {
		const bool all = begin == end ||
				 !memchr(o->in->trusted + begin, 0, end - begin);

		memset(o->trusted + o->size, all, size);
	}
	o->size += size;
	return ERR_NONE;
}

static enum err apply_form(struct output *o, struct normal_form_work *work, enum normal_form form)
{
	const char *bytes = o->in->bytes;
	enum err code = ERR_NONE;

	for (size_t at = 0, size; at < o->in->size && !code; at += size) {
		const char *changed;
		size_t changed_size;
		bool changes;

		size = normal_form_segment(form, bytes + at, o->in->size - at, &changes);
		if (!changes)
			code = output_copy(o, at, at + size);
		else if (!(code = normal_form_apply(work, form, bytes + at, size, &changed,
				   &changed_size, o->info)))
			code = output_put(o, changed, changed_size, at, at + size);
	}
	return code;
}

/* As Rust's char::to_lowercase: one character is two. */
static size_t lower(uint32_t c, char *out)
{
	if (c == 0x130) {
		memcpy(out, "i\xCC\x87", 3);
		return 3;
	}
	return unicode_encode(unicode_lower(c), out);
}

static enum err apply_lowercase(struct output *o)
{
	enum err code = ERR_NONE;

	for (size_t at = 0, length; at < o->in->size && !code; at += length) {
		char bytes[4];
		uint32_t c;

		length = unicode_decode(o->in->bytes + at, o->in->size - at, &c);
		code = c == UNICODE_BROKEN ? output_copy(o, at, at + length)
					   : output_put(o, bytes, lower(c, bytes), at, at + length);
	}
	return code;
}

static enum err apply_strip_accents(struct output *o)
{
	enum err code = ERR_NONE;

	for (size_t at = 0, length; at < o->in->size && !code; at += length) {
		uint32_t c;

		length = unicode_decode(o->in->bytes + at, o->in->size - at, &c);
		if (!unicode_is_mark(c))
			code = output_copy(o, at, at + length);
	}
	return code;
}

static enum err apply_strip(struct output *o, bool left, bool right)
{
	size_t begin = 0, end = o->in->size;

	if (left)
		begin += unicode_leading_space(o->in->bytes, end);
	if (right)
		end -= unicode_trailing_space(o->in->bytes + begin, end - begin);
	return output_copy(o, begin, end);
}

struct replacing {
	struct output *o;
	const struct normalizer_step *step;
};

static enum err replace(void *context, size_t begin, size_t end, bool matched)
{
	struct replacing *r = context;

	if (!matched)
		return output_copy(r->o, begin, end);
	return output_put(r->o, r->step->content, r->step->content_size, begin, end);
}

static enum err apply_replace(struct output *o, const struct normalizer_step *step,
	const struct regex *regex, struct normalizer_work *work)
{
	struct replacing r = {.o = o, .step = step};

	if (regex_work_allow(work->regex, o->arena, o->in->size, o->info))
		return o->info->code;
	return regex_split(regex, *work->regex, o->in->bytes, o->in->size, replace, &r, o->info);
}

static enum err apply_prepend(struct output *o, const struct normalizer_step *step)
{
	const enum err code = output_put(o, step->content, step->content_size, 0, 0);

	return code ? code : output_copy(o, 0, o->in->size);
}

static enum err apply_step(const struct normalizer *n, size_t index, struct output *o,
	struct normalizer_work *work)
{
	const struct normalizer_step *step = &n->steps.steps[index];

	switch (step->kind) {
	case NORMALIZER_LOWERCASE:
		return apply_lowercase(o);
	case NORMALIZER_STRIP:
		return apply_strip(o, step->left, step->right);
	case NORMALIZER_STRIP_ACCENTS:
		return apply_strip_accents(o);
	case NORMALIZER_PREPEND:
		return apply_prepend(o, step);
	case NORMALIZER_REPLACE:
		return apply_replace(o, step, n->regexes[index], work);
	case NORMALIZER_FORM:
	default:
		return apply_form(o, &work->form, step->form);
	}
}

enum err normalizer_apply(const struct normalizer *n, struct normalizer_work *work,
	struct normalizer_text *text, struct err_info *info)
{
	const size_t size_max = NORMALIZER_BYTES_MIN + NORMALIZER_GROWTH_MAX * text->size;

	for (size_t i = 0; i < n->steps.count && text->size > 0; i++) {
		const struct normalizer_step *step = &n->steps.steps[i];
		struct output o = {
			.in = text, .arena = work->form.arena, .size_max = size_max, .info = info};

		if (step->kind == NORMALIZER_FORM &&
			normal_form_holds(step->form, text->bytes, text->size))
			continue;
		if (apply_step(n, i, &o, work))
			return info->code;
		*text = (struct normalizer_text){
			.bytes = o.bytes ? o.bytes : "", .trusted = o.trusted, .size = o.size};
	}
	return ERR_NONE;
}
