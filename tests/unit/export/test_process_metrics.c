/* What a program tells of itself, against what the test does to itself. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "export/process_metrics.h"
#include "telemetry/prometheus.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static double read_value(struct tn_metrics *metrics, const char *name)
{
    struct tn_buf buf;
    char line[64];
    tn_buf_init(&buf, 0);
    tn_metrics_collect(metrics, 1);
    assert_int_equal(tn_prometheus_encode(metrics, TN_PROMETHEUS_TEXT, &buf), TN_OK);
    tn_buf_put_byte(&buf, '\0');
    snprintf(line, sizeof(line), "\n%s", name);
    const char *at = strstr((const char *)buf.data, line);
    assert_non_null(at);
    const char *end = strchr(at + 1, '\n');
    double value = strtod((const char *)memrchr(at, ' ', (size_t)(end - at)) + 1, NULL);
    tn_buf_deinit(&buf);
    return value;
}

static void the_values_follow_what_happens(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics;
    struct tn_process_metrics *process;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    assert_int_equal(tn_process_metrics_create(metrics, "1.2.3", &process), TN_OK);

    double fds = read_value(metrics, "process_open_fds");
    int opened[7];
    for (size_t i = 0; i < TN_COUNT(opened); i++) {
        opened[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(opened[i] >= 0);
    }
    assert_true(read_value(metrics, "process_open_fds") == fds + TN_COUNT(opened));
    for (size_t i = 0; i < TN_COUNT(opened); i++) {
        close(opened[i]);
    }
    assert_true(read_value(metrics, "process_open_fds") == fds);
    assert_true(read_value(metrics, "process_max_fds") > fds);

    double before = read_value(metrics, "process_resident_memory_bytes");
    size_t size = 64 << 20;
    char *memory = tn_mem_take(size);
    memset(memory, 1, size);
    double grown = read_value(metrics, "process_resident_memory_bytes") - before;
    /* A sanitizer's shadow grows with it; a wrong unit would be off by a thousand. */
    assert_true(grown > 0.8 * (double)size && grown < 8 * (double)size);
    assert_true(read_value(metrics, "process_virtual_memory_bytes") > before);
    tn_mem_give(memory);

    double cpu = read_value(metrics, "process_cpu_seconds_total");
    uint64_t start = tn_clock_process_ns();
    while (tn_clock_process_ns() - start < 30 * TN_NS_PER_MS) {
    }
    double spent = read_value(metrics, "process_cpu_seconds_total") - cpu;
    assert_true(spent >= 0.03 && spent < 1);

    double age = (double)time(NULL) - read_value(metrics, "process_start_time_seconds");
    assert_true(age > -2 && age < 60);
    assert_true(read_value(metrics, "tenon_build_info{version=\"1.2.3\"") == 1);
    tn_process_metrics_destroy(process);
    tn_metrics_collect(metrics, 2); /* nothing of it runs any more */
    tn_metrics_destroy(metrics);
}

static void any_allocation_may_fail(void **unused)
{
    (void)unused;
    size_t n = 1;
    for (bool delivered = true; delivered; n++) {
        size_t live = tn_mem_live();
        struct tn_metrics *metrics;
        struct tn_process_metrics *process = NULL;
        assert_int_equal(tn_metrics_create(&metrics), TN_OK);
        tn_mem_fail_from(n, n % 2 == 0);
        enum tn_err err = tn_process_metrics_create(metrics, "1", &process);
        delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        assert_true((process == NULL) == delivered);
        tn_metrics_collect(metrics, 1);
        tn_process_metrics_destroy(process);
        tn_metrics_destroy(metrics);
        assert_int_equal(tn_mem_live(), live);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_follow_what_happens),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
