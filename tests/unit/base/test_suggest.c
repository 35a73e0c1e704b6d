/* The nearest name, against a plain recursive oracle of the same edits. */
#include "base/suggest.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t oracle(const char *a, size_t n, const char *b, size_t m)
{
    if (n == 0 || m == 0) {
        return n + m;
    }
    size_t best = oracle(a, n - 1, b, m - 1) + (a[n - 1] == b[m - 1] ? 0 : 1);
    best = least(best, oracle(a, n - 1, b, m) + 1);
    best = least(best, oracle(a, n, b, m - 1) + 1);
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1]) {
        best = least(best, oracle(a, n - 2, b, m - 2) + 1);
    }
    return best;
}

static void distance_is_the_oracles(void **unused)
{
    (void)unused;
    uint32_t state = 12345;
    for (size_t i = 0; i < 3000; i++) {
        char words[2][8];
        size_t sizes[2];
        for (size_t w = 0; w < 2; w++) {
            sizes[w] = (state >> 8) % 6;
            for (size_t k = 0; k < 8; k++) {
                state = state * 1664525 + 1013904223;
                words[w][k] = (char)('a' + (state >> 24) % 3);
            }
        }
        assert_int_equal(
            tn_suggest_distance(tn_str_make(words[0], sizes[0]), tn_str_make(words[1], sizes[1])),
            oracle(words[0], sizes[0], words[1], sizes[1]));
    }
}

static const char *nearest(const char *word)
{
    static const char *const names[] = {"http_port", "grpc_port",  "models",
                                        "tls_cert",  "drain_time", "id"};
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, tn_str_from(word));
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        tn_suggest_offer(&suggest, names[i]);
    }
    return suggest.best;
}

static void near_words_are_found_and_far_ones_are_not(void **unused)
{
    (void)unused;
    assert_string_equal(nearest("htp_port"), "http_port");
    assert_string_equal(nearest("http-port"), "http_port");
    assert_string_equal(nearest("grcp_port"), "grpc_port");
    assert_string_equal(nearest("model"), "models");
    assert_string_equal(nearest("drain"), "drain_time");
    assert_string_equal(nearest("ip"), "id");
    assert_null(nearest("xyz"));
    assert_null(nearest(""));
    char longer[100];
    memset(longer, 'a', 99);
    longer[99] = '\0';
    assert_null(nearest(longer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_is_the_oracles),
        cmocka_unit_test(near_words_are_found_and_far_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
