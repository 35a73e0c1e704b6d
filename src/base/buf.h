/* A growing run of bytes, for encoders and texts. Doubles when full, up to `size_max`.
 *
 * An append that fails leaves the buffer as it was and marks it failed; further appends do nothing,
 * so an encoder checks once at the end (tn_buf_failed). What is appended must not lie in the buffer
 * itself: growing moves it. A zeroed struct is a valid empty buffer. Threads: one at a time. */
#ifndef TN_BASE_BUF_H
#define TN_BASE_BUF_H

#include "core/bytes.h"
#include "core/err.h"

struct tn_buf {
    uint8_t *data;
    size_t size;
    size_t room;
    size_t size_max; /* 0: SIZE_MAX */
    enum tn_err failed;
};

void tn_buf_init(struct tn_buf *buf, size_t size_max);
void tn_buf_deinit(struct tn_buf *buf);
void tn_buf_reset(struct tn_buf *buf); /* size 0, not failed; keeps its memory */

void tn_buf_put(struct tn_buf *buf, const void *data, size_t size);
void tn_buf_put_str(struct tn_buf *buf, struct tn_str str);
void tn_buf_put_text(struct tn_buf *buf, const char *terminated);
void tn_buf_put_byte(struct tn_buf *buf, uint8_t byte);
void tn_buf_printf(struct tn_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* TN_OK, TN_NOMEM or TN_LIMIT since init or reset. */
static inline enum tn_err tn_buf_failed(const struct tn_buf *buf)
{
    return buf->failed;
}

/* `size` writable bytes at the end, counted only by tn_buf_commit. NULL when failed. */
uint8_t *tn_buf_reserve(struct tn_buf *buf, size_t size);
void tn_buf_commit(struct tn_buf *buf, size_t size);

static inline struct tn_bytes tn_buf_bytes(const struct tn_buf *buf)
{
    return tn_bytes_make(buf->data, buf->size);
}

static inline struct tn_str tn_buf_str(const struct tn_buf *buf)
{
    return tn_str_make((const char *)buf->data, buf->size);
}

#endif
