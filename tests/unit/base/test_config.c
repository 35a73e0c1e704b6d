/* YAML into tables: every kind, every error with its place, round trips, and bytes cut or flipped.
 */
#include "base/clock.h"
#include "base/config.h"
#include "base/mem.h"
#include "core/assert.h"
#include "options_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct setting {
    struct tn_arena arena;
    struct sample value;
    struct tn_option_given given;
    struct tn_fault fault;
};

static enum tn_err read_yaml(struct setting *setting, const char *yaml, size_t size,
                             const char *section)
{
    static const char *const sections[] = {"serve", "infer", NULL};
    *setting = (struct setting){0};
    tn_arena_init(&setting->arena, &(struct tn_arena_options){.source = tn_mem_source()});
    tn_option_given_init(&setting->given, &setting->arena);
    enum tn_err err = tn_option_set_defaults(&sample_table, &setting->value, &setting->arena);
    if (err < 0) {
        return err;
    }
    const struct tn_config_source source = {.yaml = tn_str_make(yaml, size),
                                            .name = "x.yaml",
                                            .section = section,
                                            .sections = section != NULL ? sections : NULL};
    return tn_config_read(&source, &sample_table, &setting->value, &setting->given,
                          &setting->fault);
}

static void done(struct setting *setting)
{
    tn_arena_deinit(&setting->arena);
}

static const char whole[] = "# all of it\n"
                            "models: /srv/models\n"
                            "password: hunter2\n"
                            "http_port: \"8080\"\n"
                            "nice: -20\n"
                            "threshold: 1e-3\n"
                            "body_max: 1.5MiB\n"
                            "drain_time: 1m30s\n"
                            "batching: false\n"
                            "mode: back\n"
                            "tls:\n"
                            "  cert: &file 'a b.pem'\n"
                            "  key: *file\n"
                            "ports: [1, 65535]\n"
                            "steps:\n"
                            "- model: 1.20\n"
                            "  weight: 255\n"
                            "  outputs: {x: y, \"1\": no}\n"
                            "- {model: \"\\u00e9\\\"\"}\n"
                            "label: {}\n"
                            "budgets:\n"
                            "  a: 5ms\n"
                            "files:\n";

static void check_whole(const struct sample *value)
{
    assert_string_equal(value->models, "/srv/models");
    assert_string_equal(value->password, "hunter2");
    assert_int_equal(value->http_port, 8080);
    assert_int_equal(value->nice, -20);
    assert_true(value->threshold == 1e-3);
    assert_int_equal(value->body_max, 3 << 19);
    assert_true(value->drain_ns == UINT64_C(90000000000));
    assert_false(value->batching);
    assert_int_equal(value->mode, SAMPLE_BACK);
    assert_string_equal(value->tls.cert, "a b.pem");
    assert_string_equal(value->tls.key, "a b.pem");
    assert_true(value->tls.verify);
    const uint16_t *ports = value->ports.items;
    assert_int_equal(value->ports.count, 2);
    assert_int_equal(ports[0], 1);
    assert_int_equal(ports[1], 65535);
    const struct sample_step *steps = value->steps.items;
    assert_int_equal(value->steps.count, 2);
    assert_string_equal(steps[0].model, "1.20");
    assert_int_equal(steps[0].weight, 255);
    assert_int_equal(steps[0].outputs.count, 2);
    assert_string_equal(steps[0].outputs.names[1], "1");
    assert_string_equal(((const char **)steps[0].outputs.items)[1], "no");
    assert_string_equal(steps[1].model, "\xc3\xa9\"");
    assert_int_equal(steps[1].weight, 1);
    assert_int_equal(value->labels.count, 0);
    assert_int_equal(value->budgets.count, 1);
    assert_int_equal(((const uint64_t *)value->budgets.items)[0], 5000000);
    assert_int_equal(value->files.count, 0);
}

static void the_table_is_sound(void **unused)
{
    (void)unused;
    tn_option_table_check(&sample_table);
}

static void every_kind_is_read(void **unused)
{
    (void)unused;
    struct setting setting;
    assert_int_equal(read_yaml(&setting, whole, sizeof(whole) - 1, NULL), TN_OK);
    check_whole(&setting.value);
    assert_true(tn_option_is_given(&setting.given, &setting.value.http_port));
    assert_false(tn_option_is_given(&setting.given, &setting.value.tls.verify));
    assert_int_equal(tn_option_given_line(&setting.given, &setting.value.tls.key), 13);
    assert_int_equal(
        tn_option_fault(&setting.given, &setting.value.nice, &setting.fault, "too %s", "nice"),
        TN_INVALID);
    assert_string_equal(setting.fault.text, "x.yaml:5:1: too nice");
    tn_option_fault(&setting.given, &setting.value.check, &setting.fault, "plain");
    assert_string_equal(setting.fault.text, "plain");
    done(&setting);
}

static void what_is_printed_is_read_back(void **unused)
{
    (void)unused;
    for (int comments = 0; comments < 2; comments++) {
        struct setting setting;
        assert_int_equal(read_yaml(&setting, whole, sizeof(whole) - 1, NULL), TN_OK);
        struct tn_buf out = {0};
        const struct tn_config_print how = {.section = "serve", .comments = comments != 0};
        tn_config_print(&sample_table, &setting.value, &how, &out);
        assert_null(strstr((tn_buf_put_byte(&out, 0), (const char *)out.data), "hunter2"));
        struct setting again;
        assert_int_equal(read_yaml(&again, (const char *)out.data, out.size - 1, "serve"), TN_OK);
        assert_string_equal(again.value.password, "***");
        again.value.password = "hunter2";
        check_whole(&again.value);
        done(&again);
        tn_buf_deinit(&out);
        done(&setting);
    }
}

/* Texts of every byte: printed, read back, equal. */
static void any_text_survives_the_round_trip(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"",
                                        "true",
                                        "No",
                                        "1e3",
                                        "~",
                                        "null",
                                        "-",
                                        "- a",
                                        "a: b",
                                        "#x",
                                        "x #y",
                                        " lead",
                                        "trail ",
                                        "\"q\"",
                                        "'",
                                        "\\n",
                                        "a\nb\r\tc",
                                        "\x01\x1f\x7f",
                                        "\xc2\x85\xc2\xa0",
                                        "\xe2\x80\xa8\xef\xbb\xbf",
                                        "&a *b",
                                        "!t",
                                        "%d @x `y",
                                        "{[,]}",
                                        "\xf0\x9f\x98\x80",
                                        "/a/b-c.d",
                                        "y"};
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        struct setting setting;
        assert_int_equal(read_yaml(&setting, "", 0, NULL), TN_OK);
        setting.value.models = texts[i];
        void *item = NULL;
        const struct tn_option *labels = &sample_table.options[13];
        assert_int_equal(tn_option_append(labels, &setting.value.labels, tn_str_from(texts[i]),
                                          &setting.arena, &item, NULL),
                         TN_OK);
        *(const char **)item = texts[i];
        struct tn_buf out = {0};
        tn_config_print(&sample_table, &setting.value, &(struct tn_config_print){0}, &out);
        struct setting again;
        enum tn_err err = read_yaml(&again, (const char *)out.data, out.size, NULL);
        if (err < 0) {
            fail_msg("%s", again.fault.text);
        }
        assert_string_equal(again.value.models, texts[i]);
        assert_string_equal(again.value.labels.names[0], texts[i]);
        assert_string_equal(((const char **)again.value.labels.items)[0], texts[i]);
        done(&again);
        tn_buf_deinit(&out);
        done(&setting);
    }
}

static void every_mistake_names_its_place(void **unused)
{
    (void)unused;
    static const struct {
        const char *yaml;
        const char *text; /* the message starts so */
    } rows[] = {
        {"htp_port: 80\n", "x.yaml:1:1: unknown key 'htp_port'; did you mean 'http_port'?"},
        {"a: 1\n", "x.yaml:1:1: unknown key 'a'"},
        {"check: true\n", "x.yaml:1:1: unknown key 'check'"},
        {"http_port: 70000\n",
         "x.yaml:1:12: expected a whole number from 1 to 65535, found '70000'"},
        {"http_port: 0\n", "x.yaml:1:12: expected a whole number from 1 to 65535, found '0'"},
        {"http_port: -1\n", "x.yaml:1:12: expected a whole number from 1 to 65535, found '-1'"},
        {"nice: 20\n", "x.yaml:1:7: expected a whole number from -20 to 19, found '20'"},
        {"threshold: 1.01\n", "x.yaml:1:12: expected a number from 0 to 1, found '1.01'"},
        {"body_max: 2TiB\n",
         "x.yaml:1:11: expected a size like 64MiB or 4096, at most 1TiB, found '2TiB'"},
        {"drain_time: 30\n",
         "x.yaml:1:13: expected a duration like 250ms, 5s or 1h30m, found '30'"},
        {"batching: yes\n",
         "x.yaml:1:11: expected true or false, found 'yes'; did you mean 'true'?"},
        {"mode: wach\n", "x.yaml:1:7: expected one of none, watch, back, found 'wach'; did you "
                         "mean 'watch'?"},
        {"tls:\n  crt: x\n", "x.yaml:2:3: unknown key 'crt'; did you mean 'cert'?"},
        {"tls:\n  key: x\n", "x.yaml:2:3: missing key cert (certificate chain)"},
        {"tls:\n", "x.yaml:1:5: missing key cert"},
        {"tls: x\n", "x.yaml:1:6: expected a mapping of names to values, found a single value"},
        {"ports: 5\n", "x.yaml:1:8: expected a list, found a single value"},
        {"ports: {a: 1}\n", "x.yaml:1:8: expected a list, found a mapping"},
        {"ports: [1, 0]\n", "x.yaml:1:12: expected a whole number from 1 to 65535, found '0'"},
        {"ports: [1, 2, 3, 4, 5, 6]\n", "x.yaml:1:24: more than 5 items"},
        {"ports:\n- [1]\n", "x.yaml:2:3: expected a whole number from 1 to 65535, found a list"},
        {"steps:\n- weight: 1\n", "x.yaml:2:3: missing key model (name of the model)"},
        {"steps:\n- model: a\n  weight: 256\n",
         "x.yaml:3:11: expected a whole number from 0 to 255, found '256'"},
        {"models:\n", "x.yaml:1:8: expected text of at most 4096 bytes, found nothing"},
        {"models: ~\n", "x.yaml:1:9: expected text"},
        {"models: [a]\n", "x.yaml:1:9: expected text of at most 4096 bytes, found a list"},
        {"models: \"a\\0b\"\n", "x.yaml:1:9: expected text"},
        {"models: a\nmodels: b\n", "x.yaml:2:1: key 'models' is there already, in line 1"},
        {"label: {a: 1, a: 2}\n", "x.yaml:1:15: key 'a' is there already"},
        {"[a]: 1\n", "x.yaml:1:1: a key must be a single word"},
        {"- 1\n", "x.yaml:1:1: expected a mapping of names to values, found a list"},
        {"models: a\n---\nmodels: b\n", "x.yaml:2:1: a second document"},
        {"models: 'a\n", "x.yaml:2:1: "},
        {"models: *x\n", "x.yaml:1:9: found undefined alias"},
        {"\tmodels: a\n", "x.yaml:1:1: "},
        {"models: \xff\n", "x.yaml: "},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct setting setting;
        enum tn_err err = read_yaml(&setting, rows[i].yaml, strlen(rows[i].yaml), NULL);
        if (err >= 0 || strncmp(setting.fault.text, rows[i].text, strlen(rows[i].text)) != 0) {
            fail_msg("%s -> %s", rows[i].yaml, setting.fault.text);
        }
        assert_int_equal(setting.fault.code, err);
        done(&setting);
    }
}

static void sections_are_told_apart(void **unused)
{
    (void)unused;
    static const struct {
        const char *yaml;
        const char *text; /* NULL: fine */
        int port;
    } rows[] = {
        {"serve: {http_port: 80}\ninfer: {anything: [1]}\n", NULL, 80},
        {"infer: 5\n", NULL, 8000},
        {"serve:\n", NULL, 8000},
        {"", NULL, 8000},
        {"---\n", NULL, 8000},
        {"servr: {}\n", "x.yaml:1:1: unknown section 'servr'; did you mean 'serve'?", 0},
        {"serve: 5\n", "x.yaml:1:8: expected a mapping", 0},
        {"http_port: 80\n", "x.yaml:1:1: unknown section 'http_port'", 0},
        {"serve: {}\nserve: {}\n", "x.yaml:2:1: key 'serve' is there already", 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct setting setting;
        enum tn_err err = read_yaml(&setting, rows[i].yaml, strlen(rows[i].yaml), "serve");
        if (rows[i].text == NULL) {
            assert_int_equal(err, TN_OK);
            assert_int_equal(setting.value.http_port, rows[i].port);
        } else {
            assert_int_equal(err, TN_INVALID);
            assert_memory_equal(setting.fault.text, rows[i].text, strlen(rows[i].text));
        }
        done(&setting);
    }
}

static void aliases_cannot_blow_it_up(void **unused)
{
    (void)unused;
    char yaml[4096] = "label: {x: &a 1}\nsteps:\n";
    struct setting setting;
    /* A cycle. */
    const char *cycle = "steps: &s\n- model: a\n  outputs: *s\n";
    assert_int_equal(read_yaml(&setting, cycle, strlen(cycle), NULL), TN_INVALID);
    done(&setting);
    /* Nine levels of nine aliases each. */
    size_t at = (size_t)snprintf(yaml, sizeof(yaml), "steps:\n- &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
                               "- &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                               i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_int_equal(read_yaml(&setting, yaml, at, NULL), TN_INVALID);
    done(&setting);
    static char large[TN_CONFIG_SIZE_MAX + 1];
    memset(large, ' ', sizeof(large));
    assert_int_equal(read_yaml(&setting, large, sizeof(large), NULL), TN_LIMIT);
    done(&setting);
}

/* A megabyte of whatever libyaml or our own lookups could take quadratic time for: each is answered
 * within seconds, most at once. */
static void a_hostile_megabyte_is_answered_soon(void **unused)
{
    (void)unused;
    static const struct {
        const char *head, *part;
        enum tn_err err;
    } rows[] = {
        {"models: a\nlabel:\n", "", TN_OK},
        {"serve: 1\n", "%x: 1\n", TN_INVALID},
        {"", "? %x\n", TN_INVALID},
        {"label: [", "&%x 1,", TN_LIMIT},
        {"", "[", TN_LIMIT},
        {"", "{", TN_LIMIT},
        {"", "[\"]\",", TN_LIMIT},
        {"label:\n", "  k%x: v\n", TN_LIMIT},
        {"ports: [", "1,", TN_INVALID},
        {"models: \"", "\\x41", TN_INVALID},
        {"models: ", "- ", TN_INVALID},
        {"", "# comment %x\n", TN_OK},
        {"", "!t%x ", TN_INVALID},
        {"", "? ", TN_LIMIT},
        {"files:\n", "- a%x\n", TN_LIMIT},
    };
    static char yaml[TN_CONFIG_SIZE_MAX];
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        size_t size = strlen(rows[i].head);
        memcpy(yaml, rows[i].head, size);
        for (unsigned k = 0; rows[i].part[0] != '\0' && size + 32 < sizeof(yaml); k++) {
            int part = snprintf(yaml + size, 32, rows[i].part, k); /* NOLINT */
            size += (size_t)part;
        }
        struct setting setting;
        uint64_t start = tn_clock_thread_ns();
        assert_int_equal(read_yaml(&setting, yaml, size, NULL), rows[i].err);
        assert_true(tn_clock_thread_ns() - start < 4 * TN_NS_PER_S);
        done(&setting);
    }
}

/* Every cut and every flipped bit of a valid file ends in success or a fault that says something,
 * and gives all memory back. */
static void cut_and_flipped_files_are_survived(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (size_t size = 0; size < sizeof(whole); size++) {
        struct setting setting;
        enum tn_err err = read_yaml(&setting, whole, size, NULL);
        assert_true(err == TN_OK || setting.fault.text[0] != '\0');
        done(&setting);
    }
    for (size_t bit = 0; bit < (sizeof(whole) - 1) * 8; bit++) {
        char copy[sizeof(whole)];
        memcpy(copy, whole, sizeof(whole));
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        struct setting setting;
        enum tn_err err = read_yaml(&setting, copy, sizeof(whole) - 1, NULL);
        assert_true(err == TN_OK || setting.fault.text[0] != '\0');
        done(&setting);
    }
    assert_int_equal(tn_mem_live(), before);
}

static void every_failing_allocation_is_reported(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (size_t n = 1;; n++) {
        struct setting setting = {0};
        tn_arena_init(&setting.arena,
                      &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 64});
        tn_option_given_init(&setting.given, &setting.arena);
        tn_mem_fail_from(n, false);
        enum tn_err err =
            tn_config_read_all(tn_str_make(whole, sizeof(whole) - 1), "x.yaml", &sample_table,
                               &setting.value, &setting.given, &setting.fault);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        done(&setting);
        assert_int_equal(tn_mem_live(), before);
        if (!delivered) {
            assert_int_equal(err, TN_OK);
            assert_true(n > 20);
            return;
        }
        assert_int_equal(err, TN_NOMEM);
    }
}

static void read_all_checks_what_is_required(void **unused)
{
    (void)unused;
    struct setting setting = {0};
    tn_arena_init(&setting.arena, &(struct tn_arena_options){.source = tn_mem_source()});
    tn_option_given_init(&setting.given, &setting.arena);
    assert_int_equal(tn_config_read_all(TN_STR_OF("http_port: 1\n"), "x.yaml", &sample_table,
                                        &setting.value, &setting.given, &setting.fault),
                     TN_INVALID);
    assert_string_equal(setting.fault.text, "x.yaml: missing key models (model repository)");
    done(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(every_kind_is_read),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(any_text_survives_the_round_trip),
        cmocka_unit_test(every_mistake_names_its_place),
        cmocka_unit_test(sections_are_told_apart),
        cmocka_unit_test(aliases_cannot_blow_it_up),
        cmocka_unit_test(a_hostile_megabyte_is_answered_soon),
        cmocka_unit_test(cut_and_flipped_files_are_survived),
        cmocka_unit_test(every_failing_allocation_is_reported),
        cmocka_unit_test(read_all_checks_what_is_required),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
