/* server/admin_ops.c - see admin_ops.h. */
#include "server/admin_ops.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "cloud/audit.h"
#include "cloud/bucket.h"
#include "cloud/price.h"
#include "cloud/ledger.h"
#include "server/journal_file.h"
#include "server/store_sqlite.h"

/* ---- commands -------------------------------------------------------------------------------- */

static bool invalid(struct openai_error *error, const char *param, const char *why)
{
	openai_error_set(error, OPENAI_INVALID, param, "%s: %s", param, why);
	return false;
}

static bool read_text(const json_t *document, const char *key, bool wanted, char *out, size_t size,
	struct openai_error *error)
{
	const json_t *value = json_object_get(document, key);

	out[0] = '\0';
	if (!value || json_is_null(value))
		return !wanted || invalid(error, key, "must be given");
	if (!json_is_string(value) || json_string_length(value) >= size)
		return invalid(error, key, "must be a string, and not so long");
	memcpy(out, json_string_value(value), json_string_length(value) + 1);
	return true;
}

/* Of a model or a key. */
static bool read_label(const json_t *document, const char *key, bool wanted, char *out, size_t size,
	struct openai_error *error)
{
	if (!read_text(document, key, wanted, out, size, error))
		return false;
	return (!wanted && !out[0]) || record_label_valid(out, size) ||
		invalid(error, key, "must be text without control characters");
}

static bool read_int(const json_t *document, const char *key, int64_t min, int64_t max,
	int64_t *out, struct openai_error *error)
{
	struct err_info info = {0};

	if (json_get_int(document, key, min, max, out, &info)) {
		openai_error_set(error, OPENAI_INVALID, key, "%s", info.text);
		return false;
	}
	return true;
}

static bool read_tenant_create(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	struct record_tenant *tenant = &c->event.u.tenant_create.tenant;

	c->event.kind = CORE_TENANT_CREATE;
	return read_text(d, "name", true, tenant->name, sizeof(tenant->name), error) &&
		(record_tenant_name_valid(tenant->name) ||
		invalid(error, "name", "must be [a-z0-9-]{1,64}")) &&
		read_int(d, "balance_nano", 0, LEDGER_AMOUNT_MAX,
		&c->event.u.tenant_create.topup_nano, error) &&
		read_int(d, "credit_nano", 0, LEDGER_AMOUNT_MAX, &tenant->credit_nano, error);
}

static bool read_tenant_topup(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	c->event.kind = CORE_TENANT_TOPUP;
	return read_text(d, "name", true, c->event.u.tenant_topup.name, RECORD_NAME_BYTES, error) &&
		read_int(d, "amount_nano", 1, LEDGER_AMOUNT_MAX,
		&c->event.u.tenant_topup.amount_nano, error) &&
		(c->event.u.tenant_topup.amount_nano > 0 ||
		invalid(error, "amount_nano", "must be given"));
}

static bool read_tenant_show(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	c->event.kind = CORE_TENANT_SHOW;
	return read_text(d, "name", true, c->event.u.tenant_show.name, RECORD_NAME_BYTES, error);
}

static bool read_tenant_set(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	c->event.kind = CORE_TENANT_SET;
	c->event.u.tenant_set.credit_nano = c->event.u.tenant_set.requests_per_min =
		c->event.u.tenant_set.tokens_per_min = -1;
	return read_text(d, "name", true, c->event.u.tenant_set.name, RECORD_NAME_BYTES, error) &&
		read_int(d, "credit_nano", 0, LEDGER_AMOUNT_MAX,
		&c->event.u.tenant_set.credit_nano, error) &&
		read_int(d, "requests_per_min", 0, BUCKET_CAPACITY_MAX,
		&c->event.u.tenant_set.requests_per_min, error) &&
		read_int(d, "tokens_per_min", 0, BUCKET_CAPACITY_MAX,
		&c->event.u.tenant_set.tokens_per_min, error);
}

static bool read_key_create(struct admin_command *c, const json_t *d, const uint8_t *secret,
	struct openai_error *error)
{
	struct record_key *key = &c->event.u.key_create.key;

	c->event.kind = CORE_KEY_CREATE;
	if (!read_text(d, "tenant", true, c->event.u.key_create.tenant, RECORD_NAME_BYTES, error) ||
		!read_label(d, "name", false, key->name, sizeof(key->name), error))
		return false;
	key_make(c->key);
	key_prefix(key->prefix, c->key);
	key_hash(key->hash, c->key, strlen(c->key), secret);
	return true;
}

static bool read_key_revoke(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	int64_t id = 0;

	c->event.kind = CORE_KEY_REVOKE;
	if (!read_int(d, "id", 1, UINT32_MAX - 1, &id, error))
		return false;
	c->event.u.key_revoke.key_id = (uint32_t)id;
	return id > 0 || invalid(error, "id", "must be given");
}

static bool read_price_set(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	struct record_price *price = &c->event.u.price_set.price;

	c->event.kind = CORE_PRICE_SET;
	price->input_nano = price->output_nano = price->cached_nano = -1;
	if (!read_label(d, "model", true, price->model, sizeof(price->model), error) ||
		!read_int(d, "input_nano", 0, PRICE_NANO_MAX, &price->input_nano, error) ||
		!read_int(d, "output_nano", 0, PRICE_NANO_MAX, &price->output_nano, error) ||
		!read_int(d, "cached_nano", 0, PRICE_NANO_MAX, &price->cached_nano, error))
		return false;
	if (price->input_nano < 0 || price->output_nano < 0)
		return invalid(error, price->input_nano < 0 ? "input_nano" : "output_nano",
			"must be given");
	if (price->cached_nano < 0)
		price->cached_nano = price->input_nano;  /* rules.md 17 */
	return true;
}

static bool read_filter(struct admin_command *c, const json_t *d, struct openai_error *error)
{
	char request[RECORD_REQUEST_BYTES];

	if (!read_text(d, "tenant", false, c->tenant, sizeof(c->tenant), error) ||
		!read_text(d, "request", false, request, sizeof(request), error))
		return false;
	c->has_request = request[0] != '\0';
	return !c->has_request || record_request_parse(&c->request, request) ||
		invalid(error, "request", "must be an x-request-id");
}

static const char *const OP_NAMES[ADMIN_OPS] = {
	"tenant_create", "tenant_topup", "tenant_show", "tenant_set",
	"key_create", "key_revoke",
	"price_set",
	"tenant_list", "key_list", "price_list", "usage_list", "ledger_list",
	"ledger_check",
};

bool admin_is_list(enum admin_op op)
{
	return op >= ADMIN_TENANT_LIST;
}

static bool op_read(struct admin_command *c, const json_t *document, struct openai_error *error)
{
	const char *name = json_string_value(json_object_get(document, "op"));

	for (int op = 0; name && op < ADMIN_OPS; op++)
		if (strcmp(OP_NAMES[op], name) == 0) {
			c->op = (enum admin_op)op;
			return true;
		}
	return invalid(error, "op", "is none that this server knows");
}

bool admin_command_read(struct admin_command *c, const json_t *document,
	const uint8_t secret[HOME_SECRET_BYTES], struct openai_error *error)
{
	memset(c, 0, sizeof(*c));
	if (!op_read(c, document, error))
		return false;
	switch (c->op) {
	case ADMIN_TENANT_CREATE:
		return read_tenant_create(c, document, error);
	case ADMIN_TENANT_TOPUP:
		return read_tenant_topup(c, document, error);
	case ADMIN_TENANT_SHOW:
		return read_tenant_show(c, document, error);
	case ADMIN_TENANT_SET:
		return read_tenant_set(c, document, error);
	case ADMIN_KEY_CREATE:
		return read_key_create(c, document, secret, error);
	case ADMIN_KEY_REVOKE:
		return read_key_revoke(c, document, error);
	case ADMIN_PRICE_SET:
		return read_price_set(c, document, error);
	case ADMIN_TENANT_LIST:
	case ADMIN_KEY_LIST:
	case ADMIN_PRICE_LIST:
	case ADMIN_USAGE_LIST:
	case ADMIN_LEDGER_LIST:
	case ADMIN_LEDGER_CHECK:
		return read_filter(c, document, error);
	case ADMIN_OPS:
		break;
	}
	return false;
}

/* ---- replies --------------------------------------------------------------------------------- */

static void add_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	json_add_string(out, text, strlen(text));
}

static void tenant_write(struct buf *out, const struct record_tenant *tenant, int64_t balance_nano,
	int64_t held_nano, const char *currency)
{
	buf_add_char(out, '{');
	add_text(out, "name", tenant->name);
	buf_printf(out, ",\"currency\":\"%s\",\"balance_nano\":%" PRId64 ",\"held_nano\":%" PRId64
		",\"credit_nano\":%" PRId64 ",\"requests_per_min\":%" PRId64
		",\"tokens_per_min\":%" PRId64 "}",
		currency, balance_nano, held_nano, tenant->credit_nano, tenant->requests_per_min,
		tenant->tokens_per_min);
}

static void price_write(struct buf *out, const struct record_price *p)
{
	buf_add_char(out, '{');
	add_text(out, "model", p->model);
	buf_printf(out, ",\"version\":%" PRIu64 ",\"from_ns\":%" PRId64 ",\"input_nano\":%" PRId64
		",\"cached_nano\":%" PRId64 ",\"output_nano\":%" PRId64 "}", p->version, p->from_ns,
		p->input_nano, p->cached_nano, p->output_nano);
}

static const char *invalid_why(const struct admin_command *c)
{
	if (c->op != ADMIN_TENANT_SET)
		return "a name or a number is out of its bounds";
	if (strcmp(c->event.u.tenant_set.name, CORE_TENANT_LOCAL) == 0)
		return "this tenant is never limited (it is who asks without a key, and with that of "
			"--api-key): who is to be limited needs a tenant and a key of its own";
	return "a number is out of its bounds, or the credit is less than what is owed";
}

static bool result_good(const struct admin_command *c, const struct core_reply *reply,
	struct openai_error *error)
{
	const bool about_key = c->op == ADMIN_KEY_REVOKE;

	switch (reply->result) {
	case CORE_RESULT_DONE:
		return true;
	case CORE_RESULT_NOT_FOUND:
		openai_error_set(error, OPENAI_NOT_FOUND, NULL, about_key ? "there is no such key"
			: "there is no such tenant");
		return false;
	case CORE_RESULT_EXISTS:
		openai_error_set(error, OPENAI_INVALID, NULL, "it exists already");
		return false;
	case CORE_RESULT_INVALID:
		openai_error_set(error, OPENAI_INVALID, NULL, "%s", invalid_why(c));
		return false;
	case CORE_RESULT_FULL:
		openai_error_set(error, OPENAI_OVERLOADED, NULL,
			"a limit of the server is reached");
		return false;
	case CORE_RESULT_ACCOUNT_FULL:
		openai_error_set(error, OPENAI_INVALID, NULL, "with it the balance, or all "
			"balances together, would exceed what an account can hold");
		return false;
	case CORE_RESULT_STORE_DOWN:
		openai_error_set(error, OPENAI_STORE_DOWN, NULL,
			"it could not be written to the database");
		return false;
	case CORE_RESULT_CONTRADICTION:
	case CORE_RESULT_INVALID_KEY:
		break;
	}
	openai_error_set(error, OPENAI_INTERNAL, NULL,
		"an answer that does not belong to this command");
	return false;
}

bool admin_reply_write(struct buf *out, const struct admin_command *c,
	const struct core_reply *reply, const char *currency, struct openai_error *error)
{
	struct record_price price;

	if (!result_good(c, reply, error))
		return false;
	if (c->op == ADMIN_KEY_CREATE) {
		buf_printf(out, "{\"id\":%u,", reply->key_id);
		add_text(out, "tenant", c->event.u.key_create.tenant);
		buf_printf(out, ",\"prefix\":\"%s\",\"key\":\"%s\"}",
			c->event.u.key_create.key.prefix, c->key);
	} else if (c->op == ADMIN_KEY_REVOKE) {
		buf_printf(out, "{\"id\":%u}", reply->key_id);
	} else if (c->op == ADMIN_PRICE_SET) {
		price = c->event.u.price_set.price;
		price.version = reply->price_version;
		price.from_ns = reply->price_from_ns;
		price_write(out, &price);
	} else {
		tenant_write(out, &reply->tenant, reply->balance_nano, reply->held_nano, currency);
	}
	return true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct list {
	void (*see)(void *context, const char *line);
	void *context;
	const char *currency;
	struct buf line;
	bool lost;      /* a row found no memory: none is told after it */
};

static void line_tell(struct list *l)
{
	l->lost = l->lost || l->line.failed;
	if (!l->lost)
		l->see(l->context, l->line.data);
	buf_clear(&l->line);
}

static void list_tenant(void *context, const struct store_tenant *row)
{
	struct list *l = context;

	tenant_write(&l->line, &row->tenant, row->balance_nano, row->held_nano, l->currency);
	line_tell(l);
}

static void list_key(void *context, const struct record_key *row, const char *tenant)
{
	struct list *l = context;

	buf_printf(&l->line, "{\"id\":%u,", row->id);
	add_text(&l->line, "tenant", tenant);
	buf_add_char(&l->line, ',');
	add_text(&l->line, "name", row->name);
	buf_add_char(&l->line, ',');
	add_text(&l->line, "prefix", row->prefix);
	buf_printf(&l->line, ",\"revoked\":%s}", row->revoked ? "true" : "false");
	line_tell(l);
}

static void list_price(void *context, const struct record_price *row)
{
	struct list *l = context;

	price_write(&l->line, row);
	line_tell(l);
}

static void list_usage(void *context, const struct record_usage *row, const char *tenant)
{
	struct list *l = context;
	char request[RECORD_REQUEST_BYTES];

	record_request_format(request, row->request);
	buf_printf(&l->line, "{\"request_id\":\"%s\",", request);
	add_text(&l->line, "tenant", tenant);
	if (row->key_id == RECORD_NONE)
		buf_add_str(&l->line, ",\"key_id\":null,");
	else
		buf_printf(&l->line, ",\"key_id\":%u,", row->key_id);
	add_text(&l->line, "model", row->model);
	buf_printf(&l->line, ",\"at_ns\":%" PRId64 ",\"input\":%" PRId64
		",\"cached_input\":%" PRId64 ",\"output\":%" PRId64
		",\"reasoning\":%" PRId64 ",\"finish\":\"%s\",\"amount_nano\":%" PRId64 "}",
		row->at_ns, row->input, row->cached_input, row->output, row->reasoning,
		record_finish_name(row->finish), row->amount_nano);
	line_tell(l);
}

static void list_transaction(void *context, const struct record_transaction *row,
	const char *tenant)
{
	struct list *l = context;
	char request[RECORD_REQUEST_BYTES], account[RECORD_TEXT_BYTES];

	record_request_format(request, row->request);
	buf_printf(&l->line,
		"{\"id\":%" PRIu64 ",\"at_ns\":%" PRId64 ",\"kind\":\"%s\",\"request_id\":",
		row->id, row->at_ns, record_transaction_name(row->kind));
	buf_printf(&l->line, row->has_request ? "\"%s\"," : "null,", request);
	add_text(&l->line, "tenant", tenant);
	buf_add_str(&l->line, ",\"entries\":[");
	for (uint32_t i = 0; i < row->entry_count; i++) {
		record_account_format(account, row->entries[i].account, STORE_SERVER_ID, tenant);
		buf_printf(&l->line, "%s{\"account\":\"%s\",\"amount_nano\":%" PRId64 "}",
			i > 0 ? "," : "", account, row->entries[i].amount_nano);
	}
	buf_add_str(&l->line, "]}");
	line_tell(l);
}

static enum err check_write(struct list *l, struct store *store, const struct home *home,
	bool idle, struct err_info *info)
{
	struct journal_facts facts = {0};

	if (journal_facts_read(&facts, home, info))
		return info->code;
	const struct journal_damage damage = facts.damage;
	const enum err err = audit_store(store, facts.list, facts.count, idle, info);

	journal_facts_free(&facts);
	if (err)
		return err;
	if (damage.file)
		return err_set(info, ERR_INPUT, "%s is damaged at byte %zu of %zu, and what is "
			"behind cannot be read; ledger and usage agree with all that can. Move it "
			"away when that is enough", damage.file, damage.at, damage.size);
	buf_add_str(&l->line, "{\"ok\":true}");
	line_tell(l);
	return ERR_NONE;
}

enum err admin_list_read(const struct admin_command *c, struct store *store,
	const struct home *home, bool idle, void (*see)(void *context, const char *line),
	void *context, struct err_info *info)
{
	struct list list = {.see = see, .context = context,
		.currency = store_sqlite_currency(store)};
	const struct store_filter filter = {
		.tenant = c->tenant[0] ? c->tenant : NULL,
		.request = c->has_request ? &c->request : NULL,
	};
	const struct store_reader rows = {
		.context = &list,
		.tenant = c->op == ADMIN_TENANT_LIST ? list_tenant : NULL,
		.key = c->op == ADMIN_KEY_LIST ? list_key : NULL,
		.price = c->op == ADMIN_PRICE_LIST ? list_price : NULL,
		.usage = c->op == ADMIN_USAGE_LIST ? list_usage : NULL,
		.transaction = c->op == ADMIN_LEDGER_LIST ? list_transaction : NULL,
	};

	assert(admin_is_list(c->op));
	buf_init(&list.line, ADMIN_LINE_BYTES_MAX);
	if (c->op == ADMIN_LEDGER_CHECK)
		(void)!check_write(&list, store, home, idle, info);
	else
		(void)!store_read(store, &filter, &rows, info);
	if (!info->code && list.lost)
		err_set(info, ERR_MEMORY, "no memory for a row of the list");
	buf_free(&list.line);
	return info->code;
}
