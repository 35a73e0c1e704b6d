/* The reader's machine, one state between two tokens:
 *
 *   VALUE --scalar--> AFTER --','--> VALUE or KEY (by what is open)
 *     |                 '--']' '}'--> AFTER (one level up)
 *     |--'['--> FIRST_VALUE --']'--> AFTER, else as VALUE
 *     '--'{'--> FIRST_KEY   --'}'--> AFTER, else as KEY
 *   KEY --text ':'--> VALUE
 *
 * The stack of open containers is one bit each. Strings are checked when they are met, so what
 * comes later cannot fail but for memory. */
#include "core/json.h"

#include "core/assert.h"
#include "core/utf8.h"

enum { EXPECT_VALUE, EXPECT_FIRST_VALUE, EXPECT_KEY, EXPECT_FIRST_KEY, EXPECT_AFTER };

void tn_json_init(struct tn_json *reader, struct tn_str text)
{
    TN_ASSERT(text.data != NULL || text.size == 0);

    const char *start = text.data != NULL ? text.data : "";
    *reader = (struct tn_json){.start = start,
                               .at = start,
                               .end = start + text.size,
                               .expect = EXPECT_VALUE,
                               .err = TN_OK};
}

enum tn_err tn_json_fail(struct tn_json *reader, enum tn_err err, const char *fault)
{
    TN_ASSERT(err < 0);

    reader->event = TN_JSON_NONE;
    reader->err = err;
    reader->fault = fault;
    return err;
}

static enum tn_err fail_here(struct tn_json *reader, const char *fault)
{
    return reader->at == reader->end
               ? tn_json_fail(reader, TN_TRUNCATED, "the text ends before the value does")
               : tn_json_fail(reader, TN_INVALID, fault);
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline void skip_space(struct tn_json *reader)
{
    while (reader->at < reader->end && is_space(*reader->at)) {
        reader->at++;
    }
}

static enum tn_err deliver(struct tn_json *reader, enum tn_json_event event, uint8_t expect)
{
    reader->event = event;
    reader->expect = expect;
    return TN_OK;
}

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_hex4(const char *at, const char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* The code point of \uXXXX or of a pair of them; at points behind "\u". NULL: not one. */
static const char *read_code(const char *at, const char *end, uint32_t *ret_code)
{
    int32_t first = read_hex4(at, end);
    if (first < 0 || (first >= 0xDC00 && first <= 0xDFFF)) {
        return NULL;
    }
    at += 4;
    if (first < 0xD800 || first > 0xDFFF) {
        *ret_code = (uint32_t)first;
        return at;
    }
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return NULL;
    }
    int32_t second = read_hex4(at + 2, end);
    if (second < 0xDC00 || second > 0xDFFF) {
        return NULL;
    }
    *ret_code = 0x10000U + ((uint32_t)(first - 0xD800) << 10) + (uint32_t)(second - 0xDC00);
    return at + 6;
}

/* Resolves the escape whose backslash is at `at`; NULL: not one. */
static const char *read_escape(const char *at, const char *end, uint8_t out[TN_UTF8_SIZE_MAX],
                               size_t *ret_size)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (end - at < 2) {
        return NULL;
    }
    if (at[1] == 'u') {
        uint32_t code = 0;
        at = read_code(at + 2, end, &code);
        if (at != NULL) {
            *ret_size = tn_utf8_put(out, code);
        }
        return at;
    }
    for (size_t i = 0; i < sizeof(names) - 1; i++) {
        if (at[1] == names[i]) {
            out[0] = (uint8_t)values[i];
            *ret_size = 1;
            return at + 2;
        }
    }
    return NULL;
}

/* Where the next byte stands that is not plain ASCII text: quote, backslash, control or above. */
static const char *plain_end(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t high = 0x8080808080808080U;
    while (end - at >= 8) {
        uint64_t word = tn_load_le64((const uint8_t *)at);
        uint64_t quote = word ^ (ones * '"');
        uint64_t slash = word ^ (ones * '\\');
        uint64_t stop = (word - ones * 0x20) | (quote - ones) | (slash - ones) | word;
        if ((stop & high) != 0) {
            break;
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\' &&
           (unsigned char)*at < 0x80) {
        at++;
    }
    return at;
}

/* From behind the opening quote to behind the closing one. */
static enum tn_err read_string(struct tn_json *reader)
{
    const char *first = ++reader->at;
    const char *end = reader->end;
    reader->escaped = false;
    for (;;) {
        reader->at = plain_end(reader->at, end);
        if (reader->at == end) {
            return fail_here(reader, NULL);
        }
        unsigned char c = (unsigned char)*reader->at;
        size_t size = 0;
        if (c == '"') {
            reader->text = tn_str_make(first, (size_t)(reader->at - first));
            reader->at++;
            return TN_OK;
        }
        if (c == '\\') {
            uint8_t resolved[TN_UTF8_SIZE_MAX];
            const char *next = read_escape(reader->at, end, resolved, &size);
            if (next == NULL) {
                return tn_json_fail(reader, TN_INVALID, "not an escape, or half a surrogate pair");
            }
            reader->escaped = true;
            reader->at = next;
            continue;
        }
        if (c < 0x20) {
            return tn_json_fail(reader, TN_INVALID, "a control character must be escaped");
        }
        size = tn_utf8_sequence_size((const uint8_t *)reader->at, (size_t)(end - reader->at));
        if (size == 0) {
            return tn_json_fail(reader, TN_INVALID, "the text is not UTF-8");
        }
        reader->at += size;
    }
}

static enum tn_err read_word(struct tn_json *reader, const char *word, enum tn_json_event event)
{
    for (; *word != '\0'; word++, reader->at++) {
        if (reader->at == reader->end || *reader->at != *word) {
            return fail_here(reader, "not a JSON value");
        }
    }
    return deliver(reader, event, EXPECT_AFTER);
}

static enum tn_err read_number(struct tn_json *reader)
{
    struct tn_str rest = tn_str_make(reader->at, (size_t)(reader->end - reader->at));
    enum tn_err err = tn_number_scan(rest, &reader->number);
    if (err != TN_OK) {
        return tn_json_fail(reader, err, "not a number as JSON writes them");
    }
    reader->at += reader->number.text.size;
    return deliver(reader, TN_JSON_NUMBER, EXPECT_AFTER);
}

static enum tn_err open_container(struct tn_json *reader, bool object)
{
    if (reader->depth == TN_JSON_DEPTH_MAX) {
        return tn_json_fail(reader, TN_LIMIT, "arrays and objects are nested too deep");
    }
    uint64_t bit = (uint64_t)1 << reader->depth;
    reader->objects = object ? reader->objects | bit : reader->objects & ~bit;
    reader->depth++;
    reader->at++;
    return object ? deliver(reader, TN_JSON_OBJECT, EXPECT_FIRST_KEY)
                  : deliver(reader, TN_JSON_ARRAY, EXPECT_FIRST_VALUE);
}

static inline bool in_object(const struct tn_json *reader)
{
    return (reader->objects >> (reader->depth - 1) & 1) != 0;
}

static enum tn_err close_container(struct tn_json *reader)
{
    bool object = in_object(reader);
    reader->at++;
    reader->depth--;
    return deliver(reader, object ? TN_JSON_OBJECT_END : TN_JSON_ARRAY_END, EXPECT_AFTER);
}

static enum tn_err read_value(struct tn_json *reader)
{
    if (reader->at == reader->end) {
        return fail_here(reader, NULL);
    }
    enum tn_err err = TN_OK;
    switch (*reader->at) {
    case '{':
        return open_container(reader, true);
    case '[':
        return open_container(reader, false);
    case '"':
        err = read_string(reader);
        return err != TN_OK ? err : deliver(reader, TN_JSON_STRING, EXPECT_AFTER);
    case 't':
        return read_word(reader, "true", TN_JSON_TRUE);
    case 'f':
        return read_word(reader, "false", TN_JSON_FALSE);
    case 'n':
        return read_word(reader, "null", TN_JSON_NULL);
    default:
        break;
    }
    char first = *reader->at;
    return first == '-' || (first >= '0' && first <= '9') ? read_number(reader)
                                                          : fail_here(reader, "not a JSON value");
}

static enum tn_err read_key(struct tn_json *reader)
{
    if (reader->at == reader->end || *reader->at != '"') {
        return fail_here(reader, "a key must be a string");
    }
    enum tn_err err = read_string(reader);
    if (err != TN_OK) {
        return err;
    }
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != ':') {
        return fail_here(reader, "':' must follow a key");
    }
    reader->at++;
    return deliver(reader, TN_JSON_KEY, EXPECT_VALUE);
}

static enum tn_err read_after(struct tn_json *reader)
{
    if (reader->depth == 0) {
        reader->event = TN_JSON_NONE;
        return reader->at == reader->end
                   ? TN_DONE
                   : tn_json_fail(reader, TN_INVALID, "something follows the value");
    }
    bool object = in_object(reader);
    char c = reader->at < reader->end ? *reader->at : '\0';
    if (c == (object ? '}' : ']')) {
        return close_container(reader);
    }
    if (c != ',') {
        return fail_here(reader, object ? "',' or '}' must follow here"
                                        : "',' or ']' must follow"
                                          " here");
    }
    reader->at++;
    skip_space(reader);
    return object ? read_key(reader) : read_value(reader);
}

enum tn_err tn_json_next(struct tn_json *reader)
{
    if (reader->err != TN_OK) {
        return reader->err;
    }
    skip_space(reader);
    char c = reader->at < reader->end ? *reader->at : '\0';
    switch (reader->expect) {
    case EXPECT_FIRST_VALUE:
        return c == ']' ? close_container(reader) : read_value(reader);
    case EXPECT_FIRST_KEY:
        return c == '}' ? close_container(reader) : read_key(reader);
    case EXPECT_AFTER:
        return read_after(reader);
    default:
        return read_value(reader);
    }
}

enum tn_err tn_json_skip(struct tn_json *reader)
{
    if (reader->event == TN_JSON_KEY) {
        enum tn_err err = tn_json_next(reader);
        if (err != TN_OK) {
            return err;
        }
    }
    if (reader->err != TN_OK ||
        (reader->event != TN_JSON_ARRAY && reader->event != TN_JSON_OBJECT)) {
        return reader->err;
    }
    uint32_t outside = reader->depth - 1;
    while (reader->depth > outside) {
        enum tn_err err = tn_json_next(reader);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

/* The next piece of a checked text: a byte as it stands, or an escape resolved. */
static const char *next_piece(const char *at, const char *end, uint8_t out[TN_UTF8_SIZE_MAX],
                              size_t *ret_size)
{
    if (*at != '\\') {
        out[0] = (uint8_t)*at;
        *ret_size = 1;
        return at + 1;
    }
    at = read_escape(at, end, out, ret_size);
    TN_ASSERT(at != NULL);
    return at;
}

enum tn_err tn_json_text(const struct tn_json *reader, struct tn_arena *arena,
                         struct tn_str *ret_text)
{
    TN_ASSERT(reader->event == TN_JSON_KEY || reader->event == TN_JSON_STRING);

    if (!reader->escaped) {
        *ret_text = reader->text;
        return TN_OK;
    }
    /* An escape is never shorter than what it stands for. */
    char *copy = tn_arena_take(arena, reader->text.size, 1);
    if (copy == NULL) {
        return TN_NOMEM;
    }
    const char *at = reader->text.data;
    const char *end = at + reader->text.size;
    size_t total = 0;
    while (at < end) {
        uint8_t piece[TN_UTF8_SIZE_MAX];
        size_t size = 0;
        at = next_piece(at, end, piece, &size);
        memcpy(copy + total, piece, size);
        total += size;
    }
    *ret_text = tn_str_make(copy, total);
    return TN_OK;
}

bool tn_json_text_is(const struct tn_json *reader, const char *terminated)
{
    if (!reader->escaped) {
        return tn_str_is(reader->text, terminated);
    }
    const char *at = reader->text.data;
    const char *end = at + reader->text.size;
    size_t left = strlen(terminated);
    while (at < end) {
        uint8_t piece[TN_UTF8_SIZE_MAX];
        size_t size = 0;
        at = next_piece(at, end, piece, &size);
        if (size > left || memcmp(piece, terminated, size) != 0) {
            return false;
        }
        terminated += size;
        left -= size;
    }
    return left == 0;
}

struct tn_json_position tn_json_at(const struct tn_json *reader)
{
    struct tn_json_position position = {.line = 1, .column = 1};
    for (const char *at = reader->start; at < reader->at; at++) {
        position.column++;
        if (*at == '\n') {
            position.line++;
            position.column = 1;
        }
    }
    return position;
}
