/* model/files/gguf_write.h - a GGUF file, version 3, written from its beginning to its end.
 *
 *	struct gguf_writer w;
 *	gguf_writer_init(&w);
 *	gguf_write_text(&w, "general.architecture", "qwen3");    // keys, in any order, each once
 *	gguf_write_tensor(&w, "output_norm.weight", dims, 1, dtype_of_chip(CHIP_F32));
 *	...
 *	if (!gguf_writer_open(&w, "m.gguf", &info))            // header and infos are on the disk
 *		for each tensor, in that order:
 *			gguf_writer_data(&w, bytes, size, &info);      // in pieces of any size
 *	gguf_writer_commit(&w, &info);
 *	gguf_writer_close(&w);                                 // without a commit nothing is left
 *
 * The file appears under its name when it is complete (base/file.h). What did not fit is
 * told by gguf_writer_open.
 */
#ifndef MODEL_FILES_GGUF_WRITE_H
#define MODEL_FILES_GGUF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "model/files/dtype.h"
#include "model/files/gguf.h"

#define GGUF_WRITE_ALIGNMENT    32                     /* of every tensor */
#define GGUF_WRITE_META_MAX     ((size_t)256 << 20)    /* bytes of all keys and values */
#define GGUF_WRITE_TENSORS_MAX  ((size_t)256 << 20)    /* of all tensor infos */

struct gguf_writer {
	struct buf meta;             /* keys and values as they will lie in the file */
	struct buf infos;            /* the tensors' */
	uint64_t key_count;
	uint64_t tensor_count;
	uint64_t *sizes;             /* [tensor_count] bytes of each */
	uint64_t data_size;          /* of all tensors, each padded */
	bool failed;                 /* memory, or a size that overflows */

	struct file_out out;
	uint64_t tensor;             /* the one that is being written */
	uint64_t tensor_done;        /* bytes of it */
};

void gguf_writer_init(struct gguf_writer *w);

void gguf_write_text(struct gguf_writer *w, const char *key, const char *text);
void gguf_write_bytes(struct gguf_writer *w, const char *key, const char *bytes, size_t size);
void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_write_i32(struct gguf_writer *w, const char *key, int32_t value);
void gguf_write_f32(struct gguf_writer *w, const char *key, float value);
void gguf_write_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_write_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t count);

void gguf_write_bools(struct gguf_writer *w, const char *key, const uint8_t *values, size_t count);

/* The key of another file as it is. */
void gguf_write_key(struct gguf_writer *w, const struct gguf_key *key);

/* An array of count strings: begin, then each. */
void gguf_write_strings(struct gguf_writer *w, const char *key, uint64_t count);
void gguf_write_item(struct gguf_writer *w, const char *bytes, size_t size);

/* dims as in struct stored_tensor, outermost first; rows fill whole blocks. */
void gguf_write_tensor(struct gguf_writer *w, const char *name, size_t name_size,
	const uint64_t *dims, uint32_t dim_count, const struct dtype *dtype);

/* Bytes of the whole file. */
uint64_t gguf_writer_size(const struct gguf_writer *w);

/* The disk has room, the file is begun. Keys and tensors are complete. */
enum err gguf_writer_open(struct gguf_writer *w, const char *path, struct err_info *info)
	MUST_CHECK;
/* The next bytes of the tensors; a piece ends where its tensor does or before: asserted. */
enum err gguf_writer_data(struct gguf_writer *w, const void *bytes, size_t size,
	struct err_info *info) MUST_CHECK;
/* All tensors are written, which is asserted. */
enum err gguf_writer_commit(struct gguf_writer *w, struct err_info *info) MUST_CHECK;
void gguf_writer_close(struct gguf_writer *w);

#endif
