/* model/unicode.h - characters as the tokenizer and the templates see them.
 *
 * Text from outside may be broken UTF-8. A byte that belongs to no character is read as
 * UNICODE_BROKEN, one byte long, of no class; it is never dropped or replaced, so that text
 * survives the round trip.
 */
#ifndef MODEL_UNICODE_H
#define MODEL_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_BROKEN 0xFFFFFFFFu

/* NFC looks at this many characters in a row that it may change; longer runs are worked off in
 * portions. Unicode's own stream-safe format allows 30 marks on one letter. */
#define UNICODE_NFC_RUN_MAX 128

enum unicode_class {
	UNICODE_OTHER,
	UNICODE_LETTER,   /* \p{L} */
	UNICODE_MARK,     /* \p{M} */
	UNICODE_NUMBER,   /* \p{N} */
	UNICODE_SPACE,    /* White_Space but the next */
	UNICODE_NEWLINE,  /* \r \n */
};

/* The character at text[0 .. size), size > 0; *code_point or UNICODE_BROKEN. Returns its
 * length in bytes. */
size_t unicode_decode(const char *text, size_t size, uint32_t *code_point);

/* Writes up to 4 bytes; returns how many. The code point must be a Unicode scalar value. */
size_t unicode_encode(uint32_t code_point, char *out);

/* How many characters; a broken byte counts as one. */
size_t unicode_length(const char *text, size_t size);

enum unicode_class unicode_class_of(uint32_t code_point);

/* enum unicode_class by byte, for text that is mostly ASCII; UNICODE_NOT_ASCII: a byte of a longer
 * character, or a broken one. */
#define UNICODE_NOT_ASCII 0xFF
extern const uint8_t unicode_byte_class[256];

/* Python's str.isspace and str.isprintable for one character. */
bool unicode_is_python_space(uint32_t code_point);
bool unicode_is_printable(uint32_t code_point);

/* Simple case mappings: one character to one. */
uint32_t unicode_lower(uint32_t code_point);
uint32_t unicode_upper(uint32_t code_point);

/* True when NFC would certainly leave the text as it is: the fast and usual case. */
bool unicode_is_nfc(const char *text, size_t size);

/* Writes the NFC of text to out (NULL: only counts) and returns its size, at most 3 * size. */
size_t unicode_nfc(const char *text, size_t size, char *out);

#endif
