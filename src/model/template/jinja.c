/* model/template/jinja.c - see jinja.h: from a source to a template, from a template and variables
 * to a text. */
#include "model/template/jinja.h"

#include <string.h>

#include "base/mem.h"
#include "model/template/jinja_eval.h"
#include "model/template/jinja_parse.h"
#include "model/template/jinja_text.h"

#define COMPILE_CHUNK_BYTES ((size_t)64 << 10)

const struct jinja_limits JINJA_LIMITS = {.steps_max = 20000000, .depth_max = 400};

static uint32_t name_number(const struct jinja_template *t, const char *name)
{
	for (size_t i = 0; i < t->name_count; i++)
		if (jinja_name_is(t->names[i].bytes, t->names[i].size, name))
			return (uint32_t)i;
	return JINJA_NAME_NONE;
}

enum err jinja_compile(struct jinja_template **out, const char *source, size_t size,
	struct err_info *info)
{
	struct jinja_template *t = mem_alloc(1, sizeof(*t));
	enum err code;

	*out = NULL;
	if (!t)
		return err_set(info, ERR_MEMORY, "no memory for a template");
	arena_init(&t->arena, COMPILE_CHUNK_BYTES, JINJA_COMPILED_BYTES_MAX);
	if ((code = jinja_parse(t, source, size, info))) {
		jinja_close(t);
		return code;
	}
	t->loop_name = name_number(t, "loop");
	t->caller_name = name_number(t, "caller");
	t->kwargs_name = name_number(t, "kwargs");
	t->varargs_name = name_number(t, "varargs");
	*out = t;
	return ERR_NONE;
}

void jinja_close(struct jinja_template *t)
{
	if (!t)
		return;
	arena_reset(&t->arena);
	mem_free(t);
}

void jinja_output_init(struct jinja_output *out, size_t bytes_max)
{
	buf_init(&out->text, bytes_max);
	buf_init(&out->spans, bytes_max * sizeof(struct text_span) + sizeof(struct text_span));
}

void jinja_output_free(struct jinja_output *out)
{
	buf_free(&out->text);
	buf_free(&out->spans);
}

size_t jinja_output_span_count(const struct jinja_output *out)
{
	return out->spans.size / sizeof(struct text_span);
}

const struct text_span *jinja_output_spans(const struct jinja_output *out)
{
	return (const struct text_span *)(const void *)out->spans.data;
}

static bool bind_variables(struct jinja_render *r, struct jinja_scope *scope,
	const struct jinja_variable *variables, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const uint32_t name = name_number(r->t, variables[i].name);
		const struct jinja_value value =
			jinja_from_json(variables[i].value, variables[i].trusted);

		if (name != JINJA_NAME_NONE && !jinja_scope_set(r, scope, name, &value))
			return false;
	}
	return true;
}

enum err jinja_render(const struct jinja_template *t, const struct jinja_variable *variables,
	size_t variable_count, const struct jinja_options *options, struct arena *scratch,
	struct jinja_output *out, struct err_info *info)
{
	struct jinja_render r = {.t = t,
		.arena = scratch,
		.output = out,
		.info = info,
		.line = 1,
		.limits = options ? options->limits : JINJA_LIMITS,
		.now = options ? options->now : NULL};
	struct jinja_scope *outside = jinja_scope_open(&r, NULL),
			   *scope = jinja_scope_open(&r, outside);
	enum jinja_flow flow;

	if (outside && scope && bind_variables(&r, outside, variables, variable_count) &&
		jinja_exec(&r, scope, t->body, &flow))
		return ERR_NONE;
	return r.info->code;
}
