/* server/openai_error.c - see openai_error.h. Types and codes are those that clients test
 * (conventions.md 4.3). */
#include "server/openai_error.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/units.h"

/* Whether the client should try again is said only where its library would guess wrong. */
enum retry { RETRY_UNSAID, RETRY_NEVER };

#define INVALID "invalid_request_error"
#define SERVER  "server_error"

static const struct {
	unsigned status;
	const char *type;
	const char *code;
	enum retry retry;
	const char *message;
} FAULTS[OPENAI_FAULTS] = {
	[OPENAI_INVALID] = {400, INVALID, NULL, RETRY_UNSAID,
		"The request is invalid."},
	[OPENAI_CONTEXT_LENGTH] = {400, INVALID, "context_length_exceeded", RETRY_UNSAID,
		"The prompt does not leave room for an answer in the model's context."},
	[OPENAI_INVALID_KEY] = {401, INVALID, "invalid_api_key", RETRY_UNSAID,
		"Incorrect API key provided, or none. Send it as 'Authorization: Bearer sk-...'."},
	[OPENAI_FORBIDDEN] = {403, INVALID, "forbidden", RETRY_UNSAID,
		"This is not open to you."},
	[OPENAI_NOT_FOUND] = {404, INVALID, "not_found", RETRY_UNSAID,
		"There is nothing at this URL."},
	[OPENAI_MODEL_NOT_FOUND] = {404, INVALID, "model_not_found", RETRY_UNSAID,
		"The model does not exist here. GET /v1/models lists those that do."},
	[OPENAI_METHOD] = {405, INVALID, "method_not_allowed", RETRY_UNSAID,
		"This URL does not take this method."},
	[OPENAI_TIMEOUT] = {408, INVALID, "request_timeout", RETRY_UNSAID,
		"The request did not arrive in time."},
	[OPENAI_TOO_LARGE] = {413, INVALID, "request_too_large", RETRY_UNSAID,
		"The request's body is too large."},
	[OPENAI_EXPECTATION] = {417, INVALID, "expectation_failed", RETRY_UNSAID,
		"Only 100-continue can be expected."},
	[OPENAI_HEADERS_TOO_LARGE] = {431, INVALID, "headers_too_large", RETRY_UNSAID,
		"The request's headers are too large."},
	[OPENAI_CODING] = {501, INVALID, "transfer_coding_not_supported", RETRY_NEVER,
		"Chunked is the only transfer coding that is spoken here."},
	[OPENAI_VERSION] = {505, INVALID, "http_version_not_supported", RETRY_NEVER,
		"Only HTTP/1.0 and HTTP/1.1 are spoken here."},
	[OPENAI_QUOTA] = {429, "insufficient_quota", "insufficient_quota", RETRY_NEVER,
		"You exceeded your current quota: the balance does not cover this request."},
	[OPENAI_RATE_LIMIT] = {429, "requests", "rate_limit_exceeded", RETRY_UNSAID,
		"Rate limit reached."},
	[OPENAI_OVERLOADED] = {503, SERVER, "overloaded", RETRY_UNSAID,
		"The server has more requests than it can take. Try again later."},
	[OPENAI_DRAINING] = {503, SERVER, "overloaded", RETRY_UNSAID,
		"The server is stopping."},
	[OPENAI_STORE_DOWN] = {503, SERVER, "overloaded", RETRY_UNSAID,
		"The server cannot record usage at the moment. Try again later."},
	[OPENAI_CANCELLED] = {503, SERVER, "cancelled", RETRY_UNSAID,
		"The server stopped before the answer was complete."},
	[OPENAI_INTERNAL] = {500, SERVER, "internal_error", RETRY_UNSAID,
		"Something went wrong on this side. The request was not charged."},
};

/* Who has been too much may come again, also where nobody has counted when. */
static void retry_by_fault(struct openai_error *e)
{
	if (e->fault == OPENAI_OVERLOADED && e->retry_after_ns <= 0)
		e->retry_after_ns = NS_PER_S;
}

void openai_error_set(struct openai_error *e, enum openai_fault fault, const char *param,
	const char *format, ...)
{
	va_list arguments;

	*e = (struct openai_error){.fault = fault};
	retry_by_fault(e);
	snprintf(e->param, sizeof(e->param), "%s", param ? param : "");
	va_start(arguments, format);
	vsnprintf(e->message, sizeof(e->message), format, arguments);
	va_end(arguments);
}

bool openai_error_no_memory(struct openai_error *e)
{
	openai_error_set(e, OPENAI_OVERLOADED, NULL, "no memory is left for another request");
	return false;
}

void openai_error_refusal(struct openai_error *e, enum core_refusal code, int64_t retry_after_ns)
{
	static const enum openai_fault faults[] = {
		[CORE_REFUSE_INVALID_KEY] = OPENAI_INVALID_KEY,
		[CORE_REFUSE_MODEL_NOT_FOUND] = OPENAI_MODEL_NOT_FOUND,
		[CORE_REFUSE_RATE_LIMITED] = OPENAI_RATE_LIMIT,
		[CORE_REFUSE_OVERLOADED] = OPENAI_OVERLOADED,
		[CORE_REFUSE_CONTEXT_LENGTH] = OPENAI_CONTEXT_LENGTH,
		[CORE_REFUSE_INSUFFICIENT_QUOTA] = OPENAI_QUOTA,
		[CORE_REFUSE_DRAINING] = OPENAI_DRAINING,
		[CORE_REFUSE_STORE_DOWN] = OPENAI_STORE_DOWN,
	};

	assert((size_t)code < sizeof(faults) / sizeof(faults[0]));
	*e = (struct openai_error){.fault = faults[code], .retry_after_ns = retry_after_ns};
	if (e->fault == OPENAI_MODEL_NOT_FOUND)
		snprintf(e->param, sizeof(e->param), "model");
	retry_by_fault(e);
	if (e->retry_after_ns <= 0 &&
		(e->fault == OPENAI_DRAINING || e->fault == OPENAI_STORE_DOWN))
		e->retry_after_ns = NS_PER_S;
}

void openai_error_http(struct openai_error *e, unsigned status, const char *problem)
{
	*e = (struct openai_error){.fault = OPENAI_INVALID};
	for (int fault = 0; fault < OPENAI_FAULTS; fault++)
		if (FAULTS[fault].status == status && status != 400) {
			e->fault = (enum openai_fault)fault;
			break;
		}
	retry_by_fault(e);
	snprintf(e->message, sizeof(e->message), "%s", problem);
}

unsigned openai_error_status(const struct openai_error *e)
{
	return FAULTS[e->fault].status;
}

static void add_or_null(struct buf *out, const char *text)
{
	if (text && text[0])
		json_add_string(out, text, strlen(text));
	else
		buf_add_str(out, "null");
}

void openai_error_body(const struct openai_error *e, struct buf *out)
{
	const char *message = e->message[0] ? e->message : FAULTS[e->fault].message;

	buf_add_str(out, "{\"error\":{\"message\":");
	json_add_string(out, message, strlen(message));
	buf_printf(out, ",\"type\":\"%s\",\"param\":", FAULTS[e->fault].type);
	add_or_null(out, e->param);
	buf_add_str(out, ",\"code\":");
	add_or_null(out, FAULTS[e->fault].code);
	buf_add_str(out, "}}");
}

void openai_error_headers(const struct openai_error *e, struct buf *out)
{
	if (e->retry_after_ns > 0)
		buf_printf(out, "retry-after: %" PRId64 "\r\n",
			(e->retry_after_ns + NS_PER_S - 1) / NS_PER_S);
	if (FAULTS[e->fault].retry == RETRY_NEVER)
		buf_add_str(out, "x-should-retry: false\r\n");
}
