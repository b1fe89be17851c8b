/* tests/server/metrics_test.c - the page that Prometheus reads: every name described once, every
 * value where it belongs. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/metrics.h"

static struct metrics metrics;
static struct core_report report;
static struct buf page;

static const char *format(void)
{
	buf_clear(&page);
	metrics_format(&page, &metrics, &report, "a \"quoted\" model", "CNY");
	assert_false(page.failed);
	return page.data;
}

static void values_stand_under_their_own_name_and_the_alias(void **state)
{
	(void)state;
	report.stats.completion_tokens = 42;
	report.stats.pages = 8;
	report.stats.pages_used = 2;
	report.stats.revenue_nano = 1500000001;
	report.step_ns_max = 123456;
	const char *text = format();
	assert_non_null(strstr(text, "\ntongyun_completion_tokens_total 42\n"));
	assert_non_null(strstr(text, "\nvllm:generation_tokens_total{model_name=\"a \\\"quoted\\\" "
		"model\"} 42\n"));
	assert_non_null(strstr(text, "\nvllm:kv_cache_usage_perc{model_name=\"a \\\"quoted\\\" "
		"model\"} 0.250000000\n"));
	assert_non_null(strstr(text, "\nvllm:cache_config_info{model_name=\"a \\\"quoted\\\" model\","
		"block_size=\"32\",num_gpu_blocks=\"8\"} 1\n"));
	assert_non_null(strstr(text, "\ntongyun_revenue_units_total 1.500000001\n"));
	assert_non_null(strstr(text, "\ntongyun_core_step_seconds_max 0.000123456\n"));
}

static void every_name_is_described_exactly_once(void **state)
{
	char copy[65536], *line, *rest = copy;
	uint32_t types = 0;

	(void)state;
	const char *text = format();
	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	while ((line = strsep(&rest, "\n")) != NULL) {
		char name[128], again[160];

		if (sscanf(line, "# TYPE %127s", name) != 1)
			continue;
		types++;
		snprintf(again, sizeof(again), "\n# TYPE %s ", name);
		const char *first = strstr(text, again);
		assert_true(first || strncmp(text, again + 1, strlen(again) - 1) == 0);
		assert_true(!first || !strstr(first + 1, again));
	}
	assert_true(types > 40);
}

static void a_histogram_counts_upwards(void **state)
{
	(void)state;
	memset(&metrics, 0, sizeof(metrics));
	histogram_add(&metrics.first_token, 500000, 1);
	histogram_add(&metrics.first_token, 30000000, 2);
	histogram_add(&metrics.first_token, 999000000000, 1);
	const char *text = format();
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_bucket{le=\"0.001\"} "
		"1\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_bucket{le=\"0.02\"} "
		"1\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_bucket{le=\"0.04\"} "
		"3\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_bucket{le=\"80.0\"} "
		"3\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_bucket{le=\"+Inf\"} "
		"4\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_count 4\n"));
	assert_non_null(strstr(text, "tongyun_time_to_first_token_seconds_sum 999.060500000\n"));
}

static void answers_are_counted_by_route_method_and_status(void **state)
{
	static const char route[] = "/v1/models", get[] = "GET";

	(void)state;
	memset(&metrics, 0, sizeof(metrics));
	for (int i = 0; i < 3; i++)
		metrics_answer(&metrics, route, get, 200);
	metrics_answer(&metrics, route, get, 401);
	for (unsigned status = 0; status < 1000; status++)
		/* more kinds than there is room for */
		metrics_answer(&metrics, "none", get, status);
	const char *text = format();
	assert_non_null(strstr(text, "http_requests_total{handler=\"/v1/models\",method=\"GET\",status=\"200\"} 3\n"));
	assert_non_null(strstr(text, "http_requests_total{handler=\"/v1/models\",method=\"GET\",status=\"401\"} 1\n"));
}

static void a_page_that_found_no_memory_says_so(void **state)
{
	struct buf small;

	(void)state;
	buf_init(&small, 1 << 20);
	mem_fail_after(1, 1);
	metrics_format(&small, &metrics, &report, "m", "CNY");
	mem_fail_after(0, 0);
	assert_true(small.failed);
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stand_under_their_own_name_and_the_alias),
		cmocka_unit_test(every_name_is_described_exactly_once),
		cmocka_unit_test(a_histogram_counts_upwards),
		cmocka_unit_test(answers_are_counted_by_route_method_and_status),
		cmocka_unit_test(a_page_that_found_no_memory_says_so),
	};

	buf_init(&page, 1 << 20);
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&page);
	return failed;
}
