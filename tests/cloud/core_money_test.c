/* tests/cloud/core_money_test.c - money where two things meet: failures, revocations, rounding,
 * requests that share a balance. The rules one by one are core_test's.
 */
#include "cloud/house.h"

#include "cloud/price.h"

/* Tenant "acme" with key 1 and this much to spend; a prompt token costs 2, an answer token 3. */
static void start_with(struct house *h, int64_t balance_nano, int64_t credit_nano)
{
	house_start(h);
	house_tenant(h, "acme", balance_nano, credit_nano);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
}

static void store_fails(struct house *h)
{
	house_send(h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h->given});
}

/* The time of the next try comes. */
static void retry(struct house *h)
{
	const uint64_t retries = h->retries;

	h->now_ns += h->limits.retry_ns;
	house_send(h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(h->retries, retries + 1);
}

static const struct record_usage *usage_last(const struct house *h)
{
	const struct record *record = &house_last(h, CORE_STORE)->u.store;

	assert_true(record->kind == RECORD_TRANSACTION && record->u.money.has_usage);
	return &record->u.money.usage;
}

/* ---- who (rules.md 12, 15, 17) --------------------------------------------------------------- */

static void what_runs_when_its_key_is_revoked_ends_and_is_paid(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_send(&h, (struct core_event){.kind = CORE_KEY_REVOKE, .u.key_revoke.key_id = 1});
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 7);
	house_ask(&h, 0, 1);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code, CORE_REFUSE_INVALID_KEY);
	house_close(&h);
}

static enum core_result credit_set(struct house *h, int64_t credit_nano)
{
	struct core_event event = {.kind = CORE_TENANT_SET,
		.u.tenant_set.credit_nano = credit_nano};

	strcpy(event.u.tenant_set.name, "acme");
	house_send(h, event);
	house_stored(h);
	return house_last(h, CORE_REPLY)->u.reply.result;
}

static void a_credit_below_what_is_owed_is_not_set(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100, 600);
	house_request(&h, 0, 1, 100, 50);   /* 350 held: 250 owed */
	assert_int_equal(credit_set(&h, 249), CORE_RESULT_INVALID);
	assert_int_equal(credit_set(&h, 250), CORE_RESULT_DONE);
	house_request(&h, 1, 1, 1, 1);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code,
		CORE_REFUSE_INSUFFICIENT_QUOTA);
	house_close(&h);
}

static void a_model_without_a_price_is_metered_at_nothing(void **state)
{
	struct house h;

	(void)state;
	house_start(&h);
	house_tenant(&h, "acme", 0, 0);
	house_key_create(&h, "acme", 1);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 0);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	assert_int_equal(usage_last(&h)->input, 100);
	assert_int_equal(usage_last(&h)->output, 7);
	assert_int_equal(usage_last(&h)->price_version, 0);
	assert_int_equal(usage_last(&h)->amount_nano, 0);
	house_close(&h);
}

/* ---- nothing for nothing (rules.md 16) ------------------------------------------------------- */

static void who_is_refused_leaves_no_record(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 349, 0);
	const uint64_t given = h.given;

	house_ask(&h, 0, 9);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code, CORE_REFUSE_INVALID_KEY);
	house_request(&h, 0, 1, 100, 50);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code,
		CORE_REFUSE_INSUFFICIENT_QUOTA);
	house_ask(&h, 0, 1);
	house_send(&h, (struct core_event){.kind = CORE_ARRIVE, .u.arrive = {
		.prompt_tokens = h.limits.pool.context_max, .answer_tokens_max = 1}});
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code, CORE_REFUSE_CONTEXT_LENGTH);
	house_send(&h, (struct core_event){.kind = CORE_ASK,
		.u.ask = {.model = CORE_NONE, .caller = house_key(1)}});
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.code, CORE_REFUSE_MODEL_NOT_FOUND);
	assert_int_equal(h.given, given);
	house_close(&h);
}

/* ---- the engine fails (rules.md 16) ---------------------------------------------------------- */

/* The next batch was planned while the one with the end ran. */
static void a_batch_that_fails_behind_an_answers_end_takes_nothing_from_it(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 3;
	house_request(&h, 0, 1, 100, 50);
	while (h.sampled[0] < 3)
		house_run(&h);
	assert_int_equal(h.flight_count, 1);
	h.flight[0]->failed = true;
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.finish, RECORD_FINISH_STOP);
	house_progress(&h, CORE_FLUSHED, 0, 3);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 3);
	house_close(&h);
}

static void who_left_before_the_engine_failed_pays_what_was_written(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	for (int i = 0; i < 5; i++)
		house_run(&h);
	house_progress(&h, CORE_CANCEL, 0, 2);
	h.flight[0]->failed = true;
	house_run_all(&h);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.finish, RECORD_FINISH_CANCELLED);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 2);
	house_close(&h);
}

static void who_leaves_after_the_engine_failed_pays_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	for (int i = 0; i < 5; i++)
		house_run(&h);
	h.flight[0]->failed = true;
	house_run_all(&h);
	house_progress(&h, CORE_CANCEL, 0, 2);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.finish, RECORD_FINISH_ERROR);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 0);
	assert_int_equal(house_count(&h, CORE_END), 1);
	house_close(&h);
}

/* ---- growth and rounding (rules.md 14, 20) --------------------------------------------------- */

static void two_open_answers_share_a_balance_to_its_end_and_not_below(void **state)
{
	struct core_limits limits = house_limits;
	struct house h;

	(void)state;
	limits.hold_step_tokens = 1;
	house_open(&h, &limits);
	house_ready(&h);
	house_tenant(&h, "acme", 2 * 100 * 2 + 3 * 11 + 2, 0);
	house_key_create(&h, "acme", 1);
	house_price(&h, 2, 3);
	house_request(&h, 0, 1, 100, 0);
	house_request(&h, 1, 1, 100, 0);
	while (h.flight_count > 0) {
		house_run(&h);
		house_stored(&h);
		assert_true(house_show(&h, "acme").balance_nano >= 0);
	}
	assert_int_equal(h.sampled[0] + h.sampled[1], 11);
	assert_int_equal(house_count(&h, CORE_ANSWERED), 2);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.finish, RECORD_FINISH_LENGTH);
	house_progress(&h, CORE_FLUSHED, 0, h.sampled[0]);
	house_progress(&h, CORE_FLUSHED, 1, h.sampled[1]);
	assert_int_equal(house_show(&h, "acme").balance_nano, 2);
	assert_int_equal(house_show(&h, "acme").held_nano, 0);
	house_close(&h);
}

/* A third of a nano-unit for an answer token, a seventh for one of the prompt. */
static void however_many_parts_a_hold_has_it_is_rounded_once(void **state)
{
	struct core_event set = {.kind = CORE_PRICE_SET, .u.price_set.price = {.model = "poet",
		.input_nano = 142857, .cached_nano = 142857, .output_nano = 333333}};
	struct core_limits limits = house_limits;
	struct house h;

	(void)state;
	limits.hold_step_tokens = 1;
	house_open(&h, &limits);
	house_ready(&h);
	house_tenant(&h, "acme", 1000, 0);
	house_key_create(&h, "acme", 1);
	house_send(&h, set);
	house_stored(&h);
	h.length[0] = 20;
	house_request(&h, 0, 1, 10, 0);
	while (h.sampled[0] < 19) {
		house_run(&h);
		house_stored(&h);
	}
	/* 10 x 0.142857 + 20 x 0.333333 = 8.09523; alone each token would round to nothing */
	assert_int_equal(house_show(&h, "acme").held_nano, 8);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 20);
	assert_int_equal(usage_last(&h)->amount_nano, 8);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000 - 8);
	house_close(&h);
}

/* ---- the store fails more than once (rules.md 18) -------------------------------------------- */

/* A request that runs when commits fail, and whose answer ends before one works again. */
static void ends_while_commits_fail(struct house *h)
{
	start_with(h, 1000, 0);
	h->length[0] = 7;
	house_request(h, 0, 1, 100, 50);
	store_fails(h);
	house_run_all(h);
	house_progress(h, CORE_FLUSHED, 0, 7);
	assert_int_equal(house_count(h, CORE_END), 0);
	retry(h);
	assert_int_equal(house_count(h, CORE_END), 0);
}

static void an_answer_that_ends_while_commits_fail_waits_for_one_that_works(void **state)
{
	struct house h;

	(void)state;
	ends_while_commits_fail(&h);
	house_stored(&h);
	assert_false(house_last(&h, CORE_END)->u.end.store_failed);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 7);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000 - 221);
	house_close(&h);
}

static void and_costs_nothing_when_that_fails_too(void **state)
{
	struct house h;

	(void)state;
	ends_while_commits_fail(&h);
	store_fails(&h);
	assert_true(house_last(&h, CORE_END)->u.end.store_failed);
	assert_int_equal(usage_last(&h)->finish, RECORD_FINISH_ERROR);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	retry(&h);
	house_stored(&h);
	assert_int_equal(house_count(&h, CORE_END), 1);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	house_close(&h);
}

/* ---- commands -------------------------------------------------------------------------------- */

static enum core_result topup(struct house *h, const char *name, int64_t amount_nano)
{
	struct core_event event = {.kind = CORE_TENANT_TOPUP,
		.u.tenant_topup.amount_nano = amount_nano};

	strcpy(event.u.tenant_topup.name, name);
	house_send(h, event);
	house_stored(h);
	return house_last(h, CORE_REPLY)->u.reply.result;
}

static void a_top_up_is_something_for_someone_or_nothing_happens(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	const uint64_t given = h.given;

	assert_int_equal(topup(&h, "acme", 0), CORE_RESULT_INVALID);
	assert_int_equal(topup(&h, "acme", -5), CORE_RESULT_INVALID);
	assert_int_equal(topup(&h, "acme", LEDGER_AMOUNT_MAX + 1), CORE_RESULT_INVALID);
	assert_int_equal(topup(&h, "nobody", 5), CORE_RESULT_NOT_FOUND);
	assert_int_equal(h.given, given);
	assert_int_equal(topup(&h, "acme", LEDGER_AMOUNT_MAX), CORE_RESULT_DONE);
	assert_int_equal(house_show(&h, "acme").balance_nano, LEDGER_AMOUNT_MAX + 1000);
	store_fails(&h);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.balance_nano,
		LEDGER_AMOUNT_MAX + 1000);
	house_forget(&h);
	struct core_event event = {.kind = CORE_TENANT_TOPUP, .u.tenant_topup = {
		.name = "acme", .amount_nano = 1}};

	house_send(&h, event);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_STORE_DOWN);
	house_close(&h);
}

/* ---- a start on what was remembered (rules.md 19) -------------------------------------------- */

static void numbers_that_no_request_can_have_are_not_started_with(void **state)
{
	static const int64_t inputs[] = {-1, PRICE_TOKENS_MAX + 1};

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct core_event tenant = {.kind = CORE_LOAD_TENANT,
			.u.load_tenant = {.tenant = {.id = 1, .name = "acme"}}};
		struct core_event cut_off = {.kind = CORE_LOAD_CUT_OFF, .u.cut_off = {
			.usage = {.tenant_id = 1, .input = inputs[i]}}};
		struct house h;

		house_open(&h, &house_limits);
		house_send(&h, tenant);
		house_send(&h, cut_off);
		house_send(&h, (struct core_event){.kind = CORE_READY});
		assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result,
			CORE_RESULT_CONTRADICTION);
		house_close(&h);
	}
}

static void a_journal_that_counts_too_much_does_not_keep_it_from_starting(void **state)
{
	struct core_event cut_off = {.kind = CORE_LOAD_CUT_OFF,
		.u.cut_off = {.usage = {.tenant_id = 1}, .tokens = INT64_MAX}};
	struct house h;

	(void)state;
	house_open(&h, &house_limits);
	house_send(&h, (struct core_event){.kind = CORE_LOAD_TENANT,
		.u.load_tenant = {.tenant = {.id = 1, .name = "acme"}}});
	house_send(&h, cut_off);
	assert_int_equal(usage_last(&h)->output, PRICE_TOKENS_MAX);
	house_ready(&h);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_runs_when_its_key_is_revoked_ends_and_is_paid),
		cmocka_unit_test(a_credit_below_what_is_owed_is_not_set),
		cmocka_unit_test(a_model_without_a_price_is_metered_at_nothing),
		cmocka_unit_test(who_is_refused_leaves_no_record),
		cmocka_unit_test(a_batch_that_fails_behind_an_answers_end_takes_nothing_from_it),
		cmocka_unit_test(who_left_before_the_engine_failed_pays_what_was_written),
		cmocka_unit_test(who_leaves_after_the_engine_failed_pays_nothing),
		cmocka_unit_test(two_open_answers_share_a_balance_to_its_end_and_not_below),
		cmocka_unit_test(however_many_parts_a_hold_has_it_is_rounded_once),
		cmocka_unit_test(an_answer_that_ends_while_commits_fail_waits_for_one_that_works),
		cmocka_unit_test(and_costs_nothing_when_that_fails_too),
		cmocka_unit_test(a_top_up_is_something_for_someone_or_nothing_happens),
		cmocka_unit_test(numbers_that_no_request_can_have_are_not_started_with),
		cmocka_unit_test(a_journal_that_counts_too_much_does_not_keep_it_from_starting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
