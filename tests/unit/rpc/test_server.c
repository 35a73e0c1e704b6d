/* The server on real sockets: HTTP/1.1 at every cut, pipelining, early answers, limits in number
 * and time, Unix sockets, ports that are taken, drain, and each allocation of create and listen. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "support/rpc_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct rpc_server server;

static int dial(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void put(int fd, const char *text, size_t size)
{
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), size);
}

/* Reads until the text occurs `times` times, or the end; returns how often it did. */
static size_t await(int fd, const char *text, size_t times, char *all, size_t room)
{
    size_t size = 0;
    size_t found = 0;
    while (found < times && size + 1 < room) {
        ssize_t got = recv(fd, all + size, room - 1 - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        all[size] = '\0';
        found = 0;
        for (const char *at = all; (at = strstr(at, text)) != NULL; at++) {
            found++;
        }
    }
    all[size] = '\0';
    return found;
}

static bool is_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static const char post[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";

/* ---- HTTP/1.1 ---- */

static void every_cut_is_the_same_request(void **state)
{
    (void)state;
    rpc_server_start(&server, NULL, NULL);
    int fd = dial(server.port);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, 1, &on, sizeof(on)); /* TCP_NODELAY */
    char all[4096];
    for (size_t cut = 1; cut < sizeof(post) - 1; cut++) {
        put(fd, post, cut);
        put(fd, post + cut, sizeof(post) - 1 - cut);
        assert_int_equal(await(fd, "\r\n\r\nhello", 1, all, sizeof(all)), 1);
        assert_non_null(strstr(all, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(all, "content-length: 5\r\n"));
    }
    close(fd);
    rpc_server_stop(&server);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    rpc_server_start(&server, NULL, NULL);
    int fd = dial(server.port);
    char text[COUNT * 80];
    size_t size = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        size += (size_t)snprintf(
            text + size, sizeof(text) - size,
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\n<%04u>", i);
    }
    put(fd, text, size);
    static char all[COUNT * 200];
    assert_int_equal(await(fd, ">", COUNT, all, sizeof(all)), COUNT);
    const char *at = all;
    for (unsigned i = 0; i < COUNT; i++) {
        char body[8];
        snprintf(body, sizeof(body), "<%04u>", i);
        at = strstr(at, body);
        assert_non_null(at);
    }
    close(fd);
    rpc_server_stop(&server);
}

struct exchange {
    const char *request;
    const char *answer[3]; /* all of these occur */
    const char *never;
    bool closes;
};

static const struct exchange rows[] = {
    {"HEAD /big HTTP/1.1\r\nHost: t\r\n\r\n",
     {"HTTP/1.1 200", "content-length: 1048576\r\n"},
     "yyyy",
     false},
    {"GET /echo?x=1 HTTP/1.0\r\n\r\n", {"200 OK", "connection: close"}, NULL, true},
    {"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     {"200 OK", "connection: keep-alive"},
     NULL,
     false},
    {"GET /echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
     {"200 OK", "connection: close"},
     NULL,
     true},
    {"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n",
     {"200 OK", "\r\n\r\nabcdefg"},
     NULL,
     false},
    {"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
     {"HTTP/1.1 100 Continue\r\n\r\n", "200 OK", "\r\n\r\nok"},
     NULL,
     false},
    {"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", {"404", "\"error\""}, NULL, false},
    {"POST /t.E/Unary HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc\r\n"
     "Content-Length: 0\r\n\r\n",
     {"404"},
     NULL,
     false},
    {"GET / HTTP/1.1\r\n\r\n", {"400", "connection: close"}, NULL, true},
    {"nonsense\r\n\r\n", {"400", "connection: close"}, NULL, true},
    {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
     "\r\n",
     {"400"},
     NULL,
     true},
    {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2001\r\n\r\n",
     {"413", "connection: close"},
     "100 Continue",
     true},
    {"GET /echo HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
     {"HTTP/1.1 200 OK"},
     "101",
     false},
};

static void requests_of_all_kinds(void **state)
{
    (void)state;
    const struct tn_server_limits limits = {.body_bytes_max = 2000};
    rpc_server_start(&server, &limits, NULL);
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        int fd = dial(server.port);
        static char all[8192];
        put(fd, rows[i].request, strlen(rows[i].request));
        size_t last = 0;
        while (last < 2 && rows[i].answer[last + 1] != NULL) {
            last++;
        }
        assert_int_equal(await(fd, rows[i].answer[last], 1, all, sizeof(all)), 1);
        for (size_t j = 0; j <= last; j++) {
            assert_non_null(strstr(all, rows[i].answer[j]));
        }
        assert_true(rows[i].never == NULL || strstr(all, rows[i].never) == NULL);
        if (rows[i].closes) {
            shutdown(fd, SHUT_WR);
            char rest[1000];
            await(fd, "\x01never", 1, rest, sizeof(rest));
            assert_true(is_closed(fd));
        } else {
            put(fd, post, sizeof(post) - 1);
            assert_int_equal(await(fd, "\r\n\r\nhello", 1, all, sizeof(all)), 1);
        }
        close(fd);
    }
    rpc_server_stop(&server);
}

/* A client that sends all of a body that is refused still reads the answer. */
static void an_early_answer_arrives(void **state)
{
    (void)state;
    const struct tn_server_limits limits = {.body_bytes_max = 1000};
    rpc_server_start(&server, &limits, NULL);
    int fd = dial(server.port);
    static char body[1 << 20];
    const char head[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n";
    put(fd, head, sizeof(head) - 1);
    put(fd, body, sizeof(body));
    char all[4096];
    assert_int_equal(await(fd, "\r\n\r\n", 1, all, sizeof(all)), 1);
    assert_non_null(strstr(all, "413"));
    close(fd);
    assert_int_equal(rpc_server_refused(&server, "body_bytes"), 1);
    rpc_server_stop(&server);
}

/* ---- limits ---- */

static void connections_are_limited(void **state)
{
    (void)state;
    const struct tn_server_limits limits = {.connections_max = 3};
    rpc_server_start(&server, &limits, NULL);
    int fds[4];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = dial(server.port);
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 3));
    fds[3] = dial(server.port);
    assert_true(is_closed(fds[3]));
    assert_int_equal(rpc_server_refused(&server, "connections"), 1);
    close(fds[0]);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 2));
    int again = dial(server.port);
    char all[1000];
    put(again, post, sizeof(post) - 1);
    assert_int_equal(await(again, "hello", 1, all, sizeof(all)), 1);
    close(again);
    for (size_t i = 1; i < 4; i++) {
        close(fds[i]);
    }
    rpc_server_stop(&server);
}

static void slow_heads_and_bodies_are_cut(void **state)
{
    (void)state;
    const struct tn_server_limits limits = {.header_timeout_ns = 100 * TN_NS_PER_MS,
                                            .body_timeout_ns = 100 * TN_NS_PER_MS,
                                            .idle_timeout_ns = 300 * TN_NS_PER_MS};
    rpc_server_start(&server, &limits, NULL);
    char all[1000];
    int silent = dial(server.port);
    int half = dial(server.port);
    put(half, "GET /echo HT", 12);
    int body = dial(server.port);
    put(body, post, sizeof(post) - 2);
    int preface = dial(server.port);
    put(preface, "PRI * HTTP/2.0\r\n", 16);
    assert_true(is_closed(silent));
    assert_int_equal(await(half, "408", 1, all, sizeof(all)), 1);
    assert_int_equal(await(body, "408", 1, all, sizeof(all)), 1);
    assert_true(is_closed(preface));
    assert_int_equal(rpc_server_refused(&server, "header_timeout"), 3);
    assert_int_equal(rpc_server_refused(&server, "body_timeout"), 1);
    close(silent);
    close(half);
    close(body);
    close(preface);

    /* Drop by drop: each byte in time, the whole head not. */
    int drops = dial(server.port);
    const char head[] = "GET /echo HTTP/1.1\r\nHost: t\r\nX: 123456789\r\n\r\n";
    for (size_t i = 0; i < sizeof(head) - 1; i++) {
        if (send(drops, head + i, 1, MSG_NOSIGNAL) < 0) {
            break;
        }
        rpc_pause_ms(10);
    }
    await(drops, "408", 1, all, sizeof(all));
    assert_null(strstr(all, "200"));
    close(drops);

    /* After an answer the connection may rest, but not for ever. */
    int idle = dial(server.port);
    put(idle, post, sizeof(post) - 1);
    assert_int_equal(await(idle, "hello", 1, all, sizeof(all)), 1);
    rpc_pause_ms(150);
    put(idle, post, sizeof(post) - 1);
    assert_int_equal(await(idle, "hello", 1, all, sizeof(all)), 1);
    assert_true(is_closed(idle));
    close(idle);
    rpc_server_stop(&server);
}

/* A peer that asks and never reads fills its socket; the server lets go of it. */
static void a_peer_that_never_reads_is_cut(void **state)
{
    (void)state;
    const struct tn_server_limits limits = {.write_timeout_ns = 200 * TN_NS_PER_MS};
    rpc_server_start(&server, &limits, NULL);
    int fd = dial(server.port);
    const char get[] = "GET /big HTTP/1.1\r\nHost: t\r\n\r\n";
    for (size_t i = 0; i < 20; i++) { /* more than the socket's buffers hold */
        put(fd, get, sizeof(get) - 1);
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_refused_total{cause=\"write_timeout\"}", 1));
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 0));
    close(fd);
    rpc_server_stop(&server);
}

/* ---- listening ---- */

static void what_cannot_be_listened_on_says_why(void **state)
{
    (void)state;
    rpc_server_start(&server, NULL, NULL);
    struct tn_loop *loop = NULL;
    struct tn_server *other = NULL;
    struct tn_fault fault = {0};
    unsigned port = 0;
    assert_int_equal(tn_loop_create("other", &loop, &fault), TN_OK);
    const struct tn_server_options options = {.loops = &loop, .loop_count = 1};
    assert_int_equal(tn_server_create(&options, &other, &fault), TN_OK);
    struct tn_listen_options listen = {.port = server.port};
    assert_int_equal(tn_server_listen(other, &listen, &port, &fault), TN_IO);
    assert_non_null(strstr(fault.text, "another process uses it"));
    const char *addresses[] = {"localhost", "1.2.3", "unix:", "300.0.0.1"};
    for (size_t i = 0; i < TN_COUNT(addresses); i++) {
        listen = (struct tn_listen_options){.address = addresses[i]};
        assert_int_equal(tn_server_listen(other, &listen, &port, &fault), TN_INVALID);
        assert_non_null(strstr(fault.text, addresses[i]));
    }
    listen = (struct tn_listen_options){.address = "192.0.2.1"};
    assert_int_equal(tn_server_listen(other, &listen, &port, &fault), TN_IO);
    tn_server_destroy(other);
    tn_loop_destroy(loop);
    rpc_server_stop(&server);
}

static void unix_sockets_serve(void **state)
{
    (void)state;
    char text[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/tenon-test-%d.sock", getpid());
    snprintf(text, sizeof(text), "unix:%s", address.sun_path);
    for (unsigned round = 0; round < 2; round++) { /* the second finds a stale socket file */
        struct tn_fault fault = {0};
        unsigned port = 1;
        rpc_server_start(&server, NULL, NULL);
        const struct tn_listen_options listen = {.address = text};
        assert_int_equal(tn_server_listen(server.server, &listen, &port, &fault), TN_OK);
        assert_int_equal(port, 0);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        char all[1000];
        put(fd, post, sizeof(post) - 1);
        assert_int_equal(await(fd, "hello", 1, all, sizeof(all)), 1);
        close(fd);
        rpc_server_stop(&server);
    }
    unlink(address.sun_path);
}

/* ---- drain ---- */

static atomic_size_t drained, drained_cut;

static void on_drained(void *context, size_t cut)
{
    (void)context;
    atomic_store(&drained_cut, cut);
    atomic_fetch_add(&drained, 1);
}

static bool drains_within(unsigned ms)
{
    for (unsigned waited = 0; waited < ms && atomic_load(&drained) == 0; waited += 5) {
        rpc_pause_ms(5);
    }
    return atomic_load(&drained) == 1;
}

static void drain_waits_and_then_cuts(void **state)
{
    (void)state;
    char all[1000];
    /* Idle and half-open connections end at once; the body that comes is answered first. */
    rpc_server_start(&server, NULL, NULL);
    atomic_store(&drained, 0);
    int idle = dial(server.port);
    int busy = dial(server.port);
    put(idle, post, sizeof(post) - 1);
    assert_int_equal(await(idle, "hello", 1, all, sizeof(all)), 1);
    put(busy, post, sizeof(post) - 3);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 2));
    rpc_pause_ms(20);
    tn_server_drain(server.server, tn_clock_mono_ns() + 5 * TN_NS_PER_S, on_drained, NULL);
    assert_true(is_closed(idle));
    assert_int_equal(atomic_load(&drained), 0);
    put(busy, post + sizeof(post) - 3, 2);
    assert_int_equal(await(busy, "hello", 1, all, sizeof(all)), 1);
    assert_non_null(strstr(all, "connection: close"));
    assert_true(drains_within(2000));
    assert_int_equal(atomic_load(&drained_cut), 0);
    close(idle);
    close(busy);
    rpc_server_stop(&server);

    /* What does not end is cut at the deadline and counted. */
    rpc_server_start(&server, NULL, NULL);
    atomic_store(&drained, 0);
    busy = dial(server.port);
    put(busy, post, sizeof(post) - 3);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 1));
    rpc_pause_ms(20);
    tn_server_drain(server.server, tn_clock_mono_ns() + 50 * TN_NS_PER_MS, on_drained, NULL);
    assert_true(drains_within(2000));
    assert_int_equal(atomic_load(&drained_cut), 1);
    assert_true(is_closed(busy));
    close(busy);
    rpc_server_stop(&server);
}

/* ---- memory ---- */

static enum tn_err create_and_listen(struct tn_loop *loop, struct tn_metrics *metrics)
{
    struct tn_server *made = NULL;
    struct tn_fault fault = {0};
    unsigned port = 0;
    static const struct tn_handler nothing = {.request = (void (*)(void *, struct tn_call *))abort};
    const struct tn_server_options options = {.loops = &loop, .loop_count = 1, .metrics = metrics};
    enum tn_err err = tn_server_create(&options, &made, &fault);
    if (err < 0) {
        return err;
    }
    err = tn_server_route_http(made, TN_STR_OF("/"), &nothing);
    if (err >= 0) {
        err = tn_server_route_grpc(made, TN_STR_OF("/a.B/C"), &nothing);
    }
    if (err >= 0) {
        const struct tn_listen_options listen = {0};
        err = tn_server_listen(made, &listen, &port, &fault);
    }
    tn_server_destroy(made);
    return err;
}

static void no_allocation_failure_leaks(void **state)
{
    (void)state;
    struct tn_loop *loop = NULL;
    struct tn_metrics *metrics = NULL;
    assert_int_equal(tn_loop_create("sweep", &loop, NULL), TN_OK);
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    assert_int_equal(create_and_listen(loop, metrics), TN_OK); /* the registry keeps families */
    for (unsigned persistent = 0; persistent < 2; persistent++) {
        size_t live = tn_mem_live();
        for (size_t n = 1;; n++) {
            tn_mem_fail_from(n, persistent != 0);
            enum tn_err err = create_and_listen(loop, metrics);
            bool delivered = tn_mem_fail_delivered();
            tn_mem_fail_from(0, false);
            assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
            assert_int_equal(tn_mem_live(), live);
            if (!delivered) {
                break;
            }
        }
    }
    tn_metrics_destroy(metrics);
    tn_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_the_same_request),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_of_all_kinds),
        cmocka_unit_test(an_early_answer_arrives),
        cmocka_unit_test(connections_are_limited),
        cmocka_unit_test(slow_heads_and_bodies_are_cut),
        cmocka_unit_test(a_peer_that_never_reads_is_cut),
        cmocka_unit_test(what_cannot_be_listened_on_says_why),
        cmocka_unit_test(unix_sockets_serve),
        cmocka_unit_test(drain_waits_and_then_cuts),
        cmocka_unit_test(no_allocation_failure_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
