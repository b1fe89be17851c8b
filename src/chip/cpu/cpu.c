/* chip/cpu/cpu.c - the CPU as a chip: what it is, how much memory it may take, and
 * its driver table. */
#include "chip/cpu/cpu.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/file.h"
#include "base/math.h"
#include "base/mem.h"
#include "base/thread.h"
#include "chip/cpu/block.h"
#include "chip/cpu/isa.h"
#include "chip/format.h"

#define PROC_FILE_MAX (4 << 20)

/* ---- what the system says -------------------------------------------------------------------- */

/* Copies what follows "key ... :" on the first line that begins with key; false
 * when there is none. */
static bool find_line(const char *text, const char *key, char *out, size_t size)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		const char *value = strchr(line, ':');
		if (!value)
			return false;
		value++;
		value += strspn(value, " \t");
		(void)snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
		return true;
	}
	return false;
}

static bool proc_line(const char *path, const char *key, char *out, size_t size)
{
	struct buf text;
	struct err_info ignored = {0};
	bool found = false;

	buf_init(&text, PROC_FILE_MAX);
	if (!file_read(&text, path, &ignored) && text.data)
		found = find_line(text.data, key, out, size);
	buf_free(&text);
	return found;
}

static int64_t meminfo_bytes(const char *key)
{
	char value[64];

	if (!proc_line("/proc/meminfo", key, value, sizeof(value)))
		return 0;
	return strtoll(value, NULL, 10) * 1024;
}

static int64_t free_bytes(void)
{
	return math_min_i64(meminfo_bytes("MemAvailable"), cgroup_memory_free_bytes(""));
}

/* ---- list, describe -------------------------------------------------------------------------- */

static void describe(struct chip_info *out, const struct cpu_kernels *kernels, const char *isas,
	uint32_t cores, int64_t memory_bytes)
{
	memset(out, 0, sizeof(*out));
	if (!proc_line("/proc/cpuinfo", "model name", out->name, sizeof(out->name)) &&
	    !proc_line("/proc/cpuinfo", "CPU implementer", out->name, sizeof(out->name)))
		(void)snprintf(out->name, sizeof(out->name), "CPU");
	(void)snprintf(out->kind, sizeof(out->kind), "cpu");
	(void)snprintf(out->isa, sizeof(out->isa), "%s", kernels->name);
	(void)snprintf(out->isas, sizeof(out->isas), "%s", isas);
	for (enum chip_type type = CHIP_F32; type < CHIP_TYPES; type++) {
		const bool direct = kernels->matmul[type] != NULL;

		out->direct_types |= (uint32_t)direct << type;
		out->int8_types |= (uint32_t)(direct && cpu_is_block_type(type)) << type;
	}
	if (kernels->bf16_inputs)
		out->bf16_types = 1U << CHIP_BF16 | 1U << CHIP_F8_E4M3;
	out->kv_type = kernels->bf16_inputs ? CHIP_BF16 : CHIP_F16;
	out->cores = cores;
	out->memory_bytes = memory_bytes;
}

static uint32_t cpu_list(struct chip_info *infos, uint32_t infos_max)
{
	struct cpu_kernels best;
	char isas[sizeof(infos->isas)];

	if (infos_max == 0)
		return 1;
	const bool found = cpu_isa_find(NULL, &best);

	assert(found);
	cpu_isa_names(isas, sizeof(isas));
	describe(infos, &best, isas, thread_cores_available(), meminfo_bytes("MemTotal"));
	return 1;
}

static void cpu_describe(const struct chip *chip, struct chip_info *out)
{
	const struct cpu_chip *cpu = (const struct cpu_chip *)chip;

	describe(out, &cpu->kernels, cpu->isas, cpu_pool_threads(cpu->pool), cpu->memory_max);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int64_t cpu_memory_used(const struct chip *chip)
{
	return ((const struct cpu_chip *)chip)->memory_used;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static void cpu_close(struct chip *chip)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;

	cpu_memory_close(cpu);
	cpu_pool_close(cpu->pool);
	mem_free(cpu);
}

enum err cpu_open_kernels(struct chip **out, const struct cpu_kernels *kernels,
	const struct chip_config *config, struct err_info *info)
{
	const uint32_t threads = config->threads ? config->threads : thread_cores_available();
	struct cpu_chip *cpu;

	*out = NULL;
	if (threads > CPU_THREADS_MAX)
		return err_set(info, ERR_LIMIT, "%u threads, at most %d", threads, CPU_THREADS_MAX);
	cpu = mem_alloc(1, sizeof(*cpu));
	if (!cpu)
		return err_set(info, ERR_MEMORY, "no memory for a chip");
	cpu->base.driver = &chip_driver_cpu;
	cpu->kernels = *kernels;
	cpu->memory_max = config->memory_bytes ? config->memory_bytes : free_bytes() / 10 * 9;
	cpu_isa_names(cpu->isas, sizeof(cpu->isas));
	const enum err err = cpu_pool_open(&cpu->pool, threads, info);
	if (err) {
		mem_free(cpu);
		return err;
	}
	*out = &cpu->base;
	return ERR_NONE;
}

static enum err cpu_open(struct chip **out, const struct chip_config *config, struct err_info *info)
{
	struct cpu_kernels kernels;
	char names[128];

	if (config->device != 0)
		return err_set(info, ERR_NOT_FOUND,
			"there is one cpu, and no device %u of its kind", config->device);
	if (!cpu_isa_find(config->isa, &kernels)) {
		cpu_isa_names(names, sizeof(names));
		return err_set(info, ERR_UNSUPPORTED,
			"this machine cannot run \"%s\"; it can run: %s", config->isa, names);
	}
	return cpu_open_kernels(out, &kernels, config, info);
}

/* ---- profiles -------------------------------------------------------------------------------- */

static void cpu_profile_start(struct chip *chip)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;

	assert(cpu->steps_in_flight == 0);
	cpu->profile = (struct chip_profile){0};
	cpu->profiled = true;
}

static void cpu_profile_stop(struct chip *chip, struct chip_profile *out)
{
	struct cpu_chip *cpu = (struct cpu_chip *)chip;

	assert(cpu->steps_in_flight == 0);
	cpu->profiled = false;
	for (uint32_t i = 0; i < CHIP_PHASES; i++) {
		out->phases[i].work_ns += cpu->profile.phases[i].work_ns;
		out->phases[i].wait_ns += cpu->profile.phases[i].wait_ns;
		out->phases[i].barriers += cpu->profile.phases[i].barriers;
	}
}

const struct chip_driver chip_driver_cpu = {
	.kind = "cpu",
	.list = cpu_list,
	.open = cpu_open,
	.close = cpu_close,
	.describe = cpu_describe,
	.measure = cpu_measure,
	.memory_used = cpu_memory_used,
	.weight_pack = cpu_weight_pack,
	.weight_close = cpu_weight_close,
	.vector_open = cpu_vector_open,
	.vector_close = cpu_vector_close,
	.page_bytes = cpu_cache_page_bytes,
	.state_bytes = cpu_cache_state_bytes,
	.cache_open = cpu_cache_open,
	.cache_close = cpu_cache_close,
	.state_copy = cpu_state_copy,
	.slot_open = cpu_slot_open,
	.program_open = cpu_program_open,
	.program_close = cpu_program_close,
	.submit = cpu_submit,
	.wait = cpu_wait,
	.profile_start = cpu_profile_start,
	.profile_stop = cpu_profile_stop,
};
