/* model/quantize/export_private.h - between export_keys.c (metadata) and export_tokenizer.c. */
#ifndef MODEL_QUANTIZE_EXPORT_PRIVATE_H
#define MODEL_QUANTIZE_EXPORT_PRIVATE_H

#include "model/quantize/export.h"

/* The keys of the tokenizer of a model's directory. */
enum err export_tokenizer(const struct export *e, const char *dir, struct gguf_writer *writer,
	struct err_info *info) MUST_CHECK;

#endif
