/* The handlers of the monitoring pages.
 *
 *   scrape: request -> BUILDING --a step a turn--> answered        cancelled: answered at the next
 * step
 *
 * Memory: a scrape lives in its call's arena, its buffers on the heap until the answer is out.
 * Threads: a scrape stays on its call's loop. Bounds: SCRAPES_MAX. */
#include "export/metrics_endpoint.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "export/scrape.h"
#include "rpc/server.h"

#include <stdatomic.h>

enum { SCRAPES_MAX = 8 };

struct tn_metrics_endpoint {
    struct tn_metrics_endpoint_options options;
    struct tn_buf page;
    atomic_uint scrapes;
};

struct scrape {
    struct tn_scrape body;
    struct tn_timer timer;
    struct tn_call *call;
    struct tn_metrics_endpoint *endpoint;
};

static const struct tn_str plain = TN_STR("text/plain; charset=utf-8");

static void reply_text(struct tn_call *call, unsigned status, const char *text)
{
    struct tn_piece piece = {.bytes = tn_bytes_make(text, strlen(text))};
    tn_call_reply(call, status, plain, &piece, 1);
}

/* Whether the method is one that the pages answer; otherwise it has been answered. */
static bool method_is_read(struct tn_call *call)
{
    struct tn_str method = tn_call_info(call)->method;
    if (tn_str_is(method, "GET") || tn_str_is(method, "HEAD")) {
        return true;
    }
    enum tn_err err = tn_call_add_header(call, TN_STR_OF("allow"), TN_STR_OF("GET, HEAD"));
    reply_text(call, err == TN_OK ? 405 : 500, "only GET and HEAD here\n");
    return false;
}

/* --- /metrics --- */
static enum tn_err headers_add(struct tn_call *call, const struct tn_scrape *body)
{
    enum tn_err err =
        tn_call_add_header(call, TN_STR_OF("vary"), TN_STR_OF("accept, accept-encoding"));
    if (err == TN_OK && tn_scrape_is_gzip(body)) {
        err = tn_call_add_header(call, TN_STR_OF("content-encoding"), TN_STR_OF("gzip"));
    }
    return err;
}

struct passed_body {
    struct tn_block block;
    struct tn_buf buf;
};

static void body_release(struct tn_block *block)
{
    struct passed_body *passed = block->owner;
    tn_buf_deinit(&passed->buf);
    tn_mem_give(passed);
}

/* Hands the answer's bytes over to the server without copying them. */
static enum tn_err body_pass(struct scrape *scrape, struct tn_piece *ret_piece)
{
    struct passed_body *passed = tn_mem_take(sizeof(*passed));
    if (passed == NULL) {
        return TN_NOMEM;
    }
    passed->buf = scrape->body.out;
    tn_buf_init(&scrape->body.out, 0);
    struct tn_bytes bytes = tn_buf_bytes(&passed->buf);
    tn_block_init_foreign(&passed->block, bytes, body_release, passed);
    *ret_piece = (struct tn_piece){.bytes = bytes, .owner = &passed->block};
    return TN_OK;
}

static void scrape_end(struct scrape *scrape, enum tn_err err)
{
    struct tn_call *call = scrape->call;
    struct tn_str type = tn_prometheus_content_type(scrape->body.encoder.format);
    struct tn_piece piece;
    err = err != TN_OK ? err : headers_add(call, &scrape->body);
    err = err != TN_OK ? err : body_pass(scrape, &piece);
    atomic_fetch_sub_explicit(&scrape->endpoint->scrapes, 1, memory_order_relaxed);
    tn_scrape_deinit(&scrape->body);
    if (err == TN_OK) {
        tn_call_reply(call, 200, type, &piece, 1);
    } else {
        reply_text(call, tn_http_status_of(err), "the metrics do not fit into memory\n");
    }
}

static void scrape_step(struct tn_timer *timer)
{
    struct scrape *scrape = TN_CONTAINER(timer, struct scrape, timer);
    enum tn_err err = tn_scrape_step(&scrape->body);
    if (err == TN_AGAIN) {
        tn_timer_arm(timer, tn_loop_now_ns(timer->loop));
    } else {
        scrape_end(scrape, err == TN_DONE ? TN_OK : err);
    }
}

static void metrics_cancelled(void *context, struct tn_call *call)
{
    (void)context;
    struct scrape *scrape = tn_call_user(call);
    TN_ASSERT(scrape != NULL);
    tn_timer_disarm(&scrape->timer);
    scrape_end(scrape, TN_CANCELLED);
}

static enum tn_err scrape_begin(struct tn_metrics_endpoint *endpoint, struct tn_call *call,
                                struct scrape **ret_scrape)
{
    struct scrape *scrape = TN_ARENA_NEW(tn_call_arena(call), struct scrape);
    if (scrape == NULL) {
        return TN_NOMEM;
    }
    tn_metrics_collect(endpoint->options.metrics, tn_clock_wall_ns());
    struct tn_scrape_options options = {
        .metrics = endpoint->options.metrics,
        .accept = tn_call_header(call, TN_STR_OF("accept")),
        .accept_encoding = tn_call_header(call, TN_STR_OF("accept-encoding")),
    };
    enum tn_err err = tn_scrape_begin(&scrape->body, &options);
    if (err != TN_OK) {
        return err;
    }
    scrape->call = call;
    scrape->endpoint = endpoint;
    *ret_scrape = scrape;
    return TN_OK;
}

static void metrics_request(void *context, struct tn_call *call)
{
    struct tn_metrics_endpoint *endpoint = context;
    if (!method_is_read(call)) {
        return;
    }
    if (!tn_str_is(tn_call_info(call)->path, "/metrics")) {
        reply_text(call, 404, "no such page\n");
        return;
    }
    if (atomic_fetch_add_explicit(&endpoint->scrapes, 1, memory_order_relaxed) >= SCRAPES_MAX) {
        atomic_fetch_sub_explicit(&endpoint->scrapes, 1, memory_order_relaxed);
        enum tn_err err = tn_call_add_header(call, TN_STR_OF("retry-after"), TN_STR_OF("1"));
        reply_text(call, err == TN_OK ? 503 : 500, "too many scrapes at a time\n");
        return;
    }
    struct scrape *scrape;
    enum tn_err err = scrape_begin(endpoint, call, &scrape);
    if (err != TN_OK) {
        atomic_fetch_sub_explicit(&endpoint->scrapes, 1, memory_order_relaxed);
        reply_text(call, tn_http_status_of(err), "no memory for a scrape\n");
        return;
    }
    tn_call_set_user(call, scrape);
    tn_timer_init(&scrape->timer, tn_call_loop(call), scrape_step);
    scrape_step(&scrape->timer);
}

/* --- /healthz and / --- */
static void health_request(void *context, struct tn_call *call)
{
    struct tn_metrics_endpoint *endpoint = context;
    if (!method_is_read(call)) {
        return;
    }
    const char *reason = "not healthy";
    bool healthy = endpoint->options.healthy == NULL ||
                   endpoint->options.healthy(endpoint->options.context, &reason);
    reply_text(call, healthy ? 200 : 503, healthy ? "ok\n" : reason);
}

static void page_request(void *context, struct tn_call *call)
{
    struct tn_metrics_endpoint *endpoint = context;
    if (!method_is_read(call)) {
        return;
    }
    if (!tn_str_is(tn_call_info(call)->path, "/")) {
        reply_text(call, 404, "no such page: try /metrics\n");
        return;
    }
    /* The page outlives the server, so that its bytes need no owner. */
    struct tn_piece piece = {.bytes = tn_buf_bytes(&endpoint->page)};
    tn_call_reply(call, 200, TN_STR_OF("text/html; charset=utf-8"), &piece, 1);
}

static enum tn_err page_make(struct tn_metrics_endpoint *endpoint)
{
    struct tn_buf *page = &endpoint->page;
    tn_buf_init(page, 0);
    tn_buf_printf(page,
                  "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n"
                  "<h1>%s</h1>\n<ul>\n"
                  "<li><a href=\"/metrics\">/metrics</a>: Prometheus text or OpenMetrics</li>\n"
                  "<li><a href=\"/healthz\">/healthz</a>: whether this program is well</li>\n"
                  "</ul></html>\n",
                  endpoint->options.title, endpoint->options.title);
    return page->failed;
}

static enum tn_err routes_add(struct tn_metrics_endpoint *endpoint, struct tn_server *server)
{
    static const struct {
        struct tn_str prefix;
        void (*request)(void *context, struct tn_call *call);
        void (*cancelled)(void *context, struct tn_call *call);
    } rows[] = {
        {TN_STR("/metrics"), metrics_request, metrics_cancelled},
        {TN_STR("/healthz"), health_request, NULL},
        {TN_STR("/"), page_request, NULL},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_handler handler = {
            .request = rows[i].request, .cancelled = rows[i].cancelled, .context = endpoint};
        enum tn_err err = tn_server_route_http(server, rows[i].prefix, &handler);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

enum tn_err tn_metrics_endpoint_create(struct tn_server *server,
                                       const struct tn_metrics_endpoint_options *options,
                                       struct tn_metrics_endpoint **ret_endpoint,
                                       struct tn_fault *fault)
{
    struct tn_metrics_endpoint *endpoint = tn_mem_take_zeroed(1, sizeof(*endpoint));
    if (endpoint == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the metrics endpoint");
    }
    endpoint->options = *options;
    enum tn_err err = page_make(endpoint);
    err = err != TN_OK ? err : routes_add(endpoint, server);
    if (err != TN_OK) {
        tn_metrics_endpoint_destroy(endpoint);
        return tn_fault_set(fault, err, "the pages of the metrics endpoint: %s", tn_err_name(err));
    }
    *ret_endpoint = endpoint;
    return TN_OK;
}

void tn_metrics_endpoint_destroy(struct tn_metrics_endpoint *endpoint)
{
    if (endpoint != NULL) {
        tn_buf_deinit(&endpoint->page);
        tn_mem_give(endpoint);
    }
}
