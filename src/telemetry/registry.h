/* What the registry's own files share: its structs, and the label values of a series.
 *
 * Memory of a series is never given back before the registry goes: a late update by a handle that
 * was just retired hits a free series, not the heap. Threads: fields under the lock named. */
#ifndef TN_TELEMETRY_REGISTRY_H
#define TN_TELEMETRY_REGISTRY_H

#include "telemetry/series.h"

#include <pthread.h>

struct tn_metric_family {
    struct tn_metric_options options;
    size_t label_count;
    struct tn_metrics *metrics;
    struct tn_metric **series; /* sorted by label values */
    size_t series_count;
    size_t series_room;
    size_t series_live; /* without the overflow series */
    struct tn_metric *overflow;
    struct tn_metric *free;
};

struct tn_metric_collector {
    void (*collect)(void *context);
    void *context;
    struct tn_metric_collector *next;
};

struct tn_metrics {
    pthread_mutex_t lock;
    struct tn_metric_family **families; /* sorted by name */
    size_t family_count;
    size_t family_room;
    uint64_t collected_ns;
    struct tn_metric_family *overflow_family;
    pthread_mutex_t collect_lock; /* taken before `lock`, never inside it */
    struct tn_metric_collector *collectors;
};

/* Room for one more pointer in the growing array whose address is at `array_at`. */
bool tn_registry_room(void *array_at, size_t count, size_t *room);

/* The family with the next name after `name`, or the first one for NULL; NULL: none. Locked. */
const struct tn_metric_family *tn_registry_after(const struct tn_metrics *metrics,
                                                 const char *name);

/* A copy of label values, each cut and made valid UTF-8, in one heap block; NULL values make
 * those of the overflow series. NULL: no memory. */
struct tn_str *tn_labels_copy(const struct tn_str *values, size_t count);
int tn_labels_compare(const struct tn_str *a, const struct tn_str *b, size_t count);
bool tn_labels_are_other(const struct tn_str *values, size_t count); /* false for no labels */

#endif
