/* The server as a whole: see server.h.
 *
 * Order of life: engine, catalog, lanes, store | rpc server, routes, listeners | threads; torn down
 * the other way round. Memory: one struct. Threads: as server.h says. */
#include "serve/server.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/thread.h"
#include "core/assert.h"
#include "export/metrics_endpoint.h"
#include "export/otlp_push.h"
#include "export/process_metrics.h"
#include "proto/inference.pb.h"
#include "rpc/reflection.h"
#include "rpc/server.h"
#include "rpc/tls.h"
#include "serve/grpc_service.h"
#include "serve/health_feed.h"
#include "serve/remote_feed.h"
#include "serve/rest.h"
#include "serve/service.h"
#include "serve/tracing.h"
#include "telemetry/metrics.h"
#include "telemetry/otlp.h"
#include "telemetry/trace.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum { LOOPS_MAX = TN_SERVICE_LANES_MAX };

struct server {
    const struct tn_serve_options *options;
    const char *version;
    char header[64];
    struct tn_metrics *metrics;
    struct tn_process_metrics *process;
    struct tn_engine *engine;
    struct tn_service service;
    bool catalog_made, settings_made;
    struct tn_loop *loops[LOOPS_MAX];
    size_t loop_count;
    size_t loops_started;
    struct tn_serve_lane lanes[LOOPS_MAX];
    struct tn_tls *tls;
    struct tn_server *rpc;
    struct tn_server *scrapes;
    struct tn_metrics_endpoint *endpoint;
    struct tn_health_feed *feed;
    struct tn_reflection *reflection;
    struct tn_tracer *tracer;
    struct tn_otlp_push *push;
    struct tn_remote_feed *remote_feed;
    struct tn_otlp_source source;
    struct tn_store_order pokes[LOOPS_MAX];
    atomic_bool announced;
    uint64_t began_ns;
    unsigned http_port, grpc_port, metrics_port;
    struct tn_signal on_term, on_int, on_hup;
    bool draining;
};

/* --- What the repository's thread tells --- */
static void announce(struct server *server)
{
    struct tn_store_state state = tn_store_state(server->service.store);
    if (!state.settled || atomic_exchange(&server->announced, true)) {
        return;
    }
    uint64_t now_ns = tn_clock_mono_ns();
    tn_log_info(state.complete ? "ready" : "ready, but not every model is loaded",
                TN_LOG_STR("address", server->options->address),
                TN_LOG_U64("http_port", server->http_port),
                TN_LOG_U64("grpc_port", server->grpc_port),
                TN_LOG_U64("metrics_port", server->metrics_port),
                TN_LOG_F64("seconds", (double)(now_ns - server->began_ns) / 1e9));
}

static void on_changed(void *context)
{
    struct server *server = context;
    for (size_t i = 0; i < server->loop_count; i++) {
        /* A full inbox has enough that will make the lane look. */
        enum tn_err err = tn_chan_push(&server->lanes[i].orders.chan, &server->pokes[i]);
        (void)err;
    }
    if (server->feed != NULL) {
        tn_health_feed_update(server->feed);
    }
    if (!server->options->check) {
        announce(server);
    }
}

/* --- Parts --- */
static enum tn_err make_loops(struct server *server, struct tn_fault *fault)
{
    size_t count = server->options->io_threads;
    if (count == 0) {
        count = tn_thread_cpu_count() / 4;
        count = count > 0 ? count : 1;
    }
    if (count > LOOPS_MAX) {
        count = LOOPS_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        char name[TN_THREAD_NAME_MAX];
        snprintf(name, sizeof(name), "tn-io-%zu", i);
        enum tn_err err = tn_loop_create(name, &server->loops[i], fault);
        if (err != TN_OK) {
            return err;
        }
        server->loop_count = i + 1;
    }
    return TN_OK;
}

static enum tn_err make_store(struct server *server, struct tn_fault *fault)
{
    const struct tn_serve_options *options = server->options;
    bool watch = options->mode == TN_REPOSITORY_WATCH && !options->check;
    struct tn_store_options store = {
        .roots = options->models.items,
        .root_count = options->models.count,
        .files = options->files.items,
        .file_count = options->files.count,
        .mode = options->check ? TN_REPOSITORY_NONE : options->mode,
        .load = options->load.items,
        .load_count = options->load.count,
        .poll_ns = options->poll_ns,
        .settle_ns = watch ? options->settle_ns : 0,
        .models_max = options->models_max,
        .engine = server->engine,
        .metrics = server->metrics,
        .catalog = &server->service.catalog,
        .changed = on_changed,
        .changed_context = server,
    };
    return tn_store_create(&store, &server->service.store, fault);
}

static enum tn_err make_service(struct server *server, struct tn_fault *fault)
{
    struct tn_service *service = &server->service;
    service->version = tn_str_from(server->version);
    service->strict_readiness = server->options->strict_readiness;
    service->lanes = server->lanes;
    tn_settings_init(&service->settings);
    server->settings_made = true;
    enum tn_err err = tn_catalog_init(&service->catalog);
    server->catalog_made = err == TN_OK;
    if (err == TN_OK) {
        err = tn_shm_create(&service->shm);
    }
    if (err == TN_OK) {
        err = tn_shm_guard(fault);
    }
    if (err == TN_OK) {
        err = make_store(server, fault);
    }
    for (size_t i = 0; err == TN_OK && i < server->loop_count; i++) {
        err = tn_serve_lane_init(&server->lanes[i], service, server->loops[i]);
        if (err == TN_OK) {
            tn_catalog_reader_open(&server->lanes[i].reader, &service->catalog);
            service->lane_count = i + 1;
        }
    }
    if (err == TN_NOMEM) {
        tn_fault_set(fault, TN_NOMEM, "no memory for the server");
    }
    return err;
}

/* Traces into a file, spans and metrics to a collector; each only when asked for. */
static enum tn_err make_tracing(struct server *server, struct tn_fault *fault)
{
    const struct tn_serve_options *options = server->options;
    static const struct tn_otlp_attribute resource[] = {
        {TN_STR("service.name"), TN_STR("tenon-serve")},
    };
    struct tn_tracing_options tracing = {.file = options->trace_file};
    enum tn_err err = TN_OK;
    server->source = (struct tn_otlp_source){
        .resource = resource,
        .resource_count = TN_COUNT(resource),
        .scope_name = TN_STR("tenon"),
        .scope_version = tn_str_from(server->version),
        .start_ns = tn_clock_wall_ns(),
    };
    if (options->otlp_url != NULL) {
        struct tn_tracer_options tracer = {.rate = options->otlp_sample};
        tn_random_secure(tracer.seed, sizeof(tracer.seed));
        err = tn_tracer_create(&tracer, &server->tracer);
        tracing.tracer = server->tracer;
    }
    if (err == TN_OK && options->otlp_url != NULL) {
        struct tn_otlp_push_options push = {.loop = server->loops[0],
                                            .url = options->otlp_url,
                                            .metrics = server->metrics,
                                            .tracer = server->tracer,
                                            .source = &server->source,
                                            .metrics_interval_ns = options->otlp_interval_ns};
        err = tn_otlp_push_create(&push, &server->push, fault);
    }
    if (err == TN_OK && (options->trace_file != NULL || server->tracer != NULL)) {
        err = tn_tracing_create(&tracing, &server->service.tracing, fault);
    }
    if (err == TN_OK && options->trace_file != NULL) {
        tn_settings_trace_start(&server->service.settings, options->trace_file,
                                options->trace_rate);
    }
    return err;
}

static enum tn_err make_tls(struct server *server, struct tn_fault *fault)
{
    const struct tn_serve_options *options = server->options;
    if (options->tls_cert == NULL && options->tls_key == NULL && options->tls_ca == NULL) {
        return TN_OK;
    }
    if (options->tls_cert == NULL || options->tls_key == NULL) {
        return tn_fault_set(fault, TN_INVALID, "TLS needs both --tls-cert and --tls-key");
    }
    struct tn_tls_options tls = {.server = true,
                                 .cert_file = options->tls_cert,
                                 .key_file = options->tls_key,
                                 .ca_file = options->tls_ca};
    return tn_tls_create(&tls, &server->tls, fault);
}

static struct tn_server_options rpc_options(struct server *server)
{
    const struct tn_serve_options *options = server->options;
    return (struct tn_server_options){
        .loops = server->loops,
        .loop_count = server->loop_count,
        .limits = {.connections_max = options->connections_max,
                   .streams_max = options->streams_max,
                   .body_bytes_max = options->body_bytes_max,
                   .buffered_bytes_max = options->buffered_bytes_max,
                   .idle_timeout_ns = options->idle_ns},
        .metrics = server->metrics,
        .server_header = server->header,
        .access_log = options->access_log,
    };
}

static enum tn_err make_rpc(struct server *server, struct tn_fault *fault)
{
    struct tn_server_options options = rpc_options(server);
    enum tn_err err = tn_server_create(&options, &server->rpc, fault);
    if (err == TN_OK) {
        err = tn_grpc_service_route(&server->service, server->rpc);
    }
    if (err == TN_OK) {
        err = tn_rest_route(&server->service, server->rpc);
    }
    if (err == TN_OK) {
        err = tn_health_feed_create(&server->service, server->rpc, &server->feed);
    }
    if (err == TN_OK) {
        static const struct tn_pb_file *const files[] = {&tn_oip_inference_file};
        err = tn_reflection_create(server->rpc, files, TN_COUNT(files), &server->reflection);
    }
    if (err != TN_OK && fault->code == TN_OK) {
        tn_fault_set(fault, err, "cannot register the protocol's routes");
    }
    return err;
}

static bool is_healthy(void *context, const char **ret_reason)
{
    struct server *server = context;
    *ret_reason = "not every model is ready, or the server drains";
    return tn_service_ready(&server->service);
}

static enum tn_err make_scrapes(struct server *server, struct tn_fault *fault)
{
    if (!server->options->metrics) {
        return TN_OK;
    }
    /* One loop is enough, and a server of its own: "/" means another page here. */
    struct tn_server_options options = rpc_options(server);
    options.loop_count = 1;
    options.metrics = NULL;
    enum tn_err err = tn_server_create(&options, &server->scrapes, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_metrics_endpoint_options endpoint = {.metrics = server->metrics,
                                                   .title = "tenon serve",
                                                   .healthy = is_healthy,
                                                   .context = server};
    return tn_metrics_endpoint_create(server->scrapes, &endpoint, &server->endpoint, fault);
}

static enum tn_err listen_one(struct server *server, struct tn_server *rpc, unsigned port,
                              unsigned *ret_port, struct tn_fault *fault)
{
    struct tn_listen_options listen = {
        .address = server->options->address, .port = port, .tls = server->tls};
    return tn_server_listen(rpc, &listen, ret_port, fault);
}

static enum tn_err listen_all(struct server *server, struct tn_fault *fault)
{
    const struct tn_serve_options *options = server->options;
    enum tn_err err = TN_OK;
    if (options->http) {
        err = listen_one(server, server->rpc, options->http_port, &server->http_port, fault);
    }
    if (err == TN_OK && options->grpc) {
        err = listen_one(server, server->rpc, options->grpc_port, &server->grpc_port, fault);
    }
    if (err == TN_OK && options->metrics) {
        err = listen_one(server, server->scrapes, options->metrics_port, &server->metrics_port,
                         fault);
    }
    return err;
}

/* After listening, since the metrics port is part of who we are. */
static enum tn_err make_remote_feed(struct server *server, struct tn_fault *fault)
{
    struct tn_remote_feed_options feed = {
        .loop = server->loops[0],
        .metrics = server->metrics,
        .url = server->options->remote_write_url,
        .interval_ns = server->options->remote_write_interval_ns,
        .port = server->metrics_port,
    };
    return feed.url != NULL ? tn_remote_feed_create(&feed, &server->remote_feed, fault) : TN_OK;
}

/* --- Signals --- */
static void stop_loops(struct server *server)
{
    for (size_t i = server->loop_count; i > 0; i--) {
        tn_loop_stop(server->loops[i - 1]);
    }
}

static void on_drained(void *context, size_t cut)
{
    struct server *server = context;
    if (cut > 0) {
        tn_log_warn("requests were cut off by the drain timeout", TN_LOG_U64("count", cut));
    }
    stop_loops(server);
}

static void on_stop_signal(struct server *server)
{
    if (server->draining) {
        tn_log_warn("second signal: stopping at once");
        stop_loops(server);
        return;
    }
    server->draining = true;
    atomic_store(&server->service.draining, true);
    tn_health_feed_shut(server->feed);
    tn_log_info("draining");
    tn_server_drain(server->rpc, tn_clock_mono_ns() + server->options->drain_ns, on_drained,
                    server);
}

static void on_term(struct tn_signal *signal, int signum)
{
    (void)signum;
    on_stop_signal(TN_CONTAINER(signal, struct server, on_term));
}

static void on_int(struct tn_signal *signal, int signum)
{
    (void)signum;
    on_stop_signal(TN_CONTAINER(signal, struct server, on_int));
}

static void on_hup(struct tn_signal *signal, int signum)
{
    (void)signum;
    struct server *server = TN_CONTAINER(signal, struct server, on_hup);
    struct tn_fault fault = {0};
    if (server->tls != NULL && tn_tls_reload(server->tls, &fault) != TN_OK) {
        tn_log_error("certificates not reloaded, the old ones stay",
                     TN_LOG_STR("reason", fault.text));
    } else {
        tn_log_info("reloading");
    }
    tn_store_rescan(server->service.store);
}

static enum tn_err watch_signals(struct server *server)
{
    struct tn_loop *loop = server->loops[0];
    enum tn_err err = tn_signal_watch(&server->on_term, loop, SIGTERM, on_term);
    if (err == TN_OK) {
        err = tn_signal_watch(&server->on_int, loop, SIGINT, on_int);
    }
    if (err == TN_OK) {
        err = tn_signal_watch(&server->on_hup, loop, SIGHUP, on_hup);
    }
    return err;
}

/* --- Life --- */
static void server_deinit(struct server *server)
{
    for (size_t i = 1; i < server->loops_started; i++) {
        tn_loop_stop(server->loops[i]);
        tn_loop_join(server->loops[i]);
    }
    /* A drain that was cut short leaves jobs with the models: their calls end before what they use
     * goes. */
    tn_server_cut(server->rpc);
    if (server->service.store != NULL) {
        tn_store_stop(server->service.store);
    }
    for (size_t i = 0; i < server->service.lane_count; i++) {
        tn_serve_lane_quit(&server->lanes[i]);
    }
    tn_signal_unwatch(&server->on_term);
    tn_signal_unwatch(&server->on_int);
    tn_signal_unwatch(&server->on_hup);
    tn_server_destroy(server->scrapes);
    tn_server_destroy(server->rpc);
    tn_reflection_destroy(server->reflection);
    tn_health_feed_destroy(server->feed);
    tn_otlp_push_destroy(server->push);
    tn_remote_feed_destroy(server->remote_feed);
    tn_tracing_destroy(server->service.tracing);
    tn_tracer_destroy(server->tracer);
    tn_metrics_endpoint_destroy(server->endpoint);
    for (size_t i = 0; i < server->loop_count; i++) {
        tn_serve_lane_deinit(&server->lanes[i]);
    }
    tn_store_destroy(server->service.store);
    tn_shm_destroy(server->service.shm);
    if (server->catalog_made) {
        tn_catalog_deinit(&server->service.catalog);
    }
    if (server->settings_made) {
        tn_settings_deinit(&server->service.settings);
    }
    for (size_t i = 0; i < server->loop_count; i++) {
        tn_loop_destroy(server->loops[i]);
    }
    tn_tls_destroy(server->tls);
    tn_engine_destroy(server->engine);
    tn_process_metrics_destroy(server->process);
    tn_metrics_destroy(server->metrics);
}

static enum tn_err make_base(struct server *server, struct tn_fault *fault)
{
    struct tn_engine_options engine = {.library = server->options->onnxruntime};
    if (server->options->models.count == 0 && server->options->files.count == 0) {
        return tn_fault_set(fault, TN_INVALID,
                            "nothing to serve: give --models DIR or a FILE.onnx");
    }
    enum tn_err err = tn_engine_create(&engine, &server->engine, fault);
    if (err == TN_OK && (err = tn_metrics_create(&server->metrics)) != TN_OK) {
        tn_fault_set(fault, err, "no memory for metrics");
    }
    if (err == TN_OK) {
        err = tn_process_metrics_create(server->metrics, server->version, &server->process);
    }
    if (err == TN_OK) {
        err = make_loops(server, fault);
    }
    return err == TN_OK ? make_service(server, fault) : err;
}

static enum tn_err make_front(struct server *server, struct tn_fault *fault)
{
    enum tn_err err = make_tls(server, fault);
    if (err == TN_OK) {
        err = make_tracing(server, fault);
    }
    if (err == TN_OK) {
        err = make_rpc(server, fault);
    }
    if (err == TN_OK) {
        err = make_scrapes(server, fault);
    }
    if (err == TN_OK) {
        err = listen_all(server, fault);
    }
    if (err == TN_OK) {
        err = make_remote_feed(server, fault);
    }
    return err == TN_OK ? watch_signals(server) : err;
}

static enum tn_err run_loops(struct server *server, struct tn_fault *fault)
{
    enum tn_err err = tn_store_start(server->service.store, fault);
    server->loops_started = 1;
    for (size_t i = 1; err == TN_OK && i < server->loop_count; i++) {
        err = tn_loop_start(server->loops[i], fault);
        server->loops_started += err == TN_OK ? 1 : 0;
    }
    if (err == TN_OK) {
        tn_loop_run(server->loops[0]);
    }
    return err;
}

static int fail(enum tn_err err, const struct tn_fault *fault)
{
    tn_log_error("cannot serve",
                 TN_LOG_STR("reason", fault->text[0] != '\0' ? fault->text : tn_err_name(err)));
    return tn_args_exit_code(err);
}

/* --check: loads everything and tells, one line a version, on stdout. */
static int check(struct server *server)
{
    struct tn_fault fault = {0};
    struct tn_arena arena;
    struct tn_store_index_item *items = NULL;
    size_t count = 0;
    enum tn_err err = tn_store_start(server->service.store, &fault);
    if (err != TN_OK) {
        return fail(err, &fault);
    }
    tn_store_wait(server->service.store);
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    err = tn_store_index(server->service.store, &arena, &items, &count);
    bool good = err == TN_OK && tn_store_state(server->service.store).complete;
    for (size_t i = 0; i < count; i++) {
        printf("%-32.*s %-6.*s %-12.*s %.*s\n", TN_STR_ARG(items[i].name),
               TN_STR_ARG(items[i].version), TN_STR_ARG(items[i].state),
               TN_STR_ARG(items[i].reason));
    }
    tn_arena_deinit(&arena);
    return good && count > 0 ? EX_OK : EX_CONFIG;
}

/* Shells commonly allow 1,024 open files: far fewer than the connections that were asked for. */
static void raise_file_limit(const struct tn_serve_options *options)
{
    enum { FILES_BESIDE = 2048 }; /* models, shared memory, listeners */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t wanted = (rlim_t)options->connections_max + FILES_BESIDE;
    rlim_t most =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= most) {
        return;
    }
    limit.rlim_cur = most;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || most < wanted) {
        tn_log_debug("fewer files may be open than connections-max needs",
                     TN_LOG_U64("files", most), TN_LOG_U64("wanted", wanted));
    }
}

int tn_serve_run(const struct tn_serve_options *options, const char *version)
{
    struct tn_fault fault = {0};
    struct server *server = tn_mem_take_zeroed(1, sizeof(*server));
    if (server == NULL) {
        return EX_OSERR;
    }
    tn_log_setup(options->log_level, options->log_format, STDERR_FILENO);
    raise_file_limit(options);
    server->began_ns = tn_clock_mono_ns();
    server->options = options;
    server->version = version;
    snprintf(server->header, sizeof(server->header), "tenon/%s", version);
    int code = EX_OK;
    enum tn_err err = make_base(server, &fault);
    if (err == TN_OK && options->check) {
        code = check(server);
    } else if (err == TN_OK) {
        err = make_front(server, &fault);
        if (err == TN_OK) {
            err = run_loops(server, &fault);
        }
    }
    if (err != TN_OK) {
        code = fail(err, &fault);
    } else if (!options->check) {
        tn_log_info("stopped");
    }
    server_deinit(server);
    tn_mem_give(server);
    return code;
}
