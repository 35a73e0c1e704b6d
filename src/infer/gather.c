/* Copies between jobs and batches; see gather.h. */
#include "infer/gather.h"

#include "core/assert.h"

struct tn_stride tn_stride_of(const struct tn_shape *shape, size_t axis, size_t element_size)
{
    TN_ASSERT(axis < shape->rank);

    struct tn_stride stride = {.outer = 1, .inner = element_size};
    for (size_t i = 0; i < axis; i++) {
        stride.outer *= (size_t)shape->dims[i];
    }
    for (size_t i = axis + 1; i < shape->rank; i++) {
        stride.inner *= (size_t)shape->dims[i];
    }
    return stride;
}

void tn_gather(struct tn_stride stride, const uint8_t *job, size_t items, uint8_t *batch,
               size_t total, size_t at)
{
    TN_ASSERT(at + items <= total);

    size_t run = items * stride.inner;
    if (run == 0) {
        return;
    }
    for (size_t i = 0; i < stride.outer; i++) {
        memcpy(batch + (i * total + at) * stride.inner, job + i * run, run);
    }
}

void tn_scatter(struct tn_stride stride, const uint8_t *batch, size_t total, size_t at,
                uint8_t *job, size_t items)
{
    TN_ASSERT(at + items <= total);

    size_t run = items * stride.inner;
    if (run == 0) {
        return;
    }
    for (size_t i = 0; i < stride.outer; i++) {
        memcpy(job + i * run, batch + (i * total + at) * stride.inner, run);
    }
}

size_t tn_text_size(struct tn_bytes data, uint64_t elements)
{
    size_t at = 0;
    for (uint64_t i = 0; i < elements; i++) {
        TN_ASSERT(data.size - at >= 4);
        uint32_t length = tn_load_le32(data.data + at);
        TN_ASSERT(data.size - at - 4 >= length);
        at += 4 + (size_t)length;
    }
    return at;
}
