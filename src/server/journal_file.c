/* server/journal_file.c - see journal_file.h. */
#include "server/journal_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

/* A file system that crashed may leave the end of a file unwritten: whole blocks of zeros. */
#define HOLE_BYTES_MIN 512

struct journal_file {
	int dir_fd;
	int fd;
	int64_t size_bytes;
	int64_t bytes_max;
	bool failed;                    /* this run is written no further */
	struct journal_tally *tally;    /* of this run: what a new file begins with */
};

/* A record that begins at; false ends the walk. */
typedef bool entry_see(void *context, const struct journal_entry *entry, size_t at);

/* Shows every whole record (see NULL: to nobody), and gives where the first that is
 * not whole begins. */
static size_t journal_walk(const uint8_t *bytes, size_t size, entry_see *see, void *context)
{
	static _Thread_local struct journal_entry entry;
	size_t at = 0, used;

	while (at < size && journal_decode(&entry, bytes + at, size - at, &used) == JOURNAL_ENTRY &&
		(!see || see(context, &entry, at)))
		at += used;
	return at;
}

/* What is behind the last whole record. */
enum tail {
	TAIL_NONE,
	TAIL_CUT,           /* the beginning of a record, or a hole: a crash, or a writer at work */
	TAIL_DAMAGED,
};

/* Whether a whole record begins anywhere in these bytes. */
static bool has_record(const uint8_t *bytes, size_t size)
{
	static _Thread_local struct journal_entry entry;
	size_t used;

	for (size_t at = 0; at < size; at++)
		if (journal_decode(&entry, bytes + at, size - at, &used) == JOURNAL_ENTRY)
			return true;
	return false;
}

/* at: where journal_walk ended. */
static enum tail tail_of(const uint8_t *bytes, size_t size, size_t at)
{
	static _Thread_local struct journal_entry entry;
	size_t end = size, used;

	if (at == size)
		return TAIL_NONE;
	while (end > at && bytes[end - 1] == 0)
		end--;
	if (end == at)
		return TAIL_CUT;
	if (size - end < HOLE_BYTES_MIN)
		end = size;     /* records end in zeros too */
	if (journal_decode(&entry, bytes + at, end - at, &used) != JOURNAL_MORE)
		return TAIL_DAMAGED;
	/* a damaged size asks for more as well, but there is more than a beginning */
	return has_record(bytes + at, end - at) ? TAIL_DAMAGED : TAIL_CUT;
}

static bool tally_see(void *context, const struct journal_entry *entry, size_t at)
{
	(void)at;
	journal_tally_add(context, entry);
	return true;
}

/* A file that is missing is empty. */
static enum err journal_map(struct file_map *map, const struct home *home, const char *name,
	struct err_info *info)
{
	char path[PATH_MAX];

	*map = (struct file_map){0};
	if (home_file(home, name, path, info))
		return info->code;
	return file_exists(path) ? file_map_open(map, path, info) : ERR_NONE;
}

/* ---- reading --------------------------------------------------------------------------------- */

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

static enum err file_tally(struct journal_facts *facts, const struct home *home, const char *name,
	struct err_info *info)
{
	struct journal_tally *tally;
	struct file_map map;

	if (journal_map(&map, home, name, info))
		return info->code;
	if (journal_tally_open(&tally, CORE_REQUESTS_MAX, fact_add, facts, info) == ERR_NONE) {
		const size_t whole = journal_walk(map.data, map.size, tally_see, tally);

		if (!facts->damage.file && tail_of(map.data, map.size, whole) == TAIL_DAMAGED)
			facts->damage = (struct journal_damage){name, whole, map.size};
		journal_tally_end(tally);
		journal_tally_close(tally);
	}
	file_map_close(&map);
	if (facts->no_memory)
		return err_set(info, ERR_MEMORY, "%s: no memory for its requests", name);
	return info->code;
}

static int fact_compare(const void *a, const void *b)
{
	const struct store_fact *left = a, *right = b;

	return record_request_compare(left->request, right->request);
}

/* A request that was open when its file was full is in the next one as well, which knows more. */
static void facts_merge(struct journal_facts *facts)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < facts->count; i++) {
		struct store_fact *last = kept > 0 ? &facts->list[kept - 1] : NULL;
		const struct store_fact *fact = &facts->list[i];

		if (!last || fact_compare(last, fact) != 0) {
			facts->list[kept++] = *fact;
			continue;
		}
		last->tokens = fact->tokens > last->tokens ? fact->tokens : last->tokens;
		last->complete = last->complete || fact->complete;
	}
	facts->count = kept;
}

enum err journal_facts_read(struct journal_facts *facts, const struct home *home,
	struct err_info *info)
{
	*facts = (struct journal_facts){0};
	if (file_tally(facts, home, HOME_JOURNAL_OLD, info) ||
		file_tally(facts, home, HOME_JOURNAL, info)) {
		journal_facts_free(facts);
		return info->code;
	}
	if (facts->count > 0)
		qsort(facts->list, facts->count, sizeof(facts->list[0]), fact_compare);
	facts_merge(facts);
	return ERR_NONE;
}

int64_t journal_facts_tokens(const struct journal_facts *facts,
	const struct record_request *request)
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

/* ---- the same day again ---------------------------------------------------------------------- */

/* A run begins with LOAD_COUNTERS: where the newest does, or SIZE_MAX. */
static bool run_see(void *context, const struct journal_entry *entry, size_t at)
{
	if (entry->event.kind == CORE_LOAD_COUNTERS)
		*(size_t *)context = at;
	return true;
}

struct replaying {
	struct journal_outcome *out;
	struct journal_replay *replay;
	struct err_info *info;
};

static bool replay_see(void *context, const struct journal_entry *entry, size_t at)
{
	struct replaying *r = context;

	(void)at;
	if (journal_replay_step(r->replay, entry, r->info))
		return false;
	r->out->events += entry->event.kind != CORE_EVENT_KINDS;
	return true;
}

/* The newest run begins in the file, or in the one before and goes on in the file. */
static enum err run_replay(struct replaying *r, const struct file_map *old,
	const struct file_map *map)
{
	size_t begin = SIZE_MAX;

	journal_walk(map->data, map->size, run_see, &begin);
	if (begin == SIZE_MAX) {
		journal_walk(old->data, old->size, run_see, &begin);
		if (begin == SIZE_MAX)
			return err_set(r->info, ERR_INPUT,
				"the beginning of the newest run is no longer kept");
		journal_walk(old->data + begin, old->size - begin, replay_see, r);
		begin = 0;
	}
	if (r->info->code == ERR_NONE && map->size > 0)
		journal_walk(map->data + begin, map->size - begin, replay_see, r);
	r->out->actions_hash = r->replay->hash;
	return r->info->code;
}

enum err journal_file_replay(struct journal_outcome *out, const struct home *home,
	const struct core_limits *limits, struct err_info *info)
{
	struct journal_replay *replay = mem_alloc(1, sizeof(*replay));
	void *memory = mem_alloc_aligned(1, core_bytes(limits), 64);
	struct file_map old = {0}, map = {0};

	*out = (struct journal_outcome){0};
	if (!replay || !memory) {
		err_set(info, ERR_MEMORY, "no memory for a replay");
	} else if (journal_map(&old, home, HOME_JOURNAL_OLD, info) == ERR_NONE &&
		journal_map(&map, home, HOME_JOURNAL, info) == ERR_NONE) {
		struct replaying r = {out, replay, info};

		replay->core = core_init(memory, limits);
		(void)!run_replay(&r, &old, &map);
	}
	file_map_close(&map);
	file_map_close(&old);
	mem_free(memory);
	mem_free(replay);
	return info->code;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Puts the file aside as journal.old; the next is empty. */
static enum err file_renew(struct journal_file *j, struct err_info *info)
{
	if (renameat(j->dir_fd, HOME_JOURNAL, j->dir_fd, HOME_JOURNAL_OLD))
		return err_set_errno(info, HOME_JOURNAL);
	const int fd = openat(j->dir_fd, HOME_JOURNAL, O_WRONLY | O_APPEND | O_CREAT | O_EXCL |
		O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(info, HOME_JOURNAL);
	close(j->fd);
	j->fd = fd;
	j->size_bytes = 0;
	return ERR_NONE;
}

/* What is no record would hide all behind it. */
static enum err end_mend(struct journal_file *j, const struct home *home, struct err_info *info)
{
	struct file_map map;

	if (journal_map(&map, home, HOME_JOURNAL, info))
		return info->code;
	const size_t whole = journal_walk(map.data, map.size, NULL, NULL), size = map.size;
	const enum tail tail = tail_of(map.data, size, whole);

	file_map_close(&map);
	j->size_bytes = (int64_t)whole;
	if (tail == TAIL_DAMAGED) {
		log_line(LOG_WARN, "server/journal", "the journal is damaged at byte %zu of %zu: "
			"it is put aside as " HOME_JOURNAL_OLD, whole, size);
		return file_renew(j, info);
	}
	if (tail == TAIL_NONE)
		return ERR_NONE;
	log_line(LOG_WARN, "server/journal", "the journal is cut short, as a crash leaves it: its "
		"last %zu bytes are no whole record and are dropped", size - whole);
	return ftruncate(j->fd, (off_t)whole) ? err_set_errno(info, HOME_JOURNAL) : ERR_NONE;
}

enum err journal_file_open(struct journal_file **out, const struct home *home,
	struct err_info *info)
{
	struct journal_file *j = mem_alloc(1, sizeof(*j));

	if (!j)
		return err_set(info, ERR_MEMORY, HOME_JOURNAL ": no memory");
	*j = (struct journal_file){.dir_fd = home->dir_fd, .bytes_max = JOURNAL_BYTES_MAX};
	j->fd = openat(home->dir_fd, HOME_JOURNAL, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (j->fd < 0)
		err_set_errno(info, "%.300s/" HOME_JOURNAL, home->path);
	else if (end_mend(j, home, info) == ERR_NONE &&
		journal_tally_open(&j->tally, CORE_REQUESTS_MAX, NULL, NULL, info) == ERR_NONE)
		*out = j;
	if (info->code)
		journal_file_close(j);
	return info->code;
}

void journal_file_bound(struct journal_file *j, int64_t bytes_max)
{
	j->bytes_max = bytes_max;
}

static enum err bytes_write(struct journal_file *j, const void *bytes, size_t size,
	struct err_info *info)
{
	const char *at = bytes;

	j->size_bytes += (int64_t)size;
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

struct carrying {
	struct journal_file *j;
	struct err_info *info;
};

static void carried_write(void *context, const struct journal_carried *carried)
{
	struct carrying *c = context;
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];

	if (c->info->code == ERR_NONE)
		(void)!bytes_write(c->j, bytes, journal_encode_carried(bytes, carried), c->info);
}

/* The file is full. */
static enum err next_begin(struct journal_file *j, struct err_info *info)
{
	struct carrying carrying = {j, info};

	if (file_renew(j, info) == ERR_NONE)
		journal_tally_carry(j->tally, carried_write, &carrying);
	return info->code;
}

enum err journal_file_append(struct journal_file *j, const void *bytes, size_t size,
	struct err_info *info)
{
	if (j->failed)
		return err_set(info, ERR_IO, HOME_JOURNAL ": could not be written before");
	if (j->size_bytes > 0 && j->size_bytes + (int64_t)size > j->bytes_max &&
		next_begin(j, info))
		j->failed = true;
	else if (bytes_write(j, bytes, size, info))
		j->failed = true;
	else
		journal_walk(bytes, size, tally_see, j->tally);
	return info->code;
}

void journal_file_close(struct journal_file *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	journal_tally_close(j->tally);
	mem_free(j);
}
