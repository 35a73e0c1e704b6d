/* JSON (RFC 8259), pulled event by event from a text in memory: no tree, no allocation.
 *
 *   struct tn_json reader;
 *   tn_json_init(&reader, text);
 *   while ((err = tn_json_next(&reader)) == TN_OK) switch (reader.event) ...
 *   err == TN_DONE: the text was one whole value; else reader.fault says what is wrong at
 * tn_json_at
 *
 * Strict: no comments, no trailing commas, no NaN, no byte order mark, text in strings must be
 * UTF-8 and escaped surrogates must come in pairs. Equal keys in an object are all delivered: what
 * they mean is the caller's choice. A reader is a plain value: a copy of it is a bookmark.
 *
 * Cost: about 1 ns a byte; numbers as in number.h. Memory: this struct. Threads: one at a time.
 * Bounds: TN_JSON_DEPTH_MAX open arrays and objects. Freestanding. */
#ifndef TN_CORE_JSON_H
#define TN_CORE_JSON_H

#include "core/arena.h"
#include "core/number.h"

enum { TN_JSON_DEPTH_MAX = 64 };

enum tn_json_event {
    TN_JSON_NONE,
    TN_JSON_OBJECT, /* { */
    TN_JSON_OBJECT_END,
    TN_JSON_KEY,   /* text; the next event begins its value */
    TN_JSON_ARRAY, /* [ */
    TN_JSON_ARRAY_END,
    TN_JSON_STRING, /* text */
    TN_JSON_NUMBER, /* number */
    TN_JSON_TRUE,
    TN_JSON_FALSE,
    TN_JSON_NULL,
};

struct tn_json {
    enum tn_json_event event; /* the last one delivered */
    struct tn_str text;       /* of a key or string: between the quotes, escapes as they stand */
    bool escaped;             /* text has escapes: read it with tn_json_text */
    struct tn_number number;
    uint32_t depth;    /* open arrays and objects */
    const char *fault; /* static text once a call failed */

    const char *start;
    const char *at;
    const char *end;
    uint64_t objects; /* bit d: what is open at depth d + 1 is an object */
    enum tn_err err;
    uint8_t expect;
};

struct tn_json_position {
    size_t line;   /* from 1 */
    size_t column; /* from 1, in bytes */
};

/* `text` must outlive the reader and what it hands out. */
void tn_json_init(struct tn_json *reader, struct tn_str text);

/* The next event. TN_DONE: the value is complete and nothing follows it. TN_INVALID: not JSON.
 * TN_TRUNCATED: it breaks off. TN_LIMIT: too deep. An error repeats at every later call. */
TN_MUST enum tn_err tn_json_next(struct tn_json *reader);

/* Passes over what the last event began: the rest of an array or object, the value of a key;
 * nothing for other events. Errors as tn_json_next. */
TN_MUST enum tn_err tn_json_skip(struct tn_json *reader);

/* The key or string just delivered, without escapes: a view of the input when there are none, else
 * a copy in the arena. TN_NOMEM. */
TN_MUST enum tn_err tn_json_text(const struct tn_json *reader, struct tn_arena *arena,
                                 struct tn_str *ret_text);

/* Whether the key or string just delivered is this, escapes resolved. */
bool tn_json_text_is(const struct tn_json *reader, const char *terminated);

/* Where the reader stands; counts lines from the start, so for messages only. */
struct tn_json_position tn_json_at(const struct tn_json *reader);

/* Marks the reader as failed for a reason of the caller's (static text) and returns `err`, so that
 * a wrong type is reported the way wrong grammar is. */
enum tn_err tn_json_fail(struct tn_json *reader, enum tn_err err, const char *fault);

/* --- tensors --- */
enum tn_json_element {
    TN_JSON_BOOL, /* true, false, 0 or 1, in one byte */
    TN_JSON_INT8,
    TN_JSON_INT16,
    TN_JSON_INT32,
    TN_JSON_INT64,
    TN_JSON_UINT8,
    TN_JSON_UINT16,
    TN_JSON_UINT32,
    TN_JSON_UINT64,
    TN_JSON_FP32,
    TN_JSON_FP64,
};

struct tn_json_numbers {
    enum tn_json_element element;
    void *out;           /* aligned for the element */
    size_t count_max;    /* elements that `out` has room for */
    const int64_t *dims; /* NULL: any nesting. Else flat, or nested exactly so, count_max in all */
    size_t rank;
    size_t count; /* set by reading: elements in `out`; after a failure the one at fault */
};

/* After TN_JSON_ARRAY: reads the array to its end into `out`. Integers must be written as such and
 * be in range, floats finite in their type. TN_LIMIT: out of range, or more than count_max
 * elements; TN_INVALID: something else than numbers, or another shape. */
TN_MUST enum tn_err tn_json_read_numbers(struct tn_json *reader, struct tn_json_numbers *into);

#endif
