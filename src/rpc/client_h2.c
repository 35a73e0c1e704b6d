/* HTTP/2 of the client: a nghttp2 session between bytes and calls; see client_state.h.
 *
 *   begin -> HEADERS, DATA...     <- HEADERS, DATA..., trailers -> call ends when the stream closes
 *
 * A response that ends before the request did: the rest of the request is cut with RST_STREAM
 * (NO_ERROR), as RFC 9113, 8.1 wants. A call that is over for its user leaves its stream without
 * user data, and what still arrives there is dropped.
 * About 3 us a unary call: two passes through nghttp2, header names and values of ours not copied.
 * Memory: the session's, from base/mem; one buffer for the header section that is being received.
 * Threads: the client's loop. Bounds: header section, flow-control windows, PINGs and SETTINGS by
 * nghttp2. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client_state.h"

#include <nghttp2/nghttp2.h>

enum {
    STREAM_WINDOW = 8 << 20,
    CONNECTION_WINDOW = 16 << 20,
    FIELD_BYTES_MAX = 32 << 10,
    FRAME_BYTES_MAX = 16384 + 9,
    OWN_HEADERS_MAX = 10,
};

struct h2_wire {
    struct tn_client_wire wire;
    nghttp2_session *session;
    int32_t section_stream; /* whose header section is being received */
    bool section_kept;      /* all its fields go to the user, not only ours */
    bool section_broken;    /* too large */
    struct tn_out *out;     /* during collect */
    bool out_full;
    unsigned http_status; /* of the section */
    struct tn_buf text;   /* of the section's fields */
    size_t field_count;
    struct tn_header fields[TN_CLIENT_FIELDS_MAX]; /* values: offsets until it is complete */
};

static struct h2_wire *h2_of(struct tn_client_wire *wire)
{
    return TN_CONTAINER(wire, struct h2_wire, wire);
}

static struct tn_client_call *call_of(struct h2_wire *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2->session, stream);
}

/* ---- memory of nghttp2 ---- */

static void *mem_take(size_t size, void *unused)
{
    (void)unused;
    return tn_mem_take(size);
}

static void mem_give(void *memory, void *unused)
{
    (void)unused;
    tn_mem_give(memory);
}

static void *mem_take_zeroed(size_t count, size_t size, void *unused)
{
    (void)unused;
    return tn_mem_take_zeroed(count, size);
}

static void *mem_resize(void *memory, size_t size, void *unused)
{
    (void)unused;
    return tn_mem_resize(memory, size);
}

static nghttp2_mem session_mem = {NULL, mem_take, mem_give, mem_take_zeroed, mem_resize};

/* ---- what comes in ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_wire *h2 = user;
    struct tn_client_call *call = call_of(h2, frame->hd.stream_id);
    h2->section_stream = frame->hd.stream_id;
    h2->section_kept = call != NULL && !call->headers_done && call->events->headers != NULL;
    h2->section_broken = false;
    h2->http_status = 0;
    h2->field_count = 0;
    tn_buf_reset(&h2->text);
    return 0;
}

/* Fields that we understand ourselves, in leading and trailing sections alike. */
static void note_field(struct h2_wire *h2, struct tn_client_call *call, struct tn_str name,
                       struct tn_str value)
{
    if (tn_str_equal(name, TN_STR_OF(":status"))) {
        h2->http_status = value.size == 3 ? (unsigned)(value.data[0] - '0') * 100 +
                                                (unsigned)(value.data[1] - '0') * 10 +
                                                (unsigned)(value.data[2] - '0')
                                          : 0;
    }
    if (call->kind != TN_CALL_GRPC || name.size < 11) {
        return;
    }
    if (tn_str_equal(name, TN_STR_OF("content-type"))) {
        call->native = tn_grpc_is_content_type(value);
    } else if (tn_str_equal(name, TN_STR_OF("grpc-status"))) {
        call->has_status = true;
        call->grpc_status = tn_grpc_status_parse(value);
    } else if (tn_str_equal(name, TN_STR_OF("grpc-message")) && call->message == NULL) {
        call->message = tn_mem_take(value.size);
        call->message_size =
            call->message != NULL ? tn_grpc_message_decode(value, call->message) : 0;
    } else if (tn_str_equal(name, TN_STR_OF("grpc-encoding"))) {
        call->reader.encoding = tn_grpc_encoding_parse(value);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)flags;
    struct h2_wire *h2 = user;
    struct tn_client_call *call = call_of(h2, frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    struct tn_str n = tn_str_make((const char *)name, name_size);
    struct tn_str v = tn_str_make((const char *)value, value_size);
    note_field(h2, call, n, v);
    if (!h2->section_kept || name[0] == ':') {
        return 0;
    }
    if (h2->field_count == TN_CLIENT_FIELDS_MAX) {
        h2->section_broken = true;
        return 0;
    }
    /* The buffer may move while it grows: pointers are set when it is complete. */
    struct tn_header *field = &h2->fields[h2->field_count++];
    *field = (struct tn_header){tn_str_make(NULL, name_size), tn_str_make(NULL, value_size)};
    tn_buf_put_str(&h2->text, n);
    tn_buf_put_str(&h2->text, v);
    return 0;
}

static void place_fields(struct h2_wire *h2)
{
    const char *at = (const char *)h2->text.data;
    for (size_t i = 0; i < h2->field_count; i++) {
        h2->fields[i].name.data = at;
        at += h2->fields[i].name.size;
        h2->fields[i].value.data = at;
        at += h2->fields[i].value.size;
    }
}

static void take_section(struct h2_wire *h2, struct tn_client_call *call)
{
    if (h2->section_broken || h2->text.failed < 0) {
        tn_client_call_fail(call, TN_LIMIT, "the answer's headers are too large");
        return;
    }
    if (call->headers_done || h2->http_status < 200) {
        return; /* trailers, or an interim response */
    }
    place_fields(h2);
    tn_client_call_headers(call, h2->http_status, h2->fields, h2->field_count);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_wire *h2 = user;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        h2->wire.pong = true;
        return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h2->wire.draining = true;
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct tn_client_call *call = call_of(h2, frame->hd.stream_id);
    if (call != NULL && frame->hd.type == NGHTTP2_HEADERS) {
        take_section(h2, call);
        call = call_of(h2, frame->hd.stream_id);
    }
    if (call == NULL || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        return 0;
    }
    call->answered = true;
    /* The server has said all; a request that goes on is for nobody. */
    if (!call->last_sent) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *user)
{
    (void)session;
    (void)flags;
    struct h2_wire *h2 = user;
    struct tn_client_call *call = call_of(h2, stream);
    bool ours =
        call != NULL && (call->kind == TN_CALL_HTTP || (call->http_status == 200 && call->native));
    if (ours) { /* else a page of some proxy: the status says what it means */
        tn_client_call_data(call, tn_bytes_make(data, size));
    }
    return 0;
}

static struct tn_client_end end_of_reset(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
        return tn_client_end_of(TN_UNAVAILABLE, "the server refused the stream");
    case NGHTTP2_CANCEL:
        return tn_client_end_of(TN_CANCELLED, "the server cancelled the stream");
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return tn_client_end_of(TN_LIMIT, "the server asks to slow down");
    case NGHTTP2_INADEQUATE_SECURITY:
        return tn_client_end_of(TN_DENIED, "the server finds the connection not secure enough");
    case NGHTTP2_HTTP_1_1_REQUIRED:
        return tn_client_end_of(TN_UNSUPPORTED, "the server wants HTTP/1.1");
    default:
        return tn_client_end_of(TN_INTERNAL, "the server reset the stream");
    }
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    (void)session;
    struct h2_wire *h2 = user;
    struct tn_client_call *call = call_of(h2, stream);
    if (call == NULL) {
        return 0;
    }
    if (call->answered && call->headers_done) {
        tn_client_call_complete(call);
        return 0;
    }
    /* Refused, or above the last stream of a GOAWAY: the server has not looked at it. */
    if (code == NGHTTP2_REFUSED_STREAM && !call->headers_done && tn_client_call_requeue(call)) {
        return 0;
    }
    struct tn_client_end end = end_of_reset(code);
    tn_client_call_end(call, &end);
    return 0;
}

/* ---- what goes out ---- */

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *unused, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)unused;
    (void)source;
    struct tn_client_call *call = call_of(user, stream);
    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (call->queue.bytes == 0 && !call->last_queued) {
        call->stalled = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (call->queue.bytes <= size && call->last_queued) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)call->queue.bytes;
    }
    return (ssize_t)(call->queue.bytes < size ? call->queue.bytes : size);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t size, nghttp2_data_source *source, void *user)
{
    (void)session;
    struct h2_wire *h2 = user;
    (void)source;
    struct tn_out *out = h2->out;
    struct tn_client_call *call = call_of(h2, frame->hd.stream_id);
    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (!tn_client_out_fits(out, size + 9)) {
        h2->out_full = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    tn_out_copy(out, head, 9);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        call->last_sent = true;
    }
    tn_client_call_collect(call, out, size);
    return 0;
}

static nghttp2_nv pair(struct tn_str name, struct tn_str value, uint8_t flags)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = name.size,
                        .valuelen = value.size,
                        .flags = flags};
}

#define PAIR(name, value, flags) pair(TN_STR_OF(name), (value), (flags))

/* Ours before the user's. Values that live as long as the client are not copied; grpc-timeout is
 * different in every call and would only push useful entries out of the peer's table. */
static size_t fill_pairs(struct h2_wire *h2, struct tn_client_call *call, nghttp2_nv *pairs,
                         char timeout[TN_GRPC_TIMEOUT_ROOM])
{
    const struct tn_client *client = h2->wire.client;
    const uint8_t fixed = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    const uint8_t varying = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    size_t count = 0;
    pairs[count++] = PAIR(":method", call->method, varying);
    pairs[count++] = PAIR(":scheme", h2->wire.tls ? TN_STR_OF("https") : TN_STR_OF("http"), fixed);
    pairs[count++] = PAIR(":path", call->path, varying);
    pairs[count++] = PAIR(":authority", tn_str_from(client->target.authority), fixed);
    pairs[count++] = PAIR("user-agent", client->user_agent, fixed);
    if (call->kind == TN_CALL_GRPC) {
        pairs[count++] = PAIR("te", TN_STR_OF("trailers"), fixed);
        pairs[count++] = PAIR("content-type", TN_STR_OF("application/grpc"), fixed);
        pairs[count++] = PAIR("grpc-accept-encoding", tn_grpc_encodings_accepted, fixed);
    }
    if (call->kind == TN_CALL_GRPC && call->deadline_ns != 0) {
        uint64_t now = tn_loop_now_ns(client->loop);
        uint64_t left = call->deadline_ns > now ? call->deadline_ns - now : 1;
        size_t size = tn_grpc_timeout_format(left, timeout);
        pairs[count++] =
            PAIR("grpc-timeout", tn_str_make(timeout, size), varying | NGHTTP2_NV_FLAG_NO_INDEX);
    }
    TN_ASSERT(count <= OWN_HEADERS_MAX);
    for (size_t i = 0; i < call->header_count; i++) {
        pairs[count++] = pair(call->headers[i].name, call->headers[i].value, 0);
    }
    return count;
}

static enum tn_err h2_begin(struct tn_client_wire *wire, struct tn_client_call *call)
{
    struct h2_wire *h2 = h2_of(wire);
    nghttp2_nv pairs[OWN_HEADERS_MAX + TN_CLIENT_HEADERS_MAX];
    char timeout[TN_GRPC_TIMEOUT_ROOM];
    size_t count = fill_pairs(h2, call, pairs, timeout);
    nghttp2_data_provider provider = {.read_callback = on_read};
    int32_t stream = nghttp2_submit_request(h2->session, NULL, pairs, count,
                                            call->no_body ? NULL : &provider, call);
    if (stream < 0) {
        return stream == NGHTTP2_ERR_NOMEM ? TN_NOMEM : TN_UNAVAILABLE;
    }
    call->stream = stream;
    call->sent = true;
    call->last_sent = call->no_body;
    return TN_OK;
}

static void h2_output(struct tn_client_wire *wire, struct tn_client_call *call)
{
    if (call->stalled) {
        call->stalled = false;
        /* Without memory the stream stalls until its deadline; nothing else can be done. */
        (void)nghttp2_session_resume_data(h2_of(wire)->session, call->stream);
    }
}

static void h2_drop(struct tn_client_wire *wire, struct tn_client_call *call)
{
    nghttp2_session *session = h2_of(wire)->session;
    nghttp2_session_set_stream_user_data(session, call->stream, NULL);
    (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
}

static bool h2_is_free(const struct tn_client_wire *wire)
{
    const struct h2_wire *h2 = TN_CONTAINER(wire, struct h2_wire, wire);
    return !wire->draining && nghttp2_session_check_request_allowed(h2->session) != 0;
}

static enum tn_err h2_receive(struct tn_client_wire *wire, uint8_t *data, size_t size)
{
    struct h2_wire *h2 = h2_of(wire);
    ssize_t used = nghttp2_session_mem_recv(h2->session, data, size);
    if (used < 0) {
        wire->problem =
            used == NGHTTP2_ERR_NOMEM ? "no memory for HTTP/2" : "the server does not speak HTTP/2";
        return used == NGHTTP2_ERR_NOMEM ? TN_NOMEM : TN_INVALID;
    }
    return TN_OK;
}

static enum tn_err h2_collect(struct tn_client_wire *wire, struct tn_out *out)
{
    struct h2_wire *h2 = h2_of(wire);
    h2->out = out;
    h2->out_full = false;
    for (;;) {
        if (!tn_client_out_fits(out, FRAME_BYTES_MAX)) {
            return TN_AGAIN;
        }
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(h2->session, &data);
        if (size < 0) {
            wire->problem = "no memory for HTTP/2";
            return TN_NOMEM;
        }
        if (size == 0) {
            break;
        }
        tn_out_copy(out, data, (size_t)size);
    }
    if (h2->out_full) {
        return TN_AGAIN;
    }
    if (nghttp2_session_want_read(h2->session) == 0 &&
        nghttp2_session_want_write(h2->session) == 0) {
        wire->over = true;
    }
    return TN_DONE;
}

static void h2_eof(struct tn_client_wire *wire)
{
    wire->over = true;
}

static bool h2_ping(struct tn_client_wire *wire)
{
    return nghttp2_submit_ping(h2_of(wire)->session, NGHTTP2_FLAG_NONE, NULL) == 0;
}

static void h2_destroy(struct tn_client_wire *wire)
{
    struct h2_wire *h2 = h2_of(wire);
    TN_ASSERT(wire->calls.count == 0);
    nghttp2_session_del(h2->session);
    tn_buf_deinit(&h2->text);
    tn_mem_give(h2);
}

static const struct tn_client_wire_i h2_i = {
    .is_free = h2_is_free,
    .begin = h2_begin,
    .output = h2_output,
    .drop = h2_drop,
    .receive = h2_receive,
    .collect = h2_collect,
    .eof = h2_eof,
    .ping = h2_ping,
    .destroy = h2_destroy,
};

/* ---- a session ---- */

static int create_session(struct h2_wire *h2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int failed = nghttp2_session_callbacks_new(&callbacks);
    if (failed == 0) {
        failed = nghttp2_option_new(&option);
    }
    if (failed == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
        nghttp2_option_set_max_settings(option, 64);
        failed = nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &session_mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return failed;
}

static int submit_preface(struct h2_wire *h2)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, FIELD_BYTES_MAX},
    };
    int failed =
        nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, TN_COUNT(settings));
    return failed != 0 ? failed
                       : nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                               CONNECTION_WINDOW);
}

enum tn_err tn_client_h2_create(struct tn_client *client, bool tls,
                                struct tn_client_wire **ret_wire)
{
    struct h2_wire *h2 = tn_mem_take_zeroed(1, sizeof(*h2));
    if (h2 == NULL) {
        return TN_NOMEM;
    }
    h2->wire = (struct tn_client_wire){.i = &h2_i, .client = client, .tls = tls};
    tn_buf_init(&h2->text, FIELD_BYTES_MAX);
    if (create_session(h2) != 0 || submit_preface(h2) != 0) {
        h2_destroy(&h2->wire);
        return TN_NOMEM;
    }
    *ret_wire = &h2->wire;
    return TN_OK;
}
