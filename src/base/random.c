/* Chance; see random.h. Source: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number
 * generators" (2021), xoshiro256++ seeded by SplitMix64; D. Lemire, "Fast random integer generation
 * in an interval" (2019). */
#include "base/random.h"

#include "core/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

void tn_random_seed(struct tn_random *random, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        seed += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
        random->state[i] = z ^ z >> 31;
    }
}

uint64_t tn_random_next(struct tn_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t tn_random_below(struct tn_random *random, uint64_t below)
{
    TN_ASSERT(below > 0);

    unsigned __int128 product = (unsigned __int128)tn_random_next(random) * below;
    if ((uint64_t)product < below) {
        uint64_t uneven = (0 - below) % below; /* the values that would come once too often */
        while ((uint64_t)product < uneven) {
            product = (unsigned __int128)tn_random_next(random) * below;
        }
    }
    return (uint64_t)(product >> 64);
}

double tn_random_unit(struct tn_random *random)
{
    return (double)(tn_random_next(random) >> 11) * 0x1p-53;
}

void tn_random_fill(struct tn_random *random, void *data, size_t size)
{
    uint8_t *at = data;
    while (size > 0) {
        uint64_t bits = tn_random_next(random);
        size_t part = size < sizeof(bits) ? size : sizeof(bits);
        memcpy(at, &bits, part);
        at += part;
        size -= part;
    }
}

void tn_random_secure(void *data, size_t size)
{
    uint8_t *at = data;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        TN_ASSERT(got > 0); /* a key made without chance would be worse than no program */
        at += got;
        size -= (size_t)got;
    }
}
