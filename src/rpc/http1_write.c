/* HTTP/1 heads and chunks into a buffer; see the end of http1.h.
 *
 * Memory: the caller's buffer. Threads: one at a time. Bounds: the buffer's. */
#include "core/assert.h"
#include "rpc/http1.h"

struct reason {
    unsigned status;
    const char *text;
};

static const struct reason reasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *tn_http1_reason(unsigned status)
{
    for (size_t i = 0; i < TN_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Unknown";
}

static bool target_is_clean(struct tn_str target)
{
    for (size_t i = 0; i < target.size; i++) {
        if ((uint8_t)target.data[i] <= 0x20 || (uint8_t)target.data[i] >= 0x7f) {
            return false;
        }
    }
    return target.size > 0;
}

void tn_http1_put_request(struct tn_buf *buf, struct tn_str method, struct tn_str target,
                          struct tn_str host)
{
    TN_ASSERT(tn_header_name_is_valid(method) && target_is_clean(target));

    tn_buf_put_str(buf, method);
    tn_buf_put_byte(buf, ' ');
    tn_buf_put_str(buf, target);
    tn_buf_put_text(buf, " HTTP/1.1\r\n");
    tn_http1_put_header(buf, TN_STR_OF("host"), host);
}

void tn_http1_put_status(struct tn_buf *buf, unsigned status)
{
    TN_ASSERT(status >= 100 && status <= 999);

    if (status == 200) { /* nearly every answer */
        tn_buf_put_text(buf, "HTTP/1.1 200 OK\r\n");
        return;
    }
    char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10)};
    tn_buf_put_text(buf, "HTTP/1.1 ");
    tn_buf_put(buf, digits, sizeof(digits));
    tn_buf_put_byte(buf, ' ');
    tn_buf_put_text(buf, tn_http1_reason(status));
    tn_buf_put(buf, "\r\n", 2);
}

void tn_http1_put_header(struct tn_buf *buf, struct tn_str name, struct tn_str value)
{
    TN_ASSERT(tn_header_name_is_valid(name) && tn_header_value_is_valid(value));

    tn_buf_put_str(buf, name);
    tn_buf_put(buf, ": ", 2);
    tn_buf_put_str(buf, value);
    tn_buf_put(buf, "\r\n", 2);
}

void tn_http1_put_content_length(struct tn_buf *buf, uint64_t size)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + size % 10);
        size /= 10;
    } while (size > 0);
    tn_http1_put_header(buf, TN_STR_OF("content-length"),
                        tn_str_make(digits + at, sizeof(digits) - at));
}

void tn_http1_put_head_end(struct tn_buf *buf)
{
    tn_buf_put(buf, "\r\n", 2);
}

void tn_http1_put_chunk(struct tn_buf *buf, uint64_t size)
{
    TN_ASSERT(size > 0); /* a chunk of size 0 would end the body */

    char digits[18];
    size_t at = sizeof(digits);
    digits[--at] = '\n';
    digits[--at] = '\r';
    do {
        digits[--at] = "0123456789abcdef"[size & 15];
        size >>= 4;
    } while (size > 0);
    tn_buf_put(buf, digits + at, sizeof(digits) - at);
}

void tn_http1_put_chunk_end(struct tn_buf *buf)
{
    tn_buf_put(buf, "\r\n", 2);
}

void tn_http1_put_last_chunk(struct tn_buf *buf)
{
    tn_buf_put_text(buf, "0\r\n");
}
