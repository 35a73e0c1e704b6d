/* The server's metrics to a Prometheus remote-write receiver, under the labels that say whose they
 * are: job "tenon-serve" and instance "<host>:<metrics port>", as a scrape of that port would have.
 *
 * Memory: one struct and the exporter's queue. Threads: create and destroy with the loop stopped.
 */
#ifndef TN_SERVE_REMOTE_FEED_H
#define TN_SERVE_REMOTE_FEED_H

#include "base/fault.h"

struct tn_loop;
struct tn_metrics;
struct tn_remote_feed;

struct tn_remote_feed_options {
    struct tn_loop *loop;
    struct tn_metrics *metrics;
    const char *url;
    uint64_t interval_ns;
    unsigned port; /* for the label */
};

TN_MUST enum tn_err tn_remote_feed_create(const struct tn_remote_feed_options *options,
                                          struct tn_remote_feed **ret_feed, struct tn_fault *fault);
void tn_remote_feed_destroy(struct tn_remote_feed *feed); /* NULL accepted */

#endif
