/* Sends the registry to a Prometheus remote-write 1.0 receiver, every so often.
 *
 *   timer -> collect -> [some families -> WriteRequest -> Snappy -> push] a step a turn -> timer
 *
 * What the receiver refuses for now (429, 5xx, no answer) waits in a bounded queue, oldest dropped
 * first; what it refuses for good (other 4xx) is counted and gone: see export/push.h.
 * Memory: the queue; buffers of a step. Threads: the loop's, create and destroy too (or with the
 * loop stopped). Bounds: the queue of export/push.h. */
#ifndef TN_EXPORT_REMOTE_WRITER_H
#define TN_EXPORT_REMOTE_WRITER_H

#include "export/push.h"

struct tn_remote_writer;

struct tn_remote_writer_label {
    struct tn_str name;
    struct tn_str value;
};

struct tn_remote_writer_options {
    struct tn_loop *loop;
    struct tn_metrics *metrics;
    const char *url; /* "http://prometheus:9090/api/v1/write" */
    const char *ca_file;
    const struct tn_header *headers; /* authorization and the like; copied */
    size_t header_count;
    const struct tn_remote_writer_label *external; /* job, instance; the texts outlive it */
    size_t external_count;
    uint64_t interval_ns; /* [15 s] */
    uint64_t timeout_ns;  /* [10 s] */
    size_t bytes_max;     /* of the queue [16 MiB] */
};

TN_MUST enum tn_err tn_remote_writer_create(const struct tn_remote_writer_options *options,
                                            struct tn_remote_writer **ret_writer,
                                            struct tn_fault *fault);
void tn_remote_writer_destroy(struct tn_remote_writer *writer); /* NULL accepted */

/* Everything that a sender of ready bodies needs too (rooms with queues of their own): sets the
 * headers and rules of remote write in `options`, behind the caller's headers. The arrays are the
 * caller's: `headers` has room for header_count + TN_REMOTE_WRITE_HEADERS. */
enum { TN_REMOTE_WRITE_HEADERS = 3 };
void tn_remote_write_prepare(struct tn_push_options *options, struct tn_header *headers);

struct tn_push_counts tn_remote_writer_count(const struct tn_remote_writer *writer);

#endif
