/* server/http_parse.c - see http_parse.h. */
#include "server/http_parse.h"

#include <assert.h>
#include <string.h>

/* Chunk framing may cost as much again as the largest body, so that one-byte chunks pass and
 * endless chunk extensions do not. */
#define RAW_BYTES_PER_BODY_BYTE 6
#define RAW_BYTES_SPARE         65536

static int fail(struct http_parse *p, unsigned status, const char *problem)
{
	if (p->state != HTTP_PARSE_FAILED) {
		p->state = HTTP_PARSE_FAILED;
		p->status = status;
		p->problem = problem;
	}
	return -1;
}

static struct http_parse *self(http_parser *parser)
{
	return parser->data;
}

static int head_add(struct http_parse *p, const char *at, size_t size)
{
	buf_add(&p->head, at, size);
	return p->head.failed ? fail(p, 431, "the request's headers are too large") : 0;
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
	return head_add(self(parser), at, size);
}

/* RFC 9110's token; the parser itself lets blanks pass. */
static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
	struct http_parse *p = self(parser);

	if (p->state == HTTP_PARSE_BODY)
		return 0;  /* a trailer: nothing here reads one */
	if (p->in_value || p->header_count == 0) {
		if (p->header_count == HTTP_HEADERS_MAX)
			return fail(p, 431, "the request has too many headers");
		if (head_add(p, "", 1))
			return -1;
		p->headers[p->header_count++] =
			(struct http_header){.name_at = (uint32_t)p->head.size};
		p->in_value = false;
	}
	const size_t from = p->head.size;
	if (head_add(p, at, size))
		return -1;
	for (size_t i = from; i < p->head.size; i++) {
		p->head.data[i] = lower(p->head.data[i]);
		if (!is_name(p->head.data[i]))
			return fail(p, 400, "a header's name has a character that names cannot "
				"have");
	}
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
	struct http_parse *p = self(parser);

	if (p->state == HTTP_PARSE_BODY)
		return 0;
	if (!p->in_value) {
		if (head_add(p, "", 1))
			return -1;
		p->headers[p->header_count - 1].value_at = (uint32_t)p->head.size;
		p->in_value = true;
	}
	return head_add(p, at, size);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent signs that encode nothing, or a zero byte, are left as they are: such a
 * path names no route. */
static void path_decode(struct buf *out, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const int high = from[i] == '%' && i + 2 < size ? hex_digit(from[i + 1]) : -1;
		const int low = high >= 0 ? hex_digit(from[i + 2]) : -1;

		if (low < 0 || high * 16 + low == 0) {
			buf_add_char(out, from[i]);
		} else {
			buf_add_char(out, (char)(high * 16 + low));
			i += 2;
		}
	}
}

static int path_find(struct http_parse *p)
{
	const char *target = p->head.data ? p->head.data : "";
	struct http_parser_url url;

	if (strcmp(target, "*") == 0) {
		buf_add_char(&p->path, '*');
		return 0;
	}
	http_parser_url_init(&url);
	if (http_parser_parse_url(target, strlen(target), p->parser.method == HTTP_CONNECT, &url))
		return fail(p, 400, "the request target is not a valid URL");
	if (url.field_set & (1 << UF_PATH))
		path_decode(&p->path, target + url.field_data[UF_PATH].off,
			url.field_data[UF_PATH].len);
	if (p->path.size == 0)
		buf_add_char(&p->path, '/');
	return p->path.failed ? fail(p, 431, "the request's headers are too large") : 0;
}

static uint32_t header_occurrences(const struct http_parse *p, const char *name)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->header_count; i++)
		count += strcmp(p->head.data + p->headers[i].name_at, name) == 0;
	return count;
}

/* Cuts blanks off the ends of every value: the parser leaves those after it. */
static void values_trim(struct http_parse *p)
{
	for (uint32_t i = 0; i < p->header_count; i++) {
		char *value = p->head.data + p->headers[i].value_at;
		size_t size = strlen(value);

		if (p->headers[i].value_at == 0)
			/* no value came: the empty text at the end */
			p->headers[i].value_at = (uint32_t)p->head.size;
		else
			while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
				value[--size] = '\0';
	}
}

/* RFC 9112, 3.2. */
static int host_check(struct http_parse *p)
{
	const uint32_t hosts = header_occurrences(p, "host");

	if (hosts > 1)
		return fail(p, 400, "the request has more than one Host header");
	if (hosts == 0 && p->parser.http_minor > 0)
		return fail(p, 400, "the request has no Host header");
	return 0;
}

/* RFC 9112, 6.1: chunked, once, alone, and not from before there were chunks. */
static int coding_check(struct http_parse *p)
{
	const char *coding = http_parse_header(p, "transfer-encoding");

	if (!coding)
		return 0;
	if (header_occurrences(p, "transfer-encoding") > 1)
		return fail(p, 400, "the request has more than one Transfer-Encoding header");
	if (p->parser.http_minor == 0)
		return fail(p, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (!(p->parser.flags & F_CHUNKED))
		return fail(p, 400, "the request's last transfer coding is not chunked");
	if (strcasecmp(coding, "chunked") != 0)
		return fail(p, 501, "chunked is the only transfer coding that is spoken here");
	return 0;
}

static int expectation_check(struct http_parse *p)
{
	const char *expect = http_parse_header(p, "expect");

	if (!expect)
		return 0;
	if (strcasecmp(expect, "100-continue") != 0)
		return fail(p, 417, "only 100-continue can be expected");
	p->expects_continue = true;
	return 0;
}

static bool body_follows(const http_parser *parser)
{
	return (parser->flags & F_CHUNKED) || ((parser->flags & F_CONTENTLENGTH) &&
		parser->content_length > 0);
}

static int on_headers_complete(http_parser *parser)
{
	struct http_parse *p = self(parser);

	if (p->state == HTTP_PARSE_BODY)
		return 0;
	if (parser->http_major != 1)
		return fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (path_find(p))
		return -1;
	values_trim(p);
	if (host_check(p) || coding_check(p) || expectation_check(p))
		return -1;
	if ((parser->flags & F_CONTENTLENGTH) && parser->content_length > p->limits.body_bytes_max)
		return fail(p, 413, "the request's body is too large");
	p->state = HTTP_PARSE_BODY;
	/* no protocol is switched: an upgrade is an offer that may be ignored */
	parser->upgrade = 0;
	if (body_follows(parser)) {
		p->state = HTTP_PARSE_HEADED;
		http_parser_pause(parser, 1);
	}
	return 0;
}

/* In the line of a chunk's size: digits, perhaps blanks, then an extension or the end. (The
 * parser has checked the digits; behind the first blank it takes anything.) */
static int size_check(struct http_parse *p, char c)
{
	if (c == ' ' || c == '\t')
		p->size_line = HTTP_SIZE_BLANK;
	else if (c == ';' || c == '\r')
		p->size_line = HTTP_SIZE_NONE;
	else if (p->size_line == HTTP_SIZE_BLANK || hex_digit(c) < 0)
		return fail(p, 400, "a chunk's size has something behind it");
	return 0;
}

static int framing_byte_check(struct http_parse *p, char c)
{
	if (p->after_chunk && c != '\r')
		return fail(p, 400, "a chunk does not end where it said");
	if (p->after_cr && c != '\n')
		return fail(p, 400, "a line ends with CR but not with CR LF");
	if (!p->after_cr && c == '\n')
		return fail(p, 400, "a line ends with LF but not with CR LF");
	if (p->after_lf && (c == ' ' || c == '\t'))
		return fail(p, 400, "a header goes on in a second line");
	return p->size_line == HTTP_SIZE_NONE ? 0 : size_check(p, c);
}

/* Checks the framing bytes up to end: those of request line, headers and chunks,
 * everything but the body. */
static int framing_check(struct http_parse *p, const char *end)
{
	for (const char *at = p->framing_at; at < end; at++) {
		if (framing_byte_check(p, *at))
			return -1;
		p->after_chunk = false;
		p->after_cr = *at == '\r';
		p->after_lf = *at == '\n';
		if (p->after_lf && p->before_size) {
			p->before_size = false;
			p->size_line = HTTP_SIZE_DIGITS;
		}
	}
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
	struct http_parse *p = self(parser);

	if (framing_check(p, at))
		return -1;
	p->framing_at = at + size;
	p->after_chunk = (parser->flags & F_CHUNKED) && parser->content_length == 0;
	p->before_size = p->after_chunk;
	p->expects_continue = false;  /* it did not wait */
	if (size > p->limits.body_bytes_max - p->body.size)
		return fail(p, 413, "the request's body is too large");
	buf_add(&p->body, at, size);
	return p->body.failed ? fail(p, 503, "no memory for the request's body") : 0;
}

static int on_message_complete(http_parser *parser)
{
	struct http_parse *p = self(parser);

	if (p->state == HTTP_PARSE_FAILED)
		return -1;
	p->keep_alive = http_should_keep_alive(parser) != 0;
	p->state = HTTP_PARSE_COMPLETE;
	http_parser_pause(parser, 1);  /* what follows belongs to the next request */
	return 0;
}

static const http_parser_settings SETTINGS = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_parse_init(struct http_parse *p, const struct http_parse_limits *limits)
{
	memset(p, 0, sizeof(*p));
	http_parser_init(&p->parser, HTTP_REQUEST);
	p->parser.data = p;
	p->limits = *limits;
	buf_init(&p->head, limits->header_bytes_max + 1);
	buf_init(&p->path, limits->header_bytes_max + 1);
	buf_init(&p->body, limits->body_bytes_max + 1);
}

void http_parse_free(struct http_parse *p)
{
	buf_free(&p->head);
	buf_free(&p->path);
	buf_free(&p->body);
}

static void failure_name(struct http_parse *p)
{
	if (p->state == HTTP_PARSE_FAILED)
		return;
	switch ((int)HTTP_PARSER_ERRNO(&p->parser)) {
	case HPE_HEADER_OVERFLOW:
		fail(p, 431, "the request's headers are too large");
		break;
	case HPE_INVALID_VERSION:
		fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
		break;
	default:
		fail(p, 400, http_errno_description(HTTP_PARSER_ERRNO(&p->parser)));
	}
}

static void raw_check(struct http_parse *p)
{
	if (p->state == HTTP_PARSE_HEAD && p->raw_bytes > p->limits.header_bytes_max)
		fail(p, 431, "the request's headers are too large");
	if (p->state == HTTP_PARSE_BODY &&
		p->raw_bytes / RAW_BYTES_PER_BODY_BYTE > p->limits.body_bytes_max + RAW_BYTES_SPARE)
		fail(p, 413, "the request's chunk framing is too large");
}

size_t http_parse_feed(struct http_parse *p, const char *bytes, size_t size)
{
	assert(p->state == HTTP_PARSE_HEAD || p->state == HTTP_PARSE_HEADED ||
		p->state == HTTP_PARSE_BODY);
	if (size == 0)
		return 0;
	if (p->state == HTTP_PARSE_HEADED) {
		http_parser_pause(&p->parser, 0);
		p->state = HTTP_PARSE_BODY;
		/* the header's last LF comes now */
		p->before_size = (p->parser.flags & F_CHUNKED) != 0;
	}
	p->framing_at = bytes;
	const size_t taken = http_parser_execute(&p->parser, &SETTINGS, bytes, size);
	assert(taken <= size);
	p->raw_bytes += taken;
	if (HTTP_PARSER_ERRNO(&p->parser) != HPE_OK && HTTP_PARSER_ERRNO(&p->parser) != HPE_PAUSED)
		failure_name(p);
	else if (framing_check(p, bytes + taken) == 0)
		raw_check(p);
	return taken;
}

bool http_parse_headed(const struct http_parse *p)
{
	return p->state == HTTP_PARSE_HEADED || p->state == HTTP_PARSE_BODY ||
		p->state == HTTP_PARSE_COMPLETE;
}

bool http_parse_begun(const struct http_parse *p)
{
	return p->raw_bytes > 0;
}

void http_parse_next(struct http_parse *p)
{
	assert(p->state == HTTP_PARSE_COMPLETE);
	buf_clear(&p->head);
	buf_clear(&p->path);
	buf_clear(&p->body);
	p->header_count = 0;
	p->in_value = false;
	p->raw_bytes = 0;
	p->expects_continue = false;
	p->after_cr = false;
	p->after_lf = false;
	p->after_chunk = false;
	p->before_size = false;
	p->size_line = HTTP_SIZE_NONE;
	/* A request that asked for close leaves the parser dead; one that is followed by
	 * another starts clean. */
	http_parser_init(&p->parser, HTTP_REQUEST);
	p->state = HTTP_PARSE_HEAD;
}

const char *http_parse_method(const struct http_parse *p)
{
	return http_method_str((enum http_method)p->parser.method);
}

const char *http_parse_path(const struct http_parse *p)
{
	return p->path.data ? p->path.data : "";
}

const char *http_parse_header(const struct http_parse *p, const char *name)
{
	for (uint32_t i = 0; i < p->header_count; i++)
		if (strcmp(p->head.data + p->headers[i].name_at, name) == 0)
			return p->head.data + p->headers[i].value_at;
	return NULL;
}
