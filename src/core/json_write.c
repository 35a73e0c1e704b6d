/* A stage of half a kilobyte between many small pieces and the sink. */
#include "core/json_write.h"

#include "core/assert.h"
#include "core/utf8.h"

void tn_json_writer_init(struct tn_json_writer *writer, const struct tn_json_sink *sink)
{
    writer->sink = *sink;
    writer->depth = 0;
    writer->objects = 0;
    writer->nonempty = 0;
    writer->after_key = false;
    writer->staged = 0;
}

static void drain(struct tn_json_writer *writer)
{
    if (writer->staged > 0) {
        writer->sink.put(writer->sink.context, writer->stage, writer->staged);
        writer->staged = 0;
    }
}

/* At least `size` writable bytes, counted by the caller. */
static inline char *stage_room(struct tn_json_writer *writer, size_t size)
{
    if (TN_JSON_STAGE_SIZE - writer->staged < size) {
        drain(writer);
    }
    return writer->stage + writer->staged;
}

static void put(struct tn_json_writer *writer, const char *data, size_t size)
{
    if (size == 0) {
        return;
    }
    if (size > TN_JSON_STAGE_SIZE / 2) {
        drain(writer);
        writer->sink.put(writer->sink.context, data, size);
        return;
    }
    memcpy(stage_room(writer, size), data, size);
    writer->staged += size;
}

static inline void put_char(struct tn_json_writer *writer, char c)
{
    *stage_room(writer, 1) = c;
    writer->staged++;
}

static inline uint64_t level_bit(const struct tn_json_writer *writer)
{
    return (uint64_t)1 << (writer->depth - 1);
}

/* The comma before an item of an array or before a key. */
static inline void separate(struct tn_json_writer *writer)
{
    if (writer->depth == 0) {
        return;
    }
    if ((writer->nonempty & level_bit(writer)) != 0) {
        put_char(writer, ',');
    }
    writer->nonempty |= level_bit(writer);
}

static inline void begin_value(struct tn_json_writer *writer)
{
    if (writer->after_key) {
        writer->after_key = false;
        return;
    }
    TN_ASSERT(writer->depth == 0 || (writer->objects & level_bit(writer)) == 0);
    separate(writer);
}

static void open(struct tn_json_writer *writer, bool object)
{
    begin_value(writer);
    TN_ASSERT(writer->depth < TN_JSON_DEPTH_MAX);
    writer->depth++;
    uint64_t bit = level_bit(writer);
    writer->objects = object ? writer->objects | bit : writer->objects & ~bit;
    writer->nonempty &= ~bit;
    put_char(writer, object ? '{' : '[');
}

void tn_json_open_object(struct tn_json_writer *writer)
{
    open(writer, true);
}

void tn_json_open_array(struct tn_json_writer *writer)
{
    open(writer, false);
}

void tn_json_close(struct tn_json_writer *writer)
{
    TN_ASSERT(writer->depth > 0 && !writer->after_key);
    put_char(writer, (writer->objects & level_bit(writer)) != 0 ? '}' : ']');
    writer->depth--;
}

static void put_escape(struct tn_json_writer *writer, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    put_char(writer, '\\');
    if (c == '"' || c == '\\') {
        put_char(writer, (char)c);
    } else if (names[c] != '\0') {
        put_char(writer, names[c]);
    } else {
        const char code[] = {'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(writer, code, sizeof(code));
    }
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_text(struct tn_json_writer *writer, struct tn_str text)
{
    const char *at = text.data;
    const char *end = text.size > 0 ? at + text.size : at;
    put_char(writer, '"');
    while (at < end) {
        const char *first = at;
        while (at < end && is_plain((unsigned char)*at)) {
            at++;
        }
        put(writer, first, (size_t)(at - first));
        if (at == end) {
            break;
        }
        size_t size = tn_utf8_sequence_size((const uint8_t *)at, (size_t)(end - at));
        if (size == 1) {
            put_escape(writer, (unsigned char)*at);
        } else if (size == 0) {
            put(writer, "\xef\xbf\xbd", 3);
            size = 1;
        } else {
            put(writer, at, size);
        }
        at += size;
    }
    put_char(writer, '"');
}

void tn_json_key(struct tn_json_writer *writer, struct tn_str key)
{
    TN_ASSERT(writer->depth > 0 && !writer->after_key);
    TN_ASSERT((writer->objects & level_bit(writer)) != 0);
    separate(writer);
    put_text(writer, key);
    put_char(writer, ':');
    writer->after_key = true;
}

void tn_json_put_str(struct tn_json_writer *writer, struct tn_str text)
{
    begin_value(writer);
    put_text(writer, text);
}

void tn_json_put_double(struct tn_json_writer *writer, double value)
{
    if (!__builtin_isfinite(value)) {
        tn_json_put_null(writer);
        return;
    }
    begin_value(writer);
    writer->staged += tn_number_put_double(stage_room(writer, TN_NUMBER_SIZE_MAX), value);
}

void tn_json_put_float(struct tn_json_writer *writer, float value)
{
    if (!__builtin_isfinite(value)) {
        tn_json_put_null(writer);
        return;
    }
    begin_value(writer);
    writer->staged += tn_number_put_float(stage_room(writer, TN_NUMBER_SIZE_MAX), value);
}

void tn_json_put_int64(struct tn_json_writer *writer, int64_t value)
{
    begin_value(writer);
    writer->staged += tn_number_put_int64(stage_room(writer, TN_NUMBER_SIZE_MAX), value);
}

void tn_json_put_uint64(struct tn_json_writer *writer, uint64_t value)
{
    begin_value(writer);
    writer->staged += tn_number_put_uint64(stage_room(writer, TN_NUMBER_SIZE_MAX), value);
}

void tn_json_put_bool(struct tn_json_writer *writer, bool value)
{
    begin_value(writer);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void tn_json_put_null(struct tn_json_writer *writer)
{
    begin_value(writer);
    put(writer, "null", 4);
}

void tn_json_put_raw(struct tn_json_writer *writer, struct tn_str json)
{
    begin_value(writer);
    put(writer, json.data, json.size);
}

void tn_json_pair_str(struct tn_json_writer *writer, struct tn_str key, struct tn_str text)
{
    tn_json_key(writer, key);
    tn_json_put_str(writer, text);
}

void tn_json_pair_uint64(struct tn_json_writer *writer, struct tn_str key, uint64_t value)
{
    tn_json_key(writer, key);
    tn_json_put_uint64(writer, value);
}

void tn_json_flush(struct tn_json_writer *writer)
{
    TN_ASSERT(writer->depth == 0 && !writer->after_key);
    drain(writer);
}
