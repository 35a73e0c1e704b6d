/* Traces of single requests: when each part of its way began and ended.
 *
 *   begin: does the sampling take it (trace settings, or the tracer and the caller's traceparent)?
 *   yes: a mark on the request --note, when the job is back--> an object in the trace file, as
 *   Triton writes it, and spans in the tracer for the OTLP exporter
 *
 * Memory: a mark in the request's arena, one buffer for the file. Threads: begin and note on the
 * I/O loops, one lock while writing; without tracing one pointer is looked at. Bounds: the buffer
 * (BUFFER_MAX), written at the latest when full; the file grows as far as trace_count lets it. */
#ifndef TN_SERVE_TRACING_H
#define TN_SERVE_TRACING_H

#include "rpc/call.h"
#include "serve/request.h"

struct tn_service;
struct tn_tracer;
struct tn_tracing;

struct tn_tracing_options {
    const char *file;         /* NULL: none */
    struct tn_tracer *tracer; /* NULL: none; the caller's */
};

/* TN_IO and friends: the file cannot be written. */
TN_MUST enum tn_err tn_tracing_create(const struct tn_tracing_options *options,
                                      struct tn_tracing **ret_tracing, struct tn_fault *fault);
/* Writes what is left and ends the file's list. NULL accepted. */
void tn_tracing_destroy(struct tn_tracing *tracing);

/* After prepare, before submit. */
void tn_tracing_begin(struct tn_service *service, struct tn_request *request,
                      const struct tn_call *call, struct tn_arena *arena);
/* When the job is back. */
void tn_tracing_note(struct tn_request *request);

#endif
