/* What comes in of a request: headers, body, its routing and the answers that need no handler; see
 * call_state.h.
 *
 * Memory: headers in the arena, the body in one block. Threads: the lane's loop. Bounds:
 * header_bytes_max, body_bytes_max a call, buffered_bytes_max over all. */
#include "rpc/call_state.h"

#include "core/assert.h"
#include "rpc/inflate.h"

/* As RFC 9113 counts a header list. */
enum { HEADER_OVERHEAD = 32, BODY_ROOM_FIRST = 1024, BODY_ROOM_TRUSTED = 4 << 20 };

/* Counts what a header costs. False: no more are taken. */
static bool admit(struct tn_call *call, size_t size)
{
    call->header_bytes += size + HEADER_OVERHEAD;
    if (call->header_err == TN_OK && call->header_bytes > call->lane->limits.header_bytes_max) {
        call->header_err = TN_LIMIT;
    }
    return call->header_err == TN_OK;
}

static bool grow_headers(struct tn_call *call)
{
    size_t room = call->header_room * 2;
    struct tn_header *headers = TN_ARENA_ARRAY(&call->arena, struct tn_header, room);
    if (headers == NULL) {
        call->header_err = TN_NOMEM;
        return false;
    }
    memcpy(headers, call->headers, call->header_count * sizeof(*headers));
    call->headers = headers;
    call->header_room = room;
    return true;
}

/* A copy; no memory is remembered. */
static struct tn_str keep(struct tn_call *call, struct tn_str text)
{
    char *data = tn_arena_copy_str(&call->arena, text);
    if (data == NULL) {
        call->header_err = TN_NOMEM;
        return (struct tn_str){0};
    }
    return tn_str_make(data, text.size);
}

void tn_call_put_header(struct tn_call *call, struct tn_str name, struct tn_str value)
{
    if (!admit(call, name.size + value.size) ||
        (call->header_count == call->header_room && !grow_headers(call))) {
        return;
    }
    struct tn_header *header = &call->headers[call->header_count];
    header->name = keep(call, name);
    header->value = keep(call, value);
    call->header_count += call->header_err == TN_OK;
}

void tn_call_put_method(struct tn_call *call, struct tn_str method)
{
    if (admit(call, method.size)) {
        call->info.method = keep(call, method);
    }
}

void tn_call_put_authority(struct tn_call *call, struct tn_str authority)
{
    if (admit(call, authority.size)) {
        call->info.authority = keep(call, authority);
    }
}

void tn_call_put_target(struct tn_call *call, struct tn_str target)
{
    if (!admit(call, target.size)) {
        return;
    }
    struct tn_str kept = keep(call, target);
    const char *mark = kept.size > 0 ? memchr(kept.data, '?', kept.size) : NULL;
    size_t size = mark != NULL ? (size_t)(mark - kept.data) : kept.size;
    call->info.path = tn_str_make(kept.data, size);
    call->info.query = tn_str_from_offset(kept, size + 1);
}

/* ---- answers without a handler ---- */

void tn_call_refuse(struct tn_call *call, enum tn_refusal cause, enum tn_grpc_status status,
                    unsigned http_status, const char *message)
{
    if (cause != TN_REFUSAL_COUNT) {
        tn_meter_refused(call->lane->meter, cause);
    }
    if (call->ended) {
        return;
    }
    TN_ASSERT(!call->dispatched);
    call->refused = true;
    call->input_over = true;
    if (call->info.kind == TN_CALL_GRPC) {
        tn_call_finish(call, status, tn_str_from(message));
        return;
    }
    char *text = tn_arena_take(&call->arena, strlen(message) + 16, 1);
    struct tn_piece piece = {0};
    if (text != NULL) {
        /* The messages are ours and need no escaping. */
        size_t size = 0;
        struct tn_str parts[] = {TN_STR("{\"error\":\""), tn_str_from(message), TN_STR("\"}\n")};
        for (size_t i = 0; i < TN_COUNT(parts); i++) {
            memcpy(text + size, parts[i].data, parts[i].size);
            size += parts[i].size;
        }
        piece.bytes = tn_bytes_make(text, size);
    }
    tn_call_reply(call, http_status, TN_STR_OF("application/json"), &piece, text != NULL ? 1 : 0);
}

/* An answer that is no limit of ours: not counted as refused. */
static void answer(struct tn_call *call, enum tn_grpc_status status, unsigned http_status,
                   const char *message)
{
    tn_call_refuse(call, TN_REFUSAL_COUNT, status, http_status, message);
}

/* ---- routing ---- */

static void begin_grpc(struct tn_call *call)
{
    static const struct tn_str timeout_name = TN_STR("grpc-timeout");
    static const struct tn_str encoding_name = TN_STR("grpc-encoding");

    struct tn_str timeout = tn_call_header(call, timeout_name);
    if (timeout.size > 0) {
        uint64_t timeout_ns = 0;
        if (tn_grpc_timeout_parse(timeout, &timeout_ns) < 0) {
            answer(call, TN_GRPC_INVALID_ARGUMENT, 400, "grpc-timeout is not a time");
            return;
        }
        uint64_t start_ns = call->info.start_ns;
        /* Zero means no deadline in the call's info; one that passed at once is this very time. */
        call->info.deadline_ns =
            timeout_ns > UINT64_MAX - start_ns ? UINT64_MAX : start_ns + timeout_ns;
        tn_wire_due(call->wire, call->info.deadline_ns);
    }
    call->route = tn_router_grpc(call->lane->router, call->info.path);
    if (call->route == NULL) {
        answer(call, TN_GRPC_UNIMPLEMENTED, 200, "unknown method");
        return;
    }
    enum tn_grpc_encoding encoding = tn_grpc_encoding_parse(tn_call_header(call, encoding_name));
    if (encoding == TN_GRPC_ENCODING_UNKNOWN) {
        enum tn_err err =
            tn_call_add_header(call, TN_STR_OF("grpc-accept-encoding"), tn_grpc_encodings_accepted);
        (void)err; /* without memory the answer lacks the hint, no more */
        answer(call, TN_GRPC_UNIMPLEMENTED, 200, "the grpc-encoding is not supported");
        return;
    }
    tn_grpc_reader_init(&call->reader, &call->lane->blocks, call->lane->limits.body_bytes_max,
                        encoding);
}

static void begin_http(struct tn_call *call)
{
    call->route = tn_router_http(call->lane->router, call->info.path);
    if (call->route == NULL) {
        answer(call, TN_GRPC_UNIMPLEMENTED, 404, "no such path");
        return;
    }
    size_t body_bytes_max = call->lane->limits.body_bytes_max;
    if (call->length_in != TN_CALL_LENGTH_UNKNOWN && call->length_in > body_bytes_max) {
        tn_call_refuse(call, TN_REFUSAL_BODY_BYTES, TN_GRPC_RESOURCE_EXHAUSTED, 413,
                       "the body is too large");
    }
}

static void dispatch(struct tn_call *call)
{
    call->dispatched = true;
    call->holds++;
    const struct tn_handler *handler = &call->route->handler;
    handler->request(handler->context, call);
}

/* gRPC is what says so and arrives by HTTP/2 with POST; everything else is HTTP. */
static bool is_grpc(const struct tn_call *call)
{
    return call->info.http_version == 20 && (call->wire->routes & TN_LISTEN_GRPC) != 0 &&
           tn_str_is(call->info.method, "POST") &&
           tn_grpc_is_content_type(tn_call_header(call, TN_STR_OF("content-type")));
}

/* What could not be kept of the headers cannot be served. */
static void refuse_headers(struct tn_call *call)
{
    if (call->header_err == TN_LIMIT) {
        tn_call_refuse(call, TN_REFUSAL_HEADER_BYTES, TN_GRPC_RESOURCE_EXHAUSTED, 431,
                       "the headers are larger than the limit");
    } else {
        tn_call_refuse(call, TN_REFUSAL_MEMORY, TN_GRPC_RESOURCE_EXHAUSTED, 503, "out of memory");
    }
}

static void route(struct tn_call *call)
{
    if (call->header_err != TN_OK) {
        refuse_headers(call);
    } else if (call->info.kind == TN_CALL_GRPC) {
        begin_grpc(call);
    } else if ((call->wire->routes & TN_LISTEN_HTTP) == 0) {
        answer(call, TN_GRPC_UNIMPLEMENTED, 415, "only gRPC is served on this port");
    } else {
        begin_http(call);
    }
}

void tn_call_begin(struct tn_call *call)
{
    call->begun = true;
    call->info.start_ns = call->lane->now_ns;
    call->input_ns = call->lane->now_ns;
    call->head = tn_str_is(call->info.method, "HEAD");
    call->info.kind = is_grpc(call) ? TN_CALL_GRPC : TN_CALL_HTTP;
    route(call);
    if (!call->ended && call->info.kind == TN_CALL_GRPC && call->route->handler.streaming) {
        dispatch(call);
    } else if (!call->input_over) {
        tn_wire_due(call->wire, call->input_ns + call->lane->limits.body_timeout_ns);
    }
}

/* ---- the body ---- */

/* Counts bytes of an undelivered body. False: over the bound, the call is refused. */
static bool buffer(struct tn_call *call, size_t size)
{
    size_t before =
        atomic_fetch_add_explicit(call->lane->buffered_bytes, size, memory_order_relaxed);
    call->buffered += size;
    if (before + size <= call->lane->limits.buffered_bytes_max) {
        return true;
    }
    tn_call_refuse(call, TN_REFUSAL_BUFFERED_BYTES, TN_GRPC_RESOURCE_EXHAUSTED, 503,
                   "the server holds too many unfinished bodies");
    return false;
}

/* A handler that was dispatched cannot be answered over: it is cancelled, the status is ours. */
static void fail_input(struct tn_call *call, enum tn_err err)
{
    struct answer {
        enum tn_refusal cause;
        enum tn_grpc_status status;
        unsigned http_status;
        const char *message;
    } a = {TN_REFUSAL_COUNT, TN_GRPC_INTERNAL, 400, "the message framing is broken"};
    if (err == TN_LIMIT) {
        a = (struct answer){TN_REFUSAL_BODY_BYTES, TN_GRPC_RESOURCE_EXHAUSTED, 413,
                            "the message is larger than the limit"};
    } else if (err == TN_NOMEM) {
        a = (struct answer){TN_REFUSAL_MEMORY, TN_GRPC_RESOURCE_EXHAUSTED, 503, "out of memory"};
    } else if (err == TN_CORRUPT) {
        a = (struct answer){TN_REFUSAL_COUNT, TN_GRPC_INVALID_ARGUMENT, 400,
                            "the compressed message is broken"};
    }
    if (call->dispatched) {
        if (a.cause != TN_REFUSAL_COUNT) {
            tn_meter_refused(call->lane->meter, a.cause);
        }
        tn_call_abort(call, a.status, a.message);
    } else {
        tn_call_refuse(call, a.cause, a.status, a.http_status, a.message);
    }
}

/* Keeps bytes for the time after a pause; at most a window of them, since none is consumed. */
static void hold(struct tn_call *call, struct tn_bytes bytes)
{
    call->held.size_max = call->lane->limits.window_bytes;
    tn_buf_put(&call->held, bytes.data, bytes.size);
    if (call->held.failed < 0) {
        fail_input(call, call->held.failed);
    }
}

static void consumed(struct tn_call *call, size_t size)
{
    if (call->wire != NULL && size > 0) {
        call->wire->i->consumed(call->wire, call, size);
    }
}

static void input_streaming(struct tn_call *call, struct tn_bytes bytes)
{
    const struct tn_handler *handler = &call->route->handler;
    while (!call->input_over && !call->paused) {
        size_t before = bytes.size;
        struct tn_block *message = NULL;
        enum tn_err err = tn_grpc_reader_feed(&call->reader, &bytes, &message);
        consumed(call, before - bytes.size);
        if (err == TN_AGAIN) {
            return;
        }
        if (err < 0) {
            fail_input(call, err);
            break;
        }
        if (handler->message != NULL) {
            handler->message(handler->context, call, message);
        }
        tn_block_pool_give(&call->lane->blocks, message);
    }
    if (call->input_over) {
        consumed(call, bytes.size);
    } else {
        hold(call, bytes);
    }
}

static void end_streaming(struct tn_call *call)
{
    call->input_over = true;
    if (!tn_grpc_reader_is_between(&call->reader)) {
        fail_input(call, TN_INVALID);
        return;
    }
    const struct tn_handler *handler = &call->route->handler;
    if (handler->ended != NULL) {
        handler->ended(handler->context, call);
    }
}

void tn_call_pause(struct tn_call *call)
{
    call->paused = true;
}

void tn_call_resume(struct tn_call *call)
{
    if (!call->paused) {
        return;
    }
    call->paused = false;
    call->input_ns = call->lane->now_ns;
    if (call->wire != NULL && !call->input_over) {
        call->resuming = true;
        call->wire->attention = true;
        tn_wire_wake(call->wire);
    }
}

void tn_call_resumed(struct tn_call *call)
{
    call->resuming = false;
    struct tn_buf held = call->held;
    tn_buf_init(&call->held, 0);
    if (held.size > 0) {
        input_streaming(call, tn_bytes_make(held.data, held.size));
    }
    tn_buf_deinit(&held);
    if (call->input_ended && !call->input_over && !call->paused) {
        end_streaming(call);
    }
}

static void input_unary(struct tn_call *call, struct tn_bytes bytes)
{
    if (call->body != NULL) {
        answer(call, TN_GRPC_INTERNAL, 400, "more than one message for a unary method");
        return;
    }
    enum tn_err err = tn_grpc_reader_feed(&call->reader, &bytes, &call->body);
    if (err < 0) {
        fail_input(call, err);
    } else if (err == TN_DONE && bytes.size > 0) {
        input_unary(call, bytes);
    }
}

/* Room for `size` bytes more of an HTTP body; doubles when the length was not stated. */
static enum tn_err body_room(struct tn_call *call, size_t size)
{
    struct tn_block *old = call->body;
    size_t held = old != NULL ? old->size : 0;
    size_t body_bytes_max = call->lane->limits.body_bytes_max;
    if (size > body_bytes_max - held) {
        return TN_LIMIT;
    }
    if (old != NULL && size <= old->room - held) {
        return TN_OK;
    }
    size_t wanted = held + size;
    size_t room = old != NULL ? old->room * 2 : BODY_ROOM_FIRST;
    if (call->length_in != TN_CALL_LENGTH_UNKNOWN) {
        size_t trusted = held == 0 ? BODY_ROOM_TRUSTED : held * 4;
        room = call->length_in < trusted ? call->length_in : trusted;
    }
    room = room < wanted ? wanted : room;
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_pool_take(&call->lane->blocks, room, &block);
    if (err < 0) {
        return err;
    }
    if (held > 0) {
        memcpy(block->data, old->data, held);
    }
    block->size = held;
    tn_block_pool_give(&call->lane->blocks, old);
    call->body = block;
    return TN_OK;
}

static void input_http(struct tn_call *call, struct tn_bytes bytes)
{
    enum tn_err err = body_room(call, bytes.size);
    if (err < 0) {
        fail_input(call, err);
        return;
    }
    if (bytes.size > 0) {
        memcpy(call->body->data + call->body->size, bytes.data, bytes.size);
        call->body->size += bytes.size;
    }
}

void tn_call_input(struct tn_call *call, struct tn_bytes bytes)
{
    if (call->input_over) {
        consumed(call, bytes.size);
        return;
    }
    call->input_ns = call->lane->now_ns;
    if (call->info.kind == TN_CALL_GRPC && call->route->handler.streaming) {
        if (call->paused || call->resuming) {
            hold(call, bytes);
        } else {
            input_streaming(call, bytes);
        }
        return;
    }
    consumed(call, bytes.size);
    if (!buffer(call, bytes.size)) {
        return;
    } else if (call->info.kind == TN_CALL_GRPC) {
        input_unary(call, bytes);
    } else {
        input_http(call, bytes);
    }
}

/* Content-Encoding of an HTTP body. False: it is answered. */
static bool decode_http(struct tn_call *call)
{
    struct tn_str coding = tn_call_header(call, TN_STR_OF("content-encoding"));
    if (coding.size == 0 || tn_str_is(coding, "identity")) {
        return true;
    }
    struct tn_inflate_options options = {
        .format = TN_INFLATE_GZIP,
        .size_max = call->lane->limits.body_bytes_max,
        .pool = &call->lane->blocks,
    };
    if (tn_str_is(coding, "deflate")) {
        options.format = TN_INFLATE_DEFLATE;
    } else if (!tn_str_is(coding, "gzip") && !tn_str_is(coding, "x-gzip")) {
        answer(call, TN_GRPC_UNIMPLEMENTED, 415, "the content-encoding is not supported");
        return false;
    }
    struct tn_block *plain = NULL;
    enum tn_err err =
        tn_inflate(tn_bytes_make(call->body->data, call->body->size), &options, &plain);
    if (err < 0) {
        fail_input(call, err);
        return false;
    }
    tn_block_pool_give(&call->lane->blocks, call->body);
    call->body = plain;
    return true;
}

void tn_call_input_end(struct tn_call *call)
{
    call->input_ended = true;
    if (call->input_over) {
        return;
    }
    if (call->dispatched) {
        if (!call->paused && !call->resuming) {
            end_streaming(call);
        }
        return;
    }
    call->input_over = true;
    if (call->info.kind == TN_CALL_GRPC) {
        if (call->body == NULL) {
            answer(call, TN_GRPC_INTERNAL, 400, "the request has no complete message");
            return;
        }
    } else {
        if (call->body == NULL && body_room(call, 0) < 0) {
            fail_input(call, TN_NOMEM);
            return;
        }
        if (call->body->size > 0 && !decode_http(call)) {
            return;
        }
    }
    dispatch(call);
}
