/* The compressor against a decoder written straight from the format's description: texts, noise,
 * long runs, every small length, the ends of blocks. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/snappy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

/* What one tag says. */
struct element {
    bool literal;
    size_t count, offset;
};

static struct element element_read(struct tn_bytes in, size_t *at)
{
    struct element element = {0};
    uint8_t tag = in.data[(*at)++];
    size_t extra = 0;
    if ((tag & 3) == 0) {
        element.literal = true;
        element.count = (size_t)(tag >> 2) + 1;
        extra = element.count > 60 ? element.count - 60 : 0;
    } else if ((tag & 3) == 1) {
        element.count = (size_t)(tag >> 2 & 7) + 4;
        element.offset = (size_t)(tag >> 5) << 8 | in.data[(*at)++];
    } else {
        assert_int_equal(tag & 3, 2);
        element.count = (size_t)(tag >> 2) + 1;
        element.offset = in.data[*at] | (size_t)in.data[*at + 1] << 8;
        *at += 2;
    }
    for (size_t i = 0; i < extra; i++) {
        element.count = (i == 0 ? 1 : element.count) + ((size_t)in.data[(*at)++] << (8 * i));
    }
    return element;
}

/* Returns the size, SIZE_MAX when the bytes are not Snappy. */
static size_t decode(struct tn_bytes in, uint8_t *out, size_t room)
{
    size_t at = 0, length = 0, size = 0;
    for (unsigned shift = 0;; shift += 7) {
        length |= (size_t)(in.data[at] & 127) << shift;
        if (in.data[at++] < 128) {
            break;
        }
    }
    if (length > room) {
        return SIZE_MAX;
    }
    while (at < in.size) {
        struct element element = element_read(in, &at);
        bool fits = element.count <= length - size;
        bool there = element.literal ? element.count <= in.size - at
                                     : element.offset > 0 && element.offset <= size;
        if (!fits || !there) {
            return SIZE_MAX;
        }
        for (size_t i = 0; i < element.count; i++, size++) {
            out[size] = element.literal ? in.data[at + i] : out[size - element.offset];
        }
        at += element.literal ? element.count : 0;
    }
    return size == length ? size : SIZE_MAX;
}

/* Returns the compressed size. */
static size_t round_trip(const uint8_t *data, size_t size)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    uint8_t *exact = tn_mem_take(size); /* reading past it is seen by the sanitizer */
    uint8_t *again = tn_mem_take(size);
    memcpy(exact, data, size);
    tn_snappy_compress(tn_bytes_make(exact, size), &buf);
    assert_int_equal(buf.failed, TN_OK);
    assert_true(buf.size <= tn_snappy_size_max(size));
    assert_int_equal(decode(tn_buf_bytes(&buf), again, size), size);
    assert_memory_equal(again, data, size);
    size_t compressed = buf.size;
    tn_mem_give(exact);
    tn_mem_give(again);
    tn_buf_deinit(&buf);
    return compressed;
}

enum { LARGE = 300000 };
static uint8_t data[LARGE];

static void every_small_length_comes_back(void **unused)
{
    (void)unused;
    for (size_t size = 0; size < 700; size++) {
        memset(data, 'a', size);
        round_trip(data, size);
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)random_below(3);
        }
        round_trip(data, size);
    }
}

static void block_ends_come_back(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < LARGE; i++) {
        data[i] = (uint8_t)(i * i >> 7);
    }
    for (size_t size = 65536 - 20; size < 65536 + 20; size++) {
        round_trip(data, size);
    }
    round_trip(data, LARGE);
}

static void texts_shrink_and_noise_hardly_grows(void **unused)
{
    (void)unused;
    size_t size = 0;
    for (unsigned i = 0; size + 100 < LARGE; i++) {
        size += (size_t)snprintf((char *)data + size, 100,
                                 "tenon_request_seconds_bucket{model=\"silero\",le=\"%u\"} %llu\n",
                                 i % 20, (unsigned long long)random_below(100000));
    }
    assert_true(round_trip(data, size) * 3 < size);
    memset(data, 0, LARGE);
    assert_true(round_trip(data, LARGE) * 18 < LARGE); /* copies of 64 are 3 bytes: 1/21 */
    for (size_t i = 0; i < LARGE; i++) {
        data[i] = (uint8_t)random_below(256);
    }
    assert_true(round_trip(data, LARGE) < LARGE + LARGE / 500);
}

static void random_structures_come_back(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 200; round++) {
        size_t size = random_below(20000);
        size_t at = 0;
        while (at < size) {
            size_t run = 1 + random_below(200);
            run = run < size - at ? run : size - at;
            size_t back = at > 0 ? 1 + random_below(at) : 0;
            bool copy = back > 0 && random_below(3) > 0;
            for (size_t i = 0; i < run; i++, at++) {
                data[at] = copy ? data[at - back] : (uint8_t)random_below(256);
            }
        }
        round_trip(data, size);
    }
}

static void a_full_buffer_fails(void **unused)
{
    (void)unused;
    struct tn_buf buf;
    tn_buf_init(&buf, 100);
    tn_snappy_compress(tn_bytes_make(data, 1000), &buf);
    assert_int_equal(buf.failed, TN_LIMIT);
    tn_buf_deinit(&buf);
}

int main(void)
{
    random_state = (uint64_t)time(NULL) | 1;
    const char *seed = getenv("TN_SEED");
    if (seed != NULL) {
        random_state = strtoull(seed, NULL, 10) | 1;
    }
    printf("seed: TN_SEED=%llu\n", (unsigned long long)random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_length_comes_back),
        cmocka_unit_test(block_ends_come_back),
        cmocka_unit_test(texts_shrink_and_noise_hardly_grows),
        cmocka_unit_test(random_structures_come_back),
        cmocka_unit_test(a_full_buffer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
