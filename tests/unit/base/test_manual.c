/* Help, manual page, reference and completion: that every option is in each of them, that lines
 * fit, and that the shells accept the scripts. */
#include "base/flags.h"
#include "base/manual.h"
#include "core/assert.h"
#include "options_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct tn_args_command *const commands[] = {&sample_command};

static const char *text_of(struct tn_buf *buf)
{
    tn_buf_put_byte(buf, 0);
    assert_int_equal(tn_buf_failed(buf), TN_OK);
    return (const char *)buf->data;
}

static void help_shows_every_flag_and_fits(void **unused)
{
    (void)unused;
    for (unsigned width = 60; width <= 120; width += 20) {
        struct tn_buf out = {0};
        tn_manual_help("tenon", &sample_command, width, &out);
        const char *text = text_of(&out);
        assert_non_null(strstr(text, "usage: tenon serve [options] [FILE.onnx...]\n"));
        assert_non_null(strstr(text, "-p, --http-port=PORT"));
        assert_non_null(strstr(text, "(default 8000)"));
        assert_non_null(strstr(text, "--[no-]batching"));
        assert_non_null(strstr(text, "--tls-cert=FILE"));
        assert_non_null(strstr(text, "(required)"));
        assert_non_null(strstr(text, "one of"));
        assert_non_null(strstr(text, "  tenon serve --models ./models\n"));
        assert_null(strstr(text, "password"));
        struct tn_flags flags;
        tn_flags_collect(&flags, &sample_table);
        for (size_t i = 0; i < flags.count; i++) {
            assert_non_null(strstr(text, flags.items[i].option->positional
                                             ? flags.items[i].option->value
                                             : flags.items[i].name));
        }
        for (const char *line = text; *line != '\0';) {
            const char *end = strchr(line, '\n');
            assert_true(end != NULL && (unsigned)(end - line) <= width);
            assert_true(end == line || end[-1] != ' ');
            line = end + 1;
        }
        tn_buf_deinit(&out);
    }
}

static void overview_lists_every_command(void **unused)
{
    (void)unused;
    struct tn_buf out = {0};
    tn_manual_overview("tenon", "one toolkit", commands, 1, &out);
    assert_non_null(strstr(text_of(&out), "  serve  serve models over HTTP and gRPC\n"));
    tn_buf_deinit(&out);
}

static void reference_has_a_row_for_every_key(void **unused)
{
    (void)unused;
    struct tn_buf out = {0};
    tn_manual_reference(&sample_command, &out);
    const char *text = text_of(&out);
    assert_non_null(strstr(text, "| `tls.cert` | `--tls-cert` |"));
    assert_non_null(strstr(text, "| `steps[].model` |  |"));
    assert_non_null(strstr(text, "| `http_port` | `--http-port` | a whole number from 1 to 65535 | "
                                 "`8000` | port of the HTTP front end |"));
    assert_non_null(strstr(text, "map to: a duration"));
    assert_null(strstr(text, "`check`"));
    tn_buf_deinit(&out);
}

/* Writes the text to a file and runs a checker over it; true when there is no such checker. */
static bool passes(const char *checker, const char *text)
{
    char name[] = "/tmp/tn-manual-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    char line[256];
    snprintf(line, sizeof(line), "command -v %.*s >/dev/null || exit 0; %s %s 2>&1",
             (int)strcspn(checker, " "), checker, checker, name);
    int status = system(line);
    unlink(name);
    return status == 0;
}

static void manual_page_is_valid_roff(void **unused)
{
    (void)unused;
    struct tn_buf out = {0};
    const struct tn_manual_page page = {
        .program = "tenon", .version = "0.1.0", .date = "2026-11-23"};
    tn_manual_page(&page, &sample_command, &out);
    const char *text = text_of(&out);
    assert_non_null(strstr(text, ".TH \"tenon\\-serve\" 1"));
    assert_non_null(strstr(text, "\\fB\\-p\\fR, \\fB\\-\\-http\\-port\\fR=\\fIPORT\\fR"));
    assert_non_null(strstr(text, "A second paragraph."));
    assert_true(passes("groff -man -Tascii -ww -z", text));
    tn_buf_deinit(&out);
}

static void completion_is_valid_and_complete(void **unused)
{
    (void)unused;
    static const char *const shells[][2] = {
        {"bash", "bash -n"}, {"zsh", "zsh -n"}, {"fish", "fish -n"}};
    for (size_t i = 0; i < 3; i++) {
        struct tn_buf out = {0};
        assert_int_equal(tn_manual_completion(shells[i][0], "tenon", commands, 1, &out), TN_OK);
        const char *text = text_of(&out);
        assert_non_null(strstr(text, "http-port"));
        assert_non_null(strstr(text, "none watch back"));
        assert_true(passes(shells[i][1], text));
        tn_buf_deinit(&out);
    }
    struct tn_buf out = {0};
    assert_int_equal(tn_manual_completion("csh", "tenon", commands, 1, &out), TN_NOTFOUND);
    tn_buf_deinit(&out);
}

/* What a person who presses the tab key gets, from bash itself. */
static void bash_completes_commands_flags_and_values(void **unused)
{
    (void)unused;
    static const struct {
        const char *words; /* of the line; the last is being completed */
        const char *wanted;
    } rows[] = {
        {"tenon se", "serve"},
        {"tenon serve --http", "--http-port="},
        {"tenon serve --no-ba", "--no-batching"},
        {"tenon serve --mode = w", "watch"},
        {"tenon serve --mode wa", "watch"},
    };
    struct tn_buf out = {0};
    assert_int_equal(tn_manual_completion("bash", "tenon", commands, 1, &out), TN_OK);
    tn_buf_put_text(&out, "compopt() { :; }\n");
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_buf_printf(
            &out,
            "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _tenon\n"
            "[[ \"${COMPREPLY[*]}\" == '%s' ]] || "
            "{ echo \"%s: ${COMPREPLY[*]}\"; exit 1; }\n",
            rows[i].words, rows[i].wanted, rows[i].words);
    }
    assert_true(passes("bash", text_of(&out)));
    tn_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_shows_every_flag_and_fits),
        cmocka_unit_test(overview_lists_every_command),
        cmocka_unit_test(reference_has_a_row_for_every_key),
        cmocka_unit_test(manual_page_is_valid_roff),
        cmocka_unit_test(completion_is_valid_and_complete),
        cmocka_unit_test(bash_completes_commands_flags_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
