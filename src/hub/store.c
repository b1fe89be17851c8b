/* hub/store.c - see store.h. What is on this machine: found, listed. store_change.c changes it. */
#include "hub/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/mem.h"

#define NAMES_MEMORY ((size_t)32 << 20)
#define NAMES_CHUNK  ((size_t)16 << 10)
#define CHOICES_MAX  200   /* bytes of types in an error */

enum err store_open(struct store *s, const char *home, struct err_info *info)
{
	if (file_join(s->path, sizeof(s->path), home, STORE_FOLDER))
		return err_set(info, ERR_LIMIT, "the path of TONGYUN_HOME is too long");
	return ERR_NONE;
}

/* parts of a path below the store, NULL at the end. */
static enum err below(const struct store *s, char out[PATH_MAX], const char *const *parts,
	struct err_info *info)
{
	size_t used = strlen(s->path);

	memcpy(out, s->path, used + 1);
	for (; *parts; parts++) {
		const int size = snprintf(out + used, PATH_MAX - used, "/%s", *parts);

		if (size < 0 || (size_t)size >= PATH_MAX - used)
			return err_set(info, ERR_LIMIT, "the path of TONGYUN_HOME is too long");
		used += (size_t)size;
	}
	return ERR_NONE;
}

static enum err model_dir(const struct store *s, const struct hub_name *n, const char *type,
	char out[PATH_MAX], struct err_info *info)
{
	return below(s, out, (const char *const[]){n->owner, n->model, type, NULL}, info);
}

/* ---- which type ------------------------------------------------------------------------------ */

/* The types of a model: names of its folder without a dot. */
static enum err types_list(const struct store *s, const struct hub_name *n, struct arena *memory,
	struct folder_names *out, struct err_info *info)
{
	char dir[PATH_MAX];
	uint32_t kept = 0;

	if (model_dir(s, n, NULL, dir, info) ||
		folder_list(out, memory, dir, STORE_MODELS_MAX, info))
		return info->code;
	for (uint32_t i = 0; i < out->count; i++)
		if (out->names[i][0] != '.')
			out->names[kept++] = out->names[i];
	out->count = kept;
	return ERR_NONE;
}

static void choices_print(const struct folder_names *types, char out[CHOICES_MAX])
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < types->count && used < CHOICES_MAX - 1; i++)
		used += (size_t)snprintf(out + used, CHOICES_MAX - used, "%s%s", i ? ", " : "",
			types->names[i]);
}

/* Without a type the only one, or the original; *type stays "" after an error. */
static enum err type_choose(const struct hub_name *n, const struct folder_names *types,
	char type[HUB_PART_BYTES], struct err_info *info)
{
	char text[HUB_NAME_BYTES], choices[CHOICES_MAX];
	const char *wanted = *n->type ? n->type : types->count == 1 ? types->names[0]
		: HUB_ORIGINAL;

	hub_name_print(n, text);
	for (uint32_t i = 0; i < types->count; i++)
		if (strcmp(types->names[i], wanted) == 0) {
			snprintf(type, HUB_PART_BYTES, "%s", wanted);
			return ERR_NONE;
		}
	choices_print(types, choices);
	if (types->count == 0)
		return err_set(info, ERR_NOT_FOUND, "%s: no such model; `tongyun pull %s` fetches "
			"one, `tongyun list` shows those that are here; a directory or a .gguf "
			"file will do too", text, text);
	if (*n->type)
		return err_set(info, ERR_NOT_FOUND, "%s: no such type here; there is %s, and "
			"`tongyun pull %s` may get it", text, choices, text);
	return err_set(info, ERR_NOT_FOUND, "%s: which type? Add one of these: %s", text, choices);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The manifest of dir, open and locked, and still the one that has its name. *fd is -1 when it
 * was replaced meanwhile. */
static enum err manifest_hold(const char *dir, int *fd, struct err_info *info)
{
	char path[PATH_MAX];
	struct stat open_one, named;

	*fd = -1;
	if (file_join(path, sizeof(path), dir, MANIFEST_FILE))
		return err_set(info, ERR_LIMIT, "%.300s: the path is too long", dir);
	/* not blocking: it may be a pipe, which nobody writes to */
	const int got = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (got < 0)
		return errno == ENOENT || errno == ENOTDIR
			? err_set(info, ERR_NOT_FOUND, "%.300s: damaged: no " MANIFEST_FILE
				"; remove it with `tongyun rm`", dir)
			: err_set_errno(info, "%.300s", path);
	(void)flock(got, LOCK_SH);   /* where the file system cannot, as without */
	if (fstat(got, &open_one) == 0 && stat(path, &named) == 0 &&
		open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev)
		*fd = got;
	else
		close(got);
	return ERR_NONE;
}

static enum err find_once(const struct store *s, const struct hub_name *name,
	struct store_model *out, struct err_info *info)
{
	struct folder_names types;
	struct manifest m = {0};
	struct arena memory;

	out->name = *name;
	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	if (types_list(s, name, &memory, &types, info) ||
		type_choose(name, &types, out->name.type, info) ||
		model_dir(s, name, out->name.type, out->dir, info) ||
		manifest_hold(out->dir, &out->fd, info) || out->fd < 0 ||
		manifest_read(&m, out->dir, info))
		goto done;
	if (!*m.model)
		memcpy(out->path, out->dir, sizeof(out->dir));
	else if (file_join(out->path, sizeof(out->path), out->dir, m.model))
		err_set(info, ERR_LIMIT, "%.300s: the path is too long", out->dir);
done:
	manifest_free(&m);
	arena_reset(&memory);
	return info->code;
}

enum err store_find(const struct store *s, const struct hub_name *name, struct store_model *out,
	struct err_info *info)
{
	*out = (struct store_model){.fd = -1};
	assert(!*name->revision);
	while (out->fd < 0)
		if (find_once(s, name, out, info)) {
			store_release(out);
			return info->code;
		}
	return ERR_NONE;
}

void store_release(struct store_model *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

/* ---- listing --------------------------------------------------------------------------------- */

static bool list_add(struct store_list *out, uint32_t *room, const struct manifest *m)
{
	if (out->count == *room) {
		const uint32_t wanted = *room ? *room * 2 : 16;
		struct manifest *grown = mem_resize(out->models, wanted, sizeof(*grown));

		if (!grown)
			return false;
		out->models = grown;
		*room = wanted;
	}
	out->models[out->count++] = *m;
	return true;
}

/* One folder OWNER/NAME/TYPE; the names of the folders count, not what the manifest calls it. */
static enum err list_type(const struct store *s, struct store_list *out, uint32_t *room,
	const char *const *parts, struct err_info *info)
{
	struct err_info damage = {0};
	struct manifest m;
	char dir[PATH_MAX];

	if (below(s, dir, parts, info))
		return info->code;
	if (manifest_read(&m, dir, &damage)) {
		log_line(LOG_WARN, "hub/store", "%s; left out", damage.text);
		return ERR_NONE;
	}
	snprintf(m.name.owner, sizeof(m.name.owner), "%s", parts[0]);
	snprintf(m.name.model, sizeof(m.name.model), "%s", parts[1]);
	snprintf(m.name.type, sizeof(m.name.type), "%s", parts[2]);
	if (out->count < STORE_MODELS_MAX && list_add(out, room, &m))
		return ERR_NONE;
	manifest_free(&m);
	return err_set(info, ERR_MEMORY, "%.300s: too many models to list", s->path);
}

/* All folders below parts, which are three levels deep. */
static enum err list_level(const struct store *s, struct store_list *out, uint32_t *room,
	struct arena *memory, const char **parts, uint32_t depth, struct err_info *info)
{
	struct folder_names names;
	char dir[PATH_MAX];

	if (depth == 3)
		return list_type(s, out, room, parts, info);
	if (below(s, dir, parts, info))
		return info->code;
	if (!file_is_dir(dir))
		return ERR_NONE;
	if (folder_list(&names, memory, dir, STORE_MODELS_MAX, info))
		return info->code;
	for (uint32_t i = 0; !info->code && i < names.count; i++) {
		if (names.names[i][0] == '.' || strlen(names.names[i]) >= HUB_PART_BYTES)
			continue;
		parts[depth] = names.names[i];
		if (!list_level(s, out, room, memory, parts, depth + 1, info))
			parts[depth] = NULL;
	}
	return info->code;
}

enum err store_list(const struct store *s, struct store_list *out, struct err_info *info)
{
	const char *parts[4] = {NULL};
	struct arena memory;
	uint32_t room = 0;

	*out = (struct store_list){0};
	arena_init(&memory, NAMES_CHUNK, NAMES_MEMORY);
	if (list_level(s, out, &room, &memory, parts, 0, info))
		store_list_free(out);
	arena_reset(&memory);
	return info->code;
}

void store_list_free(struct store_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		manifest_free(&list->models[i]);
	mem_free(list->models);
	*list = (struct store_list){0};
}
