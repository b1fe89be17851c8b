/* hub/choose.c - see choose.h. */
#include "hub/choose.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hub/path.h"

#define CHOICES_BYTES 300
#define TYPES_MAX     64     /* of one repository; more are not told apart */
#define DEFAULT_TYPE  "q4_k"
#define INDEX         "model.safetensors.index.json"
#define SINGLE        "model.safetensors"

static bool starts(const char *text, const char *with)
{
	return strncasecmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
	const size_t size = strlen(text), tail = strlen(with);

	return size >= tail && strcasecmp(text + size - tail, with) == 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_top(const char *path)
{
	return !strchr(path, '/');
}

bool choose_is_paper(const char *path)
{
	return is_top(path) && (strcasecmp(path, "README.md") == 0 || starts(path, "LICENSE") ||
		starts(path, "LICENCE") || starts(path, "NOTICE"));
}

/* ---- safetensors ----------------------------------------------------------------------------- */

static bool is_side(const char *path)
{
	static const char *const names[] = {"generation_config.json", "special_tokens_map.json",
		"added_tokens.json", "vocab.json", "merges.txt", "quantize_config.json",
		"quantization_config.json", "hf_quant_config.json", "preprocessor_config.json",
		"video_preprocessor_config.json"};

	if (!is_top(path))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return (starts(path, "config") && ends(path, ".json")) ||
		(starts(path, "tokenizer") && !ends(path, ".bin")) || starts(path, "chat_template");
}

static bool has_file(const struct manifest *m, const char *path)
{
	for (uint32_t i = 0; i < m->file_count; i++)
		if (strcmp(m->files[i].path, path) == 0)
			return true;
	return false;
}

/* Weights by the rule of who opens them: the shards of the index, else model.safetensors. */
static bool is_weights(const char *path, bool indexed, bool single)
{
	if (!is_top(path))
		return false;
	if (indexed)
		return strcmp(path, INDEX) == 0 || (ends(path, ".safetensors") &&
			strstr(path, "-of-") && !starts(path, "consolidated"));
	if (single)
		return strcmp(path, SINGLE) == 0;
	return ends(path, ".safetensors");
}

static bool has_safetensors(const struct manifest *m)
{
	for (uint32_t i = 0; i < m->file_count; i++)
		if (is_top(m->files[i].path) && ends(m->files[i].path, ".safetensors"))
			return true;
	return false;
}

static enum err choose_safetensors(struct manifest *m, bool *asked, struct err_info *info)
{
	const bool indexed = has_file(m, INDEX), single = has_file(m, SINGLE);
	uint32_t kept = 0;

	if (!has_file(m, "config.json"))
		return err_set(info, ERR_UNSUPPORTED, "%s/%s has *.safetensors but no config.json: "
			"it is no model by itself", m->name.owner, m->name.model);
	*asked = !*m->name.type || strcmp(m->name.type, HUB_ORIGINAL) == 0;
	snprintf(m->name.type, sizeof(m->name.type), HUB_ORIGINAL);
	for (uint32_t i = 0; i < m->file_count; i++) {
		const char *path = m->files[i].path;

		if (choose_is_paper(path) || is_side(path) || is_weights(path, indexed, single))
			m->files[kept++] = m->files[i];
	}
	m->file_count = kept;
	return ERR_NONE;
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

/* The name without .gguf and without -00001-of-00003; *part and *parts are 0 when it is not
 * split. False: no GGUF file of weights. */
static bool stem_of(const char *path, size_t *size, unsigned *part, unsigned *parts)
{
	const char *name = base_name(path);
	int read = 0;

	*part = *parts = 0;
	if (!ends(path, ".gguf") || starts(name, "mmproj") || strcasestr(name, "imatrix"))
		return false;
	*size = strlen(path) - strlen(".gguf");
	if (*size > 15 && sscanf(path + *size - 15, "-%5u-of-%5u%n", part, parts, &read) == 2 &&
		read == 15 && !strpbrk(path + *size - 15, "+ ") && *part > 0 && *part <= *parts)
		*size -= 15;
	else
		*part = *parts = 0;
	return true;
}

/* Letters, digits and _ after q or iq and a digit; or the name of a number format. */
static bool is_type(const char *text, size_t size)
{
	static const char *const formats[] = {"f16", "f32", "bf16", "fp16", "fp32", "mxfp4",
		"mxfp4_moe", "nvfp4"};
	size_t at = 0;

	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (size == strlen(formats[i]) && strncasecmp(text, formats[i], size) == 0)
			return true;
	if (size > 3 && strncasecmp(text, "ud-", 3) == 0)   /* mixes that differ by layer */
		at = 3;
	if (at < size && strchr("iItT", text[at]))
		at++;
	if (at + 1 >= size || (text[at] != 'q' && text[at] != 'Q') ||
		!isdigit((unsigned char)text[at + 1]))
		return false;
	for (at += 2; at < size; at++)
		if (!isalnum((unsigned char)text[at]) && text[at] != '_')
			return false;
	return true;
}

bool choose_type_of(const char *path, char out[HUB_PART_BYTES])
{
	unsigned part, parts;
	size_t size;

	if (!stem_of(path, &size, &part, &parts))
		return false;
	const char *name = base_name(path), *end = path + size;

	for (const char *at = name; at < end; at++) {
		const bool border = at == name || strchr("-._", at[-1]);

		if (border && is_type(at, (size_t)(end - at)))
			return hub_type_spell(out, at, (size_t)(end - at));
	}
	return false;
}

/* The type by name, or that of a file which does not say. */
static bool gguf_type(const char *path, char out[HUB_PART_BYTES])
{
	unsigned part, parts;
	size_t size;

	if (!stem_of(path, &size, &part, &parts))
		return false;
	if (!choose_type_of(path, out))
		snprintf(out, HUB_PART_BYTES, HUB_ORIGINAL);
	return true;
}

struct types {
	char list[TYPES_MAX][HUB_PART_BYTES];   /* each once, in the order of the files */
	uint32_t count;
};

static void types_find(const struct manifest *m, struct types *t)
{
	char type[HUB_PART_BYTES];

	t->count = 0;
	for (uint32_t i = 0; i < m->file_count && t->count < TYPES_MAX; i++) {
		uint32_t at = 0;

		if (!gguf_type(m->files[i].path, type))
			continue;
		while (at < t->count && strcmp(t->list[at], type) != 0)
			at++;
		if (at == t->count)
			memcpy(t->list[t->count++], type, sizeof(type));
	}
}

static const char *types_print(const struct types *t, char out[CHOICES_BYTES])
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < t->count && used < CHOICES_BYTES; i++)
		used += (size_t)snprintf(out + used, CHOICES_BYTES - used, "%s%s", i ? ", " : "",
			t->list[i]);
	return out;
}

/* The first file of the type that was chosen: whole, or the first part. NULL: there is none. */
static const struct manifest_file *first_of(const struct manifest *m, const char *type)
{
	const struct manifest_file *found = NULL;
	char its[HUB_PART_BYTES];
	unsigned part, parts;
	size_t size;

	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct manifest_file *f = &m->files[i];

		if (!gguf_type(f->path, its) || strcmp(its, type) != 0 ||
			!stem_of(f->path, &size, &part, &parts))
			continue;
		if (parts == 0)
			return f;
		if (part == 1)
			found = f;
	}
	return found;
}

static bool same_model(const char *a, const char *b)
{
	unsigned part_a, parts_a, part_b, parts_b;
	size_t size_a, size_b;

	return stem_of(a, &size_a, &part_a, &parts_a) && stem_of(b, &size_b, &part_b, &parts_b) &&
		size_a == size_b && parts_a == parts_b && memcmp(a, b, size_a) == 0;
}

/* Keeps the parts of first, and the papers; all parts must be there. */
static enum err gguf_keep(struct manifest *m, const char *first, struct err_info *info)
{
	unsigned part, parts, seen = 0;
	uint32_t kept = 0;
	size_t size;

	(void)stem_of(first, &size, &part, &parts);
	for (uint32_t i = 0; i < m->file_count; i++) {
		const bool is_part = same_model(m->files[i].path, first);

		if (is_part || choose_is_paper(m->files[i].path))
			m->files[kept++] = m->files[i];
		seen += is_part;
	}
	m->file_count = kept;
	m->model = first;
	if (seen != (parts ? parts : 1))
		return err_set(info, ERR_INPUT, "'%.200s': %u of its %u parts are listed", first,
			seen, parts ? parts : 1);
	return ERR_NONE;
}

static enum err choose_gguf(struct manifest *m, const struct types *types, struct err_info *info)
{
	const char *wanted = *m->name.type ? m->name.type : types->count == 1 ? types->list[0]
		: DEFAULT_TYPE;
	const struct manifest_file *first = first_of(m, wanted);
	char choices[CHOICES_BYTES];

	if (!first && *m->name.type)
		return err_set(info, ERR_NOT_FOUND, "%s/%s has no file of type %s; it has %s",
			m->name.owner, m->name.model, wanted, types_print(types, choices));
	if (!first)
		return err_set(info, ERR_NOT_FOUND, "%s/%s: which type? Add one of these: %s",
			m->name.owner, m->name.model, types_print(types, choices));
	if (wanted != m->name.type)
		snprintf(m->name.type, sizeof(m->name.type), "%s", wanted);
	return gguf_keep(m, first->path, info);
}

/* ---- which of the two ------------------------------------------------------------------------ */

static int by_path(const void *a, const void *b)
{
	const char *const *of_a = a, *const *of_b = b;
	const int order = hub_path_order(*of_a, *of_b);

	return order ? order : strcmp(*of_a, *of_b);
}

/* No two of them may become one file, or a file and a folder; nor one of them our manifest. */
static enum err clashes_check(struct manifest *m, struct err_info *info)
{
	const char **paths = arena_array(&m->memory, m->file_count, sizeof(*paths));

	if (!paths)
		return err_set(info, ERR_MEMORY, "no memory for the list of files");
	for (uint32_t i = 0; i < m->file_count; i++) {
		paths[i] = m->files[i].path;
		if (paths[i][0] == '.' || hub_path_clash(paths[i], MANIFEST_FILE))
			return err_set(info, ERR_INPUT, "the hub lists '%.200s', which cannot be "
				"a file of a model", paths[i]);
	}
	qsort(paths, m->file_count, sizeof(*paths), by_path);
	for (uint32_t i = 1; i < m->file_count; i++)
		if (hub_path_clash(paths[i - 1], paths[i]))
			return err_set(info, ERR_INPUT, "the hub lists both '%.150s' and "
				"'%.150s', which cannot be two files", paths[i - 1], paths[i]);
	return ERR_NONE;
}

enum err choose_files(struct manifest *m, bool *asked, struct err_info *info)
{
	struct types types;

	types_find(m, &types);
	*asked = true;
	if (has_safetensors(m) && !(types.count > 0 && ends(m->name.model, "-GGUF")))
		(void)!choose_safetensors(m, asked, info);
	else if (types.count > 0)
		(void)!choose_gguf(m, &types, info);
	else
		err_set(info, ERR_UNSUPPORTED, "%s/%s has neither *.safetensors nor *.gguf, and "
			"nothing else can be read", m->name.owner, m->name.model);
	return info->code ? info->code : clashes_check(m, info);
}
