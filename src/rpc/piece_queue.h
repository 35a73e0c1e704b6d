/* Bytes waiting to be sent, as pieces in order: what a caller handed over, not copied.
 *
 *   push at the end -> [piece][piece][piece] -> front, advance
 *
 * Memory: four pieces inside, then a ring on the heap that doubles; one reference a piece, dropped
 * when its last byte has advanced. Threads: one. Bounds: the caller's, by `bytes`. */
#ifndef TN_RPC_PIECE_QUEUE_H
#define TN_RPC_PIECE_QUEUE_H

#include "base/block.h"

enum { TN_PIECE_QUEUE_FEW = 4 };

struct tn_piece_queue {
    struct tn_piece *more; /* the ring when `few` was not enough */
    size_t first;
    size_t count;
    size_t room; /* a power of two */
    size_t bytes;
    struct tn_piece few[TN_PIECE_QUEUE_FEW];
};

void tn_piece_queue_init(struct tn_piece_queue *queue);
void tn_piece_queue_deinit(struct tn_piece_queue *queue); /* drops what is inside */

/* Makes room for `count` pieces, so that their pushes cannot fail. TN_NOMEM. */
TN_MUST enum tn_err tn_piece_queue_reserve(struct tn_piece_queue *queue, size_t count);

/* The reference passes. An empty piece is dropped at once. */
void tn_piece_queue_push(struct tn_piece_queue *queue, struct tn_piece piece);

/* What is left of the first piece; the reference stays with the queue. The queue is not empty. */
struct tn_piece tn_piece_queue_front(const struct tn_piece_queue *queue);

/* `size` bytes of the first piece are done; at most as many as it has. */
void tn_piece_queue_advance(struct tn_piece_queue *queue, size_t size);

#endif
