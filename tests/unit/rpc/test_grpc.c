/* Words and messages of gRPC: tables, round trips, every cut of the stream, bombs and lies. */
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/grpc.h"
#include "rpc/grpc_frame.h"
#include "rpc/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <zlib.h>

static void timeouts_parse(void **state)
{
    (void)state;
    const struct {
        const char *text;
        enum tn_err err;
        uint64_t ns;
    } rows[] = {
        {"1n", TN_OK, 1},
        {"25m", TN_OK, 25000000},
        {"1S", TN_OK, 1000000000},
        {"99999999S", TN_OK, UINT64_C(99999999000000000)},
        {"2M", TN_OK, UINT64_C(120000000000)},
        {"1H", TN_OK, UINT64_C(3600000000000)},
        {"99999999H", TN_OK, UINT64_MAX}, /* beyond 64 bits of nanoseconds */
        {"0u", TN_OK, 0},
        {"", TN_INVALID, 0},
        {"S", TN_INVALID, 0},
        {"5", TN_INVALID, 0},
        {"5s", TN_INVALID, 0},
        {"-5S", TN_INVALID, 0},
        {"123456789S", TN_INVALID, 0},
        {"1.5S", TN_INVALID, 0},
        {" 5S", TN_INVALID, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        uint64_t ns = 77;
        assert_int_equal(tn_grpc_timeout_parse(tn_str_from(rows[i].text), &ns), rows[i].err);
        assert_int_equal(ns, rows[i].err == TN_OK ? rows[i].ns : 77);
    }
}

/* What we write is read back as the same time or a little later, never earlier. */
static void timeouts_round_trip(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (uint64_t low = 0; low < 3; low++) {
            uint64_t ns = (UINT64_C(1) << shift) - 1 + low;
            char text[TN_GRPC_TIMEOUT_ROOM];
            size_t size = tn_grpc_timeout_format(ns, text);
            uint64_t back = 0;
            assert_int_equal(tn_grpc_timeout_parse(tn_str_make(text, size), &back), TN_OK);
            assert_true(back >= ns);
            assert_true(back - ns <= ns / 90000); /* eight digits, units of 1000 */
        }
    }
}

static void messages_round_trip(void **state)
{
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    char encoded[3 * sizeof(all)];
    size_t size = tn_grpc_message_encode(tn_str_make(all, sizeof(all)), encoded);
    for (size_t i = 0; i < size; i++) {
        assert_true(encoded[i] >= 0x20 && encoded[i] <= 0x7E);
    }
    char decoded[sizeof(encoded)];
    assert_int_equal(tn_grpc_message_decode(tn_str_make(encoded, size), decoded), sizeof(all));
    assert_memory_equal(decoded, all, sizeof(all));

    struct tn_str odd = TN_STR("100%, %zz, %4");
    assert_int_equal(tn_grpc_message_decode(odd, decoded), odd.size);
    assert_memory_equal(decoded, odd.data, odd.size);
}

static void statuses_map(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= 16; i++) {
        struct tn_str text = tn_grpc_status_text((enum tn_grpc_status)i);
        assert_int_equal(tn_grpc_status_parse(text), i);
        enum tn_err err = tn_err_of_grpc((enum tn_grpc_status)i);
        assert_true(i == 0 ? err == TN_OK : err < 0);
    }
    assert_int_equal(tn_grpc_status_parse(TN_STR_OF("17")), TN_GRPC_UNKNOWN);
    assert_int_equal(tn_grpc_status_parse(TN_STR_OF("")), TN_GRPC_UNKNOWN);
    for (int err = TN_INTERNAL; err < 0; err++) {
        assert_true(tn_grpc_status_of((enum tn_err)err) != TN_GRPC_OK);
        assert_true(tn_http_status_of((enum tn_err)err) >= 400);
    }
    assert_true(tn_grpc_is_content_type(TN_STR_OF("application/grpc")));
    assert_true(tn_grpc_is_content_type(TN_STR_OF("application/grpc+proto")));
    assert_false(tn_grpc_is_content_type(TN_STR_OF("application/grpc-web")));
    assert_false(tn_grpc_is_content_type(TN_STR_OF("application/json")));
}

/* ---- messages ---- */

static struct tn_block *zip_bytes(struct tn_bytes bytes, int window_bits)
{
    z_stream zip = {0};
    struct tn_block *block = NULL;
    assert_int_equal(
        deflateInit2(&zip, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY),
        Z_OK);
    assert_int_equal(tn_block_create(deflateBound(&zip, bytes.size) + 32, &block), TN_OK);
    zip.next_in = (Bytef *)(uintptr_t)bytes.data;
    zip.avail_in = (unsigned)bytes.size;
    zip.next_out = block->data;
    zip.avail_out = (unsigned)block->room;
    assert_int_equal(deflate(&zip, Z_FINISH), Z_STREAM_END);
    block->size = zip.total_out;
    deflateEnd(&zip);
    return block;
}

static size_t put_message(uint8_t *out, uint8_t flag, struct tn_bytes bytes)
{
    out[0] = flag;
    tn_store_be32(out + 1, (uint32_t)bytes.size);
    memcpy(out + 5, bytes.data, bytes.size);
    return bytes.size + 5;
}

/* Three messages, the second empty, the third compressed; cut into two at every byte, and into
 * single bytes. */
static void every_cut_gives_the_same_messages(void **state)
{
    (void)state;
    uint8_t text[100];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i % 7);
    }
    struct tn_block *zipped = zip_bytes(tn_bytes_make(text, sizeof(text)), MAX_WBITS + 16);
    uint8_t stream[512];
    size_t size = put_message(stream, 0, tn_bytes_make(text, 33));
    size += put_message(stream + size, 0, tn_bytes_make(text, 0));
    size += put_message(stream + size, 1, tn_bytes_make(zipped->data, zipped->size));
    const size_t sizes[] = {33, 0, 100};
    for (size_t cut = 0; cut <= size + 1; cut++) {
        struct tn_grpc_reader reader;
        tn_grpc_reader_init(&reader, NULL, 1000, TN_GRPC_GZIP);
        size_t count = 0;
        for (size_t at = 0; at < size;) {
            size_t end = cut > size ? at + 1 : at < cut ? cut : size;
            struct tn_bytes part = tn_bytes_make(stream + at, end - at);
            while (part.size > 0) {
                struct tn_block *message = NULL;
                enum tn_err err = tn_grpc_reader_feed(&reader, &part, &message);
                assert_true(err == TN_DONE || err == TN_AGAIN);
                if (err == TN_DONE) {
                    assert_int_equal(message->size, sizes[count]);
                    assert_memory_equal(message->data, text, message->size);
                    /* The end of what came plain is aligned, the start of what was inflated. */
                    const uint8_t *edge = message->data + (count < 2 ? message->size : 0);
                    assert_int_equal((uintptr_t)edge % 64, 0);
                    tn_block_unref(message);
                    count++;
                }
            }
            at = end;
        }
        assert_int_equal(count, 3);
        assert_true(tn_grpc_reader_is_between(&reader));
        tn_grpc_reader_deinit(&reader);
    }
    tn_block_unref(zipped);
}

static enum tn_err feed(const uint8_t *bytes, size_t size, size_t size_max,
                        enum tn_grpc_encoding encoding)
{
    struct tn_grpc_reader reader;
    struct tn_bytes input = tn_bytes_make(bytes, size);
    struct tn_block *message = NULL;
    tn_grpc_reader_init(&reader, NULL, size_max, encoding);
    enum tn_err err = tn_grpc_reader_feed(&reader, &input, &message);
    tn_block_unref(message);
    tn_grpc_reader_deinit(&reader);
    return err;
}

static void lies_are_refused(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const uint8_t flag[] = {2, 0, 0, 0, 0};
    assert_int_equal(feed(flag, sizeof(flag), 100, TN_GRPC_GZIP), TN_INVALID);
    const uint8_t unasked[] = {1, 0, 0, 0, 0};
    assert_int_equal(feed(unasked, sizeof(unasked), 100, TN_GRPC_IDENTITY), TN_INVALID);
    const uint8_t large[] = {0, 0, 0, 0, 101};
    assert_int_equal(feed(large, sizeof(large), 100, TN_GRPC_IDENTITY), TN_LIMIT);
    /* 4 GiB stated, nothing sent: a block of 4 MiB at most, which nothing touches. */
    const uint8_t huge[] = {0, 0xFF, 0xFF, 0xFF, 0xFF};
    assert_int_equal(feed(huge, sizeof(huge), SIZE_MAX, TN_GRPC_IDENTITY), TN_AGAIN);
    const uint8_t garbage[] = {1, 0, 0, 0, 3, 'x', 'y', 'z'};
    assert_int_equal(feed(garbage, sizeof(garbage), 100, TN_GRPC_GZIP), TN_CORRUPT);
    const uint8_t nothing[] = {1, 0, 0, 0, 0};
    assert_int_equal(feed(nothing, sizeof(nothing), 100, TN_GRPC_DEFLATE), TN_CORRUPT);
    assert_int_equal(tn_mem_live(), live);
}

/* A message beyond what is believed at once arrives whole through the growing block. */
static void a_large_message_grows(void **state)
{
    (void)state;
    size_t size = 11 << 20;
    uint8_t *stream = malloc(size + 5);
    assert_non_null(stream);
    stream[0] = 0;
    tn_store_be32(stream + 1, (uint32_t)size);
    for (size_t i = 0; i < size; i++) {
        stream[5 + i] = (uint8_t)(i * 2654435761u >> 24);
    }
    struct tn_grpc_reader reader;
    struct tn_block *message = NULL;
    tn_grpc_reader_init(&reader, NULL, 16 << 20, TN_GRPC_IDENTITY);
    for (size_t at = 0; at < size + 5; at += 65536) {
        size_t part = size + 5 - at < 65536 ? size + 5 - at : 65536;
        struct tn_bytes input = tn_bytes_make(stream + at, part);
        enum tn_err err = tn_grpc_reader_feed(&reader, &input, &message);
        assert_int_equal(err, at + part == size + 5 ? TN_DONE : TN_AGAIN);
    }
    assert_int_equal(message->size, size);
    assert_memory_equal(message->data, stream + 5, size);
    tn_block_unref(message);
    tn_grpc_reader_deinit(&reader);
    free(stream);
}

/* ---- decompression ---- */

static void bombs_stop_at_the_limit(void **state)
{
    (void)state;
    size_t size = 8 << 20;
    uint8_t *zeros = calloc(1, size);
    assert_non_null(zeros);
    struct tn_block *bomb = zip_bytes(tn_bytes_make(zeros, size), MAX_WBITS + 16);
    assert_true(bomb->size < 16384);
    size_t live = tn_mem_live();
    const size_t limits[] = {0, 1, 1000, 1 << 20, (8 << 20) - 1};
    struct tn_block *plain = NULL;
    for (size_t i = 0; i < TN_COUNT(limits); i++) {
        const struct tn_inflate_options options = {TN_INFLATE_GZIP, limits[i], NULL};
        assert_int_equal(tn_inflate(tn_bytes_make(bomb->data, bomb->size), &options, &plain),
                         TN_LIMIT);
        assert_int_equal(tn_mem_live(), live);
    }
    const struct tn_inflate_options options = {TN_INFLATE_GZIP, size, NULL};
    assert_int_equal(tn_inflate(tn_bytes_make(bomb->data, bomb->size), &options, &plain), TN_OK);
    assert_int_equal(plain->size, size);
    assert_memory_equal(plain->data, zeros, size);
    tn_block_unref(plain);
    tn_block_unref(bomb);
    free(zeros);
}

static void broken_streams_are_corrupt(void **state)
{
    (void)state;
    uint8_t text[3000];
    srand(7);
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(rand() % 30);
    }
    const int windows[] = {MAX_WBITS + 16, MAX_WBITS, -MAX_WBITS};
    for (size_t w = 0; w < TN_COUNT(windows); w++) {
        struct tn_block *zipped = zip_bytes(tn_bytes_make(text, sizeof(text)), windows[w]);
        const struct tn_inflate_options options = {w == 0 ? TN_INFLATE_GZIP : TN_INFLATE_DEFLATE,
                                                   1 << 16, NULL};
        struct tn_block *plain = NULL;
        struct tn_bytes whole = tn_bytes_make(zipped->data, zipped->size);
        assert_int_equal(tn_inflate(whole, &options, &plain), TN_OK);
        assert_int_equal(plain->size, sizeof(text));
        assert_memory_equal(plain->data, text, sizeof(text));
        tn_block_unref(plain);
        for (size_t cut = 0; cut < whole.size; cut++) {
            assert_int_equal(tn_inflate(tn_bytes_make(whole.data, cut), &options, &plain),
                             TN_CORRUPT);
        }
        zipped->data[zipped->size] = 0;
        assert_int_equal(tn_inflate(tn_bytes_make(whole.data, whole.size + 1), &options, &plain),
                         TN_CORRUPT);
        tn_block_unref(zipped);
    }
}

static void no_allocation_failure_leaks(void **state)
{
    (void)state;
    uint8_t text[3000] = {1, 2, 3};
    struct tn_block *zipped = zip_bytes(tn_bytes_make(text, sizeof(text)), MAX_WBITS + 16);
    size_t live = tn_mem_live();
    for (size_t n = 1;; n++) {
        const struct tn_inflate_options options = {TN_INFLATE_GZIP, 1 << 16, NULL};
        struct tn_block *plain = NULL;
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_inflate(tn_bytes_make(zipped->data, zipped->size), &options, &plain);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        if (err == TN_OK) {
            tn_block_unref(plain);
        } else {
            assert_int_equal(err, TN_NOMEM);
        }
        assert_int_equal(tn_mem_live(), live);
        if (!delivered) {
            assert_int_equal(err, TN_OK);
            break;
        }
    }
    tn_block_unref(zipped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_parse),
        cmocka_unit_test(timeouts_round_trip),
        cmocka_unit_test(messages_round_trip),
        cmocka_unit_test(statuses_map),
        cmocka_unit_test(every_cut_gives_the_same_messages),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(a_large_message_grows),
        cmocka_unit_test(bombs_stop_at_the_limit),
        cmocka_unit_test(broken_streams_are_corrupt),
        cmocka_unit_test(no_allocation_failure_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
