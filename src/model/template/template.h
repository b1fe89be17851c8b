/* model/template/template.h - a model's chat template: messages become the text, or the tokens,
 * of a prompt.
 *
 *	struct chat_template *t;
 *	chat_template_open(&t, source, size, tokenizer, &info);
 *	const struct chat_prompt prompt = {.messages = messages, .generation_prompt = true};
 *	chat_template_encode(t, tokenizer, &prompt, &scratch, &list, &info);
 *	chat_template_close(t);
 *
 * What a user wrote never becomes a special token: special tokens are looked for only in text that
 * the template itself wrote (jinja.h, Trust). Immutable after open; any number of threads may use
 * it.
 */
#ifndef MODEL_TEMPLATE_TEMPLATE_H
#define MODEL_TEMPLATE_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/arena.h"
#include "base/err.h"
#include "model/template/jinja.h"
#include "model/tokenizer/tokenizer.h"

#define CHAT_TEXT_BYTES_MAX ((size_t)64 << 20)   /* of a rendered prompt */

struct chat_template;

/* tokenizer gives bos_token, eos_token and pad_token. ERR_INPUT names line and reason. */
enum err chat_template_open(struct chat_template **out, const char *source, size_t size,
	const struct tokenizer *tokenizer, struct err_info *info) MUST_CHECK;
/* Another template, for prompts with tools; some models bring one of the name tool_use. */
enum err chat_template_add_tools(struct chat_template *t, const char *source, size_t size,
	struct err_info *info) MUST_CHECK;
/* NULL is legal. */
void chat_template_close(struct chat_template *t);

/* All borrowed; NULL where there is none. */
struct chat_prompt {
	json_t *messages;           /* array of {"role", "content", ...} */
	json_t *tools;              /* array */
	/* object: chat_template_kwargs, such as {"enable_thinking": false} */
	json_t *kwargs;
	bool generation_prompt;     /* ends with the beginning of the assistant's turn */
	const struct tm *now;       /* for templates that ask the date; NULL: those fail */
};

/* ERR_INPUT: the template refuses these messages, in its own words behind "chat template: ", or
 * fails at a line; ERR_LIMIT: too much work, memory or text. Working memory comes from scratch. */
enum err chat_template_render(const struct chat_template *t, const struct chat_prompt *prompt,
	struct arena *scratch, struct jinja_output *out, struct err_info *info) MUST_CHECK;

/* Renders and encodes; full list is ERR_LIMIT. */
enum err chat_template_encode(const struct chat_template *t, const struct tokenizer *tokenizer,
	const struct chat_prompt *prompt, struct arena *scratch, struct token_list *list,
	struct err_info *info) MUST_CHECK;

#endif
