/* model/model.c - see model.h. Opens what the files say, packs it for a chip,
 * records the program. */
#include "model/model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "model/arch/config.h"
#include "model/arch/program.h"
#include "model/template/template.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_gguf.h"
#include "model/weights/builtin.h"
#include "model/weights/weights.h"

#define NAME_BYTES    256
#define RELEASE_PARTS 64

struct model {
	char name[NAME_BYTES];
	struct weights weights;
	struct tokenizer *tokenizer;
	struct chat_template *template;

	struct chip *chip;              /* after model_load */
	enum chip_type kv_type;         /* of caches where nothing else is said */
	struct packed_weights packed;
	struct program program;
	struct chip_program *chip_program;
	uint64_t unreleased;            /* bytes packed since the file's pages were given back */
};

/* What a model is called: its file without .gguf, or its directory; as text, whatever its bytes. */
static void name_from_path(char out[NAME_BYTES], const char *path)
{
	size_t size;
	const char *name = file_last_part(path, &size);

	if (size > 5 && memcmp(name + size - 5, ".gguf", 5) == 0)
		size -= 5;
	snprintf(out, NAME_BYTES, "%.*s", (int)(size < NAME_BYTES ? size : NAME_BYTES - 1), name);
	utf8_blank_controls(out, '?');
}

static enum err tokenizer_for(struct model *m, const char *path, struct err_info *info)
{
	const enum pretokenize_rule rule = arch_get(m->weights.config.arch)->pretokenize;
	enum err err;

	if (m->weights.gguf)   /* its metadata has told the config which rows are padding */
		return tokenizer_open_gguf(&m->tokenizer, m->weights.gguf, info);
	if ((err = tokenizer_open_dir(&m->tokenizer, path, rule, info)))
		return err;
	if ((err = model_config_set_vocab_used(&m->weights.config,
		(uint32_t)tokenizer_count(m->tokenizer), info)))
		err_prefix(info, "%s", path);
	return err;
}

static enum err template_for(struct model *m, struct err_info *info)
{
	if (!m->weights.chat_template)
		return ERR_NONE;
	if (chat_template_open(&m->template, m->weights.chat_template,
		m->weights.chat_template_size, m->tokenizer, info))
		return info->code;
	return m->weights.tool_template ? chat_template_add_tools(m->template,
		m->weights.tool_template, m->weights.tool_template_size, info) : ERR_NONE;
}

static enum err weights_for(struct model *m, const char *path, struct err_info *info)
{
	if (path) {
		name_from_path(m->name, path);
		return weights_open(&m->weights, path, info);
	}
	snprintf(m->name, sizeof(m->name), "%s", BUILTIN_MODEL_NAME);
	return builtin_weights_open(&m->weights, info);
}

enum err model_open(struct model **out, const char *path, struct err_info *info)
{
	struct model *m = mem_alloc(1, sizeof(*m));
	enum err err;

	*out = NULL;
	if (!m)
		return err_set(info, ERR_MEMORY, "out of memory for a model");
	if ((err = weights_for(m, path, info)) || (err = tokenizer_for(m, path, info)) ||
		(err = template_for(m, info))) {
		model_close(m);
		return err;
	}
	if (*m->weights.note)
		log_line(LOG_INFO, "model", "%s: %s", m->name, m->weights.note);
	*out = m;
	return ERR_NONE;
}

/* What is packed is not needed in the file's pages as well: they are given back whenever a
 * RELEASE_PARTS-th of the file has been packed. */
static void release(struct model *m, int64_t packed_bytes)
{
	m->unreleased += (uint64_t)packed_bytes;
	if (m->unreleased < m->weights.size_bytes / RELEASE_PARTS)
		return;
	weights_release(&m->weights);
	m->unreleased = 0;
}

static enum err pack(struct model *m, const struct weight_rule *rule, uint32_t layer,
	struct packed *out, struct err_info *info)
{
	if (arch_form_is_matrix(rule->form)) {
		const struct chip_matrix *matrix = weights_matrix(&m->weights, rule->weight, layer);
		const enum err err = chip_weight_pack(m->chip, &out->matrix, matrix, info);

		if (!err)
			release(m, chip_weight_bytes(out->matrix));
		return err;
	}
	const struct weight_vector *v = weights_vector(&m->weights, rule->weight, layer);

	return chip_vector_open(m->chip, &out->vector, v->values, v->count, info);
}

static enum err pack_once(struct model *m, const struct arch *arch, struct err_info *info)
{
	const bool tied = m->weights.config.tied;
	enum err err;

	for (size_t r = 0; r < arch->rule_count; r++) {
		const struct weight_rule *rule = &arch->rules[r];

		if (rule->place == PLACE_ONCE && !(rule->weight == WEIGHT_HEAD && tied) &&
			(err = pack(m, rule, 0, &m->packed.once[rule->weight], info)))
			return err;
	}
	if (tied)
		m->packed.once[WEIGHT_HEAD] = m->packed.once[WEIGHT_EMBED];
	return chip_vector_open(m->chip, &m->packed.rope, m->weights.config.rope_frequencies,
		m->weights.config.rotary_dim / 2, info);
}

/* Every weight by the rules of its architecture; a tied head shares the embedding's packed form.
 * First what is there once: of these largest matrices file and packed form are both in memory. */
static enum err pack_all(struct model *m, struct err_info *info)
{
	const struct model_config *config = &m->weights.config;
	const struct arch *arch = arch_get(config->arch);
	enum err err = pack_once(m, arch, info);

	for (size_t r = 0; !err && r < arch->rule_count; r++)
		for (uint32_t layer = 0; !err && layer < config->layers; layer++)
			if (arch_layer_has(config, arch->rules[r].place, layer))
				err = pack(m, &arch->rules[r], layer,
					&m->packed.layers[layer][arch->rules[r].weight], info);
	if (err)
		return err;
	weights_release(&m->weights);
	return weights_read_faults(&m->weights, info);
}

/* Packed they take about what they take in the file: better said now than after most of them. */
static enum err check_memory(const struct model *m, const struct chip *chip, struct err_info *info)
{
	struct chip_info about;

	chip_describe(chip, &about);
	const int64_t left = about.memory_bytes - chip_memory_used(chip);

	if (left >= 0 && m->weights.size_bytes <= (uint64_t)left)
		return ERR_NONE;
	return err_set(info, ERR_MEMORY, "%s: its weights take %llu MiB, and %lld MiB of memory are "
		"left for them; a smaller type (tongyun quantize) takes less", m->name,
		(unsigned long long)(m->weights.size_bytes >> 20), (long long)(left >> 20));
}

static enum chip_type best_kv_type(const struct model *m)
{
	struct chip_info chip;

	chip_describe(m->chip, &chip);
	return m->weights.config.head_dim % 2 == 0 ? chip.kv_type : CHIP_F16;
}

enum err model_load(struct model *m, struct chip *chip, const struct model_load_options *options,
	struct err_info *info)
{
	struct chip_cache_layout layout;
	enum err err;

	assert(!m->chip);
	if (check_memory(m, chip, info))
		return info->code;
	m->chip = chip;
	m->packed.layers = mem_alloc(m->weights.config.layers, sizeof(*m->packed.layers));
	if (!m->packed.layers)
		return err_set(info, ERR_MEMORY, "out of memory for the weights of %s", m->name);
	if ((err = pack_all(m, info)) ||
		(err = program_record(&m->program, &m->weights.config, &m->packed,
			 options->rows_max, options->wanted_max, options->taps, info)))
		return err_prefix(info, "%s", m->name);
	/* a program serves caches of any size of this shape */
	m->kv_type = options->kv_type == MODEL_KV_AUTO ? best_kv_type(m) : options->kv_type;
	model_cache_layout(m, m->kv_type, &layout);
	layout.slots = 1;
	layout.pages = layout.attention_layers > 0;
	layout.states = layout.delta_layers > 0;
	return chip_program_open(chip, &m->chip_program, &m->program.desc, &layout, info);
}

static void unpack(struct model *m)
{
	if (m->packed.once[WEIGHT_HEAD].matrix == m->packed.once[WEIGHT_EMBED].matrix)
		m->packed.once[WEIGHT_HEAD].matrix = NULL;
	for (uint32_t w = 0; w < WEIGHTS; w++) {
		chip_weight_close(m->chip, m->packed.once[w].matrix);
		chip_vector_close(m->chip, m->packed.once[w].vector);
		for (uint32_t layer = 0; m->packed.layers && layer < m->weights.config.layers;
			layer++) {
			chip_weight_close(m->chip, m->packed.layers[layer][w].matrix);
			chip_vector_close(m->chip, m->packed.layers[layer][w].vector);
		}
	}
	chip_vector_close(m->chip, m->packed.rope);
	mem_free(m->packed.layers);
}

void model_close(struct model *m)
{
	if (!m)
		return;
	if (m->chip) {
		chip_program_close(m->chip, m->chip_program);
		unpack(m);
	}
	program_free(&m->program);
	chat_template_close(m->template);
	tokenizer_close(m->tokenizer);
	weights_close(&m->weights);
	mem_free(m);
}

void model_cache_layout(const struct model *m, enum chip_type kv_type,
	struct chip_cache_layout *out)
{
	const struct model_config *c = &m->weights.config;

	*out = (struct chip_cache_layout){
		.kv_type = kv_type == MODEL_KV_AUTO ? m->kv_type : kv_type,
		.attention_layers = c->attention_layers,
		.kv_heads = c->kv_heads,
		.head_dim = c->head_dim,
		.delta_layers = c->delta_layers,
		.vocab = c->vocab,
		.context_max = c->context_max,
	};
	if (c->delta_layers == 0)
		return;
	out->conv_channels = model_config_delta_channels(c);
	out->conv_width = c->delta_conv;
	out->v_heads = c->delta_v_heads;
	out->k_dim = c->delta_k_dim;
	out->v_dim = c->delta_v_dim;
}

const struct model_config *model_config(const struct model *m)
{
	return &m->weights.config;
}

const struct weights *model_weights(const struct model *m)
{
	return &m->weights;
}

const struct tokenizer *model_tokenizer(const struct model *m)
{
	return m->tokenizer;
}

const struct chat_template *model_template(const struct model *m)
{
	return m->template;
}

const char *model_name(const struct model *m)
{
	return m->name;
}

void model_name_set(struct model *m, const char *name)
{
	snprintf(m->name, sizeof(m->name), "%s", name);
}

struct chip *model_chip(const struct model *m)
{
	return m->chip;
}

struct chip_program *model_program(const struct model *m)
{
	return m->chip_program;
}

const struct chip_program_desc *model_program_desc(const struct model *m)
{
	return &m->program.desc;
}
