/* hub/client_private.h - between client.c and transfer.c: what a client holds. */
#ifndef HUB_CLIENT_PRIVATE_H
#define HUB_CLIENT_PRIVATE_H

#include <curl/curl.h>

#include "hub/client.h"

struct client {
	struct client_config config;
	CURLM *multi;
	const char *token;   /* NULL: none, or the endpoint may not see it */
	bool reached;        /* somebody has answered */
};

/* libcurl is done with a request. */
void transfer_handle_done(CURL *easy, CURLcode code);

#endif
