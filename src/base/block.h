/* Reference-counted bytes, so that a tensor travels from the socket to the model and from the model
 * to the socket without a copy: received messages, model outputs and cached answers are blocks, and
 * whoever still sends or reads one holds a reference.
 *
 * Memory: one allocation a block (header and bytes), or a block around foreign memory with its own
 * release function. Threads: ref and unref from any thread; the bytes are written by one owner
 * before the block is shared and are constant afterwards. */
#ifndef TN_BASE_BLOCK_H
#define TN_BASE_BLOCK_H

#include "core/bytes.h"
#include "core/err.h"

#include <stdatomic.h>

struct tn_block {
    atomic_uint refs;
    size_t size;                             /* bytes in use */
    size_t room;                             /* bytes available, 0 for foreign memory */
    uint8_t *data;                           /* aligned to 64 when created here */
    void (*release)(struct tn_block *block); /* the last unref calls it; NULL: heap block */
    void *owner;                             /* for `release` */
};

/* A block with `room` writable bytes at a 64-byte boundary and size 0, one reference. */
TN_MUST enum tn_err tn_block_create(size_t room, struct tn_block **ret_block);

/* A block that copies `bytes`. */
TN_MUST enum tn_err tn_block_copy(struct tn_bytes bytes, struct tn_block **ret_block);

/* Initialises caller-embedded storage around foreign memory. `release` runs once, on the thread of
 * the last unref, and may free the storage itself. */
void tn_block_init_foreign(struct tn_block *block, struct tn_bytes bytes,
                           void (*release)(struct tn_block *block), void *owner);

struct tn_block *tn_block_ref(struct tn_block *block);
void tn_block_unref(struct tn_block *block); /* NULL is accepted */

/* A part of a block on its way out: `bytes` lie inside `owner`, or live as long as the receiver
 * says when `owner` is NULL. Passing a piece on passes its reference. */
struct tn_piece {
    struct tn_bytes bytes;
    struct tn_block *owner;
};

#endif
