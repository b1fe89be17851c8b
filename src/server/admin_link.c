/* server/admin_link.c - see admin_link.h. */
#include "server/admin_link.h"

#include <assert.h>
#include <errno.h>
#include <http_parser.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/admin_ops.h"
#include "server/core_local.h"
#include "server/home.h"
#include "server/journal_file.h"
#include "server/server.h"
#include "server/store_sqlite.h"

#define OPEN_TRIES      100
#define OPEN_PAUSE_NS   100000000L      /* ten seconds in all */
/* without a byte: a check of a large ledger has none before its end, and waits for others */
#define REPLY_WAIT_MS   60000
#define LIST_WAIT_MS    3600000

static const struct json_limits REPLY_JSON = {
	.bytes_max = ADMIN_LINE_BYTES_MAX, .values_max = 10000, .depth_max = 16,
	.memory_max = 1 << 20,
};

struct admin_link {
	struct home home;
	bool remote;
	uint8_t secret[HOME_SECRET_BYTES];
	char database[PATH_MAX];
	struct store *store;                /* local only, and below */
	struct core_local core;
	struct err_info no_core;            /* why none could start on what the database holds:
					     * then it can only be read */
	struct core_local_hooks hooks;
	struct journal_facts facts;
	struct journal_file *journal;
};

/* ---- without a server ------------------------------------------------------------------------ */

static int64_t cut_off_tokens(void *context, const struct record_request *request)
{
	const struct admin_link *l = context;

	return journal_facts_tokens(&l->facts, request);
}

/* A verb is a short run of the core like any other. */
static void event_note(void *context, const struct core_event *event)
{
	const struct admin_link *l = context;
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	struct err_info ignored = {0};

	(void)!journal_file_append(l->journal, bytes, journal_encode(bytes, event), &ignored);
}

static enum err local_open(struct admin_link *l, const char *currency, struct err_info *info)
{
	const struct store_sqlite_config store = {.path = l->database, .currency = currency,
		.records_max = SERVER_RECORDS_MAX};
	struct core_limits limits;

	server_core_limits(&limits);
	if (home_secret(&l->home, l->secret, info) || store_sqlite_open(&l->store, &store, info))
		return info->code;
	if (journal_facts_read(&l->facts, &l->home, info) ||
		journal_file_open(&l->journal, &l->home, info))
		return info->code;
	l->hooks = (struct core_local_hooks){.context = l, .tokens = cut_off_tokens,
		.event = event_note};
	if (core_local_open(&l->core, &limits, l->store, &l->hooks, &l->no_core) &&
		l->no_core.code != ERR_INPUT)
		*info = l->no_core;
	return info->code;
}

static enum err refused(const struct openai_error *error, struct err_info *info)
{
	static const struct { enum openai_fault fault; enum err err; } codes[] = {
		{OPENAI_NOT_FOUND, ERR_NOT_FOUND}, {OPENAI_OVERLOADED, ERR_LIMIT},
		{OPENAI_STORE_DOWN, ERR_IO}, {OPENAI_INTERNAL, ERR_IO},
	};
	enum err code = ERR_INPUT;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].fault == error->fault)
			code = codes[i].err;
	return err_set(info, code, "%s", error->message);
}

static enum err local_call(struct admin_link *l, struct admin_command *command, json_t **reply,
	struct err_info *info)
{
	struct openai_error error;
	struct buf out;

	if (l->no_core.code) {
		*info = l->no_core;
		return info->code;
	}
	if (core_local_step(&l->core, &command->event, info))
		return info->code;
	buf_init(&out, ADMIN_LINE_BYTES_MAX);
	buf_reserve(&out, ADMIN_REPLY_BYTES);
	if (!admin_reply_write(&out, command, &l->core.reply, store_sqlite_currency(l->store),
		&error))
		refused(&error, info);
	else if (out.failed)
		err_set(info, ERR_MEMORY, "it was done, but no memory was left for the answer");
	else
		(void)!json_parse(reply, out.data, out.size, &REPLY_JSON, true, info);
	buf_wipe(&out);
	buf_free(&out);
	return info->code;
}

static enum err local_each(struct admin_link *l, const struct admin_command *command,
	void (*see)(void *context, const char *line), void *context, struct err_info *info)
{
	/* only a core that started has closed the requests that a crash left open */
	const bool idle = !l->no_core.code;

	if (admin_list_read(command, l->store, &l->home, idle, see, context, info))
		return info->code;
	if (command->op == ADMIN_LEDGER_CHECK && l->no_core.code)
		*info = l->no_core;
	return info->code;
}

/* ---- through a server ------------------------------------------------------------------------ */

/* An answer as it comes in: its lines are told one by one, or kept. */
struct remote {
	http_parser parser;
	int fd;
	struct buf line;
	bool complete;
	void (*see)(void *context, const char *line);
	void *context;
};

static int remote_body(http_parser *parser, const char *at, size_t size)
{
	struct remote *r = parser->data;

	for (size_t i = 0; i < size; i++) {
		if (at[i] != '\n' || !r->see || parser->status_code != 200) {
			buf_add_char(&r->line, at[i]);
		} else {
			r->see(r->context, r->line.data ? r->line.data : "");
			buf_clear(&r->line);
		}
	}
	return r->line.failed ? -1 : 0;
}

static int remote_complete(http_parser *parser)
{
	((struct remote *)parser->data)->complete = true;
	return 0;
}

static enum err remote_send(int fd, const json_t *op, struct err_info *info)
{
	char *text = json_dumps(op, JSON_COMPACT);
	struct buf request;

	if (!text)
		return err_set(info, ERR_MEMORY, "no memory for the command");
	buf_init(&request, ADMIN_LINE_BYTES_MAX);
	buf_printf(&request, "POST /admin HTTP/1.1\r\nHost: local\r\nConnection: close\r\n"
		"Content-Length: %zu\r\n\r\n%s", strlen(text), text);
	mem_free(text);
	if (request.failed)
		err_set(info, ERR_LIMIT, "the command is too long");
	for (size_t sent = 0; !info->code && sent < request.size;) {
		const ssize_t put = send(fd, request.data + sent, request.size - sent,
			MSG_NOSIGNAL);

		if (put >= 0)
			sent += (size_t)put;
		else if (errno != EINTR)
			err_set_errno(info, "the server's administration socket");
	}
	buf_free(&request);
	return info->code;
}

/* More of the answer; 0 at its end. A signal does not cut it short. */
static enum err remote_more(const struct remote *r, char *bytes, size_t size, size_t *got,
	struct err_info *info)
{
	struct pollfd poll_fd = {.fd = r->fd, .events = POLLIN};
	ssize_t result;

	do {
		const int ready = poll(&poll_fd, 1, r->see ? LIST_WAIT_MS : REPLY_WAIT_MS);

		if (ready == 0)
			return err_set(info, ERR_IO, "the server does not answer");
		result = ready < 0 ? ready : recv(r->fd, bytes, size, 0);
	} while (result < 0 && errno == EINTR);
	if (result < 0)
		return err_set_errno(info, "the server's administration socket");
	*got = (size_t)result;
	return ERR_NONE;
}

static enum err remote_receive(struct remote *r, struct err_info *info)
{
	const http_parser_settings settings = {.on_body = remote_body,
		.on_message_complete = remote_complete};
	char bytes[16384];
	size_t got = 0;

	http_parser_init(&r->parser, HTTP_RESPONSE);
	r->parser.data = r;
	while (!r->complete && remote_more(r, bytes, sizeof(bytes), &got, info) == ERR_NONE)
		if (http_parser_execute(&r->parser, &settings, bytes, got) != got ||
			(got == 0 && !r->complete)) {
			err_set(info, ERR_IO, "the server's answer broke off");
			break;
		}
	sodium_memzero(bytes, sizeof(bytes));
	return info->code;
}

static enum err remote_error(const struct remote *r, struct err_info *info)
{
	json_t *document = NULL;
	struct err_info ignored = {0};
	const char *message = NULL;
	const enum err code = r->parser.status_code == 404 ? ERR_NOT_FOUND
		: r->parser.status_code < 500 ? ERR_INPUT : ERR_IO;

	if (json_parse(&document, r->line.data, r->line.size, &REPLY_JSON, true,
		&ignored) == ERR_NONE)
		message = json_string_value(json_object_get(
			json_object_get(document, "error"), "message"));
	err_set(info, code, "%s", message ? message : "the server gave an error that says nothing");
	json_decref(document);
	return info->code;
}

static enum err remote_run(struct admin_link *l, const json_t *op, struct remote *r,
	struct err_info *info)
{
	if (home_socket_connect(&l->home, &r->fd, info))
		return info->code;
	buf_init(&r->line, ADMIN_LINE_BYTES_MAX);
	buf_reserve(&r->line, ADMIN_REPLY_BYTES);
	if (remote_send(r->fd, op, info) == ERR_NONE && remote_receive(r, info) == ERR_NONE &&
		r->parser.status_code != 200)
		remote_error(r, info);
	close(r->fd);
	return info->code;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* A server that starts or stops holds the lock and does not listen: it is asked again. */
static enum err side_find(struct admin_link *l, struct err_info *info)
{
	const struct timespec pause = {.tv_nsec = OPEN_PAUSE_NS};

	for (int i = 0; i < OPEN_TRIES; i++) {
		struct err_info busy = {0}, none = {0};
		int fd;

		if (home_lock(&l->home, "a tongyun verb", &busy) == ERR_NONE)
			return ERR_NONE;
		if (busy.code != ERR_BUSY) {
			*info = busy;
			return info->code;
		}
		if (home_socket_connect(&l->home, &fd, &none) == ERR_NONE) {
			close(fd);
			l->remote = true;
			return ERR_NONE;
		}
		*info = busy;
		nanosleep(&pause, NULL);
	}
	return info->code;
}

enum err admin_link_open(struct admin_link **out, const char *home, const char *currency,
	struct err_info *info)
{
	struct admin_link *l = mem_alloc(1, sizeof(*l));

	if (!l)
		return err_set(info, ERR_MEMORY, "no memory");
	l->home.dir_fd = l->home.lock_fd = -1;
	if (sodium_init() < 0)
		err_set(info, ERR_IO, "no secure random numbers");
	else if (home_open(&l->home, home, info) == ERR_NONE && side_find(l, info) == ERR_NONE) {
		*info = (struct err_info){0};
		if (home_file(&l->home, HOME_DATABASE, l->database, info) == ERR_NONE && !l->remote)
			(void)!local_open(l, currency, info);
	}
	if (info->code)
		admin_link_close(l);
	else
		*out = l;
	return info->code;
}

void admin_link_close(struct admin_link *l)
{
	if (!l)
		return;
	core_local_close(&l->core);
	store_close(l->store);
	journal_file_close(l->journal);
	journal_facts_free(&l->facts);
	home_close(&l->home);
	sodium_memzero(l->secret, sizeof(l->secret));
	mem_free(l);
}

enum err admin_link_call(struct admin_link *l, const json_t *op, json_t **reply,
	struct err_info *info)
{
	struct remote remote = {.fd = -1};
	struct admin_command command;
	struct openai_error error;

	*reply = NULL;
	if (!l->remote) {
		if (!admin_command_read(&command, op, l->secret, &error))
			return refused(&error, info);
		assert(!admin_is_list(command.op));
		(void)!local_call(l, &command, reply, info);
		sodium_memzero(&command, sizeof(command));
		return info->code;
	}
	if (remote_run(l, op, &remote, info) == ERR_NONE &&
		json_parse(reply, remote.line.data, remote.line.size, &REPLY_JSON, true, info))
		err_prefix(info, "the server's answer");
	buf_wipe(&remote.line);
	buf_free(&remote.line);
	return info->code;
}

enum err admin_link_each(struct admin_link *l, const json_t *op,
	void (*see)(void *context, const char *line), void *context, struct err_info *info)
{
	struct remote remote = {.fd = -1, .see = see, .context = context};
	struct admin_command command;
	struct openai_error error;

	if (!l->remote) {
		if (!admin_command_read(&command, op, l->secret, &error))
			return refused(&error, info);
		assert(admin_is_list(command.op));
		return local_each(l, &command, see, context, info);
	}
	(void)!remote_run(l, op, &remote, info);
	buf_free(&remote.line);
	return info->code;
}
