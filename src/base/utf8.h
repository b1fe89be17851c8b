/* base/utf8.h - the next character of a text that may be broken or cut (Unicode 15, table 3-7).
 *
 *	for (size_t at = 0, length; at < size; at += length)
 *		if (utf8_next(text + at, size - at, &length, NULL) != UTF8_CHARACTER)
 *			... length bytes that are no character
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD"     /* U+FFFD, for what is no character */

enum utf8_unit {
	UTF8_CHARACTER,
	UTF8_BROKEN,        /* can be no character, whatever follows: one U+FFFD
			     * ("maximal subpart") */
	UTF8_UNFINISHED,    /* all that is there begins a character, and its end is missing */
};

/* What text[0 .. size) begins with, size > 0. *length: its bytes, at least 1. *code_point, if not
 * NULL: of a character, else untouched. */
enum utf8_unit utf8_next(const char *text, size_t size, size_t *length, uint32_t *code_point);

/* What a terminal would obey or break a line at: C0, DEL, C1, and the two separators of Unicode. */
bool utf8_is_control(uint32_t code_point);

/* Each byte of a control character, of a mark that turns the direction of writing, or of no
 * character at all becomes another: terminals obey them, U+009B is as good as ESC [, and what is
 * answered as JSON is UTF-8. */
void utf8_blank_controls(char *text, char with);

#endif
