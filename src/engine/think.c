/* engine/think.c - see think.h. */
#include "engine/think.h"

#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "model/tokenizer/tokenizer.h"

#define SCRATCH_CHUNK     4096
#define SCRATCH_BYTES_MAX ((size_t)1 << 20)

static const char OPEN[] = "<think>";
static const char CLOSE[] = "</think>";
static const char ENDING[] = "\n</think>\n\n";

/* The text's tokens, added ones among them; false when there are more than THINK_ENDING_MAX. */
static enum err encode(const struct tokenizer *tokenizer, const char *text, struct arena *scratch,
	uint32_t *ids, uint32_t *count, struct err_info *info)
{
	struct token_list list = {.ids = ids, .count_max = THINK_ENDING_MAX};
	const enum err err = tokenizer_encode(tokenizer, text, strlen(text), true, scratch, &list,
		info);

	*count = (uint32_t)list.count;
	return err;
}

/* The one token that is the whole text, or THINK_NONE. */
static enum err find_token(const struct tokenizer *tokenizer, const char *text,
	struct arena *scratch, uint32_t *out, struct err_info *info)
{
	uint32_t ids[THINK_ENDING_MAX], count;
	const enum err err = encode(tokenizer, text, scratch, ids, &count, info);

	*out = !err && count == 1 ? ids[0] : THINK_NONE;
	return err == ERR_LIMIT && count == THINK_ENDING_MAX ? ERR_NONE : err;
}

static bool ending_closes(const struct think_rule *rule)
{
	for (uint32_t i = 0; i < rule->ending_count; i++)
		if (rule->ending[i] == rule->close)
			return true;
	return false;
}

enum err think_rule_find(struct think_rule *rule, const struct tokenizer *tokenizer,
	struct err_info *info)
{
	struct arena scratch;
	enum err err;

	*rule = (struct think_rule){.open = THINK_NONE, .close = THINK_NONE};
	arena_init(&scratch, SCRATCH_CHUNK, SCRATCH_BYTES_MAX);
	if (!(err = find_token(tokenizer, OPEN, &scratch, &rule->open, info)) &&
		!(err = find_token(tokenizer, CLOSE, &scratch, &rule->close, info)) &&
		rule->open != THINK_NONE && rule->close != THINK_NONE)
		err = encode(tokenizer, ENDING, &scratch, rule->ending, &rule->ending_count, info);
	if (!ending_closes(rule))
		rule->open = THINK_NONE;
	arena_reset(&scratch);
	return err;
}

static bool thinks(const struct think_rule *rule)
{
	return rule && rule->open != THINK_NONE;
}

void think_start(struct think_state *s, const struct think_rule *rule, const uint32_t *prompt,
	uint32_t prompt_tokens)
{
	*s = (struct think_state){0};
	for (uint32_t i = prompt_tokens; thinks(rule) && i-- > 0;) {
		if (prompt[i] != rule->open && prompt[i] != rule->close)
			continue;
		s->inside = prompt[i] == rule->open;
		break;
	}
}

uint32_t think_forced(const struct think_state *s, const struct think_rule *rule,
	uint32_t budget)
{
	if (!thinks(rule))
		return THINK_NONE;
	if (s->given > 0)
		return rule->ending[s->given];
	return s->inside && s->tokens >= budget && budget != THINK_NONE ? rule->ending[0]
		: THINK_NONE;
}

void think_add(struct think_state *s, const struct think_rule *rule, uint32_t budget,
	uint32_t token)
{
	const uint32_t forced = think_forced(s, rule, budget);

	if (!thinks(rule))
		return;
	assert(forced == THINK_NONE || forced == token);
	if (forced != THINK_NONE)
		s->given = (s->given + 1) % rule->ending_count;
	if (token == rule->close)
		s->inside = false;
	else if (s->inside)
		s->tokens++;
	else
		s->inside = token == rule->open;
}
