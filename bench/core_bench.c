/* bench/core_bench.c - how long one step may hold the core: the largest events at the largest
 * sizes.
 *
 * 256 sequences of 8,192 tokens decode at once while 4,000 requests wait. Time is the thread's
 * own, so that a busy machine does not count. Prints the mean and the worst step of each kind; the
 * promise is 2 ms.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/core.h"
#include "cpu_time.h"

#define REQUESTS        4000
#define PROMPT_TOKENS   8192
#define ANSWER_TOKENS   2000
#define BATCHES         6000

struct cost {
	int64_t sum_ns;
	int64_t worst_ns;
	int64_t count;
};

struct bench {
	struct core *core;
	struct core_actions actions;
	struct cost costs[CORE_EVENT_KINDS];
	struct batch *flight[EXECUTOR_BATCHES_MAX];
	uint32_t flight_count;
	uint64_t given;
	uint32_t sampled[REQUESTS];
	int64_t now_ns;
};

static const struct core_limits limits = {
	.requests_max = REQUESTS, .queue_max = REQUESTS, .tenants_max = 1024, .keys_max = 1024,
	.prices_max = 64, .models_max = 1, .replies_max = 64, .records_max = 65536,
	.hold_step_tokens = 1024, .stall_ns = 1, .retry_ns = 1,
	.pool = {.context_max = 32768, .slots = 256, .pages = 65536, .states = 256,
		.rows_max = 4096, .vocab = 1000},
};

static void take_actions(struct bench *b)
{
	for (uint32_t i = 0; i < b->actions.count; i++) {
		const struct core_action *a = &b->actions.list[i];

		if (a->kind == CORE_RUN)
			b->flight[b->flight_count++] = a->u.run;
		else if (a->kind == CORE_STORE)
			b->given = a->u.store.sequence;
	}
}

static void send(struct bench *b, struct core_event event)
{
	struct cost *cost = &b->costs[event.kind];
	bool more = true;

	event.now_ns = ++b->now_ns;
	for (const struct core_event *e = &event; more; e = NULL) {
		const int64_t start_ns = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);

		more = core_step(b->core, e, &b->actions);
		const int64_t took_ns = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;

		cost->sum_ns += took_ns;
		cost->count++;
		if (took_ns > cost->worst_ns)
			cost->worst_ns = took_ns;
		take_actions(b);
	}
}

static void stored(struct bench *b)
{
	send(b, (struct core_event){.kind = CORE_STORED, .u.store.sequence = b->given});
}

static void start(struct bench *b)
{
	struct core_event model = {.kind = CORE_MODEL, .u.model.limits = limits.pool};

	send(b, (struct core_event){.kind = CORE_LOAD_COUNTERS,
		.u.load_counters = {.transaction_id_next = 1, .price_version_next = 1}});
	send(b, (struct core_event){.kind = CORE_READY});
	strcpy(model.u.model.name, "bench");
	send(b, model);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		send(b, (struct core_event){.kind = CORE_ASK, .u.ask = {.handle = i,
			.request = {1, i}, .caller.trusted = true}});
		send(b, (struct core_event){.kind = CORE_ARRIVE, .u.arrive = {.handle = i,
			.prompt_tokens = PROMPT_TOKENS, .answer_tokens_max = ANSWER_TOKENS,
			.open_ended = true}});
		stored(b);
	}
}

static void run_batch(struct bench *b)
{
	struct batch *batch = b->flight[0];

	for (uint32_t i = 0; i < batch->item_count; i++) {
		uint32_t *sampled = &b->sampled[batch->items[i].request];

		batch->results[i] = (struct batch_result){0};
		if (!batch->items[i].sample || *sampled == ANSWER_TOKENS)
			continue;
		batch->results[i].token_count = 1;
		if (++*sampled == ANSWER_TOKENS)
			batch->results[i].end = BATCH_END_LENGTH;
	}
	b->flight[0] = b->flight[1];
	b->flight_count--;
	send(b, (struct core_event){.kind = CORE_BATCH_DONE, .u.batch_done = batch});
}

static void print(const struct bench *b, const char *name, enum core_event_kind kind)
{
	const struct cost *cost = &b->costs[kind];

	printf("%-12s %7lld steps  mean %7.1f us  worst %7.1f us\n", name, (long long)cost->count,
		(double)cost->sum_ns / 1e3 / (double)cost->count, (double)cost->worst_ns / 1e3);
}

int main(void)
{
	static struct bench b;
	void *memory = mem_alloc(1, core_bytes(&limits));

	if (!memory)
		return 1;
	b.core = core_init(memory, &limits);
	start(&b);
	for (int i = 0; i < BATCHES && b.flight_count > 0; i++) {
		run_batch(&b);
		stored(&b);
	}
	send(&b, (struct core_event){.kind = CORE_DRAIN});
	print(&b, "model", CORE_MODEL);
	print(&b, "ask", CORE_ASK);
	print(&b, "arrive", CORE_ARRIVE);
	print(&b, "batch done", CORE_BATCH_DONE);
	print(&b, "stored", CORE_STORED);
	print(&b, "drain", CORE_DRAIN);
	mem_free(memory);
	return 0;
}
