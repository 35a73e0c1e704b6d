/* The table of answers; see cache.h. A lookup is one chain; a fill evicts from the old end. */
#include "infer/cache.h"

#include "base/mem.h"
#include "core/assert.h"

enum { BUCKETS_MIN = 64, BUCKETS_MAX = 1 << 16, SIZE_A_BUCKET = 4096 };

enum tn_err tn_cache_init(struct tn_cache *cache, size_t size_max, uint64_t ttl_ns)
{
    size_t buckets = BUCKETS_MIN;
    while (buckets < BUCKETS_MAX && buckets * SIZE_A_BUCKET < size_max) {
        buckets *= 2;
    }
    memset(cache, 0, sizeof(*cache));
    cache->buckets = tn_mem_take_zeroed(buckets, sizeof(struct tn_cache_entry *));
    if (cache->buckets == NULL) {
        return TN_NOMEM;
    }
    cache->bucket_mask = buckets - 1;
    cache->size_max = size_max;
    cache->ttl_ns = ttl_ns;
    return TN_OK;
}

static struct tn_cache_entry **bucket_of(struct tn_cache *cache, struct tn_hash key)
{
    return &cache->buckets[key.low & cache->bucket_mask];
}

static void list_remove(struct tn_cache *cache, struct tn_cache_entry *entry)
{
    *(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
}

static void list_add(struct tn_cache *cache, struct tn_cache_entry *entry)
{
    entry->older = cache->newest;
    entry->newer = NULL;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void give_outputs(struct tn_cache_entry *entry)
{
    for (size_t i = 0; i < entry->output_count; i++) {
        tn_block_unref(entry->outputs[i].owner);
        entry->outputs[i].owner = NULL;
    }
}

static void unlink_entry(struct tn_cache *cache, struct tn_cache_entry *entry)
{
    struct tn_cache_entry **at = bucket_of(cache, entry->key);
    while (*at != entry) {
        at = &(*at)->chain;
    }
    *at = entry->chain;
}

static void evict(struct tn_cache *cache, struct tn_cache_entry *entry)
{
    list_remove(cache, entry);
    unlink_entry(cache, entry);
    cache->size -= entry->size;
    cache->count--;
    give_outputs(entry);
    tn_mem_give(entry);
}

void tn_cache_deinit(struct tn_cache *cache)
{
    while (cache->oldest != NULL) {
        evict(cache, cache->oldest);
    }
    tn_mem_give(cache->buckets);
    cache->buckets = NULL;
}

enum tn_err tn_cache_begin(struct tn_cache *cache, struct tn_hash key, size_t output_count,
                           uint64_t now_ns, enum tn_cache_answer *ret_answer,
                           struct tn_cache_entry **ret_entry)
{
    struct tn_cache_entry *entry = *bucket_of(cache, key);
    while (entry != NULL && !tn_hash_equal(entry->key, key)) {
        entry = entry->chain;
    }
    if (entry != NULL && !entry->running && entry->expires_ns <= now_ns) {
        evict(cache, entry);
        entry = NULL;
    }
    if (entry != NULL) {
        if (!entry->running) {
            list_remove(cache, entry);
            list_add(cache, entry);
        }
        *ret_answer = entry->running ? TN_CACHE_WAIT : TN_CACHE_HIT;
        *ret_entry = entry;
        return TN_OK;
    }
    entry = tn_mem_take_zeroed(1, sizeof(*entry) + output_count * sizeof(struct tn_tensor));
    if (entry == NULL) {
        return TN_NOMEM;
    }
    struct tn_cache_entry **bucket = bucket_of(cache, key);
    entry->key = key;
    entry->running = true;
    entry->output_count = output_count;
    entry->outputs = (struct tn_tensor *)(void *)(entry + 1);
    entry->chain = *bucket;
    *bucket = entry;
    *ret_answer = TN_CACHE_MISS;
    *ret_entry = entry;
    return TN_OK;
}

/* A small part of a large block would keep all of it alive. */
static enum tn_err keep_output(const struct tn_tensor *from, struct tn_tensor *to)
{
    *to = *from;
    to->owner = NULL;
    if (from->owner != NULL && from->owner->size <= 2 * from->data.size + 256) {
        to->owner = tn_block_ref(from->owner);
        return TN_OK;
    }
    enum tn_err err = tn_block_copy(from->data, &to->owner);
    if (err == TN_OK) {
        to->data = tn_bytes_make(to->owner->data, from->data.size);
    }
    return err;
}

enum tn_err tn_cache_fill(struct tn_cache *cache, struct tn_cache_entry *entry,
                          const struct tn_tensor *outputs, uint64_t now_ns, bool *ret_kept)
{
    TN_ASSERT(entry->running);

    size_t size = sizeof(*entry);
    for (size_t i = 0; i < entry->output_count; i++) {
        size += sizeof(struct tn_tensor) + outputs[i].data.size;
    }
    if (size > cache->size_max) {
        tn_cache_drop(cache, entry);
        *ret_kept = false;
        return TN_OK;
    }
    for (size_t i = 0; i < entry->output_count; i++) {
        if (keep_output(&outputs[i], &entry->outputs[i]) != TN_OK) {
            give_outputs(entry);
            return TN_NOMEM;
        }
    }
    entry->waiting_first = entry->waiting_last = NULL;
    while (cache->size + size > cache->size_max) {
        evict(cache, cache->oldest);
    }
    entry->running = false;
    entry->size = size;
    entry->expires_ns = now_ns + cache->ttl_ns;
    cache->size += size;
    cache->count++;
    list_add(cache, entry);
    *ret_kept = true;
    return TN_OK;
}

void tn_cache_drop(struct tn_cache *cache, struct tn_cache_entry *entry)
{
    TN_ASSERT(entry->running);

    unlink_entry(cache, entry);
    tn_mem_give(entry);
}
