/* tests/model/gguf_test.c - what is in a GGUF file is read, and what cannot be is refused with a
 * place. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/gguf_builder.h"

#define TYPE_F32 0
#define TYPE_Q8_0 8

static const uint64_t DIMS_4X2[] = {4, 2};
static const float EIGHT[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* One of each kind of value, and two tensors. */
static struct buf make_file(void)
{
	static const char *const words[] = {"red", "", "green"};
	static const int32_t numbers[] = {-1, 0, 7};
	static const uint8_t block[34] = {0, 0x3C, 1, 2, 3};
	struct gguf_builder b;

	gguf_builder_init(&b);
	gguf_add_string(&b, "general.architecture", "qwen3");
	gguf_add_u32(&b, "a.count", 28);
	gguf_add_f32(&b, "a.eps", 0.5F);
	buf_add_char(gguf_add_key(&b, "a.yes", GGUF_BOOL), 1);
	buf_add_char(gguf_add_key(&b, "a.small", GGUF_I8), (char)-5);
	gguf_put_u64(gguf_add_key(&b, "a.big", GGUF_U64), UINT64_MAX);
	gguf_add_strings(&b, "a.words", 3, words);
	gguf_add_i32s(&b, "a.numbers", 3, numbers);
	gguf_add_tensor(&b, "second", TYPE_F32, 2, DIMS_4X2, EIGHT, sizeof(EIGHT));
	gguf_add_tensor(&b, "first", TYPE_Q8_0, 1, (uint64_t[]){32}, block, sizeof(block));
	return gguf_builder_finish(&b);
}

static enum err open_bytes(const void *bytes, size_t size, struct err_info *info)
{
	/* A heap block of exactly this size: a read beyond it is seen by the sanitizer. */
	void *copy = malloc(size ? size : 1);
	struct gguf g;

	assert_non_null(copy);
	if (size)
		memcpy(copy, bytes, size);
	const enum err code = gguf_open(&g, copy, size, "test.gguf", info);
	if (!code)
		gguf_close(&g);
	free(copy);
	return code;
}

static void gives_back_what_was_written(void **state)
{
	struct buf file = make_file();
	struct err_info info = {0};
	struct gguf_string text = {0};
	struct gguf_walk walk;
	struct gguf_ints ints;
	struct gguf g;
	int64_t number = 0;
	double real = 0;
	bool flag = false;

	(void)state;
	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
	assert_int_equal(gguf_get_string(&g, "general.architecture", &text, &info), ERR_NONE);
	assert_int_equal(text.size, 5);
	assert_memory_equal(text.data, "qwen3", 5);
	assert_int_equal(gguf_get_int(&g, "a.count", 0, 100, &number, &info), ERR_NONE);
	assert_int_equal(number, 28);
	assert_int_equal(gguf_get_int(&g, "a.small", -128, 127, &number, &info), ERR_NONE);
	assert_int_equal(number, -5);
	assert_int_equal(gguf_get_double(&g, "a.eps", 0, 1, &real, &info), ERR_NONE);
	assert_true(real == 0.5);
	assert_int_equal(gguf_get_bool(&g, "a.yes", &flag, &info), ERR_NONE);
	assert_true(flag);
	assert_int_equal(gguf_walk_strings(&g, "a.words", &walk, &info), ERR_NONE);
	assert_true(
		gguf_walk_next(&walk, &text) && text.size == 3 && memcmp(text.data, "red", 3) == 0);
	assert_true(gguf_walk_next(&walk, &text) && text.size == 0);
	assert_true(gguf_walk_next(&walk, &text) && text.size == 5);
	assert_false(gguf_walk_next(&walk, &text));
	assert_int_equal(gguf_get_ints(&g, "a.numbers", &ints, &info), ERR_NONE);
	assert_int_equal(ints.count, 3);
	assert_int_equal(gguf_int_at(&ints, 0), -1);
	assert_int_equal(gguf_int_at(&ints, 2), 7);
	gguf_close(&g);
	buf_free(&file);
}

/* Written in place, that is: it is mapped. */
static void a_walk_stays_in_an_array_that_is_written_meanwhile(void **state)
{
	static const uint64_t lies[] = {4, 14, UINT64_MAX, UINT64_MAX - 7};
	struct err_info info = {0};
	struct gguf_string text;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct buf file = make_file();
		struct gguf_walk walk;
		struct gguf g;

		assert_int_equal(gguf_open(&g, file.data, file.size, "t", &info), ERR_NONE);
		assert_int_equal(gguf_walk_strings(&g, "a.words", &walk, &info), ERR_NONE);
		const uint8_t *end = walk.end;

		memcpy(file.data + (walk.at - (const uint8_t *)file.data), &lies[i], 8);
		while (gguf_walk_next(&walk, &text))
			assert_true((const uint8_t *)text.data + text.size <= end);
		assert_true(walk.at <= end);
		gguf_close(&g);
		buf_free(&file);
	}
}

static void tensors_are_row_major_and_point_into_the_file(void **state)
{
	struct buf file = make_file();
	struct err_info info = {0};
	struct gguf g;

	(void)state;
	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
	const struct stored_tensor *t = stored_table_find(&g.tensors, "second");
	assert_non_null(t);
	assert_int_equal(t->dim_count, 2);
	assert_int_equal(t->dims[0], 2);
	assert_int_equal(t->dims[1], 4);
	assert_int_equal(t->size_bytes, sizeof(EIGHT));
	assert_memory_equal(t->data, EIGHT, sizeof(EIGHT));
	assert_int_equal(stored_table_find(&g.tensors, "first")->size_bytes, 34);
	assert_null(stored_table_find(&g.tensors, "firs"));
	assert_null(stored_table_find(&g.tensors, "third"));
	gguf_close(&g);
	buf_free(&file);
}

static void an_absent_key_leaves_the_default_and_a_wrong_one_is_an_error(void **state)
{
	struct buf file = make_file();
	struct err_info info = {0};
	struct gguf_walk walk;
	struct gguf_ints ints;
	struct gguf_string text;
	struct gguf g;
	int64_t number = 41;
	double real = 41;
	bool flag;

	(void)state;
	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
	assert_int_equal(gguf_get_int(&g, "no.such", 0, 1, &number, &info), ERR_NONE);
	assert_int_equal(number, 41);
	assert_int_equal(gguf_get_int(&g, "a.count", 0, 27, &number, &info), ERR_INPUT);
	assert_string_equal(info.text, "test.gguf: a.count is 28, not in 0 to 27");
	assert_int_equal(gguf_get_int(&g, "a.eps", 0, 27, &number, &info), ERR_INPUT);
	assert_int_equal(gguf_get_int(&g, "a.big", 0, INT64_MAX, &number, &info), ERR_INPUT);
	assert_int_equal(gguf_get_double(&g, "a.eps", 0, 0.25, &real, &info), ERR_INPUT);
	assert_int_equal(gguf_get_double(&g, "a.yes", 0, 1, &real, &info), ERR_INPUT);
	assert_int_equal(gguf_get_bool(&g, "a.count", &flag, &info), ERR_INPUT);
	assert_int_equal(gguf_get_string(&g, "a.words", &text, &info), ERR_INPUT);
	assert_int_equal(gguf_walk_strings(&g, "a.numbers", &walk, &info), ERR_INPUT);
	assert_int_equal(gguf_get_ints(&g, "a.words", &ints, &info), ERR_INPUT);
	assert_true(number == 41 && real == 41);
	gguf_close(&g);
	buf_free(&file);
}

static void not_a_number_is_in_no_range(void **state)
{
	struct gguf_builder b;
	struct err_info info = {0};
	struct gguf g;
	double real = 41;

	(void)state;
	gguf_builder_init(&b);
	gguf_add_f32(&b, "a.eps", NAN);
	struct buf file = gguf_builder_finish(&b);
	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", &info), ERR_NONE);
	assert_int_equal(gguf_get_double(&g, "a.eps", -1e300, 1e300, &real, &info), ERR_INPUT);
	assert_true(real == 41);
	gguf_close(&g);
	buf_free(&file);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct buf file = make_file();

	(void)state;
	for (size_t size = 0; size < file.size; size++) {
		struct err_info info = {0};

		assert_int_equal(open_bytes(file.data, size, &info), ERR_INPUT);
		assert_memory_equal(info.text, "test.gguf: ", 11);
	}
	buf_free(&file);
}

/* Every byte set to values that break lengths, counts and types: an answer, not a crash. */
static void a_byte_changed_anywhere_is_an_answer(void **state)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
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
			assert_true(code == ERR_NONE || strlen(info.text) > 11);
		}
		file.data[i] = kept;
	}
	buf_free(&file);
}

static void refuse(struct gguf_builder *b, enum err wanted, const char *part)
{
	struct buf file = gguf_builder_finish(b);
	struct err_info info = {0};

	assert_int_equal(open_bytes(file.data, file.size, &info), wanted);
	if (!strstr(info.text, part))
		fail_msg("\"%s\" does not say \"%s\"", info.text, part);
	buf_free(&file);
}

static void header_numbers_that_lie_are_refused_before_memory_is_taken(void **state)
{
	struct gguf_builder b;

	(void)state;
	gguf_builder_init(&b);
	b.key_count = UINT64_MAX;
	refuse(&b, ERR_LIMIT, "metadata keys");
	gguf_builder_init(&b);
	b.key_count = GGUF_KEYS_MAX;
	refuse(&b, ERR_INPUT, "do not fit the file");
	gguf_builder_init(&b);
	b.tensor_count = UINT64_MAX;
	refuse(&b, ERR_LIMIT, "tensors, at most");
	gguf_builder_init(&b);
	b.tensor_count = STORED_TENSORS_MAX;
	refuse(&b, ERR_INPUT, "do not fit the file");
}

static void versions_and_byte_orders_that_are_not_ours_are_named(void **state)
{
	struct buf file = make_file();
	struct err_info info = {0};

	(void)state;
	file.data[4] = 2;
	assert_int_equal(open_bytes(file.data, file.size, &info), ERR_UNSUPPORTED);
	assert_non_null(strstr(info.text, "version 2"));
	memcpy(file.data + 4, "\0\0\0\3", 4);
	assert_int_equal(open_bytes(file.data, file.size, &info), ERR_UNSUPPORTED);
	assert_non_null(strstr(info.text, "big endian"));
	file.data[0] = 'g';
	assert_int_equal(open_bytes(file.data, file.size, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "not a GGUF file"));
	buf_free(&file);
}

static void keys_that_are_broken_are_refused(void **state)
{
	struct gguf_builder b;
	struct buf *out;

	(void)state;
	gguf_builder_init(&b);
	gguf_add_u32(&b, "twice", 1);
	gguf_add_u32(&b, "twice", 2);
	refuse(&b, ERR_INPUT, "key twice is there twice");
	gguf_builder_init(&b);
	gguf_add_u32(&b, "", 1);
	refuse(&b, ERR_INPUT, "a key of 0 bytes");
	gguf_builder_init(&b);
	gguf_put_u32(gguf_add_key(&b, "type", (enum gguf_type)13), 1);
	refuse(&b, ERR_INPUT, "no such value type: 13");
	gguf_builder_init(&b);
	gguf_put_u64(gguf_add_key(&b, "long", GGUF_STRING), UINT64_MAX - 7);
	refuse(&b, ERR_INPUT, "the file ends inside a string");
	gguf_builder_init(&b);
	out = gguf_add_key(&b, "long", GGUF_ARRAY);
	gguf_put_u32(out, GGUF_F64);
	gguf_put_u64(out, UINT64_MAX / 8 + 2);
	refuse(&b, ERR_INPUT, "longer than the file");
	gguf_builder_init(&b);
	out = gguf_add_key(&b, "long", GGUF_ARRAY);
	gguf_put_u32(out, GGUF_STRING);
	gguf_put_u64(out, UINT64_MAX);
	refuse(&b, ERR_INPUT, "the file ends inside an array");
}

/* "levels" arrays in each other, the innermost empty. */
static void add_nested(struct gguf_builder *b, int levels)
{
	struct buf *out = gguf_add_key(b, "nested", GGUF_ARRAY);

	for (int i = 1; i < levels; i++) {
		gguf_put_u32(out, GGUF_ARRAY);
		gguf_put_u64(out, 1);
	}
	gguf_put_u32(out, GGUF_U8);
	gguf_put_u64(out, 0);
}

static void arrays_nest_up_to_the_limit(void **state)
{
	struct gguf_builder b;
	struct err_info info = {0};

	(void)state;
	gguf_builder_init(&b);
	add_nested(&b, GGUF_ARRAY_DEPTH_MAX);
	struct buf file = gguf_builder_finish(&b);
	assert_int_equal(open_bytes(file.data, file.size, &info), ERR_NONE);
	buf_free(&file);
	gguf_builder_init(&b);
	add_nested(&b, GGUF_ARRAY_DEPTH_MAX + 1);
	refuse(&b, ERR_INPUT, "nested deeper");
	gguf_builder_init(&b);
	add_nested(&b, 100000);
	refuse(&b, ERR_INPUT, "nested deeper");
}

static void shapes_that_are_broken_are_refused(void **state)
{
	static const struct {
		uint32_t type;
		uint32_t dim_count;
		uint64_t dims[5];
		enum err wanted;
		const char *part;
	} cases[] = {
		{TYPE_F32, 0, {0}, ERR_INPUT, "0 dimensions"},
		{TYPE_F32, 5, {1, 1, 1, 1, 1}, ERR_INPUT, "5 dimensions"},
		{TYPE_F32, 2, {4, 0}, ERR_INPUT, "is empty"},
		{TYPE_F32, 2, {UINT64_MAX, 2}, ERR_INPUT, "overflow"},
		{TYPE_F32, 4, {65536, 65536, 65536, 65536}, ERR_INPUT, "overflow"},
		{TYPE_F32, 1, {UINT64_MAX / 4 + 1}, ERR_INPUT, "overflow"},
		{TYPE_Q8_0, 2, {16, 2}, ERR_INPUT, "not a multiple of the 32 of Q8_0"},
		{5, 1, {32}, ERR_UNSUPPORTED, "unknown type 5; read are F32 F16 Q4_0"},
		{UINT32_MAX, 1, {32}, ERR_UNSUPPORTED, "unknown type"},
		{42, 1, {32}, ERR_UNSUPPORTED, "Q2_0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gguf_builder b;

		gguf_builder_init(&b);
		gguf_add_info(&b, "t", cases[i].type, cases[i].dim_count, cases[i].dims, 0);
		buf_add(&b.data, EIGHT, sizeof(EIGHT));
		refuse(&b, cases[i].wanted, cases[i].part);
	}
}

static void places_that_are_broken_are_refused(void **state)
{
	struct gguf_builder b;

	(void)state;
	gguf_builder_init(&b);
	gguf_add_tensor(&b, "a", TYPE_F32, 2, DIMS_4X2, EIGHT, sizeof(EIGHT));
	gguf_add_info(&b, "b", TYPE_F32, 2, DIMS_4X2, 0);
	refuse(&b, ERR_INPUT, "overlap");
	gguf_builder_init(&b);
	gguf_add_tensor(&b, "a", TYPE_F32, 2, DIMS_4X2, EIGHT, sizeof(EIGHT));
	gguf_add_tensor(&b, "a", TYPE_F32, 2, DIMS_4X2, EIGHT, sizeof(EIGHT));
	refuse(&b, ERR_INPUT, "tensor a is there twice");
	gguf_builder_init(&b);
	gguf_add_info(&b, "a", TYPE_F32, 2, DIMS_4X2, 4);
	buf_add(&b.data, EIGHT, sizeof(EIGHT));
	refuse(&b, ERR_INPUT, "not a multiple of 32");
	gguf_builder_init(&b);
	gguf_add_info(&b, "a", TYPE_F32, 2, DIMS_4X2, 32);
	buf_add(&b.data, EIGHT, sizeof(EIGHT));
	refuse(&b, ERR_INPUT, "beyond the end");
	gguf_builder_init(&b);
	gguf_add_info(&b, "a", TYPE_F32, 2, DIMS_4X2, UINT64_MAX - 31);
	buf_add(&b.data, EIGHT, sizeof(EIGHT));
	refuse(&b, ERR_INPUT, "beyond the end");
}

static void alignment_is_a_power_of_two_within_its_limit(void **state)
{
	static const uint32_t bad[] = {0, 1, 24, 48, GGUF_ALIGNMENT_MAX * 2, UINT32_MAX};
	struct gguf_builder b;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		gguf_builder_init(&b);
		gguf_add_u32(&b, "general.alignment", bad[i]);
		refuse(&b, ERR_INPUT, "general.alignment");
	}
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
	assert_true(n > 3);
	buf_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_was_written),
		cmocka_unit_test(a_walk_stays_in_an_array_that_is_written_meanwhile),
		cmocka_unit_test(tensors_are_row_major_and_point_into_the_file),
		cmocka_unit_test(an_absent_key_leaves_the_default_and_a_wrong_one_is_an_error),
		cmocka_unit_test(not_a_number_is_in_no_range),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(a_byte_changed_anywhere_is_an_answer),
		cmocka_unit_test(header_numbers_that_lie_are_refused_before_memory_is_taken),
		cmocka_unit_test(versions_and_byte_orders_that_are_not_ours_are_named),
		cmocka_unit_test(keys_that_are_broken_are_refused),
		cmocka_unit_test(arrays_nest_up_to_the_limit),
		cmocka_unit_test(shapes_that_are_broken_are_refused),
		cmocka_unit_test(places_that_are_broken_are_refused),
		cmocka_unit_test(alignment_is_a_power_of_two_within_its_limit),
		cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
