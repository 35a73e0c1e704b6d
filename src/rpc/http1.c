/* HTTP/1 push parser; see http1.h for the states and the rules, http1_head.c for the grammar.
 *
 *   START   passes over one CRLF, looks at the first byte
 *   HEAD    finds the empty line; parses in place, or keeps the bytes when they are cut
 *   LENGTH, UNTIL_CLOSE, CHUNK    hand body bytes out
 *   SIZE, EXTENSION, SIZE_LF, CHUNK_CR, CHUNK_LF    the framing of chunks, byte by byte
 *   TRAILERS    as HEAD     LAST    reports END     OVER, FAILED    take nothing
 *
 * Finding the end of a head remembers how far it looked, so a head that trickles in a byte at a
 * time costs the same as a whole one. What it refuses depends on positions only, never on cuts.
 * Memory: the caller's struct; a cut head is kept in memory of `source`, doubled up to
 * head_bytes_max, given back when its event was used. Threads: one at a time. Bounds: limits. */
#include "rpc/http1.h"

#include "core/assert.h"
#include "rpc/http1_head.h"

enum state {
    START,
    HEAD,
    LENGTH,
    UNTIL_CLOSE,
    SIZE,
    EXTENSION,
    SIZE_LF,
    CHUNK,
    CHUNK_CR,
    CHUNK_LF,
    TRAILERS,
    LAST,
    OVER,
    FAILED,
};

enum { KEPT_ROOM_FIRST = 1024, CHUNK_DIGITS_MAX = 16 };

struct input {
    uint8_t *data;
    size_t size;
    size_t at;
};

static size_t or_default(size_t value, size_t fallback)
{
    return value > 0 ? value : fallback;
}

void tn_http1_init(struct tn_http1 *parser, const struct tn_http1_options *options)
{
    TN_ASSERT(options->headers != NULL && options->header_room > 0);

    const struct tn_http1_limits *limits = &options->limits;
    size_t count_max = or_default(limits->header_count_max, options->header_room);
    *parser = (struct tn_http1){
        .response = options->response,
        .headers = options->headers,
        .limits =
            {
                .line_bytes_max = or_default(limits->line_bytes_max, (size_t)16 << 10),
                .head_bytes_max = or_default(limits->head_bytes_max, (size_t)32 << 10),
                .header_count_max =
                    count_max < options->header_room ? count_max : options->header_room,
                .chunk_bytes_max = or_default(limits->chunk_bytes_max, (size_t)4 << 10),
            },
    };
    if (options->source != NULL) {
        parser->source = *options->source;
    }
}

static void give_kept(struct tn_http1 *parser)
{
    if (parser->kept != NULL) {
        parser->source.give(parser->source.context, parser->kept, parser->kept_room);
    }
    parser->kept = NULL;
    parser->kept_size = 0;
    parser->kept_room = 0;
}

void tn_http1_deinit(struct tn_http1 *parser)
{
    give_kept(parser);
    *parser = (struct tn_http1){.state = FAILED, .problem = "the parser was closed"};
}

void tn_http1_set_head_request(struct tn_http1 *parser, bool head_request)
{
    parser->head_request = head_request;
}

void tn_http1_again(struct tn_http1 *parser)
{
    TN_ASSERT(parser->state == OVER);
    give_kept(parser);
    parser->state = START;
    parser->skipped = 0;
    parser->chunk_bytes = 0;
}

bool tn_http1_is_idle(const struct tn_http1 *parser)
{
    return parser->state == START && parser->skipped == 0;
}

static enum tn_err fail(struct tn_http1 *parser, enum tn_err err, unsigned status,
                        const char *problem)
{
    parser->state = FAILED;
    parser->status = parser->response ? 502 : status;
    parser->problem = problem;
    return err;
}

static enum tn_err begin_section(struct tn_http1 *parser, enum state state)
{
    parser->state = (uint8_t)state;
    parser->line_start = 0;
    parser->scanned = 0;
    return TN_DONE;
}

/* Finds the empty line. TN_OK with the section's size, TN_AGAIN, or a failure. */
static enum tn_err find_end(struct tn_http1 *parser, const uint8_t *data, size_t size,
                            size_t *ret_size)
{
    size_t head_max = parser->limits.head_bytes_max;
    for (;;) {
        size_t line_max = parser->line_start + parser->limits.line_bytes_max;
        size_t limit = line_max < head_max ? line_max : head_max;
        size_t end = size < limit ? size : limit;
        const uint8_t *found = NULL;
        if (parser->scanned < end) {
            found = memchr(data + parser->scanned, '\n', end - parser->scanned);
        }
        if (found == NULL) {
            parser->scanned = end;
            if (size < limit) {
                return TN_AGAIN;
            }
            bool first = parser->line_start == 0 && parser->state == HEAD;
            return first ? fail(parser, TN_LIMIT, 414, "the first line is too long")
                         : fail(parser, TN_LIMIT, 431, "the header section is too large");
        }
        size_t at = (size_t)(found - data);
        if (at == parser->line_start || data[at - 1] != '\r') {
            return fail(parser, TN_INVALID, 400, "a line ends without CR");
        }
        if (at == parser->line_start + 1) {
            *ret_size = at + 1;
            return TN_OK;
        }
        parser->line_start = at + 1;
        parser->scanned = at + 1;
    }
}

static enum tn_err keep(struct tn_http1 *parser, const uint8_t *data, size_t size)
{
    size_t wanted = parser->kept_size + size;
    if (wanted > parser->kept_room) {
        size_t room = parser->kept_room > 0 ? parser->kept_room : KEPT_ROOM_FIRST;
        while (room < wanted) {
            room *= 2;
        }
        struct tn_arena_source *source = &parser->source;
        uint8_t *grown = source->take != NULL ? source->take(source->context, room) : NULL;
        if (grown == NULL) {
            return fail(parser, TN_NOMEM, 503, "no memory for a header section");
        }
        if (parser->kept_size > 0) {
            memcpy(grown, parser->kept, parser->kept_size);
        }
        size_t kept_size = parser->kept_size;
        give_kept(parser);
        parser->kept = grown;
        parser->kept_size = kept_size;
        parser->kept_room = room;
    }
    if (size > 0) {
        memcpy(parser->kept + parser->kept_size, data, size);
    }
    parser->kept_size = wanted;
    return TN_OK;
}

/* The whole section, in the caller's bytes or in kept ones. */
static enum tn_err take_section(struct tn_http1 *parser, struct input *in, char **ret_text,
                                size_t *ret_size)
{
    size_t room = in->size - in->at;
    size_t size = 0;
    if (parser->kept_size == 0) {
        enum tn_err err = find_end(parser, in->data + in->at, room, &size);
        if (err == TN_OK) {
            *ret_text = (char *)in->data + in->at;
            *ret_size = size;
            in->at += size;
        }
        if (err != TN_AGAIN || room == 0) {
            return err;
        }
        err = keep(parser, in->data + in->at, room);
        in->at = in->size;
        return err < 0 ? err : TN_AGAIN;
    }
    /* Never keep more than the bound, also when the caller brings much at once. */
    size_t before = parser->kept_size;
    size_t left = parser->limits.head_bytes_max - before;
    size_t part = room < left ? room : left;
    enum tn_err err = keep(parser, in->data + in->at, part);
    if (err < 0) {
        return err;
    }
    err = find_end(parser, parser->kept, parser->kept_size, &size);
    if (err == TN_OK) {
        *ret_text = (char *)parser->kept;
        *ret_size = size;
    }
    in->at += err == TN_OK ? size - before : part;
    return err;
}

static enum tn_err step_start(struct tn_http1 *parser, struct input *in)
{
    if (in->at == in->size) {
        return TN_AGAIN;
    }
    uint8_t byte = in->data[in->at];
    bool line_end = byte == '\r' || byte == '\n';
    if (parser->skipped == 1) {
        if (byte != '\n') {
            return fail(parser, TN_INVALID, 400, "a bare CR before the message");
        }
        parser->skipped = 2;
        in->at++;
        return TN_DONE;
    }
    if (byte == '\r' && parser->skipped == 0 && !parser->response) {
        parser->skipped = 1;
        in->at++;
        return TN_DONE;
    }
    if (line_end || !tn_header_name_is_valid(tn_str_make((const char *)&byte, 1))) {
        return fail(parser, TN_INVALID, 400, "this is not HTTP/1");
    }
    return begin_section(parser, HEAD);
}

static enum tn_err step_head(struct tn_http1 *parser, struct input *in,
                             struct tn_http1_event *event)
{
    char *text = NULL;
    size_t size = 0;
    enum tn_err err = take_section(parser, in, &text, &size);
    if (err != TN_OK) {
        return err;
    }
    struct tn_http1_refusal refusal = {0};
    *event = (struct tn_http1_event){.kind = TN_HTTP1_HEAD};
    err = tn_http1_head_parse(parser, text, size, &event->head, &refusal);
    if (err < 0) {
        return fail(parser, err, refusal.status, refusal.problem);
    }
    static const uint8_t next[] = {
        [TN_HTTP1_BODY_NONE] = LAST,
        [TN_HTTP1_BODY_LENGTH] = LENGTH,
        [TN_HTTP1_BODY_CHUNKED] = SIZE,
        [TN_HTTP1_BODY_UNTIL_CLOSE] = UNTIL_CLOSE,
    };
    parser->state = next[event->head.body];
    parser->left = event->head.body == TN_HTTP1_BODY_LENGTH ? event->head.content_length : 0;
    parser->digits = 0;
    return TN_OK;
}

/* Hands out up to `left` bytes, then moves on to `then`. */
static enum tn_err step_data(struct tn_http1 *parser, struct input *in, enum state then,
                             struct tn_http1_event *event)
{
    if (parser->left == 0) {
        parser->state = (uint8_t)then;
        return TN_DONE;
    }
    size_t size = in->size - in->at;
    if (size == 0) {
        return TN_AGAIN;
    }
    size = size < parser->left ? size : (size_t)parser->left;
    *event = (struct tn_http1_event){.kind = TN_HTTP1_DATA,
                                     .data = tn_bytes_make(in->data + in->at, size)};
    in->at += size;
    parser->left -= size;
    return TN_OK;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t low = byte | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static enum tn_err step_size(struct tn_http1 *parser, uint8_t byte)
{
    int digit = hex_digit(byte);
    if (digit >= 0) {
        if (parser->digits == CHUNK_DIGITS_MAX) {
            return fail(parser, TN_INVALID, 400, "a chunk size has too many digits");
        }
        parser->digits++;
        parser->left = parser->left << 4 | (uint64_t)digit;
        return TN_DONE;
    }
    bool extension = byte == ';' || byte == ' ' || byte == '\t';
    if (parser->digits == 0 || (byte != '\r' && !extension)) {
        return fail(parser, TN_INVALID, 400, "a chunk size is not a hexadecimal number");
    }
    parser->state = extension ? EXTENSION : SIZE_LF;
    return TN_DONE;
}

/* Extensions mean nothing to us, but their bytes must not hide a line end. */
static enum tn_err step_extension(struct tn_http1 *parser, uint8_t byte)
{
    if (byte == '\r') {
        parser->state = SIZE_LF;
        return TN_DONE;
    }
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return fail(parser, TN_INVALID, 400, "a chunk extension has a control byte");
    }
    parser->chunk_bytes++;
    if (parser->chunk_bytes > parser->limits.chunk_bytes_max) {
        return fail(parser, TN_LIMIT, 413, "too many bytes of chunk extensions");
    }
    return TN_DONE;
}

static enum tn_err step_line_end(struct tn_http1 *parser, uint8_t byte)
{
    uint8_t wanted = parser->state == CHUNK_CR ? '\r' : '\n';
    if (byte != wanted) {
        return fail(parser, TN_INVALID, 400, "a chunk does not end with CRLF");
    }
    if (parser->state == CHUNK_CR) {
        parser->state = CHUNK_LF;
    } else if (parser->state == CHUNK_LF) {
        parser->state = SIZE;
        parser->digits = 0;
    } else if (parser->left > 0) {
        parser->state = CHUNK;
    } else {
        return begin_section(parser, TRAILERS);
    }
    return TN_DONE;
}

static enum tn_err step_trailers(struct tn_http1 *parser, struct input *in,
                                 struct tn_http1_event *event)
{
    char *text = NULL;
    size_t size = 0;
    enum tn_err err = take_section(parser, in, &text, &size);
    if (err != TN_OK) {
        return err;
    }
    struct tn_http1_refusal refusal = {0};
    *event = (struct tn_http1_event){.kind = TN_HTTP1_END, .trailers = parser->headers};
    err = tn_http1_trailers_parse(parser, text, size, &event->trailer_count, &refusal);
    if (err < 0) {
        return fail(parser, err, refusal.status, refusal.problem);
    }
    parser->state = OVER;
    return TN_OK;
}

/* The states that look at one byte. */
static enum tn_err step_byte(struct tn_http1 *parser, struct input *in)
{
    if (in->at == in->size) {
        return TN_AGAIN;
    }
    uint8_t byte = in->data[in->at++];
    if (parser->state == SIZE) {
        return step_size(parser, byte);
    }
    return parser->state == EXTENSION ? step_extension(parser, byte) : step_line_end(parser, byte);
}

/* TN_OK: an event. TN_AGAIN: more bytes. TN_DONE: went on to another state or byte. */
static enum tn_err step(struct tn_http1 *parser, struct input *in, struct tn_http1_event *event)
{
    switch ((enum state)parser->state) {
    case START:
        return step_start(parser, in);
    case HEAD:
        return step_head(parser, in, event);
    case LENGTH:
        return step_data(parser, in, LAST, event);
    case UNTIL_CLOSE:
        parser->left = UINT64_MAX;
        return step_data(parser, in, LAST, event);
    case CHUNK:
        return step_data(parser, in, CHUNK_CR, event);
    case TRAILERS:
        return step_trailers(parser, in, event);
    case LAST:
        parser->state = OVER;
        *event = (struct tn_http1_event){.kind = TN_HTTP1_END};
        return TN_OK;
    default:
        return step_byte(parser, in);
    }
}

enum tn_err tn_http1_next(struct tn_http1 *parser, uint8_t *data, size_t size, size_t *ret_used,
                          struct tn_http1_event *ret_event)
{
    TN_ASSERT(data != NULL || size == 0);

    if (parser->state == FAILED) {
        return TN_INVALID;
    }
    if (parser->state == OVER) {
        *ret_used = 0;
        return TN_DONE;
    }
    if (parser->state != HEAD && parser->state != TRAILERS) {
        give_kept(parser); /* the event that looked into it is used by now */
    }
    struct tn_http1_event event;
    struct input in = {.data = data, .size = size};
    enum tn_err err = TN_DONE;
    while (err == TN_DONE) {
        err = step(parser, &in, &event);
    }
    if (err >= 0) {
        *ret_used = in.at;
    }
    if (err == TN_OK) {
        *ret_event = event;
    }
    return err;
}

enum tn_err tn_http1_eof(struct tn_http1 *parser, struct tn_http1_event *ret_event)
{
    if (parser->state == OVER || tn_http1_is_idle(parser)) {
        return TN_DONE;
    }
    if (parser->state == UNTIL_CLOSE) {
        parser->state = OVER;
        *ret_event = (struct tn_http1_event){.kind = TN_HTTP1_END};
        return TN_OK;
    }
    if (parser->state != FAILED) {
        return fail(parser, TN_TRUNCATED, 400, "the message ends before it is complete");
    }
    return TN_TRUNCATED;
}
