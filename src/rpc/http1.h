/* HTTP/1.0 and 1.1 on the wire (RFC 9112), both directions: a push parser and a serialiser.
 *
 *   START -> HEAD -> body: NONE | LENGTH | UNTIL_CLOSE | SIZE -> DATA -> SIZE ... -> TRAILERS
 *                      '-----> END --tn_http1_again--> START         any -> FAILED
 *
 * Bytes go in at any cut; the events that come out do not depend on the cuts. A head that lies
 * whole in the caller's bytes is parsed where it lies (names are lower-cased in place); only a head
 * that is cut is kept in memory taken from `source`. Body bytes are never copied.
 *
 * Strict where leniency smuggles requests: no obs-fold, no bare CR or LF, no NUL, no space before
 * ':', one Content-Length at most and never beside Transfer-Encoding, no coding but "chunked" and
 * that once and in 1.1 only, exactly one Host in a 1.1 request. One empty line before a request is
 * passed over.
 * Memory: the caller's struct and header array, plus a cut head from `source`. Pure.
 * Threads: one at a time. Bounds: tn_http1_limits. */
#ifndef TN_RPC_HTTP1_H
#define TN_RPC_HTTP1_H

#include "base/buf.h"
#include "core/arena.h"
#include "core/err.h"
#include "rpc/header.h"

/* Zero fields take the default in brackets. */
struct tn_http1_limits {
    size_t line_bytes_max;   /* any one line with its CRLF [16 KiB] */
    size_t head_bytes_max;   /* start line and headers, or trailers [32 KiB] */
    size_t header_count_max; /* at most the size of the header array [its size] */
    size_t chunk_bytes_max;  /* chunk-extension bytes, over the whole message [4 KiB] */
};

struct tn_http1_options {
    bool response;             /* parse responses instead of requests */
    struct tn_header *headers; /* scratch; may be shared by all parsers of one thread */
    size_t header_room;
    const struct tn_arena_source *source; /* for cut heads; NULL: a cut head is TN_NOMEM */
    struct tn_http1_limits limits;
};

enum tn_http1_body {
    TN_HTTP1_BODY_NONE,
    TN_HTTP1_BODY_LENGTH,
    TN_HTTP1_BODY_CHUNKED,
    TN_HTTP1_BODY_UNTIL_CLOSE, /* responses only */
};

struct tn_http1_head {
    struct tn_str method; /* requests */
    struct tn_str target; /* as sent: origin, absolute, authority (CONNECT) or "*" form */
    struct tn_str path;   /* of the target, without the query */
    struct tn_str query;  /* without '?' */
    struct tn_str host;   /* authority of an absolute target, else the Host header */
    unsigned status;      /* responses */
    struct tn_str reason;
    unsigned version; /* 10 or 11 */
    const struct tn_header *headers;
    size_t header_count;
    enum tn_http1_body body;
    uint64_t content_length; /* TN_HTTP1_BODY_LENGTH, and of a HEAD or 304 answer; else 0 */
    bool keep_alive;         /* the connection may carry another message after this one */
    bool expect_continue;    /* the client waits for "100 Continue" before it sends the body */
};

enum tn_http1_event_kind { TN_HTTP1_HEAD, TN_HTTP1_DATA, TN_HTTP1_END };

/* Views live until the next call on the parser, and while the bytes passed in do. */
struct tn_http1_event {
    enum tn_http1_event_kind kind;
    struct tn_http1_head head;        /* HEAD */
    struct tn_bytes data;             /* DATA: never empty */
    const struct tn_header *trailers; /* END */
    size_t trailer_count;
};

struct tn_http1 {
    uint8_t state; /* private, as all below but `status` and `problem` */
    uint8_t skipped;
    bool response;
    bool head_request;
    unsigned status;     /* failed: the status to answer a request with (400, 414, 417, 431, ...) */
    const char *problem; /* failed: what is wrong, static text */
    uint64_t left;       /* bytes of the body or chunk that are still to come */
    unsigned digits;
    size_t chunk_bytes;
    size_t line_start; /* in the head so far */
    size_t scanned;    /* likewise: no line end before here */
    uint8_t *kept;     /* the head so far when it was cut */
    size_t kept_size, kept_room;
    struct tn_header *headers;
    struct tn_arena_source source;
    struct tn_http1_limits limits;
};

void tn_http1_init(struct tn_http1 *parser, const struct tn_http1_options *options);
void tn_http1_deinit(struct tn_http1 *parser); /* accepts a zeroed struct */

/* Responses: whether the next one answers HEAD (then it has no body). Stays set until changed. */
void tn_http1_set_head_request(struct tn_http1 *parser, bool head_request);

/* Takes bytes up to the next event. TN_OK: *ret_event is that event. TN_AGAIN: all bytes were
 * taken, there is no event yet. TN_DONE: the message is over (END was reported), nothing is taken:
 * see tn_http1_again. In all of these *ret_used bytes were taken. TN_INVALID, TN_LIMIT,
 * TN_UNSUPPORTED, TN_NOMEM: failed for good, `status` and `problem` say how. The bytes may be
 * changed: header names become lower case. */
TN_MUST enum tn_err tn_http1_next(struct tn_http1 *parser, uint8_t *data, size_t size,
                                  size_t *ret_used, struct tn_http1_event *ret_event);

/* The peer sends no more. TN_OK: the end of a body that ends with the connection; *ret_event is
 * END. TN_DONE: between two messages. TN_TRUNCATED: in the middle of one. */
TN_MUST enum tn_err tn_http1_eof(struct tn_http1 *parser, struct tn_http1_event *ret_event);

/* After END: the parser expects the next message of the connection. */
void tn_http1_again(struct tn_http1 *parser);

/* Nothing of a message has come in since init or tn_http1_again. */
bool tn_http1_is_idle(const struct tn_http1 *parser);

/* --- Writing: into a buffer that remembers failure, see base/buf.h --- */
void tn_http1_put_request(struct tn_buf *buf, struct tn_str method, struct tn_str target,
                          struct tn_str host);
void tn_http1_put_status(struct tn_buf *buf, unsigned status); /* "HTTP/1.1 200 OK" */
/* Name and value must have passed the rules of header.h: asserted, since a break here splits the
 * message. */
void tn_http1_put_header(struct tn_buf *buf, struct tn_str name, struct tn_str value);
void tn_http1_put_content_length(struct tn_buf *buf, uint64_t size);
void tn_http1_put_head_end(struct tn_buf *buf);

/* A chunk is: tn_http1_put_chunk, its bytes, tn_http1_put_chunk_end. Size above 0. The last chunk:
 * tn_http1_put_last_chunk, trailers by tn_http1_put_header, tn_http1_put_head_end. */
void tn_http1_put_chunk(struct tn_buf *buf, uint64_t size);
void tn_http1_put_chunk_end(struct tn_buf *buf);
void tn_http1_put_last_chunk(struct tn_buf *buf);

/* Standard reason phrase; "Unknown" for a status without one. */
const char *tn_http1_reason(unsigned status);

#endif
