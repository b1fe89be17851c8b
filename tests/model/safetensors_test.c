/* tests/model/safetensors_test.c - what is in a safetensors file is read, and what cannot be is
 * refused by name. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/files/safetensors.h"
#include "model/safetensors_builder.h"

static const float EIGHT[8] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct buf make_file(void)
{
	struct safetensors_builder b;

	safetensors_builder_init(&b);
	buf_add_str(&b.header, "\"__metadata__\":{\"format\":\"pt\"}");
	safetensors_add(&b, "b.weight", "F32", "[2,4]", EIGHT, sizeof(EIGHT));
	safetensors_add(&b, "a.scalar", "BF16", "[]", EIGHT, 2);
	safetensors_add(&b, "a.none", "F32", "[0,4]", NULL, 0);
	safetensors_add(&b, "a.fp8", "F8_E4M3", "[3]", EIGHT, 3);
	return safetensors_builder_finish(&b);
}

static enum err open_bytes(const void *bytes, size_t size, struct err_info *info)
{
	/* A heap block of exactly this size: a read beyond it is seen by the sanitizer. */
	void *copy = malloc(size ? size : 1);
	struct safetensors s;

	assert_non_null(copy);
	if (size)
		memcpy(copy, bytes, size);
	const enum err code = safetensors_open(&s, copy, size, "test.safetensors", info);
	if (!code)
		safetensors_close(&s);
	free(copy);
	return code;
}

static void gives_back_what_was_written(void **state)
{
	struct buf file = make_file();
	struct err_info info = {0};
	struct safetensors s;

	(void)state;
	assert_int_equal(
		safetensors_open(&s, file.data, file.size, "test.safetensors", &info), ERR_NONE);
	assert_int_equal(s.tensors.count, 4);
	const struct stored_tensor *t = stored_table_find(&s.tensors, "b.weight");
	assert_non_null(t);
	assert_int_equal(t->dim_count, 2);
	assert_int_equal(t->dims[0], 2);
	assert_int_equal(t->dims[1], 4);
	assert_memory_equal(t->data, EIGHT, sizeof(EIGHT));
	t = stored_table_find(&s.tensors, "a.scalar");
	assert_int_equal(t->dim_count, 0);
	assert_int_equal(t->size_bytes, 2);
	assert_int_equal(stored_table_find(&s.tensors, "a.none")->size_bytes, 0);
	assert_false(dtype_is_readable(stored_table_find(&s.tensors, "a.fp8")->dtype));
	assert_null(stored_table_find(&s.tensors, "__metadata__"));
	safetensors_close(&s);
	buf_free(&file);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct buf file = make_file();

	(void)state;
	for (size_t size = 0; size < file.size; size++) {
		struct err_info info = {0};

		assert_int_equal(open_bytes(file.data, size, &info), ERR_INPUT);
		assert_memory_equal(info.text, "test.safetensors: ", 18);
	}
	buf_free(&file);
}

static void a_byte_changed_anywhere_is_an_answer(void **state)
{
	static const uint8_t values[] = {0x00, '"', '0', '9', ',', '}', '[', 0x80, 0xFF};
	struct buf file = make_file();

	(void)state;
	for (size_t i = 0; i < file.size; i++) {
		const char kept = file.data[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			struct err_info info = {0};

			file.data[i] = (char)values[v];
			const enum err code = open_bytes(file.data, file.size, &info);
			assert_true(code == ERR_NONE || code == ERR_INPUT ||
				    code == ERR_UNSUPPORTED || code == ERR_LIMIT);
		}
		file.data[i] = kept;
	}
	buf_free(&file);
}

static void padding_after_the_header_and_an_empty_file_of_tensors_are_fine(void **state)
{
	struct err_info info = {0};
	struct buf file = safetensors_join("{}      ", 8, NULL, 0);

	(void)state;
	assert_int_equal(open_bytes(file.data, file.size, &info), ERR_NONE);
	buf_free(&file);
}

/* A header over 32 bytes of data. */
static void headers_that_are_broken_are_refused(void **state)
{
	static const struct {
		const char *header;
		enum err wanted;
		const char *part;
	} cases[] = {
		{"[]", ERR_INPUT, "begin with a brace"},
		{" {}", ERR_INPUT, "begin with a brace"},
		{"{", ERR_INPUT, "begin with a brace"},
		{"{} x", ERR_INPUT, "header"},
		{"{}", ERR_INPUT, "32 bytes at the end belong to no tensor"},
		{"{\"__metadata__\":[]}", ERR_INPUT, "__metadata__"},
		{"{\"a\":1}", ERR_INPUT, "tensor a: no dtype"},
		{"{\"\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]}}", ERR_INPUT,
			"name has 0 bytes"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8]}}", ERR_INPUT, "data_offsets"},
		{"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,32]}}", ERR_INPUT, "shape"},
		{"{\"a\":{\"dtype\":7,\"shape\":[8],\"data_offsets\":[0,32]}}", ERR_INPUT, "dtype"},
		{"{\"a\":{\"dtype\":\"Q9\",\"shape\":[8],\"data_offsets\":[0,32]}}",
			ERR_UNSUPPORTED, "type Q9"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":8,\"data_offsets\":[0,32]}}", ERR_INPUT,
			"shape"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[-8],\"data_offsets\":[0,32]}}", ERR_INPUT,
			"dimension"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8.0],\"data_offsets\":[0,32]}}", ERR_INPUT,
			"dimension"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,8],\"data_offsets\":[0,32]}"
		 "}",
			ERR_INPUT, "8 dimensions"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,8],\"data_offsets\":[0,"
		 "32]}}",
			ERR_INPUT, "overflow"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,32]"
		 "}}",
			ERR_INPUT, "overflow"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[7],\"data_offsets\":[0,32]}}", ERR_INPUT,
			"its shape says 28"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[32,0]}}", ERR_INPUT,
			"backwards"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32,64]}}", ERR_INPUT,
			"pair"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[-32,0]}}", ERR_INPUT,
			"backwards"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[1,33]}}", ERR_INPUT,
			"beyond the end"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,9223372036854775807]}"
		 "}",
			ERR_INPUT, "beyond the end"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,32]}}", ERR_INPUT,
			"a hole before it"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", ERR_INPUT,
			"16 bytes at the end"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]},"
		 "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,32]}}",
			ERR_INPUT, "overlaps"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]},"
		 "\"b\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]}}",
			ERR_INPUT, "overlaps"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]},"
		 "\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]}}",
			ERR_INPUT, "duplicate"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[[[8]]],\"data_offsets\":[0,32]}}", ERR_LIMIT,
			"nested"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf file = safetensors_join(
			cases[i].header, strlen(cases[i].header), EIGHT, sizeof(EIGHT));
		struct err_info info = {0};

		assert_int_equal(open_bytes(file.data, file.size, &info), cases[i].wanted);
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
		buf_free(&file);
	}
}

static void a_header_longer_than_the_file_or_the_format_allows_is_refused(void **state)
{
	static const uint64_t sizes[] = {3, 100000000, 100000001, UINT64_MAX};
	struct buf file = safetensors_join("{}", 2, NULL, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct err_info info = {0};

		memcpy(file.data, &sizes[i], sizeof(sizes[i]));
		assert_int_equal(open_bytes(file.data, file.size, &info), ERR_INPUT);
	}
	buf_free(&file);
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
	struct buf file = make_file();
	enum err code = ERR_MEMORY;
	int64_t n = 1;

	(void)state;
	for (; code == ERR_MEMORY; n++) {
		struct err_info info = {0};

		mem_fail_after(n, 0);
		code = open_bytes(file.data, file.size, &info);
		mem_fail_after(0, 0);
	}
	assert_int_equal(code, ERR_NONE);
	assert_true(n > 10);
	buf_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_was_written),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(a_byte_changed_anywhere_is_an_answer),
		cmocka_unit_test(padding_after_the_header_and_an_empty_file_of_tensors_are_fine),
		cmocka_unit_test(headers_that_are_broken_are_refused),
		cmocka_unit_test(a_header_longer_than_the_file_or_the_format_allows_is_refused),
		cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
