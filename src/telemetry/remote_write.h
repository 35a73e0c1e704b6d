/* Prometheus remote write 1.0: the registry, or samples from elsewhere, as a WriteRequest body.
 *
 *   tn_remote_write_next --> some families appended --> ... --> DONE
 *   body --> tn_snappy_compress --> POST (export/remote_write.h)
 *
 * A WriteRequest is nothing but its time series one after the other, so each is encoded on its own
 * and appended; there is no tree of them in memory. Labels come out sorted by name, empty ones are
 * left out, as the standard asks; a bucket's `le` is written as OpenMetrics does ("1.0").
 * Memory: the caller's buffer and 4 KB of stack. Threads: any. */
#ifndef TN_TELEMETRY_REMOTE_WRITE_H
#define TN_TELEMETRY_REMOTE_WRITE_H

#include "base/buf.h"
#include "telemetry/reading.h"

struct tn_remote_label; /* proto/remote.pb.h */
struct tn_remote_time_series;

enum { TN_REMOTE_EXTERNAL_MAX = 16, TN_REMOTE_SAMPLES_SOFT = 2000 };

struct tn_remote_write {
    struct tn_metrics *metrics;
    const struct tn_remote_label *external; /* job, instance... for series that lack them */
    size_t external_count;                  /* up to TN_REMOTE_EXTERNAL_MAX */
    int64_t timestamp_ms;
    struct tn_metric_cursor cursor; /* zero at the start */
};

/* Appends families until there are TN_REMOTE_SAMPLES_SOFT samples; *ret_samples says how many.
 * TN_AGAIN: there are more. TN_DONE: these were the last, perhaps none. TN_NOMEM, TN_LIMIT: the
 * buffer failed. */
TN_MUST enum tn_err tn_remote_write_next(struct tn_remote_write *writer, struct tn_buf *buf,
                                         size_t *ret_samples);

/* Appends one time series; labels must be sorted. The buffer says whether it failed. */
void tn_remote_write_put(struct tn_buf *buf, const struct tn_remote_time_series *series);

#endif
