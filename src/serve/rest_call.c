/* Bodies in and answers out: see rest_call.h. */
#include "serve/rest_call.h"

#include "core/assert.h"
#include "core/json.h"

/* --- Answers --- */
enum { BLOCK_FIRST = 2048 };

static void grow(struct tn_rest_out *out, size_t more)
{
    size_t have = out->block != NULL ? out->block->size : 0;
    size_t room = out->block != NULL ? out->block->room * 2 : BLOCK_FIRST;
    while (room - have < more) {
        room *= 2;
    }
    struct tn_block *block = NULL;
    out->failed = tn_block_create(room, &block);
    if (out->failed != TN_OK) {
        return;
    }
    if (have > 0) {
        memcpy(block->data, out->block->data, have);
    }
    block->size = have;
    tn_block_unref(out->block);
    out->block = block;
}

static void put(void *context, const void *data, size_t size)
{
    struct tn_rest_out *out = context;
    if (out->failed == TN_OK &&
        (out->block == NULL || out->block->room - out->block->size < size)) {
        grow(out, size);
    }
    if (out->failed == TN_OK && size > 0) {
        memcpy(out->block->data + out->block->size, data, size);
        out->block->size += size;
    }
}

void tn_rest_out_begin(struct tn_rest_out *out)
{
    out->block = NULL;
    out->failed = TN_OK;
    out->sink = (struct tn_json_sink){.put = put, .context = out};
    tn_json_writer_init(&out->json, &out->sink);
}

void tn_rest_out_drop(struct tn_rest_out *out)
{
    tn_block_unref(out->block);
    out->block = NULL;
}

void tn_rest_out_reply(struct tn_rest_call *rest, struct tn_rest_out *out)
{
    tn_json_flush(&out->json);
    if (out->failed != TN_OK) {
        tn_rest_out_drop(out);
        tn_fault_set(&rest->fault, out->failed, "no memory for this answer");
        tn_rest_fail(rest);
        return;
    }
    struct tn_piece piece = {.bytes = tn_bytes_make(out->block->data, out->block->size),
                             .owner = out->block};
    tn_call_reply(rest->call, 200, TN_STR_OF("application/json"), &piece, 1);
}

void tn_rest_reply_text(struct tn_rest_call *rest, unsigned status, struct tn_str type,
                        struct tn_str text)
{
    struct tn_piece piece = {.bytes = tn_bytes_make(text.data, text.size)};
    tn_call_reply(rest->call, status, type, &piece, text.size > 0 ? 1 : 0);
}

void tn_rest_done(struct tn_rest_call *rest)
{
    tn_rest_reply_text(rest, 200, TN_STR_OF("application/json"), TN_STR_OF(""));
}

/* What the caller asked for and JSON cannot say is his error, not a missing feature. */
static unsigned status_of(enum tn_err err)
{
    return err == TN_UNSUPPORTED ? 400 : tn_http_status_of(err);
}

void tn_rest_fail(struct tn_rest_call *rest)
{
    struct tn_rest_out out;
    unsigned status = status_of(rest->fault.code);
    tn_rest_out_begin(&out);
    tn_json_open_object(&out.json);
    tn_json_pair_str(&out.json, TN_STR_OF("error"),
                     tn_str_from(rest->fault.text[0] != '\0' ? rest->fault.text
                                                             : tn_err_name(rest->fault.code)));
    tn_json_close(&out.json);
    tn_json_flush(&out.json);
    if (status == 429 || status == 503) {
        enum tn_err err = tn_call_add_header(rest->call, TN_STR_OF("retry-after"), TN_STR_OF("1"));
        (void)err; /* advice only */
    }
    if (status == 401) {
        enum tn_err err =
            tn_call_add_header(rest->call, TN_STR_OF("www-authenticate"), TN_STR_OF("Bearer"));
        (void)err;
    }
    struct tn_piece piece = {0};
    if (out.failed == TN_OK) {
        piece = (struct tn_piece){tn_bytes_make(out.block->data, out.block->size), out.block};
    }
    tn_call_reply(rest->call, status, TN_STR_OF("application/json"), &piece,
                  out.failed == TN_OK ? 1 : 0);
}

/* --- Bodies --- */
enum tn_err tn_rest_wrong_json(struct tn_rest_call *rest, const struct tn_json *reader)
{
    struct tn_json_position at = tn_json_at(reader);
    return tn_fault_set(&rest->fault, TN_INVALID, "the body is not right, line %zu column %zu: %s",
                        at.line, at.column,
                        reader->fault != NULL ? reader->fault : "not the JSON that was expected");
}

enum tn_err tn_rest_wrong_value(struct tn_rest_call *rest, const struct tn_json *reader,
                                const char *what, const char *wanted)
{
    struct tn_json_position at = tn_json_at(reader);
    return tn_fault_set(&rest->fault, TN_INVALID, "\"%s\" must be %s (line %zu column %zu)", what,
                        wanted, at.line, at.column);
}

enum tn_err tn_rest_body_begin(struct tn_rest_call *rest, struct tn_json *reader)
{
    if (rest->body.size == 0) {
        return TN_DONE;
    }
    tn_json_init(reader, rest->body);
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    if (reader->event != TN_JSON_OBJECT) {
        return tn_fault_set(&rest->fault, TN_INVALID, "the body must be a JSON object");
    }
    return TN_OK;
}

enum tn_err tn_rest_next_key(struct tn_rest_call *rest, struct tn_json *reader,
                             const char *const *names, uint32_t *seen, size_t *ret_index)
{
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    if (reader->event == TN_JSON_OBJECT_END) {
        return TN_DONE;
    }
    TN_ASSERT(reader->event == TN_JSON_KEY);
    size_t index = 0;
    while (names[index] != NULL && !tn_json_text_is(reader, names[index])) {
        index++;
    }
    if (names[index] != NULL && (*seen & 1U << index) != 0) {
        return tn_fault_set(&rest->fault, TN_INVALID, "\"%s\" appears twice in one object",
                            names[index]);
    }
    *seen |= names[index] != NULL ? 1U << index : 0;
    *ret_index = index;
    return TN_OK;
}

enum tn_err tn_rest_read_str(struct tn_rest_call *rest, struct tn_json *reader, const char *what,
                             struct tn_str *ret_text)
{
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    if (reader->event != TN_JSON_STRING) {
        return tn_rest_wrong_value(rest, reader, what, "a text");
    }
    if (tn_json_text(reader, rest->with.arena, ret_text) != TN_OK) {
        return tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
    }
    return TN_OK;
}

enum tn_err tn_rest_read_u64(struct tn_rest_call *rest, struct tn_json *reader, const char *what,
                             uint64_t *ret_value)
{
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    if (reader->event != TN_JSON_NUMBER || tn_number_uint64(&reader->number, ret_value) != TN_OK) {
        return tn_rest_wrong_value(rest, reader, what, "a whole number from 0");
    }
    return TN_OK;
}

enum tn_err tn_rest_read_bool(struct tn_rest_call *rest, struct tn_json *reader, const char *what,
                              bool *ret_value)
{
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    if (reader->event != TN_JSON_TRUE && reader->event != TN_JSON_FALSE) {
        return tn_rest_wrong_value(rest, reader, what, "true or false");
    }
    *ret_value = reader->event == TN_JSON_TRUE;
    return TN_OK;
}

enum tn_err tn_rest_skip(struct tn_rest_call *rest, struct tn_json *reader)
{
    return tn_json_skip(reader) == TN_OK ? TN_OK : tn_rest_wrong_json(rest, reader);
}
