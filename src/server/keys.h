/* server/keys.h - API keys: made from the system's randomness, shown once, kept as keyed
 * hashes (rules.md 12). */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "cloud/record.h"
#include "server/home.h"

#define KEY_BYTES     47    /* "sk-" and 43 of [0-9A-Za-z]: 256 bits; terminated */
#define KEY_BYTES_MAX 512   /* of one that a client or --api-key brings */

void key_make(char out[KEY_BYTES]);
/* What may be shown of it later: its first characters, never more than a third. */
void key_prefix(char out[RECORD_PREFIX_BYTES], const char *key);
void key_hash(uint8_t out[RECORD_HASH_BYTES], const char *key, size_t size,
	const uint8_t secret[HOME_SECRET_BYTES]);

/* The key in "Bearer <key>", or NULL; *size is its length. */
const char *key_of_authorization(const char *value, size_t *size);

#endif
