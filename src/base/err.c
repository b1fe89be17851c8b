/* base/err.c - see err.h. */
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Drops the last character if the cut went through its bytes: a text may be answered as JSON. */
static void trim_cut_character(char *text, size_t length)
{
	size_t start = length;

	while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0 || (unsigned char)text[start - 1] < 0xC0)
		return;
	const unsigned char lead = (unsigned char)text[start - 1];
	const size_t wanted = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
	if (length - start < wanted)
		text[start - 1] = '\0';
}

static void text_format(char *out, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

static void text_format(char *out, size_t size, const char *format, va_list arguments)
{
	const int length = vsnprintf(out, size, format, arguments);

	if (length < 0)
		out[0] = '\0';
	else if ((size_t)length >= size)
		trim_cut_character(out, size - 1);
	/* names from hostile files stand in texts, and texts are shown on terminals */
	utf8_blank_controls(out, '?');
}

/* Appends as much of tail as fits. */
static void text_append(char text[ERR_TEXT_MAX], const char *tail)
{
	const size_t used = strlen(text);
	const size_t tail_size = strlen(tail);
	const size_t room = ERR_TEXT_MAX - 1 - used;
	const size_t copied = tail_size < room ? tail_size : room;

	memcpy(text + used, tail, copied);
	text[used + copied] = '\0';
	if (copied < tail_size)
		trim_cut_character(text, used + copied);
}

static enum err code_of_errno(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EEXIST:
		return ERR_EXISTS;
	case ENOMEM:
		return ERR_MEMORY;
	default:
		return ERR_IO;
	}
}

enum err err_set(struct err_info *info, enum err code, const char *format, ...)
{
	va_list arguments;

	assert(info && code != ERR_NONE);
	va_start(arguments, format);
	text_format(info->text, sizeof(info->text), format, arguments);
	va_end(arguments);
	info->code = code;
	return code;
}

enum err err_set_errno(struct err_info *info, const char *format, ...)
{
	const int number = errno;  /* first: printing may change it */
	const enum err code = code_of_errno(number);
	char reason[128];
	va_list arguments;

	assert(info);
	va_start(arguments, format);
	text_format(info->text, sizeof(info->text), format, arguments);
	va_end(arguments);
	text_append(info->text, ": ");
	text_append(info->text, strerror_r(number, reason, sizeof(reason)));
	info->code = code;
	return code;
}

enum err err_prefix(struct err_info *info, const char *format, ...)
{
	char before[ERR_TEXT_MAX];
	va_list arguments;

	assert(info && info->code != ERR_NONE);
	memcpy(before, info->text, sizeof(before));
	va_start(arguments, format);
	text_format(info->text, sizeof(info->text), format, arguments);
	va_end(arguments);
	text_append(info->text, ": ");
	text_append(info->text, before);
	return info->code;
}
