/* Writing JSON: commas, colons and escapes come by themselves; bytes go to a sink in pieces of
 * about half a kilobyte, so the sink may be as slow as a growing buffer or a socket.
 *
 *   tn_json_open_object(&w); tn_json_key(&w, TN_STR_OF("live")); tn_json_put_bool(&w, true);
 *   tn_json_close(&w); tn_json_flush(&w);
 *
 * Text that is not UTF-8 is written with U+FFFD for each bad byte, and numbers that are not finite
 * as null, so that what comes out is always JSON. A wrong order of calls is asserted.
 * Memory: this struct. Threads: one at a time. Bounds: TN_JSON_DEPTH_MAX open. Freestanding. */
#ifndef TN_CORE_JSON_WRITE_H
#define TN_CORE_JSON_WRITE_H

#include "core/json.h"

enum { TN_JSON_STAGE_SIZE = 512 };

/* Where bytes go. A sink that fails remembers that itself. */
struct tn_json_sink {
    void (*put)(void *context, const void *data, size_t size);
    void *context;
};

struct tn_json_writer {
    struct tn_json_sink sink;
    uint32_t depth;
    uint64_t objects;  /* bit d: what is open at depth d + 1 is an object */
    uint64_t nonempty; /* bit d: the next item at depth d + 1 needs a comma */
    bool after_key;
    size_t staged;
    char stage[TN_JSON_STAGE_SIZE];
};

void tn_json_writer_init(struct tn_json_writer *writer, const struct tn_json_sink *sink);

void tn_json_open_object(struct tn_json_writer *writer);
void tn_json_open_array(struct tn_json_writer *writer);
void tn_json_close(struct tn_json_writer *writer); /* the innermost */

void tn_json_key(struct tn_json_writer *writer, struct tn_str key);
void tn_json_put_str(struct tn_json_writer *writer, struct tn_str text);
void tn_json_put_double(struct tn_json_writer *writer, double value);
void tn_json_put_float(struct tn_json_writer *writer, float value);
void tn_json_put_int64(struct tn_json_writer *writer, int64_t value);
void tn_json_put_uint64(struct tn_json_writer *writer, uint64_t value);
void tn_json_put_bool(struct tn_json_writer *writer, bool value);
void tn_json_put_null(struct tn_json_writer *writer);

/* One value that is JSON already. */
void tn_json_put_raw(struct tn_json_writer *writer, struct tn_str json);

/* A key and its text or number, the most common pairs. */
void tn_json_pair_str(struct tn_json_writer *writer, struct tn_str key, struct tn_str text);
void tn_json_pair_uint64(struct tn_json_writer *writer, struct tn_str key, uint64_t value);

/* Hands the rest to the sink; everything is closed (asserted). */
void tn_json_flush(struct tn_json_writer *writer);

#endif
