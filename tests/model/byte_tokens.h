/* tests/model/byte_tokens.h - a vocabulary of the 256 bytes, spelled in GPT-2's letters: printable
 * ones as themselves, the others in order from U+0100 on. */
#ifndef TESTS_MODEL_BYTE_TOKENS_H
#define TESTS_MODEL_BYTE_TOKENS_H

#include <stdbool.h>

#include "model/tokenizer/tokenizer.h"

#define BYTE_TOKENS 256

/* tokens[i] is byte i; its letters are terminated and stay. */
static inline void byte_tokens_make(struct token_text tokens[BYTE_TOKENS])
{
	static char letters[BYTE_TOKENS][3];
	unsigned spare = 0x100;

	for (unsigned byte = 0; byte < BYTE_TOKENS; byte++) {
		const bool itself = (byte >= 0x21 && byte < 0x7F) ||
				    (byte >= 0xA1 && byte != 0xAD);
		const unsigned c = itself ? byte : spare++;
		const size_t size = c < 0x80 ? 1 : 2;

		letters[byte][0] = (char)(size == 1 ? c : 0xC0 | c >> 6);
		letters[byte][1] = (char)(size == 1 ? 0 : 0x80 | (c & 0x3F));
		tokens[byte] = (struct token_text){letters[byte], size};
	}
}

#endif
