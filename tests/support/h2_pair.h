/* A server's HTTP/2 wire and an nghttp2 client joined in memory: no socket, no clock. Bytes travel
 * in pieces of a chosen size, time is what the test sets. For tests of rpc/http2.h. */
#ifndef TN_TESTS_H2_PAIR_H
#define TN_TESTS_H2_PAIR_H

#include "rpc/call_state.h"
#include "rpc/http2.h"

#include <nghttp2/nghttp2.h>

enum { H2_PAIR_STREAMS = 2048, H2_PAIR_BODY = 1 << 20 };

/* What the client saw of one stream. */
struct h2_stream {
    unsigned http_status;
    int grpc_status; /* -1: none */
    char message[256];
    char accept_encoding[64];
    uint8_t *body;
    size_t body_size;
    bool closed;
    uint32_t error_code;
    struct tn_bytes upload; /* what the client still sends */
    bool upload_open;       /* more may be added */
    bool upload_deferred;
};

struct h2_pair {
    struct tn_lane lane;
    struct tn_router router;
    struct tn_meter meter;
    atomic_size_t buffered;
    struct tn_wire *wire;
    enum tn_err broken; /* what receive or collect said, below 0 */
    nghttp2_session *client;
    struct h2_stream streams[H2_PAIR_STREAMS]; /* by (id - 1) / 2 */
    size_t cut;                                /* bytes a piece towards the server, 0: all */
    bool goaway;
    unsigned goaways;
    uint32_t goaway_code;
    int32_t goaway_last;
    size_t sent;     /* bytes towards the server */
    size_t received; /* bytes from it */
    bool manual;     /* the client does not answer windows by itself */
};

/* Routes are added between setup and open. */
void h2_pair_setup(struct h2_pair *pair, const struct tn_server_limits *limits);
TN_MUST enum tn_err h2_pair_open(struct h2_pair *pair, uint32_t client_window);
void h2_pair_route(struct h2_pair *pair, enum tn_call_kind kind, const char *path,
                   const struct tn_handler *handler);
void h2_pair_close(struct h2_pair *pair);

struct h2_request {
    const char *method; /* NULL: POST */
    const char *path;
    const char *content_type; /* NULL: application/grpc */
    const char *extra[8];     /* name, value, ... */
    struct tn_bytes body;     /* lives until sent */
    bool open;                /* no END_STREAM after the body */
};
int32_t h2_pair_request(struct h2_pair *pair, const struct h2_request *request);
struct h2_stream *h2_pair_stream(struct h2_pair *pair, int32_t id);

/* Adds to an open upload; `last` ends it. The one before must have been sent. */
void h2_pair_upload(struct h2_pair *pair, int32_t id, struct tn_bytes bytes, bool last);

/* Moves bytes both ways until both are silent. */
void h2_pair_run(struct h2_pair *pair);

/* Raw bytes to the server, then the same. */
void h2_pair_inject(struct h2_pair *pair, struct tn_bytes bytes);

/* Lets time pass: tick when the wire asked for it, then run. */
void h2_pair_pass(struct h2_pair *pair, uint64_t ns);

/* A gRPC message: prefix and bytes, into `out`. */
size_t h2_pair_message(uint8_t *out, const void *data, size_t size);

#endif
