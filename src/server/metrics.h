/* server/metrics.h - what is counted at the front, and the one list that names every metric.
 *
 * Counted by the front's thread alone. Prometheus' text joins these with the core's own counts
 * (core_stats). The vllm: names are aliases of what exists, so that boards and autoscalers made for
 * vLLM work unchanged (conventions.md 4.4).
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "server/wires.h"

#define METRICS_BUCKETS      16
/* different (handler, method, status); further ones count as the last */
#define METRICS_ANSWERS_MAX  128

/* Seconds, in the buckets that vLLM's boards expect. */
struct histogram {
	uint64_t counts[METRICS_BUCKETS + 1];   /* the last: beyond the last bound */
	int64_t sum_ns;
	uint64_t count;
};

void histogram_add(struct histogram *h, int64_t value_ns, uint64_t times);

struct metrics_answers {
	const char *handler;    /* static: a route's pattern, or "none" */
	const char *method;     /* static */
	unsigned status;
	uint64_t count;
};

struct metrics {
	struct metrics_answers answers[METRICS_ANSWERS_MAX];
	uint32_t answers_count;
	struct histogram first_token;       /* from the whole request to its first delta */
	struct histogram inter_token;       /* between deltas, per token */
	struct histogram whole;             /* from the whole request to the last byte queued */
	uint64_t clients_gone;
	uint32_t connections;
};

void metrics_answer(struct metrics *m, const char *handler, const char *method, unsigned status);

/* model: label of the aliases. */
void metrics_format(struct buf *out, const struct metrics *m, const struct core_report *report,
	const char *model, const char *currency);

#endif
