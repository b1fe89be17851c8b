/* tests/test_data.h - files of the tests, by their path under tests/. */
#ifndef TESTS_TEST_DATA_H
#define TESTS_TEST_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

/* TESTS_DIR: the folder tests/ of the source tree, given by tests/meson.build. */
static inline const char *test_path(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", TESTS_DIR, name);
	return path;
}

/* The whole file; ends the test if it cannot be read. Released by buf_free. */
static inline struct buf test_read(const char *name)
{
	struct err_info info = {0};
	struct buf bytes;

	buf_init(&bytes, (size_t)64 << 20);
	if (file_read(&bytes, test_path(name), &info)) {
		fprintf(stderr, "%s\n", info.text);
		abort();
	}
	return bytes;
}

/* The file as JSON, released by json_decref. */
static inline json_t *test_read_json(const char *name)
{
	struct err_info info = {0};
	json_t *root;

	if (json_read_file(&root, test_path(name), &JSON_LIMITS_FILE, &info)) {
		fprintf(stderr, "%s\n", info.text);
		abort();
	}
	return root;
}

#endif
