/* base/log.c - see log.h. */
#include "base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define LINE_BYTES_MAX 2048  /* below PIPE_BUF: lines of many processes never mix in a pipe */
#define LEVEL_UNSET    (-1)

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic int level_shown = LEVEL_UNSET;

/* What the environment says, else otherwise. */
static int level_from_environment(enum log_level otherwise)
{
	const char *name = getenv("TONGYUN_LOG");

	for (int level = LOG_ERROR; name && level <= LOG_DEBUG; level++) {
		if (strcmp(name, level_names[level]) == 0)
			return level;
	}
	return (int)otherwise;
}

void log_set_level(enum log_level level)
{
	atomic_store(&level_shown, level_from_environment(level));
}

static size_t clip(int length, size_t room)
{
	assert(length >= 0);
	return (size_t)length < room ? (size_t)length : room - 1;
}

void log_line(enum log_level level, const char *where, const char *format, ...)
{
	char line[LINE_BYTES_MAX];
	char when[31];
	va_list arguments;

	if (atomic_load_explicit(&level_shown, memory_order_relaxed) == LEVEL_UNSET)
		log_set_level(LOG_WARN);
	if ((int)level > atomic_load_explicit(&level_shown, memory_order_relaxed))
		return;
	clock_format(when, clock_wall_ns());
	const size_t room = sizeof(line) - 1;  /* the newline always fits */
	size_t used = clip(snprintf(line, room, "%s %s %s: ", when, level_names[level], where),
		room);
	va_start(arguments, format);
	used += clip(vsnprintf(line + used, room - used, format, arguments), room - used);
	va_end(arguments);
	/* a text from outside would write lines of its own, or talk to the terminal */
	utf8_blank_controls(line, ' ');
	line[used++] = '\n';
	if (write(STDERR_FILENO, line, used) < 0)
		return;  /* nowhere to say it */
}
