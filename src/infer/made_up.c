/* Made-up values; see made_up.h. A linear congruential generator is random enough here. */
#include "infer/made_up.h"

enum { TEXT_SIZE = 5 };

void tn_made_up_init(struct tn_made_up *values)
{
    values->state = 20;
}

size_t tn_made_up_size(enum tn_dtype dtype)
{
    return dtype == TN_DTYPE_BYTES ? TEXT_SIZE : tn_dtype_size(dtype);
}

static uint64_t next(struct tn_made_up *values)
{
    values->state = values->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return values->state >> 33;
}

void tn_made_up_fill(struct tn_made_up *values, enum tn_dtype dtype, uint8_t *to, uint64_t elements,
                     float scale)
{
    size_t size = tn_made_up_size(dtype);
    for (uint64_t i = 0; i < elements; i++, to += size) {
        uint64_t random = next(values);
        uint64_t whole = random & 1;
        float real = (float)(random & 0xffff) / 65536.0F * scale;
        double wide = (double)real;
        switch (dtype) {
        case TN_DTYPE_FP32:
            memcpy(to, &real, size);
            break;
        case TN_DTYPE_FP64:
            memcpy(to, &wide, size);
            break;
        case TN_DTYPE_FP16:
            whole = 0x3800 | (random & 0x3ff); /* 0.5 to 1 */
            memcpy(to, &whole, size);
            break;
        case TN_DTYPE_BF16:
            whole = 0x3f00 | (random & 0x7f);
            memcpy(to, &whole, size);
            break;
        case TN_DTYPE_BYTES:
            tn_store_le32(to, 1);
            to[4] = (uint8_t)('0' + whole);
            break;
        default:
            memcpy(to, &whole, size);
            break;
        }
    }
}
