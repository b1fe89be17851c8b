/* tests/hub/tiny_hub.h - a hub of one repository, a/b, in a thread: what a pull asks for, one
 * request a connection. tests/cli/hub.py is the one that goes wrong.
 *
 *	tiny_hub_open(&hub);
 *	... pull from hub.endpoint
 *	tiny_hub_close(&hub);
 */
#ifndef TESTS_HUB_TINY_HUB_H
#define TESTS_HUB_TINY_HUB_H

#include "unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "hub/digest.h"

#define TINY_COMMIT      "0123456789abcdef0123456789abcdef01234567"
#define TINY_FILES       3
#define TINY_WEIGHTS     200000
#define TINY_REQUEST_MAX 8192

struct tiny_hub {
	char endpoint[64];
	int listener;
	struct thread *thread;
	const char *paths[TINY_FILES];
	const char *bytes[TINY_FILES];
	size_t sizes[TINY_FILES];
	char tree[2048];
	char weights[TINY_WEIGHTS];
};

static inline void tiny_send(int fd, const char *head, const char *body, size_t size)
{
	char text[512];
	int length = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n", head, size);

	/* a client that has left is no matter */
	(void)!send(fd, text, (size_t)length, MSG_NOSIGNAL);
	for (size_t at = 0; at < size; at += (size_t)length) {
		length = (int)send(fd, body + at, size - at, MSG_NOSIGNAL);
		if (length <= 0)
			return;
	}
}

static inline void tiny_file(const struct tiny_hub *h, int fd, const char *path,
	const char *request)
{
	const char *range = strstr(request, "Range: bytes=");
	char head[128];

	for (int i = 0; i < TINY_FILES; i++) {
		const size_t length = strlen(h->paths[i]);
		unsigned long from = 0, to = 0;

		if (strncmp(path, h->paths[i], length) != 0 || path[length] != ' ')
			continue;
		if (!range || sscanf(range, "Range: bytes=%lu-%lu", &from, &to) != 2) {
			tiny_send(fd, "200 OK", h->bytes[i], h->sizes[i]);
			return;
		}
		snprintf(head, sizeof(head), "206 Partial\r\nContent-Range: bytes %lu-%lu/%zu", from,
			to, h->sizes[i]);
		tiny_send(fd, head, h->bytes[i] + from, to + 1 - from);
		return;
	}
	tiny_send(fd, "404 Not Found", "", 0);
}

static inline void tiny_answer(const struct tiny_hub *h, int fd, const char *request)
{
	static const char model[] = "{\"sha\":\"" TINY_COMMIT "\"}";
	static const char revision[] = "GET /api/models/a/b/revision/main ";
	static const char tree[] = "GET /api/models/a/b/tree/" TINY_COMMIT "?";
	static const char file[] = "GET /a/b/resolve/" TINY_COMMIT "/";

	if (strncmp(request, revision, strlen(revision)) == 0)
		tiny_send(fd, "200 OK", model, strlen(model));
	else if (strncmp(request, tree, strlen(tree)) == 0)
		tiny_send(fd, "200 OK", h->tree, strlen(h->tree));
	else if (strncmp(request, file, strlen(file)) == 0)
		tiny_file(h, fd, request + strlen(file), request);
	else
		tiny_send(fd, "404 Not Found", "", 0);
}

static inline void tiny_run(void *argument)
{
	const struct tiny_hub *h = argument;
	int fd;

	while ((fd = accept(h->listener, NULL, NULL)) >= 0) {
		char request[TINY_REQUEST_MAX] = "";
		size_t used = 0;
		ssize_t got = 1;

		while (!strstr(request, "\r\n\r\n") && used < sizeof(request) - 1 && got > 0) {
			got = read(fd, request + used, sizeof(request) - 1 - used);
			used += got > 0 ? (size_t)got : 0;
			request[used] = '\0';
		}
		if (got > 0)
			tiny_answer(h, fd, request);
		shutdown(fd, SHUT_WR);
		while (read(fd, request, sizeof(request)) > 0)
			;   /* or what was not read would be answered by a reset */
		close(fd);
	}
}

static inline void tiny_tree_make(struct tiny_hub *h)
{
	size_t used = (size_t)snprintf(h->tree, sizeof(h->tree), "[");

	for (int i = 0; i < TINY_FILES; i++) {
		char sha256[HUB_SHA256_BYTES], git_sha1[HUB_SHA1_BYTES];
		struct digest d;

		assert_int_equal(digest_init(&d, h->sizes[i], true, UNIT_IGNORED), ERR_NONE);
		digest_add(&d, h->bytes[i], h->sizes[i]);
		digest_end(&d, sha256, git_sha1);
		used += (size_t)snprintf(h->tree + used, sizeof(h->tree) - used, "%s{\"type\":"
			"\"file\",\"path\":\"%s\",\"size\":%zu,\"oid\":\"%s\"", i ? "," : "",
			h->paths[i], h->sizes[i], git_sha1);
		if (h->sizes[i] > 1000)
			used += (size_t)snprintf(h->tree + used, sizeof(h->tree) - used,
				",\"lfs\":{\"oid\":\"%s\",\"size\":%zu}", sha256, h->sizes[i]);
		used += (size_t)snprintf(h->tree + used, sizeof(h->tree) - used, "}");
	}
	snprintf(h->tree + used, sizeof(h->tree) - used, "]");
}

static inline void tiny_hub_open(struct tiny_hub *h)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	for (size_t i = 0; i < TINY_WEIGHTS; i++)
		h->weights[i] = (char)(i * 7 + i / 251);
	h->paths[0] = "config.json";
	h->bytes[0] = "{}";
	h->paths[1] = "model.safetensors";
	h->bytes[1] = h->weights;
	h->paths[2] = "README.md";
	h->bytes[2] = "# b\n";
	for (int i = 0; i < TINY_FILES; i++)
		h->sizes[i] = i == 1 ? TINY_WEIGHTS : strlen(h->bytes[i]);
	tiny_tree_make(h);
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(h->listener, 64), 0);
	assert_int_equal(getsockname(h->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(h->endpoint, sizeof(h->endpoint), "http://127.0.0.1:%u", ntohs(address.sin_port));
	assert_int_equal(thread_start(&h->thread, "tiny-hub", tiny_run, h, UNIT_IGNORED), ERR_NONE);
}

static inline void tiny_hub_close(struct tiny_hub *h)
{
	shutdown(h->listener, SHUT_RDWR);
	thread_join(h->thread);
	close(h->listener);
}

#endif
