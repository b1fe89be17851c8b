/* model/weights/weights_private.h - between weights.c (opening), weights_dir.c and
 * weights_map.c. */
#ifndef MODEL_WEIGHTS_WEIGHTS_PRIVATE_H
#define MODEL_WEIGHTS_WEIGHTS_PRIVATE_H

#include "model/weights/weights.h"

/* One weight of one layer; a matrix or a vector as its rule says. */
struct weight_slot {
	bool present;
	struct chip_matrix matrix;
	struct weight_vector vector;
};

static inline struct weight_slot *weights_slot(const struct weights *w, enum weight weight,
	uint32_t layer, bool once)
{
	return &w->slots[((size_t)(once ? 0 : layer + 1)) * WEIGHTS + weight];
}

/* Finds, checks and converts every weight of w->config in w->table; fills slots and counts. */
enum err weights_map(struct weights *w, bool from_gguf, struct err_info *info) MUST_CHECK;

/* Rows [first, first + count) of a matrix. */
struct weights_piece {
	struct chip_matrix of;
	uint32_t first;
	uint32_t count;
};

/* The matrix of all pieces' rows one after the other: spans where they lie in files as they are,
 * else a reader. Its memory is w's, the pieces may go. ERR_UNSUPPORTED when they are not stored in
 * one way; what is their name. */
enum err weights_join(struct weights *w, const struct weights_piece *pieces, uint32_t count,
	const char *what, struct chip_matrix *out, struct err_info *info) MUST_CHECK;

/* One table over the tensors of all shards. ERR_INPUT names one that is in two of them. */
enum err weights_join_tables(struct weights *w, const struct stored_table *const *tables,
	uint32_t table_count, struct err_info *info) MUST_CHECK;

/* Reads config, template and tensors of a directory into an initialised w; does not map. */
enum err weights_read_dir(struct weights *w, const char *dir, struct err_info *info) MUST_CHECK;

/* Keeps a copy. name: NULL or "default", "tool_use"; others are passed over. */
enum err weights_take_template(struct weights *w, const char *name, const char *text, size_t size,
	struct err_info *info) MUST_CHECK;
/* Of tokenizer_config.json, if it has one. */
enum err weights_template_from_json(struct weights *w, const json_t *object, struct err_info *info)
	MUST_CHECK;

#endif
