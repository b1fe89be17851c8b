/* tests/isa_note.h - says which instruction sets a test program runs, natively or emulated, and
 * which not at all. tools/test.py shows it also when everything has passed. */
#ifndef TESTS_ISA_NOTE_H
#define TESTS_ISA_NOTE_H

#include <stdio.h>
#include <string.h>

#include "chip/cpu/isa.h"
#include "unit.h"

/* emulated: the names that this program emulates, blank separated. */
static inline void isa_note(const char *emulated)
{
	static const char *const names[] = {"ref", "avx2", "avxvnni", "avx512", "avx512bf16"};
	char native[128], missing[128] = "";

	cpu_isa_names(native, sizeof(native));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct cpu_kernels ignored;
		const size_t used = strlen(missing);

		if (!cpu_isa_find(names[i], &ignored))
			(void)snprintf(missing + used, sizeof(missing) - used, " %s", names[i]);
	}
	print_message("# note: instruction sets run natively: %s; not on this machine:%s; "
		"emulated: %s\n", native,
		*missing ? missing : " none", *emulated ? emulated : "none");
}

#endif
