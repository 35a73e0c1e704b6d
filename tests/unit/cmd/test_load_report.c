/* What a load test says of itself: counts that add up, failures that show, JSON that parses. */
#include "cmd/load_report.h"
#include "core/assert.h"
#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_load_report report;

static char *printed(bool (*print)(const struct tn_load_report *, FILE *), bool wanted)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(print(&report, out), wanted);
    fclose(out);
    return text;
}

static void add(uint64_t latency_ms, enum tn_grpc_status status, bool wrong)
{
    tn_load_report_add(&report, &(struct tn_load_sample){.latency_ns = latency_ms * 1000000,
                                                         .bytes = 100,
                                                         .status = status,
                                                         .wrong = wrong,
                                                         .text = TN_STR("the queue is full")});
}

static void a_good_run(void **unused)
{
    (void)unused;
    assert_int_equal(tn_load_report_init(&report, true), TN_OK);
    for (uint64_t i = 1; i <= 100; i++) {
        add(i, TN_GRPC_OK, false);
    }
    report.measured_ns = 2000000000;
    char *text = printed(tn_load_report_table, false);
    assert_non_null(strstr(text, "100 in 2.0 s, 50 a second"));
    assert_non_null(strstr(text, "max 100.000 ms"));
    assert_non_null(strstr(text, "open loop"));
    assert_null(strstr(text, "failed"));
    free(text);
    tn_load_report_deinit(&report);
}

static void failures_show(void **unused)
{
    (void)unused;
    assert_int_equal(tn_load_report_init(&report, false), TN_OK);
    add(1, TN_GRPC_OK, false);
    add(1, TN_GRPC_RESOURCE_EXHAUSTED, false);
    add(1, TN_GRPC_OK, true);
    report.given_up = 4;
    report.measured_ns = 1000000000;
    char *text = printed(tn_load_report_table, true);
    assert_non_null(strstr(text, "failed      1 with gRPC status 8: the queue is full"));
    assert_non_null(strstr(text, "wrong       1 answers"));
    assert_non_null(strstr(text, "given up    4 requests"));
    free(text);
    tn_load_report_deinit(&report);
}

static void nothing_at_all_is_a_failure(void **unused)
{
    (void)unused;
    assert_int_equal(tn_load_report_init(&report, false), TN_OK);
    free(printed(tn_load_report_table, true));
    tn_load_report_deinit(&report);
}

static void json_parses(void **unused)
{
    (void)unused;
    assert_int_equal(tn_load_report_init(&report, true), TN_OK);
    add(3, TN_GRPC_OK, false);
    report.measured_ns = 1000000000;
    char *text = printed(tn_load_report_json, false);
    struct tn_json reader;
    tn_json_init(&reader, tn_str_from(text));
    enum tn_err err = TN_OK;
    size_t keys = 0;
    while ((err = tn_json_next(&reader)) == TN_OK) {
        keys += reader.event == TN_JSON_KEY;
    }
    assert_int_equal(err, TN_DONE);
    assert_int_equal(keys, 14);
    free(text);
    tn_load_report_deinit(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_run),
        cmocka_unit_test(failures_show),
        cmocka_unit_test(nothing_at_all_is_a_failure),
        cmocka_unit_test(json_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
