/* cmd/pull_make.c - see pull_make.h. */
#include "cmd/pull_make.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/folder.h"
#include "hub/choose.h"
#include "hub/digest.h"
#include "model/quantize/quantize_file.h"

bool pull_can_make(const char *type)
{
	return quantize_mix_find(type) != NULL;
}

static enum err join(char out[PATH_MAX], const char *dir, const char *name, struct err_info *info)
{
	return file_join(out, PATH_MAX, dir, name) ? err_set(info, ERR_LIMIT,
		"%.300s: the path is too long", dir) : ERR_NONE;
}

/* What tells the licence also belongs to the copy. */
static enum err papers_share(struct manifest *made, const struct manifest *original,
	const char *from, const char *to, struct err_info *info)
{
	for (uint32_t i = 0; i < original->file_count; i++) {
		const struct manifest_file *f = &original->files[i];
		char source[PATH_MAX], target[PATH_MAX];

		if (!choose_is_paper(f->path))
			continue;
		if (join(source, from, f->path, info) || join(target, to, f->path, info) ||
			folder_share_file(source, target, info))
			return info->code;
		made->files[made->file_count++] = *f;
	}
	return ERR_NONE;
}

/* The file, in dir. */
static enum err quantize(const struct pull_making *m, const struct store_model *original,
	const char *path, struct err_info *info)
{
	const struct quantize_job job = {.path = original->path, .out = path,
		.mix = quantize_mix_find(m->type), .name = original->name.model,
		.progress = m->progress, .context = m->context};
	struct quantize_report report;

	return quantize_file(&job, &report, info);
}

/* Everything of the new model in the folder staged. */
static enum err fill(const struct pull_making *m, const struct store_model *original,
	const struct manifest *source, const char *staged, struct manifest *made,
	struct err_info *info)
{
	struct manifest_file *file = &made->files[0];
	char path[PATH_MAX], name[2 * HUB_PART_BYTES];

	made->name = original->name;
	snprintf(made->name.type, sizeof(made->name.type), "%s", m->type);
	memcpy(made->source, source->source, sizeof(made->source));
	memcpy(made->revision, source->revision, sizeof(made->revision));
	memcpy(made->licence, source->licence, sizeof(made->licence));
	snprintf(name, sizeof(name), "%s-%s.gguf", original->name.model, m->type);
	file->path = arena_strndup(&made->memory, name, strlen(name));
	if (!file->path)
		return err_set(info, ERR_MEMORY, "no memory for the model's files");
	made->model = file->path;
	made->file_count = 1;
	if (join(path, staged, name, info) || quantize(m, original, path, info) ||
		digest_file(file, path, info) ||
		papers_share(made, source, original->dir, staged, info))
		return info->code;
	return store_write_manifest(made, staged, info);
}

static enum err make(const struct pull_making *m, const struct store_model *original,
	const struct store_lock *lock, struct manifest *made, struct err_info *info)
{
	struct manifest source = {0};
	char staged[PATH_MAX];

	if (manifest_read(&source, original->dir, info) ||
		manifest_init(made, source.file_count + 1, info) ||
		store_stage(lock, m->type, staged, info))
		goto done;
	if (!fill(m, original, &source, staged, made, info))
		(void)!store_commit(lock, staged, m->type, info);
	if (info->code)   /* else it is no more */
		(void)!folder_remove(staged, &(struct err_info){0});
done:
	manifest_free(&source);
	return info->code;
}

/* Under the lock. *changed: false when it was made meanwhile. */
static enum err make_unless_there(const struct pull_making *m, const struct store_lock *lock,
	struct manifest *made, bool *changed, struct err_info *info)
{
	struct store_model original = {.fd = -1};
	struct hub_name name = m->original->name;

	snprintf(name.type, sizeof(name.type), "%s", m->type);
	*changed = !pull_find_made(m->store, &name, m->original->source, m->original->revision,
		made);
	if (*changed && !store_find(m->store, &m->original->name, &original, info))
		(void)!make(m, &original, lock, made, info);
	store_release(&original);
	return info->code;
}

enum err pull_make(const struct pull_making *m, struct pull_result *out, struct err_info *info)
{
	struct store_lock lock = {.fd = -1};
	struct manifest made = {0};
	bool changed;

	if (!pull_lock(m->store, &m->original->name, m->client, &lock, info) &&
		!make_unless_there(m, &lock, &made, &changed, info)) {
		*out = *m->original;
		out->name = made.name;
		out->asked = true;
		out->changed = changed;
		out->files = made.file_count;
		out->size_bytes = manifest_size(&made);
	}
	store_unlock(m->store, &lock);
	manifest_free(&made);
	return info->code;
}
