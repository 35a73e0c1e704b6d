/* The repository's thread: see repository_store.h.
 *
 *   loop: take orders -> scan (start, watch, or asked) -> do what the core says -> bury retired
 *   models -> sleep until an order, a change on disk, the core's due time, or the poll
 *
 * Memory: an arena a scan, the file of the model that loads. Threads: this one. Bounds: those of
 * the store. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "serve/repository_load.h"
#include "serve/repository_scan.h"
#include "serve/repository_state.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { RETIRE_WAIT_MS = 10000 };

static void tell_changed(struct tn_store *store)
{
    if (store->options.changed != NULL) {
        store->options.changed(store->options.changed_context);
    }
}

size_t tn_store_bury(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct tn_entry *entry = store->retired;
    store->retired = NULL;
    pthread_mutex_unlock(&store->lock);
    size_t count = 0;
    while (entry != NULL) {
        struct tn_entry *next = entry->next_retired;
        tn_entry_destroy(entry);
        entry = next;
        count++;
    }
    if (count > 0) {
        pthread_mutex_lock(&store->lock);
        store->entries_alive -= count;
        pthread_mutex_unlock(&store->lock);
        tn_mem_trim(); /* what a model held goes back to the system, not only to the heap */
    }
    return count;
}

static struct tn_scan_options scan_options(const struct tn_store *store, struct tn_arena *arena)
{
    return (struct tn_scan_options){
        .roots = store->options.roots,
        .root_count = store->options.root_count,
        .files = store->options.files,
        .file_count = store->options.file_count,
        .models_max = store->options.models_max,
        .wall_ns = tn_clock_wall_ns(),
        .inotify = store->inotify,
        .arena = arena,
    };
}

static void scan(struct tn_store *store)
{
    struct tn_arena arena;
    struct tn_scan found;
    tn_arena_init(&arena,
                  &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 64 << 10});
    struct tn_scan_options options = scan_options(store, &arena);
    enum tn_err err = tn_scan_run(&options, &found);
    if (err == TN_OK) {
        pthread_mutex_lock(&store->lock);
        uint64_t dropped = store->core.dropped;
        tn_repository_scan(&store->core, found.items, found.count, tn_clock_mono_ns());
        dropped = store->core.dropped - dropped;
        pthread_mutex_unlock(&store->lock);
        if (dropped > 0) {
            tn_log_warn("model versions beyond the limit or with too long names were left out",
                        TN_LOG_U64("count", dropped));
        }
        if (strcmp(found.problem, store->problem) != 0) {
            memcpy(store->problem, found.problem, sizeof(store->problem));
            if (store->problem[0] != '\0') {
                tn_log_warn("a model directory cannot be read",
                            TN_LOG_STR("reason", store->problem));
            }
        }
        store->scanned = true;
    } else {
        tn_log_error("no memory to look at the model directories");
    }
    tn_arena_deinit(&arena);
}

static void log_load(const struct tn_repository_slot *slot, enum tn_err err,
                     const struct tn_fault *fault, const struct tn_entry *entry, uint64_t began_ns)
{
    double seconds = (double)(tn_clock_mono_ns() - began_ns) / 1e9;
    if (err == TN_OK) {
        tn_log_info("model loaded", TN_LOG_STR("model", slot->name),
                    TN_LOG_U64("version", slot->version), TN_LOG_F64("seconds", seconds),
                    TN_LOG_U64("memory_bytes", entry->info->memory_bytes),
                    TN_LOG_VIEW("sha256", entry->sha256));
    } else if (err == TN_AGAIN) {
        tn_log_info("model file is being written, waiting", TN_LOG_STR("model", slot->name),
                    TN_LOG_U64("version", slot->version));
    } else {
        tn_log_error("model not loaded", TN_LOG_STR("model", slot->name),
                     TN_LOG_U64("version", slot->version), TN_LOG_STR("reason", fault->text));
    }
}

static enum tn_err load(struct tn_store *store, const struct tn_repository_action *action,
                        struct tn_fault *fault)
{
    struct tn_arena none = {0};
    struct tn_scan_paths paths;
    struct tn_scan_options where = scan_options(store, &none);
    struct tn_repository_slot *slot = action->slot;
    uint64_t began_ns = tn_clock_mono_ns();
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_scan_find(&where, slot->name, slot->version, &paths, fault);
    if (err == TN_OK) {
        struct tn_load_options options = {
            .paths = &paths,
            .name = tn_str_from(slot->name),
            .version = slot->version,
            .identity = action->identity,
            .bytes_max = store->options.model_bytes_max,
            .engine = store->options.engine,
            .metrics = store->options.metrics,
            .catalog = store->options.catalog,
            .store = store,
        };
        err = tn_load_run(&options, &entry, fault);
    }
    log_load(slot, err, fault, entry, began_ns);
    if (err != TN_OK) {
        return err;
    }
    pthread_mutex_lock(&store->lock);
    store->entries_alive++;
    pthread_mutex_unlock(&store->lock);
    err = tn_catalog_put(store->options.catalog, entry);
    if (err != TN_OK) {
        tn_entry_unref(entry);
        return tn_fault_set(fault, err, "the catalog of models is full");
    }
    return TN_OK;
}

/* Takes it out of the catalog and waits a while for requests that still use it, so that whoever
 * asked for the unload finds the memory given back. */
static void unload(struct tn_store *store, const struct tn_repository_action *action)
{
    struct tn_repository_slot *slot = action->slot;
    enum tn_err err =
        tn_catalog_remove(store->options.catalog, tn_str_from(slot->name), slot->version);
    if (err != TN_OK) {
        tn_log_error("model not unloaded", TN_LOG_STR("model", slot->name),
                     TN_LOG_STR("reason", tn_err_name(err)));
        return;
    }
    tell_changed(store);
    uint64_t end_ns = tn_clock_mono_ns() + RETIRE_WAIT_MS * TN_NS_PER_MS;
    while (tn_store_bury(store) == 0 && tn_clock_mono_ns() < end_ns) {
        struct pollfd fd = {.fd = store->wake, .events = POLLIN};
        uint64_t count = 0;
        if (poll(&fd, 1, 100) > 0 && read(store->wake, &count, sizeof(count)) < 0) {
            break;
        }
    }
    tn_log_info("model unloaded", TN_LOG_STR("model", slot->name),
                TN_LOG_U64("version", slot->version));
}

/* Does everything that is due. Returns when the core wants to be asked again. */
static uint64_t act(struct tn_store *store)
{
    for (;;) {
        struct tn_repository_action action;
        struct tn_fault fault = {0};
        uint64_t due_ns = UINT64_MAX;
        pthread_mutex_lock(&store->lock);
        enum tn_err next = store->stopping ? TN_AGAIN
                                           : tn_repository_next(&store->core, tn_clock_mono_ns(),
                                                                &action, &due_ns);
        pthread_mutex_unlock(&store->lock);
        if (next != TN_OK) {
            return due_ns;
        }
        tell_changed(store);
        enum tn_err err = TN_OK;
        if (action.verb == TN_REPOSITORY_LOAD) {
            err = load(store, &action, &fault);
            store->again = store->again || err == TN_AGAIN;
        } else {
            unload(store, &action);
        }
        pthread_mutex_lock(&store->lock);
        tn_repository_did(&store->core, &action, err, err == TN_OK ? NULL : fault.text,
                          tn_clock_mono_ns());
        pthread_mutex_unlock(&store->lock);
        tell_changed(store);
        tn_store_bury(store);
        if (err == TN_AGAIN) {
            return tn_clock_mono_ns() + 50 * TN_NS_PER_MS;
        }
    }
}

/* The first wanted version of the name that does not serve is the reason of the failure. */
static void judge(struct tn_store *store, struct tn_store_order *order)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < store->core.used; i++) {
        const struct tn_repository_slot *slot = &store->core.slots[i];
        if (slot->used && slot->failed && slot->wanted && tn_str_is(order->name, slot->name)) {
            tn_fault_set(&order->fault, TN_INVALID, "model '%s' version %llu: %s", slot->name,
                         (unsigned long long)slot->version, slot->reason);
        }
    }
    pthread_mutex_unlock(&store->lock);
}

void tn_store_answer(struct tn_store_order *order)
{
    while (order->reply != NULL && tn_chan_push(order->reply, order) != TN_OK) {
        /* Its loop drains as many as were asked; it is only late. */
        usleep(1000);
    }
}

static void obey(struct tn_store *store, struct tn_store_order *order)
{
    if (order->verb == TN_STORE_RESCAN) {
        tn_store_answer(order);
        return;
    }
    if (store->options.mode != TN_REPOSITORY_EXPLICIT) {
        tn_fault_set(&order->fault, TN_DENIED,
                     "models are not loaded and unloaded on request: start with --mode explicit");
        tn_store_answer(order);
        return;
    }
    scan(store);
    pthread_mutex_lock(&store->lock);
    enum tn_err err = tn_repository_ask(&store->core, order->name, order->verb == TN_STORE_LOAD);
    pthread_mutex_unlock(&store->lock);
    if (err != TN_OK) {
        tn_fault_set(&order->fault, err, "the repository has no model '%.*s'",
                     TN_STR_ARG(order->name));
        tn_store_answer(order);
        return;
    }
    for (int tries = 0; tries < 200; tries++) {
        store->again = false;
        uint64_t due_ns = act(store);
        if (due_ns == UINT64_MAX) {
            break;
        }
        usleep(50000);
        scan(store);
    }
    judge(store, order);
    tn_store_answer(order);
}

static struct tn_store_order *take_order(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct tn_store_order *order = store->stopping ? NULL : store->orders;
    if (order != NULL) {
        store->orders = order->next;
        if (store->orders == NULL) {
            store->orders_end = &store->orders;
        }
        store->order_count--;
    }
    pthread_mutex_unlock(&store->lock);
    return order;
}

static void note_state(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool settled = store->settled || tn_repository_settled(&store->core);
    bool complete = tn_repository_complete(&store->core);
    bool changed = settled != store->settled || complete != store->complete;
    store->settled = settled;
    store->complete = complete;
    pthread_cond_broadcast(&store->settled_signal);
    pthread_mutex_unlock(&store->lock);
    if (changed) {
        tell_changed(store);
    }
}

static void drain(int fd)
{
    char events[4096];
    while (fd >= 0 && read(fd, events, sizeof(events)) > 0) {
    }
}

static void sleep_until(struct tn_store *store, uint64_t due_ns)
{
    struct pollfd fds[2] = {{.fd = store->wake, .events = POLLIN},
                            {.fd = store->inotify, .events = POLLIN}};
    uint64_t now = tn_clock_mono_ns();
    if (store->options.mode == TN_REPOSITORY_WATCH && due_ns > now + store->options.poll_ns) {
        due_ns = now + store->options.poll_ns;
    }
    int timeout = -1;
    if (due_ns != UINT64_MAX) {
        uint64_t wait_ms = due_ns > now ? (due_ns - now) / TN_NS_PER_MS + 1 : 0;
        timeout = wait_ms > 3600000 ? 3600000 : (int)wait_ms;
    }
    if (poll(fds, 2, timeout) > 0) {
        drain(store->wake);
        drain(store->inotify);
    }
}

static void ask_for_start(struct tn_store *store)
{
    for (size_t i = 0; i < store->options.load_count; i++) {
        struct tn_str name = tn_str_from(store->options.load[i]);
        if (tn_repository_ask(&store->core, name, true) != TN_OK) {
            tn_log_error("model not loaded", TN_LOG_VIEW("model", name),
                         TN_LOG_STR("reason", "the repository has no such model"));
        }
    }
}

static bool must_scan(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool rescan = store->rescan;
    store->rescan = false;
    pthread_mutex_unlock(&store->lock);
    return rescan || !store->scanned || store->again || store->options.mode == TN_REPOSITORY_WATCH;
}

static bool is_stopping(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool stopping = store->stopping;
    pthread_mutex_unlock(&store->lock);
    return stopping;
}

void tn_store_main(void *context)
{
    struct tn_store *store = context;
    bool first = true;
    while (!is_stopping(store)) {
        struct tn_store_order *order = NULL;
        if (must_scan(store)) {
            store->again = false;
            scan(store);
        }
        if (first) {
            pthread_mutex_lock(&store->lock);
            ask_for_start(store);
            pthread_mutex_unlock(&store->lock);
            first = false;
        }
        uint64_t due_ns = act(store);
        note_state(store);
        while ((order = take_order(store)) != NULL) {
            obey(store, order);
            note_state(store);
        }
        tn_store_bury(store);
        sleep_until(store, due_ns);
    }
}
