/* .npy: what numpy writes is read, what we write numpy's rules accept, damage is refused. */
#include "cmd/npy.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static size_t write_file(uint8_t *out, size_t room, int major, const char *header, size_t data)
{
    size_t length = strlen(header);
    size_t at = 10;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)major;
    out[7] = 0;
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    if (major >= 2) {
        out[10] = out[11] = 0;
        at = 12;
    }
    TN_ASSERT(at + length + data <= room);
    memcpy(out + at, header, length);
    for (size_t i = 0; i < data; i++) {
        out[at + length + i] = (uint8_t)i;
    }
    return at + length + data;
}

static void numpy_headers(void **unused)
{
    (void)unused;
    const struct {
        const char *header;
        size_t data;
        enum tn_err err;
        enum tn_dtype dtype;
        size_t rank;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, TN_OK, TN_DTYPE_FP32,
         2},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }\n", 4, TN_OK, TN_DTYPE_BOOL, 1},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n", 8, TN_OK, TN_DTYPE_INT64, 0},
        {"{'shape': (0, 5), 'fortran_order': False, 'descr': '<f2'}\n", 0, TN_OK, TN_DTYPE_FP16, 2},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }\n", 4, TN_UNSUPPORTED, 0, 0},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", 8, TN_UNSUPPORTED, 0, 0},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }\n", 4, TN_UNSUPPORTED, 0, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 4, TN_INVALID, 0, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", 4, TN_INVALID, 0, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }\n", 4,
         TN_INVALID, 0, 0},
        {"{'descr': '<f4', 'fortran_order': False, }\n", 4, TN_INVALID, 0, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        for (int major = 1; major <= 3; major++) {
            uint8_t file[512];
            size_t size = write_file(file, sizeof(file), major, rows[i].header, rows[i].data);
            struct tn_tensor tensor;
            struct tn_fault fault = {0};
            enum tn_err err = tn_npy_read(tn_bytes_make(file, size), &tensor, &fault);
            if (err != rows[i].err) {
                fail_msg("%s gave %s: %s", rows[i].header, tn_err_name(err), fault.text);
            }
            if (err == TN_OK) {
                assert_int_equal(tensor.dtype, rows[i].dtype);
                assert_int_equal(tensor.shape.rank, rows[i].rank);
                assert_int_equal(tensor.data.size, rows[i].data);
            }
        }
    }
}

static void what_is_written_is_read(void **unused)
{
    (void)unused;
    uint8_t data[6 * 8];
    memset(data, 7, sizeof(data));
    for (enum tn_dtype dtype = TN_DTYPE_BOOL; dtype < TN_DTYPE_COUNT; dtype++) {
        size_t size = tn_dtype_size(dtype);
        struct tn_tensor tensor = {.dtype = dtype,
                                   .shape = {.dims = {1, 2, 3}, .rank = 3},
                                   .data = tn_bytes_make(data, 6 * size)};
        char file[TN_NPY_HEADER_SIZE + sizeof(data)];
        enum tn_err err = tn_npy_header(&tensor, file);
        if (dtype == TN_DTYPE_BYTES || dtype == TN_DTYPE_BF16) {
            assert_int_equal(err, TN_UNSUPPORTED);
            continue;
        }
        assert_int_equal(err, TN_OK);
        memcpy(file + TN_NPY_HEADER_SIZE, data, 6 * size);
        struct tn_tensor back;
        assert_int_equal(
            tn_npy_read(tn_bytes_make(file, TN_NPY_HEADER_SIZE + 6 * size), &back, NULL), TN_OK);
        assert_int_equal(back.dtype, dtype);
        assert_true(tn_shape_equal(&back.shape, &tensor.shape));
        assert_true(tn_bytes_equal(back.data, tensor.data));
    }
}

static void every_truncation_is_refused(void **unused)
{
    (void)unused;
    uint8_t file[512];
    size_t size = write_file(file, sizeof(file), 1,
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24);
    for (size_t i = 0; i < size; i++) {
        struct tn_tensor tensor;
        struct tn_fault fault = {0};
        assert_true(tn_npy_read(tn_bytes_make(file, i), &tensor, &fault) < TN_OK);
        assert_true(fault.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpy_headers),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
