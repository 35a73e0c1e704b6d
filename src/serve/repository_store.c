/* The repository's life, and what other threads ask of it: see repository_store.h. The thread is in
 * repository_thread.c. Memory: the slots, at creation. Bounds: models_max, TN_STORE_ORDERS_MAX. */
#include "base/file.h"
#include "base/mem.h"
#include "core/assert.h"
#include "serve/repository_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { MODELS_DEFAULT = 4096 };

/* --- What other threads call --- */
static void wake(struct tn_store *store)
{
    uint64_t one = 1;
    ssize_t done = write(store->wake, &one, sizeof(one));
    (void)done; /* a full counter wakes as well */
}

enum tn_err tn_store_ask(struct tn_store *store, struct tn_store_order *order)
{
    enum tn_err err = TN_OK;
    order->next = NULL;
    order->fault = (struct tn_fault){0};
    pthread_mutex_lock(&store->lock);
    if (store->stopping) {
        err = TN_CLOSED;
    } else if (store->order_count == TN_STORE_ORDERS_MAX) {
        err = TN_LIMIT;
    } else {
        *store->orders_end = order;
        store->orders_end = &order->next;
        store->order_count++;
    }
    pthread_mutex_unlock(&store->lock);
    if (err == TN_OK) {
        wake(store);
    }
    return err;
}

void tn_store_rescan(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->rescan = true;
    pthread_mutex_unlock(&store->lock);
    wake(store);
}

void tn_store_retire(void *context, struct tn_entry *entry)
{
    struct tn_store *store = context;
    pthread_mutex_lock(&store->lock);
    entry->next_retired = store->retired;
    store->retired = entry;
    pthread_mutex_unlock(&store->lock);
    wake(store);
}

struct tn_store_state tn_store_state(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct tn_store_state state = {store->settled, store->complete};
    pthread_mutex_unlock(&store->lock);
    return state;
}

void tn_store_wait(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    while (!store->settled && !store->stopping) {
        pthread_cond_wait(&store->settled_signal, &store->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

enum tn_repository_mode tn_store_mode(const struct tn_store *store)
{
    return store->options.mode;
}

static bool copy_item(const struct tn_repository_slot *slot, struct tn_arena *arena,
                      struct tn_store_index_item *item)
{
    char number[TN_ENTRY_VERSION_TEXT_MAX];
    int size = snprintf(number, sizeof(number), "%llu", (unsigned long long)slot->version);
    char *name = tn_arena_copy_str(arena, tn_str_from(slot->name));
    char *version = tn_arena_copy_str(arena, tn_str_make(number, (size_t)size));
    char *reason = tn_arena_copy_str(arena, tn_str_from(slot->reason));
    if (name == NULL || version == NULL || reason == NULL) {
        return false;
    }
    item->name = tn_str_from(name);
    item->version = tn_str_from(version);
    item->state = tn_str_from(tn_repository_state_name(slot->state));
    item->reason = tn_str_from(reason);
    return true;
}

enum tn_err tn_store_index(struct tn_store *store, struct tn_arena *arena,
                           struct tn_store_index_item **ret_items, size_t *ret_count)
{
    enum tn_err err = TN_OK;
    size_t count = 0;
    pthread_mutex_lock(&store->lock);
    struct tn_store_index_item *items =
        TN_ARENA_ARRAY(arena, struct tn_store_index_item, store->core.used + 1);
    for (size_t i = 0; items != NULL && err == TN_OK && i < store->core.used; i++) {
        if (store->core.slots[i].used) {
            err = copy_item(&store->core.slots[i], arena, &items[count++]) ? TN_OK : TN_NOMEM;
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (items == NULL || err != TN_OK) {
        return TN_NOMEM;
    }
    *ret_items = items;
    *ret_count = count;
    return TN_OK;
}

/* --- Life --- */
static enum tn_err check_roots(const struct tn_store_options *options, struct tn_fault *fault)
{
    for (size_t i = 0; i < options->root_count; i++) {
        struct tn_file_info info;
        enum tn_err err = tn_file_look(options->roots[i], &info, fault);
        if (err != TN_OK) {
            return err;
        }
        if (info.kind != TN_FILE_DIRECTORY) {
            return tn_fault_set(fault, TN_INVALID, "'%s' is not a directory of models",
                                options->roots[i]);
        }
    }
    for (size_t i = 0; i < options->file_count; i++) {
        struct tn_file_info info;
        enum tn_err err = tn_file_look(options->files[i], &info, fault);
        if (err != TN_OK) {
            return err;
        }
        if (info.kind != TN_FILE_PLAIN) {
            return tn_fault_set(fault, TN_INVALID,
                                "'%s' is not a model file; give a directory with --models",
                                options->files[i]);
        }
    }
    return TN_OK;
}

static enum tn_err open_files(struct tn_store *store, struct tn_fault *fault)
{
    /* Model files are read under a lease for an instant (repository_load.c). Who opens one for
     * writing in that instant makes the kernel send SIGIO, whose default is to end the process. */
    signal(SIGIO, SIG_IGN);
    store->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (store->wake < 0) {
        return tn_fault_errno(fault, errno, "cannot make an event descriptor");
    }
    if (store->options.mode == TN_REPOSITORY_WATCH) {
        store->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    }
    return TN_OK;
}

enum tn_err tn_store_create(const struct tn_store_options *options, struct tn_store **ret_store,
                            struct tn_fault *fault)
{
    TN_ASSERT(options->root_count <= TN_STORE_ROOTS_MAX);

    enum tn_err err = check_roots(options, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_store *store = tn_mem_take_zeroed(1, sizeof(*store));
    if (store == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the repository");
    }
    store->options = *options;
    if (store->options.models_max == 0) {
        store->options.models_max = MODELS_DEFAULT;
    }
    if (store->options.model_bytes_max == 0) {
        store->options.model_bytes_max = SIZE_MAX / 2;
    }
    store->wake = store->inotify = -1;
    store->orders_end = &store->orders;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->settled_signal, NULL);
    struct tn_repository_slot *slots =
        tn_mem_take_zeroed(store->options.models_max, sizeof(*slots));
    tn_repository_init(&store->core, &(struct tn_repository_options){
                                         slots, slots != NULL ? store->options.models_max : 0,
                                         options->mode, options->settle_ns});
    err = slots != NULL ? open_files(store, fault)
                        : tn_fault_set(fault, TN_NOMEM, "no memory for the repository");
    if (err != TN_OK) {
        tn_store_destroy(store);
        return err;
    }
    *ret_store = store;
    return TN_OK;
}

enum tn_err tn_store_start(struct tn_store *store, struct tn_fault *fault)
{
    enum tn_err err =
        tn_thread_start(&store->thread, &(struct tn_thread_options){.name = "tn-repository"},
                        tn_store_main, store, fault);
    store->started = err == TN_OK;
    return err;
}

void tn_store_stop(struct tn_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    struct tn_store_order *order = store->orders;
    store->orders = NULL;
    store->orders_end = &store->orders;
    store->order_count = 0;
    pthread_cond_broadcast(&store->settled_signal);
    pthread_mutex_unlock(&store->lock);
    while (order != NULL) {
        struct tn_store_order *next = order->next;
        tn_fault_set(&order->fault, TN_CLOSED, "the server is shutting down");
        tn_store_answer(order);
        order = next;
    }
    if (store->started) {
        wake(store);
        tn_thread_join(&store->thread);
        store->started = false;
    }
}

void tn_store_destroy(struct tn_store *store)
{
    if (store == NULL) {
        return;
    }
    tn_store_stop(store);
    tn_store_bury(store);
    for (size_t i = 0; i < store->core.used; i++) {
        const struct tn_repository_slot *slot = &store->core.slots[i];
        if (slot->used && slot->state == TN_REPOSITORY_READY) {
            enum tn_err err =
                tn_catalog_remove(store->options.catalog, tn_str_from(slot->name), slot->version);
            TN_ASSERT(err == TN_OK || err == TN_NOTFOUND || err == TN_NOMEM);
        }
    }
    tn_store_bury(store);
    if (store->wake >= 0) {
        close(store->wake);
    }
    if (store->inotify >= 0) {
        close(store->inotify);
    }
    tn_mem_give(store->core.slots);
    pthread_cond_destroy(&store->settled_signal);
    pthread_mutex_destroy(&store->lock);
    tn_mem_give(store);
}
