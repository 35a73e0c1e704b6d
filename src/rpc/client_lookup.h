/* The addresses of a client's target: at once for IP literals and unix sockets, else by the
 * system's resolver on a thread of libuv.
 *
 *   start -> TN_OK: addresses are there | TN_AGAIN: `done` comes, on the loop, unless stopped
 *
 * Memory: the caller's struct; one request on the heap that outlives a stop, since a look-up that
 * runs cannot be interrupted. Threads: the loop's. Bounds: TN_CLIENT_ADDRESSES_MAX. */
#ifndef TN_RPC_CLIENT_LOOKUP_H
#define TN_RPC_CLIENT_LOOKUP_H

#include "base/loop.h"
#include "rpc/client_target.h"

#include <sys/socket.h>

enum { TN_CLIENT_ADDRESSES_MAX = 8 };

struct tn_client_address {
    struct sockaddr_storage address;
    socklen_t size;
};

struct tn_client_lookup {
    struct tn_client_address addresses[TN_CLIENT_ADDRESSES_MAX];
    size_t count;
    /* `problem`: static text, NULL when there are addresses. */
    void (*done)(struct tn_client_lookup *lookup, const char *problem);
    struct tn_client_resolve *resolve; /* NULL: not running */
};

/* TN_OK, TN_AGAIN, TN_NOMEM, TN_UNAVAILABLE (the resolver cannot run). */
TN_MUST enum tn_err tn_client_lookup_start(struct tn_client_lookup *lookup, struct tn_loop *loop,
                                           const struct tn_client_target *target,
                                           void (*done)(struct tn_client_lookup *lookup,
                                                        const char *problem));
void tn_client_lookup_stop(struct tn_client_lookup *lookup);

#endif
