/* model/template/jinja_text.h - strings of a render: put together, cut and changed without
 * losing whose bytes they are.
 *
 * Private to the Jinja engine. A cut shares the bytes; a builder keeps references until it is
 * finished, so that a text passes through a template with one copy.
 */
#ifndef MODEL_TEMPLATE_JINJA_TEXT_H
#define MODEL_TEMPLATE_JINJA_TEXT_H

#include "model/template/jinja_value.h"

#define JINJA_BUILDER_BLOCK 16

struct jinja_fragments {
	struct jinja_string items[JINJA_BUILDER_BLOCK];
	struct jinja_fragments *next;
};

/* A string in parts. Zero-initialised it is empty. */
struct jinja_builder {
	struct jinja_fragments first;
	struct jinja_fragments *last;
	size_t count;      /* fragments */
	size_t size;       /* bytes */
};

bool jinja_builder_add(struct jinja_render *r, struct jinja_builder *b, struct jinja_string s)
	MUST_CHECK;
/* Not markup. */
bool jinja_builder_finish(struct jinja_render *r, const struct jinja_builder *b,
	struct jinja_string *out) MUST_CHECK;

/* Adds to what is being captured, else to the output. */
bool jinja_emit(struct jinja_render *r, struct jinja_string s) MUST_CHECK;

/* Bytes written twice: first only counted, then into memory of that size. */
struct jinja_writer {
	char *out;         /* NULL: counts */
	size_t size;
};
void jinja_write(struct jinja_writer *w, const char *bytes, size_t size);
void jinja_write_text(struct jinja_writer *w, const char *text);

/* Byte offset of a character; the size for those beyond the end. */
size_t jinja_character_offset(struct jinja_string s, size_t character);
struct jinja_string jinja_cut(struct jinja_string s, size_t begin, size_t end);
bool jinja_string_equal(struct jinja_string a, struct jinja_string b);
/* Offset of needle in s from begin on, SIZE_MAX if it is not there. An empty needle is
 * found at once. */
size_t jinja_string_find(struct jinja_string s, size_t begin, struct jinja_string needle);
/* The needle is of at most JINJA_NEEDLE_BYTES_MAX: it is compared at each place. */
#define JINJA_NEEDLE_BYTES_MAX 256
size_t jinja_string_find_last(struct jinja_string s, struct jinja_string needle);

/* The text with &, <, >, ' and " as HTML spells them; markup stays as it is, and that is what it
 * gives. */
bool jinja_escape(struct jinja_render *r, struct jinja_string s, struct jinja_string *out)
	MUST_CHECK;

/* Python's strip: of white space, or of the characters in chars; that is charged before. */
struct jinja_string jinja_strip(struct jinja_string s, const struct jinja_string *chars, bool left,
	bool right);
bool jinja_charge_strip(struct jinja_render *r, struct jinja_string s, struct jinja_string chars)
	MUST_CHECK;
bool jinja_replace(struct jinja_render *r, struct jinja_string s, struct jinja_string old,
	struct jinja_string new, int64_t count_max, struct jinja_string *out) MUST_CHECK;
/* separator NULL: runs of white space. count_max below 0: all. */
bool jinja_split(struct jinja_render *r, struct jinja_string s,
	const struct jinja_string *separator, int64_t count_max, bool from_right,
	struct jinja_value *out) MUST_CHECK;

/* Lines as Python ends them: \n, \r, both together, and Unicode's rarer ones. */
bool jinja_splitlines(struct jinja_render *r, struct jinja_string s, bool keep_ends,
	struct jinja_value *out) MUST_CHECK;

enum jinja_case {
	JINJA_LOWER,
	JINJA_UPPER,
	JINJA_TITLE,        /* Python's: a capital after what is no letter */
	/* the filter's: a capital after white space, hyphen or opening bracket */
	JINJA_TITLE_WORDS,
	JINJA_CAPITALIZE,
	JINJA_SWAP,
};
bool jinja_recase(struct jinja_render *r, struct jinja_string s, enum jinja_case to,
	struct jinja_string *out) MUST_CHECK;

/* str(): the string itself, else how Python prints the value. */
bool jinja_to_string(struct jinja_render *r, const struct jinja_value *v, struct jinja_string *out)
	MUST_CHECK;

/* Python's repr(). */
bool jinja_repr(struct jinja_render *r, const struct jinja_value *v, struct jinja_string *out)
	MUST_CHECK;

/* Python's json.dumps. indent below 0: on one line. */
struct jinja_json_style {
	int64_t indent;
	bool sort_keys;
	bool ascii;
	struct jinja_string item_separator;
	struct jinja_string key_separator;
};
bool jinja_to_json(struct jinja_render *r, const struct jinja_value *v,
	const struct jinja_json_style *style, struct jinja_string *out) MUST_CHECK;

#endif
