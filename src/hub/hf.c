/* hub/hf.c - see listing.h. Hugging Face's API (huggingface_hub, hf_api.py and file_download.py):
 * a revision becomes a commit once, and the tree of that commit comes in pages. */
#include <string.h>

#include "hub/listing_private.h"

#define PAGES_MAX    1000
#define SHA1_DIGITS  40
#define DEFAULT      "main"

enum err hub_hf_model_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info)
{
	json_t *document = NULL;
	const char *commit = NULL, *licence = NULL;

	if (json_parse(&document, text, size, &LISTING_LIMITS, false, info))
		return err_prefix(info, "what the hub says of the model");
	if (!json_is_object(document) || json_get_string(document, "sha", &commit, info) ||
		!commit || !hub_is_hex(commit, SHA1_DIGITS)) {
		*info = (struct err_info){0};
		err_set(info, ERR_INPUT, "the hub does not say which commit the revision is");
	} else {
		memcpy(out->revision, commit, SHA1_DIGITS + 1);
		licence = json_string_value(json_object_get(json_object_get(document, "cardData"),
			"license"));
		if (licence && strlen(licence) < sizeof(out->licence))
			memcpy(out->licence, licence, strlen(licence) + 1);
	}
	json_decref(document);
	return info->code;
}

/* {"type": "file", "path", "size", "oid", "lfs": {"oid", "size"}}: the oid of a file that git
 * itself holds is the SHA-1 of its blob; of a large one it is that of a pointer, and lfs.oid the
 * file's SHA-256. */
static enum err entry_read(struct manifest *out, const json_t *entry, struct err_info *info)
{
	const json_t *lfs = json_object_get(entry, "lfs");
	const char *type = NULL, *path = NULL, *oid = NULL, *sha256 = NULL;
	int64_t size = -1;

	if (json_get_string(entry, "type", &type, info) || !type || strcmp(type, "file") != 0)
		return info->code;
	if (json_get_string(entry, "path", &path, info) ||
		json_get_string(entry, "oid", &oid, info) ||
		json_get_int(entry, "size", 0, INT64_MAX, &size, info))
		return info->code;
	if (!json_is_object(lfs))
		return listing_add(out, path, size, NULL, oid, info);
	if (json_get_string(lfs, "oid", &sha256, info) ||
		json_get_int(lfs, "size", 0, INT64_MAX, &size, info))
		return info->code;
	if (sha256 && strncmp(sha256, "sha256:", 7) == 0)
		sha256 += 7;
	return listing_add(out, path, size, sha256, NULL, info);
}

enum err hub_hf_tree_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info)
{
	json_t *document = NULL;

	if (json_parse(&document, text, size, &LISTING_LIMITS, false, info))
		return err_prefix(info, "the hub's list of files");
	if (!json_is_array(document))
		err_set(info, ERR_INPUT, "the hub's list of files is no list");
	for (size_t i = 0; !info->code && i < json_array_size(document); i++)
		(void)!entry_read(out, json_array_get(document, i), info);
	json_decref(document);
	return info->code;
}

static void repository_add(struct buf *url, const struct hub *hub, const struct hub_name *name)
{
	buf_clear(url);
	buf_printf(url, "%s/api/models/%s/%s", hub->endpoint, name->owner, name->model);
}

static enum err commit_get(const struct hub *hub, const struct hub_name *name,
	struct manifest *out, struct buf *url, struct buf *body, struct err_info *info)
{
	struct client_answer answer;

	repository_add(url, hub, name);
	buf_add_str(url, "/revision/");
	hub_url_escape(url, *name->revision ? name->revision : DEFAULT, false);
	if (listing_get(hub, name, url, body, &answer, info))
		return info->code;
	return hub_hf_model_read(out, body->data ? body->data : "", body->size, info);
}

static enum err tree_get(const struct hub *hub, const struct hub_name *name, struct manifest *out,
	struct buf *url, struct buf *body, struct err_info *info)
{
	char next[HUB_URL_BYTES], at[HUB_URL_BYTES];
	struct client_answer answer;

	repository_add(url, hub, name);
	buf_printf(url, "/tree/%s?recursive=true&expand=false", out->revision);
	for (int page = 0; page < PAGES_MAX; page++) {
		if (listing_get(hub, name, url, body, &answer, info) ||
			hub_hf_tree_read(out, body->data ? body->data : "", body->size, info))
			return info->code;
		if (!hub_link_next(answer.link, next))
			return ERR_NONE;
		if (!hub_link_at(hub->endpoint, next, at))
			return err_set(info, ERR_INPUT, "the hub's list of files goes on nowhere");
		buf_clear(url);
		buf_add_str(url, at);
	}
	return err_set(info, ERR_LIMIT, "the hub's list of files has more than %d pages",
		PAGES_MAX);
}

enum err hub_hf_list(const struct hub *hub, const struct hub_name *name, struct manifest *out,
	struct err_info *info)
{
	struct buf url, body;

	buf_init(&url, HUB_URL_BYTES - 1);
	buf_init(&body, LISTING_BYTES_MAX);
	if (!commit_get(hub, name, out, &url, &body, info))
		(void)!tree_get(hub, name, out, &url, &body, info);
	buf_free(&url);
	buf_free(&body);
	return info->code;
}
