/* model/pretokenizer.c - see pretokenizer.h. */
#include "model/pretokenizer.h"

enum err pretokenizer_add(struct pretokenizer *p, struct pretokenizer_step step,
	struct err_info *info)
{
	if (p->step_count == PRETOKENIZER_STEPS_MAX)
		return err_set(info, ERR_LIMIT, "pre_tokenizer: more than %zu steps",
			PRETOKENIZER_STEPS_MAX);
	p->steps[p->step_count++] = step;
	return ERR_NONE;
}

/* Cuts by the steps from first on. As deep as there are steps. */
static enum err cut_from(const struct pretokenizer *p, size_t first, const char *text, size_t size,
	pretokenizer_take *take, void *context)
{
	enum err code = ERR_NONE;

	if (first == p->step_count)
		return take(context, text, size);
	for (size_t at = 0, length; at < size && !code; at += length) {
		length = pretokenize_next(p->steps[first].rule, text + at, size - at);
		code = cut_from(p, first + 1, text + at, length, take, context);
	}
	return code;
}

enum err pretokenizer_cut(const struct pretokenizer *p, const char *text, size_t size,
	pretokenizer_take *take, void *context)
{
	return size == 0 ? ERR_NONE : cut_from(p, 0, text, size, take, context);
}
