/* model/files/safetensors.h - one safetensors file: a JSON header that names tensors, then their
 * bytes.
 *
 *	+-------+----------------------+------------------------------------+
 *	| u64 N | N bytes of JSON      | data: tensor, tensor, ... no holes |
 *	+-------+----------------------+------------------------------------+
 *
 * The bytes belong to the caller and outlive the reader. Checked once, when it is opened: every
 * tensor is inside the data and of the size its shape says; they neither overlap nor leave a byte
 * out.
 */
#ifndef MODEL_FILES_SAFETENSORS_H
#define MODEL_FILES_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/files/stored.h"

#define SAFETENSORS_HEADER_MAX 100000000   /* bytes; a limit of the format */
#define SAFETENSORS_VALUES_MAX 10000000    /* JSON values: some nine to a tensor */

struct safetensors {
	struct stored_table tensors;   /* sorted by name */
	char *names;                   /* the tensors' names, one block */
};

/* file is the caller's name for it, borrowed for errors. ERR_INPUT names the tensor, or the place
 * in the header. */
enum err safetensors_open(struct safetensors *s, const void *data, size_t size, const char *file,
	struct err_info *info) MUST_CHECK;
void safetensors_close(struct safetensors *s);

#endif
