/* Two hashes: SipHash-2-4 with 128 bits for keys that strangers choose (nobody without the key can
 * make two inputs collide), CRC32C for bytes that a disk or a wire may have damaged.
 *
 * Cost: SipHash about 2.5 GB/s; CRC32C about 9 GB/s with SSE4.2 (chosen at run time) or ARMv8 CRC
 * (chosen by the compiler), else 0.4 GB/s. No memory beyond the struct, any thread. Freestanding
 * but for the x86 check, which is the compiler's own. */
#ifndef TN_CORE_HASH_H
#define TN_CORE_HASH_H

#include "core/bytes.h"

/* Random, one a process; never a constant where input comes from outside. */
struct tn_hash_key {
    uint64_t low;
    uint64_t high;
};

struct tn_hash {
    uint64_t low;
    uint64_t high;
};

struct tn_siphash {
    uint64_t v0, v1, v2, v3;
    uint64_t pending; /* bytes of an unfinished word, first one lowest */
    uint64_t size;    /* bytes so far */
};

/* The hash of all bytes added, wherever the cuts between them were: put lengths in between where
 * "ab" "c" must differ from "a" "bc". */
void tn_siphash_init(struct tn_siphash *hash, const struct tn_hash_key *key);
void tn_siphash_add(struct tn_siphash *hash, struct tn_bytes bytes);
struct tn_hash tn_siphash_end(const struct tn_siphash *hash);

/* All at once. */
struct tn_hash tn_siphash_of(const struct tn_hash_key *key, struct tn_bytes bytes);

static inline bool tn_hash_equal(struct tn_hash a, struct tn_hash b)
{
    return a.low == b.low && a.high == b.high;
}

/* CRC32C (Castagnoli) of `bytes` behind bytes whose CRC32C was `crc`; 0 to begin. */
uint32_t tn_crc32c(uint32_t crc, struct tn_bytes bytes);

/* The same without machine instructions, which it must agree with. */
uint32_t tn_crc32c_portable(uint32_t crc, struct tn_bytes bytes);

#endif
