/* The protobuf codec: known bytes, proto3 semantics, hostile input, and random round trips. What
 * protoc says of the same messages is asked by test_pb_protoc.py. */
#include "core/pb.h"
#include "pb_every.pb.h"
#include "pb_random.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct tn_arena arena;
    struct tn_test_every every;
    uint8_t *input; /* an exact heap block, so that the sanitizer sees a read beyond it */
};

static void fixture_init(struct fixture *fixture, size_t size_max)
{
    struct tn_arena_options options = {.source = tn_mem_source(), .size_max = size_max};
    tn_arena_init(&fixture->arena, &options);
    fixture->input = NULL;
}

static void fixture_deinit(struct fixture *fixture)
{
    tn_mem_give(fixture->input);
    tn_arena_deinit(&fixture->arena);
}

static enum tn_err decode(struct fixture *fixture, const char *bytes, size_t size)
{
    uint8_t *copy = tn_mem_take(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    tn_mem_give(fixture->input);
    fixture->input = copy;
    return tn_pb_decode(&tn_test_every_pb, tn_bytes_make(copy, size), &fixture->arena,
                        &fixture->every);
}

#define DECODE(fixture, literal) decode(fixture, literal, sizeof(literal) - 1)

static void assert_encodes_to(const struct tn_test_every *every, const char *bytes, size_t size)
{
    uint8_t out[256];
    assert_int_equal(tn_pb_size(&tn_test_every_pb, every), size);
    tn_pb_encode(&tn_test_every_pb, every, out, size);
    assert_memory_equal(out, bytes, size);
}

static void known_bytes_both_ways(void **unused)
{
    (void)unused;
    static const char bytes[] = "\x08\x01"
                                "\x10\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                "\x30\x03"
                                "\x65\x00\x00\x80\x3f"
                                "\x72\x02hi"
                                "\x8a\x01\x02\x20\x07"
                                "\xb2\x01\x03\x01\xac\x02"
                                "\x92\x02\x00\x92\x02\x01x"
                                "\xb0\x02\x05\xb0\x02\x06"
                                "\xc8\x02\x00"
                                "\x9a\x03\x05\x0a\x01k\x12\x00"
                                "\xf2\x03\x03yes";
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(DECODE(&f, bytes), TN_OK);
    assert_true(f.every.a_bool);
    assert_int_equal(f.every.an_int32, -2);
    assert_int_equal(f.every.a_sint32, -2);
    assert_true(f.every.a_float == 1.0F);
    assert_true(tn_str_is(f.every.a_string, "hi"));
    assert_int_equal(f.every.nested->a_uint32, 7);
    assert_int_equal(f.every.int32s_count, 2);
    assert_int_equal(f.every.int32s[1], 300);
    assert_int_equal(f.every.strings_count, 2);
    assert_true(tn_str_is(f.every.strings[1], "x"));
    assert_int_equal(f.every.unpacked_count, 2);
    assert_int_equal(f.every.unpacked[1], 6);
    assert_true(f.every.has_maybe_int32);
    assert_int_equal(f.every.texts_count, 1);
    assert_true(tn_str_is(f.every.texts[0].key, "k"));
    assert_int_equal(f.every.choice, TN_TEST_EVERY_CHOICE_STRING);
    assert_true(tn_str_is(f.every.choice_string, "yes"));
    assert_encodes_to(&f.every, bytes, sizeof(bytes) - 1);
    fixture_deinit(&f);
}

static void last_value_wins_and_nested_messages_merge(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(DECODE(&f, "\x10\x01\x10\x02\x10\x00"), TN_OK);
    assert_int_equal(f.every.an_int32, 0);
    assert_int_equal(DECODE(&f, "\x8a\x01\x04\x10\x01\x20\x01\x8a\x01\x05\x10\x02\xb0\x01\x05"),
                     TN_OK);
    assert_int_equal(f.every.nested->an_int32, 2);
    assert_int_equal(f.every.nested->a_uint32, 1);
    assert_int_equal(f.every.nested->int32s_count, 1);
    fixture_deinit(&f);
}

static void oneof_keeps_the_last_member(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    /* The string's pointer must not be taken for that of the message. */
    assert_int_equal(DECODE(&f, "\xf2\x03\x01s\xfa\x03\x02\x10\x09"), TN_OK);
    assert_int_equal(f.every.choice, TN_TEST_EVERY_CHOICE_NESTED);
    assert_int_equal(f.every.choice_nested->an_int32, 9);
    assert_int_equal(DECODE(&f, "\xfa\x03\x02\x10\x09\xfa\x03\x02\x20\x08"), TN_OK);
    assert_int_equal(f.every.choice_nested->an_int32, 9);
    assert_int_equal(f.every.choice_nested->a_uint32, 8);
    assert_int_equal(DECODE(&f, "\xfa\x03\x02\x10\x09\xe8\x03\x00"), TN_OK);
    assert_int_equal(f.every.choice, TN_TEST_EVERY_CHOICE_INT32);
    assert_int_equal(f.every.choice_int32, 0);
    assert_encodes_to(&f.every, "\xe8\x03\x00", 3);
    struct tn_test_every empty_member = {.choice = TN_TEST_EVERY_CHOICE_EMPTY};
    assert_encodes_to(&empty_member, "\x92\x04\x00", 3);
    fixture_deinit(&f);
}

static void map_entries_are_whole(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    /* An entry without a value, one without anything, one with its parts turned round. */
    assert_int_equal(
        DECODE(&f, "\xa2\x03\x02\x08\x05\xa2\x03\x00\xa2\x03\x06\x12\x02\x10\x07\x08\x06"), TN_OK);
    assert_int_equal(f.every.objects_count, 3);
    assert_int_equal(f.every.objects[0].key, 5);
    assert_non_null(f.every.objects[0].value);
    assert_int_equal(f.every.objects[1].key, 0);
    assert_non_null(f.every.objects[1].value);
    assert_int_equal(f.every.objects[2].key, 6);
    assert_int_equal(f.every.objects[2].value->an_int32, 7);
    fixture_deinit(&f);
}

static void packed_and_unpacked_are_both_read(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(DECODE(&f, "\xb0\x01\x01\xb2\x01\x02\x02\x03\xb0\x01\x04\xb2\x01\x00"), TN_OK);
    assert_int_equal(f.every.int32s_count, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(f.every.int32s[i], i + 1);
    }
    assert_int_equal(DECODE(&f, "\xb2\x02\x02\x05\x06\x82\x02\x04\x00\x00\x80\x3f"), TN_OK);
    assert_int_equal(f.every.unpacked_count, 2);
    assert_true(f.every.floats_count == 1 && f.every.floats[0] == 1.0F);
    assert_int_equal(DECODE(&f, "\x82\x02\x05\x00\x00\x80\x3f\x00"), TN_INVALID);
    assert_int_equal(DECODE(&f, "\xb2\x01\x02\x01\x80"), TN_TRUNCATED);
    assert_int_equal(DECODE(&f, "\xb2\x01\x01\x80"), TN_TRUNCATED); /* nothing whole in it */
    fixture_deinit(&f);
}

/* Alternating arrays defeat the counting of runs; the work must stay linear all the same. */
static void alternating_arrays_stay_linear(void **unused)
{
    (void)unused;
    enum { PAIRS = 50000, PAIR_SIZE = 7 };
    struct fixture f;
    fixture_init(&f, 16 << 20);
    char *bytes = tn_arena_take(&f.arena, PAIRS * PAIR_SIZE, 1);
    for (size_t i = 0; i < PAIRS; i++) {
        memcpy(bytes + i * PAIR_SIZE, "\xb0\x01\x07\x92\x02\x01q", PAIR_SIZE);
    }
    assert_int_equal(decode(&f, bytes, PAIRS * PAIR_SIZE), TN_OK);
    assert_int_equal(f.every.int32s_count, PAIRS);
    assert_int_equal(f.every.strings_count, PAIRS);
    assert_true(tn_str_is(f.every.strings[PAIRS - 1], "q"));
    fixture_deinit(&f);
}

static void unknown_fields_and_wrong_wire_types_are_skipped(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    /* number 1000: varint, 64 bits, text, group holding a group and a varint, 32 bits */
    assert_int_equal(DECODE(&f, "\xc0\x3e\x85\x01\xc1\x3e\x01\x02\x03\x04\x05\x06\x07\x08"
                                "\xc2\x3e\x03xyz\xc3\x3e\xcb\x3e\xcc\x3e\x08\x01\xc4\x3e"
                                "\xc5\x3e\x01\x02\x03\x04\x10\x07"),
                     TN_OK);
    assert_int_equal(f.every.an_int32, 7);
    /* an_int32 as text, a_string as varint, nested as 32 bits */
    assert_int_equal(DECODE(&f, "\x12\x01x\x70\x05\x8d\x01\x01\x01\x01\x01\x08\x01"), TN_OK);
    assert_int_equal(f.every.an_int32, 0);
    assert_int_equal(f.every.a_string.size, 0);
    assert_null(f.every.nested);
    assert_true(f.every.a_bool);
    fixture_deinit(&f);
}

static void broken_input_is_refused(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(DECODE(&f, "\x00\x00"), TN_INVALID);                 /* field 0 */
    assert_int_equal(DECODE(&f, "\x0e"), TN_INVALID);                     /* wire type 6 */
    assert_int_equal(DECODE(&f, "\x0f"), TN_INVALID);                     /* wire type 7 */
    assert_int_equal(DECODE(&f, "\xc4\x3e"), TN_INVALID);                 /* end without start */
    assert_int_equal(DECODE(&f, "\xc3\x3e\xcc\x3e"), TN_INVALID);         /* end of another */
    assert_int_equal(DECODE(&f, "\xc3\x3e"), TN_TRUNCATED);               /* no end */
    assert_int_equal(DECODE(&f, "\x80\x80\x80\x80\x10\x00"), TN_INVALID); /* tag above 32 bits */
    assert_int_equal(DECODE(&f, "\x72\x02\xc3\x28"), TN_INVALID);         /* not UTF-8 */
    assert_int_equal(DECODE(&f, "\x72\x03\xed\xa0\x80"), TN_INVALID);     /* a surrogate */
    assert_int_equal(DECODE(&f, "\x7a\x02\xc3\x28"), TN_OK); /* bytes may be anything */
    assert_int_equal(DECODE(&f, "\x72\x7f"), TN_TRUNCATED);
    assert_int_equal(DECODE(&f, "\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), TN_TRUNCATED);
    assert_int_equal(DECODE(&f, "\xb2\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), TN_TRUNCATED);
    assert_int_equal(DECODE(&f, "\x8a\x01\x80\x80\x80\x80\x08"), TN_TRUNCATED);
    /* Failure leaves nothing behind. */
    assert_int_equal(DECODE(&f, "\x08\x01\x10\x02\x0f"), TN_INVALID);
    assert_false(f.every.a_bool);
    assert_int_equal(f.every.an_int32, 0);
    fixture_deinit(&f);
}

static void long_varints(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(DECODE(&f, "\x20\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00"), TN_OK);
    assert_int_equal(f.every.a_uint32, 1);
    assert_int_equal(DECODE(&f, "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), TN_OK);
    assert_true(f.every.a_uint64 == UINT64_MAX);
    assert_int_equal(DECODE(&f, "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), TN_INVALID);
    assert_int_equal(DECODE(&f, "\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), TN_INVALID);
    /* A 64-bit value in a 32-bit field keeps its low half; a bool is any bit. */
    assert_int_equal(DECODE(&f, "\x10\xff\xff\xff\xff\x1f\x08\x80\x80\x80\x80\x10"), TN_OK);
    assert_int_equal(f.every.an_int32, -1);
    assert_true(f.every.a_bool);
    fixture_deinit(&f);
}

/* Levels of `nested` around nothing, by wrapping from the inside out. */
static size_t nest(uint8_t *out, size_t room, size_t levels)
{
    size_t at = room;
    for (size_t i = 0; i < levels; i++) {
        uint8_t head[TN_PB_HEAD_SIZE_MAX];
        size_t size = tn_pb_put_head(head, 17, room - at);
        at -= size;
        memcpy(out + at, head, size);
    }
    return at;
}

static void depth_is_bounded(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    static uint8_t bytes[8192];
    size_t at = nest(bytes, sizeof(bytes), TN_PB_DEPTH_MAX);
    assert_int_equal(decode(&f, (char *)bytes + at, sizeof(bytes) - at), TN_OK);
    size_t size = tn_pb_size(&tn_test_every_pb, &f.every);
    assert_int_equal(size, sizeof(bytes) - at);
    at = nest(bytes, sizeof(bytes), TN_PB_DEPTH_MAX + 1);
    assert_int_equal(decode(&f, (char *)bytes + at, sizeof(bytes) - at), TN_LIMIT);
    at = nest(bytes, sizeof(bytes), 1500);
    assert_int_equal(decode(&f, (char *)bytes + at, sizeof(bytes) - at), TN_LIMIT);
    memset(bytes, 0xc3, 200); /* group of a group of a group... */
    for (size_t i = 1; i < 200; i += 2) {
        bytes[i] = 0x3e;
    }
    assert_int_equal(decode(&f, (char *)bytes, 200), TN_LIMIT);
    fixture_deinit(&f);
}

static void arena_bounds_what_input_can_ask_for(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 64 << 10);
    static char bytes[3000];
    for (size_t i = 0; i < sizeof(bytes); i += 3) {
        memcpy(bytes + i, "\xaa\x02\x00", 3); /* empty nesteds */
    }
    assert_int_equal(decode(&f, bytes, sizeof(bytes)), TN_NOMEM);
    fixture_deinit(&f);
}

static struct tn_bytes random_message(struct pb_random *random)
{
    struct tn_test_every *every = TN_ARENA_NEW(random->arena, struct tn_test_every);
    random_object(random, &tn_test_every_pb, (uint8_t *)every, 0);
    size_t size = tn_pb_size(&tn_test_every_pb, every);
    uint8_t *out = tn_arena_take(random->arena, size, 1);
    assert_non_null(out);
    tn_pb_encode(&tn_test_every_pb, every, out, size);
    return tn_bytes_make(out, size);
}

static void random_messages_survive_the_round_trip(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    struct pb_random random = {.arena = &f.arena};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        random.state = seed;
        struct tn_bytes bytes = random_message(&random);
        assert_int_equal(decode(&f, (const char *)bytes.data, bytes.size), TN_OK);
        size_t size = tn_pb_size(&tn_test_every_pb, &f.every);
        uint8_t *again = tn_arena_take(&f.arena, size, 1);
        tn_pb_encode(&tn_test_every_pb, &f.every, again, size);
        if (!tn_bytes_equal(bytes, tn_bytes_make(again, size))) {
            print_message("seed %llu\n", (unsigned long long)seed);
        }
        assert_true(tn_bytes_equal(bytes, tn_bytes_make(again, size)));
        tn_arena_reset(&f.arena);
    }
    fixture_deinit(&f);
}

/* Whatever comes out of damaged input must be encodable and decode to the same again. */
static void assert_stable(struct fixture *f, const uint8_t *bytes, size_t size)
{
    if (decode(f, (const char *)bytes, size) != TN_OK) {
        return;
    }
    size_t first_size = tn_pb_size(&tn_test_every_pb, &f->every);
    uint8_t *first = tn_arena_take(&f->arena, first_size, 1);
    tn_pb_encode(&tn_test_every_pb, &f->every, first, first_size);
    assert_int_equal(decode(f, (const char *)first, first_size), TN_OK);
    assert_int_equal(tn_pb_size(&tn_test_every_pb, &f->every), first_size);
    uint8_t *second = tn_arena_take(&f->arena, first_size, 1);
    tn_pb_encode(&tn_test_every_pb, &f->every, second, first_size);
    assert_memory_equal(first, second, first_size);
}

static void every_truncation_and_bit_flip_is_safe(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_init(&f, 0);
    struct tn_arena kept;
    tn_arena_init(&kept, &(struct tn_arena_options){.source = tn_mem_source()});
    struct pb_random random = {.arena = &kept};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        random.state = seed * 7919;
        struct tn_bytes bytes = random_message(&random);
        for (size_t size = 0; size < bytes.size; size++) {
            assert_stable(&f, bytes.data, size);
            tn_arena_reset(&f.arena);
        }
        uint8_t *flipped = (uint8_t *)(uintptr_t)bytes.data;
        size_t step = bytes.size > 2000 ? 17 : 1;
        for (size_t bit = 0; bit < bytes.size * 8; bit += step) {
            flipped[bit / 8] ^= (uint8_t)(1U << bit % 8);
            assert_stable(&f, flipped, bytes.size);
            flipped[bit / 8] ^= (uint8_t)(1U << bit % 8);
            tn_arena_reset(&f.arena);
        }
        tn_arena_reset(&kept);
    }
    tn_arena_deinit(&kept);
    fixture_deinit(&f);
}

static void every_failing_allocation_is_reported(void **unused)
{
    (void)unused;
    struct tn_arena kept;
    tn_arena_init(&kept, &(struct tn_arena_options){.source = tn_mem_source()});
    struct pb_random random = {.state = 5, .arena = &kept};
    struct tn_bytes bytes = random_message(&random);
    size_t before = tn_mem_live();
    enum tn_err err = TN_NOMEM;
    for (size_t n = 1; err != TN_OK; n++) {
        struct tn_arena arena;
        struct tn_arena_options options = {.source = tn_mem_source(), .chunk_size = 64};
        tn_arena_init(&arena, &options);
        struct tn_test_every every;
        tn_mem_fail_from(n, false);
        err = tn_pb_decode(&tn_test_every_pb, bytes, &arena, &every);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        tn_arena_deinit(&arena);
        assert_int_equal(tn_mem_live(), before);
    }
    tn_arena_deinit(&kept);
}

static void files_tell_their_services_and_symbols(void **unused)
{
    (void)unused;
    assert_string_equal(tn_test_pb_every_file.name, "pb_every.proto");
    assert_string_equal(tn_test_pb_every_file.symbols[0], "test.Batch");
    assert_null(tn_test_pb_every_file.served[0]);
    assert_null(tn_test_pb_every_file.imports[0]);
    assert_true(tn_test_pb_every_file.descriptor.size > 100);
    assert_string_equal(tn_test_every_pb.name, "test.Every");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes_both_ways),
        cmocka_unit_test(last_value_wins_and_nested_messages_merge),
        cmocka_unit_test(oneof_keeps_the_last_member),
        cmocka_unit_test(map_entries_are_whole),
        cmocka_unit_test(packed_and_unpacked_are_both_read),
        cmocka_unit_test(alternating_arrays_stay_linear),
        cmocka_unit_test(unknown_fields_and_wrong_wire_types_are_skipped),
        cmocka_unit_test(broken_input_is_refused),
        cmocka_unit_test(long_varints),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(arena_bounds_what_input_can_ask_for),
        cmocka_unit_test(random_messages_survive_the_round_trip),
        cmocka_unit_test(every_truncation_and_bit_flip_is_safe),
        cmocka_unit_test(every_failing_allocation_is_reported),
        cmocka_unit_test(files_tell_their_services_and_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
