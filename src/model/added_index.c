/* model/added_index.c - see added_index.h. */
#include "model/added_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct sort_item {
	struct token_text text;
	uint32_t id;
};

static int sort_item_compare(const void *left, const void *right)
{
	const struct sort_item *a = left, *b = right;
	const size_t common = a->text.size < b->text.size ? a->text.size : b->text.size;
	const int order = memcmp(a->text.bytes, b->text.bytes, common);

	if (order != 0)
		return order;
	if (a->text.size != b->text.size)
		return a->text.size < b->text.size ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static size_t collect(const struct token_table *table, struct sort_item *items)
{
	size_t count = 0;

	for (uint32_t id = 0; id < table->count; id++) {
		const struct token_text text = token_table_text(table, id);

		if ((table->kinds[id] != TOKEN_ADDED && table->kinds[id] != TOKEN_SPECIAL) ||
			text.size == 0)
			continue;
		if (items)
			items[count] = (struct sort_item){.text = text, .id = id};
		count++;
	}
	return count;
}

enum err added_index_open(struct added_index *index, const struct token_table *table,
	struct err_info *info)
{
	struct sort_item *items;

	memset(index, 0, sizeof(*index));
	index->table = table;
	index->count = collect(table, NULL);
	items = mem_alloc(index->count + 1, sizeof(*items));
	index->ids = mem_alloc(index->count + 1, sizeof(*index->ids));
	if (!items || !index->ids) {
		mem_free(items);
		added_index_close(index);
		return err_set(info, ERR_MEMORY, "no memory for the added tokens");
	}
	collect(table, items);
	qsort(items, index->count, sizeof(*items), sort_item_compare);
	for (size_t i = 0; i < index->count; i++) {
		index->ids[i] = items[i].id;
		index->starts[(unsigned char)items[i].text.bytes[0]] = true;
	}
	mem_free(items);
	return ERR_NONE;
}

void added_index_close(struct added_index *index)
{
	if (!index)
		return;
	mem_free(index->ids);
	memset(index, 0, sizeof(*index));
}

/* First place in [low, high) whose token has a byte of at least wanted at depth; tokens that end
 * before depth come first. */
static size_t lower_bound(const struct added_index *index, size_t low, size_t high, size_t depth,
	unsigned wanted)
{
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct token_text text = token_table_text(index->table, index->ids[middle]);

		if (text.size <= depth || (unsigned char)text.bytes[depth] < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t added_index_match(const struct added_index *index, const char *text, size_t size,
	uint32_t *id)
{
	size_t low = 0, high = index->count, best = 0;

	if (size == 0 || !index->starts[(unsigned char)text[0]])
		return 0;
	for (size_t depth = 0; depth < size; depth++) {
		const unsigned byte = (unsigned char)text[depth];

		low = lower_bound(index, low, high, depth, byte);
		high = lower_bound(index, low, high, depth, byte + 1);
		if (low == high)
			break;
		if (token_table_text(index->table, index->ids[low]).size == depth + 1) {
			best = depth + 1;
			*id = index->ids[low];
		}
	}
	return best;
}
