/* cmd/chat.c - see chat.h. Line editing is libedit's. */
#include "cmd/chat.h"

#include <histedit.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "model/model.h"

#define HISTORY_LINES 500
#define ANSWER_BYTES_MAX ((size_t)64 << 20)

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

json_t *chat_messages(const char *system)
{
	json_t *messages = json_array();

	if (system)
		json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", system));
	return messages;
}

enum err chat_add(json_t *messages, const char *role, const char *content, struct err_info *info)
{
	json_t *message = json_pack("{s:s, s:s}", "role", role, "content", content);

	if (!message || json_array_append_new(messages, message) != 0)
		return err_set(info, ERR_INPUT, "the prompt is not UTF-8");
	return ERR_NONE;
}

struct terminal {
	EditLine *line;
	History *history;
	char history_path[PATH_MAX];
};

static char *prompt_text(EditLine *line)
{
	static char text[] = "> ";

	(void)line;
	return text;
}

static void terminal_open(struct terminal *t)
{
	char home[PATH_MAX];
	struct err_info info = {0};
	HistEvent event;

	t->line = el_init("tongyun", stdin, stdout, stderr);
	t->history = history_init();
	history(t->history, &event, H_SETSIZE, HISTORY_LINES);
	el_set(t->line, EL_PROMPT, prompt_text);
	el_set(t->line, EL_EDITOR, "emacs");
	el_set(t->line, EL_SIGNAL, 1);
	el_set(t->line, EL_HIST, history, t->history);
	t->history_path[0] = '\0';
	if (!file_home(home, sizeof(home), &info) && !file_mkdirs(home, &info)
		&& !file_join(t->history_path, sizeof(t->history_path), home, "history"))
		history(t->history, &event, H_LOAD, t->history_path);
}

static void terminal_close(struct terminal *t)
{
	HistEvent event;

	if (*t->history_path)
		history(t->history, &event, H_SAVE, t->history_path);
	history_end(t->history);
	el_end(t->line);
}

static void print_help(void)
{
	puts("/clear  begins a new conversation\n/help   this\n/bye    leaves, as Ctrl-D does; Ctrl-C stops an answer");
}

/* One turn; what the model said becomes part of the conversation. */
static enum err turn(struct answerer *a, json_t *messages, const char *text, struct err_info *info)
{
	struct answer_stats stats;
	struct buf answer;
	enum err err;

	buf_init(&answer, ANSWER_BYTES_MAX);
	interrupted = 0;
	if (!(err = chat_add(messages, "user", text, info))
		&& !(err = answerer_chat(a, messages, &answer, &stats, info)))
		err = chat_add(messages, "assistant", answer.data ? answer.data : "", info);
	buf_free(&answer);
	return err;
}

/* False to leave. */
static bool line_take(struct answerer *a, struct terminal *t, json_t *messages, const char *text)
{
	struct err_info info = {0};
	HistEvent event;

	if (*text == '\0')
		return true;
	history(t->history, &event, H_ENTER, text);
	if (strcmp(text, "/bye") == 0)
		return false;
	if (strcmp(text, "/help") == 0) {
		print_help();
	} else if (strcmp(text, "/clear") == 0) {
		while (json_array_size(messages) > (a->settings.system ? 1u : 0u))
			json_array_remove(messages, json_array_size(messages) - 1);
	} else if (turn(a, messages, text, &info)) {
		fprintf(stderr, "tongyun: error: %s; /clear begins anew\n", info.text);
	}
	return true;
}

enum err chat_run(struct answerer *a, struct err_info *info)
{
	const struct sigaction on = {.sa_handler = on_interrupt};
	struct sigaction before;
	json_t *messages = chat_messages(a->settings.system);
	struct terminal t;
	const char *line;
	int size;
	bool stay = true;

	if (!messages)
		return err_set(info, ERR_MEMORY, "out of memory");
	printf("%s; /help tells more, Ctrl-D leaves\n", model_name(a->model));
	a->stop = &interrupted;
	sigaction(SIGINT, &on, &before);
	terminal_open(&t);
	while (stay) {
		char text[4096];

		line = el_gets(t.line, &size);
		if (!line || size <= 0) {
			if (!line && interrupted) {   /* Ctrl-C at the prompt: a new line */
				interrupted = 0;
				putchar('\n');
				continue;
			}
			break;
		}
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\r\n"), line);
		stay = line_take(a, &t, messages, text);
	}
	putchar('\n');
	terminal_close(&t);
	sigaction(SIGINT, &before, NULL);
	json_decref(messages);
	return ERR_NONE;
}
