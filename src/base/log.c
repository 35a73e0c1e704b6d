/* The operator's lines; see log.h.
 *
 * A line is built in a buffer on the stack and leaves by one write(2) of at most 4096 bytes, which
 * is PIPE_BUF, so the kernel keeps it whole in a pipe too. No lock, no allocation. When the room
 * ends, the value at hand is cut between two characters, later fields are left out, and the end
 * (kept free for it) closes the quotes and says "truncated". Cost: about 1 us plus the write.
 * Threads: any. Bounds: see log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "core/assert.h"
#include "core/number.h"
#include "core/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, LINE_RESERVE = 64, LINES_PER_SECOND = 100 };

static atomic_int log_level = TN_LOG_INFO;
static atomic_int log_format = TN_LOG_LOGFMT;
static atomic_int log_fd = STDERR_FILENO;
static atomic_uint_fast64_t dropped_total;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
    bool json;
    bool cut;
};

/* ---- building a line ---- */

/* All of it or nothing, and nothing more after the first that did not fit. */
static bool put(struct line *line, const char *text, size_t size)
{
    if (line->cut || size > LINE_MAX_BYTES - LINE_RESERVE - line->size) {
        line->cut = true;
        return false;
    }
    if (size > 0) { /* an empty text may be NULL */
        memcpy(line->text + line->size, text, size);
    }
    line->size += size;
    return true;
}

/* Into the reserve: for the ends that must be there. */
static void put_end(struct line *line, const char *text)
{
    size_t size = strlen(text);
    TN_ASSERT(size <= LINE_MAX_BYTES - line->size);
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

/* C0, C1 and DEL could drive a terminal or forge a line. */
static bool is_control(struct tn_str character)
{
    uint8_t first = (uint8_t)character.data[0];
    return first < 0x20 || first == 0x7F ||
           (character.size == 2 && first == 0xC2 && (uint8_t)character.data[1] < 0xA0);
}

static size_t escape(const struct line *line, struct tn_str character, char *out, size_t room)
{
    uint8_t first = (uint8_t)character.data[0];
    const char *const named = "\"\\\n\r\t";
    const char *hit = first != 0 ? strchr(named, first) : NULL;
    if (hit != NULL && character.size == 1) {
        return (size_t)snprintf(out, room, "\\%c", "\"\\nrt"[hit - named]);
    }
    if (!line->json) {
        return (size_t)(character.size == 2 ? snprintf(out, room, "\\x%02x\\x%02x", first,
                                                       (uint8_t)character.data[1])
                                            : snprintf(out, room, "\\x%02x", first));
    }
    return (size_t)snprintf(out, room, "\\u%04x",
                            character.size == 2 ? (uint8_t)character.data[1] : first);
}

static void put_quoted(struct line *line, struct tn_str str)
{
    if (!put(line, "\"", 1)) {
        return;
    }
    for (size_t at = 0; at < str.size && !line->cut;) {
        struct tn_str rest = tn_str_make(str.data + at, str.size - at);
        size_t length = tn_utf8_sequence_size((const uint8_t *)rest.data, rest.size);
        char escaped[16];
        if (length == 0) {
            size_t size = line->json ? (size_t)snprintf(escaped, sizeof(escaped), "\\ufffd")
                                     : escape(line, tn_str_make(rest.data, 1), escaped, 16);
            put(line, escaped, size);
            at++;
            continue;
        }
        struct tn_str character = tn_str_make(rest.data, length);
        bool plain = rest.data[0] != '"' && rest.data[0] != '\\' && !is_control(character);
        size_t size = plain ? length : escape(line, character, escaped, sizeof(escaped));
        put(line, plain ? rest.data : escaped, size);
        at += length;
    }
    put_end(line, "\"");
}

static bool needs_quotes(struct tn_str str)
{
    for (size_t i = 0; i < str.size; i++) {
        uint8_t byte = (uint8_t)str.data[i];
        if (byte <= ' ' || byte >= 0x7F || byte == '"' || byte == '=' || byte == '\\') {
            return true;
        }
    }
    return str.size == 0;
}

static void put_str(struct line *line, struct tn_str str)
{
    if (line->json || needs_quotes(str)) {
        put_quoted(line, str);
    } else {
        put(line, str.data, str.size);
    }
}

static void put_f64(struct line *line, double value)
{
    char text[TN_NUMBER_SIZE_MAX];
    size_t size = tn_number_put_double(text, value);
    if (line->json && !isfinite(value)) { /* JSON has no such number */
        put_quoted(line, tn_str_make(text, size));
    } else {
        put(line, text, size);
    }
}

static void put_key(struct line *line, const char *key)
{
    /* Key, separators and the least value at once, so that a cut never leaves a key alone. */
    size_t before = line->size;
    if (line->size > 1) {
        put(line, line->json ? "," : " ", 1);
    }
    if (line->json) {
        put_quoted(line, tn_str_from(key));
    } else {
        put(line, key, strlen(key));
    }
    put(line, line->json ? ":" : "=", 1);
    if (line->cut || line->size + 48 > LINE_MAX_BYTES - LINE_RESERVE) {
        line->size = before;
        line->cut = true;
    }
}

static void put_field(struct line *line, const struct tn_log_field *field)
{
    if (line->cut) {
        return;
    }
    put_key(line, field->key);
    if (line->cut) {
        return;
    }
    char text[24];
    switch (field->kind) {
    case TN_LOG_KIND_STR:
        put_str(line, field->str);
        break;
    case TN_LOG_KIND_I64:
        put(line, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)field->i64));
        break;
    case TN_LOG_KIND_U64:
        put(line, text,
            (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)field->u64));
        break;
    case TN_LOG_KIND_F64:
        put_f64(line, field->f64);
        break;
    }
}

static void put_time(struct line *line)
{
    uint64_t now_ms = tn_clock_wall_ns() / TN_NS_PER_MS;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[40];
    size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf(text + size, sizeof(text) - size, ".%03uZ", (unsigned)(now_ms % 1000));
    put_field(line, &(struct tn_log_field){.key = "time", .str = tn_str_make(text, size)});
}

/* ---- the storm limit ---- */

/* Whether the line may go out. Two threads at the turn of a second may let a few more through. */
static bool admit(struct tn_log_site *site)
{
    uint64_t second = tn_clock_mono_ns() / TN_NS_PER_S + 1;
    uint64_t seen = atomic_load_explicit(&site->second, memory_order_relaxed);
    if (seen != second && atomic_compare_exchange_strong(&site->second, &seen, second)) {
        atomic_store_explicit(&site->lines, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->lines, 1, memory_order_relaxed) < LINES_PER_SECOND) {
        return true;
    }
    atomic_fetch_add_explicit(&site->dropped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&dropped_total, 1, memory_order_relaxed);
    return false;
}

static void send_text(const char *text, size_t size)
{
    int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    size_t sent = 0;
    while (sent < size) {
        ssize_t got = write(fd, text + sent, size - sent);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) { /* nobody reads; a log must not stop the program */
            atomic_fetch_add_explicit(&dropped_total, 1, memory_order_relaxed);
            return;
        }
        sent += (size_t)got;
    }
}

/* The whole line with its end. `dropped` lines of the same site did not go out before it. */
static void build(struct line *line, enum tn_log_level level, const char *message,
                  const struct tn_log_field *fields, size_t count, unsigned dropped)
{
    line->size = 0; /* the text is not zeroed: 4 KiB a line for nothing */
    line->cut = false;
    line->json = atomic_load_explicit(&log_format, memory_order_relaxed) == TN_LOG_JSON;
    if (line->json) {
        put(line, "{", 1);
    }
    put_time(line);
    put_field(line, &TN_LOG_STR("level", level_names[level]));
    put_field(line, &TN_LOG_STR("msg", message));
    if (dropped > 0) {
        put_field(line, &TN_LOG_U64("dropped", dropped));
    }
    for (size_t i = 0; i < count; i++) {
        put_field(line, &fields[i]);
    }
    if (line->cut) {
        put_end(line, line->json ? ",\"truncated\":true" : " truncated=true");
    }
    put_end(line, line->json ? "}\n" : "\n");
}

void tn_log_write(struct tn_log_site *site, enum tn_log_level level, const char *message,
                  const struct tn_log_field *fields, size_t count)
{
    if (!admit(site)) {
        return;
    }
    int saved_errno = errno;
    struct line line;
    unsigned dropped = atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed);
    build(&line, level, message, fields, count, dropped);
    send_text(line.text, line.size);
    errno = saved_errno;
}

/* ---- batches ---- */

/* At most 4096 bytes of whole lines, so a pipe keeps each write whole. */
void tn_log_batch_flush(struct tn_log_batch *batch)
{
    if (batch->size > 0) {
        int saved_errno = errno;
        send_text(batch->text, batch->size);
        batch->size = 0;
        errno = saved_errno;
    }
}

void tn_log_batch_add(struct tn_log_batch *batch, enum tn_log_level level, const char *message,
                      const struct tn_log_field *fields, size_t count)
{
    struct line line;
    if (!tn_log_enabled(level)) {
        return;
    }
    build(&line, level, message, fields, count, 0);
    if (line.size > sizeof(batch->text) - batch->size) {
        tn_log_batch_flush(batch);
    }
    memcpy(batch->text + batch->size, line.text, line.size);
    batch->size += line.size;
}

/* ---- settings ---- */

void tn_log_setup(enum tn_log_level level, enum tn_log_format format, int fd)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_format, (int)format);
    atomic_store(&log_fd, fd);
}

bool tn_log_enabled(enum tn_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

enum tn_log_level tn_log_level_get(void)
{
    return (enum tn_log_level)atomic_load_explicit(&log_level, memory_order_relaxed);
}

void tn_log_level_set(enum tn_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

enum tn_err tn_log_level_parse(struct tn_str text, enum tn_log_level *ret_level)
{
    for (size_t i = 0; i < TN_COUNT(level_names); i++) {
        if (tn_str_is(text, level_names[i])) {
            *ret_level = (enum tn_log_level)i;
            return TN_OK;
        }
    }
    return TN_INVALID;
}

uint64_t tn_log_dropped(void)
{
    return atomic_load_explicit(&dropped_total, memory_order_relaxed);
}
