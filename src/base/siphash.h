/* SipHash: a short-input hash under a secret key, so that who chooses the keys of a table cannot
 * choose their places in it. Pure. */
#ifndef TN_BASE_SIPHASH_H
#define TN_BASE_SIPHASH_H

#include "core/bytes.h"

struct tn_siphash_key {
    uint64_t words[2];
};

/* SipHash-1-3, the variant for hash tables: about 15 ns for a name. */
uint64_t tn_siphash(const struct tn_siphash_key *key, struct tn_bytes bytes);

#endif
