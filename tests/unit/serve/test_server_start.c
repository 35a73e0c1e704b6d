/* Starting and ending the whole server: every allocation on its way may fail, once or for good,
 * and nothing is lost. Needs ONNX Runtime where the set-up puts it; says so and passes without. */
#include "serve/server.h"

#include "base/mem.h"
#include "infer/engine.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool over;

/* Ends a server that came up; one that did not is gone before. */
static void *end_soon(void *unused)
{
    struct timespec due;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_nsec += 150000000;
    due.tv_sec += due.tv_nsec / 1000000000;
    due.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    while (!over) {
        if (pthread_cond_timedwait(&ended, &lock, &due) == ETIMEDOUT && !over) {
            kill(getpid(), SIGTERM);
            due.tv_sec++;
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int run_once(size_t fail_at, bool persistent, bool *ret_delivered)
{
    static const char *roots[1];
    roots[0] = folder;
    struct tn_arena arena;
    struct tn_serve_options options;
    pthread_t ender;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    assert_int_equal(tn_option_set_defaults(&tn_serve_option_table, &options, &arena), TN_OK);
    options.models = (struct tn_option_list){.items = roots, .count = 1};
    options.http_port = options.grpc_port = options.metrics_port = 0;
    options.log_level = TN_LOG_ERROR + 1;
    options.drain_ns = 1000000;
    options.models_max = 16;
    over = false;
    assert_int_equal(pthread_create(&ender, NULL, end_soon, NULL), 0);
    tn_mem_fail_from(fail_at, persistent);
    int code = tn_serve_run(&options, "0");
    *ret_delivered = tn_mem_fail_delivered();
    tn_mem_fail_from(0, false);
    pthread_mutex_lock(&lock);
    over = true;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    pthread_join(ender, NULL);
    tn_arena_deinit(&arena);
    return code;
}

static void every_allocation_may_fail(void **unused)
{
    (void)unused;
    bool delivered = false;
    assert_int_equal(run_once(0, false, &delivered), EX_OK);
    size_t live = tn_mem_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        size_t n = 0;
        size_t refused = 0;
        do {
            n++;
            int code = run_once(n, persistent == 1, &delivered);
            refused += code != EX_OK ? 1 : 0;
            assert_true(delivered || code == EX_OK);
            if (tn_mem_live() != live) {
                fail_msg("allocation %zu: %zu blocks lost", n, tn_mem_live() - live);
            }
        } while (delivered && n < 5000);
        print_message("%zu allocations, %zu of them vital\n", n - 1, refused);
        assert_true(refused > 10);
    }
}

int main(void)
{
    struct tn_engine *engine = NULL;
    struct tn_fault fault = {0};
    snprintf(folder, sizeof(folder), "/tmp/tn_test_start_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    if (tn_engine_create(NULL, &engine, &fault) != TN_OK) {
        printf("no ONNX Runtime here: %s\n", fault.text);
        rmdir(folder);
        return 77; /* skipped */
    }
    tn_engine_destroy(engine);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
