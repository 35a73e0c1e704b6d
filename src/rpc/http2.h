/* HTTP/2 of a server on one connection: an nghttp2 session without a socket. See wire.h for what it
 * offers.
 *
 *   bytes -> frames -> headers -> call begun -> DATA -> call input -> END_STREAM -> handler
 *   answers: HEADERS and DATA are framed into tn_out at the end of the turn, large bodies by
 *   reference; one writev takes the answers of all streams.
 *
 * Memory: the session (some 20 KiB, by base/mem), calls from the lane. Threads: the lane's loop.
 * Bounds, each counted by cause: streams, header bytes, resets a second, control frames a second,
 * time for a header block, idle time, time that output may wait for a window. */
#ifndef TN_RPC_HTTP2_H
#define TN_RPC_HTTP2_H

#include "rpc/wire.h"

/* TN_NOMEM, TN_INTERNAL. The wire's destroy frees it. */
TN_MUST enum tn_err tn_http2_create(const struct tn_wire_options *options,
                                    struct tn_wire **ret_wire);

/* The first 24 bytes of each HTTP/2 connection. */
extern const struct tn_str tn_http2_preface;

#endif
