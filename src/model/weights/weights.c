/* model/weights/weights.c - see weights.h: opening and closing; GGUF files, whole and split. */
#include "model/weights/weights.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"
#include "model/weights/weights_private.h"

#define SIDE_CHUNK_BYTES ((size_t)256 << 10)
#define SPLIT_TAIL_SIZE 20 /* as in "-00001-of-00002.gguf" */

static void weights_init(struct weights *w)
{
	*w = (struct weights){0};
	arena_init(&w->side, SIDE_CHUNK_BYTES, WEIGHTS_SIDE_BYTES_MAX);
}

/* On an error closes what was opened; returns the error. */
static enum err weights_end(struct weights *w, enum err code)
{
	if (code)
		weights_close(w);
	return code;
}

bool weights_are_in(const struct weights *w, const char *path)
{
	const char *file = NULL;

	for (uint32_t i = 0; i < w->table.count; i++) {
		if (w->table.tensors[i].file == file)   /* many tensors, few files */
			continue;
		file = w->table.tensors[i].file;
		if (file_is_same(file, path))
			return true;
	}
	return false;
}

void weights_close(struct weights *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->gguf_count; i++)
		gguf_close(&w->ggufs[i]);
	for (uint32_t i = 0; i < w->safetensors_count; i++)
		safetensors_close(&w->safetensors[i]);
	for (uint32_t i = 0; i < w->map_count; i++)
		file_map_close(&w->maps[i]);
	mem_free(w->table.tensors);
	arena_reset(&w->side);
	*w = (struct weights){0};
}

void weights_release(const struct weights *w)
{
	for (uint32_t i = 0; i < w->map_count; i++)
		file_map_release(&w->maps[i]);
}

/* Kept in w->side. */
static enum err keep_template(struct weights *w, const char *text, size_t size, char **out,
	size_t *out_size, struct err_info *info)
{
	if (size > WEIGHTS_TEMPLATE_MAX)
		return err_set(info, ERR_LIMIT,
			"the chat template has %zu bytes, at most %zu are allowed", size,
			WEIGHTS_TEMPLATE_MAX);
	*out = arena_strndup(&w->side, text, size);
	if (!*out)
		return err_set(info, ERR_MEMORY, "no memory for the chat template");
	*out_size = size;
	return ERR_NONE;
}

enum err weights_take_template(struct weights *w, const char *name, const char *text, size_t size,
	struct err_info *info)
{
	if (!name || strcmp(name, "default") == 0)
		return keep_template(w, text, size, &w->chat_template, &w->chat_template_size,
			info);
	if (strcmp(name, "tool_use") == 0)
		return keep_template(w, text, size, &w->tool_template, &w->tool_template_size,
			info);
	return ERR_NONE;
}

static enum err take_gguf_template(struct weights *w, const char *key, const char *name,
	struct err_info *info)
{
	struct gguf_string text = {0};

	if (gguf_get_string(w->gguf, key, &text, info))
		return info->code;
	return text.size > 0 ? weights_take_template(w, name, text.data, text.size, info)
		: ERR_NONE;
}

static enum err take_gguf_templates(struct weights *w, struct err_info *info)
{
	const enum err err = take_gguf_template(w, "tokenizer.chat_template", NULL, info);

	return err ? err : take_gguf_template(w, "tokenizer.chat_template.tool_use", "tool_use",
		info);
}

enum err weights_join_tables(struct weights *w, const struct stored_table *const *tables,
	uint32_t table_count, struct err_info *info)
{
	size_t count = 0;

	for (uint32_t i = 0; i < table_count; i++)
		count += tables[i]->count;
	if (count == 0 || count > STORED_TENSORS_MAX)
		return err_set(info, count ? ERR_LIMIT : ERR_INPUT,
			"the files hold %zu tensors, 1 to %d are allowed", count,
			STORED_TENSORS_MAX);
	w->table.tensors = mem_alloc(count, sizeof(*w->table.tensors));
	if (!w->table.tensors)
		return err_set(info, ERR_MEMORY, "no memory for %zu tensors", count);
	for (uint32_t i = 0; i < table_count; i++) {
		if (tables[i]->count == 0)
			continue;
		memcpy(w->table.tensors + w->table.count, tables[i]->tensors,
			tables[i]->count * sizeof(*tables[i]->tensors));
		w->table.count += tables[i]->count;
	}
	return stored_table_sort(&w->table, info);
}

static enum err join_splits(struct weights *w, struct err_info *info)
{
	const struct stored_table *tables[WEIGHTS_FILES_MAX];
	int64_t stated = -1;

	for (uint32_t i = 0; i < w->gguf_count; i++)
		tables[i] = &w->ggufs[i].tensors;
	if (gguf_get_int(w->gguf, "split.tensors.count", 0, INT32_MAX, &stated, info))
		return info->code;
	if (weights_join_tables(w, tables, w->gguf_count, info))
		return err_prefix(info, "%s", w->gguf->file);
	if (w->gguf_count > 1 && stated >= 0 && stated != w->table.count)
		return err_set(info, ERR_INPUT,
			"%s: its shards hold %" PRIu32 " tensors, split.tensors.count says %" PRId64,
			w->gguf->file, w->table.count, stated);
	return ERR_NONE;
}

/* All shards are open: from here one file or many makes no difference. */
static enum err finish_gguf(struct weights *w, struct err_info *info)
{
	w->gguf = &w->ggufs[0];
	if (join_splits(w, info) || model_config_from_gguf(&w->config, w->gguf, &w->table, info) ||
		take_gguf_templates(w, info))
		return info->code;
	return weights_map(w, true, info);
}

/* Shards of the file; 1 if it is whole. */
static enum err split_count(const struct gguf *g, int64_t *count, int64_t *number,
	struct err_info *info)
{
	*count = 1;
	*number = 0;
	if (gguf_get_int(g, "split.count", 0, WEIGHTS_FILES_MAX, count, info) ||
		gguf_get_int(g, "split.no", 0, WEIGHTS_FILES_MAX - 1, number, info))
		return info->code;
	if (*count == 0)
		*count = 1;
	return ERR_NONE;
}

static enum err open_gguf_file(struct weights *w, const char *path, struct err_info *info)
{
	const char *name = arena_strndup(&w->side, path, strlen(path));
	struct file_map *map = &w->maps[w->map_count];

	if (!name)
		return err_set(info, ERR_MEMORY, "%s: no memory for its name", path);
	if (file_map_open(map, path, info))
		return info->code;
	w->map_count++;
	if (gguf_open(&w->ggufs[w->gguf_count], map->data, map->size, name, info))
		return info->code;
	w->gguf_count++;
	return ERR_NONE;
}

/* How the name of a shard ends; number counts from 1. */
static void split_tail(char out[SPLIT_TAIL_SIZE + 1], int64_t number, int64_t count)
{
	char text[64];

	snprintf(text, sizeof(text), "-%05" PRId64 "-of-%05" PRId64 ".gguf", number, count);
	assert(strlen(text) == SPLIT_TAIL_SIZE); /* both are at most WEIGHTS_FILES_MAX */
	memcpy(out, text, SPLIT_TAIL_SIZE + 1);
}

/* Most tools write metadata into the first shard only; what is repeated must be the same. */
static enum err same_model(const struct gguf *first, const struct gguf *shard,
	struct err_info *info)
{
	static const char *const keys[] = {"general.architecture", "general.name"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct gguf_string a = {0}, b = {0};

		if (gguf_get_string(first, keys[i], &a, info) ||
			gguf_get_string(shard, keys[i], &b, info))
			return info->code;
		if (b.data && (a.size != b.size || memcmp(a.data, b.data, a.size) != 0))
			return err_set(info, ERR_INPUT,
				"%s: a shard of another model: its %s is %.*s, not %.*s",
				shard->file, keys[i], (int)(b.size < 64 ? b.size : 64), b.data,
				(int)(a.size < 64 ? a.size : 64), a.data ? a.data : "");
	}
	return ERR_NONE;
}

/* Opens shards 2 .. count, whose names differ from the first one's in the number. */
static enum err open_splits(struct weights *w, const char *path, int64_t count,
	struct err_info *info)
{
	const size_t size = strlen(path);
	const size_t stem = size > SPLIT_TAIL_SIZE ? size - SPLIT_TAIL_SIZE : 0;
	char tail[SPLIT_TAIL_SIZE + 1];

	split_tail(tail, 1, count);
	if (stem == 0 || strcmp(path + stem, tail) != 0)
		return err_set(info, ERR_INPUT,
			"%s: one of %" PRId64 " shards, but not called ...%s", path, count, tail);
	char *next = arena_strndup(&w->side, path, size);
	if (!next)
		return err_set(info, ERR_MEMORY, "%s: no memory for the names of its shards", path);
	for (int64_t i = 1; i < count; i++) {
		int64_t count_there, number;

		split_tail(next + stem, i + 1, count);
		if (open_gguf_file(w, next, info))
			return err_prefix(info, "shard %" PRId64 " of %" PRId64, i + 1, count);
		const struct gguf *shard = &w->ggufs[w->gguf_count - 1];

		if (split_count(shard, &count_there, &number, info) ||
			same_model(&w->ggufs[0], shard, info))
			return info->code;
		if (count_there != count || number != i)
			return err_set(info, ERR_INPUT,
				"%s: says it is shard %" PRId64 " of %" PRId64, next, number + 1,
				count_there);
	}
	return ERR_NONE;
}

static enum err make_gguf_room(struct weights *w, int64_t count, struct err_info *info)
{
	struct file_map *maps = arena_array(&w->side, (size_t)count, sizeof(*maps));
	struct gguf *ggufs = arena_array(&w->side, (size_t)count, sizeof(*ggufs));

	if (!maps || !ggufs)
		return err_set(info, ERR_MEMORY, "no memory for %" PRId64 " files", count);
	if (w->map_count)
		maps[0] = w->maps[0];
	if (w->gguf_count)
		ggufs[0] = w->ggufs[0];
	w->maps = maps;
	w->ggufs = ggufs;
	return ERR_NONE;
}

static enum err open_gguf(struct weights *w, const char *path, struct err_info *info)
{
	int64_t count, number;

	if (make_gguf_room(w, 1, info) || open_gguf_file(w, path, info) ||
		split_count(&w->ggufs[0], &count, &number, info))
		return info->code;
	if (count > 1 && number != 0)
		return err_set(info, ERR_INPUT,
			"%s: shard %" PRId64 " of %" PRId64 "; name the first one", path,
			number + 1, count);
	if (count > 1 && (make_gguf_room(w, count, info) || open_splits(w, path, count, info)))
		return info->code;
	return finish_gguf(w, info);
}

static bool ends_with(const char *text, const char *tail)
{
	const size_t size = strlen(text), tail_size = strlen(tail);

	return size >= tail_size && strcmp(text + size - tail_size, tail) == 0;
}

enum err weights_open(struct weights *w, const char *path, struct err_info *info)
{
	weights_init(w);
	if (ends_with(path, ".safetensors"))
		return err_set(info, ERR_UNSUPPORTED,
			"%s: name the directory, which holds the config too", path);
	if (!file_is_dir(path))
		return weights_end(w, open_gguf(w, path, info));
	if (weights_read_dir(w, path, info))
		return weights_end(w, info->code);
	return weights_end(w, weights_map(w, false, info));
}

enum err weights_open_memory(struct weights *w, const void *bytes, size_t size, const char *name,
	struct err_info *info)
{
	int64_t count, number;

	weights_init(w);
	if (make_gguf_room(w, 1, info) || gguf_open(&w->ggufs[0], bytes, size, name, info))
		return weights_end(w, info->code);
	w->gguf_count = 1;
	if (split_count(&w->ggufs[0], &count, &number, info))
		return weights_end(w, info->code);
	if (count > 1)
		return weights_end(
			w, err_set(info, ERR_UNSUPPORTED,
				   "%s: one of %" PRId64 " shards, in memory", name, count));
	return weights_end(w, finish_gguf(w, info));
}

enum err weights_open_texts(struct weights *w, const struct model_config_texts *texts,
	const void *safetensors, size_t size, struct err_info *info)
{
	static const char file[] = "model.safetensors";
	struct stored_table *from;

	weights_init(w);
	if (model_config_from_json(&w->config, texts, info) ||
		(texts->tokenizer && weights_template_from_json(w, texts->tokenizer, info)))
		return weights_end(w, info->code);
	w->safetensors = arena_array(&w->side, 1, sizeof(*w->safetensors));
	if (!w->safetensors)
		return weights_end(w, err_set(info, ERR_MEMORY, "no memory for a file"));
	if (safetensors_open(&w->safetensors[0], safetensors, size, file, info))
		return weights_end(w, info->code);
	w->safetensors_count = 1;
	from = &w->safetensors[0].tensors;
	w->table = *from;
	*from = (struct stored_table){0};
	return weights_end(w, weights_map(w, false, info));
}

static const struct weight_slot *get_slot(const struct weights *w, enum weight weight,
	uint32_t layer, bool matrix)
{
	const struct weight_rule *rule = arch_rule(arch_get(w->config.arch), weight);

	assert(rule && arch_form_is_matrix(rule->form) == matrix);
	assert(rule->place == PLACE_ONCE || layer < w->config.layers);
	const struct weight_slot *slot = weights_slot(w, weight, layer, rule->place == PLACE_ONCE);
	assert(slot->present);
	return slot;
}

const struct chip_matrix *weights_matrix(const struct weights *w, enum weight weight,
	uint32_t layer)
{
	return &get_slot(w, weight, layer, true)->matrix;
}

const struct weight_vector *weights_vector(const struct weights *w, enum weight weight,
	uint32_t layer)
{
	return &get_slot(w, weight, layer, false)->vector;
}

void weights_read_rows(const struct chip_matrix *m, uint32_t first, uint32_t count,
	uint8_t *rows_out)
{
	const size_t row_bytes = chip_row_bytes(m->type, m->group, m->columns);

	if (m->read) {
		m->read(m->context, first, count, rows_out);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		memcpy(rows_out + i * row_bytes, weights_row(m, first + i), row_bytes);
}

const void *weights_row(const struct chip_matrix *m, uint32_t row)
{
	const size_t row_bytes = chip_row_bytes(m->type, m->group, m->columns);

	assert(row < m->rows);
	for (uint32_t i = 0; i < m->span_count; i++) {
		if (row < m->spans[i].row_count)
			return (const uint8_t *)m->spans[i].rows + row * row_bytes;
		row -= m->spans[i].row_count;
	}
	assert(false && "the spans hold all rows");
	return NULL;
}
