/* Server for HTTP/1.1, HTTP/2 (h2c and TLS with ALPN) and gRPC on any of its ports: the first bytes
 * decide. One listener per port and loop (SO_REUSEPORT), connections stay on their loop.
 *
 *   accept -> [TLS] -> sniff -> http1 | http2 -> route -> handler -> call.h
 *
 * Routes are fixed before the first listen; look-up is one hash. Health (grpc.health.v1) and
 * reflection (v1, v1alpha) are built in: see rpc/health.h, rpc/reflection.h.
 * Threads: create, route, listen, drain, destroy from one owner thread; handlers run on the loops.
 * Bounds: struct tn_server_limits, each counted by cause when it bites. */
#ifndef TN_RPC_SERVER_H
#define TN_RPC_SERVER_H

#include "rpc/call.h"

struct tn_server;
struct tn_metrics;
struct tn_tls;

/* Zero fields take the default in brackets. */
struct tn_server_limits {
    size_t connections_max;     /* in all [20000] */
    size_t streams_max;         /* concurrent, a connection [1000] */
    size_t header_bytes_max;    /* a request's header list [32 KiB] */
    size_t body_bytes_max;      /* a message or HTTP body [256 MiB] */
    size_t buffered_bytes_max;  /* bodies received and not yet answered, all connections [1 GiB] */
    size_t output_bytes_high;   /* a call's unsent output: TN_AGAIN above [4 MiB] */
    uint64_t header_timeout_ns; /* from accept or keep-alive to complete headers [10 s] */
    uint64_t body_timeout_ns;   /* between two bytes of a body [30 s] */
    uint64_t idle_timeout_ns;   /* a connection without calls; 0: [5 min] */
    uint64_t write_timeout_ns;  /* a peer that reads nothing [60 s] */
    unsigned resets_per_second_max;  /* rapid reset [200 above finished streams] */
    unsigned control_per_second_max; /* SETTINGS, PING, empty frames [1000] */
    size_t window_bytes;             /* flow control a connection and stream [8 MiB] */
};

struct tn_server_options {
    struct tn_loop *
        *loops; /* I/O loops, not running yet (or the current one); outlive the server */
    size_t loop_count;
    struct tn_server_limits limits;
    struct tn_metrics *metrics; /* NULL: none */
    const char *server_header;  /* "tenon/0.1.0" */
    bool access_log;            /* one line a call, off by default */
};

TN_MUST enum tn_err tn_server_create(const struct tn_server_options *options,
                                     struct tn_server **ret_server, struct tn_fault *fault);

/* gRPC method by full path "/package.Service/Method". The handler is copied. Unknown methods get
 * UNIMPLEMENTED. */
TN_MUST enum tn_err tn_server_route_grpc(struct tn_server *server, struct tn_str path,
                                         const struct tn_handler *handler);

/* HTTP paths that equal `prefix` or continue it with '/'. The longest prefix wins; "/" is the
 * fallback. Unknown paths get 404 with a JSON error. */
TN_MUST enum tn_err tn_server_route_http(struct tn_server *server, struct tn_str prefix,
                                         const struct tn_handler *handler);

struct tn_listen_options {
    const char *address; /* "127.0.0.1", "::1", "0.0.0.0", "unix:/path"; NULL: 127.0.0.1 */
    unsigned port;       /* 0: any free one */
    struct tn_tls *tls;  /* NULL: plain */
    unsigned routes;     /* bit mask of TN_LISTEN_*; 0: all */
};
enum { TN_LISTEN_HTTP = 1, TN_LISTEN_GRPC = 2 };

/* TN_IO with a fault that names the address and what to do (port in use: who, or how to choose
 * another). */
TN_MUST enum tn_err tn_server_listen(struct tn_server *server,
                                     const struct tn_listen_options *options, unsigned *ret_port,
                                     struct tn_fault *fault);

size_t tn_server_loop_count(const struct tn_server *server);
struct tn_loop *tn_server_loop(const struct tn_server *server, size_t index);

/* Stop accepting, GOAWAY / Connection: close, let calls finish; `done` runs on the first loop when
 * none is left or `deadline_ns` (monotonic) passed, with the number of calls cut off. */
void tn_server_drain(struct tn_server *server, uint64_t deadline_ns,
                     void (*done)(void *context, size_t cut), void *context);

/* Closes every connection and listener. Call with the loops stopped. Handlers hear `cancelled` for
 * calls that are open, and may finish those until destroy. */
void tn_server_cut(struct tn_server *server); /* NULL accepted */

/* Closes everything at once. Call with the loops stopped, or from the only loop. Handlers hear
 * `cancelled` for calls that are open, so their contexts live longer; afterwards no call may be
 * touched. NULL accepted. */
void tn_server_destroy(struct tn_server *server);

#endif
