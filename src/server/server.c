/* server/server.c - start and stop: home, database, core, threads, in the order in which each
 * needs the one before. */
#include "server/server.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netdb.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "server/core_local.h"
#include "server/core_thread.h"
#include "server/front.h"
#include "server/journal_file.h"
#include "server/keys.h"
#include "server/store_sqlite.h"
#include "server/store_thread.h"

/* administration waiting to be durable: twice what admin.c has under way */
#define REPLIES_MAX 128
/* beside connections: refusals, administration, database, lists, models */
#define DESCRIPTORS_BESIDE 256

struct server {
	struct server_config config;
	struct home home;
	uint8_t secret[HOME_SECRET_BYTES];
	char database[PATH_MAX];
	struct core_limits limits;
	struct store *store;
	struct journal_file *journal;
	struct core_local core;
	struct wires wires;
	bool wires_open;
	struct front front;
	bool front_open;
	uint16_t port;
	uint32_t context_max[SERVER_MODELS_MAX];
	struct request_table table;
	struct journal_facts facts;         /* at the start: what a crash cut off */
	struct core_local_hooks hooks;
	struct executor *executors[SERVER_MODELS_MAX];
	struct core_thread *core_thread;
	struct store_thread *store_thread;
	uint64_t actions_hash;              /* at the end */
	bool unpriced[SERVER_MODELS_MAX];   /* at the start */
	bool all_durable;                   /* at the end */
};

/* ---- defaults, each in one place ------------------------------------------------------------- */

#define DEFAULT(field, value) \
	do { \
		if (!config->field) \
			config->field = (value); \
	} while (0)

static void defaults_fill(struct server_config *config)
{
	DEFAULT(host, "127.0.0.1");
	if (!config->any_port)
		DEFAULT(port, 8000);
	DEFAULT(connections_max, 4096);
	DEFAULT(requests_max, 2048);
	DEFAULT(queue_max, 1024);
	DEFAULT(tenants_max, 10000);
	DEFAULT(keys_max, 100000);
	DEFAULT(prices_max, 1000);
	DEFAULT(records_max, SERVER_RECORDS_MAX);
	DEFAULT(request_bytes, (int64_t)256 << 20);
	DEFAULT(header_bytes_max, 64 << 10);
	DEFAULT(body_bytes_max, (int64_t)16 << 20);
	DEFAULT(bodies_bytes_max, (int64_t)256 << 20);
	DEFAULT(trees_bytes_max, (int64_t)512 << 20);
	DEFAULT(json_values_max, JSON_LIMITS_REQUEST.values_max);
	DEFAULT(json_depth_max, JSON_LIMITS_REQUEST.depth_max);
	DEFAULT(journal_bytes_max, JOURNAL_BYTES_MAX);
	DEFAULT(unsent_bytes_max, (int64_t)256 << 10);
	DEFAULT(socket_send_bytes, (int64_t)128 << 10);
	DEFAULT(header_ns, 10 * NS_PER_S);
	DEFAULT(body_idle_ns, 30 * NS_PER_S);
	DEFAULT(body_ns, 30 * NS_PER_S);
	DEFAULT(body_rate_min, 32 << 10);
	DEFAULT(keep_alive_ns, 75 * NS_PER_S);
	DEFAULT(write_idle_ns, 30 * NS_PER_S);
	if (!config->no_grace)
		DEFAULT(grace_ns, 30 * NS_PER_S);
}

static struct core_limits limits_of(const struct server_config *config)
{
	return (struct core_limits){
		.requests_max = config->requests_max,
		.queue_max = config->queue_max,
		.tenants_max = config->tenants_max,
		.keys_max = config->keys_max,
		.prices_max = config->prices_max,
		.models_max = config->model_count,
		.replies_max = REPLIES_MAX,
		.records_max = config->records_max,
		.hold_step_tokens = 1024,
		/* a net: the front sees each byte that is taken, and cuts off first */
		.stall_ns = config->write_idle_ns + NS_PER_S,
		.retry_ns = NS_PER_S,
	};
}

/* A verb has no requests; the smallest pool there can be. */
void server_core_limits(struct core_limits *out)
{
	struct server_config config = {.requests_max = 1, .queue_max = 1, .model_count = 1};

	defaults_fill(&config);
	*out = limits_of(&config);
	out->pool = (struct executor_limits){.context_max = 1, .slots = 1, .pages = 1, .states = 1,
		.rows_max = 1, .vocab = 1};
}

/* No model may have more than the largest has. */
static void limits_add(struct executor_limits *all, const struct executor_limits *one)
{
	all->context_max = math_max_u32(all->context_max, one->context_max);
	all->slots = math_max_u32(all->slots, one->slots);
	all->pages = math_max_u32(all->pages, one->pages);
	all->states = math_max_u32(all->states, one->states);
	all->rows_max = math_max_u32(all->rows_max, one->rows_max);
	all->vocab = math_max_u32(all->vocab, one->vocab);
}

/* ---- who may listen where (rules.md 11) ------------------------------------------------------ */

static void key_count(void *context, const struct record_key *key, const char *tenant)
{
	(void)tenant;
	*(uint32_t *)context += !key->revoked;
}

/* Whether others than this machine may reach it. */
static enum err beyond_loopback(struct server *s, bool *allowed, struct err_info *info)
{
	uint32_t valid = 0;
	const struct store_filter all = {0};
	const struct store_reader keys = {.context = &valid, .key = key_count};

	if (store_read(s->store, &all, &keys, info))
		return info->code;
	*allowed = valid > 0 || s->config.allow_anonymous;
	return ERR_NONE;
}

static enum err listen_now(struct server *s, struct err_info *info)
{
	if (front_listen(&s->front, &s->port, info) == ERR_UNSUPPORTED)
		err_set(info, ERR_DENIED, "%.200s is not loopback and there is no valid key: "
			"make one with 'tongyun key create', or say --allow-anonymous",
			s->config.host);
	return info->code;
}

/* ---- what costs nothing (rules.md 17) -------------------------------------------------------- */

static void price_see(void *context, const struct record_price *price)
{
	struct server *s = context;

	for (uint32_t i = 0; i < s->config.model_count; i++)
		if (strcmp(price->model, s->config.models[i].id) == 0)
			s->unpriced[i] = false;
}

static enum err unpriced_find(struct server *s, struct err_info *info)
{
	const struct store_reader prices = {.context = s, .price = price_see};
	const struct store_filter all = {0};

	for (uint32_t i = 0; i < s->config.model_count; i++)
		s->unpriced[i] = true;
	return store_read(s->store, &all, &prices, info);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err home_prepare(struct server *s, struct err_info *info)
{
	char who[300];

	snprintf(who, sizeof(who), "tongyun serve on %.200s port %u", s->config.host,
		s->config.port);
	if (home_open(&s->home, s->config.home, info) || home_lock(&s->home, who, info))
		return info->code;
	if (home_secret(&s->home, s->secret, info))
		return info->code;
	return home_file(&s->home, HOME_DATABASE, s->database, info);
}

static enum err executors_open(struct server *s, struct err_info *info)
{
	for (uint32_t i = 0; i < s->config.model_count; i++) {
		const struct server_model *model = &s->config.models[i];

		if (model->executor_open(model->executor_context, &s->executors[i], &s->table,
			&s->wires.core_wake, info))
			return err_prefix(info, "%.100s", model->id);
		s->context_max[i] = s->executors[i]->limits.context_max;
		limits_add(&s->limits.pool, &s->executors[i]->limits);
	}
	return ERR_NONE;
}

static int64_t cut_off_tokens(void *context, const struct record_request *request)
{
	const struct server *s = context;

	return journal_facts_tokens(&s->facts, request);
}

/* Until the threads run, events go into the journal from here; what cannot be written is told by
 * the store thread. */
static void boot_event(void *context, const struct core_event *event)
{
	const struct server *s = context;
	uint8_t bytes[JOURNAL_RECORD_BYTES_MAX];
	struct err_info ignored = {0};

	(void)!journal_file_append(s->journal, bytes, journal_encode(bytes, event), &ignored);
}

static enum err core_open(struct server *s, struct err_info *info)
{
	const struct store_sqlite_config store = {.path = s->database,
		.currency = s->config.currency,
		.records_max = s->config.records_max, .vfs = s->config.store_vfs};

	if (store_sqlite_open(&s->store, &store, info) ||
		journal_facts_read(&s->facts, &s->home, info))
		return info->code;
	if (journal_file_open(&s->journal, &s->home, info))
		return info->code;
	journal_file_bound(s->journal, s->config.journal_bytes_max);
	s->hooks = (struct core_local_hooks){.context = s, .tokens = cut_off_tokens,
		.event = boot_event};
	return core_local_open(&s->core, &s->limits, s->store, &s->hooks, info);
}

static enum err models_load(struct server *s, struct err_info *info)
{
	for (uint32_t i = 0; i < s->config.model_count; i++) {
		struct core_event event = {.kind = CORE_MODEL};

		event.u.model.model = i;
		event.u.model.limits = s->executors[i]->limits;
		snprintf(event.u.model.name, sizeof(event.u.model.name), "%s",
			s->config.models[i].id);
		if (core_local_step(&s->core, &event, info))
			return info->code;
		if (s->core.reply.result != CORE_RESULT_DONE)
			return err_set(info, ERR_LIMIT, "%.100s cannot be loaded beside the others",
				s->config.models[i].id);
	}
	return ERR_NONE;
}

struct key_search {
	uint32_t id;
	bool revoked;
};

static void key_see(void *context, const struct record_key *key, const char *tenant)
{
	struct key_search *search = context;

	(void)tenant;
	if (key->id == search->id)
		search->revoked = key->revoked;
}

static enum err api_key_check(struct server *s, uint32_t key_id, struct err_info *info)
{
	struct key_search search = {.id = key_id};
	const struct store_filter all = {0};
	const struct store_reader keys = {.context = &search, .key = key_see};

	if (store_read(s->store, &all, &keys, info) == ERR_NONE && search.revoked)
		return err_set(info, ERR_DENIED, "the key of --api-key was revoked: use another");
	return info->code;
}

/* --api-key belongs to local (rules.md 10); it is the same key at the next start. */
static enum err api_key_add(struct server *s, struct err_info *info)
{
	struct core_event event = {.kind = CORE_KEY_CREATE};
	struct record_key *key = &event.u.key_create.key;
	const char *text = s->config.api_key;

	if (!text)
		return ERR_NONE;
	if (!text[0] || strlen(text) > KEY_BYTES_MAX)
		return err_set(info, ERR_INPUT, "--api-key must have 1 to %d characters",
			KEY_BYTES_MAX);
	snprintf(event.u.key_create.tenant, sizeof(event.u.key_create.tenant), CORE_TENANT_LOCAL);
	snprintf(key->name, sizeof(key->name), "api-key");
	key_prefix(key->prefix, text);
	key_hash(key->hash, text, strlen(text), s->secret);
	if (core_local_step(&s->core, &event, info))
		return info->code;
	if (s->core.reply.result == CORE_RESULT_EXISTS)
		return api_key_check(s, s->core.reply.key_id, info);
	if (s->core.reply.result != CORE_RESULT_DONE)
		return err_set(info, ERR_LIMIT, "--api-key cannot be added: too many keys");
	return ERR_NONE;
}

static enum err front_prepare(struct server *s, struct err_info *info)
{
	bool beyond = false;

	if (beyond_loopback(s, &beyond, info))
		return info->code;
	const struct front_open open = {
		.config = &s->config,
		.home = &s->home,
		.secret = s->secret,
		.wires = &s->wires,
		.currency = store_sqlite_currency(s->store),
		.database = s->database,
		.context_max = s->context_max,
		.table = &s->table,
		.loopback_only = !beyond,
	};

	s->front_open = true;
	return front_open(&s->front, &open, info);
}

static enum err threads_start(struct server *s, struct err_info *info)
{
	struct core_thread_config core = {
		.core = s->core.core,
		.requests_max = s->limits.requests_max,
		.wires = &s->wires,
		.model_count = s->config.model_count,
		.actions_hash = s->core.actions_hash,
	};

	for (uint32_t i = 0; i < s->config.model_count; i++) {
		core.executors[i] = s->executors[i];
		core.simulated[i] = s->config.models[i].simulated;
	}
	if (store_thread_start(&s->store_thread, s->store, s->journal, s->core.durable, &s->wires,
		info))
		return info->code;
	return core_thread_start(&s->core_thread, &core, info);
}

static void reservation_tell(const struct server *s)
{
	const struct server_config *c = &s->config;

	log_line(LOG_INFO, "server", "reserved: core %zu KiB for %u requests, %u tenants, %u keys; "
		"messages %zu KiB; requests' tokens %" PRId64 " MiB; "
		"bodies up to %" PRId64 " MiB and %" PRId64 " MiB parsed; "
		"unsent up to %" PRId64 " KiB for each of %u connections; "
		"journal 2 x %" PRId64 " MiB",
		core_bytes(&s->limits) >> 10, c->requests_max, c->tenants_max, c->keys_max,
		wires_bytes(&s->limits) >> 10, c->request_bytes >> 20, c->bodies_bytes_max >> 20,
		c->trees_bytes_max >> 20, c->unsent_bytes_max >> 10, c->connections_max,
		c->journal_bytes_max >> 20);
	for (uint32_t i = 0; i < c->model_count; i++) {
		const struct executor_limits *limits = &s->executors[i]->limits;

		log_line(LOG_INFO, "server",
			"model %s: context %u, %u sequences, %u pages, %u states; %s",
			c->models[i].id, limits->context_max, limits->slots, limits->pages,
			limits->states, c->models[i].computed ? c->models[i].computed : "");
		/* said, because a name that was mistyped in a price would go unseen */
		if (s->unpriced[i])
			log_line(LOG_INFO, "server", "model %s has no price: it costs nothing",
				c->models[i].id);
	}
	const bool v6 = strchr(c->host, ':') != NULL;

	log_line(LOG_INFO, "server", "listening on http://%s%s%s:%u", v6 ? "[" : "", c->host,
		v6 ? "]" : "", s->port);
}

/* Every connection is a descriptor; where the system does not allow as many, fewer
 * connections are. */
static void descriptors_allow(uint32_t *connections_max)
{
	const rlim_t wanted = (rlim_t)*connections_max + DESCRIPTORS_BESIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	const rlim_t before = limit.rlim_cur;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	const rlim_t allowed = setrlimit(RLIMIT_NOFILE, &limit) ? before : limit.rlim_cur;
	if (allowed >= wanted)
		return;
	*connections_max = (uint32_t)(allowed > 2 * DESCRIPTORS_BESIDE
		? allowed - DESCRIPTORS_BESIDE : allowed / 2);
	log_line(LOG_WARN, "server", "the system allows %llu open files: at most %u connections",
		(unsigned long long)allowed, *connections_max);
}

/* A price and every record of a request are found by the id. */
static enum err ids_check(const struct server_config *config, struct err_info *info)
{
	for (uint32_t i = 0; i < config->model_count; i++) {
		const char *id = config->models[i].id;

		if (!record_label_valid(id, RECORD_MODEL_BYTES))
			return err_set(info, ERR_INPUT,
				"the id of a model has 1 to %d bytes and no control characters; "
				"give it an --alias", RECORD_MODEL_BYTES - 1);
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(config->models[j].id, id) == 0)
				return err_set(info, ERR_INPUT,
					"two models are called %s; give each one an --alias", id);
	}
	return ERR_NONE;
}

static enum err start(struct server *s, struct err_info *info)
{
	if (ids_check(&s->config, info))
		return info->code;
	descriptors_allow(&s->config.connections_max);
	if (sodium_init() < 0)
		return err_set(info, ERR_IO, "no secure random numbers");
	if (home_prepare(s, info) || wires_open(&s->wires, &s->limits, info))
		return info->code;
	s->wires_open = true;
	s->table.capacity = s->config.requests_max;
	s->table.by_handle = mem_alloc(s->table.capacity, sizeof(*s->table.by_handle));
	if (!s->table.by_handle)
		return err_set(info, ERR_MEMORY, "no memory for %u requests", s->table.capacity);
	if (executors_open(s, info) || core_open(s, info))
		return info->code;
	if (models_load(s, info) || api_key_add(s, info) || unpriced_find(s, info))
		return info->code;
	if (front_prepare(s, info) || listen_now(s, info))
		return info->code;
	return threads_start(s, info);
}

enum err server_open(struct server **out, const struct server_config *config, struct err_info *info)
{
	struct server *s = mem_alloc(1, sizeof(*s));

	if (!s)
		return err_set(info, ERR_MEMORY, "no memory for a server");
	assert(config->model_count > 0 && config->model_count <= SERVER_MODELS_MAX);
	s->config = *config;
	s->home.dir_fd = s->home.lock_fd = -1;
	defaults_fill(&s->config);
	s->limits = limits_of(&s->config);
	if (start(s, info)) {
		server_close(s);
		return info->code;
	}
	reservation_tell(s);
	*out = s;
	return ERR_NONE;
}

uint16_t server_port(const struct server *s)
{
	return s->port;
}

uint64_t server_actions_hash(const struct server *s)
{
	return s->actions_hash;
}

const struct core_limits *server_limits(const struct server *s)
{
	return &s->limits;
}

/* ---- running and closing --------------------------------------------------------------------- */

static void threads_stop(struct server *s)
{
	atomic_store(&s->wires.core_stop, true);
	if (s->core_thread)
		wake_set(&s->wires.core_wake);
	if (s->core_thread)
		s->actions_hash = core_thread_join(s->core_thread);
	s->core_thread = NULL;
	atomic_store(&s->wires.store_stop, true);
	if (s->store_thread)
		wake_set(&s->wires.store_wake);
	s->all_durable = store_thread_join(s->store_thread);
	s->store_thread = NULL;
}

enum err server_run(struct server *s, struct err_info *info)
{
	front_run(&s->front);
	threads_stop(s);
	if (!s->all_durable)
		return err_set(info, ERR_IO, "the last usage could not be written to the database");
	return store_sqlite_in_place(s->store, info);
}

void server_close(struct server *s)
{
	if (!s)
		return;
	threads_stop(s);
	for (uint32_t i = 0; i < s->config.model_count; i++)
		executor_close(s->executors[i]);
	front_close(&s->front);
	if (s->wires_open)
		wires_close(&s->wires);
	core_local_close(&s->core);
	store_close(s->store);
	journal_file_close(s->journal);
	if (s->front_open)
		home_socket_remove(&s->home);
	home_close(&s->home);
	sodium_memzero(s->secret, sizeof(s->secret));
	mem_free(s->table.by_handle);
	journal_facts_free(&s->facts);
	mem_free(s);
}
