/* The event loop over libuv; see loop.h for its turn.
 *
 * Where each step hangs in libuv's iteration (poll, check, closing, timers, idle, prepare, poll):
 *   poll     I/O callbacks of the rooms' own handles
 *   check    inboxes drained, then timers due
 *   prepare  turn hooks, inboxes put to sleep, the next wake-up set, the stop request looked at
 * Prepare is the last thing before the wait, so a hook sees all the work of the turn, whatever
 * kind of callback made it; check would miss what timers and closing callbacks did.
 *
 * Wake-ups: one uv_async for all inboxes. A push writes to it only when the inbox sleeps, that is
 * while the loop waits in the kernel. Work left over makes the next wait zero long (an idle
 * handle), without a system call.
 * Time: libuv's timers count milliseconds, too coarse for a batcher's delay. So a due time less
 * than 10 ms away is given to a timerfd, a later one to a uv_timer (which costs no system call).
 * The timerfd is moved only to an earlier time: a stale one costs one early wake-up, less than
 * the system call that would have moved it.
 * Memory: one struct on the heap. Threads: see loop.h. Bounds: a turn drains at most
 * DRAIN_ROUNDS * DRAIN_BATCH items an inbox, so that I/O is not starved. */
#include "base/loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "core/assert.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

enum { DRAIN_BATCH = 256, DRAIN_ROUNDS = 4 };

#define PRECISE_NS (10 * TN_NS_PER_MS)

struct tn_loop {
    uv_loop_t uv;
    uv_async_t async; /* wakes the loop from other threads */
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t idle;   /* active: the next wait is zero long */
    uv_timer_t timer; /* due times far away */
    uv_poll_t precise;
    int precise_fd;          /* the timerfd, -1: none */
    unsigned handles;        /* how many of the above are open, for a half-built loop */
    bool opened;             /* uv is initialised */
    uint64_t precise_due_ns; /* what the timerfd is set to, 0: nothing */
    uint64_t coarse_due_ms;  /* what the uv_timer is set to, 0: nothing */
    uint64_t now_ns;         /* 0: not read in this turn */
    uint64_t firing_ns;      /* timers are firing as of this time, 0: they are not */
    struct tn_timer_heap timers;
    struct tn_turn_hook *hooks;
    struct tn_turn_hook *hook_next; /* while hooks run: the one after */
    bool hooks_run;
    struct tn_inbox *inboxes;
    struct tn_inbox *inbox_now; /* being drained; NULL when it went away in its own receive */
    struct tn_inbox *inbox_next;
    atomic_bool running;
    atomic_bool stopping;
    struct tn_thread thread;
    char name[TN_THREAD_NAME_MAX];
};

static _Thread_local const struct tn_loop *current;

static void assert_ours(const struct tn_loop *loop)
{
    TN_ASSERT(current == loop || !atomic_load_explicit(&loop->running, memory_order_relaxed));
}

/* ---- one turn ---- */

static void drain_inbox(struct tn_loop *loop, struct tn_inbox *inbox)
{
    void *items[DRAIN_BATCH];
    loop->inbox_now = inbox;
    for (size_t round = 0; round < DRAIN_ROUNDS; round++) {
        size_t count = tn_chan_drain(&inbox->chan, items, DRAIN_BATCH);
        if (count > 0) {
            inbox->receive(inbox, items, count);
        }
        if (count < DRAIN_BATCH || loop->inbox_now == NULL) {
            break;
        }
    }
    loop->inbox_now = NULL;
}

static void fire_timers(struct tn_loop *loop)
{
    if (loop->timers.first == NULL) {
        return;
    }
    uint64_t now = tn_clock_mono_ns();
    loop->now_ns = now;
    loop->firing_ns = now;
    while (loop->timers.first != NULL && loop->timers.first->due_ns <= now) {
        struct tn_timer *timer = loop->timers.first;
        tn_timer_heap_remove(&loop->timers, timer);
        timer->fire(timer); /* what it arms is due after `now`, so this ends */
    }
    loop->firing_ns = 0;
}

static void on_check(uv_check_t *check)
{
    struct tn_loop *loop = check->data;
    uv_idle_stop(&loop->idle);
    for (struct tn_inbox *inbox = loop->inboxes; inbox != NULL; inbox = loop->inbox_next) {
        loop->inbox_next = inbox->next;
        drain_inbox(loop, inbox);
    }
    loop->inbox_next = NULL;
    fire_timers(loop);
}

static void on_async(uv_async_t *async)
{
    (void)async; /* the wait has ended; on_check does the work */
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_coarse(uv_timer_t *timer)
{
    struct tn_loop *loop = timer->data;
    loop->coarse_due_ms = 0;
}

static void on_precise(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct tn_loop *loop = poll->data;
    uint64_t expirations;
    ssize_t got = read(loop->precise_fd, &expirations, sizeof(expirations));
    (void)got; /* it is non-blocking: nothing there is a wake-up too many */
    loop->precise_due_ns = 0;
}

static void set_precise(struct tn_loop *loop, uint64_t due_ns)
{
    if (loop->precise_due_ns != 0 && loop->precise_due_ns <= due_ns) {
        return;
    }
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due_ns / TN_NS_PER_S),
                                               .tv_nsec = (long)(due_ns % TN_NS_PER_S)}};
    int failed = timerfd_settime(loop->precise_fd, TFD_TIMER_ABSTIME, &at, NULL);
    TN_ASSERT(failed == 0);
    loop->precise_due_ns = due_ns;
}

static void set_coarse(struct tn_loop *loop, uint64_t due_ns)
{
    uint64_t due_ms = due_ns / TN_NS_PER_MS + (due_ns % TN_NS_PER_MS != 0);
    if (loop->coarse_due_ms == due_ms) {
        return;
    }
    /* uv_now counts milliseconds of the same clock, but may be stale or coarse; the difference of
     * the two is right whatever its age. */
    uint64_t now_ms = uv_now(&loop->uv);
    uv_timer_start(&loop->timer, on_coarse, due_ms > now_ms ? due_ms - now_ms : 0, 0);
    loop->coarse_due_ms = due_ms;
}

/* Sets when the coming wait ends at the latest. */
static void set_wakeup(struct tn_loop *loop, bool work_left)
{
    const struct tn_timer *first = loop->timers.first;
    uint64_t now = first != NULL ? tn_loop_now_ns(loop) : 0;
    if (first != NULL && first->due_ns >= now + PRECISE_NS) {
        set_coarse(loop, first->due_ns);
    } else if (loop->coarse_due_ms != 0) {
        uv_timer_stop(&loop->timer);
        loop->coarse_due_ms = 0;
    }
    if (work_left || (first != NULL && first->due_ns <= now)) {
        uv_idle_start(&loop->idle, on_idle);
    } else if (first != NULL && first->due_ns < now + PRECISE_NS) {
        set_precise(loop, first->due_ns);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct tn_loop *loop = prepare->data;
    loop->hooks_run = true;
    for (struct tn_turn_hook *hook = loop->hooks; hook != NULL; hook = loop->hook_next) {
        loop->hook_next = hook->next;
        hook->run(hook);
    }
    loop->hooks_run = false;
    bool work_left = false;
    for (struct tn_inbox *inbox = loop->inboxes; inbox != NULL; inbox = inbox->next) {
        work_left = !tn_chan_sleep(&inbox->chan) || work_left;
    }
    set_wakeup(loop, work_left);
    if (atomic_load_explicit(&loop->stopping, memory_order_acquire)) {
        uv_stop(&loop->uv);
    }
    loop->now_ns = 0;
}

/* ---- life ---- */

static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &now, NULL);
    }
}

/* Opens the handles in a fixed order; `handles` says how far it came. None of these allocates. */
static int open_handles(struct tn_loop *loop)
{
    int failed = uv_async_init(&loop->uv, &loop->async, on_async);
    if (failed != 0) {
        return failed;
    }
    loop->handles = 1;
    failed = uv_poll_init(&loop->uv, &loop->precise, loop->precise_fd);
    if (failed != 0) {
        return failed;
    }
    loop->handles = 2;
    uv_check_init(&loop->uv, &loop->check);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->handles = 6;
    loop->check.data = loop->prepare.data = loop->timer.data = loop->precise.data = loop;
    uv_check_start(&loop->check, on_check);
    uv_prepare_start(&loop->prepare, on_prepare);
    return uv_poll_start(&loop->precise, UV_READABLE, on_precise);
}

static enum tn_err open_loop(struct tn_loop *loop, struct tn_fault *fault)
{
    loop->precise_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->precise_fd < 0) {
        return tn_fault_errno(fault, errno, "loop '%s': timerfd", loop->name);
    }
    int failed = uv_loop_init(&loop->uv);
    if (failed == 0) {
        loop->opened = true;
        failed = open_handles(loop);
    }
    if (failed != 0) {
        enum tn_err code = failed == UV_ENOMEM ? TN_NOMEM : TN_IO;
        return tn_fault_set(fault, code, "loop '%s': %s", loop->name, uv_strerror(failed));
    }
    return TN_OK;
}

enum tn_err tn_loop_create(const char *name, struct tn_loop **ret_loop, struct tn_fault *fault)
{
    struct tn_loop *loop = tn_mem_take_zeroed(1, sizeof(*loop));
    if (loop == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "loop '%s': no memory", name);
    }
    snprintf(loop->name, sizeof(loop->name), "%s", name);
    loop->precise_fd = -1;
    enum tn_err err = open_loop(loop, fault);
    if (err < 0) {
        tn_loop_destroy(loop);
        return err;
    }
    ignore_sigpipe();
    *ret_loop = loop;
    return TN_OK;
}

static void close_handles(struct tn_loop *loop)
{
    uv_handle_t *const handles[] = {(uv_handle_t *)&loop->async, (uv_handle_t *)&loop->precise,
                                    (uv_handle_t *)&loop->check, (uv_handle_t *)&loop->prepare,
                                    (uv_handle_t *)&loop->idle,  (uv_handle_t *)&loop->timer};
    for (size_t i = 0; i < loop->handles; i++) {
        uv_close(handles[i], NULL);
    }
    /* Closing takes a turn; what other rooms asked to close goes along. */
    for (int turn = 0; turn < 64 && uv_loop_close(&loop->uv) == UV_EBUSY; turn++) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        if (turn == 63) {
            tn_panic("a libuv handle is still open when its loop is destroyed", __FILE__, __LINE__);
        }
    }
}

void tn_loop_destroy(struct tn_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    TN_ASSERT(!atomic_load(&loop->running) && !loop->thread.started);
    TN_ASSERT(loop->inboxes == NULL); /* a push to one would wake a loop that is gone */

    if (loop->opened) {
        close_handles(loop);
    }
    if (loop->precise_fd >= 0) {
        close(loop->precise_fd);
    }
    tn_mem_give(loop);
}

void tn_loop_run(struct tn_loop *loop)
{
    TN_ASSERT(current == NULL && !atomic_load(&loop->running));

    current = loop;
    atomic_store(&loop->running, true);
    loop->now_ns = 0;
    uv_update_time(&loop->uv);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_store(&loop->stopping, false);
    atomic_store(&loop->running, false);
    current = NULL;
}

static void run_on_thread(void *context)
{
    tn_loop_run(context);
}

enum tn_err tn_loop_start(struct tn_loop *loop, struct tn_fault *fault)
{
    TN_ASSERT(!loop->thread.started);
    return tn_thread_start(&loop->thread, &(struct tn_thread_options){.name = loop->name},
                           run_on_thread, loop, fault);
}

void tn_loop_join(struct tn_loop *loop)
{
    tn_thread_join(&loop->thread);
}

void tn_loop_stop(struct tn_loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    uv_async_send(&loop->async);
}

struct uv_loop_s *tn_loop_uv(struct tn_loop *loop)
{
    return &loop->uv;
}

uint64_t tn_loop_now_ns(struct tn_loop *loop)
{
    assert_ours(loop);
    if (current != loop) {
        return tn_clock_mono_ns(); /* not running: there is no turn to be the same in */
    }
    if (loop->now_ns == 0) {
        loop->now_ns = tn_clock_mono_ns();
    }
    return loop->now_ns;
}

bool tn_loop_is_current(const struct tn_loop *loop)
{
    return current == loop;
}

/* ---- timers ---- */

void tn_timer_init(struct tn_timer *timer, struct tn_loop *loop,
                   void (*fire)(struct tn_timer *timer))
{
    *timer = (struct tn_timer){.fire = fire, .loop = loop};
}

void tn_timer_arm(struct tn_timer *timer, uint64_t due_ns)
{
    struct tn_loop *loop = timer->loop;
    assert_ours(loop);
    tn_timer_disarm(timer);
    tn_timer_heap_add(&loop->timers, timer,
                      due_ns > loop->firing_ns ? due_ns : loop->firing_ns + 1);
}

void tn_timer_disarm(struct tn_timer *timer)
{
    if (timer->due_ns != 0) {
        assert_ours(timer->loop);
        tn_timer_heap_remove(&timer->loop->timers, timer);
    }
}

/* ---- turn hooks ---- */

void tn_loop_add_turn_hook(struct tn_loop *loop, struct tn_turn_hook *hook)
{
    assert_ours(loop);
    struct tn_turn_hook **link = &loop->hooks;
    while (*link != NULL) {
        TN_ASSERT(*link != hook);
        link = &(*link)->next;
    }
    hook->next = NULL;
    *link = hook;
    if (loop->hooks_run && loop->hook_next == NULL) {
        loop->hook_next = hook; /* the last hook adds it: it still runs in this turn */
    }
}

void tn_loop_remove_turn_hook(struct tn_loop *loop, struct tn_turn_hook *hook)
{
    assert_ours(loop);
    TN_ASSERT(hook != NULL);
    struct tn_turn_hook **link = &loop->hooks;
    while (*link != NULL && *link != hook) {
        link = &(*link)->next;
    }
    if (*link == hook) {
        *link = hook->next;
        if (loop->hook_next == hook) {
            loop->hook_next = hook->next;
        }
    }
}

/* ---- inboxes ---- */

static void wake_loop(void *context)
{
    struct tn_loop *loop = context;
    uv_async_send(&loop->async);
}

enum tn_err tn_inbox_init(struct tn_inbox *inbox, struct tn_loop *loop, size_t capacity,
                          void (*receive)(struct tn_inbox *inbox, void **items, size_t count))
{
    assert_ours(loop);
    struct tn_waker waker = {.wake = wake_loop, .context = loop};
    inbox->loop = NULL;
    enum tn_err err = tn_chan_init(&inbox->chan, capacity, waker);
    if (err < 0) {
        return err;
    }
    inbox->receive = receive;
    inbox->loop = loop;
    inbox->next = loop->inboxes;
    loop->inboxes = inbox;
    return TN_OK;
}

void tn_inbox_deinit(struct tn_inbox *inbox)
{
    if (inbox == NULL || inbox->loop == NULL) {
        return;
    }
    struct tn_loop *loop = inbox->loop;
    assert_ours(loop);
    struct tn_inbox **link = &loop->inboxes;
    while (*link != inbox) {
        TN_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = inbox->next;
    loop->inbox_next = loop->inbox_next == inbox ? inbox->next : loop->inbox_next;
    loop->inbox_now = loop->inbox_now == inbox ? NULL : loop->inbox_now;
    inbox->loop = NULL;
    tn_chan_deinit(&inbox->chan);
}
