/* The inside of struct tn_call, for the wires of this room; handlers see rpc/call.h only.
 *
 *   create -> put_header* -> begin -> input* -> input_end -> (answer collected) -> cut
 *                                        '-- reset, disconnect --> cut
 *
 * A call lives while somebody holds it: the wire until the stream is over, the handler from
 * dispatch to finish, the output while borrowed bytes of the arena wait in a socket.
 * Memory: a slot of CALL_SLOT bytes from the lane's pool, its rest is the arena's first block. */
#ifndef TN_RPC_CALL_STATE_H
#define TN_RPC_CALL_STATE_H

#include "base/buf.h"
#include "rpc/grpc_frame.h"
#include "rpc/header.h"
#include "rpc/wire.h"

enum {
    TN_CALL_SLOT = 4096,
    TN_CALL_HEADERS_FIRST = 24,
    TN_CALL_IDLE_MAX = 1024,      /* in a lane's pool */
    TN_CALL_ARENA_KEPT = 1 << 16, /* an idle call's arena gives back what is beyond */
};

#define TN_CALL_LENGTH_UNKNOWN SIZE_MAX

/* A response header or trailer. */
struct tn_call_field {
    struct tn_str name;
    struct tn_str value;
    struct tn_call_field *next;
};

struct tn_call_piece {
    struct tn_piece piece; /* what is left of it */
    struct tn_call_piece *next;
    uint8_t prefix[TN_GRPC_PREFIX_SIZE]; /* the message begins here: points to itself */
};

struct tn_call {
    struct tn_call_info info;
    struct tn_lane *lane;
    struct tn_wire *wire; /* NULL: the stream is gone */
    struct tn_call *next;
    struct tn_call **link; /* what points here in the wire's list */
    const struct tn_route *route;
    void *user;
    int32_t stream_id;
    uint32_t holds;
    bool begun;       /* headers were complete */
    bool input_over;  /* nothing more comes in, or it is not wanted */
    bool input_ended; /* the sender ended properly */
    bool dispatched;  /* the handler knows it */
    bool ended;       /* the final status is set */
    bool finished;    /* the handler called finish */
    bool cancelled;
    bool paused;
    bool resuming; /* the wire will call tn_call_resumed */
    bool refused;  /* answered by us before the input ended */
    bool counted;
    bool headers_out; /* the wire has sent the response headers */
    bool streamed;    /* an HTTP answer of several sends */
    bool wants_room;  /* tn_call_send said TN_AGAIN */
    bool head;        /* HEAD: no body goes out */
    bool close;       /* HTTP/1.x: the connection ends with this call */
    bool deferred;    /* HTTP/2: nghttp2 waits for more output */
    bool broken;      /* the answer is cut short: reset the stream, close the connection */

    struct tn_header *headers;
    size_t header_count;
    size_t header_room;
    size_t header_bytes;
    enum tn_err header_err; /* TN_LIMIT, TN_NOMEM: the headers are not whole */
    struct tn_grpc_reader reader;
    struct tn_buf held; /* input that came while the handler had paused */
    struct tn_block *body;
    size_t length_in; /* content-length of the request */
    size_t buffered;
    uint64_t input_ns;  /* when input came last */
    uint64_t output_ns; /* when output moved last */

    struct tn_call_piece *out_head;
    struct tn_call_piece *out_tail;
    struct tn_call_piece *out_spare;
    size_t out_bytes;
    struct tn_call_field *fields;
    struct tn_call_field *trailers;
    size_t field_count;
    size_t trailer_count;
    unsigned http_status;
    struct tn_str content_type;
    size_t length_out; /* of a whole HTTP answer; unknown: streamed */
    enum tn_grpc_status status;
    struct tn_str message; /* percent-encoded */

    struct tn_arena arena;
};

/* A new call on the wire's list. NULL: no memory. */
struct tn_call *tn_call_create(struct tn_wire *wire, unsigned http_version);

/* Request headers, copied. More than header_bytes_max or no memory: remembered, and answered by
 * tn_call_begin. */
void tn_call_put_header(struct tn_call *call, struct tn_str name, struct tn_str value);
void tn_call_put_method(struct tn_call *call, struct tn_str method);
void tn_call_put_target(struct tn_call *call, struct tn_str target);
void tn_call_put_authority(struct tn_call *call, struct tn_str authority);

/* The headers are complete: finds the route, answers at once what cannot be served. */
void tn_call_begin(struct tn_call *call);

/* Answers instead of a handler, and wants no more input. */
void tn_call_refuse(struct tn_call *call, enum tn_refusal cause, enum tn_grpc_status status,
                    unsigned http_status, const char *message);

void tn_call_input(struct tn_call *call, struct tn_bytes bytes);
void tn_call_input_end(struct tn_call *call);

/* Delivers what came while the handler had paused; from the wire's collect, no handler is active.
 */
void tn_call_resumed(struct tn_call *call);

/* The deadline passed. */
void tn_call_expire(struct tn_call *call);

/* Ends a call that its handler knows: this status goes out, the handler hears `cancelled`. */
void tn_call_abort(struct tn_call *call, enum tn_grpc_status status, const char *message);

/* Counts and logs the answer; once a call. `code`: as in tn_meter_call. */
void tn_call_count(struct tn_call *call, unsigned code);

/* The wire is done with the call. */
void tn_call_cut(struct tn_call *call);

/* Gives one hold up; the last one ends the call. */
void tn_call_let_go(struct tn_call *call);

/* Moves up to `size` queued bytes to `out`; returns how many fitted. */
size_t tn_call_take_output(struct tn_call *call, struct tn_out *out, size_t size);

/* Calls `writable` when the output fell low again; from the end of a collection only. */
void tn_call_tell_writable(struct tn_call *call);

/* Output that nobody wants any more. */
void tn_call_drop_output(struct tn_call *call);

#endif
