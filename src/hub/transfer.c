/* hub/transfer.c - see client.h. One request and its redirects: what may be sent where, what is
 * taken from an answer, and what a failure means. */
#include "hub/client_private.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"

#define HOPS_MAX          5
#define HEADER_BYTES_MAX  (256 * 1024)
#define ERROR_BYTES_MAX   (64 * 1024)   /* of the body of another status, which nobody reads */
#define BUFFER_BYTES      (256 * 1024L) /* read from a socket at once */
#define SLOW_BYTES_PER_S  1024L         /* less is nothing */

struct transfer {
	struct client *client;
	CURL *easy;
	struct curl_slist *headers;
	char url[HUB_URL_BYTES];
	struct range range;
	bool ranged, running, ended, begun, refused;
	uint32_t hops;
	size_t header_bytes, error_bytes;
	struct client_answer answer;
	struct transfer_taker taker;
	enum transfer_end end;
	struct err_info info;
};

/* ---- what an answer says --------------------------------------------------------------------- */

static void answer_reset(struct client_answer *a)
{
	*a = (struct client_answer){.length = CLIENT_UNKNOWN, .range_from = CLIENT_UNKNOWN,
		.range_size = CLIENT_UNKNOWN, .retry_after_s = -1};
}

/* Digits only; CLIENT_UNKNOWN otherwise. *end is behind them. */
static uint64_t number(const char *text, const char **end)
{
	uint64_t value = 0;

	*end = text;
	for (; isdigit((unsigned char)**end); ++*end) {
		if (value > UINT64_MAX / 16)
			return CLIENT_UNKNOWN;
		value = value * 10 + (uint64_t)(**end - '0');
	}
	return *end > text ? value : CLIENT_UNKNOWN;
}

/* Content-Range: bytes 5-9/20, or an asterisk for what is not known. */
static void range_read(struct client_answer *a, const char *value)
{
	const char *at = value + 6;

	if (strncasecmp(value, "bytes ", 6) != 0)
		return;
	const uint64_t from = number(at, &at);

	if (*at++ != '-')
		return;
	(void)number(at, &at);
	if (*at++ != '/')
		return;
	a->range_from = from;
	a->range_size = number(at, &at);
}

/* Seconds, or a date. */
static int64_t retry_after(const char *value)
{
	const char *end;
	const uint64_t seconds = number(value, &end);

	if (seconds != CLIENT_UNKNOWN)
		return seconds > INT32_MAX ? INT32_MAX : (int64_t)seconds;
	const time_t date = curl_getdate(value, NULL);
	const int64_t wait = (int64_t)date - clock_wall_ns() / NS_PER_S;

	return date < 0 ? -1 : wait < 0 ? 0 : wait;
}

static void header_read(struct client_answer *a, const char *name, const char *value)
{
	const char *end;

	if (strcasecmp(name, "content-length") == 0)
		a->length = number(value, &end);
	else if (strcasecmp(name, "content-range") == 0)
		range_read(a, value);
	else if (strcasecmp(name, "retry-after") == 0)
		a->retry_after_s = retry_after(value);
	else if (strcasecmp(name, "link") == 0)
		snprintf(a->link, sizeof(a->link), "%s", value);
	else if (strcasecmp(name, "x-error-code") == 0)
		snprintf(a->error_code, sizeof(a->error_code), "%s", value);
	else if (strcasecmp(name, "x-error-message") == 0)
		snprintf(a->error_message, sizeof(a->error_message), "%s", value);
}

/* One line of a header, as libcurl calls it: not terminated. */
static size_t on_header(char *bytes, size_t one, size_t size, void *context)
{
	struct transfer *t = context;
	char line[CLIENT_LINK_BYTES];

	assert(one == 1);
	t->header_bytes += size;
	if (t->header_bytes > HEADER_BYTES_MAX)
		return 0;
	if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
		answer_reset(&t->answer);
	if (size >= sizeof(line))
		return size;   /* nothing that is looked for is so long */
	memcpy(line, bytes, size);
	line[size] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	char *colon = strchr(line, ':');

	if (colon) {
		*colon++ = '\0';
		header_read(&t->answer, line, colon + strspn(colon, " \t"));
	}
	return size;
}

static bool is_body(long status)
{
	return status == 200 || status == 206;
}

static bool begin(struct transfer *t)
{
	t->begun = true;
	t->refused = !t->taker.begin(t->taker.context, &t->answer, &t->info);
	return !t->refused;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context)
{
	struct transfer *t = context;

	assert(one == 1);
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->answer.status);
	if (!is_body(t->answer.status)) {
		t->error_bytes += size;
		return t->error_bytes > ERROR_BYTES_MAX ? 0 : size;
	}
	if (!t->begun && !begin(t))
		return 0;
	t->refused = !t->taker.take(t->taker.context, bytes, size, &t->info);
	return t->refused ? 0 : size;
}

/* ---- starting -------------------------------------------------------------------------------- */

struct transfer *transfer_open(struct client *c)
{
	struct transfer *t = mem_alloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->client = c;
	t->easy = curl_easy_init();
	if (t->easy)
		return t;
	mem_free(t);
	return NULL;
}

void transfer_stop(struct transfer *t)
{
	if (t->running)
		curl_multi_remove_handle(t->client->multi, t->easy);
	t->running = t->ended = false;
}

void transfer_close(struct transfer *t)
{
	if (!t)
		return;
	transfer_stop(t);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	mem_free(t);
}

/* The headers of a request to t->url: the token only where it belongs. */
static bool headers_make(struct transfer *t)
{
	const struct client *c = t->client;
	char line[CLIENT_WORDS_BYTES + 32];

	curl_slist_free_all(t->headers);
	t->headers = curl_slist_append(NULL, "Accept: */*");
	if (!t->headers || !c->token || !hub_url_same_origin(c->config.endpoint, t->url))
		return t->headers;
	snprintf(line, sizeof(line), "Authorization: Bearer %s", c->token);
	return curl_slist_append(t->headers, line);
}

/* The token goes to this machine unencrypted: no proxy may come between. */
static bool must_stay_here(const struct transfer *t)
{
	return t->client->token && !hub_url_is_https(t->url) &&
		hub_url_same_origin(t->client->config.endpoint, t->url);
}

/* All of libcurl's settings that are not its defaults. By default certificates are checked, proxies
 * come from the environment, and SIGPIPE is kept away. */
static bool options_set(struct transfer *t)
{
	const struct client_config *config = &t->client->config;
	CURL *e = t->easy;
	char range[48];
	CURLcode bad = CURLE_OK;

	curl_easy_reset(e);
	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)t->range.from,
		(unsigned long long)t->range.to - 1);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_URL, t->url);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	/* several connections, not several streams of one */
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (config->ca_file)
		bad = bad ? bad : curl_easy_setopt(e, CURLOPT_CAINFO, config->ca_file);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_USERAGENT, config->agent);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)config->stall_s);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_PER_S);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)config->stall_s);
	if (must_stay_here(t))
		bad = bad ? bad : curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	if (t->ranged)
		bad = bad ? bad : curl_easy_setopt(e, CURLOPT_RANGE, range);
	bad = bad ? bad : curl_easy_setopt(e, CURLOPT_TIMEOUT, t->taker.seconds_max);
	return bad == CURLE_OK;
}

/* A request to t->url. */
static enum err request_send(struct transfer *t, struct err_info *info)
{
	answer_reset(&t->answer);
	t->header_bytes = t->error_bytes = 0;
	t->begun = t->refused = false;
	if (!headers_make(t) || !options_set(t) ||
		curl_multi_add_handle(t->client->multi, t->easy))
		return err_set(info, ERR_MEMORY, "no memory for a connection");
	t->running = true;
	return ERR_NONE;
}

enum err transfer_start(struct transfer *t, const char *url, const struct range *range,
	const struct transfer_taker *taker, struct err_info *info)
{
	assert(!t->running);
	if ((size_t)snprintf(t->url, sizeof(t->url), "%s", url) >= sizeof(t->url))
		return err_set(info, ERR_LIMIT, "an address of more than %d bytes",
			HUB_URL_BYTES - 1);
	t->ranged = range != NULL;
	t->range = range ? *range : (struct range){0, 1};
	t->taker = *taker;
	t->hops = 0;
	t->ended = false;
	t->info = (struct err_info){0};
	return request_send(t, info);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static enum transfer_end failed(struct transfer *t, enum err code, const char *what)
{
	char host[HUB_HOST_BYTES];

	err_set(&t->info, code, "%s: %s", hub_url_host(t->url, host), what);
	return TRANSFER_FAILED;
}

/* Follows, or says why not. */
static enum transfer_end redirect(struct transfer *t)
{
	const char *to = NULL;

	curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
	if (!to)
		return TRANSFER_STATUS;
	if (++t->hops > HOPS_MAX)
		return failed(t, ERR_INPUT, "it redirects in a circle, or too often");
	if (strlen(to) >= sizeof(t->url))
		return failed(t, ERR_LIMIT, "it redirects to an address that is too long");
	if (!hub_url_may_lead(t->url, to))
		return failed(t, ERR_DENIED, hub_url_is_https(t->url)
			? "it redirects to an address that is not encrypted; not followed"
			: "it redirects to an address that is not http; not followed");
	snprintf(t->url, sizeof(t->url), "%s", to);
	return request_send(t, &t->info) ? TRANSFER_FAILED : TRANSFER_WHOLE;
}

/* What a failure of libcurl means. */
static enum transfer_end broken(struct transfer *t, CURLcode code)
{
	static const struct {
		CURLcode code;
		enum transfer_end end;
		const char *text;
	} known[] = {
		{CURLE_COULDNT_RESOLVE_HOST, TRANSFER_BROKEN,
			"its name cannot be resolved: is there a network?"},
		{CURLE_COULDNT_RESOLVE_PROXY, TRANSFER_FAILED,
			"the name of the proxy cannot be resolved; see https_proxy"},
		{CURLE_PROXY, TRANSFER_FAILED, "the proxy refuses; see https_proxy"},
		{CURLE_COULDNT_CONNECT, TRANSFER_BROKEN, "no connection"},
		{CURLE_OPERATION_TIMEDOUT, TRANSFER_BROKEN, "nothing comes any more"},
		{CURLE_PARTIAL_FILE, TRANSFER_BROKEN, "the connection was cut"},
		{CURLE_RECV_ERROR, TRANSFER_BROKEN, "the connection was cut"},
		{CURLE_SEND_ERROR, TRANSFER_BROKEN, "the connection was cut"},
		{CURLE_GOT_NOTHING, TRANSFER_BROKEN, "the connection was cut"},
		{CURLE_SSL_CONNECT_ERROR, TRANSFER_BROKEN, "no encrypted connection"},
		{CURLE_PEER_FAILED_VERIFICATION, TRANSFER_FAILED, "its certificate does not hold: "
			"is ca-certificates installed, is the clock right?"},
		{CURLE_SSL_CACERT_BADFILE, TRANSFER_FAILED,
			"there are no certificates to check it with: install ca-certificates, "
			"or see SSL_CERT_FILE"},
		{CURLE_OUT_OF_MEMORY, TRANSFER_FAILED,   /* libcurl says both so */
			"no memory, or a line of its headers does not end"},
	};
	char host[HUB_HOST_BYTES];

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].code == code) {
			failed(t, ERR_IO, known[i].text);
			return known[i].end;
		}
	if (t->header_bytes > HEADER_BYTES_MAX)
		return failed(t, ERR_LIMIT, "its headers do not end");
	if (t->error_bytes > ERROR_BYTES_MAX)
		return TRANSFER_STATUS;   /* enough of it */
	err_set(&t->info, ERR_IO, "%s: %s", hub_url_host(t->url, host), curl_easy_strerror(code));
	return TRANSFER_BROKEN;
}

static enum transfer_end end_of(struct transfer *t, CURLcode code)
{
	const long status = t->answer.status;

	if (t->refused)
		return TRANSFER_REFUSED;
	if (code)
		return broken(t, code);
	if (status >= 300 && status < 400)
		return redirect(t);
	if (!is_body(status))
		return TRANSFER_STATUS;
	if (!t->begun && !begin(t))   /* a body of nothing */
		return TRANSFER_REFUSED;
	return TRANSFER_WHOLE;
}

void transfer_handle_done(CURL *easy, CURLcode code)
{
	struct transfer *t = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &t->answer.status);
	curl_multi_remove_handle(t->client->multi, easy);
	t->running = false;
	if (t->answer.status)
		t->client->reached = true;
	t->end = end_of(t, code);
	t->ended = !t->running;   /* else it goes on elsewhere */
}

bool transfer_ended(struct transfer *t, enum transfer_end *end, struct err_info *info)
{
	if (!t->ended)
		return false;
	t->ended = false;
	*end = t->end;
	if (t->info.code)
		*info = t->info;
	return true;
}

const struct client_answer *transfer_answer(const struct transfer *t)
{
	return &t->answer;
}

const char *transfer_url(const struct transfer *t)
{
	return t->url;
}
