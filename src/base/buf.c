/* A growing run of bytes; see buf.h. Doubling makes an append of n bytes cost n copied bytes
 * amortised. Memory: one heap block. Threads: one at a time. Bounds: size_max. */
#include "base/buf.h"

#include "base/mem.h"
#include "core/assert.h"

#include <stdarg.h>
#include <stdio.h>

enum { ROOM_FIRST = 64 };

void tn_buf_init(struct tn_buf *buf, size_t size_max)
{
    *buf = (struct tn_buf){.size_max = size_max};
}

void tn_buf_deinit(struct tn_buf *buf)
{
    if (buf != NULL) {
        tn_mem_give(buf->data);
        *buf = (struct tn_buf){.size_max = buf->size_max};
    }
}

void tn_buf_reset(struct tn_buf *buf)
{
    buf->size = 0;
    buf->failed = TN_OK;
}

/* Makes room for `more` bytes beyond size, or marks the buffer failed. */
static bool grow(struct tn_buf *buf, size_t more)
{
    size_t most = buf->size_max > 0 ? buf->size_max : SIZE_MAX / 2;
    if (buf->size > most || more > most - buf->size) {
        buf->failed = TN_LIMIT;
        return false;
    }
    size_t needed = buf->size + more;
    size_t room = buf->room > most / 2 ? most : buf->room * 2;
    if (room < ROOM_FIRST) {
        room = ROOM_FIRST < most ? ROOM_FIRST : most;
    }
    if (room < needed) {
        room = needed;
    }
    uint8_t *data = tn_mem_resize(buf->data, room);
    if (data == NULL) {
        buf->failed = TN_NOMEM;
        return false;
    }
    buf->data = data;
    buf->room = room;
    return true;
}

uint8_t *tn_buf_reserve(struct tn_buf *buf, size_t size)
{
    if (buf->failed < 0) {
        return NULL;
    }
    if ((size > buf->room - buf->size || buf->data == NULL) && !grow(buf, size)) {
        return NULL;
    }
    return buf->data + buf->size;
}

void tn_buf_commit(struct tn_buf *buf, size_t size)
{
    TN_ASSERT(size <= buf->room - buf->size);
    buf->size += size;
}

void tn_buf_put(struct tn_buf *buf, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    uint8_t *at = tn_buf_reserve(buf, size);
    if (at != NULL) {
        memcpy(at, data, size);
        buf->size += size;
    }
}

void tn_buf_put_str(struct tn_buf *buf, struct tn_str str)
{
    tn_buf_put(buf, str.data, str.size);
}

void tn_buf_put_text(struct tn_buf *buf, const char *terminated)
{
    tn_buf_put(buf, terminated, strlen(terminated));
}

void tn_buf_put_byte(struct tn_buf *buf, uint8_t byte)
{
    tn_buf_put(buf, &byte, 1);
}

void tn_buf_printf(struct tn_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    char text[256];
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0) {
        buf->failed = TN_INVALID;
    } else if ((size_t)size < sizeof(text)) {
        tn_buf_put(buf, text, (size_t)size);
    } else {
        /* One byte more than the text: vsnprintf writes its terminator there. */
        uint8_t *at = tn_buf_reserve(buf, (size_t)size + 1);
        if (at != NULL) {
            vsnprintf((char *)at, (size_t)size + 1, format, again);
            buf->size += (size_t)size;
        }
    }
    va_end(again);
}
