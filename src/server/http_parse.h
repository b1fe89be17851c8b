/* server/http_parse.h - bytes become one HTTP/1.1 request at a time, under limits.
 *
 * Pure: no sockets, no time. Framing is http_parser's, which refuses two lengths, a length beside
 * chunks and unknown transfer encodings. Debian builds it without its strict mode, so this file
 * checks the rest of what two readers could frame differently: header names are tokens, lines end
 * with CR LF, a chunk's size stands alone, a chunk ends where it said. It adds the limits (rules.md
 * 5), copies what is kept, and says how a bad request is answered.
 *
 *   feed ... HEAD --> HEADED --> BODY --> COMPLETE --> http_parse_next --> HEAD
 *              \_________________\----> FAILED (status, problem): the connection is of no more use
 *
 * A feed stops in HEADED, so that who asks is known before a byte of what was sent is kept; the
 * next one goes on. A request without a body is COMPLETE at once.
 */
#ifndef SERVER_HTTP_PARSE_H
#define SERVER_HTTP_PARSE_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HTTP_HEADERS_MAX 100

struct http_parse_limits {
	size_t header_bytes_max;    /* request line and headers, as they came */
	size_t body_bytes_max;
};

enum http_parse_state {
	HTTP_PARSE_HEAD,
	HTTP_PARSE_HEADED,          /* the header is whole, and a body follows */
	HTTP_PARSE_BODY,
	HTTP_PARSE_COMPLETE,
	HTTP_PARSE_FAILED,
};

enum http_size_line {
	HTTP_SIZE_NONE,             /* another line, or past what matters of this one */
	HTTP_SIZE_DIGITS,
	HTTP_SIZE_BLANK,            /* behind the digits */
};

struct http_header {
	uint32_t name_at;           /* in head, terminated, lower case */
	uint32_t value_at;          /* in head, terminated, without blanks around it */
};

struct http_parse {
	http_parser parser;
	struct http_parse_limits limits;
	enum http_parse_state state;
	struct buf head;            /* target, names and values */
	struct http_header headers[HTTP_HEADERS_MAX];
	uint32_t header_count;
	bool in_value;
	struct buf path;            /* decoded, without the query */
	struct buf body;
	size_t raw_bytes;           /* of this message, chunk framing included */
	const char *framing_at;     /* during a feed: bytes before it are checked, or body */
	bool after_cr;              /* the last framing byte was CR */
	bool after_lf;              /* the last framing byte was LF */
	bool after_chunk;           /* the next framing byte must be CR */
	bool before_size;           /* the next line has a chunk's size */
	enum http_size_line size_line;
	bool keep_alive;
	bool expects_continue;      /* the client waits for "100 Continue" before it
				     * sends the body */
	unsigned status;            /* FAILED: of the answer */
	const char *problem;        /* FAILED: static text */
};

void http_parse_init(struct http_parse *p, const struct http_parse_limits *limits);
void http_parse_free(struct http_parse *p);

/* Takes bytes up to the end of the header or of the request and returns how many; the rest belongs
 * to the body, or to the next request. Call it only in HEAD, HEADED and BODY. */
size_t http_parse_feed(struct http_parse *p, const char *bytes, size_t size);

/* Some bytes of a request have come: a connection that is closed now is cut inside a request. */
bool http_parse_begun(const struct http_parse *p);

/* After COMPLETE: forgets the request, keeps its memory for the next one. */
void http_parse_next(struct http_parse *p);

/* The header is whole: method, path and headers can be asked for. */
bool http_parse_headed(const struct http_parse *p);

/* From HEADED on. */
const char *http_parse_method(const struct http_parse *p);
/* "/v1/models"; "*" for OPTIONS. Holds no zero bytes. */
const char *http_parse_path(const struct http_parse *p);
/* The header's value, or NULL; name in lower case. Of several the first. */
const char *http_parse_header(const struct http_parse *p, const char *name);

#endif
