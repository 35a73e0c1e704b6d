/* See verdict.h. */
#include "export/verdict.h"

#include "base/clock.h"
#include "core/assert.h"

enum { RETRY_AFTER_MAX_S = 300 };

static enum tn_verdict http_verdict(enum tn_verdict_rules rules, unsigned status)
{
    if (status >= 200 && status < 300) {
        return TN_VERDICT_DELIVERED;
    }
    bool again = rules == TN_VERDICT_REMOTE_WRITE
                     ? status == 429 || status >= 500
                     : status == 429 || status == 502 || status == 503 || status == 504;
    return again ? TN_VERDICT_RETRY : TN_VERDICT_REJECTED;
}

static enum tn_verdict grpc_verdict(enum tn_grpc_status status)
{
    switch (status) {
    case TN_GRPC_OK:
        return TN_VERDICT_DELIVERED;
    case TN_GRPC_CANCELLED:
    case TN_GRPC_DEADLINE_EXCEEDED:
    case TN_GRPC_ABORTED:
    case TN_GRPC_OUT_OF_RANGE:
    case TN_GRPC_UNAVAILABLE:
    case TN_GRPC_DATA_LOSS:
        return TN_VERDICT_RETRY;
    default:
        /* RESOURCE_EXHAUSTED too: without RetryInfo the standard forbids another try. */
        return TN_VERDICT_REJECTED;
    }
}

enum tn_verdict tn_verdict_of(enum tn_verdict_rules rules, enum tn_call_kind kind,
                              const struct tn_client_end *end)
{
    /* No answer at all: the connection could not be made, broke, or the deadline passed. */
    bool silent = end->err != TN_OK && end->http_status == 0;
    if (silent) {
        return TN_VERDICT_RETRY;
    }
    if (kind == TN_CALL_GRPC) {
        return grpc_verdict(end->err == TN_OK ? TN_GRPC_OK : end->grpc_status);
    }
    /* A status came, but the answer was cut off: whether it was taken is not known. */
    bool cut = end->err != TN_OK && end->http_status >= 200 && end->http_status < 300;
    return cut ? TN_VERDICT_RETRY : http_verdict(rules, end->http_status);
}

uint64_t tn_verdict_retry_after_ns(struct tn_str header)
{
    uint64_t seconds = 0;
    for (size_t i = 0; i < header.size; i++) {
        if (header.data[i] < '0' || header.data[i] > '9') {
            return 0;
        }
        seconds = seconds * 10 + (uint64_t)(header.data[i] - '0');
        seconds = seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
    }
    return seconds * TN_NS_PER_S;
}
