/* model/tokenizer/tokenizer.c - see tokenizer.h: what is built from a source, and what tokens
 * are. */
#include "model/tokenizer/tokenizer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "model/tokenizer/tokenizer_private.h"

#define ADDED_SCRATCH_BYTES_MAX ((size_t)256 << 20)

bool tokenizer_merge_split(struct token_text line, struct tokenizer_merge *out)
{
	const char *space = line.size ? memchr(line.bytes, ' ', line.size) : NULL;

	if (!space)
		return false;
	const size_t left_size = (size_t)(space - line.bytes);
	out->left = (struct token_text){.bytes = line.bytes, .size = left_size};
	out->right = (struct token_text){.bytes = space + 1, .size = line.size - left_size - 1};
	return out->left.size > 0 && out->right.size > 0 &&
	       !memchr(space + 1, ' ', out->right.size);
}

/* ---- open: bytes, merges, and which tokens merging really gives ------------------------------ */

/* Some vocabularies have no token for bytes that the text they were made from did not have; one
 * that has none at all is of another kind. */
static enum err find_byte_tokens(const struct token_table *table, uint32_t ids[256],
	struct err_info *info)
{
	unsigned found = 0;

	static_assert(TOKENIZER_ID_NONE == BPE_ID_NONE, "both are: no such token");
	for (unsigned byte = 0; byte < 256; byte++) {
		const char text = (char)(unsigned char)byte;

		ids[byte] = token_table_find(table, &text, 1);
		found += ids[byte] != TOKENIZER_ID_NONE;
	}
	if (found == 0)
		return err_set(info, ERR_UNSUPPORTED,
			"no token is a single byte: only byte-level vocabularies are supported");
	return ERR_NONE;
}

static enum err merge_resolve(const struct token_table *table, const struct tokenizer_merge *merge,
	size_t rank, struct bpe_merge *out, struct err_info *info)
{
	char bytes[2 * TOKENIZER_TOKEN_BYTES_MAX];
	size_t left_size, right_size;

	if (merge->left.size > TOKENIZER_TOKEN_BYTES_MAX ||
		merge->right.size > TOKENIZER_TOKEN_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "merge %zu: longer than a token can be", rank);
	left_size = token_alphabet_decode(merge->left, bytes);
	if (left_size == SIZE_MAX)
		return err_set(
			info, ERR_INPUT, "merge %zu: not spelled in the byte alphabet", rank);
	right_size = token_alphabet_decode(merge->right, bytes + left_size);
	if (right_size == SIZE_MAX)
		return err_set(
			info, ERR_INPUT, "merge %zu: not spelled in the byte alphabet", rank);
	out->left = token_table_find(table, bytes, left_size);
	out->right = token_table_find(table, bytes + left_size, right_size);
	out->id = token_table_find(table, bytes, left_size + right_size);
	if (out->left == TOKENIZER_ID_NONE || out->right == TOKENIZER_ID_NONE ||
		out->id == TOKENIZER_ID_NONE)
		return err_set(info, ERR_INPUT,
			"merge %zu: \"%.*s\" + \"%.*s\" is no ordinary token", rank,
			(int)(merge->left.size < 64 ? merge->left.size : 64), merge->left.bytes,
			(int)(merge->right.size < 64 ? merge->right.size : 64), merge->right.bytes);
	return ERR_NONE;
}

static enum err open_bpe(struct tokenizer *t, const struct tokenizer_source *source,
	struct err_info *info)
{
	struct bpe_merge *merges;
	uint32_t byte_ids[256];
	enum err code;

	if ((code = find_byte_tokens(&t->table, byte_ids, info)))
		return code;
	if (source->merge_count > BPE_MERGES_MAX)
		return err_set(info, ERR_LIMIT, "%zu merges, at most %zu", source->merge_count,
			BPE_MERGES_MAX);
	merges = mem_alloc(source->merge_count + 1, sizeof(*merges));
	if (!merges)
		return err_set(info, ERR_MEMORY, "no memory for %zu merges", source->merge_count);
	for (size_t rank = 0; rank < source->merge_count && !code; rank++)
		code = merge_resolve(&t->table, &source->merges[rank], rank, &merges[rank], info);
	if (!code)
		code = bpe_open(&t->bpe, byte_ids, merges, source->merge_count, info);
	if (!code && source->unk_id < t->table.count &&
		t->table.kinds[source->unk_id] != TOKEN_NONE &&
		t->table.kinds[source->unk_id] != TOKEN_SPECIAL) {
		t->bpe.unk_id = source->unk_id;
		t->bpe.fuse_unk = source->fuse_unk;
	}
	mem_free(merges);
	return code;
}

/* Taking a whole piece for a token is a short cut only where merging gives the same:
 * finds where not. */
static enum err mark_unreached(struct tokenizer *t, struct err_info *info)
{
	struct bpe_work work = {0};
	struct arena arena;
	enum err code = ERR_NONE;

	if (t->table.token_bytes_max == 0)
		return ERR_NONE;
	arena_init(&arena, 4096, BPE_WORK_BYTES_MAX);
	code = bpe_work_reserve(&work, &arena, t->table.token_bytes_max, info);
	for (uint32_t id = 0; id < t->table.count && !code; id++) {
		const struct token_text text = token_table_text(&t->table, id);

		if (t->table.kinds[id] != TOKEN_NORMAL || text.size == 0)
			continue;
		if (text.size > t->table.token_bytes_max ||
			bpe_encode(&t->bpe, &work, text.bytes, text.size) != 1 || work.ids[0] != id)
			t->table.kinds[id] = TOKEN_UNREACHED;
	}
	arena_reset(&arena);
	return code;
}

/* ---- open: added tokens ---------------------------------------------------------------------- */

/* By id; what a source says of a token later holds. */
static void collect_flags(const struct tokenizer_source *source, unsigned *flags)
{
	for (size_t i = 0; i < source->added_count; i++) {
		const struct tokenizer_added *added = &source->added[i];

		flags[added->id] = (added->lstrip ? ADDED_LSTRIP : 0u) |
				   (added->rstrip ? ADDED_RSTRIP : 0u) |
				   (added->single_word ? ADDED_SINGLE_WORD : 0u) |
				   (added->normalized ? ADDED_NORMALIZED : 0u);
	}
}

/* Added tokens of which ADDED_NORMALIZED is as wanted; returns how many. */
static size_t collect_added(const struct token_table *table, const unsigned *flags, bool normalized,
	struct added_item *items)
{
	size_t count = 0;

	for (uint32_t id = 0; id < table->count; id++) {
		if (table->kinds[id] != TOKEN_ADDED && table->kinds[id] != TOKEN_SPECIAL)
			continue;
		if (((flags[id] & ADDED_NORMALIZED) != 0) == normalized)
			items[count++] = (struct added_item){.text = token_table_text(table, id),
				.id = id, .flags = flags[id]};
	}
	return count;
}

/* What is looked for in normalised text is itself normalised. */
static enum err normalize_items(const struct tokenizer *t, struct added_item *items, size_t count,
	struct arena *scratch, struct err_info *info)
{
	struct regex_work *regex = NULL;
	struct normalizer_work work = {.form = {.arena = scratch}, .regex = &regex};

	for (size_t i = 0; i < count; i++) {
		struct normalizer_text text = {
			.bytes = items[i].text.bytes, .size = items[i].text.size};

		if (normalizer_apply(&t->normalizer, &work, &text, info))
			return err_prefix(info, "added token %u", items[i].id);
		items[i].text = (struct token_text){.bytes = text.bytes, .size = text.size};
	}
	return ERR_NONE;
}

static size_t count_added(const struct token_table *table)
{
	size_t count = 0;

	for (size_t id = 0; id < table->count; id++)
		count += table->kinds[id] == TOKEN_ADDED || table->kinds[id] == TOKEN_SPECIAL;
	return count;
}

static enum err open_added(struct tokenizer *t, const struct tokenizer_source *source,
	struct err_info *info)
{
	unsigned *flags = mem_alloc(t->table.count + 1, sizeof(*flags));
	struct added_item *items = mem_alloc(count_added(&t->table) + 1, sizeof(*items));
	struct arena scratch;
	size_t count;
	enum err code;

	arena_init(&scratch, 4096, ADDED_SCRATCH_BYTES_MAX);
	if (!flags || !items) {
		code = err_set(info, ERR_MEMORY, "no memory for the added tokens");
		goto done;
	}
	collect_flags(source, flags);
	count = collect_added(&t->table, flags, false, items);
	if ((code = added_index_open(&t->added, items, count, info)))
		goto done;
	count = collect_added(&t->table, flags, true, items);
	if (!(code = normalize_items(t, items, count, &scratch, info)))
		code = added_index_open(&t->added_normalized, items, count, info);
done:
	arena_reset(&scratch);
	mem_free(items);
	mem_free(flags);
	return code;
}

enum err tokenizer_open(struct tokenizer **out, const struct tokenizer_source *source,
	struct err_info *info)
{
	struct tokenizer *t = mem_alloc(1, sizeof(*t));
	enum err code;

	*out = NULL;
	if (!t)
		return err_set(info, ERR_MEMORY, "no memory for a tokenizer");
	if ((code = token_table_open(&t->table, source, info)) ||
		(code = open_bpe(t, source, info)) ||
		(code = normalizer_open(&t->normalizer, &source->normalizer, info)) ||
		(code = pretokenizer_open(&t->pretokenizer, &source->pretokenizer, info)) ||
		(code = open_added(t, source, info)))
		goto failed;
	if ((!source->ignore_merges && (code = mark_unreached(t, info))) ||
		(code = piece_table_open(&t->pieces, &t->table, info)))
		goto failed;
	t->adds_bos = source->adds_bos && source->bos_id != TOKENIZER_ID_NONE;
	t->bos_id = source->bos_id;
	t->eos_id = source->eos_id;
	t->pad_id = source->pad_id;
	*out = t;
	return ERR_NONE;
failed:
	tokenizer_close(t);
	return code;
}

void tokenizer_close(struct tokenizer *t)
{
	if (!t)
		return;
	added_index_close(&t->added);
	added_index_close(&t->added_normalized);
	normalizer_close(&t->normalizer);
	pretokenizer_close(&t->pretokenizer);
	piece_table_close(&t->pieces);
	bpe_close(&t->bpe);
	token_table_close(&t->table);
	mem_free(t);
}

/* ---- what tokens are ------------------------------------------------------------------------- */

size_t tokenizer_count(const struct tokenizer *t)
{
	return t->table.count;
}

struct token_text tokenizer_text(const struct tokenizer *t, uint32_t id)
{
	return token_table_text(&t->table, id);
}

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id)
{
	return id < t->table.count && t->table.kinds[id] == TOKEN_SPECIAL;
}

struct token_text tokenizer_answer_text(const struct tokenizer *t, uint32_t id)
{
	return tokenizer_is_special(t, id) ? (struct token_text){0} : tokenizer_text(t, id);
}

uint32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos_id;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
	return t->adds_bos;
}

uint32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos_id;
}

uint32_t tokenizer_pad(const struct tokenizer *t)
{
	return t->pad_id;
}
