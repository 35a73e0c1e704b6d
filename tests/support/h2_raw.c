/* HTTP/2 by hand; see h2_raw.h. */
#include "support/h2_raw.h"

#include "support/rpc_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_HEAD = 9 };

int h2_raw_socket(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RPC_CHECK(fd >= 0);
    RPC_CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    struct timeval limit = {.tv_sec = 5};
    RPC_CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    RPC_CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
    int on = 1;
    RPC_CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    return fd;
}

void h2_raw_open(struct h2_raw *raw, unsigned port)
{
    raw->fd = h2_raw_socket(port);
    tn_buf_init(&raw->out, 0);
    tn_buf_init(&raw->fields, 0);
    RPC_CHECK(nghttp2_hd_inflate_new(&raw->inflater) == 0);
    tn_buf_put_text(&raw->out, NGHTTP2_CLIENT_MAGIC);
    h2_raw_put(raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

void h2_raw_close(struct h2_raw *raw)
{
    close(raw->fd);
    nghttp2_hd_inflate_del(raw->inflater);
    tn_buf_deinit(&raw->out);
    tn_buf_deinit(&raw->fields);
}

void h2_raw_put(struct h2_raw *raw, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
                size_t size)
{
    uint8_t head[FRAME_HEAD] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type,
                                flags};
    tn_store_be32(head + 5, stream);
    tn_buf_put(&raw->out, head, sizeof(head));
    tn_buf_put(&raw->out, data, size);
}

static size_t put_text(uint8_t *block, const char *text)
{
    size_t size = strlen(text);
    RPC_CHECK(size < 127);
    block[0] = (uint8_t)size;
    memcpy(block + 1, text, size);
    return size + 1;
}

size_t h2_raw_field(uint8_t *block, const char *name, const char *value)
{
    size_t at = 0;
    block[at++] = 0x00; /* literal, not indexed, new name */
    at += put_text(block + at, name);
    return at + put_text(block + at, value);
}

size_t h2_raw_block(uint8_t *block, const char *path, const char *content_type)
{
    size_t at = 0;
    block[at++] = 0x83; /* :method POST */
    block[at++] = 0x86; /* :scheme http */
    block[at++] = 0x04; /* :path */
    at += put_text(block + at, path);
    block[at++] = 0x01; /* :authority */
    at += put_text(block + at, "test");
    if (content_type != NULL) {
        at += h2_raw_field(block + at, "content-type", content_type);
        at += h2_raw_field(block + at, "te", "trailers");
    }
    return at;
}

void h2_raw_put_request(struct h2_raw *raw, uint32_t stream, uint8_t flags, const char *path,
                        const char *content_type)
{
    uint8_t block[400];
    size_t size = h2_raw_block(block, path, content_type);
    h2_raw_put(raw, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream, block, size);
}

bool h2_raw_flush(struct h2_raw *raw)
{
    size_t at = 0;
    while (at < raw->out.size) {
        ssize_t sent = send(raw->fd, raw->out.data + at, raw->out.size - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            tn_buf_reset(&raw->out);
            return false;
        }
        at += (size_t)sent;
    }
    tn_buf_reset(&raw->out);
    return true;
}

static int read_all(struct h2_raw *raw, uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        ssize_t got = recv(raw->fd, data + at, size - at, 0);
        if (got <= 0) {
            return got < 0 && errno == EAGAIN ? H2_RAW_SILENT : H2_RAW_CLOSED;
        }
        at += (size_t)got;
    }
    return 0;
}

int h2_raw_read(struct h2_raw *raw)
{
    uint8_t head[FRAME_HEAD];
    int result = read_all(raw, head, sizeof(head));
    if (result != 0) {
        return result;
    }
    raw->size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    raw->type = head[3];
    raw->flags = head[4];
    raw->stream = tn_load_be32(head + 5) & INT32_MAX;
    RPC_CHECK(raw->size <= sizeof(raw->data));
    return read_all(raw, raw->data, raw->size);
}

int h2_raw_goaway(struct h2_raw *raw)
{
    for (;;) {
        int result = h2_raw_read(raw);
        if (result != 0) {
            return result;
        }
        if (raw->type == NGHTTP2_GOAWAY) {
            return (int)tn_load_be32(raw->data + 4);
        }
    }
}

/* All sections go through the inflater, since it keeps a table; those of `wanted` are kept. */
static void inflate(struct h2_raw *raw, bool wanted)
{
    const uint8_t *at = raw->data;
    size_t left = raw->size;
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv field;
        ssize_t used = nghttp2_hd_inflate_hd2(raw->inflater, &field, &flags, at, left, 1);
        RPC_CHECK(used >= 0);
        at += used;
        left -= (size_t)used;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && wanted) {
            tn_buf_printf(&raw->fields, "%.*s: %.*s\n", (int)field.namelen, field.name,
                          (int)field.valuelen, field.value);
        }
    }
    nghttp2_hd_inflate_end_headers(raw->inflater);
}

static void answer(struct h2_raw *raw)
{
    bool ack = (raw->flags & NGHTTP2_FLAG_ACK) != 0;
    if (raw->type == NGHTTP2_SETTINGS && !ack) {
        h2_raw_put(raw, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        h2_raw_flush(raw);
    } else if (raw->type == NGHTTP2_PING && !ack) {
        h2_raw_put(raw, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, raw->data, raw->size);
        h2_raw_flush(raw);
    }
}

int h2_raw_await(struct h2_raw *raw, uint32_t stream)
{
    tn_buf_reset(&raw->fields);
    raw->body_bytes = 0;
    for (;;) {
        int result = h2_raw_read(raw);
        if (result != 0) {
            return result;
        }
        answer(raw);
        if (raw->type == NGHTTP2_HEADERS) {
            inflate(raw, raw->stream == stream);
        }
        if (raw->stream != stream) {
            continue;
        }
        if (raw->type == NGHTTP2_RST_STREAM) {
            return (int)tn_load_be32(raw->data);
        }
        bool ends = raw->type == NGHTTP2_HEADERS || raw->type == NGHTTP2_DATA;
        raw->body_bytes += raw->type == NGHTTP2_DATA ? raw->size : 0;
        if (ends && (raw->flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            return 0;
        }
    }
}

bool h2_raw_has(struct h2_raw *raw, const char *line)
{
    tn_buf_put_byte(&raw->fields, 0);
    raw->fields.size--;
    bool has = strstr((const char *)raw->fields.data, line) != NULL;
    if (!has) {
        fprintf(stderr, "no '%s' in:\n%s", line, (const char *)raw->fields.data);
    }
    return has;
}
