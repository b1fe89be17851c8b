/* hub/listing.c - see listing.h. What both hubs share: files, addresses, errors. */
#include "hub/listing.h"

#include <stdio.h>
#include <string.h>

#include "hub/listing_private.h"
#include "hub/path.h"

const struct json_limits LISTING_LIMITS = {.bytes_max = LISTING_BYTES_MAX, .values_max = 500000,
	.depth_max = 32, .memory_max = (size_t)256 << 20};

/* In lower case into out; false when it is not size - 1 hexadecimal digits. */
static bool hash_take(char *out, size_t size, const char *text)
{
	if (!text || !*text)
		return true;
	if (strlen(text) != size - 1)
		return false;
	for (size_t i = 0; i < size; i++)
		out[i] = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
	return hub_is_hex(out, size - 1);
}

enum err listing_add(struct manifest *out, const char *path, int64_t size, const char *sha256,
	const char *git_sha1, struct err_info *info)
{
	struct manifest_file *f = &out->files[out->file_count];

	if (!path || size < 0)
		return err_set(info, ERR_INPUT, "the hub lists a file without path or size");
	if (hub_path_check(path, strlen(path), info))
		return err_prefix(info, "the hub lists a file that is refused");
	if (size > HUB_FILE_BYTES_MAX)
		return err_set(info, ERR_LIMIT, "the hub lists '%.200s' with %lld bytes, which "
			"cannot be", path, (long long)size);
	if (out->file_count == MANIFEST_FILES_MAX)
		return err_set(info, ERR_LIMIT, "the hub lists more than %d files",
			MANIFEST_FILES_MAX);
	*f = (struct manifest_file){.size_bytes = (uint64_t)size};
	if (!hash_take(f->sha256, sizeof(f->sha256), sha256) ||
		!hash_take(f->git_sha1, sizeof(f->git_sha1), git_sha1))
		return err_set(info, ERR_INPUT, "the hub lists '%.200s' with a hash that is none",
			path);
	f->path = arena_strndup(&out->memory, path, strlen(path));
	if (!f->path)
		return err_set(info, ERR_MEMORY, "no memory for the list of files");
	out->file_count++;
	return ERR_NONE;
}

enum err listing_get(const struct hub *hub, const struct hub_name *name, const struct buf *url,
	struct buf *body, struct client_answer *answer, struct err_info *info)
{
	if (url->failed)   /* all that is in it is bounded, and fits */
		return err_set(info, ERR_MEMORY, "no memory for an address");
	if (client_get(hub->client, url->data, body, answer, info))
		return info->code;
	return answer->status == 200 ? ERR_NONE
		: hub_answer_error(hub, name, NULL, answer, info);
}

enum err hub_list(const struct hub *hub, const struct hub_name *name, struct manifest *out,
	struct err_info *info)
{
	if (manifest_init(out, MANIFEST_FILES_MAX, info))
		return info->code;
	out->name = *name;
	snprintf(out->source, sizeof(out->source), "%.*s", (int)sizeof(out->source) - 1,
		hub->endpoint);
	if (hub->kind == HUB_HF)
		(void)!hub_hf_list(hub, name, out, info);
	else
		(void)!hub_modelscope_list(hub, name, out, info);
	if (info->code)
		manifest_free(out);
	return info->code;
}

enum err hub_file_url(const struct hub *hub, const struct manifest *listing, const char *path,
	char out[HUB_URL_BYTES], struct err_info *info)
{
	const struct hub_name *n = &listing->name;
	struct buf url;

	buf_init(&url, HUB_URL_BYTES - 1);
	buf_printf(&url, "%s%s/%s/%s/resolve/", hub->endpoint,
		hub->kind == HUB_MODELSCOPE ? "/models" : "", n->owner, n->model);
	hub_url_escape(&url, listing->revision, false);
	buf_add_char(&url, '/');
	hub_url_escape(&url, path, true);
	if (url.failed)   /* all that is in it is bounded, and fits */
		err_set(info, ERR_MEMORY, "no memory for an address");
	else
		memcpy(out, url.data, url.size + 1);
	buf_free(&url);
	return info->code;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static enum err not_allowed(const struct hub *hub, const char *repository,
	const struct client_answer *answer, struct err_info *info)
{
	const char *variable = hub->kind == HUB_HF ? "HF_TOKEN" : "MODELSCOPE_API_TOKEN";
	char host[HUB_HOST_BYTES];

	hub_url_host(hub->endpoint, host);
	if (strcmp(answer->error_code, "GatedRepo") == 0 || answer->status == 403)
		return err_set(info, ERR_DENIED, "%s is gated: accept its licence at %s/%s, and "
			"set %s to a token of that account", repository, hub->endpoint, repository,
			variable);
	if (client_has_token(hub->client))
		return err_set(info, ERR_DENIED, "%s: %s does not accept the token, or it may not "
			"see this repository", repository, host);
	return err_set(info, ERR_DENIED, "%s: %s has no such public repository; if it is private, "
		"set %s", repository, host, variable);
}

static enum err not_found(const struct hub *hub, const struct hub_name *name,
	const char *repository, const char *path, const struct client_answer *answer,
	struct err_info *info)
{
	char host[HUB_HOST_BYTES];

	hub_url_host(hub->endpoint, host);
	if (path)
		return err_set(info, ERR_NOT_FOUND, "%s: %s has no file '%.200s'", repository, host,
			path);
	if (*name->revision && (strcmp(answer->error_code, "RevisionNotFound") == 0 ||
		hub->kind == HUB_MODELSCOPE))
		return err_set(info, ERR_NOT_FOUND, "%s: %s has no revision '%s'%s", repository,
			host, name->revision, hub->kind == HUB_MODELSCOPE
			? " of it, or no such repository" : "");
	return err_set(info, ERR_NOT_FOUND, "%s: %s has no such repository", repository, host);
}

enum err hub_answer_error(const struct hub *hub, const struct hub_name *name, const char *path,
	const struct client_answer *answer, struct err_info *info)
{
	char repository[2 * HUB_PART_BYTES];

	snprintf(repository, sizeof(repository), "%s/%s", name->owner, name->model);
	if (answer->status == 401 || answer->status == 403)
		return not_allowed(hub, repository, answer, info);
	if (answer->status == 404 || answer->status == 410)
		return not_found(hub, name, repository, path, answer, info);
	return client_status_error(answer, hub->endpoint, info);
}
