/* model/tokenizer/regex.c - see regex.h. */
#include "model/tokenizer/regex.h"

#include <assert.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/tokenizer/regex_translate.h"

#define NESTING_MAX 128

struct regex {
	pcre2_code *code;
	char pattern[128];   /* its beginning, for errors */
};

struct regex_work {
	pcre2_match_data *match;
	pcre2_match_context *context;
	uint64_t steps;
	uint64_t steps_max;
	size_t last;         /* where the matcher was when it was last seen */
};

/* ---- compile --------------------------------------------------------------------------------- */

static void *heap_take(size_t size, void *unused)
{
	(void)unused;
	return mem_alloc(size, 1);
}

static void heap_give(void *block, void *unused)
{
	(void)unused;
	mem_free(block);
}

static enum err compile(struct regex *r, const struct buf *pattern,
	pcre2_compile_context *context, struct err_info *info)
{
	const uint32_t options = PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
				 PCRE2_AUTO_CALLOUT | PCRE2_NO_START_OPTIMIZE;
	int error;
	PCRE2_SIZE at;

	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(context, NESTING_MAX);
	r->code = pcre2_compile((PCRE2_SPTR)(pattern->data ? pattern->data : ""), pattern->size,
		options, &error, &at, context);
	if (!r->code) {
		unsigned char reason[120] = "";

		pcre2_get_error_message(error, reason, sizeof(reason));
		return err_set(info, ERR_UNSUPPORTED, "regex \"%s\": %s", r->pattern, reason);
	}
	/* Where there is no compiler for this machine, or it may not write code, the interpreter
	 * does the same. */
	(void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
	return ERR_NONE;
}

enum err regex_open(struct regex **out, const char *pattern, size_t size, struct err_info *info)
{
	pcre2_general_context *general = pcre2_general_context_create(heap_take, heap_give, NULL);
	pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
	struct regex *r = mem_alloc(1, sizeof(*r));
	struct buf translated;
	enum err code;

	*out = NULL;
	buf_init(&translated, REGEX_PATTERN_BYTES_MAX * 16);
	if (!context || !r) {
		code = err_set(info, ERR_MEMORY, "no memory for a regex of %zu bytes", size);
		goto done;
	}
	memcpy(r->pattern, pattern, regex_shown(pattern, size));
	if ((code = regex_translate(pattern, size, &translated, info)) ||
		(code = compile(r, &translated, context, info)))
		goto done;
	*out = r;
	r = NULL;
done:
	regex_close(r);
	buf_free(&translated);
	pcre2_compile_context_free(context);
	pcre2_general_context_free(general);
	return code;
}

enum err regex_open_literal(struct regex **out, const char *text, size_t size,
	struct err_info *info)
{
	struct buf pattern;
	enum err code;

	assert(size > 0);
	buf_init(&pattern, 2 * size + 1);
	for (size_t i = 0; i < size; i++) {
		const unsigned char c = (unsigned char)text[i];
		const bool plain = c >= 0x80 || (c >= '0' && c <= '9') ||
				   ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!plain)
			buf_add_char(&pattern, '\\');
		buf_add_char(&pattern, text[i]);
	}
	if (pattern.failed)
		code = err_set(info, ERR_MEMORY, "no memory for a regex of %zu bytes", size);
	else
		code = regex_open(out, pattern.data, pattern.size, info);
	buf_free(&pattern);
	return code;
}

void regex_close(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	mem_free(r);
}

/* ---- match ----------------------------------------------------------------------------------- */

static void *arena_take(size_t size, void *arena)
{
	return arena_alloc(arena, size);
}

static void arena_give(void *block, void *arena)
{
	(void)block, (void)arena;
}

/* Before each item: what it costs to have come here. */
static int count_steps(pcre2_callout_block *at, void *context)
{
	struct regex_work *w = context;
	const size_t here = at->current_position;

	w->steps += 1 + (here > w->last ? here - w->last : w->last - here);
	w->last = here;
	return w->steps > w->steps_max ? PCRE2_ERROR_CALLOUT : 0;
}

static enum err work_open(struct regex_work **out, struct arena *arena, struct err_info *info)
{
	struct regex_work *w = arena_alloc(arena, sizeof(*w));
	pcre2_general_context *general =
		pcre2_general_context_create(arena_take, arena_give, arena);

	if (w && general) {
		w->match = pcre2_match_data_create(1, general);
		w->context = pcre2_match_context_create(general);
	}
	if (!w || !w->match || !w->context)
		return err_set(info, ERR_LIMIT, "no room to match a regex");
	pcre2_set_callout(w->context, count_steps, w);
	pcre2_set_match_limit(w->context, UINT32_MAX); /* steps are the limit */
	pcre2_set_heap_limit(w->context, REGEX_HEAP_KIB_MAX);
	*out = w;
	return ERR_NONE;
}

enum err regex_work_allow(struct regex_work **w, struct arena *arena, size_t text_bytes,
	struct err_info *info)
{
	if (!*w && work_open(w, arena, info))
		return info->code;
	(*w)->steps_max += REGEX_STEPS_MIN + REGEX_STEPS_PER_BYTE * (uint64_t)text_bytes;
	return ERR_NONE;
}

uint64_t regex_work_steps(const struct regex_work *w)
{
	return w->steps;
}

/* The first match that begins at from or later; *begin is SIZE_MAX when there is none. */
static enum err find(const struct regex *r, struct regex_work *w, const char *text, size_t size,
	size_t from, size_t *begin, size_t *end, struct err_info *info)
{
	int found;

	assert(from <= size);
	w->last = from;
	found = pcre2_match(r->code, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK, w->match,
		w->context);
	if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
		w->last = from;
		found = pcre2_match(r->code, (PCRE2_SPTR)text, size, from,
			PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->match, w->context);
	}
	*begin = *end = SIZE_MAX;
	if (found == PCRE2_ERROR_NOMATCH)
		return ERR_NONE;
	if (found < 0)
		return err_set(info, ERR_LIMIT,
			"regex \"%s\" needs too many steps for a text of %zu bytes", r->pattern,
			size);
	const PCRE2_SIZE *place = pcre2_get_ovector_pointer(w->match);
	*begin = place[0];
	*end = place[1];
	assert(*begin >= from && *begin <= *end && *end <= size);
	return ERR_NONE;
}

/* ---- split ----------------------------------------------------------------------------------- */

struct splitter {
	const struct regex *r;
	struct regex_work *w;
	regex_take *take;
	void *context;
	struct err_info *info;
};

/* How many bytes from the beginning are characters. */
static size_t valid_size(const char *text, size_t size)
{
	size_t at = 0;

	for (size_t length; at < size; at += length) {
		length = 1;
		if ((unsigned char)text[at] >= 0x80 &&
			utf8_next(text + at, size - at, &length, NULL) != UTF8_CHARACTER)
			break;
	}
	return at;
}

/* How many bytes from the beginning are none. */
static size_t broken_size(const char *text, size_t size)
{
	size_t at = 0;

	for (size_t length; at < size; at += length)
		if (utf8_next(text + at, size - at, &length, NULL) == UTF8_CHARACTER)
			break;
	return at;
}

static size_t next_character(const char *text, size_t size, size_t at)
{
	size_t length = 1;

	if (at < size)
		(void)utf8_next(text + at, size - at, &length, NULL);
	return at + length;
}

/* All of a valid text that begins at offset. An empty match right behind a match is none, as for
 * Oniguruma's callers. */
static enum err split_valid(const struct splitter *s, const char *text, size_t size, size_t offset)
{
	size_t done = 0, last_end = SIZE_MAX;
	enum err code = ERR_NONE;

	for (size_t from = 0, begin, end; from <= size && !code;) {
		code = find(s->r, s->w, text, size, from, &begin, &end, s->info);
		if (code || begin == SIZE_MAX)
			break;
		if (begin == end && end == last_end) {
			from = next_character(text, size, from);
			continue;
		}
		if (begin > done)
			code = s->take(s->context, offset + done, offset + begin, false);
		if (!code)
			code = s->take(s->context, offset + begin, offset + end, true);
		done = last_end = from = end;
	}
	if (!code && done < size)
		code = s->take(s->context, offset + done, offset + size, false);
	return code;
}

enum err regex_split(const struct regex *r, struct regex_work *w, const char *text, size_t size,
	regex_take *take, void *context, struct err_info *info)
{
	const struct splitter s = {
		.r = r, .w = w, .take = take, .context = context, .info = info};
	enum err code = ERR_NONE;

	for (size_t at = 0; at < size && !code;) {
		const size_t valid = valid_size(text + at, size - at);
		const size_t broken = broken_size(text + at + valid, size - at - valid);

		if (valid > 0)
			code = split_valid(&s, text + at, valid, at);
		at += valid;
		if (!code && broken > 0)
			code = take(context, at, at + broken, false);
		at += broken;
	}
	return code;
}
