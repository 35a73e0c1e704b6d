/* A real server of room rpc on a thread of its own, for tests: echo handlers, metrics, limits.
 *
 *   gRPC  /t.E/Unary (echo)  /t.E/Stream (echo each)  /t.E/Hold (answers only when cancelled)
 *         /t.E/Fail (NOT_FOUND "no such thing: 100 %")  /t.E/Flood (a message of n bytes, n in it)
 *   HTTP  /echo (body back)  /big (a body of 1 MiB)  /subject (of the client's certificate)
 * Handlers run on the server's loop; counts are read by the test's thread. */
#ifndef TN_TESTS_RPC_SERVER_H
#define TN_TESTS_RPC_SERVER_H

#include "rpc/server.h"
#include "telemetry/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct rpc_server {
    struct tn_loop *loop;
    struct tn_server *server;
    struct tn_metrics *metrics;
    unsigned port;
    char target[40];
    size_t live_before;
    atomic_size_t begun, cancelled, finished, messages;
};

#define RPC_CHECK(expression)                                                                      \
    do {                                                                                           \
        if (!(expression)) {                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expression);                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

void rpc_server_start(struct rpc_server *server, const struct tn_server_limits *limits,
                      struct tn_tls *tls);

/* Value of the first sample whose name and labels begin so, -1 when there is none. */
double rpc_server_metric(struct rpc_server *server, const char *sample);

/* How often the limit of that name bit. */
size_t rpc_server_refused(struct rpc_server *server, const char *cause);

void rpc_pause_ms(unsigned ms);

/* Waits, some twenty seconds at most, until the value is reached; says whether it was. */
bool rpc_server_reaches(struct rpc_server *server, const char *sample, double value);

/* Asserts that every connection is gone, every call that began was finished, and all memory is
 * back. */
void rpc_server_stop(struct rpc_server *server);

#endif
