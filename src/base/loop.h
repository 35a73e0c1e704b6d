/* The event loop: libuv on one thread, with timers, turn hooks and inboxes.
 *
 * One turn:  wait for I/O -> I/O callbacks -> inboxes drained -> timers due -> turn hooks -> (wait)
 *
 * Turn hooks run once at the end of a turn in which anything happened: the place to flush sockets
 * and hand batches over, so that the work of one turn costs one system call or one wake-up.
 * Nothing in a callback may block. A completion never runs inside the call that began it.
 * A loop with nothing to do sleeps in the kernel and uses no CPU at all.
 * Threads: everything here on the loop's thread, but for create, start, stop and pushes to inboxes;
 * before it runs, the thread that created it counts as the loop's.
 * Bounds: an inbox holds its capacity and refuses beyond. */
#ifndef TN_BASE_LOOP_H
#define TN_BASE_LOOP_H

#include "base/chan.h"
#include "base/fault.h"
#include "base/timer.h"

struct tn_loop;
struct uv_loop_s;

/* Also makes the process ignore SIGPIPE, unless it has a handler: a peer that hangs up must be an
 * error of that connection, not the end of the program. TN_NOMEM, TN_IO (no descriptors left). */
TN_MUST enum tn_err tn_loop_create(const char *name, struct tn_loop **ret_loop,
                                   struct tn_fault *fault);

/* Stopped; inboxes and signals let go; every other libuv handle at least asked to close. NULL is
 * accepted. */
void tn_loop_destroy(struct tn_loop *loop);

/* Run on the calling thread until tn_loop_stop. */
void tn_loop_run(struct tn_loop *loop);

/* Run on a thread of its own; join waits for its end. */
TN_MUST enum tn_err tn_loop_start(struct tn_loop *loop, struct tn_fault *fault);
void tn_loop_join(struct tn_loop *loop);

/* Any thread. The current turn ends first. Before a run: that run does one turn. */
void tn_loop_stop(struct tn_loop *loop);

/* libuv's own handle, for sockets (room rpc, edge). */
struct uv_loop_s *tn_loop_uv(struct tn_loop *loop);

/* CLOCK_MONOTONIC, read once a turn when first asked for (and again before timers fire): cheap, and
 * the same for all that happens together. Nanoseconds. */
uint64_t tn_loop_now_ns(struct tn_loop *loop);

bool tn_loop_is_current(const struct tn_loop *loop);

/* A one-shot timer in the caller's memory (struct tn_timer, base/timer.h). Arming, re-arming and
 * disarming never allocate and make no system call by themselves. It never fires early; a due time
 * less than 10 ms away is kept to the precision of the kernel's timers (some 60 us), a later one
 * to a millisecond. A timer armed for the past fires in the next turn, never inside the arm. */
void tn_timer_init(struct tn_timer *timer, struct tn_loop *loop,
                   void (*fire)(struct tn_timer *timer));
void tn_timer_arm(struct tn_timer *timer, uint64_t due_ns); /* absolute; re-arms when armed */
void tn_timer_disarm(struct tn_timer *timer);

/* Runs at the end of each turn while registered; one that a hook adds still runs in that turn. A
 * hook may remove itself or any other, but must not add itself again from its own run. */
struct tn_turn_hook {
    void (*run)(struct tn_turn_hook *hook);
    struct tn_turn_hook *next;
};
void tn_loop_add_turn_hook(struct tn_loop *loop, struct tn_turn_hook *hook);
void tn_loop_remove_turn_hook(struct tn_loop *loop, struct tn_turn_hook *hook);

/* A channel whose consumer is this loop: `receive` gets each drained batch. */
struct tn_inbox {
    struct tn_chan chan;
    void (*receive)(struct tn_inbox *inbox, void **items, size_t count);
    struct tn_inbox *next;
    struct tn_loop *loop;
};
TN_MUST enum tn_err tn_inbox_init(struct tn_inbox *inbox, struct tn_loop *loop, size_t capacity,
                                  void (*receive)(struct tn_inbox *inbox, void **items,
                                                  size_t count));
void tn_inbox_deinit(struct tn_inbox *inbox);
/* Push with tn_chan_push(&inbox->chan, item). */

/* SIGINT, SIGTERM, SIGHUP and friends, delivered on the loop. Storage is the caller's. TN_NOMEM,
 * TN_INVALID (a signal that cannot be caught), TN_IO. */
struct tn_signal {
    void (*fire)(struct tn_signal *signal, int signum);
    void *impl;
};
TN_MUST enum tn_err tn_signal_watch(struct tn_signal *signal, struct tn_loop *loop, int signum,
                                    void (*fire)(struct tn_signal *signal, int signum));
void tn_signal_unwatch(struct tn_signal *signal);

#endif
