/* model/weights/weights_mapper.h - between weights_map.c, which walks an architecture's rules,
 * and the files that know one kind of weight. */
#ifndef MODEL_WEIGHTS_WEIGHTS_MAPPER_H
#define MODEL_WEIGHTS_WEIGHTS_MAPPER_H

#include "model/weights/weights_private.h"

#define MAPPER_NAME_MAX 192

struct mapper_prefix {
	const char *body;
	const char *head;
};

struct mapper {
	struct weights *w;
	const struct arch *arch;
	const struct mapper_prefix *prefix;  /* NULL: GGUF names */
	bool *taken;                         /* [table.count] */
	struct err_info *info;
};

/* The name in the file of what comes last, of a layer or of what is there once. */
void mapper_name(const struct mapper *m, char out[MAPPER_NAME_MAX], const char *last,
	uint32_t layer, bool once);

/* The tensor of that name, which is not left over then, or NULL. */
const struct stored_tensor *mapper_take(struct mapper *m, const char *name);

/* Of a readable type and that shape; dimensions of 1 in front do not matter. */
enum err mapper_check_shape(const struct mapper *m, const struct stored_tensor *t,
	const uint64_t *dims, uint32_t dim_count) MUST_CHECK;
/* Adds a tensor that is used to what the model takes. */
void mapper_count(struct mapper *m, const struct stored_tensor *t, uint64_t elements);

/* Whether there is a matrix of that name, in whatever form. */
bool mapper_has(const struct mapper *m, const char *name);

/* The matrix of that name [rows, columns], which must be there: as it lies, or through a reader.
 * parts above 1: a stack [parts, rows / parts, columns]. Counts it. */
enum err mapper_find(struct mapper *m, const char *name, uint32_t parts, uint32_t rows,
	uint32_t columns, struct chip_matrix *out) MUST_CHECK;

enum err mapper_missing(const struct mapper *m, const char *name) MUST_CHECK;
enum err mapper_no_memory(const struct mapper *m) MUST_CHECK;

/* weights_experts.c: the three matrices of a layer's experts, in parts. */
enum err mapper_experts(struct mapper *m, uint32_t layer) MUST_CHECK;
/* A matrix as F32, whatever it is stored as: no chip rounds what it multiplies. */
enum err mapper_plain(struct mapper *m, struct chip_matrix *matrix) MUST_CHECK;

#endif
