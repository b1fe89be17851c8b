/* engine/detokenize.h - tokens become text that may go out: whole tokens, whole characters, no part
 * of a stop string.
 *
 * Pure. Fed the bytes of one token after another; what may not go out yet is held back:
 *
 *	out already | held: token  token  token |
 *	            |       h e l l o   E 4 B D |    an unfinished character
 *	            |       h e l l o   < / s   |    could become the stop string "</stop>"
 *	            ^ a cut is made only where a token and a character end (rules.md 6)
 *
 * A delta of held-back tokens carries several tokens. Bytes that are no UTF-8 go out as U+FFFD.
 */
#ifndef ENGINE_DETOKENIZE_H
#define ENGINE_DETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "engine/request.h"
#include "engine/stop.h"

/* A token's bytes beyond this many are dropped: no tokenizer that the model floor
 * accepts has one. */
#define DETOKENIZE_TOKEN_BYTES_MAX 1024
/* Room for a stop string that is almost complete, an unfinished character and one more
 * token. Only an answer whose tokens and characters never end together for this long is cut
 * inside a character. */
#define DETOKENIZE_HELD_MAX        2048

struct detokenize {
	const struct request_stop *stops;    /* the caller's, must outlive this */
	uint32_t stop_count;
	uint32_t tokens_min;                 /* a stop string completed by an earlier token
					      * does not count */

	uint32_t tokens;                     /* added so far */
	struct stop_state stop;              /* over all text so far */
	bool stopped;                        /* a stop string is complete; text from it on
					      * never goes out */
	uint32_t held_bytes;
	uint32_t held_tokens;
	/* [i]: how many held tokens end after byte i; 0: before any byte */
	uint32_t ends[DETOKENIZE_HELD_MAX + 1];
	char held[DETOKENIZE_HELD_MAX];
};

void detokenize_init(struct detokenize *d, const struct request_stop *stops, uint32_t stop_count,
	uint32_t tokens_min);

/* The next token of the answer; size 0 for one that has no text (special tokens). Appends what may
 * go out to *text and returns of how many tokens that is; 0 may still come with stopped set. After
 * stopped all tokens count and have no text. */
uint32_t detokenize_add(struct detokenize *d, const void *bytes, size_t size, struct buf *text);

/* The answer is over: what is still held goes out. Returns of how many tokens that is. */
uint32_t detokenize_end(struct detokenize *d, struct buf *text);

#endif
