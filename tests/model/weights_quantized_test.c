/* tests/model/weights_quantized_test.c - a matrix of a quantized release has the values that its
 * format says, in whatever run of rows it is read; one whose tensors do not fit is refused. */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "base/math.h"
#include "base/prng.h"
#include "chip/format.h"
#include "model/quantized_builder.h"
#include "model/weights/weights.h"
#include "model/weights/weights_quantized.h"

#define SIDE QUANTIZED_SIDE

/* The model's config with a quantization_config; freed with json_decref. */
static json_t *config_with(const char *quantization)
{
	json_t *config = model_builder_parse(MODEL_BUILDER_QWEN3);

	if (quantization)
		json_object_set_new(config, "quantization_config", model_builder_parse(quantization));
	return config;
}

static enum err open_model(struct weights *w, const struct buf *file, const char *quantization,
	struct err_info *info)
{
	json_t *config = config_with(quantization);
	const struct model_config_texts texts = {.config = config};
	const enum err code = weights_open_texts(w, &texts, file->data, file->size, info);

	json_decref(config);
	return code;
}

/* Every row as floats, columns in the model's order, read count rows at a time. */
static void read_all(const struct chip_matrix *m, uint32_t count, float out[SIDE][SIDE])
{
	const size_t row_bytes = chip_row_bytes(m->type, m->group, m->columns);
	uint8_t rows[SIDE * 512];
	float row[SIDE];

	assert_true(m->rows == SIDE && m->columns == SIDE && row_bytes <= 512);
	for (uint32_t first = 0; first < SIDE; first += count) {
		const uint32_t take = first + count > SIDE ? SIDE - first : count;

		memset(rows, 0xa5, sizeof(rows));
		weights_read_rows(m, first, take, rows);
		assert_int_equal(rows[take * row_bytes], 0xa5);
		for (uint32_t i = 0; i < take; i++) {
			chip_row_to_f32(m->type, m->group, rows + i * row_bytes, SIDE, row);
			for (uint32_t c = 0; c < SIDE; c++)
				out[first + i][m->column_order ? m->column_order[c] : c] = row[c];
		}
	}
}

static void check_matrix(const struct buf *file, const char *quantization, enum chip_type type,
	float wanted[SIDE][SIDE])
{
	static const uint32_t runs[] = {1, 3, 8, 16, SIDE};
	struct err_info info = {0};
	float got[SIDE][SIDE];
	struct weights w;

	if (open_model(&w, file, quantization, &info))
		fail_msg("%s", info.text);
	const struct chip_matrix *m = weights_matrix(&w, WEIGHT_FFN_UP, 0);

	assert_int_equal(m->type, type);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		read_all(m, runs[i], got);
		assert_memory_equal(got, wanted, sizeof(got));
	}
	if (weights_read_faults(&w, &info))
		fail_msg("%s", info.text);
	weights_close(&w);
}

/* ---- whole numbers --------------------------------------------------------------------------- */

static struct quantized_ints make_ints(uint32_t bits, uint32_t group, bool symmetric)
{
	struct quantized_ints n = {.bits = bits, .group = group};
	struct prng p;

	prng_init(&p, bits * 1000 + group);
	for (uint32_t r = 0; r < SIDE; r++)
		for (uint32_t c = 0; c < SIDE; c++) {
			n.q[r][c] = (uint8_t)prng_below(&p, 1U << bits);
			n.zero[r][c] = (uint8_t)(symmetric ? 1U << (bits - 1)
							   : prng_below(&p, 1U << bits));
			n.scale[r][c] = (uint16_t)(0x2000 + prng_below(&p, 0x1000));
		}
	for (uint32_t c = 0; c < SIDE; c++)
		n.group_of[c] = c / group;
	return n;
}

static void values_of(const struct quantized_ints *n, bool bf16, float out[SIDE][SIDE])
{
	for (uint32_t r = 0; r < SIDE; r++)
		for (uint32_t c = 0; c < SIDE; c++) {
			const uint32_t g = n->group_of[c];
			const float scale = bf16 ? math_f32_from_bf16(n->scale[r][g])
						 : math_f32_from_f16(n->scale[r][g]);

			out[r][c] = scale * (float)((int)n->q[r][c] - (int)n->zero[r][g]);
		}
}

static void check_gptq(const struct quantized_ints *n, bool less_one, bool order,
	const char *quantization)
{
	struct quantized_builder b;
	float wanted[SIDE][SIDE];

	quantized_builder_init(&b);
	quantized_add_gptq(&b, n, less_one, order);
	values_of(n, false, wanted);
	struct buf file = quantized_builder_finish(&b);
	check_matrix(&file, quantization, n->bits == 4 ? CHIP_INT4 : CHIP_INT8, wanted);
	buf_free(&file);
}

static void gptq_is_read_in_both_widths_and_forms(void **state)
{
	const struct quantized_ints four = make_ints(4, 16, false), eight = make_ints(8, 8, false),
				    row = make_ints(8, SIDE, false);

	(void)state;
	check_gptq(&four, true, false,
		"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":false}");
	check_gptq(&four, false, true,
		"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":false,"
		"\"checkpoint_format\":\"gptq_v2\"}");
	check_gptq(&eight, true, true,
		"{\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":8,\"sym\":false}");
	check_gptq(&row, false, false,
		"{\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":-1,\"sym\":false,"
		"\"checkpoint_format\":\"gptq_v2\"}");
}

static void symmetric_gptq_has_its_zero_in_the_middle_stored_either_way(void **state)
{
	const struct quantized_ints n = make_ints(4, 16, true);

	(void)state;
	for (int less_one = 0; less_one < 2; less_one++)
		check_gptq(&n, less_one, false,
			"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":true,"
			"\"checkpoint_format\":\"gptq\"}");
}

static void gptq_with_columns_in_another_order_says_so(void **state)
{
	struct quantized_ints n = make_ints(4, 8, false);
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	for (uint32_t c = SIDE - 1; c > 0; c--) {
		const uint32_t other = (uint32_t)prng_below(&p, c + 1), kept = n.group_of[c];

		n.group_of[c] = n.group_of[other];
		n.group_of[other] = kept;
	}
	check_gptq(&n, true, true,
		"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":8,\"desc_act\":true,"
		"\"sym\":false}");
}

static void a_module_may_have_bits_of_its_own(void **state)
{
	const struct quantized_ints n = make_ints(8, 32, false);

	(void)state;
	check_gptq(&n, true, false,
		"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":false,\"dynamic\":"
		"{\"+:.*up_proj\":{\"bits\":8,\"group_size\":32},\"-:.*gate\":{}}}");
}

static void awq_is_read(void **state)
{
	const struct quantized_ints n = make_ints(4, 16, false);
	struct quantized_builder b;
	float wanted[SIDE][SIDE];

	(void)state;
	quantized_builder_init(&b);
	quantized_add_awq(&b, &n);
	values_of(&n, false, wanted);
	struct buf file = quantized_builder_finish(&b);
	check_matrix(&file,
		"{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":16,\"version\":\"GEMM\"}",
		CHIP_INT4, wanted);
	buf_free(&file);
}

static void check_packed(uint32_t bits, enum quantized_zeros zeros, const char *weights)
{
	struct quantized_ints n = make_ints(bits, 16, zeros == QUANTIZED_NO_ZEROS);
	struct quantized_builder b;
	float wanted[SIDE][SIDE];
	char config[512];

	quantized_builder_init(&b);
	quantized_add_packed(&b, &n, zeros);
	values_of(&n, true, wanted);
	struct buf file = quantized_builder_finish(&b);
	snprintf(config, sizeof(config),
		"{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
		"\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{%s}}}}",
		weights);
	check_matrix(&file, config, bits == 4 ? CHIP_INT4 : CHIP_INT8, wanted);
	buf_free(&file);
}

static void packed_numbers_are_read_with_and_without_zero_points(void **state)
{
	(void)state;
	check_packed(4, QUANTIZED_NO_ZEROS,
		"\"num_bits\":4,\"type\":\"int\",\"strategy\":\"group\",\"group_size\":16");
	check_packed(8, QUANTIZED_NO_ZEROS,
		"\"num_bits\":8,\"type\":\"int\",\"group_size\":16");
	check_packed(4, QUANTIZED_ZERO_WORDS,
		"\"num_bits\":4,\"type\":\"int\",\"group_size\":16,\"symmetric\":false");
	check_packed(4, QUANTIZED_ZERO_BYTES,
		"\"num_bits\":4,\"type\":\"int\",\"group_size\":16,\"symmetric\":false");
	check_packed(8, QUANTIZED_ZERO_BYTES,
		"\"num_bits\":8,\"type\":\"int\",\"group_size\":16,\"symmetric\":false");
}

/* ---- floats ---------------------------------------------------------------------------------- */

/* By the definition of E4M3 without infinities. */
static float e4m3(uint8_t code)
{
	const int exponent = code >> 3 & 15, mantissa = code & 7;
	const float size = exponent ? ldexpf((float)(8 + mantissa), exponent - 10)
				    : ldexpf((float)mantissa, -9);

	return code & 128 ? -size : size;
}

static uint8_t some_code(uint32_t r, uint32_t c)
{
	const uint8_t code = (uint8_t)(r * 7 + c * 31);

	return (code & 127) == 127 ? (uint8_t)(code - 1) : code;
}

struct float_case {
	const char *config;
	const char *suffix;
	const char *dtype;
	const char *shape;
	uint32_t block_rows, block_columns;
};

/* A scale of block i, exact in every type. */
static float some_scale(uint32_t i)
{
	return ldexpf(1.0F, (int)(i % 7) - 3);
}

static void add_scales(struct quantized_builder *b, const struct float_case *f, uint32_t count)
{
	uint8_t bytes[4 * SIDE];
	size_t item = 4;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t word = math_f32_bits(some_scale(i));
		const uint16_t half = strcmp(f->dtype, "F16") == 0
			? math_f16_from_f32(some_scale(i))
			: (uint16_t)(word >> 16);
		const uint8_t exponent = (uint8_t)(word >> 23);

		item = f->dtype[0] == 'B' || strcmp(f->dtype, "F16") == 0 ? 2
			: strcmp(f->dtype, "F32") == 0                   ? 4
									 : 1;
		memcpy(bytes + i * item,
			item == 4         ? (const void *)&word
				: item == 2 ? (const void *)&half
					    : (const void *)&exponent,
			item);
	}
	quantized_add(b, f->suffix, f->dtype, f->shape, bytes, count * item);
}

static void floats_are_read_with_scales_of_any_kind(void **state)
{
	static const char fp8[] =
		"{\"quant_method\":\"fp8\",\"fmt\":\"e4m3\",\"weight_block_size\":[24,20]}";
	static const char compressed[] =
		"{\"quant_method\":\"compressed-tensors\",\"format\":\"float-quantized\","
		"\"config_groups\":{\"a\":{\"input_activations\":{\"type\":\"float\"},\"weights\":"
		"{\"type\":\"float\",\"num_bits\":8,\"strategy\":\"channel\"}}}}";
	const struct float_case cases[] = {
		{fp8, "weight_scale_inv", "BF16", "[2,2]", 24, 20},
		{fp8, "weight_scale_inv", "F32", "[2,2]", 24, 20},
		{fp8, "weight_scale_inv", "F8_E8M0", "[2,2]", 24, 20},
		{fp8, "weight_scale_inv", "U8", "[2,2]", 24, 20},
		{"{\"quant_method\":\"fp8\",\"weight_block_size\":null}", "weight_scale_inv", "F32",
			"[]", SIDE, SIDE},
		{"{\"quant_method\":\"fp8\"}", "weight_scale", "F32", "[1]", SIDE, SIDE},
		{compressed, "weight_scale", "F16", "[32,1]", 1, SIDE},
		{compressed, "weight_scale", "BF16", "[32]", 1, SIDE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct float_case *f = &cases[i];
		const uint32_t across = (SIDE + f->block_columns - 1) / f->block_columns,
			       down = (SIDE + f->block_rows - 1) / f->block_rows;
		uint8_t codes[SIDE][SIDE];
		float wanted[SIDE][SIDE];
		struct quantized_builder b;

		for (uint32_t r = 0; r < SIDE; r++)
			for (uint32_t c = 0; c < SIDE; c++) {
				codes[r][c] = some_code(r, c);
				wanted[r][c] = some_scale(r / f->block_rows * across +
						       c / f->block_columns) *
					e4m3(codes[r][c]);
			}
		quantized_builder_init(&b);
		quantized_add(&b, "weight", "F8_E4M3", "[32,32]", codes, sizeof(codes));
		add_scales(&b, f, across * down);
		struct buf file = quantized_builder_finish(&b);
		check_matrix(&file, f->config, CHIP_F8_E4M3, wanted);
		buf_free(&file);
	}
}

/* Experts in one tensor: [2, 16, 32] with blocks of 12 rows and 20 columns, so that the last block
 * of an expert is smaller than the others and the next expert begins a new one. */
static void a_stack_of_experts_has_the_blocks_of_each(void **state)
{
	uint8_t codes[SIDE][SIDE];
	uint16_t scales[2 * 2 * 2];
	struct safetensors_builder b;
	struct err_info info = {0};
	struct quantized_matrix found;
	struct weights w = {.config.quantization = {
				    .method = QUANTIZATION_FP8,
				    .scheme_count = 1,
				    .schemes = {{true, true, 8, 20, 12}},
			    }};
	struct safetensors file;
	float got[SIDE][SIDE], wanted[SIDE][SIDE];

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		scales[i] = math_bf16_from_f32(some_scale(i));
	for (uint32_t r = 0; r < SIDE; r++)
		for (uint32_t c = 0; c < SIDE; c++) {
			const uint32_t block = (r / 16 * 2 + r % 16 / 12) * 2 + c / 20;

			codes[r][c] = some_code(r, c);
			wanted[r][c] = some_scale(block) * e4m3(codes[r][c]);
		}
	safetensors_builder_init(&b);
	safetensors_add(&b, "experts.gate_up_proj", "F8_E4M3", "[2,16,32]", codes, sizeof(codes));
	safetensors_add(&b, "experts.gate_up_proj_scale_inv", "BF16", "[2,2,2]", scales,
		sizeof(scales));
	struct buf bytes = safetensors_builder_finish(&b);

	arena_init(&w.side, 4096, 1 << 20);
	assert_int_equal(safetensors_open(&file, bytes.data, bytes.size, "f", &info), ERR_NONE);
	w.table = file.tensors;
	assert_true(weights_is_quantized(&w, "experts.gate_up_proj"));
	if (weights_find_quantized(&w, "experts.gate_up_proj", SIDE, SIDE, 2, &found, &info))
		fail_msg("%s", info.text);
	assert_int_equal(found.matrix.parts, 2);
	assert_int_equal(found.tensor_count, 2);
	read_all(&found.matrix, 5, got);
	assert_memory_equal(got, wanted, sizeof(got));
	arena_reset(&w.side);
	safetensors_close(&file);
	buf_free(&bytes);
}

/* ---- packed projections ---------------------------------------------------------------------- */

#define QKVZ_ROWS 96    /* of 2 key heads: q 8, k 8, v 2 x 8, z 2 x 8 each */

static void add_but_projections(void *context, const char *name, const struct weight_rule *rule,
	uint64_t rows, uint64_t columns, const float *values)
{
	if (!strstr(name, ".in_proj_"))
		model_builder_to_safetensors(context, name, rule, rows, columns, values);
}

static struct buf packed_model(uint8_t codes[QKVZ_ROWS][SIDE], uint16_t scales[6])
{
	static const struct model_builder_change none;
	const struct model_config c = model_builder_config(MODEL_BUILDER_QWEN3_5);
	struct model_builder_sink sink = {.change = &none};
	const uint16_t ba[8 * SIDE] = {0};

	safetensors_builder_init(&sink.st);
	model_builder_walk(&c, false, "model.", &none, add_but_projections, &sink);
	safetensors_add(&sink.st, "model.layers.0.linear_attn.in_proj_qkvz.weight", "F8_E4M3",
		"[96,32]", codes, (size_t)QKVZ_ROWS * SIDE);
	safetensors_add(&sink.st, "model.layers.0.linear_attn.in_proj_qkvz.weight_scale_inv",
		"BF16", "[6,1]", scales, 6 * sizeof(scales[0]));
	safetensors_add(&sink.st, "model.layers.0.linear_attn.in_proj_ba.weight", "BF16", "[8,32]",
		ba, sizeof(ba));
	return safetensors_builder_finish(&sink.st);
}

/* Rows of a matrix are rows [first, first + count) of each half of the packed one. */
static void check_cut(const struct weights *w, enum weight weight, uint32_t at, uint32_t first,
	uint32_t count, float wanted[QKVZ_ROWS][SIDE])
{
	const struct chip_matrix *m = weights_matrix(w, weight, 0);
	uint8_t rows[QKVZ_ROWS * 64];
	float row[SIDE];

	assert_true(m->read && m->type == CHIP_F8_E4M3);
	weights_read_rows(m, at, 2 * count, rows);
	for (uint32_t i = 0; i < 2 * count; i++) {
		chip_row_to_f32(m->type, m->group,
			rows + i * chip_row_bytes(m->type, m->group, SIDE), SIDE, row);
		assert_memory_equal(
			row, wanted[i / count * 48 + first + i % count], sizeof(row));
	}
}

static void packed_projections_of_a_release_are_cut_by_rows(void **state)
{
	uint8_t codes[QKVZ_ROWS][SIDE];
	float wanted[QKVZ_ROWS][SIDE];
	uint16_t scales[6];
	struct err_info info = {0};
	struct weights w;

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		scales[i] = math_bf16_from_f32(some_scale(i));
	for (uint32_t r = 0; r < QKVZ_ROWS; r++)
		for (uint32_t c = 0; c < SIDE; c++) {
			codes[r][c] = some_code(r, c);
			wanted[r][c] = some_scale(r / 16) * e4m3(codes[r][c]);
		}
	struct buf file = packed_model(codes, scales);
	json_t *config = model_builder_parse(MODEL_BUILDER_QWEN3_5);

	json_object_set_new(config, "quantization_config",
		model_builder_parse("{\"quant_method\":\"fp8\",\"weight_block_size\":[16,32]}"));
	const struct model_config_texts texts = {.config = config};

	if (weights_open_texts(&w, &texts, file.data, file.size, &info))
		fail_msg("%s", info.text);
	check_cut(&w, WEIGHT_DELTA_QKV, 0, 0, 8, wanted);
	check_cut(&w, WEIGHT_DELTA_QKV, 16, 8, 8, wanted);
	check_cut(&w, WEIGHT_DELTA_QKV, 32, 16, 16, wanted);
	check_cut(&w, WEIGHT_DELTA_Z, 0, 32, 16, wanted);
	assert_int_equal(weights_matrix(&w, WEIGHT_DELTA_A, 0)->type, CHIP_BF16);
	assert_int_equal(weights_matrix(&w, WEIGHT_DELTA_A, 0)->span_count, 2);
	weights_close(&w);
	json_decref(config);
	buf_free(&file);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_refusal(struct quantized_builder *b, const char *quantization,
	const char *reason)
{
	struct buf file = quantized_builder_finish(b);
	struct err_info info = {0};
	struct weights w;

	if (!open_model(&w, &file, quantization, &info))
		fail_msg("opened, though: %s", reason);
	if (!strstr(info.text, reason))
		fail_msg("\"%s\" is not in \"%s\"", reason, info.text);
	buf_free(&file);
}

static const char GPTQ[] = "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":false}";
static const char AWQ[] = "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":16}";
static const char FP8[] = "{\"quant_method\":\"fp8\",\"weight_block_size\":[16,16]}";

static void tensors_that_do_not_fit_each_other_are_refused(void **state)
{
	const uint8_t zeros[SIDE * SIDE * 4] = {0};
	const struct {
		const char *config, *last, *dtype, *shape;
		size_t size;
		const char *reason;
	} cases[] = {
		{NULL, "qweight", "I32", "[4,32]", 512, "quantization_config is missing"},
		{NULL, "weight", "F8_E4M3", "[32,32]", 1024, "quantization_config is missing"},
		{FP8, "qweight", "I32", "[4,32]", 512, "was done in another way"},
		{GPTQ, "weight", "F8_E4M3", "[32,32]", 1024, "was done in another way"},
		{GPTQ, "qweight", "I32", "[4,32]", 512, "its scales is missing"},
		{AWQ, "weight_packed", "I32", "[32,4]", 512, "was done in another way"},
		{FP8, "weight", "F8_E4M3", "[32,32]", 1024, "its scale is missing"},
		{FP8, "weight", "F8_E4M3", "[16,64]", 1024, "has shape [16, 64]"},
		{FP8, "weight", "F8_E5M2", "[32,32]", 1024, "has type F8_E5M2"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct quantized_builder b;

		quantized_builder_init(&b);
		quantized_add(&b, cases[i].last, cases[i].dtype, cases[i].shape, zeros,
			cases[i].size);
		expect_refusal(&b, cases[i].config, cases[i].reason);
	}
}

/* A GPTQ matrix with one tensor of another type or shape. */
static void shapes_that_contradict_are_refused(void **state)
{
	const uint8_t zeros[SIDE * SIDE * 8] = {0};
	static const char *const names[] = {"qweight", "qzeros", "scales", "g_idx"};
	static const char *const types[] = {"I32", "I32", "F16", "I32"};
	static const char *const shapes[] = {"[4,32]", "[2,4]", "[2,32]", "[32]"};
	static const size_t sizes[] = {512, 32, 128, 128};
	const struct {
		size_t at;
		const char *dtype, *shape;
		size_t size;
		const char *reason;
	} cases[] = {
		{0, "I32", "[5,32]", 640, "does not hold [32, 32] values"},
		{0, "I32", "[8,32]", 1024, "has 8 bits and scales [2, 32]"},
		{0, "I32", "[4,31]", 496, "has shape [4, 31]"},
		{0, "U32", "[4,32]", 512, "has type U32, not I32"},
		{0, "I32", "[]", 4, "does not hold"},
		{1, "I32", "[2,5]", 40, "has shape [2, 5]"},
		{1, "I32", "[4,4]", 64, "has shape [4, 4]"},
		{2, "F16", "[4,32]", 256, "scales [4, 32], which is not"},
		{2, "F32", "[2,32]", 256, "has type F32, not F16 or BF16"},
		{3, "I32", "[31]", 124, "has shape [31]"},
		{3, "I64", "[32]", 256, "has type I64, not I32"},
		{3, "I32", "[32]", 128, "more columns than the group size"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct quantized_builder b;

		quantized_builder_init(&b);
		for (size_t t = 0; t < 4; t++) {
			const bool changed = t == cases[i].at;

			quantized_add(&b, names[t], changed ? cases[i].dtype : types[t],
				changed ? cases[i].shape : shapes[t], zeros,
				changed ? cases[i].size : sizes[t]);
		}
		expect_refusal(&b, GPTQ, cases[i].reason);
	}
}

static void a_bias_that_the_model_has_not_is_left_out_if_it_is_zero(void **state)
{
	const struct quantized_ints n = make_ints(4, 16, false);
	uint16_t bias[SIDE] = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct err_info info = {0};
		struct quantized_builder b;
		struct weights w;

		quantized_builder_init(&b);
		quantized_add_gptq(&b, &n, true, false);
		quantized_add(&b, "bias", "F16", "[32]", bias, sizeof(bias));
		if (i > 0) {
			expect_refusal(&b, GPTQ, "up_proj.bias has no place");
			continue;
		}
		struct buf file = quantized_builder_finish(&b);
		if (open_model(&w, &file, GPTQ, &info))
			fail_msg("%s", info.text);
		weights_close(&w);
		buf_free(&file);
		bias[7] = 0x3c00;
	}
}

static void a_column_of_no_group_is_refused(void **state)
{
	struct quantized_ints n = make_ints(4, 16, false);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct quantized_builder b;

		n.group_of[3] = i ? 2 : UINT32_MAX;
		quantized_builder_init(&b);
		quantized_add_gptq(&b, &n, true, true);
		expect_refusal(&b, GPTQ, "a group that is not there");
	}
}

static void a_stated_shape_that_is_another_is_refused(void **state)
{
	const struct quantized_ints n = make_ints(4, 16, true);
	struct quantized_builder b;

	(void)state;
	quantized_builder_init(&b);
	quantized_add_packed(&b, &n, QUANTIZED_NO_ZEROS);
	memset(b.st.data.data + b.st.data.size - 8, 1, 1); /* the low byte of its columns */
	expect_refusal(&b,
		"{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
		"\"config_groups\":{\"a\":{\"weights\":{\"num_bits\":4,\"group_size\":16}}}}",
		"says [32, 1], the config says [32, 32]");
}

/* ---- numbers that are none ------------------------------------------------------------------- */

static void expect_fault(struct quantized_builder *b, const char *quantization, const char *tensor)
{
	struct buf file = quantized_builder_finish(b);
	struct err_info info = {0};
	float got[SIDE][SIDE];
	struct weights w;

	if (open_model(&w, &file, quantization, &info))
		fail_msg("%s", info.text);
	assert_int_equal(weights_read_faults(&w, &info), ERR_NONE);
	read_all(weights_matrix(&w, WEIGHT_FFN_UP, 0), 16, got);
	assert_int_equal(weights_read_faults(&w, &info), ERR_INPUT);
	if (!strstr(info.text, tensor) || !strstr(info.text, "not finite or not allowed"))
		fail_msg("%s", info.text);
	weights_close(&w);
	buf_free(&file);
}

static void a_code_or_scale_that_is_no_number_is_told_when_it_is_read(void **state)
{
	static const uint32_t scales[] = {0x7f800000, 0x7fc00000, 0xbf800000};

	(void)state;
	for (size_t i = 0; i < 1 + sizeof(scales) / sizeof(scales[0]); i++) {
		uint8_t codes[SIDE][SIDE] = {{0}};
		uint32_t blocks[4] = {0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000};
		struct quantized_builder b;

		if (i == 0)
			codes[31][30] = 0xff;
		else
			blocks[3] = scales[i - 1];
		quantized_builder_init(&b);
		quantized_add(&b, "weight", "F8_E4M3", "[32,32]", codes, sizeof(codes));
		quantized_add(&b, "weight_scale_inv", "F32", "[2,2]", blocks, sizeof(blocks));
		expect_fault(&b, FP8, i == 0 ? "up_proj.weight " : "up_proj.weight_scale_inv ");
	}
}

static void a_scale_of_whole_numbers_that_is_infinite_is_told(void **state)
{
	struct quantized_ints n = make_ints(4, 16, false);
	struct quantized_builder b;

	(void)state;
	n.scale[17][1] = 0x7c00;
	quantized_builder_init(&b);
	quantized_add_awq(&b, &n);
	expect_fault(&b, AWQ, "up_proj.scales ");
}

static void a_symmetric_release_with_other_zero_points_is_told(void **state)
{
	struct quantized_ints n = make_ints(4, 16, true);
	struct quantized_builder b;

	(void)state;
	n.zero[9][1] = 3;
	quantized_builder_init(&b);
	quantized_add_gptq(&b, &n, true, false);
	expect_fault(&b, "{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"sym\":true}",
		"up_proj.qzeros ");
}

/* Bytes can hold more than 4 bits do. */
static void zero_points_beyond_the_bits_are_told(void **state)
{
	static const uint8_t stored[] = {16, 120, 247};

	(void)state;
	for (size_t i = 0; i < sizeof(stored); i++) {
		struct quantized_ints n = make_ints(4, 16, false);
		struct quantized_builder b;

		n.zero[9][1] = stored[i];
		quantized_builder_init(&b);
		quantized_add_packed(&b, &n, QUANTIZED_ZERO_BYTES);
		expect_fault(&b, "{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
			"\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{"
			"\"num_bits\":4,\"type\":\"int\",\"group_size\":16,\"symmetric\":false}}}}",
			"up_proj.weight_zero_point ");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gptq_is_read_in_both_widths_and_forms),
		cmocka_unit_test(symmetric_gptq_has_its_zero_in_the_middle_stored_either_way),
		cmocka_unit_test(gptq_with_columns_in_another_order_says_so),
		cmocka_unit_test(a_module_may_have_bits_of_its_own),
		cmocka_unit_test(awq_is_read),
		cmocka_unit_test(packed_numbers_are_read_with_and_without_zero_points),
		cmocka_unit_test(zero_points_beyond_the_bits_are_told),
		cmocka_unit_test(floats_are_read_with_scales_of_any_kind),
		cmocka_unit_test(a_stack_of_experts_has_the_blocks_of_each),
		cmocka_unit_test(packed_projections_of_a_release_are_cut_by_rows),
		cmocka_unit_test(tensors_that_do_not_fit_each_other_are_refused),
		cmocka_unit_test(shapes_that_contradict_are_refused),
		cmocka_unit_test(a_bias_that_the_model_has_not_is_left_out_if_it_is_zero),
		cmocka_unit_test(a_column_of_no_group_is_refused),
		cmocka_unit_test(a_stated_shape_that_is_another_is_refused),
		cmocka_unit_test(a_code_or_scale_that_is_no_number_is_told_when_it_is_read),
		cmocka_unit_test(a_scale_of_whole_numbers_that_is_infinite_is_told),
		cmocka_unit_test(a_symmetric_release_with_other_zero_points_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
