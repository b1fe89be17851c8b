/* server/keys.c - see keys.h. */
#include "server/keys.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#define PREFIX_SHOWN 10

void key_make(char out[KEY_BYTES])
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t at = 3;

	memcpy(out, "sk-", 3);
	while (at < KEY_BYTES - 1)
		out[at++] = digits[randombytes_uniform(sizeof(digits) - 1)];
	out[at] = '\0';
}

void key_prefix(char out[RECORD_PREFIX_BYTES], const char *key)
{
	size_t shown = strlen(key) / 3;

	static_assert(PREFIX_SHOWN < RECORD_PREFIX_BYTES, "a prefix fits");
	if (shown > PREFIX_SHOWN)
		shown = PREFIX_SHOWN;
	memcpy(out, key, shown);
	out[shown] = '\0';
}

void key_hash(uint8_t out[RECORD_HASH_BYTES], const char *key, size_t size,
	const uint8_t secret[HOME_SECRET_BYTES])
{
	const int failed = crypto_generichash(out, RECORD_HASH_BYTES, (const unsigned char *)key,
		size, secret, HOME_SECRET_BYTES);

	assert(!failed);
}

const char *key_of_authorization(const char *value, size_t *size)
{
	if (!value || strncasecmp(value, "bearer ", 7) != 0)
		return NULL;
	value += 7;
	value += strspn(value, " ");
	*size = strlen(value);
	return *size > 0 && *size <= KEY_BYTES_MAX ? value : NULL;
}
