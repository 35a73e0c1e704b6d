/* One scrape: the format that the client likes best, encoded in steps, compressed if it asks.
 *
 *   begin --step (some families)--> ... --> DONE: tn_scrape_body
 *
 * In steps, so that a large registry does not hold up the loop that serves requests: a step encodes
 * up to 32 KB, about 0.1 ms, with gzip 0.5 ms. Level 1 and a small window: this text repeats itself
 * every few lines, and 64 KB of state is a quarter of what zlib takes by itself.
 * Memory: a buffer for the step, one for the answer, 64 KB for gzip. Threads: one at a time.
 * Bounds: answer_bytes_max. */
#ifndef TN_EXPORT_SCRAPE_H
#define TN_EXPORT_SCRAPE_H

#include "telemetry/prometheus.h"

struct tn_scrape_gzip;

struct tn_scrape {
    struct tn_prometheus encoder;
    struct tn_buf step;          /* plain text of this step */
    struct tn_buf out;           /* what goes out */
    struct tn_scrape_gzip *gzip; /* NULL: plain */
};

struct tn_scrape_options {
    struct tn_metrics *metrics;
    struct tn_str accept; /* headers of the request, empty when absent */
    struct tn_str accept_encoding;
    size_t answer_bytes_max; /* 0: 64 MiB */
};

/* The format for an Accept header: OpenMetrics when the client ranks it at least as high as text.
 */
enum tn_prometheus_format tn_scrape_format(struct tn_str accept);

/* TN_NOMEM. The caller has run tn_metrics_collect. */
TN_MUST enum tn_err tn_scrape_begin(struct tn_scrape *scrape,
                                    const struct tn_scrape_options *options);

/* TN_AGAIN: call again. TN_DONE: `out` is the whole answer. TN_NOMEM, TN_LIMIT. */
TN_MUST enum tn_err tn_scrape_step(struct tn_scrape *scrape);

static inline bool tn_scrape_is_gzip(const struct tn_scrape *scrape)
{
    return scrape->gzip != NULL;
}

void tn_scrape_deinit(struct tn_scrape *scrape); /* a zeroed one is accepted */

#endif
