/* Loading what cannot be loaded, running what fails, and memory that runs out or must come back. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "onnx_writer.h"
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static enum tn_err try_load(struct tn_block *bytes, struct tn_fault *fault)
{
    struct tn_model_config config;
    struct tn_model *model = NULL;
    tn_model_config_init(&config);
    struct tn_model_options options = {.engine = test_engine,
                                       .name = TN_STR("broken"),
                                       .version = 1,
                                       .bytes = bytes,
                                       .config = &config};
    enum tn_err err = tn_model_create(&options, &model, fault);
    if (err == TN_OK) {
        tn_model_unref(model);
    }
    return err;
}

static void truncated_files_are_refused(void **unused)
{
    (void)unused;
    struct tn_block *whole = onnx_simple();
    size_t refused = 0;
    size_t tried = 0;
    for (size_t size = 0; size < whole->size; size += 3) {
        struct tn_block *part = NULL;
        struct tn_fault fault = {0};
        assert_int_equal(tn_block_copy(tn_bytes_make(whole->data, size), &part), TN_OK);
        enum tn_err err = try_load(part, &fault);
        assert_true(err == TN_OK || fault.text[0] != '\0');
        assert_true(err == TN_OK || strstr(fault.text, "'broken'") != NULL);
        refused += err != TN_OK;
        tried++;
        tn_block_unref(part);
    }
    /* The last cuts may leave a whole graph without its operator set. */
    assert_true(refused > tried * 9 / 10);
    tn_block_unref(whole);
}

static void damaged_files_do_no_harm(void **unused)
{
    (void)unused;
    struct tn_block *whole = onnx_simple();
    for (size_t bit = 0; bit < whole->size * 8; bit += 61) {
        struct tn_block *copy = NULL;
        struct tn_fault fault = {0};
        assert_int_equal(tn_block_copy(tn_bytes_make(whole->data, whole->size), &copy), TN_OK);
        copy->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum tn_err err = try_load(copy, &fault);
        assert_true(err == TN_OK || fault.text[0] != '\0');
        tn_block_unref(copy);
    }
    tn_block_unref(whole);
}

static void truncated_real_file_is_refused(void **unused)
{
    (void)unused;
    struct tn_block *whole = test_read_model("ocr_cls");
    for (size_t size = 0; size < whole->size; size += whole->size / 16) {
        struct tn_block *part = NULL;
        struct tn_fault fault = {0};
        assert_int_equal(tn_block_copy(tn_bytes_make(whole->data, size), &part), TN_OK);
        assert_int_not_equal(try_load(part, &fault), TN_OK);
        assert_true(fault.text[0] != '\0');
        tn_block_unref(part);
    }
    tn_block_unref(whole);
}

static void missing_operator_is_named(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {2, 2};
    struct onnx_writer writer;
    struct tn_fault fault = {0};
    onnx_begin(&writer);
    onnx_node(&writer, "Nonsense", "a", "b");
    onnx_input(&writer, "a", TN_DTYPE_FP32, dims, 2);
    onnx_output(&writer, "b", TN_DTYPE_FP32, dims, 2);
    struct tn_block *bytes = onnx_end(&writer);
    assert_int_not_equal(try_load(bytes, &fault), TN_OK);
    assert_non_null(strstr(fault.text, "Nonsense")); /* the missing operator by name */
    tn_block_unref(bytes);
}

static void allocations_may_fail(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        for (size_t n = 1;; n++) {
            struct tn_fault fault = {0};
            struct tn_block *bytes = onnx_simple();
            tn_mem_fail_from(n, persistent);
            enum tn_err err = try_load(bytes, &fault);
            bool delivered = tn_mem_fail_delivered();
            tn_mem_fail_from(0, false);
            tn_block_unref(bytes);
            if (!delivered) {
                assert_int_equal(err, TN_OK);
                break;
            }
            assert_int_equal(err, TN_NOMEM);
            assert_int_equal(tn_mem_live(), live);
        }
    }
    assert_int_equal(tn_mem_live(), live);
}

/* table[i]: an index out of range fails its own request alone, also out of a batch. */
static void one_bad_item_fails_alone(void **unused)
{
    (void)unused;
    enum { JOBS = 64 };
    static const float table[4] = {1, 2, 3, 4};
    static const int64_t table_dims[] = {4};
    static const int64_t dims[] = {-1};
    static const int64_t one[] = {1};
    static struct test_job jobs[JOBS];
    static int64_t indices[JOBS];
    struct onnx_writer writer;
    struct owner owner;
    owner_init(&owner);
    onnx_begin(&writer);
    onnx_constant(&writer, "table", TN_DTYPE_FP32, table_dims, 1, table, sizeof(table));
    onnx_node(&writer, "Gather", "table,i", "v");
    onnx_input(&writer, "i", TN_DTYPE_INT64, dims, 1);
    onnx_output(&writer, "v", TN_DTYPE_FP32, dims, 1);
    struct tn_model *model = test_load("gather", onnx_end(&writer), NULL);
    assert_true(tn_model_info(model)->batched);
    for (size_t round = 0; round < 4; round++) { /* later rounds come as large batches */
        for (size_t i = 0; i < JOBS; i++) {
            indices[i] = i % 16 == 7 ? 99 : (int64_t)(i % 4);
            test_job_init(&jobs[i], &owner);
            test_job_input(&jobs[i], "i", TN_DTYPE_INT64, one, 1, &indices[i], 8);
            assert_int_equal(tn_infer_submit(model, &jobs[i].job, NULL), TN_OK);
        }
        tn_infer_flush(model);
        for (size_t i = 0; i < JOBS; i++) {
            owner_wait(&owner);
        }
        for (size_t i = 0; i < JOBS; i++) {
            if (i % 16 == 7) {
                assert_int_not_equal(jobs[i].job.fault.code, TN_OK);
                assert_int_equal(jobs[i].job.output_count, 0);
                continue;
            }
            assert_int_equal(jobs[i].job.fault.code, TN_OK);
            assert_memory_equal(jobs[i].outputs[0].data.data, &table[i % 4], sizeof(float));
            test_job_clear(&jobs[i]);
        }
    }
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    assert_int_equal(stats.fail_count, 4 * 4);
    assert_int_equal(stats.success_count, 4 * (JOBS - 4));
    tn_model_unref(model);
    owner_deinit(&owner);
}

static size_t resident(void)
{
    unsigned long total = 0;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &pages), 2);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

#if defined(__has_feature)
#define TEST_HAS_FEATURE(name) __has_feature(name)
#else
#define TEST_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    TEST_HAS_FEATURE(address_sanitizer) || TEST_HAS_FEATURE(thread_sanitizer)
static const bool test_sanitized = true;
#else
static const bool test_sanitized = false;
#endif

static void unloading_gives_memory_back(void **unused)
{
    (void)unused;
    static float x[3 * 48 * 192];
    static const int64_t dims[] = {1, 3, 48, 192};
    struct owner owner;
    struct test_job job;
    size_t first = 0;
    size_t live = tn_mem_live();
    owner_init(&owner);
    struct tn_block *bytes = test_read_model("ocr_cls");
    for (size_t i = 0; i < 60; i++) {
        struct tn_model *model = test_load("cls", tn_block_ref(bytes), NULL);
        test_job_init(&job, &owner);
        test_job_input(&job, "x", TN_DTYPE_FP32, dims, 4, x, sizeof(x));
        test_job_run(&job, model, &owner);
        assert_int_equal(job.job.fault.code, TN_OK);
        test_job_clear(&job);
        tn_model_unref(model);
        if (i == 4) {
            first = resident();
        }
    }
    size_t last = resident();
    print_message("resident after 5 cycles %.1f MB, after 60 %.1f MB\n", (double)first / 1e6,
                  (double)last / 1e6);
    if (!test_sanitized) { /* sanitizers keep what was freed, to catch who still uses it */
        assert_true(last < first + (2 << 20));
    }
    tn_block_unref(bytes);
    owner_deinit(&owner);
    assert_int_equal(tn_mem_live(), live);
}

static void versions_are_judged(void **unused)
{
    (void)unused;
    assert_true(tn_engine_version_allowed("1.27.0"));
    assert_true(tn_engine_version_allowed("1.28.2"));
    assert_true(tn_engine_version_allowed("1.16.0"));
    assert_false(tn_engine_version_allowed("1.29.0"));
    assert_false(tn_engine_version_allowed("1.30.1"));
    assert_false(tn_engine_version_allowed("2.0.0"));
    assert_false(tn_engine_version_allowed("nonsense"));
    struct tn_engine *engine = NULL;
    struct tn_fault fault = {0};
    struct tn_engine_options options = {.library = "/nowhere/libonnxruntime.so.1"};
    assert_int_equal(tn_engine_create(&options, &engine, &fault), TN_NOTFOUND);
    assert_non_null(strstr(fault.text, "/nowhere"));
    assert_string_equal(getenv("ORT_DISABLE_TELEMETRY"), "1");
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(truncated_real_file_is_refused),
        cmocka_unit_test(missing_operator_is_named),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(one_bad_item_fails_alone),
        cmocka_unit_test(unloading_gives_memory_back),
        cmocka_unit_test(versions_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
