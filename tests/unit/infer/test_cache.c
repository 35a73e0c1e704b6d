/* The response cache: the table alone, then on a model whose every run is seen by its counters. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/cache.h"
#include "onnx_writer.h"
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_tensor output(size_t size, uint8_t fill)
{
    struct tn_block *block = NULL;
    assert_int_equal(tn_block_create(size, &block), TN_OK);
    memset(block->data, fill, size);
    block->size = size;
    return (struct tn_tensor){.dtype = TN_DTYPE_UINT8,
                              .shape = {.dims = {(int64_t)size}, .rank = 1},
                              .data = tn_bytes_make(block->data, size),
                              .owner = block};
}

static void put(struct tn_cache *cache, uint64_t key, size_t size, uint64_t now)
{
    enum tn_cache_answer answer = TN_CACHE_HIT;
    struct tn_cache_entry *entry = NULL;
    bool kept = false;
    assert_int_equal(tn_cache_begin(cache, (struct tn_hash){key, 1}, 1, now, &answer, &entry),
                     TN_OK);
    assert_int_equal(answer, TN_CACHE_MISS);
    struct tn_tensor tensor = output(size, (uint8_t)key);
    assert_int_equal(tn_cache_fill(cache, entry, &tensor, now, &kept), TN_OK);
    assert_true(kept);
    tn_block_unref(tensor.owner);
}

static bool has(struct tn_cache *cache, uint64_t key, uint64_t now)
{
    enum tn_cache_answer answer = TN_CACHE_WAIT;
    struct tn_cache_entry *entry = NULL;
    assert_int_equal(tn_cache_begin(cache, (struct tn_hash){key, 1}, 1, now, &answer, &entry),
                     TN_OK);
    if (answer == TN_CACHE_MISS) {
        tn_cache_drop(cache, entry);
        return false;
    }
    assert_int_equal(answer, TN_CACHE_HIT);
    assert_int_equal(entry->outputs[0].data.data[0], (uint8_t)key);
    return true;
}

static void ages_and_sizes_hold(void **unused)
{
    (void)unused;
    struct tn_cache cache;
    size_t live = tn_mem_live();
    assert_int_equal(tn_cache_init(&cache, 10000, 100), TN_OK);
    put(&cache, 1, 1000, 0);
    assert_true(has(&cache, 1, 99));
    assert_false(has(&cache, 1, 100)); /* as old as its time to live */
    for (uint64_t key = 10; key < 30; key++) {
        put(&cache, key, 1000, 200);
        assert_true(cache.size <= 10000);
        assert_true(has(&cache, 10, 200)); /* used all the time: it stays */
    }
    assert_false(has(&cache, 11, 200));
    assert_true(has(&cache, 29, 200));
    tn_cache_deinit(&cache);
    assert_int_equal(tn_mem_live(), live);
}

static void too_large_is_not_kept(void **unused)
{
    (void)unused;
    struct tn_cache cache;
    enum tn_cache_answer answer = TN_CACHE_HIT;
    struct tn_cache_entry *entry = NULL;
    bool kept = true;
    assert_int_equal(tn_cache_init(&cache, 4096, 100), TN_OK);
    put(&cache, 1, 100, 0);
    assert_int_equal(tn_cache_begin(&cache, (struct tn_hash){2, 1}, 1, 0, &answer, &entry), TN_OK);
    assert_int_equal(answer, TN_CACHE_MISS);
    struct tn_cache_entry *same = NULL;
    assert_int_equal(tn_cache_begin(&cache, (struct tn_hash){2, 1}, 1, 0, &answer, &same), TN_OK);
    assert_int_equal(answer, TN_CACHE_WAIT);
    assert_ptr_equal(same, entry);
    struct tn_tensor tensor = output(5000, 2);
    assert_int_equal(tn_cache_fill(&cache, entry, &tensor, 0, &kept), TN_OK);
    assert_false(kept);
    assert_true(has(&cache, 1, 0)); /* nothing was thrown out for it */
    tn_block_unref(tensor.owner);
    tn_cache_deinit(&cache);
}

static void allocations_may_fail(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    for (size_t n = 1; n < 20; n++) {
        struct tn_cache cache = {0};
        enum tn_cache_answer answer = TN_CACHE_HIT;
        struct tn_cache_entry *entry = NULL;
        struct tn_tensor tensor = output(8, 1);
        tensor.owner->size = 100000; /* claims a large block: the part is copied */
        bool kept = false;
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_cache_init(&cache, 4096, 100);
        if (err == TN_OK) {
            err = tn_cache_begin(&cache, (struct tn_hash){2, 1}, 1, 0, &answer, &entry);
        }
        if (err == TN_OK) {
            err = tn_cache_fill(&cache, entry, &tensor, 0, &kept);
            if (err != TN_OK) {
                tn_cache_drop(&cache, entry);
            }
        }
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        tn_block_unref(tensor.owner);
        tn_cache_deinit(&cache);
        assert_int_equal(tn_mem_live(), live);
    }
}

/* --- On a model --- */

static struct tn_model *load_cached(const char *op)
{
    struct tn_model_config config;
    static const int64_t dims[] = {-1, 16};
    struct onnx_writer writer;
    tn_model_config_init(&config);
    config.cache.enabled = true;
    onnx_begin(&writer);
    onnx_node(&writer, op, "a", "b");
    onnx_input(&writer, "a", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "b", TN_DTYPE_FP32, dims, 2);
    return test_load("cached", onnx_end(&writer), &config);
}

static void fill(struct test_job *job, struct owner *owner, float value, float *data)
{
    static const int64_t dims[] = {1, 16};
    for (size_t i = 0; i < 16; i++) {
        data[i] = value;
    }
    test_job_init(job, owner);
    test_job_input(job, "a", TN_DTYPE_FP32, dims, 2, data, 64);
}

static void equal_requests_run_once(void **unused)
{
    (void)unused;
    enum { JOBS = 40 };
    static struct test_job jobs[JOBS];
    static float data[JOBS][16];
    struct owner owner;
    struct tn_model_stats before;
    struct tn_model_stats stats;
    owner_init(&owner);
    struct tn_model *model = load_cached("Neg");
    tn_model_stats(model, &before);
    for (size_t i = 0; i < JOBS; i++) {
        fill(&jobs[i], &owner, (float)(i % 4), data[i]);
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model);
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    for (size_t i = 0; i < JOBS; i++) {
        float value = 1;
        assert_int_equal(jobs[i].job.fault.code, TN_OK);
        memcpy(&value, jobs[i].outputs[0].data.data, sizeof(value));
        assert_true(value == -(float)(i % 4));
        test_job_clear(&jobs[i]);
    }
    fill(&jobs[0], &owner, 3, data[0]);
    test_job_run(&jobs[0], model, &owner);
    assert_true(jobs[0].job.cached);
    test_job_clear(&jobs[0]);
    tn_model_stats(model, &stats);
    assert_int_equal(stats.cache_miss_count, 4);
    assert_int_equal(stats.cache_hit_count, JOBS - 4 + 1);
    assert_int_equal(stats.inference_count - before.inference_count, 4);
    assert_int_equal(stats.success_count - before.success_count, JOBS + 1);
    assert_int_equal(stats.pending, 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* Cancels some of the equal requests, the leader among them: the others are answered. */
static void cancelled_leader_is_replaced(void **unused)
{
    (void)unused;
    enum { JOBS = 16, ROUNDS = 200 };
    static struct test_job jobs[JOBS];
    static float data[JOBS][16];
    struct owner owner;
    owner_init(&owner);
    struct tn_model *model = load_cached("Neg");
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < JOBS; i++) {
            fill(&jobs[i], &owner, (float)round + 0.5F, data[i]);
            assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
        }
        tn_infer_cancel(&jobs[0].job);
        tn_infer_cancel(&jobs[5].job);
        tn_infer_cancel(&jobs[JOBS - 1].job);
        tn_infer_flush(model);
        for (size_t i = 0; i < JOBS; i++) {
            owner_wait(&owner);
        }
        for (size_t i = 0; i < JOBS; i++) {
            bool asked = i == 0 || i == 5 || i == JOBS - 1;
            enum tn_err code = jobs[i].job.fault.code;
            assert_true(code == TN_OK || (asked && code == TN_CANCELLED));
            test_job_clear(&jobs[i]);
        }
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.pending, 0);
    assert_true(stats.cancelled_count > 0);
    tn_model_unref(model);
    owner_deinit(&owner);
}

/* The index 99 is outside of the table: every run fails, and all who wait hear why. */
static void failure_reaches_those_who_wait(void **unused)
{
    (void)unused;
    enum { JOBS = 10 };
    static const float table[4] = {1, 2, 3, 4};
    static const int64_t table_dims[] = {4};
    static const int64_t dims[] = {-1};
    static const int64_t one[] = {1};
    static const int64_t index = 99;
    static struct test_job jobs[JOBS];
    struct tn_model_config config;
    struct onnx_writer writer;
    struct owner owner;
    owner_init(&owner);
    tn_model_config_init(&config);
    config.cache.enabled = true;
    onnx_begin(&writer);
    onnx_constant(&writer, "table", TN_DTYPE_FP32, table_dims, 1, table, sizeof(table));
    onnx_node(&writer, "Gather", "table,i", "v");
    onnx_input(&writer, "i", TN_DTYPE_INT64, dims, 1);
    onnx_output(&writer, "v", TN_DTYPE_FP32, dims, 1);
    struct tn_model *model = test_load("gather", onnx_end(&writer), &config);
    for (size_t i = 0; i < JOBS; i++) {
        test_job_init(&jobs[i], &owner);
        test_job_input(&jobs[i], "i", TN_DTYPE_INT64, one, 1, &index, sizeof(index));
        assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
    }
    tn_infer_flush(model);
    for (size_t i = 0; i < JOBS; i++) {
        owner_wait(&owner);
    }
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_not_equal(jobs[i].job.fault.code, TN_OK);
        assert_int_equal(jobs[i].job.output_count, 0);
        assert_non_null(strstr(jobs[i].job.fault.text, "the model failed"));
    }
    tn_model_unref(model);
    owner_deinit(&owner);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_and_sizes_hold),
        cmocka_unit_test(too_large_is_not_kept),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(equal_requests_run_once),
        cmocka_unit_test(cancelled_leader_is_replaced),
        cmocka_unit_test(failure_reaches_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
