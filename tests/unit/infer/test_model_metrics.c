/* A model's metrics beside its own statistics: the same numbers, twice; gone with the model. */
#include "base/buf.h"
#include "base/mem.h"
#include "core/assert.h"
#include "onnx_writer.h"
#include "owner.h"
#include "telemetry/prometheus.h"
#include "telemetry/traceparent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_model *load(struct tn_metrics *metrics, struct tn_fault *fault)
{
    struct tn_model_config config;
    tn_model_config_init(&config);
    struct tn_block *bytes = onnx_simple();
    struct tn_model_options options = {.engine = test_engine,
                                       .name = TN_STR("simple"),
                                       .version = 3,
                                       .bytes = bytes,
                                       .config = &config,
                                       .metrics = metrics};
    struct tn_model *model = NULL;
    enum tn_err err = tn_model_create(&options, &model, fault);
    tn_block_unref(bytes);
    assert_true((err == TN_OK) == (model != NULL));
    return model;
}

/* Value of a line of the text format; -1: there is none. */
static double value_of(struct tn_metrics *metrics, const char *name, const char *more)
{
    struct tn_buf buf;
    char start[128];
    tn_buf_init(&buf, 0);
    tn_metrics_collect(metrics, 1);
    assert_int_equal(tn_prometheus_encode(metrics, TN_PROMETHEUS_TEXT, &buf), TN_OK);
    tn_buf_put_byte(&buf, '\0');
    snprintf(start, sizeof(start), "\n%s{model=\"simple\",version=\"3\"%s} ", name, more);
    const char *at = strstr((const char *)buf.data, start);
    double value = at != NULL ? strtod(at + strlen(start), NULL) : -1;
    tn_buf_deinit(&buf);
    return value;
}

static void run_one(struct tn_model *model, struct owner *owner, int64_t items,
                    const struct tn_trace_context *trace)
{
    static const int32_t zeros[8 * 16];
    struct test_job job;
    test_job_init(&job, owner);
    job.job.trace = trace;
    const int64_t dims[] = {items, 16};
    size_t size = (size_t)items * 64;
    test_job_input(&job, "INPUT0", TN_DTYPE_INT32, dims, 2, zeros, size);
    test_job_input(&job, "INPUT1", TN_DTYPE_INT32, dims, 2, zeros, size);
    test_job_run(&job, model, owner);
    assert_int_equal(job.job.fault.code, TN_OK);
    test_job_clear(&job);
}

static void metrics_say_what_the_statistics_say(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    struct tn_fault fault = {0};
    struct owner owner;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    owner_init(&owner);
    struct tn_model *model = load(metrics, &fault);
    for (unsigned i = 0; i < 10; i++) {
        run_one(model, &owner, 1, NULL);
    }
    run_one(model, &owner, 8, NULL);
    struct test_job wrong;
    test_job_init(&wrong, &owner);
    assert_int_equal(tn_infer_submit(model, &wrong.job, &fault), TN_INVALID);
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);

    assert_int_equal(stats.success_count, 11);
    for (unsigned scrapes = 0; scrapes < 3; scrapes++) {
        assert_true(value_of(metrics, "nv_inference_request_success", "") == 11);
    }
    assert_true(value_of(metrics, "nv_inference_count", "") == 18);
    assert_true(value_of(metrics, "nv_inference_exec_count", "") == 11);
    assert_true(value_of(metrics, "nv_inference_request_failure", ",reason=\"REJECTED\"") == 1);
    assert_true(value_of(metrics, "nv_inference_request_failure", ",reason=\"BACKEND\"") == 0);
    assert_true(value_of(metrics, "nv_inference_queue_duration_us", "") ==
                (double)(stats.queue_ns / 1000));
    assert_true(value_of(metrics, "nv_inference_pending_request_count", "") == 0);
    assert_true(value_of(metrics, "tenon_infer_requests_total", ",result=\"ok\"") == 11);
    assert_true(value_of(metrics, "tenon_infer_requests_total", ",result=\"rejected\"") == 1);
    assert_true(value_of(metrics, "tenon_infer_request_seconds_count", "") == 11);
    double seconds = value_of(metrics, "tenon_infer_request_seconds_sum", "");
    assert_true(seconds * 1e9 > 0.999 * (double)stats.success_ns &&
                seconds * 1e9 < 1.001 * (double)stats.success_ns);
    assert_true(value_of(metrics, "tenon_infer_compute_seconds_count", "") == 11);
    assert_true(value_of(metrics, "tenon_infer_batch_items_bucket", ",le=\"1\"") == 10);
    assert_true(value_of(metrics, "tenon_infer_batch_items_sum", "") == 18);
    assert_true(value_of(metrics, "tenon_infer_input_bytes_total", "") == 18 * 128);
    assert_true(value_of(metrics, "tenon_infer_output_bytes_total", "") == 18 * 128);

    tn_model_unref(model);
    assert_true(value_of(metrics, "nv_inference_count", "") == -1);
    assert_true(value_of(metrics, "tenon_infer_request_seconds_count", "") == -1);
    owner_deinit(&owner);
    tn_metrics_destroy(metrics);
}

static void a_traced_request_is_an_example(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    struct tn_fault fault = {0};
    struct owner owner;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    owner_init(&owner);
    struct tn_model *model = load(metrics, &fault);
    struct tn_trace_context context = {.flags = TN_TRACE_SAMPLED};
    memset(context.trace_id, 0x12, sizeof(context.trace_id));
    memset(context.span_id, 0x34, sizeof(context.span_id));
    run_one(model, &owner, 1, NULL);
    run_one(model, &owner, 1, &context);
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    assert_int_equal(tn_prometheus_encode(metrics, TN_PROMETHEUS_OPENMETRICS, &buf), TN_OK);
    tn_buf_put_byte(&buf, '\0');
    const char *example =
        strstr((const char *)buf.data, " # {trace_id=\"12121212121212121212121212121212\","
                                       "span_id=\"3434343434343434\"} 0.0");
    assert_non_null(example);
    assert_null(strstr(example + sizeof(" # {trace_id"), "trace_id")); /* one, in one bucket */
    tn_buf_deinit(&buf);
    tn_model_unref(model);
    owner_deinit(&owner);
    tn_metrics_destroy(metrics);
}

static void a_reload_counts_on_while_both_are_there(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    struct tn_fault fault = {0};
    struct owner owner;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    owner_init(&owner);
    struct tn_model *old = load(metrics, &fault);
    run_one(old, &owner, 1, NULL);
    struct tn_model *fresh = load(metrics, &fault);
    run_one(fresh, &owner, 1, NULL);
    run_one(old, &owner, 1, NULL);
    assert_true(value_of(metrics, "nv_inference_count", "") == 3);
    tn_model_unref(old);
    run_one(fresh, &owner, 1, NULL);
    assert_true(value_of(metrics, "nv_inference_count", "") == 4);
    tn_model_unref(fresh);
    owner_deinit(&owner);
    tn_metrics_destroy(metrics);
}

static void names_that_are_taken_fail_the_load(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    struct tn_metric_family *family;
    struct tn_fault fault = {0};
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    struct tn_metric_options options = {.name = "nv_inference_count", .help = ""};
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    assert_null(load(metrics, &fault));
    assert_non_null(strstr(fault.text, "metrics"));
    tn_metrics_destroy(metrics);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_say_what_the_statistics_say),
        cmocka_unit_test(a_traced_request_is_an_example),
        cmocka_unit_test(a_reload_counts_on_while_both_are_there),
        cmocka_unit_test(names_that_are_taken_fail_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run_all);
}
