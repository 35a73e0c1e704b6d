/* Named threads: a thin layer over pthread that gives every thread a name for top and gdb, a chosen
 * stack, an optional CPU, and no signals (they belong to the loop that watches them).
 *
 * Memory: the caller's struct, alive until joined. Threads: start and join from one owner. */
#ifndef TN_BASE_THREAD_H
#define TN_BASE_THREAD_H

#include "base/fault.h"

#include <pthread.h>

enum { TN_THREAD_NAME_MAX = 16 }; /* the kernel's, with its terminator */

struct tn_thread {
    pthread_t id;
    void (*run)(void *context);
    void *context;
    bool started;
    char name[TN_THREAD_NAME_MAX];
};

struct tn_thread_options {
    const char *name;  /* cut to 15 bytes; NULL keeps the parent's */
    size_t stack_size; /* bytes; 0: the system's default, 8 MiB on most */
    bool pinned;       /* to `cpu` */
    unsigned cpu;
};

/* Runs run(context) on a new thread. `options` may be NULL. TN_NOMEM, TN_INVALID (no such CPU, a
 * stack too small), TN_IO (the system's thread limit). */
TN_MUST enum tn_err tn_thread_start(struct tn_thread *thread,
                                    const struct tn_thread_options *options,
                                    void (*run)(void *context), void *context,
                                    struct tn_fault *fault);

/* Waits for the end. A zeroed struct, or one that failed to start or was joined, is accepted. */
void tn_thread_join(struct tn_thread *thread);

/* CPUs this process may use, at least 1: the affinity mask, cut by the control group's quota. */
unsigned tn_thread_cpu_count(void);

#endif
