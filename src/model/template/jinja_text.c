/* model/template/jinja_text.c - see jinja_text.h: strings put together, cut and changed. */
#include "model/template/jinja_text.h"

#include <assert.h>
#include <string.h>

#include "model/tokenizer/unicode.h"

/* ---- whose bytes ----------------------------------------------------------------------------- */

/* The size of the run from begin on that is all trusted or all not. */
static size_t trust_run(struct jinja_string s, size_t begin, bool *trusted)
{
	size_t end = begin + 1;

	if (!s.trust) {
		*trusted = s.trusted;
		return s.size - begin;
	}
	*trusted = s.trust[begin] != 0;
	while (end < s.size && (s.trust[end] != 0) == *trusted)
		end++;
	return end - begin;
}

static bool trust_is_uniform(struct jinja_string s, bool *trusted)
{
	return trust_run(s, 0, trusted) == s.size;
}

/* ---- builders -------------------------------------------------------------------------------- */

bool jinja_builder_add(struct jinja_render *r, struct jinja_builder *b, struct jinja_string s)
{
	const size_t at = b->count % JINJA_BUILDER_BLOCK;

	if (s.size == 0)
		return true;
	if (!jinja_charge(r, 1))
		return false;
	if (b->count == 0)
		b->last = &b->first;
	if (b->count > 0 && at == 0) {
		struct jinja_fragments *block = jinja_array(r, 1, sizeof(*block));

		if (!block)
			return false;
		b->last->next = block;
		b->last = block;
	}
	b->last->items[at] = s;
	b->count++;
	b->size += s.size;
	return true;
}

static bool builder_is_uniform(const struct jinja_builder *b, bool *trusted)
{
	const struct jinja_fragments *block = &b->first;

	for (size_t i = 0; i < b->count; i++) {
		bool other;

		if (i > 0 && i % JINJA_BUILDER_BLOCK == 0)
			block = block->next;
		if (!trust_is_uniform(block->items[i % JINJA_BUILDER_BLOCK], i ? &other : trusted))
			return false;
		if (i > 0 && other != *trusted)
			return false;
	}
	return true;
}

static void builder_copy(const struct jinja_builder *b, char *bytes, uint8_t *trust)
{
	const struct jinja_fragments *block = &b->first;
	size_t at = 0;

	for (size_t i = 0; i < b->count; i++) {
		if (i > 0 && i % JINJA_BUILDER_BLOCK == 0)
			block = block->next;
		const struct jinja_string *s = &block->items[i % JINJA_BUILDER_BLOCK];

		memcpy(bytes + at, s->bytes, s->size);
		if (trust && s->trust)
			memcpy(trust + at, s->trust, s->size);
		else if (trust)
			memset(trust + at, s->trusted, s->size);
		at += s->size;
	}
	assert(at == b->size);
}

bool jinja_builder_finish(struct jinja_render *r, const struct jinja_builder *b,
	struct jinja_string *out)
{
	bool trusted = false;
	uint8_t *trust = NULL;
	char *bytes;

	*out = jinja_text("");
	if (b->count == 0)
		return true;
	if (b->count == 1) {
		*out = b->first.items[0];
		out->markup = false;
		return true;
	}
	bytes = jinja_array(r, b->size, 1);
	if (!bytes || !jinja_charge_bytes(r, b->size))
		return false;
	if (!builder_is_uniform(b, &trusted) && !(trust = jinja_array(r, b->size, 1)))
		return false;
	builder_copy(b, bytes, trust);
	*out = (struct jinja_string){
		.bytes = bytes, .size = b->size, .trust = trust, .trusted = trusted};
	return true;
}

/* Makes the last span of the output reach to the text's end, or begins one. */
static void output_trust(struct jinja_output *out, size_t begin, size_t end)
{
	const size_t count = jinja_output_span_count(out);
	const struct text_span span = {.begin = begin, .end = end};
	struct text_span *last;

	if (count > 0) {
		last = (struct text_span *)(void *)out->spans.data + count - 1;
		if (last->end == begin) {
			last->end = end;
			return;
		}
	}
	buf_add(&out->spans, &span, sizeof(span));
}

static bool output_add(struct jinja_render *r, struct jinja_string s)
{
	for (size_t at = 0; at < s.size;) {
		const size_t begin = r->output->text.size;
		bool trusted;
		const size_t run = trust_run(s, at, &trusted);

		buf_add(&r->output->text, s.bytes + at, run);
		if (trusted && !r->output->text.failed)
			output_trust(r->output, begin, begin + run);
		at += run;
	}
	if (r->output->text.failed || r->output->spans.failed)
		return jinja_fail(r, ERR_LIMIT, "the rendered text is too long");
	return jinja_charge_bytes(r, s.size);
}

bool jinja_emit(struct jinja_render *r, struct jinja_string s)
{
	return r->capture ? jinja_builder_add(r, r->capture, s) : output_add(r, s);
}

void jinja_write(struct jinja_writer *w, const char *bytes, size_t size)
{
	if (w->out && size > 0)
		memcpy(w->out + w->size, bytes, size);
	w->size += size;
}

void jinja_write_text(struct jinja_writer *w, const char *text)
{
	jinja_write(w, text, strlen(text));
}

/* ---- cuts ------------------------------------------------------------------------------------ */

size_t jinja_character_offset(struct jinja_string s, size_t character)
{
	size_t at = 0;
	uint32_t ignored;

	for (; character > 0 && at < s.size; character--)
		at += unicode_decode(s.bytes + at, s.size - at, &ignored);
	return at;
}

struct jinja_string jinja_cut(struct jinja_string s, size_t begin, size_t end)
{
	assert(begin <= end && end <= s.size);
	s.bytes += begin;
	s.size = end - begin;
	if (s.trust)
		s.trust += begin;
	return s;
}

bool jinja_string_equal(struct jinja_string a, struct jinja_string b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

size_t jinja_string_find(struct jinja_string s, size_t begin, struct jinja_string needle)
{
	const char *found;

	if (needle.size == 0)
		return begin <= s.size ? begin : SIZE_MAX;
	if (begin >= s.size)
		return SIZE_MAX;
	found = memmem(s.bytes + begin, s.size - begin, needle.bytes, needle.size);
	return found ? (size_t)(found - s.bytes) : SIZE_MAX;
}

size_t jinja_string_find_last(struct jinja_string s, struct jinja_string needle)
{
	assert(needle.size <= JINJA_NEEDLE_BYTES_MAX);
	if (needle.size > s.size)
		return SIZE_MAX;
	for (size_t at = s.size - needle.size + 1; at-- > 0;)
		if (needle.size == 0 || memcmp(s.bytes + at, needle.bytes, needle.size) == 0)
			return at;
	return SIZE_MAX;
}

static bool is_stripped(uint32_t c, const struct jinja_string *chars)
{
	uint32_t candidate;

	if (!chars)
		return unicode_is_python_space(c);
	for (size_t at = 0; at < chars->size;) {
		at += unicode_decode(chars->bytes + at, chars->size - at, &candidate);
		if (candidate == c)
			return true;
	}
	return false;
}

/* Length of the last character. */
static size_t last_character(struct jinja_string s, uint32_t *c)
{
	for (size_t length = 4; length > 1; length--)
		if (length <= s.size &&
			unicode_decode(s.bytes + s.size - length, length, c) == length)
			return length;
	unicode_decode(s.bytes + s.size - 1, 1, c);
	return 1;
}

struct jinja_string jinja_strip(struct jinja_string s, const struct jinja_string *chars, bool left,
	bool right)
{
	uint32_t c;

	while (left && s.size > 0) {
		const size_t length = unicode_decode(s.bytes, s.size, &c);

		if (!is_stripped(c, chars))
			break;
		s = jinja_cut(s, length, s.size);
	}
	while (right && s.size > 0) {
		const size_t length = last_character(s, &c);

		if (!is_stripped(c, chars))
			break;
		s = jinja_cut(s, 0, s.size - length);
	}
	return s;
}

/* Each character is compared with each of chars. */
bool jinja_charge_strip(struct jinja_render *r, struct jinja_string s, struct jinja_string chars)
{
	return jinja_charge(r, (s.size / 64 + 1) * (chars.size + 1));
}

/* An empty old is found before every character and at the end. */
static bool replace_empty(struct jinja_render *r, struct jinja_string s, struct jinja_string new,
	int64_t count_max, struct jinja_builder *b)
{
	size_t at = 0;

	for (; count_max != 0; count_max--) {
		uint32_t c;

		if (!jinja_builder_add(r, b, new))
			return false;
		if (at == s.size)
			return true;
		const size_t length = unicode_decode(s.bytes + at, s.size - at, &c);
		if (!jinja_builder_add(r, b, jinja_cut(s, at, at + length)))
			return false;
		at += length;
	}
	return jinja_builder_add(r, b, jinja_cut(s, at, s.size));
}

bool jinja_replace(struct jinja_render *r, struct jinja_string s, struct jinja_string old,
	struct jinja_string new, int64_t count_max, struct jinja_string *out)
{
	struct jinja_builder b = {0};
	size_t at = 0;

	if (!jinja_charge_bytes(r, s.size))
		return false;
	if (old.size == 0)
		return replace_empty(r, s, new, count_max, &b) && jinja_builder_finish(r, &b, out);
	for (; count_max != 0; count_max--) {
		const size_t found = jinja_string_find(s, at, old);

		if (found == SIZE_MAX)
			break;
		if (!jinja_charge(r, 1) || !jinja_builder_add(r, &b, jinja_cut(s, at, found)) ||
			!jinja_builder_add(r, &b, new))
			return false;
		at = found + old.size;
	}
	return jinja_builder_add(r, &b, jinja_cut(s, at, s.size)) &&
	       jinja_builder_finish(r, &b, out);
}

bool jinja_escape(struct jinja_render *r, struct jinja_string s, struct jinja_string *out)
{
	static const struct {
		const char *plain, *escaped;
	} escapes[] = {
		{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
	bool trusted = true;

	if (s.size > 0 && !trust_is_uniform(s, &trusted))
		trusted = false;
	*out = s;
	for (size_t i = 0; !s.markup && i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		struct jinja_string escaped = jinja_text(escapes[i].escaped);

		escaped.trusted = trusted;
		if (!jinja_replace(r, *out, jinja_text(escapes[i].plain), escaped, -1, out))
			return false;
	}
	out->markup = true;
	return true;
}

/* ---- splitting ------------------------------------------------------------------------------- */

/* The next part is taken off rest; false in *more when it was the last. */
static struct jinja_string part_by_separator(struct jinja_string *rest,
	struct jinja_string separator, bool from_right, bool *more)
{
	const size_t found = from_right ? jinja_string_find_last(*rest, separator) :
		jinja_string_find(*rest, 0, separator);
	struct jinja_string part = *rest;

	*more = found != SIZE_MAX;
	if (!*more)
		return part;
	if (from_right) {
		part = jinja_cut(*rest, found + separator.size, rest->size);
		*rest = jinja_cut(*rest, 0, found);
	} else {
		part = jinja_cut(*rest, 0, found);
		*rest = jinja_cut(*rest, found + separator.size, rest->size);
	}
	return part;
}

static struct jinja_string part_by_space(struct jinja_string *rest, bool from_right)
{
	size_t at = from_right ? rest->size : 0;
	struct jinja_string part;

	while (from_right ? at > 0 : at < rest->size) {
		uint32_t c;
		const size_t length = from_right ? last_character(jinja_cut(*rest, 0, at), &c) :
			unicode_decode(rest->bytes + at, rest->size - at, &c);

		if (unicode_is_python_space(c))
			break;
		at = from_right ? at - length : at + length;
	}
	part = from_right ? jinja_cut(*rest, at, rest->size) : jinja_cut(*rest, 0, at);
	*rest = from_right ? jinja_cut(*rest, 0, at) : jinja_cut(*rest, at, rest->size);
	*rest = jinja_strip(*rest, NULL, !from_right, from_right);
	return part;
}

struct parts {
	struct jinja_value *items;
	size_t count;
	size_t capacity;
};

static bool parts_add(struct jinja_render *r, struct parts *parts, struct jinja_string part)
{
	if (parts->count == parts->capacity) {
		const size_t capacity = parts->capacity ? parts->capacity * 2 : 8;
		struct jinja_value *items = jinja_array(r, capacity, sizeof(*items));

		if (!items)
			return false;
		if (parts->count > 0)
			memcpy(items, parts->items, parts->count * sizeof(*items));
		parts->items = items;
		parts->capacity = capacity;
	}
	parts->items[parts->count++] = jinja_string(part);
	return jinja_charge(r, 1);
}

static void parts_reverse(struct parts *parts)
{
	for (size_t i = 0; i < parts->count / 2; i++) {
		const struct jinja_value swapped = parts->items[i];

		parts->items[i] = parts->items[parts->count - 1 - i];
		parts->items[parts->count - 1 - i] = swapped;
	}
}

static bool split_by_space(struct jinja_render *r, struct jinja_string s, int64_t count_max,
	bool from_right, struct parts *parts)
{
	struct jinja_string rest = jinja_strip(s, NULL, !from_right, from_right);

	while (rest.size > 0 && count_max-- != 0)
		if (!parts_add(r, parts, part_by_space(&rest, from_right)))
			return false;
	return rest.size == 0 || parts_add(r, parts, rest);
}

static bool split_by_separator(struct jinja_render *r, struct jinja_string s,
	struct jinja_string separator, int64_t count_max, bool from_right, struct parts *parts)
{
	struct jinja_string rest = s;
	bool more = true;

	while (more && count_max-- != 0) {
		const struct jinja_string part =
			part_by_separator(&rest, separator, from_right, &more);
		const size_t compared = from_right ? part.size / 16 * (separator.size / 16 + 1) : 0;

		if (!jinja_charge(r, compared) || !parts_add(r, parts, part))
			return false;
	}
	return !more || parts_add(r, parts, rest);
}

bool jinja_split(struct jinja_render *r, struct jinja_string s,
	const struct jinja_string *separator, int64_t count_max, bool from_right,
	struct jinja_value *out)
{
	struct parts parts = {0};

	if (separator && separator->size == 0)
		return jinja_fail(r, ERR_INPUT, "empty separator");
	if (separator && from_right && separator->size > JINJA_NEEDLE_BYTES_MAX)
		return jinja_fail(r, ERR_UNSUPPORTED, "rsplit: a separator of more than %d bytes",
			JINJA_NEEDLE_BYTES_MAX);
	if (!jinja_charge_bytes(r, s.size))
		return false;
	if (separator ? !split_by_separator(r, s, *separator, count_max, from_right, &parts) :
			!split_by_space(r, s, count_max, from_right, &parts))
		return false;
	if (from_right)
		parts_reverse(&parts);
	*out = jinja_list_of(parts.items, parts.count);
	return true;
}

/* Bytes of the line end at this place; 0: none. */
static size_t line_end(struct jinja_string s, size_t at)
{
	uint32_t c;
	const size_t length = unicode_decode(s.bytes + at, s.size - at, &c);

	if (c == '\r' && at + 1 < s.size && s.bytes[at + 1] == '\n')
		return 2;
	return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
		c == 0x2028 || c == 0x2029 ? length : 0;
}

bool jinja_splitlines(struct jinja_render *r, struct jinja_string s, bool keep_ends,
	struct jinja_value *out)
{
	struct parts parts = {0};
	size_t begin = 0;

	if (!jinja_charge(r, s.size / 16))
		return false;
	for (size_t at = 0; at < s.size;) {
		const size_t end = line_end(s, at);
		uint32_t ignored;

		if (end == 0) {
			at += unicode_decode(s.bytes + at, s.size - at, &ignored);
			continue;
		}
		if (!parts_add(r, &parts, jinja_cut(s, begin, keep_ends ? at + end : at)))
			return false;
		begin = at += end;
	}
	if (begin < s.size && !parts_add(r, &parts, jinja_cut(s, begin, s.size)))
		return false;
	*out = jinja_list_of(parts.items, parts.count);
	return true;
}

/* ---- case ------------------------------------------------------------------------------------ */

static void write_case(struct jinja_writer *w, uint32_t c, bool upper)
{
	char bytes[4];

	if (upper && c == 0xDF) {  /* the one frequent letter whose capital is two */
		jinja_write_text(w, "SS");
		return;
	}
	jinja_write(w, bytes, unicode_encode(upper ? unicode_upper(c) : unicode_lower(c), bytes));
}

/* Whether a character makes the next one a capital. */
static bool begins_word(uint32_t c, enum jinja_case to)
{
	if (to == JINJA_TITLE)
		return unicode_class_of(c) != UNICODE_LETTER;
	return to == JINJA_TITLE_WORDS && (c == '-' || c == '(' || c == '{' || c == '[' ||
						  c == '<' || unicode_is_python_space(c));
}

static void write_recased(struct jinja_writer *w, struct jinja_string s, enum jinja_case to)
{
	bool capital = to != JINJA_LOWER;

	for (size_t at = 0; at < s.size;) {
		uint32_t c;
		const size_t length = unicode_decode(s.bytes + at, s.size - at, &c);

		if (c == UNICODE_BROKEN)
			jinja_write(w, s.bytes + at, length);
		else
			write_case(w, c, to == JINJA_SWAP ? unicode_upper(c) != c : capital);
		capital = to == JINJA_UPPER || begins_word(c, to);
		at += length;
	}
}

bool jinja_recase(struct jinja_render *r, struct jinja_string s, enum jinja_case to,
	struct jinja_string *out)
{
	struct jinja_writer w = {0};
	bool trusted = false;

	if (!jinja_charge(r, s.size / 4 + 1))
		return false;
	if (s.size > 0 && !trust_is_uniform(s, &trusted))
		trusted = false;
	write_recased(&w, s, to);
	w.out = jinja_array(r, w.size, 1);
	if (!w.out)
		return false;
	w.size = 0;
	write_recased(&w, s, to);
	*out = (struct jinja_string){.bytes = w.out, .size = w.size, .trusted = trusted,
		.markup = s.markup};
	return true;
}
