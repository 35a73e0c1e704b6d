/* The real models of the set-up: what is found out about them at load, and that each of several
 * jobs in one batch gets the answer that it gets alone. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/engine.h"
#include "infer/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_engine *engine;

static struct tn_block *read_model(const char *name)
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

static struct tn_model *load(const char *name)
{
    struct tn_model_config config;
    struct tn_fault fault = {0};
    struct tn_model *model = NULL;
    struct tn_block *bytes = read_model(name);
    tn_model_config_init(&config);
    struct tn_model_options options = {.engine = engine,
                                       .name = tn_str_from(name),
                                       .version = 1,
                                       .bytes = bytes,
                                       .config = &config};
    uint64_t start = tn_clock_mono_ns();
    enum tn_err err = tn_model_create(&options, &model, &fault);
    if (err != TN_OK) {
        print_message("%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    tn_block_unref(bytes);
    print_message("%s: loaded in %.1f ms\n", name, (double)(tn_clock_mono_ns() - start) / 1e6);
    return model;
}

static void axes_are_found(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        bool batched;
        int inputs[3];
        int outputs[2];
    } rows[] = {
        {"silero_vad_v6", false, {0, 1, -1}, {0, 1}},
        {"ocr_cls", true, {0}, {0}},
        {"ocr_rec", true, {0}, {0}},
        {"ocr_det", true, {0}, {0}},
        {"embedding_model", true, {0}, {0}},
        {"melspectrogram", false, {-1}, {-1}},
        {"hey_jarvis_v0.1", false, {-1}, {-1}},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_model *model = load(rows[i].name);
        const struct tn_model_info *info = tn_model_info(model);
        for (size_t k = 0; k < info->input_count; k++) {
            struct tn_shape_text text;
            print_message("  in %.*s %s axis %d\n", TN_STR_ARG(info->inputs[k].name),
                          tn_shape_print(&info->inputs[k].shape, &text),
                          info->inputs[k].batch_axis);
            assert_int_equal(info->inputs[k].batch_axis, rows[i].inputs[k]);
        }
        for (size_t k = 0; k < info->output_count; k++) {
            assert_int_equal(info->outputs[k].batch_axis, rows[i].outputs[k]);
        }
        assert_int_equal(info->batched, rows[i].batched);
        tn_model_unref(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_found),
    };
    struct tn_fault fault;
    if (tn_engine_create(NULL, &engine, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tn_engine_destroy(engine);
    return failed;
}
