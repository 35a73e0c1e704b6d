/* The inside of the HTTP/2 wire, shared by http2.c (input, time) and http2_output.c. */
#ifndef TN_RPC_HTTP2_SESSION_H
#define TN_RPC_HTTP2_SESSION_H

#include "core/assert.h"
#include "rpc/call_state.h"
#include "rpc/http2.h"

#include <nghttp2/nghttp2.h>

enum {
    TN_HTTP2_DATA_MAX = 128 << 10, /* of one DATA frame that we send */
    TN_HTTP2_FRAME_ROOM = 20 << 10 /* nghttp2 hands out at most one 16 KiB buffer at a time */
};

struct tn_http2 {
    struct tn_wire wire;
    nghttp2_session *session;
    struct tn_out *out;     /* during collect */
    bool out_full;          /* a DATA frame did not fit */
    struct tn_call *recent; /* the call of the last look-up, or NULL */
    size_t early;           /* calls answered before their input ended */
    uint64_t second_ns;     /* start of the second that the next three count */
    unsigned resets;
    unsigned finished;
    unsigned control;
    uint64_t block_ns;  /* since when a header block is incomplete, 0: none */
    uint64_t start_ns;  /* of the connection, 0: its SETTINGS have come */
    uint64_t goaway_ns; /* when the final GOAWAY is due, 0: not draining or sent */
    bool told;          /* a frame that breaks the protocol was counted */
    bool failed;        /* GOAWAY with an error is under way; input is ignored */
};

static inline struct tn_http2 *tn_http2_of(struct tn_wire *wire)
{
    return TN_CONTAINER(wire, struct tn_http2, wire);
}

/* nghttp2's callbacks of the sending side. */
void tn_http2_set_output_callbacks(nghttp2_session_callbacks *callbacks);

/* Call of a stream, NULL when there is none. */
struct tn_call *tn_http2_call(struct tn_http2 *h2, int32_t stream_id);

/* Ends the connection for a reason of ours. */
void tn_http2_fail(struct tn_http2 *h2, enum tn_refusal cause, uint32_t error_code);

/* wire_i functions that live in http2_output.c */
void tn_http2_output(struct tn_wire *wire, struct tn_call *call);
enum tn_err tn_http2_collect(struct tn_wire *wire, struct tn_out *out);

#endif
