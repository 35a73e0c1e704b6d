/* SipHash-2-4-128 (Aumasson, Bernstein) by its definition, eight bytes at a time. */
#include "core/hash.h"

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(struct tn_siphash *hash)
{
    hash->v0 += hash->v1;
    hash->v1 = rotate(hash->v1, 13) ^ hash->v0;
    hash->v0 = rotate(hash->v0, 32);
    hash->v2 += hash->v3;
    hash->v3 = rotate(hash->v3, 16) ^ hash->v2;
    hash->v0 += hash->v3;
    hash->v3 = rotate(hash->v3, 21) ^ hash->v0;
    hash->v2 += hash->v1;
    hash->v1 = rotate(hash->v1, 17) ^ hash->v2;
    hash->v2 = rotate(hash->v2, 32);
}

static inline void sip_word(struct tn_siphash *hash, uint64_t word)
{
    hash->v3 ^= word;
    sip_round(hash);
    sip_round(hash);
    hash->v0 ^= word;
}

void tn_siphash_init(struct tn_siphash *hash, const struct tn_hash_key *key)
{
    /* "somepseudorandomlygeneratedbytes"; 0xee asks for 128 bits. */
    *hash = (struct tn_siphash){.v0 = key->low ^ 0x736f6d6570736575U,
                                .v1 = key->high ^ 0x646f72616e646f6dU ^ 0xee,
                                .v2 = key->low ^ 0x6c7967656e657261U,
                                .v3 = key->high ^ 0x7465646279746573U};
}

void tn_siphash_add(struct tn_siphash *hash, struct tn_bytes bytes)
{
    struct tn_siphash now = *hash;
    size_t at = 0;
    while (at < bytes.size && (now.size & 7) != 0) {
        now.pending |= (uint64_t)bytes.data[at++] << 8 * (now.size & 7);
        now.size++;
        if ((now.size & 7) == 0) {
            sip_word(&now, now.pending);
            now.pending = 0;
        }
    }
    for (; bytes.size - at >= 8; at += 8) {
        sip_word(&now, tn_load_le64(bytes.data + at));
        now.size += 8;
    }
    for (; at < bytes.size; at++) {
        now.pending |= (uint64_t)bytes.data[at] << 8 * (now.size & 7);
        now.size++;
    }
    *hash = now;
}

struct tn_hash tn_siphash_end(const struct tn_siphash *hash)
{
    struct tn_siphash now = *hash;
    struct tn_hash result;
    sip_word(&now, now.pending | now.size << 56);
    now.v2 ^= 0xee;
    for (int i = 0; i < 4; i++) {
        sip_round(&now);
    }
    result.low = now.v0 ^ now.v1 ^ now.v2 ^ now.v3;
    now.v1 ^= 0xdd;
    for (int i = 0; i < 4; i++) {
        sip_round(&now);
    }
    result.high = now.v0 ^ now.v1 ^ now.v2 ^ now.v3;
    return result;
}

struct tn_hash tn_siphash_of(const struct tn_hash_key *key, struct tn_bytes bytes)
{
    struct tn_siphash hash;
    tn_siphash_init(&hash, key);
    tn_siphash_add(&hash, bytes);
    return tn_siphash_end(&hash);
}
