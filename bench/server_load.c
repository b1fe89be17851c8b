/* bench/server_load.c - what the server does under load, in one table: small requests, streams,
 * clients that do not read, clients that leave, and how long a step holds the core's thread.
 *
 *	server_load [SECONDS [NAME]]
 *
 * SECONDS: of each measurement of small requests, 2 by default; a minute in all. NAME: one of
 * small, paced, fast, silent, leave, core. Server and client are two processes on one machine and
 * share its cores; the model is simulated (load_server.h). Of several runs the median is told.
 * Figures and what they mean are in docs/server.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "load_client.h"

#define RUNS 3
#define CONNECTIONS 64
#define SAMPLES (4 << 20)
#define MS 1000000.0
#define PATIENCE (30 * NS_PER_S)

#define READERS 16 /* of the measurement with clients that do not read */
#define SILENT 64
#define LEAVERS 64

static struct load_stream streams[LOAD_TRACES];
static struct samples latency;

/* ---- small requests -------------------------------------------------------------------------- */

struct small_result {
	double per_s, p50_ms, p99_ms, server_us;
	uint64_t failed;
};

static int slower(const void *a, const void *b)
{
	const double x = ((const struct small_result *)a)->per_s,
		     y = ((const struct small_result *)b)->per_s;

	return (x > y) - (x < y);
}

static struct small_result small_once(const struct load_server *server, struct load_small small)
{
	samples_open(&small.latency, SAMPLES / 4);
	const int64_t cpu_ns = load_server_cpu_ns(server), start_ns = clock_monotonic_ns();
	load_small(&small);
	const double took_s = (double)(clock_monotonic_ns() - start_ns) / 1e9;
	const double cpu_us = (double)(load_server_cpu_ns(server) - cpu_ns) / 1e3;
	const struct small_result result = {
		.per_s = (double)small.answered / took_s,
		.p50_ms = (double)samples_at(&small.latency, 0.5) / MS,
		.p99_ms = (double)samples_at(&small.latency, 0.99) / MS,
		.server_us = small.answered > 0 ? cpu_us / (double)small.answered : 0,
		.failed = small.failed,
	};

	samples_close(&small.latency);
	return result;
}

static void small_print(
	const struct load_server *server, const char *name, const struct load_small *small)
{
	struct small_result runs[RUNS];
	uint64_t failed = 0;

	for (int i = 0; i < RUNS; i++) {
		runs[i] = small_once(server, *small);
		failed += runs[i].failed;
	}
	qsort(runs, RUNS, sizeof(*runs), slower);
	const struct small_result *middle = &runs[RUNS / 2];
	printf("  %-38s %9.0f %9.2f %9.2f %10.1f %8llu\n", name, middle->per_s, middle->p50_ms,
		middle->p99_ms, middle->server_us, (unsigned long long)failed);
}

static void measure_small(int64_t for_ns)
{
	static const char chat[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1}";
	struct load_server server;

	load_server_start(&server, 0);
	const struct load_small health = {.port = server.port,
		.method = "GET",
		.path = "/health",
		.connections = CONNECTIONS,
		.keep_alive = true,
		.for_ns = for_ns};
	struct load_small small = health;

	printf("Small requests, %d connections\n  %-38s %9s %9s %9s %10s %8s\n", CONNECTIONS, "",
		"per s", "p50 ms", "p99 ms", "CPU us/req", "failed");
	small_print(&server, "GET /health", &small);
	small.keep_alive = false;
	small_print(&server, "GET /health, a connection each", &small);
	small = health;
	small.path = "/v1/models";
	small_print(&server, "GET /v1/models (asks the core)", &small);
	small.keep_alive = false;
	small_print(&server, "GET /v1/models, a connection each", &small);
	small = health;
	small.method = "POST";
	small.path = "/v1/chat/completions";
	small.body = chat;
	small_print(&server, "POST chat, one token, settled durably", &small);
	load_server_stop(&server);
}

/* ---- streams --------------------------------------------------------------------------------- */

static void latency_print(const char *name)
{
	printf("  %-38s %9.2f %9.2f %9.2f\n", name, (double)samples_at(&latency, 0.5) / MS,
		(double)samples_at(&latency, 0.99) / MS, (double)samples_at(&latency, 1) / MS);
}

static void streams_open(const struct load_server *server, uint32_t first, uint32_t count,
	uint32_t tokens, int receive_bytes)
{
	for (uint32_t i = first; i < first + count; i++)
		load_stream_open(&streams[i], server, i, tokens, receive_bytes);
}

static void streams_close(uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		load_stream_close(&streams[i]);
}

static void measure_paced_streams(int64_t for_ns)
{
	static const uint32_t counts[] = {1, 16, 64, 256};
	struct load_server server;
	char name[64];

	(void)for_ns;
	load_server_start(&server, 20000);
	printf("Streams, a step each 20 ms: from a token made to its bytes at the client\n  %-38s "
	       "%9s %9s %9s\n",
		"", "p50 ms", "p99 ms", "max ms");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		latency.count = 0;
		streams_open(&server, 0, counts[i], 150, 0);
		load_streams_read(streams, counts[i], &server, &latency, UINT32_MAX, PATIENCE);
		streams_close(0, counts[i]);
		snprintf(name, sizeof(name), "%u streams of 150 tokens", counts[i]);
		latency_print(name);
	}
	load_server_stop(&server);
}

static void measure_fast_streams(int64_t for_ns)
{
	struct load_server server;
	double per_s[RUNS], cpu_us[RUNS];

	(void)for_ns;
	load_server_start(&server, 0);
	for (int i = 0; i < RUNS; i++) {
		const int64_t start_ns = clock_monotonic_ns(), cpu_ns = load_server_cpu_ns(&server);
		double tokens = 0;

		streams_open(&server, 0, LOAD_TRACES, 500, 0);
		load_streams_read(streams, LOAD_TRACES, &server, NULL, UINT32_MAX, PATIENCE);
		for (uint32_t k = 0; k < LOAD_TRACES; k++)
			tokens += streams[k].tokens;
		per_s[i] = tokens / ((double)(clock_monotonic_ns() - start_ns) / 1e9);
		cpu_us[i] = (double)(load_server_cpu_ns(&server) - cpu_ns) / 1e3 / tokens;
		streams_close(0, LOAD_TRACES);
	}
	printf("Streams, steps that take no time\n  %d streams of 500 tokens:", LOAD_TRACES);
	for (int i = 0; i < RUNS; i++)
		printf("  %.0f tokens/s (%.1f us of CPU each)", per_s[i], cpu_us[i]);
	printf("\n");
	load_server_stop(&server);
}

/* ---- clients that do not read ---------------------------------------------------------------- */

static void measure_silent(int64_t for_ns)
{
	const uint32_t all = READERS + SILENT;
	struct load_server server;
	uint32_t still_run = 0;

	(void)for_ns;
	load_server_start(&server, 1000);
	printf("Clients that do not read, a step each 1 ms\n  %-38s %9s %9s %9s\n", "", "p50 ms",
		"p99 ms", "max ms");
	streams_open(&server, 0, READERS, 8000, 0);
	load_streams_read(streams, READERS, &server, NULL, 500, PATIENCE);
	latency.count = 0;
	load_streams_read(streams, READERS, &server, &latency, 2500, PATIENCE);
	latency_print("16 that read, alone");
	const int64_t before_kib = load_server_memory_kib(&server);
	streams_open(&server, READERS, SILENT, 30000, 4096);
	load_streams_read(streams, READERS, &server, NULL, 6000, PATIENCE);
	const int64_t full_ns = clock_monotonic_ns();
	latency.count = 0;
	load_streams_read(streams, READERS, &server, &latency, UINT32_MAX, PATIENCE);
	latency_print("16 that read, beside 64 that do not");
	for (uint32_t i = READERS; i < all; i++)
		still_run += atomic_load(&server.shared->traces[i].submitted_ns) > full_ns;
	printf("  memory for one that does not read: %lld KiB; computed for after they were full: "
	       "%u of %d\n",
		(long long)((load_server_memory_kib(&server) - before_kib) / SILENT), still_run,
		SILENT);
	streams_close(0, all);
	load_server_stop(&server);
}

/* ---- clients that leave ---------------------------------------------------------------------- */

/* From the close to the first batch that was submitted without it; 0: there was none. */
static int64_t cut_after_ns(const struct load_shared *shared, const struct load_trace *t)
{
	const int64_t closed_ns = atomic_load(&t->closed_ns),
		      named_ns = atomic_load(&t->submitted_ns);
	const uint32_t count = atomic_load(&shared->submit_count);

	for (uint32_t i = count > LOAD_SUBMITS ? count - LOAD_SUBMITS : 0; i < count; i++) {
		const int64_t at_ns = atomic_load(&shared->submits_ns[i % LOAD_SUBMITS]);

		if (at_ns > closed_ns && at_ns > named_ns)
			return at_ns - closed_ns;
	}
	return 0;
}

static void measure_leavers(int64_t for_ns)
{
	uint32_t by_batches[3] = {0};
	struct load_server server;

	(void)for_ns;
	load_server_start(&server, 5000);
	streams_open(&server, 0, LEAVERS + 1, 5000, 0);
	load_streams_read(streams, LEAVERS + 1, &server, NULL, 20, PATIENCE);
	for (uint32_t i = 0; i < LEAVERS; i++) {
		/* 7.3 ms: closes fall on every part of a step */
		load_streams_read(&streams[i], LEAVERS + 1 - i, &server, NULL, UINT32_MAX, 7300000);
		atomic_store(&server.shared->traces[i].closed_ns, clock_monotonic_ns());
		load_stream_close(&streams[i]);
	}
	load_streams_read(&streams[LEAVERS], 1, &server, NULL, UINT32_MAX, NS_PER_S / 5);
	load_stream_close(&streams[LEAVERS]);
	latency.count = 0;
	for (uint32_t i = 0; i < LEAVERS; i++) {
		const struct load_trace *t = &server.shared->traces[i];
		const uint32_t batches = atomic_load(&t->after_close);

		by_batches[batches < 2 ? batches : 2]++;
		samples_add(&latency, cut_after_ns(server.shared, t));
	}
	printf("Clients that leave, a step each 5 ms: from the close to the first batch without "
	       "it\n"
	       "  %-38s %9s %9s %9s\n",
		"", "p50 ms", "p99 ms", "max ms");
	latency_print("64 that leave");
	printf("  batches submitted with it after its close: none for %u, one for %u, more for "
	       "%u\n",
		by_batches[0], by_batches[1], by_batches[2]);
	load_server_stop(&server);
}

/* ---- the core -------------------------------------------------------------------------------- */

static void measure_core(int64_t for_ns)
{
	static const char chat[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1}";
	struct load_server server;

	load_server_start(&server, 0);
	const struct load_shared *shared = server.shared;
	atomic_store(&server.shared->steps_wanted, true);
	streams_open(&server, 0, LOAD_TRACES, 500, 0);
	load_streams_read(streams, LOAD_TRACES, &server, NULL, UINT32_MAX, PATIENCE);
	streams_close(0, LOAD_TRACES);
	small_once(&server, (struct load_small){.port = server.port,
				    .method = "POST",
				    .path = "/v1/chat/completions",
				    .body = chat,
				    .connections = CONNECTIONS,
				    .keep_alive = true,
				    .for_ns = for_ns});
	const double steps = (double)atomic_load(&shared->steps);
	printf("The core's thread: 256 streams, then small chats\n  %.0f steps, in its own time "
	       "%.1f us each, the longest "
	       "%.3f ms (the bar is 2 ms)\n",
		steps, (double)atomic_load(&shared->step_ns_sum) / 1e3 / steps,
		(double)atomic_load(&shared->step_ns_max) / MS);
	load_server_stop(&server);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*measure)(int64_t for_ns);
	} all[] = {{"small", measure_small}, {"paced", measure_paced_streams},
		{"fast", measure_fast_streams}, {"silent", measure_silent},
		{"leave", measure_leavers}, {"core", measure_core}};
	const double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;

	samples_open(&latency, SAMPLES);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc < 3 || strcmp(argv[2], all[i].name) == 0)
			all[i].measure((int64_t)(seconds * 1e9));
	samples_close(&latency);
	return 0;
}
