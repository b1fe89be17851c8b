/* hub/url.h - addresses: of hubs, as users give them, and of where hubs send us. */
#ifndef HUB_URL_H
#define HUB_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define HUB_URL_BYTES   8192   /* signed addresses of storage are long */
#define HUB_HOST_BYTES  300    /* with its port, terminated */

/* An endpoint: http or https, a host, perhaps a port and a path; no user, query or fragment. */
enum err hub_endpoint_check(const char *url, struct err_info *info) MUST_CHECK;

/* Same scheme, host and port: who may see a token of the one may see it at the other. */
bool hub_url_same_origin(const char *a, const char *b);
bool hub_url_is_https(const char *url);
/* A redirect from the one to the other may be followed: never out of encryption. */
bool hub_url_may_lead(const char *from, const char *to);
/* A token may travel there: encrypted, or not leaving this machine. */
bool hub_url_is_private(const char *url);
/* "host" or "host:port", for errors: never the rest, which may be a secret. Returns out. */
const char *hub_url_host(const char *url, char out[HUB_HOST_BYTES]);

/* Appends text with all but unreserved characters (RFC 3986) percent-encoded. */
void hub_url_escape(struct buf *out, const char *text, bool keep_slashes);

/* The target of rel="next" in the value of a Link header (RFC 8288); false when there is none. */
bool hub_link_next(const char *value, char out[HUB_URL_BYTES]);
/* Where the next page is fetched: target itself when it is at the endpoint, else its path and
 * query there: a mirror passes on links that name the hub it mirrors. False: no address. */
bool hub_link_at(const char *endpoint, const char *target, char out[HUB_URL_BYTES]);

#endif
