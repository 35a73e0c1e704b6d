/* Carried state on a model that adds its input to its state: answers show the whole history. */
#include "onnx_writer.h"
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* total = x + state, next = x + state: [-1,2] each. */
static struct tn_block *adder(void)
{
    static const int64_t dims[] = {-1, 2};
    struct onnx_writer writer;
    onnx_begin(&writer);
    onnx_node(&writer, "Add", "x,state", "total");
    onnx_node(&writer, "Identity", "total", "next");
    onnx_input(&writer, "x", TN_DTYPE_FP32, dims, 2);
    onnx_input(&writer, "state", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "total", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "next", TN_DTYPE_FP32, dims, 2);
    return onnx_end(&writer);
}

static struct tn_model *load_adder(uint32_t sequences)
{
    struct tn_model_config config;
    tn_model_config_init(&config);
    config.sequence.states[0] =
        (struct tn_state_config){.input = TN_STR("state"), .output = TN_STR("next")};
    config.sequence.state_count = 1;
    config.sequence.sequences_max = sequences;
    return test_load("adder", adder(), &config);
}

struct add_job {
    struct test_job job;
    float x[2];
};

static void fill(struct add_job *job, struct owner *owner, uint64_t id, unsigned flags, float x)
{
    static const int64_t dims[] = {1, 2};
    test_job_init(&job->job, owner);
    job->x[0] = x;
    job->x[1] = -x;
    test_job_input(&job->job, "x", TN_DTYPE_FP32, dims, 2, job->x, sizeof(job->x));
    job->job.wanted[0] = 0; /* the state is not asked for, and is carried all the same */
    job->job.job.wanted = job->job.wanted;
    job->job.job.output_count = 1;
    job->job.job.sequence_id = id;
    job->job.job.sequence_flags = flags;
}

static float total(const struct add_job *job)
{
    float value[2];
    assert_int_equal(job->job.job.fault.code, TN_OK);
    assert_int_equal(job->job.job.output_count, 1);
    assert_int_equal(job->job.outputs[0].data.size, sizeof(value));
    memcpy(value, job->job.outputs[0].data.data, sizeof(value));
    assert_true(value[1] == -value[0]);
    return value[0];
}

static float ask(struct tn_model *model, struct owner *owner, uint64_t id, unsigned flags, float x)
{
    struct add_job job;
    fill(&job, owner, id, flags, x);
    test_job_run(&job.job, model, owner);
    float sum = total(&job);
    test_job_clear(&job.job);
    return sum;
}

static void state_is_carried(void **unused)
{
    (void)unused;
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = load_adder(4);
    assert_true(ask(model, &owner, 1, TN_SEQUENCE_START, 1) == 1);
    assert_true(ask(model, &owner, 1, 0, 2) == 3);
    assert_true(ask(model, &owner, 2, TN_SEQUENCE_START, 100) == 100);
    assert_true(ask(model, &owner, 1, 0, 3) == 6);
    assert_true(ask(model, &owner, 2, TN_SEQUENCE_END, 1) == 101);
    assert_true(ask(model, &owner, 1, TN_SEQUENCE_START, 5) == 5); /* begins anew */
    assert_true(ask(model, &owner, 1, TN_SEQUENCE_END, 1) == 6);
    assert_true(ask(model, &owner, 0, 0, 9) == 9); /* no sequence: zeros */
    struct add_job job;
    struct tn_fault fault = {0};
    fill(&job, &owner, 1, 0, 1);
    assert_int_equal(tn_infer_submit(model, &job.job.job, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "sequence_start"));
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void text_ids_are_apart(void **unused)
{
    (void)unused;
    struct owner owner;
    struct add_job job;
    owner_init(&owner);
    struct tn_model *model = load_adder(4);
    static const struct {
        const char *id;
        unsigned flags;
        float x, total;
    } rows[] = {{"anna", TN_SEQUENCE_START, 1, 1},
                {"bert", TN_SEQUENCE_START, 10, 10},
                {"anna", 0, 1, 2},
                {"bert", TN_SEQUENCE_END, 10, 20},
                {"anna", TN_SEQUENCE_END, 1, 3}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        fill(&job, &owner, 0, rows[i].flags, rows[i].x);
        job.job.job.sequence_name = tn_str_from(rows[i].id);
        test_job_run(&job.job, model, &owner);
        assert_true(total(&job) == rows[i].total);
        test_job_clear(&job.job);
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* Many sequences at once, each request sent without waiting: order within each must hold, whatever
 * batches form. */
static void pipelined_requests_keep_order(void **unused)
{
    (void)unused;
    enum { SEQUENCES = 16, LENGTH = 20 };
    struct owner owner;
    static struct add_job jobs[SEQUENCES][LENGTH];
    owner_init(&owner);
    struct tn_model *model = load_adder(SEQUENCES);
    for (size_t k = 0; k < LENGTH; k++) {
        for (size_t i = 0; i < SEQUENCES; i++) {
            unsigned flags = k == 0 ? TN_SEQUENCE_START : k == LENGTH - 1 ? TN_SEQUENCE_END : 0;
            fill(&jobs[i][k], &owner, i + 1, flags, (float)(i + k));
            assert_int_equal(tn_infer_submit(model, &jobs[i][k].job.job, NULL), TN_OK);
        }
    }
    tn_infer_flush(model);
    for (size_t n = 0; n < SEQUENCES * LENGTH; n++) {
        owner_wait(&owner);
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.success_count, SEQUENCES * LENGTH);
    assert_true(stats.execution_count < SEQUENCES * LENGTH); /* they were joined */
    for (size_t i = 0; i < SEQUENCES; i++) {
        float sum = 0;
        for (size_t k = 0; k < LENGTH; k++) {
            sum += (float)(i + k);
            assert_true(total(&jobs[i][k]) == sum);
            test_job_clear(&jobs[i][k].job);
        }
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void too_many_sequences_are_refused(void **unused)
{
    (void)unused;
    struct owner owner;
    struct add_job job;
    struct tn_fault fault = {0};
    owner_init(&owner);
    struct tn_model *model = load_adder(2);
    ask(model, &owner, 1, TN_SEQUENCE_START, 1);
    ask(model, &owner, 2, TN_SEQUENCE_START, 1);
    fill(&job, &owner, 3, TN_SEQUENCE_START, 1);
    assert_int_equal(tn_infer_submit(model, &job.job.job, &fault), TN_LIMIT);
    assert_non_null(strstr(fault.text, "sequences"));
    ask(model, &owner, 1, TN_SEQUENCE_END, 1);
    assert_true(ask(model, &owner, 3, TN_SEQUENCE_START, 4) == 4);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void wrong_states_are_refused(void **unused)
{
    (void)unused;
    struct tn_model_config config;
    struct tn_fault fault = {0};
    struct tn_model *model = NULL;
    struct tn_block *bytes = adder();
    tn_model_config_init(&config);
    config.sequence.states[0] =
        (struct tn_state_config){.input = TN_STR("nothing"), .output = TN_STR("next")};
    config.sequence.state_count = 1;
    struct tn_model_options options = {
        .engine = test_engine, .name = TN_STR("a"), .bytes = bytes, .config = &config};
    assert_int_equal(tn_model_create(&options, &model, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "nothing"));
    tn_block_unref(bytes);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_is_carried),
        cmocka_unit_test(text_ids_are_apart),
        cmocka_unit_test(pipelined_requests_keep_order),
        cmocka_unit_test(too_many_sequences_are_refused),
        cmocka_unit_test(wrong_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
