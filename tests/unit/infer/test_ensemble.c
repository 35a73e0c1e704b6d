/* Ensembles: graphs that are refused, and a diamond of real models with failure and cancellation.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/ensemble.h"
#include "onnx_writer.h"
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_signature_config tensor(const char *name)
{
    return (struct tn_signature_config){
        .name = tn_str_from(name), .dtype = TN_DTYPE_FP32, .shape = {.dims = {-1, 2}, .rank = 2}};
}

/* A step "model in=out_name ..." given as lists of pairs. */
static struct tn_step_config step(const char *model, const char *in_a, const char *in_b,
                                  const char *out)
{
    struct tn_step_config config = {.model = tn_str_from(model), .version = -1};
    config.inputs[config.input_count++] =
        (struct tn_map_config){.inside = TN_STR("a"), .outside = tn_str_from(in_a)};
    if (in_b != NULL) {
        config.inputs[config.input_count++] =
            (struct tn_map_config){.inside = TN_STR("b"), .outside = tn_str_from(in_b)};
    }
    config.outputs[config.output_count++] =
        (struct tn_map_config){.inside = TN_STR("c"), .outside = tn_str_from(out)};
    return config;
}

struct sample {
    struct tn_model_config config;
    struct tn_step_config steps[4];
    struct tn_signature_config inputs[2], outputs[2];
};

/* x --> left --.
 *  '--> right --+--> sum --> y */
static void diamond(struct sample *sample)
{
    memset(sample, 0, sizeof(*sample));
    tn_model_config_init(&sample->config);
    sample->config.platform = TN_STR_OF("ensemble");
    sample->steps[0] = step("sum", "l", "r", "y");
    sample->steps[1] = step("twice", "x", NULL, "l");
    sample->steps[2] = step("minus", "x", NULL, "r");
    sample->inputs[0] = tensor("x");
    sample->outputs[0] = tensor("y");
    sample->config.steps = sample->steps;
    sample->config.step_count = 3;
    sample->config.inputs = sample->inputs;
    sample->config.input_count = 1;
    sample->config.outputs = sample->outputs;
    sample->config.output_count = 1;
}

static void graphs_are_checked(void **unused)
{
    (void)unused;
    struct sample s;
    struct tn_arena arena;
    struct tn_ensemble ensemble;
    struct tn_fault fault = {0};
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    diamond(&s);
    assert_int_equal(tn_ensemble_init(&ensemble, &s.config, &arena, &fault), TN_OK);
    assert_int_equal(ensemble.tensor_count, 4);
    static const struct {
        size_t at;
        const char *in_a, *in_b, *out, *says;
    } rows[] = {
        {1, "nowhere", NULL, "l", "needs tensor 'nowhere'"},
        {1, "x", NULL, "r", "given by step"},
        {1, "x", NULL, "x", "given by step"},
        {1, "y", NULL, "l", "waits, through others, for itself"},
        {1, "l", NULL, "l", "waits, through others, for itself"},
        {0, "l", "r", "z", "no step gives the output 'y'"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        diamond(&s);
        struct tn_str model = s.steps[rows[i].at].model;
        s.steps[rows[i].at] = step("m", rows[i].in_a, rows[i].in_b, rows[i].out);
        s.steps[rows[i].at].model = model;
        assert_int_equal(tn_ensemble_init(&ensemble, &s.config, &arena, &fault), TN_INVALID);
        if (strstr(fault.text, rows[i].says) == NULL) {
            print_message("'%s' does not say '%s'\n", fault.text, rows[i].says);
        }
        assert_non_null(strstr(fault.text, rows[i].says));
    }
    diamond(&s);
    s.config.step_count = 0;
    assert_int_equal(tn_ensemble_init(&ensemble, &s.config, &arena, &fault), TN_INVALID);
    tn_arena_deinit(&arena);
}

/* --- With models --- */

static struct tn_model *members[3]; /* twice, minus, sum */
static bool without_sum;

static struct tn_block *binary(const char *op)
{
    static const int64_t dims[] = {-1, 2};
    struct onnx_writer writer;
    bool two = op[0] == 'A';
    onnx_begin(&writer);
    onnx_node(&writer, op, two ? "a,b" : "a", "c");
    onnx_input(&writer, "a", TN_DTYPE_FP32, dims, 2);
    if (two) {
        onnx_input(&writer, "b", TN_DTYPE_FP32, dims, 2);
    }
    onnx_output(&writer, "c", TN_DTYPE_FP32, dims, 2);
    return onnx_end(&writer);
}

static enum tn_err find(void *context, struct tn_str name, int64_t version,
                        struct tn_model **ret_model)
{
    (void)context;
    static const char *const names[] = {"twice", "minus", "sum"};
    assert_int_equal(version, -1);
    for (size_t i = 0; i < 3; i++) {
        if (tn_str_is(name, names[i]) && !(i == 2 && without_sum)) {
            *ret_model = tn_model_ref(members[i]);
            return TN_OK;
        }
    }
    return TN_NOTFOUND;
}

static struct tn_model *load_diamond(void)
{
    struct sample s;
    struct tn_fault fault = {0};
    struct tn_model *model = NULL;
    diamond(&s);
    struct tn_model_options options = {
        .name = TN_STR("diamond"), .version = 3, .config = &s.config, .find = find};
    enum tn_err err = tn_model_create(&options, &model, &fault);
    if (err != TN_OK) {
        print_message("%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    memset(&s, 0xee, sizeof(s)); /* nothing of the configuration may be used from here */
    return model;
}

static int members_load(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {-1, 2};
    struct onnx_writer writer;
    onnx_begin(&writer);
    onnx_node(&writer, "Add", "a,a", "c");
    onnx_input(&writer, "a", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "c", TN_DTYPE_FP32, dims, 2);
    members[0] = test_load("twice", onnx_end(&writer), NULL);
    members[1] = test_load("minus", binary("Neg"), NULL);
    members[2] = test_load("sum", binary("Add"), NULL);
    return 0;
}

static int members_unload(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        tn_model_unref(members[i]);
    }
    return 0;
}

static void diamond_answers(void **unused)
{
    (void)unused;
    enum { JOBS = 200 };
    static struct test_job jobs[JOBS];
    static float x[JOBS][2];
    static const int64_t dims[] = {1, 2};
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = load_diamond();
    const struct tn_model_info *info = tn_model_info(model);
    assert_string_equal(info->platform, "ensemble");
    assert_true(tn_str_is(info->inputs[0].name, "x"));
    for (size_t i = 0; i < JOBS; i++) {
        x[i][0] = (float)(i + 1);
        x[i][1] = -(float)(i + 1);
        test_job_init(&jobs[i], &owner);
        test_job_input(&jobs[i], "x", TN_DTYPE_FP32, dims, 2, x[i], sizeof(x[i]));
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model);
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].job.fault.code, TN_OK);
        assert_true(tn_str_is(jobs[i].outputs[0].name, "y"));
        assert_memory_equal(jobs[i].outputs[0].data.data, x[i], sizeof(x[i])); /* 2x - x */
        test_job_clear(&jobs[i]);
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.success_count, JOBS);
    assert_int_equal(stats.pending, 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void failing_step_is_named(void **unused)
{
    (void)unused;
    static const float x[2] = {1, 2};
    static const int64_t dims[] = {1, 2};
    struct test_job job;
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = load_diamond();
    without_sum = true;
    test_job_init(&job, &owner);
    test_job_input(&job, "x", TN_DTYPE_FP32, dims, 2, x, sizeof(x));
    test_job_run(&job, model, &owner);
    assert_int_equal(job.job.fault.code, TN_UNAVAILABLE);
    assert_non_null(strstr(job.job.fault.text, "step 1 ('sum')"));
    assert_int_equal(job.job.output_count, 0);
    without_sum = false;
    job.job.deadline_ns = 1;
    assert_int_equal(tn_infer_submit(model, &job.job, NULL), TN_TIMEOUT);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void cancelled_jobs_come_back(void **unused)
{
    (void)unused;
    enum { JOBS = 300 };
    static struct test_job jobs[JOBS];
    static float x[2] = {1, 2};
    static const int64_t dims[] = {1, 2};
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = load_diamond();
    for (size_t i = 0; i < JOBS; i++) {
        test_job_init(&jobs[i], &owner);
        test_job_input(&jobs[i], "x", TN_DTYPE_FP32, dims, 2, x, sizeof(x));
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model);
    for (size_t i = 0; i < JOBS; i += 2) {
        tn_infer_cancel(&jobs[i].job);
    }
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    for (size_t i = 0; i < JOBS; i++) {
        enum tn_err code = jobs[i].job.fault.code;
        assert_true(code == TN_OK || (code == TN_CANCELLED && i % 2 == 0));
        test_job_clear(&jobs[i]);
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_are_checked),
        cmocka_unit_test(diamond_answers),
        cmocka_unit_test(failing_step_is_named),
        cmocka_unit_test(cancelled_jobs_come_back),
    };
    return cmocka_run_group_tests(tests, members_load, members_unload);
}

int main(void)
{
    return test_with_engine(run);
}
