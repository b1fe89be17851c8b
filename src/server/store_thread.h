/* server/store_thread.h - the thread that writes: the journal at once and without waiting,
 * records in groups.
 *
 *   records waiting --append--> group --commit--> STORED to the core
 *                                     when one is awaited, or the group is large or old
 *
 * A commit takes what the disk takes; what comes meanwhile is the next group. So the number of
 * commits follows the disk and not the number of requests.
 */
#ifndef SERVER_STORE_THREAD_H
#define SERVER_STORE_THREAD_H

#include "cloud/store.h"
#include "server/journal_file.h"
#include "server/wires.h"

struct store_thread;

/* Both are the thread's until it is joined. durable: the newest sequence that is
 * durable already. */
enum err store_thread_start(struct store_thread **out, struct store *store,
	struct journal_file *journal, uint64_t durable, struct wires *wires,
	struct err_info *info) MUST_CHECK;
/* After wires->store_stop is set: everything given is written, then it ends; true if all of it is
 * durable. NULL is legal. */
bool store_thread_join(struct store_thread *t);

#endif
