/* Log lines: both formats, escaping against a strict reader, the cut, the storm limit, and threads
 * whose lines never mix. */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "core/assert.h"
#include "core/utf8.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char output[4 << 20];
static int output_fd = -1;

static void begin(enum tn_log_format format)
{
    char name[] = "/tmp/tn-log-XXXXXX";
    output_fd = mkstemp(name);
    assert_true(output_fd >= 0);
    unlink(name);
    assert_int_equal(fcntl(output_fd, F_SETFL, O_APPEND), 0);
    tn_log_setup(TN_LOG_DEBUG, format, output_fd);
}

static const char *finish(void)
{
    lseek(output_fd, 0, SEEK_SET);
    size_t size = 0;
    ssize_t got = 0;
    while ((got = read(output_fd, output + size, sizeof(output) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    output[size] = '\0';
    close(output_fd);
    tn_log_setup(TN_LOG_INFO, TN_LOG_LOGFMT, 2);
    return output;
}

/* The part after the time stamp, whose form is checked here. */
static const char *after_time(const char *line, const char *prefix, const char *end)
{
    assert_memory_equal(line, prefix, strlen(prefix));
    const char *form = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < strlen(form); i++) {
        char c = line[strlen(prefix) + i];
        assert_true(form[i] == 'd' ? c >= '0' && c <= '9' : c == form[i]);
    }
    const char *rest = line + strlen(prefix) + strlen(form);
    assert_memory_equal(rest, end, strlen(end));
    return rest + strlen(end);
}

static void logfmt_quotes_only_what_needs_it(void **unused)
{
    (void)unused;
    begin(TN_LOG_LOGFMT);
    tn_log_info("model loaded", TN_LOG_STR("model", "silero"), TN_LOG_U64("version", 3),
                TN_LOG_I64("delta", -5), TN_LOG_F64("p", 0.1), TN_LOG_F64("nan", NAN));
    tn_log_warn("ready", TN_LOG_STR("empty", ""), TN_LOG_STR("null", NULL), TN_LOG_STR("a", "x y"),
                TN_LOG_STR("b", "say \"hi\"\n\t\\"), TN_LOG_STR("c", "k=v"),
                TN_LOG_STR("e", "\x1b[31m\x7f\xc2\x9b"), TN_LOG_STR("u", "\xc3\xa9"),
                TN_LOG_STR("bad", "\xff\xc3"));
    tn_log_error("bare");
    const char *text = finish();
    text = after_time(text, "time=", " level=info msg=\"model loaded\" ");
    const char *first = "model=silero version=3 delta=-5 p=0.1 nan=NaN\n";
    assert_memory_equal(text, first, strlen(first));
    text = after_time(text + strlen(first), "time=", " level=warn msg=ready ");
    const char *second = "empty=\"\" null=\"\" a=\"x y\" b=\"say \\\"hi\\\"\\n\\t\\\\\" c=\"k=v\" "
                         "e=\"\\x1b[31m\\x7f\\xc2\\x9b\" u=\"\xc3\xa9\" bad=\"\\xff\\xc3\"\n";
    assert_memory_equal(text, second, strlen(second));
    text = after_time(text + strlen(second), "time=", " level=error msg=bare\n");
    assert_string_equal(text, "");
}

static void json_is_valid_whatever_the_bytes(void **unused)
{
    (void)unused;
    begin(TN_LOG_JSON);
    tn_log_debug("m\"", TN_LOG_STR("k", "a\"b\\c\n\x01\x7f\xc2\x85\xc3\xa9\xff"),
                 TN_LOG_F64("i", INFINITY), TN_LOG_F64("x", 1e300), TN_LOG_I64("n", INT64_MIN),
                 TN_LOG_U64("m", UINT64_MAX));
    const char *text = finish();
    text = after_time(text, "{\"time\":\"", "\",\"level\":\"debug\",");
    assert_string_equal(text, "\"msg\":\"m\\\"\",\"k\":\"a\\\"b\\\\c\\n\\u0001\\u007f\\u0085"
                              "\xc3\xa9\\ufffd\",\"i\":\"+Inf\",\"x\":1e+300,"
                              "\"n\":-9223372036854775808,\"m\":18446744073709551615}\n");
}

/* Quotes are paired and braces closed: the least a JSON reader asks of a cut line. */
static void check_json_line(const char *line, size_t size)
{
    assert_true(line[0] == '{' && line[size - 1] == '}');
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        if (inside && line[i] == '\\') {
            i++;
        } else if (line[i] == '"') {
            inside = !inside;
        }
    }
    assert_false(inside);
    assert_true(tn_utf8_valid(tn_str_make(line, size)));
}

static void long_lines_are_cut_and_say_so(void **unused)
{
    (void)unused;
    static char value[6000];
    for (int json = 0; json < 2; json++) {
        const char *mark = json ? ",\"truncated\":true}\n" : " truncated=true\n";
        for (size_t size = 3700; size < 4300; size += 7) {
            for (size_t i = 0; i < size; i += 2) {
                memcpy(value + i, i % 6 == 0 ? "\"\x01" : "\xc3\xa9", 2);
            }
            begin(json ? TN_LOG_JSON : TN_LOG_LOGFMT);
            struct tn_log_site site = {0};
            const struct tn_log_field fields[] = {
                TN_LOG_STR("a", "first"), TN_LOG_VIEW("k", tn_str_make(value, size / 2 * 2 - 1800)),
                TN_LOG_VIEW("l", tn_str_make(value, 100)), TN_LOG_U64("z", 1)};
            tn_log_write(&site, TN_LOG_INFO, "m", fields, TN_COUNT(fields));
            const char *text = finish();
            size_t got = strlen(text);
            assert_true(got <= 4096);
            assert_int_equal(text[got - 1], '\n');
            assert_ptr_equal(strchr(text, '\n'), text + got - 1);
            bool cut = strstr(text, mark) != NULL;
            bool whole = strstr(text, json ? "\"z\":1}" : " z=1\n") != NULL;
            assert_int_equal(cut, !whole);
            if (json) {
                check_json_line(text, got - 1);
            }
        }
    }
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static void storm(const char *where)
{
    tn_log_info("storm", TN_LOG_STR("where", where));
}

static void a_storm_is_limited_per_site_and_counted(void **unused)
{
    (void)unused;
    begin(TN_LOG_LOGFMT);
    uint64_t before = tn_log_dropped();
    for (size_t i = 0; i < 1000; i++) {
        storm("one");
    }
    tn_log_info("another site");
    uint64_t dropped = tn_log_dropped() - before;
    usleep(1100000);
    storm("later");
    const char *text = finish();
    size_t lines = count_lines(text);
    assert_true(lines >= 102 && lines <= 302); /* the loop may cross a second */
    assert_int_equal(lines - 2 + dropped, 1000);
    assert_non_null(strstr(text, "another site"));
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "dropped=%u where=later", (unsigned)dropped);
    if (lines == 102) {
        assert_non_null(strstr(text, wanted));
    }
}

static void shout(void *context)
{
    char value[1200];
    memset(value, *(const char *)context, sizeof(value));
    struct tn_log_site sites[8] = {0};
    for (size_t i = 0; i < 400; i++) {
        const struct tn_log_field field = TN_LOG_VIEW("v", tn_str_make(value, 100 + i * 2));
        tn_log_write(&sites[i % 8], TN_LOG_INFO, "shout", &field, 1);
    }
}

static void lines_of_threads_never_mix(void **unused)
{
    (void)unused;
    begin(TN_LOG_LOGFMT);
    struct tn_thread threads[6] = {0};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(tn_thread_start(&threads[i], NULL, shout, (void *)&"abcdef"[i], NULL),
                         TN_OK);
    }
    for (size_t i = 0; i < 6; i++) {
        tn_thread_join(&threads[i]);
    }
    const char *text = finish();
    assert_int_equal(count_lines(text), 6 * 400);
    while (*text != '\0') {
        const char *value = after_time(text, "time=", " level=info msg=shout v=");
        size_t same = strspn(value, (char[]){value[0], '\0'});
        assert_true(same >= 100 && value[same] == '\n');
        text = value + same + 1;
    }
}

/* Every line of a batch goes out, in order, in few writes of whole lines. */
static void a_batch_loses_nothing(void **unused)
{
    (void)unused;
    int ends[2];
    assert_int_equal(pipe2(ends, O_DIRECT), 0); /* each read gives one write */
    tn_log_setup(TN_LOG_INFO, TN_LOG_LOGFMT, ends[1]);
    struct tn_log_batch batch = {0};
    size_t seen = 0;
    size_t writes = 0;
    for (size_t i = 0; i < 2000; i++) {
        const struct tn_log_field field = TN_LOG_U64("n", i);
        tn_log_batch_add(&batch, TN_LOG_INFO, "call", &field, 1);
        tn_log_batch_add(&batch, TN_LOG_DEBUG, "unseen", &field, 1);
        if (i % 500 != 499) {
            continue;
        }
        tn_log_batch_flush(&batch);
        tn_log_batch_flush(&batch);
        while (seen <= i) {
            char text[4097];
            ssize_t size = read(ends[0], text, sizeof(text) - 1);
            assert_true(size > 0 && size <= 4096 && text[size - 1] == '\n');
            text[size] = '\0';
            writes++;
            for (const char *line = text; *line != '\0';) {
                char wanted[40];
                snprintf(wanted, sizeof(wanted), " level=info msg=call n=%zu\n", seen++);
                line = after_time(line, "time=", wanted);
            }
        }
    }
    assert_int_equal(seen, 2000);
    assert_true(writes < 2000 / 20);
    tn_log_setup(TN_LOG_INFO, TN_LOG_LOGFMT, 2);
    close(ends[0]);
    close(ends[1]);
}

static void levels_filter_and_parse(void **unused)
{
    (void)unused;
    begin(TN_LOG_LOGFMT);
    tn_log_level_set(TN_LOG_WARN);
    assert_int_equal(tn_log_level_get(), TN_LOG_WARN);
    tn_log_info("unseen");
    tn_log_warn("seen");
    const char *text = finish();
    assert_int_equal(count_lines(text), 1);
    enum tn_log_level level = TN_LOG_INFO;
    assert_int_equal(tn_log_level_parse(TN_STR_OF("error"), &level), TN_OK);
    assert_int_equal(level, TN_LOG_ERROR);
    assert_int_equal(tn_log_level_parse(TN_STR_OF("loud"), &level), TN_INVALID);
    assert_int_equal(level, TN_LOG_ERROR);
}

static void a_closed_reader_is_counted_not_fatal(void **unused)
{
    (void)unused;
    uint64_t before = tn_log_dropped();
    tn_log_setup(TN_LOG_INFO, TN_LOG_LOGFMT, 9999);
    tn_log_info("nobody");
    tn_log_setup(TN_LOG_INFO, TN_LOG_LOGFMT, 2);
    assert_int_equal(tn_log_dropped(), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(json_is_valid_whatever_the_bytes),
        cmocka_unit_test(long_lines_are_cut_and_say_so),
        cmocka_unit_test(a_storm_is_limited_per_site_and_counted),
        cmocka_unit_test(lines_of_threads_never_mix),
        cmocka_unit_test(a_batch_loses_nothing),
        cmocka_unit_test(levels_filter_and_parse),
        cmocka_unit_test(a_closed_reader_is_counted_not_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
