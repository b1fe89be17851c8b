/* hub/choose.h - which files of a repository make a model.
 *
 * Of safetensors: config, tokenizer, template, weights with their index, licence; no second form of
 * the same weights (.bin, .pth, .onnx). Of GGUF: the one of the type that was asked for, all parts
 * of a split one. Nothing is fetched to decide.
 */
#ifndef HUB_CHOOSE_H
#define HUB_CHOOSE_H

#include <stdbool.h>

#include "base/err.h"
#include "hub/manifest.h"

/* Leaves in listing what is needed: files, model, and name.type of what will be there. *asked:
 * false when the type that name.type asked for is not the hub's to give, but can be made of it. */
enum err choose_files(struct manifest *listing, bool *asked, struct err_info *info) MUST_CHECK;

/* Whether a path is of a file that tells the licence: README.md, LICENSE, NOTICE and their like. */
bool choose_is_paper(const char *path);

/* What a GGUF file's name says of its type: "Qwen3-8B-Q4_K_M-00001-of-00002.gguf" is q4_k. False
 * when nothing. */
bool choose_type_of(const char *path, char out[HUB_PART_BYTES]);

#endif
