/* server/admin_reader.h - the thread that reads lists and checks for the administration socket: one
 * after the other, on a connection to the database of its own.
 *
 *   front                                    reader
 *     admin_reader_start(command) ---------> reads rows
 *                     told() <-------------- a slice is full, or the list is over
 *     takes admin_reader_slice
 *     admin_reader_next ------------------->  goes on with an empty one
 *
 * Command and slice are theirs whose turn it is. So a list of any length costs one slice of memory,
 * and is read as fast as its client takes it; its snapshot of the database is as old.
 */
#ifndef SERVER_ADMIN_READER_H
#define SERVER_ADMIN_READER_H

#include "server/admin_ops.h"

#define ADMIN_SLICE_BYTES 65536 /* handed over when it has as many; a row more than that at most */

struct admin_reader;

struct admin_reader_config {
	const char *database;           /* its path */
	const struct home *home;
	void (*told)(void *context);    /* in the reader's thread: it is the front's turn */
	void *context;
};

struct admin_slice {
	struct buf rows;                /* lines */
	bool last;
	struct err_info error;          /* of the last one: why the list is not whole */
};

/* All but told is the front's to call. */
enum err admin_reader_open(struct admin_reader **out, const struct admin_reader_config *config,
	struct err_info *info) MUST_CHECK;
/* Gives up what is being read. NULL is legal. */
void admin_reader_close(struct admin_reader *r);

/* After the opening, and after a last slice. */
void admin_reader_start(struct admin_reader *r, const struct admin_command *command);
/* NULL: it is the reader's turn. */
const struct admin_slice *admin_reader_slice(const struct admin_reader *r);
/* The slice was taken, and is not the last. */
void admin_reader_next(struct admin_reader *r);
/* Nobody wants the rest: the last slice comes soon, with an error. */
void admin_reader_give_up(struct admin_reader *r);

#endif
