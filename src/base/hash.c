/* base/hash.c - see hash.h. Sixteen bytes at a time through one 64 x 64 -> 128 bit multiplication,
 * whose halves are folded together; the running value is kept beside the product, so that a factor
 * of zero never forgets what came before. */
#include "base/hash.h"

#include <string.h>

#include "base/math.h"

/* Odd, half of the bits set: fractions of sqrt(2), sqrt(3), sqrt(5). */
#define KEY_A 0x6A09E667F3BCC909ULL
#define KEY_B 0xBB67AE8584CAA73BULL
#define KEY_C 0x3C6EF372FE94F82BULL

static uint64_t fold(uint64_t a, uint64_t b)
{
	const math_u128 product = (math_u128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

/* Little endian on every machine; compilers make one load of it. */
static uint64_t load_u64(const uint8_t *p)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)p[i] << (8 * i);
	return value;
}

static uint64_t block_mix(uint64_t hash, const uint8_t *p)
{
	return rotate(hash, 29) + fold(hash ^ load_u64(p) ^ KEY_A, load_u64(p + 8) ^ KEY_B);
}

uint64_t hash_finish(uint64_t x)
{
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
	x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
	return x ^ x >> 31;
}

uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed)
{
	const uint8_t *p = bytes;
	uint64_t hash = seed ^ fold((uint64_t)size ^ KEY_C, KEY_A);
	size_t left = size;

	for (; left >= 16; left -= 16, p += 16)
		hash = block_mix(hash, p);
	if (left) {
		uint8_t tail[16] = {0};  /* the size is in the hash: padding is no collision */

		memcpy(tail, p, left);
		hash = block_mix(hash, tail);
	}
	return hash_finish(hash);
}

uint64_t hash_mix(uint64_t hash, uint64_t value)
{
	return hash_finish(hash * KEY_B + value + KEY_C);
}
