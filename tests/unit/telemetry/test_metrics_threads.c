/* Many threads update, look up and retire while others read: nothing is lost, nothing is torn.
 * Meant to run under the thread sanitizer as well. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/reading.h"
#include "telemetry/slot.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

enum { THREADS = 6, ROUNDS = 20000, CROWD = TN_SLOT_COUNT + 8 };

static struct tn_metrics *metrics;
static struct tn_metric_family *durations, *requests, *changing;
static struct tn_metric *duration, *request, *level;
static atomic_bool over;

static void *update(void *argument)
{
    uint8_t id = (uint8_t)(uintptr_t)argument;
    uint8_t trace[16], span[8];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t mark = (uint8_t)(id * 31 + i % 7 + 1);
        memset(trace, mark, sizeof(trace));
        memset(span, mark, sizeof(span));
        tn_metric_observe_traced(duration, mark / 1024.0, trace, span);
        tn_metric_count(request, 1);
        tn_metric_add(level, 1);
        tn_metric_add(level, -1);
    }
    return NULL;
}

/* Comes and goes with a series of its own, as a model does. */
static void *churn(void *argument)
{
    char name[2] = {(char)('a' + (uintptr_t)argument % 3), '\0'};
    struct tn_str value = tn_str_from(name);
    for (unsigned i = 0; i < ROUNDS / 20; i++) {
        struct tn_metric *metric;
        if (tn_metric_series(changing, &value, &metric) == TN_OK) {
            tn_metric_observe(metric, 0.001);
            tn_metric_retire(metric);
        }
    }
    return NULL;
}

static void see_family(void *context, const struct tn_metric_options *family, size_t count)
{
    (void)context, (void)family, (void)count;
}

static void see_series(void *context, const struct tn_metric_options *family,
                       const struct tn_metric_reading *reading)
{
    uint64_t *torn = context;
    for (size_t i = 0; reading->exemplars != NULL && i <= family->bound_count; i++) {
        const struct tn_exemplar *exemplar = &reading->exemplars[i];
        uint8_t mark = exemplar->trace_id[0];
        for (size_t k = 0; k < 16; k++) {
            *torn += exemplar->trace_id[k] != mark || exemplar->span_id[k / 2] != mark;
        }
        *torn += exemplar->value != mark / 1024.0;
    }
}

static void *read_all(void *argument)
{
    struct tn_metric_visitor visitor = {see_family, see_series, argument};
    while (!atomic_load(&over)) {
        struct tn_metric_cursor cursor = {0};
        tn_metrics_collect(metrics, 1);
        while (tn_metrics_visit(metrics, &cursor, &visitor) == TN_AGAIN) {
        }
    }
    return NULL;
}

static void setup(void)
{
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    struct tn_metric_options options = {.kind = TN_METRIC_HISTOGRAM,
                                        .name = "durations",
                                        .help = "",
                                        .bounds = tn_metric_seconds_bounds,
                                        .bound_count = tn_metric_seconds_bound_count,
                                        .exemplars = true};
    assert_int_equal(tn_metrics_family(metrics, &options, &durations), TN_OK);
    options.name = "changing";
    options.labels[0] = "name";
    options.series_max = 2;
    assert_int_equal(tn_metrics_family(metrics, &options, &changing), TN_OK);
    options = (struct tn_metric_options){.name = "requests_total", .help = "", .sharded = true};
    assert_int_equal(tn_metrics_family(metrics, &options, &requests), TN_OK);
    struct tn_metric_family *levels;
    options = (struct tn_metric_options){.kind = TN_METRIC_GAUGE, .name = "level", .help = ""};
    assert_int_equal(tn_metrics_family(metrics, &options, &levels), TN_OK);
    assert_int_equal(tn_metric_series(durations, NULL, &duration), TN_OK);
    assert_int_equal(tn_metric_series(requests, NULL, &request), TN_OK);
    assert_int_equal(tn_metric_series(levels, NULL, &level), TN_OK);
}

static void updates_reads_and_retires_go_together(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    setup();
    atomic_store(&over, false);
    uint64_t torn = 0;
    pthread_t updaters[THREADS], churners[3], reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &torn), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&updaters[i], NULL, update, (void *)i), 0);
    }
    for (uintptr_t i = 0; i < TN_COUNT(churners); i++) {
        assert_int_equal(pthread_create(&churners[i], NULL, churn, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(updaters[i], NULL);
    }
    for (size_t i = 0; i < TN_COUNT(churners); i++) {
        pthread_join(churners[i], NULL);
    }
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    assert_int_equal(torn, 0);
    assert_true(tn_metric_value(request) == (double)THREADS * ROUNDS);
    assert_int_equal(tn_metric_observations(duration), (uint64_t)THREADS * ROUNDS);
    assert_true(tn_metric_value(level) == 0);
    tn_metrics_destroy(metrics);
    assert_int_equal(tn_mem_live(), live);
}

static pthread_barrier_t together;

static void *crowd_member(void *unused)
{
    (void)unused;
    tn_metric_count(request, 1);
    tn_metric_observe(duration, 0.5);
    pthread_barrier_wait(&together); /* all hold their slot at the same time */
    tn_metric_count(request, 1);
    return NULL;
}

static void more_threads_than_slots_lose_nothing(void **unused)
{
    (void)unused;
    setup();
    for (unsigned round = 1; round <= 3; round++) {
        pthread_t threads[CROWD];
        pthread_barrier_init(&together, NULL, CROWD);
        for (size_t i = 0; i < CROWD; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, NULL), 0);
        }
        for (size_t i = 0; i < CROWD; i++) {
            pthread_join(threads[i], NULL);
        }
        pthread_barrier_destroy(&together);
        assert_true(tn_metric_value(request) == 2.0 * round * CROWD);
        assert_int_equal(tn_metric_observations(duration), (uint64_t)round * CROWD);
        assert_true(tn_metric_value(duration) == 0.5 * round * CROWD);
    }
    tn_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_reads_and_retires_go_together),
        cmocka_unit_test(more_threads_than_slots_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
