/* Trace headers by table and by every wrong byte; sampling; the ring under many producers. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/trace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDS "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

static void headers_are_read_as_the_standard_says(void **unused)
{
    (void)unused;
    static const struct {
        struct tn_str header;
        enum tn_err err;
        uint8_t flags;
    } rows[] = {
        {TN_STR("00-" IDS "-01"), TN_OK, 1},
        {TN_STR("00-" IDS "-00"), TN_OK, 0},
        {TN_STR("00-" IDS "-ff"), TN_OK, 1},
        {TN_STR("cc-" IDS "-01"), TN_OK, 1},
        {TN_STR("cc-" IDS "-01-what-the-future-brings"), TN_OK, 1},
        {TN_STR("cc-" IDS "-01.what"), TN_INVALID, 0},
        {TN_STR("00-" IDS "-01-"), TN_INVALID, 0},
        {TN_STR("ff-" IDS "-01"), TN_INVALID, 0},
        {TN_STR("00-" IDS "-0"), TN_INVALID, 0},
        {TN_STR("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), TN_INVALID, 0},
        {TN_STR("00-00000000000000000000000000000000-b7ad6b7169203331-01"), TN_INVALID, 0},
        {TN_STR("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), TN_INVALID, 0},
        {TN_STR(""), TN_INVALID, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_trace_context context = {.flags = 77};
        assert_int_equal(tn_traceparent_parse(rows[i].header, &context), rows[i].err);
        assert_int_equal(context.flags, rows[i].err == TN_OK ? rows[i].flags : 77);
    }
}

static void every_wrong_byte_and_every_cut_is_refused(void **unused)
{
    (void)unused;
    static const char good[] = "00-" IDS "-01";
    struct tn_trace_context context;
    for (size_t size = 0; size < TN_TRACEPARENT_SIZE; size++) {
        /* An exact heap copy: reading beyond it is seen by the address sanitizer. */
        char *cut = tn_mem_copy_str(tn_str_make(good, size));
        assert_int_equal(tn_traceparent_parse(tn_str_make(cut, size), &context), TN_INVALID);
        tn_mem_give(cut);
    }
    for (size_t at = 0; at < TN_TRACEPARENT_SIZE; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[TN_TRACEPARENT_SIZE], again[TN_TRACEPARENT_SIZE];
            memcpy(text, good, sizeof(text));
            text[at] = (char)byte;
            if (tn_traceparent_parse(tn_str_make(text, sizeof(text)), &context) != TN_OK) {
                assert_memory_not_equal(text, good, sizeof(text));
                continue;
            }
            tn_traceparent_format(&context, again);
            /* Version and the flags beyond "sampled" do not come back. */
            assert_memory_equal(again + 3, text + 3, 50);
        }
    }
}

static struct tn_tracer *tracer_of(size_t capacity, double rate)
{
    struct tn_tracer *tracer = NULL;
    struct tn_tracer_options options = {.capacity = capacity, .rate = rate, .seed = {1, 2}};
    assert_int_equal(tn_tracer_create(&options, &tracer), TN_OK);
    return tracer;
}

static void the_rate_holds_and_the_parent_wins(void **unused)
{
    (void)unused;
    static const double rates[] = {0, 0.01, 0.25, 1};
    for (size_t i = 0; i < TN_COUNT(rates); i++) {
        struct tn_tracer *tracer = tracer_of(1, rates[i]);
        struct tn_trace_context context, child, last = {0};
        unsigned sampled = 0;
        for (unsigned n = 0; n < 20000; n++) {
            bool taken = tn_tracer_decide(tracer, NULL, &context);
            sampled += taken;
            assert_int_equal(taken, context.flags & TN_TRACE_SAMPLED);
            assert_memory_not_equal(context.trace_id, last.trace_id, 16);
            assert_memory_not_equal(context.span_id, last.span_id, 8);
            assert_int_equal(tn_tracer_decide(tracer, &context, &child), taken);
            assert_memory_equal(child.trace_id, context.trace_id, 16);
            assert_memory_not_equal(child.span_id, context.span_id, 8);
            last = context;
        }
        assert_in_range(sampled, (unsigned)(rates[i] * 20000 * 0.85),
                        (unsigned)(rates[i] * 20000 * 1.15));
        tn_tracer_destroy(tracer);
    }
}

static void a_span_keeps_what_fits(void **unused)
{
    (void)unused;
    struct tn_tracer *tracer = tracer_of(2, 1);
    struct tn_trace_context parent, context;
    tn_tracer_decide(tracer, NULL, &parent);
    tn_tracer_decide(tracer, &parent, &context);
    struct tn_span span, got;
    tn_span_begin(&span, &context, &parent, TN_STR_OF("infer"), TN_SPAN_SERVER, 10);
    tn_span_put_i64(&span, "batch", -3);
    tn_span_put_f64(&span, "share", 0.5);
    tn_span_put_bool(&span, "hit", true);
    char longer[2 * TN_SPAN_TEXT_MAX];
    for (size_t i = 0; i < sizeof(longer); i += 2) {
        memcpy(longer + i, "\xc3\xbc", 2);
    }
    tn_span_put_str(&span, "model", TN_STR_OF("silero"));
    tn_span_put_str(&span, "long", tn_str_make(longer, sizeof(longer)));
    for (unsigned i = 0; i < 2 * TN_SPAN_ATTRIBUTES_MAX; i++) {
        tn_span_put_str(&span, "more", TN_STR_OF("x"));
    }
    tn_span_set_status(&span, TN_SPAN_ERROR, TN_STR_OF("no room left for this"));
    tn_span_end(tracer, &span, 20);
    assert_int_equal(tn_tracer_drain(tracer, &got, 1), 1);
    assert_true(tn_str_is(tn_span_str(&got, got.name), "infer"));
    assert_true(tn_str_is(tn_span_str(&got, got.attributes[3].str), "silero"));
    struct tn_str kept = tn_span_str(&got, got.attributes[4].str);
    assert_int_equal(kept.size % 2, 0);
    assert_in_range(kept.size, TN_SPAN_TEXT_MAX - 12, TN_SPAN_TEXT_MAX - 11);
    assert_int_equal(got.attribute_count, TN_SPAN_ATTRIBUTES_MAX);
    assert_int_equal(got.attributes_dropped, TN_SPAN_ATTRIBUTES_MAX + 5);
    assert_int_equal(got.attributes[0].i64, -3);
    assert_memory_equal(got.parent_id, parent.span_id, 8);
    assert_int_equal(got.end_ns, 20);
    assert_int_equal(got.status, TN_SPAN_ERROR);
    tn_tracer_destroy(tracer);
}

static void a_full_ring_drops_and_counts(void **unused)
{
    (void)unused;
    struct tn_tracer *tracer = tracer_of(5, 1); /* rounded up to 8 */
    struct tn_trace_context context;
    struct tn_span span, out[20];
    uint64_t ended = 0, drained = 0, next = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < round % 13; i++) {
            tn_tracer_decide(tracer, NULL, &context);
            tn_span_begin(&span, &context, NULL, TN_STR_OF("s"), TN_SPAN_INTERNAL, 0);
            tn_span_end(tracer, &span, ended++);
        }
        size_t got = tn_tracer_drain(tracer, out, round % 7);
        for (size_t i = 0; i < got; i++) {
            assert_true(out[i].end_ns >= next); /* oldest first */
            next = out[i].end_ns + 1;
        }
        drained += got;
        struct tn_tracer_counts counts = tn_tracer_count(tracer);
        assert_int_equal(counts.ended, ended);
        assert_int_equal(counts.drained, drained);
        assert_in_range(counts.ended - counts.drained - counts.dropped, 0, 8);
    }
    assert_true(tn_tracer_count(tracer).dropped > 0);
    context.flags = 0;
    tn_span_begin(&span, &context, NULL, TN_STR_OF("s"), TN_SPAN_INTERNAL, 0);
    tn_span_end(tracer, &span, 1);
    assert_int_equal(tn_tracer_count(tracer).ended, ended);
    tn_tracer_destroy(tracer);
}

enum { PRODUCERS = 4, SPANS = 5000 };
static struct tn_tracer *shared;
static atomic_uint finished;

static void *produce(void *argument)
{
    struct tn_span span;
    struct tn_trace_context context;
    for (uint64_t i = 0; i < SPANS; i++) {
        tn_tracer_decide(shared, NULL, &context);
        tn_span_begin(&span, &context, NULL, TN_STR_OF("s"), TN_SPAN_INTERNAL,
                      (uint64_t)(uintptr_t)argument);
        tn_span_put_i64(&span, "i", (int64_t)i);
        tn_span_end(shared, &span, i);
    }
    atomic_fetch_add(&finished, 1);
    return NULL;
}

static void many_producers_lose_only_what_is_counted(void **unused)
{
    (void)unused;
    shared = tracer_of(64, 1);
    atomic_store(&finished, 0);
    pthread_t threads[PRODUCERS];
    for (uintptr_t i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, produce, (void *)i), 0);
    }
    uint64_t next[PRODUCERS] = {0}, got = 0;
    struct tn_span spans[16];
    for (;;) {
        bool last = atomic_load(&finished) == PRODUCERS;
        size_t count = tn_tracer_drain(shared, spans, TN_COUNT(spans));
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(spans[i].attributes[0].i64, spans[i].end_ns);
            assert_true(spans[i].end_ns >= next[spans[i].start_ns]);
            next[spans[i].start_ns] = spans[i].end_ns + 1;
        }
        got += count;
        if (last && count == 0) {
            break;
        }
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct tn_tracer_counts counts = tn_tracer_count(shared);
    assert_int_equal(counts.ended, PRODUCERS * SPANS);
    assert_int_equal(counts.drained, got);
    assert_int_equal(counts.ended, counts.drained + counts.dropped);
    tn_tracer_destroy(shared);
}

static void creation_fails_cleanly(void **unused)
{
    (void)unused;
    struct tn_tracer *tracer = NULL;
    struct tn_tracer_options wrong = {.rate = 1.5};
    assert_int_equal(tn_tracer_create(&wrong, &tracer), TN_INVALID);
    for (size_t n = 1; n <= 2; n++) {
        size_t live = tn_mem_live();
        struct tn_tracer_options options = {.capacity = 4};
        tn_mem_fail_from(n, false);
        assert_int_equal(tn_tracer_create(&options, &tracer), TN_NOMEM);
        assert_true(tn_mem_fail_delivered());
        tn_mem_fail_from(0, false);
        assert_null(tracer);
        assert_int_equal(tn_mem_live(), live);
    }
    tn_tracer_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_as_the_standard_says),
        cmocka_unit_test(every_wrong_byte_and_every_cut_is_refused),
        cmocka_unit_test(the_rate_holds_and_the_parent_wins),
        cmocka_unit_test(a_span_keeps_what_fits),
        cmocka_unit_test(a_full_ring_drops_and_counts),
        cmocka_unit_test(many_producers_lose_only_what_is_counted),
        cmocka_unit_test(creation_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
