/* chip/cpu/isa.c - see isa.h. Asks the processor what it can do and the system
 * what it saves of it. */
#include "chip/cpu/isa.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
	HAS_AVX2 = 1,         /* AVX2, FMA, F16C */
	HAS_AVX512 = 2,       /* F, BW, DQ, VL, VNNI */
	HAS_AVX512BF16 = 4,
	HAS_AVXVNNI = 8,
};

#if defined(__x86_64__)

#define XCR0_AVX    0x06U  /* the system saves xmm and ymm */
#define XCR0_AVX512 0xE6U  /* and masks and zmm */

static uint32_t saved_registers(void)
{
	uint32_t low, high;

	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static bool all(uint32_t word, uint32_t bits)
{
	return (word & bits) == bits;
}

/* eax of leaf 7, subleaf 1. */
static uint32_t more_features(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid_count(7, 1, &a, &b, &c, &d) ? a : 0;
}

static uint32_t machine_has(void)
{
	const uint32_t leaf1 = bit_FMA | bit_F16C | bit_OSXSAVE | bit_AVX;
	const uint32_t leaf7 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
	uint32_t a, b, c, d, more, has = 0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, leaf1))
		return 0;
	const uint32_t saved = saved_registers();

	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, bit_AVX2) || !all(saved, XCR0_AVX))
		return 0;
	has |= HAS_AVX2;
	more = a >= 1 ? more_features() : 0;
	if (all(more, 1U << 4))
		has |= HAS_AVXVNNI;
	if (!all(saved, XCR0_AVX512) || !all(b, leaf7) || !all(c, bit_AVX512VNNI))
		return has;
	has |= HAS_AVX512;
	if (all(more, 1U << 5))
		has |= HAS_AVX512BF16;
	return has;
}

#else

static uint32_t machine_has(void)
{
	return 0;
}

#endif

/* Best last. avx512bf16 differs from avx512 with matrices of bf16 and f8_e4m3, and with keys and
 * values of bf16: it rounds their inputs to bf16, as models in bf16 were trained with. */
static const struct {
	uint32_t needs;
	const struct cpu_kernels *kernels;
} tables[] = {
	{0, &cpu_kernels_ref},
#if CHIP_CPU_X86
	{HAS_AVX2, &cpu_kernels_avx2},
	{HAS_AVX2 | HAS_AVXVNNI, &cpu_kernels_avxvnni},
	{HAS_AVX512, &cpu_kernels_avx512},
	{HAS_AVX512 | HAS_AVX512BF16, &cpu_kernels_avx512bf16},
#endif
};

#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

void cpu_isa_complete(struct cpu_kernels *k)
{
	const struct cpu_kernels *ref = &cpu_kernels_ref;

#define COMPLETE(field) k->field = k->field ? k->field : ref->field
	COMPLETE(quantize);
	for (uint32_t type = 0; type < CHIP_TYPES; type++)
		COMPLETE(matmul[type]);
	COMPLETE(unpack);
	COMPLETE(rms_norm);
	COMPLETE(rms_norm_gate);
	COMPLETE(rope);
	COMPLETE(swiglu);
	COMPLETE(add);
	COMPLETE(add_scaled);
	COMPLETE(transpose);
	COMPLETE(bf16_pairs_from_f32);
	COMPLETE(attend);
	COMPLETE(attend_join);
	COMPLETE(attend_finish);
	COMPLETE(conv);
	COMPLETE(delta);
	COMPLETE(delta_gates);
	COMPLETE(l2_norm);
	COMPLETE(f16_from_f32);
	COMPLETE(bf16_from_f32);
	COMPLETE(largest);
	COMPLETE(maxima);
	COMPLETE(exponentials);
	COMPLETE(gauge.read[0]);
	COMPLETE(gauge.int8);
	COMPLETE(gauge.f32);
#undef COMPLETE
}

bool cpu_isa_find(const char *name, struct cpu_kernels *out)
{
	const uint32_t has = machine_has();

	for (size_t i = TABLE_COUNT; i-- > 0;) {
		if ((tables[i].needs & has) != tables[i].needs)
			continue;
		if (name && strcmp(name, tables[i].kernels->name) != 0)
			continue;
		*out = *tables[i].kernels;
		cpu_isa_complete(out);
		return true;
	}
	return false;
}

void cpu_isa_names(char *out, size_t size)
{
	const uint32_t has = machine_has();
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		if ((tables[i].needs & has) != tables[i].needs || used >= size)
			continue;
		const int n = snprintf(out + used, size - used, "%s%s", used ? " " : "",
			tables[i].kernels->name);

		used += n > 0 ? (size_t)n : 0;
	}
}
