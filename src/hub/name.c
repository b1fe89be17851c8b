/* hub/name.c - see name.h. */
#include "hub/name.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static bool is_part_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '.' || c == '_' || c == '-';
}

bool hub_name_looks(const char *text)
{
	size_t parts[3] = {0};
	int part = 0;

	for (; *text; text++) {
		if ((*text == '/' && part == 0) || (*text == ':' && part == 1))
			part++;
		else if (is_part_byte(*text))
			parts[part]++;
		else
			return false;
	}
	return part >= 1 && parts[0] > 0 && parts[1] > 0 && (part < 2 || parts[2] > 0);
}

/* Takes the part that *text begins with; false when there is none, or it cannot be one. */
static bool part_take(char out[HUB_PART_BYTES], const char **text)
{
	size_t size = 0;

	while (is_part_byte((*text)[size]))
		size++;
	if (size == 0 || size >= HUB_PART_BYTES || **text == '.' || **text == '-')
		return false;
	memcpy(out, *text, size);
	out[size] = '\0';
	*text += size;
	return true;
}

/* As git names what a revision is, as far as a URL needs no more: bytes of a part, and slashes
 * that are neither first nor doubled. */
static bool revision_take(char out[HUB_REVISION_BYTES], const char **text)
{
	size_t size = 0;

	while (is_part_byte((*text)[size]) || (*text)[size] == '/')
		size++;
	if (size == 0 || size >= HUB_REVISION_BYTES || **text == '/' || **text == '.' ||
		**text == '-')
		return false;
	memcpy(out, *text, size);
	out[size] = '\0';
	*text += size;
	return !strstr(out, "..") && !strstr(out, "//");
}

bool hub_type_spell(char out[HUB_PART_BYTES], const char *text, size_t size)
{
	/* each to the one after it: llama.cpp's usual mix of a K type, and half precision */
	static const char *const same[][2] = {
		{"q3_k_m", "q3_k"}, {"q4_k_m", "q4_k"}, {"q5_k_m", "q5_k"}, {"fp16", "f16"},
		{"fp32", "f32"},
	};

	if (size == 0 || size >= HUB_PART_BYTES || *text == '.' || *text == '-')
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!is_part_byte(text[i]))
			return false;
		out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
	}
	out[size] = '\0';
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		if (strcmp(out, same[i][0]) == 0)
			snprintf(out, HUB_PART_BYTES, "%s", same[i][1]);
	return true;
}

enum err hub_name_parse(struct hub_name *out, const char *text, bool with_revision,
	struct err_info *info)
{
	const char *at = text;
	char type[HUB_PART_BYTES];
	bool good = true;

	*out = (struct hub_name){0};
	good = part_take(out->owner, &at) && *at++ == '/' && part_take(out->model, &at);
	if (good && with_revision && *at == '@') {
		at++;
		good = revision_take(out->revision, &at);
	}
	if (good && *at == ':') {
		at++;
		good = part_take(type, &at) && hub_type_spell(out->type, type, strlen(type));
	}
	if (good && *at == '\0')
		return ERR_NONE;
	return err_set(info, ERR_INPUT, "'%.200s' is not the name of a model: OWNER/NAME%s[:TYPE], "
		"each of [A-Za-z0-9._-], at most %d bytes", text, with_revision ? "[@REV]" : "",
		HUB_PART_BYTES - 1);
}

const char *hub_name_print(const struct hub_name *n, char out[HUB_NAME_BYTES])
{
	const int size = snprintf(out, HUB_NAME_BYTES, "%s/%s%s%s", n->owner, n->model,
		*n->type ? ":" : "", n->type);

	assert(size > 0 && size < HUB_NAME_BYTES);
	return out;
}
