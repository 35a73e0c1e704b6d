/* The pages that a monitoring system asks for, on any rpc server:
 *
 *   GET /metrics   every metric; text or OpenMetrics by Accept, gzip by Accept-Encoding
 *   GET /healthz   200 "ok", or 503 and the reason
 *   GET /          a page with links to the others, for people
 *
 * A scrape is encoded over several turns of its loop (export/scrape.h), so requests on the same
 * loop go on in between. Memory: one struct, and a scrape's buffers until it is answered. Threads:
 * create and destroy from the server's owner, requests on its loops. Bounds: SCRAPES_MAX at a time,
 * then 503 with Retry-After. */
#ifndef TN_EXPORT_METRICS_ENDPOINT_H
#define TN_EXPORT_METRICS_ENDPOINT_H

#include "base/fault.h"

struct tn_metrics;
struct tn_server;
struct tn_metrics_endpoint;

struct tn_metrics_endpoint_options {
    struct tn_metrics *metrics;
    const char *title; /* of the page for people: "tenon serve 0.1.0"; static */
    /* NULL: always healthy. Any thread; false: not healthy, *ret_reason is a static text. */
    bool (*healthy)(void *context, const char **ret_reason);
    void *context;
};

/* Adds the routes. Before the first listen; the endpoint outlives the server. */
TN_MUST enum tn_err tn_metrics_endpoint_create(struct tn_server *server,
                                               const struct tn_metrics_endpoint_options *options,
                                               struct tn_metrics_endpoint **ret_endpoint,
                                               struct tn_fault *fault);
void tn_metrics_endpoint_destroy(struct tn_metrics_endpoint *endpoint); /* NULL accepted */

#endif
