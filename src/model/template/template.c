/* model/template/template.c - see template.h. */
#include "model/template/template.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#define KWARGS_MAX     64    /* names beside messages, tools and the tokens */
#define VARIABLES_MAX  (KWARGS_MAX + 6)

struct chat_template {
	struct jinja_template *jinja;
	struct jinja_template *with_tools;  /* NULL: jinja */
	json_t *bos, *eos, *pad;    /* their texts; NULL: none */
};

/* The text of a token that the tokenizer names, or NULL. */
static json_t *token_string(const struct tokenizer *tokenizer, uint32_t id)
{
	const struct token_text text = tokenizer_text(tokenizer, id);

	return id == TOKENIZER_ID_NONE ? NULL : json_stringn(text.bytes, text.size);
}

enum err chat_template_open(struct chat_template **out, const char *source, size_t size,
	const struct tokenizer *tokenizer, struct err_info *info)
{
	struct chat_template *t = mem_alloc(1, sizeof(*t));
	enum err err;

	*out = NULL;
	if (!t)
		return err_set(info, ERR_MEMORY, "out of memory for a chat template");
	if ((err = jinja_compile(&t->jinja, source, size, info))) {
		mem_free(t);
		return err_prefix(info, "chat template");
	}
	t->bos = token_string(tokenizer, tokenizer_bos(tokenizer));
	t->eos = token_string(tokenizer, tokenizer_eos(tokenizer));
	t->pad = token_string(tokenizer, tokenizer_pad(tokenizer));
	if ((!t->bos && tokenizer_bos(tokenizer) != TOKENIZER_ID_NONE) ||
		(!t->eos && tokenizer_eos(tokenizer) != TOKENIZER_ID_NONE) ||
		(!t->pad && tokenizer_pad(tokenizer) != TOKENIZER_ID_NONE)) {
		chat_template_close(t);
		return err_set(info, ERR_MEMORY, "out of memory for a chat template");
	}
	*out = t;
	return ERR_NONE;
}

enum err chat_template_add_tools(struct chat_template *t, const char *source, size_t size,
	struct err_info *info)
{
	assert(!t->with_tools);
	return jinja_compile(&t->with_tools, source, size, info)
		? err_prefix(info, "chat template tool_use") : ERR_NONE;
}

void chat_template_close(struct chat_template *t)
{
	if (!t)
		return;
	jinja_close(t->jinja);
	jinja_close(t->with_tools);
	json_decref(t->bos);
	json_decref(t->eos);
	json_decref(t->pad);
	mem_free(t);
}

struct variables {
	struct jinja_variable list[VARIABLES_MAX];
	size_t count;
};

static void variable_add(struct variables *v, const char *name, const json_t *value, bool trusted)
{
	assert(v->count < VARIABLES_MAX);
	if (value)
		v->list[v->count++] = (struct jinja_variable){
			.name = name, .value = value, .trusted = trusted};
}

/* Arguments come first: what the API itself says cannot be changed by them, as in transformers. */
static enum err variables_fill(struct variables *v, const struct chat_template *t,
	const struct chat_prompt *prompt, struct err_info *info)
{
	const char *name;
	json_t *value;

	if (json_object_size(prompt->kwargs) > KWARGS_MAX)
		return err_set(info, ERR_LIMIT, "more than %d chat_template_kwargs", KWARGS_MAX);
	json_object_foreach(prompt->kwargs, name, value) {
		static const char *const own[] = {"messages", "tools", "add_generation_prompt"};
		bool reserved = false;

		for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
			reserved |= strcmp(name, own[i]) == 0;
		if (!reserved)
			variable_add(v, name, value, false);
	}
	variable_add(v, "messages", prompt->messages, false);
	variable_add(v, "tools", prompt->tools ? prompt->tools : json_null(), false);
	variable_add(v, "add_generation_prompt", json_boolean(prompt->generation_prompt), true);
	variable_add(v, "bos_token", t->bos, true);
	variable_add(v, "eos_token", t->eos, true);
	variable_add(v, "pad_token", t->pad, true);
	return ERR_NONE;
}

enum err chat_template_render(const struct chat_template *t, const struct chat_prompt *prompt,
	struct arena *scratch, struct jinja_output *out, struct err_info *info)
{
	const struct jinja_options options = {.limits = JINJA_LIMITS, .now = prompt->now};
	const bool tools = t->with_tools && json_array_size(prompt->tools) > 0;
	struct variables variables = {.count = 0};
	enum err err;

	if (!json_is_array(prompt->messages))
		return err_set(info, ERR_INPUT, "messages must be an array");
	if ((err = variables_fill(&variables, t, prompt, info)))
		return err;
	if ((err = jinja_render(tools ? t->with_tools : t->jinja, variables.list, variables.count,
		     &options, scratch, out, info)))
		err_prefix(info, "chat template");
	return err;
}

enum err chat_template_encode(const struct chat_template *t, const struct tokenizer *tokenizer,
	const struct chat_prompt *prompt, struct arena *scratch, struct token_list *list,
	struct err_info *info)
{
	struct jinja_output out;
	enum err err;

	jinja_output_init(&out, CHAT_TEXT_BYTES_MAX);
	err = chat_template_render(t, prompt, scratch, &out, info);
	if (!err)
		err = tokenizer_encode_spans(tokenizer, out.text.data ? out.text.data : "",
			out.text.size, jinja_output_spans(&out), jinja_output_span_count(&out),
			scratch, list, info);
	jinja_output_free(&out);
	return err;
}
