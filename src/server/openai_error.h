/* server/openai_error.h - every way to say no, in OpenAI's shape: the one table from reasons to
 * HTTP (rules.md 2). */
#ifndef SERVER_OPENAI_ERROR_H
#define SERVER_OPENAI_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cloud/core.h"

enum openai_fault {
	OPENAI_INVALID,             /* 400, param when one field is at fault */
	OPENAI_CONTEXT_LENGTH,
	OPENAI_INVALID_KEY,
	OPENAI_FORBIDDEN,
	OPENAI_NOT_FOUND,           /* no such route or thing */
	OPENAI_MODEL_NOT_FOUND,
	OPENAI_METHOD,
	OPENAI_TIMEOUT,
	OPENAI_TOO_LARGE,
	OPENAI_EXPECTATION,
	OPENAI_HEADERS_TOO_LARGE,
	OPENAI_CODING,
	OPENAI_VERSION,
	OPENAI_QUOTA,
	OPENAI_RATE_LIMIT,
	OPENAI_OVERLOADED,
	OPENAI_DRAINING,
	OPENAI_STORE_DOWN,
	OPENAI_CANCELLED,           /* cut short by this side: the grace time is over */
	OPENAI_INTERNAL,
	OPENAI_FAULTS
};

#define OPENAI_PARAM_BYTES   96
#define OPENAI_MESSAGE_BYTES 512

struct openai_error {
	enum openai_fault fault;
	char param[OPENAI_PARAM_BYTES];     /* "": null */
	char message[OPENAI_MESSAGE_BYTES]; /* "": the fault's own */
	int64_t retry_after_ns;             /* 0: not told */
};

/* Message by printf; long ones are cut. param may be NULL. OVERLOADED may be tried again after a
 * second (rules.md 2). */
void openai_error_set(struct openai_error *e, enum openai_fault fault, const char *param,
	const char *format, ...)
	PRINTF_LIKE(4, 5);
/* OVERLOADED, because the server's own memory did not suffice. Returns false. */
bool openai_error_no_memory(struct openai_error *e);
/* What a refusal of the core is called. retry_after_ns: 0 where the core has not counted one. */
void openai_error_refusal(struct openai_error *e, enum core_refusal code, int64_t retry_after_ns);
/* What the HTTP layer found; status as it gave it. */
void openai_error_http(struct openai_error *e, unsigned status, const char *problem);

unsigned openai_error_status(const struct openai_error *e);
/* {"error":{"message","type","param","code"}} */
void openai_error_body(const struct openai_error *e, struct buf *out);
/* retry-after and x-should-retry, as header lines. */
void openai_error_headers(const struct openai_error *e, struct buf *out);

#endif
