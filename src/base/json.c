/* base/json.c - see json.h. One pass over the bytes bounds what jansson may build before it builds
 * anything; its allocations are counted against a budget of the parsing thread, and can be made to
 * fail like all others. */
#include "base/json.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/utf8.h"

/* taken from a common pool at once: threads seldom meet there */
#define POOL_PIECE_BYTES ((size_t)16384)

const struct json_limits JSON_LIMITS_REQUEST = {
	.bytes_max = (size_t)16 << 20,
	.values_max = 1000000,
	.depth_max = 64,
	.memory_max = (size_t)128 << 20,
};

const struct json_limits JSON_LIMITS_FILE = {
	.bytes_max = (size_t)256 << 20,
	.values_max = 4000000,
	.depth_max = 64,
	.memory_max = (size_t)1 << 30,
};

/* What the parsing of this thread counts on; NULL: it does not parse. Counted up only, freed blocks
 * do not come back: jansson's growth by doubling costs at most twice the final size. */
static _Thread_local struct json_budget *budget;
static _Thread_local bool budget_exceeded;
static _Thread_local bool heap_exhausted;  /* jansson itself does not always say so */

/* jansson's lexer does not look whether the buffer of its token could grow, and then reads and
 * writes past it (its issue 362). So a block as large as that buffer can get lies ready: the
 * first allocation that fails gets it, and the text ends there, before another byte can make the
 * buffer grow. */
static _Thread_local void *reserve;
static _Thread_local size_t reserve_bytes;
#define TOKEN_BYTES_MIN   16    /* what that buffer starts with; it doubles */
#define TOKEN_BYTES_SPARE 4     /* the byte behind a token, the end of the text */

static bool pool_take(struct json_pool *pool, size_t bytes)
{
	size_t left = atomic_load(&pool->left_bytes);

	do {
		if (left < bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&pool->left_bytes, &left, left - bytes));
	return true;
}

static bool budget_take(struct json_budget *b, size_t size)
{
	if (size > b->bytes_max - b->used_bytes) {
		budget_exceeded = true;
		return false;
	}
	const size_t used = b->used_bytes + size;
	if (b->pool && used > b->taken_bytes) {
		const size_t missing = used - b->taken_bytes;
		const size_t more = math_round_up(missing, POOL_PIECE_BYTES);

		if (!pool_take(b->pool, more)) {
			heap_exhausted = true;
			return false;
		}
		b->taken_bytes += more;
	}
	b->used_bytes = used;
	return true;
}

static bool parse_failed(void)
{
	return budget_exceeded || heap_exhausted;
}

static void *reserve_take(size_t size)
{
	void *block = size <= reserve_bytes ? reserve : NULL;

	if (block)
		reserve = NULL;
	return block;
}

static void *budget_alloc(size_t size)
{
	void *block = NULL;

	if (!budget)
		return mem_resize(NULL, 1, size);
	if (!parse_failed() && budget_take(budget, size)) {
		block = mem_resize(NULL, 1, size);
		heap_exhausted = !block;
	}
	return block ? block : reserve_take(size);
}

/* Before main, so that no thread ever sees jansson change its allocator. */
__attribute__((constructor)) static void json_use_budget(void)
{
	json_set_alloc_funcs(budget_alloc, mem_free);
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static enum err error_at(struct err_info *info, enum err code, const char *text, size_t at,
	const char *reason)
{
	size_t line = 1;
	size_t column = 1;

	for (size_t i = 0; i < at; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(info, code, "line %zu, column %zu: %s", line, column, reason);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Just past the string that starts at text[at]; the end if it is not closed. */
static size_t skip_string(const char *text, size_t size, size_t at)
{
	for (at++; at < size && text[at] != '"'; at++) {
		if (text[at] == '\\')
			at++;
	}
	return at < size ? at + 1 : size;
}

/* Counts without checking the grammar: each value but the first stands after a comma or is the
 * first of its container, so commas + containers + 1 is never less than what a parser builds before
 * it finds an error. *token_bytes: no token is longer. */
static enum err check_limits(const char *text, size_t size, const struct json_limits *limits,
	size_t *token_bytes, struct err_info *info)
{
	uint32_t depth = 0;
	uint32_t values = 1;
	size_t token_at = 0;
	char before = '\0';  /* the last byte that was not blank */

	if (size > limits->bytes_max)
		return err_set(info, ERR_LIMIT, "JSON of %zu bytes; at most %zu are allowed", size,
			limits->bytes_max);
	for (size_t i = 0; i < size;) {
		const char c = text[i];

		if (is_blank(c)) {
			token_at = ++i;
			continue;
		}
		const bool first = (before == '[' && c != ']') || (before == '{' && c != '}');
		if ((c == ',' || first) && ++values > limits->values_max)
			return error_at(info, ERR_LIMIT, text, i, "too many values");
		if (c == '[' || c == '{') {
			if (++depth > limits->depth_max)
				return error_at(info, ERR_LIMIT, text, i, "nested too deeply");
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
		before = c;
		i = c == '"' ? skip_string(text, size, i) : i + 1;
		if (i - token_at > *token_bytes)
			*token_bytes = i - token_at;
		if (strchr("\"[]{},:", c))
			token_at = i;
	}
	return ERR_NONE;
}

static enum err parse_error(const json_error_t *error, struct err_info *info)
{
	if (budget_exceeded)
		return err_set(info, ERR_LIMIT, "JSON takes too much memory");
	if (heap_exhausted)
		return err_set(info, ERR_MEMORY, "out of memory for JSON");
	return err_set(info, ERR_INPUT, "line %d, column %d: %s", error->line, error->column,
		error->text);
}

struct text {
	const char *at;
	size_t left;
};

/* One byte at a time, so that it ends where an allocation failed. */
static size_t text_give(void *buffer, size_t size, void *context)
{
	struct text *text = context;

	assert(size > 0);
	if (text->left == 0 || parse_failed())
		return 0;
	*(char *)buffer = *text->at++;
	text->left--;
	return 1;
}

/* Counted while it lies ready. */
static bool reserve_make(struct json_budget *b, size_t token_bytes)
{
	reserve_bytes = TOKEN_BYTES_MIN;
	while (reserve_bytes < token_bytes + TOKEN_BYTES_SPARE)
		reserve_bytes *= 2;
	if (!budget_take(b, reserve_bytes))
		return false;
	reserve = mem_resize(NULL, 1, reserve_bytes);
	heap_exhausted = !reserve;
	return reserve;
}

static void reserve_end(struct json_budget *b)
{
	mem_free(reserve);
	reserve = NULL;
	b->used_bytes -= reserve_bytes;
}

/* NULL also when what failed came to an end all the same. */
static json_t *load(struct text *text, size_t flags, struct json_budget *b, size_t token_bytes,
	json_error_t *error)
{
	budget_exceeded = false;
	heap_exhausted = false;
	if (!reserve_make(b, token_bytes))
		return NULL;
	budget = b;
	json_t *value = json_load_callback(text_give, text, flags, error);
	budget = NULL;
	reserve_end(b);
	if (!parse_failed())
		return value;
	json_decref(value);
	return NULL;
}

void json_pool_init(struct json_pool *pool, size_t bytes)
{
	atomic_init(&pool->left_bytes, bytes);
}

void json_budget_init(struct json_budget *b, struct json_pool *pool, size_t bytes_max)
{
	*b = (struct json_budget){.pool = pool, .bytes_max = bytes_max};
}

void json_budget_end(struct json_budget *b)
{
	if (b->pool)
		atomic_fetch_add(&b->pool->left_bytes, b->taken_bytes);
	b->used_bytes = b->taken_bytes = 0;
}

enum err json_parse(json_t **out, const char *text, size_t size, const struct json_limits *limits,
	bool strict, struct err_info *info)
{
	struct json_budget own = {.bytes_max = limits->memory_max > 0 ? limits->memory_max
		: SIZE_MAX};

	return json_parse_budget(out, text, size, limits, strict, &own, info);
}

enum err json_parse_budget(json_t **out, const char *text, size_t size,
	const struct json_limits *limits, bool strict, struct json_budget *b, struct err_info *info)
{
	json_error_t error = {0};
	const size_t flags = JSON_DECODE_ANY | (strict ? JSON_REJECT_DUPLICATES : 0);
	struct text bytes = {text, size};
	size_t token_bytes = 0;
	enum err code;

	*out = NULL;
	code = check_limits(text, size, limits, &token_bytes, info);
	if (code)
		return code;
	assert(!budget);
	*out = load(&bytes, flags, b, token_bytes, &error);
	return *out ? ERR_NONE : parse_error(&error, info);
}

enum err json_read_file(json_t **out, const char *path, const struct json_limits *limits,
	struct err_info *info)
{
	struct buf text;
	enum err code;

	*out = NULL;
	buf_init(&text, limits->bytes_max);
	code = file_read(&text, path, info);
	if (!code) {
		code = json_parse(out, text.data, text.size, limits, false, info);
		if (code)
			err_prefix(info, "%s", path);
	}
	buf_free(&text);
	return code;
}

static void add_escaped(struct buf *out, char c)
{
	switch (c) {
	case '"':
		buf_add_str(out, "\\\"");
		break;
	case '\\':
		buf_add_str(out, "\\\\");
		break;
	case '\n':
		buf_add_str(out, "\\n");
		break;
	case '\r':
		buf_add_str(out, "\\r");
		break;
	case '\t':
		buf_add_str(out, "\\t");
		break;
	default:
		buf_printf(out, "\\u%04x", (unsigned)c);
	}
}

void json_add_string(struct buf *out, const char *text, size_t size)
{
	size_t start = 0;  /* of the bytes that can be copied as they are */

	buf_add_char(out, '"');
	for (size_t i = 0; i < size;) {
		const unsigned char c = (unsigned char)text[i];
		size_t length;
		const bool broken = utf8_next(text + i, size - i, &length, NULL) != UTF8_CHARACTER;

		if (!broken && c >= 0x20 && c != '"' && c != '\\') {
			i += length;
			continue;
		}
		buf_add(out, text + start, i - start);
		if (broken)
			buf_add_str(out, UTF8_REPLACEMENT);
		else
			add_escaped(out, text[i]);
		i += length;
		start = i;
	}
	buf_add(out, text + start, size - start);
	buf_add_char(out, '"');
}

/* object[key], or NULL when it is absent or null. */
static const json_t *member(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

static enum err wrong_type(struct err_info *info, const char *key, const char *wanted,
	const json_t *value)
{
	return err_set(info, ERR_INPUT, "%s: must be %s, not %s", key, wanted, type_name(value));
}

enum err json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *out,
	struct err_info *info)
{
	const json_t *value = member(object, key);
	int64_t number;

	if (!value)
		return ERR_NONE;
	if (json_is_integer(value)) {
		number = json_integer_value(value);
	} else if (json_is_real(value)) {
		/* 16.0 is 16 to a client that knows one kind of number */
		const double real = json_real_value(value);

		if (!(real >= -0x1p53 && real <= 0x1p53) || (double)(int64_t)real != real)
			return wrong_type(info, key, "an integer", value);
		number = (int64_t)real;
	} else {
		return wrong_type(info, key, "an integer", value);
	}
	if (number < min || number > max)
		return err_set(info, ERR_INPUT, "%s: %lld is not from %lld to %lld", key,
			(long long)number, (long long)min, (long long)max);
	*out = number;
	return ERR_NONE;
}

enum err json_get_double(const json_t *object, const char *key, double min, double max, double *out,
	struct err_info *info)
{
	const json_t *value = member(object, key);

	if (!value)
		return ERR_NONE;
	if (!json_is_number(value))
		return wrong_type(info, key, "a number", value);
	const double number = json_number_value(value);
	if (!(number >= min && number <= max))
		return err_set(info, ERR_INPUT, "%s: %g is not from %g to %g", key, number, min,
			max);
	*out = number;
	return ERR_NONE;
}

enum err json_get_bool(const json_t *object, const char *key, bool *out, struct err_info *info)
{
	const json_t *value = member(object, key);

	if (!value)
		return ERR_NONE;
	if (!json_is_boolean(value))
		return wrong_type(info, key, "true or false", value);
	*out = json_is_true(value);
	return ERR_NONE;
}

enum err json_get_string(const json_t *object, const char *key, const char **out,
	struct err_info *info)
{
	const json_t *value = member(object, key);

	if (!value)
		return ERR_NONE;
	if (!json_is_string(value))
		return wrong_type(info, key, "a string", value);
	*out = json_string_value(value);
	return ERR_NONE;
}
