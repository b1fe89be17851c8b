/* fuzz/seeds.c - writes the seeds of fuzz/corpus that are whole models: each architecture in both
 * formats, each type of GGUF, each kind of quantized release.
 *
 *	build/release/fuzz/seeds fuzz/corpus
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "chip/format.h"
#include "model/quantized_builder.h"

static const char *corpus;

static void write_seed(const char *folder, const char *name, const struct buf *bytes)
{
	struct err_info info = {0};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/%s", corpus, folder, name);
	if (bytes->failed || file_write_atomic(path, bytes->data, bytes->size, 0644, &info)) {
		fprintf(stderr, "%s: %s\n", path, info.text);
		exit(1);
	}
}

/* ---- safetensors: u32 size, config.json, the file -------------------------------------------- */

static void write_safetensors(const char *name, const char *config, struct buf *file)
{
	const uint32_t size = (uint32_t)strlen(config);
	struct buf out;

	buf_init(&out, (size_t)1 << 20);
	buf_add(&out, &size, sizeof(size));
	buf_add_str(&out, config);
	buf_add(&out, file->data, file->size);
	write_seed("safetensors", name, &out);
	buf_free(&out);
	buf_free(file);
}

static void write_quantized(const char *name, struct quantized_builder *b, const char *fields)
{
	struct buf file = quantized_builder_finish(b), config;
	const size_t size = strlen(MODEL_BUILDER_QWEN3) - 1; /* without its closing brace */

	buf_init(&config, 4096);
	buf_printf(&config, "%.*s,\"quantization_config\":{%s}}", (int)size, MODEL_BUILDER_QWEN3,
		fields);
	write_safetensors(name, config.data, &file);
	buf_free(&config);
}

static struct quantized_ints some_ints(uint32_t bits, uint32_t group)
{
	struct quantized_ints n = {.bits = bits, .group = group};

	for (uint32_t r = 0; r < QUANTIZED_SIDE; r++)
		for (uint32_t c = 0; c < QUANTIZED_SIDE; c++) {
			n.q[r][c] = (uint8_t)((r + 3 * c) % (1U << bits));
			n.zero[r][c] = (uint8_t)(1U << (bits - 1));
			n.scale[r][c] = 0x3c00;
		}
	for (uint32_t c = 0; c < QUANTIZED_SIDE; c++)
		n.group_of[c] = c / group;
	return n;
}

static void write_floats(const char *name, const char *scale, const char *shape, size_t scales,
	const char *fields)
{
	uint8_t codes[QUANTIZED_SIDE][QUANTIZED_SIDE];
	uint16_t ones[QUANTIZED_SIDE];
	struct quantized_builder b;

	memset(codes, 0x38, sizeof(codes));
	for (size_t i = 0; i < QUANTIZED_SIDE; i++)
		ones[i] = 0x3f80;
	quantized_builder_init(&b);
	quantized_add(&b, "weight", "F8_E4M3", "[32,32]", codes, sizeof(codes));
	quantized_add(&b, scale, "BF16", shape, ones, scales * sizeof(ones[0]));
	write_quantized(name, &b, fields);
}

static void write_releases(void)
{
	struct quantized_ints four = some_ints(4, 16), eight = some_ints(8, 16);
	struct quantized_builder b;

	write_floats("fp8", "weight_scale_inv", "[2,2]", 4,
		"\"quant_method\":\"fp8\",\"weight_block_size\":[16,16]");
	write_floats("float_channel", "weight_scale", "[32,1]", 32,
		"\"quant_method\":\"compressed-tensors\",\"format\":\"float-quantized\","
		"\"config_groups\":{\"group_0\":{\"weights\":{\"num_bits\":8,\"type\":\"float\","
		"\"strategy\":\"channel\"}}}");
	quantized_builder_init(&b);
	quantized_add_gptq(&b, &eight, true, false);
	write_quantized("gptq_int8", &b,
		"\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":16,\"sym\":false,"
		"\"checkpoint_format\":\"gptq\"");
	for (uint32_t c = 0; c < QUANTIZED_SIDE; c++)
		four.group_of[c] = c % 2;
	quantized_builder_init(&b);
	quantized_add_gptq(&b, &four, true, true);
	write_quantized("gptq_order", &b,
		"\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":16,\"desc_act\":true,"
		"\"sym\":true");
	quantized_builder_init(&b);
	quantized_add_awq(&b, &four);
	write_quantized("awq", &b, "\"quant_method\":\"awq\",\"bits\":4,\"group_size\":16");
	quantized_builder_init(&b);
	quantized_add_packed(&b, &four, QUANTIZED_ZERO_WORDS);
	write_quantized("packed", &b,
		"\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\","
		"\"config_groups\":{\"group_0\":{\"weights\":{\"num_bits\":4,\"type\":\"int\","
		"\"strategy\":\"group\",\"group_size\":16,\"symmetric\":false}}}");
}

static void add_but_projections(void *context, const char *name, const struct weight_rule *rule,
	uint64_t rows, uint64_t columns, const float *values)
{
	if (!strstr(name, ".in_proj_"))
		model_builder_to_safetensors(context, name, rule, rows, columns, values);
}

/* The older layout of delta layers: projections in one piece, here in floats. */
static void write_packed_floats(void)
{
	static const struct model_builder_change none;
	static const char fields[] = ",\"quantization_config\":{\"quant_method\":\"fp8\","
				     "\"weight_block_size\":[16,32]}}";
	const char *prefix = "model.layers.0.linear_attn.", *base = MODEL_BUILDER_QWEN3_5;
	const struct model_config c = model_builder_config(base);
	struct model_builder_sink sink = {.change = &none};
	const uint8_t codes[96 * 32] = {0x38}, scales[12] = {0x80, 0x3f}, ba[8 * 32 * 2] = {0};
	char name[96], config[1024];

	safetensors_builder_init(&sink.st);
	model_builder_walk(&c, false, "model.", &none, add_but_projections, &sink);
	snprintf(name, sizeof(name), "%sin_proj_qkvz.weight", prefix);
	safetensors_add(&sink.st, name, "F8_E4M3", "[96,32]", codes, sizeof(codes));
	snprintf(name, sizeof(name), "%sin_proj_qkvz.weight_scale_inv", prefix);
	safetensors_add(&sink.st, name, "BF16", "[6,1]", scales, sizeof(scales));
	snprintf(name, sizeof(name), "%sin_proj_ba.weight", prefix);
	safetensors_add(&sink.st, name, "BF16", "[8,32]", ba, sizeof(ba));
	struct buf file = safetensors_builder_finish(&sink.st);

	snprintf(config, sizeof(config), "%.*s%s", (int)strlen(base) - 1, base, fields);
	write_safetensors("fp8_packed", config, &file);
}

static void add_but_experts(void *context, const char *name, const struct weight_rule *rule,
	uint64_t rows, uint64_t columns, const float *values)
{
	if (!strstr(name, ".experts."))
		model_builder_to_safetensors(context, name, rule, rows, columns, values);
}

/* Experts in stacks, [3, 16, 8] and [3, 8, 8]: in halves, or in floats with a scale for 8 x 8. */
static void write_stacks(const char *name, bool floats)
{
	static const struct model_builder_change none;
	static const char fields[] =
		"{\"model_type\":\"qwen3_moe\",\"hidden_size\":8,\"intermediate_size\":8,"
		"\"head_dim\":4,\"num_experts\":3,\"num_experts_per_tok\":2,"
		"\"moe_intermediate_size\":8}";
	static const char method[] = "{\"quant_method\":\"fp8\",\"weight_block_size\":[8,8]}";
	const char *gate_up = "model.layers.0.mlp.experts.gate_up_proj",
		   *down = "model.layers.0.mlp.experts.down_proj";
	const uint8_t data[3 * 16 * 8 * 2] = {0}, scales[12] = {0x80, 0x3f};
	json_t *config = model_builder_parse(MODEL_BUILDER_QWEN3),
	       *changed = model_builder_parse(fields);
	struct model_builder_sink sink = {.change = &none};
	char scale[96];

	json_object_update(config, changed);
	if (floats)
		json_object_set_new(config, "quantization_config", model_builder_parse(method));
	char *text = json_dumps(config, JSON_COMPACT);
	const struct model_config c = model_builder_config(text);
	const char *type = floats ? "F8_E4M3" : "BF16";
	const size_t item = floats ? 1 : 2;

	safetensors_builder_init(&sink.st);
	model_builder_walk(&c, false, "model.", &none, add_but_experts, &sink);
	safetensors_add(&sink.st, gate_up, type, "[3,16,8]", data, (size_t)3 * 16 * 8 * item);
	safetensors_add(&sink.st, down, type, "[3,8,8]", data, (size_t)3 * 8 * 8 * item);
	if (floats) {
		snprintf(scale, sizeof(scale), "%s_scale_inv", gate_up);
		safetensors_add(&sink.st, scale, "BF16", "[3,2,1]", scales, sizeof(scales));
		snprintf(scale, sizeof(scale), "%s_scale_inv", down);
		safetensors_add(&sink.st, scale, "BF16", "[3,1,1]", scales, 6);
	}
	struct buf file = safetensors_builder_finish(&sink.st);

	write_safetensors(name, text, &file);
	free(text);
	json_decref(changed);
	json_decref(config);
}

/* ---- GGUF: models whose matrices have all types among them ----------------------------------- */

/* Numbers of ggml; those for rows of 256, and those for rows of 32. */
static const uint32_t WIDE_TYPES[] = {10, 11, 12, 13, 14, 23, 7, 39}, NARROW_TYPES[] = {3, 6, 20};

struct typed {
	struct gguf_builder gguf;
	uint32_t wide, narrow;   /* how many of each there are */
};

static void add_typed(void *context, const char *name, const struct weight_rule *rule,
	uint64_t rows, uint64_t columns, const float *values)
{
	static const uint8_t zeros[65536];
	struct typed *to = context;
	const bool matrix = arch_form_is_matrix(rule->form), wide = columns % 256 == 0;
	const uint32_t count = wide ? sizeof(WIDE_TYPES) / sizeof(WIDE_TYPES[0])
				    : sizeof(NARROW_TYPES) / sizeof(NARROW_TYPES[0]);
	uint32_t *next = wide ? &to->wide : &to->narrow;
	const uint64_t dims[] = {matrix ? columns : rows, rows};
	size_t size;

	if (!matrix) {
		gguf_add_tensor(&to->gguf, name, 0, 1, dims, values, rows * sizeof(*values));
		return;
	}
	const uint32_t type = (wide ? WIDE_TYPES : NARROW_TYPES)[(*next)++ % count];

	if (!dtype_bytes(dtype_from_gguf(type), rows * columns, &size) || size > sizeof(zeros))
		abort();
	gguf_add_tensor(&to->gguf, name, type, 2, dims, zeros, size);
}

static void write_types(const char *name, uint32_t first)
{
	static const char config[] =
		"{\"model_type\":\"qwen3\",\"hidden_size\":256,\"num_hidden_layers\":1,"
		"\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":16,"
		"\"intermediate_size\":32,\"vocab_size\":8,\"max_position_embeddings\":64,"
		"\"rms_norm_eps\":1e-06,\"rope_theta\":10000,\"tie_word_embeddings\":false,"
		"\"eos_token_id\":1}";
	static const struct model_builder_change none;
	const struct model_config c = model_builder_config(config);
	struct typed typed = {.wide = first, .narrow = first};

	gguf_builder_init(&typed.gguf);
	model_builder_gguf_keys(&typed.gguf, &c);
	model_builder_walk(&c, true, "", &none, add_typed, &typed);
	struct buf file = gguf_builder_finish(&typed.gguf);

	write_seed("gguf", name, &file);
	buf_free(&file);
}

/* ---- architectures in both formats ----------------------------------------------------------- */

/* Small: what is read is names and shapes. more are further fields of the config. */
static void write_architecture(const char *name, const char *base, const char *type,
	const char *more)
{
	static const struct model_builder_change none;
	json_t *small = json_pack("{s:s, s:i, s:i, s:i}", "model_type", type, "hidden_size", 8,
		"intermediate_size", 8, "head_dim", 4);
	json_t *config = model_builder_parse(base), *fields = model_builder_parse(more);

	if (!small || json_object_update(config, small) || json_object_update(config, fields))
		abort();
	char *text = json_dumps(config, JSON_COMPACT);
	struct buf file = model_builder_safetensors(text, "model.", &none);

	write_safetensors(name, text, &file);
	file = model_builder_gguf(text, 0, &none);
	write_seed("gguf", name, &file);
	buf_free(&file);
	free(text);
	json_decref(fields);
	json_decref(config);
	json_decref(small);
}

static void write_architectures(void)
{
	static const char experts[] = "{\"head_dim\":16,\"num_experts\":3,\"num_experts_per_tok\":2,"
				      "\"moe_intermediate_size\":8,"
				      "\"shared_expert_intermediate_size\":8}";

	write_architecture("llama", MODEL_BUILDER_LLAMA, "llama",
		"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
		"\"high_freq_factor\":4,\"original_max_position_embeddings\":32}}");
	write_architecture("qwen2", MODEL_BUILDER_QWEN3, "qwen2", "{}");
	write_architecture("yarn", MODEL_BUILDER_QWEN3, "qwen3",
		"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,"
		"\"original_max_position_embeddings\":16}}");
	write_architecture("qwen2_moe", MODEL_BUILDER_QWEN3, "qwen2_moe", experts);
	write_architecture("qwen3_moe", MODEL_BUILDER_QWEN3, "qwen3_moe", experts);
	write_architecture("qwen3_next", MODEL_BUILDER_QWEN3_5, "qwen3_next", experts);
	write_architecture("qwen3_5_moe", MODEL_BUILDER_QWEN3_5, "qwen3_5_moe_text", experts);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: seeds CORPUS\n");
		return 1;
	}
	corpus = argv[1];
	write_architectures();
	write_releases();
	write_packed_floats();
	write_stacks("stacks", false);
	write_stacks("fp8_stacks", true);
	write_types("types", 0);
	write_types("types_more", 2);
	return 0;
}
