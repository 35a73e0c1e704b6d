/* System shared memory (POSIX shm_open) that clients name as the place of inputs and outputs.
 *
 *   register NAME, KEY, OFFSET, SIZE --> mapping --use--> view of a part --release-->
 *   unregister NAME: no new use; the mapping goes when the last use ends
 *
 * A region is checked when it is registered (its object is as large as claimed) and again before
 * each use, because its owner may truncate it at any time: a page beyond the end of the object
 * would raise SIGBUS. Between that check and the last read the owner can still truncate; against
 * that, tn_shm_guard installs a SIGBUS handler that puts a page of zeros in place of the missing
 * one when the address lies in one of our mappings (a client that pulls its memory away during its
 * own request gets an undefined answer, nobody else notices), and passes every other SIGBUS on.
 *
 * Memory: one struct a region. Threads: any, one lock, held for a table walk. Bounds:
 * TN_SHM_REGIONS_MAX regions, TN_SHM_NAME_MAX bytes a name. */
#ifndef TN_SERVE_SHM_H
#define TN_SERVE_SHM_H

#include "base/fault.h"

enum { TN_SHM_REGIONS_MAX = 1024, TN_SHM_NAME_MAX = 127 };

struct tn_shm;
struct tn_shm_region;

TN_MUST enum tn_err tn_shm_create(struct tn_shm **ret_shm);
void tn_shm_destroy(struct tn_shm *shm); /* NULL accepted; uses must have ended */

struct tn_shm_register_options {
    struct tn_str name;
    struct tn_str key; /* of shm_open, with or without its slash */
    uint64_t offset;
    uint64_t size;
};

/* TN_EXISTS: the name is taken. TN_NOTFOUND: no such object. TN_INVALID: empty, out of bounds,
 * wrong name. TN_LIMIT: too many regions. */
TN_MUST enum tn_err tn_shm_register(struct tn_shm *shm,
                                    const struct tn_shm_register_options *options,
                                    struct tn_fault *fault);

/* TN_NOTFOUND. Uses in flight keep the mapping. */
TN_MUST enum tn_err tn_shm_unregister(struct tn_shm *shm, struct tn_str name,
                                      struct tn_fault *fault);
void tn_shm_unregister_all(struct tn_shm *shm);

struct tn_shm_status {
    char name[TN_SHM_NAME_MAX + 1];
    char key[TN_SHM_NAME_MAX + 2];
    uint64_t offset;
    uint64_t size;
};

/* Up to `count` regions in order of registration; with a name, that one. Returns how many there
 * are. */
size_t tn_shm_list(struct tn_shm *shm, struct tn_str name, struct tn_shm_status *ret_status,
                   size_t count);

/* The bytes at offset..offset+size of a region, usable until tn_shm_release(*ret_region).
 * TN_NOTFOUND: no such region. TN_INVALID: beyond its end, or its owner has shrunk it. */
TN_MUST enum tn_err tn_shm_use(struct tn_shm *shm, struct tn_str name, uint64_t offset,
                               uint64_t size, uint8_t **ret_data, struct tn_shm_region **ret_region,
                               struct tn_fault *fault);
void tn_shm_release(struct tn_shm_region *region); /* NULL accepted */

/* Installs the SIGBUS handler, once a process. */
TN_MUST enum tn_err tn_shm_guard(struct tn_fault *fault);

/* Pages that the handler replaced so far. */
uint64_t tn_shm_pages_replaced(void);

#endif
