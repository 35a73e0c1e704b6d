/* gRPC messages out of a stream: the messages do not depend on the cuts, nothing exceeds its limit.
 * Byte 0: the encoding, and the seed of the cuts. The rest is the stream. */
#include "rpc/grpc_frame.h"
#include "base/buf.h"
#include "base/mem.h"
#include "core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 1 << 14 };

/* Writes all messages, and how it ended, to `out`. */
static void read_all(struct tn_bytes stream, enum tn_grpc_encoding encoding, uint32_t seed,
                     struct tn_buf *out)
{
    struct tn_grpc_reader reader;
    tn_grpc_reader_init(&reader, NULL, MESSAGE_MAX, encoding);
    enum tn_err err = TN_AGAIN;
    while (stream.size > 0 && err >= 0) {
        size_t size = stream.size;
        if (seed != 0) {
            seed = seed * 1664525u + 1013904223u;
            size = 1 + (seed >> 24) % 11;
            size = size < stream.size ? size : stream.size;
        }
        struct tn_bytes part = tn_bytes_make(stream.data, size);
        while (part.size > 0 && err >= 0) {
            struct tn_block *message = NULL;
            err = tn_grpc_reader_feed(&reader, &part, &message);
            if (err == TN_DONE) {
                TN_ASSERT(message->size <= MESSAGE_MAX);
                tn_buf_printf(out, "[%zu]", message->size);
                tn_buf_put(out, message->data, message->size);
                tn_block_unref(message);
            }
        }
        stream = tn_bytes_make(stream.data + size, stream.size - size);
    }
    tn_buf_printf(out, "%d %d", err < 0 ? (int)err : 0, tn_grpc_reader_is_between(&reader));
    tn_grpc_reader_deinit(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t live = tn_mem_live();
    enum tn_grpc_encoding encoding = (enum tn_grpc_encoding)(data[0] % 3);
    struct tn_bytes stream = tn_bytes_make(data + 1, size - 1);
    struct tn_buf whole, pieces;
    tn_buf_init(&whole, 0);
    tn_buf_init(&pieces, 0);
    read_all(stream, encoding, 0, &whole);
    read_all(stream, encoding, data[0] | 256u, &pieces);
    TN_ASSERT(tn_bytes_equal(tn_buf_bytes(&whole), tn_buf_bytes(&pieces)));
    tn_buf_deinit(&whole);
    tn_buf_deinit(&pieces);
    TN_ASSERT(tn_mem_live() == live);
    return 0;
}
