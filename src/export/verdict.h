/* What the end of an export request means: taken, refused for good, or worth another try.
 *
 * The rules of two standards, as one table each: Prometheus remote write 1.0 (429 and every 5xx
 * again, other 4xx never) and OTLP 1.x (429, 502, 503, 504 and the gRPC codes it lists).
 * Pure. Threads: any. */
#ifndef TN_EXPORT_VERDICT_H
#define TN_EXPORT_VERDICT_H

#include "rpc/client.h"

enum tn_verdict { TN_VERDICT_DELIVERED, TN_VERDICT_RETRY, TN_VERDICT_REJECTED };

enum tn_verdict_rules { TN_VERDICT_REMOTE_WRITE, TN_VERDICT_OTLP };

enum tn_verdict tn_verdict_of(enum tn_verdict_rules rules, enum tn_call_kind kind,
                              const struct tn_client_end *end);

/* Seconds of a Retry-After header, as nanoseconds; 0 when it is absent or a date (then the
 * sender's own pause holds). Capped at five minutes: a peer must not switch us off. */
uint64_t tn_verdict_retry_after_ns(struct tn_str header);

#endif
