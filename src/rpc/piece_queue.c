/* Pieces waiting to be sent; see piece_queue.h. */
#include "rpc/piece_queue.h"

#include "base/mem.h"
#include "core/assert.h"

static struct tn_piece *slots(const struct tn_piece_queue *queue)
{
    return queue->more != NULL ? queue->more : (struct tn_piece *)queue->few;
}

void tn_piece_queue_init(struct tn_piece_queue *queue)
{
    queue->more = NULL;
    queue->first = 0;
    queue->count = 0;
    queue->room = TN_PIECE_QUEUE_FEW;
    queue->bytes = 0;
}

void tn_piece_queue_deinit(struct tn_piece_queue *queue)
{
    while (queue->count > 0) {
        tn_piece_queue_advance(queue, tn_piece_queue_front(queue).bytes.size);
    }
    tn_mem_give(queue->more);
    tn_piece_queue_init(queue);
}

enum tn_err tn_piece_queue_reserve(struct tn_piece_queue *queue, size_t count)
{
    size_t room = queue->room;
    while (room - queue->count < count) {
        if (room > SIZE_MAX / 2 / sizeof(struct tn_piece)) {
            return TN_NOMEM;
        }
        room *= 2;
    }
    if (room == queue->room) {
        return TN_OK;
    }
    struct tn_piece *more = tn_mem_take(room * sizeof(*more));
    if (more == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < queue->count; i++) {
        more[i] = slots(queue)[(queue->first + i) & (queue->room - 1)];
    }
    tn_mem_give(queue->more);
    queue->more = more;
    queue->room = room;
    queue->first = 0;
    return TN_OK;
}

void tn_piece_queue_push(struct tn_piece_queue *queue, struct tn_piece piece)
{
    TN_ASSERT(queue->count < queue->room);

    if (piece.bytes.size == 0) {
        tn_block_unref(piece.owner);
        return;
    }
    slots(queue)[(queue->first + queue->count) & (queue->room - 1)] = piece;
    queue->count++;
    queue->bytes += piece.bytes.size;
}

struct tn_piece tn_piece_queue_front(const struct tn_piece_queue *queue)
{
    TN_ASSERT(queue->count > 0);
    return slots(queue)[queue->first];
}

void tn_piece_queue_advance(struct tn_piece_queue *queue, size_t size)
{
    TN_ASSERT(queue->count > 0);
    struct tn_piece *piece = &slots(queue)[queue->first];
    TN_ASSERT(size <= piece->bytes.size);

    queue->bytes -= size;
    piece->bytes = tn_bytes_make(piece->bytes.data + size, piece->bytes.size - size);
    if (piece->bytes.size == 0) {
        tn_block_unref(piece->owner);
        queue->first = (queue->first + 1) & (queue->room - 1);
        queue->count--;
    }
}
