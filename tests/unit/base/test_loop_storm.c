/* A loop in a storm, seeded: timers that arm and disarm one another at random, inboxes fed by
 * threads that pause at random, hooks that come and go. Held all along: no timer fires early, or
 * twice, or after it was disarmed; every item arrives once and in its thread's order; nothing is
 * late for ever. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/random.h"
#include "base/thread.h"
#include "core/assert.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { TIMERS = 64, FEEDERS = 3, ITEMS = 20000, HOOKS = 4 };

struct storm;

struct storm_timer {
    struct tn_timer timer;
    struct storm *storm;
    uint64_t due_ns; /* 0: must not fire */
};

struct feeder {
    struct tn_thread thread;
    struct tn_inbox *inbox;
    uint64_t seed;
    uintptr_t id;
};

struct storm_inbox {
    struct tn_inbox inbox;
    struct storm *storm;
};

struct storm_hook {
    struct tn_turn_hook hook;
    struct storm *storm;
    bool added;
};

struct storm {
    struct tn_loop *loop;
    struct tn_random random;
    struct storm_timer timers[TIMERS];
    struct storm_inbox inboxes[2];
    struct storm_hook hooks[HOOKS];
    struct feeder feeders[FEEDERS];
    uintptr_t next[FEEDERS];
    size_t items, fired, hooked;
    uint64_t end_ns;
};

static void arm(struct storm *storm, struct storm_timer *timer)
{
    uint64_t spread = tn_random_below(&storm->random, 10) == 0 ? 30 : 2;
    uint64_t now = tn_clock_mono_ns();
    timer->due_ns = now + tn_random_below(&storm->random, spread * TN_NS_PER_MS);
    tn_timer_arm(&timer->timer, timer->due_ns);
}

/* Something random to others: from a timer, an inbox or a hook. */
static void stir(struct storm *storm)
{
    struct storm_timer *timer = &storm->timers[tn_random_below(&storm->random, TIMERS)];
    if (tn_random_below(&storm->random, 3) == 0) {
        tn_timer_disarm(&timer->timer);
        timer->due_ns = 0;
    } else {
        arm(storm, timer);
    }
    struct storm_hook *hook = &storm->hooks[tn_random_below(&storm->random, HOOKS)];
    if (tn_random_below(&storm->random, 4) != 0) {
        return;
    }
    if (hook->added) {
        tn_loop_remove_turn_hook(storm->loop, &hook->hook);
    } else {
        tn_loop_add_turn_hook(storm->loop, &hook->hook);
    }
    hook->added = !hook->added;
}

static void check_end(struct storm *storm)
{
    if (storm->items == (size_t)FEEDERS * ITEMS && tn_clock_mono_ns() >= storm->end_ns) {
        tn_loop_stop(storm->loop);
    }
}

static void on_fire(struct tn_timer *timer)
{
    struct storm_timer *own = TN_CONTAINER(timer, struct storm_timer, timer);
    assert_true(own->due_ns != 0);
    assert_true(tn_clock_mono_ns() >= own->due_ns);
    assert_true(tn_loop_now_ns(timer->loop) >= own->due_ns);
    assert_int_equal(timer->due_ns, 0);
    own->due_ns = 0;
    own->storm->fired++;
    arm(own->storm, own);
    stir(own->storm);
    check_end(own->storm);
}

static void on_receive(struct tn_inbox *inbox, void **items, size_t count)
{
    struct storm *storm = TN_CONTAINER(inbox, struct storm_inbox, inbox)->storm;
    for (size_t i = 0; i < count; i++) {
        uintptr_t item = (uintptr_t)items[i];
        assert_int_equal(item & UINT32_MAX, ++storm->next[item >> 32]);
    }
    storm->items += count;
    stir(storm);
    check_end(storm);
}

static void on_hook(struct tn_turn_hook *hook)
{
    struct storm_hook *own = TN_CONTAINER(hook, struct storm_hook, hook);
    assert_true(own->added);
    own->storm->hooked++;
    if (tn_random_below(&own->storm->random, 8) == 0) {
        tn_loop_remove_turn_hook(own->storm->loop, hook);
        own->added = false;
    }
}

static void feed(void *context)
{
    struct feeder *feeder = context;
    struct tn_random random;
    tn_random_seed(&random, feeder->seed);
    for (uintptr_t i = 1; i <= ITEMS; i++) {
        void *item = (void *)(feeder->id << 32 | i); /* NOLINT(performance-no-int-to-ptr) */
        bool quiet = tn_random_below(&random, 4) == 0;
        struct tn_chan *chan = &feeder->inbox->chan;
        while ((quiet ? tn_chan_push_quiet : tn_chan_push)(chan, item) != TN_OK) {
            tn_chan_wake(chan);
            sched_yield();
        }
        if (tn_random_below(&random, 400) == 0) {
            tn_chan_wake(chan);
            nanosleep(&(struct timespec){.tv_nsec = (long)tn_random_below(&random, 2000000)}, NULL);
        }
    }
    tn_chan_wake(&feeder->inbox->chan);
}

static void everything_arrives_once_and_never_early(void **unused)
{
    (void)unused;
    const char *given = getenv("TN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : tn_clock_wall_ns();
    printf("TN_SEED=%llu\n", (unsigned long long)seed);
    static struct storm storm;
    tn_random_seed(&storm.random, seed);
    assert_int_equal(tn_loop_create("storm", &storm.loop, NULL), TN_OK);
    storm.end_ns = tn_clock_mono_ns() + 500 * TN_NS_PER_MS;
    for (size_t i = 0; i < TIMERS; i++) {
        storm.timers[i].storm = &storm;
        tn_timer_init(&storm.timers[i].timer, storm.loop, on_fire);
        arm(&storm, &storm.timers[i]);
    }
    for (size_t i = 0; i < HOOKS; i++) {
        storm.hooks[i] = (struct storm_hook){.hook.run = on_hook, .storm = &storm};
    }
    for (size_t i = 0; i < 2; i++) {
        storm.inboxes[i].storm = &storm;
        assert_int_equal(tn_inbox_init(&storm.inboxes[i].inbox, storm.loop, 64, on_receive), TN_OK);
    }
    for (size_t i = 0; i < FEEDERS; i++) {
        storm.feeders[i] =
            (struct feeder){.inbox = &storm.inboxes[i % 2].inbox, .seed = seed + i, .id = i};
        assert_int_equal(
            tn_thread_start(&storm.feeders[i].thread, NULL, feed, &storm.feeders[i], NULL), TN_OK);
    }
    tn_loop_run(storm.loop);
    for (size_t i = 0; i < FEEDERS; i++) {
        tn_thread_join(&storm.feeders[i].thread);
        assert_int_equal(storm.next[i], ITEMS);
    }
    assert_true(storm.fired > 100);
    assert_true(storm.hooked > 0);
    for (size_t i = 0; i < TIMERS; i++) {
        tn_timer_disarm(&storm.timers[i].timer);
    }
    for (size_t i = 0; i < 2; i++) {
        tn_inbox_deinit(&storm.inboxes[i].inbox);
    }
    tn_loop_destroy(storm.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives_once_and_never_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
