/* model/weights/weights_dir.c - a directory as Hugging Face lays it out: texts in JSON, tensors
 * in one file or in the shards that an index names. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/weights/weights_private.h"

#define PATH_MAX_BYTES 4096

/* config.json and its like are a few KiB, a tokenizer_config with a template up to some 100. */
static const struct json_limits TEXT_LIMITS = {
	.bytes_max = (size_t)16 << 20,
	.values_max = 1000000,
	.depth_max = 32,
	.memory_max = (size_t)256 << 20,
};

static const struct json_limits INDEX_LIMITS = {
	.bytes_max = (size_t)256 << 20,
	.values_max = 2 * STORED_TENSORS_MAX,
	.depth_max = 8,
	.memory_max = (size_t)1 << 30,
};

static enum err join(char out[PATH_MAX_BYTES], const char *dir, const char *name,
	struct err_info *info)
{
	if (file_join(out, PATH_MAX_BYTES, dir, name))
		return err_set(info, ERR_LIMIT, "%s: path too long", dir);
	return ERR_NONE;
}

/* *out = NULL when the file is not there. */
static enum err read_json(json_t **out, const char *dir, const char *name,
	const struct json_limits *limits, struct err_info *info)
{
	char path[PATH_MAX_BYTES];

	*out = NULL;
	if (join(path, dir, name, info))
		return info->code;
	return file_exists(path) ? json_read_file(out, path, limits, info) : ERR_NONE;
}

/* A string, or a list of {name, template}: "default" is for chats, "tool_use" for those with
 * tools. */
enum err weights_template_from_json(struct weights *w, const json_t *object, struct err_info *info)
{
	const json_t *value = json_object_get(object, "chat_template");
	const json_t *item;
	size_t i;

	if (json_is_string(value))
		return weights_take_template(
			w, NULL, json_string_value(value), json_string_length(value), info);
	json_array_foreach(value, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));
		const json_t *text = json_object_get(item, "template");

		if (name && json_is_string(text) && weights_take_template(w, name,
			json_string_value(text), json_string_length(text), info))
			return info->code;
	}
	return ERR_NONE;
}

/* From a file of its own; *there tells whether there is one. */
static enum err read_template_file(struct weights *w, const char *dir, const char *file,
	const char *name, bool *there, struct err_info *info)
{
	char path[PATH_MAX_BYTES];
	struct buf text;
	enum err code;

	if (join(path, dir, file, info))
		return info->code;
	*there = file_exists(path);
	if (!*there)
		return ERR_NONE;
	buf_init(&text, WEIGHTS_TEMPLATE_MAX);
	code = file_read(&text, path, info);
	if (!code)
		code = weights_take_template(w, name, text.data ? text.data : "", text.size, info);
	buf_free(&text);
	return code;
}

/* chat_template.jinja, and what lies beside it, wins over the copy in tokenizer_config.json;
 * chat_template.json was an early form. */
static enum err read_template(struct weights *w, const char *dir, const json_t *tokenizer,
	struct err_info *info)
{
	json_t *early = NULL;
	bool there;
	enum err code = read_template_file(w, dir, "chat_template.jinja", NULL, &there, info);

	if (code || there)
		return code ? code : read_template_file(w, dir,
			"additional_chat_templates/tool_use.jinja", "tool_use", &there, info);
	if (weights_template_from_json(w, tokenizer, info))
		return info->code;
	if (w->chat_template)
		return ERR_NONE;
	if (read_json(&early, dir, "chat_template.json", &TEXT_LIMITS, info))
		return info->code;
	code = weights_template_from_json(w, early, info);
	json_decref(early);
	return code;
}

static enum err read_texts(struct weights *w, const char *dir, struct err_info *info)
{
	json_t *config = NULL, *generation = NULL, *tokenizer = NULL;
	enum err code;

	if ((code = read_json(&config, dir, "config.json", &TEXT_LIMITS, info)) ||
		(code = read_json(
			 &generation, dir, "generation_config.json", &TEXT_LIMITS, info)) ||
		(code = read_json(&tokenizer, dir, "tokenizer_config.json", &TEXT_LIMITS, info)))
		goto done;
	if (!config) {
		code = err_set(info, ERR_NOT_FOUND,
			"%s: no config.json; name a model directory, or a .gguf file itself", dir);
		goto done;
	}
	const struct model_config_texts texts = {config, generation, tokenizer};
	code = model_config_from_json(&w->config, &texts, info);
	if (code) {
		err_prefix(info, "%s", dir);
		goto done;
	}
	code = read_template(w, dir, tokenizer, info);
done:
	json_decref(config);
	json_decref(generation);
	json_decref(tokenizer);
	return code;
}

/* Maps dir/name and reads its header as the next of w->safetensors. */
static enum err open_file(struct weights *w, const char *dir, const char *name,
	struct err_info *info)
{
	struct file_map *map = &w->maps[w->map_count];
	char path[PATH_MAX_BYTES];

	if (join(path, dir, name, info))
		return info->code;
	const char *kept = arena_strndup(&w->side, path, strlen(path));
	if (!kept)
		return err_set(info, ERR_MEMORY, "%s: no memory for its name", path);
	if (file_map_open(map, path, info))
		return info->code;
	w->map_count++;
	if (safetensors_open(
		    &w->safetensors[w->safetensors_count], map->data, map->size, kept, info))
		return info->code;
	w->safetensors_count++;
	return ERR_NONE;
}

static enum err make_safetensors_room(struct weights *w, size_t count, struct err_info *info)
{
	w->maps = arena_array(&w->side, count, sizeof(*w->maps));
	w->safetensors = arena_array(&w->side, count, sizeof(*w->safetensors));
	if (!w->maps || !w->safetensors)
		return err_set(info, ERR_MEMORY, "no memory for %zu files", count);
	return ERR_NONE;
}

static enum err read_single(struct weights *w, const char *dir, struct err_info *info)
{
	if (make_safetensors_room(w, 1, info) || open_file(w, dir, "model.safetensors", info))
		return info->code;
	w->table = w->safetensors[0].tensors;
	w->safetensors[0].tensors = (struct stored_table){0};
	return ERR_NONE;
}

/* A name in this directory, nothing that leads out of it. */
static bool is_plain_name(const char *name)
{
	return name && name[0] && name[0] != '.' && !strchr(name, '/') &&
	       strlen(name) <= STORED_NAME_MAX;
}

/* Opens each file that the index names, once; files maps its name to its number. */
static enum err open_shards(struct weights *w, const char *dir, json_t *map, json_t *files,
	struct err_info *info)
{
	const char *tensor;
	json_t *value;

	json_object_foreach(map, tensor, value)
	{
		const char *name = json_string_value(value);

		if (!is_plain_name(name))
			return err_set(info, ERR_INPUT,
				"%s: the index puts tensor %.128s into %.64s, not a file of this "
				"directory",
				dir, tensor, name ? name : "(no name)");
		if (json_object_get(files, name))
			continue;
		if (json_object_size(files) == WEIGHTS_FILES_MAX)
			return err_set(info, ERR_LIMIT, "%s: the index names more than %d files",
				dir, WEIGHTS_FILES_MAX);
		if (open_file(w, dir, name, info))
			return info->code;
		if (json_object_set_new(
			    files, name, json_integer((json_int_t)w->safetensors_count - 1)))
			return err_set(info, ERR_MEMORY, "%s: no memory for the index", dir);
	}
	return ERR_NONE;
}

/* Each tensor of the index is in the file that it says. */
static enum err check_index(const struct weights *w, const char *dir, json_t *map,
	const json_t *files, struct err_info *info)
{
	const char *tensor;
	json_t *value;

	json_object_foreach(map, tensor, value)
	{
		const json_int_t number =
			json_integer_value(json_object_get(files, json_string_value(value)));

		if (!stored_table_find(&w->safetensors[number].tensors, tensor))
			return err_set(info, ERR_INPUT,
				"%s: tensor %.128s is not in %s, where the index puts it", dir,
				tensor, json_string_value(value));
	}
	return ERR_NONE;
}

static enum err join_shards(struct weights *w, struct err_info *info)
{
	const struct stored_table *tables[WEIGHTS_FILES_MAX];

	for (uint32_t i = 0; i < w->safetensors_count; i++)
		tables[i] = &w->safetensors[i].tensors;
	return weights_join_tables(w, tables, w->safetensors_count, info);
}

static enum err read_indexed(struct weights *w, const char *dir, const json_t *index,
	struct err_info *info)
{
	json_t *map = json_object_get(index, "weight_map");
	json_t *files = json_object();
	enum err code = ERR_NONE;

	if (!files)
		code = err_set(info, ERR_MEMORY, "%s: no memory for the index", dir);
	else if (json_object_size(map) == 0)
		code = err_set(
			info, ERR_INPUT, "%s: model.safetensors.index.json: no weight_map", dir);
	else if (json_object_size(map) > STORED_TENSORS_MAX)
		code = err_set(info, ERR_LIMIT, "%s: the index has %zu tensors, at most %d", dir,
			json_object_size(map), STORED_TENSORS_MAX);
	else
		code = make_safetensors_room(w, WEIGHTS_FILES_MAX, info);
	if (!code)
		code = open_shards(w, dir, map, files, info);
	if (!code)
		code = check_index(w, dir, map, files, info);
	if (!code)
		code = join_shards(w, info);
	json_decref(files);
	return code;
}

static enum err read_tensors(struct weights *w, const char *dir, struct err_info *info)
{
	char single[PATH_MAX_BYTES];
	json_t *index = NULL;
	enum err code;

	if (read_json(&index, dir, "model.safetensors.index.json", &INDEX_LIMITS, info) ||
		join(single, dir, "model.safetensors", info)) {
		json_decref(index);
		return info->code;
	}
	if (index)
		code = read_indexed(w, dir, index, info);
	else if (file_exists(single))
		code = read_single(w, dir, info);
	else
		code = err_set(info, ERR_NOT_FOUND,
			"%s: neither model.safetensors nor model.safetensors.index.json; "
			"other weight files are not read",
			dir);
	json_decref(index);
	return code;
}

enum err weights_read_dir(struct weights *w, const char *dir, struct err_info *info)
{
	const enum err code = read_texts(w, dir, info);

	return code ? code : read_tensors(w, dir, info);
}
