/* What the tests of models share: an engine, loading from bytes, and an owner of jobs that waits
 * for them with a bound. Memory: the caller's structs. Threads: one owner a thread. */
#ifndef TN_TESTS_OWNER_H
#define TN_TESTS_OWNER_H

#include "infer/engine.h"
#include "infer/model.h"

extern struct tn_engine *test_engine;

/* Creates the engine, runs main's tests, destroys it. */
int test_with_engine(int (*run)(void));

/* Loads and takes the bytes' reference; fails the test with the fault's text. `config` may be NULL.
 */
struct tn_model *test_load(const char *name, struct tn_block *bytes,
                           const struct tn_model_config *config);

/* A file of the set-up's models. */
struct tn_block *test_read_model(const char *name);

struct owner {
    struct tn_chan reply;
    struct tn_parker parker;
};
void owner_init(struct owner *owner);
void owner_deinit(struct owner *owner);
/* The next job that came back; fails the test after 20 s. */
struct tn_infer_job *owner_wait(struct owner *owner);
/* The same, or NULL when none came within `ms`. */
struct tn_infer_job *owner_poll(struct owner *owner, unsigned ms);

/* A job with its tensors, ready to fill. */
struct test_job {
    struct tn_infer_job job;
    struct tn_tensor inputs[4], outputs[4];
    size_t wanted[4];
};
void test_job_init(struct test_job *job, struct owner *owner);
/* Adds an input; the bytes stay the caller's. */
void test_job_input(struct test_job *job, const char *name, enum tn_dtype dtype,
                    const int64_t *dims, size_t rank, const void *data, size_t size);
/* Submits, flushes, waits for this very job. */
void test_job_run(struct test_job *job, struct tn_model *model, struct owner *owner);
/* Gives the outputs' references back. */
void test_job_clear(struct test_job *job);

#endif
