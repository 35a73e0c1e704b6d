/* Warm-up samples: made up and from a file, and refused where they do not fit. */
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

static char folder[] = "/tmp/tenon-warmup-XXXXXX";

static int folder_make(void **unused)
{
    (void)unused;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int folder_remove(void **unused)
{
    (void)unused;
    char path[128];
    snprintf(path, sizeof(path), "%s/sample", folder);
    unlink(path);
    return rmdir(folder);
}

/* Gathers table[i]: only 0 to 3 are good, so what the sample holds can be told from the answer. */
static struct tn_block *table_model(void)
{
    static const float table[4] = {1, 2, 3, 4};
    static const int64_t table_dims[] = {4};
    static const int64_t dims[] = {-1, -1};
    struct onnx_writer writer;
    onnx_begin(&writer);
    onnx_constant(&writer, "table", TN_DTYPE_FP32, table_dims, 1, table, sizeof(table));
    onnx_node(&writer, "Gather", "table,i", "v");
    onnx_input(&writer, "i", TN_DTYPE_INT64, dims, 2);
    onnx_output(&writer, "v", TN_DTYPE_FP32, dims, 2);
    return onnx_end(&writer);
}

static enum tn_err warm(struct tn_warmup_config warmup, struct tn_fault *fault)
{
    struct tn_model_config config;
    struct tn_model *model = NULL;
    struct tn_block *bytes = table_model();
    tn_model_config_init(&config);
    config.warmup[0] = warmup;
    config.warmup_count = 1;
    struct tn_model_options options = {.engine = test_engine,
                                       .name = TN_STR("warm"),
                                       .version = 1,
                                       .bytes = bytes,
                                       .config = &config,
                                       .directory = folder};
    enum tn_err err = tn_model_create(&options, &model, fault);
    if (err == TN_OK) {
        tn_model_unref(model);
    }
    tn_block_unref(bytes);
    return err;
}

static void write_sample(const int64_t *values, size_t count)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/sample", folder);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(values, sizeof(*values), count, file), count);
    fclose(file);
}

static void samples_are_run(void **unused)
{
    (void)unused;
    static const int64_t good[] = {0, 1, 2, 3};
    static const int64_t bad[] = {0, 1, 2, 99};
    struct tn_fault fault = {0};
    size_t live = tn_mem_live();
    struct tn_warmup_config warmup = {
        .name = TN_STR("first"), .batch = 2, .count = 3, .data = TN_STR("random")};
    assert_int_equal(warm(warmup, &fault), TN_INVALID); /* one dimension is open */
    assert_non_null(strstr(fault.text, "warm-up 'first'"));
    assert_non_null(strstr(fault.text, "under shapes"));
    warmup.shapes[0].input = TN_STR_OF("i");
    warmup.shapes[0].shape = (struct tn_shape){{2, 2}, 2};
    warmup.shape_count = 1;
    assert_int_equal(warm(warmup, &fault), TN_OK);
    warmup.data = TN_STR_OF("zero");
    assert_int_equal(warm(warmup, &fault), TN_OK);
    warmup.data = TN_STR_OF("sample");
    assert_int_equal(warm(warmup, &fault), TN_NOTFOUND);
    write_sample(good, 4);
    assert_int_equal(warm(warmup, &fault), TN_OK);
    write_sample(bad, 4); /* it is really run: the model refuses it */
    assert_int_not_equal(warm(warmup, &fault), TN_OK);
    assert_non_null(strstr(fault.text, "the model failed"));
    write_sample(good, 3);
    assert_int_equal(warm(warmup, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "needs 32 bytes, but has 24"));
    static const int64_t long_one[] = {0, 1, 2, 3, 0};
    write_sample(long_one, 5);
    assert_int_equal(warm(warmup, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "too many"));
    warmup.data = TN_STR_OF("../sample");
    assert_int_equal(warm(warmup, &fault), TN_INVALID);
    assert_int_equal(tn_mem_live(), live);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_are_run)};
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}

int main(void)
{
    return test_with_engine(run);
}
