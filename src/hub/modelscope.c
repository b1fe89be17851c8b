/* hub/modelscope.c - see listing.h. ModelScope's API (modelscope, hub/api.py): one list of files
 * with their SHA-256. It names branches and tags, not commits: what moves while it is fetched
 * does not have the hashes that were listed. */
#include <stdio.h>
#include <string.h>

#include "hub/listing_private.h"

#define DEFAULT "master"

static enum err entry_read(struct manifest *out, const json_t *entry, struct err_info *info)
{
	const char *type = NULL, *path = NULL, *sha256 = NULL;
	int64_t size = -1;

	if (json_get_string(entry, "Type", &type, info) || !type || strcmp(type, "blob") != 0)
		return info->code;
	if (json_get_string(entry, "Path", &path, info) ||
		json_get_string(entry, "Sha256", &sha256, info) ||
		json_get_int(entry, "Size", 0, INT64_MAX, &size, info))
		return info->code;
	return listing_add(out, path, size, sha256, NULL, info);
}

static enum err document_read(struct manifest *out, const json_t *document, struct err_info *info)
{
	const json_t *files = json_object_get(json_object_get(document, "Data"), "Files");
	const char *message = NULL;
	int64_t code = 0;

	if (!json_is_object(document))
		return err_set(info, ERR_INPUT, "the hub's list of files is no object");
	if (json_get_int(document, "Code", INT64_MIN, INT64_MAX, &code, info) ||
		json_get_string(document, "Message", &message, info))
		return info->code;
	if (code != 200)
		return err_set(info, ERR_IO, "the hub answers %lld%s%.200s", (long long)code,
			message && *message ? ": " : "", message ? message : "");
	if (!json_is_array(files))
		return err_set(info, ERR_INPUT, "the hub's list of files is no list");
	for (size_t i = 0; !info->code && i < json_array_size(files); i++)
		(void)!entry_read(out, json_array_get(files, i), info);
	return info->code;
}

enum err hub_modelscope_files_read(struct manifest *out, const char *text, size_t size,
	struct err_info *info)
{
	json_t *document = NULL;

	if (json_parse(&document, text, size, &LISTING_LIMITS, false, info))
		return err_prefix(info, "the hub's list of files");
	(void)!document_read(out, document, info);
	json_decref(document);
	return info->code;
}

enum err hub_modelscope_list(const struct hub *hub, const struct hub_name *name,
	struct manifest *out, struct err_info *info)
{
	const char *revision = *name->revision ? name->revision : DEFAULT;
	struct client_answer answer;
	struct buf url, body;

	snprintf(out->revision, sizeof(out->revision), "%s", revision);
	buf_init(&url, HUB_URL_BYTES - 1);
	buf_init(&body, LISTING_BYTES_MAX);
	buf_printf(&url, "%s/api/v1/models/%s/%s/repo/files?Revision=", hub->endpoint, name->owner,
		name->model);
	hub_url_escape(&url, revision, false);
	buf_add_str(&url, "&Recursive=true");
	if (!listing_get(hub, name, &url, &body, &answer, info))
		(void)!hub_modelscope_files_read(out, body.data ? body.data : "", body.size, info);
	buf_free(&url);
	buf_free(&body);
	return info->code;
}
