/* A loaded model end to end: answers, refusals, batches, cancellation, unloading. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "onnx_writer.h"
#include "owner.h"

#include <pthread.h>
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

/* --- Refusals --- */

static void wrong_jobs_are_refused(void **unused)
{
    (void)unused;
    struct owner owner;
    struct simple_job job;
    struct tn_fault fault;
    owner_init(&owner);
    struct tn_model *model = test_load("simple", onnx_simple(), NULL);
    for (int wrong = 0; wrong < 9; wrong++) {
        static const char *const says[] = {
            "no input 'INPUT9'", "needs input 'INPUT1'", "is INT32, not FP32",
            "has shape [-1,16]", "needs 64 bytes",       "asked for twice",
            "above the",         "takes 2 inputs",       "passed already"};
        size_t wanted[2] = {1, 1};
        struct tn_tensor three[3];
        simple_fill(&job, &owner, 1, 1);
        memcpy(three, job.inputs, sizeof(job.inputs));
        three[2] = three[0];
        enum tn_err expected = wrong == 8 ? TN_TIMEOUT : TN_INVALID;
        switch (wrong) {
        case 0:
            job.inputs[1].name = TN_STR_OF("INPUT9");
            break;
        case 1:
            job.job.input_count = 1;
            break;
        case 2:
            job.inputs[0].dtype = TN_DTYPE_FP32;
            break;
        case 3:
            job.inputs[0].shape.dims[1] = 15;
            break;
        case 4:
            job.inputs[0].data.size--;
            break;
        case 5:
            job.job.wanted = wanted;
            job.job.output_count = 2;
            break;
        case 6: {
            struct tn_model_config config;
            tn_model_config_init(&config);
            config.batching.batch_max = 4;
            tn_model_unref(model);
            model = test_load("simple", onnx_simple(), &config);
            simple_fill(&job, &owner, 5, 1);
            break;
        }
        case 7:
            job.job.inputs = three;
            job.job.input_count = 3;
            break;
        default:
            job.job.deadline_ns = tn_clock_mono_ns() - 1;
            break;
        }
        memset(&fault, 0, sizeof(fault));
        assert_int_equal(tn_infer_submit(model, &job.job, &fault), expected);
        if (strstr(fault.text, says[wrong]) == NULL) {
            print_message("'%s' does not say '%s'\n", fault.text, says[wrong]);
        }
        assert_non_null(strstr(fault.text, says[wrong]));
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.pending, 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* Two threads of a loop in the model, so that a run takes long enough to queue behind it. */
static struct tn_block *slow_model(void)
{
    static const int64_t dims[] = {-1, 256};
    static const int64_t square[] = {256, 256};
    static float weights[256 * 256];
    struct onnx_writer writer;
    char in[16] = "x";
    onnx_begin(&writer);
    onnx_constant(&writer, "w", TN_DTYPE_FP32, square, 2, weights, sizeof(weights));
    for (int i = 0; i < 40; i++) {
        char list[64];
        char out[16];
        snprintf(out, sizeof(out), i == 39 ? "y" : "t%d", i);
        snprintf(list, sizeof(list), "%s,w", in);
        onnx_node(&writer, "MatMul", list, out);
        snprintf(in, sizeof(in), "%s", out);
    }
    onnx_input(&writer, "x", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "y", TN_DTYPE_FP32, dims, 2);
    return onnx_end(&writer);
}

enum { SLOW_ITEMS = 512 };
static float slow_input[SLOW_ITEMS * 256];

static void slow_fill(struct test_job *job, struct owner *owner, int64_t items)
{
    int64_t dims[] = {items, 256};
    test_job_init(job, owner);
    test_job_input(job, "x", TN_DTYPE_FP32, dims, 2, slow_input, (size_t)items * 1024);
}

static void full_queues_refuse_and_cancelled_jobs_leave(void **unused)
{
    (void)unused;
    enum { JOBS = 12 };
    static struct test_job jobs[JOBS + 1];
    struct owner owner;
    struct tn_model_config config;
    struct tn_fault fault = {0};
    owner_init(&owner);
    tn_model_config_init(&config);
    config.batching.mode = TN_BATCHING_OFF;
    config.batching.queue_max = JOBS;
    struct tn_model *model = test_load("slow", slow_model(), &config);
    slow_fill(&jobs[0], &owner, SLOW_ITEMS);
    for (size_t i = 1; i <= JOBS; i++) {
        slow_fill(&jobs[i], &owner, 1);
    }
    size_t accepted = 0;
    while (accepted < JOBS && tn_infer_submit(model, &jobs[accepted].job, &fault) == TN_OK) {
        accepted++;
        tn_infer_flush(model);
    }
    assert_int_equal(accepted, JOBS); /* some already began */
    while (tn_infer_submit(model, &jobs[JOBS].job, &fault) == TN_OK) {
        assert_ptr_equal(owner_wait(&owner), &jobs[0].job); /* too quick: make room anew */
        test_job_clear(&jobs[0]);
        slow_fill(&jobs[0], &owner, SLOW_ITEMS);
        break;
    }
    for (size_t i = 1; i < JOBS; i++) {
        tn_infer_cancel(&jobs[i].job);
    }
    size_t cancelled = 0;
    struct tn_infer_job *job = NULL;
    while ((job = owner_poll(&owner, 300)) != NULL) {
        cancelled += job->fault.code == TN_CANCELLED;
        assert_true(job->fault.code == TN_OK || job->fault.code == TN_CANCELLED);
        test_job_clear((struct test_job *)(void *)job);
    }
    assert_true(cancelled > 0);
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.pending, 0);
    assert_int_equal(stats.cancelled_count, cancelled);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void running_jobs_can_be_stopped(void **unused)
{
    (void)unused;
    static struct test_job job;
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = test_load("slow", slow_model(), NULL);
    slow_fill(&job, &owner, 1);
    test_job_run(&job, model, &owner);
    test_job_clear(&job);
    size_t stopped = 0;
    for (int i = 0; i < 10; i++) {
        slow_fill(&job, &owner, SLOW_ITEMS);
        job.inputs[0].shape.dims[0] = 64;
        job.inputs[0].data.size = 64 * 1024;
        assert_int_equal(tn_infer_submit(model, &job.job, NULL), TN_OK);
        tn_infer_flush(model);
        while (atomic_load(&job.job.state) == TN_JOB_QUEUED) {
        }
        tn_infer_cancel(&job.job);
        owner_wait(&owner);
        assert_true(job.job.fault.code == TN_OK || job.job.fault.code == TN_CANCELLED);
        stopped += job.job.fault.code == TN_CANCELLED;
        test_job_clear(&job);
        slow_fill(&job, &owner, 1); /* the next one is not hit by the stop */
        test_job_run(&job, model, &owner);
        assert_int_equal(job.job.fault.code, TN_OK);
        test_job_clear(&job);
    }
    print_message("%zu of 10 runs stopped early\n", stopped);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void expired_jobs_come_back(void **unused)
{
    (void)unused;
    static struct test_job slow;
    static struct test_job late;
    struct owner owner;
    struct tn_model_config config;
    owner_init(&owner);
    tn_model_config_init(&config);
    config.batching.mode = TN_BATCHING_OFF;
    struct tn_model *model = test_load("slow", slow_model(), &config);
    slow_fill(&slow, &owner, SLOW_ITEMS);
    slow_fill(&late, &owner, 1);
    assert_int_equal(tn_infer_submit(model, &slow.job, NULL), TN_OK);
    tn_infer_flush(model);
    while (atomic_load(&slow.job.state) == TN_JOB_QUEUED) {
    }
    late.job.deadline_ns = tn_clock_mono_ns() + 50 * TN_NS_PER_US;
    assert_int_equal(tn_infer_submit(model, &late.job, NULL), TN_OK);
    tn_infer_flush(model);
    assert_ptr_equal(owner_wait(&owner), &slow.job);
    assert_ptr_equal(owner_wait(&owner), &late.job);
    assert_int_equal(late.job.fault.code, TN_TIMEOUT);
    test_job_clear(&slow);
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* --- Outputs where the caller wants them --- */

static void targets_are_filled(void **unused)
{
    (void)unused;
    enum { JOBS = 32 };
    static struct simple_job jobs[JOBS];
    static int32_t memory[JOBS][2][16];
    static struct tn_output_target targets[JOBS][2];
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = test_load("simple", onnx_simple(), NULL);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < JOBS; i++) {
            simple_fill(&jobs[i], &owner, 1, (int32_t)i * 7);
            memset(memory[i], 0xee, sizeof(memory[i]));
            targets[i][0] = (struct tn_output_target){(uint8_t *)memory[i][0], 64};
            targets[i][1] = (struct tn_output_target){(uint8_t *)memory[i][1], i == 5 ? 63 : 64};
            jobs[i].job.targets = targets[i];
            assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
            if (round == 0) { /* each alone: straight into the target */
                tn_infer_flush(model);
                owner_wait(&owner);
            }
        }
        tn_infer_flush(model);
        for (size_t i = 0; round > 0 && i < JOBS; i++) {
            owner_wait(&owner);
        }
        for (size_t i = 0; i < JOBS; i++) {
            if (i == 5) {
                assert_int_equal(jobs[i].job.fault.code, TN_INVALID);
                assert_non_null(strstr(jobs[i].job.fault.text, "room for 63"));
                continue;
            }
            assert_null(jobs[i].outputs[0].owner);
            assert_ptr_equal(jobs[i].outputs[0].data.data, memory[i][0]);
            simple_check(&jobs[i], 1, (int32_t)i * 7);
        }
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

static void texts_pass_through(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {-1, 2};
    static const int64_t one[] = {1, 2};
    static const uint8_t data[] = {3, 0, 0, 0, 'a', 0, 'b', 0, 0, 0, 0};
    enum { JOBS = 20 };
    static struct test_job jobs[JOBS];
    struct onnx_writer writer;
    struct owner owner;
    owner_init(&owner);
    onnx_begin(&writer);
    onnx_node(&writer, "Identity", "in", "out");
    onnx_input(&writer, "in", TN_DTYPE_BYTES, dims, 2);
    onnx_output(&writer, "out", TN_DTYPE_BYTES, dims, 2);
    struct tn_model *model = test_load("texts", onnx_end(&writer), NULL);
    for (size_t i = 0; i < JOBS; i++) {
        test_job_init(&jobs[i], &owner);
        test_job_input(&jobs[i], "in", TN_DTYPE_BYTES, one, 2, data, sizeof(data));
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model);
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].job.fault.code, TN_OK);
        assert_int_equal(jobs[i].outputs[0].data.size, sizeof(data));
        assert_memory_equal(jobs[i].outputs[0].data.data, data, sizeof(data));
        test_job_clear(&jobs[i]);
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* Bytes at an odd address, as they may lie in a message. */
static void unaligned_inputs_are_fine(void **unused)
{
    (void)unused;
    struct owner owner;
    struct simple_job job;
    uint8_t shifted[2][68];
    owner_init(&owner);
    struct tn_model *model = test_load("simple", onnx_simple(), NULL);
    for (size_t off = 1; off < 4; off++) {
        simple_fill(&job, &owner, 1, 40);
        for (size_t k = 0; k < 2; k++) {
            memcpy(shifted[k] + off, job.inputs[k].data.data, 64);
            job.inputs[k].data.data = shifted[k] + off;
        }
        assert_int_equal(tn_infer_submit(model, &job.job, NULL), TN_OK);
        tn_infer_flush(model);
        owner_wait(&owner);
        simple_check(&job, 1, 40);
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* --- Many threads --- */

struct hammer {
    struct tn_model *model;
    unsigned seed;
    size_t answered, cancelled, refused;
};

static void *hammer_run(void *context)
{
    enum { JOBS = 64, ROUNDS = 60 };
    struct hammer *hammer = context;
    struct simple_job *jobs = calloc(JOBS, sizeof(*jobs));
    struct owner owner;
    owner_init(&owner);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t out = 0;
        bool sent[JOBS];
        for (size_t i = 0; i < JOBS; i++) {
            int64_t items = 1 + rand_r(&hammer->seed) % 3;
            simple_fill(&jobs[i], &owner, items, (int32_t)(round * JOBS + i));
            sent[i] = tn_infer_submit(hammer->model, &jobs[i].job, NULL) == TN_OK;
            out += sent[i];
            hammer->refused += !sent[i];
            if (rand_r(&hammer->seed) % 8 == 0) {
                tn_infer_flush(hammer->model);
            }
        }
        for (size_t i = 0; i < JOBS; i += 1 + (size_t)rand_r(&hammer->seed) % 8) {
            if (sent[i]) {
                tn_infer_cancel(&jobs[i].job);
            }
        }
        tn_infer_flush(hammer->model);
        for (; out > 0; out--) {
            owner_wait(&owner);
        }
        for (size_t i = 0; i < JOBS; i++) {
            if (sent[i] && jobs[i].job.fault.code == TN_OK) {
                simple_check(&jobs[i], jobs[i].inputs[0].shape.dims[0],
                             (int32_t)(round * JOBS + i));
                hammer->answered++;
            } else if (sent[i]) {
                assert_int_equal(jobs[i].job.fault.code, TN_CANCELLED);
                hammer->cancelled++;
            }
        }
    }
    tn_model_unref(hammer->model);
    tn_infer_settle();
    owner_deinit(&owner);
    free(jobs);
    return NULL;
}

/* Threads submit, cancel and let go; the last to let go unloads. Every accepted job comes back. */
static void threads_share_a_model(void **unused)
{
    (void)unused;
    enum { THREADS = 4 };
    for (uint32_t instances = 1; instances <= 3; instances += 2) {
        struct hammer hammers[THREADS];
        pthread_t threads[THREADS];
        struct tn_model_config config;
        tn_model_config_init(&config);
        config.instances = instances;
        config.batching.queue_max = 100;
        struct tn_model *model = test_load("simple", onnx_simple(), &config);
        for (size_t i = 0; i < THREADS; i++) {
            hammers[i] = (struct hammer){.model = tn_model_ref(model), .seed = (unsigned)i + 1};
            assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &hammers[i]), 0);
        }
        tn_model_unref(model);
        size_t answered = 0;
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            answered += hammers[i].answered;
        }
        assert_true(answered > 100);
    }
}

/* A model with several instances answers everything, and uses more than one of them. */
static void instances_share_the_load(void **unused)
{
    (void)unused;
    enum { JOBS = 40 };
    static struct test_job jobs[JOBS];
    struct owner owner;
    struct tn_model_config config;
    owner_init(&owner);
    tn_model_config_init(&config);
    config.instances = 2;
    config.batching.mode = TN_BATCHING_OFF;
    struct tn_model *model = test_load("slow", slow_model(), &config);
    for (size_t i = 0; i < JOBS; i++) {
        slow_fill(&jobs[i], &owner, 16);
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model); /* one wake-up from here; the first woken wakes the second */
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    size_t overlapping = 0;
    for (size_t i = 0; i < JOBS; i++) {
        for (size_t k = 0; k < i; k++) {
            overlapping += jobs[i].job.started_ns < jobs[k].job.infer_done_ns &&
                           jobs[k].job.started_ns < jobs[i].job.infer_done_ns;
        }
        test_job_clear(&jobs[i]);
    }
    assert_true(overlapping > 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_answer),
        cmocka_unit_test(wrong_jobs_are_refused),
        cmocka_unit_test(full_queues_refuse_and_cancelled_jobs_leave),
        cmocka_unit_test(running_jobs_can_be_stopped),
        cmocka_unit_test(expired_jobs_come_back),
        cmocka_unit_test(targets_are_filled),
        cmocka_unit_test(texts_pass_through),
        cmocka_unit_test(unaligned_inputs_are_fine),
        cmocka_unit_test(threads_share_a_model),
        cmocka_unit_test(instances_share_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
