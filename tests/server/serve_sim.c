/* tests/server/serve_sim.c - the whole server with a simulated executor and a tokenizer of bytes:
 * for tests that are about sockets, money and crashes, not about models.
 *
 *   serve_sim serve --home H [--port P] [--host A] [--step-us N] [--slots N] [--context N]
 *       [--vfs lossy] [--grace S] ...
 *       with --vfs lossy SIGUSR1 makes every sync of the database fail, SIGUSR2 heals it
 *   serve_sim admin --home H '{"op":"tenant_list"}'    the document, or a line per row
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "byte_model.h"
#include "server/admin_link.h"
#include "server/journal_file.h"
#include "server/server.h"
#include "vfs_lossy.h"

/* ---- serve ----------------------------------------------------------------------------------- */

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
	for (int i = 2; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return argv[i + 1];
	return otherwise;
}

static long option_int(int argc, char **argv, const char *name, long otherwise)
{
	const char *text = option(argc, argv, name, NULL);

	return text ? strtol(text, NULL, 10) : otherwise;
}

/* The day again from its journal: must be the same. */
static void replay_tell(const struct server *server, const char *path)
{
	struct journal_outcome outcome;
	struct err_info info = {0};
	struct home home;

	if (home_open(&home, path, &info) == ERR_NONE &&
		journal_file_replay(&outcome, &home, server_limits(server), &info) == ERR_NONE)
		printf("replay %s %llu\n", outcome.actions_hash == server_actions_hash(server)
		? "same" : "different",
			(unsigned long long)outcome.events);
	else
		printf("replay failed %s\n", info.text);
	home_close(&home);
}

static void syncs_switch(int number)
{
	vfs_lossy_fail_syncs(number == SIGUSR1 ? 1 : 0);
}

static void vfs_use(const char *name)
{
	if (!name)
		return;
	vfs_lossy_register();
	signal(SIGUSR1, syncs_switch);
	signal(SIGUSR2, syncs_switch);
}

static int serve(int argc, char **argv)
{
	struct byte_model model;
	struct server_config config = {.models = &model.served, .model_count = 1};
	struct err_info info = {0};
	struct server *server;
	int status = 1;

	byte_model_open(&model);
	model.step_ns = option_int(argc, argv, "--step-us", 2000) * 1000;
	model.limits.slots = (uint32_t)option_int(argc, argv, "--slots", 16);
	model.limits.context_max = (uint32_t)option_int(argc, argv, "--context", 4096);
	model.faults.fail_per_million = (uint32_t)option_int(argc, argv, "--fail-per-million", 0);
	config.home = option(argc, argv, "--home", NULL);
	config.host = option(argc, argv, "--host", NULL);
	config.port = (uint16_t)option_int(argc, argv, "--port", 0);
	config.any_port = config.port == 0;
	config.api_key = option(argc, argv, "--api-key", NULL);
	config.allow_anonymous = option_int(argc, argv, "--allow-anonymous", 0) != 0;
	config.queue_max = (uint32_t)option_int(argc, argv, "--queue", 0);
	config.requests_max = (uint32_t)option_int(argc, argv, "--requests", 0);
	config.grace_ns = option_int(argc, argv, "--grace-ms", 0) * 1000000;
	config.header_ns = option_int(argc, argv, "--header-ms", 0) * 1000000;
	config.write_idle_ns = option_int(argc, argv, "--write-idle-ms", 0) * 1000000;
	config.socket_send_bytes = option_int(argc, argv, "--socket-send-bytes", 0);
	config.body_bytes_max = option_int(argc, argv, "--body-bytes", 0);
	config.journal_bytes_max = option_int(argc, argv, "--journal-bytes", 0);
	config.store_vfs = option(argc, argv, "--vfs", NULL);
	vfs_use(config.store_vfs);
	log_set_level(LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (server_open(&server, &config, &info) == ERR_NONE) {
		printf("port %u\n", server_port(server));
		fflush(stdout);
		status = server_run(server, &info) != ERR_NONE;
		replay_tell(server, config.home);
		server_close(server);
	}
	if (info.code)
		fprintf(stderr, "serve_sim: error: %s\n", info.text);
	byte_model_close(&model);
	return status;
}

/* ---- admin ----------------------------------------------------------------------------------- */

static void line_print(void *context, const char *line)
{
	(void)context;
	puts(line);
}

static int admin(int argc, char **argv)
{
	struct err_info info = {0};
	struct admin_link *link = NULL;
	json_t *op = NULL, *reply = NULL;
	const char *text = argv[argc - 1];

	if (json_parse(&op, text, strlen(text), &JSON_LIMITS_REQUEST, true, &info) == ERR_NONE &&
		admin_link_open(&link, option(argc, argv, "--home", NULL), NULL,
			&info) == ERR_NONE) {
		const char *name = json_string_value(json_object_get(op, "op"));

		if (name && (strstr(name, "_list") || strstr(name, "_check")))
			(void)!admin_link_each(link, op, line_print, NULL, &info);
		else if (admin_link_call(link, op, &reply, &info) == ERR_NONE)
			json_dumpf(reply, stdout, JSON_COMPACT);
	}
	if (info.code)
		fprintf(stderr, "serve_sim: error: %s\n", info.text);
	json_decref(op);
	json_decref(reply);
	admin_link_close(link);
	return info.code != ERR_NONE;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "serve") == 0)
		return serve(argc, argv);
	if (argc > 2 && strcmp(argv[1], "admin") == 0)
		return admin(argc, argv);
	fprintf(stderr, "usage: serve_sim serve|admin --home H ...\n");
	return 2;
}
