/* base/prng.c - see prng.h. */
#include "base/prng.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/math.h"

#define GOLDEN 0x9E3779B97F4A7C15ULL  /* 2^64 / golden ratio, the step of splitmix64 */

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

void prng_init(struct prng *p, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) {
		seed += GOLDEN;
		p->state[i] = hash_finish(seed);
	}
}

uint64_t prng_next(struct prng *p)
{
	uint64_t *s = p->state;
	const uint64_t result = rotate(s[0] + s[3], 23) + s[0];
	const uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

/* The high half of bound * random; a low half below 2^64 mod bound would make some results
 * likelier, and is drawn again (Lemire 2019). */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
	assert(bound > 0);
	const uint64_t uneven = (0 - bound) % bound;
	for (;;) {
		const math_u128 product = (math_u128)prng_next(p) * bound;

		if ((uint64_t)product >= uneven)
			return (uint64_t)(product >> 64);
	}
}

double prng_unit(struct prng *p)
{
	return (double)(prng_next(p) >> 11) * 0x1p-53;
}

uint64_t prng_hash(uint64_t seed, uint64_t index)
{
	return hash_finish(hash_finish(seed + GOLDEN) + index * GOLDEN + GOLDEN);
}

void prng_system(void *out, size_t size)
{
	unsigned char *p = out;

	while (size > 0) {
		const ssize_t got = getrandom(p, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		assert(got > 0);  /* without it no key would be a secret */
		p += got;
		size -= (size_t)got;
	}
}
