/* cmd/pull.c - `tongyun pull`: a model from a hub into the store, with a bar to look at. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cmd/bar.h"
#include "cmd/cmd.h"
#include "cmd/pull_make.h"

#define SPEED_NS       (5 * NS_PER_S)   /* over which speed is measured */
#define ENDPOINT_BYTES 2048

struct fetching {
	const char *from, *endpoint, *token;
	int64_t connections, part_mib, stall_s, tries_max;
	bool as_json;
	const volatile sig_atomic_t *stop;
	char endpoint_text[ENDPOINT_BYTES];

	/* what is seen meanwhile */
	struct cmd_bar bar;
	int64_t measured_ns;       /* when speed was looked at, and how much had come */
	uint64_t measured_bytes;
	double bytes_per_s;        /* 0: not known yet */
};

/* ---- what is seen meanwhile ------------------------------------------------------------------ */

static void on_note(void *context, const char *text)
{
	struct fetching *f = context;

	cmd_bar_clear(&f->bar);
	fprintf(stderr, "tongyun: %s\n", text);
}

static void speed_measure(struct fetching *f, uint64_t received)
{
	const int64_t now = clock_monotonic_ns(), passed = now - f->measured_ns;

	if (f->measured_ns == 0 || passed > SPEED_NS) {
		if (f->measured_ns)
			f->bytes_per_s = (double)(received - f->measured_bytes) /
				((double)passed / (double)NS_PER_S);
		f->measured_ns = now;
		f->measured_bytes = received;
	} else if (f->bytes_per_s == 0 && passed > NS_PER_S) {   /* something, at first */
		f->bytes_per_s = (double)(received - f->measured_bytes) /
			((double)passed / (double)NS_PER_S);
	}
}

/* "  12.3 MB/s  0:42 left", or nothing while speed is not known. */
static void speed_print(const struct fetching *f, uint64_t left_bytes, char out[64])
{
	char speed[CMD_SIZE_BYTES];

	out[0] = '\0';
	if (f->bytes_per_s < 1)
		return;
	const double seconds = (double)left_bytes / f->bytes_per_s;
	const long long s = seconds < 1e9 ? (long long)seconds : 999999999;

	if (s < 3600)
		snprintf(out, 64, "  %s/s  %lld:%02lld left", cmd_size((uint64_t)f->bytes_per_s,
			speed), s / 60, s % 60);
	else
		snprintf(out, 64, "  %s/s  %lld h %lld min left",
			cmd_size((uint64_t)f->bytes_per_s, speed), s / 3600, s / 60 % 60);
}

static void on_progress(void *context, const struct download_progress *p)
{
	struct fetching *f = context;
	char there[CMD_SIZE_BYTES], size[CMD_SIZE_BYTES], speed[64], text[160];

	if (!f->bar.terminal)
		return;
	speed_measure(f, p->received_bytes);
	speed_print(f, p->size_bytes - p->there_bytes, speed);
	/* in 80 columns the files are what is cut off */
	snprintf(text, sizeof(text), "%s of %s%s  %u of %u files", cmd_size(p->there_bytes, there),
		cmd_size(p->size_bytes, size), speed, p->files_whole, p->files);
	cmd_bar_draw(&f->bar, p->there_bytes, p->size_bytes, text);
}

static bool on_making(void *context, uint64_t done, uint64_t total)
{
	struct fetching *f = context;

	if (cmd_bar_is_due(&f->bar, done == total))
		cmd_bar_draw(&f->bar, done, total, "quantising");
	return !*f->stop;
}

/* ---- what was asked for ---------------------------------------------------------------------- */

/* A setting of another program's that is empty is none. */
static const char *environment(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

/* Which hub, where it is, and the token that belongs to it. False: --from cannot be one. */
static bool hub_choose(struct fetching *f, struct pull_config *c)
{
	const bool url = f->from && strstr(f->from, "://");
	const char *endpoint = f->endpoint ? f->endpoint : url ? f->from : NULL;

	c->hub = f->from && strcmp(f->from, "modelscope") == 0 ? HUB_MODELSCOPE : HUB_HF;
	if (f->from && !url && c->hub == HUB_HF && strcmp(f->from, "hf") != 0)
		return false;
	if (!endpoint && c->hub == HUB_HF)
		endpoint = environment("HF_ENDPOINT");
	if (!endpoint)
		endpoint = c->hub == HUB_HF ? PULL_ENDPOINT_HF : PULL_ENDPOINT_MODELSCOPE;
	snprintf(f->endpoint_text, sizeof(f->endpoint_text), "%s", endpoint);
	for (size_t size = strlen(f->endpoint_text); size > 0 &&
		f->endpoint_text[size - 1] == '/'; size--)
		f->endpoint_text[size - 1] = '\0';
	c->client.endpoint = f->endpoint_text;
	c->client.token = f->token ? f->token
		: environment(c->hub == HUB_HF ? "HF_TOKEN" : "MODELSCOPE_API_TOKEN");
	return true;
}

static json_t *result_json(const struct pull_result *r)
{
	struct hub_name name = r->name;
	char text[HUB_NAME_BYTES];

	name.type[0] = '\0';
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:i, s:I, s:I}",
		"name", hub_name_print(&name, text),
		"type", r->name.type,
		"changed", r->changed,
		"source", r->source,
		"revision", r->revision,
		"files", (int)r->files,
		"size_bytes", (json_int_t)r->size_bytes,
		"received_bytes", (json_int_t)r->received_bytes);
}

static void result_print(const struct pull_result *r)
{
	char text[HUB_NAME_BYTES], size[CMD_SIZE_BYTES];

	printf("%s: %u file%s, %s, revision %.12s%s\n", hub_name_print(&r->name, text), r->files,
		r->files == 1 ? "" : "s", cmd_size(r->size_bytes, size), r->revision,
		r->changed ? "" : "; was there");
}

/* The hub's files, and what is to be made of them; *original is told beside the result. */
static enum err pull_all(struct fetching *f, const struct pull_config *c, const char *said,
	struct pull_result *original, struct pull_result *result, struct err_info *info)
{
	struct hub_name name;
	struct store store;

	if (hub_name_parse(&name, said, true, info) ||
		hub_endpoint_check(c->client.endpoint, info) || cmd_store_open(&store, info) ||
		pull(&store, &name, c, original, info))
		return info->code;
	*result = *original;
	if (original->asked)
		return ERR_NONE;
	const struct pull_making making = {.store = &store, .client = &c->client,
		.original = original, .type = name.type, .progress = on_making, .context = f};

	return pull_make(&making, result, info);
}

static int pull_run(struct fetching *f, const struct pull_config *c, const char *said)
{
	struct err_info info = {0};
	struct pull_result original, result;

	f->bar = cmd_bar_open();
	(void)!pull_all(f, c, said, &original, &result, &info);
	cmd_bar_clear(&f->bar);
	if (info.code == ERR_CANCELLED)
		err_set(&info, ERR_CANCELLED, "interrupted; the same command goes on where it "
			"stopped");
	if (info.code)
		return cmd_fail(&info);
	if (f->as_json)
		return cmd_print_json(result_json(&result));
	if (!original.asked)
		result_print(&original);
	result_print(&result);
	return CMD_DONE;
}

int cmd_pull(int argc, char **argv)
{
	static struct fetching f = {.connections = DOWNLOAD_CONNECTIONS,
		.part_mib = DOWNLOAD_PART_BYTES >> 20, .stall_s = 30,
		.tries_max = CLIENT_TRIES_DEFAULT};
	const struct option_row rows[] = {
		{"from", 0, OPTION_STRING, &f.from, 0, 0, "hf|modelscope|URL",
			"the hub: Hugging Face (hf), ModelScope, or a mirror of hf"},
		{"endpoint", 0, OPTION_STRING, &f.endpoint, 0, 0, "URL",
			"where the hub is; of hf also HF_ENDPOINT"},
		{"token", 0, OPTION_STRING, &f.token, 0, 0, "TOKEN",
			"for gated and private models; better HF_TOKEN or MODELSCOPE_API_TOKEN"},
		{"connections", 0, OPTION_INT, &f.connections, 1, DOWNLOAD_CONNECTIONS_MAX, "N",
			"at the same time (8)"},
		{"part-mib", 0, OPTION_INT, &f.part_mib, 1, 1024, "N", "of one request (32)"},
		{"stall-timeout", 0, OPTION_INT, &f.stall_s, 1, 3600, "SECONDS",
			"that a connection may bring nothing (30)"},
		{"retries", 0, OPTION_INT, &f.tries_max, 0, 100, "N",
			"in a row that bring nothing (5)"},
		OPTION_ROW_JSON(&f.as_json),
	};
	const struct options o = {"pull", "OWNER/NAME[@REV][:TYPE]",
		"Fetches a model into the store, checked by size and hash; what was interrupted "
		"goes on. Of a\nrepository of GGUF files TYPE picks one (q4_k unless said). Of "
		"safetensors it is made, as by\n`tongyun quantize`, beside the original.", rows,
		sizeof(rows) / sizeof(*rows), 1};
	struct pull_config config = {0};
	const char *said;
	int exit_code;

	if (!cmd_parse_one(&o, argc, argv, &said, "which NAME?", &exit_code))
		return exit_code;
	if (!hub_choose(&f, &config))
		return options_wrong(&o, "--from is hf, modelscope or an address, not '%s'",
			f.from);
	config.client.agent = "tongyun";
	config.client.ca_file = environment("SSL_CERT_FILE");   /* as OpenSSL's own programs */
	config.client.stall_s = f.stall_s;
	config.client.tries_max = (uint32_t)f.tries_max;
	config.client.stop = f.stop = cmd_signals_take();
	config.client.note = on_note;
	config.client.context = &f;
	config.connections = (uint32_t)f.connections;
	config.part_bytes = (uint64_t)f.part_mib << 20;
	config.progress = on_progress;
	config.can_make = pull_can_make;
	config.context = &f;
	return pull_run(&f, &config, said);
}
