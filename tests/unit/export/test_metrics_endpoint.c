/* The monitoring pages over a real server on loopback, asked by plain sockets: formats, methods,
 * health, clients that leave in the middle of a large scrape. */
#include "base/mem.h"
#include "core/assert.h"
#include "export/metrics_endpoint.h"
#include "rpc/server.h"
#include "telemetry/metrics.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    struct tn_metrics *metrics;
    struct tn_loop *loop;
    struct tn_server *server;
    struct tn_metrics_endpoint *endpoint;
    unsigned port;
    atomic_bool sick;
};

static bool healthy(void *context, const char **ret_reason)
{
    struct place *place = context;
    *ret_reason = "the models are gone\n";
    return !atomic_load(&place->sick);
}

static void place_open(struct place *place)
{
    struct tn_fault fault = {0};
    assert_int_equal(tn_metrics_create(&place->metrics), TN_OK);
    assert_int_equal(tn_loop_create("test", &place->loop, &fault), TN_OK);
    struct tn_server_options options = {.loops = &place->loop, .loop_count = 1};
    assert_int_equal(tn_server_create(&options, &place->server, &fault), TN_OK);
    struct tn_metrics_endpoint_options pages = {
        .metrics = place->metrics, .title = "tenon test", .healthy = healthy, .context = place};
    assert_int_equal(tn_metrics_endpoint_create(place->server, &pages, &place->endpoint, &fault),
                     TN_OK);
    struct tn_listen_options listen = {.address = "127.0.0.1"};
    assert_int_equal(tn_server_listen(place->server, &listen, &place->port, &fault), TN_OK);
    assert_int_equal(tn_loop_start(place->loop, &fault), TN_OK);
}

static void place_close(struct place *place)
{
    tn_loop_stop(place->loop);
    tn_loop_join(place->loop);
    tn_server_destroy(place->server);
    tn_metrics_endpoint_destroy(place->endpoint);
    tn_loop_destroy(place->loop);
    tn_metrics_destroy(place->metrics);
}

static int ask(const struct place *place, const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)place->port)};
    struct timeval limit = {.tv_sec = 10};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

/* Everything until the server closes, terminated; *ret_body points behind the headers. */
static char *answer(int fd, size_t *ret_size, char **ret_body)
{
    size_t room = 1 << 16, size = 0;
    char *text = tn_mem_take(room);
    for (;;) {
        ssize_t got = recv(fd, text + size, room - size - 1, 0);
        assert_true(got >= 0);
        if (got == 0) {
            break;
        }
        size += (size_t)got;
        if (room - size < 2) {
            room *= 2;
            text = tn_mem_resize(text, room);
        }
    }
    close(fd);
    text[size] = '\0';
    char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    *ret_body = end + 4;
    *ret_size = size;
    return text;
}

#define REQUEST(method, path, headers)                                                             \
    method " " path " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" headers "\r\n"

static void each_page_answers(void **unused)
{
    (void)unused;
    static const struct {
        const char *request, *status, *header, *body;
    } rows[] = {
        {REQUEST("GET", "/metrics", ""), "200", "text/plain; version=0.0.4; charset=utf-8",
         "# TYPE tenon_telemetry_series_overflow_total counter\n"},
        {REQUEST("GET", "/metrics", "accept: application/openmetrics-text\r\n"), "200",
         "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"},
        {REQUEST("GET", "/metrics", "accept-encoding: gzip\r\n"), "200", "content-encoding: gzip",
         "\x1f\x8b"},
        {REQUEST("GET", "/metrics/more", ""), "404", "", "no such page"},
        {REQUEST("POST", "/metrics", "content-length: 0\r\n"), "405", "allow: GET, HEAD", "only"},
        {REQUEST("HEAD", "/metrics", ""), "200", "text/plain", ""},
        {REQUEST("GET", "/healthz", ""), "200", "", "ok\n"},
        {REQUEST("GET", "/", ""), "200", "text/html", "<h1>tenon test</h1>"},
        {REQUEST("GET", "/favicon.ico", ""), "404", "", "no such page"},
    };
    size_t live = tn_mem_live();
    struct place place = {0};
    place_open(&place);
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        size_t size;
        char *body;
        char *text = answer(ask(&place, rows[i].request), &size, &body);
        assert_memory_equal(text + 9, rows[i].status, 3);
        assert_non_null(strstr(body, rows[i].body));
        body[-1] = '\0';
        assert_non_null(strcasestr(text, rows[i].header));
        if (strncmp(rows[i].request, "HEAD", 4) == 0) {
            assert_int_equal(body - text, size);
        }
        tn_mem_give(text);
    }
    atomic_store(&place.sick, true);
    size_t size;
    char *body;
    char *text = answer(ask(&place, REQUEST("GET", "/healthz", "")), &size, &body);
    assert_memory_equal(text + 9, "503", 3);
    assert_string_equal(body, "the models are gone\n");
    tn_mem_give(text);
    place_close(&place);
    assert_int_equal(tn_mem_live(), live);
}

/* A registry whose text is a few megabytes. */
static void fill(struct place *place)
{
    static char names[40][24];
    for (unsigned i = 0; i < TN_COUNT(names); i++) {
        struct tn_metric_family *family;
        snprintf(names[i], sizeof(names[i]), "h%u_seconds", i);
        struct tn_metric_options options = {.kind = TN_METRIC_HISTOGRAM,
                                            .name = names[i],
                                            .help = "H.",
                                            .labels = {"n"},
                                            .bounds = tn_metric_seconds_bounds,
                                            .bound_count = tn_metric_seconds_bound_count};
        assert_int_equal(tn_metrics_family(place->metrics, &options, &family), TN_OK);
        for (unsigned k = 0; k < 100; k++) {
            struct tn_metric *metric;
            char value[16];
            snprintf(value, sizeof(value), "%u", k);
            struct tn_str view = tn_str_from(value);
            assert_int_equal(tn_metric_series(family, &view, &metric), TN_OK);
        }
    }
}

static void large_scrapes_come_whole_and_others_go_on(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct place place = {0};
    place_open(&place);
    fill(&place);
    int fds[4];
    for (size_t i = 0; i < TN_COUNT(fds); i++) {
        fds[i] = ask(&place, REQUEST("GET", "/metrics", ""));
    }
    size_t size, first = 0;
    char *body;
    tn_mem_give(answer(ask(&place, REQUEST("GET", "/healthz", "")), &size, &body));
    for (size_t i = 0; i < TN_COUNT(fds); i++) {
        char *text = answer(fds[i], &size, &body);
        assert_true(size > 3000000);
        assert_non_null(strstr(body, "\nh39_seconds_count{n=\"99\"} 0\n"));
        assert_true(i == 0 || size == first);
        first = size;
        tn_mem_give(text);
    }
    place_close(&place);
    assert_int_equal(tn_mem_live(), live);
}

static void clients_that_leave_cost_nothing(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct place place = {0};
    place_open(&place);
    fill(&place);
    for (unsigned i = 0; i < 40; i++) {
        int fd = ask(&place, REQUEST("GET", "/metrics", "accept-encoding: gzip\r\n"));
        if (i % 2 == 0) {
            usleep(i * 100);
        }
        close(fd);
    }
    /* All of their places are free again: the bound is 8, so a refusal would show. */
    size_t size;
    char *body, *text = NULL;
    for (unsigned tries = 0; tries < 200; tries++) {
        text = answer(ask(&place, REQUEST("GET", "/metrics", "")), &size, &body);
        if (memcmp(text + 9, "200", 3) == 0) {
            break;
        }
        assert_memory_equal(text + 9, "503", 3);
        tn_mem_give(text);
        text = NULL;
        usleep(10000);
    }
    assert_non_null(text);
    tn_mem_give(text);
    /* And leaving right before the end of everything. */
    for (unsigned i = 0; i < 6; i++) {
        close(ask(&place, REQUEST("GET", "/metrics", "")));
    }
    place_close(&place);
    assert_int_equal(tn_mem_live(), live);
}

static void any_allocation_may_fail(void **unused)
{
    (void)unused;
    size_t n = 1;
    for (bool delivered = true; delivered; n++) {
        struct tn_fault fault = {0};
        struct tn_loop *loop;
        struct tn_server *server;
        struct tn_metrics *metrics;
        struct tn_metrics_endpoint *endpoint = NULL;
        size_t live = tn_mem_live();
        assert_int_equal(tn_metrics_create(&metrics), TN_OK);
        assert_int_equal(tn_loop_create("test", &loop, &fault), TN_OK);
        struct tn_server_options options = {.loops = &loop, .loop_count = 1};
        assert_int_equal(tn_server_create(&options, &server, &fault), TN_OK);
        struct tn_metrics_endpoint_options pages = {.metrics = metrics, .title = "t"};
        tn_mem_fail_from(n, n % 2 == 0);
        enum tn_err err = tn_metrics_endpoint_create(server, &pages, &endpoint, &fault);
        delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        assert_true((endpoint == NULL) == delivered);
        tn_server_destroy(server);
        tn_metrics_endpoint_destroy(endpoint);
        tn_loop_destroy(loop);
        tn_metrics_destroy(metrics);
        assert_int_equal(tn_mem_live(), live);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_answers),
        cmocka_unit_test(large_scrapes_come_whole_and_others_go_on),
        cmocka_unit_test(clients_that_leave_cost_nothing),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
