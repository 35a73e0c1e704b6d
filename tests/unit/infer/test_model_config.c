/* model.yaml: the table is sound, every example of the tree parses, defaults agree with the
 * initialiser, wrong input is refused at its line, and truncation at every byte never crashes. */
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_config.h"
#include "infer/model_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_arena arena;

static int arena_setup(void **unused)
{
    (void)unused;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    return 0;
}

static int arena_teardown(void **unused)
{
    (void)unused;
    tn_arena_deinit(&arena);
    return 0;
}

static const char everything[] =
    "platform: onnxruntime_onnx\n"
    "instances: 2\n"
    "inputs:\n"
    "  - {name: x, datatype: FP32, shape: [-1, 3], batch_axis: 0}\n"
    "  - {name: sr, batch_axis: none}\n"
    "outputs: [{name: y}]\n"
    "batching: {mode: fixed, max: 8, delay: 2ms, preferred: [4, 8], queue: 7, timeout: 1s,\n"
    "           priorities: 3, default_priority: 2}\n"
    "session: {execution: parallel, intra_op_threads: 2, inter_op_threads: 3, spinning: true,\n"
    "          arena: false, shrink: true, memory_pattern: false, optimization: basic}\n"
    "sequence: {states: [{input: h, output: hn}], max: 9, idle_timeout: 5s}\n"
    "warmup: [{name: first, batch: 2, count: 3, data: zero, shapes: {x: [2, 3]}}]\n"
    "versions: {policy: specific, list: [1, 5]}\n"
    "labels: {y: names.txt}\n"
    "parameters: {input.x: image}\n"
    "tokens: [0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef]\n";

static void every_key_arrives(void **unused)
{
    (void)unused;
    struct tn_model_config c;
    struct tn_fault fault = {0};
    tn_option_table_check(&tn_model_table);
    enum tn_err err = tn_model_config_parse(tn_str_from(everything), "m.yaml", &arena, &c, &fault);
    if (err != TN_OK) {
        print_message("%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    assert_int_equal(c.instances, 2);
    assert_int_equal(c.input_count, 2);
    assert_int_equal(c.inputs[0].dtype, TN_DTYPE_FP32);
    assert_int_equal(c.inputs[0].shape.rank, 2);
    assert_int_equal(c.inputs[0].shape.dims[0], -1);
    assert_int_equal(c.inputs[0].batch_axis, 0);
    assert_int_equal(c.inputs[1].batch_axis, TN_AXIS_NONE);
    assert_int_equal(c.outputs[0].batch_axis, TN_AXIS_AUTO);
    assert_int_equal(c.outputs[0].dtype, TN_DTYPE_INVALID);
    assert_int_equal(c.batching.mode, TN_BATCHING_FIXED);
    assert_int_equal(c.batching.batch_max, 8);
    assert_int_equal(c.batching.delay_max_ns, 2000000);
    assert_int_equal(c.batching.preferred_count, 2);
    assert_int_equal(c.batching.preferred[1], 8);
    assert_int_equal(c.batching.queue_max, 7);
    assert_int_equal(c.batching.queue_timeout_ns, 1000000000);
    assert_int_equal(c.batching.priority_levels, 3);
    assert_int_equal(c.batching.priority_default, 2);
    assert_true(c.session.parallel && c.session.spinning && c.session.shrink);
    assert_false(c.session.arena || c.session.memory_pattern);
    assert_int_equal(c.session.intra_op_threads, 2);
    assert_int_equal(c.session.inter_op_threads, 3);
    assert_int_equal(c.session.optimization, 1);
    assert_int_equal(c.sequence.state_count, 1);
    assert_true(tn_str_is(c.sequence.states[0].output, "hn"));
    assert_int_equal(c.sequence.sequences_max, 9);
    assert_int_equal(c.warmup_count, 1);
    assert_int_equal(c.warmup[0].batch, 2);
    assert_int_equal(c.warmup[0].count, 3);
    assert_true(tn_str_is(c.warmup[0].data, "zero"));
    assert_int_equal(c.warmup[0].shapes[0].shape.dims[1], 3);
    assert_int_equal(c.version_policy, TN_VERSIONS_SPECIFIC);
    assert_int_equal(c.versions[1], 5);
    assert_true(tn_str_is(c.labels[0].value, "names.txt"));
    assert_true(tn_str_is(c.parameters[0].name, "input.x"));
    assert_int_equal(c.token_count, 1);
}

static void defaults_agree(void **unused)
{
    (void)unused;
    struct tn_model_config parsed;
    struct tn_model_config made;
    tn_model_config_init(&made);
    assert_int_equal(tn_model_config_parse(TN_STR_OF(""), "m", &arena, &parsed, NULL), TN_OK);
    assert_true(tn_str_equal(parsed.platform, made.platform));
    assert_int_equal(parsed.instances, made.instances);
    assert_memory_equal(&parsed.batching, &made.batching, sizeof(made.batching));
    assert_int_equal(parsed.session.intra_op_threads, made.session.intra_op_threads);
    assert_int_equal(parsed.session.inter_op_threads, made.session.inter_op_threads);
    assert_int_equal(parsed.session.arena, made.session.arena);
    assert_int_equal(parsed.session.memory_pattern, made.session.memory_pattern);
    assert_int_equal(parsed.session.optimization, made.session.optimization);
    assert_int_equal(parsed.cache.enabled, made.cache.enabled);
    assert_int_equal(parsed.cache.ttl_ns, made.cache.ttl_ns);
    assert_int_equal(parsed.cache.size_max, made.cache.size_max);
    assert_int_equal(parsed.sequence.sequences_max, made.sequence.sequences_max);
    assert_int_equal(parsed.sequence.idle_timeout_ns, made.sequence.idle_timeout_ns);
    assert_int_equal(parsed.version_policy, made.version_policy);
    assert_int_equal(parsed.versions_latest, made.versions_latest);
}

static void wrong_input_is_named(void **unused)
{
    (void)unused;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"instanses: 1\n", "m:1:1: unknown key 'instanses'; did you mean 'instances'?"},
        {"instances: 0\n", "m:1:12:"},
        {"instances: 65\n", "m:1:12:"},
        {"batching:\n  delay: 2ms\n", "m:2:3: delay and preferred need mode fixed"},
        {"batching:\n  mode: fixed\n  preferred: [8, 4]\n", "m:3:3: preferred sizes must ascend"},
        {"batching: {mode: fixed, max: 4, preferred: [8]}\n", "above max"},
        {"batching: {mode: slow}\n", "m:1:18:"},
        {"batching: {default_priority: 2}\n", "above priorities"},
        {"inputs: [{datatype: FP32}]\n", "name"},
        {"inputs: [{name: x, datatype: FLOAT}]\n", "no datatype"},
        {"inputs: [{name: x, shape: [-2]}]\n", "dimension"},
        {"inputs: [{name: x, batch_axis: 9}]\n", "batch_axis"},
        {"inputs: [{name: x, shape: [1,1,1,1,1,1,1,1,1]}]\n", "m:1"},
        {"platform: ensemble\n", "needs steps"},
        {"steps: [{model: a}]\n", "need platform"},
        {"versions: {policy: specific}\n", "needs a list"},
        {"versions: {list: [1]}\n", "policy: specific"},
        {"tokens: [abc]\n", "SHA-256"},
        {"cache: {enabled: true}\nsequence: {states: [{input: a, output: b}]}\n", "m:1:9:"},
        {"instances: 1\ninstances: 2\n", "m:2:1:"},
        {"- a\n", "m:1:1:"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_model_config config;
        struct tn_fault fault = {0};
        enum tn_err err =
            tn_model_config_parse(tn_str_from(rows[i].yaml), "m", &arena, &config, &fault);
        assert_true(err == TN_INVALID || err == TN_LIMIT);
        if (strstr(fault.text, rows[i].says) == NULL) {
            print_message("'%s' does not say '%s'\n", fault.text, rows[i].says);
        }
        assert_non_null(strstr(fault.text, rows[i].says));
    }
}

static void truncation_never_crashes(void **unused)
{
    (void)unused;
    size_t parsed = 0;
    for (size_t size = 0; size < sizeof(everything) - 1; size++) {
        struct tn_model_config config;
        struct tn_fault fault = {0};
        enum tn_err err =
            tn_model_config_parse(tn_str_make(everything, size), "m", &arena, &config, &fault);
        parsed += err == TN_OK;
        assert_true(err == TN_OK || fault.text[0] != '\0');
    }
    assert_true(parsed > 2 && parsed < sizeof(everything) / 2);
}

static void allocations_may_fail(void **unused)
{
    (void)unused;
    for (size_t n = 1;; n++) {
        struct tn_model_config config = {.instances = 77};
        struct tn_arena own;
        tn_arena_init(&own,
                      &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 256});
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_model_config_parse(tn_str_from(everything), "m", &own, &config, NULL);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        assert_int_equal(config.instances, delivered ? 77 : 2);
        tn_arena_deinit(&own);
        if (!delivered) {
            break;
        }
    }
}

static void examples_parse(void **unused)
{
    (void)unused;
    static const char *const names[] = {"ocr_cls", "ocr_det", "ocr_rec", "silero_vad", "wake_word"};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        char path[4096];
        static char text[65536];
        struct tn_model_config config;
        struct tn_fault fault = {0};
        snprintf(path, sizeof(path), "%s/%s/model.yaml", getenv("TENON_EXAMPLES"), names[i]);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t size = fread(text, 1, sizeof(text), file);
        fclose(file);
        enum tn_err err =
            tn_model_config_parse(tn_str_make(text, size), path, &arena, &config, &fault);
        if (err != TN_OK) {
            print_message("%s\n", fault.text);
        }
        assert_int_equal(err, TN_OK);
        assert_true(config.parameter_count > 0);
    }
}

/* Every key of the table, with those below it, stands in the reference as `key`. */
static void look_up(const struct tn_option_table *table, const char *text)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        char key[80];
        snprintf(key, sizeof(key), "`%s`", option->name);
        if (strstr(text, key) == NULL) {
            print_message("%s is not in docs/configuration.md\n", key);
        }
        assert_non_null(strstr(text, key));
        if (option->table != NULL) {
            look_up(option->table, text);
        }
        if (option->element != NULL && option->element->table != NULL) {
            look_up(option->element->table, text);
        }
    }
}

static void every_key_is_documented(void **unused)
{
    (void)unused;
    static char text[1 << 16];
    FILE *file = fopen(getenv("TENON_CONFIGURATION"), "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    look_up(&tn_model_table, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_arrives),       cmocka_unit_test(defaults_agree),
        cmocka_unit_test(wrong_input_is_named),    cmocka_unit_test(truncation_never_crashes),
        cmocka_unit_test(allocations_may_fail),    cmocka_unit_test(examples_parse),
        cmocka_unit_test(every_key_is_documented),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
