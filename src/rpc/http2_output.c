/* HTTP/2 of a server: answers; see http2.h.
 *
 * Cost of a unary gRPC answer: three frames, about 10 + 9 + 5 + message + 3 bytes after the first
 * one of a connection, since HPACK's table then holds every header; two submits to nghttp2. Names
 * and values are static or in the call's arena and never copied into nghttp2's memory.
 * Memory: nghttp2's frames until collected. Threads: the lane's loop. Bounds: a DATA frame of
 * TN_HTTP2_DATA_MAX, one tn_out at a time. */
#include "core/assert.h"
#include "rpc/http2_session.h"

#include <stdio.h>

enum { FIELDS_FIXED = 6, FRAME_HEAD = 9 };

static nghttp2_nv field(struct tn_str name, struct tn_str value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.data,
        .value = (uint8_t *)(uintptr_t)value.data,
        .namelen = name.size,
        .valuelen = value.size,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

static size_t put_list(nghttp2_nv *fields, size_t count, const struct tn_call_field *list)
{
    for (; list != NULL; list = list->next) {
        fields[count++] = field(list->name, list->value);
    }
    return count;
}

static size_t put_status_trailers(const struct tn_call *call, nghttp2_nv *fields, size_t count)
{
    fields[count++] = field(TN_STR_OF("grpc-status"), tn_grpc_status_text(call->status));
    if (call->message.size > 0) {
        fields[count++] = field(TN_STR_OF("grpc-message"), call->message);
    }
    return put_list(fields, count, call->trailers);
}

/* Text of a number in the call's arena; empty without memory. */
static struct tn_str number(struct tn_call *call, size_t value)
{
    enum { DIGITS = 24 };
    char *text = tn_arena_take(&call->arena, DIGITS, 1);
    if (text == NULL) {
        return tn_str_make("", 0);
    }
    int size = snprintf(text, DIGITS, "%zu", value);
    return tn_str_make(text, (size_t)size);
}

static size_t put_http_head(struct tn_call *call, nghttp2_nv *fields)
{
    size_t count = 0;
    struct tn_str status =
        call->http_status == 200 ? TN_STR_OF("200") : number(call, call->http_status);
    fields[count++] = field(TN_STR_OF(":status"), status);
    if (call->lane->server_header.size > 0) {
        fields[count++] = field(TN_STR_OF("server"), call->lane->server_header);
    }
    if (call->content_type.size > 0) {
        fields[count++] = field(TN_STR_OF("content-type"), call->content_type);
    }
    if (call->length_out != TN_CALL_LENGTH_UNKNOWN && call->http_status != 204) {
        struct tn_str length = number(call, call->length_out);
        if (length.size > 0) {
            fields[count++] = field(TN_STR_OF("content-length"), length);
        }
    }
    return put_list(fields, count, call->fields);
}

static size_t put_grpc_head(const struct tn_call *call, nghttp2_nv *fields)
{
    fields[0] = field(TN_STR_OF(":status"), TN_STR_OF("200"));
    fields[1] = field(TN_STR_OF("content-type"), TN_STR_OF("application/grpc"));
    return put_list(fields, 2, call->fields);
}

static void reset(struct tn_http2 *h2, struct tn_call *call)
{
    (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                    NGHTTP2_INTERNAL_ERROR);
}

static bool sends_trailers(const struct tn_call *call)
{
    return call->info.kind == TN_CALL_GRPC || call->trailers != NULL;
}

static int submit_trailers(struct tn_http2 *h2, struct tn_call *call)
{
    nghttp2_nv few[FIELDS_FIXED];
    nghttp2_nv *fields = few;
    if (call->trailer_count + 2 > FIELDS_FIXED) {
        fields = TN_ARENA_ARRAY(&call->arena, nghttp2_nv, call->trailer_count + 2);
        if (fields == NULL) {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    size_t count = call->info.kind == TN_CALL_GRPC ? put_status_trailers(call, fields, 0)
                                                   : put_list(fields, 0, call->trailers);
    return nghttp2_submit_trailer(h2->session, call->stream_id, fields, count);
}

/* nghttp2 asks what the next DATA frame of a call holds; the bytes are taken in send_data. */
static ssize_t read_data(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)buf;
    struct tn_http2 *h2 = user;
    struct tn_call *call = source->ptr;
    if (call->broken) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    }
    size_t size = call->out_bytes < room ? call->out_bytes : room;
    if (call->ended && size == call->out_bytes) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (sends_trailers(call)) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int code = submit_trailers(h2, call);
            if (code != 0) {
                return code == NGHTTP2_ERR_NOMEM ? NGHTTP2_ERR_CALLBACK_FAILURE : code;
            }
        }
    } else if (size == 0) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return (ssize_t)size;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t size, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct tn_http2 *h2 = user;
    struct tn_call *call = source->ptr;
    struct tn_out *out = h2->out;
    /* A frame goes whole or not at all: each borrowed piece of it may part two copied ones. */
    size_t parts = 2 * (TN_HTTP2_DATA_MAX / TN_OUT_BORROW_MIN) + 2;
    if (tn_out_room(out) < FRAME_HEAD + size || out->count + parts > TN_OUT_IOV_MAX) {
        h2->out_full = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    tn_out_copy(out, head, FRAME_HEAD);
    size_t moved = tn_call_take_output(call, out, size);
    TN_ASSERT(moved == size);
    return 0;
}

static ssize_t data_length(nghttp2_session *session, uint8_t type, int32_t stream_id,
                           int32_t session_window, int32_t stream_window, uint32_t frame_size_max,
                           void *user)
{
    (void)session;
    (void)type;
    (void)stream_id;
    (void)user;
    int64_t size = TN_HTTP2_DATA_MAX;
    size = session_window < size ? session_window : size;
    size = stream_window < size ? stream_window : size;
    return frame_size_max < size ? (ssize_t)frame_size_max : (ssize_t)size;
}

/* An answer that went out before the request was in: tell the sender to stop, without an error. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct tn_http2 *h2 = user;
    if (frame->hd.type == NGHTTP2_GOAWAY && !h2->failed && !h2->told &&
        frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        h2->told = true; /* nghttp2 ends the session for some frames without a word to us */
        tn_meter_refused(h2->wire.lane->meter, TN_REFUSAL_PROTOCOL);
    }
    if (h2->early == 0 || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
        (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    struct tn_call *call = tn_http2_call(h2, frame->hd.stream_id);
    if (call != NULL && call->ended && !call->input_ended) {
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_NO_ERROR);
    }
    return 0;
}

void tn_http2_set_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, data_length);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

static int submit_head(struct tn_http2 *h2, struct tn_call *call)
{
    bool grpc = call->info.kind == TN_CALL_GRPC;
    bool whole = call->ended && call->out_bytes == 0 && (grpc || call->trailers == NULL);
    size_t most = FIELDS_FIXED + call->field_count + call->trailer_count;
    nghttp2_nv few[2 * FIELDS_FIXED];
    nghttp2_nv *fields = few;
    if (most > TN_COUNT(few)) {
        fields = TN_ARENA_ARRAY(&call->arena, nghttp2_nv, most);
        if (fields == NULL) {
            return NGHTTP2_ERR_NOMEM;
        }
    }
    size_t count = grpc ? put_grpc_head(call, fields) : put_http_head(call, fields);
    if (whole && grpc) {
        count = put_status_trailers(call, fields, count);
    }
    const nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_data};
    return nghttp2_submit_response(h2->session, call->stream_id, fields, count,
                                   whole ? NULL : &provider);
}

void tn_http2_output(struct tn_wire *wire, struct tn_call *call)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    if (call->ended && !call->input_ended) {
        h2->early++;
    }
    if (!call->headers_out) {
        call->headers_out = true;
        if (submit_head(h2, call) != 0) {
            reset(h2, call);
        }
    } else if (call->deferred) {
        call->deferred = false;
        (void)nghttp2_session_resume_data(h2->session, call->stream_id);
    }
    if (call->out_bytes > 0) {
        tn_wire_due(wire, call->output_ns + wire->lane->limits.write_timeout_ns);
    }
    tn_wire_wake(wire);
}

enum tn_err tn_http2_collect(struct tn_wire *wire, struct tn_out *out)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    enum tn_err err = TN_DONE;
    h2->out = out;
    h2->out_full = false;
    for (;;) {
        if (tn_out_room(out) < TN_HTTP2_FRAME_ROOM) {
            err = TN_AGAIN;
            break;
        }
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(h2->session, &data);
        if (size < 0) {
            err = size == NGHTTP2_ERR_NOMEM ? TN_NOMEM : TN_INTERNAL;
            break;
        }
        if (size == 0) {
            err = h2->out_full ? TN_AGAIN : TN_DONE;
            break;
        }
        tn_out_copy(out, data, (size_t)size);
    }
    h2->out = NULL;
    return err;
}
