/* HTTP/1.x of a server; see conn_http1.h.
 *
 * Cost of a keep-alive request: the head is parsed in the read buffer, copied once into the call's
 * arena; the answer's head is written into a text buffer that the connection keeps, bodies go out
 * by reference as in HTTP/2.
 * Memory, threads, bounds: as in the header. */
#include "rpc/conn_http1.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"
#include "rpc/http1.h"

enum {
    TEXT_KEPT = 4 << 10,
    LINGER_BYTES = 4 << 20, /* read and forgotten after an early answer */
};

#define LINGER_NS (2 * TN_NS_PER_S)

struct http1_wire {
    struct tn_wire wire;
    struct tn_http1 parser;
    struct tn_call *call; /* the one being read or answered */
    struct tn_buf text;   /* heads and chunk framing on their way out */
    size_t text_at;
    struct tn_buf waiting; /* pipelined bytes */
    size_t body_left;      /* queued bytes of the chunk or body whose head is in `text` */
    uint64_t head_ns;      /* since when a head is awaited, 0: it is not */
    uint64_t linger_ns;    /* when lingering ends, 0: not lingering */
    size_t lingered;
    bool keep_alive; /* of the request being answered */
    bool head_put;
    bool chunked;
    bool last_put;
    bool closing; /* nothing more is read as a request */
};

static struct http1_wire *http1_of(struct tn_wire *wire)
{
    return TN_CONTAINER(wire, struct http1_wire, wire);
}

/* ---- requests ---- */

static void begin_call(struct http1_wire *h1, const struct tn_http1_head *head)
{
    struct tn_call *call = h1->call;
    tn_call_put_method(call, head->method);
    /* Path and query lie side by side in the request line. */
    size_t query = head->query.data != NULL ? head->query.size + 1 : 0;
    tn_call_put_target(call, head->path.size > 0
                                 ? tn_str_make(head->path.data, head->path.size + query)
                                 : head->target);
    tn_call_put_authority(call, head->host);
    for (size_t i = 0; i < head->header_count; i++) {
        tn_call_put_header(call, head->headers[i].name, head->headers[i].value);
    }
    if (head->body == TN_HTTP1_BODY_LENGTH) {
        call->length_in =
            head->content_length > SIZE_MAX - 1 ? SIZE_MAX - 1 : (size_t)head->content_length;
    }
    h1->keep_alive = head->keep_alive;
    h1->head_ns = 0;
    tn_call_begin(call);
    if (head->expect_continue && !call->input_over) {
        tn_http1_put_status(&h1->text, 100);
        tn_http1_put_head_end(&h1->text);
        tn_wire_wake(&h1->wire);
    }
}

static enum tn_err on_head(struct http1_wire *h1, const struct tn_http1_head *head)
{
    h1->call = tn_call_create(&h1->wire, head->version);
    if (h1->call == NULL) {
        tn_meter_refused(h1->wire.lane->meter, TN_REFUSAL_MEMORY);
        h1->closing = true;
        return TN_NOMEM;
    }
    h1->head_put = false;
    h1->last_put = false;
    h1->chunked = false;
    h1->body_left = 0;
    begin_call(h1, head);
    return TN_OK;
}

static void put_error(struct http1_wire *h1, unsigned status, const char *problem)
{
    struct tn_buf *text = &h1->text;
    struct tn_str parts[] = {TN_STR("{\"error\":\""), tn_str_from(problem), TN_STR("\"}\n")};
    size_t size = 0;
    for (size_t i = 0; i < TN_COUNT(parts); i++) {
        size += parts[i].size;
    }
    tn_http1_put_status(text, status);
    tn_http1_put_header(text, TN_STR_OF("content-type"), TN_STR_OF("application/json"));
    tn_http1_put_content_length(text, size);
    tn_http1_put_header(text, TN_STR_OF("connection"), TN_STR_OF("close"));
    tn_http1_put_head_end(text);
    for (size_t i = 0; i < TN_COUNT(parts); i++) {
        tn_buf_put_str(text, parts[i]);
    }
}

static void linger(struct http1_wire *h1)
{
    h1->closing = true;
    h1->wire.last_words = true;
    h1->linger_ns = h1->wire.lane->now_ns + LINGER_NS;
    tn_wire_due(&h1->wire, h1->linger_ns);
}

/* A message that breaks the grammar: nothing after it can be trusted. */
static void fail(struct http1_wire *h1, enum tn_refusal cause, unsigned status, const char *problem)
{
    h1->keep_alive = false;
    if (h1->call != NULL) {
        tn_call_refuse(h1->call, cause, TN_GRPC_INTERNAL, status, problem);
    } else {
        tn_meter_refused(h1->wire.lane->meter, cause);
        put_error(h1, status, problem);
        linger(h1);
    }
    h1->closing = true;
}

static enum tn_refusal refusal_of(unsigned status)
{
    switch (status) {
    case 431:
    case 414:
        return TN_REFUSAL_HEADER_BYTES;
    case 413:
        return TN_REFUSAL_BODY_BYTES;
    case 503:
        return TN_REFUSAL_MEMORY;
    default:
        return TN_REFUSAL_PROTOCOL;
    }
}

/* Reads requests until the bytes are used up or one waits for its answer; returns how many bytes
 * it took. */
static size_t read_requests(struct http1_wire *h1, uint8_t *data, size_t size)
{
    size_t at = 0;
    while (!h1->closing) {
        struct tn_http1_event event;
        size_t used = 0;
        enum tn_err err = tn_http1_next(&h1->parser, data + at, size - at, &used, &event);
        if (err < 0) {
            fail(h1, refusal_of(h1->parser.status), h1->parser.status, h1->parser.problem);
            return size;
        }
        at += used;
        if (err != TN_OK) {
            break;
        }
        if (event.kind == TN_HTTP1_HEAD) {
            if (on_head(h1, &event.head) < 0) {
                return size;
            }
        } else if (event.kind == TN_HTTP1_DATA) {
            tn_call_input(h1->call, event.data);
        } else {
            tn_call_input_end(h1->call);
            break;
        }
    }
    return at;
}

/* A head that began to come must come whole within header_timeout. */
static void await_head(struct http1_wire *h1)
{
    if (h1->call == NULL && h1->head_ns == 0 && !h1->closing && !tn_http1_is_idle(&h1->parser)) {
        h1->head_ns = h1->wire.lane->now_ns;
        tn_wire_due(&h1->wire, h1->head_ns + h1->wire.lane->limits.header_timeout_ns);
    }
}

static bool is_reading(const struct http1_wire *h1)
{
    return h1->call == NULL || !h1->call->input_ended;
}

static enum tn_err receive(struct tn_wire *wire, struct tn_bytes bytes)
{
    struct http1_wire *h1 = http1_of(wire);
    if (h1->closing) {
        h1->lingered += bytes.size;
        return TN_OK;
    }
    size_t used = 0;
    if (is_reading(h1)) {
        /* The parser lower-cases names in place; the bytes are the connection's read buffer. */
        used = read_requests(h1, (uint8_t *)(uintptr_t)bytes.data, bytes.size);
    }
    if (used < bytes.size && !h1->closing) {
        tn_buf_put(&h1->waiting, bytes.data + used, bytes.size - used);
        wire->full = true;
    }
    await_head(h1);
    return h1->waiting.failed;
}

/* ---- answers ---- */

static bool has_no_body(const struct tn_call *call)
{
    return call->head || call->http_status == 204 || call->http_status == 304 ||
           call->http_status < 200;
}

static void put_head(struct http1_wire *h1)
{
    struct tn_call *call = h1->call;
    struct tn_buf *text = &h1->text;
    if (!call->input_ended || h1->wire.draining || call->close) {
        h1->keep_alive = false;
    }
    bool whole = call->length_out != TN_CALL_LENGTH_UNKNOWN;
    h1->chunked = !whole && call->info.http_version >= 11 && !has_no_body(call);
    if (!whole && call->info.http_version < 11) {
        h1->keep_alive = false; /* the end of the connection is the end of the body */
    }
    tn_http1_put_status(text, call->http_status);
    if (call->lane->server_header.size > 0) {
        tn_http1_put_header(text, TN_STR_OF("server"), call->lane->server_header);
    }
    if (call->content_type.size > 0) {
        tn_http1_put_header(text, TN_STR_OF("content-type"), call->content_type);
    }
    if (whole && call->http_status != 204 && call->http_status >= 200) {
        tn_http1_put_content_length(text, call->length_out);
    }
    if (h1->chunked) {
        tn_http1_put_header(text, TN_STR_OF("transfer-encoding"), TN_STR_OF("chunked"));
    }
    if (!h1->keep_alive) {
        tn_http1_put_header(text, TN_STR_OF("connection"), TN_STR_OF("close"));
    } else if (call->info.http_version < 11) {
        tn_http1_put_header(text, TN_STR_OF("connection"), TN_STR_OF("keep-alive"));
    }
    for (struct tn_call_field *field = call->fields; field != NULL; field = field->next) {
        tn_http1_put_header(text, field->name, field->value);
    }
    tn_http1_put_head_end(text);
    h1->head_put = true;
}

static void put_last_chunk(struct http1_wire *h1)
{
    h1->last_put = true;
    if (h1->chunked) {
        tn_http1_put_last_chunk(&h1->text);
        for (struct tn_call_field *field = h1->call->trailers; field != NULL; field = field->next) {
            tn_http1_put_header(&h1->text, field->name, field->value);
        }
        tn_http1_put_head_end(&h1->text);
    }
}

/* The answer is out; the next request may be read. */
static void end_call(struct http1_wire *h1)
{
    struct tn_call *call = h1->call;
    bool read_whole = call->input_ended;
    h1->call = NULL;
    tn_call_cut(call);
    if (!h1->keep_alive) {
        h1->closing = true;
        if (!read_whole) {
            linger(h1);
        }
        return;
    }
    tn_http1_again(&h1->parser);
    struct tn_buf waiting = h1->waiting;
    tn_buf_init(&h1->waiting, 0);
    h1->wire.full = false;
    if (waiting.size > 0) {
        size_t used = read_requests(h1, waiting.data, waiting.size);
        if (used < waiting.size && !h1->closing) {
            tn_buf_put(&h1->waiting, waiting.data + used, waiting.size - used);
            h1->wire.full = true;
        }
        await_head(h1);
    }
    tn_buf_deinit(&waiting);
}

/* True when the text is out. */
static bool flush_text(struct http1_wire *h1, struct tn_out *out)
{
    size_t left = h1->text.size - h1->text_at;
    if (left == 0 && h1->text.data == NULL) {
        return true; /* the buffer has no memory yet */
    }
    size_t room = tn_out_room(out);
    size_t take = left < room ? left : room;
    tn_out_copy(out, h1->text.data + h1->text_at, take);
    h1->text_at += take;
    if (take < left) {
        return false;
    }
    h1->text_at = 0;
    if (h1->text.room > TEXT_KEPT) {
        tn_buf_deinit(&h1->text);
    } else {
        tn_buf_reset(&h1->text);
    }
    return true;
}

/* The next step of the current answer. TN_DONE: it waits for its handler. */
static enum tn_err step(struct http1_wire *h1, struct tn_out *out)
{
    struct tn_call *call = h1->call;
    if (call == NULL || !call->headers_out) {
        return TN_DONE;
    }
    if (call->broken) {
        return TN_CLOSED;
    }
    if (!h1->head_put) {
        put_head(h1);
        return TN_OK;
    }
    if (has_no_body(call)) {
        tn_call_drop_output(call);
    }
    if (h1->body_left > 0) {
        size_t moved = tn_call_take_output(call, out, h1->body_left);
        h1->body_left -= moved;
        if (h1->body_left > 0) {
            return TN_AGAIN;
        }
        if (h1->chunked) {
            tn_http1_put_chunk_end(&h1->text);
        }
        return TN_OK;
    }
    if (call->out_bytes > 0) {
        h1->body_left = call->out_bytes;
        if (h1->chunked) {
            tn_http1_put_chunk(&h1->text, call->out_bytes);
        }
        return TN_OK;
    }
    if (!call->ended) {
        return TN_DONE;
    }
    if (!h1->last_put) {
        put_last_chunk(h1);
        return TN_OK;
    }
    end_call(h1);
    return TN_OK;
}

static enum tn_err collect(struct tn_wire *wire, struct tn_out *out)
{
    struct http1_wire *h1 = http1_of(wire);
    for (;;) {
        if (h1->text.failed < 0) {
            return h1->text.failed;
        }
        if (!flush_text(h1, out)) {
            return TN_AGAIN;
        }
        enum tn_err err = step(h1, out);
        if (err != TN_OK) {
            return err;
        }
    }
}

static bool is_over(const struct tn_wire *wire)
{
    const struct http1_wire *h1 = TN_CONTAINER(wire, struct http1_wire, wire);
    if (h1->call != NULL || h1->text.size > 0) {
        return false;
    }
    if (h1->closing) {
        return h1->linger_ns == 0 || h1->linger_ns <= wire->lane->now_ns ||
               h1->lingered >= LINGER_BYTES;
    }
    return wire->draining && tn_http1_is_idle(&h1->parser);
}

static void output(struct tn_wire *wire, struct tn_call *call)
{
    call->headers_out = true;
    tn_wire_wake(wire);
}

static void consumed(struct tn_wire *wire, struct tn_call *call, size_t size)
{
    /* HTTP/1 has no windows: the socket's buffer is the back-pressure. */
    (void)wire;
    (void)call;
    (void)size;
}

/* ---- time and life ---- */

static void tick(struct tn_wire *wire)
{
    struct http1_wire *h1 = http1_of(wire);
    const struct tn_server_limits *limits = &wire->lane->limits;
    uint64_t now_ns = wire->lane->now_ns;
    tn_wire_tick_calls(wire);
    if (h1->linger_ns != 0) {
        tn_wire_due(wire, h1->linger_ns > now_ns ? h1->linger_ns : UINT64_MAX);
    } else if (h1->head_ns != 0 && h1->call == NULL) {
        if (h1->head_ns + limits->header_timeout_ns <= now_ns) {
            fail(h1, TN_REFUSAL_HEADER_TIMEOUT, 408, "the request's headers came too slowly");
            tn_wire_wake(wire);
        } else {
            tn_wire_due(wire, h1->head_ns + limits->header_timeout_ns);
        }
    } else if (h1->call == NULL) {
        h1->closing |= wire->idle_ns + limits->idle_timeout_ns <= now_ns;
        tn_wire_due(wire, wire->idle_ns + limits->idle_timeout_ns);
    }
}

static void drain(struct tn_wire *wire)
{
    wire->draining = true;
    tn_wire_wake(wire);
}

static void destroy(struct tn_wire *wire)
{
    struct http1_wire *h1 = http1_of(wire);
    wire->wake = NULL;
    h1->call = NULL;
    tn_wire_cut_calls(wire);
    tn_http1_deinit(&h1->parser);
    tn_buf_deinit(&h1->text);
    tn_buf_deinit(&h1->waiting);
    tn_mem_give(h1);
}

static const struct tn_wire_i http1_i = {
    .receive = receive,
    .collect = collect,
    .is_over = is_over,
    .tick = tick,
    .drain = drain,
    .destroy = destroy,
    .output = output,
    .consumed = consumed,
};

enum tn_err tn_conn_http1_create(const struct tn_wire_options *options, struct tn_wire **ret_wire)
{
    struct http1_wire *h1 = tn_mem_take_zeroed(1, sizeof(*h1));
    if (h1 == NULL) {
        return TN_NOMEM;
    }
    tn_wire_init(&h1->wire, &http1_i, options);
    const struct tn_http1_options parser = {
        .headers = options->lane->headers,
        .header_room = TN_COUNT(options->lane->headers),
        .source = tn_mem_source(),
        .limits = {.head_bytes_max = options->lane->limits.header_bytes_max},
    };
    tn_http1_init(&h1->parser, &parser);
    tn_buf_init(&h1->text, 0);
    tn_buf_init(&h1->waiting, 0);
    h1->head_ns = options->lane->now_ns;
    h1->wire.due_ns = h1->head_ns + options->lane->limits.header_timeout_ns;
    *ret_wire = &h1->wire;
    return TN_OK;
}
