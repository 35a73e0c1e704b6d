/* A histogram of latencies or sizes: fixed memory, O(1) recording, quantiles over the whole range.
 *
 *   value   0 1 2 ... 127 | 128 130 ... 254 | 256 260 ... | ...      64 buckets an octave
 *           exact         | width 2         | width 4     |
 *
 * A quantile is off by at most 1/128 (0.8 %) of its value; minimum, maximum, count and sum are
 * exact. Values of TN_HIST_VALUE_MAX and more (18 minutes in ns) share the last bucket.
 * Memory: 17.6 KB in the caller's struct. Threads: one writer, no concurrent reader; merge one
 * histogram a thread. Freestanding. */
#ifndef TN_CORE_HIST_H
#define TN_CORE_HIST_H

#include <stddef.h>
#include <stdint.h>

enum {
    TN_HIST_OCTAVE_BITS = 6,
    TN_HIST_VALUE_BITS = 40,
    TN_HIST_BUCKETS = (TN_HIST_VALUE_BITS - TN_HIST_OCTAVE_BITS + 1) << TN_HIST_OCTAVE_BITS,
};
#define TN_HIST_VALUE_MAX (((uint64_t)1 << TN_HIST_VALUE_BITS) - 1)

struct tn_hist {
    uint64_t count;
    uint64_t sum; /* wraps after 580 years of ns */
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t buckets[TN_HIST_BUCKETS];
};

void tn_hist_init(struct tn_hist *hist);

static inline size_t tn_hist_bucket_of(uint64_t value)
{
    if (value > TN_HIST_VALUE_MAX) {
        value = TN_HIST_VALUE_MAX;
    }
    if (value < (uint64_t)2 << TN_HIST_OCTAVE_BITS) {
        return (size_t)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - TN_HIST_OCTAVE_BITS;
    return ((size_t)shift << TN_HIST_OCTAVE_BITS) + (size_t)(value >> shift);
}

static inline void tn_hist_record(struct tn_hist *hist, uint64_t value)
{
    hist->count++;
    hist->sum += value;
    hist->min = value < hist->min ? value : hist->min;
    hist->max = value > hist->max ? value : hist->max;
    hist->buckets[tn_hist_bucket_of(value)]++;
}

/* Adds what `from` has recorded. */
void tn_hist_merge(struct tn_hist *into, const struct tn_hist *from);

/* The value below or at which a part `q` (0 to 1) of the values lies; 0 when empty. */
uint64_t tn_hist_quantile(const struct tn_hist *hist, double q);

/* 0 when empty. */
double tn_hist_mean(const struct tn_hist *hist);

#endif
