/* bench/load_client.c - see load_client.h. */
#include "load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define EVENTS_MAX 256
#define ANSWER_BYTES 16384
#define READ_BYTES 65536

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- samples --------------------------------------------------------------------------------- */

void samples_open(struct samples *s, size_t capacity)
{
	*s = (struct samples){.ns = calloc(capacity, sizeof(*s->ns)), .capacity = capacity};
	if (!s->ns)
		give_up("samples");
}

void samples_add(struct samples *s, int64_t ns)
{
	if (s->count < s->capacity)
		s->ns[s->count++] = ns;
}

static int compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t samples_at(struct samples *s, double share)
{
	if (s->count == 0)
		return 0;
	qsort(s->ns, s->count, sizeof(*s->ns), compare);
	return s->ns[(size_t)(share * (double)(s->count - 1))];
}

void samples_close(struct samples *s)
{
	free(s->ns);
}

/* ---- connections ----------------------------------------------------------------------------- */

static int connection_open(uint16_t port, int receive_bytes)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("socket");
	if (receive_bytes > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		give_up("connect");
	return fd;
}

static void all_send(int fd, const char *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		give_up("send");
}

static int watch(int set, int fd, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		give_up("epoll_ctl");
	return fd;
}

static int set_open(void)
{
	const int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		give_up("epoll_create1");
	return set;
}

static size_t request_format(char *out, size_t size, const char *method, const char *path,
	const char *body, bool keep_alive)
{
	const int n =
		snprintf(out, size, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n%s",
			method, path, strlen(body ? body : ""),
			keep_alive ? "" : "Connection: close\r\n", body ? body : "");

	return (size_t)n;
}

/* ---- small requests -------------------------------------------------------------------------- */

struct small_conn {
	int fd;
	int64_t asked_ns;
	size_t size;
	char answer[ANSWER_BYTES];
};

struct small_run {
	struct load_small *load;
	int set;
	char request[1024];
	size_t request_size;
	struct small_conn *conns;
};

static void small_ask(struct small_run *run, uint32_t index)
{
	struct small_conn *c = &run->conns[index];

	c->asked_ns = clock_monotonic_ns();
	c->size = 0;
	if (c->fd < 0)
		c->fd = watch(run->set, connection_open(run->load->port, 0), index);
	all_send(c->fd, run->request, run->request_size);
}

/* The whole answer is there: head, and as many bytes as it says. */
static bool small_whole(const struct small_conn *c)
{
	const char *end = memmem(c->answer, c->size, "\r\n\r\n", 4);
	const char *length = end ? strstr(c->answer, "Content-Length: ") : NULL;

	return length && (size_t)(end + 4 - c->answer) + strtoul(length + 16, NULL, 10) <= c->size;
}

static void small_read(struct small_run *run, uint32_t index)
{
	struct load_small *l = run->load;
	struct small_conn *c = &run->conns[index];
	const ssize_t got = recv(c->fd, c->answer + c->size, sizeof(c->answer) - 1 - c->size, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0) {
		c->size += (size_t)got;
		c->answer[c->size] = '\0';
		if (!small_whole(c))
			return;
	}
	if (got > 0 && strncmp(c->answer, "HTTP/1.1 200", 12) == 0) {
		samples_add(&l->latency, clock_monotonic_ns() - c->asked_ns);
		l->answered++;
	} else {
		l->failed++;
	}
	if (got <= 0 || !l->keep_alive) {
		close(c->fd);
		c->fd = -1;
	}
	small_ask(run, index);
}

void load_small(struct load_small *l)
{
	struct small_run run = {.load = l, .set = set_open()};
	struct epoll_event events[EVENTS_MAX];

	run.request_size = request_format(
		run.request, sizeof(run.request), l->method, l->path, l->body, l->keep_alive);
	run.conns = calloc(l->connections, sizeof(*run.conns));
	if (!run.conns)
		give_up("connections");
	for (uint32_t i = 0; i < l->connections; i++) {
		run.conns[i].fd = -1;
		small_ask(&run, i);
	}
	for (const int64_t end_ns = clock_monotonic_ns() + l->for_ns;
		clock_monotonic_ns() < end_ns;) {
		const int count = epoll_wait(run.set, events, EVENTS_MAX, 100);

		for (int i = 0; i < count; i++)
			small_read(&run, events[i].data.u32);
	}
	for (uint32_t i = 0; i < l->connections; i++)
		close(run.conns[i].fd);
	free(run.conns);
	close(run.set);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void trace_clear(struct load_trace *t)
{
	atomic_store(&t->closed_ns, 0);
	atomic_store(&t->submitted_ns, 0);
	atomic_store(&t->after_close, 0);
	for (uint32_t i = 0; i < LOAD_TOKENS; i++)
		if (atomic_load(&t->made_ns[i]) != 0)
			atomic_store(&t->made_ns[i], 0);
}

void load_stream_open(struct load_stream *s, const struct load_server *server, uint32_t trace,
	uint32_t tokens, int receive_bytes)
{
	char body[512], request[1024];

	snprintf(body, sizeof(body),
		"{\"model\":\"sim\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],"
		"\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_usage_"
		"stats\":true},"
		"\"ignore_eos\":true,\"seed\":%u,\"max_tokens\":%u}",
		trace, tokens);
	trace_clear(&server->shared->traces[trace]);
	*s = (struct load_stream){
		.fd = connection_open(server->port, receive_bytes), .trace = trace};
	all_send(s->fd, request,
		request_format(
			request, sizeof(request), "POST", "/v1/chat/completions", body, true));
}

/* One line of the stream: its usage says of how many tokens the client has the text now. */
static void stream_line(struct load_stream *s, const struct load_server *server,
	struct samples *latency, int64_t now_ns)
{
	const char *usage = strstr(s->line, "\"completion_tokens\":");

	if (strncmp(s->line, "data: [DONE]", 12) == 0)
		s->done = true;
	if (!usage)
		return;
	const uint32_t tokens = (uint32_t)strtoul(usage + 20, NULL, 10);
	for (; s->tokens < tokens; s->tokens++) {
		const struct load_trace *t = &server->shared->traces[s->trace];

		if (latency && s->tokens < LOAD_TOKENS)
			samples_add(latency, now_ns - atomic_load(&t->made_ns[s->tokens]));
	}
}

static void stream_read(
	struct load_stream *s, const struct load_server *server, struct samples *latency)
{
	static char bytes[READ_BYTES];
	const ssize_t got = recv(s->fd, bytes, sizeof(bytes), 0);
	const int64_t now_ns = clock_monotonic_ns();

	if (got <= 0 && !(got < 0 && errno == EAGAIN))
		s->done = true;
	for (ssize_t i = 0; i < got; i++) {
		if (bytes[i] != '\n' && s->held < sizeof(s->line) - 1) {
			s->line[s->held++] = bytes[i];
			continue;
		}
		s->line[s->held] = '\0';
		s->held = 0;
		stream_line(s, server, latency, now_ns);
	}
}

void load_streams_read(struct load_stream *streams, uint32_t count,
	const struct load_server *server, struct samples *latency, uint32_t tokens_until,
	int64_t for_ns)
{
	const int64_t end_ns = clock_monotonic_ns() + for_ns;
	struct epoll_event events[EVENTS_MAX];
	const int set = set_open();
	uint32_t open = count;

	for (uint32_t i = 0; i < count; i++)
		watch(set, streams[i].fd, i);
	while (open > 0 && clock_monotonic_ns() < end_ns) {
		const int ready = epoll_wait(set, events, EVENTS_MAX, 100);

		for (int i = 0; i < ready; i++) {
			struct load_stream *s = &streams[events[i].data.u32];

			stream_read(s, server, latency);
			if (!s->done && s->tokens < tokens_until)
				continue;
			epoll_ctl(set, EPOLL_CTL_DEL, s->fd, NULL);
			open--;
		}
	}
	close(set);
}

void load_stream_close(struct load_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
