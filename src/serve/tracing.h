/* Traces of single requests: when each part of its way began and ended.
 *
 *   settings ask for TIMESTAMPS and the sampling takes it --begin--> marks on the request
 *   --note, when the job is back--> one object in the trace file, as Triton writes it, and a span
 *   in the tracer (OTLP) when there is one; the caller's traceparent is its parent
 *
 * Memory: one buffer, written by the lane that fills it. Threads: the I/O loops, one lock while
 * writing; without tracing one relaxed load a request. Bounds: the buffer; TRACE files grow as far
 * as trace_count lets them. */
#ifndef TN_SERVE_TRACING_H
#define TN_SERVE_TRACING_H

#include "rpc/call.h"
#include "serve/request.h"

struct tn_service;
struct tn_tracer;

void tn_tracing_begin(struct tn_service *service, struct tn_request *request,
                      const struct tn_call *call);
void tn_tracing_note(struct tn_request *request);

#endif
