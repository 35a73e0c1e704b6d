/* OTLP messages, encoded and decoded again; and every arena that is too small. */
#include "base/mem.h"
#include "core/assert.h"
#include "proto/otlp.pb.h"
#include "telemetry/otlp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const double bounds[] = {0.25, 1};
static const struct tn_otlp_attribute resource[] = {
    {TN_STR("service.name"), TN_STR("tenon")},
    {TN_STR("service.version"), TN_STR("0.1.0")},
};
static const struct tn_otlp_source source = {
    .resource = resource,
    .resource_count = TN_COUNT(resource),
    .scope_name = TN_STR("tenon"),
    .scope_version = TN_STR("0.1.0"),
    .start_ns = 1000,
};

static struct tn_metric *series(struct tn_metrics *metrics, struct tn_metric_options options,
                                const char *value)
{
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_str view = tn_str_from(value);
    options.help = "H.";
    options.labels[0] = "model";
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
    tn_metric_count(series(metrics, (struct tn_metric_options){.name = "a_bytes_total"}, "x"), 3);
    struct tn_metric_options gauge = {.name = "g", .kind = TN_METRIC_GAUGE};
    tn_metric_set(series(metrics, gauge, "z"), -7);
    struct tn_metric_options histogram = {.name = "h_seconds", .kind = TN_METRIC_HISTOGRAM};
    struct tn_metric *metric = series(metrics, histogram, "m");
    tn_metric_observe(metric, 0.1);
    tn_metric_observe_traced(metric, 0.5, trace, span);
    tn_metrics_collect(metrics, 5000);
    series(metrics, (struct tn_metric_options){.name = "later_total"}, "l");
    return metrics;
}

static void *encoded(const struct tn_pb_message *message, const void *object, size_t *ret_size)
{
    *ret_size = tn_pb_size(message, object);
    uint8_t *bytes = tn_mem_take(*ret_size);
    tn_pb_encode(message, object, bytes, *ret_size);
    return bytes;
}

static void metrics_come_back(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_metric_cursor cursor = {0};
    struct tn_otlp_export_metrics_service_request request = {0};
    assert_int_equal(tn_otlp_metrics_next(metrics, &source, &cursor, 9000, &arena, &request),
                     TN_DONE);
    size_t size;
    void *bytes = encoded(&tn_otlp_export_metrics_service_request_pb, &request, &size);
    memset(&request, 0, sizeof(request));
    assert_int_equal(tn_pb_decode(&tn_otlp_export_metrics_service_request_pb,
                                  tn_bytes_make(bytes, size), &arena, &request),
                     TN_OK);
    struct tn_otlp_resource_metrics *top = request.resource_metrics;
    assert_int_equal(top->resource->attributes_count, 2);
    assert_true(tn_str_is(top->resource->attributes[1].value->string_value, "0.1.0"));
    assert_true(tn_str_is(top->scope_metrics->scope->name, "tenon"));
    /* The registry's own family has no series, so it is not sent. */
    assert_int_equal(top->scope_metrics->metrics_count, 4);
    struct tn_otlp_metric *all = top->scope_metrics->metrics;

    assert_true(tn_str_is(all[0].name, "a_bytes_total"));
    assert_true(tn_str_is(all[0].unit, "By"));
    assert_true(tn_str_is(all[0].description, "H."));
    assert_int_equal(all[0].data, TN_OTLP_METRIC_SUM);
    assert_true(all[0].sum->is_monotonic);
    assert_int_equal(all[0].sum->aggregation_temporality, 2);
    assert_true(all[0].sum->data_points[0].as_double == 3);
    assert_int_equal(all[0].sum->data_points[0].start_time_unix_nano, 1000);
    assert_int_equal(all[0].sum->data_points[0].time_unix_nano, 9000);
    assert_true(tn_str_is(all[0].sum->data_points[0].attributes[0].key, "model"));
    assert_true(tn_str_is(all[0].sum->data_points[0].attributes[0].value->string_value, "x"));

    assert_int_equal(all[1].data, TN_OTLP_METRIC_GAUGE);
    assert_true(all[1].gauge->data_points[0].as_double == -7);

    assert_int_equal(all[2].data, TN_OTLP_METRIC_HISTOGRAM);
    assert_true(tn_str_is(all[2].unit, "s"));
    struct tn_otlp_histogram_data_point *point = all[2].histogram->data_points;
    assert_int_equal(point->count, 2);
    assert_true(point->has_sum && point->sum == 0.6);
    assert_int_equal(point->bucket_counts_count, 3);
    assert_int_equal(point->bucket_counts[1], 1);
    assert_true(point->explicit_bounds[0] == 0.25);
    assert_int_equal(point->exemplars_count, 1);
    assert_true(point->exemplars[0].as_double == 0.5);
    assert_int_equal(point->exemplars[0].trace_id.size, 16);
    assert_int_equal(point->exemplars[0].span_id.data[7], 0xcd);

    assert_int_equal(all[3].sum->data_points[0].start_time_unix_nano, 5000);
    tn_mem_give(bytes);
    tn_arena_deinit(&arena);
    tn_metrics_destroy(metrics);
}

static void families_leave_in_requests(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    static char names[150][4];
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        names[i][0] = (char)('A' + i / 20);
        names[i][1] = (char)('a' + i % 20);
        series(metrics, (struct tn_metric_options){.name = names[i]}, "x");
    }
    for (unsigned i = 0; i < 900; i++) {
        char value[8] = {(char)('a' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10)};
        series(metrics, (struct tn_metric_options){.name = names[0]}, value);
        series(metrics, (struct tn_metric_options){.name = names[1]}, value);
        series(metrics, (struct tn_metric_options){.name = names[2]}, value);
    }
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_metric_cursor cursor = {0};
    size_t families = 0, points = 0, requests = 0;
    enum tn_err err;
    do {
        tn_arena_reset(&arena);
        struct tn_otlp_export_metrics_service_request request = {0};
        err = tn_otlp_metrics_next(metrics, &source, &cursor, 9000, &arena, &request);
        assert_true(err == TN_AGAIN || err == TN_DONE);
        struct tn_otlp_scope_metrics *scope = request.resource_metrics->scope_metrics;
        families += request.resource_metrics_count > 0 ? scope->metrics_count : 0;
        for (size_t i = 0; i < scope->metrics_count; i++) {
            points += scope->metrics[i].data == TN_OTLP_METRIC_SUM
                          ? scope->metrics[i].sum->data_points_count
                          : 0;
        }
        requests++;
    } while (err == TN_AGAIN);
    assert_int_equal(families, 150 + 4);
    assert_int_equal(points, 150 + 2700 + 2);
    assert_int_equal(requests, 4); /* one full of points, three by the number of families */
    tn_arena_deinit(&arena);
    tn_metrics_destroy(metrics);
}

static void spans_make(struct tn_span spans[2])
{
    struct tn_tracer *tracer = NULL;
    struct tn_tracer_options options = {.capacity = 2, .rate = 1};
    assert_int_equal(tn_tracer_create(&options, &tracer), TN_OK);
    struct tn_trace_context root, child;
    tn_tracer_decide(tracer, NULL, &root);
    tn_tracer_decide(tracer, &root, &child);
    tn_span_begin(&spans[0], &root, NULL, TN_STR_OF("request"), TN_SPAN_SERVER, 100);
    tn_span_put_str(&spans[0], "model", TN_STR_OF("silero"));
    tn_span_put_i64(&spans[0], "batch", 8);
    tn_span_put_f64(&spans[0], "share", 0.5);
    tn_span_put_bool(&spans[0], "cached", false);
    tn_span_set_status(&spans[0], TN_SPAN_OK, TN_STR_OF("left out"));
    tn_span_begin(&spans[1], &child, &root, TN_STR_OF("run"), TN_SPAN_INTERNAL, 110);
    tn_span_set_status(&spans[1], TN_SPAN_ERROR, TN_STR_OF("broken"));
    spans[0].end_ns = 200;
    spans[1].end_ns = 190;
    tn_tracer_destroy(tracer);
}

static void spans_come_back(void **unused)
{
    (void)unused;
    struct tn_span spans[2];
    spans_make(spans);
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_otlp_export_trace_service_request request = {0};
    assert_int_equal(tn_otlp_spans(spans, 2, &source, &arena, &request), TN_OK);
    size_t size;
    void *bytes = encoded(&tn_otlp_export_trace_service_request_pb, &request, &size);
    memset(&request, 0, sizeof(request));
    assert_int_equal(tn_pb_decode(&tn_otlp_export_trace_service_request_pb,
                                  tn_bytes_make(bytes, size), &arena, &request),
                     TN_OK);
    struct tn_otlp_scope_spans *scope = request.resource_spans->scope_spans;
    assert_int_equal(scope->spans_count, 2);
    struct tn_otlp_span *root = &scope->spans[0], *child = &scope->spans[1];
    assert_true(tn_str_is(root->name, "request"));
    assert_int_equal(root->kind, TN_OTLP_SPAN_SPAN_KIND_SERVER);
    assert_int_equal(root->parent_span_id.size, 0);
    assert_int_equal(root->start_time_unix_nano, 100);
    assert_int_equal(root->end_time_unix_nano, 200);
    assert_int_equal(root->flags, 1);
    assert_int_equal(root->attributes_count, 4);
    assert_true(tn_str_is(root->attributes[0].value->string_value, "silero"));
    assert_int_equal(root->attributes[1].value->int_value, 8);
    assert_true(root->attributes[2].value->double_value == 0.5);
    assert_int_equal(root->attributes[3].value->value, TN_OTLP_ANY_VALUE_BOOL_VALUE);
    assert_int_equal(root->status->code, 1);
    assert_int_equal(root->status->message.size, 0);
    assert_true(tn_bytes_equal(child->parent_span_id, root->span_id));
    assert_true(tn_bytes_equal(child->trace_id, root->trace_id));
    assert_true(tn_str_is(child->status->message, "broken"));
    tn_mem_give(bytes);
    tn_arena_deinit(&arena);
}

static void every_small_arena_fails_cleanly(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    struct tn_span spans[2];
    spans_make(spans);
    static _Alignas(64) uint8_t memory[32768];
    bool metrics_fit = false, spans_fit = false;
    for (size_t size = 0; size <= sizeof(memory); size += 64) {
        struct tn_arena arena;
        tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = size});
        struct tn_metric_cursor cursor = {0};
        struct tn_otlp_export_metrics_service_request request = {0};
        enum tn_err err = tn_otlp_metrics_next(metrics, &source, &cursor, 9000, &arena, &request);
        assert_true(err == TN_NOMEM || err == TN_DONE);
        assert_true(!metrics_fit || err == TN_DONE);
        assert_int_equal(request.resource_metrics_count, err == TN_DONE);
        metrics_fit = err == TN_DONE;
        tn_arena_reset(&arena);
        struct tn_otlp_export_trace_service_request traces = {0};
        err = tn_otlp_spans(spans, 2, &source, &arena, &traces);
        assert_true(err == TN_NOMEM || err == TN_OK);
        assert_int_equal(traces.resource_spans_count, err == TN_OK);
        spans_fit = err == TN_OK;
        tn_arena_deinit(&arena);
    }
    assert_true(metrics_fit && spans_fit);
    tn_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_come_back),
        cmocka_unit_test(families_leave_in_requests),
        cmocka_unit_test(spans_come_back),
        cmocka_unit_test(every_small_arena_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
