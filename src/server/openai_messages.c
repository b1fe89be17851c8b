/* server/openai_messages.c - see openai_messages.h. */
#include "server/openai_messages.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static bool wrong(struct openai_error *error, size_t index, const char *field, const char *why)
{
	char param[OPENAI_PARAM_BYTES];

	snprintf(param, sizeof(param), field[0] ? "messages[%zu].%s" : "messages[%zu]", index,
		field);
	openai_error_set(error, OPENAI_INVALID, param, "%s: %s", param, why);
	return false;
}

static bool role_read(json_t *message, size_t index, struct openai_error *error)
{
	static const char *const roles[] = {"system", "user", "assistant", "tool"};
	const char *role = json_string_value(json_object_get(message, "role"));

	if (!role)
		return wrong(error, index, "role", "must be a string");
	if (strcmp(role, "developer") == 0)
		return json_object_set_new(message, "role", json_string("system")) == 0 ||
			openai_error_no_memory(error);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(role, roles[i]) == 0)
			return true;
	return wrong(error, index, "role", "must be system, developer, user, assistant or tool");
}

static bool part_add(struct buf *text, const json_t *part, size_t index, struct openai_error *error)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	const json_t *value = json_object_get(part, "text");

	if (!type || strcmp(type, "text") != 0)
		return wrong(error, index, "content", "only parts of type \"text\" are supported");
	if (!json_is_string(value))
		return wrong(error, index, "content", "the text of a part must be a string");
	if (text->size > 0)
		buf_add_char(text, '\n');  /* as vLLM does for templates that know only texts */
	buf_add(text, json_string_value(value), json_string_length(value));
	return true;
}

/* A list of parts becomes one text. */
static bool parts_join(json_t *message, const json_t *parts, size_t index,
	struct openai_error *error)
{
	struct buf text;
	const json_t *part;
	bool ok = true;
	size_t i;

	buf_init(&text, JSON_LIMITS_REQUEST.bytes_max);
	json_array_foreach(parts, i, part)
		ok = ok && part_add(&text, part, index, error);
	if (ok && (text.failed || json_object_set_new(message, "content",
		json_stringn(text.data ? text.data : "", text.size))))
		ok = openai_error_no_memory(error);
	buf_free(&text);
	return ok;
}

static bool content_read(json_t *message, size_t index, struct openai_error *error)
{
	const json_t *content = json_object_get(message, "content");

	if (json_is_string(content))
		return true;
	if (json_is_array(content))
		return parts_join(message, content, index, error);
	if (content && !json_is_null(content))
		return wrong(error, index, "content", "must be a string or a list of parts");
	if (strcmp(json_string_value(json_object_get(message, "role")), "assistant") != 0)
		return wrong(error, index, "content", "must be given");
	return json_object_set_new(message, "content", json_string("")) == 0 ||
		openai_error_no_memory(error);
}

/* Arguments come as JSON in a string; templates of newer models read them as an object. */
static bool tool_call_read(struct openai_chat *chat, json_t *call, size_t index,
	struct openai_error *error)
{
	json_t *function = json_object_get(call, "function");
	const json_t *arguments = json_object_get(function, "arguments");
	struct err_info info = {0};
	json_t *parsed;

	if (!json_is_string(json_object_get(function, "name")))
		return wrong(error, index, "tool_calls", "each must have a function with a name");
	if (!json_is_string(arguments))
		return true;
	if (json_parse_budget(&parsed, json_string_value(arguments), json_string_length(arguments),
		&chat->limits, false, &chat->memory, &info) || !json_is_object(parsed)) {
		json_decref(parsed);
		/* a model may have written anything; it goes on as text */
		return info.code != ERR_MEMORY || openai_error_no_memory(error);
	}
	return json_object_set_new(function, "arguments", parsed) == 0 ||
		openai_error_no_memory(error);
}

static bool tool_calls_read(struct openai_chat *chat, json_t *message, size_t index,
	struct openai_error *error)
{
	json_t *calls = json_object_get(message, "tool_calls");
	json_t *call;
	size_t i;

	if (!calls)
		return true;
	if (json_is_null(calls) || (json_is_array(calls) && json_array_size(calls) == 0))
		return json_object_del(message, "tool_calls") == 0;
	if (!json_is_array(calls))
		return wrong(error, index, "tool_calls", "must be a list");
	json_array_foreach(calls, i, call)
		if (!tool_call_read(chat, call, index, error))
			return false;
	return true;
}

/* What this server sends under two names comes back under either (conventions.md 4.3). */
static bool reasoning_read(json_t *message, struct openai_error *error)
{
	json_t *reasoning = json_object_get(message, "reasoning");

	if (!json_is_string(reasoning) || json_object_get(message, "reasoning_content"))
		return true;
	return json_object_set(message, "reasoning_content", reasoning) == 0 ||
		openai_error_no_memory(error);
}

static bool message_read(struct openai_chat *chat, json_t *message, size_t index,
	struct openai_error *error)
{
	if (!json_is_object(message))
		return wrong(error, index, "", "must be an object");
	return role_read(message, index, error) && content_read(message, index, error) &&
		tool_calls_read(chat, message, index, error) && reasoning_read(message, error);
}

static bool tools_read(struct openai_chat *chat, struct openai_error *error)
{
	const char *choice = json_string_value(json_object_get(chat->body, "tool_choice"));
	json_t *tools = json_object_get(chat->body, "tools");
	const json_t *tool;
	size_t i;

	if (!tools || json_is_null(tools) || (json_is_array(tools) && json_array_size(tools) == 0))
		return true;
	if (!json_is_array(tools)) {
		openai_error_set(error, OPENAI_INVALID, "tools", "tools: must be a list");
		return false;
	}
	json_array_foreach(tools, i, tool)
		if (!json_is_string(json_object_get(json_object_get(tool, "function"), "name"))) {
			openai_error_set(error, OPENAI_INVALID, "tools",
				"tools: each must have a function with a name");
			return false;
		}
	if (!choice || strcmp(choice, "none") != 0)
		chat->tools = tools;
	return true;
}

/* DashScope's spelling at the top level is the same wish. */
static bool template_kwargs_read(struct openai_chat *chat, struct openai_error *error)
{
	json_t *kwargs = json_object_get(chat->body, "chat_template_kwargs");
	json_t *thinking = json_object_get(chat->body, "enable_thinking");

	if (kwargs && !json_is_null(kwargs) && !json_is_object(kwargs)) {
		openai_error_set(error, OPENAI_INVALID, "chat_template_kwargs",
			"chat_template_kwargs: must be an object");
		return false;
	}
	if (thinking && !json_is_null(thinking) && !json_is_boolean(thinking)) {
		openai_error_set(error, OPENAI_INVALID, "enable_thinking",
			"enable_thinking: must be true or false");
		return false;
	}
	if (json_is_boolean(thinking) && !json_is_object(kwargs)) {
		kwargs = json_object();
		if (json_object_set_new(chat->body, "chat_template_kwargs", kwargs))
			return openai_error_no_memory(error);
	}
	if (json_is_boolean(thinking) && !json_object_get(kwargs, "enable_thinking") &&
		json_object_set(kwargs, "enable_thinking", thinking))
		return openai_error_no_memory(error);
	if (json_is_object(kwargs))
		chat->template_kwargs = kwargs;
	return true;
}

bool openai_messages_read(struct openai_chat *chat, struct openai_error *error)
{
	json_t *messages = json_object_get(chat->body, "messages");
	json_t *message;
	size_t i;

	if (!json_is_array(messages) || json_array_size(messages) == 0) {
		openai_error_set(error, OPENAI_INVALID, "messages",
			"messages: must be a list of at least one message");
		return false;
	}
	json_array_foreach(messages, i, message)
		if (!message_read(chat, message, i, error))
			return false;
	chat->messages = messages;
	return tools_read(chat, error) && template_kwargs_read(chat, error);
}
