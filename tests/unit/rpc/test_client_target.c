/* Targets of clients, as a table. */
#include "rpc/client_target.h"

#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *text;
    const char *authority; /* NULL: refused */
    const char *host;
    unsigned port;
    bool is_literal;
    bool is_unix;
} rows[] = {
    {"localhost:8001", "localhost:8001", "localhost", 8001, false, false},
    {"a.b-c.example:65535", "a.b-c.example:65535", "a.b-c.example", 65535, false, false},
    {"127.0.0.1:1", "127.0.0.1:1", "127.0.0.1", 1, true, false},
    {"[::1]:8001", "[::1]:8001", "::1", 8001, true, false},
    {"unix:/run/tenon.sock", "localhost", "/run/tenon.sock", 0, false, true},
    {"", NULL, NULL, 0, false, false},
    {"localhost", NULL, NULL, 0, false, false},
    {":80", NULL, NULL, 0, false, false},
    {"a:", NULL, NULL, 0, false, false},
    {"a:0", NULL, NULL, 0, false, false},
    {"a:65536", NULL, NULL, 0, false, false},
    {"a:4294967297", NULL, NULL, 0, false, false},
    {"a:8x", NULL, NULL, 0, false, false},
    {"a:-1", NULL, NULL, 0, false, false},
    {"::1:80", NULL, NULL, 0, false, false},
    {"[::1]", NULL, NULL, 0, false, false},
    {"[::1]80", NULL, NULL, 0, false, false},
    {"[::1", NULL, NULL, 0, false, false},
    {"[::g]:80", NULL, NULL, 0, false, false},
    {"[localhost]:80", NULL, NULL, 0, false, false},
    {"http://a:80", NULL, NULL, 0, false, false},
    {"a/b:80", NULL, NULL, 0, false, false},
    {"u@a:80", NULL, NULL, 0, false, false},
    {"a b:80", NULL, NULL, 0, false, false},
    {"a\r\nx:80", NULL, NULL, 0, false, false},
    {"unix:", NULL, NULL, 0, false, false},
    {"unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "5678901234567890123456789",
     NULL, NULL, 0, false, false},
};

static void targets_are_taken_apart(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_client_target target = {0};
        struct tn_fault fault = {0};
        print_message("'%s'\n", rows[i].text);
        enum tn_err err = tn_client_target_parse(rows[i].text, &target, &fault);
        if (rows[i].authority == NULL) {
            assert_int_equal(err, TN_INVALID);
            assert_non_null(strstr(fault.text, "host:port"));
            continue;
        }
        assert_int_equal(err, TN_OK);
        assert_string_equal(target.authority, rows[i].authority);
        assert_string_equal(target.host, rows[i].host);
        assert_int_equal(target.port, rows[i].port);
        assert_int_equal(target.is_literal, rows[i].is_literal);
        assert_int_equal(target.is_unix, rows[i].is_unix);
    }
}

static void long_hosts_are_refused(void **unused)
{
    (void)unused;
    char text[TN_TARGET_HOST_MAX + 10];
    for (size_t size = TN_TARGET_HOST_MAX; size <= TN_TARGET_HOST_MAX + 1; size++) {
        memset(text, 'a', size);
        memcpy(text + size, ":99", 4);
        struct tn_client_target target;
        assert_int_equal(tn_client_target_parse(text, &target, NULL),
                         size > TN_TARGET_HOST_MAX ? TN_INVALID : TN_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_taken_apart),
        cmocka_unit_test(long_hosts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
