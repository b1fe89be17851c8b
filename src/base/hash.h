/* base/hash.h - fast 64-bit hashes for tables, traces and checksums; not against adversaries with
 * time (tables that outsiders fill take a random seed), never for secrets. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The same value on every platform for the same bytes and seed. */
uint64_t hash_bytes(const void *bytes, size_t size, uint64_t seed);
/* Mixes one more number into a running hash: for traces of events. */
uint64_t hash_mix(uint64_t hash, uint64_t value);
/* A bijection in which every bit depends on every bit (the finaliser of splitmix64,
 * Steele et al. 2014). */
uint64_t hash_finish(uint64_t x);

#endif
