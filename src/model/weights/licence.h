/* model/weights/licence.h - the licence that a model's files name. */
#ifndef MODEL_WEIGHTS_LICENCE_H
#define MODEL_WEIGHTS_LICENCE_H

#include "model/weights/weights.h"

#define LICENCE_BYTES 128

/* As the GGUF file, or the model card in the directory path, says; "" when nothing does. UTF-8
 * without control characters, cut where it is too long. path NULL: a model without files. */
void licence_find(const struct weights *w, const char *path, char out[LICENCE_BYTES]);

#endif
