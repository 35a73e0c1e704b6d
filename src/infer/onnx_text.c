/* BYTES tensors and the library's string values. The wire form is a 4-byte little-endian length
 * and the bytes, element by element; contents may hold zeros, so the library's functions for
 * terminated strings are not used.
 * Memory: one block for all elements of an output. Bounds: 2^32 - 1 bytes an element. */
#include "infer/onnx.h"

#include "base/mem.h"
#include "core/assert.h"

static enum tn_err fill_elements(const struct tn_engine *engine, OrtValue *value,
                                 struct tn_bytes data, uint64_t elements, struct tn_fault *fault)
{
    size_t at = 0;
    for (uint64_t i = 0; i < elements; i++) {
        char *room = NULL;
        /* The tensor was checked when the job was submitted. */
        TN_ASSERT(data.size - at >= 4);
        uint32_t length = tn_load_le32(data.data + at);
        at += 4;
        TN_ASSERT(data.size - at >= length);
        enum tn_err err = tn_onnx_check(
            engine,
            engine->api->GetResizedStringTensorElementBuffer(value, (size_t)i, length, &room),
            "making a string", fault);
        if (err != TN_OK) {
            return err;
        }
        if (length > 0) {
            memcpy(room, data.data + at, length);
        }
        at += length;
    }
    return TN_OK;
}

enum tn_err tn_onnx_text_in(const struct tn_engine *engine, const struct tn_run_input *input,
                            OrtValue **ret_value, struct tn_fault *fault)
{
    uint64_t elements = 0;
    OrtValue *value = NULL;
    enum tn_err err = tn_shape_elements(&input->shape, &elements);
    if (err != TN_OK) {
        return tn_fault_set(fault, err, "a text tensor has no valid shape");
    }
    err = tn_onnx_check(
        engine,
        engine->api->CreateTensorAsOrtValue(engine->allocator, input->shape.dims, input->shape.rank,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value),
        "making a text tensor", fault);
    if (err == TN_OK) {
        err = fill_elements(engine, value, input->data, elements, fault);
    }
    if (err != TN_OK) {
        if (value != NULL) {
            engine->api->ReleaseValue(value);
        }
        return err;
    }
    *ret_value = value;
    return TN_OK;
}

/* Spreads `contents` (all elements back to back) into lengths and bytes. */
static enum tn_err write_elements(const size_t *offsets, uint64_t elements, size_t total,
                                  const uint8_t *contents, uint8_t *to, struct tn_fault *fault)
{
    for (uint64_t i = 0; i < elements; i++) {
        size_t end = i + 1 < elements ? offsets[i + 1] : total;
        size_t length = end - offsets[i];
        if (length > UINT32_MAX) {
            return tn_fault_set(fault, TN_LIMIT, "a text of %zu bytes is too long", length);
        }
        tn_store_le32(to, (uint32_t)length);
        if (length > 0) {
            memcpy(to + 4, contents + offsets[i], length);
        }
        to += 4 + length;
    }
    return TN_OK;
}

enum tn_err tn_onnx_text_out(const struct tn_engine *engine, const OrtValue *value,
                             uint64_t elements, struct tn_block **ret_block, struct tn_fault *fault)
{
    const OrtApi *api = engine->api;
    size_t total = 0;
    enum tn_err err = tn_onnx_check(engine, api->GetStringTensorDataLength(value, &total),
                                    "reading a text tensor", fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_block *block = NULL;
    size_t *offsets = tn_mem_take_zeroed((size_t)elements + 1, sizeof(*offsets));
    uint8_t *contents = tn_mem_take(total + 1);
    if (offsets == NULL || contents == NULL ||
        tn_block_create(total + (size_t)elements * 4, &block) != TN_OK) {
        err = tn_fault_set(fault, TN_NOMEM, "no memory for %zu bytes of text", total);
    }
    if (err == TN_OK && elements > 0) {
        err = tn_onnx_check(
            engine, api->GetStringTensorContent(value, contents, total, offsets, (size_t)elements),
            "reading a text tensor", fault);
    }
    if (err == TN_OK) {
        TN_ASSERT(block != NULL);
        err = write_elements(offsets, elements, total, contents, block->data, fault);
    }
    tn_mem_give(offsets);
    tn_mem_give(contents);
    if (err != TN_OK) {
        tn_block_unref(block);
        return err;
    }
    block->size = total + (size_t)elements * 4;
    *ret_block = block;
    return TN_OK;
}
