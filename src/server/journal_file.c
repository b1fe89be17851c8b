/* server/journal_file.c - see journal_file.h. */
#include "server/journal_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cloud/audit.h"

#define JOURNAL_OLD     HOME_JOURNAL ".old"
#define JOURNAL_LARGE   ((off_t)256 << 20)

struct journal_file {
	int fd;
};

/* ---- reading ------------------------------------------------------------------------------------------------- */

static void fact_add(void *context, const struct store_fact *fact)
{
	struct journal_facts *facts = context;

	if (facts->count == facts->capacity) {
		const uint64_t wanted = facts->capacity ? 2 * facts->capacity : 1024;
		struct store_fact *more = mem_resize(facts->list, wanted, sizeof(*more));

		if (!more) {
			facts->no_memory = true;
			return;
		}
		facts->list = more;
		facts->capacity = wanted;
	}
	facts->list[facts->count++] = *fact;
}

/* Feeds every whole record; returns where the first that is not whole begins. */
static size_t records_tally(struct journal_tally *tally, const struct file_map *map)
{
	static _Thread_local struct journal_entry entry;
	size_t at = 0, used;

	while (at < map->size && journal_decode(&entry, map->data + at, map->size - at, &used) == JOURNAL_ENTRY) {
		journal_tally_add(tally, &entry);
		at += used;
	}
	return at;
}

static enum err file_tally(struct journal_facts *facts, const struct home *home, const char *name, struct err_info *info)
{
	struct journal_tally *tally;
	char path[PATH_MAX];
	struct file_map map;

	if (home_file(home, name, path, info))
		return info->code;
	if (!file_exists(path))
		return ERR_NONE;
	if (file_map_open(&map, path, info))
		return info->code;
	if (journal_tally_open(&tally, CORE_REQUESTS_MAX, fact_add, facts, info) == ERR_NONE) {
		records_tally(tally, &map);
		journal_tally_end(tally);
		journal_tally_close(tally);
	}
	file_map_close(&map);
	if (facts->no_memory)
		return err_set(info, ERR_MEMORY, "%s: no memory for its requests", path);
	return info->code;
}

static int fact_compare(const void *a, const void *b)
{
	const struct store_fact *left = a, *right = b;

	return audit_request_compare(left->request, right->request);
}

enum err journal_facts_read(struct journal_facts *facts, const struct home *home, struct err_info *info)
{
	*facts = (struct journal_facts){0};
	if (file_tally(facts, home, JOURNAL_OLD, info) || file_tally(facts, home, HOME_JOURNAL, info)) {
		journal_facts_free(facts);
		return info->code;
	}
	if (facts->count > 0)
		qsort(facts->list, facts->count, sizeof(facts->list[0]), fact_compare);
	return ERR_NONE;
}

int64_t journal_facts_tokens(const struct journal_facts *facts, const struct record_request *request)
{
	const struct store_fact wanted = {.request = *request};
	const struct store_fact *found = facts->count == 0 ? NULL
		: bsearch(&wanted, facts->list, facts->count, sizeof(wanted), fact_compare);

	return found ? found->tokens : 0;
}

void journal_facts_free(struct journal_facts *facts)
{
	mem_free(facts->list);
	*facts = (struct journal_facts){0};
}

/* ---- the same day again ------------------------------------------------------------------------------------- */

/* A run begins with LOAD_COUNTERS: where the newest does. */
static size_t newest_run(const struct file_map *map)
{
	static _Thread_local struct journal_entry entry;
	size_t at = 0, begin = 0, used;

	while (at < map->size && journal_decode(&entry, map->data + at, map->size - at, &used) == JOURNAL_ENTRY) {
		if (entry.event.kind == CORE_LOAD_COUNTERS)
			begin = at;
		at += used;
	}
	return begin;
}

static enum err run_replay(struct journal_outcome *out, const struct file_map *map, struct journal_replay *replay,
	struct err_info *info)
{
	static _Thread_local struct journal_entry entry;
	size_t at = newest_run(map), used;

	while (at < map->size && journal_decode(&entry, map->data + at, map->size - at, &used) == JOURNAL_ENTRY) {
		if (journal_replay_step(replay, &entry, info))
			return info->code;
		out->events++;
		at += used;
	}
	out->actions_hash = replay->hash;
	return ERR_NONE;
}

enum err journal_file_replay(struct journal_outcome *out, const struct home *home, const struct core_limits *limits,
	struct err_info *info)
{
	struct journal_replay *replay = mem_alloc(1, sizeof(*replay));
	void *memory = mem_alloc_aligned(1, core_bytes(limits), 64);
	char path[PATH_MAX];
	struct file_map map;

	*out = (struct journal_outcome){0};
	if (!replay || !memory) {
		err_set(info, ERR_MEMORY, "no memory for a replay");
	} else if (home_file(home, HOME_JOURNAL, path, info) == ERR_NONE && file_map_open(&map, path, info) == ERR_NONE) {
		replay->core = core_init(memory, limits);
		(void)!run_replay(out, &map, replay, info);
		file_map_close(&map);
	}
	mem_free(memory);
	mem_free(replay);
	return info->code;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static enum err large_put_aside(const struct home *home, struct err_info *info)
{
	struct stat status;

	if (fstatat(home->dir_fd, HOME_JOURNAL, &status, 0) || status.st_size < JOURNAL_LARGE)
		return ERR_NONE;
	if (renameat(home->dir_fd, HOME_JOURNAL, home->dir_fd, JOURNAL_OLD))
		return err_set_errno(info, "%.300s/" HOME_JOURNAL, home->path);
	return ERR_NONE;
}

/* A record that a crash tore would hide all behind it. */
static enum err torn_end_cut(int fd, const char *path, struct err_info *info)
{
	static _Thread_local struct journal_entry entry;
	struct file_map map;
	size_t at = 0, used;

	if (file_map_open(&map, path, info))
		return info->code;
	while (at < map.size && journal_decode(&entry, map.data + at, map.size - at, &used) == JOURNAL_ENTRY)
		at += used;
	const size_t size = map.size;
	file_map_close(&map);
	if (at < size && ftruncate(fd, (off_t)at))
		return err_set_errno(info, "%s", path);
	return ERR_NONE;
}

enum err journal_file_open(struct journal_file **out, const struct home *home, struct err_info *info)
{
	struct journal_file *j;
	char path[PATH_MAX];

	if (home_file(home, HOME_JOURNAL, path, info) || large_put_aside(home, info))
		return info->code;
	const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(info, "%s", path);
	j = torn_end_cut(fd, path, info) ? NULL : mem_alloc(1, sizeof(*j));
	if (!j) {
		close(fd);
		return info->code ? info->code : err_set(info, ERR_MEMORY, "%s: no memory", path);
	}
	j->fd = fd;
	*out = j;
	return ERR_NONE;
}

enum err journal_file_append(struct journal_file *j, const void *bytes, size_t size, struct err_info *info)
{
	const char *at = bytes;

	while (size > 0) {
		const ssize_t put = write(j->fd, at, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_set_errno(info, HOME_JOURNAL);
		at += put;
		size -= (size_t)put;
	}
	return ERR_NONE;
}

void journal_file_close(struct journal_file *j)
{
	if (!j)
		return;
	close(j->fd);
	mem_free(j);
}
