/* hub/client.h - HTTP as hubs speak it: many requests at once in one thread, by libcurl.
 *
 *	struct client *c;
 *	client_open(&c, &config, &info);
 *	client_get(c, url, &body, &answer, &info);         // a document, with tries and waits
 *
 *	transfer_start(t, url, &range, &taker, &info);     // a part of a file; then
 *	while (!transfer_ended(t, &end, &info))
 *		client_step(c, 100, &info);
 *
 * Redirects are followed here, one by one: the token goes to the endpoint's origin only, never
 * from https to http, five hops at most. Headers, bodies and times have bounds. What a hub says
 * stands in errors with its host, never with the whole address: that may be a signature.
 */
#ifndef HUB_CLIENT_H
#define HUB_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "hub/ranges.h"
#include "hub/url.h"

#define CLIENT_UNKNOWN        UINT64_MAX   /* a length that was not told */
#define CLIENT_LINK_BYTES     4096
#define CLIENT_WORDS_BYTES    256
#define CLIENT_WAIT_MAX_S     300          /* what a Retry-After may ask for */
#define CLIENT_TRIES_DEFAULT  5

struct client_config {
	const char *endpoint;      /* checked (hub_endpoint_check) */
	const char *token;         /* NULL: none */
	const char *agent;         /* User-Agent */
	const char *ca_file;       /* whose certificates are believed; NULL: the system's */
	int64_t stall_s;           /* a connection that brings nothing for so long is given up */
	uint32_t tries_max;        /* one after the other that bring nothing */
	const volatile sig_atomic_t *stop;   /* set: everything ends with ERR_CANCELLED */
	void (*note)(void *context, const char *text);   /* what the user should know meanwhile */
	void *context;
};

/* What the last response of a transfer said, beside its body. */
struct client_answer {
	long status;
	uint64_t length;           /* of the body, or CLIENT_UNKNOWN */
	uint64_t range_from;       /* Content-Range, or CLIENT_UNKNOWN */
	uint64_t range_size;       /* of the whole, or CLIENT_UNKNOWN */
	int64_t retry_after_s;     /* -1: not told */
	char link[CLIENT_LINK_BYTES];
	char error_code[CLIENT_WORDS_BYTES];      /* X-Error-Code, ours for humans: */
	char error_message[CLIENT_WORDS_BYTES];   /* X-Error-Message */
};

struct client;
struct transfer;

enum err client_open(struct client **out, const struct client_config *config,
	struct err_info *info) MUST_CHECK;
/* All transfers are closed. NULL is legal. */
void client_close(struct client *c);
/* True when the token of the configuration is sent at all. */
bool client_has_token(const struct client *c);

/* Moves bytes, and waits for some up to wait_ms. ERR_CANCELLED when stop is set. */
enum err client_step(struct client *c, int wait_ms, struct err_info *info) MUST_CHECK;

/* A whole document into body, which bounds it. Statuses other than 200 are an error only for
 * who asks: *answer has them, and body is empty. */
enum err client_get(struct client *c, const char *url, struct buf *body,
	struct client_answer *answer, struct err_info *info) MUST_CHECK;

/* What to do about an answer, or a break, after so many in a row that brought nothing. */
enum client_again {
	CLIENT_AGAIN_NEVER,
	CLIENT_AGAIN_LATER,        /* after *wait_s */
};
/* status 0: the connection broke. */
enum client_again client_again(const struct client *c, long status, int64_t retry_after_s,
	uint32_t failures, int64_t *wait_s);
void client_note(const struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);
/* "HOST answers 503", as an error. */
enum err client_status_error(const struct client_answer *answer, const char *url,
	struct err_info *info);

/* ---- one request ----------------------------------------------------------------------------- */

/* Takes a body. False refuses it and ends the transfer; info is set, or not when it only has to be
 * asked for in another way. */
struct transfer_taker {
	bool (*begin)(void *context, const struct client_answer *answer, struct err_info *info);
	bool (*take)(void *context, const void *bytes, size_t size, struct err_info *info);
	void *context;
	long seconds_max;     /* for each hop, from connection to end; 0: as long as bytes come */
};

enum transfer_end {
	TRANSFER_WHOLE,       /* 200 or 206, and the body came to its end */
	TRANSFER_STATUS,      /* another status */
	TRANSFER_BROKEN,      /* cut, stalled, not reached: may get better; info says how */
	TRANSFER_REFUSED,     /* by the taker */
	TRANSFER_FAILED,      /* cannot get better: info */
};

/* NULL when memory ends. */
struct transfer *transfer_open(struct client *c);
void transfer_close(struct transfer *t);

/* range NULL: all of it. url may be where an earlier one was led to. */
enum err transfer_start(struct transfer *t, const char *url, const struct range *range,
	const struct transfer_taker *taker, struct err_info *info) MUST_CHECK;
/* True once when it has ended, and it may be started again; info is the transfer's own. */
bool transfer_ended(struct transfer *t, enum transfer_end *end, struct err_info *info);
/* Ends it now. */
void transfer_stop(struct transfer *t);
const struct client_answer *transfer_answer(const struct transfer *t);
/* The last address: where redirects led to. */
const char *transfer_url(const struct transfer *t);

#endif
