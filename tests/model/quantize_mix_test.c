/* tests/model/quantize_mix_test.c - every tensor gets the type that llama.cpp gives it. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "model/quantize/quantize_mix.h"
#include "test_data.h"

enum { TENSORS_MAX = 1024, NAME_MAX_BYTES = 64 };

static char names[TENSORS_MAX][NAME_MAX_BYTES];
static struct mix_tensor tensors[TENSORS_MAX];
static size_t tensor_count;

static void add_tensor(const char *name, const json_t *shape)
{
	struct mix_tensor *t = &tensors[tensor_count];

	assert_true(tensor_count < TENSORS_MAX);
	snprintf(names[tensor_count], NAME_MAX_BYTES, "%s", name);
	*t = (struct mix_tensor){
		.name = names[tensor_count],
		.name_size = (uint32_t)strlen(names[tensor_count]),
		.dim_count = (uint32_t)json_array_size(shape),
		.stored = dtype_of_chip(CHIP_F32),
	};
	for (uint32_t i = 0; i < t->dim_count; i++)
		t->dims[i] = (uint64_t)json_integer_value(json_array_get(shape, i));
	tensor_count++;
}

static void fill_tensors(json_t *list)
{
	const char *name;
	json_t *entry;

	tensor_count = 0;
	json_object_foreach(list, name, entry)
	{
		const json_t *shape = json_object_get(entry, "shape");
		const json_t *blocks = json_object_get(entry, "blocks");
		char full[NAME_MAX_BYTES];

		for (size_t i = 0; i < json_array_size(blocks); i++) {
			snprintf(full, sizeof(full), "blk.%d.%s",
				(int)json_integer_value(json_array_get(blocks, i)), name);
			add_tensor(full, shape);
		}
		if (json_array_size(blocks) == 0)
			add_tensor(name, shape);
	}
	qsort(tensors, tensor_count, sizeof(tensors[0]), quantize_mix_compare);
}

static int number(const json_t *object, const char *key)
{
	return (int)json_integer_value(json_object_get(object, key));
}

static struct mix_model model_of(const json_t *m)
{
	const char *arch = json_string_value(json_object_get(m, "arch"));

	return (struct mix_model){
		.layers = (uint32_t)number(m, "layers"),
		.heads_per_kv = (uint32_t)(number(m, "heads") / number(m, "kv")),
		.experts = (uint32_t)number(m, "experts"),
		.tied = json_is_true(json_object_get(m, "tied")),
		.wide_values = strcmp(arch, "llama") == 0 && number(m, "layers") == 80,
	};
}

/* The type that the JSON has for a tensor, or that of the mix. */
static const char *expected_type(const json_t *mix, const struct mix_tensor *t, const char *own)
{
	int block = -1, skip = 0;

	(void)sscanf(t->name, "blk.%d.%n", &block, &skip);
	json_t *types = json_object_get(mix, t->name + (block < 0 ? 0 : skip)), *blocks;
	const char *type;

	json_object_foreach(types, type, blocks)
	{
		for (size_t i = 0; i < json_array_size(blocks); i++) {
			const json_t *at = json_array_get(blocks, i);

			if (block < 0 || json_integer_value(at) == block)
				return type;
		}
	}
	return own;
}

static void compare(const char *case_name, const char *mix_name, const json_t *expected,
	const struct mix_model *model)
{
	const struct quantize_mix *mix = quantize_mix_find(mix_name);

	assert_non_null(mix);
	quantize_mix_choose(mix, model, tensors, tensor_count);
	for (size_t i = 0; i < tensor_count; i++) {
		const char *wanted = expected_type(
			expected, &tensors[i], dtype_of_chip(mix->type)->name);

		if (strcmp(tensors[i].chosen->name, wanted) != 0)
			fail_msg("%s, %s: %s is %s, not %s", case_name, mix_name, tensors[i].name,
				tensors[i].chosen->name, wanted);
	}
}

static void every_tensor_gets_the_type_that_llama_cpp_gives_it(void **state)
{
	json_t *root = test_read_json("data/quantize_mixes.json"), *entry, *expected;
	const char *case_name, *mix_name;

	(void)state;
	json_object_foreach(json_object_get(root, "cases"), case_name, entry)
	{
		const struct mix_model model = model_of(json_object_get(entry, "model"));

		fill_tensors(json_object_get(entry, "tensors"));
		json_object_foreach(json_object_get(entry, "mixes"), mix_name, expected)
			compare(case_name, mix_name, expected, &model);
	}
	json_decref(root);
}

static const char *chosen(const char *mix, const char *name, uint64_t rows, uint64_t columns,
	enum chip_type stored)
{
	const struct mix_model model = {.layers = 4, .heads_per_kv = 1, .tied = true};
	struct mix_tensor t = {.name = name, .name_size = (uint32_t)strlen(name), .dim_count = 2,
		.dims = {rows, columns}, .stored = dtype_of_chip(stored)};

	quantize_mix_choose(quantize_mix_find(mix), &model, &t, 1);
	return t.chosen->name;
}

static void rows_that_fill_no_blocks_stay_sixteen_bits(void **state)
{
	(void)state;
	assert_string_equal(chosen("q4_k", "blk.0.ffn_up.weight", 8, 320, CHIP_BF16), "Q5_0");
	assert_string_equal(chosen("q4_k", "blk.0.ffn_up.weight", 8, 40, CHIP_BF16), "F16");
	assert_string_equal(chosen("q8_0", "blk.0.ffn_up.weight", 8, 40, CHIP_BF16), "F16");
	assert_string_equal(chosen("q4_0", "token_embd.weight", 8, 40, CHIP_F32), "F16");
}

static void what_is_delicate_stays_as_it_is_stored(void **state)
{
	(void)state;
	assert_string_equal(chosen("q4_k", "blk.0.ffn_gate_inp.weight", 8, 256, CHIP_BF16), "BF16");
	assert_string_equal(chosen("f16", "blk.0.ffn_gate_inp.weight", 8, 256, CHIP_F32), "F32");
	assert_string_equal(chosen("q8_0", "blk.0.attn_norm.weight", 1, 256, CHIP_F32), "F32");
	assert_string_equal(chosen("q8_0", "blk.0.ssm_a", 8, 256, CHIP_F32), "F32");
}

static void a_dense_model_in_mxfp4_is_mxfp4(void **state)
{
	(void)state;
	assert_string_equal(chosen("mxfp4", "blk.0.attn_q.weight", 8, 256, CHIP_BF16), "MXFP4");
	assert_string_equal(chosen("mxfp4", "token_embd.weight", 8, 256, CHIP_BF16), "Q8_0");
}

static void mixes_are_found_by_every_spelling(void **state)
{
	char list[QUANTIZE_MIX_NAMES_BYTES];

	(void)state;
	assert_ptr_equal(quantize_mix_find("Q4_K_M"), quantize_mix_find("q4_k"));
	assert_ptr_equal(quantize_mix_find("q3_k_m"), quantize_mix_find("Q3_K"));
	assert_null(quantize_mix_find("q7_k"));
	assert_null(quantize_mix_find(""));
	assert_non_null(strstr(quantize_mix_names(list), "q5_1 q2_k q3_k q4_k"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tensor_gets_the_type_that_llama_cpp_gives_it),
		cmocka_unit_test(rows_that_fill_no_blocks_stay_sixteen_bits),
		cmocka_unit_test(what_is_delicate_stays_as_it_is_stored),
		cmocka_unit_test(a_dense_model_in_mxfp4_is_mxfp4),
		cmocka_unit_test(mixes_are_found_by_every_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
