/* tests/cloud/store_contract.h - what store.h promises of every store, as tests that each store's
 * own test program runs.
 *
 * A store is filled through the core, as in life. The program says in store_contract how a store is
 * opened, killed and made to fail.
 */
#ifndef TESTS_CLOUD_STORE_CONTRACT_H
#define TESTS_CLOUD_STORE_CONTRACT_H

#include "cloud/audit.h"
#include "cloud/house.h"
#include "cloud/store.h"

struct store_contract {
	struct store *(*open)(void);                /* a new one, for 64 records and 4 tenants */
	struct store *(*restart)(struct store *s);  /* the process dies and another starts */
	void (*fail_commits)(struct store *s, bool failing);    /* until told otherwise */
};

static struct store_contract store_contract;

/* ---- filling --------------------------------------------------------------------------------- */

static inline void store_give(struct house *h, struct store *s)
{
	for (uint32_t i = 0; i < h->log_count; i++)
		if (h->log[i].kind == CORE_STORE)
			store_append(s, &h->log[i].u.store);
	house_forget(h);
}

static inline void store_commit_all(struct house *h, struct store *s)
{
	struct err_info info = {0};
	uint64_t durable = 0;

	store_give(h, s);
	if (store_commit(s, &durable, &info))
		fail_msg("%s", info.text);
	assert_int_equal(durable, h->given);
	house_stored(h);
}

/* A commit that fails leaves what it was told alone. */
static inline void store_commit_fails(struct store *s)
{
	struct err_info info = {0};
	uint64_t durable = 5;

	assert_int_not_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, 5);
	assert_true(info.text[0] != '\0');
}

/* Tenant acme has 1,000, has used 221, and one more request is open and holds 350. */
static inline void store_fill(struct house *h, struct store *s)
{
	house_start(h);
	store_give(h, s);
	house_tenant(h, "acme", 1000, 0);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
	h->length[0] = 7;
	house_request(h, 0, 1, 100, 50);
	house_run_all(h);
	house_progress(h, CORE_FLUSHED, 0, 7);
	store_commit_all(h, s);
	house_request(h, 1, 1, 100, 50);
	store_commit_all(h, s);
}

/* ---- looking --------------------------------------------------------------------------------- */

struct store_seen {
	uint32_t tenants, keys, prices, cut_offs;
	int64_t balance_nano, held_nano;            /* of the last tenant */
	int64_t revenue_nano, cut_off_nano;
	uint32_t usages, transactions;
	struct record_usage last_usage;
	char last_tenant[RECORD_NAME_BYTES];        /* whose it is */
	struct house *into;
};

static inline void store_see_boot(void *context, const struct core_event *event)
{
	struct store_seen *seen = context;

	seen->keys += event->kind == CORE_LOAD_KEY;
	seen->prices += event->kind == CORE_LOAD_PRICE;
	if (event->kind == CORE_LOAD_COUNTERS)
		seen->revenue_nano = event->u.load_counters.revenue_nano;
	if (event->kind == CORE_LOAD_TENANT) {
		seen->tenants++;
		seen->balance_nano = event->u.load_tenant.balance_nano;
		seen->held_nano = event->u.load_tenant.held_nano;
	}
	if (event->kind == CORE_LOAD_CUT_OFF) {
		seen->cut_offs++;
		seen->cut_off_nano += event->u.cut_off.held_nano;
	}
	if (seen->into)
		house_send(seen->into, *event);
}

static inline void store_see_usage(void *context, const struct record_usage *row,
	const char *tenant)
{
	struct store_seen *seen = context;

	seen->usages++;
	seen->last_usage = *row;
	strncpy(seen->last_tenant, tenant, RECORD_NAME_BYTES - 1);
}

static inline void store_see_transaction(void *context, const struct record_transaction *row,
	const char *tenant)
{
	(void)tenant;
	((struct store_seen *)context)->transactions++;
	assert_true(ledger_transaction_valid(row));
}

static inline struct store_seen store_list(struct store *s, const char *tenant,
	const struct record_request *request)
{
	struct store_seen seen = {0};
	struct err_info info = {0};
	const struct store_filter filter = {.tenant = tenant, .request = request};
	const struct store_reader reader = {.context = &seen, .usage = store_see_usage,
		.transaction = store_see_transaction};

	if (store_read(s, &filter, &reader, &info))
		fail_msg("%s", info.text);
	return seen;
}

/* What a core would boot from, and the lists; all rows agree. */
static inline struct store_seen store_look(struct store *s)
{
	struct store_seen seen = store_list(s, NULL, NULL);
	struct err_info info = {0};

	if (store_load(s, store_see_boot, &seen, &info) || audit_store(s, NULL, 0, false, &info))
		fail_msg("%s", info.text);
	return seen;
}

static inline void store_is_as_filled(struct store *s)
{
	const struct store_seen seen = store_look(s);

	assert_int_equal(seen.tenants, 2);
	assert_int_equal(seen.keys, 1);
	assert_int_equal(seen.prices, 1);
	assert_int_equal(seen.balance_nano, 1000 - 221 - 350);
	assert_int_equal(seen.held_nano, 350);
	assert_int_equal(seen.revenue_nano, 221);
	assert_int_equal(seen.cut_offs, 1);
	assert_int_equal(seen.cut_off_nano, 350);
	assert_int_equal(seen.transactions, 4);     /* topup, hold, settle, hold */
	assert_int_equal(seen.usages, 1);
	assert_int_equal(seen.last_usage.output, 7);
}

/* ---- the promises ---------------------------------------------------------------------------- */

static void what_was_committed_is_there_after_the_process_died(void **state)
{
	struct store *s = store_contract.open();
	struct house h;

	(void)state;
	store_fill(&h, s);
	store_is_as_filled(s);
	s = store_contract.restart(s);
	store_is_as_filled(s);
	house_close(&h);
	store_close(s);
}

static void what_was_not_committed_is_gone_and_leaves_no_hole(void **state)
{
	struct store *s = store_contract.open();
	struct house h;

	(void)state;
	store_fill(&h, s);
	house_tenant(&h, "late", 5, 0);
	store_give(&h, s);
	s = store_contract.restart(s);
	store_is_as_filled(s);
	house_close(&h);
	store_close(s);
}

static void a_core_that_starts_again_releases_what_was_cut_off(void **state)
{
	struct store_seen seen = {0};
	struct err_info info = {0};
	struct house h;
	struct house again;

	(void)state;
	struct store *s = store_contract.open();

	store_fill(&h, s);
	house_close(&h);
	s = store_contract.restart(s);
	house_raw(&again, &house_limits);
	seen.into = &again;
	assert_int_equal(store_load(s, store_see_boot, &seen, &info), ERR_NONE);
	house_ready(&again);
	assert_int_equal(house_last(&again, CORE_REPLY)->u.reply.result, CORE_RESULT_DONE);
	assert_int_equal(house_show(&again, "acme").balance_nano, 1000 - 221);
	store_commit_all(&again, s);
	seen = store_look(s);
	assert_int_equal(seen.cut_offs, 0);
	assert_int_equal(seen.held_nano, 0);
	assert_int_equal(seen.balance_nano, 1000 - 221);
	assert_int_equal(seen.usages, 2);
	assert_int_equal(seen.last_usage.finish, RECORD_FINISH_ERROR);
	house_close(&again);
	store_close(s);
}

static void after_a_failure_nothing_is_committed_until_it_is_told_to_try_again(void **state)
{
	struct store *s = store_contract.open();
	struct err_info info = {0};
	uint64_t durable = 5;
	struct house h;

	(void)state;
	store_fill(&h, s);
	house_tenant(&h, "late", 5, 0);
	store_give(&h, s);
	store_contract.fail_commits(s, true);
	store_commit_fails(s);
	store_contract.fail_commits(s, false);
	store_is_as_filled(s);
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, 5);
	store_append(s, &(struct record){.kind = RECORD_RETRY});
	assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
	assert_int_equal(durable, h.given);
	assert_int_equal(store_look(s).tenants, 3);
	house_close(&h);
	store_close(s);
}

static void a_settle_that_was_replaced_is_never_kept(void **state)
{
	struct store *s = store_contract.open();
	struct house h;

	(void)state;
	store_fill(&h, s);
	h.length[1] = 5;
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 1, 5);
	store_give(&h, s);
	store_contract.fail_commits(s, true);
	store_commit_fails(s);
	store_contract.fail_commits(s, false);
	house_send(&h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h.given});
	h.now_ns += HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(h.retries, 1);
	store_commit_all(&h, s);
	const struct store_seen seen = store_look(s);

	assert_int_equal(seen.usages, 2);
	assert_int_equal(seen.last_usage.finish, RECORD_FINISH_ERROR);
	assert_int_equal(seen.last_usage.amount_nano, 0);
	assert_int_equal(seen.balance_nano, 1000 - 221);
	house_close(&h);
	store_close(s);
}

/* What no core does: the hold of the open request once more, behind a price that is good. */
static void a_transaction_that_is_there_already_fails_the_whole_commit(void **state)
{
	struct store *s = store_contract.open();
	struct record again;
	struct house h;

	(void)state;
	store_fill(&h, s);
	house_request(&h, 2, 1, 1, 1);
	again = house_last(&h, CORE_STORE)->u.store;
	store_commit_all(&h, s);
	const struct store_seen before = store_look(s);
	struct record price = {.kind = RECORD_PRICE, .sequence = h.given + 1,
		.u.price = {.model = "other", .version = 2}};

	again.sequence = h.given + 2;
	again.u.money.transaction.id += 100;
	again.u.money.has_usage = false;
	store_append(s, &price);
	store_append(s, &again);
	store_commit_fails(s);
	store_append(s, &(struct record){.kind = RECORD_RETRY});
	store_commit_fails(s);
	const struct store_seen after = store_look(s);

	assert_int_equal(after.prices, before.prices);
	assert_int_equal(after.transactions, before.transactions);
	assert_int_equal(after.held_nano, before.held_nano);
	house_close(&h);
	store_close(s);
}

#define STORE_CONTRACT_TESTS(setup, teardown)                                                     \
	cmocka_unit_test_setup_teardown(                                                          \
		what_was_committed_is_there_after_the_process_died, setup, teardown),             \
	cmocka_unit_test_setup_teardown(                                                          \
		what_was_not_committed_is_gone_and_leaves_no_hole, setup, teardown),              \
	cmocka_unit_test_setup_teardown(                                                          \
		a_core_that_starts_again_releases_what_was_cut_off, setup, teardown),             \
	cmocka_unit_test_setup_teardown(                                                          \
		after_a_failure_nothing_is_committed_until_it_is_told_to_try_again, setup,        \
		teardown),                                                                        \
	cmocka_unit_test_setup_teardown(                                                          \
		a_settle_that_was_replaced_is_never_kept, setup, teardown),                       \
	cmocka_unit_test_setup_teardown(                                                          \
		a_transaction_that_is_there_already_fails_the_whole_commit, setup, teardown)

#endif
