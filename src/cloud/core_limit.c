/* cloud/core_limit.c - limits: how many requests and tokens a minute a tenant may use.
 *
 *	ASK      one request, and the tokens are not in debt       else the wait
 *	ARRIVE   prompt and what the answer may have for now       else the wait
 *	growth   the step that the hold grew by; the answer goes on, the bucket goes into debt
 *	end      what was not used comes back
 *
 * So an answer is never stopped by a limit, and what it used beyond it is waited for by the next.
 */
#include <assert.h>

#include "base/math.h"
#include "cloud/core_internal.h"

static struct core_tenant *tenant_of(struct core *core, const struct core_request *r)
{
	return &core->tenants[r->tenant_id - 1];
}

int64_t limit_ask_wait_ns(const struct core *core, uint32_t tenant_id)
{
	const struct core_tenant *tenant = &core->tenants[tenant_id - 1];
	int64_t wait_ns = 0;

	if (tenant->row.tokens_per_min > 0)
		wait_ns = bucket_wait_ns(&tenant->tokens, 1, core->now_ns);
	if (wait_ns == 0 && tenant->row.requests_per_min > 0)
		wait_ns = bucket_wait_ns(&tenant->requests, 1, core->now_ns);
	return wait_ns;
}

void limit_ask(struct core *core, uint32_t tenant_id)
{
	struct core_tenant *tenant = &core->tenants[tenant_id - 1];

	if (tenant->row.requests_per_min == 0)
		return;
	const bool taken = bucket_take(&tenant->requests, 1, core->now_ns);
	assert(taken);
}

/* A request that may use more than there can ever be waits until the bucket is full. */
int64_t limit_arrive_wait_ns(struct core *core, struct core_request *r)
{
	struct core_tenant *tenant = tenant_of(core, r);
	int64_t tokens = r->answer_tokens_max;

	if (tenant->row.tokens_per_min == 0)
		return 0;
	if (r->open_ended)
		tokens = math_min_i64(tokens, core->limits.hold_step_tokens);
	tokens = math_min_i64(tokens + r->prompt_tokens, BUCKET_DEBT_MAX);
	const int64_t wait_ns = bucket_wait_ns(&tenant->tokens,
		math_min_i64(tokens, tenant->row.tokens_per_min), core->now_ns);

	if (wait_ns > 0)
		return wait_ns;
	bucket_owe(&tenant->tokens, tokens, core->now_ns);
	r->bucket_tokens = (uint32_t)tokens;
	return 0;
}

void limit_grow(struct core *core, struct core_request *r, uint32_t tokens)
{
	struct core_tenant *tenant = tenant_of(core, r);

	if (tenant->row.tokens_per_min == 0 || tokens > BUCKET_DEBT_MAX - r->bucket_tokens)
		return;
	bucket_owe(&tenant->tokens, tokens, core->now_ns);
	r->bucket_tokens += tokens;
}

void limit_give_back(struct core *core, struct core_request *r, uint32_t used)
{
	struct core_tenant *tenant = tenant_of(core, r);

	if (tenant->row.tokens_per_min > 0 && r->bucket_tokens > used)
		bucket_give(&tenant->tokens, r->bucket_tokens - used);
	r->bucket_tokens = 0;
}
