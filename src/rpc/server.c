/* A server: routes, listeners on every loop, drain; see server.h. The work is done by the stations.
 * Memory: one struct, a station a loop. Threads: the owner's; drain counts stations by an atomic.
 * Bounds: LOOPS_MAX loops, the limits. */
#include "rpc/server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/listener.h"
#include "rpc/station.h"
#include "telemetry/metrics.h"

#include <unistd.h>

enum { LOOPS_MAX = 256 };

struct tn_server {
    struct tn_station_shared shared;
    atomic_size_t undrained; /* stations */
    atomic_size_t cut;
    void (*done)(void *context, size_t cut);
    void *done_context;
    struct tn_inbox last; /* on the first loop: all stations are drained */
    bool last_ready;
    bool listening;
    size_t station_count;
    struct tn_station stations[];
};

static void finish_drain(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)items;
    (void)count;
    struct tn_server *server = TN_CONTAINER(inbox, struct tn_server, last);
    if (server->done != NULL) {
        void (*done)(void *, size_t) = server->done;
        server->done = NULL;
        done(server->done_context, atomic_load(&server->cut));
    }
}

enum tn_err tn_server_create(const struct tn_server_options *options, struct tn_server **ret_server,
                             struct tn_fault *fault)
{
    TN_ASSERT(options->loop_count > 0 && options->loop_count <= LOOPS_MAX);

    size_t count = options->loop_count;
    size_t size = sizeof(struct tn_server) + count * sizeof(struct tn_station);
    /* Aligned, because the channels inside keep their ends on lines of their own. */
    struct tn_server *server = tn_mem_take_aligned(size, _Alignof(struct tn_server));
    if (server == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the server");
    }
    memset(server, 0, size);
    tn_router_init(&server->shared.router);
    enum tn_err err = tn_meter_init(&server->shared.meter, options->metrics);
    struct tn_lane_options lane = {
        .limits = options->limits,
        .router = &server->shared.router,
        .meter = &server->shared.meter,
        .buffered_bytes = &server->shared.buffered_bytes,
        .server_header = tn_str_from(options->server_header),
        .access_log = options->access_log,
    };
    for (size_t i = 0; err >= 0 && i < count; i++) {
        lane.loop = options->loops[i];
        err = tn_station_init(&server->stations[i], &lane, &server->shared);
        server->station_count += err >= 0;
    }
    if (err >= 0) {
        err = tn_inbox_init(&server->last, options->loops[0], 2, finish_drain);
        server->last_ready = err >= 0;
    }
    if (err < 0) {
        tn_server_destroy(server);
        return tn_fault_set(fault, err, "no memory for the server");
    }
    *ret_server = server;
    return TN_OK;
}

size_t tn_server_loop_count(const struct tn_server *server)
{
    return server->station_count;
}

struct tn_loop *tn_server_loop(const struct tn_server *server, size_t index)
{
    TN_ASSERT(index < server->station_count);
    return server->stations[index].lane.loop;
}

static enum tn_err add_route(struct tn_server *server, enum tn_call_kind kind, struct tn_str path,
                             const struct tn_handler *handler)
{
    TN_ASSERT(!server->listening);
    TN_ASSERT(handler->request != NULL);

    struct tn_route *route = NULL;
    enum tn_err err = tn_router_add(&server->shared.router, kind, path, handler, &route);
    return err < 0 ? err : tn_meter_route(&server->shared.meter, route);
}

enum tn_err tn_server_route_grpc(struct tn_server *server, struct tn_str path,
                                 const struct tn_handler *handler)
{
    return add_route(server, TN_CALL_GRPC, path, handler);
}

enum tn_err tn_server_route_http(struct tn_server *server, struct tn_str prefix,
                                 const struct tn_handler *handler)
{
    TN_ASSERT(!handler->streaming);
    return add_route(server, TN_CALL_HTTP, prefix, handler);
}

enum tn_err tn_server_listen(struct tn_server *server, const struct tn_listen_options *options,
                             unsigned *ret_port, struct tn_fault *fault)
{
    const char *address = options->address != NULL ? options->address : "127.0.0.1";
    int fds[LOOPS_MAX];
    unsigned port = 0;
    enum tn_err err =
        tn_listener_bind(address, options->port, fds, server->station_count, &port, fault);
    if (err < 0) {
        return err;
    }
    server->listening = true;
    for (size_t i = 0; i < server->station_count; i++) {
        const struct tn_station_listen listen = {
            .fd = fds[i],
            .tls = options->tls,
            .routes = options->routes,
        };
        if (err >= 0) {
            err = tn_station_listen(&server->stations[i], &listen);
        }
        if (err < 0) {
            close(fds[i]);
        }
    }
    if (err < 0) {
        return tn_fault_set(fault, err, "no memory to listen on %s port %u", address, port);
    }
    *ret_port = port;
    return TN_OK;
}

static void on_drained(struct tn_station *station)
{
    struct tn_server *server = TN_CONTAINER(station->shared, struct tn_server, shared);
    atomic_fetch_add(&server->cut, station->cut);
    if (atomic_fetch_sub(&server->undrained, 1) == 1) {
        enum tn_err err = tn_chan_push(&server->last.chan, server);
        TN_ASSERT(err >= 0); /* pushed once, room for two */
    }
}

void tn_server_drain(struct tn_server *server, uint64_t deadline_ns,
                     void (*done)(void *context, size_t cut), void *context)
{
    TN_ASSERT(server->done == NULL);

    server->done = done;
    server->done_context = context;
    atomic_store(&server->undrained, server->station_count);
    for (size_t i = 0; i < server->station_count; i++) {
        if (tn_station_drain(&server->stations[i], deadline_ns, on_drained) < 0) {
            /* No memory to ask politely: this station counts as drained and is closed at destroy.
             */
            on_drained(&server->stations[i]);
        }
    }
}

void tn_server_cut(struct tn_server *server)
{
    for (size_t i = 0; server != NULL && i < server->station_count; i++) {
        tn_station_cut(&server->stations[i]);
    }
}

void tn_server_destroy(struct tn_server *server)
{
    if (server == NULL) {
        return;
    }
    for (size_t i = 0; i < server->station_count; i++) {
        tn_station_deinit(&server->stations[i]);
    }
    if (server->last_ready) {
        tn_inbox_deinit(&server->last);
    }
    for (size_t i = 0; i < server->shared.router.room; i++) {
        struct tn_route *route = server->shared.router.slots[i];
        tn_metric_retire(route != NULL ? route->seconds : NULL);
    }
    tn_router_deinit(&server->shared.router);
    tn_meter_deinit(&server->shared.meter);
    tn_mem_give(server);
}
