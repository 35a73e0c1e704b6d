/* Threads: name, stack, CPU, blocked signals, and refusals that are reported. */
#include "base/thread.h"
#include "core/assert.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

struct seen {
    char name[TN_THREAD_NAME_MAX];
    size_t stack_size;
    int cpus;
    bool term_blocked, fault_blocked;
};

static void look(void *context)
{
    struct seen *seen = context;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_attr_t attr;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstacksize(&attr, &seen->stack_size);
    pthread_attr_destroy(&attr);
    cpu_set_t set;
    pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
    seen->cpus = CPU_COUNT(&set);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->term_blocked = sigismember(&mask, SIGTERM) == 1;
    seen->fault_blocked = sigismember(&mask, SIGSEGV) == 1;
}

static unsigned first_cpu(void)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    unsigned cpu = 0;
    while (!CPU_ISSET(cpu, &set)) {
        cpu++;
    }
    return cpu;
}

static void options_reach_the_thread(void **unused)
{
    (void)unused;
    struct seen seen = {0};
    struct tn_thread thread = {0};
    const struct tn_thread_options options = {.name = "a-name-that-is-too-long",
                                              .stack_size = 256 << 10,
                                              .pinned = true,
                                              .cpu = first_cpu()};
    assert_int_equal(tn_thread_start(&thread, &options, look, &seen, NULL), TN_OK);
    tn_thread_join(&thread);
    tn_thread_join(&thread);
    assert_string_equal(seen.name, "a-name-that-is-");
    assert_int_equal(seen.stack_size, 256 << 10);
    assert_int_equal(seen.cpus, 1);
    assert_true(seen.term_blocked);
    assert_false(seen.fault_blocked);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void no_options_are_fine(void **unused)
{
    (void)unused;
    struct seen seen = {0};
    struct tn_thread thread;
    assert_int_equal(tn_thread_start(&thread, NULL, look, &seen, NULL), TN_OK);
    tn_thread_join(&thread);
    assert_true(seen.cpus >= 1);
    tn_thread_join(NULL);
    assert_true(tn_thread_cpu_count() >= 1);
    assert_true(tn_thread_cpu_count() <= (unsigned)seen.cpus);
}

static void what_the_system_refuses_is_a_fault(void **unused)
{
    (void)unused;
    struct tn_thread thread;
    struct tn_fault fault = {0};
    const struct tn_thread_options rows[] = {{.name = "cpu", .pinned = true, .cpu = 1000000},
                                             {.name = "gone", .pinned = true, .cpu = 1023},
                                             {.name = "tiny", .stack_size = 1}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        assert_int_equal(tn_thread_start(&thread, &rows[i], look, NULL, &fault), TN_INVALID);
        assert_non_null(strstr(fault.text, rows[i].name));
        tn_thread_join(&thread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_reach_the_thread),
        cmocka_unit_test(no_options_are_fine),
        cmocka_unit_test(what_the_system_refuses_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
