/* tests/model/config_test.c - every spelling of a config is understood; what would change the
 * result is refused. */
#include "model/config_rig.h"

#include <math.h>

#include "base/mem.h"

static void qwen3_is_read(void **state)
{
	const struct model_config c = read_good(CONFIG_QWEN3, NULL, NULL, NULL);

	(void)state;
	assert_int_equal(c.arch, MODEL_ARCH_QWEN3);
	assert_true(c.hidden == 1024 && c.layers == 3 && c.heads == 16 && c.kv_heads == 8 &&
		    c.head_dim == 128);
	assert_true(c.rotary_dim == 128 && c.rope_theta == 1e6 && c.rms_eps == 1e-6F);
	assert_true(c.ffn == 3072 && c.vocab == 151936 && c.vocab_used == 151936 &&
		    c.context_max == 40960);
	assert_true(c.tied && !c.q_gate && !c.norm_plus_one);
	assert_true(c.attention_layers == 3 && c.delta_layers == 0);
	assert_true(c.bos == MODEL_NO_TOKEN && c.eos_count == 1 && c.eos[0] == 151643);
}

static void qwen3_5_is_read_with_its_text_fields_nested_or_not(void **state)
{
	json_t *whole = parse(CONFIG_QWEN3_5);
	char *text = json_dumps(json_object_get(whole, "text_config"), 0);
	const struct model_config c = read_good(CONFIG_QWEN3_5, NULL, NULL, NULL);

	(void)state;
	assert_int_equal(c.arch, MODEL_ARCH_QWEN3_5);
	assert_true(c.q_gate && c.norm_plus_one && !c.delta_tiled && c.tied);
	assert_true(c.head_dim == 256 && c.rotary_dim == 64 && c.rope_theta == 1e7 &&
		    c.rope_interleaved);
	assert_true(
		c.rope_sections[0] == 11 && c.rope_sections[1] == 11 && c.rope_sections[2] == 10);
	assert_true(c.delta_k_heads == 16 && c.delta_v_heads == 16 && c.delta_k_dim == 128 &&
		    c.delta_v_dim == 128);
	assert_int_equal(model_config_delta_channels(&c), 6144);
	assert_true(c.attention_layers == 2 && c.delta_layers == 6);
	assert_int_equal(c.layer_kind[2], MODEL_LAYER_DELTA);
	assert_int_equal(c.layer_kind[3], MODEL_LAYER_ATTENTION);
	const struct model_config other =
		read_good(text, "{\"tie_word_embeddings\":true}", NULL, NULL);
	assert_memory_equal(&other, &c, sizeof(c));
	mem_free(text);
	json_decref(whole);
}

static void old_and_new_spellings_of_rotary_settings_mean_the_same(void **state)
{
	static const char *const patches[] = {
		"{\"rope_theta\":5e6,\"rope_scaling\":null}",
		"{\"rope_theta\":5e6,\"rope_scaling\":{\"type\":\"default\"}}",
		"{\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5000000}}",
		"{\"rope_theta\":5e6,\"rope_scaling\":{\"rope_type\":\"default\",\"mrope_section\":"
		"[24,20,20]}}",
		"{\"rope_theta\":5e6,\"torch_dtype\":\"bfloat16\"}",
		"{\"rope_theta\":5e6,\"dtype\":\"bfloat16\",\"unheard_of\":{\"x\":[1]}}",
		"{\"rope_theta\":5e6,\"use_sliding_window\":false,\"sliding_window\":4096,\"max_"
		"window_layers\":1}",
		"{\"rope_theta\":5e6,\"use_sliding_window\":true,\"sliding_window\":4096,\"max_"
		"window_layers\":3}",
		"{\"rope_theta\":5e6,\"layer_types\":[\"full_attention\",\"full_attention\","
		"\"attention\"]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
		const struct model_config c = read_good(CONFIG_QWEN3, patches[i], NULL, NULL);

		assert_true(c.rope_theta == 5e6 && c.rotary_dim == 128 && c.attention_layers == 3);
	}
}

static void what_is_left_out_has_the_architectures_default(void **state)
{
	struct model_config c =
		read_good(CONFIG_QWEN3, "{\"head_dim\":null,\"num_key_value_heads\":null}", NULL, NULL);

	(void)state;
	assert_int_equal(c.head_dim, 128);
	assert_int_equal(c.kv_heads, 16);
	c = read_good(CONFIG_QWEN3_5,
		"{\"text_config\":{\"rope_parameters\":{\"partial_rotary_factor\":null}}}", NULL,
		NULL);
	assert_int_equal(c.rotary_dim, 64);
	c = read_good(CONFIG_QWEN3, "{\"architectures\":null}", NULL, NULL);
	assert_int_equal(c.arch, MODEL_ARCH_QWEN3);
	assert_true(!c.qkv_bias && !c.out_bias && !c.ffn_bias);
	c = read_good(CONFIG_QWEN3, "{\"model_type\":null}", NULL, NULL);
	assert_int_equal(c.arch, MODEL_ARCH_QWEN3);
}

static void layers_are_of_the_kinds_listed_or_every_fourth(void **state)
{
	struct model_config c =
		read_good(CONFIG_QWEN3_5, "{\"text_config\":{\"full_attention_interval\":2}}", NULL, NULL);

	(void)state;
	assert_int_equal(c.attention_layers, 4);
	c = read_good(CONFIG_QWEN3_5,
		"{\"text_config\":{\"num_hidden_layers\":2,\"layer_types\":"
		"[\"full_attention\",\"linear_attention\"]}}",
		NULL, NULL);
	assert_int_equal(c.layer_kind[0], MODEL_LAYER_ATTENTION);
	assert_int_equal(c.layer_kind[1], MODEL_LAYER_DELTA);
}

static void what_would_change_the_result_is_refused_by_name(void **state)
{
	static const struct config_refusal cases[] = {
		{CONFIG_QWEN3, "{\"model_type\":\"gpt2\"}", ERR_UNSUPPORTED,
			"architecture gpt2 is not supported; known: llama, qwen2, qwen2_moe, "
			"qwen2_vl, qwen3, qwen3_moe, qwen3_vl, qwen3_vl_moe, qwen3_next, qwen3_5, "
			"qwen3_5_moe"},
		{CONFIG_QWEN3, "{\"model_type\":\"llama\"}", ERR_UNSUPPORTED,
			"class Qwen3ForCausalLM of model type llama"},
		{CONFIG_QWEN3, "{\"model_type\":null,\"architectures\":null}", ERR_UNSUPPORTED,
			"none named"},
		{CONFIG_QWEN3, "{\"model_type\":\"qwen3_moe\"}", ERR_UNSUPPORTED, "qwen3_moe"},
		{CONFIG_QWEN3, "{\"architectures\":[\"Qwen3ForSequenceClassification\"]}", ERR_UNSUPPORTED,
			"SequenceClassification"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"model_type\":\"qwen3\"}}", ERR_UNSUPPORTED,
			"a text_config of model type qwen3 is not supported in one of qwen3_5"},
		{CONFIG_QWEN3, "{\"hidden_act\":\"gelu\"}", ERR_UNSUPPORTED, "hidden_act gelu"},
		{CONFIG_QWEN3_5,
			"{\"text_config\":{\"num_hidden_layers\":2,\"layer_types\":"
			"[\"linear_attention\",\"linear_attention\"]}}",
			ERR_UNSUPPORTED, "none of 2 layers has attention"},
		{CONFIG_QWEN3,
			"{\"layer_types\":[\"full_attention\",\"full_attention\",\"chunked_"
			"attention\"]}",
			ERR_UNSUPPORTED, "layer 2 of type chunked_attention"},
		{CONFIG_QWEN3, "{\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}}", ERR_UNSUPPORTED,
			"rope_scaling of type dynamic"},
		{CONFIG_QWEN3, "{\"rope_parameters\":{\"rope_type\":\"longrope\"}}", ERR_UNSUPPORTED,
			"rope_parameters of type longrope"},
		{CONFIG_QWEN3,
			"{\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1e6}}}",
			ERR_UNSUPPORTED, "for each kind of layer"},
		{CONFIG_QWEN3, "{\"partial_rotary_factor\":0.5}", ERR_UNSUPPORTED,
			"partial_rotary_factor 0.5 is not supported in qwen3"},
		{CONFIG_QWEN3, "{\"quantization_config\":{\"quant_method\":\"hqq\"}}", ERR_UNSUPPORTED,
			"quant_method hqq"},
		{CONFIG_QWEN3, "{\"attn_output_gate\":true}", ERR_UNSUPPORTED, "attn_output_gate"},
		{CONFIG_QWEN3,
			"{\"layer_types\":[\"linear_attention\",\"full_attention\",\"full_"
			"attention\"]}",
			ERR_UNSUPPORTED, "linear_attention"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"output_gate_type\":\"sigmoid\"}}", ERR_UNSUPPORTED,
			"output_gate_type"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"attn_output_gate\":false}}", ERR_UNSUPPORTED,
			"attn_output_gate false"},
	};

	(void)state;
	check_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

static void what_is_wrong_is_refused_with_the_field(void **state)
{
	static const struct {
		const char *base, *patch, *part;
	} cases[] = {
		{CONFIG_QWEN3, "{\"hidden_size\":null}", "hidden_size is missing"},
		{CONFIG_QWEN3, "{\"hidden_size\":0}", "hidden_size"},
		{CONFIG_QWEN3, "{\"hidden_size\":-1024}", "hidden_size"},
		{CONFIG_QWEN3, "{\"hidden_size\":1e30}", "hidden_size"},
		{CONFIG_QWEN3, "{\"hidden_size\":\"1024\"}", "hidden_size"},
		{CONFIG_QWEN3, "{\"num_hidden_layers\":513}", "num_hidden_layers"},
		{CONFIG_QWEN3, "{\"num_hidden_layers\":4294967297}", "num_hidden_layers"},
		{CONFIG_QWEN3, "{\"num_key_value_heads\":7}", "16 heads cannot share 7"},
		{CONFIG_QWEN3, "{\"num_key_value_heads\":17}", "key heads"},
		{CONFIG_QWEN3, "{\"head_dim\":127}", "must be even"},
		{CONFIG_QWEN3, "{\"head_dim\":514}", "head_dim: 514 is not from 1 to 512"},
		{CONFIG_QWEN3,
			"{\"num_attention_heads\":1024,\"num_key_value_heads\":8,\"head_dim\":512,"
			"\"vocab_size\":2000000}",
			"vocab_size"},
		{CONFIG_QWEN3, "{\"rms_norm_eps\":null}", "rms_norm_eps"},
		{CONFIG_QWEN3, "{\"rms_norm_eps\":0}", "rms_norm_eps"},
		{CONFIG_QWEN3, "{\"rms_norm_eps\":0.5}", "epsilon"},
		{CONFIG_QWEN3, "{\"rms_norm_eps\":\"NaN\"}", "rms_norm_eps"},
		{CONFIG_QWEN3, "{\"rope_theta\":null}", "rope_theta is missing"},
		{CONFIG_QWEN3, "{\"rope_theta\":0.1}", "rope_theta"},
		{CONFIG_QWEN3, "{\"rope_scaling\":7}", "rope_scaling"},
		{CONFIG_QWEN3_5,
			"{\"text_config\":{\"rope_parameters\":{\"partial_rotary_factor\":0.001}}}",
			"rotary"},
		{CONFIG_QWEN3, "{\"rope_scaling\":{\"type\":\"default\",\"mrope_section\":[1,2]}}",
			"mrope_section"},
		{CONFIG_QWEN3, "{\"rope_scaling\":{\"type\":\"default\",\"mrope_section\":[1,2,3]}}",
			"add up to 6"},
		{CONFIG_QWEN3, "{\"layer_types\":[\"full_attention\"]}", "layer_types"},
		{CONFIG_QWEN3, "{\"layer_types\":[1,2,3]}", "layer_types"},
		{CONFIG_QWEN3, "{\"eos_token_id\":151936}", "end token 151936"},
		{CONFIG_QWEN3, "{\"eos_token_id\":\"x\"}", "eos_token_id"},
		{CONFIG_QWEN3, "{\"eos_token_id\":[1,-1]}", "eos_token_id"},
		{CONFIG_QWEN3, "{\"bos_token_id\":200000}", "begin or padding token"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"linear_num_key_heads\":null}}",
			"linear_num_key_heads is missing"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"linear_num_key_heads\":3}}", "cannot share 3"},
		{CONFIG_QWEN3_5, "{\"text_config\":{\"linear_conv_kernel_dim\":1}}", "taps"},
		{CONFIG_QWEN3_5,
			"{\"text_config\":{\"linear_num_value_heads\":1024,\"linear_value_head_dim\":"
			"512,\"linear_num_key_heads\":1024,\"linear_key_head_dim\":512}}",
			"channels"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err_info info = {0};
		struct model_config c;

		assert_int_equal(read_texts(&c, cases[i].base, cases[i].patch, NULL, NULL, &info),
			ERR_INPUT);
		assert_memory_equal(info.text, "config.json: ", 13);
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

/* spec qwen.md 4.4: the first file that says. */
static void ends_of_text_come_from_generation_config_then_tokenizer_config_then_config(void **state)
{
	static const char tokenizer[] = "{\"eos_token\":\"<|im_end|>\",\"added_tokens_decoder\":{"
					"\"151643\":{\"content\":\"<|endoftext|>\"},\"151645\":{"
					"\"content\":\"<|im_end|>\"}}}";
	struct model_config c = read_good(CONFIG_QWEN3, NULL,
		"{\"eos_token_id\":[151645,151643],\"bos_token_id\":151643}", tokenizer);

	(void)state;
	assert_true(
		c.eos_count == 2 && c.eos[0] == 151645 && c.eos[1] == 151643 && c.bos == 151643);
	c = read_good(CONFIG_QWEN3, NULL, "{\"eos_token_id\":151643}", tokenizer);
	assert_true(c.eos_count == 1 && c.eos[0] == 151643);
	c = read_good(CONFIG_QWEN3, NULL, "{}", tokenizer);
	assert_true(c.eos_count == 2 && c.eos[0] == 151645 && c.eos[1] == 151643);
	c = read_good(CONFIG_QWEN3, NULL, NULL,
		"{\"eos_token\":{\"content\":\"<|im_end|>\"},\"added_tokens_decoder\":"
		"{\"151645\":{\"content\":\"<|im_end|>\"}}}");
	assert_true(model_config_is_eos(&c, 151645) && model_config_is_eos(&c, 151643));
	c = read_good(CONFIG_QWEN3_5, NULL, NULL, NULL);
	assert_true(c.eos_count == 1 && c.eos[0] == 248044);
}

static void defaults_of_sampling_come_from_generation_config(void **state)
{
	struct model_config c = read_good(CONFIG_QWEN3, NULL,
		"{\"do_sample\":true,\"temperature\":0.6,\"top_p\":0.95,\"top_k\":20,"
		"\"min_p\":0.1,\"repetition_penalty\":1.05,\"presence_penalty\":1.5}",
		NULL);

	(void)state;
	assert_true(c.sampling.temperature == 0.6F && c.sampling.top_p == 0.95F &&
		    c.sampling.top_k == 20);
	assert_true(c.sampling.min_p == 0.1F && c.sampling.repetition_penalty == 1.05F);
	assert_true(c.sampling.presence_penalty == 1.5F);
	c = read_good(CONFIG_QWEN3, NULL, NULL, NULL);
	assert_true(c.sampling.temperature == 1 && c.sampling.top_p == 1 && c.sampling.top_k == 0);
	assert_true(c.sampling.repetition_penalty == 1);
	c = read_good(CONFIG_QWEN3, NULL, "{\"do_sample\":false,\"temperature\":0.6}", NULL);
	assert_true(c.sampling.temperature == 0);
	c = read_good(CONFIG_QWEN3, NULL, "{\"temperature\":1e-40}", NULL);
	assert_true(c.sampling.temperature == 0);
}

static void companions_that_are_wrong_are_named(void **state)
{
	static const struct {
		const char *generation, *tokenizer, *part;
	} cases[] = {
		{"[]", NULL, "generation_config.json: "},
		{"{\"temperature\":-1}", NULL, "generation_config.json: temperature"},
		{"{\"top_p\":2}", NULL, "generation_config.json: top_p"},
		{"{\"top_p\":0}", NULL, "top_p"},
		{"{\"top_k\":1.5}", NULL, "generation_config.json: top_k"},
		{"{\"eos_token_id\":{}}", NULL, "generation_config.json: eos_token_id"},
		{"{\"eos_token_id\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", NULL,
			"17 end tokens"},
		{NULL, "7", "tokenizer_config.json: "},
		{NULL,
			"{\"eos_token\":\"x\",\"added_tokens_decoder\":{\"9x\":{\"content\":\"x\"}}"
			"}",
			"tokenizer_config.json: "},
		{NULL,
			"{\"eos_token\":\"x\",\"added_tokens_decoder\":{\"99999999999999999999\":{"
			"\"content\":\"x\"}}}",
			"tokenizer_config.json: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err_info info = {0};
		struct model_config c;

		assert_true(read_texts(
			&c, CONFIG_QWEN3, NULL, cases[i].generation, cases[i].tokenizer, &info));
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

/* GGUF. */

/* Metadata of a small qwen35 file; skip is a key to leave out. */
static void add_qwen35_but(struct gguf_builder *b, const char *skip)
{
	static const struct {
		const char *key;
		uint32_t value;
	} numbers[] = {
		{"qwen35.block_count", 5},
		{"qwen35.nextn_predict_layers", 1},
		{"qwen35.context_length", 4096},
		{"qwen35.embedding_length", 64},
		{"qwen35.feed_forward_length", 96},
		{"qwen35.attention.head_count", 4},
		{"qwen35.attention.head_count_kv", 2},
		{"qwen35.attention.key_length", 32},
		{"qwen35.attention.value_length", 32},
		{"qwen35.rope.dimension_count", 8},
		{"qwen35.ssm.conv_kernel", 4},
		{"qwen35.ssm.state_size", 16},
		{"qwen35.ssm.group_count", 2},
		{"qwen35.ssm.time_step_rank", 6},
		{"qwen35.ssm.inner_size", 192},
		{"tokenizer.ggml.eos_token_id", 3},
	};
	static const int32_t sections[] = {2, 1, 1, 0};

	if (strcmp(skip, "general.architecture") != 0)
		gguf_add_string(b, "general.architecture", "qwen35");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(skip, numbers[i].key) != 0)
			gguf_add_u32(b, numbers[i].key, numbers[i].value);
	if (strcmp(skip, "qwen35.attention.layer_norm_rms_epsilon") != 0)
		gguf_add_f32(b, "qwen35.attention.layer_norm_rms_epsilon", 1e-6F);
	if (strcmp(skip, "qwen35.rope.freq_base") != 0)
		gguf_add_f32(b, "qwen35.rope.freq_base", 1e7F);
	gguf_add_i32s(b, "qwen35.rope.dimension_sections", 4, sections);
}

static void gguf_metadata_is_read(void **state)
{
	static const char *const tokens[] = {
		"<|eot_id|>", "<|im_end|>", "<|endoftext|>", "b", "[PAD4]", "[PAD5]"};
	static const int32_t types[] = {3, 3, 3, 3, 5, 5};
	struct gguf_builder b;
	struct err_info info = {0};
	struct model_config c;

	(void)state;
	gguf_builder_init(&b);
	add_qwen35_but(&b, "");
	gguf_add_strings(&b, "tokenizer.ggml.tokens", 6, tokens);
	gguf_add_i32s(&b, "tokenizer.ggml.token_type", 6, types);
	gguf_add_f32(&b, "general.sampling.temp", 0.8F);
	if (read_built(&b, 8, 64, &c, &info))
		fail_msg("%s", info.text);
	assert_int_equal(c.arch, MODEL_ARCH_QWEN3_5);
	assert_true(c.layers == 4 && c.mtp_layers == 1 && c.attention_layers == 1 &&
		    c.delta_layers == 3);
	assert_true(c.delta_tiled && c.q_gate && !c.norm_plus_one && c.tied);
	assert_true(c.delta_k_heads == 2 && c.delta_v_heads == 6 && c.delta_k_dim == 16 &&
		    c.delta_v_dim == 32);
	assert_true(c.rotary_dim == 8 && c.rope_sections[0] == 2 && c.rope_interleaved);
	assert_true(c.vocab == 8 && c.vocab_used == 4);
	assert_true(c.eos_count == 4 && c.eos[0] == 3 && model_config_is_eos(&c, 0) &&
		    model_config_is_eos(&c, 1) && model_config_is_eos(&c, 2));
	assert_true(c.sampling.temperature == 0.8F && c.sampling.top_p == 1);
}

static void gguf_metadata_that_is_missing_is_named(void **state)
{
	static const char *const needed[] = {"general.architecture", "qwen35.block_count",
		"qwen35.context_length", "qwen35.embedding_length", "qwen35.feed_forward_length",
		"qwen35.attention.head_count", "qwen35.attention.layer_norm_rms_epsilon",
		"qwen35.rope.freq_base", "qwen35.ssm.conv_kernel", "qwen35.ssm.state_size",
		"qwen35.ssm.group_count", "qwen35.ssm.time_step_rank", "qwen35.ssm.inner_size"};

	(void)state;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		struct gguf_builder b;
		struct err_info info = {0};
		struct model_config c;
		const char *last = strchr(needed[i], '.') + 1;

		gguf_builder_init(&b);
		add_qwen35_but(&b, needed[i]);
		assert_true(read_built(&b, 8, 64, &c, &info));
		if (!strstr(info.text, last))
			fail_msg("\"%s\" does not say \"%s\"", info.text, last);
	}
}

static void gguf_metadata_that_is_wrong_is_refused(void **state)
{
	static const struct {
		const char *key;
		uint32_t number;
		float real;
		const char *text;
		const char *part;
	} cases[] = {
		{"qwen35.expert_count", 8, 0, NULL, "experts"},
		{"qwen35.rope.scaling.type", 0, 0, "longrope", "type longrope is not supported"},
		{"qwen35.rope.scaling.type", 0, 0, "yarn", "rope.scaling.factor is missing"},
		{"qwen35.rope.scaling.factor", 0, 0.5F, NULL, "factor of the rotary scaling"},
		{"qwen35.attention.scale", 0, 0.5F, NULL, "attention.scale"},
		{"qwen35.attention.sliding_window", 1U << 30, 0, NULL, "attention.sliding_window"},
		{"qwen35.block_count", 1, 0, NULL, "multi-token"},
		{"qwen35.block_count", 100000, 0, NULL, "block_count"},
		{"qwen35.attention.value_length", 16, 0, NULL, "values of 16"},
		{"qwen35.attention.head_count", 0, 0, NULL, "head_count"},
		{"qwen35.attention.head_count_kv", 3, 0, NULL, "cannot share 3"},
		{"qwen35.ssm.time_step_rank", 5, 0, NULL, "not a multiple of 5"},
		{"qwen35.ssm.group_count", 4, 0, NULL, "cannot share 4"},
		{"qwen35.rope.dimension_count", 7, 0, NULL, "must be even"},
		{"qwen35.rope.dimension_count", 64, 0, NULL, "rotary dimension"},
		{"qwen35.rope.freq_base", 0, NAN, NULL, "freq_base"},
		{"qwen35.attention.layer_norm_rms_epsilon", 0, NAN, NULL, "epsilon"},
		{"tokenizer.ggml.eos_token_id", 8, 0, NULL, "end token 8"},
		{"general.architecture", 0, 0, "gemma", "architecture gemma is not supported; known: "
			"llama, qwen2, qwen2moe, qwen2vl, qwen3, qwen3moe, qwen3vl, qwen3vlmoe, "
			"qwen3next, qwen35, qwen35moe"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gguf_builder b;
		struct err_info info = {0};
		struct model_config c;

		gguf_builder_init(&b);
		add_qwen35_but(&b, cases[i].key);
		if (cases[i].text)
			gguf_add_string(&b, cases[i].key, cases[i].text);
		else if (cases[i].real != 0)
			gguf_add_f32(&b, cases[i].key, cases[i].real);
		else
			gguf_add_u32(&b, cases[i].key, cases[i].number);
		assert_true(read_built(&b, 8, 64, &c, &info));
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

/* Releases with vision say beside the text part how it was quantized, some inside it. */
static void how_a_release_was_quantized_is_found_beside_the_text_part_or_in_it(void **state)
{
#define FP8 "\"quantization_config\":{\"quant_method\":\"fp8\"}"
	static const char *const patches[] = {"{" FP8 "}", "{\"text_config\":{" FP8 "}}"};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(read_good(CONFIG_QWEN3_5, patches[i], NULL, NULL)
			.quantization.method, QUANTIZATION_FP8);
	assert_int_equal(read_good(CONFIG_QWEN3_5, NULL, NULL, NULL).quantization.method,
		QUANTIZATION_NONE);
#undef FP8
}

static void a_head_is_tied_only_where_the_config_says_so(void **state)
{
	static const char no_word[] = "{\"tie_word_embeddings\":null}";

	(void)state;
	assert_true(read_good(CONFIG_QWEN3, NULL, NULL, NULL).tied);
	assert_false(read_good(CONFIG_QWEN3, no_word, NULL, NULL).tied);
	assert_false(read_good(CONFIG_QWEN3_5, no_word, NULL, NULL).tied);
}

static void the_tokenizer_may_not_have_more_ids_than_rows(void **state)
{
	struct model_config c = read_good(CONFIG_QWEN3, NULL, NULL, NULL);
	struct err_info info = {0};

	(void)state;
	assert_int_equal(model_config_set_vocab_used(&c, 151669, &info), ERR_NONE);
	assert_int_equal(c.vocab_used, 151669);
	assert_int_equal(model_config_set_vocab_used(&c, 151936, &info), ERR_NONE);
	assert_int_equal(model_config_set_vocab_used(&c, 151669, &info), ERR_NONE);
	assert_int_equal(model_config_set_vocab_used(&c, 151937, &info), ERR_INPUT);
	assert_int_equal(model_config_set_vocab_used(&c, 0, &info), ERR_INPUT);
	assert_int_equal(c.vocab_used, 151669);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qwen3_is_read),
		cmocka_unit_test(qwen3_5_is_read_with_its_text_fields_nested_or_not),
		cmocka_unit_test(old_and_new_spellings_of_rotary_settings_mean_the_same),
		cmocka_unit_test(what_is_left_out_has_the_architectures_default),
		cmocka_unit_test(layers_are_of_the_kinds_listed_or_every_fourth),
		cmocka_unit_test(what_would_change_the_result_is_refused_by_name),
		cmocka_unit_test(what_is_wrong_is_refused_with_the_field),
		cmocka_unit_test(
			ends_of_text_come_from_generation_config_then_tokenizer_config_then_config),
		cmocka_unit_test(defaults_of_sampling_come_from_generation_config),
		cmocka_unit_test(companions_that_are_wrong_are_named),
		cmocka_unit_test(gguf_metadata_is_read),
		cmocka_unit_test(gguf_metadata_that_is_missing_is_named),
		cmocka_unit_test(gguf_metadata_that_is_wrong_is_refused),
		cmocka_unit_test(
			how_a_release_was_quantized_is_found_beside_the_text_part_or_in_it),
		cmocka_unit_test(a_head_is_tied_only_where_the_config_says_so),
		cmocka_unit_test(the_tokenizer_may_not_have_more_ids_than_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
