/* Quantiles walk the buckets: 2,240 steps, for a report. */
#include "core/hist.h"

#include "core/assert.h"

#include <string.h>

void tn_hist_init(struct tn_hist *hist)
{
    memset(hist, 0, sizeof(*hist));
    hist->min = UINT64_MAX;
}

void tn_hist_merge(struct tn_hist *into, const struct tn_hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->min = from->min < into->min ? from->min : into->min;
    into->max = from->max > into->max ? from->max : into->max;
    for (size_t i = 0; i < TN_HIST_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

/* The middle of what falls into a bucket. */
static uint64_t bucket_middle(size_t bucket)
{
    if (bucket < (size_t)2 << TN_HIST_OCTAVE_BITS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket >> TN_HIST_OCTAVE_BITS) - 1;
    uint64_t lowest = (uint64_t)(bucket - ((size_t)shift << TN_HIST_OCTAVE_BITS)) << shift;
    return lowest + ((uint64_t)1 << shift) / 2;
}

uint64_t tn_hist_quantile(const struct tn_hist *hist, double q)
{
    TN_ASSERT(q >= 0 && q <= 1);

    if (hist->count == 0) {
        return 0;
    }
    double exact = q * (double)hist->count;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact || rank == 0 ? 1 : 0;
    if (rank >= hist->count) {
        return hist->max;
    }
    uint64_t seen = 0;
    size_t bucket = 0;
    while (seen + hist->buckets[bucket] < rank) {
        seen += hist->buckets[bucket];
        bucket++;
        TN_ASSERT(bucket < TN_HIST_BUCKETS);
    }
    uint64_t value = bucket_middle(bucket);
    value = value < hist->min ? hist->min : value;
    return value > hist->max ? hist->max : value;
}

double tn_hist_mean(const struct tn_hist *hist)
{
    return hist->count > 0 ? (double)hist->sum / (double)hist->count : 0;
}
