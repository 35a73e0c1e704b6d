/* Command lines: every form of a flag, every mistake, and flags over a YAML file. */
#include "base/args.h"
#include "base/flags.h"
#include "base/mem.h"
#include "core/assert.h"
#include "options_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

struct setting {
    struct tn_arena arena;
    struct sample value;
    struct tn_args args;
    struct tn_fault fault;
    char *words[32];
    char text[1024];
};

/* Splits the line at blanks, as a shell would without quotes. */
static enum tn_err read_line(struct setting *setting, const char *line)
{
    *setting = (struct setting){0};
    tn_arena_init(&setting->arena, &(struct tn_arena_options){.source = tn_mem_source()});
    snprintf(setting->text, sizeof(setting->text), "%s", line);
    struct tn_args_input input = {.program = "tenon", .items = setting->words};
    char *rest = setting->text;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        setting->words[input.count++] = word;
    }
    return tn_args_read(&sample_command, &input, &setting->value, &setting->arena, &setting->args,
                        &setting->fault);
}

static void done(struct setting *setting)
{
    tn_arena_deinit(&setting->arena);
}

static void check(const char *line, void (*look)(const struct sample *value))
{
    struct setting setting;
    if (read_line(&setting, line) < 0) {
        fail_msg("%s -> %s", line, setting.fault.text);
    }
    assert_int_equal(setting.args.wish, TN_ARGS_RUN);
    look(&setting.value);
    done(&setting);
}

static void look_defaults(const struct sample *value)
{
    assert_string_equal(value->models, "d");
    assert_int_equal(value->http_port, 8000);
    assert_int_equal(value->nice, -3);
    assert_true(value->batching && !value->check);
    assert_int_equal(value->mode, SAMPLE_WATCH);
}

static void look_port(const struct sample *value)
{
    assert_int_equal(value->http_port, 81);
    assert_string_equal(value->models, "d");
}

static void look_switches(const struct sample *value)
{
    assert_false(value->batching);
    assert_true(value->check);
}

static void look_lists(const struct sample *value)
{
    assert_int_equal(value->ports.count, 2);
    assert_int_equal(((uint16_t *)value->ports.items)[1], 2);
    assert_int_equal(value->labels.count, 2);
    assert_string_equal(value->labels.names[0], "a");
    assert_string_equal(((const char **)value->labels.items)[0], "b=c");
    assert_string_equal(((const char **)value->labels.items)[1], "");
    assert_string_equal(value->tls.cert, "x");
    assert_int_equal(value->files.count, 3);
    assert_string_equal(((const char **)value->files.items)[2], "--check");
}

static void look_negative(const struct sample *value)
{
    assert_int_equal(value->nice, -5);
    assert_string_equal(value->models, "--x");
}

static void every_form_of_a_flag_is_understood(void **unused)
{
    (void)unused;
    check("--models d", look_defaults);
    check("-md", look_defaults);
    check("--models=d --batching --no-check --mode=watch", look_defaults);
    check("-m d --http-port 81", look_port);
    check("-m d --http-port=80 --http-port=81", look_port);
    check("-p81 -md", look_port);
    check("-p 81 -m d", look_port);
    check("-m d --no-batching --check", look_switches);
    check("-m d --batching=false --check=true", look_switches);
    check("-c --no-batching -m d", look_switches);
    check("f1 -m d --ports 1 f2 --ports=2 --label a=b=c --label z= --tls-cert x -- --check",
          look_lists);
    check("--nice -5 --models=--x", look_negative);
}

static void every_mistake_is_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *line, *text;
    } rows[] = {
        {"--htp-port=1",
         "unknown option '--htp-port'; did you mean '--http-port'? (see tenon serve "
         "--help)"},
        {"--http_port=1", "unknown option '--http_port'; did you mean '--http-port'?"},
        {"--password=x", "unknown option '--password'"},
        {"--steps=x", "unknown option '--steps'"},
        {"--no-models", "unknown option '--no-models'"},
        {"-x", "unknown option '-x' (see tenon serve --help)"},
        {"-m", "-m needs a value: -m DIR"},
        {"--models", "--models needs a value: --models=DIR"},
        {"--models --http-port 1", "--models needs a value"},
        {"--config", "--config needs a value: --config=FILE"},
        {"--print-config=x", "--print-config takes no value"},
        {"-m d --http-port=x", "--http-port: expected a whole number from 1 to 65535, found 'x'"},
        {"-m d --http-port=", "--http-port: expected a whole number from 1 to 65535, found ''"},
        {"-m d --mode=wach",
         "--mode: expected one of none, watch, back, found 'wach'; did you mean "
         "'watch'?"},
        {"-m d --label a", "--label: expected NAME=VALUE, found 'a'"},
        {"-m d --label =a", "--label: expected NAME=VALUE"},
        {"-m d --label a=1 --label a=2", "--label: 'a' is there already"},
        {"-m d --ports 1 --ports 2 --ports 3 --ports 4 --ports 5 --ports 6",
         "--ports: more than 5 items"},
        {"", "missing option --models (model repository)"},
        {"-m d --tls-key k", "missing option --tls-cert (certificate chain)"},
        {"-m d --budgets a=5", "--budgets: expected a duration"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct setting setting;
        enum tn_err err = read_line(&setting, rows[i].line);
        if (err >= 0 || strncmp(setting.fault.text, rows[i].text, strlen(rows[i].text)) != 0) {
            fail_msg("%s -> %s", rows[i].line, setting.fault.text);
        }
        assert_int_equal(setting.args.exit_code, EX_USAGE);
        done(&setting);
    }
}

static void help_comes_first_and_print_config_needs_values(void **unused)
{
    (void)unused;
    struct setting setting;
    assert_int_equal(read_line(&setting, "--http-port=x --help"), TN_OK);
    assert_int_equal(setting.args.wish, TN_ARGS_HELP);
    done(&setting);
    assert_int_equal(read_line(&setting, "-bh"), TN_OK);
    assert_int_equal(setting.args.wish, TN_ARGS_HELP);
    done(&setting);
    assert_int_equal(read_line(&setting, "-md --print-config -p 5"), TN_OK);
    assert_int_equal(setting.args.wish, TN_ARGS_PRINT_CONFIG);
    assert_int_equal(setting.value.http_port, 5);
    done(&setting);
}

static char file_name[64];

static void write_file(const char *yaml)
{
    snprintf(file_name, sizeof(file_name), "/tmp/tn-args-XXXXXX");
    int fd = mkstemp(file_name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    close(fd);
}

static void flags_win_over_the_file(void **unused)
{
    (void)unused;
    write_file("serve:\n  models: m\n  http_port: 80\n  nice: 1\n  ports: [5, 6]\n  label: {a: b}\n"
               "  tls: {cert: c}\n");
    struct setting setting;
    char line[200];
    snprintf(line, sizeof(line), "--http-port=81 --config %s --ports=7 --tls-key=k", file_name);
    if (read_line(&setting, line) < 0) {
        fail_msg("%s", setting.fault.text);
    }
    assert_string_equal(setting.value.models, "m");
    assert_int_equal(setting.value.http_port, 81);
    assert_int_equal(setting.value.nice, 1);
    assert_int_equal(setting.value.ports.count, 1);
    assert_int_equal(((uint16_t *)setting.value.ports.items)[0], 7);
    assert_int_equal(setting.value.labels.count, 1);
    assert_string_equal(setting.value.tls.cert, "c");
    assert_string_equal(setting.value.tls.key, "k");
    assert_string_equal(setting.args.config, file_name);
    struct tn_fault fault;
    tn_option_fault(&setting.args.given, &setting.value.http_port, &fault, "taken");
    assert_string_equal(fault.text, "--http-port: taken");
    done(&setting);
    unlink(file_name);
}

static void a_wrong_file_has_its_own_exit_code(void **unused)
{
    (void)unused;
    struct setting setting;
    assert_int_equal(read_line(&setting, "--config /nowhere/x.yaml"), TN_NOTFOUND);
    assert_int_equal(setting.args.exit_code, EX_NOINPUT);
    done(&setting);
    write_file("serve:\n  modls: m\n");
    char line[200];
    snprintf(line, sizeof(line), "--config=%s", file_name);
    assert_int_equal(read_line(&setting, line), TN_INVALID);
    assert_int_equal(setting.args.exit_code, EX_CONFIG);
    assert_non_null(
        strstr(setting.fault.text, ":2:3: unknown key 'modls'; did you mean 'models'?"));
    done(&setting);
    unlink(file_name);
}

static void every_failing_allocation_is_reported(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (size_t n = 1;; n++) {
        char *words[] = {(char *)"--models=d", (char *)"--ports=1", (char *)"--label=a=b",
                         (char *)"--tls-cert=c"};
        struct setting setting = {0};
        tn_arena_init(&setting.arena,
                      &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 32});
        const struct tn_args_input input = {.program = "tenon", .items = words, .count = 4};
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_args_read(&sample_command, &input, &setting.value, &setting.arena,
                                       &setting.args, &setting.fault);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        done(&setting);
        assert_int_equal(tn_mem_live(), before);
        if (!delivered) {
            assert_int_equal(err, TN_OK);
            assert_true(n > 8);
            return;
        }
        assert_int_equal(err, TN_NOMEM);
        assert_int_equal(setting.args.exit_code, EX_OSERR);
    }
}

static void exit_codes_are_those_of_sysexits(void **unused)
{
    (void)unused;
    assert_int_equal(tn_args_exit_code(TN_OK), 0);
    assert_int_equal(tn_args_exit_code(TN_INVALID), EX_DATAERR);
    assert_int_equal(tn_args_exit_code(TN_UNAVAILABLE), EX_UNAVAILABLE);
    for (int err = TN_INTERNAL; err < 0; err++) {
        int code = tn_args_exit_code((enum tn_err)err);
        assert_true(code >= EX__BASE && code <= EX__MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_flag_is_understood),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(help_comes_first_and_print_config_needs_values),
        cmocka_unit_test(flags_win_over_the_file),
        cmocka_unit_test(a_wrong_file_has_its_own_exit_code),
        cmocka_unit_test(every_failing_allocation_is_reported),
        cmocka_unit_test(exit_codes_are_those_of_sysexits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
