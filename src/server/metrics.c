/* server/metrics.c - see metrics.h. */
#include "server/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const struct { int64_t ns; const char *text; } BOUNDS[METRICS_BUCKETS] = {
	{1000000, "0.001"}, {5000000, "0.005"}, {10000000, "0.01"}, {20000000, "0.02"},
	{40000000, "0.04"}, {80000000, "0.08"}, {160000000, "0.16"}, {320000000, "0.32"},
	{640000000, "0.64"}, {1000000000, "1.0"}, {2500000000, "2.5"}, {5000000000, "5.0"},
	{10000000000, "10.0"}, {20000000000, "20.0"}, {40000000000, "40.0"}, {80000000000, "80.0"},
};

void histogram_add(struct histogram *h, int64_t value_ns, uint64_t times)
{
	int bucket = 0;

	while (bucket < METRICS_BUCKETS && value_ns > BOUNDS[bucket].ns)
		bucket++;
	h->counts[bucket] += times;
	h->count += times;
	h->sum_ns += value_ns * (int64_t)times;
}

void metrics_answer(struct metrics *m, const char *handler, const char *method, unsigned status)
{
	uint32_t i = 0;

	while (i < m->answers_count &&
		!(m->answers[i].status == status && m->answers[i].handler == handler &&
			m->answers[i].method == method))
		i++;
	if (i == METRICS_ANSWERS_MAX)
		i--;
	if (i == m->answers_count)
		m->answers[m->answers_count++] = (struct metrics_answers){
			.handler = handler, .method = method, .status = status};
	m->answers[i].count++;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Where a value is: in the core's report or in the front's own counts. */
enum source {
	REPORT_U64, REPORT_U32, REPORT_BOOL, REPORT_NS, REPORT_NANO,
	FRONT_U64, FRONT_U32,
	RATIO_PAGES,
};

#define REPORT(field) offsetof(struct core_report, field)
#define STAT(field)   (REPORT(stats) + offsetof(struct core_stats, field))
#define FRONT(field)  offsetof(struct metrics, field)

static const struct {
	const char *name;
	const char *alias;      /* NULL: none */
	const char *type;
	const char *help;
	enum source source;
	size_t offset;
} LIST[] = {
	{"tongyun_requests_running", "vllm:num_requests_running", "gauge",
		"Requests in the batch.", REPORT_U32, STAT(running)},
	{"tongyun_requests_waiting", "vllm:num_requests_waiting", "gauge",
		"Requests queued.", REPORT_U32, STAT(waiting)},
	{"tongyun_requests_parked", NULL, "gauge",
		"Requests put aside while their clients take nothing.", REPORT_U32, STAT(parked)},
	{"tongyun_requests_asked_total", NULL, "counter",
		"Requests that asked to be admitted.", REPORT_U64, STAT(asked)},
	{"tongyun_requests_admitted_total", NULL, "counter",
		"Requests admitted.", REPORT_U64, STAT(admitted)},
	{"tongyun_requests_refused_total", NULL, "counter",
		"Requests refused.", REPORT_U64, STAT(refused)},
	{"tongyun_prompt_tokens_total", "vllm:prompt_tokens_total", "counter",
		"Prompt tokens of ended requests.", REPORT_U64, STAT(prompt_tokens)},
	{"tongyun_cached_tokens_total", NULL, "counter",
		"Prompt tokens taken from the cache.", REPORT_U64, STAT(cached_tokens)},
	{"tongyun_completion_tokens_total", "vllm:generation_tokens_total", "counter",
		"Answer tokens, as recorded.", REPORT_U64, STAT(completion_tokens)},
	{"tongyun_tokens_sampled_total", NULL, "counter",
		"Answer tokens sampled.", REPORT_U64, STAT(tokens_sampled)},
	{"tongyun_tokens_undelivered_total", NULL, "counter",
		"Tokens sampled, neither delivered nor charged.",
		REPORT_U64, STAT(tokens_undelivered)},
	{"tongyun_usage_unrecorded_total", NULL, "counter",
		"Tokens of requests that a crash cut off.", REPORT_U64, STAT(tokens_unrecorded)},
	{"tongyun_preemptions_total", "vllm:num_preemptions_total", "counter",
		"Sequences put back to make room.", REPORT_U64, STAT(preemptions)},
	{"tongyun_batches_total", NULL, "counter",
		"Batches run.", REPORT_U64, STAT(batches)},
	{"tongyun_batches_failed_total", NULL, "counter",
		"Batches that failed whole.", REPORT_U64, STAT(batches_failed)},
	{"tongyun_rows_total", NULL, "counter",
		"Rows computed.", REPORT_U64, STAT(rows)},
	{"tongyun_pages", NULL, "gauge",
		"Pages of keys and values.", REPORT_U32, STAT(pages)},
	{"tongyun_pages_used", NULL, "gauge",
		"Pages in use.", REPORT_U32, STAT(pages_used)},
	{"tongyun_pages_used_ratio", "vllm:kv_cache_usage_perc", "gauge",
		"Share of the pages in use, 0 to 1.", RATIO_PAGES, 0},
	{"tongyun_revenue_units_total", NULL, "counter",
		"Settled since start, in units of the currency.", REPORT_NANO, STAT(revenue_nano)},
	{"tongyun_store_commits_total", NULL, "counter",
		"Commits of the store.", REPORT_U64, REPORT(store_commits)},
	{"tongyun_store_commits_failed_total", NULL, "counter",
		"Commits that failed.", REPORT_U64, STAT(commits_failed)},
	{"tongyun_store_commit_seconds_max", NULL, "gauge",
		"The longest commit since start.", REPORT_NS, REPORT(commit_ns_max)},
	{"tongyun_store_failing", NULL, "gauge",
		"1 while usage cannot be recorded.", REPORT_BOOL, STAT(store_failing)},
	{"tongyun_journal_failed", NULL, "gauge",
		"1 when the journal could not be written; it is not until the next start.",
		REPORT_BOOL, REPORT(journal_failed)},
	{"tongyun_core_steps_total", NULL, "counter",
		"Steps of the core.", REPORT_U64, REPORT(steps)},
	{"tongyun_core_step_seconds_sum", NULL, "counter",
		"Time in steps of the core.", REPORT_NS, REPORT(step_ns_sum)},
	{"tongyun_core_step_seconds_max", NULL, "gauge",
		"The longest step of the core since start.", REPORT_NS, REPORT(step_ns_max)},
	{"tongyun_clients_gone_total", NULL, "counter",
		"Clients that left before their answer was complete.",
		FRONT_U64, FRONT(clients_gone)},
	{"tongyun_connections", NULL, "gauge",
		"Open connections.", FRONT_U32, FRONT(connections)},
};

static void decimal(struct buf *out, int64_t nano)
{
	buf_printf(out, "%" PRId64 ".%09" PRId64, nano / NS_PER_S, nano % NS_PER_S);
}

static void value(struct buf *out, const struct metrics *m, const struct core_report *report,
	enum source source, size_t offset)
{
	const char *at = (const char *)report + offset;
	const char *front = (const char *)m + offset;
	uint64_t u64;
	uint32_t u32;
	int64_t i64;

	switch (source) {
	case REPORT_U64:
	case FRONT_U64:
		memcpy(&u64, source == FRONT_U64 ? front : at, sizeof(u64));
		buf_printf(out, "%" PRIu64, u64);
		break;
	case REPORT_U32:
	case FRONT_U32:
		memcpy(&u32, source == FRONT_U32 ? front : at, sizeof(u32));
		buf_printf(out, "%" PRIu32, u32);
		break;
	case REPORT_NS:
	case REPORT_NANO:
		memcpy(&i64, at, sizeof(i64));
		decimal(out, i64);
		break;
	case REPORT_BOOL:
		buf_add_char(out, *at ? '1' : '0');
		break;
	case RATIO_PAGES:
		decimal(out, report->stats.pages == 0 ? 0
			: (int64_t)report->stats.pages_used * NS_PER_S / report->stats.pages);
		break;
	}
}

static void describe(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_list(struct buf *out, const struct metrics *m, const struct core_report *report,
	const char *model)
{
	for (size_t i = 0; i < sizeof(LIST) / sizeof(LIST[0]); i++) {
		describe(out, LIST[i].name, LIST[i].type, LIST[i].help);
		buf_printf(out, "%s ", LIST[i].name);
		value(out, m, report, LIST[i].source, LIST[i].offset);
		buf_add_char(out, '\n');
		if (!LIST[i].alias)
			continue;
		describe(out, LIST[i].alias, LIST[i].type, LIST[i].help);
		buf_printf(out, "%s{model_name=\"%s\"} ", LIST[i].alias, model);
		value(out, m, report, LIST[i].source, LIST[i].offset);
		buf_add_char(out, '\n');
	}
}

/* ---- what has labels ------------------------------------------------------------------------- */

static void add_finishes(struct buf *out, const struct core_report *report, const char *model)
{
	describe(out, "tongyun_requests_total", "counter", "Requests that ended, by finish.");
	for (enum record_finish f = RECORD_FINISH_STOP; f <= RECORD_FINISH_ERROR; f++)
		buf_printf(out, "tongyun_requests_total{finish=\"%s\"} %" PRIu64 "\n",
			record_finish_name(f), report->stats.ended_by_finish[f]);
	describe(out, "vllm:request_success_total", "counter", "Requests that came to their end.");
	for (enum record_finish f = RECORD_FINISH_STOP; f <= RECORD_FINISH_TOOL_CALLS; f++)
		buf_printf(out, "vllm:request_success_total{model_name=\"%s\",finished_reason=\"%s\"} "
			"%" PRIu64 "\n",
			model, record_finish_name(f), report->stats.ended_by_finish[f]);
}

static void add_answers(struct buf *out, const struct metrics *m)
{
	describe(out, "http_requests_total", "counter", "Answers, by route, method and status.");
	for (uint32_t i = 0; i < m->answers_count; i++)
		buf_printf(out, "http_requests_total{handler=\"%s\",method=\"%s\",status=\"%u\"} "
			"%" PRIu64 "\n",
			m->answers[i].handler, m->answers[i].method, m->answers[i].status,
			m->answers[i].count);
}

static void add_histogram(struct buf *out, const char *name, const char *label, const char *help,
	const struct histogram *h)
{
	uint64_t below = 0;

	describe(out, name, "histogram", help);
	for (int i = 0; i < METRICS_BUCKETS; i++) {
		below += h->counts[i];
		buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, label,
			label[0] ? "," : "", BOUNDS[i].text, below);
	}
	buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label,
		label[0] ? "," : "", h->count);
	buf_printf(out, label[0] ? "%s_sum{%s} " : "%s_sum%s ", name, label);
	decimal(out, h->sum_ns);
	buf_printf(out, label[0] ? "\n%s_count{%s} %" PRIu64 "\n" : "\n%s_count%s %" PRIu64 "\n",
		name, label, h->count);
}

static void add_histograms(struct buf *out, const struct metrics *m, const char *model)
{
	const struct {
		const char *name, *alias, *help;
		const struct histogram *histogram;
	} all[] = {
		{"tongyun_time_to_first_token_seconds", "vllm:time_to_first_token_seconds",
			"From the whole request to its first delta.", &m->first_token},
		{"tongyun_inter_token_seconds", "vllm:inter_token_latency_seconds",
			"Between tokens of an answer.", &m->inter_token},
		{"tongyun_request_seconds", "vllm:e2e_request_latency_seconds",
			"From the whole request to its end.", &m->whole},
	};
	char label[2 * RECORD_MODEL_BYTES + sizeof("model_name=\"\"")];

	snprintf(label, sizeof(label), "model_name=\"%s\"", model);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		add_histogram(out, all[i].name, "", all[i].help, all[i].histogram);
		add_histogram(out, all[i].alias, label, all[i].help, all[i].histogram);
	}
}

/* Label values may not hold quotes, backslashes or line ends as they are. */
static void label_escape(char *out, size_t size, const char *text)
{
	size_t at = 0;

	for (; *text && at + 3 < size; text++) {
		if (*text == '"' || *text == '\\' || *text == '\n')
			out[at++] = '\\';
		out[at++] = *text;
		if (*text == '\n')
			out[at - 1] = 'n';
	}
	out[at] = '\0';
}

void metrics_format(struct buf *out, const struct metrics *m, const struct core_report *report,
	const char *model, const char *currency)
{
	char label[2 * RECORD_MODEL_BYTES];

	label_escape(label, sizeof(label), model);
	describe(out, "tongyun_info", "gauge", "Always 1.");
	buf_printf(out, "tongyun_info{currency=\"%s\"} 1\n", currency);
	describe(out, "vllm:cache_config_info", "gauge", "Always 1.");
	buf_printf(out, "vllm:cache_config_info{model_name=\"%s\",block_size=\"%d\","
		"num_gpu_blocks=\"%" PRIu32 "\"} 1\n", label, CHIP_PAGE_TOKENS,
		report->stats.pages);
	add_list(out, m, report, label);
	add_finishes(out, report, label);
	add_answers(out, m);
	add_histograms(out, m, label);
}
