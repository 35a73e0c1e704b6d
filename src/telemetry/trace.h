/* Spans in memory: what one request spent its time on, kept for the exporter.
 *
 *   parent header or none --tn_tracer_decide--> context (sampled or not), sent on to others
 *   sampled:  tn_span_begin -> attributes -> tn_span_end --> [bounded ring] --tn_tracer_drain-->
 *
 * A span is a struct of the caller, without pointers: ending it copies it into the ring, and a full
 * ring drops it and counts that. ended = drained + buffered + dropped at any moment. A request that
 * is not sampled costs the ids (10 ns); a program without a tracer nothing.
 * Memory: the ring, made at creation. Threads: any may decide and end; one drains. Bounds: ring
 * capacity; TN_SPAN_* per span, what does not fit is left out and counted in the span. */
#ifndef TN_TELEMETRY_TRACE_H
#define TN_TELEMETRY_TRACE_H

#include "telemetry/traceparent.h"

enum { TN_SPAN_ATTRIBUTES_MAX = 10, TN_SPAN_TEXT_MAX = 256 };

enum tn_span_kind {
    TN_SPAN_INTERNAL = 1, /* numbers of OTLP */
    TN_SPAN_SERVER = 2,
    TN_SPAN_CLIENT = 3,
    TN_SPAN_PRODUCER = 4,
    TN_SPAN_CONSUMER = 5,
};

enum tn_span_status { TN_SPAN_UNSET = 0, TN_SPAN_OK = 1, TN_SPAN_ERROR = 2 };

enum tn_span_value_kind { TN_SPAN_STR, TN_SPAN_I64, TN_SPAN_F64, TN_SPAN_BOOL };

/* A piece of the span's own text. */
struct tn_span_text {
    uint16_t at;
    uint16_t size;
};

struct tn_span_attribute {
    const char *key; /* static */
    enum tn_span_value_kind kind;
    union {
        struct tn_span_text str;
        int64_t i64;
        double f64;
        bool boolean;
    };
};

struct tn_span {
    struct tn_trace_context context;
    uint8_t parent_id[8]; /* all zero: the root */
    enum tn_span_kind kind;
    enum tn_span_status status;
    uint64_t start_ns; /* wall time */
    uint64_t end_ns;
    struct tn_span_text name;
    struct tn_span_text message; /* of the status */
    uint8_t attribute_count;
    uint8_t attributes_dropped;
    uint16_t text_size;
    struct tn_span_attribute attributes[TN_SPAN_ATTRIBUTES_MAX];
    char text[TN_SPAN_TEXT_MAX];
};

/* --- One span --- */
/* `context` is the span's own, from tn_tracer_decide; `parent` NULL for a root. */
void tn_span_begin(struct tn_span *span, const struct tn_trace_context *context,
                   const struct tn_trace_context *parent, struct tn_str name,
                   enum tn_span_kind kind, uint64_t start_wall_ns);
void tn_span_put_str(struct tn_span *span, const char *key, struct tn_str value);
void tn_span_put_i64(struct tn_span *span, const char *key, int64_t value);
void tn_span_put_f64(struct tn_span *span, const char *key, double value);
void tn_span_put_bool(struct tn_span *span, const char *key, bool value);
void tn_span_set_status(struct tn_span *span, enum tn_span_status status, struct tn_str message);

static inline struct tn_str tn_span_str(const struct tn_span *span, struct tn_span_text text)
{
    return tn_str_make(span->text + text.at, text.size);
}

/* --- The tracer --- */
struct tn_tracer;

struct tn_tracer_options {
    size_t capacity;  /* spans kept for the exporter [2048], rounded up to a power of two */
    double rate;      /* 0..1 of the traces that begin here; with a parent, the parent decides */
    uint64_t seed[2]; /* unpredictable: ids are made from it */
};

TN_MUST enum tn_err tn_tracer_create(const struct tn_tracer_options *options,
                                     struct tn_tracer **ret_tracer);
void tn_tracer_destroy(struct tn_tracer *tracer); /* NULL accepted */

/* The context of a new span: in the parent's trace, or in a new one (`parent` NULL). Whether it is
 * sampled is in its flags, also returned. */
bool tn_tracer_decide(struct tn_tracer *tracer, const struct tn_trace_context *parent,
                      struct tn_trace_context *ret_context);

/* Changes the rate while running (trace settings of a server). */
void tn_tracer_set_rate(struct tn_tracer *tracer, double rate);

/* Ends and keeps the span if it is sampled. */
void tn_span_end(struct tn_tracer *tracer, struct tn_span *span, uint64_t end_wall_ns);

/* Moves up to `max` spans out, oldest first. One thread. */
size_t tn_tracer_drain(struct tn_tracer *tracer, struct tn_span *ret_spans, size_t max);

struct tn_tracer_counts {
    uint64_t ended; /* sampled spans only */
    uint64_t drained;
    uint64_t dropped;
};
struct tn_tracer_counts tn_tracer_count(const struct tn_tracer *tracer);

#endif
