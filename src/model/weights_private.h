/* model/weights_private.h - between weights.c (opening), weights_dir.c (directories) and weights_map.c (names). */
#ifndef MODEL_WEIGHTS_PRIVATE_H
#define MODEL_WEIGHTS_PRIVATE_H

#include "model/weights.h"

/* One weight of one layer; a matrix or a vector as its rule says. */
struct weight_slot {
	bool present;
	struct chip_matrix matrix;
	struct weight_vector vector;
};

static inline struct weight_slot *weights_slot(const struct weights *w, enum weight weight, uint32_t layer,
	bool once)
{
	return &w->slots[((size_t)(once ? 0 : layer + 1)) * WEIGHTS + weight];
}

/* Finds, checks and converts every weight of w->config in w->table; fills slots, counts and note. */
enum err weights_map(struct weights *w, bool from_gguf, struct err_info *info) MUST_CHECK;

/* Reads config, template and tensors of a directory into an initialised w; does not map. */
enum err weights_read_dir(struct weights *w, const char *dir, struct err_info *info) MUST_CHECK;

/* Takes texts and opens one file's tensors: the part that needs no directory. */
enum err weights_take_template(struct weights *w, const char *text, size_t size, struct err_info *info) MUST_CHECK;
enum err weights_template_from_json(struct weights *w, const json_t *object, struct err_info *info) MUST_CHECK;

#endif
