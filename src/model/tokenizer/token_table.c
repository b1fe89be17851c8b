/* model/tokenizer/token_table.c - see token_table.h. */
#include "model/tokenizer/token_table.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "model/tokenizer/unicode.h"

#define PROBES_MAX 1024  /* see bpe.c */

/* Printable characters of Latin-1 stand for themselves, the other 68 bytes for U+0100 and
 * up, in order. */
static bool alphabet_is_itself(uint32_t c)
{
	return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

/* The byte that U+0100 + index stands for. */
static uint32_t alphabet_shifted(uint32_t index)
{
	assert(index < 68);
	if (index <= 0x20)
		return index;
	return index < 67 ? 0x7F + index - 0x21 : 0xAD;
}

size_t token_alphabet_decode(struct token_text text, char *out)
{
	size_t written = 0;

	for (size_t at = 0; at < text.size;) {
		uint32_t c;

		at += unicode_decode(text.bytes + at, text.size - at, &c);
		if (c >= 0x100 && c < 0x100 + 68)
			c = alphabet_shifted(c - 0x100);
		else if (!alphabet_is_itself(c))
			return SIZE_MAX;
		out[written++] = (char)(unsigned char)c;
	}
	return written;
}

/* An id's spelling and kind while the table is being filled. */
struct entry {
	struct token_text text;
	uint8_t kind;
	bool in_vocab;  /* not only among the added tokens */
};

static uint8_t kind_of_gguf(int32_t type)
{
	switch (type) {
	case TOKENIZER_GGUF_CONTROL:
		return TOKEN_SPECIAL;
	case TOKENIZER_GGUF_USER_DEFINED:
		return TOKEN_ADDED;
	case TOKENIZER_GGUF_UNKNOWN:
	case TOKENIZER_GGUF_UNUSED:
		return TOKEN_NONE;
	default:
		return TOKEN_NORMAL;
	}
}

static bool same_text(struct token_text a, struct token_text b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static void entries_take_tokens(struct entry *entries, const struct tokenizer_source *source)
{
	for (size_t id = 0; id < source->token_count; id++) {
		if (!source->tokens[id].bytes)
			continue;
		entries[id].text = source->tokens[id];
		entries[id].in_vocab = true;
		entries[id].kind = source->types ? kind_of_gguf(source->types[id]) : TOKEN_NORMAL;
	}
}

static enum err entries_take_added(struct entry *entries, const struct tokenizer_source *source,
	struct err_info *info)
{
	for (size_t i = 0; i < source->added_count; i++) {
		const struct tokenizer_added *added = &source->added[i];
		struct entry *entry = &entries[added->id];

		if (entry->kind != TOKEN_NONE && !same_text(entry->text, added->text))
			return err_set(info, ERR_INPUT, "id %u is claimed by \"%.*s\" and \"%.*s\"",
				added->id, (int)(entry->text.size < 64 ? entry->text.size : 64),
				entry->text.bytes,
				(int)(added->text.size < 64 ? added->text.size : 64),
				added->text.bytes);
		entry->text = added->text;
		entry->kind = added->special ? TOKEN_SPECIAL : TOKEN_ADDED;
	}
	return ERR_NONE;
}

static enum err entries_measure(const struct entry *entries, size_t count, size_t *total,
	struct err_info *info)
{
	*total = 0;
	for (size_t id = 0; id < count; id++) {
		if (entries[id].text.size > TOKENIZER_TOKEN_BYTES_MAX)
			return err_set(info, ERR_LIMIT, "token %zu has %zu bytes, at most %zu", id,
				entries[id].text.size, TOKENIZER_TOKEN_BYTES_MAX);
		*total += entries[id].text.size;
	}
	if (*total > TOKENIZER_VOCAB_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "the vocabulary has %zu bytes, at most %zu", *total,
			TOKENIZER_VOCAB_BYTES_MAX);
	return ERR_NONE;
}

/* The bytes' slot, or the free one where they belong; NULL when the probes run out. */
static uint32_t *slot_find(const struct token_table *t, const char *bytes, size_t size)
{
	size_t at = (size_t)hash_bytes(bytes, size, 0) & t->slot_mask;

	for (unsigned probe = 0; probe < PROBES_MAX; probe++, at = (at + 1) & t->slot_mask) {
		uint32_t *slot = &t->slots[at];

		if (*slot == 0)
			return slot;
		const struct token_text text = token_table_text(t, *slot - 1);
		if (text.size == size && memcmp(text.bytes, bytes, size) == 0)
			return slot;
	}
	return NULL;
}

/* Puts an ordinary token into the slots; the first of several spelled alike stays. */
static enum err table_index(struct token_table *t, uint32_t id, struct err_info *info)
{
	const struct token_text text = token_table_text(t, id);
	uint32_t *slot;

	if (text.size == 0)
		return ERR_NONE;
	slot = slot_find(t, text.bytes, text.size);
	if (!slot)
		return err_set(info, ERR_INPUT, "token %u: too many tokens collide", id);
	if (*slot == 0)
		*slot = id + 1;
	if (text.size > t->token_bytes_max)
		t->token_bytes_max = text.size;
	return ERR_NONE;
}

/* Writes a token's bytes to place; *merged tells whether merges may name it. One that is not
 * spelled in the alphabet is kept verbatim, as decoders do. */
static size_t entry_decode(const struct entry *entry, char *place, bool *merged)
{
	size_t size;

	*merged = false;
	if (entry->kind == TOKEN_NONE)
		return 0;
	if (entry->in_vocab && entry->kind != TOKEN_SPECIAL) {
		size = token_alphabet_decode(entry->text, place);
		*merged = size != SIZE_MAX &&
			  (entry->kind == TOKEN_NORMAL ||
				  same_text(entry->text, (struct token_text){place, size}));
		if (*merged)
			return size;
	}
	if (entry->text.size > 0)
		memcpy(place, entry->text.bytes, entry->text.size);
	return entry->text.size;
}

static enum err table_fill(struct token_table *t, uint32_t id, const struct entry *entry,
	struct err_info *info)
{
	bool merged;

	t->kinds[id] = entry->kind;
	t->offsets[id + 1] =
		t->offsets[id] + (uint32_t)entry_decode(entry, t->bytes + t->offsets[id], &merged);
	return merged ? table_index(t, id, info) : ERR_NONE;
}

static size_t highest_count(const struct tokenizer_source *source)
{
	size_t count = source->token_count;

	for (size_t i = 0; i < source->added_count; i++)
		if (source->added[i].id >= count)
			count = (size_t)source->added[i].id + 1;
	return count;
}

static enum err table_allocate(struct token_table *t, size_t bytes, struct err_info *info)
{
	size_t slot_count = 512;

	while (slot_count < t->count * 2)
		slot_count *= 2;
	t->slot_mask = slot_count - 1;
	t->bytes = mem_alloc(bytes + 1, 1);
	t->offsets = mem_alloc(t->count + 1, sizeof(*t->offsets));
	t->kinds = mem_alloc(t->count + 1, sizeof(*t->kinds));
	t->slots = mem_alloc(slot_count, sizeof(*t->slots));
	if (!t->bytes || !t->offsets || !t->kinds || !t->slots)
		return err_set(info, ERR_MEMORY, "no memory for %zu tokens", t->count);
	return ERR_NONE;
}

enum err token_table_open(struct token_table *t, const struct tokenizer_source *source,
	struct err_info *info)
{
	struct entry *entries = NULL;
	size_t total;
	enum err code;

	memset(t, 0, sizeof(*t));
	if (source->added_count > TOKENIZER_ADDED_MAX)
		return err_set(info, ERR_LIMIT, "%zu added tokens, at most %zu",
			source->added_count, TOKENIZER_ADDED_MAX);
	t->count = highest_count(source);
	if (t->count > TOKENIZER_TOKENS_MAX)
		return err_set(
			info, ERR_LIMIT, "%zu tokens, at most %zu", t->count, TOKENIZER_TOKENS_MAX);
	entries = mem_alloc(t->count + 1, sizeof(*entries));
	if (!entries)
		return err_set(info, ERR_MEMORY, "no memory for %zu tokens", t->count);
	entries_take_tokens(entries, source);
	if ((code = entries_take_added(entries, source, info)) ||
		(code = entries_measure(entries, t->count, &total, info)) ||
		(code = table_allocate(t, total, info)))
		goto done;
	for (uint32_t id = 0; id < t->count && !code; id++)
		code = table_fill(t, id, &entries[id], info);
done:
	mem_free(entries);
	if (code)
		token_table_close(t);
	return code;
}

void token_table_close(struct token_table *t)
{
	if (!t)
		return;
	mem_free(t->bytes);
	mem_free(t->offsets);
	mem_free(t->kinds);
	mem_free(t->slots);
	memset(t, 0, sizeof(*t));
}

struct token_text token_table_text(const struct token_table *t, uint32_t id)
{
	if (id >= t->count)
		return (struct token_text){.bytes = "", .size = 0};
	return (struct token_text){
		.bytes = t->bytes + t->offsets[id], .size = t->offsets[id + 1] - t->offsets[id]};
}

uint32_t token_table_find(const struct token_table *t, const char *bytes, size_t size)
{
	if (size == 0 || size > t->token_bytes_max)
		return TOKENIZER_ID_NONE;
	const uint32_t *slot = slot_find(t, bytes, size);
	return slot && *slot ? *slot - 1 : TOKENIZER_ID_NONE;
}
