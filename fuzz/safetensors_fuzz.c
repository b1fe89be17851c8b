/* fuzz/safetensors_fuzz.c - bytes as a config.json and a safetensors file: what opens can be read,
 *all of it.
 *
 *	+----------+-------------+---------------------------+
 *	| u32 size | config.json | safetensors, to the end   |
 *	+----------+-------------+---------------------------+
 *
 * Most changes are made to one of the two texts alone, and the lengths before them are put right,
 *so that the checks behind the parsers are reached. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/prng.h"
#include "weights_touch.h"

#define TEXT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
/* libFuzzer's own; not there in the replay. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max) __attribute__((weak));

static const struct json_limits LIMITS = {
	.bytes_max = TEXT_MAX, .values_max = 10000, .depth_max = 16, .memory_max = 1 << 22};

/* Sizes of the config and of the safetensors header; false when they do not fit. */
static bool split(const uint8_t *data, size_t size, size_t *config_size, size_t *header_size)
{
	uint32_t stated;
	uint64_t header;

	if (size < sizeof(stated))
		return false;
	memcpy(&stated, data, sizeof(stated));
	if (stated > size - sizeof(stated))
		return false;
	*config_size = stated;
	*header_size = 0;
	const size_t rest = size - sizeof(stated) - stated;
	if (rest < sizeof(header))
		return true;
	memcpy(&header, data + sizeof(stated) + stated, sizeof(header));
	*header_size = header < rest - sizeof(header) ? (size_t)header : rest - sizeof(header);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_info info = {0};
	size_t config_size, header_size;
	json_t *config = NULL;
	struct weights w;

	if (!split(data, size, &config_size, &header_size))
		return 0;
	const uint8_t *text = data + sizeof(uint32_t), *file = text + config_size;
	if (json_parse(&config, (const char *)text, config_size, &LIMITS, false, &info))
		return 0;
	/* The same object three times: each reader looks for its own fields. */
	const struct model_config_texts texts = {
		.config = config, .generation = config, .tokenizer = config};
	if (!weights_open_texts(&w, &texts, file, size - (size_t)(file - data), &info)) {
		touch_weights(&w);
		weights_close(&w);
	} else {
		assert(info.text[0]);
	}
	json_decref(config);
	return 0;
}

/* Puts another number where text has one; returns the new size. */
static size_t change_number(uint8_t *text, size_t size, size_t size_max, struct prng *p)
{
	static const char *const numbers[] = {"0", "1", "2", "3", "4", "8", "-1", "513", "65536",
		"1e30", "0.5", "4294967296", "9223372036854775807", "null", "true", "[]", "\"x\""};
	const char *number = numbers[prng_below(p, sizeof(numbers) / sizeof(numbers[0]))];
	const size_t number_size = strlen(number);
	size_t begin = size ? (size_t)prng_below(p, size) : 0, end;

	while (begin < size && (text[begin] < '0' || text[begin] > '9'))
		begin++;
	for (end = begin; end < size && text[end] >= '0' && text[end] <= '9';)
		end++;
	if (begin == size || size - (end - begin) + number_size > size_max)
		return size;
	memmove(text + begin + number_size, text + end, size - end);
	memcpy(text + begin, number, number_size);
	return size - (end - begin) + number_size;
}

static size_t change_text(uint8_t *text, size_t size, size_t size_max, struct prng *p)
{
	if (prng_below(p, 2) || !LLVMFuzzerMutate)
		return change_number(text, size, size_max, p);
	return LLVMFuzzerMutate(text, size, size_max);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
	static uint8_t text[TEXT_MAX], tail[TEXT_MAX];
	size_t config_size, header_size;
	struct prng p;

	prng_init(&p, seed);
	if (size > TEXT_MAX / 2 || prng_below(&p, 8) == 0 ||
		!split(data, size, &config_size, &header_size))
		return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, size_max) : size;
	const bool header = prng_below(&p, 2) && header_size > 0;
	const size_t begin = sizeof(uint32_t) + (header ? config_size + sizeof(uint64_t) : 0);
	const size_t old_size = header ? header_size : config_size,
		     tail_size = size - begin - old_size;
	const size_t room =
		size_max - begin - tail_size < TEXT_MAX ? size_max - begin - tail_size : TEXT_MAX;
	memcpy(text, data + begin, old_size);
	memcpy(tail, data + begin + old_size, tail_size);
	const size_t new_size = change_text(text, old_size, room, &p);
	memcpy(data + begin, text, new_size);
	memcpy(data + begin + new_size, tail, tail_size);
	if (header)
		memcpy(data + begin - sizeof(uint64_t), &(uint64_t){new_size}, sizeof(uint64_t));
	else
		memcpy(data, &(uint32_t){(uint32_t)new_size}, sizeof(uint32_t));
	return begin + new_size + tail_size;
}
