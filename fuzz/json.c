/* JSON: no bytes crash the reader, its numbers are those of the C library, what it reads can be
 * written and reads the same again, and arrays of numbers go into tensors without overrun.
 *
 * Byte 0 chooses the element type and room of tensors, the rest is the text. */
#include "base/buf.h"
#include "base/mem.h"
#include "core/assert.h"
#include "core/json_write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER_SIZE_MAX = 512 };

static void put_buf(void *context, const void *data, size_t size)
{
    tn_buf_put(context, data, size);
}

static void check_number(const struct tn_number *number)
{
    char text[NUMBER_SIZE_MAX + 1];
    if (number->text.size > NUMBER_SIZE_MAX) {
        return;
    }
    memcpy(text, number->text.data, number->text.size);
    text[number->text.size] = '\0';
    double expected = strtod(text, NULL);
    double value = tn_number_double(number);
    TN_ASSERT(memcmp(&value, &expected, sizeof(value)) == 0);
    float expected_float = strtof(text, NULL);
    float value_float = tn_number_float(number);
    TN_ASSERT(memcmp(&value_float, &expected_float, sizeof(value_float)) == 0);
}

/* Writes what the reader has just delivered. */
static void write_event(const struct tn_json *reader, struct tn_arena *arena,
                        struct tn_json_writer *writer)
{
    struct tn_str text = {0};
    if (reader->event == TN_JSON_KEY || reader->event == TN_JSON_STRING) {
        enum tn_err err = tn_json_text(reader, arena, &text);
        TN_ASSERT(err == TN_OK);
    }
    switch (reader->event) {
    case TN_JSON_OBJECT:
        tn_json_open_object(writer);
        return;
    case TN_JSON_ARRAY:
        tn_json_open_array(writer);
        return;
    case TN_JSON_OBJECT_END:
    case TN_JSON_ARRAY_END:
        tn_json_close(writer);
        return;
    case TN_JSON_KEY:
        tn_json_key(writer, text);
        return;
    case TN_JSON_STRING:
        tn_json_put_str(writer, text);
        return;
    case TN_JSON_NUMBER:
        check_number(&reader->number);
        tn_json_put_double(writer, tn_number_double(&reader->number));
        return;
    case TN_JSON_NULL:
        tn_json_put_null(writer);
        return;
    default:
        tn_json_put_bool(writer, reader->event == TN_JSON_TRUE);
        return;
    }
}

/* Whether the text is JSON; if so it stands in `out` as the writer writes it. */
static bool rewrite(struct tn_str text, struct tn_arena *arena, struct tn_buf *out)
{
    struct tn_json reader;
    struct tn_json_writer writer;
    tn_json_init(&reader, text);
    tn_json_writer_init(&writer, &(struct tn_json_sink){put_buf, out});
    enum tn_err err = TN_OK;
    while ((err = tn_json_next(&reader)) == TN_OK) {
        write_event(&reader, arena, &writer);
    }
    if (err != TN_DONE) {
        TN_ASSERT(err < 0 && reader.fault != NULL && tn_json_at(&reader).line > 0);
        return false;
    }
    tn_json_flush(&writer);
    return true;
}

static void read_tensor(struct tn_str text, uint8_t choice)
{
    size_t count_max = choice / 16;
    uint64_t *out = malloc(count_max * sizeof(*out) + 1);
    TN_ASSERT(out != NULL);
    struct tn_json_numbers into = {
        .element = choice % (TN_JSON_FP64 + 1), .out = out, .count_max = count_max};
    struct tn_json reader;
    tn_json_init(&reader, text);
    while (tn_json_next(&reader) == TN_OK) {
        if (reader.event == TN_JSON_ARRAY && tn_json_read_numbers(&reader, &into) == TN_OK) {
            TN_ASSERT(into.count <= count_max);
        }
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct tn_str text = tn_str_make((const char *)data + 1, size - 1);
    struct tn_arena arena;
    struct tn_buf first;
    struct tn_buf second;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    tn_buf_init(&first, 0);
    tn_buf_init(&second, 0);
    if (rewrite(text, &arena, &first)) {
        bool again = rewrite(tn_buf_str(&first), &arena, &second);
        TN_ASSERT(again && tn_str_equal(tn_buf_str(&first), tn_buf_str(&second)));
    }
    read_tensor(text, data[0]);
    tn_buf_deinit(&second);
    tn_buf_deinit(&first);
    tn_arena_deinit(&arena);
    return 0;
}
