/* tests/server/admin_link_test.c - verbs without a server: the same core, one command at a
 * time, durable each. */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/admin_link.h"
#include "server/home.h"

/* One verb: opens, does it, closes. */
static enum err verb(const char *document, json_t **reply, struct err_info *info)
{
	struct admin_link *link = NULL;
	json_t *op = json_loads(document, 0, NULL);

	assert_non_null(op);
	*reply = NULL;
	if (admin_link_open(&link, scratch, info) == ERR_NONE)
		(void)!admin_link_call(link, op, reply, info);
	admin_link_close(link);
	json_decref(op);
	return info->code;
}

static int64_t answer_int(const char *document, const char *field)
{
	struct err_info info = {0};
	json_t *reply;

	if (verb(document, &reply, &info))
		fail_msg("%s: %s", document, info.text);
	const int64_t value = json_integer_value(json_object_get(reply, field));
	json_decref(reply);
	return value;
}

static void refused(const char *document, enum err err)
{
	struct err_info info = {0};
	json_t *reply;

	if (verb(document, &reply, &info) != err)
		fail_msg("%s: %d %s", document, (int)info.code, info.text);
	assert_null(reply);
	assert_true(info.text[0] != '\0');
}

static void line_count(void *context, const char *line)
{
	json_t *row = json_loads(line, 0, NULL);

	assert_non_null(row);
	json_decref(row);
	++*(int *)context;
}

static int list_count(const char *document)
{
	struct admin_link *link = NULL;
	struct err_info info = {0};
	json_t *op = json_loads(document, 0, NULL);
	int count = 0;

	if (admin_link_open(&link, scratch, &info) ||
		admin_link_each(link, op, line_count, &count, &info))
		fail_msg("%s", info.text);
	admin_link_close(link);
	json_decref(op);
	return count;
}

static void commands_last_from_one_verb_to_the_next(void **state)
{
	(void)state;
	assert_int_equal(answer_int("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":5,\"credit_nano\":7}",
		"balance_nano"), 5);
	assert_int_equal(answer_int("{\"op\":\"tenant_topup\",\"name\":\"a\",\"amount_nano\":10}",
		"balance_nano"), 15);
	assert_int_equal(answer_int("{\"op\":\"tenant_show\",\"name\":\"a\"}", "credit_nano"), 7);
	assert_int_equal(answer_int("{\"op\":\"key_create\",\"tenant\":\"a\",\"name\":\"k\"}",
		"id"), 1);
	assert_int_equal(answer_int("{\"op\":\"key_revoke\",\"id\":1}", "id"), 1);
	assert_int_equal(answer_int("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":3,\"output_nano\":4}",
		"cached_nano"), 3);
	assert_int_equal(answer_int("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":3,\"output_nano\":4}", "version"), 2);
	assert_int_equal(list_count("{\"op\":\"tenant_list\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"key_list\"}"), 1);
	assert_int_equal(list_count("{\"op\":\"price_list\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"ledger_list\",\"tenant\":\"a\"}"), 2);
	assert_int_equal(list_count("{\"op\":\"usage_list\"}"), 0);
	assert_int_equal(list_count("{\"op\":\"ledger_check\"}"), 1);
}

static void wrong_commands_are_refused_and_change_nothing(void **state)
{
	(void)state;
	refused("{\"op\":\"tenant_create\",\"name\":\"A B\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":-1}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"a\",\"balance_nano\":1e30}", ERR_INPUT);
	refused("{\"op\":\"tenant_create\",\"name\":\"local\"}", ERR_INPUT);
	refused("{\"op\":\"tenant_show\",\"name\":\"nobody\"}", ERR_NOT_FOUND);
	refused("{\"op\":\"tenant_topup\",\"name\":\"local\"}", ERR_INPUT);
	refused("{\"op\":\"key_create\",\"tenant\":\"nobody\"}", ERR_NOT_FOUND);
	refused("{\"op\":\"key_revoke\",\"id\":9}", ERR_NOT_FOUND);
	refused("{\"op\":\"price_set\",\"model\":\"m\",\"input_nano\":1}", ERR_INPUT);
	refused("{\"op\":\"price_set\",\"model\":\"\",\"input_nano\":1,\"output_nano\":1}",
		ERR_INPUT);
	refused("{\"op\":\"dance\"}", ERR_INPUT);
	refused("{}", ERR_INPUT);
	assert_int_equal(list_count("{\"op\":\"tenant_list\"}"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(commands_last_from_one_verb_to_the_next,
			scratch_open, scratch_close),
		cmocka_unit_test_setup_teardown(wrong_commands_are_refused_and_change_nothing,
		scratch_open, scratch_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
