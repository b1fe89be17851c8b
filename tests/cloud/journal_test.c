/* tests/cloud/journal_test.c - a day as bytes and back: the same events, and so the same
 * decisions. */
#include "cloud/house.h"

#include "base/prng.h"
#include "cloud/journal.h"

#define DAY_BYTES_MAX (1 << 20)

static uint8_t day[DAY_BYTES_MAX];
static size_t day_bytes;

static void write_down(const struct core_event *event)
{
	assert_true(day_bytes + JOURNAL_RECORD_BYTES_MAX <= DAY_BYTES_MAX);
	day_bytes += journal_encode(day + day_bytes, event);
}

/* A day with a bit of everything; request 0 ended, request 1 was open when it stopped. */
static void live_a_day(struct house *h)
{
	day_bytes = 0;
	house_witness = write_down;
	house_start(h);
	house_witness = NULL;
	house_tenant(h, "acme", 100000, 0);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
	h->length[0] = 7;
	house_request(h, 0, 1, 100, 50);
	house_ask(h, 2, 9);
	house_run_all(h);
	house_progress(h, CORE_STALL, 0, 3);
	house_progress(h, CORE_RESUME, 0, 4);
	house_progress(h, CORE_FLUSHED, 0, 7);
	house_stored(h);
	h->now_ns += HOUSE_S;
	house_request(h, 1, 1, 700, 0);
	for (int i = 0; i < 6; i++)
		house_run(h);
	house_send(h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h->given});
	house_send(h, (struct core_event){.kind = CORE_TICK});
}

static void the_same_events_give_the_same_actions(void **state)
{
	static struct journal_entry entry;
	static struct journal_replay r;
	struct err_info info = {0};
	struct house h;
	size_t used;

	(void)state;
	live_a_day(&h);
	memset(&r, 0, sizeof(r));
	r.core = core_init(calloc(1, core_bytes(&h.limits)), &h.limits);
	for (size_t at = 0; at < day_bytes; at += used) {
		assert_int_equal(journal_decode(&entry, day + at, day_bytes - at, &used),
			JOURNAL_ENTRY);
		assert_int_equal(journal_replay_step(&r, &entry, &info), ERR_NONE);
	}
	assert_true(r.hash == h.hash);
	free(r.core);
	house_close(&h);
}

static void a_batch_that_was_not_given_is_told(void **state)
{
	static struct journal_entry entry;
	static struct journal_replay r;
	struct err_info info = {0};
	struct house h;

	(void)state;
	live_a_day(&h);
	memset(&r, 0, sizeof(r));
	memset(&entry, 0, sizeof(entry));
	r.core = core_init(calloc(1, core_bytes(&h.limits)), &h.limits);
	entry.event.kind = CORE_BATCH_DONE;
	assert_int_equal(journal_replay_step(&r, &entry, &info), ERR_INPUT);
	free(r.core);
	house_close(&h);
}

/* Every field of every kind survives: filled with noise that each field can hold. */
static void every_kind_is_read_as_it_was_written(void **state)
{
	static struct journal_entry entry;
	static struct batch batch;
	uint8_t first[JOURNAL_RECORD_BYTES_MAX];
	uint8_t second[JOURNAL_RECORD_BYTES_MAX];

	(void)state;
	for (int kind = 0; kind < CORE_EVENT_KINDS; kind++) {
		struct core_event event;
		size_t used;

		/* 1 is a number, a bool, an enumerator, a text */
		memset(&event, 1, sizeof(event));
		event.kind = (enum core_event_kind)kind;
		batch.item_count = 3;
		batch.results[2] = (struct batch_result){1, BATCH_END_STOP, 99};
		if (kind == CORE_BATCH_DONE)
			event.u.batch_done = &batch;
		if (kind == CORE_LOAD_CUT_OFF)
			event.u.cut_off.usage.finish = RECORD_FINISH_STOP;
		if (kind == CORE_ASK)
			event.u.ask.caller.credential = CORE_CREDENTIAL_KEY;
		if (kind == CORE_AUTHORISE)
			event.u.authorise.caller.credential = CORE_CREDENTIAL_KEY;
		const size_t size = journal_encode(first, &event);

		assert_int_equal(journal_decode(&entry, first, size, &used), JOURNAL_ENTRY);
		assert_int_equal(used, size);
		assert_int_equal(entry.event.kind, kind);
		if (kind == CORE_BATCH_DONE) {
			assert_int_equal(entry.batch.item_count, 3);
			assert_int_equal(entry.batch.results[2].token_hash, 99);
			continue;
		}
		assert_int_equal(journal_encode(second, &entry.event), size);
		assert_memory_equal(first, second, size);
	}
}

static void the_largest_batch_fits(void **state)
{
	static struct journal_entry entry;
	static struct batch batch;
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	const struct core_event event = {.kind = CORE_BATCH_DONE, .u.batch_done = &batch};
	size_t used;

	(void)state;
	batch.item_count = BATCH_ITEMS_MAX;
	const size_t size = journal_encode(bytes, &event);

	assert_int_equal(journal_decode(&entry, bytes, size, &used), JOURNAL_ENTRY);
	assert_int_equal(entry.batch.item_count, BATCH_ITEMS_MAX);
}

static void a_torn_end_asks_for_more_and_is_never_an_event(void **state)
{
	static struct journal_entry entry;
	const struct core_event event = {.kind = CORE_ASK, .u.ask.handle = 3};
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	const size_t size = journal_encode(bytes, &event);
	size_t used;

	(void)state;
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(journal_decode(&entry, bytes, cut, &used), JOURNAL_MORE);
}

static void one_wrong_bit_is_found(void **state)
{
	static struct journal_entry entry;
	const struct core_event event = {.kind = CORE_ASK, .u.ask.handle = 3};
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	const size_t size = journal_encode(bytes, &event);
	size_t used;

	(void)state;
	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1U << bit % 8);
		assert_int_not_equal(journal_decode(&entry, bytes, size, &used), JOURNAL_ENTRY);
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ 1U << bit % 8);
	}
}

struct facts {
	uint32_t count;
	struct store_fact fact[8];
};

static void keep_fact(void *context, const struct store_fact *fact)
{
	struct facts *f = context;

	f->fact[f->count++] = *fact;
}

static void tells_what_was_cut_off_and_how_far_it_was(void **state)
{
	static struct journal_entry entry;
	struct err_info info = {0};
	struct facts facts = {0};
	struct journal_tally *t;
	struct house h;
	size_t used;

	(void)state;
	live_a_day(&h);
	assert_int_equal(journal_tally_open(&t, HOUSE_HANDLES, keep_fact, &facts, &info), ERR_NONE);
	struct record_request open = {0};

	for (size_t at = 0; at < day_bytes; at += used) {
		assert_int_equal(journal_decode(&entry, day + at, day_bytes - at, &used),
			JOURNAL_ENTRY);
		journal_tally_add(t, &entry);
		if (entry.event.kind == CORE_ASK && entry.event.u.ask.handle == 1)
			open = entry.event.u.ask.request;
	}
	assert_int_equal(journal_tally_tokens(t, open), h.sampled[1]);
	assert_true(h.sampled[1] > 0);
	assert_int_equal(facts.count, 0);
	journal_tally_end(t);
	assert_int_equal(facts.count, 3);   /* the one that was refused had none */
	assert_int_equal(facts.fact[0].tokens, 7);
	assert_int_equal(facts.fact[2].tokens, 0);
	journal_tally_close(t);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_events_give_the_same_actions),
		cmocka_unit_test(a_batch_that_was_not_given_is_told),
		cmocka_unit_test(every_kind_is_read_as_it_was_written),
		cmocka_unit_test(the_largest_batch_fits),
		cmocka_unit_test(a_torn_end_asks_for_more_and_is_never_an_event),
		cmocka_unit_test(one_wrong_bit_is_found),
		cmocka_unit_test(tells_what_was_cut_off_and_how_far_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
