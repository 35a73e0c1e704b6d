/* HTTP/2 and gRPC as an attacker or a broken client speaks them, against a real server: every case
 * ends with a clear error, the right counter, a server that answers, and all memory back. */
#include "base/clock.h"
#include "core/assert.h"
#include "support/h2_raw.h"
#include "support/rpc_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GRPC "application/grpc"

static struct rpc_server server;
static struct h2_raw raw;

static void start(const struct tn_server_limits *limits)
{
    rpc_server_start(&server, limits, NULL);
    h2_raw_open(&raw, server.port);
}

static void put_message(struct h2_raw *to, uint32_t stream, uint8_t flags, uint8_t compressed,
                        uint32_t stated, size_t size)
{
    uint8_t data[5 + 5000] = {compressed};
    assert_true(size <= 5000);
    tn_store_be32(data + 1, stated);
    h2_raw_put(to, NGHTTP2_DATA, flags, stream, data, 5 + size);
}

/* A new connection gets its answer. */
static void assert_alive(void)
{
    static struct h2_raw fresh;
    h2_raw_open(&fresh, server.port);
    h2_raw_put_request(&fresh, 1, 0, "/t.E/Unary", GRPC);
    put_message(&fresh, 1, NGHTTP2_FLAG_END_STREAM, 0, 3, 3);
    assert_true(h2_raw_flush(&fresh));
    assert_int_equal(h2_raw_await(&fresh, 1), 0);
    assert_true(h2_raw_has(&fresh, "grpc-status: 0"));
    assert_int_equal(fresh.body_bytes, 8);
    h2_raw_close(&fresh);
}

static void stop(void)
{
    assert_alive();
    h2_raw_close(&raw);
    rpc_server_stop(&server);
}

/* ---- floods ---- */

static void put_reset(uint32_t i)
{
    uint8_t code[4] = {0, 0, 0, NGHTTP2_CANCEL};
    h2_raw_put_request(&raw, 2 * i + 1, 0, "/t.E/Hold", GRPC);
    h2_raw_put(&raw, NGHTTP2_RST_STREAM, 0, 2 * i + 1, code, 4);
}

static void put_settings(uint32_t i)
{
    (void)i;
    h2_raw_put(&raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void put_ping(uint32_t i)
{
    uint8_t data[8] = {(uint8_t)i};
    h2_raw_put(&raw, NGHTTP2_PING, 0, 0, data, 8);
}

static void put_empty_data(uint32_t i)
{
    if (i == 0) {
        h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    }
    h2_raw_put(&raw, NGHTTP2_DATA, 0, 1, NULL, 0);
}

static void put_priority(uint32_t i)
{
    uint8_t data[5] = {0, 0, 0, (uint8_t)(i * 2), 16};
    h2_raw_put(&raw, NGHTTP2_PRIORITY, 0, 2 * (i % 1000) + 3, data, 5);
}

/* Half of a header section, then nothing but more of it. */
static void put_continuation(uint32_t i)
{
    uint8_t block[400];
    if (i == 0) {
        h2_raw_put(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block,
                   h2_raw_block(block, "/t.E/Unary", GRPC));
    }
    h2_raw_put(&raw, NGHTTP2_CONTINUATION, 0, 1, block,
               i % 2 == 0 ? 0 : h2_raw_field(block, "a", "b"));
}

static void put_empty_continuation(uint32_t i)
{
    if (i == 0) {
        put_continuation(0);
    }
    h2_raw_put(&raw, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
}

static void put_header_bomb(uint32_t i)
{
    uint8_t block[400];
    size_t size = 0;
    if (i == 0) {
        size = h2_raw_block(block, "/t.E/Unary", GRPC);
        block[size++] = 0x40; /* literal, indexed, new name: 62 in the table */
        block[size++] = 1;
        block[size++] = 'x';
        block[size++] = 100;
        memset(block + size, 'y', 100);
        size += 100;
        h2_raw_put(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, size);
    }
    memset(block, 0x80 | 62, 400); /* 400 bytes are 40 KB of fields */
    h2_raw_put(&raw, NGHTTP2_CONTINUATION, 0, 1, block, 400);
}

static const struct {
    const char *name;
    void (*put)(uint32_t i);
    const char *cause; /* the counter that must move */
    const char *or_cause;
} floods[] = {
    {"rapid reset", put_reset, "resets", NULL},
    {"settings", put_settings, "control_frames", NULL},
    {"ping", put_ping, "control_frames", NULL},
    {"empty data", put_empty_data, "control_frames", NULL},
    {"priority churn", put_priority, "control_frames", NULL},
    {"continuation", put_continuation, "header_bytes", "protocol"},
    {"empty continuation", put_empty_continuation, "control_frames", "protocol"},
    {"header bomb", put_header_bomb, "header_bytes", "protocol"},
};

static void floods_are_cut_off_and_counted(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(floods); i++) {
        print_message("%s\n", floods[i].name);
        start(NULL);
        uint32_t sent = 0;
        while (sent < 1000000) {
            floods[i].put(sent++);
            if (sent % 100 == 0 && !h2_raw_flush(&raw)) {
                break;
            }
        }
        assert_in_range(sent, 1, 999999); /* the server closed: what came so far filled sockets */
        int code = h2_raw_goaway(&raw);
        assert_true(code == NGHTTP2_ENHANCE_YOUR_CALM || code == NGHTTP2_PROTOCOL_ERROR ||
                    code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_COMPRESSION_ERROR ||
                    code == H2_RAW_CLOSED); /* a reset may overtake the GOAWAY */
        size_t refused = rpc_server_refused(&server, floods[i].cause);
        if (floods[i].or_cause != NULL) {
            refused += rpc_server_refused(&server, floods[i].or_cause);
        }
        assert_in_range(refused, 1, 10);
        stop();
    }
}

/* Many well-behaved cancels are no attack: a client may end each stream it began after an answer.
 */
static void finished_streams_excuse_resets(void **unused)
{
    (void)unused;
    start(NULL);
    uint32_t stream = 1;
    for (uint32_t i = 0; i < 3000; i++) {
        h2_raw_put_request(&raw, stream, 0, "/t.E/Unary", GRPC);
        put_message(&raw, stream, NGHTTP2_FLAG_END_STREAM, 0, 1, 1);
        stream += 2;
        if (i % 16 == 0) {
            uint8_t code[4] = {0, 0, 0, NGHTTP2_CANCEL};
            h2_raw_put_request(&raw, stream, 0, "/t.E/Hold", GRPC);
            h2_raw_put(&raw, NGHTTP2_RST_STREAM, 0, stream, code, 4);
            stream += 2;
        }
        if (i % 50 == 49) {
            assert_true(h2_raw_flush(&raw));
            assert_int_equal(h2_raw_await(&raw, stream - 2), 0);
        }
    }
    assert_int_equal(rpc_server_refused(&server, "resets"), 0);
    stop();
}

/* Extensions that nobody knows cost what their bytes cost, and are passed over. */
static void unknown_frames_are_passed_over(void **unused)
{
    (void)unused;
    start(NULL);
    for (uint32_t i = 0; i < 5000; i++) {
        h2_raw_put(&raw, 0xee, 0xff, i % 3, &i, 4);
    }
    h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    put_message(&raw, 1, NGHTTP2_FLAG_END_STREAM, 0, 1, 1);
    assert_true(h2_raw_flush(&raw));
    assert_int_equal(h2_raw_await(&raw, 1), 0);
    stop();
}

static void window_overflows_are_errors(void **unused)
{
    (void)unused;
    uint8_t most[4] = {0x7f, 0xff, 0xff, 0xff};
    uint8_t none[4] = {0};
    start(NULL);
    h2_raw_put(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, most, 4);
    h2_raw_put(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, most, 4);
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_goaway(&raw), NGHTTP2_FLOW_CONTROL_ERROR);
    stop();
    start(NULL);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    h2_raw_put(&raw, NGHTTP2_WINDOW_UPDATE, 0, 1, most, 4);
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_await(&raw, 1), NGHTTP2_FLOW_CONTROL_ERROR);
    stop();
    start(NULL);
    h2_raw_put(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, none, 4);
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_goaway(&raw), NGHTTP2_PROTOCOL_ERROR);
    stop();
}

/* Before the client can know the limit the streams are refused; after, it breaks the protocol. */
static void streams_above_the_limit_are_refused(void **unused)
{
    (void)unused;
    start(&(struct tn_server_limits){.streams_max = 10});
    for (uint32_t i = 0; i < 12; i++) {
        h2_raw_put_request(&raw, 2 * i + 1, 0, "/t.E/Unary", GRPC);
    }
    h2_raw_flush(&raw);
    assert_true(h2_raw_await(&raw, 23) == NGHTTP2_REFUSED_STREAM);
    assert_int_equal(rpc_server_refused(&server, "streams"), 2);
    put_message(&raw, 1, NGHTTP2_FLAG_END_STREAM, 0, 1, 1);
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_await(&raw, 1), 0);
    h2_raw_put_request(&raw, 25, 0, "/t.E/Unary", GRPC);
    h2_raw_put_request(&raw, 27, 0, "/t.E/Unary", GRPC);
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_goaway(&raw), NGHTTP2_PROTOCOL_ERROR);
    stop();
}

/* ---- gRPC ---- */

static void message_in_single_bytes_is_a_message(void **unused)
{
    (void)unused;
    start(NULL);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    uint8_t data[5 + 2000] = {0};
    tn_store_be32(data + 1, 2000);
    for (size_t i = 0; i < sizeof(data); i++) {
        bool last = i + 1 == sizeof(data);
        h2_raw_put(&raw, NGHTTP2_DATA, last ? NGHTTP2_FLAG_END_STREAM : 0, 1, data + i, 1);
    }
    assert_true(h2_raw_flush(&raw));
    assert_int_equal(h2_raw_await(&raw, 1), 0);
    assert_true(h2_raw_has(&raw, "grpc-status: 0"));
    assert_int_equal(raw.body_bytes, 2005);
    stop();
}

static const struct {
    const char *name;
    uint8_t compressed;
    uint32_t stated;
    uint32_t sent;
    const char *encoding;
    const char *fields;
} broken_messages[] = {
    {"cut in the message", 0, 10, 9, NULL, "grpc-status: "},
    {"bytes behind the message", 0, 10, 11, NULL, "grpc-status: "},
    {"a second message", 0, 0, 5, NULL, "grpc-status: "},
    {"compressed without an encoding", 1, 10, 10, NULL, "grpc-status: "},
    {"flag that is none", 7, 10, 10, NULL, "grpc-status: "},
    {"not gzip", 1, 10, 10, "gzip", "grpc-status: "},
    {"unknown encoding", 1, 10, 10, "snappy", "grpc-status: 12"},
    {"above the limit", 0, 4001, 0, NULL, "grpc-status: 8"},
    {"far above the limit", 0, UINT32_MAX, 0, NULL, "grpc-status: 8"},
};

static void broken_messages_have_a_status(void **unused)
{
    (void)unused;
    start(&(struct tn_server_limits){.body_bytes_max = 4000});
    uint32_t stream = 1;
    for (size_t i = 0; i < TN_COUNT(broken_messages); i++, stream += 2) {
        print_message("%s\n", broken_messages[i].name);
        uint8_t block[400];
        size_t size = h2_raw_block(block, "/t.E/Unary", GRPC);
        if (broken_messages[i].encoding != NULL) {
            size += h2_raw_field(block + size, "grpc-encoding", broken_messages[i].encoding);
        }
        h2_raw_put(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, block, size);
        put_message(&raw, stream, NGHTTP2_FLAG_END_STREAM, broken_messages[i].compressed,
                    broken_messages[i].stated, broken_messages[i].sent);
        assert_true(h2_raw_flush(&raw));
        assert_int_equal(h2_raw_await(&raw, stream), 0);
        assert_true(h2_raw_has(&raw, broken_messages[i].fields));
        assert_null(strstr((const char *)raw.fields.data, "grpc-status: 0"));
    }
    assert_int_equal(server.begun, 0); /* none of them reached the handler */
    stop();
}

static void prefix_cut_at_every_byte(void **unused)
{
    (void)unused;
    start(NULL);
    for (uint32_t size = 0; size < 5; size++) {
        uint32_t stream = 2 * size + 1;
        uint8_t prefix[5] = {0, 0, 0, 0, 4};
        h2_raw_put_request(&raw, stream, 0, "/t.E/Unary", GRPC);
        h2_raw_put(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, prefix, size);
        h2_raw_flush(&raw);
        assert_int_equal(h2_raw_await(&raw, stream), 0);
        assert_true(h2_raw_has(&raw, "grpc-status: "));
        assert_null(strstr((const char *)raw.fields.data, "grpc-status: 0"));
    }
    stop();
}

static void wrong_requests_have_their_errors(void **unused)
{
    (void)unused;
    static const struct {
        const char *path, *type, *fields;
    } rows[] = {
        {"/t.E/Nothing", GRPC, "grpc-status: 12"},
        {"/", GRPC, "grpc-status: 12"},
        {"/t.E/Unary", "application/json", ":status: 4"},
        {"/t.E/Unary", "application/grpcx", ":status: 4"},
        {"/t.E/Unary", NULL, ":status: 4"},
        {"/nothing", "text/plain", ":status: 404"},
    };
    start(NULL);
    for (uint32_t i = 0; i < TN_COUNT(rows); i++) {
        uint32_t stream = 2 * i + 1;
        h2_raw_put_request(&raw, stream, 0, rows[i].path, rows[i].type);
        put_message(&raw, stream, NGHTTP2_FLAG_END_STREAM, 0, 1, 1);
        h2_raw_flush(&raw);
        assert_int_equal(h2_raw_await(&raw, stream), 0);
        assert_true(h2_raw_has(&raw, rows[i].fields));
    }
    stop();
}

static void broken_frames_end_the_connection(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        uint8_t type, flags;
        uint32_t stream;
        const char *data;
        size_t size;
    } rows[] = {
        {"DATA on stream 0", NGHTTP2_DATA, 0, 0, "x", 1},
        {"DATA on an idle stream", NGHTTP2_DATA, 0, 5, "x", 1},
        {"HEADERS on stream 0", NGHTTP2_HEADERS, 4, 0, "\x83", 1},
        {"HEADERS on an even stream", NGHTTP2_HEADERS, 5, 2, "\x83", 1},
        {"CONTINUATION alone", NGHTTP2_CONTINUATION, 4, 1, "\x83", 1},
        {"SETTINGS of 5 bytes", NGHTTP2_SETTINGS, 0, 0, "12345", 5},
        {"SETTINGS on a stream", NGHTTP2_SETTINGS, 0, 1, NULL, 0},
        {"SETTINGS: window of 2^31", NGHTTP2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6},
        {"SETTINGS: frame of 1", NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6},
        {"PING of 7 bytes", NGHTTP2_PING, 0, 0, "1234567", 7},
        {"RST_STREAM of an idle stream", NGHTTP2_RST_STREAM, 0, 7, "\0\0\0\10", 4},
        {"RST_STREAM of 3 bytes", NGHTTP2_RST_STREAM, 0, 1, "\0\0\10", 3},
        {"PUSH_PROMISE from a client", NGHTTP2_PUSH_PROMISE, 4, 1, "\0\0\0\2\x83", 5},
        {"HPACK index 0", NGHTTP2_HEADERS, 5, 1, "\x80", 1},
        {"HPACK index beyond the table", NGHTTP2_HEADERS, 5, 1, "\xff\x7f", 2},
        {"HPACK table above the limit", NGHTTP2_HEADERS, 5, 1, "\x3f\xff\xff\x7f", 4},
        {"padding longer than the frame", NGHTTP2_HEADERS, 13, 1, "\x09\x83", 2},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        print_message("%s\n", rows[i].name);
        start(NULL);
        h2_raw_put(&raw, rows[i].type, rows[i].flags, rows[i].stream, rows[i].data, rows[i].size);
        h2_raw_flush(&raw);
        int code = h2_raw_goaway(&raw);
        assert_true(code > 0);
        assert_int_equal(h2_raw_goaway(&raw), H2_RAW_CLOSED);
        assert_in_range(rpc_server_refused(&server, "protocol"), 1, 2);
        stop();
    }
}

static void oversize_frames_are_refused(void **unused)
{
    (void)unused;
    start(NULL);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    uint8_t head[9] = {0xff, 0xff, 0xff, NGHTTP2_DATA, 0, 0, 0, 0, 1};
    tn_buf_put(&raw.out, head, sizeof(head));
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_goaway(&raw), NGHTTP2_FRAME_SIZE_ERROR);
    stop();
}

/* ---- connections that end anywhere ---- */

/* The bytes of one valid exchange: preface, SETTINGS, HEADERS, DATA. */
static size_t valid_exchange(uint8_t *bytes)
{
    tn_buf_reset(&raw.out);
    tn_buf_put_text(&raw.out, NGHTTP2_CLIENT_MAGIC);
    h2_raw_put(&raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Hold", GRPC);
    put_message(&raw, 1, NGHTTP2_FLAG_END_STREAM, 0, 3, 3);
    memcpy(bytes, raw.out.data, raw.out.size);
    size_t size = raw.out.size;
    tn_buf_reset(&raw.out);
    return size;
}

/* No time limit may help to get rid of what was cut. */
static const struct tn_server_limits patient = {
    .header_timeout_ns = 300 * TN_NS_PER_S,
    .body_timeout_ns = 300 * TN_NS_PER_S,
};

static void cut_at_every_byte(void **unused)
{
    (void)unused;
    uint8_t bytes[400];
    start(&patient);
    size_t size = valid_exchange(bytes);
    for (size_t at = 0; at <= size; at++) {
        for (int reset = 0; reset < 3; reset++) {
            int fd = h2_raw_socket(server.port);
            assert_int_equal(send(fd, bytes, at, MSG_NOSIGNAL), at);
            if (reset == 1) { /* RST instead of FIN */
                struct linger linger = {.l_onoff = 1};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            } else if (reset == 2) {
                shutdown(fd, SHUT_WR);
            }
            close(fd);
        }
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 1)); /* `raw` */
    stop();
}

/* A client that sends all and closes its half is still a client that waits for no answer in
 * HTTP/2; its calls are cancelled, and nothing stays behind. */
static void half_closed_connections_end(void **unused)
{
    (void)unused;
    uint8_t bytes[400];
    start(NULL);
    size_t size = valid_exchange(bytes);
    int fd = h2_raw_socket(server.port);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    shutdown(fd, SHUT_WR);
    uint8_t in[1000];
    while (recv(fd, in, sizeof(in), 0) > 0) {
    }
    close(fd);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 1));
    assert_int_equal(server.begun, 1);
    assert_int_equal(server.cancelled, 1);
    stop();
}

/* ---- those who are slow on purpose ---- */

static const struct tn_server_limits impatient = {
    .header_timeout_ns = 100 * TN_NS_PER_MS,
    .body_timeout_ns = 100 * TN_NS_PER_MS,
    .idle_timeout_ns = 100 * TN_NS_PER_MS,
    .write_timeout_ns = 200 * TN_NS_PER_MS,
};

static void half_a_header_section_times_out(void **unused)
{
    (void)unused;
    uint8_t block[400];
    start(&impatient);
    size_t size = h2_raw_block(block, "/t.E/Unary", GRPC);
    h2_raw_put(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, size);
    h2_raw_flush(&raw);
    int code = h2_raw_goaway(&raw);
    assert_true(code >= 0 || code == H2_RAW_CLOSED);
    assert_int_equal(rpc_server_refused(&server, "header_timeout"), 1);
    stop();
}

static void half_a_preface_times_out(void **unused)
{
    (void)unused;
    start(&impatient);
    int fd = h2_raw_socket(server.port);
    assert_int_equal(send(fd, NGHTTP2_CLIENT_MAGIC, 10, MSG_NOSIGNAL), 10);
    uint8_t in[100];
    assert_int_equal(recv(fd, in, sizeof(in), 0), 0);
    close(fd);
    assert_in_range(rpc_server_refused(&server, "header_timeout"), 1, 2);
    stop();
}

static void body_that_stops_times_out(void **unused)
{
    (void)unused;
    start(&impatient);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Unary", GRPC);
    put_message(&raw, 1, 0, 0, 100, 3);
    h2_raw_flush(&raw);
    int code = h2_raw_await(&raw, 1);
    assert_true(code >= 0); /* a status or a reset, not silence */
    assert_int_equal(rpc_server_refused(&server, "body_timeout"), 1);
    stop();
}

/* Megabytes are asked for and no window is given: the answer waits, then the stream is cut. */
static void reader_without_a_window_is_cut_off(void **unused)
{
    (void)unused;
    uint8_t size[5 + 4] = {0, 0, 0, 0, 4};
    start(&impatient);
    tn_store_le32(size + 5, 8 << 20);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Flood", GRPC);
    h2_raw_put(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, size, sizeof(size));
    h2_raw_flush(&raw);
    assert_int_equal(h2_raw_await(&raw, 1), NGHTTP2_CANCEL);
    assert_int_equal(raw.body_bytes, 65535);
    assert_int_equal(rpc_server_refused(&server, "write_timeout"), 1);
    stop();
}

/* The window is there, but the socket is not read. */
static void reader_that_does_not_read_is_cut_off(void **unused)
{
    (void)unused;
    uint8_t size[5 + 4] = {0, 0, 0, 0, 4};
    uint8_t wide[4] = {0x3f, 0xff, 0xff, 0xff};
    uint8_t settings[6] = {0, 4, 0x3f, 0xff, 0xff, 0xff};
    start(&(struct tn_server_limits){.write_timeout_ns = 200 * TN_NS_PER_MS});
    tn_store_le32(size + 5, 64 << 20);
    h2_raw_put(&raw, NGHTTP2_SETTINGS, 0, 0, settings, 6);
    h2_raw_put(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, wide, 4);
    h2_raw_put_request(&raw, 1, 0, "/t.E/Flood", GRPC);
    h2_raw_put(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, size, sizeof(size));
    h2_raw_flush(&raw);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_refused_total{cause=\"write_timeout\"}", 1));
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 0));
    stop();
}

int main(int argc, char **argv)
{
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* one test by name */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floods_are_cut_off_and_counted),
        cmocka_unit_test(finished_streams_excuse_resets),
        cmocka_unit_test(unknown_frames_are_passed_over),
        cmocka_unit_test(window_overflows_are_errors),
        cmocka_unit_test(streams_above_the_limit_are_refused),
        cmocka_unit_test(message_in_single_bytes_is_a_message),
        cmocka_unit_test(broken_messages_have_a_status),
        cmocka_unit_test(prefix_cut_at_every_byte),
        cmocka_unit_test(wrong_requests_have_their_errors),
        cmocka_unit_test(broken_frames_end_the_connection),
        cmocka_unit_test(oversize_frames_are_refused),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(half_closed_connections_end),
        cmocka_unit_test(half_a_header_section_times_out),
        cmocka_unit_test(half_a_preface_times_out),
        cmocka_unit_test(body_that_stops_times_out),
        cmocka_unit_test(reader_without_a_window_is_cut_off),
        cmocka_unit_test(reader_that_does_not_read_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
