/* tests/engine/support.c - see support.h. */
#include "engine/support.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/prng.h"
#include "chip/cpu/cpu.h"
#include "chip/cpu/isa.h"
#include "chip/format.h"
#include "format_rows.h"
#include "isa_note.h"
#include "model/arch/config.h"
#include "model/files/dtype.h"
#include "model/tokenizer/tokenizer.h"

#define GGUF_BYTES_MAX ((size_t)512 << 20)
#define GGUF_ALIGN 32

static void must(enum err err, const struct err_info *info)
{
	if (err)
		fail_msg("%s", info->text);
}

void support_path(char *out, size_t size, const char *name)
{
	const char *dir = getenv("TONGYUN_TESTS");

	snprintf(out, size, "%s/%s", dir ? dir : TESTS_DIR, name);
}

#define ISAS_MAX 8
#define EMULATED "-emulated"

/* Linked by chip_emulated in src/chip/meson.build: emulated, or in another encoding. */
#if defined(RIG_EMULATED)
extern const struct cpu_kernels cpu_kernels_avx512_emulated;
extern const struct cpu_kernels cpu_kernels_avx512bf16_emulated;
#endif
#if defined(RIG_EVEX)
extern const struct cpu_kernels cpu_kernels_avxvnni_evex;
#endif
static const struct cpu_kernels *const linked[] = {
#if defined(RIG_EVEX)
	&cpu_kernels_avxvnni_evex,
#endif
#if defined(RIG_EMULATED)
	&cpu_kernels_avx512_emulated, &cpu_kernels_avx512bf16_emulated,
#endif
	NULL};

bool support_isa_emulated(const char *isa)
{
	return strstr(isa, EMULATED) != NULL;
}

/* The machine has that instruction set itself, or cannot run the other encoding of it. */
static bool is_native(const char *emulated_name)
{
	struct cpu_kernels ignored;
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(emulated_name, "-"), emulated_name);
	return cpu_isa_find(name, &ignored) ||
		(strstr(emulated_name, "-evex") && !cpu_isa_find("avx512", &ignored));
}

/* One that only tests have. */
static bool find_linked(struct cpu_kernels *out, const char *isa)
{
	for (const struct cpu_kernels *const *k = linked; *k; k++)
		if (strcmp((*k)->name, isa) == 0) {
			*out = **k;
			cpu_isa_complete(out);
			return true;
		}
	return false;
}

static void find_kernels(struct cpu_kernels *out, const char *isa)
{
	assert_true(find_linked(out, isa) || cpu_isa_find(isa, out));
}

bool support_isa_rounds(const char *isa)
{
	struct cpu_kernels kernels;

	find_kernels(&kernels, isa);
	return kernels.bf16_inputs;
}

const char *const *support_isas(void)
{
	static struct chip_info info;
	static const char *isas[ISAS_MAX + 1];
	char *rest;
	uint32_t count = 0;

	assert_true(chip_list(&info, 1) >= 1);
	for (char *word = strtok_r(info.isas, " ", &rest); word;
		word = strtok_r(NULL, " ", &rest)) {
		assert_true(count < ISAS_MAX);
		isas[count++] = word;
	}
	for (const struct cpu_kernels *const *k = linked; *k; k++)
		if (!is_native((*k)->name)) {
			assert_true(count < ISAS_MAX);
			isas[count++] = (*k)->name;
		}
	isas[count] = NULL;
	return isas;
}

void support_isas_note(void)
{
	char names[128] = "";

	for (const char *const *isa = support_isas(); *isa; isa++)
		if (strchr(*isa, '-')) {   /* only tests have it */
			const size_t used = strlen(names);

			snprintf(names + used, sizeof(names) - used, "%s%s", used ? " " : "", *isa);
		}
	isa_note(names);
}

static void open_chip(struct chip **out, const struct chip_config *config)
{
	struct err_info info = {0};
	struct cpu_kernels kernels;

	if (config->isa && find_linked(&kernels, config->isa)) {
		must(cpu_open_kernels(out, &kernels, config, &info), &info);
		return;
	}
	must(chip_open(out, "cpu", config, &info), &info);
}

void support_model_open(struct support_model *m, const char *path, const char *isa,
	uint32_t threads, uint32_t rows_max, uint32_t wanted_max)
{
	const struct chip_config config = {.isa = isa, .threads = threads};
	const struct model_load_options load = {
		.rows_max = rows_max, .wanted_max = wanted_max, .kv_type = CHIP_F32};
	struct err_info info = {0};

	open_chip(&m->chip, &config);
	must(model_open(&m->model, path, &info), &info);
	must(model_load(m->model, m->chip, &load, &info), &info);
}

void support_model_close(struct support_model *m)
{
	model_close(m->model);
	chip_close(m->chip);
}

void support_feed(struct support_model *m, struct session *s, uint32_t chunk,
	const uint32_t *tokens, uint32_t count, float *logits)
{
	const uint32_t vocab = model_config(m->model)->vocab;
	struct err_info info = {0};

	for (uint32_t at = 0; at < count;) {
		const uint32_t rows = count - at < chunk ? count - at : chunk;
		struct chip_output output = {.logits = logits + (size_t)at * vocab};
		const struct session_item item = {
			.tokens = tokens + at, .token_count = rows, .want = CHIP_WANT_LOGITS,
			.want_all = true};

		must(session_step(s, &item, 1, &output, &info), &info);
		at += rows;
	}
}

float *support_logits(struct support_model *m, const struct session_options *options,
	const uint32_t *tokens, uint32_t count)
{
	static const struct chip_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
	const uint32_t vocab = model_config(m->model)->vocab;
	float *logits = mem_alloc((size_t)count * vocab, sizeof(*logits));
	struct session *s;
	struct err_info info = {0};

	assert_non_null(logits);
	must(session_open(&s, m->model, options, &info), &info);
	session_start(s, 0, &greedy, tokens, 1);
	support_feed(m, s, options->chunk, tokens, count, logits);
	session_close(s);
	return logits;
}

/* ---- a GGUF file with random weights --------------------------------------------------------- */

struct writer {
	struct buf keys, infos, data;
	uint64_t key_count, tensor_count;
	uint32_t next_type;
	struct prng prng;
};

static void add_u32(struct buf *b, uint32_t value)
{
	buf_add(b, &value, sizeof(value));
}

static void add_u64(struct buf *b, uint64_t value)
{
	buf_add(b, &value, sizeof(value));
}

static void add_text(struct buf *b, const char *text)
{
	add_u64(b, strlen(text));
	buf_add_str(b, text);
}

static void key_u32(struct writer *w, const char *arch, const char *key, uint32_t value)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%s", arch, key);
	add_text(&w->keys, name);
	add_u32(&w->keys, 4);
	add_u32(&w->keys, value);
	w->key_count++;
}

static void key_f32(struct writer *w, const char *arch, const char *key, float value)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%s", arch, key);
	add_text(&w->keys, name);
	add_u32(&w->keys, 6);
	buf_add(&w->keys, &value, sizeof(value));
	w->key_count++;
}

static void key_text(struct writer *w, const char *key, const char *value)
{
	add_text(&w->keys, key);
	add_u32(&w->keys, 8);
	add_text(&w->keys, value);
	w->key_count++;
}

/* The 256 bytes in GPT-2's alphabet, then padding. */
static void key_tokens(struct writer *w, uint32_t vocab)
{
	uint32_t next = 256;

	add_text(&w->keys, "tokenizer.ggml.tokens");
	add_u32(&w->keys, 9);
	add_u32(&w->keys, 8);
	add_u64(&w->keys, vocab);
	for (uint32_t i = 0; i < vocab; i++) {
		char text[32];
		uint32_t code = i;

		if (i >= 256) {
			snprintf(text, sizeof(text), "[PAD%u]", i);
		} else {
			if (!((i >= 33 && i <= 126) || (i >= 161 && i <= 172) ||
				(i >= 174 && i <= 255)))
				code = next++;
			if (code < 128)
				snprintf(text, sizeof(text), "%c", (int)code);
			else
				snprintf(text, sizeof(text), "%c%c", (int)(0xC0 | code >> 6),
					(int)(0x80 | (code & 63)));
		}
		add_text(&w->keys, text);
	}
	w->key_count++;
}

/* Bytes are text, the first token after them is a control token, the rest is padding. */
static void key_token_types(struct writer *w, uint32_t vocab)
{
	add_text(&w->keys, "tokenizer.ggml.token_type");
	add_u32(&w->keys, 9);
	add_u32(&w->keys, 5);
	add_u64(&w->keys, vocab);
	for (uint32_t i = 0; i < vocab; i++)
		add_u32(&w->keys, i < 256 ? TOKENIZER_GGUF_NORMAL :
			i == 256 ? TOKENIZER_GGUF_CONTROL : TOKENIZER_GGUF_UNUSED);
	w->key_count++;
}

static float unit(struct writer *w)
{
	return (float)(prng_unit(&w->prng) * 2 - 1);
}

static void add_rows(struct writer *w, enum chip_type type, uint64_t rows, uint64_t columns,
	float spread)
{
	const size_t row_bytes = chip_row_bytes(type, 0, (uint32_t)columns);
	uint8_t *row = mem_alloc(1, row_bytes);

	assert_non_null(row);
	for (uint64_t i = 0; i < rows; i++) {
		format_rows_random(type, 0, prng_next(&w->prng), spread, (uint32_t)columns, row);
		buf_add(&w->data, row, row_bytes);
	}
	mem_free(row);
}

static void add_values(struct writer *w, enum chip_type type, uint64_t rows, uint64_t columns)
{
	const float spread = 1.5f / sqrtf((float)columns);

	if (type > CHIP_Q4_0) {
		add_rows(w, type, rows, columns, spread);
		return;
	}
	const uint16_t scale8 = math_f16_from_f32(spread / 127),
		scale4 = math_f16_from_f32(spread / 8);

	for (uint64_t i = 0; i < rows * columns;) {
		if (type == CHIP_Q8_0 || type == CHIP_Q4_0) {
			buf_add(&w->data, type == CHIP_Q8_0 ? &scale8 : &scale4, 2);
			for (int k = 0; k < (type == CHIP_Q8_0 ? 32 : 16); k += 8) {
				/* -128 does not occur in a real file */
				const uint64_t bits = prng_next(&w->prng) |
					(type == CHIP_Q8_0 ? 0x0101010101010101u : 0);

				buf_add(&w->data, &bits, 8);
			}
			i += 32;
		} else {
			const float value = unit(w) * spread;
			const uint16_t half = type == CHIP_F16 ? math_f16_from_f32(value)
				: math_bf16_from_f32(value);

			if (type == CHIP_F32)
				buf_add(&w->data, &value, 4);
			else
				buf_add(&w->data, &half, 2);
			i++;
		}
	}
}

static void tensor_begin(struct writer *w, const char *name, uint64_t rows, uint64_t columns,
	uint32_t type)
{
	while (w->data.size % GGUF_ALIGN != 0)
		buf_add_char(&w->data, 0);
	add_text(&w->infos, name);
	add_u32(&w->infos, rows > 0 ? 2 : 1);
	add_u64(&w->infos, columns);
	if (rows > 0)
		add_u64(&w->infos, rows);
	add_u32(&w->infos, type);
	add_u64(&w->infos, w->data.size);
	w->tensor_count++;
}

static uint32_t type_number(enum chip_type type)
{
	uint32_t number = 0;

	while (!dtype_from_gguf(number) || dtype_from_gguf(number)->chip_type != type)
		assert_true(++number < 64);
	return number;
}

/* Of a file that mixes types each tensor has another one, in turn. */
static enum chip_type next_type(struct writer *w, uint32_t columns)
{
	enum chip_type type = CHIP_F32;

	do
		type = (enum chip_type)(w->next_type++ % CHIP_F8_E4M3);
	while (!chip_row_fits(type, 0, columns));
	return type;
}

static void matrix(struct writer *w, uint32_t layer, const char *name, uint64_t rows,
	uint64_t columns, enum chip_type type)
{
	char full[96];

	if (layer == CHIP_NONE)
		snprintf(full, sizeof(full), "%s", name);
	else
		snprintf(full, sizeof(full), "blk.%u.%s", layer, name);
	if (type == CHIP_TYPES)
		type = next_type(w, (uint32_t)columns);
	tensor_begin(w, full, rows, columns, type_number(type));
	add_values(w, type, rows, columns);
}

/* Values base + spread * [-1, 1). */
static void vector(struct writer *w, uint32_t layer, const char *name, uint64_t count, float base,
	float spread)
{
	char full[96];

	snprintf(full, sizeof(full), "blk.%u.%s", layer, name);
	tensor_begin(w, layer == CHIP_NONE ? name : full, 0, count, 0);
	for (uint64_t i = 0; i < count; i++) {
		const float value = base + spread * unit(w);

		buf_add(&w->data, &value, 4);
	}
}

static void layer_attention(struct writer *w, const struct support_shape *s, uint32_t layer,
	bool gate)
{
	matrix(w, layer, "attn_q.weight", (uint64_t)s->heads * s->head_dim * (gate ? 2 : 1),
		s->hidden, s->type);
	matrix(w, layer, "attn_k.weight", (uint64_t)s->kv_heads * s->head_dim, s->hidden, s->type);
	matrix(w, layer, "attn_v.weight", (uint64_t)s->kv_heads * s->head_dim, s->hidden, s->type);
	matrix(w, layer, "attn_output.weight", s->hidden, (uint64_t)s->heads * s->head_dim,
		s->type);
	vector(w, layer, "attn_q_norm.weight", s->head_dim, 1.5f, 0.3f);
	vector(w, layer, "attn_k_norm.weight", s->head_dim, 1.5f, 0.3f);
}

static void layer_delta(struct writer *w, const struct support_shape *s, uint32_t layer)
{
	const uint32_t v = s->delta_v_heads * s->delta_dim;
	const uint32_t channels = 2 * s->delta_k_heads * s->delta_dim + v;

	matrix(w, layer, "attn_qkv.weight", channels, s->hidden, s->type);
	matrix(w, layer, "attn_gate.weight", v, s->hidden, s->type);
	matrix(w, layer, "ssm_alpha.weight", s->delta_v_heads, s->hidden, s->type);
	matrix(w, layer, "ssm_beta.weight", s->delta_v_heads, s->hidden, s->type);
	matrix(w, layer, "ssm_conv1d.weight", channels, 4, CHIP_F32);
	vector(w, layer, "ssm_a", s->delta_v_heads, -0.5f, 0.45f);
	vector(w, layer, "ssm_dt.bias", s->delta_v_heads, 0, 1);
	vector(w, layer, "ssm_norm.weight", s->delta_dim, 1, 0.2f);
	matrix(w, layer, "ssm_out.weight", s->hidden, v, s->type);
}

static void write_keys(struct writer *w, const struct support_shape *s, bool hybrid)
{
	key_text(w, "general.architecture", s->arch);
	key_u32(w, s->arch, "block_count", s->layers);
	key_u32(w, s->arch, "context_length", 4096);
	key_u32(w, s->arch, "embedding_length", s->hidden);
	key_u32(w, s->arch, "feed_forward_length", s->ffn);
	key_u32(w, s->arch, "attention.head_count", s->heads);
	key_u32(w, s->arch, "attention.head_count_kv", s->kv_heads);
	key_u32(w, s->arch, "attention.key_length", s->head_dim);
	key_u32(w, s->arch, "attention.value_length", s->head_dim);
	key_u32(w, s->arch, "rope.dimension_count", s->rotary_dim);
	key_f32(w, s->arch, "attention.layer_norm_rms_epsilon", 1e-6f);
	key_f32(w, s->arch, "rope.freq_base", 1e6f);
	if (hybrid) {
		key_u32(w, s->arch, "full_attention_interval", s->interval);
		key_u32(w, s->arch, "ssm.conv_kernel", 4);
		key_u32(w, s->arch, "ssm.state_size", s->delta_dim);
		key_u32(w, s->arch, "ssm.group_count", s->delta_k_heads);
		key_u32(w, s->arch, "ssm.time_step_rank", s->delta_v_heads);
		key_u32(w, s->arch, "ssm.inner_size", s->delta_v_heads * s->delta_dim);
	}
	key_text(w, "tokenizer.ggml.model", "gpt2");
	key_text(w, "tokenizer.ggml.pre", hybrid ? "qwen35" : "qwen2");
	key_tokens(w, s->vocab);
	key_token_types(w, s->vocab);
	add_text(&w->keys, "tokenizer.ggml.merges");
	add_u32(&w->keys, 9);
	add_u32(&w->keys, 8);
	add_u64(&w->keys, 0);
	w->key_count++;
	add_text(&w->keys, "tokenizer.ggml.eos_token_id");
	add_u32(&w->keys, 4);
	add_u32(&w->keys, 0);
	w->key_count++;
}

void support_write_model(const char *path, const struct support_shape *s, uint64_t seed)
{
	const bool hybrid = strcmp(s->arch, "qwen35") == 0;
	struct err_info info = {0};
	struct writer w = {0};
	struct buf file;

	buf_init(&w.keys, GGUF_BYTES_MAX);
	buf_init(&w.infos, GGUF_BYTES_MAX);
	buf_init(&w.data, GGUF_BYTES_MAX);
	buf_init(&file, GGUF_BYTES_MAX);
	prng_init(&w.prng, seed);
	write_keys(&w, s, hybrid);
	matrix(&w, CHIP_NONE, "token_embd.weight", s->vocab, s->hidden, s->type);
	vector(&w, CHIP_NONE, "output_norm.weight", s->hidden, 1, 0.2f);
	for (uint32_t layer = 0; layer < s->layers; layer++) {
		vector(&w, layer, "attn_norm.weight", s->hidden, 1, 0.2f);
		vector(&w, layer, hybrid ? "post_attention_norm.weight" : "ffn_norm.weight",
			s->hidden, 1, 0.2f);
		if (hybrid && (layer + 1) % s->interval != 0)
			layer_delta(&w, s, layer);
		else
			layer_attention(&w, s, layer, hybrid);
		matrix(&w, layer, "ffn_gate.weight", s->ffn, s->hidden, s->type);
		matrix(&w, layer, "ffn_up.weight", s->ffn, s->hidden, s->type);
		matrix(&w, layer, "ffn_down.weight", s->hidden, s->ffn, s->type);
	}
	buf_add_str(&file, "GGUF");
	add_u32(&file, 3);
	add_u64(&file, w.tensor_count);
	add_u64(&file, w.key_count);
	buf_add(&file, w.keys.data, w.keys.size);
	buf_add(&file, w.infos.data, w.infos.size);
	while (file.size % GGUF_ALIGN != 0)
		buf_add_char(&file, 0);
	buf_add(&file, w.data.data, w.data.size);
	assert_false(file.failed || w.data.failed);
	must(file_write_atomic(path, file.data, file.size, 0600, &info), &info);
	buf_free(&w.keys);
	buf_free(&w.infos);
	buf_free(&w.data);
	buf_free(&file);
}
