/* tests/base/err_test.c - an error says what, where and why, and always fits. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void set_returns_the_code_and_keeps_the_text(void **state)
{
	struct err_info info = {0};

	(void)state;
	assert_int_equal(err_set(&info, ERR_INPUT, "byte %d of %s", 7, "x.gguf"), ERR_INPUT);
	assert_int_equal(info.code, ERR_INPUT);
	assert_string_equal(info.text, "byte 7 of x.gguf");
}

static void names_from_outside_cannot_steer_a_terminal(void **state)
{
	struct err_info info = {0};

	(void)state;
	err_set(&info, ERR_INPUT, "tensor %s", "a\x1B[2J\r\nb\x7F \xE6\x98\xA5");
	assert_string_equal(info.text, "tensor a?[2J??b? \xE6\x98\xA5");
}

static void errno_becomes_a_code_and_a_reason(void **state)
{
	static const struct {
		int number;
		enum err code;
	} rows[] = {
		{ENOENT, ERR_NOT_FOUND},
		{ENOTDIR, ERR_NOT_FOUND},
		{EACCES, ERR_DENIED},
		{EPERM, ERR_DENIED},
		{EROFS, ERR_DENIED},
		{EEXIST, ERR_EXISTS},
		{ENOMEM, ERR_MEMORY},
		{ENOSPC, ERR_IO},
		{EIO, ERR_IO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err_info info = {0};

		errno = rows[i].number;
		assert_int_equal(err_set_errno(&info, "a.txt"), rows[i].code);
		assert_memory_equal(info.text, "a.txt: ", 7);
		assert_string_equal(info.text + 7, strerror(rows[i].number));
	}
}

static void each_level_adds_where_it_was(void **state)
{
	struct err_info info = {0};

	(void)state;
	err_set(&info, ERR_NOT_FOUND, "no tensor");
	assert_int_equal(err_prefix(&info, "layer %d", 3), ERR_NOT_FOUND);
	assert_int_equal(err_prefix(&info, "model.gguf"), ERR_NOT_FOUND);
	assert_string_equal(info.text, "model.gguf: layer 3: no tensor");
}

static void a_long_text_is_cut_and_still_ends(void **state)
{
	struct err_info info = {0};
	char long_text[2 * ERR_TEXT_MAX];

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	err_set(&info, ERR_INPUT, "%s", long_text);
	assert_int_equal(strlen(info.text), ERR_TEXT_MAX - 1);
	err_prefix(&info, "%s", long_text);
	assert_int_equal(strlen(info.text), ERR_TEXT_MAX - 1);
	errno = EIO;
	err_set_errno(&info, "%s", long_text);
	assert_int_equal(strlen(info.text), ERR_TEXT_MAX - 1);
}

static void a_cut_never_goes_through_a_character(void **state)
{
	static const char *const characters[] = {"é", "诗", "𠀀"};

	(void)state;
	for (size_t c = 0; c < 3; c++) {
		const size_t width = strlen(characters[c]);

		for (size_t offset = 0; offset < width; offset++) {
			struct err_info info = {0};
			char text[2 * ERR_TEXT_MAX] = {0};
			size_t used = offset;

			memset(text, 'a', offset);
			while (used < ERR_TEXT_MAX + 8) {
				memcpy(text + used, characters[c], width);
				used += width;
			}
			err_set(&info, ERR_INPUT, "%s", text);
			assert_int_equal((strlen(info.text) - offset) % width, 0);
			assert_true(strlen(info.text) + width >= ERR_TEXT_MAX);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_the_code_and_keeps_the_text),
		cmocka_unit_test(names_from_outside_cannot_steer_a_terminal),
		cmocka_unit_test(errno_becomes_a_code_and_a_reason),
		cmocka_unit_test(each_level_adds_where_it_was),
		cmocka_unit_test(a_long_text_is_cut_and_still_ends),
		cmocka_unit_test(a_cut_never_goes_through_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
