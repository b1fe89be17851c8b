/* base/prng.h - random numbers that are the same everywhere for the same seed.
 *
 * prng_* is a stream (xoshiro256++, Blackman and Vigna 2019) seeded by splitmix64; prng_hash is
 * stateless: the number at a place, for sampling by (seed, position). Neither is for secrets: keys
 * come from the system's generator (prng_system).
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stddef.h>
#include <stdint.h>

struct prng {
	uint64_t state[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound), bound > 0, without bias. */
uint64_t prng_below(struct prng *p, uint64_t bound);
/* Uniform in [0, 1) with 53 bits. */
double prng_unit(struct prng *p);

/* The 64 random bits that belong to (seed, index). */
uint64_t prng_hash(uint64_t seed, uint64_t index);

/* Bytes from the system's generator; asserts that they came. */
void prng_system(void *out, size_t size);

#endif
