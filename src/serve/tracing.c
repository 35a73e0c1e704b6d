/* Traces of single requests: see tracing.h. */
#include "serve/tracing.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "core/json_write.h"
#include "serve/service.h"
#include "telemetry/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { BUFFER_MAX = 1 << 20, WRITE_AT = 64 << 10 };

struct tn_tracing {
    pthread_mutex_t lock;
    struct tn_tracer *tracer;
    int fd; /* -1: no file */
    struct tn_buf buffer;
    uint64_t traces;    /* so far: the ids */
    uint64_t unwritten; /* since the last write */
    bool failed;        /* said once */
};

/* What a sampled request carries. */
struct tn_trace_mark {
    struct tn_tracing *tracing;
    uint64_t start_ns;
    bool to_file;
    bool to_tracer;
    bool has_parent;
    uint32_t log_frequency;
    struct tn_trace_context parent, context;
};

enum tn_err tn_tracing_create(const struct tn_tracing_options *options,
                              struct tn_tracing **ret_tracing, struct tn_fault *fault)
{
    struct tn_tracing *tracing = tn_mem_take_zeroed(1, sizeof(*tracing));
    if (tracing == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for traces");
    }
    tracing->tracer = options->tracer;
    tracing->fd = -1;
    if (options->file != NULL) {
        tracing->fd = open(options->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (tracing->fd < 0) {
            enum tn_err err = tn_fault_errno(fault, errno, "cannot write '%s'", options->file);
            tn_mem_give(tracing);
            return err;
        }
    }
    pthread_mutex_init(&tracing->lock, NULL);
    tn_buf_init(&tracing->buffer, BUFFER_MAX);
    *ret_tracing = tracing;
    return TN_OK;
}

/* A full disk loses traces, says so once, and harms nothing else. */
static void write_out(struct tn_tracing *tracing)
{
    size_t at = 0;
    while (at < tracing->buffer.size) {
        ssize_t done = write(tracing->fd, tracing->buffer.data + at, tracing->buffer.size - at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            if (!tracing->failed) {
                tn_log_error("traces cannot be written and are lost", TN_LOG_I64("errno", errno));
            }
            tracing->failed = true;
            break;
        }
        at += (size_t)done;
    }
    tn_buf_reset(&tracing->buffer);
    tracing->unwritten = 0;
}

void tn_tracing_destroy(struct tn_tracing *tracing)
{
    if (tracing == NULL) {
        return;
    }
    if (tracing->fd >= 0) {
        tn_buf_put_text(&tracing->buffer, tracing->traces > 0 ? "]\n" : "[]\n");
        write_out(tracing);
        close(tracing->fd);
    }
    tn_buf_deinit(&tracing->buffer);
    pthread_mutex_destroy(&tracing->lock);
    tn_mem_give(tracing);
}

void tn_tracing_begin(struct tn_service *service, struct tn_request *request,
                      const struct tn_call *call, struct tn_arena *arena)
{
    struct tn_tracing *tracing = service->tracing;
    request->trace = NULL;
    if (tracing == NULL) {
        return;
    }
    struct tn_trace_mark mark = {.tracing = tracing, .start_ns = tn_call_info(call)->start_ns};
    struct tn_trace_settings settings;
    mark.to_file = tracing->fd >= 0 &&
                   tn_settings_sample(&service->settings, request->entry->info->name, &settings);
    mark.log_frequency = mark.to_file ? settings.log_frequency : 0;
    struct tn_str header = tn_call_header(call, TN_STR_OF("traceparent"));
    mark.has_parent = header.size > 0 && tn_traceparent_parse(header, &mark.parent) == TN_OK;
    if (tracing->tracer != NULL) {
        mark.to_tracer =
            tn_tracer_decide(tracing->tracer, mark.has_parent ? &mark.parent : NULL, &mark.context);
    }
    if (!mark.to_file && !mark.to_tracer) {
        return;
    }
    struct tn_trace_mark *kept =
        tn_arena_take(arena, sizeof(*kept), _Alignof(struct tn_trace_mark));
    if (kept != NULL) {
        *kept = mark;
        request->trace = kept;
        request->job.trace = mark.to_tracer ? &kept->context : NULL;
    }
}

/* --- The file --- */
static void put(void *context, const void *data, size_t size)
{
    tn_buf_put(context, data, size);
}

static void put_stamp(struct tn_json_writer *json, const char *name, uint64_t ns)
{
    if (ns == 0) {
        return; /* the request did not come so far */
    }
    tn_json_open_object(json);
    tn_json_pair_str(json, TN_STR_OF("name"), tn_str_from(name));
    tn_json_pair_uint64(json, TN_STR_OF("ns"), ns);
    tn_json_close(json);
}

static void put_hex(struct tn_json_writer *json, struct tn_str key, const uint8_t *bytes,
                    size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char text[32];
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    tn_json_pair_str(json, key, tn_str_make(text, 2 * size));
}

static void put_trace(struct tn_json_writer *json, const struct tn_request *request, uint64_t id)
{
    const struct tn_trace_mark *mark = request->trace;
    const struct tn_infer_job *job = &request->job;
    tn_json_open_object(json);
    tn_json_pair_uint64(json, TN_STR_OF("id"), id);
    tn_json_pair_str(json, TN_STR_OF("model_name"), request->entry->info->name);
    tn_json_pair_uint64(json, TN_STR_OF("model_version"), request->entry->info->version);
    if (request->id.size > 0) {
        tn_json_pair_str(json, TN_STR_OF("request_id"), request->id);
    }
    if (mark->has_parent) {
        put_hex(json, TN_STR_OF("trace_id"), mark->parent.trace_id, 16);
    }
    tn_json_key(json, TN_STR_OF("timestamps"));
    tn_json_open_array(json);
    put_stamp(json, "REQUEST_START", mark->start_ns);
    put_stamp(json, "QUEUE_START", job->queued_ns);
    put_stamp(json, "COMPUTE_START", job->started_ns);
    put_stamp(json, "COMPUTE_INPUT_END", job->input_done_ns);
    put_stamp(json, "COMPUTE_OUTPUT_START", job->infer_done_ns);
    put_stamp(json, "COMPUTE_END", job->ended_ns);
    put_stamp(json, "REQUEST_END", tn_clock_mono_ns());
    tn_json_close(json);
    tn_json_close(json);
}

static void note_in_file(const struct tn_request *request)
{
    const struct tn_trace_mark *mark = request->trace;
    struct tn_tracing *tracing = mark->tracing;
    pthread_mutex_lock(&tracing->lock);
    struct tn_json_sink sink = {.put = put, .context = &tracing->buffer};
    struct tn_json_writer json;
    tn_buf_put_text(&tracing->buffer, tracing->traces == 0 ? "[" : ",\n");
    tn_json_writer_init(&json, &sink);
    put_trace(&json, request, ++tracing->traces);
    tn_json_flush(&json);
    tracing->unwritten++;
    if (tracing->unwritten >= mark->log_frequency || tracing->buffer.size >= WRITE_AT) {
        write_out(tracing);
    }
    pthread_mutex_unlock(&tracing->lock);
}

/* --- Spans --- */
static void note_span(const struct tn_request *request)
{
    const struct tn_trace_mark *mark = request->trace;
    const struct tn_infer_job *job = &request->job;
    struct tn_span span;
    uint64_t to_wall = tn_clock_wall_ns() - tn_clock_mono_ns();
    tn_span_begin(&span, &mark->context, mark->has_parent ? &mark->parent : NULL,
                  request->entry->info->name, TN_SPAN_SERVER, mark->start_ns + to_wall);
    tn_span_put_str(&span, "model.name", request->entry->info->name);
    tn_span_put_i64(&span, "model.version", (int64_t)request->entry->info->version);
    tn_span_put_i64(&span, "batch.size", job->batch_size);
    tn_span_put_bool(&span, "cache.hit", job->cached);
    if (job->started_ns >= job->queued_ns && job->queued_ns > 0) {
        tn_span_put_i64(&span, "queue.ns", (int64_t)(job->started_ns - job->queued_ns));
    }
    if (job->infer_done_ns >= job->input_done_ns && job->input_done_ns > 0) {
        tn_span_put_i64(&span, "compute.ns", (int64_t)(job->infer_done_ns - job->input_done_ns));
    }
    if (job->fault.code != TN_OK) {
        tn_span_set_status(&span, TN_SPAN_ERROR, tn_str_from(job->fault.text));
    }
    tn_span_end(mark->tracing->tracer, &span, tn_clock_wall_ns());
}

void tn_tracing_note(struct tn_request *request)
{
    if (request->trace == NULL) {
        return;
    }
    if (request->trace->to_file) {
        note_in_file(request);
    }
    if (request->trace->to_tracer) {
        note_span(request);
    }
}
