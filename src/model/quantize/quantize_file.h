/* model/quantize/quantize_file.h - a model written as one GGUF file, its matrices in a type that
 * was asked for: what `tongyun quantize` and `tongyun pull NAME:TYPE` do.
 *
 *	const struct quantize_job job = {.path = "Qwen3-0.6B", .out = "q.gguf", .mix = mix};
 *	struct quantize_report report;
 *	if (quantize_file(&job, &report, &info))
 *		return info.code;      // nothing is left of q.gguf
 *
 * Tensor by tensor, in pieces of a few MiB that threads share; pages of the source are given back.
 * So memory is bounded by the threads and the longest row, not by the model. The bytes written do
 * not depend on the number of threads.
 */
#ifndef MODEL_QUANTIZE_QUANTIZE_FILE_H
#define MODEL_QUANTIZE_QUANTIZE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "chip/chip.h"
#include "model/quantize/quantize_mix.h"

#define QUANTIZE_THREADS_MAX 256

struct quantize_job {
	const char *path;                 /* a directory or a GGUF file, as weights_open takes it */
	const char *out;
	const struct quantize_mix *mix;
	const char *name;                 /* general.name; NULL: as the source says or is called */
	uint32_t threads;                 /* 0: one per available core */
	bool force;                       /* out may exist and is replaced */
	/* Called in the caller's thread with how many of all values are written; false gives up:
	 * ERR_CANCELLED. NULL: nobody looks. */
	bool (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

struct quantize_report {
	uint64_t tensors;
	uint64_t values;
	uint64_t source_bytes;            /* of the tensors that were written */
	enum chip_type source_type;       /* of most of them */
	uint64_t file_bytes;
	uint64_t type_tensors[CHIP_TYPES];
	uint64_t type_bytes[CHIP_TYPES];
	uint64_t other_bytes;             /* carried over, of types that are not read here */
	uint64_t narrow_tensors;          /* whose rows did not fill the blocks of their type */
	char note[256];                   /* what was left out; "" if nothing */
};

/* ERR_EXISTS: out is there and force was not said. ERR_INPUT: out is one of the source's files, or
 * a tensor, which the text names, holds what is no number. ERR_LIMIT: no room on the disk. */
enum err quantize_file(const struct quantize_job *job, struct quantize_report *report,
	struct err_info *info) MUST_CHECK;

#endif
