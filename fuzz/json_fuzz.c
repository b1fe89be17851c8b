/* fuzz/json_fuzz.c - bytes as JSON: limits hold, and what is written back is JSON again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits LIMITS = {.bytes_max = 65536, .values_max = 1000, .depth_max = 16,
	.memory_max = 1 << 20};

static void write_back(const char *text, size_t size)
{
	struct buf out;
	json_t *again;

	buf_init(&out, LIMITS.bytes_max);
	json_add_string(&out, text, size);
	assert(!out.failed);  /* a byte takes six at most */
	const enum err code = json_parse(&again, out.data, out.size, &LIMITS, true,
		&(struct err_info){0});
	assert(code != ERR_INPUT || memchr(text, 0, size));
	json_decref(again);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct err_info info = {0};
	json_t *value;
	int64_t number = 0;

	if (!json_parse(&value, text, size, &LIMITS, true, &info) && json_is_object(value))
		(void)!json_get_int(value, "n", -10, 10, &number, &info);
	assert(number >= -10 && number <= 10);
	json_decref(value);
	if (size <= LIMITS.bytes_max / 8)
		write_back(text, size);
	return 0;
}
