/* tests/cloud/ledger_test.c - money moves between accounts and is never made. */
#include "unit.h"

#include "base/prng.h"
#include "cloud/ledger.h"

static struct ledger_account accounts[3];

static struct ledger ledger_of(int64_t credit_nano)
{
	for (int i = 0; i < 3; i++)
		accounts[i] = (struct ledger_account){.credit_nano = credit_nano};
	return (struct ledger){.transaction_id_next = 1, .account_count = 3, .accounts = accounts};
}

static void a_top_up_a_hold_and_a_settle_add_up(void **state)
{
	struct ledger l = ledger_of(0);
	struct record_transaction t;

	(void)state;
	assert_true(ledger_topup(&l, 2, 1000, &t));
	assert_true(ledger_hold(&l, 2, 600, 0, &t));
	assert_int_equal(accounts[1].balance_nano, 400);
	assert_int_equal(accounts[1].held_nano, 600);
	assert_true(ledger_settle(&l, 2, 600, 250, &t));
	assert_int_equal(accounts[1].balance_nano, 750);
	assert_int_equal(accounts[1].held_nano, 0);
	assert_int_equal(l.revenue_nano, 250);
	assert_int_equal(l.cash_nano, -1000);
	assert_true(ledger_balanced(&l));
	assert_int_equal(t.id, 3);
}

static void a_hold_stops_at_the_credit_and_changes_nothing(void **state)
{
	struct ledger l = ledger_of(100);
	struct record_transaction t;

	(void)state;
	assert_true(ledger_topup(&l, 1, 50, &t));
	assert_false(ledger_hold(&l, 1, 151, 0, &t));
	assert_int_equal(accounts[0].balance_nano, 50);
	assert_true(ledger_hold(&l, 1, 150, 0, &t));
	assert_int_equal(ledger_spendable(&l, 1), 0);
	assert_true(ledger_hold(&l, 1, 0, 1, &t));      /* free is always possible */
}

static void an_unlimited_credit_is_never_refused(void **state)
{
	struct ledger l = ledger_of(LEDGER_CREDIT_UNLIMITED);
	struct record_transaction t;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_true(ledger_hold(&l, 1, LEDGER_AMOUNT_MAX, 0, &t));
	assert_int_equal(ledger_spendable(&l, 1), INT64_MAX);
}

static void what_would_overflow_is_refused_whole(void **state)
{
	struct ledger l = ledger_of(0);
	struct record_transaction t;
	int count = 0;

	(void)state;
	while (ledger_topup(&l, 1, LEDGER_AMOUNT_MAX, &t))
		count++;
	assert_int_equal(count, 9);
	assert_int_equal(accounts[0].balance_nano, 9 * LEDGER_AMOUNT_MAX);
	assert_true(ledger_balanced(&l));
}

/* Up to the very edge: what was let in can also get out. */
static void what_is_held_can_always_be_charged_and_given_back(void **state)
{
	struct ledger l = ledger_of(LEDGER_CREDIT_UNLIMITED);
	struct record_transaction t;
	int holds[3] = {0};

	(void)state;
	for (uint32_t tenant = 1; tenant <= 3; tenant++)
		while (ledger_hold(&l, tenant, LEDGER_AMOUNT_MAX, 0, &t))
			holds[tenant - 1]++;
	assert_int_equal(holds[0] + holds[1] + holds[2], 9);
	for (uint32_t tenant = 1; tenant <= 3; tenant++)
		while (holds[tenant - 1]-- > 0)
			assert_true(ledger_settle(&l, tenant, LEDGER_AMOUNT_MAX,
				LEDGER_AMOUNT_MAX, &t));

	l = ledger_of(0);
	while (ledger_topup(&l, 1, LEDGER_AMOUNT_MAX, &t))
		continue;
	assert_true(ledger_hold(&l, 1, LEDGER_AMOUNT_MAX, 0, &t));
	assert_false(ledger_topup(&l, 1, LEDGER_AMOUNT_MAX, &t));
	assert_true(ledger_settle(&l, 1, LEDGER_AMOUNT_MAX, 0, &t));
	assert_true(ledger_balanced(&l));
}

static void a_settle_that_is_undone_leaves_nothing_but_a_free_one(void **state)
{
	struct ledger l = ledger_of(0);
	struct record_transaction t;

	(void)state;
	assert_true(ledger_topup(&l, 1, 1000, &t));
	assert_true(ledger_hold(&l, 1, 600, 0, &t));
	assert_true(ledger_settle(&l, 1, 600, 250, &t));
	assert_true(ledger_unsettle(&l, 1, 600, 250, &t));
	assert_int_equal(accounts[0].balance_nano, 1000);
	assert_int_equal(accounts[0].held_nano, 0);
	assert_int_equal(l.revenue_nano, 0);
	assert_int_equal(t.kind, RECORD_SETTLE);
	assert_true(ledger_transaction_valid(&t));
}

static void a_transaction_that_makes_money_is_not_valid(void **state)
{
	struct ledger l = ledger_of(0);
	struct record_transaction t;

	(void)state;
	assert_true(ledger_topup(&l, 1, 1000, &t));
	assert_true(ledger_transaction_valid(&t));
	t.entries[1].amount_nano++;
	assert_false(ledger_transaction_valid(&t));
	t.entries[0].amount_nano--;
	assert_true(ledger_transaction_valid(&t));
	t.entries[1].account = RECORD_REVENUE;
	assert_false(ledger_transaction_valid(&t));
}

/* Every transaction is valid, and the accounts are the sum of the transactions. */
static void whatever_happens_the_sum_of_all_accounts_is_zero(void **state)
{
	struct ledger l = ledger_of(500);
	struct record_transaction t;
	int64_t held = 0;
	struct prng g;

	(void)state;
	prng_init(&g, 5);
	for (int i = 0; i < 100000; i++) {
		const uint32_t tenant = 1 + (uint32_t)prng_below(&g, 3);
		const int64_t amount = 1 + (int64_t)prng_below(&g, 2000);
		const int64_t charge = (int64_t)prng_below(&g, (uint64_t)amount + 1);

		t = (struct record_transaction){.kind = RECORD_TOPUP};
		if (prng_below(&g, 4) == 0)
			assert_true(ledger_topup(&l, tenant, amount, &t));
		else if (ledger_hold(&l, tenant, amount, 0, &t))
			held++;
		else
			continue;
		assert_true(ledger_transaction_valid(&t));
		if (t.kind == RECORD_HOLD)
			assert_true(ledger_settle(&l, tenant, amount, charge, &t));
		assert_true(ledger_transaction_valid(&t));
		assert_true(ledger_balanced(&l));
		assert_true(accounts[tenant - 1].balance_nano >= -500);
	}
	assert_true(held > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_top_up_a_hold_and_a_settle_add_up),
		cmocka_unit_test(a_hold_stops_at_the_credit_and_changes_nothing),
		cmocka_unit_test(an_unlimited_credit_is_never_refused),
		cmocka_unit_test(what_would_overflow_is_refused_whole),
		cmocka_unit_test(what_is_held_can_always_be_charged_and_given_back),
		cmocka_unit_test(a_settle_that_is_undone_leaves_nothing_but_a_free_one),
		cmocka_unit_test(a_transaction_that_makes_money_is_not_valid),
		cmocka_unit_test(whatever_happens_the_sum_of_all_accounts_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
