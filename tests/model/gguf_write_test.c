/* tests/model/gguf_write_test.c - what is written is what a reader finds, or nothing is there. */
#include "scratch.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/files/gguf_write.h"

static const char *out_path(void)
{
	return scratch_path("out.gguf");
}

static const uint64_t MATRIX_DIMS[] = {3, 64}, CUBE_DIMS[] = {2, 3, 32};
static const uint8_t MATRIX[3 * 68] = {1, 2, 3}, CUBE[6 * 64] = {4, 5};

static void put_all(struct gguf_writer *w)
{
	static const int32_t numbers[] = {11, 11, 10, 0};

	gguf_write_text(w, "general.architecture", "qwen3");
	gguf_write_u32(w, "a.u32", 4000000000U);
	gguf_write_i32(w, "a.i32", -7);
	gguf_write_f32(w, "a.f32", 0.5F);
	gguf_write_bool(w, "a.bool", true);
	gguf_write_i32s(w, "a.numbers", numbers, 4);
	gguf_write_strings(w, "a.names", 2);
	gguf_write_item(w, "x", 1);
	gguf_write_item(w, "", 0);
	gguf_write_tensor(w, "matrix", 6, MATRIX_DIMS, 2, dtype_of_chip(CHIP_Q8_0));
	gguf_write_tensor(w, "cube", 4, CUBE_DIMS, 3, dtype_of_chip(CHIP_F16));
}

static enum err write_data(struct gguf_writer *w, struct err_info *info)
{
	if (gguf_writer_data(w, MATRIX, 68, info) ||
		gguf_writer_data(w, MATRIX + 68, 2 * 68, info) ||
		gguf_writer_data(w, CUBE, sizeof(CUBE), info))
		return info->code;
	return gguf_writer_commit(w, info);
}

static enum err write_all(struct err_info *info)
{
	struct gguf_writer w;
	enum err code;

	gguf_writer_init(&w);
	put_all(&w);
	if (!(code = gguf_writer_open(&w, out_path(), info)))
		code = write_data(&w, info);
	gguf_writer_close(&w);
	return code;
}

static void what_was_put_is_read_back(void **state)
{
	struct err_info info = {0};
	struct file_map map;
	struct gguf g = {0};
	struct gguf_walk walk;
	struct gguf_string text;
	struct gguf_ints ints;
	int64_t number = 0;
	double real = 0;
	bool flag = false;

	(void)state;
	assert_int_equal(write_all(&info), ERR_NONE);
	assert_int_equal(file_map_open(&map, out_path(), &info), ERR_NONE);
	assert_int_equal(gguf_open(&g, map.data, map.size, "out", &info), ERR_NONE);
	assert_int_equal(gguf_get_int(&g, "a.u32", 0, UINT32_MAX, &number, &info), ERR_NONE);
	assert_true(number == 4000000000);
	assert_int_equal(gguf_get_int(&g, "a.i32", -10, 0, &number, &info), ERR_NONE);
	assert_int_equal(number, -7);
	assert_int_equal(gguf_get_double(&g, "a.f32", 0, 1, &real, &info), ERR_NONE);
	assert_true(real == 0.5);
	assert_int_equal(gguf_get_bool(&g, "a.bool", &flag, &info), ERR_NONE);
	assert_true(flag);
	assert_int_equal(gguf_get_ints(&g, "a.numbers", &ints, &info), ERR_NONE);
	assert_true(ints.count == 4 && gguf_int_at(&ints, 2) == 10);
	assert_int_equal(gguf_walk_strings(&g, "a.names", &walk, &info), ERR_NONE);
	assert_true(gguf_walk_next(&walk, &text) && text.size == 1 && text.data[0] == 'x');
	assert_true(gguf_walk_next(&walk, &text) && text.size == 0);
	const struct stored_tensor *matrix = stored_table_find(&g.tensors, "matrix");
	const struct stored_tensor *cube = stored_table_find(&g.tensors, "cube");
	assert_true(matrix && matrix->dims[0] == 3 && matrix->dims[1] == 64);
	assert_true(matrix->size_bytes == sizeof(MATRIX) && matrix->dtype->chip_type == CHIP_Q8_0);
	assert_memory_equal(matrix->data, MATRIX, sizeof(MATRIX));
	assert_true(cube && cube->dim_count == 3 && cube->dims[0] == 2 && cube->dims[2] == 32);
	assert_memory_equal(cube->data, CUBE, sizeof(CUBE));
	assert_true((size_t)(cube->data - map.data) % GGUF_WRITE_ALIGNMENT == 0);
	gguf_close(&g);
	file_map_close(&map);
}

/* Keys of every type, nested arrays too, by way of a reader. */
static void keys_of_another_file_are_carried_over_byte_for_byte(void **state)
{
	struct err_info info = {0};
	struct file_map map;
	struct gguf g = {0};
	struct gguf_writer w;

	(void)state;
	assert_int_equal(write_all(&info), ERR_NONE);
	assert_int_equal(file_map_open(&map, out_path(), &info), ERR_NONE);
	assert_int_equal(gguf_open(&g, map.data, map.size, "out", &info), ERR_NONE);
	gguf_writer_init(&w);
	put_all(&w);
	struct gguf_writer again;
	gguf_writer_init(&again);
	for (uint32_t i = 0; i < g.key_count; i++)
		gguf_write_key(&again, &g.keys[i]);
	assert_int_equal(again.key_count, w.key_count);
	assert_int_equal(again.meta.size, w.meta.size);
	gguf_writer_close(&again);
	gguf_writer_close(&w);
	gguf_close(&g);
	file_map_close(&map);
}

static void a_write_that_fails_anywhere_leaves_nothing(void **state)
{
	(void)state;
	(void)remove(out_path());
	const size_t entries = scratch_entries();
	int64_t n;

	for (n = 1; n < 100; n++) {
		struct err_info info = {0};

		file_fail_after(n, 0);
		const enum err code = write_all(&info);
		file_fail_after(0, 0);
		if (!code)
			break;
		assert_int_equal(code, ERR_IO);
		assert_non_null(strstr(info.text, "out.gguf"));
		(void)remove(out_path()); /* whole, but its directory could not be synced */
		assert_int_equal(scratch_entries(), entries);
	}
	assert_true(n > 10 && n < 100);
	for (n = 1; n < 100; n++) {
		struct err_info info = {0};

		(void)remove(out_path());
		mem_fail_after(n, 0);
		const enum err code = write_all(&info);
		mem_fail_after(0, 0);
		if (!code)
			break;
		assert_int_equal(code, ERR_MEMORY);
		assert_int_equal(scratch_entries(), entries);
	}
	assert_true(n > 2 && n < 100);
}

static void what_is_larger_than_its_disk_is_refused_before_it_is_begun(void **state)
{
	const uint64_t dims[] = {(uint64_t)1 << 40, (uint64_t)1 << 16};
	struct err_info info = {0};
	struct gguf_writer w;

	(void)state;
	(void)remove(out_path());
	const size_t entries = scratch_entries();
	gguf_writer_init(&w);
	gguf_write_tensor(&w, "huge", 4, dims, 2, dtype_of_chip(CHIP_F32));
	assert_int_equal(gguf_writer_open(&w, out_path(), &info), ERR_LIMIT);
	assert_non_null(strstr(info.text, "left"));
	gguf_writer_close(&w);
	assert_int_equal(scratch_entries(), entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_read_back),
		cmocka_unit_test(keys_of_another_file_are_carried_over_byte_for_byte),
		cmocka_unit_test(a_write_that_fails_anywhere_leaves_nothing),
		cmocka_unit_test(what_is_larger_than_its_disk_is_refused_before_it_is_begun),
	};

	return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
