/* base/log.h - one line per event on standard error: time, level, floor/module, text. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Default LOG_INFO for serve, LOG_WARN for other verbs (and when never called);
 * TONGYUN_LOG=error|warn|info|debug wins over it. */
void log_set_level(enum log_level level);
/* where is "server/front" and the like. Never secrets, never request text. Thread-safe, one
 * write(2) a line. */
void log_line(enum log_level level, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
