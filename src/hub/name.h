/* hub/name.h - what a model is called: OWNER/NAME[@REV][:TYPE].
 *
 *	Qwen/Qwen3-0.6B            Qwen/Qwen3-0.6B:q8_0            Qwen/Qwen3-0.6B@refs/pr/1:q4_k
 *
 * Parts become folders of the store and pieces of URLs: only [A-Za-z0-9._-], none begins with a
 * dot or a dash. A type has one spelling, that of `quantize`: lower case, q4_k for Q4_K_M.
 */
#ifndef HUB_NAME_H
#define HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HUB_PART_BYTES     97   /* of owner, name or type, terminated: the hubs allow 96 together */
#define HUB_REVISION_BYTES 201
#define HUB_NAME_BYTES     (3 * HUB_PART_BYTES)   /* OWNER/NAME:TYPE, terminated */

/* The type of what came as the hub has it: safetensors, or a GGUF file that says no type. */
#define HUB_ORIGINAL "original"

struct hub_name {
	char owner[HUB_PART_BYTES];
	char model[HUB_PART_BYTES];
	char revision[HUB_REVISION_BYTES];   /* a branch, a tag or a commit; "": not said */
	char type[HUB_PART_BYTES];           /* "": not said */
};

/* True of what has the form OWNER/NAME[:TYPE], if only to say that there is none. */
bool hub_name_looks(const char *text);

/* with_revision: @REV is allowed. */
enum err hub_name_parse(struct hub_name *out, const char *text, bool with_revision,
	struct err_info *info) MUST_CHECK;

/* OWNER/NAME, and :TYPE when there is one; returns out. */
const char *hub_name_print(const struct hub_name *n, char out[HUB_NAME_BYTES]);

/* The one spelling of size bytes as a type; false when they cannot be one. */
bool hub_type_spell(char out[HUB_PART_BYTES], const char *text, size_t size);

#endif
