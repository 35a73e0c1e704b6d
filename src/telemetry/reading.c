/* Collection and visits: the registry as an encoder sees it.
 *
 * Memory: a visit reads a series into arrays on the stack (3 KB), nothing from the heap.
 * Threads: collections one at a time; a visit holds the registry's lock for one family. */
#include "telemetry/reading.h"

#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/registry.h"

enum tn_err tn_metrics_on_collect(struct tn_metrics *metrics, void (*collect)(void *context),
                                  void *context)
{
    struct tn_metric_collector *collector = tn_mem_take_zeroed(1, sizeof(*collector));
    if (collector == NULL) {
        return TN_NOMEM;
    }
    collector->collect = collect;
    collector->context = context;
    pthread_mutex_lock(&metrics->collect_lock);
    collector->next = metrics->collectors;
    metrics->collectors = collector;
    pthread_mutex_unlock(&metrics->collect_lock);
    return TN_OK;
}

void tn_metrics_off_collect(struct tn_metrics *metrics, void (*collect)(void *context),
                            void *context)
{
    pthread_mutex_lock(&metrics->collect_lock);
    struct tn_metric_collector **at = &metrics->collectors;
    while (*at != NULL && ((*at)->collect != collect || (*at)->context != context)) {
        at = &(*at)->next;
    }
    struct tn_metric_collector *gone = *at;
    if (gone != NULL) {
        *at = gone->next;
    }
    pthread_mutex_unlock(&metrics->collect_lock);
    tn_mem_give(gone);
}

void tn_metrics_collect(struct tn_metrics *metrics, uint64_t wall_ns)
{
    pthread_mutex_lock(&metrics->collect_lock);
    for (struct tn_metric_collector *at = metrics->collectors; at != NULL; at = at->next) {
        at->collect(at->context);
    }
    pthread_mutex_lock(&metrics->lock);
    metrics->collected_ns = wall_ns;
    pthread_mutex_unlock(&metrics->lock);
    pthread_mutex_unlock(&metrics->collect_lock);
}

static void series_visit(const struct tn_metric *metric, const struct tn_metric_options *family,
                         const struct tn_metric_visitor *visitor)
{
    uint64_t counts[TN_METRIC_BOUNDS_MAX + 1];
    struct tn_exemplar exemplars[TN_METRIC_BOUNDS_MAX + 1];
    struct tn_metric_reading reading = {
        .values = metric->values,
        .value = tn_series_read(metric, counts),
        .created_ns = metric->created_ns,
    };
    if (metric->kind == TN_METRIC_COUNTER) {
        reading.value += (double)counts[0];
    } else if (metric->kind == TN_METRIC_HISTOGRAM) {
        reading.buckets = counts;
        for (uint32_t i = 0; i < metric->cell_count; i++) {
            reading.count += counts[i];
        }
    }
    if (tn_series_read_exemplars(metric, exemplars)) {
        reading.exemplars = exemplars;
    }
    visitor->series(visitor->context, family, &reading);
}

enum tn_err tn_metrics_visit(struct tn_metrics *metrics, struct tn_metric_cursor *cursor,
                             const struct tn_metric_visitor *visitor)
{
    pthread_mutex_lock(&metrics->lock);
    const struct tn_metric_family *family = tn_registry_after(metrics, cursor->after);
    if (family != NULL) {
        visitor->family(visitor->context, &family->options, family->series_count);
        for (size_t i = 0; i < family->series_count; i++) {
            series_visit(family->series[i], &family->options, visitor);
        }
        cursor->after = family->options.name;
    }
    pthread_mutex_unlock(&metrics->lock);
    return family != NULL ? TN_AGAIN : TN_DONE;
}
