/* cloud/journal.h - the events that entered the core, as bytes and back (rules.md 19).
 *
 * Lengths and hashes, never text: no prompt, no answer, no key in clear passes here. What the
 * bytes are kept in is the server's business; it appends what journal_encode gives, and at the
 * next start reads them again. A run begins with LOAD_COUNTERS, so each run in a file stands for
 * itself.
 *
 *	record  | size u16 | checksum u32 | kind u8, now i64, wall i64, fields by kind |
 *
 * Three uses: journal_tally says what a crash cut off and feeds `ledger check`; journal_replay
 * lets a fresh core take the same decisions again; both together find the bug of a bad day.
 */
#ifndef CLOUD_JOURNAL_H
#define CLOUD_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cloud/core.h"
#include "cloud/store.h"

#define JOURNAL_RECORD_BYTES_MAX 8192
#define JOURNAL_HEADER_BYTES     6
/* the low half of hash_bytes, of the payload */
#define JOURNAL_CHECKSUM_SEED    0x746f6e6779756eULL

/* What a BATCH_DONE says; the batch itself is the core's. */
struct journal_batch {
	uint64_t id;
	uint32_t model;
	bool failed;
	uint32_t item_count;
	uint32_t requests[BATCH_ITEMS_MAX];
	struct batch_result results[BATCH_ITEMS_MAX];
};

/* What a new file says first of each request that was open when the one before it was full. */
struct journal_carried {
	uint32_t handle;
	struct store_fact fact;
};

struct journal_entry {
	/* u.batch_done is NULL: see batch. kind CORE_EVENT_KINDS: no event, see carried */
	struct core_event event;
	struct journal_batch batch;     /* of a BATCH_DONE */
	struct journal_carried carried;
};

enum journal_read {
	JOURNAL_ENTRY,
	/* the bytes end within a record: the rest was never written, or comes later */
	JOURNAL_MORE,
	JOURNAL_BROKEN,     /* not a record that was written here */
};

/* Gives the bytes of the record; out holds JOURNAL_RECORD_BYTES_MAX. */
size_t journal_encode(uint8_t *out, const struct core_event *event);
size_t journal_encode_carried(uint8_t *out, const struct journal_carried *carried);
/* Takes the record that bytes start with; *used is its size. Any bytes are safe. */
enum journal_read journal_decode(struct journal_entry *out, const uint8_t *bytes, size_t size,
	size_t *used);

/* ---- what was cut off ------------------------------------------------------------------------ */

/* Called once per request of the journal, when nothing more can come for it. */
typedef void journal_see(void *context, const struct store_fact *fact);

struct journal_tally;

/* handles_max: requests_max of the core that wrote it; entries beyond are ignored. see
 * may be NULL. */
enum err journal_tally_open(struct journal_tally **out, uint32_t handles_max, journal_see *see,
	void *context, struct err_info *info) MUST_CHECK;
void journal_tally_add(struct journal_tally *t, const struct journal_entry *entry);
/* The tokens sampled at least for a request that was open at the end; 0 when it is not known. */
int64_t journal_tally_tokens(const struct journal_tally *t, struct record_request request);
/* Writes down the requests that are open: a file that begins with them needs no other. The front
 * has not said its last word on them; what it has said it on is billed by what was seen before. */
void journal_tally_carry(const struct journal_tally *t,
	void (*take)(void *context, const struct journal_carried *carried), void *context);
/* Tells the requests that were open at the end. */
void journal_tally_end(struct journal_tally *t);
void journal_tally_close(struct journal_tally *t);

/* ---- the same day again ---------------------------------------------------------------------- */

struct journal_replay {
	/* fresh, with the limits of the one that wrote the journal */
	struct core *core;
	/* of all actions: equal to the live one's (core_actions_hash) */
	uint64_t hash;
	struct batch *flight[16];       /* given by RUN and not back */
	uint32_t flight_count;
	struct core_actions actions;
};

/* ERR_INPUT when a batch comes back that the core did not give: the limits are others, or the
 * journal has a gap. */
enum err journal_replay_step(struct journal_replay *r, const struct journal_entry *entry,
	struct err_info *info) MUST_CHECK;

#endif
