/* gRPC health checking; see health.h. Looking a status up is a lock and a search in a sorted table:
 * health is asked a few times a second, not per request.
 * Memory, threads, bounds: as in the header. */
#include "rpc/health.h"

#include "base/mem.h"
#include "core/assert.h"
#include "proto/health.pb.h"

#include <pthread.h>

enum { INBOX_ROOM = 2, ENTRIES_FIRST = 16, REPLY_ROOM = 16 };

struct entry {
    char *name;
    struct tn_str view;
    int32_t status;
};

struct watcher {
    struct tn_call *call;
    struct watcher *next;
    struct tn_str service; /* lies in the call's body, which lives as long as the call */
    int32_t told;
};

struct watch_loop {
    struct tn_health *health;
    struct tn_loop *loop;
    struct tn_inbox inbox;
    bool ready;
    struct watcher *watchers;
};

struct tn_health {
    pthread_mutex_t mutex;
    struct entry *entries; /* sorted by name */
    size_t count;
    size_t room;
    bool shut;
    size_t loop_count;
    struct watch_loop loops[];
};

static int compare(struct tn_str a, struct tn_str b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Where the service is, or would go. The mutex is held. */
static size_t place_of(const struct tn_health *health, struct tn_str service)
{
    size_t low = 0;
    size_t high = health->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(health->entries[middle].view, service) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct tn_health *health, size_t at, struct tn_str service)
{
    return at < health->count && tn_str_equal(health->entries[at].view, service);
}

static int32_t status_of(struct tn_health *health, struct tn_str service)
{
    pthread_mutex_lock(&health->mutex);
    size_t at = place_of(health, service);
    int32_t status = TN_GRPC_HEALTH_CHECK_RESPONSE_SERVICE_UNKNOWN;
    if (is_at(health, at, service)) {
        status =
            health->shut ? TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING : health->entries[at].status;
    }
    pthread_mutex_unlock(&health->mutex);
    return status;
}

static void tell_loops(struct tn_health *health)
{
    for (size_t i = 0; i < health->loop_count; i++) {
        /* Full means that a look is due anyway, and it will see this change. */
        enum tn_err err = tn_chan_push(&health->loops[i].inbox.chan, health);
        (void)err;
    }
}

/* A free entry at `at`. The mutex is held. */
static enum tn_err insert(struct tn_health *health, size_t at, struct tn_str service)
{
    if (health->count == TN_HEALTH_SERVICES_MAX) {
        return TN_LIMIT;
    }
    if (health->count == health->room) {
        size_t room = health->room > 0 ? health->room * 2 : ENTRIES_FIRST;
        struct entry *entries = tn_mem_resize(health->entries, room * sizeof(*entries));
        if (entries == NULL) {
            return TN_NOMEM;
        }
        health->entries = entries;
        health->room = room;
    }
    char *name = tn_mem_copy_str(service);
    if (name == NULL) {
        return TN_NOMEM;
    }
    struct entry *entry = &health->entries[at];
    memmove(entry + 1, entry, (health->count - at) * sizeof(*entry));
    *entry = (struct entry){.name = name, .view = tn_str_make(name, service.size)};
    health->count++;
    return TN_OK;
}

enum tn_err tn_health_set(struct tn_health *health, struct tn_str service, bool serving)
{
    int32_t status =
        serving ? TN_GRPC_HEALTH_CHECK_RESPONSE_SERVING : TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING;
    pthread_mutex_lock(&health->mutex);
    size_t at = place_of(health, service);
    enum tn_err err = is_at(health, at, service) ? TN_OK : insert(health, at, service);
    bool changed = err >= 0 && health->entries[at].status != status;
    if (changed) {
        health->entries[at].status = status;
    }
    pthread_mutex_unlock(&health->mutex);
    if (changed) {
        tell_loops(health);
    }
    return err;
}

void tn_health_remove(struct tn_health *health, struct tn_str service)
{
    pthread_mutex_lock(&health->mutex);
    size_t at = place_of(health, service);
    bool found = is_at(health, at, service);
    if (found) {
        struct entry *entry = &health->entries[at];
        tn_mem_give(entry->name);
        memmove(entry, entry + 1, (health->count - at - 1) * sizeof(*entry));
        health->count--;
    }
    pthread_mutex_unlock(&health->mutex);
    if (found) {
        tell_loops(health);
    }
}

void tn_health_shut(struct tn_health *health)
{
    pthread_mutex_lock(&health->mutex);
    health->shut = true;
    pthread_mutex_unlock(&health->mutex);
    tell_loops(health);
}

/* ---- answers ---- */

/* Sends one message; true when it was taken. */
static bool send_message(struct tn_call *call, const struct tn_pb_message *message,
                         const void *object)
{
    size_t size = tn_pb_size(message, object);
    struct tn_block *block = NULL;
    if (tn_block_create(size, &block) < 0) {
        return false;
    }
    tn_pb_encode(message, object, block->data, size);
    block->size = size;
    struct tn_piece piece = {tn_bytes_make(block->data, size), block};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(block);
        return false;
    }
    return true;
}

static bool send_status(struct tn_call *call, int32_t status)
{
    const struct tn_grpc_health_check_response response = {.status = status};
    return send_message(call, &tn_grpc_health_check_response_pb, &response);
}

static void finish(struct tn_call *call, enum tn_grpc_status status, const char *message)
{
    tn_call_finish(call, status, tn_str_from(message));
}

static bool decode(struct tn_call *call, struct tn_block *body,
                   struct tn_grpc_health_check_request *request)
{
    enum tn_err err =
        tn_pb_decode(&tn_grpc_health_check_request_pb, tn_bytes_make(body->data, body->size),
                     tn_call_arena(call), request);
    if (err < 0) {
        finish(call, TN_GRPC_INVALID_ARGUMENT, "not a HealthCheckRequest");
    }
    return err >= 0;
}

static void check(void *context, struct tn_call *call)
{
    struct tn_health *health = context;
    struct tn_grpc_health_check_request request;
    if (!decode(call, tn_call_body(call), &request)) {
        return;
    }
    int32_t status = status_of(health, request.service);
    if (status == TN_GRPC_HEALTH_CHECK_RESPONSE_SERVICE_UNKNOWN) {
        finish(call, TN_GRPC_NOT_FOUND, "unknown service");
    } else if (send_status(call, status)) {
        finish(call, TN_GRPC_OK, "");
    } else {
        finish(call, TN_GRPC_RESOURCE_EXHAUSTED, "out of memory");
    }
}

static bool send_list(struct tn_health *health, struct tn_call *call)
{
    struct tn_arena *arena = tn_call_arena(call);
    struct tn_grpc_health_check_response_entry *statuses =
        TN_ARENA_ARRAY(arena, struct tn_grpc_health_check_response_entry, health->count);
    struct tn_grpc_health_check_response *responses =
        TN_ARENA_ARRAY(arena, struct tn_grpc_health_check_response, health->count);
    if (statuses == NULL || responses == NULL) {
        return false;
    }
    for (size_t i = 0; i < health->count; i++) {
        responses[i].status =
            health->shut ? TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING : health->entries[i].status;
        statuses[i].key = health->entries[i].view;
        statuses[i].value = &responses[i];
    }
    const struct tn_grpc_health_list_response response = {.statuses = statuses,
                                                          .statuses_count = health->count};
    return send_message(call, &tn_grpc_health_list_response_pb, &response);
}

static void list(void *context, struct tn_call *call)
{
    struct tn_health *health = context;
    pthread_mutex_lock(&health->mutex);
    bool sent = send_list(health, call);
    pthread_mutex_unlock(&health->mutex);
    finish(call, sent ? TN_GRPC_OK : TN_GRPC_RESOURCE_EXHAUSTED, sent ? "" : "out of memory");
}

/* ---- watching ---- */

static struct watch_loop *loop_of(struct tn_health *health, const struct tn_loop *loop)
{
    for (size_t i = 0; i < health->loop_count; i++) {
        if (health->loops[i].loop == loop) {
            return &health->loops[i];
        }
    }
    TN_UNREACHABLE();
}

static void unlink_watcher(struct tn_health *health, struct watcher *watcher)
{
    struct watcher **link = &loop_of(health, tn_call_loop(watcher->call))->watchers;
    while (*link != watcher) {
        TN_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = watcher->next;
}

static void watch(void *context, struct tn_call *call)
{
    struct tn_health *health = context;
    struct tn_grpc_health_check_request request;
    if (!decode(call, tn_call_body(call), &request)) {
        return;
    }
    struct watcher *watcher = TN_ARENA_NEW(tn_call_arena(call), struct watcher);
    int32_t status = status_of(health, request.service);
    if (watcher == NULL || !send_status(call, status)) {
        finish(call, TN_GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    *watcher = (struct watcher){.call = call, .service = request.service, .told = status};
    struct watch_loop *loop = loop_of(health, tn_call_loop(call));
    watcher->next = loop->watchers;
    loop->watchers = watcher;
    tn_call_set_user(call, watcher);
}

static void watch_cancelled(void *context, struct tn_call *call)
{
    struct watcher *watcher = tn_call_user(call);
    if (watcher != NULL) {
        unlink_watcher(context, watcher);
    }
    finish(call, TN_GRPC_CANCELLED, "");
}

static void look(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)items;
    (void)count;
    struct watch_loop *loop = TN_CONTAINER(inbox, struct watch_loop, inbox);
    for (struct watcher *watcher = loop->watchers; watcher != NULL; watcher = watcher->next) {
        int32_t status = status_of(loop->health, watcher->service);
        /* Not told for want of memory or room: the next change tries again. */
        if (status != watcher->told && send_status(watcher->call, status)) {
            watcher->told = status;
        }
    }
}

/* ---- life ---- */

static enum tn_err add_route(struct tn_server *server, struct tn_health *health, size_t method,
                             void (*request)(void *, struct tn_call *),
                             void (*cancelled)(void *, struct tn_call *))
{
    const struct tn_handler handler = {
        .request = request, .cancelled = cancelled, .context = health};
    return tn_server_route_grpc(server, tn_str_from(tn_grpc_health_service.methods[method].path),
                                &handler);
}

enum tn_err tn_health_create(struct tn_server *server, struct tn_health **ret_health)
{
    size_t count = tn_server_loop_count(server);
    size_t size = sizeof(struct tn_health) + count * sizeof(struct watch_loop);
    struct tn_health *health = tn_mem_take_aligned(size, _Alignof(struct tn_health));
    if (health == NULL) {
        return TN_NOMEM;
    }
    memset(health, 0, size);
    pthread_mutex_init(&health->mutex, NULL);
    health->loop_count = count;
    enum tn_err err = TN_OK;
    for (size_t i = 0; err >= 0 && i < count; i++) {
        struct watch_loop *loop = &health->loops[i];
        loop->health = health;
        loop->loop = tn_server_loop(server, i);
        err = tn_inbox_init(&loop->inbox, loop->loop, INBOX_ROOM, look);
        loop->ready = err >= 0;
    }
    if (err >= 0) {
        err = tn_health_set(health, tn_str_make("", 0), false);
    }
    if (err >= 0) {
        err = add_route(server, health, TN_GRPC_HEALTH_CHECK, check, NULL);
    }
    if (err >= 0) {
        err = add_route(server, health, TN_GRPC_HEALTH_LIST, list, NULL);
    }
    if (err >= 0) {
        err = add_route(server, health, TN_GRPC_HEALTH_WATCH, watch, watch_cancelled);
    }
    if (err < 0) {
        tn_health_destroy(health);
        return err;
    }
    *ret_health = health;
    return TN_OK;
}

void tn_health_destroy(struct tn_health *health)
{
    if (health == NULL) {
        return;
    }
    for (size_t i = 0; i < health->loop_count; i++) {
        if (health->loops[i].ready) {
            tn_inbox_deinit(&health->loops[i].inbox);
        }
    }
    for (size_t i = 0; i < health->count; i++) {
        tn_mem_give(health->entries[i].name);
    }
    tn_mem_give(health->entries);
    pthread_mutex_destroy(&health->mutex);
    tn_mem_give(health);
}
