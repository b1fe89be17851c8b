/* base/buf.h - bytes that grow, up to a limit.
 *
 * After an append that did not fit, failed stays set and later appends do nothing: check once
 * at the end. data is always terminated by a zero byte that does not count (or NULL while
 * empty and unused).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct buf {
	char *data;
	size_t size;
	size_t capacity;
	size_t size_max;
	bool failed;   /* limit reached or memory exhausted */
};

void buf_init(struct buf *b, size_t size_max);
void buf_add(struct buf *b, const void *bytes, size_t size);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Makes room for size more bytes, which then move nothing that is there; false sets failed. */
bool buf_reserve(struct buf *b, size_t size);
/* Removes the first size bytes. */
void buf_consume(struct buf *b, size_t size);
/* Empties it, keeps the memory, clears failed. */
void buf_clear(struct buf *b);
/* An empty one gives its memory back, if that is more than capacity_kept. */
void buf_shrink(struct buf *b, size_t capacity_kept);
/* Empties it and overwrites what it held: secrets. What it outgrew lies where it
 * was: buf_reserve before. */
void buf_wipe(struct buf *b);
void buf_free(struct buf *b);

#endif
