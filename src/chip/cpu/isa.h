/* chip/cpu/isa.h - which instruction sets this machine has, and their kernels. */
#ifndef CHIP_CPU_ISA_H
#define CHIP_CPU_ISA_H

#include <stdbool.h>
#include <stddef.h>

#include "chip/cpu/kernels.h"

/* The table of that name, NULL: the best one; false when the machine (or this build) has not got
 * it. What the table leaves out comes from the reference. */
bool cpu_isa_find(const char *name, struct cpu_kernels *out);
/* Fills the gaps of a table from the reference. */
void cpu_isa_complete(struct cpu_kernels *kernels);
/* All of them, blank separated, best last. */
void cpu_isa_names(char *out, size_t size);

#endif
