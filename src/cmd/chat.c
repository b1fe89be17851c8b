/* cmd/chat.c - see chat.h. Line editing is libedit's. */
#include "cmd/chat.h"

#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "model/model.h"
#include "server/home.h"

#define HISTORY_LINES    500
#define ANSWER_BYTES_MAX ((size_t)64 << 20)
/* of the context, for an answer: with less, old turns are forgotten */
#define ROOM_SHARE       8

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t reading;       /* a line */

/* One that comes before libedit waits for a key does not wake it: the alarm does
 * so a second later. */
static void on_interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
	if (reading)
		alarm(1);
}

/* ---- messages -------------------------------------------------------------------------------- */

enum err chat_add(json_t *messages, const char *role, const char *content, size_t size,
	struct err_info *info)
{
	json_t *message = json_pack("{s:s, s:s%}", "role", role, "content", content, size);

	if (!message || json_array_append_new(messages, message) != 0)
		return err_set(info, ERR_INPUT, "the %s message is not UTF-8", role);
	return ERR_NONE;
}

enum err chat_begin(json_t **messages, const char *system, struct err_info *info)
{
	*messages = json_array();
	if (!*messages)
		return err_set(info, ERR_MEMORY, "out of memory");
	return system ? chat_add(*messages, "system", system, strlen(system), info) : ERR_NONE;
}

/* ---- the terminal ---------------------------------------------------------------------------- */

struct terminal {
	EditLine *line;
	History *history;
	char history_path[PATH_MAX];    /* "": none */
};

static char *prompt_text(EditLine *line)
{
	static char text[] = "> ";

	(void)line;
	return text;
}

/* libedit edits characters of the locale; one that is not UTF-8 could not take
 * in a Chinese line. */
static void locale_set(void)
{
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
}

static void terminal_history(struct terminal *t)
{
	char home[PATH_MAX];
	struct err_info info = {0};
	HistEvent event;

	t->history = history_init();
	history(t->history, &event, H_SETSIZE, HISTORY_LINES);
	history(t->history, &event, H_SETUNIQUE, 1);
	el_set(t->line, EL_HIST, history, t->history);
	t->history_path[0] = '\0';
	if (!home_default_path(home, sizeof(home), &info) && !file_mkdirs(home, &info) &&
		!file_join(t->history_path, sizeof(t->history_path), home, "history"))
		history(t->history, &event, H_LOAD, t->history_path);
}

static void terminal_open(struct terminal *t)
{
	locale_set();
	t->line = el_init("tongyun", stdin, isatty(STDOUT_FILENO) ? stdout : stderr, stderr);
	el_set(t->line, EL_PROMPT, prompt_text);
	el_set(t->line, EL_EDITOR, "emacs");
	el_set(t->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_set(t->line, EL_BIND, "^W", "ed-delete-prev-word", NULL);
	el_set(t->line, EL_SIGNAL, 1);
	terminal_history(t);
}

static void terminal_close(struct terminal *t)
{
	el_end(t->line);
	history_end(t->history);
}

/* Saved at once, so that a killed chat loses nothing; the file is its owner's alone
 * (libedit makes it 0600). */
static void terminal_remember(struct terminal *t, const char *text)
{
	HistEvent event;

	history(t->history, &event, H_ENTER, text);
	if (*t->history_path)
		history(t->history, &event, H_SAVE, t->history_path);
}

enum line_result { LINE_READ, LINE_INTERRUPTED, LINE_END };

/* The next line without its end and the blanks around it. */
static enum line_result terminal_read(struct terminal *t, struct buf *text)
{
	int size;

	/* before the prompt: what is typed at once is not echoed twice */
	el_set(t->line, EL_PREP_TERM, 1);
	reading = 1;
	const char *line = el_gets(t->line, &size);
	reading = 0;

	alarm(0);
	if (!line && interrupted)
		return LINE_INTERRUPTED;
	if (!line || size <= 0)
		return LINE_END;
	while (size > 0 && strchr(" \t\r\n", line[size - 1]))
		size--;
	while (size > 0 && strchr(" \t", *line)) {
		line++;
		size--;
	}
	buf_clear(text);
	buf_add(text, line, (size_t)size);
	return LINE_READ;
}

/* ---- turns ----------------------------------------------------------------------------------- */

struct chat {
	struct answerer *a;
	json_t *messages;
	size_t first;       /* index of the first turn: 1 after a system message */
	struct terminal terminal;
	bool leave;
};

/* Leaves out the oldest question and its answer, but never the one that waits for an answer. */
static bool forget_oldest(struct chat *c)
{
	if (json_array_size(c->messages) < c->first + 3)
		return false;
	json_array_remove(c->messages, c->first);
	json_array_remove(c->messages, c->first);
	return true;
}

/* The prompt of the whole conversation, or of as much of it as leaves room for an answer. */
static enum err chat_prompt(struct chat *c, uint32_t *prompt_tokens, struct err_info *info)
{
	const uint32_t prompt_max = c->a->context_max - c->a->context_max / ROOM_SHARE;
	bool forgot = false;
	enum err err;

	for (;;) {
		*info = (struct err_info){0};
		*prompt_tokens = 0;
		err = answerer_prompt_chat(c->a, c->messages, prompt_tokens, info);
		if (*prompt_tokens <= prompt_max || !forget_oldest(c))
			break;
		forgot = true;
	}
	if (forgot && !err)
		fprintf(stderr, "(the context of %u tokens is full: the oldest turns are "
			"forgotten)\n",
			c->a->context_max);
	return err;
}

/* A part of it would not be what was said. */
static enum err answer_remember(struct chat *c, const struct buf *answer, struct err_info *info)
{
	if (answer->failed)
		return err_set(info, ERR_LIMIT,
			"the answer is too long to be remembered: this turn is forgotten");
	return chat_add(c->messages, "assistant", answer->data ? answer->data : "", answer->size,
		info);
}

/* One turn; what the model said becomes part of the conversation. After an error it is as
 * before the question. */
static enum err turn(struct chat *c, const struct buf *text, struct err_info *info)
{
	struct answer_stats stats;
	struct buf answer;
	uint32_t prompt_tokens;
	enum err err = chat_add(c->messages, "user", text->data, text->size, info);

	if (err)
		return err;
	buf_init(&answer, ANSWER_BYTES_MAX);
	interrupted = 0;
	if (!(err = chat_prompt(c, &prompt_tokens, info)) &&
		!(err = answerer_answer(c->a, prompt_tokens, &answer, &stats, info)))
		err = answer_remember(c, &answer, info);
	buf_free(&answer);
	if (err)
		json_array_remove(c->messages, json_array_size(c->messages) - 1);
	else
		answer_tell(c->a, &stats);
	return err;
}

static void command_help(struct chat *c)
{
	(void)c;
	puts("/clear  begins a new conversation\n"
	     "/help   shows this\n"
	     "/bye    leaves, as Ctrl-D does\n"
	     "Ctrl-C stops an answer, or clears the line; the arrow keys bring earlier lines back, "
	     "Ctrl-R searches them.");
}

static void command_clear(struct chat *c)
{
	while (json_array_size(c->messages) > c->first)
		json_array_remove(c->messages, json_array_size(c->messages) - 1);
	puts("(a new conversation)");
}

static void command_bye(struct chat *c)
{
	c->leave = true;
}

static const struct {
	const char *name;
	void (*run)(struct chat *c);
} commands[] = {
	{"/clear", command_clear}, {"/help", command_help}, {"/?", command_help},
	{"/bye", command_bye},
	{"/exit", command_bye}, {"/quit", command_bye},
};

/* A command is one word with one slash; a path is not. */
static bool command_take(struct chat *c, const char *text)
{
	if (*text != '/' || text[1 + strcspn(text + 1, "/ \t")] != '\0')
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(text, commands[i].name) == 0) {
			commands[i].run(c);
			return true;
		}
	printf("there is no command %s; /help shows them\n", text);
	return true;
}

static void line_take(struct chat *c, const struct buf *text)
{
	struct err_info info = {0};

	if (text->size == 0)
		return;
	terminal_remember(&c->terminal, text->data);
	if (command_take(c, text->data))
		return;
	if (turn(c, text, &info))
		fprintf(stderr, "tongyun: error: %s\n", info.text);
	else
		putchar('\n');
}

static void chat_loop(struct chat *c)
{
	struct buf text;

	buf_init(&text, ANSWER_BYTES_MAX);
	while (!c->leave && !ferror(stdout)) {
		interrupted = 0;
		fflush(stdout);
		const enum line_result result = terminal_read(&c->terminal, &text);

		if (result == LINE_READ)
			line_take(c, &text);
		else
			putchar('\n');
		if (result == LINE_END)
			break;
	}
	buf_free(&text);
}

enum err chat_run(struct answerer *a, struct err_info *info)
{
	const struct sigaction on = {.sa_handler = on_interrupt};
	struct sigaction before, alarm_before;
	struct chat c = {.a = a, .first = a->settings.system ? 1 : 0};

	if (a->settings.raw)
		return err_set(info, ERR_INPUT,
			"--raw continues one text: give it as argument, or pipe it in");
	if (!chat_begin(&c.messages, a->settings.system, info)) {
		printf("%s; /help tells more, Ctrl-D leaves\n", model_name(a->model));
		a->stop = &interrupted;
		sigaction(SIGINT, &on, &before);
		sigaction(SIGALRM, &on, &alarm_before);
		terminal_open(&c.terminal);
		chat_loop(&c);
		terminal_close(&c.terminal);
		sigaction(SIGALRM, &alarm_before, NULL);
		sigaction(SIGINT, &before, NULL);
		a->stop = NULL;
	}
	json_decref(c.messages);
	return info->code;
}
