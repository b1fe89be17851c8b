/* model/tokenizer/piece_table.c - see piece_table.h. */
#include "model/tokenizer/piece_table.h"

#include <assert.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"

#define PROBES_MAX     1024               /* see bpe.c */
#define SLOT_ALIGN     64                 /* a line of memory */
#define MEMO_ENTRIES   ((size_t)4096)     /* 192 KiB: with most of a text's words in the L2 cache */
#define MEMO_BYTES_MIN ((size_t)4096)     /* of words that would have been remembered */

struct piece_slot {
	uint64_t low, high;
	uint32_t id;
	uint32_t size;  /* 0: free */
};

static uint64_t load_u64(const char *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t load_u32(const char *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* Odd, half of the bits set: fractions of sqrt(2) and sqrt(3). */
#define HASH_A 0x6A09E667F3BCC909ULL
#define HASH_B 0xBB67AE8584CAA73BULL

/* Two loads that may overlap: together with the size they tell every byte. Keys never leave the
 * machine, so the order of bytes does not matter. */
struct piece_key piece_key_of(const char *bytes, size_t size)
{
	struct piece_key key = {.size = (uint32_t)size};

	assert(size > 0 && size <= PIECE_BYTES_MAX);
	if (size >= 8) {
		key.low = load_u64(bytes);
		key.high = load_u64(bytes + size - 8);
	} else if (size >= 4) {
		key.low = load_u32(bytes);
		key.high = load_u32(bytes + size - 4);
	} else {
		key.low = (unsigned char)bytes[0];
		key.high = (uint64_t)(unsigned char)bytes[size / 2] << 8 |
			   (unsigned char)bytes[size - 1];
	}
	const math_u128 product = (math_u128)(key.low ^ HASH_A) * (key.high ^ HASH_B ^ size);
	key.hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	return key;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static enum err put(struct piece_table *p, struct token_text text, uint32_t id,
	struct err_info *info)
{
	const struct piece_key key = piece_key_of(text.bytes, text.size);
	size_t at = (size_t)key.hash & p->slot_mask;
	unsigned probe = 1;

	for (; p->slots[at].size != 0; at = (at + 1) & p->slot_mask)
		if (++probe > PROBES_MAX)
			return err_set(info, ERR_INPUT, "token %u: too many tokens collide", id);
	p->slots[at] = (struct piece_slot){
		.low = key.low, .high = key.high, .id = id, .size = key.size};
	if (probe > p->probes_max)
		p->probes_max = probe;
	return ERR_NONE;
}

enum err piece_table_open(struct piece_table *p, const struct token_table *t,
	struct err_info *info)
{
	size_t slot_count = 16;
	enum err code = ERR_NONE;

	memset(p, 0, sizeof(*p));
	while (slot_count < t->count + t->count / 2)
		slot_count *= 2;
	p->slots = mem_alloc_aligned(slot_count, sizeof(*p->slots), SLOT_ALIGN);
	if (!p->slots)
		return err_set(info, ERR_MEMORY, "no memory for %zu tokens", t->count);
	p->slot_mask = slot_count - 1;
	for (uint32_t id = 0; id < t->count && !code; id++) {
		const struct token_text text = token_table_text(t, id);

		/* Of tokens spelled alike only the first is one that merges give. */
		if (t->kinds[id] == TOKEN_NORMAL && text.size > 0 && text.size <= PIECE_BYTES_MAX &&
			token_table_find(t, text.bytes, text.size) == id)
			code = put(p, text, id, info);
	}
	if (code)
		piece_table_close(p);
	return code;
}

void piece_table_close(struct piece_table *p)
{
	if (!p)
		return;
	mem_free(p->slots);
	memset(p, 0, sizeof(*p));
}

uint32_t piece_table_find(const struct piece_table *p, const struct piece_key *key)
{
	size_t at = (size_t)key->hash & p->slot_mask;

	for (unsigned probe = 0; probe < p->probes_max; probe++, at = (at + 1) & p->slot_mask) {
		const struct piece_slot *slot = &p->slots[at];

		if (slot->low == key->low && slot->high == key->high && slot->size == key->size)
			return slot->id;
		if (slot->size == 0)
			break;
	}
	return TOKENIZER_ID_NONE;
}

/* ---- memo ------------------------------------------------------------------------------------ */

const struct piece_memo_entry *piece_memo_find(const struct piece_memo *memo,
	const struct piece_key *key)
{
	const struct piece_memo_entry *entry;

	if (!memo->entries)
		return NULL;
	entry = &memo->entries[(size_t)key->hash & (MEMO_ENTRIES - 1)];
	return entry->low == key->low && entry->high == key->high && entry->size == key->size
		       ? entry
		       : NULL;
}

void piece_memo_put(struct piece_memo *memo, struct arena *arena, const struct piece_key *key,
	const uint32_t *ids, size_t count)
{
	if (count > PIECE_MEMO_IDS_MAX)
		return;
	memo->bytes += key->size;
	if (!memo->entries && memo->bytes >= MEMO_BYTES_MIN) {
		memo->bytes = 0; /* where there is no room it is long until the next try */
		memo->entries = arena_array(arena, MEMO_ENTRIES, sizeof(*memo->entries));
	}
	if (!memo->entries)
		return;

	struct piece_memo_entry *entry = &memo->entries[(size_t)key->hash & (MEMO_ENTRIES - 1)];
	entry->low = key->low;
	entry->high = key->high;
	entry->size = key->size;
	entry->count = (uint32_t)count;
	memcpy(entry->ids, ids, count * sizeof(*ids));
}
