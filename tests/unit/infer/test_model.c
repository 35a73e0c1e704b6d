/* A loaded model end to end: answers, refusals, batches, cancellation, unloading. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "onnx_writer.h"
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A job of the simple model. */
struct simple_job {
    struct tn_infer_job job;
    struct tn_tensor inputs[2];
    struct tn_tensor outputs[2];
    int32_t a[8 * 16], b[8 * 16];
};

static void simple_fill(struct simple_job *job, struct owner *owner, int64_t items, int32_t seed)
{
    memset(job, 0, sizeof(*job));
    for (int i = 0; i < (int)items * 16; i++) {
        job->a[i] = seed + i;
        job->b[i] = seed * 3 - i;
    }
    struct tn_shape shape = {.dims = {items, 16}, .rank = 2};
    job->inputs[0] = (struct tn_tensor){.name = TN_STR("INPUT0"),
                                        .dtype = TN_DTYPE_INT32,
                                        .shape = shape,
                                        .data = {(uint8_t *)job->a, (size_t)items * 64}};
    job->inputs[1] = (struct tn_tensor){.name = TN_STR("INPUT1"),
                                        .dtype = TN_DTYPE_INT32,
                                        .shape = shape,
                                        .data = {(uint8_t *)job->b, (size_t)items * 64}};
    job->job.inputs = job->inputs;
    job->job.input_count = 2;
    job->job.outputs = job->outputs;
    job->job.reply = &owner->reply;
}

static void simple_check(struct simple_job *job, int64_t items, int32_t seed)
{
    assert_int_equal(job->job.fault.code, TN_OK);
    assert_int_equal(job->job.output_count, 2);
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(job->outputs[k].shape.dims[0], items);
        assert_int_equal(job->outputs[k].shape.dims[1], 16);
        assert_int_equal(job->outputs[k].data.size, items * 64);
    }
    for (int i = 0; i < (int)items * 16; i++) {
        int32_t sum = 0;
        int32_t difference = 0;
        memcpy(&sum, job->outputs[0].data.data + i * 4, 4);
        memcpy(&difference, job->outputs[1].data.data + i * 4, 4);
        assert_int_equal(sum, seed * 4);
        assert_int_equal(difference, 2 * i - 2 * seed);
    }
    tn_block_unref(job->outputs[0].owner);
    tn_block_unref(job->outputs[1].owner);
}

static void one_answer(void **unused)
{
    (void)unused;
    struct owner owner;
    struct simple_job job;
    owner_init(&owner);
    struct tn_model *model = test_load("simple", onnx_simple(), NULL);
    const struct tn_model_info *info = tn_model_info(model);
    assert_true(info->batched);
    assert_int_equal(info->batch_max, 64);
    assert_string_equal(info->platform, "onnxruntime_onnx");
    for (int64_t items = 1; items <= 8; items++) {
        simple_fill(&job, &owner, items, 1000 * (int32_t)items);
        struct tn_tensor swap = job.inputs[0]; /* in any order */
        job.inputs[0] = job.inputs[1];
        job.inputs[1] = swap;
        assert_int_equal(tn_infer_submit(model, &job.job, NULL), TN_OK);
        tn_infer_flush(model);
        assert_ptr_equal(owner_wait(&owner), &job.job);
        simple_check(&job, items, 1000 * (int32_t)items);
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.success_count, 8);
    assert_int_equal(stats.inference_count, 36);
    assert_int_equal(stats.pending, 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
