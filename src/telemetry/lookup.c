/* Series of a family: looked up, made, retired, reused.
 *
 *   LIVE --last reference retired--> FREE (kept by its family) --new labels--> LIVE
 *
 * The array is sorted by label values: index and output order at once. Series come and go with
 * models, so the moves of an insertion do not matter. A full family answers with its overflow
 * series, which does not count against the bound.
 * Memory: see registry.h. Threads: the registry's lock. Bounds: series_max a family. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/registry.h"

/* Index of the first series that is not below `values`. */
static size_t series_at(const struct tn_metric_family *family, const struct tn_str *values,
                        bool *ret_found)
{
    size_t low = 0;
    size_t high = family->series_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tn_labels_compare(family->series[middle]->values, values, family->label_count) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_found = low < family->series_count &&
                 tn_labels_compare(family->series[low]->values, values, family->label_count) == 0;
    return low;
}

/* Takes over `values` on success. */
static enum tn_err series_insert(struct tn_metric_family *family, size_t at, struct tn_str *values,
                                 struct tn_metric **ret_metric)
{
    if (!tn_registry_room(&family->series, family->series_count, &family->series_room)) {
        return TN_NOMEM;
    }
    struct tn_metric *metric = family->free;
    if (metric != NULL) {
        family->free = metric->next_free;
        tn_series_clear(metric);
    } else {
        metric = tn_series_create(&family->options);
        if (metric == NULL) {
            return TN_NOMEM;
        }
    }
    metric->family = family;
    metric->values = values;
    metric->created_ns = family->metrics->collected_ns;
    struct tn_metric **place = &family->series[at];
    memmove(place + 1, place, (family->series_count - at) * sizeof(*place));
    *place = metric;
    family->series_count++;
    *ret_metric = metric;
    return TN_OK;
}

/* The series with these values, with one more reference; made when missing. Takes over `values`
 * when it succeeds with a new series, otherwise gives them back. */
static enum tn_err series_take(struct tn_metric_family *family, struct tn_str *values,
                               struct tn_metric **ret_metric)
{
    bool found;
    size_t at = series_at(family, values, &found);
    struct tn_metric *metric = found ? family->series[at] : NULL;
    enum tn_err err = found ? TN_OK : series_insert(family, at, values, &metric);
    if (found || err != TN_OK) {
        tn_mem_give(values);
    }
    if (err == TN_OK) {
        metric->refs++;
        *ret_metric = metric;
    }
    return err;
}

static enum tn_err overflow_take(struct tn_metric_family *family, struct tn_metric **ret_metric)
{
    struct tn_str *values = tn_labels_copy(NULL, family->label_count);
    if (values == NULL) {
        return TN_NOMEM;
    }
    struct tn_metric *metric;
    enum tn_err err = series_take(family, values, &metric);
    if (err == TN_OK) {
        family->overflow = metric;
        *ret_metric = metric;
    }
    return err;
}

static enum tn_err series_look_up(struct tn_metric_family *family, const struct tn_str *values,
                                  struct tn_metric **ret_metric, bool *ret_overflowed)
{
    *ret_overflowed = false;
    struct tn_str *copies = tn_labels_copy(values, family->label_count);
    if (copies == NULL) {
        return TN_NOMEM;
    }
    bool found;
    series_at(family, copies, &found);
    bool asked_other = tn_labels_are_other(copies, family->label_count);
    if (asked_other || (!found && family->series_live >= family->options.series_max)) {
        tn_mem_give(copies);
        *ret_overflowed = !asked_other;
        return overflow_take(family, ret_metric);
    }
    enum tn_err err = series_take(family, copies, ret_metric);
    if (err == TN_OK && !found) {
        family->series_live++;
    }
    return err;
}

/* Best effort: without memory the count is lost, the look-up itself is not. */
static void overflow_count(struct tn_metric_family *family)
{
    struct tn_metrics *metrics = family->metrics;
    struct tn_str name = tn_str_from(family->options.name);
    struct tn_metric *metric;
    bool overflowed;
    if (series_look_up(metrics->overflow_family, &name, &metric, &overflowed) == TN_OK) {
        tn_metric_count(metric, 1); /* the reference stays: this series lives with the registry */
    }
}

enum tn_err tn_metric_series(struct tn_metric_family *family, const struct tn_str *values,
                             struct tn_metric **ret_metric)
{
    TN_ASSERT(values != NULL || family->label_count == 0);

    pthread_mutex_lock(&family->metrics->lock);
    bool overflowed;
    enum tn_err err = series_look_up(family, values, ret_metric, &overflowed);
    if (err == TN_OK && overflowed) {
        overflow_count(family);
    }
    pthread_mutex_unlock(&family->metrics->lock);
    return err;
}

static void series_remove(struct tn_metric_family *family, struct tn_metric *metric)
{
    bool found;
    size_t at = series_at(family, metric->values, &found);
    TN_ASSERT(found && family->series[at] == metric);

    family->series_count--;
    struct tn_metric **place = &family->series[at];
    memmove(place, place + 1, (family->series_count - at) * sizeof(*place));
    if (family->overflow == metric) {
        family->overflow = NULL;
    } else {
        family->series_live--;
    }
    tn_mem_give(metric->values);
    metric->values = NULL;
    metric->next_free = family->free;
    family->free = metric;
}

void tn_metric_retire(struct tn_metric *metric)
{
    if (metric == NULL) {
        return;
    }
    struct tn_metrics *metrics = metric->family->metrics;
    pthread_mutex_lock(&metrics->lock);
    TN_ASSERT(metric->refs > 0);
    metric->refs--;
    if (metric->refs == 0) {
        series_remove(metric->family, metric);
    }
    pthread_mutex_unlock(&metrics->lock);
}
