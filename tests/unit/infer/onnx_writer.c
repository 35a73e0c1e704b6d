/* ONNX files from nothing but the protobuf wire format: field << 3 | type, varints, lengths. Field
 * numbers are those of onnx.proto3. */
#include "onnx_writer.h"

#include "core/assert.h"

#include <stdio.h>

static void put_varint(struct tn_buf *buf, uint64_t value)
{
    while (value >= 0x80) {
        tn_buf_put_byte(buf, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    tn_buf_put_byte(buf, (uint8_t)value);
}

static void put_int(struct tn_buf *buf, unsigned field, int64_t value)
{
    put_varint(buf, field << 3);
    put_varint(buf, (uint64_t)value);
}

static void put_bytes(struct tn_buf *buf, unsigned field, const void *data, size_t size)
{
    put_varint(buf, field << 3 | 2);
    put_varint(buf, size);
    tn_buf_put(buf, data, size);
}

static void put_text(struct tn_buf *buf, unsigned field, const char *text)
{
    put_bytes(buf, field, text, strlen(text));
}

static void put_message(struct tn_buf *buf, unsigned field, struct tn_buf *message)
{
    TN_ASSERT(message->failed == TN_OK);
    put_bytes(buf, field, message->data, message->size);
    tn_buf_deinit(message);
}

static void put_list(struct tn_buf *buf, unsigned field, const char *list)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        put_bytes(buf, field, list, length);
        list += length + (list[length] == ',');
    }
}

static int element_type(enum tn_dtype dtype)
{
    static const int types[TN_DTYPE_COUNT] = {
        [TN_DTYPE_FP32] = 1,    [TN_DTYPE_UINT8] = 2, [TN_DTYPE_INT8] = 3,  [TN_DTYPE_UINT16] = 4,
        [TN_DTYPE_INT16] = 5,   [TN_DTYPE_INT32] = 6, [TN_DTYPE_INT64] = 7, [TN_DTYPE_BYTES] = 8,
        [TN_DTYPE_BOOL] = 9,    [TN_DTYPE_FP16] = 10, [TN_DTYPE_FP64] = 11, [TN_DTYPE_UINT32] = 12,
        [TN_DTYPE_UINT64] = 13, [TN_DTYPE_BF16] = 16,
    };
    return types[dtype];
}

void onnx_begin(struct onnx_writer *writer)
{
    tn_buf_init(&writer->graph, 0);
    put_text(&writer->graph, 2, "test");
}

static void begin_node(struct tn_buf *node, const char *op, const char *inputs, const char *outputs)
{
    tn_buf_init(node, 0);
    put_list(node, 1, inputs);
    put_list(node, 2, outputs);
    put_text(node, 4, op);
}

void onnx_node(struct onnx_writer *writer, const char *op, const char *inputs, const char *outputs)
{
    struct tn_buf node;
    begin_node(&node, op, inputs, outputs);
    put_message(&writer->graph, 1, &node);
}

void onnx_node_ints(struct onnx_writer *writer, const char *op, const char *inputs,
                    const char *outputs, const char *attribute, const int64_t *values, size_t count)
{
    struct tn_buf node;
    struct tn_buf field;
    begin_node(&node, op, inputs, outputs);
    tn_buf_init(&field, 0);
    put_text(&field, 1, attribute);
    for (size_t i = 0; i < count; i++) {
        put_int(&field, 8, values[i]);
    }
    put_int(&field, 20, 7); /* INTS */
    put_message(&node, 5, &field);
    put_message(&writer->graph, 1, &node);
}

void onnx_node_int(struct onnx_writer *writer, const char *op, const char *inputs,
                   const char *outputs, const char *attribute, int64_t value)
{
    struct tn_buf node;
    struct tn_buf field;
    begin_node(&node, op, inputs, outputs);
    tn_buf_init(&field, 0);
    put_text(&field, 1, attribute);
    put_int(&field, 3, value);
    put_int(&field, 20, 2); /* INT */
    put_message(&node, 5, &field);
    put_message(&writer->graph, 1, &node);
}

static void put_value(struct onnx_writer *writer, unsigned field, const char *name,
                      enum tn_dtype dtype, const int64_t *dims, size_t rank)
{
    struct tn_buf shape;
    struct tn_buf tensor;
    struct tn_buf type;
    struct tn_buf value;
    tn_buf_init(&shape, 0);
    for (size_t i = 0; i < rank; i++) {
        struct tn_buf dim;
        tn_buf_init(&dim, 0);
        if (dims[i] >= 0) {
            put_int(&dim, 1, dims[i]);
        } else {
            char symbol[96];
            snprintf(symbol, sizeof(symbol), "%s_%zu", name, i);
            put_text(&dim, 2, symbol);
        }
        put_message(&shape, 1, &dim);
    }
    tn_buf_init(&tensor, 0);
    put_int(&tensor, 1, element_type(dtype));
    put_message(&tensor, 2, &shape);
    tn_buf_init(&type, 0);
    put_message(&type, 1, &tensor);
    tn_buf_init(&value, 0);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(&writer->graph, field, &value);
}

void onnx_input(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                const int64_t *dims, size_t rank)
{
    put_value(writer, 11, name, dtype, dims, rank);
}

void onnx_output(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                 const int64_t *dims, size_t rank)
{
    put_value(writer, 12, name, dtype, dims, rank);
}

void onnx_constant(struct onnx_writer *writer, const char *name, enum tn_dtype dtype,
                   const int64_t *dims, size_t rank, const void *values, size_t size)
{
    struct tn_buf tensor;
    tn_buf_init(&tensor, 0);
    for (size_t i = 0; i < rank; i++) {
        put_int(&tensor, 1, dims[i]);
    }
    put_int(&tensor, 2, element_type(dtype));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, size);
    put_message(&writer->graph, 5, &tensor);
}

struct tn_block *onnx_end(struct onnx_writer *writer)
{
    struct tn_buf opset;
    struct tn_buf model;
    struct tn_block *block = NULL;
    tn_buf_init(&opset, 0);
    put_int(&opset, 2, 13);
    tn_buf_init(&model, 0);
    put_int(&model, 1, 8);
    put_message(&model, 7, &writer->graph);
    put_message(&model, 8, &opset);
    enum tn_err err = tn_block_copy(tn_buf_bytes(&model), &block);
    TN_ASSERT(err == TN_OK && model.failed == TN_OK);
    tn_buf_deinit(&model);
    return block;
}

struct tn_block *onnx_simple(void)
{
    static const int64_t dims[] = {-1, 16};
    struct onnx_writer writer;
    onnx_begin(&writer);
    onnx_node(&writer, "Add", "INPUT0,INPUT1", "OUTPUT0");
    onnx_node(&writer, "Sub", "INPUT0,INPUT1", "OUTPUT1");
    onnx_input(&writer, "INPUT0", TN_DTYPE_INT32, dims, 2);
    onnx_input(&writer, "INPUT1", TN_DTYPE_INT32, dims, 2);
    onnx_output(&writer, "OUTPUT0", TN_DTYPE_INT32, dims, 2);
    onnx_output(&writer, "OUTPUT1", TN_DTYPE_INT32, dims, 2);
    return onnx_end(&writer);
}
