/* The bounded channel: the only way that work crosses threads.
 *
 *   producers --push--> [ring of pointers] --drain--> one consumer
 *                          '-- wakes the consumer only when it sleeps
 *
 * Many producers, one consumer. A full channel refuses (TN_LIMIT): the sender keeps the item and
 * tells its own sender. The consumer drains in batches, then declares that it sleeps; only the
 * first push after that pays for a wake-up (one eventfd write). Memory: one ring, taken at init.
 * Threads: as above. Bounds: the capacity. Source: D. Vyukov, bounded MPMC queue with a sequence
 * number per cell. */
#ifndef TN_BASE_CHAN_H
#define TN_BASE_CHAN_H

#include "core/bytes.h"
#include "core/err.h"

#include <stdatomic.h>

/* How a sleeping consumer is woken; called by producers, any thread. */
struct tn_waker {
    void (*wake)(void *context);
    void *context;
};

struct tn_chan_cell;

/* Padding, not alignment, keeps the two sides on cache lines of their own, so the struct may live
 * in memory of any alignment. */
struct tn_chan {
    struct tn_chan_cell *cells; /* constant after init */
    size_t mask;
    struct tn_waker waker;
    char gap_a[64];
    atomic_size_t tail; /* producers */
    atomic_bool asleep; /* producers read it right after `tail`, hence here */
    char gap_b[64];
    size_t head; /* consumer */
    bool slept;
    char gap_c[64];
};

/* Capacity (1 to 2^26) is rounded up to a power of two, at least 2. TN_NOMEM. */
TN_MUST enum tn_err tn_chan_init(struct tn_chan *chan, size_t capacity, struct tn_waker waker);
void tn_chan_deinit(struct tn_chan *chan); /* items still inside are the caller's business */

/* TN_OK or TN_LIMIT. Any thread. */
TN_MUST enum tn_err tn_chan_push(struct tn_chan *chan, void *item);

/* Without waking; a producer that pushes several calls tn_chan_wake once after them. */
TN_MUST enum tn_err tn_chan_push_quiet(struct tn_chan *chan, void *item);
void tn_chan_wake(struct tn_chan *chan);

/* Consumer: up to `max` items in order, returns how many. */
size_t tn_chan_drain(struct tn_chan *chan, void **items, size_t max);

/* Consumer: declares sleep. False when something arrived meanwhile: drain again. A drain ends the
 * sleep. */
bool tn_chan_sleep(struct tn_chan *chan);

/* A consumer that is a plain thread: sleeps on a futex-like parker until woken or `timeout_ns`
 * passed (UINT64_MAX: for ever). Init with tn_parker_init, waker from tn_parker_waker. */
struct tn_parker {
    atomic_uint state;
};
void tn_parker_init(struct tn_parker *parker);
struct tn_waker tn_parker_waker(struct tn_parker *parker);
void tn_parker_wait(struct tn_parker *parker, uint64_t timeout_ns);

#endif
