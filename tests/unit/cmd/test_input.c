/* What a person types becomes tensors: one row a form, and what each refuses. */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cmd/input.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/tenon-input-XXXXXX";
static struct tn_arena arena;

static int set_up(void **unused)
{
    (void)unused;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **unused)
{
    (void)unused;
    static const char *const names[] = {"a.txt", "a.json", "a.bin", "a.wav"};
    char path[128];
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    tn_arena_deinit(&arena);
    return rmdir(folder);
}

static struct tn_str at_file(const char *name, const void *data, size_t size)
{
    static char value[128];
    snprintf(value, sizeof(value), "@%s/%s", folder, name);
    assert_int_equal(tn_file_write_atomic(value + 1, tn_bytes_make(data, size), 0600, NULL), TN_OK);
    return tn_str_from(value);
}

static void forms_give_shapes(void **unused)
{
    (void)unused;
    const struct {
        const char *value;
        enum tn_dtype dtype;
        struct tn_shape model, wanted;
        enum tn_err err;
        struct tn_shape shape;
        size_t size;
    } rows[] = {
        {"[1,2,3]", TN_DTYPE_INT32, {{-1, 3}, 2}, {{0}, 0}, TN_OK, {{1, 3}, 2}, 12},
        {"[[1,2,3],[4,5,6]]", TN_DTYPE_INT8, {{-1, 3}, 2}, {{0}, 0}, TN_OK, {{2, 3}, 2}, 6},
        {"[[[1],[2]]]", TN_DTYPE_FP32, {{1, -1, 1}, 3}, {{0}, 0}, TN_OK, {{1, 2, 1}, 3}, 8},
        {"7", TN_DTYPE_INT64, {{0}, 0}, {{0}, 0}, TN_OK, {{0}, 0}, 8},
        {"1.5", TN_DTYPE_FP64, {{1}, 1}, {{0}, 0}, TN_OK, {{1}, 1}, 8},
        {"[1,2,3,4]", TN_DTYPE_FP32, {{-1, -1}, 2}, {{2, 2}, 2}, TN_OK, {{2, 2}, 2}, 16},
        {"ones", TN_DTYPE_UINT16, {{-1, 4}, 2}, {{0}, 0}, TN_OK, {{1, 4}, 2}, 8},
        {"zeros", TN_DTYPE_BOOL, {{-1, 4}, 2}, {{3, 4}, 2}, TN_OK, {{3, 4}, 2}, 12},
        {"random", TN_DTYPE_FP16, {{2, 2}, 2}, {{0}, 0}, TN_OK, {{2, 2}, 2}, 8},
        {"hello", TN_DTYPE_BYTES, {{-1}, 1}, {{0}, 0}, TN_OK, {{1}, 1}, 9},
        {"[\"a\",\"bc\"]", TN_DTYPE_BYTES, {{-1}, 1}, {{0}, 0}, TN_OK, {{2}, 1}, 11},
        {"[\"[\\\"\",\"]\"]", TN_DTYPE_BYTES, {{-1}, 1}, {{0}, 0}, TN_OK, {{2}, 1}, 11},
        {"[1,2]", TN_DTYPE_INT32, {{-1, 3}, 2}, {{0}, 0}, TN_INVALID, {{0}, 0}, 0},
        {"[[1,2],[3]]", TN_DTYPE_INT32, {{-1, 2}, 2}, {{0}, 0}, TN_INVALID, {{0}, 0}, 0},
        {"[1,2] 3", TN_DTYPE_INT32, {{2}, 1}, {{0}, 0}, TN_INVALID, {{0}, 0}, 0},
        {"300", TN_DTYPE_UINT8, {{1}, 1}, {{0}, 0}, TN_INVALID, {{0}, 0}, 0},
        {"1.5", TN_DTYPE_INT32, {{1}, 1}, {{0}, 0}, TN_INVALID, {{0}, 0}, 0},
        {"", TN_DTYPE_INT32, {{1}, 1}, {{0}, 0}, TN_TRUNCATED, {{0}, 0}, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_input_spec spec = {.name = TN_STR("x"),
                                     .dtype = rows[i].dtype,
                                     .shape = rows[i].model,
                                     .wanted = rows[i].wanted,
                                     .seed = 1};
        struct tn_input input;
        struct tn_fault fault = {0};
        enum tn_err err = tn_input_read(&spec, tn_str_from(rows[i].value), &arena, &input, &fault);
        if ((err == TN_OK) != (rows[i].err == TN_OK) || (err != TN_OK && fault.text[0] == '\0')) {
            fail_msg("'%s' gave %s: %s", rows[i].value, tn_err_name(err), fault.text);
        }
        if (err == TN_OK) {
            assert_int_equal(input.count, 1);
            assert_true(tn_shape_equal(&input.tensors[0].shape, &rows[i].shape));
            assert_int_equal(input.tensors[0].data.size, rows[i].size);
        }
    }
}

static void random_repeats_by_seed(void **unused)
{
    (void)unused;
    struct tn_input_spec spec = {
        .name = TN_STR("x"), .dtype = TN_DTYPE_FP32, .shape = {{64}, 1}, .seed = 5};
    struct tn_input a;
    struct tn_input b;
    assert_int_equal(tn_input_read(&spec, TN_STR_OF("random"), &arena, &a, NULL), TN_OK);
    assert_int_equal(tn_input_read(&spec, TN_STR_OF("random"), &arena, &b, NULL), TN_OK);
    assert_true(tn_bytes_equal(a.tensors[0].data, b.tensors[0].data));
    spec.seed = 6;
    assert_int_equal(tn_input_read(&spec, TN_STR_OF("random"), &arena, &b, NULL), TN_OK);
    assert_false(tn_bytes_equal(a.tensors[0].data, b.tensors[0].data));
}

static void files_are_read_by_their_ending(void **unused)
{
    (void)unused;
    struct tn_input input;
    struct tn_input_spec text = {.name = TN_STR("t"), .dtype = TN_DTYPE_BYTES, .shape = {{-1}, 1}};
    assert_int_equal(tn_input_read(&text, at_file("a.txt", "one\ntwo\n", 8), &arena, &input, NULL),
                     TN_OK);
    assert_int_equal(input.tensors[0].shape.dims[0], 2);
    assert_memory_equal(input.tensors[0].data.data, "\3\0\0\0one\3\0\0\0two", 14);
    struct tn_input_spec numbers = {
        .name = TN_STR("n"), .dtype = TN_DTYPE_INT16, .shape = {{-1, 2}, 2}};
    assert_int_equal(
        tn_input_read(&numbers, at_file("a.json", "[[1, 2], [3, 4]]", 16), &arena, &input, NULL),
        TN_OK);
    assert_int_equal(input.tensors[0].shape.dims[0], 2);
    assert_int_equal(
        tn_input_read(&numbers, at_file("a.bin", "\1\0\2\0\3\0\4\0", 8), &arena, &input, NULL),
        TN_OK);
    assert_int_equal(input.tensors[0].shape.dims[0], 2);
    struct tn_fault fault = {0};
    assert_int_equal(tn_input_read(&numbers, at_file("a.bin", "\1\0\2", 3), &arena, &input, &fault),
                     TN_INVALID);
    assert_non_null(strstr(fault.text, "3 bytes"));
    assert_int_equal(tn_input_read(&numbers, TN_STR_OF("@/nowhere/x.bin"), &arena, &input, &fault),
                     TN_NOTFOUND);
}

static void sound_is_cut_into_windows(void **unused)
{
    (void)unused;
    uint8_t file[44 + 2 * 1300];
    memcpy(file, "RIFF\0\0\0\0WAVEfmt \20\0\0\0\1\0\1\0\200\76\0\0\0\175\0\0\2\0\20\0data", 40);
    tn_store_le32(file + 40, 2 * 1300);
    for (size_t i = 0; i < 1300; i++) {
        file[44 + 2 * i] = 0;
        file[45 + 2 * i] = 0x40;
    }
    struct tn_input_spec spec = {.name = TN_STR("s"),
                                 .dtype = TN_DTYPE_FP32,
                                 .shape = {{-1, -1}, 2},
                                 .recipe = TN_STR("audio rate=16000 window=512 scale=2")};
    struct tn_input input;
    struct tn_fault fault = {0};
    assert_int_equal(
        tn_input_read(&spec, at_file("a.wav", file, sizeof(file)), &arena, &input, &fault), TN_OK);
    assert_int_equal(input.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(input.tensors[i].shape.dims[1], 512);
        float first;
        memcpy(&first, input.tensors[i].data.data, sizeof(first));
        assert_true(first == 1.0f);
    }
    float last;
    memcpy(&last, input.tensors[2].data.data + 511 * sizeof(float), sizeof(last));
    assert_true(last == 0.0f); /* 1300 samples end inside the third window */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_give_shapes),
        cmocka_unit_test(random_repeats_by_seed),
        cmocka_unit_test(files_are_read_by_their_ending),
        cmocka_unit_test(sound_is_cut_into_windows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
