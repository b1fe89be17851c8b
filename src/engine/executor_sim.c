/* engine/executor_sim.c - an executor without arithmetic; see executor_sim.h. */
#include "engine/executor_sim.h"

#include <assert.h>

#include "base/mem.h"
#include "base/prng.h"

#define END_ONE_IN 64   /* an answer has 64 tokens on average */
#define PER_MILLION 1000000

/* What a slot carries from batch to batch. */
struct slot {
	uint32_t request;
	uint32_t rows;          /* computed of it */
	bool over;              /* has ended: what comes for it is dropped */
};

struct executor_sim {
	struct executor executor;   /* first */
	const struct request_table *table;
	struct chip_cost cost;
	struct chip_cost_rates rates;
	struct executor_sim_faults faults;
	struct slot *slots;         /* [limits.slots] */
	struct batch *batches[EXECUTOR_BATCHES_MAX];    /* oldest first */
	int64_t due_ns[EXECUTOR_BATCHES_MAX];
	uint32_t batch_count;
	int64_t now_ns;
};

static struct executor_sim *sim_of(struct executor *e)
{
	return (struct executor_sim *)e;
}

/* ---- time ------------------------------------------------------------------------------------ */

static int64_t batch_ns(const struct executor_sim *sim, const struct batch *b)
{
	struct chip_cost_shape shape = {0};
	struct chip_cost_sum sum;

	for (uint32_t i = 0; i < b->item_count; i++)
		chip_cost_shape_add(&shape, b->items[i].first_token, b->items[i].row_count,
			b->items[i].sample);
	chip_cost_step(&sim->cost, &shape, &sum);
	return chip_cost_ns(&sum, &sim->rates);
}

static void sim_submit(struct executor *e, struct batch *batch)
{
	struct executor_sim *sim = sim_of(e);
	int64_t start_ns = sim->now_ns;

	assert(sim->batch_count < EXECUTOR_BATCHES_MAX);
	assert(batch->item_count > 0 && batch->row_count <= e->limits.rows_max);
	if (sim->batch_count > 0 && sim->due_ns[sim->batch_count - 1] > start_ns)
		start_ns = sim->due_ns[sim->batch_count - 1];
	sim->batches[sim->batch_count] = batch;
	sim->due_ns[sim->batch_count] = start_ns + batch_ns(sim, batch);
	sim->batch_count++;
}

int64_t executor_sim_due_ns(const struct executor *e)
{
	const struct executor_sim *sim = (const struct executor_sim *)e;

	return sim->batch_count == 0 ? INT64_MAX : sim->due_ns[0];
}

void executor_sim_advance(struct executor *e, int64_t now_ns)
{
	struct executor_sim *sim = sim_of(e);

	assert(now_ns >= sim->now_ns);
	sim->now_ns = now_ns;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Whether the answer ends by itself with its token number `index`, and which token that is. */
static bool token_rule(const struct request *r, uint32_t index, uint32_t vocab, uint32_t *token)
{
	const uint64_t bits = prng_hash(r->sampling.seed, (uint64_t)r->prompt_tokens + index);
	const bool end = !r->ignore_eos && index + 1 > r->answer_tokens_min &&
		(bits >> 32) % END_ONE_IN == 0;

	*token = (uint32_t)((bits & UINT32_MAX) % vocab);
	if (end && r->eos_count > 0)
		*token = r->eos[0];
	return end;
}

uint32_t executor_sim_answer_tokens(const struct request *request)
{
	uint32_t token;

	for (uint32_t i = 0; i < request->answer_tokens_max; i++)
		if (token_rule(request, i, 1, &token))
			return i + 1;
	return request->answer_tokens_max;
}

static bool one_in_million(uint64_t seed, uint64_t index, uint32_t per_million)
{
	return prng_hash(seed, index) % PER_MILLION < per_million;
}

/* Plausible and the same each time: the token had half of the weight, then each next one half of
 * what is left. */
static void logprobs_fill(struct chip_logprob *out, uint32_t token, uint32_t top, uint32_t vocab)
{
	static const float half = -0.693147181F;

	out[0] = (struct chip_logprob){.token = token, .logprob = half};
	for (uint32_t i = 0; i < top; i++)
		out[1 + i] = (struct chip_logprob){
			.token = i < vocab ? (token + i) % vocab : CHIP_NONE,
			.logprob = half * (float)(i + 1),
		};
}

static enum batch_end sample(struct executor_sim *sim, struct request *r,
	struct batch_result *result)
{
	const uint32_t index = r->answer_tokens;
	const uint64_t place = prng_hash(r->sampling.seed, (uint64_t)r->prompt_tokens + index);

	if (one_in_million(sim->faults.seed, place, sim->faults.error_per_million))
		return BATCH_END_ERROR;
	assert(index < r->answer_tokens_max);
	const bool end = token_rule(r, index, sim->executor.limits.vocab, &r->answer[index]);

	if (r->logprobs)
		logprobs_fill(request_logprobs(r, index), r->answer[index],
			r->sampling.top_logprobs, sim->executor.limits.vocab);
	result->token_hash = prng_hash(r->answer[index], index);
	result->token_count = 1;
	r->answer_tokens = index + 1;
	if (end)
		return BATCH_END_STOP;
	return r->answer_tokens == r->answer_tokens_max ? BATCH_END_LENGTH : BATCH_END_NOT;
}

static void run_item(struct executor_sim *sim, const struct batch_item *item,
	struct batch_result *result, bool failed)
{
	assert(item->slot < sim->executor.limits.slots);
	struct slot *slot = &sim->slots[item->slot];
	struct request *r = sim->table->by_handle[item->request];

	assert(r);
	*result = (struct batch_result){0};
	if (item->open)
		*slot = (struct slot){.request = item->request};
	assert(slot->request == item->request);
	if (slot->over)
		return;
	assert(slot->rows == item->first_token);
	assert(item->first_token + item->row_count <= r->prompt_tokens + r->answer_tokens);
	slot->rows += item->row_count;
	if (failed)
		slot->over = true;
	else if (item->sample)
		result->end = sample(sim, r, result);
	slot->over = slot->over || result->end != BATCH_END_NOT;
}

static struct batch *sim_poll(struct executor *e)
{
	struct executor_sim *sim = sim_of(e);

	if (sim->batch_count == 0 || sim->due_ns[0] > sim->now_ns)
		return NULL;
	struct batch *b = sim->batches[0];

	sim->batch_count--;
	for (uint32_t i = 0; i < sim->batch_count; i++) {
		sim->batches[i] = sim->batches[i + 1];
		sim->due_ns[i] = sim->due_ns[i + 1];
	}
	b->failed = one_in_million(~sim->faults.seed, b->id, sim->faults.fail_per_million);
	for (uint32_t i = 0; i < b->item_count; i++)
		run_item(sim, &b->items[i], &b->results[i], b->failed);
	return b;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void sim_close(struct executor *e)
{
	mem_free(sim_of(e)->slots);
	mem_free(e);
}

static const struct executor_ops sim_ops = {
	.submit = sim_submit,
	.poll = sim_poll,
	.close = sim_close,
};

enum err executor_sim_open(struct executor **out, const struct executor_limits *limits,
	const struct request_table *table, const struct chip_cost *cost,
	const struct chip_cost_rates *rates, const struct executor_sim_faults *faults,
	struct err_info *info)
{
	struct executor_sim *sim = mem_alloc(1, sizeof(*sim));

	assert(limits->slots > 0 && limits->vocab > 0);
	if (!sim)
		return err_set(info, ERR_MEMORY, "simulated executor: no memory");
	sim->slots = mem_alloc(limits->slots, sizeof(*sim->slots));
	if (!sim->slots) {
		mem_free(sim);
		return err_set(info, ERR_MEMORY, "simulated executor: no memory for its slots");
	}
	sim->executor.ops = &sim_ops;
	sim->executor.limits = *limits;
	sim->table = table;
	sim->cost = *cost;
	sim->rates = *rates;
	if (faults)
		sim->faults = *faults;
	*out = &sim->executor;
	return ERR_NONE;
}
