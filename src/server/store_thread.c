/* server/store_thread.c - see store_thread.h. */
#include "server/store_thread.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#define GROUP_RECORDS_MAX 512           /* committed then even if more are waiting */
#define GROUP_AGE_NS      100000000LL   /* records that nobody awaits wait for company this long */

struct store_thread {
	struct thread *thread;
	struct store *store;
	struct journal_file *journal;
	struct wires *wires;
	uint64_t durable;
	uint64_t appended;          /* the newest sequence */
	uint32_t group_records;
	bool group_awaited;
	int64_t group_since_ns;
	bool journal_failed;        /* told once */
	bool store_failed;          /* told once per series */
};

static void journal_write(struct store_thread *t)
{
	struct journal_chunk *chunk;

	while (ring_pop(t->wires->journal, &chunk)) {
		struct err_info info = {0};

		if (journal_file_append(t->journal, chunk->bytes, chunk->size, &info) &&
			!t->journal_failed) {
			log_line(LOG_ERROR, "server/store",
				"the journal cannot be written, and is not until the next start: "
				"%s", info.text);
			t->journal_failed = true;
			atomic_store(&t->wires->journal_failed, true);
		}
		const bool pushed = ring_push(t->wires->journal_back, &chunk);
		assert(pushed);
		wake_set(&t->wires->core_wake);
	}
}

static void records_take(struct store_thread *t)
{
	struct record record;

	while (t->group_records < GROUP_RECORDS_MAX && ring_pop(t->wires->records, &record)) {
		if (t->group_records++ == 0)
			t->group_since_ns = clock_monotonic_ns();
		t->group_awaited |= record.awaited || record.kind == RECORD_RETRY;
		if (record.kind != RECORD_RETRY)
			t->appended = record.sequence;
		store_append(t->store, &record);
	}
}

static void result_tell(struct store_thread *t, bool failed)
{
	const struct store_result result = {.failed = failed, .sequence = t->durable};
	const bool pushed = ring_push(t->wires->results, &result);

	/* the core takes a result before it gives GROUP_RECORDS_MAX more records, or a RETRY */
	assert(pushed);
	wake_set(&t->wires->core_wake);
}

static void commit_count(struct wires *w, int64_t took_ns)
{
	atomic_fetch_add(&w->commits, 1);
	if (took_ns > atomic_load(&w->commit_ns_max))
		atomic_store(&w->commit_ns_max, took_ns);
}

static void commit(struct store_thread *t)
{
	const int64_t start_ns = clock_monotonic_ns();
	const uint64_t before = t->durable;
	struct err_info info = {0};

	/* what the records rest on was given before them: it is in the file before they are
	 * durable */
	journal_write(t);
	t->group_records = 0;
	t->group_awaited = false;
	const enum err err = store_commit(t->store, &t->durable, &info);
	if (t->durable > before)
		commit_count(t->wires, clock_monotonic_ns() - start_ns);
	if (err && !t->store_failed)
		log_line(LOG_ERROR, "server/store",
			"a commit failed, new requests are refused until one works: %s", info.text);
	else if (!err && t->store_failed && t->durable > before)
		log_line(LOG_WARN, "server/store", "commits work again");
	if (err || t->durable > before) {
		t->store_failed = err != ERR_NONE;
		result_tell(t, err != ERR_NONE);
	}
}

/* Nanoseconds until the group must be committed; 0 now, negative: there is none. */
static int64_t group_wait_ns(const struct store_thread *t)
{
	if (t->group_records == 0)
		return -1;
	if (t->group_awaited || t->group_records >= GROUP_RECORDS_MAX)
		return 0;
	const int64_t left_ns = t->group_since_ns + GROUP_AGE_NS - clock_monotonic_ns();
	return left_ns > 0 ? left_ns : 0;
}

static void run(void *argument)
{
	struct store_thread *t = argument;

	for (;;) {
		/* before looking: what was given earlier is there */
		const bool stopping = atomic_load(&t->wires->store_stop);

		journal_write(t);
		records_take(t);
		const int64_t wait_ns = group_wait_ns(t);
		if (wait_ns == 0 || (stopping && t->group_records > 0))
			commit(t);
		else if (stopping)
			return;
		else
			wake_wait(&t->wires->store_wake, wait_ns);
	}
}

enum err store_thread_start(struct store_thread **out, struct store *store,
	struct journal_file *journal, uint64_t durable, struct wires *wires, struct err_info *info)
{
	struct store_thread *t = mem_alloc(1, sizeof(*t));

	if (!t)
		return err_set(info, ERR_MEMORY, "no memory for the store's thread");
	t->store = store;
	t->journal = journal;
	t->wires = wires;
	t->durable = durable;
	if (thread_start(&t->thread, "ty-store", run, t, info))
		mem_free(t);
	else
		*out = t;
	return info->code;
}

bool store_thread_join(struct store_thread *t)
{
	if (!t)
		return true;
	thread_join(t->thread);
	const bool all = t->durable >= t->appended;
	mem_free(t);
	return all;
}
