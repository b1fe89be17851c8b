/* tests/cloud/store_memory_test.c - the store in memory keeps the promises of every store, and
 * fails where it is told to.
 *
 * How bent rows are found is audit_test's.
 */
#include "cloud/store_contract.h"

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

static struct store *restart(struct store *s)
{
	store_memory_crash(s);
	return s;
}

static void fail_commits(struct store *s, bool failing)
{
	store_memory_fail(s, failing ? 1000000 : 0);
}

/* Without memory a commit fails like any other, and nothing of it is kept. */
static void a_commit_without_memory_changes_nothing(void **state)
{
	(void)state;
	for (int64_t n = 1; n <= 6; n++) {
		struct store *s = open_store();
		struct err_info info = {0};
		uint64_t durable = 0;
		struct house h;

		house_start(&h);
		house_tenant(&h, "acme", 1000, 0);
		store_give(&h, s);
		mem_fail_after(n, 1);
		assert_int_equal(store_commit(s, &durable, &info), ERR_IO);
		mem_fail_after(0, 0);
		assert_int_equal(store_look(s).tenants, 0);
		store_append(s, &(struct record){.kind = RECORD_RETRY});
		assert_int_equal(store_commit(s, &durable, &info), ERR_NONE);
		assert_int_equal(store_look(s).tenants, 2);
		house_close(&h);
		store_close(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_CONTRACT_TESTS(NULL, NULL),
		cmocka_unit_test(a_commit_without_memory_changes_nothing),
	};

	store_contract = (struct store_contract){open_store, restart, fail_commits};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
