/* engine/executor_sim.h - an executor without arithmetic: time by formula, tokens by rule.
 *
 * Pure: it has no thread and no clock. A batch is finished at the time that executor_sim_due_ns
 * says; who drives it (the fleet's virtual clock, or the server's real one) calls
 * executor_sim_advance. Token rule: a hash of (request seed, position) decides token and end, so
 * the same request gives the same answer however it was batched; executor_sim_answer_tokens tells
 * how long it will be.
 *
 * It asserts what a real executor relies on: rows of a sequence come in order, without a gap, and
 * never before the token that they take as input was sampled.
 */
#ifndef ENGINE_EXECUTOR_SIM_H
#define ENGINE_EXECUTOR_SIM_H

#include "chip/cost.h"
#include "engine/executor.h"

struct executor_sim_faults {
	uint32_t fail_per_million;      /* batches that fail whole */
	uint32_t error_per_million;     /* sampled rows whose sequence fails alone */
	uint64_t seed;
};

/* table, and the requests in it, must outlive the executor; cost, rates and faults are copied.
 * faults may be NULL. Closed with executor_close. */
enum err executor_sim_open(struct executor **out, const struct executor_limits *limits,
	const struct request_table *table, const struct chip_cost *cost,
	const struct chip_cost_rates *rates, const struct executor_sim_faults *faults,
	struct err_info *info) MUST_CHECK;

/* When the oldest batch in flight ends; INT64_MAX when there is none. */
int64_t executor_sim_due_ns(const struct executor *e);
/* Tells it the time: batches submitted later start at or after it, due ones can be polled. */
void executor_sim_advance(struct executor *e, int64_t now_ns);

/* How many tokens the answer to this request will have, if nothing cuts it short. */
uint32_t executor_sim_answer_tokens(const struct request *request);

#endif
