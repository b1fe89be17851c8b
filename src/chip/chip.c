/* chip/chip.c - the promise of chip.h, kept by whichever driver the chip has. */
#include "chip/chip.h"

#include <assert.h>
#include <string.h>

#include "chip/check.h"
#include "chip/driver.h"

static const struct chip_driver *const drivers[] = {
	&chip_driver_cpu,
};

#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

uint32_t chip_list(struct chip_info *infos, uint32_t infos_max)
{
	uint32_t count = 0;

	for (size_t i = 0; i < DRIVER_COUNT; i++) {
		const uint32_t room = count < infos_max ? infos_max - count : 0;

		count += drivers[i]->list(room ? infos + count : NULL, room);
	}
	return count;
}

enum err chip_open(struct chip **out, const char *kind, const struct chip_config *config,
	struct err_info *info)
{
	assert(out && kind && config);
	*out = NULL;
	for (size_t i = 0; i < DRIVER_COUNT; i++)
		if (strcmp(kind, drivers[i]->kind) == 0)
			return drivers[i]->open(out, config, info);
	return err_set(info, ERR_NOT_FOUND, "there is no kind of chip called \"%s\"", kind);
}

void chip_close(struct chip *chip)
{
	if (chip)
		chip->driver->close(chip);
}

void chip_describe(const struct chip *chip, struct chip_info *out)
{
	chip->driver->describe(chip, out);
}

enum err chip_measure(struct chip *chip, struct chip_rates *out, struct err_info *info)
{
	return chip->driver->measure(chip, out, info);
}

int64_t chip_memory_used(const struct chip *chip)
{
	return chip->driver->memory_used(chip);
}

/* ---- weights --------------------------------------------------------------------------------- */

enum err chip_weight_pack(struct chip *chip, struct chip_weight **out, const struct chip_matrix *m,
	struct err_info *info)
{
	*out = NULL;
	const enum err err = chip_check_matrix(m, info);
	if (err)
		return err;
	return chip->driver->weight_pack(chip, out, m, info);
}

void chip_weight_close(struct chip *chip, struct chip_weight *w)
{
	if (w)
		chip->driver->weight_close(chip, w);
}

int64_t chip_weight_bytes(const struct chip_weight *w)
{
	return w->read_bytes;
}

enum err chip_vector_open(struct chip *chip, struct chip_vector **out, const float *values,
	size_t count, struct err_info *info)
{
	*out = NULL;
	if (count == 0 || count > CHIP_COLUMNS_MAX * (size_t)CHIP_CONV_WIDTH_MAX)
		return err_set(info, ERR_LIMIT, "a vector of %zu values", count);
	return chip->driver->vector_open(chip, out, values, count, info);
}

void chip_vector_close(struct chip *chip, struct chip_vector *v)
{
	if (v)
		chip->driver->vector_close(chip, v);
}

/* ---- cache ----------------------------------------------------------------------------------- */

int64_t chip_cache_page_bytes(const struct chip *chip, const struct chip_cache_layout *layout)
{
	return chip->driver->page_bytes(chip, layout);
}

int64_t chip_cache_state_bytes(const struct chip *chip, const struct chip_cache_layout *layout)
{
	return chip->driver->state_bytes(chip, layout);
}

enum err chip_cache_open(struct chip *chip, struct chip_cache **out,
	const struct chip_cache_layout *layout, struct err_info *info)
{
	*out = NULL;
	const enum err err = chip_check_layout(layout, info);
	if (err)
		return err;
	return chip->driver->cache_open(chip, out, layout, info);
}

void chip_cache_close(struct chip *chip, struct chip_cache *cache)
{
	if (cache)
		chip->driver->cache_close(chip, cache);
}

void chip_state_copy(struct chip *chip, struct chip_cache *cache, uint32_t from, uint32_t to)
{
	assert(from < cache->layout.states && to < cache->layout.states);
	if (from != to)
		chip->driver->state_copy(chip, cache, from, to);
}

void chip_slot_open(struct chip *chip, struct chip_cache *cache, uint32_t slot,
	const struct chip_sampling *sampling, const uint32_t *prompt, uint32_t prompt_count,
	const uint32_t *answer, uint32_t answer_count)
{
	chip_check_slot(&cache->layout, slot, sampling);
	assert((prompt_count == 0 || prompt) && (answer_count == 0 || answer));
	chip->driver->slot_open(chip, cache, slot, sampling, prompt, prompt_count, answer,
		answer_count);
}

/* ---- programs and steps ---------------------------------------------------------------------- */

enum err chip_program_open(struct chip *chip, struct chip_program **out,
	const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
	struct err_info *info)
{
	*out = NULL;
	enum err err = chip_check_layout(layout, info);
	if (!err)
		err = chip_check_program(desc, layout, info);
	if (err)
		return err;
	return chip->driver->program_open(chip, out, desc, layout, info);
}

void chip_program_close(struct chip *chip, struct chip_program *program)
{
	if (program)
		chip->driver->program_close(chip, program);
}

enum err chip_submit(struct chip *chip, struct chip_program *program, struct chip_cache *cache,
	const struct chip_step *step, const struct chip_observer *observer, uint64_t *ticket,
	struct err_info *info)
{
	chip_check_step(&program->desc, &cache->layout, step);
	return chip->driver->submit(chip, program, cache, step, observer, ticket, info);
}

enum err chip_wait(struct chip *chip, uint64_t ticket, struct chip_output *output,
	struct err_info *info)
{
	return chip->driver->wait(chip, ticket, output, info);
}

/* ---- profiles -------------------------------------------------------------------------------- */

const char *chip_phase_name(enum chip_phase phase)
{
	static const char *const names[] = {
		[CHIP_PHASE_HEAD - CHIP_OP_KINDS] = "head",
		[CHIP_PHASE_INPUTS - CHIP_OP_KINDS] = "inputs",
		[CHIP_PHASE_ANGLES - CHIP_OP_KINDS] = "angles",
	};
	const uint32_t at = (uint32_t)phase;

	assert(at < CHIP_PHASES);
	return at < CHIP_OP_KINDS ? chip_op_name((enum chip_op_kind)at)
		: names[at - CHIP_OP_KINDS];
}

void chip_profile_start(struct chip *chip)
{
	chip->driver->profile_start(chip);
}

void chip_profile_stop(struct chip *chip, struct chip_profile *out)
{
	chip->driver->profile_stop(chip, out);
}
