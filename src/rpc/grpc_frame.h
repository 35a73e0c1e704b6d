/* Messages of gRPC out of a byte stream that is cut anywhere.
 *
 *   on the wire:  [compressed: 1 byte][length: 4 bytes, big endian][message] ...
 *   PREFIX --5 bytes--> MESSAGE --length bytes--> (message out) PREFIX
 *
 * The length is known before the first byte of a message, so the message is copied once, from the
 * socket's buffer into its own block, so placed that it ends at a 64-byte boundary: raw tensors are
 * what a request ends with, and can be used in place.
 * A compressed message is then inflated into another block.
 * Memory: one block. Threads: one. Bounds: message_bytes_max, for the stated and for the inflated
 * length; a block is taken as large as stated only up to 4 MiB and grows with what really arrives,
 * so a lie about the length costs its teller, not us. */
#ifndef TN_RPC_GRPC_FRAME_H
#define TN_RPC_GRPC_FRAME_H

#include "rpc/block_pool.h"
#include "rpc/grpc.h"

enum { TN_GRPC_PREFIX_SIZE = 5 };

struct tn_grpc_reader {
    struct tn_block_pool *pool; /* NULL: the heap */
    struct tn_block *message;   /* being filled; NULL: reading the prefix */
    size_t message_bytes_max;
    size_t length; /* stated, of the message being filled */
    enum tn_grpc_encoding encoding;
    uint8_t prefix_size;
    uint8_t prefix[TN_GRPC_PREFIX_SIZE];
};

void tn_grpc_reader_init(struct tn_grpc_reader *reader, struct tn_block_pool *pool,
                         size_t message_bytes_max, enum tn_grpc_encoding encoding);
void tn_grpc_reader_deinit(struct tn_grpc_reader *reader);

/* Takes bytes from the front of *input until a message is complete or the input is empty. TN_DONE:
 * *ret_message is the caller's; call again with the rest. TN_AGAIN: all taken, more is needed.
 * TN_LIMIT: longer than message_bytes_max. TN_INVALID: a prefix that is none, or a compressed
 * message without an encoding. TN_CORRUPT: it does not decompress. TN_NOMEM. After an error the
 * reader takes no more. */
TN_MUST enum tn_err tn_grpc_reader_feed(struct tn_grpc_reader *reader, struct tn_bytes *input,
                                        struct tn_block **ret_message);

/* Whether the stream may end here: not inside a message. */
bool tn_grpc_reader_is_between(const struct tn_grpc_reader *reader);

/* Bytes of the unfinished message that are held now. */
size_t tn_grpc_reader_held(const struct tn_grpc_reader *reader);

static inline void tn_grpc_prefix_put(uint8_t prefix[TN_GRPC_PREFIX_SIZE], uint32_t length)
{
    prefix[0] = 0;
    tn_store_be32(prefix + 1, length);
}

#endif
