/* fuzz/hub_fuzz.c - what a hub says, and what lies in the store: names, links, listings, manifests.
 * The first byte chooses; what comes through is what a folder may be made of. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "hub/choose.h"
#include "hub/listing.h"
#include "hub/path.h"

#define FUZZ_TEXT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void paths_hold(const struct manifest *m)
{
	for (uint32_t i = 0; i < m->file_count; i++) {
		const char *path = m->files[i].path;

		assert(!hub_path_check(path, strlen(path), &(struct err_info){0}));
		assert(path[0] != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
			!strstr(path, "/../") && !strchr(path, '\\'));
	}
}

static void choose_of(struct manifest *m)
{
	bool asked;

	(void)!hub_name_parse(&m->name, "a/b-GGUF", false, &(struct err_info){0});
	if (!choose_files(m, &asked, &(struct err_info){0}))
		for (uint32_t i = 0; i < m->file_count; i++)
			for (uint32_t j = 0; j < i; j++)
				assert(strcmp(m->files[i].path, m->files[j].path) != 0);
}

static void listing(const char *text, size_t size, char kind)
{
	struct manifest m;
	enum err code;

	if (manifest_init(&m, MANIFEST_FILES_MAX, &(struct err_info){0}))
		return;
	if (kind == 't')
		code = hub_hf_tree_read(&m, text, size, &(struct err_info){0});
	else if (kind == 'm')
		code = hub_modelscope_files_read(&m, text, size, &(struct err_info){0});
	else
		code = hub_hf_model_read(&m, text, size, &(struct err_info){0});
	paths_hold(&m);
	if (!code)
		choose_of(&m);
	manifest_free(&m);
}

/* What was read is written, and read again the same. */
static void manifest(const char *text, size_t size)
{
	struct manifest m, again;
	struct buf out;

	if (manifest_parse(&m, text, size, &(struct err_info){0}))
		return;
	paths_hold(&m);
	buf_init(&out, MANIFEST_BYTES_MAX);
	manifest_print(&m, &out);
	assert(!out.failed);
	const enum err code = manifest_parse(&again, out.data, out.size, &(struct err_info){0});

	assert(!code && again.file_count == m.file_count);
	assert(strcmp(again.model, m.model) == 0 && strcmp(again.name.type, m.name.type) == 0);
	manifest_free(&again);
	manifest_free(&m);
	buf_free(&out);
}

static void name(const char *text)
{
	char printed[HUB_NAME_BYTES];
	struct hub_name n, again;

	if (hub_name_parse(&n, text, true, &(struct err_info){0}))
		return;
	const enum err code = hub_name_parse(&again, hub_name_print(&n, printed), false,
		&(struct err_info){0});

	assert(!code && strcmp(n.type, again.type) == 0);
	assert(n.owner[0] != '.' && n.model[0] != '.' && n.type[0] != '.');
	assert(!strchr(n.owner, '/') && !strchr(n.model, '/'));
}

static void link_of(const char *text)
{
	char target[HUB_URL_BYTES], at[HUB_URL_BYTES];

	if (hub_link_next(text, target) && hub_link_at("https://hub.example", target, at))
		assert(hub_url_same_origin("https://hub.example", at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0 || size > FUZZ_TEXT_MAX || !(text = mem_alloc(size, 1)))
		return 0;
	memcpy(text, data + 1, size - 1);   /* terminated */
	switch (data[0]) {
	case 'n':
		name(text);
		break;
	case 'l':
		link_of(text);
		break;
	case 'j':
		manifest(text, size - 1);
		break;
	default:
		listing(text, size - 1, (char)data[0]);
		break;
	}
	mem_free(text);
	return 0;
}
