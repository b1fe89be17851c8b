/* tests/model/config_quantized_test.c - what a quantization_config says is understood in the
 * spellings of its libraries; what could not be followed is refused by name. */
#include "unit.h"

#include <string.h>

#include "base/json.h"
#include "model/arch/config_quantized.h"

static enum err read_config(struct model_quantization *q, const char *text, struct err_info *info)
{
	json_t *object = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(object);
	const enum err code = model_quantization_from_json(q, object, info);
	json_decref(object);
	return code;
}

struct expected {
	const char *text;
	const char *name;
	enum quantization_method method;
	uint32_t scheme_count;
	struct quantization_scheme first;
};

#define COMPRESSED(format, group) \
	"{\"quant_method\":\"compressed-tensors\",\"format\":\"" format "\"," \
	"\"config_groups\":{\"group_0\":" group "}}"

static void every_method_is_understood(void **state)
{
	static const struct expected cases[] = {
		{"{\"quant_method\":\"fp8\",\"fmt\":\"e4m3\",\"activation_scheme\":\"dynamic\","
		 "\"weight_block_size\":[128,128],\"modules_to_not_convert\":[\"lm_head\"]}",
			"fp8 e4m3 block 128x128", QUANTIZATION_FP8, 1,
			{true, true, 8, 128, 128}},
		{"{\"quant_method\":\"fp8\"}", "fp8 e4m3 block 128x128", QUANTIZATION_FP8, 2,
			{true, true, 8, 128, 128}},
		{"{\"quant_method\":\"fp8\",\"weight_block_size\":null}", "fp8 e4m3",
			QUANTIZATION_FP8, 1, {true, true, 8, 0, 0}},
		{"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":64,\"desc_act\":true,"
		 "\"sym\":false}",
			"gptq int4 group 64", QUANTIZATION_GPTQ, 1, {false, false, 4, 64, 1}},
		{"{\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":-1,"
		 "\"checkpoint_format\":\"gptq_v2\"}",
			"gptq int8", QUANTIZATION_GPTQ, 1, {false, true, 8, 0, 1}},
		{"{\"quant_method\":\"gptq\",\"bits\":4,\"dynamic\":{\"-:a\":{},\"+:b\":"
		 "{\"bits\":8},\"c\":{\"group_size\":32}}}",
			"gptq int4 group 128", QUANTIZATION_GPTQ, 3, {false, true, 4, 128, 1}},
		{"{\"quant_method\":\"awq\",\"w_bit\":4,\"q_group_size\":64,\"version\":\"GEMM\"}",
			"awq int4 group 64", QUANTIZATION_AWQ, 1, {false, false, 4, 64, 1}},
		{COMPRESSED("pack-quantized",
			 "{\"weights\":{\"num_bits\":4,\"type\":\"int\",\"symmetric\":false,"
			 "\"strategy\":\"group\",\"group_size\":32},\"input_activations\":null}"),
			"compressed-tensors int4 group 32", QUANTIZATION_COMPRESSED, 1,
			{false, false, 4, 32, 1}},
		{COMPRESSED("pack-quantized",
			 "{\"weights\":{\"num_bits\":8,\"group_size\":-1}}"),
			"compressed-tensors int8", QUANTIZATION_COMPRESSED, 1,
			{false, true, 8, 0, 1}},
		{COMPRESSED("float-quantized",
			 "{\"weights\":{\"num_bits\":8,\"type\":\"float\",\"strategy\":\"block\","
			 "\"block_structure\":[128,64]},\"input_activations\":{\"type\":\"float\"}}"),
			"compressed-tensors e4m3 block 128x64", QUANTIZATION_COMPRESSED, 1,
			{true, true, 8, 64, 128}},
		{COMPRESSED("mixed-precision",
			 "{\"format\":\"naive-quantized\",\"weights\":{\"type\":\"float\"}}"),
			"compressed-tensors e4m3", QUANTIZATION_COMPRESSED, 1,
			{true, true, 8, 0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct expected *e = &cases[i];
		char name[QUANTIZATION_NAME_MAX];
		struct model_quantization q;
		struct err_info info = {0};

		if (read_config(&q, e->text, &info))
			fail_msg("%s: %s", e->text, info.text);
		model_quantization_format(name, &q);
		assert_string_equal(name, e->name);
		assert_int_equal(q.method, e->method);
		assert_int_equal(q.scheme_count, e->scheme_count);
		assert_int_equal(q.schemes[0].is_float, e->first.is_float);
		assert_int_equal(q.schemes[0].symmetric, e->first.symmetric);
		assert_int_equal(q.schemes[0].bits, e->first.bits);
		assert_int_equal(q.schemes[0].group, e->first.group);
		assert_int_equal(q.schemes[0].group_rows, e->first.group_rows);
	}
}

static void gptq_says_whether_zero_points_are_stored_less_one(void **state)
{
	struct model_quantization q;
	struct err_info info = {0};

	(void)state;
	assert_int_equal(read_config(&q, "{\"quant_method\":\"gptq\",\"bits\":4}", &info), 0);
	assert_true(q.zeros_less_one);
	assert_int_equal(read_config(&q,
				 "{\"quant_method\":\"gptq\",\"bits\":4,\"checkpoint_format\":"
				 "\"gptq_v2\"}",
				 &info),
		0);
	assert_false(q.zeros_less_one);
}

static void what_cannot_be_followed_is_refused_by_name(void **state)
{
	static const struct {
		const char *text;
		const char *reason;
	} cases[] = {
		{"[]", "quantization_config: not an object"},
		{"{}", "quant_method is missing"},
		{"{\"quant_method\":7}", "quant_method"},
		{"{\"quant_method\":\"bitsandbytes\"}", "quant_method bitsandbytes"},
		{"{\"quant_method\":\"fp8\",\"fmt\":\"e5m2\"}", "fmt e5m2"},
		{"{\"quant_method\":\"fp8\",\"expert_dtype\":\"fp4\"}", "expert_dtype fp4"},
		{"{\"quant_method\":\"fp8\",\"weight_block_size\":[128]}", "weight_block_size is not"},
		{"{\"quant_method\":\"fp8\",\"weight_block_size\":[128,0]}",
			"weight_block_size is not"},
		{"{\"quant_method\":\"fp8\",\"weight_block_size\":[128,1e9]}",
			"weight_block_size is not"},
		{"{\"quant_method\":\"gptq\",\"bits\":3}", "bits 3 is not supported, only 4 and 8"},
		{"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0}", "group_size is 0"},
		{"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":-2}", "group_size"},
		{"{\"quant_method\":\"gptq\",\"checkpoint_format\":\"marlin\"}",
			"checkpoint_format marlin"},
		{"{\"quant_method\":\"gptq\",\"is_marlin_format\":true}", "is_marlin_format"},
		{"{\"quant_method\":\"gptq\",\"pack_dtype\":\"int16\"}", "pack_dtype int16"},
		{"{\"quant_method\":\"gptq\",\"rotation\":\"hadamard\"}", "rotation"},
		{"{\"quant_method\":\"gptq\",\"dynamic\":{\"a\":{\"bits\":2}}}",
			"dynamic: a: bits 2"},
		{"{\"quant_method\":\"gptq\",\"dynamic\":{\"a\":2}}", "a is not an object"},
		{"{\"quant_method\":\"awq\",\"version\":\"gemv\"}", "version gemv"},
		{"{\"quant_method\":\"awq\",\"bits\":8}", "bits 8 is not supported, only 4"},
		{"{\"quant_method\":\"compressed-tensors\"}", "config_groups says nothing"},
		{"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{}}}",
			"config_groups says nothing"},
		{"{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"W4A16\":[]}}",
			"W4A16: not an object"},
		{"{\"quant_method\":\"compressed-tensors\",\"sparsity_config\":{\"format\":"
		 "\"sparse-24-bitmask\"}}",
			"format sparse-24-bitmask"},
		{"{\"quant_method\":\"compressed-tensors\",\"transform_config\":{\"a\":1}}",
			"transform_config"},
		{COMPRESSED("int-quantized", "{\"weights\":{\"num_bits\":8}}"),
			"format of whole numbers int-quantized"},
		{COMPRESSED("nvfp4-pack-quantized",
			 "{\"weights\":{\"num_bits\":4,\"type\":\"float\"}}"),
			"format of floats nvfp4-pack-quantized"},
		{COMPRESSED("pack-quantized",
			 "{\"weights\":{\"num_bits\":4,\"group_size\":32},"
			 "\"input_activations\":{\"num_bits\":8}}"),
			"input_activations of type int"},
		{COMPRESSED("pack-quantized", "{\"weights\":{\"num_bits\":3}}"), "num_bits 3"},
		{COMPRESSED("pack-quantized",
			 "{\"weights\":{\"num_bits\":4,\"strategy\":\"group\"}}"),
			"group without a group_size"},
		{COMPRESSED("pack-quantized",
			 "{\"weights\":{\"num_bits\":4,\"strategy\":\"tensor\"}}"),
			"strategy of whole numbers tensor"},
		{COMPRESSED("float-quantized",
			 "{\"weights\":{\"type\":\"float\",\"strategy\":\"block\"}}"),
			"block_structure is not"},
		{COMPRESSED("float-quantized",
			 "{\"weights\":{\"type\":\"float\",\"strategy\":\"token\"}}"),
			"strategy token"},
		{COMPRESSED("float-quantized",
			 "{\"weights\":{\"type\":\"float\",\"symmetric\":false}}"),
			"not symmetric"},
		{COMPRESSED("float-quantized", "{\"weights\":{\"type\":\"log\"}}"), "type log"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model_quantization q;
		struct err_info info = {0};

		if (!read_config(&q, cases[i].text, &info))
			fail_msg("read: %s", cases[i].text);
		if (!strstr(info.text, cases[i].reason))
			fail_msg("%s: \"%s\" is not in \"%s\"", cases[i].text, cases[i].reason,
				info.text);
	}
}

/* So many modules, each with a group size of its own, or all with the same. */
static enum err read_dynamic(struct model_quantization *q, int count, int step)
{
	struct err_info info = {0};
	json_t *object = json_object(), *dynamic = json_object();

	for (int i = 0; i < count; i++) {
		char pattern[16];

		snprintf(pattern, sizeof(pattern), "p%d", i);
		json_object_set_new(
			dynamic, pattern, json_pack("{s:i}", "group_size", 4 + i * step));
	}
	json_object_set_new(object, "quant_method", json_string("gptq"));
	json_object_set_new(object, "dynamic", dynamic);
	const enum err code = model_quantization_from_json(q, object, &info);

	json_decref(object);
	return code;
}

static void schemes_are_limited_in_number_but_may_be_repeated(void **state)
{
	struct model_quantization q;

	(void)state;
	assert_int_equal(read_dynamic(&q, QUANTIZATION_SCHEMES_MAX - 1, 8), ERR_NONE);
	assert_int_equal(read_dynamic(&q, QUANTIZATION_SCHEMES_MAX, 8), ERR_LIMIT);
	assert_int_equal(read_dynamic(&q, 1000, 0), ERR_NONE);
	assert_int_equal(q.scheme_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_is_understood),
		cmocka_unit_test(gptq_says_whether_zero_points_are_stored_less_one),
		cmocka_unit_test(what_cannot_be_followed_is_refused_by_name),
		cmocka_unit_test(schemes_are_limited_in_number_but_may_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
