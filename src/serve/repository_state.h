/* The inside of a store, shared by its two files: repository_store.c (life, and what others call)
 * and repository_thread.c (the thread). The lock guards what is marked so; it is never held during
 * a load, a scan, or while a model's threads are joined. */
#ifndef TN_SERVE_REPOSITORY_STATE_H
#define TN_SERVE_REPOSITORY_STATE_H

#include "base/thread.h"
#include "serve/repository_store.h"

struct tn_store {
    struct tn_store_options options;
    struct tn_repository core;
    struct tn_thread thread;
    int wake;    /* eventfd */
    int inotify; /* -1: polling alone */
    bool started;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t settled_signal;
    struct tn_store_order *orders, **orders_end;
    size_t order_count;
    struct tn_entry *retired;
    bool stopping;
    bool settled;
    bool complete;
    bool rescan;
    size_t entries_alive; /* created and not destroyed */
    /* the thread's */
    char problem[TN_REPOSITORY_REASON_MAX];
    bool scanned;
    bool again; /* a file changed while it was read: look again soon */
};

/* The thread's main function. */
void tn_store_main(void *store);

/* Destroys entries that nobody uses any more. Returns how many. */
size_t tn_store_bury(struct tn_store *store);

/* Gives an order back to whoever asked. */
void tn_store_answer(struct tn_store_order *order);

#endif
