/* Remote write against the text format: the same samples with the same labels, labels in order. */
#include "base/mem.h"
#include "core/assert.h"
#include "proto/remote.pb.h"
#include "telemetry/bound.h"
#include "telemetry/prometheus.h"
#include "telemetry/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const double bounds[] = {0.25, 1};

static struct tn_metric *series(struct tn_metrics *metrics, struct tn_metric_options options,
                                const char *value)
{
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_str view = tn_str_from(value);
    options.help = "H.";
    if (options.kind == TN_METRIC_HISTOGRAM) {
        options.bounds = bounds;
        options.bound_count = TN_COUNT(bounds);
        options.exemplars = true;
    }
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    assert_int_equal(tn_metric_series(family, &view, &metric), TN_OK);
    return metric;
}

static struct tn_metrics *example(void)
{
    struct tn_metrics *metrics;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    uint8_t trace[16], span[8];
    memset(trace, 0xab, sizeof(trace));
    memset(span, 0xcd, sizeof(span));
    struct tn_metric_options options = {.name = "a_total", .labels = {"model"}};
    tn_metric_count(series(metrics, options, "x"), 3);
    tn_metric_add(series(metrics, options, "y"), 0.5);
    options = (struct tn_metric_options){.name = "g", .labels = {"Zone"}, .kind = TN_METRIC_GAUGE};
    tn_metric_set(series(metrics, options, "z"), -7);
    tn_metric_set(series(metrics, options, ""), 8);
    options = (struct tn_metric_options){
        .name = "h_seconds", .labels = {"model"}, .kind = TN_METRIC_HISTOGRAM};
    struct tn_metric *metric = series(metrics, options, "m");
    tn_metric_observe(metric, 0.1);
    tn_metric_observe_traced(metric, 0.5, trace, span);
    tn_metric_observe(metric, 3);
    return metrics;
}

/* One time series as a line of the text format. */
static void put_line(struct tn_buf *buf, const struct tn_remote_time_series *one)
{
    for (size_t i = 1; i < one->labels_count; i++) {
        struct tn_str a = one->labels[i - 1].name, b = one->labels[i].name;
        size_t shorter = a.size < b.size ? a.size : b.size;
        int order = memcmp(a.data, b.data, shorter);
        assert_true(order < 0 || (order == 0 && a.size < b.size));
    }
    for (size_t i = 0; i < one->labels_count; i++) {
        if (tn_str_is(one->labels[i].name, "__name__")) {
            tn_buf_put_str(buf, one->labels[i].value);
        }
    }
    size_t written = 0;
    /* `le` last, as the text format has it. */
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < one->labels_count; i++) {
            struct tn_str name = one->labels[i].name;
            bool skip = tn_str_is(name, "__name__") || tn_str_is(name, "job") ||
                        tn_str_is(name, "le") != (round == 1);
            if (!skip) {
                tn_buf_printf(buf, "%c%.*s=\"%.*s\"", written++ == 0 ? '{' : ',', TN_STR_ARG(name),
                              TN_STR_ARG(one->labels[i].value));
            }
        }
    }
    char value[TN_NUMBER_SIZE_MAX];
    size_t size = tn_number_put_double(value, one->samples[0].value);
    tn_buf_printf(buf, "%s %.*s", written > 0 ? "}" : "", (int)size, value);
    for (size_t i = 0; i < one->exemplars_count; i++) {
        const struct tn_remote_exemplar *exemplar = &one->exemplars[i];
        assert_true(tn_str_is(exemplar->labels[0].name, "span_id"));
        assert_true(tn_str_is(exemplar->labels[0].value, "cdcdcdcdcdcdcdcd"));
        assert_true(tn_str_is(exemplar->labels[1].value, "abababababababababababababababab"));
        assert_true(exemplar->value == 0.5);
        assert_int_equal(exemplar->timestamp, 1234);
        tn_buf_put_text(buf, " # exemplar");
    }
    tn_buf_put_byte(buf, '\n');
}

static void the_samples_are_those_of_the_text(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    struct tn_buf body, lines;
    tn_buf_init(&body, 0);
    tn_buf_init(&lines, 0);
    struct tn_remote_label job[] = {{TN_STR("job"), TN_STR("tenon")},
                                    {TN_STR("model"), TN_STR("loses against the series' own")}};
    struct tn_remote_write writer = {
        .metrics = metrics, .external = job, .external_count = 1, .timestamp_ms = 1234};
    size_t samples = 0;
    assert_int_equal(tn_remote_write_next(&writer, &body, &samples), TN_DONE);
    assert_int_equal(samples, 2 + 2 + 5);

    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_remote_write_request request;
    assert_int_equal(
        tn_pb_decode(&tn_remote_write_request_pb, tn_buf_bytes(&body), &arena, &request), TN_OK);
    assert_int_equal(request.timeseries_count, samples);
    for (size_t i = 0; i < request.timeseries_count; i++) {
        assert_int_equal(request.timeseries[i].samples_count, 1);
        assert_int_equal(request.timeseries[i].samples[0].timestamp, 1234);
        bool has_job = false;
        for (size_t k = 0; k < request.timeseries[i].labels_count; k++) {
            has_job |= tn_str_is(request.timeseries[i].labels[k].value, "tenon");
        }
        assert_true(has_job);
        put_line(&lines, &request.timeseries[i]);
    }
    tn_buf_put_byte(&lines, '\0');
    assert_string_equal((const char *)lines.data,
                        "a_total{model=\"x\"} 3\n"
                        "a_total{model=\"y\"} 0.5\n"
                        "g 8\n" /* an empty label is no label */
                        "g{Zone=\"z\"} -7\n"
                        "h_seconds_bucket{model=\"m\",le=\"0.25\"} 1\n"
                        "h_seconds_bucket{model=\"m\",le=\"1.0\"} 2 # exemplar\n"
                        "h_seconds_bucket{model=\"m\",le=\"+Inf\"} 3\n"
                        "h_seconds_sum{model=\"m\"} 3.6\n"
                        "h_seconds_count{model=\"m\"} 3\n");
    /* With an external label of the same name, the series' own stays. */
    writer = (struct tn_remote_write){.metrics = metrics, .external = job, .external_count = 2};
    tn_buf_reset(&body);
    assert_int_equal(tn_remote_write_next(&writer, &body, &samples), TN_DONE);
    assert_int_equal(
        tn_pb_decode(&tn_remote_write_request_pb, tn_buf_bytes(&body), &arena, &request), TN_OK);
    assert_int_equal(request.timeseries[0].labels_count, 3);
    assert_true(tn_str_is(request.timeseries[0].labels[2].value, "x"));
    tn_arena_deinit(&arena);
    tn_buf_deinit(&body);
    tn_buf_deinit(&lines);
    tn_metrics_destroy(metrics);
}

static void a_large_registry_leaves_in_requests(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    static char names[40][16];
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        struct tn_metric_options options = {.labels = {"model"}, .name = names[i]};
        names[i][0] = (char)('A' + i % 20);
        names[i][1] = (char)('a' + i / 20);
        for (unsigned k = 0; k < 150; k++) {
            char value[8] = {(char)('a' + k / 20), (char)('a' + k % 20)};
            series(metrics, options, value);
        }
    }
    struct tn_remote_write writer = {.metrics = metrics};
    struct tn_buf body;
    tn_buf_init(&body, 0);
    size_t total = 0, requests = 0, samples;
    enum tn_err err;
    do {
        tn_buf_reset(&body);
        err = tn_remote_write_next(&writer, &body, &samples);
        assert_true(err == TN_AGAIN || err == TN_DONE);
        assert_true(samples < TN_REMOTE_SAMPLES_SOFT + 150);
        total += samples;
        requests++;
    } while (err == TN_AGAIN);
    assert_int_equal(total, 40 * 150 + 9);
    assert_int_equal(requests, 3);
    tn_buf_deinit(&body);
    tn_buf_init(&body, 100);
    writer.cursor.after = NULL;
    samples = 77;
    assert_int_equal(tn_remote_write_next(&writer, &body, &samples), TN_LIMIT);
    assert_int_equal(samples, 77);
    tn_buf_deinit(&body);
    tn_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_are_those_of_the_text),
        cmocka_unit_test(a_large_registry_leaves_in_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
