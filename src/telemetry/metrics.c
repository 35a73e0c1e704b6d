/* The registry: families by name, in a sorted array.
 *
 * A sorted array is index and output order at once; families are registered at start, so the moves
 * of an insertion do not matter. A family stays until the registry goes.
 * Memory: heap. Threads: one lock. Bounds: FAMILIES_MAX. */
#include "telemetry/metrics.h"

#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/registry.h"

#include <math.h>

enum { FAMILIES_MAX = 4096, SERIES_MAX_DEFAULT = 1000 };

const double tn_metric_seconds_bounds[] = {
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
    0.025,   0.05,     0.1,     0.25,   0.5,     1,      2.5,   5,      10,
};
const size_t tn_metric_seconds_bound_count = TN_COUNT(tn_metric_seconds_bounds);

enum tn_err tn_metrics_create(struct tn_metrics **ret_metrics)
{
    struct tn_metrics *metrics = tn_mem_take_zeroed(1, sizeof(*metrics));
    if (metrics == NULL) {
        return TN_NOMEM;
    }
    pthread_mutex_init(&metrics->lock, NULL);
    pthread_mutex_init(&metrics->collect_lock, NULL);
    enum tn_err err = tn_metrics_family(
        metrics,
        &(struct tn_metric_options){
            .kind = TN_METRIC_COUNTER,
            .name = "tenon_telemetry_series_overflow_total",
            .help = "Look-ups of a series that landed in the family's _other series, because the "
                    "family is full.",
            .labels = {"family"},
        },
        &metrics->overflow_family);
    if (err != TN_OK) {
        tn_metrics_destroy(metrics);
        return err;
    }
    *ret_metrics = metrics;
    return TN_OK;
}

bool tn_registry_room(void *array_at, size_t count, size_t *room)
{
    if (count < *room) {
        return true;
    }
    size_t wanted = *room == 0 ? 4 : *room * 2;
    void *array;
    memcpy(&array, array_at, sizeof(array));
    array = tn_mem_resize(array, wanted * sizeof(void *));
    if (array == NULL) {
        return false;
    }
    memcpy(array_at, &array, sizeof(array));
    *room = wanted;
    return true;
}

static void family_destroy(struct tn_metric_family *family)
{
    for (size_t i = 0; i < family->series_count; i++) {
        tn_series_destroy(family->series[i]);
    }
    while (family->free != NULL) {
        struct tn_metric *next = family->free->next_free;
        tn_series_destroy(family->free);
        family->free = next;
    }
    tn_mem_give(family->series);
    tn_mem_give(family);
}

void tn_metrics_destroy(struct tn_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (size_t i = 0; i < metrics->family_count; i++) {
        family_destroy(metrics->families[i]);
    }
    while (metrics->collectors != NULL) {
        struct tn_metric_collector *next = metrics->collectors->next;
        tn_mem_give(metrics->collectors);
        metrics->collectors = next;
    }
    tn_mem_give(metrics->families);
    pthread_mutex_destroy(&metrics->collect_lock);
    pthread_mutex_destroy(&metrics->lock);
    tn_mem_give(metrics);
}

static bool name_is_valid(const char *name, bool colon)
{
    for (const char *at = name; *at != '\0'; at++) {
        bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_' ||
                      (colon && *at == ':');
        bool digit = *at >= '0' && *at <= '9';
        if (!letter && !(digit && at > name)) {
            return false;
        }
    }
    return *name != '\0';
}

static bool labels_are_valid(const struct tn_metric_options *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *label = options->labels[i];
        bool reserved = strncmp(label, "__", 2) == 0 ||
                        (options->kind == TN_METRIC_HISTOGRAM && strcmp(label, "le") == 0);
        if (reserved || !name_is_valid(label, false)) {
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(label, options->labels[k]) == 0) {
                return false;
            }
        }
    }
    return true;
}

static bool bounds_are_valid(const struct tn_metric_options *options)
{
    if (options->kind != TN_METRIC_HISTOGRAM) {
        return options->bound_count == 0;
    }
    if (options->bound_count == 0 || options->bound_count > TN_METRIC_BOUNDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < options->bound_count; i++) {
        if (!isfinite(options->bounds[i]) ||
            (i > 0 && options->bounds[i] <= options->bounds[i - 1])) {
            return false;
        }
    }
    return true;
}

static size_t labels_count(const struct tn_metric_options *options)
{
    size_t count = 0;
    while (count < TN_METRIC_LABELS_MAX && options->labels[count] != NULL) {
        count++;
    }
    return count;
}

static bool options_are_valid(const struct tn_metric_options *options)
{
    bool gauge = options->kind == TN_METRIC_GAUGE;
    return options->help != NULL && name_is_valid(options->name, true) &&
           strlen(options->name) <= TN_METRIC_NAME_MAX &&
           labels_are_valid(options, labels_count(options)) && bounds_are_valid(options) &&
           !(gauge && (options->exemplars || options->sharded));
}

static bool shape_equals(const struct tn_metric_family *family,
                         const struct tn_metric_options *options)
{
    size_t label_count = labels_count(options);
    if (family->options.kind != options->kind || family->label_count != label_count ||
        family->options.bound_count != options->bound_count) {
        return false;
    }
    for (size_t i = 0; i < label_count; i++) {
        if (strcmp(family->options.labels[i], options->labels[i]) != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < options->bound_count; i++) {
        if (family->options.bounds[i] != options->bounds[i]) {
            return false;
        }
    }
    return true;
}

/* Index of the first family whose name is not below `name`. */
static size_t family_at(const struct tn_metrics *metrics, const char *name)
{
    size_t low = 0;
    size_t high = metrics->family_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(metrics->families[middle]->options.name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum tn_err family_insert(struct tn_metrics *metrics, size_t at,
                                 const struct tn_metric_options *options)
{
    if (metrics->family_count == FAMILIES_MAX) {
        return TN_LIMIT;
    }
    if (!tn_registry_room(&metrics->families, metrics->family_count, &metrics->family_room)) {
        return TN_NOMEM;
    }
    struct tn_metric_family *family = tn_mem_take_zeroed(1, sizeof(*family));
    if (family == NULL) {
        return TN_NOMEM;
    }
    family->options = *options;
    if (family->options.series_max == 0) {
        family->options.series_max = SERIES_MAX_DEFAULT;
    }
    family->label_count = labels_count(options);
    family->metrics = metrics;
    struct tn_metric_family **place = &metrics->families[at];
    memmove(place + 1, place, (metrics->family_count - at) * sizeof(*place));
    *place = family;
    metrics->family_count++;
    return TN_OK;
}

enum tn_err tn_metrics_family(struct tn_metrics *metrics, const struct tn_metric_options *options,
                              struct tn_metric_family **ret_family)
{
    if (!options_are_valid(options)) {
        return TN_INVALID;
    }
    pthread_mutex_lock(&metrics->lock);
    enum tn_err err = TN_OK;
    size_t at = family_at(metrics, options->name);
    bool known = at < metrics->family_count &&
                 strcmp(metrics->families[at]->options.name, options->name) == 0;
    if (!known) {
        err = family_insert(metrics, at, options);
    } else if (!shape_equals(metrics->families[at], options)) {
        err = TN_EXISTS;
    }
    if (err == TN_OK) {
        *ret_family = metrics->families[at];
    }
    pthread_mutex_unlock(&metrics->lock);
    return err;
}

const struct tn_metric_family *tn_registry_after(const struct tn_metrics *metrics, const char *name)
{
    size_t at = name == NULL ? 0 : family_at(metrics, name);
    if (name != NULL && at < metrics->family_count &&
        strcmp(metrics->families[at]->options.name, name) == 0) {
        at++;
    }
    return at < metrics->family_count ? metrics->families[at] : NULL;
}
