/* Answers kept for equal requests: a table with an age and a size limit, least recently used first
 * out, in which an answer that is being made already has its place.
 *
 *   (none) --begin--> RUNNING --fill--> FILLED --too old, or too full--> (none)
 *                        '----drop----> (none)
 *
 * Who begins an entry fills or drops it; whoever asks meanwhile is told to wait, so equal requests
 * run once. Keys are 128-bit hashes under a secret of the model.
 * Memory: buckets at init, an entry each on the heap, and references to the outputs' blocks.
 * Threads: one at a time. Bounds: size_max bytes of outputs and entries; RUNNING ones are bounded
 * by the model's queue. No clock. */
#ifndef TN_INFER_CACHE_H
#define TN_INFER_CACHE_H

#include "core/hash.h"
#include "infer/tensor.h"

struct tn_cache_entry {
    struct tn_hash key;
    struct tn_cache_entry *chain;         /* same bucket */
    struct tn_cache_entry *older, *newer; /* FILLED, by last use */
    uint64_t expires_ns;
    size_t size;
    bool running;
    void *waiting_first, *waiting_last; /* the caller's list, while RUNNING */
    struct tn_tensor *outputs;          /* FILLED: behind this struct */
    size_t output_count;
};

struct tn_cache {
    struct tn_cache_entry **buckets;
    size_t bucket_mask;
    struct tn_cache_entry *oldest, *newest;
    size_t size, size_max;
    uint64_t ttl_ns;
    size_t count; /* FILLED */
};

TN_MUST enum tn_err tn_cache_init(struct tn_cache *cache, size_t size_max, uint64_t ttl_ns);
void tn_cache_deinit(struct tn_cache *cache); /* no entry may be RUNNING; zeroed is accepted */

enum tn_cache_answer { TN_CACHE_HIT, TN_CACHE_MISS, TN_CACHE_WAIT };

/* HIT: the entry is filled and fresh. MISS: a RUNNING entry was made for the caller. WAIT: somebody
 * else's is RUNNING. `output_count` outputs will be filled in. TN_NOMEM. */
TN_MUST enum tn_err tn_cache_begin(struct tn_cache *cache, struct tn_hash key, size_t output_count,
                                   uint64_t now_ns, enum tn_cache_answer *ret_answer,
                                   struct tn_cache_entry **ret_entry);

/* Takes a reference to each output's owner. Outputs without an owner, or that are a small part of
 * theirs, are copied. The entry may be gone afterwards (too large): *ret_kept says. TN_NOMEM: the
 * entry is as before. */
TN_MUST enum tn_err tn_cache_fill(struct tn_cache *cache, struct tn_cache_entry *entry,
                                  const struct tn_tensor *outputs, uint64_t now_ns, bool *ret_kept);

void tn_cache_drop(struct tn_cache *cache, struct tn_cache_entry *entry);

#endif
