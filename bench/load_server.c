/* bench/load_server.c - see load_server.h. */
#include "load_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/core.h"
#include "cpu_time.h"
#include "server/byte_model.h"

#define SLOTS 256
#define CONTEXT_MAX 32768
#define PAGES 65536
#define ASCII 128 /* every token is a character: none waits for the next */

/* ---- an executor that keeps a diary ---------------------------------------------------------- */

static struct load_shared *diary;
static const struct request_table *diary_table;
static const struct executor_ops *sim_ops;
static enum err (*sim_open)(void *context, struct executor **out, const struct request_table *table,
	struct wake *wake, struct err_info *info);

static struct load_trace *trace_of(const struct request *r)
{
	return r->sampling.seed < LOAD_TRACES ? &diary->traces[r->sampling.seed] : NULL;
}

static void submit(struct executor *e, struct batch *batch)
{
	const int64_t now_ns = clock_monotonic_ns();
	const uint32_t count = atomic_load(&diary->submit_count);

	for (uint32_t i = 0; i < batch->item_count; i++) {
		struct load_trace *t = trace_of(diary_table->by_handle[batch->items[i].request]);

		if (!t)
			continue;
		const int64_t closed_ns = atomic_load(&t->closed_ns);
		if (closed_ns > 0 && now_ns > closed_ns)
			atomic_fetch_add(&t->after_close, 1);
		atomic_store(&t->submitted_ns, now_ns);
	}
	atomic_store(&diary->submits_ns[count % LOAD_SUBMITS], now_ns);
	atomic_store(&diary->submit_count, count + 1);
	sim_ops->submit(e, batch);
}

/* A token is made when its batch is due, not when somebody looks. */
static struct batch *poll_batch(struct executor *e)
{
	const int64_t due_ns = executor_sim_due_ns(e);
	struct batch *batch = sim_ops->poll(e);

	for (uint32_t i = 0; batch && i < batch->item_count; i++) {
		const struct request *r = diary_table->by_handle[batch->items[i].request];
		struct load_trace *t = trace_of(r);

		if (t && batch->results[i].token_count > 0 && r->answer_tokens <= LOAD_TOKENS)
			atomic_store(&t->made_ns[r->answer_tokens - 1], due_ns);
	}
	return batch;
}

static void close_executor(struct executor *e)
{
	sim_ops->close(e);
}

static enum err open_executor(void *context, struct executor **out,
	const struct request_table *table, struct wake *wake, struct err_info *info)
{
	static const struct executor_ops ops = {submit, poll_batch, close_executor};
	const enum err code = sim_open(context, out, table, wake, info);

	if (code)
		return code;
	diary_table = table;
	sim_ops = (*out)->ops;
	(*out)->ops = &ops;
	return ERR_NONE;
}

/* ---- a core that is timed (the linker puts this in the place of core_step) ------------------- */

bool __real_core_step(
	struct core *core, const struct core_event *event, struct core_actions *actions);
bool __wrap_core_step(
	struct core *core, const struct core_event *event, struct core_actions *actions);

bool __wrap_core_step(
	struct core *core, const struct core_event *event, struct core_actions *actions)
{
	if (!atomic_load(&diary->steps_wanted))
		return __real_core_step(core, event, actions);
	const int64_t start_ns = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);
	const bool more = __real_core_step(core, event, actions);
	const int64_t took_ns = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;

	atomic_fetch_add(&diary->steps, 1);
	atomic_fetch_add(&diary->step_ns_sum, took_ns);
	if (took_ns > atomic_load(&diary->step_ns_max))
		atomic_store(&diary->step_ns_max, took_ns);
	return more;
}

/* ---- the process ----------------------------------------------------------------------------- */

static int serve(const char *home, int64_t step_us, int port_fd)
{
	struct server_config config = {.home = home, .any_port = true};
	struct byte_model model;
	struct err_info info = {0};
	struct server *server = NULL;

	byte_model_open(&model);
	model.step_ns = step_us * 1000;
	model.limits.slots = SLOTS;
	model.limits.context_max = CONTEXT_MAX;
	model.limits.pages = PAGES;
	model.limits.vocab = ASCII;
	sim_open = model.served.executor_open;
	model.served.executor_open = open_executor;
	config.models = &model.served;
	config.model_count = 1;
	log_set_level(LOG_WARN);
	signal(SIGPIPE, SIG_IGN);
	if (server_open(&server, &config, &info) == ERR_NONE) {
		const uint16_t port = server_port(server);

		if (write(port_fd, &port, sizeof(port)) == sizeof(port))
			(void)!server_run(server, &info);
		server_close(server);
	}
	if (info.code)
		fprintf(stderr, "server_load: %s\n", info.text);
	byte_model_close(&model);
	return info.code != ERR_NONE;
}

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

void load_server_start(struct load_server *s, int64_t step_us)
{
	int ends[2];

	strcpy(s->home, "/tmp/server_load.XXXXXX");
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED || !mkdtemp(s->home) || pipe(ends))
		give_up("server_load");
	diary = s->shared;
	fflush(stdout);
	s->pid = fork();
	if (s->pid < 0)
		give_up("fork");
	if (s->pid == 0)
		_exit(serve(s->home, step_us, ends[1]));
	close(ends[1]);
	if (read(ends[0], &s->port, sizeof(s->port)) != sizeof(s->port)) {
		fprintf(stderr, "server_load: the server did not start\n");
		exit(1);
	}
	close(ends[0]);
}

void load_server_stop(struct load_server *s)
{
	char command[128];

	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -r %s", s->home);
	if (system(command))
		fprintf(stderr, "server_load: %s stays\n", s->home);
	munmap(s->shared, sizeof(*s->shared));
}

int64_t load_server_cpu_ns(const struct load_server *s)
{
	clockid_t clock;

	return clock_getcpuclockid(s->pid, &clock) ? 0 : cpu_time_ns(clock);
}

int64_t load_server_memory_kib(const struct load_server *s)
{
	char path[64], line[256];
	long long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", s->pid);
	FILE *status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "RssAnon: %lld", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}
