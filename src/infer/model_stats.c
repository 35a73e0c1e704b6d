/* Adding up what each instance counted; see model.h. Reading is not a snapshot: counters move while
 * they are read, each one only upwards. */
#include "infer/model_parts.h"

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void tn_model_stats(const struct tn_model *model, struct tn_model_stats *ret_stats)
{
    struct tn_model_stats sum = {0};
    for (size_t i = 0; i < model->instance_count; i++) {
        const struct tn_instance_counters *from = &model->instances[i].counters;
        sum.success_count += read_counter(&from->success);
        sum.success_ns += read_counter(&from->success_ns);
        sum.fail_count += read_counter(&from->fail);
        sum.fail_ns += read_counter(&from->fail_ns);
        sum.queue_ns += read_counter(&from->queue_ns);
        sum.compute_input_ns += read_counter(&from->input_ns);
        sum.compute_infer_ns += read_counter(&from->infer_ns);
        sum.compute_output_ns += read_counter(&from->output_ns);
        sum.inference_count += read_counter(&from->items);
        sum.execution_count += read_counter(&from->executions);
        uint64_t last = read_counter(&from->last_ms);
        sum.last_inference_ms = last > sum.last_inference_ms ? last : sum.last_inference_ms;
    }
    sum.queue_count = sum.success_count + sum.fail_count;
    if (model->cached != NULL) {
        struct tn_cached_stats cache;
        tn_cached_stats(model->cached, &cache);
        sum.cache_hit_count = cache.hits;
        sum.cache_hit_ns = cache.hit_ns;
        sum.cache_miss_count = cache.misses;
        sum.cache_miss_ns = cache.miss_ns;
        sum.success_count += cache.hits;
        sum.success_ns += cache.hit_ns;
    }
    sum.rejected_count = read_counter(&model->rejected);
    sum.cancelled_count = read_counter(&model->cancelled);
    sum.pending = atomic_load_explicit(&model->pending, memory_order_relaxed);
    *ret_stats = sum;
}

size_t tn_model_batch_stats(const struct tn_model *model, struct tn_batch_stats *ret_stats,
                            size_t count)
{
    size_t written = 0;
    for (size_t size = 0; size < TN_SIZES_COUNTED && written < count; size++) {
        struct tn_batch_stats sum = {.batch_size = size + 1};
        for (size_t i = 0; i < model->instance_count; i++) {
            const struct tn_instance_size *from = &model->instances[i].counters.sizes[size];
            sum.count += read_counter(&from->count);
            sum.compute_input_ns += read_counter(&from->input_ns);
            sum.compute_infer_ns += read_counter(&from->infer_ns);
            sum.compute_output_ns += read_counter(&from->output_ns);
        }
        if (sum.count > 0) {
            ret_stats[written++] = sum;
        }
    }
    return written;
}
