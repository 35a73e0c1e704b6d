/* Element types, shapes and the byte check, with every truncation of a BYTES tensor. */
#include "core/assert.h"
#include "infer/tensor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void names_and_sizes_agree(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        size_t size;
    } rows[] = {{"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
                {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},  {"FP16", 2},
                {"FP32", 4}, {"FP64", 8},  {"BF16", 2},   {"BYTES", 0}};
    assert_int_equal(TN_COUNT(rows), TN_DTYPE_COUNT - 1);
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        enum tn_dtype dtype = tn_dtype_parse(tn_str_from(rows[i].name));
        assert_int_not_equal(dtype, TN_DTYPE_INVALID);
        assert_string_equal(tn_dtype_name(dtype), rows[i].name);
        assert_int_equal(tn_dtype_size(dtype), rows[i].size);
    }
    assert_int_equal(tn_dtype_parse(TN_STR_OF("INVALID")), TN_DTYPE_INVALID);
    assert_int_equal(tn_dtype_parse(TN_STR_OF("fp32")), TN_DTYPE_INVALID);
    assert_int_equal(tn_dtype_parse(TN_STR_OF("")), TN_DTYPE_INVALID);
    assert_string_equal(tn_dtype_name((enum tn_dtype)99), "INVALID");
}

static void elements_of_edges(void **unused)
{
    (void)unused;
    uint64_t n = 7;
    assert_int_equal(tn_shape_elements(&(struct tn_shape){.rank = 0}, &n), TN_OK);
    assert_int_equal(n, 1);
    struct tn_shape s = {.dims = {2, 3, 4}, .rank = 3};
    assert_int_equal(tn_shape_elements(&s, &n), TN_OK);
    assert_int_equal(n, 24);
    s.dims[1] = -1;
    n = 7;
    assert_int_equal(tn_shape_elements(&s, &n), TN_INVALID);
    assert_int_equal(n, 7);
    struct tn_shape big = {.dims = {INT64_MAX, INT64_MAX}, .rank = 2};
    assert_int_equal(tn_shape_elements(&big, &n), TN_LIMIT);
    big.dims[2] = 0;
    big.rank = 3;
    assert_int_equal(tn_shape_elements(&big, &n), TN_OK);
    assert_int_equal(n, 0);
    struct tn_shape edge = {.dims = {INT64_C(1) << 31, INT64_C(1) << 31}, .rank = 2};
    assert_int_equal(tn_shape_elements(&edge, &n), TN_OK);
    assert_true(n == UINT64_C(1) << 62);
    edge.dims[0]++;
    assert_int_equal(tn_shape_elements(&edge, &n), TN_LIMIT);
}

static void fits_and_equal(void **unused)
{
    (void)unused;
    struct tn_shape free_first = {.dims = {-1, 3}, .rank = 2};
    struct tn_shape a = {.dims = {5, 3}, .rank = 2};
    struct tn_shape b = {.dims = {5, 4}, .rank = 2};
    struct tn_shape c = {.dims = {5, 3, 1}, .rank = 3};
    assert_true(tn_shape_fits(&free_first, &a));
    assert_false(tn_shape_fits(&free_first, &b));
    assert_false(tn_shape_fits(&free_first, &c));
    assert_false(tn_shape_fits(&free_first, &free_first)); /* an actual shape is never free */
    assert_true(tn_shape_equal(&a, &a));
    assert_false(tn_shape_equal(&a, &b));
    assert_false(tn_shape_equal(&a, &c));
    struct tn_shape_text text;
    assert_string_equal(tn_shape_print(&free_first, &text), "[-1,3]");
    assert_string_equal(tn_shape_print(&(struct tn_shape){.rank = 0}, &text), "[]");
    struct tn_shape longest = {.rank = TN_RANK_MAX};
    for (size_t i = 0; i < TN_RANK_MAX; i++) {
        longest.dims[i] = INT64_MIN;
    }
    assert_int_equal(strlen(tn_shape_print(&longest, &text)), 8 * 20 + 7 + 2);
}

static void fixed_types_need_exact_bytes(void **unused)
{
    (void)unused;
    uint8_t bytes[64] = {0};
    struct tn_tensor tensor = {.name = TN_STR("x"), .shape = {.dims = {2, 3}, .rank = 2}};
    for (int dtype = TN_DTYPE_BOOL; dtype < TN_DTYPE_BYTES; dtype++) {
        tensor.dtype = (enum tn_dtype)dtype;
        for (size_t size = 0; size <= sizeof(bytes); size++) {
            tensor.data = tn_bytes_make(bytes, size);
            struct tn_fault fault = {0};
            bool right = size == 6 * tn_dtype_size(tensor.dtype);
            assert_int_equal(tn_tensor_check(&tensor, &fault), right ? TN_OK : TN_INVALID);
            assert_int_equal(fault.text[0] != '\0', !right);
        }
    }
    tensor.dtype = TN_DTYPE_INVALID;
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
    tensor.dtype = TN_DTYPE_FP64;
    tensor.shape = (struct tn_shape){.dims = {INT64_C(1) << 61}, .rank = 1};
    tensor.data = tn_bytes_make(bytes, 0); /* 2^61 * 8 wraps to 0 */
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
}

static void bytes_type_walks_lengths(void **unused)
{
    (void)unused;
    static const uint8_t good[] = {1, 0, 0, 0, 'a', 0, 0, 0, 0, 3, 0, 0, 0, 'b', 0, 'c'};
    struct tn_tensor tensor = {.name = TN_STR("s"),
                               .dtype = TN_DTYPE_BYTES,
                               .shape = {.dims = {3}, .rank = 1},
                               .data = {good, sizeof(good)}};
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_OK);
    for (size_t size = 0; size < sizeof(good); size++) {
        tensor.data.size = size;
        assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
    }
    tensor.data.size = sizeof(good);
    tensor.shape.dims[0] = 2;
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID); /* trailing */
    tensor.shape.dims[0] = 4;
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
    tensor.shape.dims[0] = INT64_C(1) << 60; /* must end early */
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
    uint8_t huge[8] = {0xff, 0xff, 0xff, 0xff};
    tensor.shape.dims[0] = 1;
    tensor.data = tn_bytes_make(huge, sizeof(huge));
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_INVALID);
    tensor.shape.dims[0] = 0;
    tensor.data = tn_bytes_make(NULL, 0);
    assert_int_equal(tn_tensor_check(&tensor, NULL), TN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sizes_agree),    cmocka_unit_test(elements_of_edges),
        cmocka_unit_test(fits_and_equal),           cmocka_unit_test(fixed_types_need_exact_bytes),
        cmocka_unit_test(bytes_type_walks_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
