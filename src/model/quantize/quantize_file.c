/* model/quantize/quantize_file.c - see quantize_file.h. */
#include "model/quantize/quantize_file.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "chip/format.h"
#include "model/quantize/export.h"
#include "model/quantize/quantize.h"

#define PIECE_VALUES  ((uint64_t)1 << 20)   /* that a thread takes at once, if rows are shorter */
#define COLUMNS_MAX   ((uint64_t)1 << 24)   /* of a matrix that is quantized */
#define COPY_BYTES    ((size_t)8 << 20)     /* that are copied before pages are given back */

/* One thread's share: rows of a tensor, read and quantized. */
struct piece {
	const struct export *e;
	const struct export_tensor *t;
	uint64_t first;
	uint32_t rows;
	float *values;
	void *scratch;
	uint8_t *out;
	size_t out_bytes;
	enum quantize_result result;
	struct thread *thread;
};

struct work {
	const struct quantize_job *job;
	const struct export *e;
	struct gguf_writer *writer;
	struct quantize_report *report;
	struct piece *pieces;         /* [thread_count] */
	uint32_t thread_count;
	uint64_t done;                /* values written */
	struct err_info *info;
};

/* ---- memory ---------------------------------------------------------------------------------- */

static bool is_copied(const struct export_tensor *t)
{
	return t->bytes && t->as.chosen == t->as.stored;
}

static enum chip_type type_of(const struct export_tensor *t)
{
	return t->as.chosen->chip_type;
}

static uint32_t rows_of_piece(const struct export_tensor *t)
{
	const uint64_t rows = PIECE_VALUES / export_columns(t);

	return rows > 0 ? (uint32_t)rows : 1;
}

struct sizes {
	size_t values;
	size_t scratch;
	size_t out;
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static struct sizes sizes_wanted(const struct export *e)
{
	struct sizes s = {0};

	for (size_t i = 0; i < e->count; i++) {
		const struct export_tensor *t = &e->tensors[i];
		const uint32_t columns = export_columns(t);

		if (is_copied(t))
			continue;
		s.values = larger(s.values, (size_t)rows_of_piece(t) * columns);
		s.scratch = larger(s.scratch, export_scratch_bytes(t));
		s.out = larger(s.out,
			rows_of_piece(t) * chip_row_bytes(type_of(t), 0, columns));
	}
	return s;
}

static enum err open_pieces(struct work *w)
{
	const struct sizes s = sizes_wanted(w->e);

	w->pieces = mem_alloc(w->thread_count, sizeof(*w->pieces));
	for (uint32_t i = 0; w->pieces && i < w->thread_count; i++) {
		struct piece *p = &w->pieces[i];

		p->e = w->e;
		p->values = mem_alloc(larger(s.values, 1), sizeof(*p->values));
		p->scratch = mem_alloc(larger(s.scratch, 1), 1);
		p->out = mem_alloc(larger(s.out, 1), 1);
		if (!p->values || !p->scratch || !p->out)
			return err_set(w->info, ERR_MEMORY, "no memory for pieces of %zu values",
				s.values);
	}
	return w->pieces ? ERR_NONE : err_set(w->info, ERR_MEMORY, "no memory for threads");
}

static void close_pieces(struct work *w)
{
	for (uint32_t i = 0; w->pieces && i < w->thread_count; i++) {
		mem_free(w->pieces[i].values);
		mem_free(w->pieces[i].scratch);
		mem_free(w->pieces[i].out);
	}
	mem_free(w->pieces);
}

/* ---- one tensor ------------------------------------------------------------------------------ */

static void run_piece(void *argument)
{
	struct piece *p = argument;
	const uint32_t columns = export_columns(p->t);

	export_rows(p->e, p->t, p->first, p->rows, p->values, p->scratch);
	p->result = quantize_rows(type_of(p->t), p->values, p->rows, columns, p->out);
	p->out_bytes = p->rows * chip_row_bytes(type_of(p->t), 0, columns);
}

static enum err not_finite(const struct work *w, const struct export_tensor *t)
{
	return err_set(w->info, ERR_INPUT, "%s: tensor %.*s holds a number that is not finite",
		w->job->path, (int)t->as.name_size, t->as.name);
}

static enum err tensor_error(const struct work *w, const struct piece *p)
{
	const struct export_tensor *t = p->t;

	if (p->result == QUANTIZE_NOT_FINITE)
		return not_finite(w, t);
	return err_set(w->info, ERR_INPUT,
		"%s: tensor %.*s holds a number too large for %s; f32 and bf16 can hold it",
		w->job->path, (int)t->as.name_size, t->as.name, t->as.chosen->name);
}

/* Runs pieces 0 .. count at once, the last one in this thread. Where a thread cannot be had its
 * piece runs here too. */
static void run_pieces(struct work *w, uint32_t count)
{
	struct err_info ignored = {0};

	for (uint32_t i = 0; i + 1 < count; i++) {
		struct piece *p = &w->pieces[i];

		if (thread_start(&p->thread, "quantize", run_piece, p, &ignored)) {
			p->thread = NULL;
			run_piece(p);
		}
	}
	run_piece(&w->pieces[count - 1]);
	for (uint32_t i = 0; i + 1 < count; i++) {
		thread_join(w->pieces[i].thread);
		w->pieces[i].thread = NULL;
	}
}

static enum err tell(struct work *w, uint64_t values)
{
	w->done += values;
	weights_release(w->e->weights);
	if (w->job->progress && !w->job->progress(w->job->context, w->done, w->report->values))
		return err_set(w->info, ERR_CANCELLED, "interrupted; %s is not written", w->job->out);
	return ERR_NONE;
}

static enum err convert(struct work *w, const struct export_tensor *t)
{
	const uint64_t rows = export_row_count(t);
	const uint32_t rows_at_once = rows_of_piece(t);

	for (uint64_t at = 0; at < rows;) {
		const uint64_t before = at;
		uint32_t count = 0;

		for (; count < w->thread_count && at < rows; count++) {
			struct piece *p = &w->pieces[count];

			p->t = t;
			p->first = at;
			p->rows = rows - at < rows_at_once ? (uint32_t)(rows - at) : rows_at_once;
			at += p->rows;
		}
		run_pieces(w, count);
		for (uint32_t i = 0; i < count; i++) {
			const struct piece *p = &w->pieces[i];

			if (p->result != QUANTIZE_DONE)
				return tensor_error(w, p);
			if (gguf_writer_data(w->writer, p->out, p->out_bytes, w->info))
				return w->info->code;
		}
		if (tell(w, (at - before) * export_columns(t)))
			return w->info->code;
	}
	return ERR_NONE;
}

static uint64_t values_of(const struct export_tensor *t)
{
	return export_row_count(t) * t->as.dims[t->as.dim_count - 1];
}

/* Of numbers as they are; in the blocks of other types it is for who reads them. */
static bool are_finite(const struct dtype *type, const uint8_t *bytes, size_t size)
{
	const bool f32 = type->chip_type == CHIP_F32, f16 = type->chip_type == CHIP_F16;
	const uint32_t exponent32 = 0x7f800000;
	const uint16_t exponent16 = f16 ? 0x7c00 : 0x7f80;
	bool bad = false;

	if (!dtype_is_readable(type) || (!f32 && !f16 && type->chip_type != CHIP_BF16))
		return true;
	for (size_t at = 0; f32 && at < size; at += sizeof(uint32_t)) {
		uint32_t bits;

		memcpy(&bits, bytes + at, sizeof(bits));
		bad |= (bits & exponent32) == exponent32;
	}
	for (size_t at = 0; !f32 && at < size; at += sizeof(uint16_t)) {
		uint16_t bits;

		memcpy(&bits, bytes + at, sizeof(bits));
		bad |= (bits & exponent16) == exponent16;
	}
	return !bad;
}

static enum err copy(struct work *w, const struct export_tensor *t)
{
	const struct stored_tensor *from = t->bytes;

	for (size_t at = 0; at < from->size_bytes;) {
		const size_t left = from->size_bytes - at;
		const size_t size = left < COPY_BYTES ? left : COPY_BYTES;

		if (!are_finite(t->as.chosen, from->data + at, size))
			return not_finite(w, t);
		if (gguf_writer_data(w->writer, from->data + at, size, w->info) || tell(w, 0))
			return w->info->code;
		at += size;
	}
	return tell(w, values_of(t));
}

/* ---- the file -------------------------------------------------------------------------------- */

static uint64_t source_bytes(const struct export_tensor *t)
{
	if (t->bytes)
		return t->bytes->size_bytes;
	if (t->matrix)
		return (uint64_t)t->matrix->rows *
			chip_row_bytes(t->matrix->type, t->matrix->group, t->matrix->columns);
	return values_of(t) * sizeof(float);
}

static void count_tensor(struct quantize_report *r, const struct quantize_mix *mix,
	const struct export_tensor *t)
{
	const struct dtype *type = t->as.chosen;
	size_t bytes = 0;
	const bool whole = dtype_bytes(type, values_of(t), &bytes);

	assert(whole);
	r->tensors++;
	r->values += values_of(t);
	r->source_bytes += source_bytes(t);
	if (!dtype_is_readable(type)) {
		r->other_bytes += bytes;
		return;
	}
	r->type_tensors[type->chip_type]++;
	r->type_bytes[type->chip_type] += bytes;
	r->narrow_tensors += type != t->as.stored &&
		export_columns(t) % chip_type_block_values(mix->type) != 0;
}

static enum err choose_types(struct export *e, const struct quantize_mix *mix,
	struct err_info *info)
{
	struct mix_tensor *list = mem_alloc(e->count, sizeof(*list));

	if (!list)
		return err_set(info, ERR_MEMORY, "no memory for %zu tensors", e->count);
	for (size_t i = 0; i < e->count; i++)
		list[i] = e->tensors[i].as;
	quantize_mix_choose(mix, &e->model, list, e->count);
	for (size_t i = 0; i < e->count; i++)
		e->tensors[i].as.chosen = list[i].chosen;
	mem_free(list);
	return ERR_NONE;
}

static enum err check_widths(const struct work *w)
{
	for (size_t i = 0; i < w->e->count; i++) {
		const struct mix_tensor *t = &w->e->tensors[i].as;

		if (!is_copied(&w->e->tensors[i]) && t->dims[t->dim_count - 1] > COLUMNS_MAX)
			return err_set(w->info, ERR_LIMIT,
				"%s: tensor %.*s has rows of %llu values, at most %llu can be "
				"quantized",
				w->job->path, (int)t->name_size, t->name,
				(unsigned long long)t->dims[t->dim_count - 1],
				(unsigned long long)COLUMNS_MAX);
	}
	return ERR_NONE;
}

static void put_tensors(struct work *w)
{
	for (size_t i = 0; i < w->e->count; i++) {
		const struct mix_tensor *t = &w->e->tensors[i].as;

		gguf_write_tensor(
			w->writer, t->name, t->name_size, t->dims, t->dim_count, t->chosen);
		count_tensor(w->report, w->job->mix, &w->e->tensors[i]);
	}
}

static enum err write_tensors(struct work *w)
{
	if (open_pieces(w))
		return w->info->code;
	for (size_t i = 0; i < w->e->count; i++) {
		const struct export_tensor *t = &w->e->tensors[i];

		if (is_copied(t) ? copy(w, t) : convert(w, t))
			return w->info->code;
	}
	return weights_read_faults(w->e->weights, w->info);
}

static enum err write_file(struct work *w)
{
	if (check_widths(w) ||
		export_keys(w->e, w->job->path, w->job->name, w->writer, w->info))
		return w->info->code;
	gguf_write_u32(w->writer, "general.file_type", w->job->mix->file_type);
	put_tensors(w);
	if (gguf_writer_open(w->writer, w->job->out, w->info))
		return w->info->code;
	w->report->file_bytes = gguf_writer_size(w->writer);
	if (write_tensors(w))
		return w->info->code;
	return gguf_writer_commit(w->writer, w->info);
}

static enum err write_weights(const struct quantize_job *job, const struct weights *weights,
	struct quantize_report *report, struct err_info *info)
{
	const uint32_t threads = job->threads ? job->threads : thread_cores_available();
	struct gguf_writer writer;
	struct export e;
	struct work w = {.job = job, .e = &e, .writer = &writer, .report = report, .info = info,
		.thread_count = threads < QUANTIZE_THREADS_MAX ? threads : QUANTIZE_THREADS_MAX};
	enum err code;

	if (export_open(&e, weights, info))
		return info->code;
	gguf_writer_init(&writer);
	if (!(code = choose_types(&e, job->mix, info)))
		code = write_file(&w);
	close_pieces(&w);
	gguf_writer_close(&writer);
	export_close(&e);
	return code;
}

/* What is there under the name of the file to be. */
static enum err check_out(const struct quantize_job *job, const struct weights *weights,
	struct err_info *info)
{
	if (weights_are_in(weights, job->out))
		return err_set(info, ERR_INPUT, "%s: is what is read; give another name", job->out);
	if (file_is_dir(job->out))
		return err_set(info, ERR_EXISTS, "%s: is a directory; name a file", job->out);
	if (!job->force && file_exists(job->out))
		return err_set(info, ERR_EXISTS, "%s: exists; --force replaces it", job->out);
	return ERR_NONE;
}

enum err quantize_file(const struct quantize_job *job, struct quantize_report *report,
	struct err_info *info)
{
	struct weights weights;
	enum err code;

	*report = (struct quantize_report){0};
	if (weights_open(&weights, job->path, info))
		return info->code;
	snprintf(report->note, sizeof(report->note), "%s", weights.note);
	report->source_type = weights.type;
	if (!(code = check_out(job, &weights, info)))
		code = write_weights(job, &weights, report, info);
	weights_close(&weights);
	return code;
}
