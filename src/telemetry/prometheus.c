/* The text encoder. A sample line is prefix, value, exemplar; the lines of one histogram share
 * their prefix, which is escaped once and then copied from what is already in the buffer.
 *
 * Memory: the caller's buffer and 3 KB of stack. Threads: any. Bounds: the buffer's size_max. */
#include "telemetry/prometheus.h"

#include "telemetry/bound.h"

/* The visit of one family. */
struct writer {
    const struct tn_prometheus *encoder;
    struct tn_buf *buf;
    struct tn_str base; /* family name as this format has it */
    bool open;          /* OpenMetrics */
    bool unknown;       /* a counter that may not be called one */
    struct {
        char text[TN_BOUND_SIZE_MAX];
        size_t size;
    } le[TN_METRIC_BOUNDS_MAX]; /* bounds as text, made once a family */
};

struct tn_str tn_prometheus_content_type(enum tn_prometheus_format format)
{
    return format == TN_PROMETHEUS_TEXT
               ? TN_STR_OF("text/plain; version=0.0.4; charset=utf-8")
               : TN_STR_OF("application/openmetrics-text; version=1.0.0; charset=utf-8");
}

/* Text with \ and newline escaped, and " where the place is quoted. Runs are copied whole. */
static void put_escaped(struct tn_buf *buf, struct tn_str text, bool quotes)
{
    size_t done = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c != '\\' && c != '\n' && !(quotes && c == '"')) {
            continue;
        }
        tn_buf_put(buf, text.data + done, i - done);
        const char pair[2] = {'\\', c == '\n' ? 'n' : c};
        tn_buf_put(buf, pair, 2);
        done = i + 1;
    }
    if (done < text.size) {
        tn_buf_put(buf, text.data + done, text.size - done);
    }
}

static void put_value(struct tn_buf *buf, double value)
{
    char text[TN_NUMBER_SIZE_MAX];
    tn_buf_put(buf, text, tn_number_put_double(text, value));
}

static void put_count(struct tn_buf *buf, uint64_t value)
{
    char text[TN_NUMBER_SIZE_MAX];
    tn_buf_put(buf, text, tn_number_put_uint64(text, value));
}

static bool ends_with(struct tn_str text, struct tn_str end)
{
    return text.size > end.size &&
           memcmp(text.data + text.size - end.size, end.data, end.size) == 0;
}

static void les_make(struct writer *writer, const struct tn_metric_options *family)
{
    for (size_t i = 0; i < family->bound_count; i++) {
        char *text = writer->le[i].text;
        writer->le[i].size = writer->open ? tn_bound_put(text, family->bounds[i])
                                          : tn_number_put_double(text, family->bounds[i]);
    }
}

static void put_meta(struct writer *writer, const char *word)
{
    tn_buf_put_text(writer->buf, word);
    tn_buf_put_str(writer->buf, writer->base);
    tn_buf_put_byte(writer->buf, ' ');
}

static void write_family(void *context, const struct tn_metric_options *family, size_t count)
{
    (void)count;
    static const char *const kinds[] = {
        [TN_METRIC_COUNTER] = "counter",
        [TN_METRIC_GAUGE] = "gauge",
        [TN_METRIC_HISTOGRAM] = "histogram",
    };
    static const struct tn_str total = TN_STR("_total");
    struct writer *writer = context;
    writer->open = writer->encoder->format == TN_PROMETHEUS_OPENMETRICS;
    writer->base = tn_str_from(family->name);
    if (writer->open && family->kind == TN_METRIC_COUNTER) {
        writer->unknown = !ends_with(writer->base, total);
        writer->base.size -= writer->unknown ? 0 : total.size;
    }
    les_make(writer, family);
    put_meta(writer, "# HELP ");
    put_escaped(writer->buf, tn_str_from(family->help), writer->open);
    tn_buf_put_byte(writer->buf, '\n');
    put_meta(writer, "# TYPE ");
    tn_buf_put_text(writer->buf, writer->unknown ? "unknown" : kinds[family->kind]);
    tn_buf_put_byte(writer->buf, '\n');
}

/* name_suffix{a="x",b="y" with the brace left open; returns whether there is a label. */
static bool put_series(struct writer *writer, const char *suffix,
                       const struct tn_metric_options *family,
                       const struct tn_metric_reading *reading)
{
    struct tn_buf *buf = writer->buf;
    tn_buf_put_str(buf, writer->base);
    tn_buf_put_text(buf, suffix);
    size_t i = 0;
    for (; i < TN_METRIC_LABELS_MAX && family->labels[i] != NULL; i++) {
        tn_buf_put_byte(buf, i == 0 ? '{' : ',');
        tn_buf_put_text(buf, family->labels[i]);
        tn_buf_put(buf, "=\"", 2);
        put_escaped(buf, reading->values[i], true);
        tn_buf_put_byte(buf, '"');
    }
    return i > 0;
}

static void put_series_closed(struct writer *writer, const char *suffix,
                              const struct tn_metric_options *family,
                              const struct tn_metric_reading *reading)
{
    bool labels = put_series(writer, suffix, family, reading);
    tn_buf_put_text(writer->buf, labels ? "} " : " ");
}

static void put_hex(struct tn_buf *buf, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    char text[32];
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    tn_buf_put(buf, text, 2 * count);
}

static void put_line_end(struct writer *writer, const struct tn_exemplar *exemplar)
{
    static const uint8_t none[16];
    if (writer->open && exemplar != NULL && memcmp(exemplar->trace_id, none, 16) != 0) {
        tn_buf_put_text(writer->buf, " # {trace_id=\"");
        put_hex(writer->buf, exemplar->trace_id, 16);
        tn_buf_put_text(writer->buf, "\",span_id=\"");
        put_hex(writer->buf, exemplar->span_id, 8);
        tn_buf_put_text(writer->buf, "\"} ");
        put_value(writer->buf, exemplar->value);
    }
    tn_buf_put_byte(writer->buf, '\n');
}

static void put_created(struct writer *writer, const struct tn_metric_options *family,
                        const struct tn_metric_reading *reading)
{
    if (!writer->open || !writer->encoder->created || reading->created_ns == 0) {
        return;
    }
    put_series_closed(writer, "_created", family, reading);
    tn_buf_printf(writer->buf, "%llu.%03llu\n",
                  (unsigned long long)(reading->created_ns / 1000000000),
                  (unsigned long long)(reading->created_ns / 1000000 % 1000));
}

/* Repeats `size` bytes of the buffer from `at` on. */
static void put_again(struct tn_buf *buf, size_t at, size_t size)
{
    uint8_t *place = tn_buf_reserve(buf, size);
    if (place != NULL) {
        memcpy(place, buf->data + at, size);
        tn_buf_commit(buf, size);
    }
}

static void write_histogram(struct writer *writer, const struct tn_metric_options *family,
                            const struct tn_metric_reading *reading)
{
    struct tn_buf *buf = writer->buf;
    size_t start = buf->size;
    bool labels = put_series(writer, "_bucket", family, reading);
    tn_buf_put_text(buf, labels ? ",le=\"" : "{le=\"");
    size_t prefix = buf->size - start;
    uint64_t below = 0;
    for (size_t i = 0; i <= family->bound_count; i++) {
        if (i > 0) {
            put_again(buf, start, prefix);
        }
        if (i < family->bound_count) {
            tn_buf_put(buf, writer->le[i].text, writer->le[i].size);
        } else {
            tn_buf_put(buf, "+Inf", 4);
        }
        tn_buf_put(buf, "\"} ", 3);
        below += reading->buckets[i];
        put_count(buf, below);
        put_line_end(writer, reading->exemplars != NULL ? &reading->exemplars[i] : NULL);
    }
    put_series_closed(writer, "_sum", family, reading);
    put_value(buf, reading->value);
    tn_buf_put_byte(buf, '\n');
    put_series_closed(writer, "_count", family, reading);
    put_count(buf, below);
    tn_buf_put_byte(buf, '\n');
    put_created(writer, family, reading);
}

static void write_series(void *context, const struct tn_metric_options *family,
                         const struct tn_metric_reading *reading)
{
    struct writer *writer = context;
    if (family->kind == TN_METRIC_HISTOGRAM) {
        write_histogram(writer, family, reading);
        return;
    }
    bool counter = writer->open && family->kind == TN_METRIC_COUNTER && !writer->unknown;
    put_series_closed(writer, counter ? "_total" : "", family, reading);
    put_value(writer->buf, reading->value);
    put_line_end(writer, counter ? reading->exemplars : NULL);
    if (counter) {
        put_created(writer, family, reading);
    }
}

enum tn_err tn_prometheus_next(struct tn_prometheus *encoder, struct tn_buf *buf)
{
    struct writer writer; /* 3 KB: only what a family needs is set */
    writer.encoder = encoder;
    writer.buf = buf;
    writer.unknown = false;
    struct tn_metric_visitor visitor = {write_family, write_series, &writer};
    enum tn_err err = tn_metrics_visit(encoder->metrics, &encoder->cursor, &visitor);
    if (err == TN_DONE && encoder->format == TN_PROMETHEUS_OPENMETRICS) {
        tn_buf_put_text(buf, "# EOF\n");
    }
    return buf->failed != TN_OK ? buf->failed : err;
}

enum tn_err tn_prometheus_encode(struct tn_metrics *metrics, enum tn_prometheus_format format,
                                 struct tn_buf *buf)
{
    struct tn_prometheus encoder = {.metrics = metrics, .format = format};
    enum tn_err err;
    do {
        err = tn_prometheus_next(&encoder, buf);
    } while (err == TN_AGAIN);
    return err == TN_DONE ? TN_OK : err;
}
