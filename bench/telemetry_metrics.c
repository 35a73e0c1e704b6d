/* What an update and a scrape cost. CPU time of the thread, best of several rounds, since the
 * machine is shared. The peer is one histogram whose cells all threads share by atomic adds.
 *
 * Usage: bench_telemetry_metrics [results.jsonl]
 * Memory: heap. Threads: two for the contended rows. Bounds: about two seconds. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/prometheus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 7, UPDATES = 2000000, SERIES = 500 };

static FILE *results;
static struct tn_metric *plain, *sharded, *gauge, *histogram;
static double values[1024];
static atomic_uint_least64_t peer_cells[32];

static void record(const char *figure, double value, const char *unit, double goal, double peer)
{
    char goal_text[32] = "";
    char peer_text[96] = "";
    if (goal > 0) {
        snprintf(goal_text, sizeof(goal_text), ",\"goal\":%g", goal);
    }
    if (peer > 0) {
        snprintf(peer_text, sizeof(peer_text),
                 ",\"peer\":\"shared cells\",\"peer_value\":%.4f,\"ratio\":%.3f", peer,
                 peer / value);
    }
    printf("telemetry.metrics  %-28s %10.2f %-10s", figure, value, unit);
    if (goal > 0) {
        printf(" goal <= %g %s", goal, value <= goal ? "met" : "NOT MET");
    }
    if (peer > 0) {
        printf("  shared cells: %.2f (%.1fx)", peer, peer / value);
    }
    printf("\n");
    if (results != NULL) {
        fprintf(results,
                "{\"bench\":\"telemetry.metrics\",\"figure\":\"%s\",\"value\":%.4f,\"unit\":\"%s\","
                "\"better\":\"lower\"%s%s}\n",
                figure, value, unit, goal_text, peer_text);
    }
}

static void run_count(void)
{
    for (size_t i = 0; i < UPDATES; i++) {
        tn_metric_count(plain, 1);
    }
}

static void run_count_sharded(void)
{
    for (size_t i = 0; i < UPDATES; i++) {
        tn_metric_count(sharded, 1);
    }
}

static void run_gauge_add(void)
{
    for (size_t i = 0; i < UPDATES; i++) {
        tn_metric_add(gauge, 1);
    }
}

static void run_observe(void)
{
    for (size_t i = 0; i < UPDATES; i++) {
        tn_metric_observe(histogram, values[i % TN_COUNT(values)]);
    }
}

static void run_observe_traced(void)
{
    static const uint8_t trace[16] = {1}, span[8] = {1};
    for (size_t i = 0; i < UPDATES; i++) {
        tn_metric_observe_traced(histogram, values[i % TN_COUNT(values)], trace, span);
    }
}

/* The usual way: every thread adds to the same cells. */
static void run_peer(void)
{
    for (size_t i = 0; i < UPDATES; i++) {
        double value = values[i % TN_COUNT(values)];
        size_t bucket = 0;
        while (bucket < tn_metric_seconds_bound_count && value > tn_metric_seconds_bounds[bucket]) {
            bucket++;
        }
        atomic_fetch_add_explicit(&peer_cells[bucket], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&peer_cells[30], (uint64_t)(value * 1e9), memory_order_relaxed);
        atomic_fetch_add_explicit(&peer_cells[31], 1, memory_order_relaxed);
    }
}

static double ns_each(void (*run)(void))
{
    double best = 1e9;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = tn_clock_thread_ns();
        run();
        double each = (double)(tn_clock_thread_ns() - start) / UPDATES;
        best = each < best ? each : best;
    }
    return best;
}

struct racer {
    void (*run)(void);
    double ns;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    racer->ns = ns_each(racer->run);
    return NULL;
}

static double ns_each_of_two(void (*run)(void))
{
    struct racer racers[2] = {{run, 0}, {run, 0}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, race, &racers[i]) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    return (racers[0].ns + racers[1].ns) / 2;
}

static struct tn_metric *series(struct tn_metrics *metrics, struct tn_metric_options options,
                                const char *model)
{
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_str value = tn_str_from(model);
    options.help = "Bench.";
    options.labels[0] = "model";
    if (options.kind == TN_METRIC_HISTOGRAM) {
        options.bounds = tn_metric_seconds_bounds;
        options.bound_count = tn_metric_seconds_bound_count;
    }
    if (tn_metrics_family(metrics, &options, &family) != TN_OK ||
        tn_metric_series(family, &value, &metric) != TN_OK) {
        abort();
    }
    return metric;
}

static void run_scrape(void)
{
    struct tn_metrics *metrics;
    if (tn_metrics_create(&metrics) != TN_OK) {
        abort();
    }
    for (unsigned i = 0; i < SERIES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "model-number-%u", i);
        struct tn_metric *metric = series(
            metrics, (struct tn_metric_options){.kind = TN_METRIC_HISTOGRAM, .name = "h_seconds"},
            name);
        for (size_t k = 0; k < TN_COUNT(values); k++) {
            tn_metric_observe(metric, values[k]);
        }
    }
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    double best = 1e18;
    for (unsigned round = 0; round < ROUNDS; round++) {
        tn_buf_reset(&buf);
        uint64_t start = tn_clock_thread_ns();
        if (tn_prometheus_encode(metrics, TN_PROMETHEUS_OPENMETRICS, &buf) != TN_OK) {
            abort();
        }
        double ns = (double)(tn_clock_thread_ns() - start);
        best = ns < best ? ns : best;
    }
    record("scrape_us_per_histogram", best / 1e3 / SERIES, "us", 5, 0);
    record("scrape_ns_per_byte", best / (double)buf.size, "ns", 0, 0);
    tn_buf_deinit(&buf);
    tn_metrics_destroy(metrics);
}

int main(int argc, char **argv)
{
    results = argc > 1 ? fopen(argv[1], "a") : NULL;
    struct tn_metrics *metrics;
    if (tn_metrics_create(&metrics) != TN_OK) {
        return 1;
    }
    plain = series(metrics, (struct tn_metric_options){.name = "a_total"}, "m");
    sharded = series(metrics, (struct tn_metric_options){.name = "b_total", .sharded = true}, "m");
    gauge = series(metrics, (struct tn_metric_options){.kind = TN_METRIC_GAUGE, .name = "c"}, "m");
    histogram = series(metrics,
                       (struct tn_metric_options){
                           .kind = TN_METRIC_HISTOGRAM, .name = "d_seconds", .exemplars = true},
                       "m");
    srand(1);
    for (size_t i = 0; i < TN_COUNT(values); i++) {
        values[i] = 1e-5 * (double)(1 + rand() % 100000);
    }
    record("count_ns", ns_each(run_count), "ns", 5, 0);
    record("count_sharded_ns", ns_each(run_count_sharded), "ns", 5, 0);
    record("gauge_add_ns", ns_each(run_gauge_add), "ns", 0, 0);
    record("observe_ns", ns_each(run_observe), "ns", 15, ns_each(run_peer));
    record("observe_traced_ns", ns_each(run_observe_traced), "ns", 0, 0);
    record("count_2_threads_ns", ns_each_of_two(run_count_sharded), "ns", 5,
           ns_each_of_two(run_count));
    record("observe_2_threads_ns", ns_each_of_two(run_observe), "ns", 15, ns_each_of_two(run_peer));
    run_scrape();
    tn_metrics_destroy(metrics);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
