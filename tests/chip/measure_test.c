/* tests/chip/measure_test.c - loops to measure with do what they are counted for: a rate is no
 * better than the bytes that were really read. */
#include "rig.h"

#include <string.h>

#define BYTES   8192    /* of memory that is read */
#define AHEAD   1024    /* a prefetch may look behind it */

static struct rig_isa isas[RIG_ISAS_MAX];
static uint32_t isa_count;

static int find_isas(void **state)
{
	(void)state;
	isa_count = rig_isas(isas);
	return 0;
}

static void a_read_loop_misses_no_byte(void **state)
{
	static _Alignas(4096) uint8_t bytes[BYTES + AHEAD];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (uint32_t i = 0; i < isa_count; i++)
		for (uint32_t j = 0; j < CPU_READS_MAX && isas[i].kernels.gauge.read[j]; j++) {
			uint64_t (*const read)(const uint8_t *, size_t) =
				isas[i].kernels.gauge.read[j];
			const uint64_t sum = read(bytes, BYTES);

			for (size_t at = 0; at < BYTES; at++) {
				bytes[at] ^= 0x10;
				if (read(bytes, BYTES) == sum)
					fail_msg("%s: loop %u: byte %zu", isas[i].name, j, at);
				bytes[at] ^= 0x10;
			}
		}
}

static void a_loop_of_arithmetic_counts_by_its_rounds(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < isa_count; i++) {
		const struct cpu_gauge *g = &isas[i].kernels.gauge;
		int64_t (*const loops[])(int64_t) = {g->int8, g->bf16, g->f32};

		for (size_t j = 0; j < sizeof(loops) / sizeof(*loops); j++) {
			if (!loops[j])
				continue;
			assert_true(loops[j](1) > 0);
			assert_int_equal(loops[j](100), 100 * loops[j](1));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_loop_misses_no_byte),
		cmocka_unit_test(a_loop_of_arithmetic_counts_by_its_rounds),
	};

	return cmocka_run_group_tests(tests, find_isas, NULL);
}
