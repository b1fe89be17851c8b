/* model/tokenizer/text_span.h - a stretch of bytes in a text. */
#ifndef MODEL_TOKENIZER_TEXT_SPAN_H
#define MODEL_TOKENIZER_TEXT_SPAN_H

#include <stddef.h>

/* Lists of spans are sorted and do not touch or overlap. */
struct text_span {
	size_t begin;  /* byte offset */
	size_t end;    /* of the first byte after it */
};

#endif
