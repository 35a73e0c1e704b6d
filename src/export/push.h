/* Sends bodies to one destination, in order, one at a time, and tries again when that may help.
 *
 *   IDLE --a body is queued--> ASKING --delivered, rejected--> next body, or IDLE
 *                                 '--worth another try--> WAITING --due--> ASKING
 *
 * The pause doubles up to its maximum, with a tenth of chance added, and is at least what the peer
 * asked for (Retry-After). A full queue drops its oldest waiting body, or refuses the new one.
 * What comes in is delivered, buffered, rejected or dropped, and counted in items:
 *
 *   tenon_export_accepted_total{exporter}            every item that came in
 *   tenon_export_settled_total{exporter,result}      delivered, rejected, dropped
 *   tenon_export_buffered{exporter}                  accepted minus settled
 *   tenon_export_retries_total{exporter}, tenon_export_request_seconds{exporter}
 *
 * Memory: the queue's table; bodies are the caller's blocks. Threads: the loop's, create and
 * destroy too (or with the loop stopped). Bounds: bodies and bytes in the queue, time of a request.
 */
#ifndef TN_EXPORT_PUSH_H
#define TN_EXPORT_PUSH_H

#include "export/verdict.h"

struct tn_metrics;
struct tn_push;
struct tn_target;

struct tn_push_options {
    struct tn_loop *loop;
    const struct tn_target *target;  /* copied */
    const char *ca_file;             /* TLS: trust these instead of the system's */
    struct tn_str grpc_path;         /* gRPC: "/package.Service/Method"; static */
    const struct tn_header *headers; /* copied; names in lower case */
    size_t header_count;
    enum tn_verdict_rules rules;
    size_t bodies_max;          /* [64] */
    size_t bytes_max;           /* [64 MiB] */
    bool refuse_when_full;      /* instead of dropping the oldest */
    uint64_t timeout_ns;        /* of a request [10 s] */
    uint64_t pause_ns;          /* after the first failure [1 s] */
    uint64_t pause_ns_max;      /* [30 s] */
    uint32_t attempts_max;      /* of a body, then it is dropped; 0: no limit but the queue's */
    struct tn_metrics *metrics; /* NULL: counts nothing outside */
    const char *name;           /* label "exporter"; static */
    /* Items of a delivered body that the answer says were refused; NULL: none are. */
    size_t (*rejected_in)(struct tn_bytes answer);
    /* A body is settled (RETRY: given up); NULL: nobody asks. Not called inside the functions
     * below. */
    void (*settled)(void *context, enum tn_verdict verdict, size_t items);
    void *context;
};

TN_MUST enum tn_err tn_push_create(const struct tn_push_options *options, struct tn_push **ret_push,
                                   struct tn_fault *fault);

/* What is still queued counts as dropped. NULL accepted. */
void tn_push_destroy(struct tn_push *push);

/* Queues a body with so many items; its reference passes on success. TN_LIMIT: full, or larger than
 * the queue. */
TN_MUST enum tn_err tn_push_send(struct tn_push *push, struct tn_block *body, size_t items);

/* Counts items that could not even be made into a body: accepted and dropped. */
void tn_push_drop(struct tn_push *push, size_t items);

struct tn_push_counts {
    uint64_t accepted, delivered, rejected, dropped, retries; /* items, but for the last */
    size_t bodies;                                            /* queued, with the one under way */
};
struct tn_push_counts tn_push_count(const struct tn_push *push);

#endif
