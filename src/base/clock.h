/* base/clock.h - the system's clocks; read only at the edges, never in cloud/core or what it
 * stands on. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/units.h"

int64_t clock_monotonic_ns(void);  /* for durations */
int64_t clock_wall_ns(void);       /* since 1970-01-01 UTC, for records */

/* "2026-11-24T16:13:36.123456789Z"; out holds at least 31 bytes. */
void clock_format(char out[31], int64_t wall_ns);

#endif
