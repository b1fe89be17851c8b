/* fuzz/json_mutate.h - one change to a JSON document that leaves it one: a value becomes another,
 * is left out, or stands in another's place. */
#ifndef FUZZ_JSON_MUTATE_H
#define FUZZ_JSON_MUTATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/prng.h"

/* A value and where it stands: by key in an object, by index in an array. */
struct json_place {
	json_t *parent;
	const char *key;
	size_t index;
	json_t *value;
};

/* Words that a document of this kind might have. */
struct json_words {
	const char *const *words;
	size_t count;
};

static inline struct json_place json_child(json_t *parent, size_t index)
{
	struct json_place place = {.parent = parent, .index = index};
	json_t *value;
	const char *key;

	if (json_is_array(parent)) {
		place.value = json_array_get(parent, index);
		return place;
	}
	json_object_foreach(parent, key, value)
	{
		if (index-- == 0) {
			place.key = key;
			place.value = value;
			break;
		}
	}
	return place;
}

static inline size_t json_children(const json_t *value)
{
	return json_is_array(value) ? json_array_size(value) : json_object_size(value);
}

/* Some value below root; false where there is none. */
static inline bool json_pick(json_t *root, struct prng *p, struct json_place *out)
{
	if (json_children(root) == 0)
		return false;
	*out = json_child(root, (size_t)prng_below(p, json_children(root)));
	while (json_children(out->value) > 0 && prng_below(p, 4) != 0)
		*out = json_child(out->value, (size_t)prng_below(p, json_children(out->value)));
	return true;
}

static inline json_t *json_new_value(const json_t *old, const struct json_words *words,
	struct prng *p)
{
	static const json_int_t numbers[] = {0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 64, 127, 128, 255,
		256, 513, 65536, 1048576, 2147483647, 4294967295, 4294967296, -1,
		9223372036854775807};
	const json_int_t number = json_integer_value(old);

	switch (prng_below(p, 8)) {
	case 0:
		return json_integer(number < 1 << 30 ? number + 1 : number);
	case 1:
		return json_integer(number > 0 ? number / 2 : number);
	case 2:
		return json_string(words->words[prng_below(p, words->count)]);
	case 3:
		return prng_below(p, 2) ? json_null() : json_boolean(prng_below(p, 2));
	case 4:
		return prng_below(p, 2) ? json_object() : json_array();
	case 5:
		return json_real(prng_below(p, 2) ? 0.5 : 1e30);
	default:
		return json_integer(numbers[prng_below(p, sizeof(numbers) / sizeof(numbers[0]))]);
	}
}

static inline void json_replace(const struct json_place *at, json_t *value)
{
	if (at->key)
		json_object_set_new(at->parent, at->key, value);
	else
		json_array_set_new(at->parent, at->index, value);
}

static inline void json_remove(const struct json_place *at)
{
	if (at->key)
		json_object_del(at->parent, at->key);
	else
		json_array_remove(at->parent, at->index);
}

/* One more of the same beside it, under a name that is like its own. */
static inline void json_repeat(const struct json_place *at, struct prng *p)
{
	char name[300];

	if (!at->key) {
		json_array_append_new(at->parent, json_deep_copy(at->value));
		return;
	}
	snprintf(name, sizeof(name), "%.256s%c", at->key, (char)('a' + prng_below(p, 26)));
	json_object_set_new(at->parent, name, json_deep_copy(at->value));
}

static inline void json_mutate(json_t *root, const struct json_words *words, struct prng *p)
{
	struct json_place at, other;

	if (!json_pick(root, p, &at) || !json_pick(root, p, &other))
		return;
	switch (prng_below(p, 8)) {
	case 0:
		json_remove(&at);
		return;
	case 1:
		json_repeat(&at, p);
		return;
	case 2:
	case 3:
		json_replace(&at, json_deep_copy(other.value));
		return;
	default:
		json_replace(&at, json_new_value(at.value, words, p));
	}
}

#endif
