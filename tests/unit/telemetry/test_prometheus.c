/* The text formats, byte by byte: escapes, both formats, exemplars, pieces, full buffers. What real
 * parsers say of the same bytes is checked in tests/e2e/test_telemetry_formats.py. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/bound.h"
#include "telemetry/prometheus.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const double bounds[] = {-0.5, 0.25, 1, 1e21};

static struct tn_metric *series(struct tn_metrics *metrics, const struct tn_metric_options *options,
                                const char *value)
{
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_str view = tn_str_from(value);
    assert_int_equal(tn_metrics_family(metrics, options, &family), TN_OK);
    assert_int_equal(tn_metric_series(family, value == NULL ? NULL : &view, &metric), TN_OK);
    return metric;
}

static struct tn_metrics *example(void)
{
    struct tn_metrics *metrics;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    uint8_t trace[16], span[8];
    memset(trace, 0xab, sizeof(trace));
    memset(span, 0x0f, sizeof(span));
    struct tn_metric_options options = {.kind = TN_METRIC_HISTOGRAM,
                                        .name = "d_seconds",
                                        .help = "Line\nbreak, \\ and \"quotes\".",
                                        .labels = {"who"},
                                        .bounds = bounds,
                                        .bound_count = TN_COUNT(bounds),
                                        .exemplars = true};
    struct tn_metric *metric = series(metrics, &options, "a\"b\\c\nd");
    tn_metric_observe(metric, -1);
    tn_metric_observe_traced(metric, 0.2, trace, span);
    tn_metric_observe(metric, 1);
    tn_metric_observe(metric, INFINITY);
    options.name = "e_seconds";
    options.labels[0] = NULL;
    options.help = "";
    options.bound_count = 1;
    series(metrics, &options, NULL);
    options = (struct tn_metric_options){.kind = TN_METRIC_GAUGE, .name = "g", .help = "G."};
    tn_metric_set(series(metrics, &options, NULL), 0.1);
    options = (struct tn_metric_options){
        .name = "nv_success", .help = "No total.", .labels = {"model"}, .exemplars = true};
    tn_metric_count_traced(series(metrics, &options, "m"), 3, trace, span);
    options = (struct tn_metric_options){
        .name = "r_total", .help = "R.", .labels = {"model"}, .exemplars = true};
    tn_metric_count_traced(series(metrics, &options, "b"), 3, trace, span);
    tn_metric_add(series(metrics, &options, "a"), 0.5);
    return metrics;
}

static const char text_form[] =
    "# HELP d_seconds Line\\nbreak, \\\\ and \"quotes\".\n"
    "# TYPE d_seconds histogram\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"-0.5\"} 1\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"0.25\"} 2\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"1\"} 3\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"1e+21\"} 3\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 4\n"
    "d_seconds_sum{who=\"a\\\"b\\\\c\\nd\"} +Inf\n"
    "d_seconds_count{who=\"a\\\"b\\\\c\\nd\"} 4\n"
    "# HELP e_seconds \n"
    "# TYPE e_seconds histogram\n"
    "e_seconds_bucket{le=\"-0.5\"} 0\n"
    "e_seconds_bucket{le=\"+Inf\"} 0\n"
    "e_seconds_sum 0\n"
    "e_seconds_count 0\n"
    "# HELP g G.\n"
    "# TYPE g gauge\n"
    "g 0.1\n"
    "# HELP nv_success No total.\n"
    "# TYPE nv_success counter\n"
    "nv_success{model=\"m\"} 3\n"
    "# HELP r_total R.\n"
    "# TYPE r_total counter\n"
    "r_total{model=\"a\"} 0.5\n"
    "r_total{model=\"b\"} 3\n"
    "# HELP tenon_telemetry_series_overflow_total Look-ups of a series that landed in the family's "
    "_other series, because the family is full.\n"
    "# TYPE tenon_telemetry_series_overflow_total counter\n";

#define TRACE " # {trace_id=\"abababababababababababababababab\",span_id=\"0f0f0f0f0f0f0f0f\"} "

static const char open_form[] =
    "# HELP d_seconds Line\\nbreak, \\\\ and \\\"quotes\\\".\n"
    "# TYPE d_seconds histogram\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"-0.5\"} 1\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"0.25\"} 2" TRACE "0.2\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"1.0\"} 3\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"1e+21\"} 3\n"
    "d_seconds_bucket{who=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 4\n"
    "d_seconds_sum{who=\"a\\\"b\\\\c\\nd\"} +Inf\n"
    "d_seconds_count{who=\"a\\\"b\\\\c\\nd\"} 4\n"
    "# HELP e_seconds \n"
    "# TYPE e_seconds histogram\n"
    "e_seconds_bucket{le=\"-0.5\"} 0\n"
    "e_seconds_bucket{le=\"+Inf\"} 0\n"
    "e_seconds_sum 0\n"
    "e_seconds_count 0\n"
    "# HELP g G.\n"
    "# TYPE g gauge\n"
    "g 0.1\n"
    "# HELP nv_success No total.\n"
    "# TYPE nv_success unknown\n"
    "nv_success{model=\"m\"} 3\n"
    "# HELP r R.\n"
    "# TYPE r counter\n"
    "r_total{model=\"a\"} 0.5\n"
    "r_total{model=\"b\"} 3" TRACE "3\n"
    "# HELP tenon_telemetry_series_overflow Look-ups of a series that landed in the family's "
    "_other series, because the family is full.\n"
    "# TYPE tenon_telemetry_series_overflow counter\n"
    "# EOF\n";

static void both_formats_are_what_they_should_be(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    for (unsigned round = 0; round < 2; round++) {
        bool open = round == 1;
        tn_buf_reset(&buf);
        assert_int_equal(tn_prometheus_encode(
                             metrics, open ? TN_PROMETHEUS_OPENMETRICS : TN_PROMETHEUS_TEXT, &buf),
                         TN_OK);
        tn_buf_put_byte(&buf, '\0');
        assert_string_equal((const char *)buf.data, open ? open_form : text_form);
    }
    tn_buf_deinit(&buf);
    tn_metrics_destroy(metrics);
}

static void every_buffer_bound_fails_cleanly(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    size_t full = sizeof(open_form) - 1;
    for (size_t size = 1; size <= full; size++) {
        struct tn_buf buf;
        tn_buf_init(&buf, size);
        enum tn_err err = tn_prometheus_encode(metrics, TN_PROMETHEUS_OPENMETRICS, &buf);
        assert_int_equal(err, size < full ? TN_LIMIT : TN_OK);
        tn_buf_deinit(&buf);
    }
    tn_metrics_destroy(metrics);
}

static void pieces_survive_series_that_come_and_go_between(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example();
    struct tn_metric_options options = {.name = "a_total", .help = "", .labels = {"model"}};
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    struct tn_prometheus encoder = {.metrics = metrics, .format = TN_PROMETHEUS_OPENMETRICS};
    enum tn_err err;
    size_t pieces = 0;
    do {
        err = tn_prometheus_next(&encoder, &buf);
        assert_true(err == TN_AGAIN || err == TN_DONE);
        /* A family before all that were seen, and a series in one that is still to come. */
        tn_metric_retire(series(metrics, &options, "x"));
        pieces++;
    } while (err == TN_AGAIN);
    assert_int_equal(pieces, 7);
    assert_int_equal(buf.size, sizeof(open_form) - 1);
    assert_memory_equal(buf.data, open_form, buf.size);
    tn_buf_deinit(&buf);
    tn_metrics_destroy(metrics);
}

static void created_times_appear_when_asked_for(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    tn_metrics_collect(metrics, UINT64_C(1700000000123456789));
    struct tn_metric_options options = {.name = "a_total", .help = "", .labels = {"model"}};
    series(metrics, &options, "x");
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    struct tn_prometheus encoder = {
        .metrics = metrics, .format = TN_PROMETHEUS_OPENMETRICS, .created = true};
    assert_int_equal(tn_prometheus_next(&encoder, &buf), TN_AGAIN);
    tn_buf_put_byte(&buf, '\0');
    assert_string_equal((const char *)buf.data,
                        "# HELP a \n# TYPE a counter\na_total{model=\"x\"} 0\n"
                        "a_created{model=\"x\"} 1700000000.123\n");
    tn_buf_deinit(&buf);
    tn_metrics_destroy(metrics);
}

static void doubles_read_back_the_same(void **unused)
{
    (void)unused;
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.25, "-0.25"},
        {0.1, "0.1"},
        {1e15, "1000000000000000"},
        {-3, "-3"},
        {123456.789, "123456.789"},
        {NAN, "NaN"},
        {-INFINITY, "-Inf"},
        {0.1 + 0.2, "0.30000000000000004"},
        {5e-324, "5e-324"},
    };
    char out[TN_NUMBER_SIZE_MAX + 1];
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        size_t size = tn_number_put_double(out, rows[i].value);
        out[size] = '\0';
        assert_string_equal(out, rows[i].text);
    }
    uint64_t bits = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value)) {
            out[tn_number_put_double(out, value)] = '\0';
            assert_true(strtod(out, NULL) == value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_are_what_they_should_be),
        cmocka_unit_test(every_buffer_bound_fails_cleanly),
        cmocka_unit_test(pieces_survive_series_that_come_and_go_between),
        cmocka_unit_test(created_times_appear_when_asked_for),
        cmocka_unit_test(doubles_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
