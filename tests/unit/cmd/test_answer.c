/* Answers in words: classes, text, scores, plain numbers of every datatype, and recipes that do not
 * fit. */
#include "cmd/answer.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct tn_tensor floats(const float *values, int64_t a, int64_t b, int64_t c)
{
    struct tn_tensor tensor = {.dtype = TN_DTYPE_FP32, .shape = {.dims = {a, b, c}, .rank = 3}};
    tensor.data = tn_bytes_make(values, (size_t)(a * b * c) * sizeof(float));
    return tensor;
}

/* What is printed for the answer, or the fault's text. */
static const char *said(const struct tn_answer *answer, enum tn_err wanted)
{
    static char text[2048];
    struct tn_buf out;
    struct tn_fault fault = {0};
    tn_buf_init(&out, 0);
    enum tn_err err = tn_answer_print(answer, &out, &fault);
    assert_int_equal(err, wanted);
    snprintf(text, sizeof(text), "%.*s%s", (int)out.size, out.data != NULL ? (char *)out.data : "",
             fault.text);
    tn_buf_deinit(&out);
    return text;
}

static void classes_come_best_first(void **unused)
{
    (void)unused;
    const float values[] = {0.1f, 0.7f, 0.2f, 0.5f, 0.25f, 0.5f};
    struct tn_tensor tensor = floats(values, 1, 2, 3);
    struct tn_answer answer = {.name = TN_STR("y"),
                               .recipe = TN_STR("classes top=2"),
                               .labels = TN_STR("cat\ndog\n"),
                               .tensors = &tensor,
                               .count = 1};
    assert_string_equal(said(&answer, TN_OK), "y: dog (0.7), class 2 (0.2)\n"
                                              "y: cat (0.5), class 2 (0.5)\n");
    answer.recipe = TN_STR_OF("classes top=9");
    assert_string_equal(said(&answer, TN_OK), "y: dog (0.7), class 2 (0.2), cat (0.1)\n"
                                              "y: cat (0.5), class 2 (0.5), dog (0.25)\n");
}

static void ctc_folds_repeats_and_drops_blanks(void **unused)
{
    (void)unused;
    /* classes: blank, a, b, space; path: a a blank a b b space blank b */
    static const int path[] = {1, 1, 0, 1, 2, 2, 3, 0, 2};
    float values[9 * 4] = {0};
    for (size_t i = 0; i < TN_COUNT(path); i++) {
        values[i * 4 + (size_t)path[i]] = 1.0f;
    }
    struct tn_tensor tensor = floats(values, 1, 9, 4);
    struct tn_answer answer = {.name = TN_STR("text"),
                               .recipe = TN_STR("ctc space=last"),
                               .labels = TN_STR("a\nb\n"),
                               .tensors = &tensor,
                               .count = 1};
    assert_string_equal(said(&answer, TN_OK), "text: \"aab b\" (mean confidence 1.000)\n");
    tensor.shape.rank = 2;
    assert_non_null(strstr(said(&answer, TN_INVALID), "[batch, steps, classes]"));
}

static void scores_tell_when(void **unused)
{
    (void)unused;
    const float values[] = {0.1f, 0.6f, 0.9f, 0.2f, 0.7f};
    struct tn_tensor tensors[5];
    for (size_t i = 0; i < 5; i++) {
        tensors[i] = floats(&values[i], 1, 1, 1);
    }
    struct tn_answer answer = {
        .name = TN_STR("p"),
        .recipe = TN_STR("score threshold=0.5 over=some_speech under=silence seconds=0.5"),
        .tensors = tensors,
        .count = 5};
    const char *text = said(&answer, TN_OK);
    assert_non_null(strstr(
        text, "p: some speech (peak 0.9000 at 1.00 s, from 0.50 s to 1.50 s, 2.00 s to 2.50 s)\n"));
    assert_non_null(strstr(text, "[▁▅▇▂▆]"));
    answer.count = 1;
    assert_string_equal(said(&answer, TN_OK), "p: silence (peak 0.1000)\n");
}

static void every_datatype_prints(void **unused)
{
    (void)unused;
    const struct {
        enum tn_dtype dtype;
        uint8_t bytes[16];
        const char *text;
    } rows[] = {
        {TN_DTYPE_BOOL, {1, 0}, "x  BOOL[2]  1, 0\n"},
        {TN_DTYPE_INT8, {0xff, 2}, "x  INT8[2]  -1, 2\n"},
        {TN_DTYPE_UINT16, {1, 1, 2, 0}, "x  UINT16[2]  257, 2\n"},
        {TN_DTYPE_INT16, {0xfe, 0xff, 2, 0}, "x  INT16[2]  -2, 2\n"},
        {TN_DTYPE_FP16, {0, 0x3c, 0, 0xc0}, "x  FP16[2]  1, -2\n"},
        {TN_DTYPE_BF16, {0x80, 0x3f, 0, 0xc0}, "x  BF16[2]  1, -2\n"},
        {TN_DTYPE_UINT32, {0xff, 0xff, 0xff, 0xff}, "x  UINT32[2]  4.29497e+09, 0\n"},
        {TN_DTYPE_INT64, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "x  INT64[2]  -1, 0\n"},
        {TN_DTYPE_FP64, {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, "x  FP64[2]  1.5, 0\n"},
        {TN_DTYPE_BYTES, {2, 0, 0, 0, 'h', 'i', 1, 0, 0, 0, '!'}, "x  BYTES[2]  \"hi\", \"!\"\n"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        size_t size = rows[i].dtype == TN_DTYPE_BYTES ? 11 : 2 * tn_dtype_size(rows[i].dtype);
        struct tn_tensor tensor = {.dtype = rows[i].dtype,
                                   .shape = {.dims = {2}, .rank = 1},
                                   .data = tn_bytes_make(rows[i].bytes, size)};
        struct tn_answer answer = {.name = TN_STR("x"), .tensors = &tensor, .count = 1};
        assert_string_equal(said(&answer, TN_OK), rows[i].text);
    }
}

static void unknown_recipes_are_named(void **unused)
{
    (void)unused;
    float value = 1.0f;
    struct tn_tensor tensor = floats(&value, 1, 1, 1);
    struct tn_answer answer = {
        .name = TN_STR("y"), .recipe = TN_STR("boxes"), .tensors = &tensor, .count = 1};
    assert_non_null(strstr(said(&answer, TN_INVALID), "'boxes'"));
    answer.recipe = TN_STR_OF("classes best=2");
    assert_non_null(strstr(said(&answer, TN_INVALID), "'best=2'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_come_best_first),
        cmocka_unit_test(ctc_folds_repeats_and_drops_blanks),
        cmocka_unit_test(scores_tell_when),
        cmocka_unit_test(every_datatype_prints),
        cmocka_unit_test(unknown_recipes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
