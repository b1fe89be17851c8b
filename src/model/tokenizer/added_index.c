/* model/tokenizer/added_index.c - see added_index.h. */
#include "model/tokenizer/added_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct added_node {
	uint32_t first_edge;
	uint32_t edge_count;
	uint32_t id;            /* of the token that ends here, or TOKENIZER_ID_NONE */
	unsigned flags;
};

struct added_edge {
	uint32_t node;
	unsigned char byte;
};

/* The items that go through a node: all that begin with the same bytes. */
struct node_range {
	size_t low, high;
	size_t depth;
};

static int item_compare(const void *left, const void *right)
{
	const struct added_item *a = left, *b = right;
	const size_t common = a->text.size < b->text.size ? a->text.size : b->text.size;
	const int order = common ? memcmp(a->text.bytes, b->text.bytes, common) : 0;

	if (order != 0)
		return order;
	if (a->text.size != b->text.size)
		return a->text.size < b->text.size ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static enum err items_measure(const struct added_item *items, size_t count, size_t *bytes,
	struct err_info *info)
{
	*bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (items[i].text.size > ADDED_TOKEN_BYTES_MAX)
			return err_set(info, ERR_LIMIT, "added token %u has %zu bytes, at most %zu",
				items[i].id, items[i].text.size, ADDED_TOKEN_BYTES_MAX);
		*bytes += items[i].text.size;
	}
	if (*bytes > ADDED_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "the added tokens have %zu bytes, at most %zu",
			*bytes, ADDED_BYTES_MAX);
	return ERR_NONE;
}

/* Makes the children of a node: one for each byte that its items go on with. Returns how many nodes
 * there are now. */
static size_t node_grow(struct added_index *index, struct node_range *ranges, size_t at,
	const struct added_item *items, size_t node_count)
{
	struct added_node *node = &index->nodes[at];
	const struct node_range range = ranges[at];
	size_t low = range.low;

	node->id = TOKENIZER_ID_NONE;
	if (low < range.high && items[low].text.size == range.depth && range.depth > 0) {
		node->id = items[low].id;
		node->flags = items[low].flags;
	}
	while (low < range.high && items[low].text.size == range.depth)
		low++;
	node->first_edge = (uint32_t)node_count - 1;  /* every node but the root has one edge */
	for (size_t high; low < range.high; low = high) {
		const char byte = items[low].text.bytes[range.depth];

		for (high = low; high < range.high && items[high].text.bytes[range.depth] == byte;)
			high++;
		ranges[node_count] = (struct node_range){low, high, range.depth + 1};
		index->edges[node_count - 1] = (struct added_edge){
			.node = (uint32_t)node_count, .byte = (unsigned char)byte};
		node->edge_count++;
		node_count++;
	}
	return node_count;
}

static void note_starts(struct added_index *index)
{
	for (uint32_t i = 0; i < index->nodes[0].edge_count; i++) {
		index->start = index->edges[i].byte;
		index->starts[index->start] = true;
	}
	index->start_count = index->nodes[0].edge_count;
}

enum err added_index_open(struct added_index *index, struct added_item *items, size_t count,
	struct err_info *info)
{
	struct node_range *ranges;
	size_t bytes, node_count = 1;

	memset(index, 0, sizeof(*index));
	if (items_measure(items, count, &bytes, info))
		return info->code;
	qsort(items, count, sizeof(*items), item_compare);
	ranges = mem_alloc(bytes + 1, sizeof(*ranges));
	index->nodes = mem_alloc(bytes + 1, sizeof(*index->nodes));
	index->edges = mem_alloc(bytes + 1, sizeof(*index->edges));
	if (!ranges || !index->nodes || !index->edges) {
		mem_free(ranges);
		added_index_close(index);
		return err_set(info, ERR_MEMORY, "no memory for the added tokens");
	}
	ranges[0] = (struct node_range){.low = 0, .high = count, .depth = 0};
	for (size_t at = 0; at < node_count; at++)
		node_count = node_grow(index, ranges, at, items, node_count);
	assert(node_count <= bytes + 1);
	mem_free(ranges);
	note_starts(index);
	return ERR_NONE;
}

void added_index_close(struct added_index *index)
{
	if (!index)
		return;
	mem_free(index->nodes);
	mem_free(index->edges);
	memset(index, 0, sizeof(*index));
}

size_t added_index_skip(const struct added_index *index, const char *text, size_t size)
{
	size_t at = 0;

	if (index->start_count == 0 || size == 0)
		return size;
	if (index->start_count == 1) {
		const char *found = memchr(text, index->start, size);

		return found ? (size_t)(found - text) : size;
	}
	while (at < size && !index->starts[(unsigned char)text[at]])
		at++;
	return at;
}

/* The node that byte leads to, or NULL. */
static const struct added_node *node_follow(const struct added_index *index,
	const struct added_node *node, unsigned char byte)
{
	const struct added_edge *edges = &index->edges[node->first_edge];
	uint32_t low = 0, high = node->edge_count;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (edges[middle].byte < byte)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == node->edge_count || edges[low].byte != byte)
		return NULL;
	return &index->nodes[edges[low].node];
}

struct added_match added_index_match(const struct added_index *index, const char *text,
	size_t size)
{
	const struct added_node *node = &index->nodes[0];
	struct added_match best = {.size = 0, .id = TOKENIZER_ID_NONE};

	for (size_t depth = 0; depth < size; depth++) {
		node = node_follow(index, node, (unsigned char)text[depth]);
		if (!node)
			break;
		if (node->id != TOKENIZER_ID_NONE)
			best = (struct added_match){
				.size = depth + 1, .id = node->id, .flags = node->flags};
	}
	return best;
}
