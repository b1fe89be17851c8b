/* model/tokenizer/tokenizer_encode.c - see tokenizer.h: the way of a text through a tokenizer.
 *
 *	text --added tokens--> stretches --normalised, added tokens--> stretches --cut--> pieces
 *	--merged--> ids
 */
#include <assert.h>
#include <string.h>

#include "model/tokenizer/tokenizer_private.h"
#include "model/tokenizer/unicode.h"

struct encoder {
	const struct tokenizer *t;
	struct arena *scratch;
	struct bpe_work work;
	struct piece_memo memo;
	struct regex_work *regex;
	struct normalizer_work normalizer;
	struct pretokenizer_work pretokenizer;
	struct token_list *out;
	struct err_info *info;
};

/* ---- pieces to ids --------------------------------------------------------------------------- */

static enum err emit(struct encoder *e, const uint32_t *ids, size_t count)
{
	const size_t room = e->out->count_max - e->out->count;
	const size_t taken = count < room ? count : room;

	memcpy(e->out->ids + e->out->count, ids, taken * sizeof(*ids));
	e->out->count += taken;
	if (taken < count)
		return err_set(e->info, ERR_LIMIT, "the text has more than %zu tokens",
			e->out->count_max);
	return ERR_NONE;
}

/* Merges a piece that is no token: *count ids in e->work. */
static enum err merge_piece(struct encoder *e, const char *piece, size_t size, size_t *count)
{
	const enum err code = bpe_work_reserve(&e->work, e->scratch, size, e->info);

	*count = code ? 0 : bpe_encode(&e->t->bpe, &e->work, piece, size);
	return code;
}

static enum err encode_long_piece(struct encoder *e, const char *piece, size_t size)
{
	const uint32_t whole = token_table_find(&e->t->table, piece, size);
	size_t count;
	enum err code;

	if (whole != TOKENIZER_ID_NONE && e->t->table.kinds[whole] == TOKEN_NORMAL)
		return emit(e, &whole, 1);
	if ((code = merge_piece(e, piece, size, &count)))
		return code;
	return emit(e, e->work.ids, count);
}

static enum err encode_piece(struct encoder *e, const char *piece, size_t size)
{
	const struct piece_memo_entry *known;
	uint32_t whole;
	size_t count;
	enum err code;

	if (size > PIECE_BYTES_MAX)
		return encode_long_piece(e, piece, size);
	const struct piece_key key = piece_key_of(piece, size);
	if ((whole = piece_table_find(&e->t->pieces, &key)) != TOKENIZER_ID_NONE)
		return emit(e, &whole, 1);
	if ((known = piece_memo_find(&e->memo, &key)))
		return emit(e, known->ids, known->count);
	if ((code = merge_piece(e, piece, size, &count)))
		return code;
	piece_memo_put(&e->memo, e->scratch, &key, e->work.ids, count);
	return emit(e, e->work.ids, count);
}

/* Cuts a piece that is too long before the character that would cross the limit. */
static size_t piece_cut(const char *text, size_t size)
{
	size_t cut = BPE_PIECE_BYTES_MAX;

	if (size <= cut)
		return size;
	while (cut > BPE_PIECE_BYTES_MAX - 4 && ((unsigned char)text[cut] & 0xC0) == 0x80)
		cut--;
	return cut;
}

static enum err take_piece(void *context, const char *piece, size_t size)
{
	enum err code = ERR_NONE;

	for (size_t at = 0, part; at < size && !code; at += part) {
		part = piece_cut(piece + at, size - at);
		code = encode_piece(context, piece + at, part);
	}
	return code;
}

/* ---- added tokens ---------------------------------------------------------------------------- */

/* Where added tokens may be: in spans, or where flags are 1. */
struct trust {
	const struct text_span *spans;
	size_t span_count;
	const uint8_t *flags;   /* [size], or NULL: spans hold */
	size_t size;
};

/* The next span from *cursor on, which begins at 0; false when there is none. */
static bool trust_next(const struct trust *trust, size_t *cursor, struct text_span *out)
{
	if (!trust->flags) {
		if (*cursor == trust->span_count)
			return false;
		*out = trust->spans[(*cursor)++];
		return true;
	}
	const uint8_t *begin = *cursor < trust->size ? memchr(trust->flags + *cursor, 1,
							       trust->size - *cursor)
						     : NULL;
	if (!begin)
		return false;
	out->begin = (size_t)(begin - trust->flags);
	const uint8_t *end = memchr(begin, 0, trust->size - out->begin);
	out->end = end ? (size_t)(end - trust->flags) : trust->size;
	*cursor = out->end;
	return true;
}

/* Whether a letter or the like stands right before or behind text[begin .. end). */
static bool is_in_word(const char *text, size_t size, size_t begin, size_t end)
{
	uint32_t c;

	if (begin > 0) {
		unicode_decode_last(text, begin, &c);
		if (unicode_is_word(c))
			return true;
	}
	if (end == size)
		return false;
	unicode_decode(text + end, size - end, &c);
	return unicode_is_word(c);
}

/* A search for added tokens in text[0 .. size). */
struct search {
	struct encoder *e;
	const struct added_index *index;
	const char *text;
	size_t size;
	size_t done;            /* what stands before has been encoded */
	struct text_span space; /* white space that was looked at last */
	/* encodes a stretch without tokens of this index */
	enum err (*rest)(struct search *search, size_t begin, size_t end);
	const uint8_t *flags;   /* of trust, by byte; NULL: nothing is trusted, or nobody asks */
};

/* Where the white space at end ends; each is looked at once. */
static size_t space_end(struct search *s, size_t end)
{
	if (end < s->space.begin || end > s->space.end)
		s->space = (struct text_span){.begin = end,
			.end = end + unicode_leading_space(s->text + end, s->size - end)};
	return s->space.end;
}

/* A token at text[begin .. end), with the white space that it takes along. */
static enum err take_match(struct search *s, size_t begin, size_t end, const struct added_match *m)
{
	enum err code;

	if (m->flags & ADDED_LSTRIP)
		begin = s->done >= begin ? s->done
					 : begin - unicode_trailing_space(s->text + s->done,
							   begin - s->done);
	if (m->flags & ADDED_RSTRIP)
		end = space_end(s, end);
	if (s->done < begin && (code = s->rest(s, s->done, begin)))
		return code;
	s->done = end;
	return emit(s->e, &m->id, 1);
}

static enum err search_span(struct search *s, struct text_span span)
{
	enum err code = ERR_NONE;

	for (size_t at = span.begin; at < span.end && !code;) {
		at += added_index_skip(s->index, s->text + at, span.end - at);
		const struct added_match m =
			added_index_match(s->index, s->text + at, span.end - at);

		if (m.size == 0) {
			at++;
			continue;
		}
		if (!(m.flags & ADDED_SINGLE_WORD) ||
			!is_in_word(s->text, s->size, at, at + m.size))
			code = take_match(s, at, at + m.size, &m);
		at += m.size;
	}
	return code;
}

static enum err search_run(struct search *s, const struct trust *trust)
{
	struct text_span span;
	size_t cursor = 0;
	enum err code = ERR_NONE;

	while (!code && trust_next(trust, &cursor, &span))
		code = search_span(s, span);
	return code || s->done >= s->size ? code : s->rest(s, s->done, s->size);
}

/* ---- stretches ------------------------------------------------------------------------------- */

static enum err cut_rest(struct search *s, size_t begin, size_t end)
{
	struct encoder *e = s->e;

	return pretokenizer_cut(&e->t->pretokenizer, &e->pretokenizer, s->text + begin, end - begin,
		take_piece, e, e->info);
}

/* Text between tokens that are looked for in the text as it is. */
static enum err normalize_rest(struct search *s, size_t begin, size_t end)
{
	struct encoder *e = s->e;
	struct normalizer_text text = {.bytes = s->text + begin,
		.size = end - begin,
		.trusted = s->flags ? s->flags + begin : NULL};

	if (normalizer_apply(&e->t->normalizer, &e->normalizer, &text, e->info))
		return e->info->code;

	struct search inner = {.e = e, .index = &e->t->added_normalized, .text = text.bytes,
		.size = text.size, .rest = cut_rest};
	const struct trust trust = {.flags = text.trusted, .size = text.size};
	return search_run(&inner, &trust);
}

/* A flag for each byte of the text; NULL in *out when nobody will ask. */
static enum err flag_spans(struct encoder *e, const struct text_span *trusted, size_t trusted_count,
	size_t size, const uint8_t **out)
{
	uint8_t *flags;

	*out = NULL;
	if (trusted_count == 0 || e->t->added_normalized.start_count == 0 || size == 0)
		return ERR_NONE;
	flags = arena_alloc(e->scratch, size);
	if (!flags)
		return err_set(e->info, ERR_LIMIT, "no room to tokenize %zu bytes of text", size);
	for (size_t i = 0; i < trusted_count; i++)
		memset(flags + trusted[i].begin, 1, trusted[i].end - trusted[i].begin);
	*out = flags;
	return ERR_NONE;
}

enum err tokenizer_encode_spans(const struct tokenizer *t, const char *text, size_t size,
	const struct text_span *trusted, size_t trusted_count, struct arena *scratch,
	struct token_list *out, struct err_info *info)
{
	struct encoder e = {.t = t, .scratch = scratch, .out = out, .info = info,
		.normalizer = {.form = {.arena = scratch}}, .pretokenizer = {.arena = scratch}};
	struct search outer = {
		.e = &e, .index = &t->added, .text = text, .size = size, .rest = normalize_rest};
	const struct trust trust = {.spans = trusted, .span_count = trusted_count};

	assert(out->count <= out->count_max);
	for (size_t i = 0; i < trusted_count; i++)
		assert(trusted[i].begin <= trusted[i].end && trusted[i].end <= size &&
			(i == 0 || trusted[i - 1].end <= trusted[i].begin));
	e.normalizer.regex = &e.regex;
	if (flag_spans(&e, trusted, trusted_count, size, &outer.flags))
		return info->code;
	return search_run(&outer, &trust);
}

enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, bool special,
	struct arena *scratch, struct token_list *out, struct err_info *info)
{
	const struct text_span all = {.begin = 0, .end = size};

	return tokenizer_encode_spans(t, text, size, &all, special ? 1 : 0, scratch, out, info);
}

enum err tokenizer_encode_raw(const struct tokenizer *t, const char *text, size_t size,
	bool special, struct arena *scratch, struct token_list *out, struct err_info *info)
{
	if (t->adds_bos) {
		if (out->count == out->count_max)
			return err_set(info, ERR_LIMIT, "the text has more than %zu tokens",
				out->count_max);
		out->ids[out->count++] = t->bos_id;
	}
	return tokenizer_encode(t, text, size, special, scratch, out, info);
}
