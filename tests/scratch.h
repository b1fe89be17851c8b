/* tests/scratch.h - a folder for the files of a test, gone after it.
 *
 *	cmocka_unit_test_setup_teardown(a_promise, scratch_open, scratch_close)
 *
 * scratch is its path between the two.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

static char scratch[64];

static inline int scratch_open(void **state)
{
	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/tongyun-test-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

/* Of a file in it; stays for the next three. */
static inline const char *scratch_path(const char *name)
{
	static char path[4][512];
	static unsigned turn;
	char *out = path[turn++ % 4];

	assert_int_equal(file_join(out, sizeof(path[0]), scratch, name), ERR_NONE);
	return out;
}

/* . and .. included. */
static inline size_t scratch_entries(void)
{
	DIR *d = opendir(scratch);
	size_t count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static inline int scratch_close(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
	return system(command);
}

#endif
