/* Client for HTTP/1.1, HTTP/2 and gRPC: one target, one connection that is made on demand, kept
 * alive, and made anew with back-off (base/retry) when it breaks.
 *
 *   call: WAITING (for the connection) -> OPEN -> ENDED      any -> cancel -> ENDED
 *
 * A call that waits when an attempt to connect fails, or that starts during the pause after one,
 * ends with TN_UNAVAILABLE, unless it says wait_for_ready. HTTP/1.1 carries one call at a time,
 * the others wait. Output of a turn is written at its end, in one system call where it fits.
 * `ended` is the last callback of a call and never runs inside a function that the user called
 * (but for tn_client_destroy). Callbacks may start, send on and cancel calls, not destroy.
 * Memory: a pooled struct per call. Threads: the client's loop.
 * Bounds: calls in flight, bytes of a message, deadline of each call. */
#ifndef TN_RPC_CLIENT_H
#define TN_RPC_CLIENT_H

#include "rpc/call.h"
#include "rpc/header.h"

struct tn_client;
struct tn_client_call;
struct tn_tls;

enum tn_client_protocol {
    TN_CLIENT_AUTO, /* h2 for gRPC; for HTTP: ALPN, else HTTP/1.1 */
    TN_CLIENT_HTTP1,
    TN_CLIENT_HTTP2, /* prior knowledge when there is no TLS */
};

struct tn_client_options {
    struct tn_loop *loop;
    const char *target; /* "host:port", "[::1]:port", "unix:/path" */
    enum tn_client_protocol protocol;
    struct tn_tls *tls;          /* NULL: plain */
    size_t calls_max;            /* in flight [1000]; more: TN_LIMIT */
    size_t message_bytes_max;    /* received [256 MiB] */
    uint64_t connect_timeout_ns; /* [5 s] */
    uint64_t keepalive_ns;       /* PING when silent with calls open [30 s]; the same to answer */
    const char *user_agent;      /* ["tenon"]; outlives the client */
};

TN_MUST enum tn_err tn_client_create(const struct tn_client_options *options,
                                     struct tn_client **ret_client, struct tn_fault *fault);

/* Ends all calls (TN_CANCELLED, delivered before this returns) and closes. NULL accepted. */
void tn_client_destroy(struct tn_client *client);

/* How a call ended. For gRPC `err` is TN_OK only with status OK. Views live during the callback. */
struct tn_client_end {
    enum tn_err err;
    enum tn_grpc_status grpc_status; /* gRPC */
    unsigned http_status;            /* 0: none arrived */
    struct tn_str message;           /* grpc-message decoded, or what broke */
    bool sent; /* some of the request may have reached the server: not every retry is safe */
};

struct tn_client_events {
    void (*headers)(void *user, struct tn_client_call *call, unsigned http_status,
                    const struct tn_header *headers, size_t count); /* may be NULL */
    /* gRPC: one message. HTTP: the whole body, once, also an empty one. Keep with tn_block_ref. */
    void (*message)(void *user, struct tn_client_call *call, struct tn_block *message);
    void (*writable)(void *user, struct tn_client_call *call); /* may be NULL */
    void (*ended)(void *user, struct tn_client_call *call, const struct tn_client_end *end);
};

struct tn_client_request {
    enum tn_call_kind kind;
    struct tn_str method;            /* HTTP; gRPC is always POST */
    struct tn_str path;              /* with query; "/package.Service/Method" */
    const struct tn_header *headers; /* copied */
    size_t header_count;
    bool no_body;                          /* HTTP: the request ends with its headers */
    bool wait_for_ready;                   /* outlast failed attempts to connect */
    uint64_t deadline_ns;                  /* monotonic, 0: none; sent as grpc-timeout */
    const struct tn_client_events *events; /* outlives the call */
    void *user;
};

/* Begins a call. gRPC, and HTTP unless it says no_body, send with tn_client_send until `last`.
 * TN_LIMIT: too many calls. TN_INVALID: a path or header that would break the request. TN_NOMEM. */
TN_MUST enum tn_err tn_client_start(struct tn_client *client,
                                    const struct tn_client_request *request,
                                    struct tn_client_call **ret_call);

/* A gRPC message or a part of the HTTP body; `last` half-closes (count 0 just half-closes).
 * References pass on success; bytes without an owner are copied. TN_OK, TN_AGAIN (taken; wait for
 * writable), TN_CLOSED (the call is ending; nothing taken), TN_LIMIT (a gRPC message of 4 GiB),
 * TN_NOMEM (nothing taken). */
TN_MUST enum tn_err tn_client_send(struct tn_client_call *call, const struct tn_piece *pieces,
                                   size_t count, bool last);

/* `ended` still comes, with TN_CANCELLED, and no other callback before it. */
void tn_client_cancel(struct tn_client_call *call);

/* Calls that have not ended. */
size_t tn_client_calls(const struct tn_client *client);

#endif
