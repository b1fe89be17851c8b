/* model/weights/weights.h - from a path to a validated config and named tensors.
 *
 *	struct weights w;
 *	if (weights_open(&w, "Qwen3-0.6B", &info))
 *		return info.code;
 *	q = weights_matrix(&w, WEIGHT_ATTN_Q, 3);       // rows where they lie in the file
 *	n = weights_vector(&w, WEIGHT_INPUT_NORM, 3);   // floats, converted
 *	weights_close(&w);
 *
 * Whatever things are called in the files (names of transformers or llama.cpp, three prefixes,
 * delta projections in one piece or packed by key head, norms with or without their 1), what comes
 * out is arch.h's list of weights with the shapes written there. Matrices are never copied: they
 * are spans of the mapped file, and go when the weights are closed. Vectors become floats.
 *
 * When weights_open has succeeded every weight of every layer is there with the shape that the
 * config gives it, and the files hold nothing else but vision and multi-token prediction, which are
 * left out (note says so).
 */
#ifndef MODEL_WEIGHTS_WEIGHTS_H
#define MODEL_WEIGHTS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "chip/chip.h"
#include "model/arch/arch.h"
#include "model/arch/config.h"
#include "model/files/gguf.h"
#include "model/files/safetensors.h"
#include "model/files/stored.h"

#define WEIGHTS_FILES_MAX       1024                  /* shards of one model */
#define WEIGHTS_SIDE_BYTES_MAX  ((size_t)1 << 30)     /* vectors, spans, tables */
#define WEIGHTS_TEMPLATE_MAX    ((size_t)1 << 20)     /* bytes of a chat template */
#define WEIGHTS_NOTE_MAX        256

struct weight_vector {
	const float *values;   /* [count]; for WEIGHT_DELTA_CONV [channels, taps] */
	uint32_t count;
};

struct weight_slot;

struct weights {
	struct model_config config;      /* its quantization: how a release was quantized */
	const struct gguf *gguf;         /* metadata; NULL: from a directory */
	char *chat_template;             /* terminated; NULL: none */
	size_t chat_template_size;
	char *tool_template;             /* the one for chats with tools; NULL: the same */
	size_t tool_template_size;
	uint64_t parameters;             /* elements of all weights, a tied head counted once */
	uint64_t size_bytes;             /* as stored */
	uint64_t type_bytes[CHIP_TYPES]; /* the same by the type that a chip gets; quantized
					  * matrices with their scales and zero points */
	enum chip_type type;             /* of most of the bytes */
	char note[WEIGHTS_NOTE_MAX];     /* what was left out, for a log line; "" if nothing */
	struct stored_table table;       /* all files' tensors, those that are not used too */

	/* private to weights/ */
	struct file_map *maps;
	struct gguf *ggufs;
	struct safetensors *safetensors;
	uint32_t map_count;
	uint32_t gguf_count;
	uint32_t safetensors_count;
	struct arena side;
	struct weight_slot *slots;       /* [layers + 1, WEIGHTS]; slot 0 for what is there once */
	_Atomic uint64_t *read_fault;    /* what weights_read_faults tells; NULL: no readers */
};

/* path: a directory (config.json, *.safetensors, ...) or a .gguf file, of a split one the
 * first. On failure there is nothing to close; the text names the file and, where one is at
 * fault, the tensor. */
enum err weights_open(struct weights *w, const char *path, struct err_info *info) MUST_CHECK;

/* A GGUF file in memory; the bytes outlive w. */
enum err weights_open_memory(struct weights *w, const void *bytes, size_t size, const char *name,
	struct err_info *info) MUST_CHECK;

/* A directory with one model.safetensors, in memory, for tests and fuzzers; the file's bytes
 * outlive w. */
enum err weights_open_texts(struct weights *w, const struct model_config_texts *texts,
	const void *safetensors, size_t size, struct err_info *info) MUST_CHECK;

/* A zeroed struct may be closed. */
void weights_close(struct weights *w);

/* Gives back the memory of the files' pages; what is used afterwards is read again. */
void weights_release(const struct weights *w);

/* layer is ignored for what is there once. The weight must be one of the layer's kind: asserted. */
const struct chip_matrix *weights_matrix(const struct weights *w, enum weight weight,
	uint32_t layer);
const struct weight_vector *weights_vector(const struct weights *w, enum weight weight,
	uint32_t layer);

/* Row of a matrix, wherever its span lies: the reference way to read one. */
const void *weights_row(const struct chip_matrix *m, uint32_t row);

/* Rows [first, first + count) one after the other, of a matrix with spans or with a reader. */
void weights_read_rows(const struct chip_matrix *m, uint32_t first, uint32_t count,
	uint8_t *rows_out);

/* Whether path is one of the files that the weights lie in, under whatever name. */
bool weights_are_in(const struct weights *w, const char *path);

/* ERR_INPUT when rows that were read so far held a number that is none, in a tensor that is stored
 * quantized: for who has read all rows, before they are used. */
enum err weights_read_faults(const struct weights *w, struct err_info *info) MUST_CHECK;

#endif
