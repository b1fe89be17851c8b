/* hub/download_state.c - .state.json of download.h:
 *
 *	{"files": [{"path": "model.safetensors", "size": 9000000, "hash": "0123...",
 *	            "done": [[0, 4194304], [8388608, 9000000]]}]}
 *
 * Who changes a file on the hub changes its hash: what was there of the old one is not used.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "hub/download_private.h"

#define STATE_BYTES_MAX ((size_t)64 << 20)

static const struct json_limits LIMITS = {.bytes_max = STATE_BYTES_MAX, .values_max = 2000000,
	.depth_max = 6, .memory_max = (size_t)512 << 20};

/* One [from, to]; what lies outside of the file is not taken. */
static void range_read(struct download_file *f, const json_t *pair)
{
	const json_int_t from = json_integer_value(json_array_get(pair, 0));
	const json_int_t to = json_integer_value(json_array_get(pair, 1));

	if (from >= 0 && from < to && (uint64_t)to <= f->what->size_bytes)
		(void)ranges_add(&f->done, (uint64_t)from, (uint64_t)to);
}

/* The file is there, this download's own, and reaches as far as the state says. */
static void file_check(const struct download *d, struct download_file *f)
{
	char path[PATH_MAX];
	struct stat st;

	if (f->done.count == 0)
		return;
	if (file_join(path, sizeof(path), d->config.folder, f->what->path) || lstat(path, &st) ||
		!S_ISREG(st.st_mode) || st.st_nlink != 1 ||
		(uint64_t)st.st_size < f->done.list[f->done.count - 1].to)
		f->done.count = 0;
}

static void file_read_state(struct download *d, const json_t *entry)
{
	const char *path = json_string_value(json_object_get(entry, "path"));
	const char *hash = json_string_value(json_object_get(entry, "hash"));
	const json_int_t size = json_integer_value(json_object_get(entry, "size"));
	const json_t *done = json_object_get(entry, "done");

	for (uint32_t i = 0; path && hash && i < d->file_count; i++) {
		struct download_file *f = &d->files[i];

		if (strcmp(f->what->path, path) != 0 || strcmp(f->hash, hash) != 0 ||
			size < 0 || f->what->size_bytes != (uint64_t)size)
			continue;
		for (size_t j = 0; j < json_array_size(done); j++)
			range_read(f, json_array_get(done, j));
		file_check(d, f);
		return;
	}
}

static enum err state_path(const struct download *d, char out[PATH_MAX], struct err_info *info)
{
	if (file_join(out, PATH_MAX, d->config.folder, DOWNLOAD_STATE_FILE))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", d->config.folder);
	return ERR_NONE;
}

void download_state_read(struct download *d)
{
	struct err_info info = {0};
	json_t *document = NULL;
	char path[PATH_MAX];

	if (state_path(d, path, &info) || !file_exists(path) ||
		json_read_file(&document, path, &LIMITS, &info))
		return;
	const json_t *files = json_object_get(document, "files");

	for (size_t i = 0; i < json_array_size(files); i++)
		file_read_state(d, json_array_get(files, i));
	json_decref(document);
}

static void state_print(const struct download *d, struct buf *out)
{
	const char *before = "\n ";

	buf_add_str(out, "{\"files\": [");
	for (uint32_t i = 0; i < d->file_count; i++) {
		const struct download_file *f = &d->files[i];

		if (f->done.count == 0)
			continue;
		buf_printf(out, "%s{\"path\": ", before);
		json_add_string(out, f->what->path, strlen(f->what->path));
		buf_printf(out, ", \"size\": %llu, \"hash\": \"%s\", \"done\": [",
			(unsigned long long)f->what->size_bytes, f->hash);
		for (uint32_t j = 0; j < f->done.count; j++)
			buf_printf(out, "%s[%llu, %llu]", j ? ", " : "",
				(unsigned long long)f->done.list[j].from,
				(unsigned long long)f->done.list[j].to);
		buf_add_str(out, "]}");
		before = ",\n ";
	}
	buf_add_str(out, "]}\n");
}

/* Not synced: it may be older than the bytes, never newer, but for a machine that lost power. */
static enum err replace(const char *path, const struct buf *text, struct err_info *info)
{
	char temporary[PATH_MAX];

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", path);
	const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set_errno(info, "%.300s", temporary);
	(void)!file_write_at(fd, text->data, text->size, 0, temporary, info);
	close(fd);
	if (!info->code && rename(temporary, path))
		err_set_errno(info, "renaming %.300s", temporary);
	return info->code;
}

enum err download_state_write(const struct download *d, struct err_info *info)
{
	char path[PATH_MAX];
	struct buf text;

	if (state_path(d, path, info))
		return info->code;
	buf_init(&text, STATE_BYTES_MAX);
	state_print(d, &text);
	if (text.failed)
		err_set(info, ERR_MEMORY, "no memory for the state of the download");
	else
		(void)!replace(path, &text, info);
	buf_free(&text);
	return info->code;
}
