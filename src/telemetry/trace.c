/* Spans and the tracer's ring.
 *
 *   cell: EMPTY(seq = turn) --a producer copies--> FULL(seq = turn + 1) --drained--> EMPTY(next
 * turn)
 *
 * D. Vyukov's bounded queue with a sequence number a cell, the span inside the cell: a span is
 * copied in once and out once (about 700 bytes, 30 ns each).
 * Memory: capacity x 768 bytes. Threads: producers any, one consumer. */
#include "telemetry/trace.h"

#include "base/mem.h"
#include "core/assert.h"

#include <stdatomic.h>

enum { CAPACITY_DEFAULT = 2048, CAPACITY_MAX = 1 << 20 };

struct cell {
    atomic_size_t sequence;
    struct tn_span span;
};

struct tn_tracer {
    struct cell *cells;
    size_t mask;
    uint64_t seed[2];
    atomic_uint_least64_t threshold; /* of 2^63: a trace whose number is below is sampled */
    _Alignas(64) atomic_uint_least64_t next_id;
    _Alignas(64) atomic_size_t tail;
    atomic_uint_least64_t dropped;
    _Alignas(64) atomic_size_t head; /* written by the consumer alone */
};

/* --- One span --- */
static struct tn_span_text text_put(struct tn_span *span, struct tn_str text)
{
    size_t room = sizeof(span->text) - span->text_size;
    size_t size = text.size < room ? text.size : room;
    /* Do not cut a character: go back over the bytes that continue one. */
    while (size > 0 && size < text.size && ((uint8_t)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    struct tn_span_text put = {span->text_size, (uint16_t)size};
    if (size > 0) {
        memcpy(span->text + span->text_size, text.data, size);
    }
    span->text_size = (uint16_t)(span->text_size + size);
    return put;
}

void tn_span_begin(struct tn_span *span, const struct tn_trace_context *context,
                   const struct tn_trace_context *parent, struct tn_str name,
                   enum tn_span_kind kind, uint64_t start_wall_ns)
{
    span->context = *context;
    if (parent != NULL) {
        memcpy(span->parent_id, parent->span_id, sizeof(span->parent_id));
    } else {
        memset(span->parent_id, 0, sizeof(span->parent_id));
    }
    span->kind = kind;
    span->status = TN_SPAN_UNSET;
    span->start_ns = start_wall_ns;
    span->end_ns = start_wall_ns;
    span->attribute_count = 0;
    span->attributes_dropped = 0;
    span->text_size = 0;
    span->message = (struct tn_span_text){0, 0};
    span->name = text_put(span, name);
}

static struct tn_span_attribute *attribute_new(struct tn_span *span, const char *key,
                                               enum tn_span_value_kind kind)
{
    if (span->attribute_count == TN_SPAN_ATTRIBUTES_MAX) {
        span->attributes_dropped += span->attributes_dropped < UINT8_MAX;
        return NULL;
    }
    struct tn_span_attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    attribute->kind = kind;
    return attribute;
}

void tn_span_put_str(struct tn_span *span, const char *key, struct tn_str value)
{
    struct tn_span_attribute *attribute = attribute_new(span, key, TN_SPAN_STR);
    if (attribute != NULL) {
        attribute->str = text_put(span, value);
    }
}

void tn_span_put_i64(struct tn_span *span, const char *key, int64_t value)
{
    struct tn_span_attribute *attribute = attribute_new(span, key, TN_SPAN_I64);
    if (attribute != NULL) {
        attribute->i64 = value;
    }
}

void tn_span_put_f64(struct tn_span *span, const char *key, double value)
{
    struct tn_span_attribute *attribute = attribute_new(span, key, TN_SPAN_F64);
    if (attribute != NULL) {
        attribute->f64 = value;
    }
}

void tn_span_put_bool(struct tn_span *span, const char *key, bool value)
{
    struct tn_span_attribute *attribute = attribute_new(span, key, TN_SPAN_BOOL);
    if (attribute != NULL) {
        attribute->boolean = value;
    }
}

void tn_span_set_status(struct tn_span *span, enum tn_span_status status, struct tn_str message)
{
    span->status = status;
    span->message = text_put(span, message);
}

/* --- The tracer --- */
enum tn_err tn_tracer_create(const struct tn_tracer_options *options, struct tn_tracer **ret_tracer)
{
    size_t wanted = options->capacity == 0 ? CAPACITY_DEFAULT : options->capacity;
    if (wanted > CAPACITY_MAX || !(options->rate >= 0 && options->rate <= 1)) {
        return TN_INVALID;
    }
    size_t capacity = 1;
    while (capacity < wanted) {
        capacity *= 2;
    }
    struct tn_tracer *tracer = tn_mem_take_aligned(sizeof(*tracer), _Alignof(struct tn_tracer));
    if (tracer == NULL) {
        return TN_NOMEM;
    }
    memset(tracer, 0, sizeof(*tracer));
    tracer->cells = tn_mem_take(capacity * sizeof(*tracer->cells));
    if (tracer->cells == NULL) {
        tn_mem_give(tracer);
        return TN_NOMEM;
    }
    for (size_t i = 0; i < capacity; i++) {
        atomic_init(&tracer->cells[i].sequence, i);
    }
    tracer->mask = capacity - 1;
    memcpy(tracer->seed, options->seed, sizeof(tracer->seed));
    tn_tracer_set_rate(tracer, options->rate);
    *ret_tracer = tracer;
    return TN_OK;
}

void tn_tracer_destroy(struct tn_tracer *tracer)
{
    if (tracer != NULL) {
        tn_mem_give(tracer->cells);
        tn_mem_give(tracer);
    }
}

void tn_tracer_set_rate(struct tn_tracer *tracer, double rate)
{
    TN_ASSERT(rate >= 0 && rate <= 1);

    uint64_t threshold = (uint64_t)(rate * 9223372036854775808.0); /* 2^63 is exact as a double */
    atomic_store_explicit(&tracer->threshold, threshold, memory_order_relaxed);
}

/* SplitMix64's finisher: every input bit moves every output bit. Ids need no more than to differ.
 */
static uint64_t mixed(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Never zero, which would mean "no id". */
static void id_make(const struct tn_tracer *tracer, uint64_t number, unsigned stream,
                    uint8_t out[8])
{
    uint64_t id = mixed(tracer->seed[stream % 2] + mixed(number * 4 + stream));
    tn_store_le64(out, id != 0 ? id : 1);
}

bool tn_tracer_decide(struct tn_tracer *tracer, const struct tn_trace_context *parent,
                      struct tn_trace_context *ret_context)
{
    uint64_t number = atomic_fetch_add_explicit(&tracer->next_id, 1, memory_order_relaxed);
    struct tn_trace_context context = {0};
    if (parent != NULL) {
        context = *parent;
    } else {
        id_make(tracer, number, 0, context.trace_id);
        id_make(tracer, number, 1, context.trace_id + 8);
        /* The low bytes of the id decide, so that programs with one rate agree on a trace. */
        uint64_t low = (uint64_t)tn_load_be32(context.trace_id + 8) << 32 |
                       tn_load_be32(context.trace_id + 12);
        uint64_t threshold = atomic_load_explicit(&tracer->threshold, memory_order_relaxed);
        context.flags = low >> 1 < threshold ? TN_TRACE_SAMPLED : 0;
    }
    id_make(tracer, number, 2, context.span_id);
    *ret_context = context;
    return (context.flags & TN_TRACE_SAMPLED) != 0;
}

void tn_span_end(struct tn_tracer *tracer, struct tn_span *span, uint64_t end_wall_ns)
{
    if ((span->context.flags & TN_TRACE_SAMPLED) == 0) {
        return;
    }
    span->end_ns = end_wall_ns;
    size_t at = atomic_load_explicit(&tracer->tail, memory_order_relaxed);
    for (;;) {
        struct cell *cell = &tracer->cells[at & tracer->mask];
        size_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        intptr_t ahead = (intptr_t)(sequence - at);
        if (ahead < 0) {
            atomic_fetch_add_explicit(&tracer->dropped, 1, memory_order_relaxed);
            return;
        }
        if (ahead > 0) {
            at = atomic_load_explicit(&tracer->tail, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       &tracer->tail, &at, at + 1, memory_order_relaxed, memory_order_relaxed)) {
            cell->span = *span;
            atomic_store_explicit(&cell->sequence, at + 1, memory_order_release);
            return;
        }
    }
}

size_t tn_tracer_drain(struct tn_tracer *tracer, struct tn_span *ret_spans, size_t max)
{
    size_t head = atomic_load_explicit(&tracer->head, memory_order_relaxed);
    size_t count = 0;
    for (; count < max; count++, head++) {
        struct cell *cell = &tracer->cells[head & tracer->mask];
        if (atomic_load_explicit(&cell->sequence, memory_order_acquire) != head + 1) {
            break;
        }
        ret_spans[count] = cell->span;
        atomic_store_explicit(&cell->sequence, head + tracer->mask + 1, memory_order_release);
    }
    atomic_store_explicit(&tracer->head, head, memory_order_relaxed);
    return count;
}

struct tn_tracer_counts tn_tracer_count(const struct tn_tracer *tracer)
{
    struct tn_tracer_counts counts = {
        .drained = atomic_load_explicit(&tracer->head, memory_order_relaxed),
        .dropped = atomic_load_explicit(&tracer->dropped, memory_order_relaxed),
    };
    counts.ended = atomic_load_explicit(&tracer->tail, memory_order_relaxed) + counts.dropped;
    return counts;
}
