/* model/weights/builtin.h - the model inside the program: the bytes of assets/tongyun-poet.gguf. */
#ifndef MODEL_WEIGHTS_BUILTIN_H
#define MODEL_WEIGHTS_BUILTIN_H

#include <stddef.h>

#include "base/err.h"
#include "model/weights/weights.h"

#define BUILTIN_MODEL_NAME "tongyun-poet"

/* The GGUF file, aligned to 64 bytes. */
const void *builtin_model(size_t *size_bytes);
/* Its SHA-256 in hexadecimal. */
const char *builtin_model_sha256(void);

enum err builtin_weights_open(struct weights *w, struct err_info *info) MUST_CHECK;

#endif
