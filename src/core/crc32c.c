/* CRC32C by a table of 1 KB (tools/crc_table.py writes it when the tree is built), and by the
 * instruction that x86 and ARM have for exactly this polynomial. */
#include "core/hash.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

static const uint32_t table[256] = {
#include "core/crc_table.inc.h"
};

uint32_t tn_crc32c_portable(uint32_t crc, struct tn_bytes bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.size; i++) {
        crc = table[(crc ^ bytes.data[i]) & 0xFF] ^ crc >> 8;
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc_instruction(uint32_t crc,
                                                                  struct tn_bytes bytes)
{
    uint64_t wide = ~crc;
    size_t at = 0;
    for (; bytes.size - at >= 8; at += 8) {
        wide = _mm_crc32_u64(wide, tn_load_le64(bytes.data + at));
    }
    uint32_t narrow = (uint32_t)wide;
    for (; at < bytes.size; at++) {
        narrow = _mm_crc32_u8(narrow, bytes.data[at]);
    }
    return ~narrow;
}

uint32_t tn_crc32c(uint32_t crc, struct tn_bytes bytes)
{
    return __builtin_cpu_supports("sse4.2") ? crc_instruction(crc, bytes)
                                            : tn_crc32c_portable(crc, bytes);
}

#elif defined(__ARM_FEATURE_CRC32)

uint32_t tn_crc32c(uint32_t crc, struct tn_bytes bytes)
{
    crc = ~crc;
    size_t at = 0;
    for (; bytes.size - at >= 4; at += 4) {
        crc = __crc32cw(crc, tn_load_le32(bytes.data + at));
    }
    for (; at < bytes.size; at++) {
        crc = __crc32cb(crc, bytes.data[at]);
    }
    return ~crc;
}

#else

uint32_t tn_crc32c(uint32_t crc, struct tn_bytes bytes)
{
    return tn_crc32c_portable(crc, bytes);
}

#endif
