/* Who a span is, and the header that carries it between programs (W3C Trace Context, level 1).
 *
 * Pure. Threads: any. */
#ifndef TN_TELEMETRY_TRACEPARENT_H
#define TN_TELEMETRY_TRACEPARENT_H

#include "core/bytes.h"
#include "core/err.h"

enum { TN_TRACE_SAMPLED = 1, TN_TRACEPARENT_SIZE = 55 };

struct tn_trace_context {
    uint8_t trace_id[16]; /* all zero: no trace */
    uint8_t span_id[8];
    uint8_t flags; /* TN_TRACE_SAMPLED */
};

/* Reads a `traceparent` header. A version above 00 is read as far as it agrees with 00, as the
 * standard asks. TN_INVALID: start a new trace instead. */
TN_MUST enum tn_err tn_traceparent_parse(struct tn_str header,
                                         struct tn_trace_context *ret_context);

/* Writes version 00, without a terminator. */
void tn_traceparent_format(const struct tn_trace_context *context, char out[TN_TRACEPARENT_SIZE]);

#endif
