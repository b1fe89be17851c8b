/* hub/path.c - see path.h. */
#include "hub/path.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define PART_BYTES_MAX 255   /* of a file's name: what Linux's file systems hold */

/* Why a part may not stand in a path; NULL: it may. */
static const char *part_wrong(const char *part, size_t size)
{
	if (size == 0)
		return "it is absolute, or has an empty part";
	if (size > PART_BYTES_MAX)
		return "a part of it is too long";
	if (part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.')))
		return "it leaves its folder";
	return NULL;
}

static const char *bytes_wrong(const char *path, size_t size)
{
	for (size_t at = 0, length; at < size; at += length) {
		uint32_t code_point = 0;

		if (utf8_next(path + at, size - at, &length, &code_point) != UTF8_CHARACTER)
			return "it is not UTF-8";
		if (utf8_is_control(code_point))
			return "it has a control character";
		if (code_point == '\\')
			return "it has a backslash";
	}
	return NULL;
}

static const char *path_wrong(const char *path, size_t size)
{
	const char *why = bytes_wrong(path, size);
	size_t from = 0, depth = 0;

	if (size == 0)
		return "it is empty";
	if (size >= HUB_PATH_BYTES)
		return "it is too long";
	for (size_t at = 0; !why && at <= size; at++) {
		if (at < size && path[at] != '/')
			continue;
		why = part_wrong(path + from, at - from);
		from = at + 1;
		if (++depth > HUB_DEPTH_MAX)
			why = "its folders are too deep";
	}
	return why;
}

enum err hub_path_check(const char *path, size_t size, struct err_info *info)
{
	const char *why = path_wrong(path, size);

	if (!why)
		return ERR_NONE;
	return err_set(info, ERR_INPUT, "'%.*s' is no path for a file of a model: %s",
		(int)(size < 200 ? size : 200), path, why);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool hub_path_clash(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (*a == '\0' && (*b == '\0' || *b == '/')) || (*b == '\0' && *a == '/');
}

/* Case folded, and a slash before everything else: what is below a folder follows its name. */
static int rank(char c)
{
	return c == '/' ? 1 : (unsigned char)lower(c);
}

int hub_path_order(const char *a, const char *b)
{
	while (*a && rank(*a) == rank(*b)) {
		a++;
		b++;
	}
	return rank(*a) - rank(*b);
}
