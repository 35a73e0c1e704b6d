/* One loop's part of a server: what its connections share, so that none of it needs a lock.
 *
 *   server --> lane (one a loop) --> connections --> wire (http1 | http2) --> calls
 *
 * A lane has no socket and reads no clock: the shell sets now_ns, tests feed wires by hand.
 * Memory: a pool of calls and one of blocks, a scratch run for output. Threads: the loop's; the
 * bytes being buffered are counted over all lanes. Bounds: the server's limits. */
#ifndef TN_RPC_LANE_H
#define TN_RPC_LANE_H

#include "base/log.h"
#include "rpc/block_pool.h"
#include "rpc/header.h"
#include "rpc/meter.h"
#include "rpc/out.h"
#include "rpc/server.h"
#include "rpc/small_pool.h"

enum { TN_LANE_HEADERS = 128 };

struct tn_call;

struct tn_lane {
    struct tn_loop *loop; /* NULL in tests of the cores */
    struct tn_server_limits limits;
    const struct tn_router *router;
    struct tn_meter *meter;
    atomic_size_t *buffered_bytes; /* of the server: bodies being received */
    struct tn_str server_header;   /* static */
    bool access_log;
    struct tn_log_batch access_lines; /* written at the end of a turn */
    uint64_t now_ns;
    struct tn_call *idle_calls;
    size_t idle_count;
    size_t call_count; /* alive, idle ones not counted */
    struct tn_block_pool blocks;
    struct tn_small_pool small;                /* nghttp2's memory */
    struct tn_header headers[TN_LANE_HEADERS]; /* scratch of the HTTP/1 parsers */
};

struct tn_lane_options {
    struct tn_loop *loop;
    struct tn_server_limits limits; /* zero fields take the defaults */
    const struct tn_router *router;
    struct tn_meter *meter;
    atomic_size_t *buffered_bytes;
    struct tn_str server_header;
    bool access_log;
};

void tn_lane_init(struct tn_lane *lane, const struct tn_lane_options *options);
void tn_lane_deinit(struct tn_lane *lane);

/* The defaults of server.h in place of zeros. */
struct tn_server_limits tn_server_limits_filled(struct tn_server_limits limits);

#endif
