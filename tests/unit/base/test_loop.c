/* The loop: order within a turn, timers that never fire early, inboxes, signals, stop, idleness. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/thread.h"
#include "core/assert.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct tn_loop *make_loop(void)
{
    struct tn_loop *loop = NULL;
    struct tn_fault fault = {0};
    enum tn_err err = tn_loop_create("test", &loop, &fault);
    if (err < 0) {
        fail_msg("%s", fault.text);
    }
    return loop;
}

struct probe {
    struct tn_timer timer;
    uint64_t wanted_ns;
    uint64_t fired_ns;
    struct probe **log;
    size_t *count;
    size_t stop_at;
};

static void probe_fire(struct tn_timer *timer)
{
    struct probe *probe = TN_CONTAINER(timer, struct probe, timer);
    probe->fired_ns = tn_clock_mono_ns();
    assert_true(tn_loop_now_ns(timer->loop) >= probe->wanted_ns);
    probe->log[(*probe->count)++] = probe;
    if (*probe->count == probe->stop_at) {
        tn_loop_stop(timer->loop);
    }
}

static void timers_fire_in_order_and_never_early(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    enum { COUNT = 60 };
    struct probe probes[COUNT] = {0};
    struct probe *log[COUNT];
    size_t count = 0;
    uint64_t start = tn_clock_mono_ns();
    for (size_t i = 0; i < COUNT; i++) {
        struct probe *probe = &probes[i];
        *probe = (struct probe){.log = log, .count = &count, .stop_at = COUNT - 1};
        /* From 0.3 ms to some 100 ms: both kinds of kernel timer, and some in the past. */
        uint64_t after = (i * 7919 % COUNT) * 1713 * TN_NS_PER_US;
        probe->wanted_ns = i % 10 == 0 ? 1 + i : start + after;
        tn_timer_init(&probe->timer, loop, probe_fire);
        tn_timer_arm(&probe->timer, start + TN_NS_PER_S * 100); /* re-armed at once */
        tn_timer_arm(&probe->timer, probe->wanted_ns);
    }
    tn_timer_disarm(&probes[5].timer);
    tn_timer_disarm(&probes[5].timer);
    tn_loop_run(loop);
    assert_int_equal(count, COUNT - 1);
    assert_int_equal(probes[5].fired_ns, 0);
    for (size_t i = 1; i < count; i++) {
        assert_true(log[i]->wanted_ns >= log[i - 1]->wanted_ns);
        assert_true(log[i]->fired_ns >= log[i]->wanted_ns);
    }
    tn_loop_destroy(loop);
}

/* A batcher waits for less than a millisecond: the best of thirty such waits ends well within one.
 */
static void near_due_times_are_kept_finer_than_a_millisecond(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < 30; i++) {
        struct probe *log[1];
        size_t count = 0;
        struct probe probe = {.log = log, .count = &count, .stop_at = 1};
        probe.wanted_ns = tn_clock_mono_ns() + 200 * TN_NS_PER_US + i;
        tn_timer_init(&probe.timer, loop, probe_fire);
        tn_timer_arm(&probe.timer, probe.wanted_ns);
        tn_loop_run(loop);
        uint64_t late = probe.fired_ns - probe.wanted_ns;
        best = late < best ? late : best;
    }
    assert_true(best < 500 * TN_NS_PER_US);
    tn_loop_destroy(loop);
}

struct ticker {
    struct tn_timer timer;
    size_t left;
    uint64_t last_turn;
};

static uint64_t turns;

static void ticker_fire(struct tn_timer *timer)
{
    struct ticker *ticker = TN_CONTAINER(timer, struct ticker, timer);
    assert_int_not_equal(ticker->last_turn, turns); /* at most once a turn */
    ticker->last_turn = turns;
    if (--ticker->left == 0) {
        tn_loop_stop(timer->loop);
    } else {
        tn_timer_arm(timer, 1); /* the far past */
    }
}

static void count_turn(struct tn_turn_hook *hook)
{
    (void)hook;
    turns++;
}

static void a_timer_armed_for_the_past_does_not_starve_the_turn(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    struct tn_turn_hook hook = {.run = count_turn};
    struct ticker ticker = {.left = 100};
    turns = 1;
    tn_loop_add_turn_hook(loop, &hook);
    tn_timer_init(&ticker.timer, loop, ticker_fire);
    tn_timer_arm(&ticker.timer, 0);
    tn_loop_run(loop);
    assert_true(turns >= 100);
    tn_loop_remove_turn_hook(loop, &hook);
    tn_loop_destroy(loop);
}

/* A burst into an inbox, one of whose items arms a timer for now: the log shows the order. */
struct order {
    char text[64];
    size_t size;
    struct tn_loop *loop;
    struct tn_inbox inbox;
    struct tn_timer timer;
    struct tn_turn_hook first, second;
};

static struct order *order;

static void order_note(char what)
{
    order->text[order->size++] = what;
}

static void order_receive(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)inbox;
    assert_ptr_equal(items[0], order);
    assert_true(tn_loop_is_current(order->loop));
    order_note((char)('0' + count));
    tn_timer_arm(&order->timer, tn_loop_now_ns(order->loop));
}

static void order_fire(struct tn_timer *timer)
{
    (void)timer;
    order_note('t');
    tn_loop_stop(order->loop);
}

static void order_first(struct tn_turn_hook *hook)
{
    order_note('a');
    tn_loop_remove_turn_hook(order->loop, hook); /* both ways to remove while hooks run */
    tn_loop_remove_turn_hook(order->loop, &order->second);
    tn_loop_add_turn_hook(order->loop, &order->second);
}

static void order_second(struct tn_turn_hook *hook)
{
    (void)hook;
    order_note('b');
}

static void a_turn_drains_then_fires_then_hooks(void **unused)
{
    (void)unused;
    struct order mine = {.first.run = order_first, .second.run = order_second};
    order = &mine;
    mine.loop = make_loop();
    assert_int_equal(tn_inbox_init(&mine.inbox, mine.loop, 16, order_receive), TN_OK);
    tn_timer_init(&mine.timer, mine.loop, order_fire);
    tn_loop_add_turn_hook(mine.loop, &mine.first);
    tn_loop_add_turn_hook(mine.loop, &mine.second);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tn_chan_push(&mine.inbox.chan, &mine), TN_OK);
    }
    tn_loop_run(mine.loop);
    assert_string_equal(mine.text, "ab3tb"); /* the first turn has nothing before its hooks */
    tn_inbox_deinit(&mine.inbox);
    tn_inbox_deinit(NULL);
    tn_loop_destroy(mine.loop);
}

struct flood {
    struct tn_inbox inbox;
    uintptr_t next;
    uintptr_t total;
};

static void flood_receive(struct tn_inbox *inbox, void **items, size_t count)
{
    struct flood *flood = TN_CONTAINER(inbox, struct flood, inbox);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal((uintptr_t)items[i], ++flood->next);
    }
    if (flood->next == flood->total) {
        tn_loop_stop(inbox->loop);
    }
}

static void an_inbox_loses_nothing_under_pressure(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    struct flood flood = {.total = 300000};
    assert_int_equal(tn_inbox_init(&flood.inbox, loop, 1024, flood_receive), TN_OK);
    assert_int_equal(tn_loop_start(loop, NULL), TN_OK);
    for (uintptr_t i = 1; i <= flood.total; i++) {
        while (tn_chan_push(&flood.inbox.chan, (void *)i) != TN_OK) {
            sched_yield();
        }
        if (i % 50000 == 0) {
            usleep(2000); /* let it fall asleep */
        }
    }
    tn_loop_join(loop);
    assert_int_equal(flood.next, flood.total);
    tn_inbox_deinit(&flood.inbox);
    tn_loop_destroy(loop);
}

static void leave_receive(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)items;
    assert_true(count > 0);
    struct tn_loop *loop = inbox->loop;
    tn_inbox_deinit(inbox);
    tn_loop_stop(loop);
}

static void an_inbox_may_go_in_its_own_receive(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    struct tn_inbox inbox;
    assert_int_equal(tn_inbox_init(&inbox, loop, 1024, leave_receive), TN_OK);
    for (size_t i = 0; i < 1024; i++) {
        assert_int_equal(tn_chan_push(&inbox.chan, loop), TN_OK);
    }
    tn_loop_run(loop);
    tn_loop_destroy(loop);
}

static int signals_seen;

static void on_signal(struct tn_signal *signal, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    if (++signals_seen == 2) {
        tn_loop_stop((struct tn_loop *)order);
    } else {
        raise(SIGUSR1);
    }
    (void)signal;
}

static void signals_arrive_on_the_loop(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    order = (struct order *)loop;
    struct tn_signal signal;
    struct tn_signal never;
    assert_int_equal(tn_signal_watch(&never, loop, SIGKILL, on_signal), TN_INVALID);
    assert_int_equal(tn_signal_watch(&signal, loop, SIGUSR1, on_signal), TN_OK);
    raise(SIGUSR1);
    tn_loop_run(loop);
    assert_int_equal(signals_seen, 2);
    tn_signal_unwatch(&signal);
    tn_signal_unwatch(&signal);
    tn_signal_unwatch(&never);
    tn_loop_destroy(loop);
}

static void an_idle_loop_uses_no_cpu_and_takes_no_turns(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    struct tn_turn_hook hook = {.run = count_turn};
    struct tn_timer far;
    tn_loop_add_turn_hook(loop, &hook);
    tn_timer_init(&far, loop, ticker_fire);
    tn_timer_arm(&far, tn_clock_mono_ns() + 3600 * TN_NS_PER_S);
    turns = 0;
    uint64_t before = tn_clock_process_ns();
    assert_int_equal(tn_loop_start(loop, NULL), TN_OK);
    usleep(300000);
    tn_loop_stop(loop);
    tn_loop_join(loop);
    assert_true(tn_clock_process_ns() - before < 5 * TN_NS_PER_MS);
    assert_true(turns <= 3);
    tn_timer_disarm(&far);
    tn_loop_destroy(loop);
}

static void stop_before_run_and_a_second_run_work(void **unused)
{
    (void)unused;
    struct tn_loop *loop = make_loop();
    assert_false(tn_loop_is_current(loop));
    for (int i = 0; i < 3; i++) {
        tn_loop_stop(loop);
        tn_loop_run(loop);
    }
    tn_loop_destroy(loop);
    tn_loop_destroy(NULL);
}

static void every_failing_allocation_is_reported(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (size_t n = 1;; n++) {
        tn_mem_fail_from(n, false);
        struct tn_loop *loop = NULL;
        struct tn_inbox inbox = {0};
        struct tn_signal signal = {0};
        struct tn_fault fault = {0};
        enum tn_err err = tn_loop_create("test", &loop, &fault);
        assert_int_equal(err, fault.code);
        err = err < 0 ? err : tn_inbox_init(&inbox, loop, 4, flood_receive);
        err = err < 0 ? err : tn_signal_watch(&signal, loop, SIGUSR2, on_signal);
        assert_int_equal(err < 0, tn_mem_fail_delivered());
        tn_signal_unwatch(&signal);
        tn_inbox_deinit(&inbox);
        tn_loop_destroy(loop);
        assert_int_equal(tn_mem_live(), before);
        if (err == TN_OK) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(err, TN_NOMEM);
    }
    tn_mem_fail_from(0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_never_early),
        cmocka_unit_test(near_due_times_are_kept_finer_than_a_millisecond),
        cmocka_unit_test(a_timer_armed_for_the_past_does_not_starve_the_turn),
        cmocka_unit_test(a_turn_drains_then_fires_then_hooks),
        cmocka_unit_test(an_inbox_loses_nothing_under_pressure),
        cmocka_unit_test(an_inbox_may_go_in_its_own_receive),
        cmocka_unit_test(signals_arrive_on_the_loop),
        cmocka_unit_test(an_idle_loop_uses_no_cpu_and_takes_no_turns),
        cmocka_unit_test(stop_before_run_and_a_second_run_work),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
