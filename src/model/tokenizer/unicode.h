/* model/tokenizer/unicode.h - characters as the tokenizer and the templates see them.
 *
 * Text from outside may be broken UTF-8. A byte that belongs to no character is read as
 * UNICODE_BROKEN, one byte long, of no class; it is never dropped or replaced, so that text
 * survives the round trip.
 */
#ifndef MODEL_TOKENIZER_UNICODE_H
#define MODEL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_BROKEN 0xFFFFFFFFu

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
/* \p{Nd}, and what Python's str.isdigit says: also digits raised, lowered, in circles. */
bool unicode_is_decimal(uint32_t code_point);
bool unicode_is_python_digit(uint32_t code_point);

/* White_Space of the Unicode character database. */
bool unicode_is_white_space(uint32_t code_point);

/* How many bytes of White_Space text[0 .. size) begins and ends with. */
size_t unicode_leading_space(const char *text, size_t size);
size_t unicode_trailing_space(const char *text, size_t size);

/* The last character of text[0 .. size), size > 0, as unicode_decode tells the first. */
size_t unicode_decode_last(const char *text, size_t size, uint32_t *code_point);

/* \p{M}. */
bool unicode_is_mark(uint32_t code_point);

/* What \w matches in Rust's regex: Alphabetic, marks, decimal numbers, connectors, joiners. */
bool unicode_is_word(uint32_t code_point);

/* Simple case mappings: one character to one. */
uint32_t unicode_lower(uint32_t code_point);
uint32_t unicode_upper(uint32_t code_point);

#endif
