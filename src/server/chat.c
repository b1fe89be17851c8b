/* server/chat.c - POST /v1/chat/completions, from the body to the last chunk: what the front
 * does between the core's answers. The states are in front.h; what is charged, and when, is the
 * core's (cloud/core.h).
 */
#include "server/chat.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "model/tokenizer/tokenizer.h"
#include "server/prompt.h"

/* ---- thought --------------------------------------------------------------------------------- */

/* Counts on to as many tokens as may go out. */
static void thought_count(struct chat *chat)
{
	for (; chat->tokens_thought < chat->tokens_out; chat->tokens_thought++)
		think_add(&chat->think, chat->request.think, chat->request.think_budget,
			chat->request.answer[chat->tokens_thought]);
}

/* How many of the answer's first tokens were thought. */
static uint32_t thought_in(const struct chat *chat, uint32_t tokens)
{
	const struct request *r = &chat->request;
	struct think_state s;

	if (tokens == chat->tokens_thought)
		return chat->think.tokens;
	think_start(&s, r->think, r->prompt, r->prompt_tokens);
	for (uint32_t i = 0; i < tokens; i++)
		think_add(&s, r->think, r->think_budget, r->answer[i]);
	return s.tokens;
}

/* ---- to the core ----------------------------------------------------------------------------- */

static void tell_progress(struct call *c, enum core_event_kind kind, uint32_t tokens)
{
	struct core_event event = {.kind = kind};

	event.u.progress.handle = c->handle;
	event.u.progress.tokens = tokens;
	event.u.progress.failed = kind == CORE_CANCEL && c->chat->lost;
	if (kind == CORE_FLUSHED || kind == CORE_CANCEL)
		event.u.progress.reasoning = thought_in(c->chat, tokens);
	front_tell(c->front, &event);
}

/* The last word about what the client has: after it only END comes. */
static void tell_cancel(struct call *c, uint32_t tokens)
{
	assert(c->state >= CALL_ASKED && c->state < CALL_ENDING);
	c->state = CALL_ENDING;
	tell_progress(c, CORE_CANCEL, tokens);
}

/* Tokens whose delta is in the socket. */
static uint32_t tokens_taken(struct call *c)
{
	if (!c->streaming)
		return 0;
	return http_all_taken(c->conn) ? c->chat->tokens_chunked : http_taken(c->conn);
}

/* What changed since the core was last told: written, stalled or moving again. */
static void tell_taken(struct call *c)
{
	const uint32_t tokens = tokens_taken(c);
	const bool full = http_full(c->conn);
	const uint64_t bytes = http_taken_bytes(c->conn);

	if (ring_room(c->front->wires->events) <= c->front->wires->reserved) {
		c->chat->late = true;
		front_late(c->front);
		return;
	}
	c->chat->late = false;
	if (tokens > c->chat->tokens_told) {
		c->chat->tokens_told = tokens;
		tell_progress(c, CORE_WRITTEN, tokens);
	}
	if (full && (!c->chat->stalled || bytes > c->chat->taken_bytes_told))
		tell_progress(c, CORE_STALL, 0);
	else if (!full && c->chat->stalled)
		tell_progress(c, CORE_RESUME, 0);
	c->chat->stalled = full;
	c->chat->taken_bytes_told = bytes;
	if (c->state == CALL_FLUSHING && tokens == c->chat->tokens_seen) {
		c->state = CALL_ENDING;
		tell_progress(c, CORE_FLUSHED, tokens);
	}
}

void chat_progress(struct call *c)
{
	if (c->state == CALL_RUNNING || c->state == CALL_FLUSHING)
		tell_taken(c);
}

void chat_tell_late(struct call *c)
{
	c->chat->late = false;
	if (c->conn)
		chat_progress(c);
}

void chat_gone(struct call *c)
{
	switch (c->state) {
	case CALL_ASKED:
	case CALL_ARRIVED:
	case CALL_RUNNING:
	case CALL_FLUSHING:
		tell_cancel(c, tokens_taken(c));
		break;
	case CALL_FREE:
	case CALL_AUTHORISING:
	case CALL_REPORTING:
	case CALL_READING:      /* the thread that reads will find nobody there */
	case CALL_COUNTING:
	case CALL_ENDING:
		break;
	}
}

/* ---- the body -------------------------------------------------------------------------------- */

static void body_read(uv_work_t *work)
{
	struct call *c = work->data;
	struct front *f = c->front;
	const struct buf *body = &c->chat->body.bytes;

	c->chat->body_ok = openai_chat_parse(&c->chat->asked, body->data ? body->data : "",
		body->size, f->models, f->config->model_count, &f->body_limits, &f->trees,
		&c->chat->error);
	buf_free(&c->chat->body.bytes);
}

static void body_was_read(uv_work_t *work, int status)
{
	struct call *c = work->data;
	struct core_event event = {.kind = CORE_ASK};

	(void)status;
	c->in_work = false;
	http_body_release(c->front->http, &c->chat->body);
	if (!c->conn || !c->chat->body_ok) {
		if (c->conn)
			call_fail(c, &c->chat->error);
		call_free(c);
		return;
	}
	c->state = CALL_ASKED;
	event.u.ask.handle = c->handle;
	event.u.ask.model = c->chat->asked.model;
	event.u.ask.request = c->id;
	event.u.ask.caller = c->caller;
	front_tell(c->front, &event);
}

void chat_init(struct call *c)
{
	*c->chat = (struct chat){0};
	buf_init(&c->chat->text, FRONT_ANSWER_BYTES_MAX);
	buf_init(&c->chat->whole, FRONT_ANSWER_BYTES_MAX);
}

void chat_serve(struct call *c)
{
	assert(c->state == CALL_AUTHORISING);
	c->state = CALL_READING;
	http_body_take(c->conn, &c->chat->body);
	c->chat->body_bytes = c->chat->body.bytes.size;
	call_work(c, c->chat->body_bytes, body_read, body_was_read);
}

/* ---- the prompt ------------------------------------------------------------------------------ */

static void prompt_count(uv_work_t *work)
{
	struct call *c = work->data;
	const struct server_model *model = &c->front->config->models[c->chat->asked.model];
	struct prompt prompt = {0};

	c->chat->body_ok = prompt_make(&prompt, model, &c->chat->asked, c->chat->context_max,
		&c->chat->request.arena, &c->chat->error);
	if (c->chat->body_ok) {
		c->chat->request.prompt = prompt.tokens;
		c->chat->request.prompt_tokens = prompt.count;
		c->chat->body_ok = chat_request_fill(c, model) ||
			openai_error_no_memory(&c->chat->error);
	}
	/* the tree may be large: it goes where it may take its time */
	openai_chat_forget(&c->chat->asked);
}

static void prompt_was_counted(uv_work_t *work, int status)
{
	struct call *c = work->data;
	struct core_event event = {.kind = CORE_ARRIVE};

	(void)status;
	c->in_work = false;
	if (c->chat->cut && c->chat->body_ok) {
		c->chat->body_ok = false;
		openai_error_refusal(&c->chat->error, CORE_REFUSE_DRAINING, 0);
	}
	if (!c->conn || !c->chat->body_ok) {
		if (c->conn)
			call_fail(c, &c->chat->error);
		tell_cancel(c, 0);
		return;
	}
	c->state = CALL_ARRIVED;
	c->front->table->by_handle[c->handle] = &c->chat->request;
	event.u.arrive.handle = c->handle;
	event.u.arrive.prompt_tokens = c->chat->request.prompt_tokens;
	event.u.arrive.answer_tokens_max = c->chat->request.answer_tokens_max;
	event.u.arrive.open_ended = c->chat->asked.max_tokens < 0;
	front_tell(c->front, &event);
}

static void admitted(struct call *c, const struct core_action *action)
{
	if (c->state == CALL_ENDING)
		return;  /* the client left meanwhile; END will come */
	c->state = CALL_COUNTING;
	c->chat->context_max = action->u.admit.context_max;
	arena_init_pooled(&c->chat->request.arena, c->front->pool, SIZE_MAX / 2);
	call_work(c, c->chat->body_bytes, prompt_count, prompt_was_counted);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static struct openai_usage usage_so_far(const struct call *c)
{
	return (struct openai_usage){.prompt_tokens = c->chat->request.prompt_tokens,
		.completion_tokens = c->chat->tokens_out,
		.reasoning_tokens = c->chat->think.tokens};
}

static void accepted(struct call *c)
{
	if (c->state == CALL_ENDING)
		return;
	c->state = CALL_RUNNING;
	c->chat->answer = (struct openai_answer){
		.request_id = c->request_id,
		.model = c->front->models[c->chat->asked.model].id,
		.created_s = clock_wall_ns() / NS_PER_S,
		.with_usage = c->chat->asked.include_usage,
	};
}

/* Opens the stream in the buffer's first chunk. False: the connection did not survive it. */
static bool stream_ready(struct call *c)
{
	struct front *f = c->front;

	if (c->streaming)
		return true;
	c->streaming = true;
	buf_clear(&f->headers);
	buf_printf(&f->headers,
		"x-request-id: %s\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n",
		c->request_id);
	metrics_answer(&f->metrics, c->route->path, http_parse_method(http_request(c->conn)), 200);
	http_stream_open(c->conn, &(struct http_answer){.status = 200,
		.content_type = "text/event-stream; charset=utf-8", .headers = f->headers.data});
	openai_chunk_first(&f->out, &c->chat->answer);
	return c->conn != NULL;
}

static void delta_measure(struct call *c, uint32_t tokens)
{
	struct metrics *m = &c->front->metrics;
	const int64_t now_ns = clock_monotonic_ns();

	if (c->chat->delta_ns == 0)
		histogram_add(&m->first_token, now_ns - c->started_ns, 1);
	else
		histogram_add(&m->inter_token, (now_ns - c->chat->delta_ns) / tokens, tokens);
	c->chat->delta_ns = now_ns;
}

/* Of the tokens from first on that may go out; NULL where they were not asked for. */
static const struct openai_logprobs *logprobs_from(const struct call *c, uint32_t first,
	struct openai_logprobs *out)
{
	*out = (struct openai_logprobs){.request = &c->chat->request, .first = first,
		.end = c->chat->tokens_out,
		.tokenizer = c->front->config->models[c->chat->request.model].tokenizer};
	return c->chat->request.logprobs ? out : NULL;
}

/* One chunk for everything that may go out now. Tokens without text wait for company; at the end
 * they have a chunk of their own, so that no token is charged that was in none. False: it found no
 * memory, and nothing went out. */
static bool delta_stream(struct call *c, const struct buf *text, uint32_t tokens)
{
	struct front *f = c->front;
	const struct openai_usage usage = usage_so_far(c);
	struct openai_logprobs logprobs;

	buf_clear(&f->out);
	if (!stream_ready(c))
		return true;
	if (tokens > 0)
		openai_chunk_text(&f->out, &c->chat->answer, text->data ? text->data : "",
			text->size, logprobs_from(c, c->chat->tokens_chunked, &logprobs),
			c->chat->asked.usage_in_each_chunk ? &usage : NULL);
	if (f->out.failed)
		return false;
	if (f->out.size > 0)
		http_stream_write(c->conn, f->out.data, f->out.size, c->chat->tokens_out);
	c->chat->tokens_chunked = c->chat->tokens_out;
	return true;
}

/* Tokens up to answer_tokens become text. */
static uint32_t tokens_read(struct call *c, uint32_t answer_tokens, bool last)
{
	const struct tokenizer *tokenizer =
		c->front->config->models[c->chat->request.model].tokenizer;
	uint32_t tokens = 0;

	assert(answer_tokens >= c->chat->tokens_seen &&
		answer_tokens <= c->chat->request.answer_tokens_max);
	for (; c->chat->tokens_seen < answer_tokens; c->chat->tokens_seen++) {
		const uint32_t id = c->chat->request.answer[c->chat->tokens_seen];
		const struct token_text piece = tokenizer_answer_text(tokenizer, id);

		tokens += detokenize_add(c->chat->detokenize, piece.bytes, piece.size,
			&c->front->delta);
	}
	if (last)
		tokens += detokenize_end(c->chat->detokenize, &c->front->delta);
	return tokens;
}

/* A client that does not take what is queued must not get it later: it will not have been
 * charged. */
static void unsent_forget(struct call *c)
{
	struct http_conn *conn = c->conn;

	if (!conn || !c->streaming || http_all_taken(conn))
		return;
	http_set_owner(conn, NULL);
	c->conn = NULL;
	http_stream_abort(conn);
}

/* Text found no memory: the answer ends here and costs nothing. */
static void answer_lost(struct call *c)
{
	c->chat->lost = true;
	tell_cancel(c, tokens_taken(c));
	unsent_forget(c);
}

/* False: the call is ending, because its client left or its text was lost. */
static bool deltas_write(struct call *c, uint32_t answer_tokens, bool last)
{
	struct front *f = c->front;

	buf_clear(&f->delta);
	const uint32_t tokens = tokens_read(c, answer_tokens, last);
	bool whole = !f->delta.failed;
	c->chat->tokens_out += tokens;
	thought_count(c->chat);
	if (tokens > 0)
		delta_measure(c, tokens);
	if (!c->chat->asked.stream)
		buf_add(&c->chat->text, f->delta.data, f->delta.size);
	else if (whole && (f->delta.size > 0 || last))
		whole = delta_stream(c, &f->delta, c->chat->tokens_out - c->chat->tokens_chunked);
	if (c->conn && (!whole || c->chat->text.failed))
		answer_lost(c);
	return c->state == CALL_RUNNING;
}

static void delivered(struct call *c, uint32_t answer_tokens)
{
	if (c->state != CALL_RUNNING)
		return;  /* crossed with a client that left */
	if (deltas_write(c, answer_tokens, false) && c->chat->asked.stream)
		tell_taken(c);
}

static void whole_make(struct call *c, enum record_finish finish, const struct openai_usage *usage)
{
	const struct buf *text = &c->chat->text;
	struct openai_logprobs logprobs;

	openai_completion(&c->chat->whole, &c->chat->answer, text->data ? text->data : "",
		text->size, logprobs_from(c, 0, &logprobs), finish, usage);
}

/* The numbers come with END, when it is too late to fail: it is charged then. */
static bool whole_reserve(struct call *c)
{
	static const int64_t most = INT64_MAX / 2;
	static const struct openai_usage longest = {most, most, most, most};

	whole_make(c, RECORD_FINISH_TOOL_CALLS, &longest);
	return !c->chat->whole.failed;
}

static void answered(struct call *c, uint32_t answer_tokens)
{
	if (c->state != CALL_RUNNING || !deltas_write(c, answer_tokens, true))
		return;
	assert(c->chat->tokens_out == answer_tokens);
	if (c->chat->asked.stream) {
		c->state = CALL_FLUSHING;
		tell_taken(c);
	} else if (!whole_reserve(c)) {
		answer_lost(c);
	} else {
		c->state = CALL_ENDING;
		tell_progress(c, CORE_FLUSHED, answer_tokens);
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static void fault_of_end(const struct call *c, const struct core_action *action,
	struct openai_error *error)
{
	const enum openai_fault fault = action->u.end.finish == RECORD_FINISH_CANCELLED
		? OPENAI_CANCELLED : OPENAI_INTERNAL;

	*error = (struct openai_error){.fault = fault};
	if (!action->u.end.recorded)
		openai_error_refusal(error, CORE_REFUSE_DRAINING, 0);
	if (action->u.end.store_failed)
		openai_error_set(error, OPENAI_INTERNAL, NULL,
			"The usage of this request could not be recorded. It was not charged.");
	else if (c->chat->lost)
		openai_error_set(error, OPENAI_INTERNAL, NULL,
			"No memory was left for the rest of this answer. It was not charged.");
}

static bool end_is_good(const struct core_action *action)
{
	return action->u.end.recorded && !action->u.end.store_failed &&
		action->u.end.finish != RECORD_FINISH_ERROR &&
		action->u.end.finish != RECORD_FINISH_CANCELLED;
}

static void stream_finish(struct call *c, const struct core_action *action,
	const struct openai_usage *usage)
{
	struct front *f = c->front;
	struct openai_error error;

	buf_clear(&f->out);
	if (end_is_good(action)) {
		if (!stream_ready(c))
			return;
		openai_chunk_finish(&f->out, &c->chat->answer, action->u.end.finish,
			c->chat->asked.usage_in_each_chunk ? usage : NULL);
		if (c->chat->asked.include_usage)
			openai_chunk_usage(&f->out, &c->chat->answer, usage);
		openai_chunk_done(&f->out);
	} else {
		fault_of_end(c, action, &error);
		openai_chunk_error(&f->out, &error);
	}
	if (!f->out.failed)
		http_stream_write(c->conn, f->out.data, f->out.size, c->chat->tokens_out);
	if (!c->conn)
		return;
	struct http_conn *conn = c->conn;
	http_set_owner(conn, NULL);
	c->conn = NULL;
	if (f->out.failed)
		http_stream_abort(conn);  /* the client sees that the end is missing */
	else
		http_stream_close(conn);
}

static void whole_finish(struct call *c, const struct core_action *action,
	const struct openai_usage *usage)
{
	struct openai_error error;

	if (!end_is_good(action)) {
		fault_of_end(c, action, &error);
		call_fail(c, &error);
		return;
	}
	buf_clear(&c->chat->whole);
	whole_make(c, action->u.end.finish, usage);
	call_answer(c, 200, "application/json", &c->chat->whole);
}

static void ended(struct call *c, const struct core_action *action)
{
	const struct openai_usage usage = {
		.prompt_tokens = action->u.end.prompt_tokens,
		.cached_tokens = action->u.end.cached_tokens,
		.completion_tokens = action->u.end.completion_tokens,
		.reasoning_tokens = c->chat->think.tokens,
	};

	assert(!c->in_work);
	c->state = CALL_ENDING;
	if (c->conn) {
		histogram_add(&c->front->metrics.whole, clock_monotonic_ns() - c->started_ns, 1);
		if (c->chat->asked.stream && (c->streaming || end_is_good(action)))
			stream_finish(c, action, &usage);
		else
			whole_finish(c, action, &usage);
	}
	call_free(c);
}

static void refused(struct call *c, const struct core_action *action)
{
	struct openai_error error;

	if (c->conn) {
		openai_error_refusal(&error, action->u.refuse.code,
			action->u.refuse.retry_after_ns);
		call_fail(c, &error);
	}
	call_free(c);
}

/* This side ends it: nothing more is written, and what was written is charged. */
static void cut(struct call *c)
{
	c->chat->cut = true;
	if (c->state < CALL_ASKED || c->state >= CALL_ENDING || c->in_work)
		return;
	tell_cancel(c, c->conn ? tokens_taken(c) : 0);
	unsent_forget(c);
}

void chat_action(struct call *c, const struct core_action *action)
{
	switch (action->kind) {
	case CORE_ADMIT:
		admitted(c, action);
		break;
	case CORE_REFUSE:
		refused(c, action);
		break;
	case CORE_ACCEPT:
		accepted(c);
		break;
	case CORE_DELIVER:
		delivered(c, action->u.deliver.answer_tokens);
		break;
	case CORE_ANSWERED:
		answered(c, action->u.answered.answer_tokens);
		break;
	case CORE_CUT:
		cut(c);
		break;
	case CORE_END:
		ended(c, action);
		break;
	case CORE_RUN:
	case CORE_STORE:
	case CORE_REPLY:
	case CORE_STOPPED:
	case CORE_ACTION_KINDS:
		assert(false);
	}
}

void chat_free(struct call *c)
{
	c->front->table->by_handle[c->handle] = NULL;
	assert(c->chat->body.counted == 0);
	openai_chat_free(&c->chat->asked);
	buf_free(&c->chat->text);
	buf_free(&c->chat->whole);
	if (c->chat->request.arena.chunk_bytes > 0)
		arena_reset(&c->chat->request.arena);
	c->chat->request = (struct request){0};
	c->chat->detokenize = NULL;
}
