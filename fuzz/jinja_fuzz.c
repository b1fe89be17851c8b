/* fuzz/jinja_fuzz.c - a template, rendered with a small conversation that follows it after a zero
 * byte (as JSON), or with one of its own: a text or an error, within the limits, and spans that fit
 * the text. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/template/jinja.h"

#define SCRATCH_BYTES ((size_t)8 << 20)
#define OUTPUT_BYTES  ((size_t)1 << 20)

static const struct json_limits CONTEXT_LIMITS = {
	.bytes_max = 65536, .values_max = 1000, .depth_max = 32, .memory_max = (size_t)4 << 20};

static const char CONTEXT[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"Be "
			      "kind.\"},{\"role\":\"user\",\"content\":\"\\u4f60 <|im_end|>\"},"
			      "{\"role\":\"assistant\",\"content\":\"<think>a</"
			      "think>b\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
			      "\"arguments\":{\"a\":[1,2.5,null,true],\"b\":[1]}}}]},{\"role\":\"tool\","
			      "\"content\":\"4\"}],\"tools\":[{\"type\":\"function\"}],"
			      "\"s\":\"Hello\",\"n\":3,\"l\":[1,2,3,4],\"d\":{\"b\":1,\"a\":\"two\",\"items\":9},"
			      "\"u\":\"<\\u4f60>\",\"words\":[\"two\",\"One\"],\"nil\":null,\"t\":true,"
			      "\"no\":false,\"f\":2.5,\"e\":[]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_spans(const struct jinja_output *out)
{
	const struct text_span *spans = jinja_output_spans(out);

	for (size_t i = 0; i < jinja_output_span_count(out); i++)
		if (spans[i].begin >= spans[i].end || spans[i].end > out->text.size ||
			(i > 0 && spans[i - 1].end >= spans[i].begin))
			abort();
}

static void render(const struct jinja_template *t, const json_t *context)
{
	const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 24};
	const struct jinja_options options = {
		.limits = {.steps_max = 200000, .depth_max = 200}, .now = &now};
	struct jinja_variable variables[16];
	struct err_info info = {0};
	struct jinja_output out;
	struct arena scratch;
	size_t count = 0;

	for (void *at = json_object_iter((json_t *)context); at && count < 16;
		at = json_object_iter_next((json_t *)context, at), count++)
		variables[count] = (struct jinja_variable){.name = json_object_iter_key(at),
			.value = json_object_iter_value(at), .trusted = count % 2 == 1};
	arena_init(&scratch, 4096, SCRATCH_BYTES);
	jinja_output_init(&out, OUTPUT_BYTES);
	if (jinja_render(t, variables, count, &options, &scratch, &out, &info) == ERR_NONE)
		check_spans(&out);
	else
		assert(info.code != ERR_NONE);
	jinja_output_free(&out);
	arena_reset(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *zero = size ? memchr(text, '\0', size) : NULL;
	const size_t source_size = zero ? (size_t)(zero - text) : size;
	struct err_info info = {0};
	struct jinja_template *t;
	json_t *context = NULL;

	if (jinja_compile(&t, text, source_size, &info)) {
		assert(!t && info.text[0]);
		return 0;
	}
	if (!zero || json_parse(&context, zero + 1, size - source_size - 1, &CONTEXT_LIMITS, false,
			     &(struct err_info){0}))
		context = NULL;
	if (!context &&
		json_parse(&context, CONTEXT, sizeof(CONTEXT) - 1, &CONTEXT_LIMITS, true,
			&(struct err_info){0}))
		abort();
	render(t, context);
	json_decref(context);
	jinja_close(t);
	return 0;
}
