/* SHA-256 against the standard's vectors, in any parts; its text form; secrets. */
#include "base/random.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void vectors_of_fips_180(void **unused)
{
    (void)unused;
    static const char *const rows[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        uint8_t hash[TN_SHA256_SIZE];
        uint8_t parsed[TN_SHA256_SIZE];
        char text[TN_SHA256_HEX_SIZE + 1];
        assert_int_equal(tn_sha256(tn_bytes_make(rows[i][0], strlen(rows[i][0])), hash), TN_OK);
        tn_sha256_print(hash, text);
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(tn_sha256_parse(tn_str_from(text), parsed), TN_OK);
        assert_memory_equal(parsed, hash, sizeof(hash));
    }
}

static void parts_give_what_the_whole_gives(void **unused)
{
    (void)unused;
    struct tn_random random;
    tn_random_seed(&random, 1);
    uint8_t data[1000];
    tn_random_fill(&random, data, sizeof(data));
    struct tn_sha256 sha;
    assert_int_equal(tn_sha256_init(&sha), TN_OK);
    for (size_t round = 0; round < 50; round++) {
        size_t size = tn_random_below(&random, sizeof(data) + 1);
        for (size_t at = 0; at < size;) {
            size_t part = 1 + tn_random_below(&random, size - at);
            tn_sha256_add(&sha, tn_bytes_make(data + at, part));
            at += part;
        }
        uint8_t parts[TN_SHA256_SIZE], whole[TN_SHA256_SIZE];
        tn_sha256_finish(&sha, parts);
        assert_int_equal(tn_sha256(tn_bytes_make(data, size), whole), TN_OK);
        assert_memory_equal(parts, whole, sizeof(whole));
    }
    tn_sha256_deinit(&sha);
    tn_sha256_deinit(&sha);
    tn_sha256_deinit(NULL);
}

static void wrong_texts_are_refused(void **unused)
{
    (void)unused;
    char text[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    uint8_t hash[TN_SHA256_SIZE] = {7};
    assert_int_equal(tn_sha256_parse(tn_str_make(text, 63), hash), TN_INVALID);
    for (size_t i = 0; i < 64; i++) {
        static const char wrong[] = "g/:@`G \0";
        for (size_t k = 0; k < sizeof(wrong); k++) {
            char kept = text[i];
            text[i] = wrong[k];
            assert_int_equal(tn_sha256_parse(tn_str_make(text, 64), hash), TN_INVALID);
            text[i] = kept;
        }
    }
    assert_int_equal(hash[0], 7);
    text[0] = 'E';
    assert_int_equal(tn_sha256_parse(tn_str_make(text, 64), hash), TN_OK);
    assert_int_equal(hash[0], 0xe3);
}

static void secrets_compare_and_vanish(void **unused)
{
    (void)unused;
    char token[] = "token";
    struct tn_bytes view = tn_bytes_make(token, 5);
    assert_true(tn_secret_equal(view, tn_bytes_make("token", 5)));
    assert_false(tn_secret_equal(view, tn_bytes_make("tokem", 5)));
    assert_false(tn_secret_equal(view, tn_bytes_make("Token", 5)));
    assert_false(tn_secret_equal(view, tn_bytes_make("token1", 6)));
    assert_true(tn_secret_equal(tn_bytes_make(NULL, 0), tn_bytes_make("", 0)));
    tn_secret_wipe(token, 5);
    tn_secret_wipe(NULL, 0);
    assert_memory_equal(token, "\0\0\0\0\0", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_fips_180),
        cmocka_unit_test(parts_give_what_the_whole_gives),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(secrets_compare_and_vanish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
