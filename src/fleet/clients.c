/* fleet/clients.c - clients that ask, read, stall and leave, and the front that speaks for them.
 *
 *	AWAY -> ASKING -> COUNTING -> ARRIVING -> OPEN -> ANSWERED -> FLUSHED -> AWAY
 *	            \________\___________\__________\________\--> GONE --------> AWAY
 */
#include <assert.h>
#include <string.h>

#include "fleet/simulate_internal.h"

static void say(struct fleet *f, uint32_t handle, enum core_event_kind kind)
{
	const struct client *c = &f->clients[handle];
	struct core_event event = {.kind = kind};

	event.u.progress.handle = handle;
	event.u.progress.tokens = c->written;
	if (kind == CORE_FLUSHED || kind == CORE_CANCEL)
		event.u.progress.reasoning = fleet_between_u32(f, 0, c->written);
	event.u.progress.tool_calls = kind == CORE_FLUSHED && fleet_one_in(f, 8);
	event.u.progress.failed = kind == CORE_CANCEL && fleet_one_in(f, 8);
	fleet_core_later(f, &event);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void caller_choose(struct fleet *f, struct core_caller *caller)
{
	caller->trusted = !fleet_one_in(f, 20);
	if (f->key_count == 0 || fleet_one_in(f, 20))
		return;
	caller->credential = CORE_CREDENTIAL_KEY;
	fleet_key_hash(fleet_one_in(f, 20) ? 0 : f->keys[prng_below(&f->prng, f->key_count)],
		caller->key_hash);
}

static void sizes_choose(struct fleet *f, struct client *c)
{
	const uint32_t long_prompt = f->limits.pool.context_max + 8;    /* may be too long */

	c->prompt_tokens = fleet_between_u32(f, 1, fleet_one_in(f, 4) ? long_prompt : 24);
	c->answer_tokens_asked = fleet_one_in(f, 2) ? 0 : fleet_between_u32(f, 1, 100);
	c->stream = !fleet_one_in(f, 3);
	c->window = fleet_between_u32(f, 1, 12);
	c->read_ns = fleet_between_ns(f, 0, fleet_one_in(f, 4) ? 20 * FLEET_MS : FLEET_MS);
	if (fleet_one_in(f, 16))
		c->read_ns = FLEET_NEVER_NS;
	c->trickles = fleet_one_in(f, 16);
	if (c->trickles)
		c->read_ns = fleet_between_ns(f, f->limits.stall_ns / 2, f->limits.stall_ns);
}

void fleet_client_arrive(struct fleet *f)
{
	struct core_event event = {.kind = CORE_ASK};
	uint32_t handle = 0;

	f->arrival_ns = f->now_ns + fleet_between_ns(f, 0, 2 * f->arrival_ns_mean);
	while (handle < f->limits.requests_max && f->clients[handle].state != CLIENT_AWAY)
		handle++;
	if (handle == f->limits.requests_max)
		return;
	struct client *c = &f->clients[handle];

	*c = (struct client){.state = CLIENT_ASKING, .act_ns = FLEET_NEVER_NS,
		.cancel_ns = FLEET_NEVER_NS};
	sizes_choose(f, c);
	if (fleet_one_in(f, 4))
		c->cancel_ns = f->now_ns + fleet_between_ns(f, 0, 300 * FLEET_MS);
	event.u.ask.handle = handle;
	event.u.ask.model = fleet_one_in(f, 50) ? CORE_NONE
						: fleet_between_u32(f, 0, f->limits.models_max - 1);
	event.u.ask.request.high = f->options->seed;
	event.u.ask.request.low = prng_hash(f->options->seed, f->request_next++);
	caller_choose(f, &event.u.ask.caller);
	fleet_core_later(f, &event);
}

/* The request as the executor will see it. */
static void request_make(struct fleet *f, uint32_t handle, uint32_t answer_tokens_max)
{
	struct request *r = &f->requests[handle];

	assert(answer_tokens_max <= FLEET_CONTEXT_MAX);
	memset(r, 0, sizeof(*r));
	r->handle = handle;
	r->prompt_tokens = f->clients[handle].prompt_tokens;
	r->answer_tokens_max = answer_tokens_max;
	r->sampling.seed = fleet_between(f, 0, UINT32_MAX);
	r->answer = f->answers[handle];
	f->by_handle[handle] = r;
}

static void arrive(struct fleet *f, uint32_t handle)
{
	struct client *c = &f->clients[handle];
	struct core_event event = {.kind = CORE_ARRIVE};
	const uint32_t context = c->window;     /* kept there since ADMIT told it */
	const uint32_t room = c->prompt_tokens < context ? context - c->prompt_tokens : 0;
	const bool cut = c->answer_tokens_asked > 0 && c->answer_tokens_asked < room;

	c->state = CLIENT_ARRIVING;
	c->act_ns = FLEET_NEVER_NS;
	c->window = fleet_between_u32(f, 1, 12);
	event.u.arrive.handle = handle;
	event.u.arrive.prompt_tokens = c->prompt_tokens;
	event.u.arrive.answer_tokens_max = cut ? c->answer_tokens_asked : room;
	event.u.arrive.open_ended = c->answer_tokens_asked == 0;
	request_make(f, handle, event.u.arrive.answer_tokens_max);
	fleet_core_later(f, &event);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool reads(const struct client *c)
{
	return c->stream && c->read_ns != FLEET_NEVER_NS;
}

static void read_next(struct fleet *f, struct client *c)
{
	c->act_ns = FLEET_NEVER_NS;
	if (reads(c) && c->written < c->delivered)
		c->act_ns = f->now_ns + c->read_ns;
}

static void flush(struct fleet *f, uint32_t handle)
{
	struct client *c = &f->clients[handle];

	c->written = c->delivered;
	c->state = CLIENT_FLUSHED;
	c->act_ns = FLEET_NEVER_NS;
	say(f, handle, CORE_FLUSHED);
}

/* The front notices how much it could not send (rules.md 5). */
static void back_pressure(struct fleet *f, uint32_t handle, bool taken)
{
	struct client *c = &f->clients[handle];
	const uint32_t unsent = c->delivered - c->written;

	if (!c->stream)
		return;
	if (c->stalled && unsent <= c->window / 2) {
		c->stalled = false;
		say(f, handle, CORE_RESUME);
	} else if (c->stalled ? taken : unsent > c->window ||
		(c->state == CLIENT_ANSWERED && !reads(c) && unsent > 0)) {
		c->stalled = true;
		say(f, handle, CORE_STALL);
	}
}

static void read(struct fleet *f, uint32_t handle)
{
	struct client *c = &f->clients[handle];

	c->written += c->trickles ? 1 : fleet_between_u32(f, 1, c->delivered - c->written);
	if (!fleet_one_in(f, 4))
		say(f, handle, CORE_WRITTEN);   /* CANCEL and FLUSHED say it too */
	back_pressure(f, handle, true);
	read_next(f, c);
	if (c->state == CLIENT_ANSWERED && c->written == c->delivered)
		flush(f, handle);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void leave(struct fleet *f, uint32_t handle)
{
	struct client *c = &f->clients[handle];

	c->cancel_ns = FLEET_NEVER_NS;
	if (c->state == CLIENT_AWAY || c->state == CLIENT_GONE)
		return;
	say(f, handle, CORE_CANCEL);
	if (c->state == CLIENT_FLUSHED)
		return;     /* too late: it crosses with the end */
	c->state = CLIENT_GONE;
	c->act_ns = FLEET_NEVER_NS;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void told_admit(struct fleet *f, const struct core_action *a)
{
	struct client *c = &f->clients[a->u.admit.handle];

	if (c->state != CLIENT_ASKING)
		return;     /* it has left meanwhile */
	c->state = CLIENT_COUNTING;
	c->window = a->u.admit.context_max;
	c->act_ns = f->now_ns + fleet_between_ns(f, 0, FLEET_MS);
}

static void told_deliver(struct fleet *f, const struct core_action *a)
{
	const uint32_t handle = a->u.deliver.handle;
	struct client *c = &f->clients[handle];

	if (c->state != CLIENT_OPEN)
		return;
	c->delivered = a->u.deliver.answer_tokens;
	back_pressure(f, handle, false);
	if (c->act_ns == FLEET_NEVER_NS)
		read_next(f, c);
}

static void told_answered(struct fleet *f, const struct core_action *a)
{
	const uint32_t handle = a->u.answered.handle;
	struct client *c = &f->clients[handle];

	if (c->state != CLIENT_OPEN)
		return;
	c->state = CLIENT_ANSWERED;
	if (!c->stream)
		c->act_ns = f->now_ns + fleet_between_ns(f, 0, FLEET_MS);  /* the body is made */
	else if (c->written == c->delivered)
		flush(f, handle);
	else
		back_pressure(f, handle, false);
}

void fleet_client_told(struct fleet *f, const struct core_action *a)
{
	if (a->kind == CORE_ADMIT)
		told_admit(f, a);
	else if (a->kind == CORE_ACCEPT && f->clients[a->u.accept.handle].state == CLIENT_ARRIVING)
		f->clients[a->u.accept.handle].state = CLIENT_OPEN;
	else if (a->kind == CORE_DELIVER)
		told_deliver(f, a);
	else if (a->kind == CORE_ANSWERED)
		told_answered(f, a);
	else if (a->kind == CORE_CUT && f->clients[a->u.cut.handle].state != CLIENT_FLUSHED)
		leave(f, a->u.cut.handle);
	else if (a->kind == CORE_REFUSE)
		f->clients[a->u.refuse.handle].state = CLIENT_AWAY;
	else if (a->kind == CORE_END)
		f->clients[a->u.end.handle].state = CLIENT_AWAY;
}

/* ---- time ------------------------------------------------------------------------------------ */

int64_t fleet_client_due_ns(const struct client *c)
{
	if (c->state == CLIENT_AWAY)
		return FLEET_NEVER_NS;
	return c->act_ns < c->cancel_ns ? c->act_ns : c->cancel_ns;
}

void fleet_client_act(struct fleet *f, uint32_t handle)
{
	struct client *c = &f->clients[handle];

	if (c->cancel_ns <= c->act_ns)
		leave(f, handle);
	else if (c->state == CLIENT_COUNTING)
		arrive(f, handle);
	else if (c->stream)
		read(f, handle);
	else
		flush(f, handle);
}
