/* hub/manifest.c - see manifest.h. */
#include "hub/manifest.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "hub/path.h"

#define FORMAT          1
#define MEMORY_CHUNK    ((size_t)16 << 10)
#define FILE_BYTES_MAX  ((int64_t)1 << 50)

static const struct json_limits LIMITS = {.bytes_max = MANIFEST_BYTES_MAX,
	.values_max = 8 * MANIFEST_FILES_MAX, .depth_max = 4, .memory_max = (size_t)64 << 20};

bool hub_is_hex(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	return text[size] == '\0';
}

enum err manifest_init(struct manifest *m, uint32_t files_max, struct err_info *info)
{
	*m = (struct manifest){.model = ""};
	arena_init(&m->memory, MEMORY_CHUNK, 2 * MANIFEST_BYTES_MAX);
	m->files = arena_array(&m->memory, files_max ? files_max : 1, sizeof(*m->files));
	return m->files ? ERR_NONE : err_set(info, ERR_MEMORY, "no memory for %u files", files_max);
}

void manifest_free(struct manifest *m)
{
	arena_reset(&m->memory);
	*m = (struct manifest){0};
}

uint64_t manifest_size(const struct manifest *m)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < m->file_count; i++)
		size += m->files[i].size_bytes;
	return size;
}

/* A string of at most size - 1 bytes; absent or null leaves out as it is. */
static enum err text_read(const json_t *object, const char *key, char *out, size_t size,
	struct err_info *info)
{
	const char *text = NULL;

	if (json_get_string(object, key, &text, info))
		return info->code;
	if (text && (size_t)snprintf(out, size, "%s", text) >= size)
		return err_set(info, ERR_INPUT, "%s: longer than %zu bytes", key, size - 1);
	return ERR_NONE;
}

static enum err hash_read(const json_t *object, const char *key, char *out, size_t size,
	struct err_info *info)
{
	if (text_read(object, key, out, size, info))
		return info->code;
	if (*out && !hub_is_hex(out, size - 1))
		return err_set(info, ERR_INPUT, "%s: not %zu hexadecimal digits", key, size - 1);
	return ERR_NONE;
}

static enum err file_of(struct manifest *m, const json_t *object, struct err_info *info)
{
	struct manifest_file *f = &m->files[m->file_count];
	const char *path = NULL;
	int64_t size = -1;

	if (json_get_string(object, "path", &path, info) ||
		json_get_int(object, "size", 0, FILE_BYTES_MAX, &size, info) ||
		hash_read(object, "sha256", f->sha256, sizeof(f->sha256), info) ||
		hash_read(object, "git_sha1", f->git_sha1, sizeof(f->git_sha1), info))
		return info->code;
	if (!path || size < 0)
		return err_set(info, ERR_INPUT, "a file without path or size");
	if (hub_path_check(path, strlen(path), info))
		return info->code;
	f->path = arena_strndup(&m->memory, path, strlen(path));
	f->size_bytes = (uint64_t)size;
	m->file_count++;
	return f->path ? ERR_NONE : err_set(info, ERR_MEMORY, "no memory for its files");
}

static enum err name_read(struct manifest *m, const json_t *document, struct err_info *info)
{
	const char *name = NULL;
	char type[HUB_PART_BYTES] = "";

	if (json_get_string(document, "name", &name, info) ||
		text_read(document, "type", type, sizeof(type), info))
		return info->code;
	if (!name || !*type)
		return err_set(info, ERR_INPUT, "name or type is missing");
	if (hub_name_parse(&m->name, name, false, info))
		return info->code;
	if (*m->name.type || !hub_type_spell(m->name.type, type, strlen(type)))
		return err_set(info, ERR_INPUT, "'%.100s' is not a type", type);
	return ERR_NONE;
}

/* model names one of the files. */
static enum err model_read(struct manifest *m, const json_t *document, struct err_info *info)
{
	const char *model = NULL;

	if (json_get_string(document, "model", &model, info) || !model || !*model)
		return info->code;
	for (uint32_t i = 0; i < m->file_count; i++)
		if (strcmp(m->files[i].path, model) == 0) {
			m->model = m->files[i].path;
			return ERR_NONE;
		}
	return err_set(info, ERR_INPUT, "model: '%.200s' is none of its files", model);
}

static enum err document_read(struct manifest *m, const json_t *document, struct err_info *info)
{
	const json_t *files = json_object_get(document, "files");
	int64_t format = 0;

	if (json_get_int(document, "format", 0, INT_MAX, &format, info))
		return info->code;
	if (format != FORMAT)
		return err_set(info, ERR_UNSUPPORTED, "format %lld, known is %d",
			(long long)format, FORMAT);
	if (!json_is_array(files) || json_array_size(files) > MANIFEST_FILES_MAX)
		return err_set(info, ERR_INPUT, "files: not an array of at most %d",
			MANIFEST_FILES_MAX);
	if (manifest_init(m, (uint32_t)json_array_size(files), info) ||
		name_read(m, document, info) ||
		text_read(document, "source", m->source, sizeof(m->source), info) ||
		text_read(document, "revision", m->revision, sizeof(m->revision), info) ||
		text_read(document, "licence", m->licence, sizeof(m->licence), info) ||
		text_read(document, "created", m->created, sizeof(m->created), info))
		return info->code;
	for (size_t i = 0; i < json_array_size(files); i++)
		if (file_of(m, json_array_get(files, i), info))
			return info->code;
	return model_read(m, document, info);
}

enum err manifest_parse(struct manifest *m, const char *text, size_t size, struct err_info *info)
{
	json_t *document = NULL;

	*m = (struct manifest){0};
	if (!json_parse(&document, text, size, &LIMITS, true, info) && !json_is_object(document))
		err_set(info, ERR_INPUT, "not an object");
	if (!info->code && document_read(m, document, info))
		manifest_free(m);
	json_decref(document);
	return info->code;
}

enum err manifest_read(struct manifest *m, const char *dir, struct err_info *info)
{
	char path[PATH_MAX];
	struct buf text;

	*m = (struct manifest){0};
	if (file_join(path, sizeof(path), dir, MANIFEST_FILE))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", dir);
	buf_init(&text, MANIFEST_BYTES_MAX);
	if (!file_read(&text, path, info) &&
		manifest_parse(m, text.data ? text.data : "", text.size, info))
		err_prefix(info, "%.300s", path);
	buf_free(&text);
	return info->code;
}

static void print_field(struct buf *out, const char *before, const char *key, const char *text)
{
	buf_printf(out, "%s\"%s\": ", before, key);
	if (*text)
		json_add_string(out, text, strlen(text));
	else
		buf_add_str(out, "null");
}

void manifest_print(const struct manifest *m, struct buf *out)
{
	struct hub_name name = m->name;
	char text[HUB_NAME_BYTES];

	name.type[0] = '\0';
	buf_printf(out, "{\"format\": %d", FORMAT);
	print_field(out, ", ", "name", hub_name_print(&name, text));
	print_field(out, ", ", "type", m->name.type);
	print_field(out, ",\n ", "source", m->source);
	print_field(out, ", ", "revision", m->revision);
	print_field(out, ",\n ", "licence", m->licence);
	print_field(out, ", ", "created", m->created);
	print_field(out, ", ", "model", m->model);
	buf_add_str(out, ",\n \"files\": [");
	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct manifest_file *f = &m->files[i];

		print_field(out, i ? ",\n  {" : "\n  {", "path", f->path);
		buf_printf(out, ", \"size\": %llu", (unsigned long long)f->size_bytes);
		print_field(out, ", ", "sha256", f->sha256);
		print_field(out, ", ", "git_sha1", f->git_sha1);
		buf_add_char(out, '}');
	}
	buf_add_str(out, "]}\n");
}
