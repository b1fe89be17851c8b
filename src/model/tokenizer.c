/* model/tokenizer.c - see tokenizer.h: what is built from a source, and the way of a
 * text through it. */
#include "model/tokenizer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "model/added_index.h"
#include "model/bpe.h"
#include "model/token_table.h"
#include "model/unicode.h"

struct tokenizer {
	struct token_table table;
	struct added_index added;
	struct bpe bpe;
	struct pretokenizer pretokenizer;
	bool nfc;
	bool adds_bos;
	uint32_t bos_id, eos_id, pad_id;
};

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
		(code = added_index_open(&t->added, &t->table, info)))
		goto failed;
	if (!source->ignore_merges && (code = mark_unreached(t, info)))
		goto failed;
	t->pretokenizer = source->pretokenizer;
	t->nfc = source->nfc;
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
	bpe_close(&t->bpe);
	token_table_close(&t->table);
	mem_free(t);
}

/* ---- encode ---------------------------------------------------------------------------------- */

struct encoder {
	const struct tokenizer *t;
	struct arena *scratch;
	struct bpe_work work;
	struct token_list *out;
	struct err_info *info;
};

static enum err emit(struct encoder *e, const uint32_t *ids, size_t count)
{
	const size_t room = e->out->count_max - e->out->count;
	const size_t taken = count < room ? count : room;

	memcpy(e->out->ids + e->out->count, ids, taken * sizeof(*ids));
	e->out->count += taken;
	if (taken < count)
		return err_set(e->info, ERR_LIMIT, "the text has more than %zu tokens",
			e->out->count_max);
	return ERR_NONE;
}

static enum err encode_piece(struct encoder *e, const char *piece, size_t size)
{
	const uint32_t whole = token_table_find(&e->t->table, piece, size);
	enum err code;

	if (whole != TOKENIZER_ID_NONE && e->t->table.kinds[whole] == TOKEN_NORMAL)
		return emit(e, &whole, 1);
	if ((code = bpe_work_reserve(&e->work, e->scratch, size, e->info)))
		return code;
	return emit(e, e->work.ids, bpe_encode(&e->t->bpe, &e->work, piece, size));
}

/* Cuts a piece that is too long before the character that would cross the limit. */
static size_t piece_cut(const char *text, size_t size)
{
	size_t cut = BPE_PIECE_BYTES_MAX;

	if (size <= cut)
		return size;
	while (cut > BPE_PIECE_BYTES_MAX - 4 && ((unsigned char)text[cut] & 0xC0) == 0x80)
		cut--;
	return cut;
}

static enum err take_piece(void *context, const char *piece, size_t size)
{
	enum err code = ERR_NONE;

	for (size_t at = 0, part; at < size && !code; at += part) {
		part = piece_cut(piece + at, size - at);
		code = encode_piece(context, piece + at, part);
	}
	return code;
}

static enum err encode_pieces(struct encoder *e, const char *text, size_t size)
{
	return pretokenizer_cut(&e->t->pretokenizer, text, size, take_piece, e);
}

/* Text between added tokens. */
static enum err encode_ordinary(struct encoder *e, const char *text, size_t size)
{
	size_t nfc_size;
	char *nfc;

	if (!e->t->nfc || unicode_is_nfc(text, size))
		return encode_pieces(e, text, size);
	nfc_size = unicode_nfc(text, size, NULL);
	nfc = arena_alloc(e->scratch, nfc_size);
	if (!nfc)
		return err_set(e->info, ERR_LIMIT, "no room to normalise %zu bytes of text", size);
	unicode_nfc(text, size, nfc);
	return encode_pieces(e, nfc, nfc_size);
}

enum err tokenizer_encode_spans(const struct tokenizer *t, const char *text, size_t size,
	const struct text_span *trusted, size_t trusted_count, struct arena *scratch,
	struct token_list *out, struct err_info *info)
{
	struct encoder e = {.t = t, .scratch = scratch, .out = out, .info = info};
	size_t ordinary = 0;  /* where the text begins that is not encoded yet */
	enum err code;

	assert(out->count <= out->count_max);
	for (size_t i = 0; i < trusted_count; i++) {
		const size_t end = trusted[i].end;

		assert(trusted[i].begin <= end && end <= size &&
			(i == 0 || trusted[i - 1].end <= trusted[i].begin));
		for (size_t at = trusted[i].begin; at < end;) {
			uint32_t id;
			const size_t match = added_index_match(&t->added, text + at, end - at, &id);

			if (match == 0) {
				at++;
				continue;
			}
			if ((code = encode_ordinary(&e, text + ordinary, at - ordinary)) ||
				(code = emit(&e, &id, 1)))
				return code;
			at += match;
			ordinary = at;
		}
	}
	return encode_ordinary(&e, text + ordinary, size - ordinary);
}

enum err tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, bool special,
	struct arena *scratch, struct token_list *out, struct err_info *info)
{
	const struct text_span all = {.begin = 0, .end = size};

	return tokenizer_encode_spans(t, text, size, &all, special ? 1 : 0, scratch, out, info);
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
