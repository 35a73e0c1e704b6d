/* traceparent: version "-" 32 hex "-" 16 hex "-" 2 hex, lower case only.
 *
 * Bounds: reads 56 bytes at most of whatever came in. */
#include "telemetry/traceparent.h"

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };

static bool hex_parse(const char *text, uint8_t *out, size_t count)
{
    for (size_t i = 0; i < 2 * count; i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        uint8_t half = (uint8_t)(digit ? c - '0' : c - 'a' + 10);
        out[i / 2] = i % 2 == 0 ? (uint8_t)(half << 4) : (uint8_t)(out[i / 2] | half);
    }
    return true;
}

static void hex_format(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

enum tn_err tn_traceparent_parse(struct tn_str header, struct tn_trace_context *ret_context)
{
    const char *text = header.data;
    uint8_t version;
    struct tn_trace_context context;
    if (header.size < TN_TRACEPARENT_SIZE || text[TRACE_AT - 1] != '-' ||
        text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-') {
        return TN_INVALID;
    }
    if (!hex_parse(text, &version, 1) || !hex_parse(text + TRACE_AT, context.trace_id, 16) ||
        !hex_parse(text + SPAN_AT, context.span_id, 8) ||
        !hex_parse(text + FLAGS_AT, &context.flags, 1)) {
        return TN_INVALID;
    }
    bool longer = header.size > TN_TRACEPARENT_SIZE;
    if (version == 0xff || (longer && (version == 0 || text[TN_TRACEPARENT_SIZE] != '-')) ||
        all_zero(context.trace_id, 16) || all_zero(context.span_id, 8)) {
        return TN_INVALID;
    }
    context.flags &= TN_TRACE_SAMPLED; /* other bits mean nothing in level 1: not passed on */
    *ret_context = context;
    return TN_OK;
}

void tn_traceparent_format(const struct tn_trace_context *context, char out[TN_TRACEPARENT_SIZE])
{
    memcpy(out, "00-", 3);
    hex_format(out + TRACE_AT, context->trace_id, 16);
    out[SPAN_AT - 1] = '-';
    hex_format(out + SPAN_AT, context->span_id, 8);
    out[FLAGS_AT - 1] = '-';
    hex_format(out + FLAGS_AT, &context->flags, 1);
}
