/* The hash map of the house: bytes to a pointer, bounded, and safe against chosen keys.
 *
 *   [ | key value | key value | | key value | ]     open addressing, linear probing; removal moves
 *       home 1      home 1        home 4            the ones behind back, so there are no
 * tombstones
 *
 * The table keeps views of the keys, not copies: a key lives in what its value points to, or as
 * long. A number as key: tn_bytes_make(&object->id, sizeof(object->id)). Memory: one array of 32
 * bytes a place, at most 7/8 full, doubled when needed. Threads: one at a time. Bounds: count_max.
 * Lookup of a short name in a warm table: about 30 ns. */
#ifndef TN_BASE_TABLE_H
#define TN_BASE_TABLE_H

#include "core/err.h"
#include "core/hash.h"

struct tn_table_place {
    uint64_t hash; /* 0: empty */
    struct tn_bytes key;
    void *value;
};

struct tn_table {
    struct tn_table_place *places;
    size_t mask; /* places - 1; with no places 0 */
    size_t count;
    size_t count_max;
    struct tn_hash_key secret;
};

/* `secret` NULL: a random one, as anything that takes keys from outside must; a fixed one makes
 * simulations repeat. Takes no memory until the first put. */
void tn_table_init(struct tn_table *table, size_t count_max, const struct tn_hash_key *secret);
void tn_table_deinit(
    struct tn_table *table); /* NULL or zeroed is accepted; values are the caller's */

/* `value` is not NULL. TN_EXISTS (unchanged), TN_LIMIT, TN_NOMEM. */
TN_MUST enum tn_err tn_table_put(struct tn_table *table, struct tn_bytes key, void *value);

/* NULL: not there. */
void *tn_table_get(const struct tn_table *table, struct tn_bytes key);

/* Returns what was there; NULL: nothing. Never fails, never allocates. */
void *tn_table_remove(struct tn_table *table, struct tn_bytes key);

/* All entries, in no order: start with *cursor = 0; NULL at the end. The table must not change
 * meanwhile, except that tn_table_clear may follow. */
const struct tn_table_place *tn_table_next(const struct tn_table *table, size_t *cursor);

/* Removes all, keeps the memory. */
void tn_table_clear(struct tn_table *table);

static inline struct tn_bytes tn_table_key(struct tn_str text)
{
    return tn_bytes_make(text.data, text.size);
}

#endif
