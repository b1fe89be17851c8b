/* tests/isa_note.h - says which instruction sets a test program runs, natively, in another encoding
 * or emulated, and which not at all. tools/test.py shows it also when everything has passed. */
#ifndef TESTS_ISA_NOTE_H
#define TESTS_ISA_NOTE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chip/cpu/isa.h"
#include "unit.h"

/* Whether a word of the list, names apart from blanks up to a '-', is that name. */
static inline bool isa_note_has(const char *list, const char *name)
{
	const size_t size = strlen(name);

	for (const char *at = list; (at = strstr(at, name)) != NULL; at += size)
		if ((at == list || at[-1] == ' ') && (!at[size] || strchr("- ", at[size])))
			return true;
	return false;
}

/* others: what this program runs besides, "NAME-emulated" or "NAME-evex", blank separated. */
static inline void isa_note(const char *others)
{
	static const char *const names[] = {"ref", "avx2", "avxvnni", "avx512", "avx512bf16"};
	char native[128], missing[128] = "";

	cpu_isa_names(native, sizeof(native));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct cpu_kernels ignored;
		const size_t used = strlen(missing);

		if (!cpu_isa_find(names[i], &ignored) && !isa_note_has(others, names[i]))
			(void)snprintf(missing + used, sizeof(missing) - used, " %s", names[i]);
	}
	print_message("# note: instruction sets run natively: %s; otherwise: %s; not run on this "
		"machine:%s\n", native, *others ? others : "none", *missing ? missing : " none");
}

#endif
