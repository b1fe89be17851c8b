/* chip/driver.h - what a kind of chip implements: a table of functions, one folder per kind.
 *
 * chip.c dispatches through the table. Everything that can be decided without knowing the kind is
 * decided above it (check.h): drivers get descriptions and steps that are already known to be
 * sound. A driver's own structs begin with the ones here.
 */
#ifndef CHIP_DRIVER_H
#define CHIP_DRIVER_H

#include "chip/chip.h"

struct chip_driver {
	const char *kind;   /* "cpu" */

	uint32_t (*list)(struct chip_info *infos, uint32_t infos_max);
	enum err (*open)(struct chip **out, const struct chip_config *config,
		struct err_info *info);
	void (*close)(struct chip *chip);
	void (*describe)(const struct chip *chip, struct chip_info *out);
	enum err (*measure)(struct chip *chip, struct chip_rates *out, struct err_info *info);
	int64_t (*memory_used)(const struct chip *chip);

	enum err (*weight_pack)(struct chip *chip, struct chip_weight **out,
		const struct chip_matrix *m, struct err_info *info);
	void (*weight_close)(struct chip *chip, struct chip_weight *w);
	enum err (*vector_open)(struct chip *chip, struct chip_vector **out, const float *values,
		size_t count, struct err_info *info);
	void (*vector_close)(struct chip *chip, struct chip_vector *v);

	int64_t (*page_bytes)(const struct chip *chip, const struct chip_cache_layout *layout);
	int64_t (*state_bytes)(const struct chip *chip, const struct chip_cache_layout *layout);
	enum err (*cache_open)(struct chip *chip, struct chip_cache **out,
		const struct chip_cache_layout *layout, struct err_info *info);
	void (*cache_close)(struct chip *chip, struct chip_cache *cache);
	void (*state_copy)(struct chip *chip, struct chip_cache *cache, uint32_t from, uint32_t to);
	void (*slot_open)(struct chip *chip, struct chip_cache *cache, uint32_t slot,
		const struct chip_sampling *sampling, const uint32_t *prompt, uint32_t prompt_count,
		const uint32_t *answer, uint32_t answer_count);

	enum err (*program_open)(struct chip *chip, struct chip_program **out,
		const struct chip_program_desc *desc, const struct chip_cache_layout *layout,
		struct err_info *info);
	void (*program_close)(struct chip *chip, struct chip_program *program);

	enum err (*submit)(struct chip *chip, struct chip_program *program,
		struct chip_cache *cache, const struct chip_step *step,
		const struct chip_observer *observer, uint64_t *ticket,
		struct err_info *info);
	enum err (*wait)(struct chip *chip, uint64_t ticket, struct chip_output *output,
		struct err_info *info);

	void (*profile_start)(struct chip *chip);
	void (*profile_stop)(struct chip *chip, struct chip_profile *out);
};

struct chip {
	const struct chip_driver *driver;
};

struct chip_weight {
	enum chip_type type;
	uint32_t rows;
	uint32_t columns;
	uint32_t group;        /* of a grouped type, else 0 */
	uint32_t parts;        /* at least 1 */
	int64_t read_bytes;    /* to use the whole matrix once */
};

struct chip_vector {
	size_t count;
};

struct chip_cache {
	struct chip_cache_layout layout;
};

struct chip_program {
	struct chip_program_desc desc;    /* its arrays are the program's own copies */
	struct chip_cache_layout layout;
};

extern const struct chip_driver chip_driver_cpu;

#endif
