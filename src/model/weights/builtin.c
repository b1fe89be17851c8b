/* model/weights/builtin.c - see builtin.h. The assembler copies the file into read-only data;
 * nothing is generated. */
#include "model/weights/builtin.h"

#include <stdint.h>

#include "model/builtin_stamp.h"

__asm__(".pushsection .rodata\n"
	".balign 64\n"
	".globl builtin_model_begin\n"
	"builtin_model_begin:\n"
	".incbin \"" BUILTIN_MODEL_PATH "\"\n"
	".globl builtin_model_end\n"
	"builtin_model_end:\n"
	".byte 0\n"
	".popsection\n");

extern const uint8_t builtin_model_begin[];
extern const uint8_t builtin_model_end[];

const void *builtin_model(size_t *size_bytes)
{
	*size_bytes = (size_t)((uintptr_t)builtin_model_end - (uintptr_t)builtin_model_begin);
	return builtin_model_begin;
}

const char *builtin_model_sha256(void)
{
	return BUILTIN_MODEL_SHA256;
}

enum err builtin_weights_open(struct weights *w, struct err_info *info)
{
	size_t size;
	const void *bytes = builtin_model(&size);

	return weights_open_memory(w, bytes, size, BUILTIN_MODEL_NAME, info);
}
