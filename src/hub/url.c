/* hub/url.c - see url.h. Addresses are taken apart by libcurl, which will also follow them: two
 * parsers would see two hosts in one address. */
#include "hub/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One part of url; "" when it has none, or is no address. */
static void part_of(const char *url, CURLUPart part, char *out, size_t size)
{
	CURLU *u = curl_url();
	char *text = NULL;

	*out = '\0';
	if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
		!curl_url_get(u, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) &&
		strlen(text) < size)
		snprintf(out, size, "%s", text);
	curl_free(text);
	curl_url_cleanup(u);
}

static bool has(const char *url, CURLUPart part)
{
	char text[HUB_URL_BYTES];

	part_of(url, part, text, sizeof(text));
	return *text;
}

enum err hub_endpoint_check(const char *url, struct err_info *info)
{
	char scheme[16], host[HUB_HOST_BYTES];
	const char *why = NULL;

	part_of(url, CURLUPART_SCHEME, scheme, sizeof(scheme));
	part_of(url, CURLUPART_HOST, host, sizeof(host));
	if (strlen(url) >= HUB_URL_BYTES / 4)
		why = "it is too long";
	else if (!*host || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		why = "it must be http:// or https:// and a host";
	else if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD))
		why = "a name or password has no place in it";
	else if (has(url, CURLUPART_QUERY) || has(url, CURLUPART_FRAGMENT))
		why = "it must end before ? and #";
	for (const char *c = url; *c && !why; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7F)
			why = "it has a blank or a control character";
	if (why && strpbrk(url, "@?"))   /* the rest may be a secret */
		return err_set(info, ERR_INPUT, "the address of a hub at '%.200s': %s", host, why);
	return why ? err_set(info, ERR_INPUT, "'%.200s' is no address of a hub: %s", url, why)
		: ERR_NONE;
}

bool hub_url_same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		char of_a[HUB_HOST_BYTES], of_b[HUB_HOST_BYTES];

		part_of(a, parts[i], of_a, sizeof(of_a));
		part_of(b, parts[i], of_b, sizeof(of_b));
		if (!*of_a || strcasecmp(of_a, of_b) != 0)
			return false;
	}
	return true;
}

bool hub_url_is_https(const char *url)
{
	char scheme[16];

	part_of(url, CURLUPART_SCHEME, scheme, sizeof(scheme));
	return strcmp(scheme, "https") == 0;
}

bool hub_url_may_lead(const char *from, const char *to)
{
	char scheme[16];

	part_of(to, CURLUPART_SCHEME, scheme, sizeof(scheme));
	return strcmp(scheme, "https") == 0 ||
		(strcmp(scheme, "http") == 0 && !hub_url_is_https(from));
}

/* 127.0.0.1 and not 127.0.0.1.example.com. */
static bool is_loopback(const char *host)
{
	unsigned a, b, c;
	int end = 0;

	return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
		(sscanf(host, "127.%3u.%3u.%3u%n", &a, &b, &c, &end) == 3 && end > 0 &&
			host[end] == '\0');
}

bool hub_url_is_private(const char *url)
{
	char host[HUB_HOST_BYTES];

	part_of(url, CURLUPART_HOST, host, sizeof(host));
	return hub_url_is_https(url) || is_loopback(host);
}

const char *hub_url_host(const char *url, char out[HUB_HOST_BYTES])
{
	char host[HUB_HOST_BYTES], port[8];

	part_of(url, CURLUPART_HOST, host, sizeof(host));
	part_of(url, CURLUPART_PORT, port, sizeof(port));
	const bool usual = !*port ||
		strcmp(port, hub_url_is_https(url) ? "443" : "80") == 0;

	if (snprintf(out, HUB_HOST_BYTES, "%s%s%s", *host ? host : "?", usual ? "" : ":",
		usual ? "" : port) >= HUB_HOST_BYTES)
		out[HUB_HOST_BYTES - 1] = '\0';
	return out;
}

void hub_url_escape(struct buf *out, const char *text, bool keep_slashes)
{
	for (; *text; text++) {
		const char c = *text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-._~", c) || (c == '/' && keep_slashes))
			buf_add_char(out, c);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

/* ---- Link ------------------------------------------------------------------------------------ */

/* One word of a list of relation types is "next". */
static bool says_next(const char *value, size_t size)
{
	for (size_t at = 0; at < size;) {
		const size_t word = strcspn(value + at, " \t\"");
		const size_t length = word < size - at ? word : size - at;

		if (length == 4 && strncasecmp(value + at, "next", 4) == 0)
			return true;
		at += length + 1;
	}
	return false;
}

/* Reads parameters from *at up to the comma that ends the link; whether one is rel=next. */
static bool parameters_take(const char **at)
{
	bool next = false;

	while (**at && **at != ',') {
		*at += strspn(*at, "; \t");
		const char *name = *at;
		const size_t name_size = strcspn(name, "=;, \t");

		*at += name_size;
		*at += strspn(*at, " \t");
		if (**at != '=') {
			if (**at && **at != ',' && **at != ';')
				++*at;
			continue;
		}
		*at += 1 + strspn(*at + 1, " \t");
		const bool quoted = **at == '"';
		const char *value = *at + quoted;
		const size_t size = strcspn(value, quoted ? "\"" : ";, \t");

		*at = value + size;
		*at += quoted && **at == '"';
		if (name_size == 3 && strncasecmp(name, "rel", 3) == 0)
			next = next || says_next(value, size);
	}
	return next;
}

bool hub_link_next(const char *value, char out[HUB_URL_BYTES])
{
	const char *at = value;

	while (*at) {
		at += strspn(at, " \t,");
		const char *end = *at == '<' ? strchr(at, '>') : NULL;

		if (!end)
			return false;
		const char *target = at + 1;

		at = end + 1;
		if (!parameters_take(&at))
			continue;
		return end > target && snprintf(out, HUB_URL_BYTES, "%.*s", (int)(end - target),
			target) < HUB_URL_BYTES;
	}
	return false;
}

bool hub_link_at(const char *endpoint, const char *target, char out[HUB_URL_BYTES])
{
	char path[HUB_URL_BYTES], query[HUB_URL_BYTES];
	int size;

	part_of(target, CURLUPART_PATH, path, sizeof(path));
	part_of(target, CURLUPART_QUERY, query, sizeof(query));
	if (*target == '/')   /* relative to the host */
		size = snprintf(out, HUB_URL_BYTES, "%s%s", endpoint, target);
	else if (hub_url_same_origin(endpoint, target))
		size = snprintf(out, HUB_URL_BYTES, "%s", target);
	else if (*path == '/')
		size = snprintf(out, HUB_URL_BYTES, "%s%s%s%s", endpoint, path,
			*query ? "?" : "", query);
	else
		return false;
	return size > 0 && size < HUB_URL_BYTES && hub_url_same_origin(endpoint, out);
}
