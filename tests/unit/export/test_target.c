/* URLs of destinations, and what the end of a request means, by table. */
#include "base/clock.h"
#include "core/assert.h"
#include "export/target.h"
#include "export/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void good_urls_are_read(void **unused)
{
    (void)unused;
    static const struct {
        const char *url;
        bool grpc, tls;
        const char *address, *path;
    } rows[] = {
        {"http://a", false, false, "a:80", "/"},
        {"http://a:9090/api/v1/write?x=1", false, false, "a:9090", "/api/v1/write?x=1"},
        {"https://prom.example.org/push", false, true, "prom.example.org:443", "/push"},
        {"https://[::1]:8443", false, true, "[::1]:8443", "/"},
        {"http://[fe80::1]/x", false, false, "[fe80::1]:80", "/x"},
        {"http://a?q", false, false, "a:80", "/?q"},
        {"grpc://collector", true, false, "collector:4317", "/"},
        {"grpc://collector:4/", true, false, "collector:4", "/"},
        {"grpcs://collector:65535", true, true, "collector:65535", "/"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_target target;
        assert_int_equal(tn_target_parse(tn_str_from(rows[i].url), &target, NULL), TN_OK);
        assert_int_equal(target.grpc, rows[i].grpc);
        assert_int_equal(target.tls, rows[i].tls);
        assert_string_equal(target.address, rows[i].address);
        assert_string_equal(target.path, rows[i].path);
    }
}

static void wrong_urls_say_what_is_wrong(void **unused)
{
    (void)unused;
    static const struct {
        const char *url, *said;
    } rows[] = {
        {"", "is no http://"},
        {"ftp://a", "is no http://"},
        {"http:/a", "is no http://"},
        {"HTTP://a", "is no http://"},
        {"http://a b", "is no http://"},
        {"http://a\xc3\xbc", "is no http://"},
        {"http://", "no host"},
        {"http:///x", "no host"},
        {"http://:80", "no host"},
        {"http://[", "no host"},
        {"http://[]", "no host"},
        {"http://[::1]x", "is no port"},
        {"http://a:", "is no port"},
        {"http://a:0", "is no port"},
        {"http://a:65536", "is no port"},
        {"http://a:000080", "is no port"},
        {"http://a:8x", "is no port"},
        {"http://::1", "no host"},
        {"http://user:secret@a", "use a header"},
        {"http://a/#top", "fragment"},
        {"grpc://a/path", "has no path"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_target target = {.path = "untouched"};
        struct tn_fault fault = {0};
        assert_int_equal(tn_target_parse(tn_str_from(rows[i].url), &target, &fault), TN_INVALID);
        assert_non_null(strstr(fault.text, rows[i].said));
        assert_null(strstr(fault.text, "secret"));
        assert_string_equal(target.path, "untouched");
    }
    char text[1200];
    for (size_t size = 0; size < 1100; size++) {
        struct tn_target target;
        int length = snprintf(text, sizeof(text), "http://%0*d/", (int)size, 0);
        enum tn_err err = tn_target_parse(tn_str_make(text, (size_t)length), &target, NULL);
        assert_true(err == (size <= TN_TARGET_HOST_MAX - 7 ? TN_OK : TN_LIMIT));
        length = snprintf(text, sizeof(text), "http://a/%0*d", (int)size, 0);
        err = tn_target_parse(tn_str_make(text, (size_t)length), &target, NULL);
        assert_true(err == (size + 1 <= TN_TARGET_PATH_MAX - 2 ? TN_OK : TN_LIMIT));
    }
}

static void http_ends_follow_each_standard(void **unused)
{
    (void)unused;
    for (unsigned status = 100; status < 600; status++) {
        struct tn_client_end end = {.err = TN_OK, .http_status = status};
        bool good = status / 100 == 2;
        bool again = status == 429 || status / 100 == 5;
        enum tn_verdict remote = tn_verdict_of(TN_VERDICT_REMOTE_WRITE, TN_CALL_HTTP, &end);
        assert_int_equal(remote, good    ? TN_VERDICT_DELIVERED
                                 : again ? TN_VERDICT_RETRY
                                         : TN_VERDICT_REJECTED);
        again = status == 429 || (status >= 502 && status <= 504);
        enum tn_verdict otlp = tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_HTTP, &end);
        assert_int_equal(otlp, good    ? TN_VERDICT_DELIVERED
                               : again ? TN_VERDICT_RETRY
                                       : TN_VERDICT_REJECTED);
    }
    static const enum tn_err silent[] = {TN_UNAVAILABLE, TN_TIMEOUT, TN_CLOSED, TN_IO};
    for (size_t i = 0; i < TN_COUNT(silent); i++) {
        struct tn_client_end end = {.err = silent[i]};
        assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_HTTP, &end), TN_VERDICT_RETRY);
        end.http_status = 200; /* the answer broke off */
        assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_HTTP, &end), TN_VERDICT_RETRY);
        end.http_status = 400;
        assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_HTTP, &end), TN_VERDICT_REJECTED);
    }
}

static void grpc_ends_follow_otlp(void **unused)
{
    (void)unused;
    static const bool again[17] = {
        [TN_GRPC_CANCELLED] = true,   [TN_GRPC_DEADLINE_EXCEEDED] = true,
        [TN_GRPC_ABORTED] = true,     [TN_GRPC_OUT_OF_RANGE] = true,
        [TN_GRPC_UNAVAILABLE] = true, [TN_GRPC_DATA_LOSS] = true,
    };
    for (unsigned status = 1; status < TN_COUNT(again); status++) {
        struct tn_client_end end = {
            .err = TN_INTERNAL, .grpc_status = (enum tn_grpc_status)status, .http_status = 200};
        assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_GRPC, &end),
                         again[status] ? TN_VERDICT_RETRY : TN_VERDICT_REJECTED);
    }
    struct tn_client_end end = {.err = TN_OK, .http_status = 200};
    assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_GRPC, &end), TN_VERDICT_DELIVERED);
    end = (struct tn_client_end){.err = TN_UNAVAILABLE, .grpc_status = TN_GRPC_UNKNOWN};
    assert_int_equal(tn_verdict_of(TN_VERDICT_OTLP, TN_CALL_GRPC, &end), TN_VERDICT_RETRY);
}

static void retry_after_is_bounded(void **unused)
{
    (void)unused;
    static const struct {
        const char *header;
        uint64_t seconds;
    } rows[] = {
        {"", 0},      {"0", 0},     {"7", 7},
        {"300", 300}, {"301", 300}, {"99999999999999999999999999", 300},
        {"-1", 0},    {"1.5", 0},   {"Wed, 21 Oct 2026 07:28:00 GMT", 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        assert_int_equal(tn_verdict_retry_after_ns(tn_str_from(rows[i].header)),
                         rows[i].seconds * TN_NS_PER_S);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_read),
        cmocka_unit_test(wrong_urls_say_what_is_wrong),
        cmocka_unit_test(http_ends_follow_each_standard),
        cmocka_unit_test(grpc_ends_follow_otlp),
        cmocka_unit_test(retry_after_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
