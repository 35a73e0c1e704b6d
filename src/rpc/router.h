/* Which handler answers a path. Filled before the first listen, read only afterwards.
 *
 * gRPC methods match whole; HTTP prefixes match whole or up to a '/', the longest wins. Both live
 * in one open-addressed hash table, so a look-up is one hash (HTTP: one a path segment).
 * Memory: one table on the heap. Threads: one writer, then any readers. */
#ifndef TN_RPC_ROUTER_H
#define TN_RPC_ROUTER_H

#include "rpc/call.h"

struct tn_metric;

struct tn_route {
    struct tn_str path; /* owned */
    uint64_t hash;
    enum tn_call_kind kind;
    struct tn_handler handler;
    struct tn_metric *seconds; /* the route's histogram, NULL: none */
};

struct tn_router {
    struct tn_route **slots;
    size_t room; /* power of two, or 0 */
    size_t count;
};

void tn_router_init(struct tn_router *router);
void tn_router_deinit(struct tn_router *router);

/* TN_EXISTS, TN_NOMEM, TN_INVALID (does not begin with '/'). */
TN_MUST enum tn_err tn_router_add(struct tn_router *router, enum tn_call_kind kind,
                                  struct tn_str path, const struct tn_handler *handler,
                                  struct tn_route **ret_route);

/* NULL when nothing matches. */
const struct tn_route *tn_router_grpc(const struct tn_router *router, struct tn_str path);
const struct tn_route *tn_router_http(const struct tn_router *router, struct tn_str path);

#endif
