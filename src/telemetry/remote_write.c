/* The remote-write encoder. The order of the labels is the same for every series of a family, so it
 * is found once a family.
 *
 * Memory: the caller's buffer; a series lives on the stack while it is written. Threads: any.
 * Bounds: LABELS_MAX labels, names of TN_METRIC_NAME_MAX bytes. */
#include "telemetry/remote_write.h"

#include "core/assert.h"
#include "proto/remote.pb.h"
#include "telemetry/bound.h"

enum { LABELS_MAX = TN_METRIC_LABELS_MAX + TN_REMOTE_EXTERNAL_MAX + 2, SUFFIX_MAX = 8 };

enum source { SOURCE_NAME, SOURCE_LE, SOURCE_LABEL, SOURCE_EXTERNAL };

struct slot {
    struct tn_str name;
    enum source source;
    size_t index;
};

struct writing {
    const struct tn_remote_write *writer;
    struct tn_buf *buf;
    struct slot slots[LABELS_MAX]; /* sorted by name */
    size_t slot_count;
    size_t samples;
};

/* One line, as the text format would have it. */
struct line {
    const char *suffix;
    struct tn_str le; /* empty: none */
    double value;
    const struct tn_exemplar *exemplar; /* may be NULL */
};

void tn_remote_write_put(struct tn_buf *buf, const struct tn_remote_time_series *series)
{
    size_t size = tn_pb_size(&tn_remote_time_series_pb, series);
    uint8_t *at = tn_buf_reserve(buf, TN_PB_HEAD_SIZE_MAX + size);
    if (at != NULL) {
        size_t head = tn_pb_put_head(at, 1, size);
        tn_pb_encode(&tn_remote_time_series_pb, series, at + head, size);
        tn_buf_commit(buf, head + size);
    }
}

static bool name_is_below(struct tn_str a, struct tn_str b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, shorter);
    return order < 0 || (order == 0 && a.size < b.size);
}

/* Keeps the slots sorted; a name that is there already stays (a series' own label wins). */
static void slot_add(struct writing *writing, struct tn_str name, enum source source, size_t index)
{
    size_t at = writing->slot_count;
    for (size_t i = 0; i < at; i++) {
        if (tn_str_equal(writing->slots[i].name, name)) {
            return;
        }
    }
    while (at > 0 && name_is_below(name, writing->slots[at - 1].name)) {
        writing->slots[at] = writing->slots[at - 1];
        at--;
    }
    writing->slots[at] = (struct slot){name, source, index};
    writing->slot_count++;
}

static void write_family(void *context, const struct tn_metric_options *family, size_t count)
{
    (void)count;
    struct writing *writing = context;
    writing->slot_count = 0;
    slot_add(writing, TN_STR_OF("__name__"), SOURCE_NAME, 0);
    if (family->kind == TN_METRIC_HISTOGRAM) {
        slot_add(writing, TN_STR_OF("le"), SOURCE_LE, 0);
    }
    for (size_t i = 0; i < TN_METRIC_LABELS_MAX && family->labels[i] != NULL; i++) {
        slot_add(writing, tn_str_from(family->labels[i]), SOURCE_LABEL, i);
    }
    for (size_t i = 0; i < writing->writer->external_count; i++) {
        slot_add(writing, writing->writer->external[i].name, SOURCE_EXTERNAL, i);
    }
}

static void hex_format(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static void put_line(struct writing *writing, const struct tn_metric_options *family,
                     const struct tn_metric_reading *reading, const struct line *line)
{
    static const uint8_t none[16];
    char name[TN_METRIC_NAME_MAX + SUFFIX_MAX];
    size_t name_size = strlen(family->name);
    size_t suffix_size = strlen(line->suffix);
    TN_ASSERT(name_size <= TN_METRIC_NAME_MAX && suffix_size <= SUFFIX_MAX);
    memcpy(name, family->name, name_size);
    memcpy(name + name_size, line->suffix, suffix_size);

    struct tn_remote_label labels[LABELS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < writing->slot_count; i++) {
        const struct slot *slot = &writing->slots[i];
        const struct tn_str values[] = {
            [SOURCE_NAME] = tn_str_make(name, name_size + suffix_size),
            [SOURCE_LE] = line->le,
            [SOURCE_LABEL] =
                slot->source == SOURCE_LABEL ? reading->values[slot->index] : tn_str_make(NULL, 0),
            [SOURCE_EXTERNAL] = slot->source == SOURCE_EXTERNAL
                                    ? writing->writer->external[slot->index].value
                                    : tn_str_make(NULL, 0),
        };
        if (values[slot->source].size > 0) {
            labels[count++] = (struct tn_remote_label){slot->name, values[slot->source]};
        }
    }
    struct tn_remote_sample sample = {line->value, writing->writer->timestamp_ms};
    struct tn_remote_time_series series = {
        .labels = labels, .labels_count = count, .samples = &sample, .samples_count = 1};
    char span_id[16], trace_id[32];
    struct tn_remote_label ids[] = {{TN_STR("span_id"), {span_id, sizeof(span_id)}},
                                    {TN_STR("trace_id"), {trace_id, sizeof(trace_id)}}};
    struct tn_remote_exemplar exemplar = {.labels = ids, .labels_count = 2};
    if (line->exemplar != NULL && memcmp(line->exemplar->trace_id, none, 16) != 0) {
        hex_format(span_id, line->exemplar->span_id, 8);
        hex_format(trace_id, line->exemplar->trace_id, 16);
        exemplar.value = line->exemplar->value;
        exemplar.timestamp = writing->writer->timestamp_ms;
        series.exemplars = &exemplar;
        series.exemplars_count = 1;
    }
    tn_remote_write_put(writing->buf, &series);
    writing->samples++;
}

static void write_histogram(struct writing *writing, const struct tn_metric_options *family,
                            const struct tn_metric_reading *reading)
{
    uint64_t below = 0;
    for (size_t i = 0; i <= family->bound_count; i++) {
        char le[TN_BOUND_SIZE_MAX];
        double bound = i < family->bound_count ? family->bounds[i] : __builtin_inf();
        below += reading->buckets[i];
        struct line line = {.suffix = "_bucket",
                            .le = tn_str_make(le, tn_bound_put(le, bound)),
                            .value = (double)below};
        line.exemplar = reading->exemplars != NULL ? &reading->exemplars[i] : NULL;
        put_line(writing, family, reading, &line);
    }
    put_line(writing, family, reading, &(struct line){.suffix = "_sum", .value = reading->value});
    put_line(writing, family, reading, &(struct line){.suffix = "_count", .value = (double)below});
}

static void write_series(void *context, const struct tn_metric_options *family,
                         const struct tn_metric_reading *reading)
{
    struct writing *writing = context;
    if (family->kind == TN_METRIC_HISTOGRAM) {
        write_histogram(writing, family, reading);
        return;
    }
    struct line line = {.suffix = "", .value = reading->value, .exemplar = reading->exemplars};
    put_line(writing, family, reading, &line);
}

enum tn_err tn_remote_write_next(struct tn_remote_write *writer, struct tn_buf *buf,
                                 size_t *ret_samples)
{
    TN_ASSERT(writer->external_count <= TN_REMOTE_EXTERNAL_MAX);

    struct writing writing = {.writer = writer, .buf = buf};
    struct tn_metric_visitor visitor = {write_family, write_series, &writing};
    enum tn_err more = TN_AGAIN;
    while (more == TN_AGAIN && writing.samples < TN_REMOTE_SAMPLES_SOFT) {
        more = tn_metrics_visit(writer->metrics, &writer->cursor, &visitor);
    }
    if (buf->failed != TN_OK) {
        return buf->failed;
    }
    *ret_samples = writing.samples;
    return more;
}
