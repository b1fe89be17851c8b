/* engine/detokenize.c - see detokenize.h. */
#include "engine/detokenize.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"

static void text_add_lossy(struct buf *text, const char *bytes, uint32_t size)
{
	for (size_t at = 0, length; at < size; at += length) {
		if (utf8_next(bytes + at, size - at, &length, NULL) == UTF8_CHARACTER)
			buf_add(text, bytes + at, length);
		else
			buf_add_str(text, UTF8_REPLACEMENT);
	}
}

void detokenize_init(struct detokenize *d, const struct request_stop *stops, uint32_t stop_count,
	uint32_t tokens_min)
{
	assert(stop_count <= REQUEST_STOPS_MAX);
	memset(d, 0, sizeof(*d));
	d->stops = stops;
	d->stop_count = stop_count;
	d->tokens_min = tokens_min;
	stop_init(&d->stop, stops, stop_count);
}

/* Feeds the bytes from new_from on; where the stop string begins that they complete,
 * held_bytes if none. */
static uint32_t stop_find(struct detokenize *d, uint32_t new_from)
{
	uint32_t which;
	size_t excess;

	if (!stop_feed(&d->stop, d->stops, d->stop_count, d->tokens > d->tokens_min,
		d->held + new_from, d->held_bytes - new_from, &which, &excess))
		return d->held_bytes;
	const uint32_t from_end = (uint32_t)excess + d->stops[which].size;

	return from_end < d->held_bytes ? d->held_bytes - from_end : 0;
}

/* The last place up to limit where both a token and a character end. */
static uint32_t cut_find(const struct detokenize *d, uint32_t limit)
{
	uint32_t cut = 0;

	for (size_t at = 0, length; at < limit; at += length) {
		if (utf8_next(d->held + at, d->held_bytes - at, &length, NULL) == UTF8_UNFINISHED)
			break;
		if (at + length <= limit && d->ends[at + length] > 0)
			cut = (uint32_t)(at + length);
	}
	return cut;
}

/* Sends the first cut bytes out, with the tokens that end in them. */
static uint32_t held_release(struct detokenize *d, uint32_t cut, struct buf *text)
{
	uint32_t tokens = 0;

	assert(cut <= d->held_bytes);
	text_add_lossy(text, d->held, cut);
	for (uint32_t at = 0; at <= cut; at++)
		tokens += d->ends[at];
	d->held_bytes -= cut;
	memmove(d->held, d->held + cut, d->held_bytes);
	memmove(d->ends + 1, d->ends + 1 + cut, d->held_bytes * sizeof(d->ends[0]));
	d->ends[0] = 0;
	memset(d->ends + 1 + d->held_bytes, 0, cut * sizeof(d->ends[0]));
	assert(tokens <= d->held_tokens);
	d->held_tokens -= tokens;
	return tokens;
}

/* The text before the stop string goes out with every held token: those of the stop string have no
 * text of their own. */
static uint32_t stopped_release(struct detokenize *d, uint32_t stop_at, struct buf *text)
{
	const uint32_t tokens = d->held_tokens;

	d->stopped = true;
	text_add_lossy(text, d->held, stop_at);
	d->held_bytes = 0;
	d->held_tokens = 0;
	return tokens;
}

uint32_t detokenize_add(struct detokenize *d, const void *bytes, size_t size, struct buf *text)
{
	const uint32_t kept = (uint32_t)(size < DETOKENIZE_TOKEN_BYTES_MAX ? size
		: DETOKENIZE_TOKEN_BYTES_MAX);
	uint32_t tokens = 0;

	d->tokens++;
	if (d->stopped)
		return 1;
	if (kept > DETOKENIZE_HELD_MAX - d->held_bytes)
		tokens = held_release(d, d->held_bytes, text);

	const uint32_t new_from = d->held_bytes;
	if (kept > 0)
		memcpy(d->held + d->held_bytes, bytes, kept);
	d->held_bytes += kept;
	d->held_tokens++;
	d->ends[d->held_bytes]++;

	const uint32_t stop_at = stop_find(d, new_from);
	if (stop_at < d->held_bytes)
		return tokens + stopped_release(d, stop_at, text);
	const uint32_t begun = stop_begun(&d->stop, d->stop_count);
	const uint32_t cut = cut_find(d, begun < d->held_bytes ? d->held_bytes - begun : 0);
	return tokens + held_release(d, cut, text);
}

uint32_t detokenize_end(struct detokenize *d, struct buf *text)
{
	return held_release(d, d->held_bytes, text);
}
