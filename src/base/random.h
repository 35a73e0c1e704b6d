/* Chance. For tests, simulators and spreading load: a seeded generator whose state the caller
 * holds, so a run repeats from its seed. For keys and tokens: the system's. */
#ifndef TN_BASE_RANDOM_H
#define TN_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256++; not for secrets. Threads: one at a time. */
struct tn_random {
    uint64_t state[4];
};

void tn_random_seed(struct tn_random *random, uint64_t seed);
uint64_t tn_random_next(struct tn_random *random);

/* 0 to below - 1, each as likely as the others. below > 0. */
uint64_t tn_random_below(struct tn_random *random, uint64_t below);

/* [0, 1), multiples of 2^-53. */
double tn_random_unit(struct tn_random *random);

void tn_random_fill(struct tn_random *random, void *data, size_t size);

/* From the kernel, fit for keys. Waits only in the first moments of a machine's life. Any thread.
 */
void tn_random_secure(void *data, size_t size);

#endif
