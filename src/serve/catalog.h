/* Which models can be used now: an unchangeable map that is replaced as a whole.
 *
 *   publisher: new view = old view +- one entry --> current view, generation + 1
 *   reader (one a loop): generation unchanged? --> its own view, no lock, no atomic write
 *                        changed? --> takes the new view under the lock, drops the old one
 *
 * A lookup on the hot path is one relaxed load, one hash and one compare. A view holds a reference
 * to each of its entries; whoever uses an entry beyond the current callback takes its own.
 * Memory: one block a view. Threads: put and remove from one thread; readers one thread each.
 * Bounds: TN_CATALOG_ENTRIES_MAX. */
#ifndef TN_SERVE_CATALOG_H
#define TN_SERVE_CATALOG_H

#include "serve/entry.h"

#include <pthread.h>

enum { TN_CATALOG_ENTRIES_MAX = 16384 };

struct tn_catalog_view {
    atomic_uint refs;
    size_t count;
    size_t mask;               /* of buckets */
    uint32_t *buckets;         /* index + 1 of the newest entry of a name, 0: free */
    struct tn_entry **entries; /* by name, the newest version first */
};

struct tn_catalog {
    pthread_mutex_t lock;
    struct tn_catalog_view *view;
    atomic_uint_fast64_t generation;
};

struct tn_catalog_reader {
    struct tn_catalog *catalog;
    struct tn_catalog_view *view;
    uint64_t generation;
};

TN_MUST enum tn_err tn_catalog_init(struct tn_catalog *catalog);
void tn_catalog_deinit(struct tn_catalog *catalog); /* readers must be closed */

/* Puts an entry in, in place of one with the same name and version. The reference passes on
 * success. TN_NOMEM, TN_LIMIT. */
TN_MUST enum tn_err tn_catalog_put(struct tn_catalog *catalog, struct tn_entry *entry);

/* TN_NOTFOUND, TN_NOMEM. */
TN_MUST enum tn_err tn_catalog_remove(struct tn_catalog *catalog, struct tn_str name,
                                      uint64_t version);

void tn_catalog_reader_open(struct tn_catalog_reader *reader, struct tn_catalog *catalog);
void tn_catalog_reader_close(struct tn_catalog_reader *reader);

/* Slow path of tn_catalog_read. */
void tn_catalog_reader_refresh(struct tn_catalog_reader *reader);

/* The current view, valid until the next read by this reader. */
static inline const struct tn_catalog_view *tn_catalog_read(struct tn_catalog_reader *reader)
{
    uint64_t now = atomic_load_explicit(&reader->catalog->generation, memory_order_acquire);
    if (__builtin_expect(now != reader->generation, 0)) {
        tn_catalog_reader_refresh(reader);
    }
    return reader->view;
}

/* The entry of a name, `version` -1 the newest; NULL when there is none. */
struct tn_entry *tn_catalog_find(const struct tn_catalog_view *view, struct tn_str name,
                                 int64_t version);

/* The same for a request, with the version as clients write it ("" is the newest) and words for
 * what is wrong. TN_NOTFOUND, TN_INVALID. The entry is borrowed from the view. */
TN_MUST enum tn_err tn_catalog_resolve(const struct tn_catalog_view *view, struct tn_str name,
                                       struct tn_str version, struct tn_entry **ret_entry,
                                       struct tn_fault *fault);

/* Any thread, takes the lock: an entry with a reference of the caller's. */
struct tn_entry *tn_catalog_acquire(struct tn_catalog *catalog, struct tn_str name,
                                    int64_t version);

#endif
