/* server/admin_reader.c - see admin_reader.h. */
#include "server/admin_reader.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/ring.h"
#include "base/thread.h"
#include "server/store_sqlite.h"

struct admin_reader {
	struct admin_reader_config config;
	struct thread *thread;
	struct wake wake;
	bool wake_open;
	_Atomic bool readers_turn;
	_Atomic bool unwanted;      /* the list that is being read */
	_Atomic bool stop;

	/* of whose turn it is */
	struct admin_command command;
	struct admin_slice slice;
};

static void front_tell(struct admin_reader *r)
{
	atomic_store(&r->readers_turn, false);
	r->config.told(r->config.context);
}

/* False: the thread is to end. */
static bool turn_wait(struct admin_reader *r)
{
	while (!atomic_load(&r->readers_turn) && !atomic_load(&r->stop))
		wake_wait(&r->wake, -1);
	return !atomic_load(&r->stop);
}

static void row_see(void *context, const char *line)
{
	struct admin_reader *r = context;

	if (atomic_load(&r->unwanted))
		return;
	buf_add_str(&r->slice.rows, line);
	buf_add_char(&r->slice.rows, '\n');
	assert(!r->slice.rows.failed);  /* its memory was there before */
	if (r->slice.rows.size < ADMIN_SLICE_BYTES)
		return;
	front_tell(r);
	if (turn_wait(r))
		buf_clear(&r->slice.rows);
}

static void list_read(struct admin_reader *r)
{
	struct err_info *info = &r->slice.error;
	struct store *store = NULL;

	*info = (struct err_info){0};
	r->slice.last = false;
	buf_clear(&r->slice.rows);
	if (store_sqlite_reader(&store, r->config.database, &r->unwanted, info) == ERR_NONE)
		(void)!admin_list_read(&r->command, store, r->config.home, false, row_see, r, info);
	store_close(store);
	if (!info->code && atomic_load(&r->unwanted))
		err_set(info, ERR_CANCELLED, "the list was given up");
	r->slice.last = true;
}

static void run(void *argument)
{
	struct admin_reader *r = argument;

	while (turn_wait(r)) {
		list_read(r);
		front_tell(r);
	}
}

enum err admin_reader_open(struct admin_reader **out, const struct admin_reader_config *config,
	struct err_info *info)
{
	const size_t bytes_max = ADMIN_SLICE_BYTES + ADMIN_LINE_BYTES_MAX + 1;
	struct admin_reader *r = mem_alloc(1, sizeof(*r));

	if (!r)
		return err_set(info, ERR_MEMORY, "no memory for lists");
	r->config = *config;
	buf_init(&r->slice.rows, bytes_max);
	if (!buf_reserve(&r->slice.rows, bytes_max))
		err_set(info, ERR_MEMORY, "no memory for lists");
	else if (wake_open(&r->wake))
		err_set_errno(info, "no descriptor for lists");
	else
		r->wake_open = true;
	if (info->code || thread_start(&r->thread, "ty-reader", run, r, info))
		admin_reader_close(r);
	else
		*out = r;
	return info->code;
}

void admin_reader_close(struct admin_reader *r)
{
	if (!r)
		return;
	atomic_store(&r->unwanted, true);
	atomic_store(&r->stop, true);
	if (r->wake_open)
		wake_set(&r->wake);
	thread_join(r->thread);
	if (r->wake_open)
		wake_close(&r->wake);
	buf_free(&r->slice.rows);
	mem_free(r);
}

static void turn_give(struct admin_reader *r)
{
	assert(!atomic_load(&r->readers_turn));
	atomic_store(&r->readers_turn, true);
	wake_set(&r->wake);
}

void admin_reader_start(struct admin_reader *r, const struct admin_command *command)
{
	assert(admin_is_list(command->op));
	r->command = *command;
	atomic_store(&r->unwanted, false);
	turn_give(r);
}

const struct admin_slice *admin_reader_slice(const struct admin_reader *r)
{
	return atomic_load(&r->readers_turn) ? NULL : &r->slice;
}

void admin_reader_next(struct admin_reader *r)
{
	assert(!r->slice.last);
	turn_give(r);
}

void admin_reader_give_up(struct admin_reader *r)
{
	atomic_store(&r->unwanted, true);
}
