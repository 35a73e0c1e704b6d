/* The JSON reader: what is JSON and what is not, where it says so, texts, tensors; every truncation
 * of every sample; and what the writer writes, read again. */
#include "core/assert.h"
#include "core/json.h"
#include "core/json_write.h"

#include "base/buf.h"
#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Reads to the end; the events as letters go to `letters`. */
static enum tn_err read_all(struct tn_json *reader, char *letters, size_t room)
{
    static const char names[] = "?{}k[]sntf0";
    size_t count = 0;
    enum tn_err err = TN_OK;
    while ((err = tn_json_next(reader)) == TN_OK) {
        if (count + 1 < room) {
            letters[count++] = names[reader->event];
        }
    }
    letters[count] = '\0';
    return err;
}

static enum tn_err verdict(const char *text, size_t size)
{
    /* An exact heap block, so that the sanitizer sees a read beyond it. */
    char *copy = tn_mem_take(size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    struct tn_json reader;
    char letters[256];
    tn_json_init(&reader, tn_str_make(copy, size));
    enum tn_err err = read_all(&reader, letters, sizeof(letters));
    if (err < 0) {
        assert_non_null(reader.fault);
        assert_int_equal(tn_json_next(&reader), err);
        assert_int_equal(tn_json_skip(&reader), err);
    }
    tn_mem_give(copy);
    return err;
}

static const char *const valid[] = {
    "0",
    "-0.5e+3",
    "true",
    "null",
    "\"\"",
    "\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\\u0041\"",
    "\"\\ud83c\\udf0d and \xf0\x9f\x8c\x8d, gr\xc3\xbc\xc3\x9f\"",
    "\"\\u0000\"",
    "\"\x7f\"",
    "[]",
    "{}",
    " [ ] ",
    "\t{\r\n}\n",
    "[1,2.5,-3e-2,true,false,null,\"x\",[],{}]",
    "{\"a\":1,\"a\":2,\"\":{\"b\":[{}]}}",
    "[[[[[[[[1]]]]]]]]",
    "[123456789012345678901234567890, 1e400]",
    "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[[1.5,2]]}]}",
};

static const char *const invalid[] = {
    "+1",
    "01",
    "1.",
    ".5",
    "1e",
    "-",
    "NaN",
    "Infinity",
    "-Infinity",
    "tru",
    "nul",
    "True",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "]",
    "[1}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{a:1}",
    "{\"a\":1,}",
    "{1:2}",
    "{\"a\":1]",
    "\"",
    "\"a",
    "'a'",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\\"",
    "\"\n\"",
    "\"\t\"",
    "\"\x01\"",
    "1 2",
    "{} []",
    "[] x",
    "/**/1",
    "[1] //",
    "\xef\xbb\xbf[]",
    "\"\xc3\x28\"",
    "\"\xed\xa0\x80\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "[\"a\":1]",
    "nulll",
    "--1",
    "1e5.5",
    "0x10",
    "\x00",
    " ",
    "",
};

static void valid_texts_are_read_and_all_their_beginnings_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(valid); i++) {
        size_t size = strlen(valid[i]);
        if (verdict(valid[i], size) != TN_DONE) {
            print_message("%s\n", valid[i]);
        }
        assert_int_equal(verdict(valid[i], size), TN_DONE);
        char first = valid[i][strspn(valid[i], " \t")];
        if (first != '[' && first != '{' && first != '"') {
            continue; /* the beginning of a number is a number */
        }
        for (size_t cut = 0; cut < size; cut++) {
            bool whole = strspn(valid[i] + cut, " \n") == size - cut;
            enum tn_err err = verdict(valid[i], cut);
            assert_true(whole ? err == TN_DONE : err < 0);
        }
    }
}

static void invalid_texts_are_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(invalid); i++) {
        enum tn_err err = verdict(invalid[i], strlen(invalid[i]));
        if (err != TN_INVALID && err != TN_TRUNCATED) {
            print_message("%zu: %s\n", i, invalid[i]);
        }
        assert_true(err == TN_INVALID || err == TN_TRUNCATED);
    }
    assert_int_equal(verdict("[1\0]", 4), TN_INVALID);
    assert_int_equal(verdict("\"\0\"", 3), TN_INVALID);
    assert_int_equal(verdict("[1", 2), TN_TRUNCATED);
    assert_int_equal(verdict("\"\\u00", 5), TN_INVALID);
}

/* Every change of one byte in the samples: no crash, no read beyond the end. */
static void every_changed_byte_is_safe(void **unused)
{
    (void)unused;
    static const char changes[] = "\"\\{}[],:01-.eEutn \x01\x80\xff";
    size_t refused = 0;
    for (size_t i = 0; i < TN_COUNT(valid); i++) {
        char text[256];
        size_t size = strlen(valid[i]);
        for (size_t at = 0; at < size; at++) {
            memcpy(text, valid[i], size);
            for (size_t k = 0; k < sizeof(changes) - 1; k++) {
                text[at] = changes[k];
                refused += verdict(text, size) < 0;
            }
        }
    }
    assert_true(refused > 1000);
}

static void events_come_in_order(void **unused)
{
    (void)unused;
    struct tn_json reader;
    char letters[64];
    tn_json_init(&reader, TN_STR_OF("{\"a\":[1,true,{\"b\":null}],\"c\":\"d\",\"e\":false}"));
    assert_int_equal(read_all(&reader, letters, sizeof(letters)), TN_DONE);
    assert_string_equal(letters, "{k[nt{k0}]kskf}");
}

static void depth_is_bounded(void **unused)
{
    (void)unused;
    char text[4096];
    memset(text, '[', sizeof(text));
    assert_int_equal(verdict(text, sizeof(text)), TN_LIMIT);
    memset(text + TN_JSON_DEPTH_MAX, ']', TN_JSON_DEPTH_MAX);
    assert_int_equal(verdict(text, 2 * TN_JSON_DEPTH_MAX), TN_DONE);
    for (size_t i = 0; i + 5 <= sizeof(text); i += 5) {
        memcpy(text + i, "{\"a\":", 5);
    }
    assert_int_equal(verdict(text, sizeof(text)), TN_LIMIT);
}

static void faults_tell_where(void **unused)
{
    (void)unused;
    struct tn_json reader;
    char letters[64];
    tn_json_init(&reader, TN_STR_OF("{\n  \"a\": 1,\n  \"b\": [1, x]\n}"));
    assert_int_equal(read_all(&reader, letters, sizeof(letters)), TN_INVALID);
    struct tn_json_position position = tn_json_at(&reader);
    assert_int_equal(position.line, 3);
    assert_int_equal(position.column, 12);
    assert_string_equal(reader.fault, "not a JSON value");
}

static void texts_are_views_or_copies(void **unused)
{
    (void)unused;
    uint8_t memory[64];
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = 64});
    static const char text[] = "[\"plain\",\"\\u00e9\\ud83c\\udf0d\\n\\u0000!\"]";
    struct tn_json reader;
    struct tn_str got;
    tn_json_init(&reader, TN_STR_OF(text));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    assert_int_equal(tn_json_next(&reader), TN_OK);
    assert_int_equal(tn_json_text(&reader, &arena, &got), TN_OK);
    assert_ptr_equal(got.data, text + 2);
    assert_true(tn_json_text_is(&reader, "plain"));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    assert_int_equal(tn_json_text(&reader, &arena, &got), TN_OK);
    assert_true(tn_str_equal(got, TN_STR_OF("\xc3\xa9\xf0\x9f\x8c\x8d\n\0!")));
    tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = 4});
    assert_int_equal(tn_json_text(&reader, &arena, &got), TN_NOMEM);
    tn_json_init(&reader, TN_STR_OF("\"n\\u0061me\""));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    assert_true(tn_json_text_is(&reader, "name"));
    assert_false(tn_json_text_is(&reader, "nam"));
    assert_false(tn_json_text_is(&reader, "names"));
    assert_false(tn_json_text_is(&reader, "nbme"));
}

static void skipping_lands_behind_the_value(void **unused)
{
    (void)unused;
    struct tn_json reader;
    tn_json_init(&reader, TN_STR_OF("{\"a\":{\"x\":[1,{}]},\"b\":7,\"c\":[1]}"));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    for (int key = 'a'; key <= 'c'; key++) {
        assert_int_equal(tn_json_next(&reader), TN_OK);
        assert_int_equal(reader.event, TN_JSON_KEY);
        assert_int_equal(reader.text.data[0], key);
        struct tn_json bookmark = reader;
        assert_int_equal(tn_json_skip(&reader), TN_OK);
        if (key == 'b') {
            assert_int_equal(tn_json_next(&bookmark), TN_OK);
            assert_int_equal(bookmark.event, TN_JSON_NUMBER);
        }
    }
    assert_int_equal(tn_json_next(&reader), TN_OK);
    assert_int_equal(reader.event, TN_JSON_OBJECT_END);
    assert_int_equal(tn_json_next(&reader), TN_DONE);
}

static enum tn_err read_numbers(const char *text, enum tn_json_element element, void *out,
                                size_t count_max, size_t *ret_count)
{
    struct tn_json reader;
    tn_json_init(&reader, tn_str_from(text));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    struct tn_json_numbers into = {.element = element, .out = out, .count_max = count_max};
    enum tn_err err = tn_json_read_numbers(&reader, &into);
    if (err == TN_OK) {
        *ret_count = into.count;
        assert_int_equal(reader.event, TN_JSON_ARRAY_END);
        assert_int_equal(tn_json_next(&reader), TN_DONE);
    } else {
        assert_non_null(reader.fault);
        assert_int_equal(tn_json_next(&reader), err);
    }
    return err;
}

static void tensors_flat_nested_and_spaced(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"[1,2,3,4]", "[[1,2],[3,4]]",
                                        " [ [ [1 ,2]] , [[3],[ 4 ]] ]", "[1, 2, [], 3,\n4]"};
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        int32_t out[4] = {0};
        size_t count = 0;
        assert_int_equal(read_numbers(texts[i], TN_JSON_INT32, out, 4, &count), TN_OK);
        assert_int_equal(count, 4);
        for (int32_t k = 0; k < 4; k++) {
            assert_int_equal(out[k], k + 1);
        }
        assert_int_equal(read_numbers(texts[i], TN_JSON_INT32, out, 3, &count), TN_LIMIT);
    }
    float floats[3];
    double doubles[3];
    size_t count = 0;
    assert_int_equal(read_numbers("[0.1,-2e-3,16777217]", TN_JSON_FP32, floats, 3, &count), TN_OK);
    assert_true(floats[0] == 0.1F && floats[1] == -2e-3F && floats[2] == 16777216.0F);
    assert_int_equal(read_numbers("[0.1,-2e-3,1]", TN_JSON_FP64, doubles, 3, &count), TN_OK);
    assert_true(doubles[0] == 0.1 && doubles[1] == -2e-3 && doubles[2] == 1.0);
    uint8_t bools[4];
    assert_int_equal(read_numbers("[true,false,1,0]", TN_JSON_BOOL, bools, 4, &count), TN_OK);
    assert_memory_equal(bools, "\1\0\1\0", 4);
    assert_int_equal(read_numbers("[]", TN_JSON_FP32, floats, 0, &count), TN_OK);
    assert_int_equal(count, 0);
}

static void tensors_refuse_what_does_not_fit(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum tn_json_element element;
        enum tn_err err;
    } rows[] = {
        {"[127,-128]", TN_JSON_INT8, TN_OK},
        {"[128]", TN_JSON_INT8, TN_LIMIT},
        {"[-129]", TN_JSON_INT8, TN_LIMIT},
        {"[32767,-32768]", TN_JSON_INT16, TN_OK},
        {"[32768]", TN_JSON_INT16, TN_LIMIT},
        {"[2147483647,-2147483648]", TN_JSON_INT32, TN_OK},
        {"[2147483648]", TN_JSON_INT32, TN_LIMIT},
        {"[9223372036854775807,-9223372036854775808]", TN_JSON_INT64, TN_OK},
        {"[9223372036854775808]", TN_JSON_INT64, TN_LIMIT},
        {"[255,0,-0]", TN_JSON_UINT8, TN_OK},
        {"[256]", TN_JSON_UINT8, TN_LIMIT},
        {"[-1]", TN_JSON_UINT8, TN_LIMIT},
        {"[65536]", TN_JSON_UINT16, TN_LIMIT},
        {"[4294967296]", TN_JSON_UINT32, TN_LIMIT},
        {"[18446744073709551615]", TN_JSON_UINT64, TN_OK},
        {"[18446744073709551616]", TN_JSON_UINT64, TN_LIMIT},
        {"[1.0]", TN_JSON_INT32, TN_INVALID},
        {"[1,2.5]", TN_JSON_INT32, TN_INVALID},
        {"[2]", TN_JSON_BOOL, TN_LIMIT},
        {"[true]", TN_JSON_INT32, TN_INVALID},
        {"[1,\"2\"]", TN_JSON_FP32, TN_INVALID},
        {"[1,null]", TN_JSON_FP32, TN_INVALID},
        {"[1,{}]", TN_JSON_FP32, TN_INVALID},
        {"[1,NaN]", TN_JSON_FP32, TN_INVALID},
        {"[1,2,]", TN_JSON_FP32, TN_INVALID},
        {"[1,,2]", TN_JSON_FP32, TN_INVALID},
        {"[1 2]", TN_JSON_FP32, TN_INVALID},
        {"[01]", TN_JSON_FP32, TN_INVALID},
        {"[1,01]", TN_JSON_FP32, TN_INVALID},
        {"[1e39]", TN_JSON_FP32, TN_LIMIT},
        {"[1e39]", TN_JSON_FP64, TN_OK},
        {"[1,-1e309]", TN_JSON_FP64, TN_LIMIT},
        {"[1", TN_JSON_FP32, TN_TRUNCATED},
        {"[1,", TN_JSON_FP32, TN_TRUNCATED},
        {"[1,-", TN_JSON_FP32, TN_TRUNCATED},
        {"[[1]", TN_JSON_FP32, TN_TRUNCATED},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        uint64_t out[8];
        size_t count = 99;
        enum tn_err err = read_numbers(rows[i].text, rows[i].element, out, 8, &count);
        if (err != rows[i].err) {
            print_message("%s\n", rows[i].text);
        }
        assert_int_equal(err, rows[i].err);
        assert_true(err == TN_OK ? count < 9 : count == 99);
    }
}

/* A shape of three dimensions, or fewer where one is negative. */
static void tensors_are_flat_or_nested_as_the_shape(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int64_t dims[3];
        enum tn_err err;
        size_t count; /* at the fault */
    } rows[] = {
        {"[1,2,3,4]", {2, 2, -1}, TN_OK, 4},
        {"[[1,2],[3,4]]", {2, 2, -1}, TN_OK, 4},
        {"[[[1],[2]],[[3],[4]]]", {2, 2, 1}, TN_OK, 4},
        {"[[],[]]", {2, 0, -1}, TN_OK, 0},
        {"[]", {0, 3, -1}, TN_OK, 0},
        {"[7]", {1, -1, -1}, TN_OK, 1},
        {"[7]", {-1, -1, -1}, TN_OK, 1},
        {"[[1,2,3],[4]]", {2, 2, -1}, TN_INVALID, 3},
        {"[[1,2],[3]]", {2, 2, -1}, TN_INVALID, 3},
        {"[[1,2],[3,4],[]]", {2, 2, -1}, TN_INVALID, 4},
        {"[[1,2,3,4]]", {2, 2, -1}, TN_INVALID, 4},
        {"[[1,2],3,4]", {2, 2, -1}, TN_INVALID, 2},
        {"[1,2,[3,4]]", {2, 2, -1}, TN_INVALID, 2},
        {"[[[1],[2]],[[3],[4]]]", {2, 2, -1}, TN_INVALID, 0},
        {"[[1,2],[3,4]]", {2, 2, 1}, TN_INVALID, 0},
        {"[1,2,3]", {2, 2, -1}, TN_INVALID, 3},
        {"[1,2,3,4,5]", {2, 2, -1}, TN_LIMIT, 4},
        {"[]", {2, 2, -1}, TN_INVALID, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        float out[8];
        struct tn_json_numbers into = {
            .element = TN_JSON_FP32, .out = out, .count_max = 1, .dims = rows[i].dims};
        while (into.rank < 3 && rows[i].dims[into.rank] >= 0) {
            into.count_max *= (size_t)rows[i].dims[into.rank++];
        }
        struct tn_json reader;
        tn_json_init(&reader, tn_str_from(rows[i].text));
        assert_int_equal(tn_json_next(&reader), TN_OK);
        if (tn_json_read_numbers(&reader, &into) != rows[i].err || into.count != rows[i].count) {
            print_message("%s: %zu, %s\n", rows[i].text, into.count, reader.fault);
            fail();
        }
    }
}

static void buf_sink_put(void *context, const void *data, size_t size)
{
    tn_buf_put(context, data, size);
}

static void written_text_is_as_expected(void **unused)
{
    (void)unused;
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    struct tn_json_writer writer;
    tn_json_writer_init(&writer, &(struct tn_json_sink){buf_sink_put, &buf});
    tn_json_open_object(&writer);
    tn_json_pair_str(&writer, TN_STR_OF("na\"me"), TN_STR_OF("a\\b\n\x01\x7f\xc3\xbc\xff"));
    tn_json_key(&writer, TN_STR_OF("list"));
    tn_json_open_array(&writer);
    tn_json_put_int64(&writer, -5);
    tn_json_put_float(&writer, 0.1F);
    tn_json_put_double(&writer, 1e300);
    tn_json_put_double(&writer, (double)NAN);
    tn_json_put_bool(&writer, true);
    tn_json_put_null(&writer);
    tn_json_open_array(&writer);
    tn_json_close(&writer);
    tn_json_open_object(&writer);
    tn_json_close(&writer);
    tn_json_put_raw(&writer, TN_STR_OF("[7]"));
    tn_json_close(&writer);
    tn_json_pair_uint64(&writer, TN_STR_OF("n"), UINT64_MAX);
    tn_json_close(&writer);
    tn_json_flush(&writer);
    assert_true(tn_str_is(tn_buf_str(&buf),
                          "{\"na\\\"me\":\"a\\\\b\\n\\u0001\x7f\xc3\xbc\xef\xbf\xbd\","
                          "\"list\":[-5,0.1,1e+300,null,true,null,[],{},[7]],"
                          "\"n\":18446744073709551615}"));
    tn_buf_deinit(&buf);
}

static void long_output_passes_the_stage_whole(void **unused)
{
    (void)unused;
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    struct tn_json_writer writer;
    tn_json_writer_init(&writer, &(struct tn_json_sink){buf_sink_put, &buf});
    static char text[3000];
    memset(text, 'x', sizeof(text));
    enum { COUNT = 2000 };
    tn_json_open_array(&writer);
    for (size_t i = 0; i < COUNT; i++) {
        tn_json_put_float(&writer, (float)i / 7);
        if (i % 100 == 0) {
            tn_json_open_array(&writer);
            tn_json_put_float(&writer, 0);
            tn_json_close(&writer);
        }
    }
    tn_json_close(&writer);
    tn_json_flush(&writer);
    static float out[COUNT + COUNT / 100];
    struct tn_json reader;
    tn_json_init(&reader, tn_buf_str(&buf));
    assert_int_equal(tn_json_next(&reader), TN_OK);
    struct tn_json_numbers into = {.element = TN_JSON_FP32, .out = out, .count_max = TN_COUNT(out)};
    assert_int_equal(tn_json_read_numbers(&reader, &into), TN_OK);
    assert_int_equal(into.count, TN_COUNT(out));
    assert_true(out[0] == 0 && out[2] == 1 / 7.0F);
    tn_buf_reset(&buf);
    tn_json_put_str(&writer, tn_str_make(text, sizeof(text)));
    tn_json_flush(&writer);
    assert_int_equal(buf.size, sizeof(text) + 2);
    tn_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_read_and_all_their_beginnings_refused),
        cmocka_unit_test(invalid_texts_are_refused),
        cmocka_unit_test(every_changed_byte_is_safe),
        cmocka_unit_test(events_come_in_order),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(faults_tell_where),
        cmocka_unit_test(texts_are_views_or_copies),
        cmocka_unit_test(skipping_lands_behind_the_value),
        cmocka_unit_test(tensors_flat_nested_and_spaced),
        cmocka_unit_test(tensors_refuse_what_does_not_fit),
        cmocka_unit_test(tensors_are_flat_or_nested_as_the_shape),
        cmocka_unit_test(written_text_is_as_expected),
        cmocka_unit_test(long_output_passes_the_stage_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
