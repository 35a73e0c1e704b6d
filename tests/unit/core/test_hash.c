/* SipHash against the vectors of its authors, CRC32C against those of RFC 3720; any cutting of the
 * input, and the instruction against the table. */
#include "core/assert.h"
#include "core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Key 00 01 .. 0f, input 00 01 .. of so many bytes. */
static const struct {
    size_t size;
    const char *hash;
} vectors[] = {
    {0, "a3817f04ba25a8e66df67214c7550293"},  {1, "da87c1d86b99af44347659119b22fc45"},
    {2, "8177228da4a45dc7fca38bdef60affe4"},  {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
    {8, "3b62a9ba6258f5610f83e264f31497b4"},  {9, "264499060ad9baabc47f8b02bb6d71ed"},
    {15, "5493e99933b0a8117e08ec0f97cfc3d9"}, {63, "5150d1772f50834a503e069a973fbd7c"},
    {64, "1eaf077dc0d4cd3f8cad4d383658a74b"},
};

static const struct tn_hash_key vector_key = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};

static void ascend(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)i;
    }
}

static void siphash_gives_the_published_vectors(void **unused)
{
    (void)unused;
    uint8_t bytes[64];
    ascend(bytes, sizeof(bytes));
    for (size_t i = 0; i < TN_COUNT(vectors); i++) {
        struct tn_hash hash = tn_siphash_of(&vector_key, tn_bytes_make(bytes, vectors[i].size));
        uint8_t out[16];
        tn_store_le64(out, hash.low);
        tn_store_le64(out + 8, hash.high);
        char text[33];
        for (size_t k = 0; k < sizeof(out); k++) {
            (void)snprintf(text + 2 * k, 3, "%02x", out[k]);
        }
        assert_string_equal(text, vectors[i].hash);
    }
}

static void siphash_does_not_see_the_cuts(void **unused)
{
    (void)unused;
    uint8_t bytes[40];
    ascend(bytes, sizeof(bytes));
    struct tn_hash whole = tn_siphash_of(&vector_key, tn_bytes_make(bytes, sizeof(bytes)));
    for (size_t first = 0; first <= sizeof(bytes); first++) {
        for (size_t second = first; second <= sizeof(bytes); second++) {
            struct tn_siphash hash;
            tn_siphash_init(&hash, &vector_key);
            tn_siphash_add(&hash, tn_bytes_make(bytes, first));
            tn_siphash_add(&hash, tn_bytes_make(bytes + first, second - first));
            tn_siphash_add(&hash, tn_bytes_make(bytes + second, sizeof(bytes) - second));
            assert_true(tn_hash_equal(tn_siphash_end(&hash), whole));
        }
    }
    bytes[17] ^= 1;
    assert_false(tn_hash_equal(tn_siphash_of(&vector_key, tn_bytes_make(bytes, 40)), whole));
}

static void crc_gives_the_published_vectors(void **unused)
{
    (void)unused;
    uint8_t bytes[32] = {0};
    assert_int_equal(tn_crc32c(0, tn_bytes_make(bytes, 32)), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof(bytes));
    assert_int_equal(tn_crc32c(0, tn_bytes_make(bytes, 32)), 0x62A8AB43);
    ascend(bytes, sizeof(bytes));
    assert_int_equal(tn_crc32c(0, tn_bytes_make(bytes, 32)), 0x46DD794E);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(tn_crc32c(0, tn_bytes_make(bytes, 32)), 0x113FDB5C);
    assert_int_equal(tn_crc32c(0, tn_bytes_make("123456789", 9)), 0xE3069283);
    assert_int_equal(tn_crc32c(0, tn_bytes_make(NULL, 0)), 0);
}

static void crc_agrees_with_the_table_at_any_cut(void **unused)
{
    (void)unused;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 167 + (i >> 3));
    }
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        uint32_t portable = tn_crc32c_portable(0, tn_bytes_make(bytes, size));
        assert_int_equal(tn_crc32c(0, tn_bytes_make(bytes, size)), portable);
        uint32_t first = tn_crc32c(0, tn_bytes_make(bytes, size / 3));
        struct tn_bytes rest = tn_bytes_make(bytes + size / 3, size - size / 3);
        assert_int_equal(tn_crc32c(first, rest), portable);
        assert_int_equal(tn_crc32c_portable(first, rest), portable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_vectors),
        cmocka_unit_test(siphash_does_not_see_the_cuts),
        cmocka_unit_test(crc_gives_the_published_vectors),
        cmocka_unit_test(crc_agrees_with_the_table_at_any_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
