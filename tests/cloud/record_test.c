/* tests/cloud/record_test.c - the texts that follow from rows, as cli.md and the ledger promise
 * them. */
#include "unit.h"

#include <string.h>

#include "cloud/record.h"

static const struct record_request request = {0x0123456789abcdefULL, 0xfedcba9876543210ULL};

static void a_request_id_is_read_back_as_it_was_written(void **state)
{
	struct record_request back;
	char text[RECORD_REQUEST_BYTES];

	(void)state;
	record_request_format(text, request);
	assert_string_equal(text, "req_0123456789abcdeffedcba9876543210");
	assert_true(record_request_parse(&back, text));
	assert_int_equal(back.high, request.high);
	assert_int_equal(back.low, request.low);
}

static void what_is_no_request_id_is_refused(void **state)
{
	static const char *const wrong[] = {"", "req_", "req_0123456789abcdeffedcba987654321",
		"req_0123456789abcdeffedcba98765432100", "req_0123456789ABCDEFfedcba9876543210",
		"qer_0123456789abcdeffedcba9876543210", "req_0123456789abcdeffedcba987654321g"};
	struct record_request back;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(record_request_parse(&back, wrong[i]));
}

static void an_idempotency_key_names_what_must_happen_once(void **state)
{
	struct record_transaction t = {.kind = RECORD_HOLD, .id = 9, .has_request = true,
		.request = request, .part = 2};
	char text[RECORD_TEXT_BYTES];

	(void)state;
	record_idempotency_format(text, &t);
	assert_string_equal(text, "hold:req_0123456789abcdeffedcba9876543210:2");
	t.kind = RECORD_SETTLE;
	record_idempotency_format(text, &t);
	assert_string_equal(text, "settle:req_0123456789abcdeffedcba9876543210");
	t = (struct record_transaction){.kind = RECORD_TOPUP, .id = 9};
	record_idempotency_format(text, &t);
	assert_string_equal(text, "topup:9");
}

static void accounts_are_named_by_server_and_tenant(void **state)
{
	char longest[RECORD_NAME_BYTES];
	char text[RECORD_TEXT_BYTES];

	(void)state;
	record_account_format(text, RECORD_LEASE, 1, "acme");
	assert_string_equal(text, "lease/1/acme");
	record_account_format(text, RECORD_HELD, 1, "acme");
	assert_string_equal(text, "held/1/acme");
	record_account_format(text, RECORD_CASH, 1, "acme");
	assert_string_equal(text, "cash");
	record_account_format(text, RECORD_REVENUE, 1, "acme");
	assert_string_equal(text, "revenue");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	record_account_format(text, RECORD_LEASE, UINT32_MAX, longest);
	assert_int_equal(strlen(text), strlen("lease/4294967295/") + 64);
}

static void names_of_kinds_and_finishes_are_read_back(void **state)
{
	(void)state;
	for (int i = RECORD_TOPUP; i <= RECORD_ADJUST; i++) {
		enum record_transaction_kind kind;

		assert_true(record_transaction_kind_parse(&kind,
			record_transaction_name((enum record_transaction_kind)i)));
		assert_int_equal(kind, i);
	}
	for (int i = RECORD_FINISH_OPEN; i <= RECORD_FINISH_ERROR; i++) {
		enum record_finish finish;

		assert_true(record_finish_parse(&finish,
			record_finish_name((enum record_finish)i)));
		assert_int_equal(finish, i);
	}
	enum record_finish finish;

	assert_false(record_finish_parse(&finish, "stopp"));
}

static void tenant_names_are_short_and_plain(void **state)
{
	char name[RECORD_NAME_BYTES + 1];

	(void)state;
	assert_true(record_tenant_name_valid("a-1"));
	assert_false(record_tenant_name_valid(""));
	assert_false(record_tenant_name_valid("A"));
	assert_false(record_tenant_name_valid("a/b"));
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_true(record_tenant_name_valid(name));
	name[64] = 'a';
	name[65] = '\0';
	assert_false(record_tenant_name_valid(name));
}

static void labels_show_what_they_say(void **state)
{
	static const char *const bad[] = {"", "a\nb", "\x1b[31m", "a\x7f", ("\xc2\x9b" "31m"),
		"\xe2\x80\xa8", "\xff", "\xc3", "a\t"};

	(void)state;
	assert_true(record_label_valid("Qwen/Qwen3-0.6B:q8_0", RECORD_MODEL_BYTES));
	assert_true(record_label_valid("\xe9\x80\x9a\xe4\xba\x91 1", RECORD_NAME_BYTES));
	assert_true(record_label_valid("abc", 4));
	assert_false(record_label_valid("abcd", 4));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(record_label_valid(bad[i], RECORD_NAME_BYTES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_id_is_read_back_as_it_was_written),
		cmocka_unit_test(what_is_no_request_id_is_refused),
		cmocka_unit_test(an_idempotency_key_names_what_must_happen_once),
		cmocka_unit_test(accounts_are_named_by_server_and_tenant),
		cmocka_unit_test(names_of_kinds_and_finishes_are_read_back),
		cmocka_unit_test(tenant_names_are_short_and_plain),
		cmocka_unit_test(labels_show_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
