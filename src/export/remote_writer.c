/* The periodic remote writer; see remote_writer.h.
 *
 *   RESTING --interval--> COLLECTING --a request a turn--> RESTING
 *
 * All samples of a round carry the time of its start. A round that is due while the last one is
 * still being encoded starts after it. */
#include "export/remote_writer.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "export/target.h"
#include "proto/remote.pb.h"
#include "telemetry/remote_write.h"
#include "telemetry/snappy.h"

enum {
    BODY_MAX = 32 << 20,
    QUEUE_BYTES = 16 << 20,
    QUEUE_BODIES = 1024,
    HEADERS_MAX = 16,
};

struct tn_remote_writer {
    struct tn_remote_writer_options options;
    struct tn_push *push;
    struct tn_timer timer;
    struct tn_remote_write round;
    struct tn_remote_label external[TN_REMOTE_EXTERNAL_MAX];
    bool collecting;
    uint64_t due_ns; /* of the next round */
    struct tn_buf plain, packed;
};

/* A body that could not be built or queued: tried again in the next round, with newer values. */
static enum tn_err request_send(struct tn_remote_writer *writer, size_t samples)
{
    tn_buf_reset(&writer->packed);
    tn_snappy_compress(tn_buf_bytes(&writer->plain), &writer->packed);
    if (writer->packed.failed != TN_OK) {
        return writer->packed.failed;
    }
    struct tn_block *body;
    enum tn_err err = tn_block_copy(tn_buf_bytes(&writer->packed), &body);
    if (err != TN_OK) {
        return err;
    }
    err = tn_push_send(writer->push, body, samples);
    if (err != TN_OK) {
        tn_block_unref(body);
    }
    return err;
}

/* One request; false when the round is over. */
static bool round_step(struct tn_remote_writer *writer)
{
    size_t samples = 0;
    tn_buf_reset(&writer->plain);
    enum tn_err err = tn_remote_write_next(&writer->round, &writer->plain, &samples);
    if (err < 0) {
        return false;
    }
    bool sent = samples == 0 || request_send(writer, samples) == TN_OK;
    return sent && err == TN_AGAIN;
}

static void writer_step(struct tn_timer *timer)
{
    struct tn_remote_writer *writer = TN_CONTAINER(timer, struct tn_remote_writer, timer);
    uint64_t now_ns = tn_loop_now_ns(timer->loop);
    if (!writer->collecting) {
        uint64_t wall_ns = tn_clock_wall_ns();
        tn_metrics_collect(writer->options.metrics, wall_ns);
        writer->collecting = true;
        writer->round = (struct tn_remote_write){
            .metrics = writer->options.metrics,
            .external = writer->external,
            .external_count = writer->options.external_count,
            .timestamp_ms = (int64_t)(wall_ns / TN_NS_PER_MS),
        };
        writer->due_ns = now_ns + writer->options.interval_ns;
    }
    writer->collecting = round_step(writer);
    if (!writer->collecting) {
        /* The buffers go back: a round in fifteen seconds does not need them in between. */
        tn_buf_deinit(&writer->plain);
        tn_buf_deinit(&writer->packed);
    }
    tn_timer_arm(&writer->timer, writer->collecting ? now_ns : writer->due_ns);
}

void tn_remote_write_prepare(struct tn_push_options *options, struct tn_header *headers)
{
    static const struct tn_header own[TN_REMOTE_WRITE_HEADERS] = {
        {TN_STR("content-type"), TN_STR("application/x-protobuf")},
        {TN_STR("content-encoding"), TN_STR("snappy")},
        {TN_STR("x-prometheus-remote-write-version"), TN_STR("0.1.0")},
    };
    for (size_t i = 0; i < options->header_count; i++) {
        headers[i] = options->headers[i];
    }
    memcpy(headers + options->header_count, own, sizeof(own));
    options->headers = headers;
    options->header_count += TN_REMOTE_WRITE_HEADERS;
    options->rules = TN_VERDICT_REMOTE_WRITE;
}

static enum tn_err push_make(struct tn_remote_writer *writer, struct tn_fault *fault)
{
    const struct tn_remote_writer_options *options = &writer->options;
    struct tn_target target;
    struct tn_header headers[HEADERS_MAX + TN_REMOTE_WRITE_HEADERS];
    enum tn_err err = tn_target_parse(tn_str_from(options->url), &target, fault);
    if (err != TN_OK) {
        return err;
    }
    if (target.grpc || options->header_count > HEADERS_MAX) {
        return tn_fault_set(fault, TN_INVALID,
                            "remote write wants http:// or https://, and up to "
                            "%d headers",
                            HEADERS_MAX);
    }
    struct tn_push_options push = {
        .loop = options->loop,
        .target = &target,
        .ca_file = options->ca_file,
        .headers = options->headers,
        .header_count = options->header_count,
        .bodies_max = QUEUE_BODIES,
        .bytes_max = options->bytes_max > 0 ? options->bytes_max : QUEUE_BYTES,
        .timeout_ns = options->timeout_ns,
        .metrics = options->metrics,
        .name = "remote_write",
    };
    tn_remote_write_prepare(&push, headers);
    return tn_push_create(&push, &writer->push, fault);
}

enum tn_err tn_remote_writer_create(const struct tn_remote_writer_options *options,
                                    struct tn_remote_writer **ret_writer, struct tn_fault *fault)
{
    if (options->external_count > TN_REMOTE_EXTERNAL_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "more than %d external labels",
                            TN_REMOTE_EXTERNAL_MAX);
    }
    struct tn_remote_writer *writer = tn_mem_take_zeroed(1, sizeof(*writer));
    if (writer == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the remote writer");
    }
    writer->options = *options;
    if (writer->options.interval_ns == 0) {
        writer->options.interval_ns = 15 * TN_NS_PER_S;
    }
    for (size_t i = 0; i < options->external_count; i++) {
        writer->external[i].name = options->external[i].name;
        writer->external[i].value = options->external[i].value;
    }
    tn_buf_init(&writer->plain, BODY_MAX);
    tn_buf_init(&writer->packed, BODY_MAX);
    tn_timer_init(&writer->timer, options->loop, writer_step);
    enum tn_err err = push_make(writer, fault);
    if (err != TN_OK) {
        tn_remote_writer_destroy(writer);
        return err;
    }
    tn_timer_arm(&writer->timer, tn_clock_mono_ns() + writer->options.interval_ns);
    *ret_writer = writer;
    return TN_OK;
}

void tn_remote_writer_destroy(struct tn_remote_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    tn_timer_disarm(&writer->timer);
    tn_push_destroy(writer->push);
    tn_buf_deinit(&writer->plain);
    tn_buf_deinit(&writer->packed);
    tn_mem_give(writer);
}

struct tn_push_counts tn_remote_writer_count(const struct tn_remote_writer *writer)
{
    return tn_push_count(writer->push);
}
