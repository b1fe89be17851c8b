/* cloud/record.c - the texts that follow from rows; see record.h. */
#include "cloud/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define REQUEST_PREFIX  "req_"
#define REQUEST_DIGITS  32

/* ---- request ids ----------------------------------------------------------------------------- */

int record_request_compare(struct record_request a, struct record_request b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

void record_request_format(char *out, struct record_request request)
{
	snprintf(out, RECORD_REQUEST_BYTES, REQUEST_PREFIX "%016" PRIx64 "%016" PRIx64, request.high,
		request.low);
}

static bool digit_parse(uint64_t *number, char c)
{
	uint64_t digit;

	if (c >= '0' && c <= '9')
		digit = (uint64_t)(c - '0');
	else if (c >= 'a' && c <= 'f')
		digit = (uint64_t)(c - 'a') + 10;
	else
		return false;
	*number = *number << 4 | digit;
	return true;
}

bool record_request_parse(struct record_request *out, const char *text)
{
	struct record_request request = {0};

	if (strncmp(text, REQUEST_PREFIX, strlen(REQUEST_PREFIX)) != 0)
		return false;
	text += strlen(REQUEST_PREFIX);
	if (strnlen(text, REQUEST_DIGITS + 1) != REQUEST_DIGITS)
		return false;
	for (int i = 0; i < REQUEST_DIGITS; i++)
		if (!digit_parse(i < REQUEST_DIGITS / 2 ? &request.high : &request.low, text[i]))
			return false;
	*out = request;
	return true;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

void record_idempotency_format(char *out, const struct record_transaction *t)
{
	const char *kind = record_transaction_name(t->kind);
	char request[RECORD_REQUEST_BYTES];

	record_request_format(request, t->request);
	if (!t->has_request)
		snprintf(out, RECORD_TEXT_BYTES, "%s:%" PRIu64, kind, t->id);
	else if (t->kind == RECORD_HOLD)
		snprintf(out, RECORD_TEXT_BYTES, "%s:%s:%" PRIu32, kind, request, t->part);
	else
		snprintf(out, RECORD_TEXT_BYTES, "%s:%s", kind, request);
}

void record_account_format(char *out, enum record_account account, uint32_t server_id,
	const char *tenant)
{
	switch (account) {
	case RECORD_CASH:
		snprintf(out, RECORD_TEXT_BYTES, "cash");
		return;
	case RECORD_LEASE:
		snprintf(out, RECORD_TEXT_BYTES, "lease/%" PRIu32 "/%s", server_id, tenant);
		return;
	case RECORD_HELD:
		snprintf(out, RECORD_TEXT_BYTES, "held/%" PRIu32 "/%s", server_id, tenant);
		return;
	case RECORD_REVENUE:
		break;
	}
	snprintf(out, RECORD_TEXT_BYTES, "revenue");
}

static const char *const transaction_names[] = {
	[RECORD_TOPUP] = "topup",
	[RECORD_HOLD] = "hold",
	[RECORD_SETTLE] = "settle",
	[RECORD_RELEASE] = "release",
	[RECORD_REFUND] = "refund",
	[RECORD_ADJUST] = "adjust",
};

static const char *const finish_names[] = {
	[RECORD_FINISH_OPEN] = "open",
	[RECORD_FINISH_STOP] = "stop",
	[RECORD_FINISH_LENGTH] = "length",
	[RECORD_FINISH_TOOL_CALLS] = "tool_calls",
	[RECORD_FINISH_CANCELLED] = "cancelled",
	[RECORD_FINISH_ERROR] = "error",
};

/* Place of a name in a table, or count. */
static size_t name_find(const char *const *names, size_t count, const char *name)
{
	size_t i = 0;

	while (i < count && strcmp(names[i], name) != 0)
		i++;
	return i;
}

const char *record_transaction_name(enum record_transaction_kind kind)
{
	return transaction_names[kind];
}

const char *record_finish_name(enum record_finish finish)
{
	return finish_names[finish];
}

bool record_transaction_kind_parse(enum record_transaction_kind *out, const char *name)
{
	const size_t count = sizeof(transaction_names) / sizeof(transaction_names[0]);
	const size_t at = name_find(transaction_names, count, name);

	if (at == count)
		return false;
	*out = (enum record_transaction_kind)at;
	return true;
}

bool record_finish_parse(enum record_finish *out, const char *name)
{
	const size_t count = sizeof(finish_names) / sizeof(finish_names[0]);
	const size_t at = name_find(finish_names, count, name);

	if (at == count)
		return false;
	*out = (enum record_finish)at;
	return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

bool record_tenant_name_valid(const char *name)
{
	const size_t size = strnlen(name, RECORD_NAME_BYTES);

	return size > 0 && size < RECORD_NAME_BYTES &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

bool record_label_valid(const char *label, size_t bytes)
{
	const size_t size = strnlen(label, bytes);

	for (size_t at = 0, length = 0; at < size; at += length) {
		uint32_t code_point = 0;

		if (utf8_next(label + at, size - at, &length, &code_point) != UTF8_CHARACTER ||
			utf8_is_control(code_point))
			return false;
	}
	return size > 0 && size < bytes;
}
