/* Words of the gRPC wire protocol; see grpc.h. The grammar is that of "gRPC over HTTP2" in the
 * grpc project's documentation. Pure: no memory of its own, no state. Threads: any. Bounds: the
 * callers' views. */
#include "rpc/grpc.h"

#include "base/clock.h"
#include "core/assert.h"

const struct tn_str tn_grpc_encodings_accepted = TN_STR("identity,deflate,gzip");

struct status_word {
    struct tn_str name;
    struct tn_str text;
    enum tn_err err;
};

static const struct status_word words[] = {
    [TN_GRPC_OK] = {TN_STR("OK"), TN_STR("0"), TN_OK},
    [TN_GRPC_CANCELLED] = {TN_STR("CANCELLED"), TN_STR("1"), TN_CANCELLED},
    [TN_GRPC_UNKNOWN] = {TN_STR("UNKNOWN"), TN_STR("2"), TN_INTERNAL},
    [TN_GRPC_INVALID_ARGUMENT] = {TN_STR("INVALID_ARGUMENT"), TN_STR("3"), TN_INVALID},
    [TN_GRPC_DEADLINE_EXCEEDED] = {TN_STR("DEADLINE_EXCEEDED"), TN_STR("4"), TN_TIMEOUT},
    [TN_GRPC_NOT_FOUND] = {TN_STR("NOT_FOUND"), TN_STR("5"), TN_NOTFOUND},
    [TN_GRPC_ALREADY_EXISTS] = {TN_STR("ALREADY_EXISTS"), TN_STR("6"), TN_EXISTS},
    [TN_GRPC_PERMISSION_DENIED] = {TN_STR("PERMISSION_DENIED"), TN_STR("7"), TN_DENIED},
    [TN_GRPC_RESOURCE_EXHAUSTED] = {TN_STR("RESOURCE_EXHAUSTED"), TN_STR("8"), TN_LIMIT},
    [TN_GRPC_FAILED_PRECONDITION] = {TN_STR("FAILED_PRECONDITION"), TN_STR("9"), TN_CONFLICT},
    [TN_GRPC_ABORTED] = {TN_STR("ABORTED"), TN_STR("10"), TN_CONFLICT},
    [TN_GRPC_OUT_OF_RANGE] = {TN_STR("OUT_OF_RANGE"), TN_STR("11"), TN_INVALID},
    [TN_GRPC_UNIMPLEMENTED] = {TN_STR("UNIMPLEMENTED"), TN_STR("12"), TN_UNSUPPORTED},
    [TN_GRPC_INTERNAL] = {TN_STR("INTERNAL"), TN_STR("13"), TN_INTERNAL},
    [TN_GRPC_UNAVAILABLE] = {TN_STR("UNAVAILABLE"), TN_STR("14"), TN_UNAVAILABLE},
    [TN_GRPC_DATA_LOSS] = {TN_STR("DATA_LOSS"), TN_STR("15"), TN_CORRUPT},
    [TN_GRPC_UNAUTHENTICATED] = {TN_STR("UNAUTHENTICATED"), TN_STR("16"), TN_UNAUTHENTICATED},
};

static const struct status_word *word_of(enum tn_grpc_status status)
{
    size_t at = (size_t)status;
    return at < TN_COUNT(words) ? &words[at] : &words[TN_GRPC_UNKNOWN];
}

struct tn_str tn_grpc_status_name(enum tn_grpc_status status)
{
    return word_of(status)->name;
}

struct tn_str tn_grpc_status_text(enum tn_grpc_status status)
{
    return word_of(status)->text;
}

enum tn_err tn_err_of_grpc(enum tn_grpc_status status)
{
    return word_of(status)->err;
}

enum tn_grpc_status tn_grpc_status_parse(struct tn_str text)
{
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        if (tn_str_equal(text, words[i].text)) {
            return (enum tn_grpc_status)i;
        }
    }
    return TN_GRPC_UNKNOWN;
}

enum tn_grpc_status tn_grpc_status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return TN_GRPC_INTERNAL;
    case 401:
        return TN_GRPC_UNAUTHENTICATED;
    case 403:
        return TN_GRPC_PERMISSION_DENIED;
    case 404:
        return TN_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return TN_GRPC_UNAVAILABLE;
    default:
        return TN_GRPC_UNKNOWN;
    }
}

struct err_answer {
    enum tn_grpc_status grpc;
    unsigned http;
};

static struct err_answer answer_of(enum tn_err err)
{
    switch (err) {
    case TN_OK:
    case TN_AGAIN:
    case TN_DONE:
        return (struct err_answer){TN_GRPC_OK, 200};
    case TN_NOMEM:
    case TN_LIMIT:
        return (struct err_answer){TN_GRPC_RESOURCE_EXHAUSTED, 429};
    case TN_INVALID:
    case TN_TRUNCATED:
        return (struct err_answer){TN_GRPC_INVALID_ARGUMENT, 400};
    case TN_NOTFOUND:
        return (struct err_answer){TN_GRPC_NOT_FOUND, 404};
    case TN_EXISTS:
        return (struct err_answer){TN_GRPC_ALREADY_EXISTS, 409};
    case TN_DENIED:
        return (struct err_answer){TN_GRPC_PERMISSION_DENIED, 403};
    case TN_UNAUTHENTICATED:
        return (struct err_answer){TN_GRPC_UNAUTHENTICATED, 401};
    case TN_UNSUPPORTED:
        return (struct err_answer){TN_GRPC_UNIMPLEMENTED, 501};
    case TN_UNAVAILABLE:
    case TN_CLOSED:
        return (struct err_answer){TN_GRPC_UNAVAILABLE, 503};
    case TN_TIMEOUT:
        return (struct err_answer){TN_GRPC_DEADLINE_EXCEEDED, 504};
    case TN_CANCELLED:
        return (struct err_answer){TN_GRPC_CANCELLED, 499};
    case TN_CONFLICT:
        return (struct err_answer){TN_GRPC_FAILED_PRECONDITION, 409};
    case TN_CORRUPT:
        return (struct err_answer){TN_GRPC_DATA_LOSS, 500};
    case TN_IO:
    case TN_INTERNAL:
        break;
    }
    return (struct err_answer){TN_GRPC_INTERNAL, 500};
}

enum tn_grpc_status tn_grpc_status_of(enum tn_err err)
{
    return answer_of(err).grpc;
}

unsigned tn_http_status_of(enum tn_err err)
{
    return answer_of(err).http;
}

enum { TIMEOUT_DIGITS_MAX = 8 };

struct timeout_unit {
    char letter;
    uint64_t ns;
};

/* Finest first, as the formatter tries them. */
static const struct timeout_unit units[] = {
    {'n', 1},           {'u', TN_NS_PER_US},     {'m', TN_NS_PER_MS},
    {'S', TN_NS_PER_S}, {'M', 60 * TN_NS_PER_S}, {'H', 3600 * TN_NS_PER_S},
};

enum tn_err tn_grpc_timeout_parse(struct tn_str text, uint64_t *ret_timeout_ns)
{
    if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1) {
        return TN_INVALID;
    }
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return TN_INVALID;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    for (size_t i = 0; i < TN_COUNT(units); i++) {
        if (units[i].letter == text.data[text.size - 1]) {
            uint64_t timeout_ns = 0;
            bool wraps = __builtin_mul_overflow(value, units[i].ns, &timeout_ns);
            *ret_timeout_ns = wraps ? UINT64_MAX : timeout_ns;
            return TN_OK;
        }
    }
    return TN_INVALID;
}

size_t tn_grpc_timeout_format(uint64_t timeout_ns, char text[TN_GRPC_TIMEOUT_ROOM])
{
    const uint64_t value_max = 99999999;
    size_t unit = 0;
    uint64_t value = timeout_ns;
    while (value > value_max && unit + 1 < TN_COUNT(units)) {
        unit++;
        value = timeout_ns / units[unit].ns + (timeout_ns % units[unit].ns != 0);
    }
    /* The longest time there is, 2^64 ns, is 5 million hours: the last unit always fits. */
    TN_ASSERT(value <= value_max);
    char digits[TIMEOUT_DIGITS_MAX];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < count; i++) {
        text[i] = digits[count - 1 - i];
    }
    text[count] = units[unit].letter;
    return count + 1;
}

size_t tn_grpc_message_encode(struct tn_str text, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte >= 0x20 && byte <= 0x7E && byte != '%') {
            out[size++] = (char)byte;
        } else {
            out[size++] = '%';
            out[size++] = hex[byte >> 4];
            out[size++] = hex[byte & 15];
        }
    }
    return size;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

size_t tn_grpc_message_decode(struct tn_str text, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '%' && text.size - i > 2) {
            int high = hex_value(text.data[i + 1]);
            int low = hex_value(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                out[size++] = (char)(high * 16 + low);
                i += 2;
                continue;
            }
        }
        out[size++] = text.data[i];
    }
    return size;
}

bool tn_grpc_is_content_type(struct tn_str content_type)
{
    static const struct tn_str grpc = TN_STR("application/grpc");
    if (!tn_str_starts(content_type, grpc)) {
        return false;
    }
    if (content_type.size == grpc.size) {
        return true;
    }
    char next = content_type.data[grpc.size];
    return next == '+' || next == ';';
}

enum tn_grpc_encoding tn_grpc_encoding_parse(struct tn_str text)
{
    if (text.size == 0 || tn_str_is(text, "identity")) {
        return TN_GRPC_IDENTITY;
    }
    if (tn_str_is(text, "gzip")) {
        return TN_GRPC_GZIP;
    }
    return tn_str_is(text, "deflate") ? TN_GRPC_DEFLATE : TN_GRPC_ENCODING_UNKNOWN;
}
