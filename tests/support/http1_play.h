/* Plays bytes through the HTTP/1 parser, cut as a test wishes, and writes down what came out.
 *
 * The transcript joins body pieces, so it must be the same for every way of cutting. */
#ifndef TN_TESTS_HTTP1_PLAY_H
#define TN_TESTS_HTTP1_PLAY_H

#include "base/mem.h"
#include "rpc/http1.h"

#include <stdio.h>

struct http1_play {
    bool response;
    bool head_request;
    bool eof; /* the peer closes after the bytes */
    struct tn_http1_limits limits;
    size_t (*next_cut)(void *context, size_t left); /* size of the next piece, at least 1 */
    void *context;
};

/* What a fuzzer or test needs of each DATA view: that it lies in the piece that was passed in. */
static inline void http1_play_head(struct tn_buf *out, const struct tn_http1_head *head,
                                   bool response)
{
    if (response) {
        tn_buf_printf(out, "%u '%.*s'", head->status, TN_STR_ARG(head->reason));
    } else {
        tn_buf_printf(out, "%.*s host=%.*s path=%.*s query=%.*s", TN_STR_ARG(head->method),
                      TN_STR_ARG(head->host), TN_STR_ARG(head->path), TN_STR_ARG(head->query));
    }
    static const char *const bodies[] = {"none", "length", "chunked", "close"};
    tn_buf_printf(out, " v=%u body=%s/%llu", head->version, bodies[head->body],
                  (unsigned long long)head->content_length);
    tn_buf_put_text(out, head->keep_alive ? " keep" : " close");
    tn_buf_put_text(out, head->expect_continue ? " expect\n" : "\n");
    for (size_t i = 0; i < head->header_count; i++) {
        tn_buf_printf(out, "  %.*s=%.*s\n", TN_STR_ARG(head->headers[i].name),
                      TN_STR_ARG(head->headers[i].value));
    }
}

static inline void http1_play_event(struct tn_buf *out, const struct tn_http1_event *event,
                                    bool response, bool *in_data)
{
    if (event->kind == TN_HTTP1_DATA) {
        tn_buf_put_text(out, *in_data ? "" : "data ");
        tn_buf_put(out, event->data.data, event->data.size);
        *in_data = true;
        return;
    }
    tn_buf_put_text(out, *in_data ? "\n" : "");
    *in_data = false;
    if (event->kind == TN_HTTP1_HEAD) {
        http1_play_head(out, &event->head, response);
        return;
    }
    tn_buf_put_text(out, "end\n");
    for (size_t i = 0; i < event->trailer_count; i++) {
        tn_buf_printf(out, "  %.*s=%.*s\n", TN_STR_ARG(event->trailers[i].name),
                      TN_STR_ARG(event->trailers[i].value));
    }
}

static inline void http1_play_failure(struct tn_buf *out, const struct tn_http1 *parser,
                                      enum tn_err err, bool in_data)
{
    tn_buf_printf(out, "%sfail %s %u %s\n", in_data ? "\n" : "", tn_err_name(err), parser->status,
                  parser->problem);
}

/* Feeds one piece; false when the parser failed. */
static inline bool http1_play_piece(struct tn_http1 *parser, struct tn_buf *out, bool *in_data,
                                    uint8_t *data, size_t size)
{
    size_t at = 0;
    for (;;) {
        size_t used = 0;
        struct tn_http1_event event;
        enum tn_err err = tn_http1_next(parser, data + at, size - at, &used, &event);
        if (err < 0) {
            http1_play_failure(out, parser, err, *in_data);
            return false;
        }
        at += used;
        if (err == TN_OK) {
            http1_play_event(out, &event, parser->response, in_data);
        } else if (err == TN_DONE) {
            tn_http1_again(parser);
        }
        if (err == TN_AGAIN || (err == TN_DONE && at == size)) {
            return true;
        }
    }
}

/* Every piece is copied to a block of exactly its size, so that sanitizers see each step outside,
 * and overwritten afterwards, so that a view that lives too long shows. */
static inline void http1_play(const struct http1_play *play, struct tn_bytes bytes,
                              struct tn_buf *out)
{
    struct tn_header headers[16];
    struct tn_http1 parser;
    tn_http1_init(&parser,
                  &(struct tn_http1_options){.response = play->response,
                                             .headers = headers,
                                             .header_room = sizeof(headers) / sizeof(*headers),
                                             .source = tn_mem_source(),
                                             .limits = play->limits});
    tn_http1_set_head_request(&parser, play->head_request);
    bool in_data = false;
    bool well = true;
    for (size_t at = 0; at < bytes.size && well;) {
        size_t left = bytes.size - at;
        size_t size = play->next_cut != NULL ? play->next_cut(play->context, left) : left;
        uint8_t *piece = tn_mem_take(size);
        memcpy(piece, bytes.data + at, size);
        well = http1_play_piece(&parser, out, &in_data, piece, size);
        memset(piece, '#', size);
        tn_mem_give(piece);
        at += size;
    }
    struct tn_http1_event event;
    if (well && play->eof) {
        enum tn_err err = tn_http1_eof(&parser, &event);
        if (err == TN_OK) {
            http1_play_event(out, &event, play->response, &in_data);
        } else {
            tn_buf_printf(out, "%seof %s\n", in_data ? "\n" : "", tn_err_name(err));
        }
    }
    tn_http1_deinit(&parser);
}

#endif
