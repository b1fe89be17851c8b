/* tests/model/rope_test.c - rotary frequencies are those of transformers, in whichever words a
 * config or a GGUF file asks for them. */
#include "model/config_rig.h"

#include "base/math.h"
#include "model/arch/rope.h"

#define PAIRS 8

/* transformers 5.24.0, torch 2.15.0: LlamaRotaryEmbedding(config).inv_freq and .attention_scaling
 * for 4 heads of 16, as bits. */
static const struct golden {
	const char *fields;
	uint32_t frequencies[PAIRS];
	uint32_t factor;
} GOLDENS[] = {
	{"\"rope_theta\":1e6",
		{0x3F800000U, 0x3E361887U, 0x3D0186E3U, 0x3BB8449CU, 0x3A83126FU, 0x393A7753U,
			0x3804A2B2U, 0x36BCB0C1U},
		0x3F800000U},
	{"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}",
		{0x3ECCCCCDU, 0x3E0186E2U, 0x3D23D70AU, 0x3C4F3E38U, 0x3B83126EU, 0x3AA5CB60U,
			0x39D1B718U, 0x3904A2B3U},
		0x3F800000U},
	{"\"rope_theta\":1e6,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,"
	 "\"original_max_position_embeddings\":32768}",
		{0x3F800000U, 0x3E361887U, 0x3D0186E3U, 0x3B8A3375U, 0x3A03126FU, 0x383A7753U,
			0x3704A2B2U, 0x35BCB0C1U},
		0x3F91BE9CU},
	{"\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1e4,\"factor\":16.0,"
	 "\"original_max_position_embeddings\":512,\"beta_fast\":16,\"beta_slow\":2,"
	 "\"truncate\":false,\"attention_factor\":1.25}",
		{0x3F800000U, 0x3EA1E89BU, 0x3D8E8038U, 0x3BB727A4U, 0x3A23D70AU, 0x394F3E38U,
			0x3883126FU, 0x37A5CB60U},
		0x3FA00000U},
	{"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":8,\"mscale\":1.5,"
	 "\"mscale_all_dim\":0.5},\"original_max_position_embeddings\":4096",
		{0x3F800000U, 0x3EA1E89BU, 0x3DCCCCCDU, 0x3CCA62C2U, 0x3BB851EBU, 0x3A8E7AC6U,
			0x3903126FU, 0x3825CB60U},
		0x3F981C2EU},
	{"\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
	 "\"low_freq_factor\":1,\"high_freq_factor\":4,"
	 "\"original_max_position_embeddings\":8192}",
		{0x3F800000U, 0x3E4693B0U, 0x3D1A08C8U, 0x3BEEF74FU, 0x3A0995D2U, 0x380FC8F8U,
			0x36DF10C4U, 0x35AD07A7U},
		0x3F800000U},
};

static const char LLAMA[] =
	"{\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":1,"
	"\"num_attention_heads\":4,\"intermediate_size\":96,\"vocab_size\":320,"
	"\"max_position_embeddings\":2048,\"rms_norm_eps\":1e-06}";

static struct model_config read_fields(const char *fields)
{
	char patch[512];

	snprintf(patch, sizeof(patch), "{%s}", fields);
	return read_good(LLAMA, patch, NULL, NULL);
}

static void check_golden(const struct model_config *c, const struct golden *g)
{
	assert_int_equal(c->rotary_dim, 2 * PAIRS);
	for (uint32_t i = 0; i < PAIRS; i++)
		assert_int_equal(math_f32_bits(c->rope_frequencies[i]), g->frequencies[i]);
	assert_int_equal(math_f32_bits(c->rope_factor), g->factor);
}

static void frequencies_are_those_of_transformers_to_the_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(GOLDENS) / sizeof(GOLDENS[0]); i++) {
		const struct model_config c = read_fields(GOLDENS[i].fields);

		check_golden(&c, &GOLDENS[i]);
	}
}

/* base 10000 is llama's where the file does not say. */
static void a_base_that_is_left_out_is_the_architectures_or_an_error(void **state)
{
	static const struct config_refusal cases[] = {
		{CONFIG_QWEN3, "{\"rope_theta\":null}", ERR_INPUT, "rope_theta is missing"},
	};

	(void)state;
	assert_true(read_fields("\"rope_theta\":null").rope_theta == 10000);
	check_refusals(cases, 1);
}

static void yarn_reaches_as_far_as_it_stretches(void **state)
{
	(void)state;
	assert_int_equal(read_fields(GOLDENS[2].fields).context_max, 131072);
	assert_int_equal(read_fields(GOLDENS[0].fields).context_max, 2048);
	/* a file that already says so is believed */
	assert_int_equal(read_fields("\"max_position_embeddings\":262144,\"rope_scaling\":"
		"{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":32768}")
				 .context_max, 262144);
	assert_int_equal(read_fields("\"rope_scaling\":{\"type\":\"yarn\",\"factor\":1e6,"
		"\"original_max_position_embeddings\":32768}").context_max, MODEL_CONTEXT_MAX);
}

static void scalings_out_of_bounds_are_refused(void **state)
{
#define SCALING(type, more) "{\"rope_scaling\":{\"type\":\"" type "\"," more "}}"
	static const struct config_refusal cases[] = {
		{LLAMA, SCALING("linear", "\"x\":1"), ERR_INPUT, "factor of the rotary scaling is"},
		{LLAMA, SCALING("linear", "\"factor\":0.5"), ERR_INPUT, "factor"},
		{LLAMA, SCALING("linear", "\"factor\":1e9"), ERR_INPUT, "factor"},
		{LLAMA, SCALING("yarn", "\"factor\":0.5"), ERR_INPUT, "factor"},
		{LLAMA, SCALING("yarn", "\"factor\":2,\"original_max_position_embeddings\":0"),
			ERR_INPUT, "original_max_position_embeddings"},
		{LLAMA, SCALING("yarn", "\"factor\":2,\"rope_theta\":1"), ERR_INPUT, "base"},
		{LLAMA, SCALING("yarn", "\"factor\":2,\"beta_fast\":1e9"), ERR_INPUT, "beta_fast"},
		{LLAMA, SCALING("yarn", "\"factor\":2,\"beta_slow\":1e-9"), ERR_INPUT, "beta_slow"},
		{LLAMA, SCALING("yarn", "\"factor\":2,\"attention_factor\":0"), ERR_INPUT,
			"attention factor"},
		{LLAMA, SCALING("yarn", "\"factor\":\"4\""), ERR_INPUT, "factor"},
		{LLAMA, SCALING("llama3", "\"factor\":2,\"low_freq_factor\":1"), ERR_INPUT,
			"high_freq_factor"},
		{LLAMA,
			SCALING("llama3",
				"\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4"),
			ERR_INPUT, "high frequency factor"},
	};

	(void)state;
	check_refusals(cases, sizeof(cases) / sizeof(cases[0]));
#undef SCALING
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

static void add_llama_keys(struct gguf_builder *b, float base)
{
	static const struct {
		const char *key;
		uint32_t value;
	} numbers[] = {
		{"llama.block_count", 1},
		{"llama.context_length", 2048},
		{"llama.embedding_length", 64},
		{"llama.feed_forward_length", 96},
		{"llama.attention.head_count", 4},
	};

	gguf_builder_init(b);
	gguf_add_string(b, "general.architecture", "llama");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		gguf_add_u32(b, numbers[i].key, numbers[i].value);
	gguf_add_f32(b, "llama.attention.layer_norm_rms_epsilon", 1e-6F);
	gguf_add_f32(b, "llama.rope.freq_base", base);
}

static void yarn_in_gguf_keys_gives_the_same_frequencies(void **state)
{
	struct err_info info = {0};
	struct gguf_builder b;
	struct model_config c;

	(void)state;
	add_llama_keys(&b, 1e6F);
	gguf_add_string(&b, "llama.rope.scaling.type", "yarn");
	gguf_add_f32(&b, "llama.rope.scaling.factor", 4);
	gguf_add_u32(&b, "llama.rope.scaling.original_context_length", 32768);
	assert_int_equal(read_built(&b, 320, 64, &c, &info), ERR_NONE);
	check_golden(&c, &GOLDENS[2]);
	assert_int_equal(c.context_max, 131072);
}

static void a_factor_without_a_type_is_linear_and_one_is_none(void **state)
{
	struct err_info info = {0};
	struct gguf_builder b;
	struct model_config c;

	(void)state;
	add_llama_keys(&b, 1e4F);
	gguf_add_f32(&b, "llama.rope.scaling.factor", 2.5F);
	assert_int_equal(read_built(&b, 320, 64, &c, &info), ERR_NONE);
	check_golden(&c, &GOLDENS[1]);
	add_llama_keys(&b, 1e6F);
	gguf_add_f32(&b, "llama.rope.scaling.factor", 1);
	assert_int_equal(read_built(&b, 320, 64, &c, &info), ERR_NONE);
	check_golden(&c, &GOLDENS[0]);
	add_llama_keys(&b, 1e6F);
	gguf_add_f32(&b, "llama.rope.scaling.factor", 2.5F);
	gguf_add_string(&b, "llama.rope.scaling.type", "none");
	assert_int_equal(read_built(&b, 320, 64, &c, &info), ERR_NONE);
	check_golden(&c, &GOLDENS[0]);
}

static enum err read_divided(const float divisors[PAIRS], uint64_t count, struct model_config *c,
	struct err_info *info)
{
	struct gguf_builder b;

	add_llama_keys(&b, 1e6F);
	gguf_add_tensor(&b, "rope_freqs.weight", 0, 1, &count, divisors, count * sizeof(float));
	return read_built(&b, 320, 64, c, info);
}

static void frequencies_of_llama_3_are_divided_by_what_the_file_says(void **state)
{
	const float good[PAIRS] = {1, 1, 2, 4, 8, 8, 8, 8}, zero[PAIRS] = {1};
	struct err_info info = {0};
	struct model_config c;

	(void)state;
	assert_int_equal(read_divided(good, PAIRS, &c, &info), ERR_NONE);
	for (uint32_t i = 0; i < PAIRS; i++)
		assert_true(c.rope_frequencies[i] ==
			math_f32_from_bits(GOLDENS[0].frequencies[i]) / good[i]);
	assert_int_equal(read_divided(good, PAIRS - 1, &c, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "rope_freqs.weight is not F32 [8]"));
	info = (struct err_info){0};
	assert_int_equal(read_divided(zero, PAIRS, &c, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "test.gguf: rotary pair 1 turns by inf"));
}

static float next(float value, int step)
{
	return math_f32_from_bits(math_f32_bits(value) + (uint32_t)step);
}

/* What quantize writes, and what is then read. Some quotients of floats no divisor gives: those are
 * off by their last bit, and no neighbour of the divisor does better. */
static void divisors_lead_back_to_the_frequencies_that_were_scaled(void **state)
{
	const struct model_config plain = read_fields("\"head_dim\":128,\"rope_theta\":500000");
	uint32_t exact = 0, count = 0;
	float divisors[64];
	char fields[256];

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(fields, sizeof(fields), "\"head_dim\":128,\"rope_theta\":500000,"
			"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":%g,"
			"\"low_freq_factor\":%g,\"high_freq_factor\":%g,"
			"\"original_max_position_embeddings\":%u}",
			1.5 + i * 0.37, 1 + i % 3 * 0.25, 4 + i % 5 * 0.5, 256 + 97 * i);
		const struct model_config c = read_fields(fields);

		rope_divisors(&c, divisors);
		for (uint32_t j = 0; j < 64; j++, count++) {
			const float from = plain.rope_frequencies[j], to = c.rope_frequencies[j];

			if (from / divisors[j] == to) {
				exact++;
				continue;
			}
			assert_true(from / next(divisors[j], 1) != to &&
				from / next(divisors[j], -1) != to);
			assert_true(next(from / divisors[j], 1) == to ||
				next(from / divisors[j], -1) == to);
		}
	}
	assert_true(exact > count * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frequencies_are_those_of_transformers_to_the_bit),
		cmocka_unit_test(a_base_that_is_left_out_is_the_architectures_or_an_error),
		cmocka_unit_test(yarn_reaches_as_far_as_it_stretches),
		cmocka_unit_test(scalings_out_of_bounds_are_refused),
		cmocka_unit_test(yarn_in_gguf_keys_gives_the_same_frequencies),
		cmocka_unit_test(a_factor_without_a_type_is_linear_and_one_is_none),
		cmocka_unit_test(frequencies_of_llama_3_are_divided_by_what_the_file_says),
		cmocka_unit_test(divisors_lead_back_to_the_frequencies_that_were_scaled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
