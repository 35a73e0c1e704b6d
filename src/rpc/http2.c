/* HTTP/2 of a server: input, limits and time; see http2.h. Output is in http2_output.c.
 *
 * Floods: the frames that make work but no progress are counted by the second. Resets of streams
 * that were not answered (rapid reset, CVE-2023-44487) may exceed the answered ones by
 * resets_per_second_max; SETTINGS, PING, PRIORITY, RST_STREAM and empty DATA together are held to
 * control_per_second_max; header blocks to a time and to four times header_bytes_max, beyond which
 * the sender is not mistaken but hostile. nghttp2 bounds CONTINUATION frames and unsent answers.
 * Flow control: no automatic windows. What a call uses up is given back (wire_i.consumed), so a
 * paused call stops its sender.
 * Memory: as in http2.h. Threads: the lane's loop. Bounds: as above. */
#include "rpc/http2.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/http2_session.h"

enum {
    FRAME_SIZE_MAX = 1 << 20, /* DATA of a tensor in few frames; DATA is never buffered whole */
    HEADERS_HOSTILE = 4,
};

/* Between the GOAWAY that announces and the one that counts: more than a round trip. */
#define GOAWAY_PAUSE_NS (100 * TN_NS_PER_MS)

const struct tn_str tn_http2_preface = TN_STR(NGHTTP2_CLIENT_MAGIC);

struct tn_call *tn_http2_call(struct tn_http2 *h2, int32_t stream_id)
{
    if (h2->recent == NULL || h2->recent->stream_id != stream_id) {
        h2->recent = nghttp2_session_get_stream_user_data(h2->session, stream_id);
    }
    return h2->recent;
}

void tn_http2_fail(struct tn_http2 *h2, enum tn_refusal cause, uint32_t error_code)
{
    if (!h2->failed) {
        h2->failed = true;
        tn_meter_refused(h2->wire.lane->meter, cause);
        /* Without memory for the GOAWAY the connection closes without one. */
        (void)nghttp2_session_terminate_session(h2->session, error_code);
        tn_wire_wake(&h2->wire);
    }
}

/* ---- floods ---- */

static void count_second(struct tn_http2 *h2)
{
    uint64_t now_ns = h2->wire.lane->now_ns;
    if (now_ns - h2->second_ns >= TN_NS_PER_S) {
        h2->second_ns = now_ns;
        h2->resets = 0;
        h2->finished = 0;
        h2->control = 0;
    }
}

static void count_control(struct tn_http2 *h2)
{
    count_second(h2);
    h2->control++;
    if (h2->control > h2->wire.lane->limits.control_per_second_max) {
        tn_http2_fail(h2, TN_REFUSAL_CONTROL_FRAMES, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static void count_reset(struct tn_http2 *h2)
{
    count_second(h2);
    h2->resets++;
    if (h2->resets > h2->finished + h2->wire.lane->limits.resets_per_second_max) {
        tn_http2_fail(h2, TN_REFUSAL_RESETS, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    struct tn_http2 *h2 = user;
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0) {
            count_control(h2);
        }
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_WINDOW_UPDATE:
        break;
    default:
        count_control(h2);
        break;
    }
    return h2->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- requests ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct tn_http2 *h2 = user;
    h2->block_ns = h2->wire.lane->now_ns;
    tn_wire_due(&h2->wire, h2->block_ns + h2->wire.lane->limits.header_timeout_ns);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct tn_call *call = tn_call_create(&h2->wire, 20);
    if (call == NULL) {
        tn_meter_refused(h2->wire.lane->meter, TN_REFUSAL_MEMORY);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    call->stream_id = frame->hd.stream_id;
    h2->recent = call;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
}

static void put_pseudo(struct tn_call *call, struct tn_str name, struct tn_str value)
{
    if (tn_str_is(name, ":path")) {
        tn_call_put_target(call, value);
    } else if (tn_str_is(name, ":method")) {
        tn_call_put_method(call, value);
    } else if (tn_str_is(name, ":authority")) {
        tn_call_put_authority(call, value);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)flags;
    struct tn_http2 *h2 = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers of a request mean nothing to us */
    }
    struct tn_call *call = tn_http2_call(h2, frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    struct tn_str name_view = tn_str_make((const char *)name, name_size);
    struct tn_str value_view = tn_str_make((const char *)value, value_size);
    if (name_size > 0 && name[0] == ':') {
        put_pseudo(call, name_view, value_view);
    } else {
        tn_call_put_header(call, name_view, value_view);
    }
    if (call->header_bytes / HEADERS_HOSTILE > h2->wire.lane->limits.header_bytes_max) {
        tn_http2_fail(h2, TN_REFUSAL_HEADER_BYTES, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static void input_end(struct tn_http2 *h2, struct tn_call *call)
{
    if (call->ended && !call->input_ended) {
        h2->early--;
    }
    tn_call_input_end(call);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct tn_http2 *h2 = user;
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        h2->start_ns = 0;
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct tn_call *call = tn_http2_call(h2, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS) {
        h2->block_ns = 0;
        if (call != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            tn_call_begin(call);
        }
    }
    if (call != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        input_end(h2, call);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    struct tn_http2 *h2 = user;
    struct tn_call *call = tn_http2_call(h2, stream_id);
    if (call == NULL) {
        return nghttp2_session_consume_connection(session, size) == NGHTTP2_ERR_NOMEM
                   ? NGHTTP2_ERR_CALLBACK_FAILURE
                   : 0;
    }
    tn_call_input(call, tn_bytes_make(data, size));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user)
{
    struct tn_http2 *h2 = user;
    struct tn_call *call = tn_http2_call(h2, stream_id);
    h2->recent = NULL;
    h2->block_ns = 0;
    if (call == NULL) {
        return 0;
    }
    if (call->held.size > 0) {
        nghttp2_session_consume_connection(session, call->held.size);
    }
    count_second(h2);
    if (call->ended) {
        h2->finished++;
        h2->early -= !call->input_ended;
    } else if (error_code != NGHTTP2_NO_ERROR) {
        count_reset(h2);
    }
    tn_call_cut(call);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user)
{
    (void)session;
    (void)frame;
    struct tn_http2 *h2 = user;
    enum tn_refusal cause =
        code == NGHTTP2_ERR_REFUSED_STREAM ? TN_REFUSAL_STREAMS : TN_REFUSAL_PROTOCOL;
    h2->told = h2->told || cause == TN_REFUSAL_PROTOCOL;
    tn_meter_refused(h2->wire.lane->meter, cause);
    return 0;
}

static void consumed(struct tn_wire *wire, struct tn_call *call, size_t size)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    /* Fails only without memory for the WINDOW_UPDATE: the next one carries more. */
    (void)nghttp2_session_consume(h2->session, call->stream_id, size);
}

static enum tn_err receive(struct tn_wire *wire, struct tn_bytes bytes)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    if (h2->failed) {
        return TN_OK;
    }
    ssize_t used = nghttp2_session_mem_recv(h2->session, bytes.data, bytes.size);
    tn_wire_wake(wire);
    if (used >= 0 || h2->failed) {
        return TN_OK; /* a GOAWAY may wait; is_over says when it is out */
    }
    enum tn_refusal cause = TN_REFUSAL_PROTOCOL;
    if (used == NGHTTP2_ERR_NOMEM) {
        cause = TN_REFUSAL_MEMORY;
    } else if (used == NGHTTP2_ERR_FLOODED) {
        cause = TN_REFUSAL_CONTROL_FRAMES; /* nghttp2 counts unanswered PINGs and SETTINGS too */
    }
    tn_http2_fail(h2, cause, NGHTTP2_PROTOCOL_ERROR);
    return TN_INVALID;
}

/* ---- time ---- */

static void check_connection(struct tn_http2 *h2)
{
    struct tn_wire *wire = &h2->wire;
    const struct tn_server_limits *limits = &wire->lane->limits;
    uint64_t now_ns = wire->lane->now_ns;
    uint64_t since_ns = h2->start_ns != 0 ? h2->start_ns : h2->block_ns;
    if (since_ns != 0) {
        if (since_ns + limits->header_timeout_ns <= now_ns) {
            tn_http2_fail(h2, TN_REFUSAL_HEADER_TIMEOUT, NGHTTP2_NO_ERROR);
        }
        tn_wire_due(wire, since_ns + limits->header_timeout_ns);
    }
    if (wire->call_count == 0) {
        if (wire->idle_ns + limits->idle_timeout_ns <= now_ns && !h2->failed) {
            h2->failed = true; /* idleness is no refusal: not counted */
            (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
            tn_wire_wake(wire);
        }
        tn_wire_due(wire, wire->idle_ns + limits->idle_timeout_ns);
    }
    if (h2->goaway_ns != 0) {
        if (h2->goaway_ns <= now_ns) {
            h2->goaway_ns = 0;
            int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
            (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
                                        NULL, 0);
            tn_wire_wake(wire);
        } else {
            tn_wire_due(wire, h2->goaway_ns);
        }
    }
}

/* A stream whose reader does not read. */
static void check_output(struct tn_http2 *h2)
{
    const struct tn_server_limits *limits = &h2->wire.lane->limits;
    uint64_t now_ns = h2->wire.lane->now_ns;
    for (struct tn_call *call = h2->wire.calls; call != NULL; call = call->next) {
        if (call->out_bytes > 0 && call->output_ns + limits->write_timeout_ns <= now_ns) {
            call->output_ns = now_ns;
            tn_meter_refused(h2->wire.lane->meter, TN_REFUSAL_WRITE_TIMEOUT);
            (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                            NGHTTP2_CANCEL);
            tn_wire_wake(&h2->wire);
        }
    }
}

static void tick(struct tn_wire *wire)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    check_output(h2);
    tn_wire_tick_calls(wire);
    check_connection(h2);
}

static void drain(struct tn_wire *wire)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    if (wire->draining || h2->failed) {
        return;
    }
    wire->draining = true;
    (void)nghttp2_submit_shutdown_notice(h2->session);
    h2->goaway_ns = wire->lane->now_ns + GOAWAY_PAUSE_NS;
    tn_wire_due(wire, h2->goaway_ns);
    tn_wire_wake(wire);
}

static bool is_over(const struct tn_wire *wire)
{
    const struct tn_http2 *h2 = TN_CONTAINER(wire, struct tn_http2, wire);
    return !nghttp2_session_want_write(h2->session) &&
           (h2->failed || !nghttp2_session_want_read(h2->session));
}

/* ---- life ---- */

static void destroy(struct tn_wire *wire)
{
    struct tn_http2 *h2 = tn_http2_of(wire);
    wire->wake = NULL;
    h2->recent = NULL;
    tn_wire_cut_calls(wire);
    nghttp2_session_del(h2->session);
    tn_mem_give(h2);
}

static const struct tn_wire_i http2_i = {
    .receive = receive,
    .collect = tn_http2_collect,
    .is_over = is_over,
    .tick = tick,
    .drain = drain,
    .destroy = destroy,
    .output = tn_http2_output,
    .consumed = consumed,
};

static void *mem_take(size_t size, void *pool)
{
    return tn_small_pool_take(pool, size);
}

static void mem_give(void *memory, void *pool)
{
    tn_small_pool_give(pool, memory);
}

static void *mem_take_zeroed(size_t count, size_t size, void *pool)
{
    return tn_small_pool_take_zeroed(pool, count, size);
}

static void *mem_resize(void *memory, size_t size, void *pool)
{
    return tn_small_pool_resize(pool, memory, size);
}

static enum tn_err open_session(struct tn_http2 *h2)
{
    nghttp2_mem mem = {&h2->wire.lane->small, mem_take, mem_give, mem_take_zeroed, mem_resize};
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return TN_NOMEM;
    }
    int code = nghttp2_option_new(&option);
    if (code == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
        tn_http2_set_output_callbacks(callbacks);
        code = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return code == 0 ? TN_OK : TN_NOMEM;
}

static uint32_t clamp32(size_t value, uint32_t most)
{
    return value < most ? (uint32_t)value : most;
}

static enum tn_err send_settings(struct tn_http2 *h2)
{
    const struct tn_server_limits *limits = &h2->wire.lane->limits;
    uint32_t window = clamp32(limits->window_bytes, INT32_MAX);
    /* Not SETTINGS_NO_RFC7540_PRIORITIES: with it nghttp2 1.52 frees an outbound frame twice when
     * an allocation fails, and it saves nothing that can be measured. */
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, clamp32(limits->streams_max, INT32_MAX)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_SIZE_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, clamp32(limits->header_bytes_max, UINT32_MAX)},
    };
    int code = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, TN_COUNT(entries));
    if (code == 0) {
        code = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                     (int32_t)window);
    }
    return code == 0 ? TN_OK : TN_NOMEM;
}

enum tn_err tn_http2_create(const struct tn_wire_options *options, struct tn_wire **ret_wire)
{
    struct tn_http2 *h2 = tn_mem_take_zeroed(1, sizeof(*h2));
    if (h2 == NULL) {
        return TN_NOMEM;
    }
    tn_wire_init(&h2->wire, &http2_i, options);
    h2->wire.http2 = true;
    enum tn_err err = open_session(h2);
    if (err >= 0) {
        err = send_settings(h2);
    }
    if (err < 0) {
        destroy(&h2->wire);
        return err;
    }
    h2->start_ns = options->lane->now_ns;
    h2->second_ns = options->lane->now_ns;
    h2->wire.due_ns = h2->start_ns + options->lane->limits.header_timeout_ns;
    *ret_wire = &h2->wire;
    return TN_OK;
}
