/* The server that tests talk to; see rpc_server.h. */
#include "support/rpc_server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/prometheus.h"

#include <time.h>

static void rpc_server_finish(struct rpc_server *server, struct tn_call *call,
                              enum tn_grpc_status status, const char *message)
{
    atomic_fetch_add(&server->finished, 1);
    tn_call_finish(call, status, tn_str_from(message));
}

/* References pass on success only, so a refused piece is ours to drop. */
static void rpc_server_send(struct tn_call *call, struct tn_block *block)
{
    struct tn_piece piece = {tn_bytes_make(block->data, block->size), tn_block_ref(block)};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(block);
    }
}

static void rpc_server_unary(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    rpc_server_send(call, tn_call_body(call));
    rpc_server_finish(server, call, TN_GRPC_OK, "");
}

static void rpc_server_fail(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    rpc_server_finish(server, call, TN_GRPC_NOT_FOUND, "no such thing: 100 %");
}

static void rpc_server_flood(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    const struct tn_block *body = tn_call_body(call);
    size_t size = body->size == 4 ? tn_load_le32(body->data) : 0;
    struct tn_block *block = NULL;
    RPC_CHECK(tn_block_create(size, &block) >= 0);
    memset(block->data, 'x', size);
    block->size = size;
    rpc_server_send(call, block);
    tn_block_unref(block);
    rpc_server_finish(server, call, TN_GRPC_OK, "");
}

static void rpc_server_begun(void *context, struct tn_call *call)
{
    (void)call;
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
}

static void rpc_server_cancelled(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->cancelled, 1);
    rpc_server_finish(server, call, TN_GRPC_CANCELLED, "");
}

static void rpc_server_message(void *context, struct tn_call *call, struct tn_block *message)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->messages, 1);
    rpc_server_send(call, message);
}

static void rpc_server_ended(void *context, struct tn_call *call)
{
    rpc_server_finish(context, call, TN_GRPC_OK, "");
}

static void rpc_server_echo(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    atomic_fetch_add(&server->finished, 1);
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    tn_call_reply(call, 200, TN_STR_OF("application/octet-stream"), &piece, 1);
}

static void rpc_server_big(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    atomic_fetch_add(&server->finished, 1);
    struct tn_block *block = NULL;
    RPC_CHECK(tn_block_create(1 << 20, &block) >= 0);
    memset(block->data, 'y', 1 << 20);
    block->size = 1 << 20;
    struct tn_piece piece = {tn_bytes_make(block->data, block->size), block};
    tn_call_reply(call, 200, TN_STR_OF("application/octet-stream"), &piece, 1);
}

/* The verified subject of the client's certificate. */
static void rpc_server_subject(void *context, struct tn_call *call)
{
    struct rpc_server *server = context;
    atomic_fetch_add(&server->begun, 1);
    atomic_fetch_add(&server->finished, 1);
    struct tn_str subject = tn_call_info(call)->peer_subject;
    char *copy = tn_arena_copy_str(tn_call_arena(call), subject);
    RPC_CHECK(copy != NULL);
    struct tn_piece piece = {tn_bytes_make(copy, subject.size), NULL};
    tn_call_reply(call, 200, TN_STR_OF("text/plain"), &piece, 1);
}

static void rpc_server_routes(struct rpc_server *server)
{
    const struct {
        const char *path;
        struct tn_handler handler;
    } grpc[] = {
        {"/t.E/Unary", {.request = rpc_server_unary}},
        {"/t.E/Fail", {.request = rpc_server_fail}},
        {"/t.E/Flood", {.request = rpc_server_flood}},
        {"/t.E/Hold", {.request = rpc_server_begun, .cancelled = rpc_server_cancelled}},
        {"/t.E/Stream",
         {.request = rpc_server_begun,
          .message = rpc_server_message,
          .ended = rpc_server_ended,
          .cancelled = rpc_server_cancelled,
          .streaming = true}},
    };
    for (size_t i = 0; i < TN_COUNT(grpc); i++) {
        struct tn_handler handler = grpc[i].handler;
        handler.context = server;
        RPC_CHECK(tn_server_route_grpc(server->server, tn_str_from(grpc[i].path), &handler) >= 0);
    }
    struct tn_handler echo = {.request = rpc_server_echo, .context = server};
    struct tn_handler subject = {.request = rpc_server_subject, .context = server};
    RPC_CHECK(tn_server_route_http(server->server, TN_STR_OF("/subject"), &subject) >= 0);
    struct tn_handler big = {.request = rpc_server_big, .context = server};
    RPC_CHECK(tn_server_route_http(server->server, TN_STR_OF("/echo"), &echo) >= 0);
    RPC_CHECK(tn_server_route_http(server->server, TN_STR_OF("/big"), &big) >= 0);
}

void rpc_server_start(struct rpc_server *server, const struct tn_server_limits *limits,
                      struct tn_tls *tls)
{
    memset(server, 0, sizeof(*server));
    server->live_before = tn_mem_live();
    struct tn_fault fault = {0};
    RPC_CHECK(tn_loop_create("server", &server->loop, &fault) >= 0);
    RPC_CHECK(tn_metrics_create(&server->metrics) >= 0);
    const struct tn_server_options options = {
        .loops = &server->loop,
        .loop_count = 1,
        .limits = limits != NULL ? *limits : (struct tn_server_limits){0},
        .metrics = server->metrics,
        .server_header = "tenon-test",
    };
    RPC_CHECK(tn_server_create(&options, &server->server, &fault) >= 0);
    rpc_server_routes(server);
    const struct tn_listen_options listen = {.tls = tls};
    RPC_CHECK(tn_server_listen(server->server, &listen, &server->port, &fault) >= 0);
    snprintf(server->target, sizeof(server->target), "127.0.0.1:%u", server->port);
    RPC_CHECK(tn_loop_start(server->loop, &fault) >= 0);
}

double rpc_server_metric(struct rpc_server *server, const char *sample)
{
    struct tn_buf text;
    tn_buf_init(&text, 0);
    RPC_CHECK(tn_prometheus_encode(server->metrics, TN_PROMETHEUS_TEXT, &text) >= 0);
    tn_buf_put_byte(&text, 0);
    double value = -1;
    size_t size = strlen(sample);
    for (const char *line = (const char *)text.data; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, size) == 0) {
            value = atof(strrchr(line, ' ') < line ? "-1" : line + strcspn(line, " "));
            break;
        }
    }
    tn_buf_deinit(&text);
    return value;
}

size_t rpc_server_refused(struct rpc_server *server, const char *cause)
{
    char sample[80];
    snprintf(sample, sizeof(sample), "tenon_rpc_refused_total{cause=\"%s\"}", cause);
    return (size_t)rpc_server_metric(server, sample);
}

void rpc_pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

bool rpc_server_reaches(struct rpc_server *server, const char *sample, double value)
{
    for (unsigned i = 0; i < 4000; i++) {
        if (rpc_server_metric(server, sample) == value) {
            return true;
        }
        rpc_pause_ms(5);
    }
    fprintf(stderr, "%s is %g, not %g\n", sample, rpc_server_metric(server, sample), value);
    return false;
}

void rpc_server_stop(struct rpc_server *server)
{
    bool empty = rpc_server_reaches(server, "tenon_rpc_connections", 0);
    tn_loop_stop(server->loop);
    tn_loop_join(server->loop);
    tn_server_destroy(server->server);
    tn_loop_destroy(server->loop);
    tn_metrics_destroy(server->metrics);
    RPC_CHECK(empty);
    RPC_CHECK(atomic_load(&server->begun) == atomic_load(&server->finished));
    RPC_CHECK(tn_mem_live() == server->live_before);
}
