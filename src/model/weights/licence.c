/* model/weights/licence.c - see licence.h. */
#include "model/weights/licence.h"

#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/utf8.h"

#define CARD_BYTES_MAX ((size_t)4 << 20)

/* Whole characters of it, as many as fit, none that a terminal obeys. */
static void take(char out[LICENCE_BYTES], const char *text, size_t size)
{
	size_t used = 0, length;

	while (used < size && utf8_next(text + used, size - used, &length, NULL) ==
		UTF8_CHARACTER && used + length < LICENCE_BYTES) {
		memcpy(out + used, text + used, length);
		used += length;
	}
	out[used] = '\0';
	utf8_blank_controls(out, '?');
}

/* The line `license: ...` in what opens a model card: metadata between two lines of dashes. */
static void licence_of_card(const char *card, char out[LICENCE_BYTES])
{
	static const char field[] = "\nlicense:";
	const char *end = strncmp(card, "---", 3) == 0 ? strstr(card + 3, "\n---") : NULL;
	const char *at = end ? strstr(card, field) : NULL;

	if (!at || at > end)
		return;
	at += sizeof(field) - 1;
	at += strspn(at, " \t\"'");
	take(out, at, strcspn(at, "\r\n\"' "));
}

void licence_find(const struct weights *w, const char *path, char out[LICENCE_BYTES])
{
	const struct gguf *gguf = w->gguf;
	struct gguf_string said = {0};
	struct err_info info = {0};
	char card_path[PATH_MAX];
	struct buf card;

	out[0] = '\0';
	if (gguf && !gguf_get_string(gguf, "general.license", &said, &info) && said.size > 0)
		take(out, said.data, said.size);
	if (gguf || !path || file_join(card_path, sizeof(card_path), path, "README.md") ||
		!file_exists(card_path))
		return;
	buf_init(&card, CARD_BYTES_MAX);
	if (!file_read(&card, card_path, &info) && card.data)
		licence_of_card(card.data, out);
	buf_free(&card);
}
