/* HTTP/2 by hand over a blocking socket, for tests that send what no library would.
 *
 *   open -> put* -> flush -> read frames until one of interest
 *
 * What is put is only collected; flush writes it and does not mind a peer that closed. Reads wait
 * at most five seconds. */
#ifndef TN_TESTS_H2_RAW_H
#define TN_TESTS_H2_RAW_H

#include "base/buf.h"

#include <nghttp2/nghttp2.h>

enum { H2_RAW_CLOSED = -1, H2_RAW_SILENT = -2 };

struct h2_raw {
    int fd;
    struct tn_buf out;
    nghttp2_hd_inflater *inflater;
    /* The frame that h2_raw_read gave. */
    uint8_t type, flags;
    uint32_t stream;
    size_t size;
    uint8_t data[1 << 20];
    /* Fields of all header sections of the awaited stream, "name: value\n". */
    struct tn_buf fields;
    size_t body_bytes;
};

/* A connected TCP socket with a receive time limit. */
int h2_raw_socket(unsigned port);

/* Connected; preface and empty SETTINGS are put. */
void h2_raw_open(struct h2_raw *raw, unsigned port);
void h2_raw_close(struct h2_raw *raw);

void h2_raw_put(struct h2_raw *raw, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
                size_t size);
/* HEADERS of POST `path`, `more`: raw HPACK behind it. */
void h2_raw_put_request(struct h2_raw *raw, uint32_t stream, uint8_t flags, const char *path,
                        const char *content_type);
/* The same header block without a frame around it. Returns its size; `block` holds 400 bytes. */
size_t h2_raw_block(uint8_t *block, const char *path, const char *content_type);
/* A literal field that is not indexed; lengths below 127. Returns what was written. */
size_t h2_raw_field(uint8_t *block, const char *name, const char *value);

/* False: the peer closed. */
bool h2_raw_flush(struct h2_raw *raw);

/* 0, H2_RAW_CLOSED or H2_RAW_SILENT. */
int h2_raw_read(struct h2_raw *raw);

/* The error code of the GOAWAY that comes, passing over other frames; H2_RAW_CLOSED without one. */
int h2_raw_goaway(struct h2_raw *raw);

/* The end of a stream: 0 by END_STREAM with `fields` and `body_bytes`, else the error code of the
 * RST_STREAM, or H2_RAW_*. SETTINGS and PING are answered as they come. */
int h2_raw_await(struct h2_raw *raw, uint32_t stream);

/* Whether the fields hold this line. */
bool h2_raw_has(struct h2_raw *raw, const char *line);

#endif
