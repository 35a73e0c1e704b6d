/* Sixteen-bit floats: IEEE 754 half precision (FP16) and bfloat16 (BF16), to and from float.
 *
 * Towards sixteen bits: nearest, ties to even, beyond the range infinite; a NaN stays one and is
 * made quiet. Back is exact. Integer work of a few cycles, no floating-point flags touched but in
 * the subnormals of half. Freestanding. */
#ifndef TN_CORE_HALF_H
#define TN_CORE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t tn_float_bits(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float tn_float_of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline float tn_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t magnitude = half & 0x7FFF;
    if (magnitude < 0x0400) { /* subnormal: so many times 2^-24 */
        return tn_float_of_bits(sign | tn_float_bits((float)magnitude * 0x1p-24F));
    }
    if (magnitude >= 0x7C00) {
        return tn_float_of_bits(sign | 0x7F800000U | (magnitude & 0x3FF) << 13);
    }
    return tn_float_of_bits(sign | ((magnitude << 13) + (112U << 23)));
}

static inline uint16_t tn_half_from_float(float value)
{
    uint32_t bits = tn_float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude >= 0x477FF000) { /* 65520 is half way to what would be 65536 */
        uint32_t nan = magnitude > 0x7F800000 ? 0x200 | (magnitude >> 13 & 0x3FF) : 0;
        return (uint16_t)(sign | 0x7C00 | nan);
    }
    if (magnitude < 0x38800000) { /* below 2^-14: count units of 2^-24 */
        if (magnitude <= 0x33000000) {
            return (uint16_t)sign;
        }
        uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000;
        uint32_t shift = 126 - (magnitude >> 23);
        uint32_t units = mantissa >> shift;
        uint32_t rest = mantissa & ((1U << shift) - 1);
        uint32_t middle = 1U << (shift - 1);
        units += rest > middle || (rest == middle && (units & 1) != 0) ? 1 : 0;
        return (uint16_t)(sign | units);
    }
    uint32_t rounded = magnitude - (112U << 23);
    rounded += 0xFFF + (rounded >> 13 & 1);
    return (uint16_t)(sign | rounded >> 13);
}

static inline float tn_bfloat_to_float(uint16_t bfloat)
{
    return tn_float_of_bits((uint32_t)bfloat << 16);
}

static inline uint16_t tn_bfloat_from_float(float value)
{
    uint32_t bits = tn_float_bits(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#endif
