/* cmd/main.c - the table of verbs; nothing but finding one and calling it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/cmd.h"

struct verb {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{"run", "answer a prompt, or chat in the terminal", cmd_run},
	{"serve", "serve a model, metered and billed", cmd_serve},
	{"tenant", "tenants and their money", cmd_tenant},
	{"key", "keys of tenants", cmd_key},
	{"price", "what tokens cost", cmd_price},
	{"usage", "what requests used", cmd_usage},
	{"ledger", "the double-entry ledger", cmd_ledger},
	{"pull", "fetch a model from a hub into the store", cmd_pull},
	{"list", "the models of the store", cmd_list},
	{"rm", "remove a model from the store", cmd_rm},
	{"cp", "copy a model of the store", cmd_cp},
	{"show", "what a model is and needs", cmd_show},
	{"quantize", "write a model as GGUF, in a smaller type", cmd_quantize},
	{"tokenize", "text on stdin to token ids", cmd_tokenize},
	{"detokenize", "token ids on stdin to text", cmd_detokenize},
	{"template", "render a chat template", cmd_template},
	{"logits", "logits of every position as .npy", cmd_logits},
	{"perplexity", "how well a model predicts a text", cmd_perplexity},
	{"fleet", "the server's core on simulated chips", cmd_fleet},
	{"bench", "measure prefill and decode", cmd_bench},
	{"chips", "the chips of this machine", cmd_chips},
};

static void print_usage(FILE *out)
{
	fprintf(out, "usage: tongyun VERB [options] ...\n\nA metered Qwen cloud on the chips you "
		"own.\n\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		fprintf(out, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(out, "\n`tongyun VERB --help` tells more; `tongyun --version` the version.\n");
}

/* What could not be printed is a failure. (A reader that leaves ends the program by SIGPIPE, as
 * it ends others.) */
static int finish(int code)
{
	const bool failed_before = ferror(stdout);

	errno = 0;
	if (fflush(stdout) == 0 && !failed_before)
		return code;
	fprintf(stderr, "tongyun: error: standard output: %s\n", errno ? strerror(errno)
		: "not all could be written");
	return CMD_FAILED;
}

/* A file that is opened must not become standard output or error because the caller closed those,
 * or what is said is written into it. They stay useless: /dev/null stands there, open for the
 * other direction. */
static bool descriptors_fill(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	if (!descriptors_fill())
		return CMD_FAILED;  /* and nowhere to say it */
	signal(SIGXFSZ, SIG_IGN);  /* a file that may not grow is an error of write */
	file_map_guard();
	if (argc < 2) {
		print_usage(stderr);
		return CMD_WRONG;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return finish(CMD_DONE);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("tongyun %s\n", TONGYUN_VERSION);
		return finish(CMD_DONE);
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return finish(verbs[i].run(argc - 1, argv + 1));
	char said[CMD_SAID_BYTES];

	fprintf(stderr, "tongyun: unknown verb '%s'; %s\n", cmd_said(argv[1], said),
		cmd_looks_like_model(argv[1]) ? "`tongyun run MODEL` runs a model"
		: "see tongyun --help");
	return CMD_WRONG;
}
