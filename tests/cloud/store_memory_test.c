/* tests/cloud/store_memory_test.c - what is durable is a beginning of what was given, and it adds
 * up.
 *
 * A store is filled through the core, as in life. How bent rows are found is audit_test's.
 */
#include "cloud/house.h"

#include "base/mem.h"
#include "cloud/store_memory.h"

static const struct store_memory_config config = {.records_max = 64, .tenants_max = 4};

static struct store *open_store(void)
{
	struct err_info info = {0};
	struct store *s = NULL;

	assert_int_equal(store_memory_open(&s, &config, &info), ERR_NONE);
	return s;
}

static void give(struct house *h, struct store *s)
{
	for (uint32_t i = 0; i < h->log_count; i++)
		if (h->log[i].kind == CORE_STORE)
			store_append(s, &h->log[i].u.store);
	house_forget(h);
}

static void commit(struct house *h, struct store *s)
{
	struct err_info info = {0};
	uint64_t durable = 0;

	give(h, s);
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, h->given);
	house_stored(h);
}

/* Tenant acme has 1,000, has used 221, and one more request is open and holds 350. */
static void fill(struct house *h, struct store *s)
{
	house_start(h);
	give(h, s);
	house_tenant(h, "acme", 1000, 0);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
	h->length[0] = 7;
	house_request(h, 0, 1, 100, 50);
	house_run_all(h);
	house_progress(h, CORE_FLUSHED, 0, 7);
	commit(h, s);
	house_request(h, 1, 1, 100, 50);
	commit(h, s);
}

static void check_is(struct store *s, enum err err, const char *text)
{
	struct err_info info = {0};

	assert_int_equal(store_check(s, NULL, 0, &info), err);
	if (text && !strstr(info.text, text))
		fail_msg("%s", info.text);
}

struct loaded {
	int64_t balance_nano;
	int64_t held_nano;
	int64_t cut_off_nano;
	uint32_t cut_offs;
	uint32_t keys;
	uint32_t prices;
	struct house *into;
};

static void see(void *context, const struct core_event *event)
{
	struct loaded *l = context;

	if (event->kind == CORE_LOAD_TENANT && event->u.load_tenant.tenant.id == 2) {
		l->balance_nano = event->u.load_tenant.balance_nano;
		l->held_nano = event->u.load_tenant.held_nano;
	}
	l->keys += event->kind == CORE_LOAD_KEY;
	l->prices += event->kind == CORE_LOAD_PRICE;
	if (event->kind == CORE_LOAD_CUT_OFF) {
		l->cut_offs++;
		l->cut_off_nano += event->u.cut_off.held_nano;
	}
	if (l->into)
		house_send(l->into, *event);
}

static void remembers_what_was_committed(void **state)
{
	struct store *s = open_store();
	struct loaded l = {0};
	struct house h;

	(void)state;
	fill(&h, s);
	assert_int_equal(store_load(s, see, &l, NULL), ERR_NONE);
	assert_int_equal(l.balance_nano, 1000 - 221 - 350);
	assert_int_equal(l.held_nano, 350);
	assert_int_equal(l.cut_offs, 1);
	assert_int_equal(l.cut_off_nano, 350);
	assert_int_equal(l.keys, 1);
	assert_int_equal(l.prices, 1);
	check_is(s, ERR_NONE, NULL);
	house_close(&h);
	store_close(s);
}

static void a_core_that_starts_again_releases_what_was_cut_off(void **state)
{
	struct store *s = open_store();
	struct loaded l = {0};
	struct house h;
	struct house again;

	(void)state;
	fill(&h, s);
	house_close(&h);
	store_memory_crash(s);
	memset(&again, 0, sizeof(again));
	again.limits = house_limits;
	again.core = core_init(calloc(1, core_bytes(&house_limits)), &house_limits);
	l.into = &again;
	assert_int_equal(store_load(s, see, &l, NULL), ERR_NONE);
	house_ready(&again);
	assert_int_equal(house_last(&again, CORE_REPLY)->u.reply.result, CORE_RESULT_DONE);
	assert_int_equal(house_show(&again, "acme").balance_nano, 1000 - 221);
	commit(&again, s);
	check_is(s, ERR_NONE, NULL);
	house_close(&again);
	store_close(s);
}

static void what_was_not_committed_is_gone_after_a_crash(void **state)
{
	struct store *s = open_store();
	struct loaded l = {0};
	struct house h;

	(void)state;
	fill(&h, s);
	house_tenant(&h, "later", 5, 0);
	give(&h, s);
	store_memory_crash(s);
	assert_int_equal(store_load(s, see, &l, NULL), ERR_NONE);
	assert_int_equal(l.held_nano, 350);
	check_is(s, ERR_NONE, NULL);
	house_close(&h);
	store_close(s);
}

static void after_a_failure_nothing_is_committed_until_it_is_told_to_try_again(void **state)
{
	struct store *s = open_store();
	struct err_info info = {0};
	uint64_t durable = 0;
	struct house h;

	(void)state;
	fill(&h, s);
	house_progress(&h, CORE_CANCEL, 1, 0);
	house_run_all(&h);
	give(&h, s);
	store_memory_fail(s, 1000000);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	store_memory_fail(s, 0);
	durable = 5;
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, 5);
	store_append(s, &(struct record){.kind = RECORD_RETRY});
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, h.given);
	house_close(&h);
	store_close(s);
}

static void a_record_that_was_replaced_is_never_kept(void **state)
{
	struct store *s = open_store();
	struct err_info info = {0};
	uint64_t durable = 0;
	struct house h;

	(void)state;
	fill(&h, s);
	house_run(&h);
	house_run(&h);
	house_progress(&h, CORE_CANCEL, 1, 1);
	house_run_all(&h);
	give(&h, s);
	store_memory_fail(s, 1000000);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	house_send(&h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h.given});
	h.now_ns += HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	store_memory_fail(s, 0);
	commit(&h, s);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000 - 221);
	check_is(s, ERR_NONE, NULL);
	house_close(&h);
	store_close(s);
}

/* Without memory a commit fails like any other, and nothing of it is kept. */
static void a_commit_without_memory_changes_nothing(void **state)
{
	struct store *s = open_store();
	struct err_info info = {0};
	uint64_t durable = 0;
	struct loaded l = {0};
	struct house h;

	(void)state;
	house_start(&h);
	give(&h, s);
	mem_fail_after(1, 1);
	assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
	mem_fail_after(0, 0);
	assert_int_equal(store_load(s, see, &l, NULL), ERR_NONE);
	assert_int_equal(l.keys, 0);
	house_close(&h);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_what_was_committed),
		cmocka_unit_test(a_core_that_starts_again_releases_what_was_cut_off),
		cmocka_unit_test(what_was_not_committed_is_gone_after_a_crash),
		cmocka_unit_test(
			after_a_failure_nothing_is_committed_until_it_is_told_to_try_again),
		cmocka_unit_test(a_record_that_was_replaced_is_never_kept),
		cmocka_unit_test(a_commit_without_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
