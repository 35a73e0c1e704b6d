/* The real models of the set-up: what is found out about them at load, above all along which axes
 * they batch. That they batch rightly is what loading itself proves (infer/plan.h). */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "owner.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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
        struct tn_model *model = test_load(rows[i].name, test_read_model(rows[i].name), NULL);
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

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return test_with_engine(run);
}
