/* model/model.h - one model, ready to run on a chip: config, tokenizer, template, packed weights,
 * program.
 *
 *	struct model *m;
 *	model_open(&m, "Qwen3-0.6B.gguf", &info);       // reads and validates; nothing packed yet
 *	model_load(m, chip, &options, &info);           // packs the weights, records the program
 *	... chip_submit(chip, model_program(m), cache, ...)
 *	model_close(m);
 *
 * Immutable after model_load; shared by all sequences and threads.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/err.h"
#include "chip/chip.h"

struct model;
struct model_config;
struct weights;
struct tokenizer;
struct chat_template;

/* Keys and values as was said to model_load; there, as suits the chip where the heads allow it. */
#define MODEL_KV_AUTO CHIP_TYPES

struct model_load_options {
	uint32_t rows_max;              /* rows of a step */
	uint32_t wanted_max;            /* rows of a step that want something */
	enum chip_type kv_type;         /* or MODEL_KV_AUTO */
	/* name every intermediate result, for comparing layer by layer */
	bool taps;
};

/* path: a directory, a .gguf file, or NULL: the model inside the program. */
enum err model_open(struct model **out, const char *path, struct err_info *info) MUST_CHECK;
/* ERR_MEMORY before anything is packed when the chip has no room for the weights. */
enum err model_load(struct model *m, struct chip *chip, const struct model_load_options *options,
	struct err_info *info) MUST_CHECK;
/* The chip must still be open when weights were loaded. NULL is legal. */
void model_close(struct model *m);

const struct model_config *model_config(const struct model *m);
/* As opened: sizes, types, note. The mapped files stay mapped; their pages are only
 * read while packing. */
const struct weights *model_weights(const struct model *m);
const struct tokenizer *model_tokenizer(const struct model *m);
/* NULL when the model has none: then only raw prompts work. */
const struct chat_template *model_template(const struct model *m);
/* "tongyun-poet", or the last part of the path without .gguf. */
const char *model_name(const struct model *m);
/* Another name, of which 255 bytes count: who found the path by a name says it. */
void model_name_set(struct model *m, const char *name);

/* After model_load. */
struct chip *model_chip(const struct model *m);
struct chip_program *model_program(const struct model *m);
const struct chip_program_desc *model_program_desc(const struct model *m);
/* Everything but pages, states and slots, which the caller chooses. kv_type may be
 * MODEL_KV_AUTO. */
void model_cache_layout(const struct model *m, enum chip_type kv_type,
	struct chip_cache_layout *out);

#endif
