/* Updates and reads of one series.
 *
 * Cost: an update by a thread with a slot is plain loads and stores of lines that only it writes
 * (about 1 ns), and without a slot one locked add a cell. Readers sum the shards with relaxed
 * loads: each cell is exact, cells among one another may be some updates apart. A histogram has no
 * count of its own: it is the sum of its buckets, so that the two never disagree. Memory: see
 * series.h; a thread's shard is made on its first update, and when there is no memory for it that
 * update goes to the shared one. Threads: any. Bounds: TN_SLOT_COUNT shards. */
#include "telemetry/series.h"

#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/slot.h"

enum { LINE = 64 };

/* A sequence lock whose writers give way to one another: the newest example is as good as any. */
struct tn_metric_exemplar_cell {
    atomic_uint sequence; /* odd: being written; 0: nothing yet */
    atomic_uint_least64_t trace[2];
    atomic_uint_least64_t span;
    atomic_uint_least64_t value;
};

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static size_t line_up(size_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

static size_t shard_size(uint32_t cell_count)
{
    return line_up(sizeof(struct tn_metric_shard) + cell_count * sizeof(uint64_t));
}

struct tn_metric *tn_series_create(const struct tn_metric_options *options)
{
    bool histogram = options->kind == TN_METRIC_HISTOGRAM;
    bool sharded = histogram || (options->sharded && options->kind == TN_METRIC_COUNTER);
    uint32_t cell_count = histogram ? (uint32_t)options->bound_count + 1 : 1;
    size_t own_size = sharded ? TN_SLOT_COUNT * sizeof(struct tn_metric_shard *) : 0;
    size_t exemplars_size =
        options->exemplars ? cell_count * sizeof(struct tn_metric_exemplar_cell) : 0;
    size_t shared_at = line_up(sizeof(struct tn_metric)) + line_up(own_size);
    size_t exemplars_at = shared_at + shard_size(cell_count);
    size_t size = exemplars_at + line_up(exemplars_size);

    uint8_t *block = tn_mem_take_aligned(size, LINE);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0, size);
    struct tn_metric *metric = (struct tn_metric *)(void *)block;
    metric->bounds = options->bounds;
    metric->bound_count = (uint32_t)options->bound_count;
    metric->cell_count = cell_count;
    metric->kind = options->kind;
    metric->shared = (struct tn_metric_shard *)(void *)(block + shared_at);
    if (sharded) {
        metric->own = (void *)(block + line_up(sizeof(struct tn_metric)));
    }
    if (options->exemplars) {
        metric->exemplars = (void *)(block + exemplars_at);
    }
    return metric;
}

void tn_series_destroy(struct tn_metric *metric)
{
    if (metric == NULL) {
        return;
    }
    for (unsigned i = 0; metric->own != NULL && i < TN_SLOT_COUNT; i++) {
        tn_mem_give(atomic_load_explicit(&metric->own[i], memory_order_acquire));
    }
    tn_mem_give(metric->values);
    tn_mem_give(metric);
}

static void shard_clear(struct tn_metric_shard *shard, uint32_t cell_count)
{
    atomic_store_explicit(&shard->sum, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < cell_count; i++) {
        atomic_store_explicit(&shard->counts[i], 0, memory_order_relaxed);
    }
}

void tn_series_clear(struct tn_metric *metric)
{
    shard_clear(metric->shared, metric->cell_count);
    for (unsigned i = 0; metric->own != NULL && i < TN_SLOT_COUNT; i++) {
        struct tn_metric_shard *shard = atomic_load_explicit(&metric->own[i], memory_order_acquire);
        if (shard != NULL) {
            shard_clear(shard, metric->cell_count);
        }
    }
    for (uint32_t i = 0; metric->exemplars != NULL && i < metric->cell_count; i++) {
        atomic_store_explicit(&metric->exemplars[i].sequence, 0, memory_order_relaxed);
    }
}

static __attribute__((noinline)) struct tn_metric_shard *own_shard_make(struct tn_metric *metric,
                                                                        unsigned slot)
{
    size_t size = shard_size(metric->cell_count);
    struct tn_metric_shard *shard = tn_mem_take_aligned(size, LINE);
    if (shard != NULL) {
        memset(shard, 0, size);
        atomic_store_explicit(&metric->own[slot], shard, memory_order_release);
    }
    return shard;
}

/* The calling thread's shard, or NULL: use the shared one. */
static inline struct tn_metric_shard *own_shard(struct tn_metric *metric)
{
    if (metric->own == NULL) {
        return NULL;
    }
    unsigned slot = tn_slot_current();
    if (slot == TN_SLOT_NONE) {
        return NULL;
    }
    struct tn_metric_shard *shard = atomic_load_explicit(&metric->own[slot], memory_order_relaxed);
    return __builtin_expect(shard != NULL, 1) ? shard : own_shard_make(metric, slot);
}

static inline void own_count(atomic_uint_least64_t *cell, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + amount, memory_order_relaxed);
}

static inline void own_sum(atomic_uint_least64_t *cell, double amount)
{
    double now = double_of(atomic_load_explicit(cell, memory_order_relaxed));
    atomic_store_explicit(cell, bits_of(now + amount), memory_order_relaxed);
}

static inline void shared_sum(atomic_uint_least64_t *cell, double amount)
{
    uint64_t bits = atomic_load_explicit(cell, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(cell, &bits, bits_of(double_of(bits) + amount),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void tn_metric_count(struct tn_metric *metric, uint64_t amount)
{
    TN_ASSERT(metric->kind == TN_METRIC_COUNTER);

    struct tn_metric_shard *own = own_shard(metric);
    if (own != NULL) {
        own_count(&own->counts[0], amount);
    } else {
        atomic_fetch_add_explicit(&metric->shared->counts[0], amount, memory_order_relaxed);
    }
}

void tn_metric_add(struct tn_metric *metric, double amount)
{
    TN_ASSERT(metric->kind == TN_METRIC_GAUGE ||
              (metric->kind == TN_METRIC_COUNTER && amount >= 0));

    struct tn_metric_shard *own = own_shard(metric);
    if (own != NULL) {
        own_sum(&own->sum, amount);
    } else {
        shared_sum(&metric->shared->sum, amount);
    }
}

void tn_metric_set(struct tn_metric *metric, double value)
{
    TN_ASSERT(metric->kind == TN_METRIC_GAUGE);

    atomic_store_explicit(&metric->shared->sum, bits_of(value), memory_order_relaxed);
}

/* First bound that is not below the value. Halving without a branch on the outcome: a jump that is
 * guessed wrong costs more than all the loads. Not (value <= bound), so that a NaN ends above all.
 */
static inline uint32_t bucket_of(const double *bounds, uint32_t count, double value)
{
    uint32_t low = 0;
    while (count > 1) {
        uint32_t half = count / 2;
        low += !(value <= bounds[low + half - 1]) ? half : 0;
        count -= half;
    }
    return count == 0 ? 0 : low + !(value <= bounds[low]);
}

static inline uint32_t observe(struct tn_metric *metric, double value)
{
    TN_ASSERT(metric->kind == TN_METRIC_HISTOGRAM);

    uint32_t bucket = bucket_of(metric->bounds, metric->bound_count, value);
    double amount = value == value ? value : 0;
    struct tn_metric_shard *own = own_shard(metric);
    if (own != NULL) {
        own_count(&own->counts[bucket], 1);
        own_sum(&own->sum, amount);
    } else {
        atomic_fetch_add_explicit(&metric->shared->counts[bucket], 1, memory_order_relaxed);
        shared_sum(&metric->shared->sum, amount);
    }
    return bucket;
}

void tn_metric_observe(struct tn_metric *metric, double value)
{
    observe(metric, value);
}

static void exemplar_write(struct tn_metric_exemplar_cell *cell, double value,
                           const uint8_t trace_id[16], const uint8_t span_id[8])
{
    unsigned sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
    if (sequence % 2 != 0 ||
        !atomic_compare_exchange_strong_explicit(&cell->sequence, &sequence, sequence + 1,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return;
    }
    /* Release on the fields: whoever reads one of them new also reads the odd number after it. */
    atomic_store_explicit(&cell->trace[0], tn_load_le64(trace_id), memory_order_release);
    atomic_store_explicit(&cell->trace[1], tn_load_le64(trace_id + 8), memory_order_release);
    atomic_store_explicit(&cell->span, tn_load_le64(span_id), memory_order_release);
    atomic_store_explicit(&cell->value, bits_of(value), memory_order_release);
    unsigned next = sequence + 2 == 0 ? 2 : sequence + 2;
    atomic_store_explicit(&cell->sequence, next, memory_order_release);
}

void tn_metric_observe_traced(struct tn_metric *metric, double value, const uint8_t trace_id[16],
                              const uint8_t span_id[8])
{
    uint32_t bucket = observe(metric, value);
    if (metric->exemplars != NULL && value == value) {
        exemplar_write(&metric->exemplars[bucket], value, trace_id, span_id);
    }
}

void tn_metric_count_traced(struct tn_metric *metric, uint64_t amount, const uint8_t trace_id[16],
                            const uint8_t span_id[8])
{
    tn_metric_count(metric, amount);
    if (metric->exemplars != NULL) {
        exemplar_write(&metric->exemplars[0], (double)amount, trace_id, span_id);
    }
}

static double shard_read(const struct tn_metric_shard *shard, uint32_t cell_count,
                         uint64_t *ret_counts)
{
    for (uint32_t i = 0; ret_counts != NULL && i < cell_count; i++) {
        ret_counts[i] += atomic_load_explicit(&shard->counts[i], memory_order_relaxed);
    }
    return double_of(atomic_load_explicit(&shard->sum, memory_order_relaxed));
}

double tn_series_read(const struct tn_metric *metric, uint64_t *ret_counts)
{
    if (ret_counts != NULL) {
        memset(ret_counts, 0, metric->cell_count * sizeof(*ret_counts));
    }
    double sum = shard_read(metric->shared, metric->cell_count, ret_counts);
    for (unsigned i = 0; metric->own != NULL && i < TN_SLOT_COUNT; i++) {
        const struct tn_metric_shard *shard =
            atomic_load_explicit(&metric->own[i], memory_order_acquire);
        if (shard != NULL) {
            sum += shard_read(shard, metric->cell_count, ret_counts);
        }
    }
    return sum;
}

/* A few tries; an example that keeps being rewritten is left out of this reading. */
static bool exemplar_read(const struct tn_metric_exemplar_cell *cell,
                          struct tn_exemplar *ret_exemplar)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        unsigned before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        if (before == 0) {
            return false;
        }
        uint64_t trace0 = atomic_load_explicit(&cell->trace[0], memory_order_acquire);
        uint64_t trace1 = atomic_load_explicit(&cell->trace[1], memory_order_acquire);
        uint64_t span = atomic_load_explicit(&cell->span, memory_order_acquire);
        uint64_t value = atomic_load_explicit(&cell->value, memory_order_acquire);
        unsigned after = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
        if (before % 2 == 0 && before == after) {
            tn_store_le64(ret_exemplar->trace_id, trace0);
            tn_store_le64(ret_exemplar->trace_id + 8, trace1);
            tn_store_le64(ret_exemplar->span_id, span);
            ret_exemplar->value = double_of(value);
            return true;
        }
    }
    return false;
}

bool tn_series_read_exemplars(const struct tn_metric *metric, struct tn_exemplar *ret_exemplars)
{
    if (metric->exemplars == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < metric->cell_count; i++) {
        if (!exemplar_read(&metric->exemplars[i], &ret_exemplars[i])) {
            memset(&ret_exemplars[i], 0, sizeof(ret_exemplars[i]));
        }
    }
    return true;
}

double tn_metric_value(const struct tn_metric *metric)
{
    uint64_t counts[TN_METRIC_BOUNDS_MAX + 1];
    double sum = tn_series_read(metric, counts);
    return metric->kind == TN_METRIC_COUNTER ? sum + (double)counts[0] : sum;
}

uint64_t tn_metric_observations(const struct tn_metric *metric)
{
    TN_ASSERT(metric->kind == TN_METRIC_HISTOGRAM);

    uint64_t counts[TN_METRIC_BOUNDS_MAX + 1];
    tn_series_read(metric, counts);
    uint64_t total = 0;
    for (uint32_t i = 0; i < metric->cell_count; i++) {
        total += counts[i];
    }
    return total;
}
