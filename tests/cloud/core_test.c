/* tests/cloud/core_test.c - who may, at what price, and when it is over: the rules, one by one. */
#include "cloud/house.h"

/* Tenant "acme" with key 1 and this much to spend; a prompt token costs 2, an answer token 3. */
static void start_with(struct house *h, int64_t balance_nano, int64_t credit_nano)
{
	house_start(h);
	house_tenant(h, "acme", balance_nano, credit_nano);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
}

static enum core_refusal refusal(const struct house *h)
{
	return house_last(h, CORE_REFUSE)->u.refuse.code;
}

/* ---- who (rules.md 10, 12) ------------------------------------------------------------------- */

static void without_any_key_loopback_is_tenant_local_and_never_refused(void **state)
{
	struct house h;

	(void)state;
	house_start(&h);
	house_price(&h, 2, 3);
	house_request(&h, 0, 0, 100, 50);
	assert_int_equal(house_last(&h, CORE_ACCEPT)->u.accept.handle, 0);
	const struct core_reply local = house_show(&h, "local");

	assert_int_equal(local.balance_nano, -350);
	assert_int_equal(local.held_nano, 350);
	house_close(&h);
}

static void a_key_that_means_nothing_is_ignored_as_long_as_there_is_none(void **state)
{
	struct core_event event = {.kind = CORE_ASK};
	struct house h;

	(void)state;
	house_start(&h);
	event.u.ask.caller = house_key(9);
	event.u.ask.caller.trusted = true;
	house_send(&h, event);
	house_last(&h, CORE_ADMIT);
	house_close(&h);
}

static void not_on_loopback_nothing_goes_without_a_key(void **state)
{
	struct house h;

	(void)state;
	house_start(&h);
	house_send(&h, (struct core_event){.kind = CORE_ASK});
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	house_close(&h);
}

static void once_a_key_exists_every_request_needs_a_good_one(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_ask(&h, 0, 0);
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	house_ask(&h, 0, 2);
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	house_ask(&h, 0, 1);
	assert_int_equal(house_last(&h, CORE_ADMIT)->u.admit.key_id, 1);
	house_close(&h);
}

static void revoking_the_last_key_does_not_open_the_door_again(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_send(&h, (struct core_event){.kind = CORE_KEY_REVOKE, .u.key_revoke.key_id = 1});
	house_ask(&h, 0, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	house_ask(&h, 0, 0);
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	house_close(&h);
}

/* ---- admission (rules.md 2, 3, 14) ----------------------------------------------------------- */

static void holds_the_prompt_and_all_of_max_tokens(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	const struct record_transaction *hold = house_transaction(&h);

	assert_int_equal(hold->kind, RECORD_HOLD);
	assert_int_equal(hold->entries[1].amount_nano, 350);
	assert_int_equal(house_show(&h, "acme").balance_nano, 650);
	assert_int_equal(house_show(&h, "acme").held_nano, 350);
	house_close(&h);
}

static void refuses_what_the_balance_cannot_cover_and_takes_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 349, 0);
	house_request(&h, 0, 1, 100, 50);
	assert_int_equal(refusal(&h), CORE_REFUSE_INSUFFICIENT_QUOTA);
	assert_int_equal(house_show(&h, "acme").balance_nano, 349);
	house_request(&h, 0, 1, 100, 49);
	house_last(&h, CORE_ACCEPT);
	house_close(&h);
}

static void spends_down_to_the_credit_and_never_below(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100, 600);
	house_request(&h, 0, 1, 100, 50);
	assert_int_equal(house_show(&h, "acme").balance_nano, -250);
	house_request(&h, 1, 1, 100, 50);
	assert_int_equal(house_show(&h, "acme").balance_nano, -600);
	house_request(&h, 2, 1, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_INSUFFICIENT_QUOTA);
	house_close(&h);
}

static void an_open_end_holds_one_step_and_does_not_lock_the_balance(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000000, 0);
	house_request(&h, 0, 1, 100, 0);
	assert_int_equal(house_show(&h, "acme").held_nano, 2 * 100 + 3 * 1024);
	house_close(&h);
}

static void an_open_end_holds_what_the_balance_allows_and_at_least_one_token(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 203 + 202, 0);
	house_request(&h, 0, 1, 100, 0);
	assert_int_equal(house_show(&h, "acme").held_nano, 200 + 3 * 68);
	house_request(&h, 1, 1, 100, 0);
	assert_int_equal(refusal(&h), CORE_REFUSE_INSUFFICIENT_QUOTA);
	house_close(&h);
}

static void a_prompt_that_leaves_no_room_is_too_long(void **state)
{
	struct house h;

	(void)state;
	house_start(&h);
	house_ask(&h, 0, 0);
	house_send(&h, (struct core_event){.kind = CORE_ARRIVE,
		.u.arrive = {.prompt_tokens = 8192, .answer_tokens_max = 0}});
	assert_int_equal(refusal(&h), CORE_REFUSE_CONTEXT_LENGTH);
	house_close(&h);
}

static void the_key_is_looked_at_before_the_model(void **state)
{
	struct core_event event = {.kind = CORE_ASK};
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	event.u.ask.model = CORE_NONE;
	event.u.ask.caller = house_key(2);
	house_send(&h, event);
	assert_int_equal(refusal(&h), CORE_REFUSE_INVALID_KEY);
	event.u.ask.caller = house_key(1);
	house_send(&h, event);
	assert_int_equal(refusal(&h), CORE_REFUSE_MODEL_NOT_FOUND);
	house_close(&h);
}

static void a_full_queue_says_when_to_come_again(void **state)
{
	struct house h;

	(void)state;
	house_start(&h);
	for (uint32_t handle = 0; handle < 4; handle++)
		house_ask(&h, handle, 0);
	house_ask(&h, 4, 0);
	assert_int_equal(refusal(&h), CORE_REFUSE_OVERLOADED);
	assert_true(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns >= HOUSE_S);
	house_arrive(&h, 0, 10, 10);
	house_ask(&h, 4, 0);
	assert_int_equal(house_last(&h, CORE_ADMIT)->u.admit.handle, 4);
	house_close(&h);
}

static void tenant_set(struct house *h, int64_t credit_nano, int64_t requests_per_min,
	int64_t tokens_per_min)
{
	struct core_event event = {.kind = CORE_TENANT_SET, .u.tenant_set = {.name = "acme",
		.credit_nano = credit_nano, .requests_per_min = requests_per_min,
		.tokens_per_min = tokens_per_min}};

	house_send(h, event);
}

static void a_tenant_is_limited_to_its_requests_a_minute(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	tenant_set(&h, 0, 2, 0);
	house_ask(&h, 0, 1);
	house_ask(&h, 1, 1);
	house_ask(&h, 2, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_RATE_LIMITED);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns, 30 * HOUSE_S);
	h.now_ns += 30 * HOUSE_S;
	house_ask(&h, 2, 1);
	assert_int_equal(house_last(&h, CORE_ADMIT)->u.admit.handle, 2);
	house_close(&h);
}

static void tokens_that_were_not_used_are_given_back_to_the_limit(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100000, 0);
	tenant_set(&h, 0, 0, 1000);
	h.length[0] = 5;
	house_request(&h, 0, 1, 100, 900);
	house_ask(&h, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_RATE_LIMITED);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 5);
	house_ask(&h, 1, 1);
	house_arrive(&h, 1, 100, 795);
	assert_int_equal(house_last(&h, CORE_ACCEPT)->u.accept.handle, 1);
	house_close(&h);
}

/* 1,200 a minute: what an answer uses beyond that is waited for by the next request. */
static void an_open_ended_answer_pays_the_limit_for_all_its_tokens(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100000, 0);
	tenant_set(&h, 0, 0, 1200);
	h.length[0] = 5000;
	house_request(&h, 0, 1, 100, 0);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 5000);
	house_ask(&h, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_RATE_LIMITED);
	/* 5,100 used, 1,200 were there, and one more must be: at 20 a second */
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns,
		3901 * HOUSE_S / 20);
	h.now_ns += 3901 * HOUSE_S / 20;
	house_ask(&h, 1, 1);
	assert_int_equal(house_last(&h, CORE_ADMIT)->u.admit.handle, 1);
	house_close(&h);
}

/* rules.md 14: the key, then the limits, and only then the queue. */
static void who_is_over_a_limit_is_told_so_though_the_queue_is_full(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100000, 0);
	tenant_set(&h, 0, house_limits.queue_max, 0);
	for (uint32_t i = 0; i < house_limits.queue_max; i++) {
		house_ask(&h, i, 1);
		assert_int_equal(house_last(&h, CORE_ADMIT)->u.admit.handle, i);
	}
	house_ask(&h, house_limits.queue_max, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_RATE_LIMITED);
	tenant_set(&h, 0, 0, 0);
	house_ask(&h, house_limits.queue_max, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_OVERLOADED);
	house_close(&h);
}

static void nothing_limits_the_tenant_that_is_used_without_a_key(void **state)
{
	struct core_event event = {.kind = CORE_TENANT_SET, .u.tenant_set = {.credit_nano = -1,
		.requests_per_min = -1, .tokens_per_min = 100}};
	struct house h;

	(void)state;
	house_start(&h);
	strcpy(event.u.tenant_set.name, CORE_TENANT_LOCAL);
	house_send(&h, event);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_INVALID);
	event.u.tenant_set.tokens_per_min = 0;
	event.u.tenant_set.requests_per_min = 1;
	house_send(&h, event);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_INVALID);
	house_close(&h);
}

static void another_credit_or_limit_forgives_no_tokens_that_were_used(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100000, 0);
	tenant_set(&h, 0, 0, 1200);
	h.length[0] = 1900;
	house_request(&h, 0, 1, 100, 1900);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 1900);
	tenant_set(&h, 5, 0, 1200);
	house_ask(&h, 1, 1);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns,
		(2000 - 1200 + 1) * HOUSE_S / 20);
	tenant_set(&h, 5, 0, 1800);
	house_ask(&h, 1, 1);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns,
		(2000 - 1800 + 1) * HOUSE_S / 30);
	house_close(&h);
}

static void a_request_for_more_than_a_minutes_tokens_pays_for_what_it_used(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 100000, 0);
	tenant_set(&h, 0, 0, 1200);
	h.length[0] = 2000;
	house_request(&h, 0, 1, 100, 5000);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 2000);
	house_ask(&h, 1, 1);
	assert_int_equal(house_last(&h, CORE_REFUSE)->u.refuse.retry_after_ns,
		(2100 - 1200 + 1) * HOUSE_S / 20);
	house_close(&h);
}

/* ---- the end (rules.md 7, 16, 18) ------------------------------------------------------------ */

static void a_stream_is_delivered_flushed_settled_durably_and_then_ended(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_DELIVER)->u.deliver.answer_tokens, 7);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.finish, RECORD_FINISH_STOP);
	house_stored(&h);
	assert_int_equal(house_count(&h, CORE_END), 0);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	assert_int_equal(house_transaction(&h)->kind, RECORD_SETTLE);
	assert_true(house_last(&h, CORE_STORE)->u.store.awaited);
	assert_int_equal(house_count(&h, CORE_END), 0);
	house_stored(&h);
	const struct core_action *end = house_last(&h, CORE_END);

	assert_int_equal(end->u.end.finish, RECORD_FINISH_STOP);
	assert_int_equal(end->u.end.prompt_tokens, 100);
	assert_int_equal(end->u.end.completion_tokens, 7);
	assert_int_equal(end->u.end.amount_nano, 2 * 100 + 3 * 7);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000 - 221);
	assert_int_equal(house_show(&h, "acme").held_nano, 0);
	house_close(&h);
}

static void reasoning_and_tool_calls_are_what_the_front_has_found(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	house_send(&h, (struct core_event){.kind = CORE_FLUSHED,
		.u.progress = {.tokens = 7, .reasoning = 3, .tool_calls = true}});
	const struct record_usage *usage = &house_last(&h, CORE_STORE)->u.store.u.money.usage;

	assert_int_equal(usage->finish, RECORD_FINISH_TOOL_CALLS);
	assert_int_equal(usage->reasoning, 3);
	house_close(&h);
}

static void who_leaves_before_the_prompt_was_processed_pays_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 10000, 0);
	house_request(&h, 0, 1, 1000, 50);
	house_run(&h);      /* the first 512 rows of it */
	house_progress(&h, CORE_CANCEL, 0, 0);
	house_run_all(&h);
	house_stored(&h);
	const struct core_action *end = house_last(&h, CORE_END);

	assert_int_equal(end->u.end.finish, RECORD_FINISH_CANCELLED);
	assert_int_equal(end->u.end.prompt_tokens, 0);
	assert_int_equal(end->u.end.amount_nano, 0);
	assert_int_equal(house_show(&h, "acme").balance_nano, 10000);
	house_close(&h);
}

static void who_leaves_later_pays_the_prompt_and_what_was_written(void **state)
{
	struct core_stats stats;
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	for (int i = 0; i < 6; i++)
		house_run(&h);
	house_progress(&h, CORE_WRITTEN, 0, 3);
	house_progress(&h, CORE_CANCEL, 0, 4);
	house_run_all(&h);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.completion_tokens, 4);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 4);
	core_stats(h.core, &stats);
	assert_int_equal(stats.tokens_undelivered, stats.tokens_sampled - 4);
	house_close(&h);
}

static void who_leaves_while_the_rest_is_written_pays_what_was_written(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	house_progress(&h, CORE_CANCEL, 0, 5);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.finish, RECORD_FINISH_CANCELLED);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 5);
	house_close(&h);
}

/* Runs so many batches, then the front fails. */
static void check_failed_front(uint32_t batches, uint32_t length)
{
	struct core_event failed = {.kind = CORE_CANCEL};
	struct house h;

	start_with(&h, 1000, 0);
	h.length[0] = length;
	house_request(&h, 0, 1, 100, 50);
	for (uint32_t i = 0; i < batches && h.flight_count > 0; i++)
		house_run(&h);
	house_progress(&h, CORE_WRITTEN, 0, 2);
	failed.u.progress.tokens = 2;
	failed.u.progress.failed = true;
	house_send(&h, failed);
	house_run_all(&h);
	house_stored(&h);
	const struct core_action *end = house_last(&h, CORE_END);

	assert_int_equal(end->u.end.finish, RECORD_FINISH_ERROR);
	assert_int_equal(end->u.end.amount_nano, 0);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	assert_int_equal(house_show(&h, "acme").held_nano, 0);
	house_close(&h);
}

static void a_front_that_cannot_go_on_costs_the_client_nothing(void **state)
{
	(void)state;
	check_failed_front(5, 40);      /* in the middle of the answer */
	check_failed_front(12, 7);      /* when all of it is there */
}

static void a_cancel_that_meets_the_settle_changes_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	house_progress(&h, CORE_CANCEL, 0, 7);
	house_stored(&h);
	house_progress(&h, CORE_CANCEL, 0, 7);
	assert_int_equal(house_count(&h, CORE_END), 1);
	assert_int_equal(house_last(&h, CORE_END)->u.end.finish, RECORD_FINISH_STOP);
	house_close(&h);
}

static void a_cancel_while_tokens_are_counted_leaves_no_trace(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	const uint64_t given = h.given;

	house_ask(&h, 0, 1);
	house_progress(&h, CORE_CANCEL, 0, 0);
	assert_false(house_last(&h, CORE_END)->u.end.recorded);
	assert_int_equal(h.given, given);
	house_close(&h);
}

static void an_engine_error_costs_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	for (int i = 0; i < 3; i++)
		house_run(&h);
	h.flight[0]->failed = true;
	house_run(&h);
	house_run_all(&h);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.finish, RECORD_FINISH_ERROR);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 0);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	house_close(&h);
}

static void the_price_in_force_at_admission_is_the_one_that_is_charged(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_price(&h, 1000, 1000);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 7);
	house_close(&h);
}

/* ---- growth (rules.md 14) -------------------------------------------------------------------- */

static void a_hold_grows_with_the_answer_before_the_answer_needs_it(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000000, 0);
	house_request(&h, 0, 1, 100, 0);
	while (h.sampled[0] < 3000)
		house_run(&h);
	house_stored(&h);
	assert_int_equal(house_show(&h, "acme").held_nano, 2 * 100 + 3 * 3 * 1024);
	house_close(&h);
}

static void an_answer_ends_with_length_where_the_money_ends(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 200 + 3 * 1500 + 2, 0);
	house_request(&h, 0, 1, 100, 0);
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.answer_tokens, 1500);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.finish, RECORD_FINISH_LENGTH);
	house_progress(&h, CORE_FLUSHED, 0, 1500);
	assert_int_equal(house_show(&h, "acme").balance_nano, 2);
	house_close(&h);
}

static void an_answer_waits_for_room_among_the_records_rather_than_grow_without_hold(void **state)
{
	struct core_limits limits = house_limits;
	struct house h;

	(void)state;
	limits.records_max = 4;
	house_open(&h, &limits);
	house_ready(&h);
	house_stored(&h);
	house_request(&h, 0, 0, 100, 0);    /* hold, settle and its undoing take three of four */
	struct core_event event = {.kind = CORE_TENANT_CREATE};

	house_run_all(&h);
	assert_int_equal(h.sampled[0], 2048);   /* the fourth went to the first growth */
	strcpy(event.u.tenant_create.tenant.name, "acme");
	house_send(&h, event);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_FULL);
	house_stored(&h);
	assert_int_equal(h.flight_count, 2);
	house_close(&h);
}

/* ---- the store fails (rules.md 18) ----------------------------------------------------------- */

static void a_settle_that_is_not_durable_ends_with_an_error_and_costs_nothing(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	h.length[0] = 7;
	house_request(&h, 0, 1, 100, 50);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 7);
	const uint64_t settle = house_last(&h, CORE_STORE)->u.store.sequence;

	house_send(&h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h.given});
	const struct core_action *end = house_last(&h, CORE_END);
	const struct record *record = &house_last(&h, CORE_STORE)->u.store;

	assert_true(end->u.end.store_failed);
	assert_int_equal(end->u.end.finish, RECORD_FINISH_ERROR);
	assert_int_equal(end->u.end.amount_nano, 0);
	assert_int_equal(record->replaces, settle);
	assert_int_equal(record->u.money.usage.amount_nano, 0);
	assert_int_equal(record->u.money.usage.finish, RECORD_FINISH_ERROR);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	house_close(&h);
}

static void while_commits_fail_new_requests_are_refused_until_one_works(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	house_send(&h, (struct core_event){.kind = CORE_STORE_FAILED,
		.u.store.sequence = h.given});
	house_ask(&h, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_STORE_DOWN);
	assert_int_equal(h.actions.deadline_ns, h.now_ns + HOUSE_S);
	assert_int_equal(h.retries, 0);
	h.now_ns += HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(h.retries, 1);
	house_ask(&h, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_STORE_DOWN);
	house_stored(&h);
	house_ask(&h, 1, 1);
	house_last(&h, CORE_ADMIT);
	house_close(&h);
}

static void a_command_is_answered_when_it_is_durable(void **state)
{
	struct core_event event = {.kind = CORE_TENANT_TOPUP};
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_forget(&h);
	strcpy(event.u.tenant_topup.name, "acme");
	event.token = 99;
	event.u.tenant_topup.amount_nano = 500;
	house_send(&h, event);
	assert_int_equal(house_count(&h, CORE_REPLY), 0);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.token, 99);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.balance_nano, 1500);
	house_close(&h);
}

/* ---- slow clients, the end of the day (rules.md 5, 9) ---------------------------------------- */

static void a_client_that_takes_nothing_is_not_run_and_after_30_s_cut_off(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	house_run(&h);
	house_progress(&h, CORE_STALL, 0, 1);
	house_run_all(&h);
	assert_int_equal(h.actions.deadline_ns, h.now_ns + 30 * HOUSE_S);
	h.now_ns += 30 * HOUSE_S - 1;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(house_count(&h, CORE_CUT), 0);
	h.now_ns += 1;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(house_last(&h, CORE_CUT)->u.cut.handle, 0);
	house_progress(&h, CORE_CANCEL, 0, 1);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 1);
	house_close(&h);
}

static void a_byte_that_was_taken_starts_the_30_s_again(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	house_progress(&h, CORE_STALL, 0, 0);
	h.now_ns += 29 * HOUSE_S;
	house_progress(&h, CORE_STALL, 0, 0);
	h.now_ns += 29 * HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(house_count(&h, CORE_CUT), 0);
	house_progress(&h, CORE_RESUME, 0, 0);
	house_run_all(&h);
	house_last(&h, CORE_ANSWERED);
	house_close(&h);
}

static void start_with_one_slot(struct house *h)
{
	struct core_limits limits = house_limits;

	limits.pool.slots = 1;
	house_open(h, &limits);
	house_ready(h);
	house_tenant(h, "acme", 1000, 0);
	house_key_create(h, "acme", 1);
	house_price(h, 2, 3);
}

static void clients_that_take_nothing_hold_up_nobody(void **state)
{
	struct core_stats stats;
	struct house h;

	(void)state;
	start_with_one_slot(&h);
	h.length[1] = 5;
	house_request(&h, 0, 1, 100, 50);
	house_run(&h);
	house_progress(&h, CORE_STALL, 0, 0);
	house_run_all(&h);
	house_request(&h, 1, 1, 10, 50);
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.handle, 1);
	core_stats(h.core, &stats);
	assert_int_equal(stats.parked, 1);
	assert_int_equal(stats.running + stats.waiting + stats.pages_used, 0);
	house_close(&h);
}

/* It may go on so for ever, and has nothing but its record. */
static void one_that_takes_a_byte_now_and_then_stays_and_holds_nothing(void **state)
{
	struct core_stats stats;
	struct house h;

	(void)state;
	start_with_one_slot(&h);
	house_request(&h, 0, 1, 100, 50);
	house_run(&h);
	house_progress(&h, CORE_STALL, 0, 0);
	house_run_all(&h);
	h.length[1] = 5;
	house_request(&h, 1, 1, 10, 50);
	house_run_all(&h);
	for (int i = 0; i < 100; i++) {
		h.now_ns += 29 * HOUSE_S;
		house_progress(&h, CORE_STALL, 0, 0);
	}
	assert_int_equal(house_count(&h, CORE_CUT), 0);
	core_stats(h.core, &stats);
	assert_int_equal(stats.parked, 1);
	assert_int_equal(stats.running + stats.waiting + stats.pages_used, 0);
	h.now_ns += 30 * HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	assert_int_equal(house_last(&h, CORE_CUT)->u.cut.handle, 0);
	house_close(&h);
}

static void what_is_computed_again_is_not_charged_again(void **state)
{
	struct core_stats stats;
	struct house h;

	(void)state;
	start_with_one_slot(&h);
	h.length[0] = 20;
	h.length[1] = 5;
	house_request(&h, 0, 1, 100, 50);
	while (h.sampled[0] < 7)
		house_run(&h);
	house_progress(&h, CORE_STALL, 0, 3);
	house_run_all(&h);
	house_request(&h, 1, 1, 10, 50);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 1, 5);
	house_stored(&h);
	house_progress(&h, CORE_RESUME, 0, 0);
	house_run_all(&h);
	house_progress(&h, CORE_FLUSHED, 0, 20);
	house_stored(&h);
	core_stats(h.core, &stats);
	assert_int_equal(stats.preemptions, 1);
	assert_int_equal(stats.tokens_sampled, 25);
	assert_int_equal(house_last(&h, CORE_END)->u.end.handle, 0);
	assert_int_equal(house_last(&h, CORE_END)->u.end.prompt_tokens, 100);
	assert_int_equal(house_last(&h, CORE_END)->u.end.completion_tokens, 20);
	assert_int_equal(house_last(&h, CORE_END)->u.end.amount_nano, 2 * 100 + 3 * 20);
	assert_int_equal(house_show(&h, "acme").balance_nano,
		1000 - (2 * 100 + 3 * 20) - (2 * 10 + 3 * 5));
	assert_int_equal(house_show(&h, "acme").held_nano, 0);
	house_close(&h);
}

/* The queue is of those who may run. */
static void who_is_parked_does_not_fill_the_queue(void **state)
{
	struct house h;

	(void)state;
	start_with_one_slot(&h);
	for (uint32_t i = 0; i < 6; i++) {
		h.length[i] = 5;
		house_request(&h, i, 1, 10, 5);
		while (h.sampled[i] < 1)
			house_run(&h);
		house_progress(&h, CORE_STALL, i, 0);
		while (h.flight_count > 0)
			house_run(&h);
	}
	assert_int_equal(house_count(&h, CORE_REFUSE), 0);
	h.length[6] = 5;
	house_request(&h, 6, 1, 10, 5);
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.handle, 6);
	house_close(&h);
}

static void a_drained_core_refuses_new_ones_cuts_the_rest_and_stops(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	house_run(&h);
	house_send(&h, (struct core_event){.kind = CORE_DRAIN, .u.drain.grace_ns = 30 * HOUSE_S});
	house_ask(&h, 1, 1);
	assert_int_equal(refusal(&h), CORE_REFUSE_DRAINING);
	assert_int_equal(house_count(&h, CORE_CUT), 0);
	h.now_ns += 30 * HOUSE_S;
	house_send(&h, (struct core_event){.kind = CORE_TICK});
	house_last(&h, CORE_CUT);
	house_progress(&h, CORE_CANCEL, 0, 1);
	house_run_all(&h);
	assert_int_equal(house_count(&h, CORE_STOPPED), 0);
	house_stored(&h);
	assert_int_equal(house_count(&h, CORE_STOPPED), 1);
	house_close(&h);
}

static void a_second_drain_ends_at_once(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 50);
	house_send(&h, (struct core_event){.kind = CORE_DRAIN, .u.drain.grace_ns = 30 * HOUSE_S});
	house_send(&h, (struct core_event){.kind = CORE_DRAIN, .u.drain.grace_ns = 0});
	house_last(&h, CORE_CUT);
	house_close(&h);
}

/* A timer may come late; the last batch comes back after the deadline and before the TICK. */
static void a_last_token_that_comes_after_the_grace_time_and_before_the_tick_is_told(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 3);
	while (h.sampled[0] < 2)
		house_run(&h);
	house_send(&h, (struct core_event){.kind = CORE_DRAIN, .u.drain.grace_ns = 30 * HOUSE_S});
	h.now_ns += 31 * HOUSE_S;
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.finish, RECORD_FINISH_LENGTH);
	assert_int_equal(house_last(&h, CORE_CUT)->u.cut.handle, 0);
	house_progress(&h, CORE_CANCEL, 0, 2);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.completion_tokens, 2);
	assert_int_equal(house_count(&h, CORE_STOPPED), 1);
	house_close(&h);
}

static void a_last_token_that_comes_when_its_client_has_stalled_too_long_is_told(void **state)
{
	struct house h;

	(void)state;
	start_with(&h, 1000, 0);
	house_request(&h, 0, 1, 100, 3);
	while (h.sampled[0] < 2)
		house_run(&h);
	house_progress(&h, CORE_STALL, 0, 1);
	h.now_ns += 31 * HOUSE_S;
	house_run_all(&h);
	assert_int_equal(house_last(&h, CORE_ANSWERED)->u.answered.answer_tokens, 3);
	assert_int_equal(house_last(&h, CORE_CUT)->u.cut.handle, 0);
	house_progress(&h, CORE_CANCEL, 0, 1);
	house_stored(&h);
	assert_int_equal(house_last(&h, CORE_END)->u.end.completion_tokens, 1);
	house_close(&h);
}

/* ---- boot (rules.md 19) ---------------------------------------------------------------------- */

static void load_tenant(struct house *h, uint32_t id, const char *name, int64_t balance_nano,
	int64_t held_nano)
{
	struct core_event event = {.kind = CORE_LOAD_TENANT};

	event.u.load_tenant.tenant.id = id;
	strcpy(event.u.load_tenant.tenant.name, name);
	event.u.load_tenant.balance_nano = balance_nano;
	event.u.load_tenant.held_nano = held_nano;
	house_send(h, event);
}

static void open_with_cash(struct house *h, int64_t cash_nano)
{
	memset(h, 0, sizeof(*h));
	h->limits = house_limits;
	h->core = core_init(calloc(1, core_bytes(&house_limits)), &house_limits);
	house_send(h, (struct core_event){.kind = CORE_LOAD_COUNTERS,
		.u.load_counters = {.transaction_id_next = 5, .price_version_next = 1,
			.cash_nano = cash_nano}});
}

static void what_a_crash_cut_off_is_released_and_recorded_as_error(void **state)
{
	struct core_event cut_off = {.kind = CORE_LOAD_CUT_OFF};
	struct core_stats stats;
	struct house h;

	(void)state;
	open_with_cash(&h, -1000);
	load_tenant(&h, 1, "acme", 650, 350);
	cut_off.u.cut_off.usage.tenant_id = 1;
	cut_off.u.cut_off.usage.input = 100;
	cut_off.u.cut_off.held_nano = 350;
	cut_off.u.cut_off.tokens = 12;
	house_send(&h, cut_off);
	assert_int_equal(house_transaction(&h)->kind, RECORD_RELEASE);
	assert_int_equal(house_transaction(&h)->id, 5);
	const struct record_usage *usage = &house_last(&h, CORE_STORE)->u.store.u.money.usage;

	assert_int_equal(usage->finish, RECORD_FINISH_ERROR);
	assert_int_equal(usage->amount_nano, 0);
	house_ready(&h);
	assert_int_equal(house_show(&h, "acme").balance_nano, 1000);
	core_stats(h.core, &stats);
	assert_int_equal(stats.tokens_unrecorded, 12);
	house_close(&h);
}

static enum core_result ready_result(struct house *h)
{
	house_send(h, (struct core_event){.kind = CORE_READY});
	return house_last(h, CORE_REPLY)->u.reply.result;
}

/* Or the release would hide from who mends it what the crash left. */
static void where_something_does_not_fit_nothing_is_written(void **state)
{
	struct core_event cut_off = {.kind = CORE_LOAD_CUT_OFF};
	struct core_event key = {.kind = CORE_LOAD_KEY};
	struct house h;

	(void)state;
	open_with_cash(&h, -1000);
	load_tenant(&h, 1, "acme", 650, 350);
	key.u.load_key.tenant_id = 1;   /* its id is 0 */
	house_send(&h, key);
	cut_off.u.cut_off.usage.tenant_id = 1;
	cut_off.u.cut_off.held_nano = 350;
	house_send(&h, cut_off);
	assert_int_equal(house_count(&h, CORE_STORE), 0);
	assert_int_equal(ready_result(&h), CORE_RESULT_CONTRADICTION);
	house_close(&h);
}

static void a_ledger_that_does_not_add_up_is_not_started_with(void **state)
{
	struct house h;

	(void)state;
	open_with_cash(&h, -1000);
	load_tenant(&h, 1, "acme", 999, 0);
	assert_int_equal(ready_result(&h), CORE_RESULT_CONTRADICTION);
	house_close(&h);

	open_with_cash(&h, -1000);
	load_tenant(&h, 1, "acme", 650, 350);   /* held, and nobody holds it */
	assert_int_equal(ready_result(&h), CORE_RESULT_CONTRADICTION);
	house_close(&h);

	open_with_cash(&h, 0);
	load_tenant(&h, 2, "acme", 0, 0);
	assert_int_equal(ready_result(&h), CORE_RESULT_CONTRADICTION);
	house_close(&h);
}

/* Someone owns nearly all the money that can be counted. */
static void a_tenant_whose_balance_cannot_be_booked_is_not_created(void **state)
{
	const int64_t owned_nano = INT64_MAX - 5;
	struct core_event topup = {.kind = CORE_TENANT_TOPUP, .u.tenant_topup.amount_nano = 100};
	struct core_event create = {.kind = CORE_TENANT_CREATE};
	struct core_event show = {.kind = CORE_TENANT_SHOW, .u.tenant_show.name = "late"};
	struct house h;

	(void)state;
	open_with_cash(&h, -owned_nano);
	load_tenant(&h, 1, "acme", owned_nano, 0);
	house_ready(&h);
	strcpy(topup.u.tenant_topup.name, "acme");
	house_send(&h, topup);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_ACCOUNT_FULL);

	strcpy(create.u.tenant_create.tenant.name, "late");
	create.u.tenant_create.topup_nano = 100;
	house_send(&h, create);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_ACCOUNT_FULL);
	house_send(&h, show);
	assert_int_equal(house_last(&h, CORE_REPLY)->u.reply.result, CORE_RESULT_NOT_FOUND);
	house_tenant(&h, "late", 6, 0);
	assert_int_equal(house_show(&h, "late").balance_nano, 6);
	house_close(&h);
}

static void more_tenants_than_there_is_room_for_are_not_started_with(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	struct house h;

	(void)state;
	open_with_cash(&h, 0);
	for (uint32_t i = 0; i < 5; i++)
		load_tenant(&h, i + 1, names[i], 0, 0);
	assert_int_equal(ready_result(&h), CORE_RESULT_FULL);
	house_close(&h);
}

static void limits_out_of_bounds_are_named(void **state)
{
	struct core_limits limits = house_limits;
	struct err_info info = {0};

	(void)state;
	assert_int_equal(core_limits_check(&limits, &info), ERR_NONE);
	limits.records_max = 2;
	assert_int_equal(core_limits_check(&limits, &info), ERR_LIMIT);
	assert_string_equal(info.text, "limit of records: 2 is not in 3 .. 1000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_out_of_bounds_are_named),
		cmocka_unit_test(without_any_key_loopback_is_tenant_local_and_never_refused),
		cmocka_unit_test(a_key_that_means_nothing_is_ignored_as_long_as_there_is_none),
		cmocka_unit_test(not_on_loopback_nothing_goes_without_a_key),
		cmocka_unit_test(once_a_key_exists_every_request_needs_a_good_one),
		cmocka_unit_test(revoking_the_last_key_does_not_open_the_door_again),
		cmocka_unit_test(holds_the_prompt_and_all_of_max_tokens),
		cmocka_unit_test(refuses_what_the_balance_cannot_cover_and_takes_nothing),
		cmocka_unit_test(spends_down_to_the_credit_and_never_below),
		cmocka_unit_test(an_open_end_holds_one_step_and_does_not_lock_the_balance),
		cmocka_unit_test(an_open_end_holds_what_the_balance_allows_and_at_least_one_token),
		cmocka_unit_test(a_prompt_that_leaves_no_room_is_too_long),
		cmocka_unit_test(the_key_is_looked_at_before_the_model),
		cmocka_unit_test(a_full_queue_says_when_to_come_again),
		cmocka_unit_test(a_tenant_is_limited_to_its_requests_a_minute),
		cmocka_unit_test(tokens_that_were_not_used_are_given_back_to_the_limit),
		cmocka_unit_test(an_open_ended_answer_pays_the_limit_for_all_its_tokens),
		cmocka_unit_test(who_is_over_a_limit_is_told_so_though_the_queue_is_full),
		cmocka_unit_test(nothing_limits_the_tenant_that_is_used_without_a_key),
		cmocka_unit_test(another_credit_or_limit_forgives_no_tokens_that_were_used),
		cmocka_unit_test(
			a_request_for_more_than_a_minutes_tokens_pays_for_what_it_used),
		cmocka_unit_test(a_stream_is_delivered_flushed_settled_durably_and_then_ended),
		cmocka_unit_test(reasoning_and_tool_calls_are_what_the_front_has_found),
		cmocka_unit_test(who_leaves_before_the_prompt_was_processed_pays_nothing),
		cmocka_unit_test(who_leaves_later_pays_the_prompt_and_what_was_written),
		cmocka_unit_test(who_leaves_while_the_rest_is_written_pays_what_was_written),
		cmocka_unit_test(a_front_that_cannot_go_on_costs_the_client_nothing),
		cmocka_unit_test(a_cancel_that_meets_the_settle_changes_nothing),
		cmocka_unit_test(a_cancel_while_tokens_are_counted_leaves_no_trace),
		cmocka_unit_test(an_engine_error_costs_nothing),
		cmocka_unit_test(the_price_in_force_at_admission_is_the_one_that_is_charged),
		cmocka_unit_test(a_hold_grows_with_the_answer_before_the_answer_needs_it),
		cmocka_unit_test(an_answer_ends_with_length_where_the_money_ends),
		cmocka_unit_test(
			an_answer_waits_for_room_among_the_records_rather_than_grow_without_hold),
		cmocka_unit_test(a_settle_that_is_not_durable_ends_with_an_error_and_costs_nothing),
		cmocka_unit_test(while_commits_fail_new_requests_are_refused_until_one_works),
		cmocka_unit_test(a_command_is_answered_when_it_is_durable),
		cmocka_unit_test(a_client_that_takes_nothing_is_not_run_and_after_30_s_cut_off),
		cmocka_unit_test(a_byte_that_was_taken_starts_the_30_s_again),
		cmocka_unit_test(clients_that_take_nothing_hold_up_nobody),
		cmocka_unit_test(one_that_takes_a_byte_now_and_then_stays_and_holds_nothing),
		cmocka_unit_test(what_is_computed_again_is_not_charged_again),
		cmocka_unit_test(who_is_parked_does_not_fill_the_queue),
		cmocka_unit_test(a_drained_core_refuses_new_ones_cuts_the_rest_and_stops),
		cmocka_unit_test(a_second_drain_ends_at_once),
		cmocka_unit_test(
			a_last_token_that_comes_after_the_grace_time_and_before_the_tick_is_told),
		cmocka_unit_test(
			a_last_token_that_comes_when_its_client_has_stalled_too_long_is_told),
		cmocka_unit_test(what_a_crash_cut_off_is_released_and_recorded_as_error),
		cmocka_unit_test(where_something_does_not_fit_nothing_is_written),
		cmocka_unit_test(a_ledger_that_does_not_add_up_is_not_started_with),
		cmocka_unit_test(a_tenant_whose_balance_cannot_be_booked_is_not_created),
		cmocka_unit_test(more_tenants_than_there_is_room_for_are_not_started_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
