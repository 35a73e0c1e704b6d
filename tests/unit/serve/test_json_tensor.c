/* JSON arrays to tensors and back: exact values, every refusal, every truncation. */
#include "serve/json_tensor.h"

#include "base/buf.h"
#include "base/mem.h"
#include "core/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_arena arena;

static enum tn_err read_text(const char *text, size_t size, enum tn_dtype dtype,
                             struct tn_shape shape, struct tn_tensor *tensor)
{
    struct tn_json reader;
    struct tn_fault fault = {0};
    *tensor = (struct tn_tensor){.name = TN_STR("x"), .dtype = dtype, .shape = shape};
    tn_json_init(&reader, tn_str_make(text, size));
    enum tn_err err = tn_json_next(&reader);
    if (err != TN_OK || reader.event != TN_JSON_ARRAY) {
        return TN_INVALID;
    }
    err = tn_json_tensor_read(&reader, tensor, &arena, &fault);
    assert_true((err == TN_OK) == (fault.text[0] == '\0'));
    assert_true(err == TN_OK || tensor->data.data == NULL);
    if (err == TN_OK && tn_json_next(&reader) != TN_DONE) {
        return TN_INVALID;
    }
    return err;
}

static struct tn_shape shape_of(size_t rank, int64_t a, int64_t b)
{
    return (struct tn_shape){{a, b}, rank};
}

static enum tn_err read_row(const char *text, enum tn_dtype dtype, int64_t count,
                            struct tn_tensor *tensor)
{
    return read_text(text, strlen(text), dtype, shape_of(1, count, 0), tensor);
}

static void values_are_exact(void **unused)
{
    (void)unused;
    struct tn_tensor tensor;
    assert_int_equal(read_row("[0.1, -2.5e3, 16777217, 1e-45]", TN_DTYPE_FP32, 4, &tensor), TN_OK);
    const float floats[] = {0.1F, -2500.0F, 16777216.0F, 1e-45F};
    assert_int_equal(tensor.data.size, sizeof(floats));
    assert_memory_equal(tensor.data.data, floats, sizeof(floats));
    assert_int_equal((uintptr_t)tensor.data.data % 64, 0);

    assert_int_equal(
        read_row("[9007199254740993,-9223372036854775808]", TN_DTYPE_INT64, 2, &tensor), TN_OK);
    const int64_t longs[] = {INT64_C(9007199254740993), INT64_MIN};
    assert_memory_equal(tensor.data.data, longs, sizeof(longs));
    assert_int_equal(read_row("[18446744073709551615]", TN_DTYPE_UINT64, 1, &tensor), TN_OK);
    assert_int_equal(tn_load_le64(tensor.data.data), UINT64_MAX);

    const char *nested = " [ [1,2] , [3,4] ] ";
    assert_int_equal(read_text(nested, strlen(nested), TN_DTYPE_INT8, shape_of(2, 2, 2), &tensor),
                     TN_OK);
    assert_memory_equal(tensor.data.data, "\1\2\3\4", 4);
    assert_int_equal(read_row("[true,false]", TN_DTYPE_BOOL, 2, &tensor), TN_OK);
    assert_memory_equal(tensor.data.data, "\1\0", 2);
    assert_int_equal(read_row("[]", TN_DTYPE_FP32, 0, &tensor), TN_OK);
    assert_int_equal(tensor.data.size, 0);

    assert_int_equal(read_row("[\"\",\"a\\n\\u00e4\\ud834\\udd1e\"]", TN_DTYPE_BYTES, 2, &tensor),
                     TN_OK);
    assert_int_equal(tensor.data.size, 4 + 4 + 8);
    assert_memory_equal(tensor.data.data, "\0\0\0\0\10\0\0\0a\n\xc3\xa4\xf0\x9d\x84\x9e", 16);
}

static void wrong_data_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum tn_dtype dtype;
        int64_t count;
    } cases[] = {
        {"[NaN]", TN_DTYPE_FP32, 1},
        {"[Infinity]", TN_DTYPE_FP64, 1},
        {"[-Infinity]", TN_DTYPE_FP32, 1},
        {"[1e39]", TN_DTYPE_FP32, 1},
        {"[1e309]", TN_DTYPE_FP64, 1},
        {"[null]", TN_DTYPE_FP32, 1},
        {"[\"1\"]", TN_DTYPE_INT32, 1},
        {"[1.5]", TN_DTYPE_INT32, 1},
        {"[1e2]", TN_DTYPE_INT32, 1},
        {"[128]", TN_DTYPE_INT8, 1},
        {"[-129]", TN_DTYPE_INT8, 1},
        {"[-1]", TN_DTYPE_UINT8, 1},
        {"[256]", TN_DTYPE_UINT8, 1},
        {"[65536]", TN_DTYPE_UINT16, 1},
        {"[4294967296]", TN_DTYPE_UINT32, 1},
        {"[9223372036854775808]", TN_DTYPE_INT64, 1},
        {"[18446744073709551616]", TN_DTYPE_UINT64, 1},
        {"[1]", TN_DTYPE_FP32, 2},
        {"[1,2,3]", TN_DTYPE_FP32, 2},
        {"[1,]", TN_DTYPE_FP32, 1},
        {"[,1]", TN_DTYPE_FP32, 1},
        {"[01]", TN_DTYPE_FP32, 1},
        {"[1 2]", TN_DTYPE_FP32, 2},
        {"[{}]", TN_DTYPE_FP32, 1},
        {"[1]", TN_DTYPE_FP16, 1},
        {"[1]", TN_DTYPE_BF16, 1},
        {"[1]", TN_DTYPE_BYTES, 1},
        {"[\"a\"]", TN_DTYPE_BYTES, 2},
        {"[\"a\",\"b\"]", TN_DTYPE_BYTES, 1},
        {"[\"\\ud800\"]", TN_DTYPE_BYTES, 1},
        {"[\"\\x\"]", TN_DTYPE_BYTES, 1},
        {"[\"\xff\"]", TN_DTYPE_BYTES, 1},
        {"[2]", TN_DTYPE_BOOL, 1},
        {"[1]", TN_DTYPE_FP32, -1},
        {"[1]", TN_DTYPE_FP32, INT64_MAX},
        {"[1]", TN_DTYPE_BYTES, INT64_MAX / 8},
    };
    struct tn_tensor tensor;
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        if (read_row(cases[i].text, cases[i].dtype, cases[i].count, &tensor) == TN_OK) {
            fail_msg("%s as %s was taken", cases[i].text, tn_dtype_name(cases[i].dtype));
        }
        tn_arena_reset(&arena);
    }
}

static void every_truncation_is_refused(void **unused)
{
    (void)unused;
    static const char numbers[] = "[[1.25,-3e2],[4,5.5]]";
    static const char strings[] = "[\"a\\u00e4\",\"b\\\"\"]";
    struct tn_tensor tensor;
    for (size_t size = 0; size + 1 < sizeof(numbers); size++) {
        char *copy = malloc(size + 1); /* exact, so that a sanitizer sees a byte too far */
        memcpy(copy, numbers, size);
        assert_int_not_equal(read_text(copy, size, TN_DTYPE_FP32, shape_of(2, 2, 2), &tensor),
                             TN_OK);
        free(copy);
    }
    for (size_t size = 0; size + 1 < sizeof(strings); size++) {
        char *copy = malloc(size + 1);
        memcpy(copy, strings, size);
        assert_int_not_equal(read_text(copy, size, TN_DTYPE_BYTES, shape_of(1, 2, 0), &tensor),
                             TN_OK);
        free(copy);
    }
    tn_arena_reset(&arena);
}

static void put(void *context, const void *data, size_t size)
{
    tn_buf_put(context, data, size);
}

static enum tn_err write_text(const struct tn_tensor *tensor, struct tn_buf *out)
{
    struct tn_json_sink sink = {.put = put, .context = out};
    struct tn_json_writer writer;
    tn_buf_reset(out);
    tn_json_writer_init(&writer, &sink);
    enum tn_err err = tn_json_tensor_write(tensor, &writer, NULL);
    tn_json_flush(&writer);
    return err;
}

static void random_floats_come_back(void **unused)
{
    (void)unused;
    struct tn_buf out;
    tn_buf_init(&out, 0);
    uint64_t seed = 0x853c49e6748fea9b;
    print_message("seed %llx\n", (unsigned long long)seed);
    for (int round = 0; round < 200; round++) {
        uint32_t bits[64];
        for (size_t i = 0; i < TN_COUNT(bits); i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            bits[i] = (uint32_t)(seed >> 32);
            bits[i] = (bits[i] & 0x7f800000) == 0x7f800000 ? 0 : bits[i];
        }
        struct tn_tensor tensor = {.name = TN_STR("x"),
                                   .dtype = TN_DTYPE_FP32,
                                   .shape = shape_of(1, 64, 0),
                                   .data = tn_bytes_make(bits, sizeof(bits))};
        struct tn_tensor back;
        assert_int_equal(write_text(&tensor, &out), TN_OK);
        assert_int_equal(read_text((char *)out.data, out.size, TN_DTYPE_FP32, tensor.shape, &back),
                         TN_OK);
        assert_memory_equal(back.data.data, bits, sizeof(bits));
        tn_arena_reset(&arena);
    }
    tn_buf_deinit(&out);
}

static void unspeakable_values_are_refused(void **unused)
{
    (void)unused;
    struct tn_buf out;
    tn_buf_init(&out, 0);
    const float wrong[] = {1.0F, NAN};
    const double infinite[] = {INFINITY};
    struct tn_tensor tensor = {.name = TN_STR("x"), .dtype = TN_DTYPE_FP32};
    tensor.data = tn_bytes_make(wrong, sizeof(wrong));
    assert_int_equal(write_text(&tensor, &out), TN_UNSUPPORTED);
    tensor.dtype = TN_DTYPE_FP16;
    assert_int_equal(write_text(&tensor, &out), TN_UNSUPPORTED);
    tensor.dtype = TN_DTYPE_FP64;
    tensor.data = tn_bytes_make(infinite, sizeof(infinite));
    assert_int_equal(write_text(&tensor, &out), TN_UNSUPPORTED);
    tensor.dtype = TN_DTYPE_BYTES;
    tensor.data = tn_bytes_make("\1\0\0\0\xff", 5);
    assert_int_equal(write_text(&tensor, &out), TN_UNSUPPORTED);
    tensor.data = tn_bytes_make("\2\0\0\0a", 5); /* a length beyond the end */
    assert_int_equal(write_text(&tensor, &out), TN_UNSUPPORTED);
    tensor.data = tn_bytes_make("\1\0\0\0\"\0\0\0\0", 9);
    assert_int_equal(write_text(&tensor, &out), TN_OK);
    assert_memory_equal(out.data, "[\"\\\"\",\"\"]", out.size);
    tn_buf_deinit(&out);
}

static int begin(void **unused)
{
    (void)unused;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    tn_arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact),
        cmocka_unit_test(wrong_data_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(random_floats_come_back),
        cmocka_unit_test(unspeakable_values_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
