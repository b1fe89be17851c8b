/* tests/scratch.h - a folder for the files of a test, gone after it.
 *
 *	cmocka_unit_test_setup_teardown(a_promise, scratch_open, scratch_close)
 *
 * scratch is its path between the two.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static char scratch[64];

static inline int scratch_open(void **state)
{
	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/tongyun-test-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_close(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
	return system(command);
}

#endif
