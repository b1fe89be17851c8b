/* tests/model/arch_test.c - what each architecture's config means: biases, experts, layers without
 * them, whose names it has in files. */
#include "model/config_rig.h"

#include "model/arch/arch.h"

static const char LLAMA[] =
	"{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":576,"
	"\"num_hidden_layers\":3,\"num_attention_heads\":9,\"num_key_value_heads\":3,"
	"\"intermediate_size\":1536,\"vocab_size\":49152,\"max_position_embeddings\":8192,"
	"\"rms_norm_eps\":1e-05,\"rope_theta\":100000}";

static const char QWEN2[] =
	"{\"model_type\":\"qwen2\",\"hidden_size\":896,\"num_hidden_layers\":3,"
	"\"num_attention_heads\":14,\"num_key_value_heads\":2,\"intermediate_size\":4864,"
	"\"vocab_size\":151936,\"max_position_embeddings\":32768,\"rms_norm_eps\":1e-06,"
	"\"rope_theta\":1000000}";

static const char MOE[] =
	"{\"model_type\":\"qwen3_moe\",\"hidden_size\":2048,\"num_hidden_layers\":4,"
	"\"num_attention_heads\":32,\"num_key_value_heads\":4,\"head_dim\":128,"
	"\"intermediate_size\":6144,\"vocab_size\":151936,\"max_position_embeddings\":40960,"
	"\"rms_norm_eps\":1e-06,\"rope_theta\":1000000,\"num_experts\":128,"
	"\"num_experts_per_tok\":8,\"moe_intermediate_size\":768,\"norm_topk_prob\":true}";

/* With the words of every mixture that there is. */
static const char MOE_3_5[] =
	"{\"model_type\":\"qwen3_5_moe_text\",\"hidden_size\":2048,\"num_hidden_layers\":4,"
	"\"num_attention_heads\":16,\"num_key_value_heads\":2,\"vocab_size\":248320,"
	"\"max_position_embeddings\":262144,\"rms_norm_eps\":1e-06,\"rope_theta\":1e7,"
	"\"num_experts\":256,\"num_experts_per_tok\":8,\"moe_intermediate_size\":512,"
	"\"shared_expert_intermediate_size\":512,\"linear_num_key_heads\":16,"
	"\"linear_num_value_heads\":32,\"linear_key_head_dim\":128,"
	"\"linear_value_head_dim\":128,\"linear_conv_kernel_dim\":4}";

/* ---- names ----------------------------------------------------------------------------------- */

static void every_architecture_is_found_by_each_of_its_names(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MODEL_ARCHS; i++) {
		const struct arch *a = arch_get((enum model_arch)i);

		assert_ptr_equal(arch_from_gguf(a->gguf_name, strlen(a->gguf_name)), a);
		for (size_t j = 0; j < ARCH_TYPES_MAX && a->model_types[j]; j++)
			assert_ptr_equal(arch_from_model_type(a->model_types[j]), a);
		for (size_t j = 0; j < ARCH_CLASSES_MAX && a->classes[j]; j++)
			assert_ptr_equal(arch_from_class(a->classes[j]), a);
	}
	assert_null(arch_from_model_type("qwen"));
	assert_null(arch_from_class("Qwen3ForTokenClassification"));
	assert_null(arch_from_gguf("qwen3", 4));
}

static void the_text_part_is_found_in_a_model_with_vision(void **state)
{
	static const struct {
		const char *type, *text_type;
		enum model_arch arch;
		bool interleaved;
	} cases[] = {
		{"qwen2_vl", NULL, MODEL_ARCH_QWEN2_VL, false},
		{"qwen2_vl", "qwen2_vl_text", MODEL_ARCH_QWEN2_VL, false},
		{"qwen2_5_vl", "qwen2_5_vl_text", MODEL_ARCH_QWEN2_VL, false},
		{"qwen3_vl", "qwen3_vl_text", MODEL_ARCH_QWEN3_VL, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *text = parse(QWEN2), *whole = json_object();
		const char *type = cases[i].text_type ? cases[i].text_type : cases[i].type;

		json_object_set_new(text, "model_type", json_string(type));
		json_object_set_new(text, "rope_scaling",
			json_pack("{s:s,s:[i,i,i]}", "type", "mrope", "mrope_section",
				cases[i].interleaved ? 24 : 16, cases[i].interleaved ? 20 : 8,
				cases[i].interleaved ? 20 : 8));
		json_object_set_new(whole, "model_type", json_string(cases[i].type));
		json_object_set_new(whole, "text_config", text);
		char *nested = json_dumps(whole, 0), *flat = json_dumps(text, 0);
		const struct model_config c =
			read_good(cases[i].text_type ? nested : flat, NULL, NULL, NULL);

		assert_int_equal(c.arch, cases[i].arch);
		assert_int_equal(c.rope_interleaved, cases[i].interleaved);
		assert_int_equal(c.qkv_bias, !cases[i].interleaved);
		free(nested);
		free(flat);
		json_decref(whole);
	}
}

/* ---- attention ------------------------------------------------------------------------------- */

/* With the defaults of the classes in transformers; 0: none, the config must say it. */
static void what_a_config_leaves_out_is_the_architectures(void **state)
{
	static const char without[] = "{\"model_type\":\"%s\",\"architectures\":null,"
		"\"head_dim\":null,\"rope_theta\":%s,\"rope_scaling\":{\"type\":\"default\","
		"\"mrope_section\":[%u,0,0]},\"num_experts\":%s,\"intermediate_size\":512,"
		"\"shared_expert_intermediate_size\":8}";
	static const struct {
		const char *base, *type, *experts;
		uint32_t head_dim, rotary_dim;
		double theta;
		bool interleaved;
		enum pretokenize_rule pretokenize;
	} cases[] = {
		{LLAMA, "llama", "null", 64, 64, 10000, false, PRETOKENIZE_GPT2},
		{QWEN2, "qwen2", "null", 64, 64, 0, false, PRETOKENIZE_QWEN2},
		{QWEN2, "qwen2_vl", "null", 64, 64, 1000000, false, PRETOKENIZE_QWEN2},
		{MOE, "qwen2_moe", "128", 64, 64, 0, false, PRETOKENIZE_QWEN2},
		{QWEN2, "qwen3", "null", 128, 128, 0, false, PRETOKENIZE_QWEN2},
		{MOE, "qwen3_moe", "128", 64, 64, 0, false, PRETOKENIZE_QWEN2},
		{QWEN2, "qwen3_vl", "null", 128, 128, 0, true, PRETOKENIZE_QWEN2},
		{MOE, "qwen3_vl_moe", "128", 64, 64, 0, true, PRETOKENIZE_QWEN2},
		{MOE_3_5, "qwen3_next", "256", 256, 64, 0, false, PRETOKENIZE_QWEN2},
		{MOE_3_5, "qwen3_5", "null", 256, 64, 0, true, PRETOKENIZE_QWEN35},
		{MOE_3_5, "qwen3_5_moe", "256", 256, 64, 0, true, PRETOKENIZE_QWEN35},
	};

	(void)state;
	_Static_assert(sizeof(cases) / sizeof(cases[0]) == MODEL_ARCHS, "each has a row");
	for (size_t i = 0; i < MODEL_ARCHS; i++) {
		struct err_info info = {0};
		struct model_config c;
		char patch[512];

		for (int said = 0; said < 2; said++) {
			snprintf(patch, sizeof(patch), without, cases[i].type, said ? "5e5" : "null",
				cases[i].rotary_dim / 2, cases[i].experts);
			if (!said && cases[i].theta == 0) {
				assert_int_equal(read_texts(&c, cases[i].base, patch, NULL, NULL,
					&info), ERR_INPUT);
				assert_non_null(strstr(info.text, "rope_theta is missing"));
				continue;
			}
			c = read_good(cases[i].base, patch, NULL, NULL);
			assert_string_equal(model_arch_name(c.arch), cases[i].type);
			assert_true(c.rope_theta == (said ? 5e5 : cases[i].theta));
			assert_int_equal(c.head_dim, cases[i].head_dim);
			assert_int_equal(c.rotary_dim, cases[i].rotary_dim);
			assert_int_equal(c.rope_interleaved, cases[i].interleaved);
			assert_int_equal(arch_get(c.arch)->pretokenize, cases[i].pretokenize);
		}
	}
	assert_int_equal(read_good(LLAMA, "{\"head_dim\":128}", NULL, NULL).head_dim, 128);
}

static void biases_are_where_the_architecture_has_them(void **state)
{
	static const struct {
		const char *base, *patch;
		bool qkv, out, ffn;
	} cases[] = {
		{LLAMA, NULL, false, false, false},
		{LLAMA, "{\"attention_bias\":true}", true, true, false},
		{LLAMA, "{\"mlp_bias\":true}", false, false, true},
		{QWEN2, NULL, true, false, false},
		{QWEN2, "{\"attention_bias\":false,\"mlp_bias\":true}", true, false, false},
		{CONFIG_QWEN3, "{\"attention_bias\":true,\"mlp_bias\":true}", true, true, false},
		{MOE, "{\"model_type\":\"qwen2_moe\",\"shared_expert_intermediate_size\":8}", true,
			false, false},
		{MOE,
			"{\"model_type\":\"qwen2_moe\",\"shared_expert_intermediate_size\":8,"
			"\"qkv_bias\":false}",
			false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct model_config c = read_good(cases[i].base, cases[i].patch, NULL, NULL);

		assert_int_equal(c.qkv_bias, cases[i].qkv);
		assert_int_equal(c.out_bias, cases[i].out);
		assert_int_equal(c.ffn_bias, cases[i].ffn);
	}
}

/* The class that reads a checkpoint decides which layers look at a window. */
static void windows_are_in_the_layers_that_the_architecture_means(void **state)
{
#define WINDOW(last) "\"use_sliding_window\":true,\"sliding_window\":24,\"max_window_layers\":" last
	static const struct {
		const char *base, *patch;
		const char *layers;   /* w: window, f: all keys */
	} cases[] = {
		{QWEN2, "{" WINDOW("1") "}", "fww"},
		{QWEN2, "{" WINDOW("3") "}", "fff"},
		{QWEN2, "{" WINDOW("1") ",\"use_sliding_window\":false}", "fff"},
		{QWEN2, "{" WINDOW("1") ",\"sliding_window\":null}", "fff"},
		{QWEN2,
			"{" WINDOW("1") ",\"layer_types\":[\"sliding_attention\",\"full_attention\","
			"\"sliding_attention\"]}",
			"wfw"},
		{QWEN2, "{\"model_type\":\"qwen2_vl\"," WINDOW("1") "}", "fww"},
		{CONFIG_QWEN3, "{" WINDOW("2") "}", "ffw"},
		{LLAMA, "{" WINDOW("0") "}", "fff"},
		{MOE, "{" WINDOW("9") "}", "wwww"},
		{MOE,
			"{" WINDOW("3") ",\"model_type\":\"qwen2_moe\","
			"\"shared_expert_intermediate_size\":8}",
			"wfwf"},
	};
	static const struct config_refusal refused[] = {
		{QWEN2, "{\"use_sliding_window\":true,\"max_window_layers\":1}", ERR_INPUT,
			"sliding_window is missing"},
		{QWEN2, "{\"use_sliding_window\":true,\"sliding_window\":8}", ERR_INPUT,
			"max_window_layers is missing"},
		{QWEN2, "{" WINDOW("1") ",\"sliding_window\":0}", ERR_INPUT, "sliding_window"},
		{QWEN2, "{" WINDOW("1") ",\"sliding_window\":-1}", ERR_INPUT, "sliding_window"},
		{CONFIG_QWEN3,
			"{\"layer_types\":[\"full_attention\",\"full_attention\","
			"\"sliding_attention\"]}",
			ERR_INPUT, "layer 2 is of type sliding_attention, but use_sliding_window"},
		{LLAMA,
			"{\"layer_types\":[\"sliding_attention\",\"full_attention\","
			"\"full_attention\"]}",
			ERR_UNSUPPORTED, "layer 0 of type sliding_attention is not supported in llama; "
			"known: full_attention"},
		{MOE,
			"{" WINDOW("1") ",\"layer_types\":[\"full_attention\",\"full_attention\","
			"\"full_attention\",\"full_attention\"]}",
			ERR_UNSUPPORTED, "layer 0 of type full_attention with use_sliding_window"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct model_config c = read_good(cases[i].base, cases[i].patch, NULL, NULL);

		for (uint32_t j = 0; j < c.layers; j++)
			assert_int_equal(c.layer_window[j], cases[i].layers[j] == 'w');
		assert_true(c.window == 24 || !strchr(cases[i].layers, 'w'));
	}
	check_refusals(refused, sizeof(refused) / sizeof(refused[0]));
#undef WINDOW
}

/* ---- experts --------------------------------------------------------------------------------- */

static void experts_are_read(void **state)
{
	struct model_config c = read_good(MOE, NULL, NULL, NULL);

	(void)state;
	assert_true(c.experts == 128 && c.experts_used == 8 && c.expert_ffn == 768);
	assert_true(c.shared_ffn == 0 && c.experts_norm && c.experts_scale == 1);
	assert_true(c.expert_layers == 4 && c.layer_ffn[3] == MODEL_FFN_EXPERTS);
	c = read_good(MOE, "{\"num_experts\":null,\"num_local_experts\":64}", NULL, NULL);
	assert_int_equal(c.experts, 64);
	c = read_good(MOE_3_5, NULL, NULL, NULL);
	assert_true(c.experts == 256 && c.shared_ffn == 512 && c.ffn == 0 && c.experts_norm);
	assert_true(c.delta_layers == 3 && c.expert_layers == 4);
}

/* The class that reads a checkpoint decides where the file does not. */
static void weights_of_experts_are_normalised_where_the_architecture_does(void **state)
{
#define SHARED ",\"shared_expert_intermediate_size\":8"
#define DELTA \
	",\"linear_num_key_heads\":2,\"linear_num_value_heads\":4,\"linear_key_head_dim\":8," \
	"\"linear_value_head_dim\":8,\"linear_conv_kernel_dim\":4"
	static const struct {
		const char *patch;
		bool norm;
	} cases[] = {
		{"{\"norm_topk_prob\":null}", false},
		{"{\"norm_topk_prob\":true}", true},
		{"{\"norm_topk_prob\":false}", false},
		{"{\"norm_topk_prob\":null,\"model_type\":\"qwen2_moe\"" SHARED "}", false},
		{"{\"norm_topk_prob\":null,\"model_type\":\"qwen3_vl_moe\"}", true},
		{"{\"norm_topk_prob\":null,\"model_type\":\"qwen3_next\"" SHARED DELTA "}", true},
		{"{\"norm_topk_prob\":false,\"model_type\":\"qwen3_next\"" SHARED DELTA "}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(read_good(MOE, cases[i].patch, NULL, NULL).experts_norm,
			cases[i].norm);
}

static void layers_are_dense_by_name_or_by_step(void **state)
{
	static const struct {
		const char *patch;
		const char *layers;   /* e: experts, d: dense */
	} cases[] = {
		{"{\"mlp_only_layers\":[]}", "eeee"},
		{"{\"mlp_only_layers\":null,\"decoder_sparse_step\":1}", "eeee"},
		{"{\"mlp_only_layers\":[0,2]}", "dede"},
		{"{\"decoder_sparse_step\":2}", "dede"},
		{"{\"decoder_sparse_step\":3}", "dded"},
		{"{\"decoder_sparse_step\":2,\"mlp_only_layers\":[3]}", "dedd"},
		{"{\"num_experts\":0}", "dddd"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct model_config c = read_good(MOE, cases[i].patch, NULL, NULL);
		uint32_t with_experts = 0;

		for (uint32_t j = 0; j < 4; j++) {
			const bool experts = cases[i].layers[j] == 'e';

			assert_int_equal(c.layer_ffn[j] == MODEL_FFN_EXPERTS, experts);
			assert_int_equal(arch_layer_has(&c, PLACE_EXPERTS, j), experts);
			assert_int_equal(arch_layer_has(&c, PLACE_DENSE, j), !experts);
			with_experts += experts;
		}
		assert_int_equal(c.expert_layers, with_experts);
	}
}

static void experts_that_cannot_be_are_refused(void **state)
{
	static const struct config_refusal cases[] = {
		{QWEN2, "{\"num_experts\":8}", ERR_UNSUPPORTED,
			"a mixture of experts (num_experts) is not supported in qwen2"},
		{MOE, "{\"num_experts\":1025}", ERR_INPUT, "num_experts"},
		{MOE, "{\"num_experts\":4294967297}", ERR_INPUT, "num_experts"},
		{MOE, "{\"num_experts\":-1}", ERR_INPUT, "num_experts"},
		{MOE, "{\"num_experts\":\"8\"}", ERR_INPUT, "num_experts"},
		{MOE, "{\"num_experts_per_tok\":129}", ERR_INPUT,
			"the number of experts of a token is 129, not in 1 to 64"},
		{MOE, "{\"num_experts\":4,\"num_experts_per_tok\":5}", ERR_INPUT,
			"the number of experts of a token is 5, not in 1 to 4"},
		{MOE, "{\"num_experts_per_tok\":0}", ERR_INPUT, "num_experts_per_tok"},
		{MOE, "{\"num_experts_per_tok\":null}", ERR_INPUT,
			"num_experts_per_tok is missing"},
		{MOE, "{\"moe_intermediate_size\":null}", ERR_INPUT,
			"moe_intermediate_size is missing"},
		{MOE, "{\"moe_intermediate_size\":1e18}", ERR_INPUT, "moe_intermediate_size"},
		{MOE, "{\"mlp_only_layers\":[4]}", ERR_INPUT, "not one of 4 layers"},
		{MOE, "{\"mlp_only_layers\":[-1]}", ERR_INPUT, "not one of 4 layers"},
		{MOE, "{\"mlp_only_layers\":[0.5]}", ERR_INPUT, "not one of 4 layers"},
		{MOE, "{\"mlp_only_layers\":3}", ERR_INPUT, "mlp_only_layers is not a list"},
		{MOE, "{\"decoder_sparse_step\":0}", ERR_INPUT, "decoder_sparse_step"},
		{MOE, "{\"mlp_only_layers\":[1],\"intermediate_size\":null}", ERR_INPUT,
			"intermediate_size is missing"},
		{MOE, "{\"model_type\":\"qwen2_moe\"}", ERR_INPUT,
			"shared_expert_intermediate_size is missing"},
		{MOE_3_5, "{\"num_experts\":0}", ERR_INPUT, "num_experts is missing"},
		{MOE_3_5, "{\"norm_topk_prob\":false}", ERR_UNSUPPORTED,
			"norm_topk_prob false is not supported in qwen3_5_moe"},
		{MOE, "{\"model_type\":\"qwen3_vl_moe\",\"norm_topk_prob\":false}", ERR_UNSUPPORTED,
			"norm_topk_prob false is not supported in qwen3_vl_moe"},
		{MOE_3_5, "{\"mlp_only_layers\":[1]}", ERR_UNSUPPORTED, "mlp_only_layers is not"},
		{MOE_3_5, "{\"decoder_sparse_step\":2}", ERR_UNSUPPORTED, "decoder_sparse_step 2"},
	};

	(void)state;
	check_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

struct key {
	const char *name;
	uint32_t number;
	float real;
};

/* A qwen3moe of two layers, with one key in another way or more than it needs, and a pattern of
 * windows if flags is not 0. */
static enum err read_moe(const struct key *other, uint32_t routers, const int32_t *pattern,
	uint64_t flags, struct model_config *c, struct err_info *info)
{
	static const struct key keys[] = {
		{"block_count", 2, 0}, {"context_length", 64, 0}, {"embedding_length", 32, 0},
		{"feed_forward_length", 96, 0}, {"attention.head_count", 4, 0},
		{"expert_count", 8, 0}, {"expert_used_count", 2, 0},
		{"attention.layer_norm_rms_epsilon", 0, 1e-6F}, {"rope.freq_base", 0, 1e6F},
	};
	static const float rows[8 * 32];
	const size_t count = sizeof(keys) / sizeof(keys[0]);
	struct gguf_builder b;
	char name[64];

	gguf_builder_init(&b);
	gguf_add_string(&b, "general.architecture", "qwen3moe");
	for (size_t i = 0; i <= count; i++) {
		const struct key *k = i < count ? &keys[i] : other;

		if (!k || (i < count && other && strcmp(other->name, k->name) == 0))
			continue;
		snprintf(name, sizeof(name), "qwen3moe.%s", k->name);
		if (k->real > 0)
			gguf_add_f32(&b, name, k->real);
		else
			gguf_add_u32(&b, name, k->number);
	}
	if (flags > 0)
		gguf_add_i32s(&b, "qwen3moe.attention.sliding_window_pattern", flags, pattern);
	for (uint32_t i = 0; i < routers; i++) {
		snprintf(name, sizeof(name), "blk.%u.ffn_gate_inp.weight", i);
		gguf_add_tensor(&b, name, 0, 2, (uint64_t[]){32, 8}, rows, sizeof(rows));
	}
	return read_built(&b, 8, 32, c, info);
}

static enum err read_gguf(const struct key *other, uint32_t routers, struct model_config *c,
	struct err_info *info)
{
	return read_moe(other, routers, NULL, 0, c, info);
}

static enum err read_gguf_pattern(const struct key *other, const int32_t *pattern, uint64_t flags,
	struct model_config *c, struct err_info *info)
{
	return read_moe(other, 2, pattern, flags, c, info);
}

static void experts_of_gguf_are_in_the_layers_that_have_a_router(void **state)
{
	const struct key ffn = {"expert_feed_forward_length", 24, 0};
	const struct key scale = {"expert_weights_scale", 0, 2.5F};
	struct err_info info = {0};
	struct model_config c;

	(void)state;
	assert_int_equal(read_gguf(NULL, 2, &c, &info), ERR_NONE);
	assert_true(c.experts == 8 && c.experts_used == 2 && c.expert_layers == 2);
	assert_true(c.expert_ffn == 48 && c.shared_ffn == 0);   /* 96 between two */
	assert_true(c.experts_norm && c.experts_scale == 1);
	assert_int_equal(read_gguf(&ffn, 1, &c, &info), ERR_NONE);
	assert_true(c.expert_ffn == 24 && c.expert_layers == 1);
	assert_true(c.layer_ffn[0] == MODEL_FFN_EXPERTS && c.layer_ffn[1] == MODEL_FFN_DENSE);
	assert_int_equal(read_gguf(&scale, 2, &c, &info), ERR_NONE);
	assert_true(c.experts_scale == 2.5F);
}

static void a_window_of_gguf_is_of_all_layers_or_of_those_listed(void **state)
{
	const struct key window = {"attention.sliding_window", 24, 0};
	const int32_t second[] = {0, 1};
	struct err_info info = {0};
	struct model_config c;

	(void)state;
	assert_int_equal(read_gguf(&window, 2, &c, &info), ERR_NONE);
	assert_true(c.window == 24 && c.layer_window[0] && c.layer_window[1]);
	assert_int_equal(read_gguf_pattern(&window, second, 2, &c, &info), ERR_NONE);
	assert_true(c.window == 24 && !c.layer_window[0] && c.layer_window[1]);
	assert_int_equal(read_gguf_pattern(&window, second, 1, &c, &info), ERR_INPUT);
	assert_non_null(strstr(info.text, "sliding_window_pattern has 1 entries for 2 layers"));
}

static void experts_of_gguf_that_cannot_be_are_refused(void **state)
{
	static const struct {
		struct key key;
		const char *part;
	} cases[] = {
		{{"expert_count", 5000, 0}, "expert_count"},
		{{"expert_used_count", 9, 0}, "the number of experts of a token is 9"},
		{{"expert_used_count", 0, 0}, "expert_used_count"},
		{{"expert_gating_func", 2, 0}, "expert_gating_func 2 is not supported"},
		{{"expert_group_count", 4, 0}, "experts in 4 groups are not supported"},
		{{"expert_feed_forward_length", 0, 0}, "the feed-forward size of an expert is 0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err_info info = {0};
		struct model_config c;

		assert_true(read_gguf(&cases[i].key, 2, &c, &info));
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_architecture_is_found_by_each_of_its_names),
		cmocka_unit_test(the_text_part_is_found_in_a_model_with_vision),
		cmocka_unit_test(what_a_config_leaves_out_is_the_architectures),
		cmocka_unit_test(biases_are_where_the_architecture_has_them),
		cmocka_unit_test(windows_are_in_the_layers_that_the_architecture_means),
		cmocka_unit_test(experts_are_read),
		cmocka_unit_test(weights_of_experts_are_normalised_where_the_architecture_does),
		cmocka_unit_test(layers_are_dense_by_name_or_by_step),
		cmocka_unit_test(experts_that_cannot_be_are_refused),
		cmocka_unit_test(experts_of_gguf_are_in_the_layers_that_have_a_router),
		cmocka_unit_test(a_window_of_gguf_is_of_all_layers_or_of_those_listed),
		cmocka_unit_test(experts_of_gguf_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
