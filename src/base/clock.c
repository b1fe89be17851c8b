/* base/clock.c - see clock.h. The only file that asks the system for the time. */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>


static int64_t read_ns(clockid_t id)
{
	struct timespec now;
	const int failed = clock_gettime(id, &now);

	assert(!failed);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

void clock_format(char out[31], int64_t wall_ns)
{
	int64_t seconds = wall_ns / NS_PER_S;
	int64_t rest_ns = wall_ns % NS_PER_S;
	char text[128];  /* for the compiler, who does not know that years end with 2262 */
	struct tm tm;

	if (rest_ns < 0) {
		rest_ns += NS_PER_S;
		seconds--;
	}
	const time_t when = (time_t)seconds;
	const struct tm *filled = gmtime_r(&when, &tm);
	assert(filled);
	const int length = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		(int)rest_ns);
	assert(length == 30);
	memcpy(out, text, 31);
}
