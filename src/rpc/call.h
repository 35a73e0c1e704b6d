/* One request that a server received, over HTTP/1.1, HTTP/2 or gRPC: the handler's view of it.
 *
 *   OPEN --(body complete | messages)--> ANSWERING --finish--> gone
 *     '---- reset, disconnect, deadline ----> CANCELLED --finish--> gone
 *
 * A handler finishes each call exactly once, also a cancelled one; until then the call, its arena
 * and its body stay valid. What is sent on a cancelled call is dropped. Finishing inside the
 * handler is fine: nothing is written before the end of the loop's turn. Memory: an arena per call,
 * the body in one block. Threads: the loop of the call, for everything here; other threads hand
 * their results to an inbox of that loop. Bounds: tn_server_limits. */
#ifndef TN_RPC_CALL_H
#define TN_RPC_CALL_H

#include "base/block.h"
#include "base/loop.h"
#include "core/arena.h"

struct tn_call;

enum tn_call_kind { TN_CALL_HTTP, TN_CALL_GRPC };

/* Status codes of gRPC (grpc.io, "Status codes and their use"). */
enum tn_grpc_status {
    TN_GRPC_OK = 0,
    TN_GRPC_CANCELLED = 1,
    TN_GRPC_UNKNOWN = 2,
    TN_GRPC_INVALID_ARGUMENT = 3,
    TN_GRPC_DEADLINE_EXCEEDED = 4,
    TN_GRPC_NOT_FOUND = 5,
    TN_GRPC_ALREADY_EXISTS = 6,
    TN_GRPC_PERMISSION_DENIED = 7,
    TN_GRPC_RESOURCE_EXHAUSTED = 8,
    TN_GRPC_FAILED_PRECONDITION = 9,
    TN_GRPC_ABORTED = 10,
    TN_GRPC_OUT_OF_RANGE = 11,
    TN_GRPC_UNIMPLEMENTED = 12,
    TN_GRPC_INTERNAL = 13,
    TN_GRPC_UNAVAILABLE = 14,
    TN_GRPC_DATA_LOSS = 15,
    TN_GRPC_UNAUTHENTICATED = 16,
};

/* The gRPC and HTTP statuses that say the same as an error of ours. */
enum tn_grpc_status tn_grpc_status_of(enum tn_err err);
unsigned tn_http_status_of(enum tn_err err);

/* What a handler is: functions called on the call's loop. Unused ones may be NULL. */
struct tn_handler {
    /* Unary and HTTP: headers and the whole body are here. Streaming: the headers are here. */
    void (*request)(void *context, struct tn_call *call);
    /* Streaming gRPC only: the next message; keep it with tn_block_ref. */
    void (*message)(void *context, struct tn_call *call, struct tn_block *message);
    /* Streaming gRPC only: the client sends no more. */
    void (*ended)(void *context, struct tn_call *call);
    /* Output fell below the low-water mark again after tn_call_send said TN_AGAIN. */
    void (*writable)(void *context, struct tn_call *call);
    /* Reset, disconnect, or the deadline passed. The call must still be finished. */
    void (*cancelled)(void *context, struct tn_call *call);
    void *context;
    bool streaming;
};

/* --- What came in --- */
struct tn_call_info {
    enum tn_call_kind kind;
    unsigned http_version; /* 10, 11 or 20 */
    struct tn_str method;  /* "GET", "POST", ... */
    struct tn_str path;    /* without the query; percent-encoding as sent */
    struct tn_str query;   /* without '?', may be empty */
    struct tn_str authority;
    struct tn_str peer;         /* "127.0.0.1:40312" */
    struct tn_str peer_subject; /* verified client certificate's subject, or empty */
    uint64_t deadline_ns;       /* monotonic, 0: none */
    uint64_t start_ns;          /* monotonic, when the headers were complete */
    bool tls;
};
const struct tn_call_info *tn_call_info(const struct tn_call *call);

/* First value of a header (lower-case name), empty view when absent. */
struct tn_str tn_call_header(const struct tn_call *call, struct tn_str name);
size_t tn_call_header_count(const struct tn_call *call);
void tn_call_header_at(const struct tn_call *call, size_t index, struct tn_str *ret_name,
                       struct tn_str *ret_value);

/* Unary gRPC: the decompressed message, which ends at a 64-byte boundary where it came
 * uncompressed; HTTP: the body, which starts at one. Never NULL, may be empty. Lives until finish;
 * ref it to keep it longer. */
struct tn_block *tn_call_body(struct tn_call *call);

struct tn_arena *tn_call_arena(struct tn_call *call);
struct tn_loop *tn_call_loop(struct tn_call *call);
bool tn_call_is_cancelled(const struct tn_call *call);

/* Streaming gRPC: take no more messages until resumed; the sender is slowed by flow control. May be
 * called from within `message`, which then does not come again. What arrived meanwhile is delivered
 * at the end of the loop's turn after resume, never from within it. */
void tn_call_pause(struct tn_call *call);
void tn_call_resume(struct tn_call *call);

/* One pointer for the handler, NULL at first. */
void tn_call_set_user(struct tn_call *call, void *user);
void *tn_call_user(const struct tn_call *call);

/* --- What goes out --- */
/* Response header (gRPC: initial metadata) or trailer; copied. Header: before the first send.
 * TN_NOMEM, TN_INVALID (not a header name or value). */
TN_MUST enum tn_err tn_call_add_header(struct tn_call *call, struct tn_str name,
                                       struct tn_str value);
TN_MUST enum tn_err tn_call_add_trailer(struct tn_call *call, struct tn_str name,
                                        struct tn_str value);

/* One gRPC message, or a part of a streamed HTTP body (chunked), made of pieces in order.
 * References of pieces with an owner pass to the call on success; bytes without an owner must lie
 * in the call's arena or be static. Sent without copying when large. TN_OK; TN_AGAIN: taken, but
 * hold back until `writable`; TN_CLOSED: cancelled, nothing taken; TN_NOMEM: nothing taken. */
TN_MUST enum tn_err tn_call_send(struct tn_call *call, const struct tn_piece *pieces, size_t count);

/* Ends a gRPC call. `message` is copied, percent-encoded on the wire; may be empty. */
void tn_call_finish(struct tn_call *call, enum tn_grpc_status status, struct tn_str message);

/* Answers and ends an HTTP call in one go (content-length set), or ends a streamed one (pieces
 * NULL, after sends). Pieces as in tn_call_send; their references pass in any case. */
void tn_call_reply(struct tn_call *call, unsigned http_status, struct tn_str content_type,
                   const struct tn_piece *pieces, size_t count);
/* Sets the status of a streamed HTTP answer before the first tn_call_send. */
void tn_call_set_http_status(struct tn_call *call, unsigned http_status,
                             struct tn_str content_type);

#endif
