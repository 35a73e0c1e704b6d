/* Writes one registry and two spans in every format into a folder, for the readers in
 * test_telemetry_formats.py to judge.
 *
 * Usage: telemetry_samples FOLDER */
#include "base/mem.h"
#include "core/assert.h"
#include "proto/otlp.pb.h"
#include "telemetry/otlp.h"
#include "telemetry/prometheus.h"
#include "telemetry/remote_write.h"
#include "telemetry/snappy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(expression) ((expression) ? (void)0 : (perror(#expression), exit(1)))

static const char *folder;

static void write_file(const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    MUST(file != NULL);
    MUST(fwrite(data, 1, size, file) == size);
    MUST(fclose(file) == 0);
}

static struct tn_metric *series(struct tn_metrics *metrics, struct tn_metric_options options,
                                const char *one, const char *two)
{
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_str values[] = {tn_str_from(one), tn_str_from(two)};
    if (options.kind == TN_METRIC_HISTOGRAM) {
        options.bounds = tn_metric_seconds_bounds;
        options.bound_count = tn_metric_seconds_bound_count;
        options.exemplars = true;
    }
    if (one != NULL) {
        options.labels[0] = "model";
        options.labels[1] = "version";
    }
    MUST(tn_metrics_family(metrics, &options, &family) == TN_OK);
    MUST(tn_metric_series(family, values, &metric) == TN_OK);
    return metric;
}

static void fill(struct tn_metrics *metrics)
{
    uint8_t trace[16], span[8];
    memset(trace, 0xab, sizeof(trace));
    memset(span, 0x01, sizeof(span));
    struct tn_metric_options requests = {
        .name = "sample_requests_total", .help = "Requests\nby \\ \"model\".", .exemplars = true};
    tn_metric_count_traced(series(metrics, requests, "a\"b\\c\nd", "1"), 7, trace, span);
    tn_metric_add(series(metrics, requests, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8d\x8b", "2"), 0.1);
    tn_metric_count(series(metrics, requests, "", ""), UINT64_C(9007199254740993));
    struct tn_metric_options duration = {
        .kind = TN_METRIC_HISTOGRAM, .name = "sample_duration_seconds", .help = "Durations."};
    struct tn_metric *metric = series(metrics, duration, "m", "1");
    for (unsigned i = 0; i < 1000; i++) {
        tn_metric_observe(metric, 1e-5 * i * i);
    }
    tn_metric_observe_traced(metric, 0.003, trace, span);
    series(metrics, duration, "idle", "1");
    struct tn_metric_options level = {
        .kind = TN_METRIC_GAUGE, .name = "sample_level", .help = "Levels."};
    tn_metric_set(series(metrics, level, NULL, NULL), -1.5e-9);
    struct tn_metric_options odd = {
        .kind = TN_METRIC_GAUGE, .name = "sample_odd", .help = "Not finite."};
    tn_metric_set(series(metrics, odd, "nan", "1"), NAN);
    tn_metric_set(series(metrics, odd, "minus", "1"), -INFINITY);
    struct tn_metric_options foreign = {.name = "nv_inference_count", .help = "No _total."};
    tn_metric_count(series(metrics, foreign, "m", "1"), 3);
    struct tn_metric_family *unused;
    MUST(tn_metrics_family(
             metrics,
             &(struct tn_metric_options){.name = "sample_empty_total", .help = "No series."},
             &unused) == TN_OK);
}

static void write_texts(struct tn_metrics *metrics)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    MUST(tn_prometheus_encode(metrics, TN_PROMETHEUS_TEXT, &buf) == TN_OK);
    write_file("metrics.txt", buf.data, buf.size);
    tn_buf_reset(&buf);
    MUST(tn_prometheus_encode(metrics, TN_PROMETHEUS_OPENMETRICS, &buf) == TN_OK);
    write_file("openmetrics.txt", buf.data, buf.size);
    tn_buf_deinit(&buf);
}

static void write_remote(struct tn_metrics *metrics)
{
    struct tn_remote_write writer = {.metrics = metrics, .timestamp_ms = 1700000000123};
    struct tn_buf body, packed;
    tn_buf_init(&body, 0);
    tn_buf_init(&packed, 0);
    size_t samples;
    MUST(tn_remote_write_next(&writer, &body, &samples) == TN_DONE);
    tn_snappy_compress(tn_buf_bytes(&body), &packed);
    MUST(packed.failed == TN_OK);
    write_file("remote.pb", body.data, body.size);
    write_file("remote.snappy", packed.data, packed.size);
    tn_buf_deinit(&body);
    tn_buf_deinit(&packed);
}

static void write_message(const char *name, const struct tn_pb_message *message, const void *object)
{
    size_t size = tn_pb_size(message, object);
    uint8_t *bytes = tn_mem_take(size);
    MUST(bytes != NULL);
    tn_pb_encode(message, object, bytes, size);
    write_file(name, bytes, size);
    tn_mem_give(bytes);
}

static void write_otlp(struct tn_metrics *metrics)
{
    static const struct tn_otlp_attribute resource[] = {{TN_STR("service.name"), TN_STR("tenon")}};
    struct tn_otlp_source source = {.resource = resource,
                                    .resource_count = 1,
                                    .scope_name = TN_STR("tenon"),
                                    .scope_version = TN_STR("0.1.0"),
                                    .start_ns = UINT64_C(1700000000000000000)};
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_metric_cursor cursor = {0};
    struct tn_otlp_export_metrics_service_request request = {0};
    MUST(tn_otlp_metrics_next(metrics, &source, &cursor, UINT64_C(1700000001000000000), &arena,
                              &request) == TN_DONE);
    write_message("otlp_metrics.pb", &tn_otlp_export_metrics_service_request_pb, &request);

    struct tn_tracer *tracer;
    struct tn_tracer_options options = {.capacity = 2, .rate = 1, .seed = {3, 4}};
    MUST(tn_tracer_create(&options, &tracer) == TN_OK);
    struct tn_trace_context root, child;
    tn_tracer_decide(tracer, NULL, &root);
    tn_tracer_decide(tracer, &root, &child);
    struct tn_span spans[2];
    tn_span_begin(&spans[0], &root, NULL, TN_STR_OF("request"), TN_SPAN_SERVER, 1000);
    tn_span_put_str(&spans[0], "model", TN_STR_OF("silero"));
    tn_span_put_i64(&spans[0], "batch", -8);
    tn_span_set_status(&spans[0], TN_SPAN_ERROR, TN_STR_OF("broken"));
    tn_span_begin(&spans[1], &child, &root, TN_STR_OF("run"), TN_SPAN_INTERNAL, 1100);
    struct tn_otlp_export_trace_service_request traces = {0};
    MUST(tn_otlp_spans(spans, 2, &source, &arena, &traces) == TN_OK);
    write_message("otlp_traces.pb", &tn_otlp_export_trace_service_request_pb, &traces);
    tn_tracer_destroy(tracer);
    tn_arena_deinit(&arena);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 64;
    }
    folder = argv[1];
    struct tn_metrics *metrics;
    MUST(tn_metrics_create(&metrics) == TN_OK);
    fill(metrics);
    write_texts(metrics);
    write_remote(metrics);
    write_otlp(metrics);
    tn_metrics_destroy(metrics);
    return 0;
}
