/* HTTP/1.1 as an attacker or a broken client speaks it, against a real server; and what does not
 * speak at all. Every case ends with a clear error, the right counter, a server that answers, and
 * all memory back. */
#include "base/clock.h"
#include "core/assert.h"
#include "support/h2_raw.h"
#include "support/rpc_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct rpc_server server;

#define POST "POST /echo HTTP/1.1\r\nhost: a\r\n"

/* All that comes until the server closes, terminated. */
static const char *read_all(int fd)
{
    static char text[2 << 20];
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        if (got <= 0) {
            text[size] = '\0';
            return text;
        }
        size += (size_t)got;
    }
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the server answers to these bytes on a connection of their own. */
static const char *ask(const char *text)
{
    int fd = h2_raw_socket(server.port);
    send_text(fd, text);
    const char *answer = read_all(fd);
    close(fd);
    return answer;
}

static void stop(void)
{
    const char *answer = ask(POST "connection: close\r\ncontent-length: 2\r\n\r\nhi");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nhi"));
    rpc_server_stop(&server);
}

static const struct {
    const char *in;
    const char *status;
} broken[] = {
    {"GET\r\n\r\n", "400"},
    {"\x16\x03\x01\x02\x01", "400"}, /* TLS on a plain port */
    {"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "505"},
    {"GET / HTTP/1.1\r\n\r\n", "400"},
    {"GET / HTTP/3.0\r\nhost: a\r\n\r\n", "505"},
    {POST "content-length: 1\r\ncontent-length: 1\r\n\r\n", "400"},
    {POST "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "400"},
    {POST "transfer-encoding: gzip\r\n\r\n", "501"},
    {POST "expect: wonders\r\n\r\n", "417"},
    {POST "a : b\r\n\r\n", "400"},
    {POST "content-length: 5000\r\n\r\n", "413"},
    {POST "content-length: 9223372036854775807\r\n\r\n", "413"},
    {POST "transfer-encoding: chunked\r\n\r\nZ\r\n", "400"},
    {POST "transfer-encoding: chunked\r\n\r\nffffffffffffffff0\r\n", "400"},
    {"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "404"},
    {"GET /t.E/Unary HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "404"},
};

static void broken_requests_have_a_status(void **unused)
{
    (void)unused;
    rpc_server_start(&server, &(struct tn_server_limits){.body_bytes_max = 4000}, NULL);
    for (size_t i = 0; i < TN_COUNT(broken); i++) {
        print_message("%zu\n", i);
        const char *answer = ask(broken[i].in);
        assert_memory_equal(answer, "HTTP/1.1 ", 9);
        assert_memory_equal(answer + 9, broken[i].status, 3);
        assert_non_null(strstr(answer, "connection: close\r\n"));
        assert_non_null(strstr(answer, "{\"error\":"));
    }
    assert_int_equal(server.begun, 0);
    stop();
}

static void large_heads_are_refused(void **unused)
{
    (void)unused;
    static char text[200000];
    rpc_server_start(&server, NULL, NULL);
    for (size_t kind = 0; kind < 3; kind++) {
        char *at = text + sprintf(text, "GET /");
        if (kind == 0) { /* one long target */
            memset(at, 'a', 60000);
            at[60000] = '\0';
        } else {
            at += sprintf(at, "echo HTTP/1.1\r\nhost: a\r\n");
            for (size_t i = 0; i < 3000; i++) {
                at += sprintf(at, kind == 1 ? "a%zu: 0123456789\r\n" : "%zu:\r\n", i);
            }
            sprintf(at, "\r\n");
        }
        const char *answer = ask(text);
        /* What was not read resets the connection, which may overtake the answer. */
        if (answer[0] != '\0') {
            assert_memory_equal(answer, kind == 0 ? "HTTP/1.1 414" : "HTTP/1.1 431", 12);
        }
    }
    assert_int_equal(rpc_server_refused(&server, "header_bytes"), 3);
    stop();
}

static void pipelined_requests_are_answered_in_order(void **unused)
{
    (void)unused;
    static char text[100000];
    char *at = text;
    for (size_t i = 0; i < 500; i++) {
        at += sprintf(at, POST "content-length: 3\r\n%s\r\n%03zu",
                      i == 499 ? "connection: close\r\n" : "", i);
    }
    rpc_server_start(&server, NULL, NULL);
    const char *answer = ask(text);
    for (size_t i = 0; i < 500; i++) {
        char body[12];
        sprintf(body, "\r\n\r\n%03zu", i);
        answer = strstr(answer, body);
        assert_non_null(answer);
    }
    assert_int_equal(server.begun, 500);
    stop();
}

/* What stands behind a request that smuggles must not be taken for a request. */
static void nothing_is_smuggled(void **unused)
{
    (void)unused;
    static const char *const tricks[] = {
        POST "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST "x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "content-length: 0,6\r\n\r\n",
        POST "content-length: 0\r\n content-length: 6\r\n\r\n",
        POST "transfer-encoding: chunked\r\n\r\n0;\n\r\n\r\n",
        POST "transfer-encoding: chunked\r\n\r\n1\r\nAA0\r\n\r\n",
    };
    static const char smuggled[] = "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n";
    rpc_server_start(&server, NULL, NULL);
    for (size_t i = 0; i < TN_COUNT(tricks); i++) {
        char text[400];
        snprintf(text, sizeof(text), "%s%s", tricks[i], smuggled);
        const char *answer = ask(text);
        assert_memory_equal(answer, "HTTP/1.1 ", 9);
        assert_true(answer[9] == '4' || answer[9] == '5');
        assert_null(strstr(answer + 9, "HTTP/1.1")); /* one answer only */
    }
    assert_int_equal(server.begun, 0);
    stop();
}

/* ---- connections that end anywhere ---- */

/* No time limit may help to get rid of what was cut. */
static const struct tn_server_limits patient = {
    .header_timeout_ns = 300 * TN_NS_PER_S,
    .body_timeout_ns = 300 * TN_NS_PER_S,
};

static void cut_at_every_byte(void **unused)
{
    (void)unused;
    static const char text[] = POST "transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
                                    "5\r\nhello\r\n0\r\na: b\r\n\r\n";
    rpc_server_start(&server, &patient, NULL);
    for (size_t at = 0; at < sizeof(text); at++) {
        for (int how = 0; how < 3; how++) {
            int fd = h2_raw_socket(server.port);
            assert_int_equal(send(fd, text, at, MSG_NOSIGNAL), at);
            if (how == 1) {
                struct linger linger = {.l_onoff = 1};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            } else if (how == 2) {
                shutdown(fd, SHUT_WR);
            }
            close(fd);
        }
    }
    stop();
}

/* A client may close its half and still wait for the answer. */
static void half_closed_client_gets_its_answer(void **unused)
{
    (void)unused;
    rpc_server_start(&server, NULL, NULL);
    int fd = h2_raw_socket(server.port);
    send_text(fd, "GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    const char *answer = read_all(fd);
    assert_true(strlen(answer) > 1 << 20);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    close(fd);
    stop();
}

static void body_cut_short_is_no_body(void **unused)
{
    (void)unused;
    rpc_server_start(&server, NULL, NULL);
    int fd = h2_raw_socket(server.port);
    send_text(fd, POST "content-length: 10\r\n\r\nhello");
    shutdown(fd, SHUT_WR);
    read_all(fd);
    close(fd);
    assert_int_equal(server.begun, 0);
    stop();
}

/* ---- those who are slow on purpose ---- */

static const struct tn_server_limits impatient = {
    .header_timeout_ns = 150 * TN_NS_PER_MS,
    .body_timeout_ns = 150 * TN_NS_PER_MS,
    .idle_timeout_ns = 150 * TN_NS_PER_MS,
    .write_timeout_ns = 150 * TN_NS_PER_MS,
};

/* A byte every few milliseconds: each is progress, and still the head must be complete in time. */
static void trickled_head_times_out(void **unused)
{
    (void)unused;
    rpc_server_start(&server, &impatient, NULL);
    int fd = h2_raw_socket(server.port);
    uint64_t start_ns = tn_clock_mono_ns();
    send_text(fd, "GET /echo HTTP/1.1\r\nhost: a\r\nx: ");
    ssize_t sent = 1;
    while (sent == 1 && tn_clock_mono_ns() - start_ns < 20 * TN_NS_PER_S) {
        rpc_pause_ms(5);
        sent = send(fd, "y", 1, MSG_NOSIGNAL);
    }
    assert_int_not_equal(sent, 1);
    /* It is told in time; its bytes are taken for a moment longer, so that it can read that. */
    assert_in_range(tn_clock_mono_ns() - start_ns, 100 * TN_NS_PER_MS, 15 * TN_NS_PER_S);
    assert_int_equal(rpc_server_refused(&server, "header_timeout"), 1);
    close(fd);
    stop();
}

static void silent_connections_time_out(void **unused)
{
    (void)unused;
    rpc_server_start(&server, &impatient, NULL);
    int silent = h2_raw_socket(server.port);
    int begun = h2_raw_socket(server.port);
    int body = h2_raw_socket(server.port);
    send_text(begun, "hello\r\n");
    send_text(body, POST "content-length: 10\r\n\r\nhello");
    assert_string_equal(read_all(silent), "");
    read_all(begun);
    const char *answer = read_all(body);
    if (answer[0] != '\0') {
        assert_memory_equal(answer, "HTTP/1.1 408", 12);
    }
    assert_int_equal(rpc_server_refused(&server, "header_timeout"), 2);
    assert_int_equal(rpc_server_refused(&server, "body_timeout"), 1);
    close(silent);
    close(begun);
    close(body);
    stop();
}

static void reader_that_does_not_read_is_cut_off(void **unused)
{
    (void)unused;
    rpc_server_start(&server, &impatient, NULL);
    int fd = h2_raw_socket(server.port);
    for (size_t i = 0; i < 30; i++) { /* 30 MiB of answers, more than sockets hold */
        send_text(fd, "GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_refused_total{cause=\"write_timeout\"}", 1));
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 0));
    assert_in_range(server.begun, 1, 30);
    close(fd);
    stop();
}

/* ---- many ---- */

static void connections_above_the_limit_are_refused(void **unused)
{
    (void)unused;
    int fds[20];
    rpc_server_start(&server, &(struct tn_server_limits){.connections_max = 10}, NULL);
    for (size_t i = 0; i < TN_COUNT(fds); i++) {
        fds[i] = h2_raw_socket(server.port);
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_refused_total{cause=\"connections\"}", 10));
    for (size_t i = 0; i < TN_COUNT(fds); i++) {
        close(fds[i]);
    }
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 0));
    stop();
}

/* The process that holds the other ends, so that each of the two needs half the descriptors. */
static pid_t hold_connections(size_t count, int ready, int release)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    /* When the test fails there is nobody to release it, and it would hold what it inherited. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < count; i++) {
        h2_raw_socket(server.port);
    }
    char byte = 1;
    if (write(ready, &byte, 1) != 1 || read(release, &byte, 1) < 0) {
        _exit(1);
    }
    _exit(0);
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %zu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void ten_thousand_idle_connections(void **unused)
{
    (void)unused;
    size_t count = 10000;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < count + 100) {
        print_message("skipped: at most %zu open files here\n", (size_t)limit.rlim_cur);
        skip();
    }
    rpc_server_start(&server, NULL, NULL);
    int ready[2], release[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(release), 0);
    size_t before = resident_bytes();
    pid_t pid = hold_connections(count, ready[1], release[0]);
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", (double)count));
    size_t each = (resident_bytes() - before) / count;
    print_message("%zu bytes of resident memory a connection\n", each);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(each, 100, 2000);
#endif
    uint64_t cpu_ns = tn_clock_process_ns();
    rpc_pause_ms(300);
    assert_in_range(tn_clock_process_ns() - cpu_ns, 0, 30 * TN_NS_PER_MS); /* they cost nothing */
    const char *answer = ask(POST "connection: close\r\ncontent-length: 2\r\n\r\nhi");
    assert_non_null(strstr(answer, "\r\n\r\nhi"));
    assert_int_equal(write(release[1], &byte, 1), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(rpc_server_reaches(&server, "tenon_rpc_connections", 0));
    for (size_t i = 0; i < 2; i++) {
        close(ready[i]);
        close(release[i]);
    }
    stop();
}

int main(int argc, char **argv)
{
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* one test by name */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_requests_have_a_status),
        cmocka_unit_test(large_heads_are_refused),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(nothing_is_smuggled),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(half_closed_client_gets_its_answer),
        cmocka_unit_test(body_cut_short_is_no_body),
        cmocka_unit_test(trickled_head_times_out),
        cmocka_unit_test(silent_connections_time_out),
        cmocka_unit_test(reader_that_does_not_read_is_cut_off),
        cmocka_unit_test(connections_above_the_limit_are_refused),
        cmocka_unit_test(ten_thousand_idle_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
