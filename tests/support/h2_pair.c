/* A wire and a client joined in memory; see h2_pair.h. Memory: the heap. Threads: one. Bounds:
 * H2_PAIR_STREAMS streams. */
#include "tests/support/h2_pair.h"

#include "base/mem.h"
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum { OUT_ROOM = 256 << 10 };

struct h2_stream *h2_pair_stream(struct h2_pair *pair, int32_t id)
{
    size_t at = (size_t)(id - 1) / 2;
    TN_ASSERT(at < H2_PAIR_STREAMS);
    return &pair->streams[at];
}

static void keep_text(char *to, size_t room, const uint8_t *value, size_t size)
{
    size = size < room - 1 ? size : room - 1;
    memcpy(to, value, size);
    to[size] = '\0';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)flags;
    struct h2_stream *stream = h2_pair_stream(user, frame->hd.stream_id);
    struct tn_str n = tn_str_make((const char *)name, name_size);
    char text[64];
    keep_text(text, sizeof(text), value, value_size);
    if (tn_str_is(n, ":status")) {
        stream->http_status = (unsigned)atoi(text);
    } else if (tn_str_is(n, "grpc-status")) {
        stream->grpc_status = atoi(text);
    } else if (tn_str_is(n, "grpc-message")) {
        keep_text(stream->message, sizeof(stream->message), value, value_size);
    } else if (tn_str_is(n, "grpc-accept-encoding")) {
        keep_text(stream->accept_encoding, sizeof(stream->accept_encoding), value, value_size);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)session;
    (void)flags;
    struct h2_stream *stream = h2_pair_stream(user, id);
    stream->body = realloc(stream->body, stream->body_size + size + 1);
    TN_ASSERT(stream->body != NULL);
    memcpy(stream->body + stream->body_size, data, size);
    stream->body_size += size;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user)
{
    (void)session;
    struct h2_stream *stream = h2_pair_stream(user, id);
    stream->closed = true;
    stream->error_code = error_code;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_pair *pair = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        pair->goaway = true;
        pair->goaways++;
        pair->goaway_code = frame->goaway.error_code;
        pair->goaway_last = frame->goaway.last_stream_id;
    }
    return 0;
}

static ssize_t read_upload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)user;
    struct h2_stream *stream = source->ptr;
    size_t take = stream->upload.size < room ? stream->upload.size : room;
    if (take > 0) {
        memcpy(buf, stream->upload.data, take);
        stream->upload = tn_bytes_make(stream->upload.data + take, stream->upload.size - take);
    }
    if (stream->upload.size == 0 && !stream->upload_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (take == 0) {
        stream->upload_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)take;
}

void h2_pair_setup(struct h2_pair *pair, const struct tn_server_limits *limits)
{
    static const struct tn_server_limits none = {0};
    memset(pair, 0, sizeof(*pair));
    for (size_t i = 0; i < H2_PAIR_STREAMS; i++) {
        pair->streams[i].grpc_status = -1;
    }
    tn_router_init(&pair->router);
    enum tn_err err = tn_meter_init(&pair->meter, NULL);
    TN_ASSERT(err >= 0);
    const struct tn_lane_options options = {
        .limits = limits != NULL ? *limits : none,
        .router = &pair->router,
        .meter = &pair->meter,
        .buffered_bytes = &pair->buffered,
    };
    tn_lane_init(&pair->lane, &options);
    pair->lane.now_ns = UINT64_C(1000000000000);
}

void h2_pair_route(struct h2_pair *pair, enum tn_call_kind kind, const char *path,
                   const struct tn_handler *handler)
{
    struct tn_route *route = NULL;
    enum tn_err err = tn_router_add(&pair->router, kind, tn_str_from(path), handler, &route);
    TN_ASSERT(err >= 0);
}

static void open_client(struct h2_pair *pair, uint32_t window)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, pair->manual);
    nghttp2_option_set_max_outbound_ack(option, 100000);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    int code = nghttp2_session_client_new2(&pair->client, callbacks, pair, option);
    TN_ASSERT(code == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1 << 20},
    };
    code = nghttp2_submit_settings(pair->client, NGHTTP2_FLAG_NONE, settings, TN_COUNT(settings));
    TN_ASSERT(code == 0);
}

enum tn_err h2_pair_open(struct h2_pair *pair, uint32_t window)
{
    const struct tn_wire_options options = {.lane = &pair->lane, .peer = TN_STR("127.0.0.1:1")};
    enum tn_err err = tn_http2_create(&options, &pair->wire);
    if (err >= 0) {
        open_client(pair, window > 0 ? window : 65535);
    }
    return err;
}

void h2_pair_close(struct h2_pair *pair)
{
    if (pair->wire != NULL) {
        pair->wire->i->destroy(pair->wire);
        pair->wire = NULL;
    }
    nghttp2_session_del(pair->client);
    for (size_t i = 0; i < H2_PAIR_STREAMS; i++) {
        free(pair->streams[i].body);
    }
    tn_lane_deinit(&pair->lane);
    tn_router_deinit(&pair->router);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

int32_t h2_pair_request(struct h2_pair *pair, const struct h2_request *request)
{
    nghttp2_nv fields[16];
    size_t count = 0;
    fields[count++] = field(":method", request->method != NULL ? request->method : "POST");
    fields[count++] = field(":scheme", "http");
    fields[count++] = field(":authority", "test");
    fields[count++] = field(":path", request->path);
    fields[count++] = field("te", "trailers");
    fields[count++] = field("content-type", request->content_type != NULL ? request->content_type
                                                                          : "application/grpc");
    for (size_t i = 0; i + 1 < TN_COUNT(request->extra) && request->extra[i] != NULL; i += 2) {
        fields[count++] = field(request->extra[i], request->extra[i + 1]);
    }
    int32_t next = (int32_t)nghttp2_session_get_next_stream_id(pair->client);
    struct h2_stream *stream = h2_pair_stream(pair, next);
    stream->upload = request->body;
    stream->upload_open = request->open;
    const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_upload};
    int32_t id = nghttp2_submit_request(pair->client, NULL, fields, count, &provider, NULL);
    TN_ASSERT(id == next);
    return id;
}

void h2_pair_upload(struct h2_pair *pair, int32_t id, struct tn_bytes bytes, bool last)
{
    struct h2_stream *stream = h2_pair_stream(pair, id);
    TN_ASSERT(stream->upload.size == 0);
    stream->upload = bytes;
    stream->upload_open = !last;
    if (stream->upload_deferred) {
        stream->upload_deferred = false;
        nghttp2_session_resume_data(pair->client, id);
    }
}

void h2_pair_inject(struct h2_pair *pair, struct tn_bytes bytes)
{
    size_t step = pair->cut > 0 ? pair->cut : bytes.size;
    for (size_t at = 0; at < bytes.size && pair->broken >= 0; at += step) {
        size_t size = bytes.size - at < step ? bytes.size - at : step;
        /* A copy of exact size, so that a sanitizer sees every byte too far. */
        uint8_t *copy = malloc(size);
        TN_ASSERT(copy != NULL);
        memcpy(copy, bytes.data + at, size);
        enum tn_err err = pair->wire->i->receive(pair->wire, tn_bytes_make(copy, size));
        pair->broken = err < 0 ? err : pair->broken;
        free(copy);
    }
    pair->sent += bytes.size;
}

static bool client_speaks(struct h2_pair *pair)
{
    bool any = false;
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(pair->client, &data);
        TN_ASSERT(size >= 0);
        if (size == 0) {
            return any;
        }
        any = true;
        h2_pair_inject(pair, tn_bytes_make(data, (size_t)size));
    }
}

static bool server_speaks(struct h2_pair *pair)
{
    static uint8_t scratch[OUT_ROOM];
    struct tn_out out;
    tn_out_init(&out, scratch, sizeof(scratch));
    enum tn_err err = pair->wire->i->collect(pair->wire, &out);
    if (err == TN_DONE && tn_wire_attend(pair->wire)) {
        err = pair->wire->i->collect(pair->wire, &out);
    }
    pair->broken = err < 0 ? err : pair->broken;
    bool any = out.bytes > 0;
    pair->received += out.bytes;
    for (size_t i = 0; i < out.count; i++) {
        ssize_t used =
            nghttp2_session_mem_recv(pair->client, out.iov[i].iov_base, out.iov[i].iov_len);
        TN_ASSERT(used >= 0);
    }
    tn_out_clear(&out);
    return any;
}

void h2_pair_run(struct h2_pair *pair)
{
    bool any = true;
    while (any && pair->broken >= 0) {
        any = client_speaks(pair);
        any |= server_speaks(pair);
    }
}

void h2_pair_pass(struct h2_pair *pair, uint64_t ns)
{
    pair->lane.now_ns += ns;
    if (pair->wire->due_ns <= pair->lane.now_ns) {
        pair->wire->i->tick(pair->wire);
    }
    h2_pair_run(pair);
}

size_t h2_pair_message(uint8_t *out, const void *data, size_t size)
{
    tn_grpc_prefix_put(out, (uint32_t)size);
    memmove(out + TN_GRPC_PREFIX_SIZE, data, size); /* may lie in `out` already */
    return size + TN_GRPC_PREFIX_SIZE;
}
