/* fuzz/safetensors_fuzz.c - bytes as a config.json and a safetensors file: what opens can be read,
 * all of it.
 *
 *	+----------+-------------+---------------------------+
 *	| u32 size | config.json | safetensors, to the end   |
 *	+----------+-------------+---------------------------+
 *
 * Most changes are made to one value of the two texts, and lengths and offsets are put right after
 * it, so that the checks behind the parsers are reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "json_mutate.h"
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

/* ---- changes --------------------------------------------------------------------------------- */

static const char *const WORDS[] = {"F32", "F16", "BF16", "F8_E4M3", "F8_E8M0", "I32", "I64", "I8",
	"U8", "fp8", "gptq", "gptq_v2", "awq", "gemm", "compressed-tensors", "pack-quantized",
	"float-quantized", "int", "float", "group", "channel", "tensor", "block", "e4m3", "qwen3",
	"qwen3_5_text", "full_attention", "linear_attention", "silu", "default", "yarn", ""};
static const struct json_words JSON_WORDS = {WORDS, sizeof(WORDS) / sizeof(WORDS[0])};

/* A file taken apart. */
struct parts {
	json_t *config;
	json_t *header;
	const uint8_t *data;
	size_t data_size;
};

static bool take_apart(const uint8_t *bytes, size_t size, struct parts *parts)
{
	struct err_info info = {0};
	size_t config_size, header_size;

	*parts = (struct parts){0};
	if (!split(bytes, size, &config_size, &header_size))
		return false;
	const uint8_t *text = bytes + sizeof(uint32_t), *header = text + config_size + 8;

	if (config_size + header_size + 12 > size ||
		json_parse(
			&parts->config, (const char *)text, config_size, &LIMITS, false, &info) ||
		json_parse(
			&parts->header, (const char *)header, header_size, &LIMITS, false, &info))
		return false;
	parts->data = header + header_size;
	parts->data_size = size - (size_t)(parts->data - bytes);
	return true;
}

/* Bytes of an entry by its type and shape; what its offsets say where those make no sense. */
static size_t entry_bytes(const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "dtype"));
	const json_t *shape = json_object_get(entry, "shape"),
		     *offsets = json_object_get(entry, "data_offsets");
	struct stored_tensor t = {.file = "", .name = ""};
	struct err_info info = {0};
	const json_int_t begin = json_integer_value(json_array_get(offsets, 0)),
			 end = json_integer_value(json_array_get(offsets, 1));

	t.dtype = name ? dtype_from_safetensors(name) : NULL;
	t.dim_count = (uint32_t)json_array_size(shape);
	if (t.dtype && json_array_size(shape) <= STORED_DIMS_MAX) {
		for (uint32_t i = 0; i < t.dim_count; i++)
			t.dims[i] = (uint64_t)json_integer_value(json_array_get(shape, i));
		if (!stored_tensor_measure(&t, &info) && t.size_bytes <= TEXT_MAX)
			return t.size_bytes;
	}
	return begin >= 0 && end >= begin && end - begin <= TEXT_MAX ? (size_t)(end - begin) : 0;
}

/* Tensors one after the other, each with the bytes that it had as far as they go. */
static void put_right(struct parts *parts, struct buf *data)
{
	const char *name;
	json_t *entry;

	json_object_foreach(parts->header, name, entry)
	{
		const json_t *offsets = json_object_get(entry, "data_offsets");
		const json_int_t begin = json_integer_value(json_array_get(offsets, 0));
		const size_t size = entry_bytes(entry), start = data->size;

		if (!json_is_object(entry) || strcmp(name, "__metadata__") == 0)
			continue;
		for (size_t i = 0; i < size; i++) {
			const size_t at = (size_t)(begin < 0 ? 0 : begin) + i;

			buf_add_char(data, at < parts->data_size ? (char)parts->data[at] : 0);
		}
		json_object_set_new(entry, "data_offsets",
			json_pack("[I, I]", (json_int_t)start, (json_int_t)(start + size)));
	}
}

static size_t write_parts(const struct parts *parts, const struct buf *data, uint8_t *out,
	size_t size_max)
{
	char *config = json_dumps(parts->config, JSON_COMPACT | JSON_ENCODE_ANY),
	     *header = json_dumps(parts->header, JSON_COMPACT | JSON_ENCODE_ANY);
	const uint32_t config_size = config ? (uint32_t)strlen(config) : 0;
	const uint64_t header_size = header ? strlen(header) : 0;
	const size_t size = sizeof(config_size) + config_size + sizeof(header_size) +
		(size_t)header_size + data->size;

	if (config && header && size <= size_max) {
		memcpy(out, &config_size, sizeof(config_size));
		memcpy(out + 4, config, config_size);
		memcpy(out + 4 + config_size, &header_size, sizeof(header_size));
		memcpy(out + 12 + config_size, header, (size_t)header_size);
		if (data->size)
			memcpy(out + 12 + config_size + header_size, data->data, data->size);
	}
	const size_t written = config && header && size <= size_max ? size : 0;
	free(config);
	free(header);
	return written;
}

/* One change to the config or to the header, mostly with the offsets put right after it; 0 when the
 * file cannot be taken apart. */
static size_t change_parts(uint8_t *bytes, size_t size, size_t size_max, struct prng *p)
{
	struct parts parts;
	struct buf data;
	size_t new_size = 0;

	buf_init(&data, TEXT_MAX);
	if (take_apart(bytes, size, &parts)) {
		json_mutate(prng_below(p, 2) ? parts.config : parts.header, &JSON_WORDS, p);
		if (prng_below(p, 8))
			put_right(&parts, &data);
		else
			buf_add(&data, parts.data, parts.data_size);
		new_size = write_parts(&parts, &data, bytes, size_max);
	}
	buf_free(&data);
	json_decref(parts.config);
	json_decref(parts.header);
	return new_size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
	struct prng p;

	prng_init(&p, seed);
	if (prng_below(&p, 4)) {
		const size_t new_size = change_parts(data, size, size_max, &p);

		if (new_size)
			return new_size;
	}
	return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, size_max) : size;
}
