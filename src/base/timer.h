/* Which timer is due first: a pairing heap inside the timers themselves.
 *
 *        (due 3)            first = root; each node heads a list of children,
 *       /   |   \           none due before it. Equal due times keep the order
 *    (5)  (4)   (9)         in which they were armed.
 *     |
 *    (7)
 *
 * Adding is O(1), removing any timer O(log n) amortised and O(1) in the usual case (a request's
 * deadline, far away and without children). A pure core: no clock, no allocation. The loop
 * (base/loop.h) owns one; a simulator may own another.
 * Memory: the caller's timers. Threads: one at a time. Bounds: none needed, nothing is stored. */
#ifndef TN_BASE_TIMER_H
#define TN_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tn_loop;

/* A one-shot timer in the caller's memory. Use it through base/loop.h. */
struct tn_timer {
    void (*fire)(struct tn_timer *timer);
    struct tn_loop *loop;
    uint64_t due_ns; /* 0: not armed */
    uint64_t order;  /* among equals */
    struct tn_timer *child;
    struct tn_timer *next; /* sibling */
    struct tn_timer *back; /* older sibling, or the parent of a first child; NULL at the root */
};

struct tn_timer_heap {
    struct tn_timer *first; /* due first; NULL: empty */
    uint64_t order;
};

/* Inserts a timer that is not in a heap. due_ns > 0. */
void tn_timer_heap_add(struct tn_timer_heap *heap, struct tn_timer *timer, uint64_t due_ns);

/* Takes out a timer that is in this heap; its due_ns becomes 0. */
void tn_timer_heap_remove(struct tn_timer_heap *heap, struct tn_timer *timer);

#endif
