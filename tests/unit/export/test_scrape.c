/* Accept headers by table; a scrape's bytes in both formats, plain and unpacked; failing memory. */
#include "base/mem.h"
#include "core/assert.h"
#include "export/accept.h"
#include "export/scrape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

static void the_format_is_what_the_client_likes(void **unused)
{
    (void)unused;
    static const struct {
        const char *accept;
        enum tn_prometheus_format format;
    } rows[] = {
        {"", TN_PROMETHEUS_TEXT},
        {"*/*", TN_PROMETHEUS_TEXT},
        {"text/plain", TN_PROMETHEUS_TEXT},
        {"application/json", TN_PROMETHEUS_TEXT},
        {"application/openmetrics-text", TN_PROMETHEUS_OPENMETRICS},
        {"Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", TN_PROMETHEUS_OPENMETRICS},
        {"application/openmetrics-text;version=0.0.1", TN_PROMETHEUS_TEXT},
        {"application/openmetrics-text;q=0", TN_PROMETHEUS_TEXT},
        {"application/openmetrics-text;q=0.4,text/plain;q=0.5", TN_PROMETHEUS_TEXT},
        {"text/plain;q=0.5 , application/openmetrics-text;version=1.0.0;q=0.5",
         TN_PROMETHEUS_OPENMETRICS},
        /* Prometheus 2.42 and 3.0. */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         TN_PROMETHEUS_OPENMETRICS},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
         "delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
         "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping="
         "allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         TN_PROMETHEUS_OPENMETRICS},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        assert_int_equal(tn_scrape_format(tn_str_from(rows[i].accept)), rows[i].format);
    }
}

static void qualities_are_read_as_the_standard_says(void **unused)
{
    (void)unused;
    static const struct {
        const char *header;
        unsigned quality;
    } rows[] = {
        {"gzip", 1000},
        {"GZip", 1000},
        {"deflate, gzip;q=0.5", 500},
        {"gzip;q=1.0", 1000},
        {"gzip;q=0.123", 123},
        {"gzip;q=0", 0},
        {"gzip;q=0.", 0},
        {"gzip;q=1.5", 1000},
        {"gzip;q=2", 0},
        {"gzip;q=x", 0},
        {"gzip;q=-1", 0},
        {"gzip;q=0.1234", 0},
        {"gzip ; q = 0.5", 500},
        {"*", 1000},
        {"*;q=0.2, gzip;q=0", 0},
        {"br, *;q=0.3", 300},
        {"br", 0},
        {"", 0},
        {",,; ;=,", 0},
        {"xgzip", 0},
        {"gzi", 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        /* An exact heap copy: reading beyond it is seen by the address sanitizer. */
        struct tn_str header = tn_str_from(rows[i].header);
        char *exact = tn_mem_take(header.size);
        memcpy(exact, header.data, header.size);
        assert_int_equal(tn_accept_quality(tn_str_make(exact, header.size), "gzip"),
                         rows[i].quality);
        tn_mem_give(exact);
    }
}

static struct tn_metrics *example(unsigned family_count)
{
    static char names[300][24];
    struct tn_metrics *metrics;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    for (unsigned i = 0; i < family_count; i++) {
        struct tn_metric_family *family;
        struct tn_metric *metric;
        snprintf(names[i], sizeof(names[i]), "h%u_seconds", i);
        struct tn_metric_options options = {.kind = TN_METRIC_HISTOGRAM,
                                            .name = names[i],
                                            .help = "H.",
                                            .bounds = tn_metric_seconds_bounds,
                                            .bound_count = tn_metric_seconds_bound_count};
        assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
        assert_int_equal(tn_metric_series(family, NULL, &metric), TN_OK);
        tn_metric_observe(metric, i * 0.01);
    }
    return metrics;
}

static enum tn_err run(struct tn_scrape *scrape, const struct tn_scrape_options *options,
                       size_t *ret_steps)
{
    enum tn_err err = tn_scrape_begin(scrape, options);
    *ret_steps = 0;
    while (err == TN_OK || err == TN_AGAIN) {
        err = tn_scrape_step(scrape);
        ++*ret_steps;
    }
    return err;
}

static void a_packed_scrape_unpacks_to_the_plain_one(void **unused)
{
    (void)unused;
    static const unsigned counts[] = {0, 1, 30, 300};
    static const char *const accepts[] = {"text/plain", "application/openmetrics-text"};
    for (size_t i = 0; i < 2 * TN_COUNT(counts); i++) {
        struct tn_metrics *metrics = example(counts[i / 2]);
        struct tn_scrape_options options = {.metrics = metrics,
                                            .accept = tn_str_from(accepts[i % 2])};
        struct tn_scrape text, packed;
        size_t steps, packed_steps;
        assert_int_equal(run(&text, &options, &steps), TN_DONE);
        options.accept_encoding = tn_str_from("gzip, deflate");
        assert_int_equal(run(&packed, &options, &packed_steps), TN_DONE);
        assert_true(!tn_scrape_is_gzip(&text) && tn_scrape_is_gzip(&packed));
        assert_int_equal(steps, packed_steps);
        assert_in_range(steps, text.out.size / 40000, text.out.size / 32768 + 1);

        struct tn_buf again;
        tn_buf_init(&again, 0);
        uint8_t *room = tn_buf_reserve(&again, text.out.size + 1);
        z_stream stream = {.next_in = packed.out.data,
                           .avail_in = (uInt)packed.out.size,
                           .next_out = room,
                           .avail_out = (uInt)(text.out.size + 1)};
        assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        assert_int_equal(stream.avail_in, 0);
        assert_int_equal(stream.total_out, text.out.size);
        assert_memory_equal(room, text.out.data, text.out.size);
        inflateEnd(&stream);
        if (counts[i / 2] > 1) {
            assert_true(packed.out.size * 6 < text.out.size);
        }
        tn_buf_deinit(&again);
        tn_scrape_deinit(&text);
        tn_scrape_deinit(&packed);
        tn_metrics_destroy(metrics);
    }
}

static void a_bound_stops_it(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example(30);
    for (unsigned gzip = 0; gzip < 2; gzip++) {
        struct tn_scrape_options options = {
            .metrics = metrics,
            .accept_encoding = tn_str_from(gzip != 0 ? "gzip" : ""),
            .answer_bytes_max = 1000,
        };
        struct tn_scrape scrape;
        size_t steps;
        assert_int_equal(run(&scrape, &options, &steps), TN_LIMIT);
        tn_scrape_deinit(&scrape);
    }
    tn_metrics_destroy(metrics);
}

static void any_allocation_may_fail(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = example(60);
    struct tn_scrape_options options = {.metrics = metrics, .accept_encoding = tn_str_from("gzip")};
    size_t n = 1;
    for (bool delivered = true; delivered; n++) {
        size_t live = tn_mem_live(), steps;
        struct tn_scrape scrape = {0};
        tn_mem_fail_from(n, n % 2 == 0);
        enum tn_err err = run(&scrape, &options, &steps);
        delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_DONE);
        tn_scrape_deinit(&scrape);
        assert_int_equal(tn_mem_live(), live);
    }
    assert_true(n > 6);
    tn_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_format_is_what_the_client_likes),
        cmocka_unit_test(qualities_are_read_as_the_standard_says),
        cmocka_unit_test(a_packed_scrape_unpacks_to_the_plain_one),
        cmocka_unit_test(a_bound_stops_it),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
