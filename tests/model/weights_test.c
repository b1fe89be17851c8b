/* tests/model/weights_test.c - one model in every layout gives the same weights; a model that is
 * not what its config says is refused, with the tensor's name. */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "chip/format.h"
#include "model/files/gguf_write.h"
#include "model/model_builder.h"
#include "model/weights/weights.h"
#include "scratch.h"
#include "test_data.h"

static const struct model_builder_change NO_CHANGE;

static struct weights open_golden(const char *name)
{
	struct err_info info = {0};
	struct weights w;
	char path[256];

	snprintf(path, sizeof(path), "golden/%s", name);
	if (weights_open(&w, test_path(path), &info))
		fail_msg("%s", info.text);
	return w;
}

/* goldens: small models as transformers and the GGUF converter write them. */

/* The index has the word of a release ("gptq") where one quantized the most of the bytes. */
static void check_kind(const struct weights *w, const json_t *item)
{
	const char *arch = json_string_value(json_object_get(item, "arch"));
	const char *type = json_string_value(json_object_get(item, "dtype"));
	const bool release = type[0] >= 'a' && type[0] <= 'z';

	assert_string_equal(model_arch_name(w->config.arch), arch);
	assert_int_equal(release, w->config.quantization.method != QUANTIZATION_NONE);
	if (!release)
		assert_string_equal(dtype_of_chip(w->type)->name, type);
}

static void every_golden_model_opens(void **state)
{
	json_t *index = test_read_json("golden/index.json"), *item;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(index, "cases"), i, item)
	{
		const char *name = json_string_value(json_object_get(item, "model"));
		struct weights w = open_golden(name);

		check_kind(&w, item);
		assert_true(w.chat_template && w.chat_template_size == strlen(w.chat_template));
		assert_int_equal(w.config.vocab, 320);
		assert_true(w.config.eos_count == 2 && w.config.eos[0] == 289 &&
			    w.config.eos[1] == 287);
		assert_true((w.gguf != NULL) == (strstr(name, ".gguf") != NULL));
		weights_close(&w);
	}
	json_decref(index);
}

/* The index of value head v of a GGUF file among the heads of a safetensors file. */
static uint32_t grouped_head(const struct model_config *c, uint32_t v)
{
	return v % c->delta_k_heads * (c->delta_v_heads / c->delta_k_heads) + v / c->delta_k_heads;
}

/* Row or column i of something made of unit-sized parts per value head, after first others. */
static uint32_t grouped_index(const struct weights *w, uint32_t first, uint32_t unit, uint32_t i)
{
	if (!w->config.delta_tiled || i < first)
		return i;
	return first + grouped_head(&w->config, (i - first) / unit) * unit + (i - first) % unit;
}

/* Where row i of a weight stands in safetensors order. */
static uint32_t grouped_row(const struct weights *w, enum weight weight, uint32_t i)
{
	const struct model_config *c = &w->config;
	const uint32_t q_and_k = 2 * c->delta_k_heads * c->delta_k_dim;

	if (weight == WEIGHT_DELTA_QKV || weight == WEIGHT_DELTA_CONV)
		return grouped_index(w, q_and_k, c->delta_v_dim, i);
	if (weight == WEIGHT_DELTA_Z)
		return grouped_index(w, 0, c->delta_v_dim, i);
	if (weight == WEIGHT_DELTA_A || weight == WEIGHT_DELTA_B || weight == WEIGHT_DELTA_DECAY ||
		weight == WEIGHT_DELTA_DT_BIAS)
		return grouped_index(w, 0, 1, i);
	return i;
}

static void read_row(const struct chip_matrix *m, uint32_t row, float out[512])
{
	uint8_t bytes[2048];

	weights_read_rows(m, row, 1, bytes);
	chip_row_to_f32(m->type, 0, bytes, m->columns, out);
}

static void check_matrices(
	const struct weights *a, const struct weights *b, enum weight weight, uint32_t layer)
{
	const struct chip_matrix *ma = weights_matrix(a, weight, layer),
				 *mb = weights_matrix(b, weight, layer);
	float ra[512], rb[512];

	assert_true(ma->rows == mb->rows && ma->columns == mb->columns && ma->columns <= 512);
	for (uint32_t i = 0; i < ma->rows; i++) {
		read_row(ma, grouped_row(b, weight, i), ra);
		read_row(mb, i, rb);
		for (uint32_t j = 0; j < ma->columns; j++) {
			const uint32_t at = weight == WEIGHT_DELTA_OUT
						    ? grouped_index(b, 0, b->config.delta_v_dim, j)
						    : j;

			if (ra[at] != rb[j])
				fail_msg("weight %d of layer %u differs at [%u, %u]", weight, layer,
					i, j);
		}
	}
}

/* Vectors are equal to rounding: the GGUF converter computes exp(A_log) with another library. */
static void check_vectors(
	const struct weights *a, const struct weights *b, enum weight weight, uint32_t layer)
{
	const struct weight_vector *va = weights_vector(a, weight, layer),
				   *vb = weights_vector(b, weight, layer);
	const uint32_t unit = weight == WEIGHT_DELTA_CONV ? a->config.delta_conv : 1;

	assert_int_equal(va->count, vb->count);
	for (uint32_t i = 0; i < va->count; i++) {
		const float wanted = va->values[grouped_row(b, weight, i / unit) * unit + i % unit];

		if (fabsf(vb->values[i] - wanted) > 3e-7F * fabsf(wanted))
			fail_msg("weight %d of layer %u differs at %u: %g, not %g", weight, layer,
				i, (double)vb->values[i], (double)wanted);
	}
}

/* a is from safetensors. */
static void check_same(const struct weights *a, const struct weights *b)
{
	const struct arch *arch = arch_get(a->config.arch);

	assert_int_equal(a->config.layers, b->config.layers);
	for (uint32_t layer = 0; layer < a->config.layers; layer++)
		for (size_t i = 0; i < arch->rule_count; i++) {
			const struct weight_rule *rule = &arch->rules[i];

			if (!arch_layer_has(&a->config, rule->place, layer))
				continue;
			if (arch_form_is_matrix(rule->form))
				check_matrices(a, b, rule->weight, layer);
			else
				check_vectors(a, b, rule->weight, layer);
		}
}

static void one_model_is_the_same_from_every_layout(void **state)
{
	static const char *const pairs[][2] = {
		{"checkpoints/qwen3_5-mini-bf16", "checkpoints/qwen3_5-mini-packed-bf16"},
		{"checkpoints/qwen3_5-mini-bf16", "checkpoints/qwen3_5-mini-older-f16"},
		{"checkpoints/qwen3_5-mini-bf16", "gguf/qwen3_5-mini-f32.gguf"},
		{"checkpoints/qwen3_5-mini-bf16", "gguf/qwen3_5-mini-f16.gguf"},
		{"checkpoints/qwen3_5-mini-bf16", "gguf/qwen3_5-mini-bf16.gguf"},
		{"checkpoints/qwen3-mini-f16", "checkpoints/qwen3-mini-bf16-sharded"},
		{"checkpoints/qwen3-mini-f16", "gguf/qwen3-mini-f32.gguf"},
		{"checkpoints/qwen3-mini-f16", "gguf/qwen3-mini-f16.gguf"},
		{"checkpoints/qwen3-mini-f16", "gguf/qwen3-mini-bf16.gguf"},
		{"checkpoints/llama-f32", "gguf/llama-f32.gguf"},
		{"checkpoints/llama-mini-bf16", "gguf/llama-mini-bf16.gguf"},
		{"checkpoints/qwen2-mini-f16", "gguf/qwen2-mini-f16.gguf"},
		{"checkpoints/qwen2-mini-f16", "checkpoints/qwen2-vl-mini-bf16"},
		{"checkpoints/qwen2-mini-f16", "gguf/qwen2-vl-mini-f32.gguf"},
		{"checkpoints/qwen3-mini-f16", "checkpoints/qwen3-vl-mini-bf16"},
		{"checkpoints/qwen2_moe-bf16-sharded", "gguf/qwen2_moe-bf16.gguf"},
		{"checkpoints/qwen3_moe-bf16", "checkpoints/qwen3_moe-f16-stacked"},
		{"checkpoints/qwen3_moe-bf16", "checkpoints/qwen3-vl-moe-bf16"},
		{"checkpoints/qwen3_moe-bf16", "gguf/qwen3_moe-f16.gguf"},
		{"checkpoints/qwen3_moe-bf16", "gguf/qwen3-vl-moe-bf16.gguf"},
		{"checkpoints/qwen3_next-bf16", "gguf/qwen3_next-bf16.gguf"},
		{"checkpoints/qwen3_5_moe-bf16", "gguf/qwen3_5_moe-bf16.gguf"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct weights a = open_golden(pairs[i][0]), b = open_golden(pairs[i][1]);

		check_same(&a, &b);
		weights_close(&a);
		weights_close(&b);
	}
}

static void packed_projections_are_spans_of_the_file_not_copies(void **state)
{
	struct weights w = open_golden("checkpoints/qwen3_5-mini-packed-bf16");
	const struct chip_matrix *qkv = weights_matrix(&w, WEIGHT_DELTA_QKV, 0);

	(void)state;
	assert_int_equal(qkv->span_count, 3 * w.config.delta_k_heads);
	for (uint32_t i = 0; i < qkv->span_count; i++) {
		const uint8_t *rows = qkv->spans[i].rows;

		assert_true(rows >= w.maps[0].data && rows < w.maps[0].data + w.maps[0].size);
	}
	weights_close(&w);
}

static void vision_and_multi_token_prediction_are_left_out_with_one_note(void **state)
{
	struct weights w = open_golden("checkpoints/qwen3_5-bf16");

	(void)state;
	assert_string_equal(w.note, "left out: 4 tensors of vision, 4 of multi-token prediction");
	weights_close(&w);
	w = open_golden("gguf/qwen3_5-q8_0.gguf");
	assert_string_equal(w.note, "left out: 15 tensors of multi-token prediction");
	weights_close(&w);
	w = open_golden("checkpoints/qwen3-f32");
	assert_string_equal(w.note, "");
	weights_close(&w);
}

/* spec qwen.md 2.11, trap 14. */
static void a_tied_head_is_the_embedding_unless_a_gguf_file_brings_its_own(void **state)
{
	struct weights w = open_golden("checkpoints/qwen3_5-bf16");

	(void)state;
	assert_true(w.config.tied);
	assert_ptr_equal(weights_matrix(&w, WEIGHT_HEAD, 0)->spans,
		weights_matrix(&w, WEIGHT_EMBED, 0)->spans);
	weights_close(&w);
	w = open_golden("gguf/qwen3_5-q4_0.gguf");
	assert_false(w.config.tied);
	assert_ptr_not_equal(weights_matrix(&w, WEIGHT_HEAD, 0)->spans,
		weights_matrix(&w, WEIGHT_EMBED, 0)->spans);
	weights_close(&w);
}

static void rows_of_padding_are_told_from_tokens_in_gguf(void **state)
{
	struct weights w = open_golden("gguf/qwen3-q8_0.gguf");

	(void)state;
	assert_true(w.config.vocab == 320 && w.config.vocab_used == 300);
	weights_close(&w);
}

static void golden_models_survive_memory_running_out(void **state)
{
	static const char *const names[] = {"golden/checkpoints/qwen3_5-bf16",
		"golden/gguf/qwen3_5-mini-bf16.gguf", "golden/checkpoints/qwen3-mini-bf16-sharded"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		enum err code = ERR_MEMORY;

		for (int64_t n = 1; code; n += 1 + n / 16) {
			struct err_info info = {0};
			struct weights w;

			mem_fail_after(n, 1);
			code = weights_open(&w, test_path(names[i]), &info);
			mem_fail_after(0, 0);
			assert_true(code == ERR_NONE || code == ERR_MEMORY);
			if (!code)
				weights_close(&w);
		}
	}
}

/* models made here, with one thing wrong. */

static enum err open_texts(const char *config, const char *prefix,
	const struct model_builder_change *change, struct weights *w, struct buf *file,
	struct err_info *info)
{
	json_t *value = model_builder_parse(config);
	const struct model_config_texts texts = {.config = value};

	*file = model_builder_safetensors(config, prefix, change);
	const enum err code = weights_open_texts(w, &texts, file->data, file->size, info);
	json_decref(value);
	return code;
}

static void check_texts(const char *config, const char *prefix,
	const struct model_builder_change *change, enum err wanted, const char *part)
{
	struct err_info info = {0};
	struct weights w;
	struct buf file;

	const enum err code = open_texts(config, prefix, change, &w, &file, &info);
	if (code != wanted)
		fail_msg("%d, not %d: \"%s\"", (int)code, (int)wanted, info.text);
	if (!strstr(info.text, part))
		fail_msg("\"%s\" does not say \"%s\"", info.text, part);
	if (!code)
		weights_close(&w);
	buf_free(&file);
}

static void check_gguf(const char *config, uint32_t mtp_layers,
	const struct model_builder_change *change, enum err wanted, const char *part)
{
	struct buf file = model_builder_gguf(config, mtp_layers, change);
	struct err_info info = {0};
	struct weights w;

	const enum err code = weights_open_memory(&w, file.data, file.size, "test.gguf", &info);
	if (code != wanted)
		fail_msg("%d, not %d: \"%s\"", (int)code, (int)wanted, info.text);
	if (!strstr(info.text, part))
		fail_msg("\"%s\" does not say \"%s\"", info.text, part);
	if (!code)
		weights_close(&w);
	buf_free(&file);
}

static void every_prefix_is_found(void **state)
{
	static const char *const prefixes[] = {"model.", "model.language_model.", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		check_texts(MODEL_BUILDER_QWEN3, prefixes[i], &NO_CHANGE, ERR_NONE, "");
		check_texts(MODEL_BUILDER_QWEN3_5, prefixes[i], &NO_CHANGE, ERR_NONE, "");
	}
	check_gguf(MODEL_BUILDER_QWEN3, 0, &NO_CHANGE, ERR_NONE, "");
	check_gguf(MODEL_BUILDER_QWEN3_5, 0, &NO_CHANGE, ERR_NONE, "");
}

/* The i-th tensor's name, or NULL. */
struct nth {
	size_t left;
	bool found;
	char name[160];
};

static void see_nth(void *context, const char *name, const struct weight_rule *rule, uint64_t rows,
	uint64_t columns, const float *values)
{
	struct nth *nth = context;

	(void)rule, (void)rows, (void)columns, (void)values;
	if (nth->left-- == 0) {
		nth->found = true;
		snprintf(nth->name, sizeof(nth->name), "%s", name);
	}
}

static bool nth_name(struct nth *nth, const char *config, bool gguf, size_t i)
{
	const struct model_config c = model_builder_config(config);

	*nth = (struct nth){.left = i};
	model_builder_walk(&c, gguf, gguf ? "" : "model.", &NO_CHANGE, see_nth, nth);
	return nth->found;
}

static void each_tensor_that_is_missing_or_misshapen_is_named(void **state)
{
	static const char *const configs[] = {
		MODEL_BUILDER_QWEN3, MODEL_BUILDER_QWEN3_5, MODEL_BUILDER_QWEN3_5_MOE};
	struct nth nth;

	(void)state;
	for (size_t m = 0; m < 3; m++) {
		for (size_t i = 0; nth_name(&nth, configs[m], false, i); i++) {
			check_texts(configs[m], "model.",
				&(struct model_builder_change){.drop = nth.name}, ERR_INPUT,
				nth.name);
			check_texts(configs[m], "model.",
				&(struct model_builder_change){.reshape = nth.name}, ERR_INPUT,
				nth.name);
			check_texts(configs[m], "model.",
				&(struct model_builder_change){.retype = nth.name}, ERR_UNSUPPORTED,
				"F8_E5M2");
		}
		for (size_t i = 0; nth_name(&nth, configs[m], true, i); i++) {
			const struct model_builder_change drop = {.drop = nth.name},
							  reshape = {.reshape = nth.name};
			const bool head = strcmp(nth.name, "output.weight") == 0;
			const bool embed = strcmp(nth.name, "token_embd.weight") == 0;

			/* Without a head the embedding is it; the embedding's rows are the
			 * vocabulary. */
			check_gguf(configs[m], 0, &drop, head ? ERR_NONE : ERR_INPUT,
				head ? "" : nth.name);
			check_gguf(configs[m], 0, &reshape, ERR_INPUT,
				embed ? "output.weight" : nth.name);
		}
	}
	check_gguf(MODEL_BUILDER_QWEN3, 0,
		&(struct model_builder_change){.retype = "blk.0.ffn_up.weight"}, ERR_UNSUPPORTED,
		"blk.0.ffn_up.weight has type IQ2_XXS; read are F32");
}

static void what_does_not_belong_is_named_and_what_is_known_is_left_out(void **state)
{
	static const struct {
		const char *name;
		enum err wanted;
	} cases[] = {
		{"model.layers.0.self_attn.q_proj.bias", ERR_INPUT},
		{"model.layers.2.input_layernorm.weight", ERR_INPUT},
		{"model.layers.0.linear_attn.in_proj_qkvz.weight", ERR_INPUT},
		{"model.language_model.embed_tokens.weight", ERR_INPUT},
		{"something", ERR_INPUT},
		{"model.visual.blocks.0.norm1.weight", ERR_NONE},
		{"visual.x", ERR_NONE},
		{"mtp.norm.weight", ERR_NONE},
		{"model.layers.0.self_attn.rotary_emb.inv_freq", ERR_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_texts(MODEL_BUILDER_QWEN3_5, "model.",
			&(struct model_builder_change){.add = cases[i].name}, cases[i].wanted, "");
	check_gguf(MODEL_BUILDER_QWEN3_5, 0,
		&(struct model_builder_change){.add = "rope_freqs.weight"}, ERR_INPUT,
		"rope_freqs.weight has no place in a qwen3_5 model");
	check_gguf(MODEL_BUILDER_QWEN3_5, 0,
		&(struct model_builder_change){.add = "blk.2.nextn.enorm.weight"}, ERR_INPUT,
		"blk.2.nextn.enorm.weight");
	check_gguf(MODEL_BUILDER_QWEN3_5, 1,
		&(struct model_builder_change){.add = "blk.2.nextn.enorm.weight"}, ERR_NONE, "");
	check_gguf(MODEL_BUILDER_QWEN3_5, 1,
		&(struct model_builder_change){.add = "blk.3.nextn.enorm.weight"}, ERR_INPUT,
		"blk.3");
	check_gguf(MODEL_BUILDER_QWEN3_5, 1,
		&(struct model_builder_change){.add = "blk.4294967298.x"}, ERR_INPUT, "blk.4");
}

static void small_weights_that_are_not_finite_are_refused(void **state)
{
	static const char *const names[] = {"model.norm.weight", "model.layers.0.linear_attn.A_log",
		"model.layers.0.linear_attn.conv1d.weight",
		"model.layers.1.self_attn.q_norm.weight"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		check_texts(MODEL_BUILDER_QWEN3_5, "model.",
			&(struct model_builder_change){.poison = names[i], .value = NAN}, ERR_INPUT,
			names[i]);
		check_texts(MODEL_BUILDER_QWEN3_5, "model.",
			&(struct model_builder_change){.poison = names[i], .value = INFINITY},
			ERR_INPUT, names[i]);
	}
	/* exp(200) is beyond float; a decay above zero would grow without bound. */
	check_texts(MODEL_BUILDER_QWEN3_5, "model.",
		&(struct model_builder_change){.poison = names[1], .value = 200}, ERR_INPUT,
		names[1]);
	check_gguf(MODEL_BUILDER_QWEN3_5, 0,
		&(struct model_builder_change){.poison = "blk.0.ssm_a", .value = 0.5F}, ERR_INPUT,
		"blk.0.ssm_a");
}

static void norms_and_decays_come_out_as_the_program_uses_them(void **state)
{
	struct err_info info = {0};
	struct weights w;
	struct buf file;

	(void)state;
	assert_int_equal(open_texts(MODEL_BUILDER_QWEN3_5, "model.",
				 &(struct model_builder_change){
					 .poison = "model.norm.weight", .value = 0.25F},
				 &w, &file, &info),
		ERR_NONE);
	assert_true(weights_vector(&w, WEIGHT_FINAL_NORM, 0)->values[31] == 1.25F); /* 1 + w */
	weights_close(&w);
	buf_free(&file);
	assert_int_equal(open_texts(MODEL_BUILDER_QWEN3, "model.",
				 &(struct model_builder_change){
					 .poison = "model.norm.weight", .value = 0.25F},
				 &w, &file, &info),
		ERR_NONE);
	assert_true(weights_vector(&w, WEIGHT_FINAL_NORM, 0)->values[31] == 0.25F);
	weights_close(&w);
	buf_free(&file);
	assert_int_equal(
		open_texts(MODEL_BUILDER_QWEN3_5, "model.",
			&(struct model_builder_change){
				.poison = "model.layers.0.linear_attn.norm.weight", .value = 0.25F},
			&w, &file, &info),
		ERR_NONE);
	assert_true(
		weights_vector(&w, WEIGHT_DELTA_NORM, 0)->values[7] == 0.25F); /* plain, trap 2 */
	weights_close(&w);
	buf_free(&file);
	assert_int_equal(open_texts(MODEL_BUILDER_QWEN3_5, "model.",
				 &(struct model_builder_change){
					 .poison = "model.layers.0.linear_attn.A_log", .value = 0},
				 &w, &file, &info),
		ERR_NONE);
	assert_true(weights_vector(&w, WEIGHT_DELTA_DECAY, 0)->values[3] == -1.0F);
	weights_close(&w);
	buf_free(&file);
}

/* The outer object of config.json speaks for the class that is loaded; older libraries asked the
 * inner one. */
static void a_tied_checkpoint_uses_its_head_only_where_the_config_says_both(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool stored, works, tied;
	} cases[] = {
		{"true", "true", true, true,
			true}, /* the copy is left alone, as transformers does */
		{"true", "true", false, true, true},
		{"false", "false", true, true, false},
		{"false", "false", false, false, false},
		{"false", "true", true, true, false}, /* what is stored decides */
		{"false", "true", false, true, true},
		{"true", "false", true, true, false},
		{"null", "true", true, true, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct model_builder_change change = {
			.drop = cases[i].stored ? NULL : "lm_head.weight"};
		json_t *text = model_builder_parse(MODEL_BUILDER_QWEN3_5);
		struct err_info info = {0};
		struct weights w;
		struct buf file =
			model_builder_safetensors(MODEL_BUILDER_QWEN3_5, "model.", &change);

		json_object_set_new(text, "tie_word_embeddings",
			json_boolean(strcmp(cases[i].inner, "true") == 0));
		json_t *config =
			json_pack("{s:s, s:o}", "model_type", "qwen3_5", "text_config", text);
		if (strcmp(cases[i].outer, "null") != 0)
			json_object_set_new(config, "tie_word_embeddings",
				json_boolean(strcmp(cases[i].outer, "true") == 0));
		const struct model_config_texts texts = {.config = config};
		const enum err code = weights_open_texts(&w, &texts, file.data, file.size, &info);
		assert_int_equal(code, cases[i].works ? ERR_NONE : ERR_INPUT);
		if (!code) {
			assert_int_equal(w.config.tied, cases[i].tied);
			assert_int_equal(weights_matrix(&w, WEIGHT_HEAD, 0)->spans[0].rows ==
						 weights_matrix(&w, WEIGHT_EMBED, 0)->spans[0].rows,
				cases[i].tied);
			weights_close(&w);
		}
		json_decref(config);
		buf_free(&file);
	}
}

/* Every byte of header and metadata changed: an answer, and if it opens, everything can be read. */
static void a_byte_changed_anywhere_in_a_model_is_an_answer(void **state)
{
	struct buf file = model_builder_gguf(MODEL_BUILDER_QWEN3_5, 0, &NO_CHANGE);
	const size_t header = 4096 < file.size ? 4096 : file.size;

	(void)state;
	for (size_t i = 0; i < header; i++) {
		const char kept = file.data[i];

		for (int bit = 0; bit < 8; bit += 3) {
			struct err_info info = {0};
			struct weights w;

			file.data[i] = (char)(kept ^ (1 << bit));
			if (!weights_open_memory(&w, file.data, file.size, "test.gguf", &info))
				weights_close(&w);
			else
				assert_true(info.text[0]);
		}
		file.data[i] = kept;
	}
	buf_free(&file);
}

static struct weights open_built(const char *config, bool gguf, struct buf *file)
{
	json_t *json = model_builder_parse(config);
	const struct model_config_texts texts = {.config = json};
	struct err_info info = {0};
	struct weights w;

	*file = gguf ? model_builder_gguf(config, 0, &NO_CHANGE)
		     : model_builder_safetensors(config, "model.", &NO_CHANGE);
	if (gguf ? weights_open_memory(&w, file->data, file->size, "test.gguf", &info)
		 : weights_open_texts(&w, &texts, file->data, file->size, &info))
		fail_msg("%s", info.text);
	json_decref(json);
	return w;
}

/* The builder writes the same values in both, row by row: dims 2i and 2i + 1 of a head in GGUF are
 * i and i + 8 of it for the program. */
static void llama_in_gguf_has_the_halves_of_each_head_in_turns(void **state)
{
	static const enum weight matrices[] = {WEIGHT_ATTN_Q, WEIGHT_ATTN_K, WEIGHT_ATTN_V};
	struct buf files[2];
	struct weights json = open_built(MODEL_BUILDER_LLAMA, false, &files[0]),
		       gguf = open_built(MODEL_BUILDER_LLAMA, true, &files[1]);
	float a[32], b[32];

	(void)state;
	assert_true(gguf.config.qkv_bias && gguf.config.out_bias && gguf.config.ffn_bias);
	for (size_t i = 0; i < 3; i++) {
		const struct chip_matrix *ma = weights_matrix(&json, matrices[i], 0),
					 *mb = weights_matrix(&gguf, matrices[i], 0);
		const struct weight_vector *va =
			weights_vector(&json, WEIGHT_ATTN_Q_BIAS + matrices[i] - WEIGHT_ATTN_Q, 0);
		const struct weight_vector *vb =
			weights_vector(&gguf, WEIGHT_ATTN_Q_BIAS + matrices[i] - WEIGHT_ATTN_Q, 0);

		for (uint32_t row = 0; row < mb->rows; row++) {
			const uint32_t at = row % 16;
			const uint32_t there = i == 2 ? row : row - at + at % 8 * 2 + at / 8;

			chip_row_to_f32(ma->type, 0, weights_row(ma, there), 32, a);
			chip_row_to_f32(mb->type, 0, weights_row(mb, row), 32, b);
			assert_memory_equal(a, b, sizeof(a));
			assert_true(va->values[there] == vb->values[row]);
		}
	}
	weights_close(&json);
	weights_close(&gguf);
	buf_free(&files[0]);
	buf_free(&files[1]);
}

static void write_tensor(struct gguf_writer *w, const struct stored_tensor *t)
{
	assert_int_equal(gguf_writer_data(w, t->data, t->size_bytes, UNIT_IGNORED), ERR_NONE);
}

/* A file of Qwen3-Next with q, k, v and z of its first layer in one tensor, by key head, as the
 * first conversions had it, and as the checkpoint has it. */
static void write_early(const struct weights *gguf, const struct stored_tensor *qkvz)
{
	static const char *const two[] = {"blk.0.attn_qkv.weight", "blk.0.attn_gate.weight"};
	const struct stored_tensor *of_two[2];
	struct gguf_writer w;

	gguf_writer_init(&w);
	for (uint32_t i = 0; i < gguf->gguf->key_count; i++)
		gguf_write_key(&w, &gguf->gguf->keys[i]);
	gguf_write_tensor(&w, "blk.0.ssm_in.weight", 19, qkvz->dims, 2, dtype_of_chip(CHIP_BF16));
	for (size_t i = 0; i < 2; i++)
		assert_non_null(of_two[i] = stored_table_find(&gguf->table, two[i]));
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < gguf->table.count; i++) {
			const struct stored_tensor *t = &gguf->table.tensors[i];

			if (t == of_two[0] || t == of_two[1])
				continue;
			if (pass == 0)
				gguf_write_tensor(&w, t->name, t->name_size, t->dims, t->dim_count,
					t->dtype);
			else
				write_tensor(&w, t);
		}
		if (pass > 0)
			break;
		assert_int_equal(gguf_writer_open(&w, scratch_path("early.gguf"), UNIT_IGNORED),
			ERR_NONE);
		write_tensor(&w, qkvz);
	}
	assert_int_equal(gguf_writer_commit(&w, UNIT_IGNORED), ERR_NONE);
	gguf_writer_close(&w);
}

static void early_files_of_qwen3_next_have_one_projection_for_two(void **state)
{
	struct weights json = open_golden("checkpoints/qwen3_next-bf16"),
		       gguf = open_golden("gguf/qwen3_next-bf16.gguf"), early;
	struct err_info info = {0};

	(void)state;
	write_early(&gguf, stored_table_find(&json.table,
		"model.layers.0.linear_attn.in_proj_qkvz.weight"));
	if (weights_open(&early, scratch_path("early.gguf"), &info))
		fail_msg("%s", info.text);
	check_same(&gguf, &early);
	weights_close(&early);
	weights_close(&gguf);
	weights_close(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_model_opens),
		cmocka_unit_test(one_model_is_the_same_from_every_layout),
		cmocka_unit_test(packed_projections_are_spans_of_the_file_not_copies),
		cmocka_unit_test(vision_and_multi_token_prediction_are_left_out_with_one_note),
		cmocka_unit_test(a_tied_head_is_the_embedding_unless_a_gguf_file_brings_its_own),
		cmocka_unit_test(rows_of_padding_are_told_from_tokens_in_gguf),
		cmocka_unit_test(golden_models_survive_memory_running_out),
		cmocka_unit_test(every_prefix_is_found),
		cmocka_unit_test(each_tensor_that_is_missing_or_misshapen_is_named),
		cmocka_unit_test(what_does_not_belong_is_named_and_what_is_known_is_left_out),
		cmocka_unit_test(small_weights_that_are_not_finite_are_refused),
		cmocka_unit_test(norms_and_decays_come_out_as_the_program_uses_them),
		cmocka_unit_test(a_tied_checkpoint_uses_its_head_only_where_the_config_says_both),
		cmocka_unit_test(a_byte_changed_anywhere_in_a_model_is_an_answer),
		cmocka_unit_test(llama_in_gguf_has_the_halves_of_each_head_in_turns),
		cmocka_unit_test_setup_teardown(
			early_files_of_qwen3_next_have_one_projection_for_two, scratch_open,
			scratch_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
