/* The headers that monitoring and tracing read, and the URLs that exporters are given: no text
 * crashes a parser, and what is taken comes out again.
 *
 * Byte 0 chooses the parser, the rest is the text. */
#include "core/assert.h"
#include "export/accept.h"
#include "export/scrape.h"
#include "export/target.h"
#include "export/verdict.h"
#include "telemetry/traceparent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_traceparent(struct tn_str text)
{
    struct tn_trace_context context, again;
    char out[TN_TRACEPARENT_SIZE];
    if (tn_traceparent_parse(text, &context) != TN_OK) {
        return;
    }
    tn_traceparent_format(&context, out);
    enum tn_err err = tn_traceparent_parse(tn_str_make(out, sizeof(out)), &again);
    TN_ASSERT(err == TN_OK && again.flags == context.flags);
    TN_ASSERT(memcmp(again.trace_id, context.trace_id, sizeof(again.trace_id)) == 0);
    TN_ASSERT(memcmp(again.span_id, context.span_id, sizeof(again.span_id)) == 0);
}

static void try_accept(struct tn_str text)
{
    struct tn_str rest = text;
    struct tn_accept_item item;
    unsigned gzip = 0;
    bool named = false;
    for (size_t count = 0; tn_accept_next(&rest, &item); count++) {
        TN_ASSERT(count < text.size && item.name.size > 0 && item.quality <= 1000);
        if (!named && tn_accept_is(&item, "gzip")) {
            named = true;
            gzip = item.quality;
        }
    }
    TN_ASSERT(!named || tn_accept_quality(text, "gzip") == gzip);
    enum tn_prometheus_format format = tn_scrape_format(text);
    TN_ASSERT(format == TN_PROMETHEUS_TEXT || format == TN_PROMETHEUS_OPENMETRICS);
}

static void try_target(struct tn_str text)
{
    struct tn_target target;
    struct tn_fault fault;
    if (tn_target_parse(text, &target, &fault) == TN_OK) {
        TN_ASSERT(strrchr(target.address, ':') != NULL && target.path[0] == '/');
        TN_ASSERT(strchr(target.path, '#') == NULL && strchr(target.address, '@') == NULL);
    } else {
        TN_ASSERT(fault.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct tn_str text = tn_str_make((const char *)data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_traceparent(text);
        break;
    case 1:
        try_accept(text);
        break;
    case 2:
        try_target(text);
        break;
    default:
        TN_ASSERT(tn_verdict_retry_after_ns(text) <= UINT64_C(300000000000));
    }
    return 0;
}
