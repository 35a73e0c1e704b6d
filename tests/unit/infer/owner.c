/* See owner.h. */
#include "owner.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct tn_engine *test_engine;

int test_with_engine(int (*run)(void))
{
    struct tn_fault fault;
    if (tn_engine_create(NULL, &test_engine, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    int failed = run();
    tn_engine_destroy(test_engine);
    return failed;
}

struct tn_model *test_load(const char *name, struct tn_block *bytes,
                           const struct tn_model_config *config)
{
    struct tn_model_config defaults;
    struct tn_fault fault = {0};
    struct tn_model *model = NULL;
    tn_model_config_init(&defaults);
    struct tn_model_options options = {.engine = test_engine,
                                       .name = tn_str_from(name),
                                       .version = 1,
                                       .bytes = bytes,
                                       .config = config != NULL ? config : &defaults};
    enum tn_err err = tn_model_create(&options, &model, &fault);
    if (err != TN_OK) {
        print_message("%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    tn_block_unref(bytes);
    return model;
}

struct tn_block *test_read_model(const char *name)
{
    char path[4096];
    struct tn_block *block = NULL;
    snprintf(path, sizeof(path), "%s/%s.onnx", getenv("TENON_MODELS"), name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("%s is missing: run tools/setup\n", path);
    }
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    assert_int_equal(tn_block_create((size_t)size, &block), TN_OK);
    assert_int_equal(fread(block->data, 1, (size_t)size, file), size);
    block->size = (size_t)size;
    fclose(file);
    return block;
}

void owner_init(struct owner *owner)
{
    tn_parker_init(&owner->parker);
    assert_int_equal(tn_chan_init(&owner->reply, 4096, tn_parker_waker(&owner->parker)), TN_OK);
}

void owner_deinit(struct owner *owner)
{
    tn_chan_deinit(&owner->reply);
}

struct tn_infer_job *owner_poll(struct owner *owner, unsigned ms)
{
    void *item = NULL;
    uint64_t end = tn_clock_mono_ns() + ms * TN_NS_PER_MS;
    while (tn_chan_drain(&owner->reply, &item, 1) == 0) {
        uint64_t now = tn_clock_mono_ns();
        if (now >= end) {
            return NULL;
        }
        if (tn_chan_sleep(&owner->reply)) {
            tn_parker_wait(&owner->parker, end - now);
        }
    }
    return item;
}

struct tn_infer_job *owner_wait(struct owner *owner)
{
    struct tn_infer_job *job = owner_poll(owner, 20000);
    assert_non_null(job);
    return job;
}

void test_job_init(struct test_job *job, struct owner *owner)
{
    memset(job, 0, sizeof(*job));
    job->job.inputs = job->inputs;
    job->job.outputs = job->outputs;
    job->job.reply = &owner->reply;
}

void test_job_input(struct test_job *job, const char *name, enum tn_dtype dtype,
                    const int64_t *dims, size_t rank, const void *data, size_t size)
{
    struct tn_tensor *input = &job->inputs[job->job.input_count++];
    *input = (struct tn_tensor){.name = tn_str_from(name),
                                .dtype = dtype,
                                .shape = {.rank = rank},
                                .data = tn_bytes_make(data, size)};
    for (size_t i = 0; i < rank; i++) {
        input->shape.dims[i] = dims[i];
    }
}

void test_job_run(struct test_job *job, struct tn_model *model, struct owner *owner)
{
    struct tn_fault fault = {0};
    enum tn_err err = tn_infer_submit(model, &job->job, &fault);
    if (err != TN_OK) {
        print_message("%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    tn_infer_flush(model);
    assert_ptr_equal(owner_wait(owner), &job->job);
}

void test_job_clear(struct test_job *job)
{
    for (size_t i = 0; i < job->job.output_count; i++) {
        tn_block_unref(job->outputs[i].owner);
        job->outputs[i].owner = NULL;
    }
    job->job.output_count = 0;
}
