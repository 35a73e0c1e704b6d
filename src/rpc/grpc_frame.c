/* Messages of gRPC out of a byte stream; see grpc_frame.h. Pure: bytes in, blocks out.
 * Cost: one copy of each byte, for messages above 4 MiB up to one more while the block doubles.
 * Memory: one block. Threads: one. Bounds: message_bytes_max. */
#include "rpc/grpc_frame.h"

#include "core/assert.h"
#include "rpc/inflate.h"

enum { TRUSTED_LENGTH = 1 << 22 };

void tn_grpc_reader_init(struct tn_grpc_reader *reader, struct tn_block_pool *pool,
                         size_t message_bytes_max, enum tn_grpc_encoding encoding)
{
    *reader = (struct tn_grpc_reader){
        .pool = pool, .message_bytes_max = message_bytes_max, .encoding = encoding};
}

void tn_grpc_reader_deinit(struct tn_grpc_reader *reader)
{
    if (reader != NULL) {
        tn_block_pool_give(reader->pool, reader->message);
        reader->message = NULL;
    }
}

enum { END_ALIGN = 64 };

/* A block whose message will end at a 64-byte boundary. Raw tensors are the last field of an
 * inference request, so one whose size is a multiple of its element then also begins aligned and is
 * used in place; at an aligned start it would lie wherever the fields before it end. */
static enum tn_err take_block(struct tn_grpc_reader *reader, size_t length,
                              struct tn_block **ret_block)
{
    enum tn_err err = tn_block_pool_take(reader->pool, length + END_ALIGN - 1, ret_block);
    if (err >= 0) {
        (*ret_block)->data += -length & (END_ALIGN - 1);
    }
    return err;
}

/* Looks at the complete prefix and takes the block. */
static enum tn_err begin_message(struct tn_grpc_reader *reader)
{
    if (reader->prefix[0] > 1 || (reader->prefix[0] == 1 && reader->encoding == TN_GRPC_IDENTITY)) {
        return TN_INVALID;
    }
    size_t length = tn_load_be32(reader->prefix + 1);
    if (length > reader->message_bytes_max) {
        return TN_LIMIT;
    }
    enum tn_err err = length <= TRUSTED_LENGTH
                          ? take_block(reader, length, &reader->message)
                          : tn_block_pool_take(reader->pool, TRUSTED_LENGTH, &reader->message);
    if (err < 0) {
        return err;
    }
    reader->length = length;
    return TN_OK;
}

static enum tn_err feed_prefix(struct tn_grpc_reader *reader, struct tn_bytes *input)
{
    size_t missing = TN_GRPC_PREFIX_SIZE - (size_t)reader->prefix_size;
    size_t take = input->size < missing ? input->size : missing;
    if (take > 0) {
        memcpy(reader->prefix + reader->prefix_size, input->data, take);
    }
    reader->prefix_size += (uint8_t)take;
    *input = tn_bytes_make(input->data + take, input->size - take);
    return reader->prefix_size == TN_GRPC_PREFIX_SIZE ? begin_message(reader) : TN_AGAIN;
}

/* A larger block with the bytes so far, at most as large as stated. */
static enum tn_err grow(struct tn_grpc_reader *reader)
{
    struct tn_block *old = reader->message;
    size_t room = old->room > reader->length / 4 ? reader->length : old->room * 4;
    struct tn_block *larger = NULL;
    enum tn_err err = room == reader->length ? take_block(reader, room, &larger)
                                             : tn_block_pool_take(reader->pool, room, &larger);
    if (err < 0) {
        return err;
    }
    memcpy(larger->data, old->data, old->size);
    larger->size = old->size;
    tn_block_pool_give(reader->pool, old);
    reader->message = larger;
    return TN_OK;
}

static enum tn_err feed_message(struct tn_grpc_reader *reader, struct tn_bytes *input)
{
    while (input->size > 0 && reader->message->size < reader->length) {
        struct tn_block *message = reader->message;
        if (message->size == message->room) {
            enum tn_err err = grow(reader);
            if (err < 0) {
                return err;
            }
            message = reader->message;
        }
        size_t most = message->room < reader->length ? message->room : reader->length;
        size_t take = most - message->size;
        take = input->size < take ? input->size : take;
        memcpy(message->data + message->size, input->data, take);
        message->size += take;
        *input = tn_bytes_make(input->data + take, input->size - take);
    }
    return reader->message->size == reader->length ? TN_DONE : TN_AGAIN;
}

/* The complete message, inflated when it is compressed; the reader is at a prefix again. */
static enum tn_err end_message(struct tn_grpc_reader *reader, struct tn_block **ret_message)
{
    struct tn_block *message = reader->message;
    reader->message = NULL;
    reader->prefix_size = 0;
    if (reader->prefix[0] == 0) {
        *ret_message = message;
        return TN_DONE;
    }
    const struct tn_inflate_options options = {
        .format = reader->encoding == TN_GRPC_GZIP ? TN_INFLATE_GZIP : TN_INFLATE_DEFLATE,
        .size_max = reader->message_bytes_max,
        .pool = reader->pool,
    };
    enum tn_err err =
        tn_inflate(tn_bytes_make(message->data, message->size), &options, ret_message);
    tn_block_pool_give(reader->pool, message);
    return err < 0 ? err : TN_DONE;
}

enum tn_err tn_grpc_reader_feed(struct tn_grpc_reader *reader, struct tn_bytes *input,
                                struct tn_block **ret_message)
{
    if (reader->message == NULL) {
        enum tn_err err = feed_prefix(reader, input);
        if (err != TN_OK) {
            return err;
        }
    }
    enum tn_err err = feed_message(reader, input);
    return err == TN_DONE ? end_message(reader, ret_message) : err;
}

bool tn_grpc_reader_is_between(const struct tn_grpc_reader *reader)
{
    return reader->message == NULL && reader->prefix_size == 0;
}

size_t tn_grpc_reader_held(const struct tn_grpc_reader *reader)
{
    return reader->message != NULL ? reader->message->size : 0;
}
