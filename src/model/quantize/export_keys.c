/* model/quantize/export_keys.c - see export.h: the metadata, carried over from a GGUF file or
 * made of a directory's config. Keys are those of llama.cpp's src/llama-arch.cpp. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/arch/rope.h"
#include "model/quantize/export_private.h"
#include "model/weights/licence.h"

#define KEY_BYTES            128
#define QUANTIZATION_VERSION 2      /* of ggml's block layouts */

/* ---- from a GGUF file ------------------------------------------------------------------------ */

/* What belongs to a shard, to the quantization that was, or to the place of the data. */
static bool is_left_out(const struct gguf_key *key, bool renamed)
{
	static const char *const NAMES[] = {"split.no", "split.count", "split.tensors.count",
		"general.file_type", "general.quantization_version", "general.alignment"};

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		if (strlen(NAMES[i]) == key->name_size &&
			memcmp(NAMES[i], key->name, key->name_size) == 0)
			return true;
	return renamed && key->name_size == 12 && memcmp(key->name, "general.name", 12) == 0;
}

static int compare_places(const void *left, const void *right)
{
	const struct gguf_key *a = *(const struct gguf_key *const *)left;
	const struct gguf_key *b = *(const struct gguf_key *const *)right;

	return (a->data > b->data) - (a->data < b->data);
}

/* In the order of the file. */
static enum err carry_over(const struct gguf *g, const char *name, struct gguf_writer *writer,
	struct err_info *info)
{
	const struct gguf_key **keys = mem_alloc((size_t)g->key_count + 1, sizeof(*keys));

	if (!keys)
		return err_set(info, ERR_MEMORY, "no memory for %u keys", g->key_count);
	for (uint32_t i = 0; i < g->key_count; i++)
		keys[i] = &g->keys[i];
	qsort(keys, g->key_count, sizeof(*keys), compare_places);
	for (uint32_t i = 0; i < g->key_count; i++)
		if (!is_left_out(keys[i], name != NULL))
			gguf_write_key(writer, keys[i]);
	if (name)
		gguf_write_text(writer, "general.name", name);
	mem_free(keys);
	return ERR_NONE;
}

/* ---- from a directory ------------------------------------------------------------------------ */

struct keys {
	const struct model_config *config;
	const char *prefix;              /* "qwen3" */
	struct gguf_writer *writer;
	char name[KEY_BYTES];
};

static const char *key_of(struct keys *k, const char *last)
{
	const int size = snprintf(k->name, sizeof(k->name), "%s.%s", k->prefix, last);

	assert(size > 0 && (size_t)size < sizeof(k->name));
	return k->name;
}

static void put_u32(struct keys *k, const char *last, uint32_t value)
{
	gguf_write_u32(k->writer, key_of(k, last), value);
}

static void put_f32(struct keys *k, const char *last, float value)
{
	gguf_write_f32(k->writer, key_of(k, last), value);
}

static void put_general(struct keys *k, const struct weights *w, const char *path,
	const char *name)
{
	char licence[LICENCE_BYTES];
	size_t size;
	const char *folder = file_last_part(path, &size);

	gguf_write_text(k->writer, "general.architecture", k->prefix);
	gguf_write_text(k->writer, "general.type", "model");
	gguf_write_bytes(k->writer, "general.name", name ? name : folder,
		name ? strlen(name) : size);
	licence_find(w, path, licence);
	if (*licence)
		gguf_write_text(k->writer, "general.license", licence);
}

static void put_sizes(struct keys *k)
{
	const struct model_config *c = k->config;

	put_u32(k, "block_count", c->layers);
	put_u32(k, "context_length", c->context_max);
	put_u32(k, "embedding_length", c->hidden);
	if (c->ffn > 0)
		put_u32(k, "feed_forward_length", c->ffn);
	put_u32(k, "vocab_size", c->vocab);
	put_u32(k, "attention.head_count", c->heads);
	put_u32(k, "attention.head_count_kv", c->kv_heads);
	put_u32(k, "attention.key_length", c->head_dim);
	put_u32(k, "attention.value_length", c->head_dim);
	put_f32(k, "attention.layer_norm_rms_epsilon", c->rms_eps);
}

static void put_rope(struct keys *k)
{
	const struct model_config *c = k->config;
	const int32_t sections[4] = {(int32_t)c->rope_sections[0], (int32_t)c->rope_sections[1],
		(int32_t)c->rope_sections[2], 0};

	put_u32(k, "rope.dimension_count", c->rotary_dim);
	put_f32(k, "rope.freq_base", (float)c->rope_theta);
	if (sections[0])
		gguf_write_i32s(k->writer, key_of(k, "rope.dimension_sections"), sections, 4);
}

static void put_experts(struct keys *k)
{
	const struct model_config *c = k->config;

	if (c->experts == 0)
		return;
	put_u32(k, "expert_count", c->experts);
	put_u32(k, "expert_used_count", c->experts_used);
	put_u32(k, "expert_feed_forward_length", c->expert_ffn);
	if (c->shared_ffn > 0)
		put_u32(k, "expert_shared_feed_forward_length", c->shared_ffn);
	if (c->experts_norm != arch_get(c->arch)->gguf_norm_topk)
		gguf_write_bool(k->writer, key_of(k, "expert_weights_norm"), c->experts_norm);
	if (c->experts_scale < 1 || c->experts_scale > 1)
		put_f32(k, "expert_weights_scale", c->experts_scale);
}

static void put_scaling(struct keys *k)
{
	const struct model_rope_scaling *r = &k->config->rope_scaling;

	/* llama3 is a tensor; a file without a type is plain */
	if (r->kind != MODEL_ROPE_LINEAR && r->kind != MODEL_ROPE_YARN)
		return;
	gguf_write_text(k->writer, key_of(k, "rope.scaling.type"),
		r->kind == MODEL_ROPE_YARN ? "yarn" : "linear");
	put_f32(k, "rope.scaling.factor", (float)r->factor);
	if (r->kind != MODEL_ROPE_YARN)
		return;
	put_u32(k, "rope.scaling.original_context_length", r->context);
	put_f32(k, "rope.scaling.yarn_beta_fast", (float)r->beta_fast);
	put_f32(k, "rope.scaling.yarn_beta_slow", (float)r->beta_slow);
	/* what readers do without being told is multiplied with this */
	const float more = (float)(r->attention / rope_yarn_attention(r->factor));

	if (more < 1 || more > 1)
		put_f32(k, "rope.scaling.attn_factor", more);
}

/* N where every N-th layer is attention and no other; 0 if there is none. */
static uint32_t attention_interval(const struct model_config *c)
{
	uint32_t interval = 1;

	while (interval < c->layers && c->layer_kind[interval - 1] != MODEL_LAYER_ATTENTION)
		interval++;
	for (uint32_t i = 0; i < c->layers; i++)
		if ((c->layer_kind[i] == MODEL_LAYER_ATTENTION) != ((i + 1) % interval == 0))
			return 0;
	return interval;
}

/* The list of flags only where a layer looks farther than the window. */
static void put_window(struct keys *k)
{
	const struct model_config *c = k->config;
	uint8_t sliding[MODEL_LAYERS_MAX];
	bool all = true;

	if (c->window == 0)
		return;
	put_u32(k, "attention.sliding_window", c->window);
	for (uint32_t i = 0; i < c->layers; i++) {
		sliding[i] = c->layer_window[i];
		all = all && (sliding[i] || c->layer_kind[i] != MODEL_LAYER_ATTENTION);
	}
	if (!all)
		gguf_write_bools(k->writer, key_of(k, "attention.sliding_window_pattern"),
			sliding, c->layers);
}

static void put_delta(struct keys *k)
{
	const struct model_config *c = k->config;
	const uint32_t interval = attention_interval(c);
	uint8_t recurrent[MODEL_LAYERS_MAX];

	if (c->delta_k_heads == 0)
		return;
	put_u32(k, "ssm.conv_kernel", c->delta_conv);
	put_u32(k, "ssm.state_size", c->delta_k_dim);
	put_u32(k, "ssm.group_count", c->delta_k_heads);
	put_u32(k, "ssm.time_step_rank", c->delta_v_heads);
	put_u32(k, "ssm.inner_size", c->delta_v_heads * c->delta_v_dim);
	if (interval > 0) {
		put_u32(k, "full_attention_interval", interval);
		return;
	}
	for (uint32_t i = 0; i < c->layers; i++)
		recurrent[i] = c->layer_kind[i] == MODEL_LAYER_DELTA;
	gguf_write_bools(
		k->writer, key_of(k, "attention.recurrent_layers"), recurrent, c->layers);
}

/* Only what differs from doing nothing: a file without the key does nothing. */
static void put_sampling(struct keys *k)
{
	const struct chip_sampling *s = &k->config->sampling;

	if (s->temperature < 1 || s->temperature > 1)
		gguf_write_f32(k->writer, "general.sampling.temp", s->temperature);
	if (s->top_p < 1)
		gguf_write_f32(k->writer, "general.sampling.top_p", s->top_p);
	if (s->min_p > 0)
		gguf_write_f32(k->writer, "general.sampling.min_p", s->min_p);
	if (s->top_k > 0)
		gguf_write_i32(k->writer, "general.sampling.top_k", (int32_t)s->top_k);
	if (s->repetition_penalty < 1 || s->repetition_penalty > 1)
		gguf_write_f32(
			k->writer, "general.sampling.penalty_repeat", s->repetition_penalty);
}

/* What would come back as something else. */
static enum err check_sayable(const struct model_config *c, struct err_info *info)
{
	if ((double)(float)c->rope_theta < c->rope_theta ||
		(double)(float)c->rope_theta > c->rope_theta)
		return err_set(info, ERR_UNSUPPORTED,
			"a rope_theta of %.17g has no 32-bit form, which GGUF wants", c->rope_theta);
	if (c->rope_scaling.kind == MODEL_ROPE_YARN && !c->rope_scaling.truncate)
		return err_set(info, ERR_UNSUPPORTED,
			"GGUF has no way to say rope scaling yarn without truncate");
	return ERR_NONE;
}

/* Named ones beside the usual, as the gguf package writes them. */
static void write_templates(const struct weights *w, struct gguf_writer *writer)
{
	static const char tools[] = "tool_use";

	if (w->tool_template) {
		gguf_write_strings(writer, "tokenizer.chat_templates", 1);
		gguf_write_item(writer, tools, sizeof(tools) - 1);
		gguf_write_bytes(writer, "tokenizer.chat_template.tool_use", w->tool_template,
			w->tool_template_size);
	}
	if (w->chat_template)
		gguf_write_bytes(writer, "tokenizer.chat_template", w->chat_template,
			w->chat_template_size);
}

static enum err from_directory(const struct export *e, const char *path, const char *name,
	struct gguf_writer *writer, struct err_info *info)
{
	const struct weights *w = e->weights;
	struct keys k = {.config = &w->config, .writer = writer,
		.prefix = arch_get(w->config.arch)->gguf_name};

	if (check_sayable(&w->config, info))
		return info->code;
	put_general(&k, w, path, name);
	put_sizes(&k);
	put_experts(&k);
	put_rope(&k);
	put_scaling(&k);
	put_window(&k);
	put_delta(&k);
	put_sampling(&k);
	if (export_tokenizer(e, path, writer, info))
		return info->code;
	write_templates(w, writer);
	return ERR_NONE;
}

enum err export_keys(const struct export *e, const char *path, const char *name,
	struct gguf_writer *writer, struct err_info *info)
{
	if (e->weights->gguf ? carry_over(e->weights->gguf, name, writer, info)
		: from_directory(e, path, name, writer, info))
		return info->code;
	gguf_write_u32(writer, "general.quantization_version", QUANTIZATION_VERSION);
	return ERR_NONE;
}
