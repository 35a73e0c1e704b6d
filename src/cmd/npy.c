/* Reads and writes .npy headers; see npy.h.
 *
 *   \x93NUMPY  major minor  header length (2 or 4 bytes)  {'descr': '<f4', 'fortran_order': False,
 *   'shape': (1, 3), }  padded with blanks to a multiple of 64, newline, then the elements.
 *
 * The header is a Python literal; only what numpy writes is accepted. Memory: none. */
#include "cmd/npy.h"

#include "core/assert.h"

#include <stdio.h>

struct descr {
    const char *text;
    enum tn_dtype dtype;
};

static const struct descr descrs[] = {
    {"|b1", TN_DTYPE_BOOL},   {"|u1", TN_DTYPE_UINT8},  {"|i1", TN_DTYPE_INT8},
    {"<u2", TN_DTYPE_UINT16}, {"<u4", TN_DTYPE_UINT32}, {"<u8", TN_DTYPE_UINT64},
    {"<i2", TN_DTYPE_INT16},  {"<i4", TN_DTYPE_INT32},  {"<i8", TN_DTYPE_INT64},
    {"<f2", TN_DTYPE_FP16},   {"<f4", TN_DTYPE_FP32},   {"<f8", TN_DTYPE_FP64},
};

/* What follows "'key':" in the header, blanks skipped; empty when the key is not there. */
static struct tn_str value_of(struct tn_str header, const char *key)
{
    size_t length = strlen(key);
    for (size_t at = 0; at + length + 3 <= header.size; at++) {
        const char *text = header.data + at;
        if (text[0] == '\'' && memcmp(text + 1, key, length) == 0 && text[length + 1] == '\'' &&
            text[length + 2] == ':') {
            size_t from = at + length + 3;
            while (from < header.size && header.data[from] == ' ') {
                from++;
            }
            return tn_str_from_offset(header, from);
        }
    }
    return tn_str_make(NULL, 0);
}

static enum tn_err read_descr(struct tn_str value, enum tn_dtype *ret_dtype, struct tn_fault *fault)
{
    for (size_t i = 0; i < TN_COUNT(descrs); i++) {
        if (value.size >= 5 && memcmp(value.data + 1, descrs[i].text, 3) == 0 &&
            value.data[4] == value.data[0]) {
            *ret_dtype = descrs[i].dtype;
            return TN_OK;
        }
    }
    size_t shown = value.size < 8 ? value.size : 8;
    return tn_fault_set(fault, TN_UNSUPPORTED,
                        "npy: element type %.*s is not read here; save little-endian numbers, "
                        "for example array.astype('<f4')",
                        (int)shown, value.data != NULL ? value.data : "");
}

static enum tn_err read_shape(struct tn_str value, struct tn_shape *ret_shape,
                              struct tn_fault *fault)
{
    struct tn_shape shape = {0};
    size_t at = 1;
    bool open = value.size > 1 && value.data[0] == '(';
    while (open && at < value.size && value.data[at] != ')') {
        char c = value.data[at];
        if (c == ',' || c == ' ') {
            at++;
            continue;
        }
        int64_t dim = 0;
        size_t first = at;
        while (at < value.size && value.data[at] >= '0' && value.data[at] <= '9' &&
               dim < INT64_C(1) << 40) {
            dim = dim * 10 + (value.data[at] - '0');
            at++;
        }
        if (at == first || shape.rank == TN_RANK_MAX) {
            open = false;
            break;
        }
        shape.dims[shape.rank++] = dim;
    }
    if (!open || at >= value.size) {
        return tn_fault_set(fault, TN_INVALID,
                            "npy: the shape is not a tuple of at most %d numbers", TN_RANK_MAX);
    }
    *ret_shape = shape;
    return TN_OK;
}

static enum tn_err find_header(struct tn_bytes file, struct tn_str *ret_header,
                               struct tn_bytes *ret_data, struct tn_fault *fault)
{
    static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    if (file.size < 10 || memcmp(file.data, magic, sizeof(magic)) != 0) {
        return tn_fault_set(fault, TN_INVALID, "this is no .npy file: its first bytes are others");
    }
    bool wide = file.data[6] >= 2;
    size_t from = wide ? 12 : 10;
    if (file.size < from) {
        return tn_fault_set(fault, TN_TRUNCATED, "npy: the file ends inside its header");
    }
    size_t size =
        wide ? tn_load_le32(file.data + 8) : (size_t)file.data[8] | (size_t)file.data[9] << 8;
    if (size > file.size - from) {
        return tn_fault_set(fault, TN_TRUNCATED, "npy: the file ends inside its header");
    }
    *ret_header = tn_str_make((const char *)file.data + from, size);
    *ret_data = tn_bytes_make(file.data + from + size, file.size - from - size);
    return TN_OK;
}

enum tn_err tn_npy_read(struct tn_bytes file, struct tn_tensor *ret_tensor, struct tn_fault *fault)
{
    struct tn_str header;
    struct tn_tensor tensor = {0};
    enum tn_err err = find_header(file, &header, &tensor.data, fault);
    if (err == TN_OK) {
        err = read_descr(value_of(header, "descr"), &tensor.dtype, fault);
    }
    if (err == TN_OK) {
        err = read_shape(value_of(header, "shape"), &tensor.shape, fault);
    }
    if (err != TN_OK) {
        return err;
    }
    if (!tn_str_starts(value_of(header, "fortran_order"), TN_STR_OF("False"))) {
        return tn_fault_set(fault, TN_UNSUPPORTED,
                            "npy: the array is in Fortran order; save numpy.ascontiguousarray(x)");
    }
    err = tn_tensor_check(&tensor, fault);
    if (err != TN_OK) {
        return err;
    }
    *ret_tensor = tensor;
    return TN_OK;
}

enum tn_err tn_npy_header(const struct tn_tensor *tensor, char ret_header[TN_NPY_HEADER_SIZE])
{
    const char *text = NULL;
    for (size_t i = 0; i < TN_COUNT(descrs); i++) {
        text = descrs[i].dtype == tensor->dtype ? descrs[i].text : text;
    }
    if (text == NULL) {
        return TN_UNSUPPORTED;
    }
    char shape[TN_RANK_MAX * 22 + 4];
    int at = snprintf(shape, sizeof(shape), "(");
    for (size_t i = 0; i < tensor->shape.rank; i++) {
        at += snprintf(shape + at, sizeof(shape) - (size_t)at, "%lld,",
                       (long long)tensor->shape.dims[i]);
    }
    snprintf(shape + at, sizeof(shape) - (size_t)at, ")");
    memset(ret_header, ' ', TN_NPY_HEADER_SIZE);
    memcpy(ret_header, "\x93NUMPY\x01\x00", 8);
    ret_header[8] = (char)(TN_NPY_HEADER_SIZE - 10);
    ret_header[9] = 0;
    char line[TN_NPY_HEADER_SIZE];
    int size = snprintf(line, sizeof(line),
                        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", text, shape);
    TN_ASSERT(size > 0 && size < TN_NPY_HEADER_SIZE - 11);
    memcpy(ret_header + 10, line, (size_t)size);
    ret_header[TN_NPY_HEADER_SIZE - 1] = '\n';
    return TN_OK;
}
