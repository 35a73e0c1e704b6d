/* The bounded channel; see chan.h for the picture.
 *
 * Each cell carries a sequence number that says whose turn it is:
 *   seq == position            free, for the producer that claims `position`
 *   seq == position + 1        filled, for the consumer
 *   seq == position + capacity free again, one lap later
 * A producer claims a position with one compare-and-swap on `tail`, writes, publishes the number.
 *
 * Sleeping: producer and consumer both exchange `asleep`. The two exchanges are ordered: either the
 * consumer's came first, then the producer reads true and wakes; or the producer's came first,
 * then the consumer's exchange acquires it and its look into the ring sees the item. So no wake-up
 * is lost and no fence is needed (thread sanitizers do not model fences).
 * Cost: a push is two locked operations on one cache line plus the cell; a drained item is one load
 * and one store. Memory: one ring. Threads: many producers, one consumer. Bounds: capacity. */
#include "base/chan.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY_MAX = 1 << 26 };

struct tn_chan_cell {
    atomic_size_t seq;
    void *item;
};

enum tn_err tn_chan_init(struct tn_chan *chan, size_t capacity, struct tn_waker waker)
{
    TN_ASSERT(capacity > 0 && capacity <= CAPACITY_MAX);

    size_t size = 2; /* with one cell "filled" and "free again" would be the same number */
    while (size < capacity) {
        size *= 2;
    }
    struct tn_chan_cell *cells = tn_mem_take_zeroed(size, sizeof(*cells));
    if (cells == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < size; i++) {
        atomic_init(&cells[i].seq, i);
    }
    memset(chan, 0, sizeof(*chan));
    chan->cells = cells;
    chan->mask = size - 1;
    chan->waker = waker;
    atomic_init(&chan->tail, 0);
    atomic_init(&chan->asleep, false);
    return TN_OK;
}

void tn_chan_deinit(struct tn_chan *chan)
{
    if (chan != NULL) {
        tn_mem_give(chan->cells);
        chan->cells = NULL;
    }
}

enum tn_err tn_chan_push_quiet(struct tn_chan *chan, void *item)
{
    size_t at = atomic_load_explicit(&chan->tail, memory_order_relaxed);
    for (;;) {
        struct tn_chan_cell *cell = &chan->cells[at & chan->mask];
        size_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);
        ptrdiff_t turn = (ptrdiff_t)(seq - at);
        if (turn < 0) {
            return TN_LIMIT; /* the consumer has not freed this cell since the last lap */
        }
        if (turn > 0) {
            at = atomic_load_explicit(&chan->tail, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       &chan->tail, &at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
            cell->item = item;
            atomic_store_explicit(&cell->seq, at + 1, memory_order_release);
            return TN_OK;
        }
    }
}

void tn_chan_wake(struct tn_chan *chan)
{
    if (atomic_exchange_explicit(&chan->asleep, false, memory_order_acq_rel)) {
        chan->waker.wake(chan->waker.context);
    }
}

enum tn_err tn_chan_push(struct tn_chan *chan, void *item)
{
    enum tn_err err = tn_chan_push_quiet(chan, item);
    if (err == TN_OK) {
        tn_chan_wake(chan);
    }
    return err;
}

static bool filled(const struct tn_chan *chan)
{
    struct tn_chan_cell *cell = &chan->cells[chan->head & chan->mask];
    return atomic_load_explicit(&cell->seq, memory_order_acquire) == chan->head + 1;
}

size_t tn_chan_drain(struct tn_chan *chan, void **items, size_t max)
{
    if (chan->slept) {
        /* Awake again, perhaps for another reason: spare the producers their wake-up. An exchange,
         * since a plain store would cut the chain that carries a producer's item to the sleep. */
        chan->slept = false;
        atomic_exchange_explicit(&chan->asleep, false, memory_order_acq_rel);
    }
    size_t count = 0;
    while (count < max && filled(chan)) {
        struct tn_chan_cell *cell = &chan->cells[chan->head & chan->mask];
        items[count++] = cell->item;
        atomic_store_explicit(&cell->seq, chan->head + chan->mask + 1, memory_order_release);
        chan->head++;
    }
    return count;
}

bool tn_chan_sleep(struct tn_chan *chan)
{
    atomic_exchange_explicit(&chan->asleep, true, memory_order_acq_rel);
    chan->slept = true;
    return !filled(chan);
}

/* The parker. FREE: nothing happened; NOTED: a wake-up waits to be consumed; PARKED: in the kernel.
 *   FREE --wake--> NOTED --wait--> FREE      FREE --wait--> PARKED --wake--> NOTED --wait--> FREE
 */
enum { PARKER_FREE, PARKER_NOTED, PARKER_PARKED };

void tn_parker_init(struct tn_parker *parker)
{
    atomic_init(&parker->state, PARKER_FREE);
}

static void parker_wake(void *context)
{
    struct tn_parker *parker = context;
    if (atomic_exchange_explicit(&parker->state, PARKER_NOTED, memory_order_acq_rel) ==
        PARKER_PARKED) {
        syscall(SYS_futex, &parker->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

struct tn_waker tn_parker_waker(struct tn_parker *parker)
{
    return (struct tn_waker){.wake = parker_wake, .context = parker};
}

void tn_parker_wait(struct tn_parker *parker, uint64_t timeout_ns)
{
    unsigned state = PARKER_FREE;
    if (atomic_compare_exchange_strong_explicit(&parker->state, &state, PARKER_PARKED,
                                                memory_order_acq_rel, memory_order_acquire)) {
        struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / TN_NS_PER_S),
                                   .tv_nsec = (long)(timeout_ns % TN_NS_PER_S)};
        /* An early return (signal) is fine: callers drain and sleep again. */
        syscall(SYS_futex, &parker->state, FUTEX_WAIT_PRIVATE, PARKER_PARKED,
                timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
    }
    atomic_exchange_explicit(&parker->state, PARKER_FREE, memory_order_acq_rel);
}
