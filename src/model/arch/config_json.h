/* model/arch/config_json.h - between config_json.c and the files that read one part of
 * config.json. */
#ifndef MODEL_ARCH_CONFIG_JSON_H
#define MODEL_ARCH_CONFIG_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "model/arch/arch.h"
#include "model/arch/config.h"

/* One config.json: fields of the text model, and the whole for what stands beside them. */
struct config_source {
	const json_t *whole;
	const json_t *text;
	const struct arch *arch;
	struct err_info *info;
};

/* A required whole number. */
enum err config_need_u32(const struct config_source *s, const char *key, uint32_t max,
	uint32_t *out) MUST_CHECK;
/* A whole number that has a default. */
enum err config_want_u32(const struct config_source *s, const char *key, uint32_t max,
	uint32_t *out) MUST_CHECK;

/* config_json_rope.c: base, scaling, sections, rotary_dim. */
enum err config_read_rope(const struct config_source *s, struct model_config *c) MUST_CHECK;
/* config_json_layers.c: the kind of each layer, feed-forward parts, sizes of delta layers. */
enum err config_read_layers(const struct config_source *s, struct model_config *c) MUST_CHECK;

#endif
