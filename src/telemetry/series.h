/* One series: its cells, how they are raised, read and cleared. For the registry only.
 *
 *   tn_metric (read-mostly line) --> shared shard      threads without a slot, atomic adds
 *                                '-> own[slot] shards  one writer each, made on first use
 *
 * A shard is a sum and counts, alone on its cache lines, so that two threads never write one line.
 * Memory: one block a series and one a thread that raises it. Threads: any. */
#ifndef TN_TELEMETRY_SERIES_H
#define TN_TELEMETRY_SERIES_H

#include "telemetry/reading.h"

#include <stdatomic.h>

struct tn_metric_shard {
    atomic_uint_least64_t sum; /* bits of a double: counter's fractions, gauge, histogram's sum */
    atomic_uint_least64_t counts[]; /* counter: 1; histogram: bound_count + 1 */
};

struct tn_metric_exemplar_cell;

struct tn_metric {
    const double *bounds;
    uint32_t bound_count;
    uint32_t cell_count;
    enum tn_metric_kind kind;
    struct tn_metric_shard *shared;
    _Atomic(struct tn_metric_shard *) *own; /* TN_SLOT_COUNT; NULL: not sharded */
    struct tn_metric_exemplar_cell *exemplars;

    struct tn_metric_family *family; /* the rest under the registry's lock */
    struct tn_str *values;           /* one heap block with the texts behind */
    uint64_t created_ns;
    size_t refs;
    struct tn_metric *next_free;
};

/* NULL: no memory. All cells are zero. */
struct tn_metric *tn_series_create(const struct tn_metric_options *options);
void tn_series_destroy(struct tn_metric *metric); /* NULL accepted */

/* Zeroes every cell, for reuse. Nobody may hold the handle. */
void tn_series_clear(struct tn_metric *metric);

/* Sums the shards. `counts` has room for cell_count and may be NULL. */
double tn_series_read(const struct tn_metric *metric, uint64_t *ret_counts);

/* Newest exemplar of each cell; all zero where there is none. False: not kept. */
bool tn_series_read_exemplars(const struct tn_metric *metric, struct tn_exemplar *ret_exemplars);

#endif
