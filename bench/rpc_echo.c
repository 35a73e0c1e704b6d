/* What a unary gRPC request costs the server, all of it: kernel, HTTP/2, gRPC, our dispatch. An
 * echo server on one loop in this process, h2load as the client in another; the figure is CPU time
 * of this process (user and system) a request.
 *
 * Usage: bench_rpc_echo [results.jsonl]     measure
 *        bench_rpc_echo serve PORT [CERT KEY]   only serve, for other clients
 * Memory: the server's. Threads: one loop beside the one that waits. Bounds: some 15 seconds. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/server.h"
#include "rpc/tls.h"
#include "telemetry/metrics.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static FILE *results;
static struct tn_server *server;
static struct tn_loop *loop;
static struct tn_metrics *metrics;
static unsigned port;

static void echo(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    if (tn_call_info(call)->kind == TN_CALL_HTTP) {
        tn_call_reply(call, 200, TN_STR_OF("application/octet-stream"), &piece, 1);
        return;
    }
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(body);
    }
    tn_call_finish(call, TN_GRPC_OK, tn_str_make("", 0));
}

/* A short answer to a large request, as inference on a tensor has it. */
static void shrink(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    size_t size = body->size < 100 ? body->size : 100;
    struct tn_piece piece = {tn_bytes_make(body->data, size), tn_block_ref(body)};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(body);
    }
    tn_call_finish(call, TN_GRPC_OK, tn_str_make("", 0));
}

static void start_server(unsigned wanted_port, const char *cert, const char *key)
{
    struct tn_fault fault = {0};
    const struct tn_handler echo_handler = {.request = echo};
    const struct tn_handler shrink_handler = {.request = shrink};
    enum tn_err err = tn_metrics_create(&metrics);
    TN_ASSERT(err >= 0);
    err = tn_loop_create("echo", &loop, &fault);
    TN_ASSERT(err >= 0);
    const struct tn_server_options options = {
        .loops = &loop, .loop_count = 1, .metrics = metrics, .server_header = "tenon"};
    err = tn_server_create(&options, &server, &fault);
    TN_ASSERT(err >= 0);
    err = tn_server_route_grpc(server, TN_STR_OF("/bench.Echo/Echo"), &echo_handler);
    TN_ASSERT(err >= 0);
    err = tn_server_route_grpc(server, TN_STR_OF("/bench.Echo/Shrink"), &shrink_handler);
    TN_ASSERT(err >= 0);
    err = tn_server_route_http(server, TN_STR_OF("/echo"), &echo_handler);
    TN_ASSERT(err >= 0);
    struct tn_tls *tls = NULL;
    if (cert != NULL) {
        const struct tn_tls_options tls_options = {
            .server = true, .cert_file = cert, .key_file = key};
        err = tn_tls_create(&tls_options, &tls, &fault);
    }
    const struct tn_listen_options listen = {.port = wanted_port, .tls = tls};
    if (err >= 0) {
        err = tn_server_listen(server, &listen, &port, &fault);
    }
    if (err < 0) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
}

static uint64_t own_cpu_ns(void)
{
    struct rusage usage;
    int failed = getrusage(RUSAGE_SELF, &usage);
    TN_ASSERT(failed == 0);
    uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return us * TN_NS_PER_US;
}

/* Runs h2load to its end; true when all requests succeeded. */
static bool run_h2load(const char *path, const char *body, unsigned connections, unsigned streams,
                       unsigned requests)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "h2load -n %u -c %u -m %u -d %s -H 'content-type: application/grpc' -H 'te: trailers' "
             "http://127.0.0.1:%u%s 2>&1 | grep -q ' %u succeeded, 0 failed, 0 errored'",
             requests, connections, streams, body, port, path, requests);
    char shell[] = "sh";
    char flag[] = "-c";
    char *const arguments[] = {shell, flag, command, NULL};
    pid_t pid = 0;
    int status = 1;
    if (posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ) != 0 ||
        waitpid(pid, &status, 0) != pid) {
        return false;
    }
    return status == 0;
}

static void write_body(char *path, size_t size)
{
    int fd = mkstemp(path);
    TN_ASSERT(fd >= 0);
    uint8_t *bytes = tn_mem_take_zeroed(size + 5, 1);
    TN_ASSERT(bytes != NULL);
    tn_store_be32(bytes + 1, (uint32_t)size);
    ssize_t written = write(fd, bytes, size + 5);
    TN_ASSERT(written == (ssize_t)(size + 5));
    tn_mem_give(bytes);
    close(fd);
}

struct shape {
    const char *figure;
    const char *path;
    size_t size;
    unsigned connections;
    unsigned streams;
    unsigned requests;
    double goal_us;
};

static void measure(const struct shape *shape)
{
    enum { ROUNDS = 3 };
    char body[] = "/tmp/tenon-echo-XXXXXX";
    write_body(body, shape->size);
    double best = 0;
    double wall = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t cpu = own_cpu_ns();
        uint64_t start = tn_clock_mono_ns();
        bool ok =
            run_h2load(shape->path, body, shape->connections, shape->streams, shape->requests);
        double us = (double)(own_cpu_ns() - cpu) / 1e3 / shape->requests;
        if (!ok) {
            printf("rpc.echo  %-22s h2load missing or failed\n", shape->figure);
            unlink(body);
            return;
        }
        if (best == 0 || us < best) {
            best = us;
            wall = shape->requests / ((double)(tn_clock_mono_ns() - start) / 1e9);
        }
    }
    unlink(body);
    printf("rpc.echo  %-22s %8.2f us CPU/request  %9.0f requests/s wall", shape->figure, best,
           wall);
    if (shape->goal_us > 0) {
        printf("  goal <= %g %s", shape->goal_us, best <= shape->goal_us ? "met" : "NOT MET");
    }
    printf("\n");
    fflush(stdout);
    if (results != NULL) {
        fprintf(results,
                "{\"bench\":\"rpc.echo\",\"figure\":\"%s\",\"value\":%.3f,\"unit\":\"us\","
                "\"better\":\"lower\",\"goal\":%g}\n",
                shape->figure, best, shape->goal_us);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "serve") == 0) {
        start_server((unsigned)atoi(argv[2]), argc >= 5 ? argv[3] : NULL,
                     argc >= 5 ? argv[4] : NULL);
        printf("port %u\n", port);
        fflush(stdout);
        tn_loop_run(loop);
        return 0;
    }
    static const struct shape shapes[] = {
        {"8x32 185 B", "/bench.Echo/Echo", 185, 8, 32, 200000, 5},
        {"8x4 185 B", "/bench.Echo/Echo", 185, 8, 4, 100000, 0},
        {"32x1 185 B", "/bench.Echo/Echo", 185, 32, 1, 60000, 0},
        {"1x1 185 B", "/bench.Echo/Echo", 185, 1, 1, 10000, 0},
        {"1x1 602 KB in", "/bench.Echo/Shrink", 602112, 1, 1, 1000, 300},
        {"4x2 602 KB echo", "/bench.Echo/Echo", 602112, 4, 2, 1000, 0},
    };
    results = argc > 1 ? fopen(argv[1], "a") : NULL;
    start_server(0, NULL, NULL);
    struct tn_fault fault = {0};
    enum tn_err err = tn_loop_start(loop, &fault);
    TN_ASSERT(err >= 0);
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        measure(&shapes[i]);
    }
    tn_loop_stop(loop);
    tn_loop_join(loop);
    tn_server_destroy(server);
    tn_loop_destroy(loop);
    tn_metrics_destroy(metrics);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
