/* The channel: order, bound, wake-ups that are never lost and never wasted. Runs clean under the
 * thread sanitizer. */
#include "base/chan.h"
#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void count_wake(void *context)
{
    ++*(int *)context;
}

static void items_come_out_in_order_up_to_the_bound(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    int wakes = 0;
    struct tn_chan chan;
    assert_int_equal(tn_chan_init(&chan, 5, (struct tn_waker){count_wake, &wakes}), TN_OK);
    uintptr_t next_in = 1;
    uintptr_t next_out = 1;
    void *items[8];
    for (size_t lap = 0; lap < 100; lap++) {
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(tn_chan_push(&chan, (void *)next_in++), TN_OK);
        }
        assert_int_equal(tn_chan_push(&chan, (void *)99), TN_LIMIT);
        for (size_t taken = 0; taken < 8;) {
            size_t got = tn_chan_drain(&chan, items, 1 + lap % 8);
            assert_true(got > 0 && got <= 1 + lap % 8);
            taken += got;
            for (size_t i = 0; i < got; i++) {
                assert_int_equal((uintptr_t)items[i], next_out++);
            }
        }
        assert_int_equal(tn_chan_drain(&chan, items, 8), 0);
    }
    assert_int_equal(wakes, 0);
    tn_chan_deinit(&chan);
    assert_int_equal(tn_mem_live(), before);
}

static void only_the_first_push_after_sleep_wakes(void **unused)
{
    (void)unused;
    int wakes = 0;
    void *items[8];
    struct tn_chan chan;
    assert_int_equal(tn_chan_init(&chan, 8, (struct tn_waker){count_wake, &wakes}), TN_OK);
    assert_true(tn_chan_sleep(&chan));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tn_chan_push(&chan, items), TN_OK);
    }
    assert_int_equal(wakes, 1);
    assert_false(tn_chan_sleep(&chan));
    assert_int_equal(tn_chan_drain(&chan, items, 8), 4);
    assert_int_equal(tn_chan_push(&chan, items), TN_OK);
    assert_int_equal(wakes, 1);
    assert_int_equal(tn_chan_drain(&chan, items, 8), 1);
    assert_true(tn_chan_sleep(&chan));
    assert_int_equal(tn_chan_push_quiet(&chan, items), TN_OK);
    assert_int_equal(wakes, 1);
    tn_chan_wake(&chan);
    tn_chan_wake(&chan);
    assert_int_equal(wakes, 2);
    tn_chan_deinit(&chan);
    tn_chan_deinit(NULL);
}

static void no_memory_is_an_error(void **unused)
{
    (void)unused;
    struct tn_chan chan = {0};
    tn_mem_fail_from(1, false);
    assert_int_equal(tn_chan_init(&chan, 8, (struct tn_waker){0}), TN_NOMEM);
    tn_mem_fail_from(0, false);
    tn_chan_deinit(&chan);
}

enum { PRODUCERS = 8, ITEMS_EACH = 20000 };

struct producer {
    struct tn_chan *chan;
    size_t id;
    size_t refused;
    pthread_t thread;
};

static void *produce(void *context)
{
    struct producer *self = context;
    for (size_t i = 0; i < ITEMS_EACH; i++) {
        uintptr_t item = (self->id << 32 | i) + 1;
        bool quiet = i % 3 != 0;
        while ((quiet ? tn_chan_push_quiet : tn_chan_push)(self->chan, (void *)item) != TN_OK) {
            tn_chan_wake(self->chan);
            self->refused++;
            sched_yield();
        }
    }
    tn_chan_wake(self->chan);
    return NULL;
}

/* Every producer's items arrive once and in its order; the consumer really sleeps in between, and a
 * lost wake-up shows as a wait that runs into its limit. */
static void many_producers_lose_nothing(void **unused)
{
    (void)unused;
    struct tn_parker parker;
    tn_parker_init(&parker);
    struct tn_chan chan;
    assert_int_equal(tn_chan_init(&chan, 64, tn_parker_waker(&parker)), TN_OK);
    struct producer producers[PRODUCERS] = {0};
    for (size_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.chan = &chan, .id = i};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    size_t next[PRODUCERS] = {0};
    size_t total = 0;
    while (total < (size_t)PRODUCERS * ITEMS_EACH) {
        void *items[32];
        size_t got = tn_chan_drain(&chan, items, 32);
        for (size_t i = 0; i < got; i++) {
            uintptr_t item = (uintptr_t)items[i] - 1;
            assert_int_equal(item & UINT32_MAX, next[item >> 32]++);
        }
        total += got;
        if (got == 0 && tn_chan_sleep(&chan)) {
            uint64_t start = tn_clock_mono_ns();
            tn_parker_wait(&parker, 20 * TN_NS_PER_S);
            assert_true(tn_clock_mono_ns() - start < 19 * TN_NS_PER_S);
        }
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        assert_int_equal(next[i], ITEMS_EACH);
    }
    tn_chan_deinit(&chan);
}

static void the_parker_times_out_and_remembers_a_wake(void **unused)
{
    (void)unused;
    struct tn_parker parker;
    tn_parker_init(&parker);
    struct tn_waker waker = tn_parker_waker(&parker);
    uint64_t start = tn_clock_mono_ns();
    tn_parker_wait(&parker, 20 * TN_NS_PER_MS);
    assert_true(tn_clock_mono_ns() - start >= 20 * TN_NS_PER_MS);
    waker.wake(waker.context);
    waker.wake(waker.context);
    start = tn_clock_mono_ns();
    tn_parker_wait(&parker, UINT64_MAX); /* returns: the wake came before the wait */
    assert_true(tn_clock_mono_ns() - start < 5 * TN_NS_PER_S);
    tn_parker_wait(&parker, 1); /* two wakes count once, so this one waits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_up_to_the_bound),
        cmocka_unit_test(only_the_first_push_after_sleep_wakes),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(many_producers_lose_nothing),
        cmocka_unit_test(the_parker_times_out_and_remembers_a_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
