/* tests/model/config_rig.h - a config.json with some fields changed, read. */
#ifndef TESTS_MODEL_CONFIG_RIG_H
#define TESTS_MODEL_CONFIG_RIG_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/arch/config.h"
#include "model/gguf_builder.h"

static const char CONFIG_QWEN3[] =
	"{\"architectures\":[\"Qwen3ForCausalLM\"],\"model_type\":\"qwen3\",\"hidden_size\":1024,"
	"\"num_hidden_layers\":3,\"num_attention_heads\":16,\"num_key_value_heads\":8,\"head_dim\":"
	"128,"
	"\"intermediate_size\":3072,\"vocab_size\":151936,\"max_position_embeddings\":40960,\"rms_"
	"norm_eps\":1e-06,"
	"\"rope_theta\":1000000,\"tie_word_embeddings\":true,\"eos_token_id\":151643}";

static const char CONFIG_QWEN3_5[] =
	"{\"architectures\":[\"Qwen3_5ForConditionalGeneration\"],\"model_type\":\"qwen3_5\","
	"\"tie_word_embeddings\":true,\"text_config\":{\"model_type\":\"qwen3_5_text\",\"hidden_"
	"size\":1024,"
	"\"num_hidden_layers\":8,\"num_attention_heads\":8,\"num_key_value_heads\":2,\"head_dim\":"
	"256,"
	"\"intermediate_size\":3584,\"vocab_size\":248320,\"max_position_embeddings\":262144,\"rms_"
	"norm_eps\":1e-06,"
	"\"linear_num_key_heads\":16,\"linear_num_value_heads\":16,\"linear_key_head_dim\":128,"
	"\"linear_value_head_dim\":128,\"linear_conv_kernel_dim\":4,\"eos_token_id\":248044,\"rope_"
	"parameters\":"
	"{\"rope_type\":\"default\",\"rope_theta\":10000000,\"partial_rotary_factor\":0.25,"
	"\"mrope_section\":[11,11,10],\"mrope_interleaved\":true}}}";

static inline json_t *parse(const char *text)
{
	json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	assert_true(value || !text);
	return value;
}

/* config.json is base with the fields of patch put in; those of patch's text_config go into its. */
static inline enum err read_texts(struct model_config *c, const char *base, const char *patch,
	const char *generation, const char *tokenizer, struct err_info *info)
{
	json_t *whole = parse(base), *fields = parse(patch),
	       *texts[] = {parse(generation), parse(tokenizer)};

	if (fields)
		json_object_update_recursive(whole, fields);
	const struct model_config_texts from = {
		.config = whole, .generation = texts[0], .tokenizer = texts[1]};
	const enum err code = model_config_from_json(c, &from, info);
	json_decref(whole);
	json_decref(fields);
	json_decref(texts[0]);
	json_decref(texts[1]);
	return code;
}

static inline struct model_config read_good(
	const char *base, const char *patch, const char *generation, const char *tokenizer)
{
	struct err_info info = {0};
	struct model_config c;

	if (read_texts(&c, base, patch, generation, tokenizer, &info))
		fail_msg("%s", info.text);
	return c;
}

/* What a wrong or foreign config gives. */
struct config_refusal {
	const char *base, *patch;
	enum err wanted;
	const char *part;       /* of the error's text */
};

static inline void check_refusals(const struct config_refusal *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct err_info info = {0};
		struct model_config c;

		assert_int_equal(read_texts(&c, cases[i].base, cases[i].patch, NULL, NULL, &info),
			cases[i].wanted);
		assert_memory_equal(info.text, "config.json: ", 13);
		if (!strstr(info.text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", info.text, cases[i].part);
	}
}

/* The config of the GGUF file that is being built, which ends here with an embedding of zeros. */
static inline enum err read_built(struct gguf_builder *b, uint64_t rows, uint64_t columns,
	struct model_config *c, struct err_info *info)
{
	const size_t bytes = (size_t)(rows * columns) * sizeof(float);
	float *zeros = calloc(1, bytes);
	struct gguf g;

	assert_non_null(zeros);
	gguf_add_tensor(b, "token_embd.weight", 0, 2, (uint64_t[]){columns, rows}, zeros, bytes);
	struct buf file = gguf_builder_finish(b);

	assert_int_equal(gguf_open(&g, file.data, file.size, "test.gguf", info), ERR_NONE);
	const enum err code = model_config_from_gguf(c, &g, &g.tensors, info);

	gguf_close(&g);
	buf_free(&file);
	free(zeros);
	return code;
}

#endif
