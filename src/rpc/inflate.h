/* Decompression of received bodies (gRPC messages, HTTP Content-Encoding), with a bound on the
 * result, so that a small bomb cannot fill the memory.
 * Memory: the result block, and zlib's state during the call. Threads: any. */
#ifndef TN_RPC_INFLATE_H
#define TN_RPC_INFLATE_H

#include "rpc/block_pool.h"

enum tn_inflate_format {
    TN_INFLATE_GZIP,
    TN_INFLATE_DEFLATE, /* a zlib stream, as gRPC and HTTP mean it; a bare one is taken as well */
};

struct tn_inflate_options {
    enum tn_inflate_format format;
    size_t size_max;            /* of the result */
    struct tn_block_pool *pool; /* NULL: the heap */
};

/* TN_LIMIT: the result would exceed size_max. TN_CORRUPT: not a complete stream of this format, or
 * bytes after it. TN_NOMEM. */
TN_MUST enum tn_err tn_inflate(struct tn_bytes input, const struct tn_inflate_options *options,
                               struct tn_block **ret_block);

#endif
