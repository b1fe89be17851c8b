/* hub/client.c - see client.h. The client, documents and tries; transfer.c is one request. */
#include "hub/client.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "hub/client_private.h"

#define STEP_MS      100
#define WAIT_MAX_S   60     /* between tries, when nobody says how long */
#define NOTE_BYTES   400
#define DOCUMENT_S   600L   /* a document that comes slower is not waited for */

/* A token is one word: what else it has would end the header, or be another one. */
static enum err token_check(const char *token, struct err_info *info)
{
	for (const char *c = token; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7F)
			return err_set(info, ERR_INPUT, "the token has a blank or a character that no "
				"token has");
	return strlen(token) < CLIENT_WORDS_BYTES ? ERR_NONE
		: err_set(info, ERR_LIMIT, "the token is longer than %d bytes",
			CLIENT_WORDS_BYTES - 1);
}

enum err client_open(struct client **out, const struct client_config *config,
	struct err_info *info)
{
	struct client *c = mem_alloc(1, sizeof(*c));

	*out = NULL;
	if (!c || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		mem_free(c);
		return err_set(info, ERR_MEMORY, "no memory for connections");
	}
	c->config = *config;
	c->multi = curl_multi_init();
	if (!c->multi) {
		err_set(info, ERR_MEMORY, "no memory for connections");
		client_close(c);
		return info->code;
	}
	if (config->token && token_check(config->token, info)) {
		client_close(c);
		return info->code;
	}
	c->token = config->token && hub_url_is_private(config->endpoint) ? config->token : NULL;
	if (config->token && !c->token)
		client_note(c, "the token is not sent: %s is not encrypted", config->endpoint);
	*out = c;
	return ERR_NONE;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	curl_multi_cleanup(c->multi);
	curl_global_cleanup();
	mem_free(c);
}

bool client_has_token(const struct client *c)
{
	return c->token != NULL;
}

void client_note(const struct client *c, const char *format, ...)
{
	char text[NOTE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	utf8_blank_controls(text, '?');   /* words of a hub, on a terminal */
	c->config.note(c->config.context, text);
}

static enum err cancelled(const struct client *c, struct err_info *info)
{
	return *c->config.stop ? err_set(info, ERR_CANCELLED, "interrupted") : ERR_NONE;
}

enum err client_step(struct client *c, int wait_ms, struct err_info *info)
{
	int running = 0, left = 0;
	CURLMsg *message;

	if (cancelled(c, info))
		return info->code;
	if (curl_multi_perform(c->multi, &running))
		return err_set(info, ERR_MEMORY, "the connections cannot go on");
	bool ended = false;

	while ((message = curl_multi_info_read(c->multi, &left)))
		if (message->msg == CURLMSG_DONE) {
			transfer_handle_done(message->easy_handle, message->data.result);
			ended = true;
		}
	if (!ended && wait_ms > 0)
		(void)curl_multi_poll(c->multi, NULL, 0, wait_ms, NULL);
	return cancelled(c, info);
}

/* ---- trying again ---------------------------------------------------------------------------- */

static bool may_get_better(const struct client *c, long status)
{
	/* a hub that was never reached will not be in a few seconds either */
	if (status == 0)
		return c->reached;
	return status == 408 || status == 429 || (status >= 500 && status != 501);
}

enum client_again client_again(const struct client *c, long status, int64_t retry_after_s,
	uint32_t failures, int64_t *wait_s)
{
	assert(failures > 0);
	if (!may_get_better(c, status) || failures > c->config.tries_max ||
		retry_after_s > CLIENT_WAIT_MAX_S)
		return CLIENT_AGAIN_NEVER;
	*wait_s = failures - 1 < 6 ? (int64_t)1 << (failures - 1) : WAIT_MAX_S;
	if (retry_after_s >= 0)
		*wait_s = retry_after_s;
	return CLIENT_AGAIN_LATER;
}

enum err client_status_error(const struct client_answer *answer, const char *url,
	struct err_info *info)
{
	char host[HUB_HOST_BYTES];

	hub_url_host(url, host);
	if (answer->status == 429 && answer->retry_after_s >= 0)
		return err_set(info, ERR_BUSY, "%s: too many requests (429); try again in %lld s",
			host, (long long)answer->retry_after_s);
	if (answer->status == 429 || answer->status == 503)
		return err_set(info, ERR_BUSY, "%s answers %ld; try again later", host,
			answer->status);
	return err_set(info, ERR_IO, "%s answers %ld%s%s", host, answer->status,
		*answer->error_message ? ": " : "", answer->error_message);
}

static enum err wait_for(struct client *c, int64_t wait_s, struct err_info *info)
{
	const int64_t until = clock_monotonic_ns() + wait_s * NS_PER_S;

	while (clock_monotonic_ns() < until)
		if (client_step(c, STEP_MS, info))
			return info->code;
	return ERR_NONE;
}

/* ---- documents ------------------------------------------------------------------------------- */

static bool document_begin(void *context, const struct client_answer *answer, struct err_info *info)
{
	struct buf *body = context;

	buf_clear(body);
	if (answer->length != CLIENT_UNKNOWN && answer->length > body->size_max) {
		err_set(info, ERR_LIMIT, "an answer of %llu bytes, at most %zu are taken",
			(unsigned long long)answer->length, body->size_max);
		return false;
	}
	return true;
}

static bool document_take(void *context, const void *bytes, size_t size, struct err_info *info)
{
	struct buf *body = context;

	buf_add(body, bytes, size);
	if (body->failed && size > body->size_max - body->size)
		err_set(info, ERR_LIMIT, "an answer of more than %zu bytes", body->size_max);
	else if (body->failed)
		err_set(info, ERR_MEMORY, "no memory for an answer");
	return !body->failed;
}

static enum err run_once(struct client *c, struct transfer *t, const char *url, struct buf *body,
	enum transfer_end *end, struct err_info *info)
{
	const struct transfer_taker taker = {document_begin, document_take, body, DOCUMENT_S};

	if (transfer_start(t, url, NULL, &taker, info))
		return info->code;
	while (!transfer_ended(t, end, info))
		if (client_step(c, STEP_MS, info)) {
			transfer_stop(t);
			return info->code;
		}
	return ERR_NONE;
}

/* True to try again, after the wait. */
static bool try_again(struct client *c, const struct transfer *t, enum transfer_end end,
	uint32_t failures, struct err_info *info)
{
	const struct client_answer *answer = transfer_answer(t);
	const long status = end == TRANSFER_STATUS ? answer->status : 0;
	char host[HUB_HOST_BYTES];
	int64_t wait_s;

	if ((end != TRANSFER_STATUS && end != TRANSFER_BROKEN) || client_again(c, status,
		answer->retry_after_s, failures, &wait_s) == CLIENT_AGAIN_NEVER)
		return false;
	if (status)
		client_note(c, "%s answers %ld; once more in %lld s",
			hub_url_host(transfer_url(t), host), status, (long long)wait_s);
	else
		client_note(c, "%s; once more in %lld s", info->text, (long long)wait_s);
	*info = (struct err_info){0};
	return wait_for(c, wait_s, info) == ERR_NONE;
}

enum err client_get(struct client *c, const char *url, struct buf *body,
	struct client_answer *answer, struct err_info *info)
{
	struct transfer *t = transfer_open(c);
	enum transfer_end end = TRANSFER_FAILED;
	uint32_t failures = 0;

	if (!t)
		return err_set(info, ERR_MEMORY, "no memory for a connection");
	do {
		buf_clear(body);
		if (run_once(c, t, url, body, &end, info))
			break;
	} while (end != TRANSFER_WHOLE && try_again(c, t, end, ++failures, info));
	*answer = *transfer_answer(t);
	if (!info->code && end == TRANSFER_STATUS)
		buf_clear(body);
	transfer_close(t);
	assert(info->code || end == TRANSFER_WHOLE || end == TRANSFER_STATUS);
	return info->code;
}
