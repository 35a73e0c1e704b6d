/* HTTP/1.1 of the client: one exchange after the other on a connection; see client_state.h.
 *
 *   FREE -begin-> request written, response read (in any order) -> both complete -> FREE
 *                                             anything left over, Connection: close -> over
 *
 * The head is written at the end of the turn, so that a request whose last part was sent in the
 * same turn has a Content-Length; any other is chunked.
 * Memory: the parser, one buffer for heads. Threads: the client's loop. Bounds: the parser's. */
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client_state.h"
#include "rpc/http1.h"

enum { CHUNK_MAX = 16384, CHUNK_FRAME = 24, FIXED_HEAD_MAX = 32 << 10 };

struct h1_wire {
    struct tn_client_wire wire;
    struct tn_http1 parser;
    struct tn_buf text; /* the head, or a chunk's frame, on its way to the output */
    bool head_written;
    bool chunked;
    bool interim;    /* the response being read is not the final one */
    bool keep_alive; /* of the final one */
    bool answering;  /* some of a response came */
    bool served;     /* an exchange was completed here */
    struct tn_header fields[TN_CLIENT_FIELDS_MAX];
};

static struct h1_wire *h1_of(struct tn_client_wire *wire)
{
    return TN_CONTAINER(wire, struct h1_wire, wire);
}

static bool h1_is_free(const struct tn_client_wire *wire)
{
    return wire->calls.count == 0 && !wire->draining && !wire->over;
}

static enum tn_err h1_begin(struct tn_client_wire *wire, struct tn_client_call *call)
{
    struct h1_wire *h1 = h1_of(wire);
    if (call->kind == TN_CALL_GRPC) {
        return TN_UNSUPPORTED;
    }
    h1->head_written = false;
    h1->chunked = false;
    h1->interim = false;
    h1->answering = false;
    tn_http1_set_head_request(&h1->parser, call->head_request);
    return TN_OK;
}

static void h1_output(struct tn_client_wire *wire, struct tn_client_call *call)
{
    (void)wire;
    (void)call; /* collect looks */
}

static void h1_drop(struct tn_client_wire *wire, struct tn_client_call *call)
{
    (void)call;
    /* Half an exchange cannot be undone on this protocol. */
    wire->over = wire->over || h1_of(wire)->head_written;
}

/* ---- what goes out ---- */

static bool has_header(const struct tn_client_call *call, const char *name)
{
    return tn_header_find(call->headers, call->header_count, tn_str_from(name)).data != NULL;
}

static void put_head(struct h1_wire *h1, const struct tn_client_call *call)
{
    const struct tn_client *client = h1->wire.client;
    struct tn_buf *text = &h1->text;
    tn_buf_reset(text);
    tn_http1_put_request(text, call->method, call->path, tn_str_from(client->target.authority));
    if (!has_header(call, "user-agent")) {
        tn_http1_put_header(text, TN_STR_OF("user-agent"), client->user_agent);
    }
    for (size_t i = 0; i < call->header_count; i++) {
        tn_http1_put_header(text, call->headers[i].name, call->headers[i].value);
    }
    h1->chunked = !call->last_queued;
    if (h1->chunked) {
        tn_http1_put_header(text, TN_STR_OF("transfer-encoding"), TN_STR_OF("chunked"));
    } else if (!call->no_body) {
        tn_http1_put_content_length(text, call->queue.bytes);
    }
    tn_http1_put_head_end(text);
}

/* TN_OK: written. TN_AGAIN: no room now. TN_DONE: the call failed. */
static enum tn_err collect_head(struct h1_wire *h1, struct tn_client_call *call, struct tn_out *out)
{
    put_head(h1, call);
    if (h1->text.failed < 0) {
        bool large = h1->text.failed == TN_LIMIT;
        tn_client_call_fail(call, large ? TN_LIMIT : TN_NOMEM,
                            large ? "the request's headers are too large"
                                  : "no memory for the request");
        return TN_DONE;
    }
    if (!tn_client_out_fits(out, h1->text.size)) {
        return TN_AGAIN;
    }
    tn_out_copy(out, h1->text.data, h1->text.size);
    h1->head_written = true;
    call->sent = true;
    return TN_OK;
}

static void collect_text(struct h1_wire *h1, struct tn_out *out)
{
    TN_ASSERT(h1->text.failed == TN_OK); /* it has had room for a head */
    tn_out_copy(out, h1->text.data, h1->text.size);
    tn_buf_reset(&h1->text);
}

static void collect_part(struct h1_wire *h1, struct tn_client_call *call, struct tn_out *out)
{
    size_t size = call->queue.bytes < CHUNK_MAX ? call->queue.bytes : CHUNK_MAX;
    if (!h1->chunked) {
        tn_client_call_collect(call, out, size);
        return;
    }
    tn_buf_reset(&h1->text);
    tn_http1_put_chunk(&h1->text, size);
    collect_text(h1, out);
    /* The chunk's end first as text, since collecting may run the user's code. */
    tn_http1_put_chunk_end(&h1->text);
    tn_client_call_collect(call, out, size);
    collect_text(h1, out);
}

static enum tn_err h1_collect(struct tn_client_wire *wire, struct tn_out *out)
{
    struct h1_wire *h1 = h1_of(wire);
    struct tn_client_call *call = wire->calls.first;
    if (call == NULL || call->last_sent) {
        return TN_DONE;
    }
    if (!h1->head_written) {
        enum tn_err err = collect_head(h1, call, out);
        if (err != TN_OK) {
            return err;
        }
    }
    while (wire->calls.first == call && call->queue.bytes > 0) {
        if (!tn_client_out_fits(out, CHUNK_MAX + CHUNK_FRAME)) {
            return TN_AGAIN;
        }
        collect_part(h1, call, out);
    }
    if (wire->calls.first != call || !call->last_queued) {
        return TN_DONE;
    }
    if (h1->chunked) {
        if (!tn_client_out_fits(out, CHUNK_FRAME)) {
            return TN_AGAIN;
        }
        tn_buf_reset(&h1->text);
        tn_http1_put_last_chunk(&h1->text);
        tn_http1_put_head_end(&h1->text);
        collect_text(h1, out);
    }
    call->last_sent = true;
    return TN_DONE;
}

/* ---- what comes in ---- */

static bool take_head(struct h1_wire *h1, struct tn_client_call *call,
                      const struct tn_http1_head *head)
{
    h1->interim = head->status < 200 && head->status != 101;
    if (h1->interim) {
        return true;
    }
    h1->keep_alive = head->keep_alive;
    return tn_client_call_headers(call, head->status, head->headers, head->header_count);
}

/* The response is complete. The wire is free before the user hears of it, so that the next request
 * can begin in the callback. */
static void finish(struct h1_wire *h1, struct tn_client_call *call, bool bytes_left)
{
    struct tn_client_wire *wire = &h1->wire;
    wire->over = wire->over || !h1->keep_alive || !call->last_sent || bytes_left;
    h1->served = true;
    tn_http1_again(&h1->parser);
    tn_client_calls_remove(call);
    tn_client_call_complete(call);
}

/* False: look at the bytes no further. */
static bool take_event(struct h1_wire *h1, struct tn_client_call *call,
                       const struct tn_http1_event *event, bool bytes_left)
{
    switch (event->kind) {
    case TN_HTTP1_HEAD:
        return take_head(h1, call, &event->head);
    case TN_HTTP1_DATA:
        return tn_client_call_data(call, event->data);
    case TN_HTTP1_END:
        if (h1->interim) {
            tn_http1_again(&h1->parser);
            return true;
        }
        finish(h1, call, bytes_left);
        return false;
    }
    return false;
}

static enum tn_err h1_receive(struct tn_client_wire *wire, uint8_t *data, size_t size)
{
    struct h1_wire *h1 = h1_of(wire);
    struct tn_client_call *call = wire->calls.first;
    if (call == NULL || wire->over) {
        wire->over = true; /* nobody asked: perhaps "408 Request Timeout" before the close */
        return TN_OK;
    }
    h1->answering = true;
    size_t at = 0;
    for (;;) {
        size_t used = 0;
        struct tn_http1_event event;
        enum tn_err err = tn_http1_next(&h1->parser, data + at, size - at, &used, &event);
        if (err < 0) {
            wire->problem = h1->parser.problem;
            return err;
        }
        at += used;
        if (err == TN_AGAIN || !take_event(h1, call, &event, at < size)) {
            return TN_OK;
        }
    }
}

static void h1_eof(struct tn_client_wire *wire)
{
    struct h1_wire *h1 = h1_of(wire);
    struct tn_client_call *call = wire->calls.first;
    wire->over = true;
    if (call == NULL) {
        return;
    }
    struct tn_http1_event event;
    if (h1->answering && tn_http1_eof(&h1->parser, &event) == TN_OK) {
        finish(h1, call, false);
        return;
    }
    /* A server may close an idle connection just when a request is on its way. What may have been
     * done already must do no harm when it is done again. */
    bool safe = tn_str_is(call->method, "GET") || tn_str_is(call->method, "HEAD");
    if (!h1->answering && h1->served && safe) {
        (void)tn_client_call_requeue(call);
    }
}

static bool h1_ping(struct tn_client_wire *wire)
{
    (void)wire;
    return false;
}

static void h1_destroy(struct tn_client_wire *wire)
{
    struct h1_wire *h1 = h1_of(wire);
    TN_ASSERT(wire->calls.count == 0);
    tn_http1_deinit(&h1->parser);
    tn_buf_deinit(&h1->text);
    tn_mem_give(h1);
}

static const struct tn_client_wire_i h1_i = {
    .is_free = h1_is_free,
    .begin = h1_begin,
    .output = h1_output,
    .drop = h1_drop,
    .receive = h1_receive,
    .collect = h1_collect,
    .eof = h1_eof,
    .ping = h1_ping,
    .destroy = h1_destroy,
};

enum tn_err tn_client_h1_create(struct tn_client *client, struct tn_client_wire **ret_wire)
{
    struct h1_wire *h1 = tn_mem_take_zeroed(1, sizeof(*h1));
    if (h1 == NULL) {
        return TN_NOMEM;
    }
    h1->wire = (struct tn_client_wire){.i = &h1_i, .client = client};
    tn_buf_init(&h1->text, FIXED_HEAD_MAX);
    tn_http1_init(&h1->parser, &(struct tn_http1_options){.response = true,
                                                          .headers = h1->fields,
                                                          .header_room = TN_COUNT(h1->fields),
                                                          .source = tn_mem_source()});
    *ret_wire = &h1->wire;
    return TN_OK;
}
