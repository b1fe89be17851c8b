/* server/journal_file.h - the journal on disk: append-only, written without waiting, read at the
 * start (rules.md 19).
 *
 * What its records say is cloud/journal.h; this is only the file. A crash may tear its end: a new
 * run begins behind the last whole record. One that is damaged is put aside as it is, for `ledger
 * check` to tell. A file that is full is put aside as journal.old, in
 * place of the one before, and the next begins with the requests that are open: so two files know
 * all of every request that either has seen the end of.
 *
 *	journal.old |run ... ask a, batch, ask b, batch|   journal |carried b, batch, ask c ...|
 *
 * When a write fails the run is written no further: a hole would make what comes behind it
 * wrong or unreadable.
 */
#ifndef SERVER_JOURNAL_FILE_H
#define SERVER_JOURNAL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/journal.h"
#include "server/home.h"

/* Where a file cannot be read any further, though it goes on: no crash leaves that. */
struct journal_damage {
	const char *file;           /* NULL: there is none */
	size_t at;
	size_t size;                /* of the file */
};

/* What the journal knows of each request in it, sorted by request. */
struct journal_facts {
	struct store_fact *list;
	uint64_t count;
	uint64_t capacity;
	bool no_memory;
	struct journal_damage damage;   /* the first */
};

/* From journal.old and journal, as far as they can be read; a missing file knows nothing. A
 * request is there once. */
enum err journal_facts_read(struct journal_facts *facts, const struct home *home,
	struct err_info *info) MUST_CHECK;
/* Tokens sampled at least; 0 for a request it does not know. */
int64_t journal_facts_tokens(const struct journal_facts *facts,
	const struct record_request *request);
void journal_facts_free(struct journal_facts *facts);

/* What a core did that took all events of a run. */
struct journal_outcome {
	uint64_t events;
	uint64_t actions_hash;      /* core_actions_hash of all actions, in order */
};

/* Lets a fresh core take the decisions of the newest run again. limits: of the one that wrote it.
 * ERR_INPUT: the run is so long that its beginning is no longer kept. */
enum err journal_file_replay(struct journal_outcome *out, const struct home *home,
	const struct core_limits *limits, struct err_info *info) MUST_CHECK;

struct journal_file;

/* of a file, unless journal_file_bound says otherwise; there are two */
#define JOURNAL_BYTES_MAX ((int64_t)256 << 20)

/* To append a run. Only who holds the home's lock may. */
enum err journal_file_open(struct journal_file **out, const struct home *home,
	struct err_info *info) MUST_CHECK;
void journal_file_bound(struct journal_file *j, int64_t bytes_max);
/* Whole records. Not synced: losing the end is allowed. After an error every further one is ERR_IO,
 * and nothing is written. */
enum err journal_file_append(struct journal_file *j, const void *bytes, size_t size,
	struct err_info *info) MUST_CHECK;
/* NULL is legal. */
void journal_file_close(struct journal_file *j);

#endif
