/* The registry against a plain model: look-ups, updates, retire and reuse, overflow, limits. */
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/reading.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { NAMES = 12, SERIES_MAX = 5, STEPS = 20000 };

static const double bounds[] = {-1, 0, 0.5, 2, 10};

/* What one series must show. */
struct expected {
    size_t refs;
    double sum;
    uint64_t count;
    uint64_t buckets[TN_COUNT(bounds) + 1];
};

struct model {
    struct tn_metrics *metrics;
    struct tn_metric_family *family;
    struct expected series[NAMES + 1]; /* the last is _other */
    struct tn_metric *handles[64];
    size_t owner[64];
    size_t handle_count;
    uint64_t overflows;
    enum tn_metric_kind kind;
    size_t seen;
    char names[NAMES + 1][8];
};

static uint64_t random_state;

static uint64_t random_below(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void model_series(struct model *model)
{
    if (model->handle_count == TN_COUNT(model->handles)) {
        return;
    }
    size_t name = random_below(NAMES + 1);
    struct tn_str values[2] = {tn_str_from(model->names[name]), tn_str_from(model->names[name])};
    size_t live = 0;
    for (size_t i = 0; i < NAMES; i++) {
        live += model->series[i].refs > 0;
    }
    if (name < NAMES && model->series[name].refs == 0 && live == SERIES_MAX) {
        name = NAMES;
        model->overflows++;
    }
    if (model->series[name].refs++ == 0) {
        model->series[name] = (struct expected){.refs = 1};
    }
    model->owner[model->handle_count] = name;
    assert_int_equal(
        tn_metric_series(model->family, values, &model->handles[model->handle_count++]), TN_OK);
}

static void model_retire(struct model *model, size_t index)
{
    tn_metric_retire(model->handles[index]);
    model->series[model->owner[index]].refs--;
    model->handle_count--;
    model->handles[index] = model->handles[model->handle_count];
    model->owner[index] = model->owner[model->handle_count];
}

static void model_update(struct model *model, size_t index)
{
    struct tn_metric *metric = model->handles[index];
    struct expected *expected = &model->series[model->owner[index]];
    double value = (double)random_below(100) / 4 - 5;
    if (model->kind == TN_METRIC_COUNTER) {
        tn_metric_count(metric, 3);
        tn_metric_add(metric, fabs(value));
        expected->sum += 3 + fabs(value);
    } else if (model->kind == TN_METRIC_GAUGE) {
        bool set = random_below(2) == 0;
        (set ? tn_metric_set : tn_metric_add)(metric, value);
        expected->sum = set ? value : expected->sum + value;
    } else {
        tn_metric_observe(metric, value);
        size_t bucket = 0;
        while (bucket < TN_COUNT(bounds) && value > bounds[bucket]) {
            bucket++;
        }
        expected->buckets[bucket]++;
        expected->count++;
        expected->sum += value;
    }
}

static void see_family(void *context, const struct tn_metric_options *family, size_t count)
{
    (void)context, (void)family, (void)count;
}

static void see_series(void *context, const struct tn_metric_options *family,
                       const struct tn_metric_reading *reading)
{
    struct model *model = context;
    if (strcmp(family->name, "model_total") != 0) {
        assert_true(reading->value == (double)model->overflows);
        return;
    }
    assert_true(tn_str_equal(reading->values[0], reading->values[1]));
    /* Names ascend in the model's array, so the next match is always further on. */
    while (!tn_str_is(reading->values[0], model->names[model->seen])) {
        assert_int_equal(model->series[model->seen].refs, 0);
        model->seen++;
        assert_true(model->seen <= NAMES);
    }
    const struct expected *expected = &model->series[model->seen++];
    assert_true(expected->refs > 0);
    assert_true(reading->value == expected->sum);
    if (model->kind == TN_METRIC_HISTOGRAM) {
        assert_int_equal(reading->count, expected->count);
        assert_memory_equal(reading->buckets, expected->buckets, sizeof(expected->buckets));
    }
}

static void model_check(struct model *model)
{
    struct tn_metric_visitor visitor = {see_family, see_series, model};
    struct tn_metric_cursor cursor = {0};
    model->seen = 0;
    size_t families = 0;
    while (tn_metrics_visit(model->metrics, &cursor, &visitor) == TN_AGAIN) {
        families++;
    }
    assert_int_equal(families, 2);
    for (; model->seen <= NAMES; model->seen++) {
        assert_int_equal(model->series[model->seen].refs, 0);
    }
    for (size_t i = 0; i < model->handle_count; i++) {
        assert_true(tn_metric_value(model->handles[i]) == model->series[model->owner[i]].sum);
    }
}

static void model_run(enum tn_metric_kind kind, bool sharded)
{
    size_t live = tn_mem_live();
    struct model model = {.kind = kind};
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(model.names[i], sizeof(model.names[i]), "%c", (char)('A' + i));
    }
    snprintf(model.names[NAMES], sizeof(model.names[NAMES]), "_other");
    assert_int_equal(tn_metrics_create(&model.metrics), TN_OK);
    struct tn_metric_options options = {.kind = kind,
                                        .name = "model_total",
                                        .help = "A model.",
                                        .labels = {"one", "two"},
                                        .series_max = SERIES_MAX,
                                        .sharded = sharded};
    if (kind == TN_METRIC_HISTOGRAM) {
        options.bounds = bounds;
        options.bound_count = TN_COUNT(bounds);
    }
    assert_int_equal(tn_metrics_family(model.metrics, &options, &model.family), TN_OK);
    for (size_t step = 0; step < STEPS; step++) {
        uint64_t dice = random_below(10);
        if (dice == 0) {
            model_series(&model);
        } else if (dice == 1 && model.handle_count > 0) {
            model_retire(&model, random_below(model.handle_count));
        } else if (model.handle_count > 0) {
            model_update(&model, random_below(model.handle_count));
        }
        if (step % 64 == 0) {
            model_check(&model);
        }
    }
    while (model.handle_count > 0) {
        model_retire(&model, 0);
    }
    model_check(&model);
    tn_metrics_destroy(model.metrics);
    assert_int_equal(tn_mem_live(), live);
}

static void every_kind_follows_the_model(void **unused)
{
    (void)unused;
    model_run(TN_METRIC_COUNTER, false);
    model_run(TN_METRIC_COUNTER, true);
    model_run(TN_METRIC_GAUGE, false);
    model_run(TN_METRIC_HISTOGRAM, false);
}

static struct tn_metrics *registry(void)
{
    struct tn_metrics *metrics = NULL;
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    return metrics;
}

static struct tn_metric *histogram_of(struct tn_metrics *metrics, const double *upper, size_t count)
{
    struct tn_metric_options options = {.kind = TN_METRIC_HISTOGRAM,
                                        .name = "h",
                                        .help = "",
                                        .bounds = upper,
                                        .bound_count = count,
                                        .exemplars = true};
    struct tn_metric_family *family;
    struct tn_metric *metric;
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    assert_int_equal(tn_metric_series(family, NULL, &metric), TN_OK);
    return metric;
}

struct last_reading {
    struct tn_metric_reading reading;
    uint64_t buckets[TN_METRIC_BOUNDS_MAX + 1];
    struct tn_exemplar exemplars[TN_METRIC_BOUNDS_MAX + 1];
    char first_value[TN_METRIC_VALUE_MAX + 1];
    char family[64];
    size_t size;
};

static void keep_family(void *context, const struct tn_metric_options *family, size_t count)
{
    struct last_reading *last = context;
    snprintf(last->family, sizeof(last->family), "%s", family->name);
    last->size = count;
}

static void keep_series(void *context, const struct tn_metric_options *family,
                        const struct tn_metric_reading *reading)
{
    struct last_reading *last = context;
    last->reading = *reading;
    if (family->kind == TN_METRIC_HISTOGRAM) {
        memcpy(last->buckets, reading->buckets, (family->bound_count + 1) * sizeof(uint64_t));
    }
    if (reading->exemplars != NULL) {
        memcpy(last->exemplars, reading->exemplars,
               (family->bound_count + 1) * sizeof(struct tn_exemplar));
    }
    if (family->labels[0] != NULL) {
        snprintf(last->first_value, sizeof(last->first_value), "%.*s",
                 TN_STR_ARG(reading->values[0]));
    }
}

/* The family with the smallest name: tests name theirs below the registry's own. */
static void read_first(struct tn_metrics *metrics, struct last_reading *ret_last)
{
    struct tn_metric_cursor cursor = {0};
    struct tn_metric_visitor visitor = {keep_family, keep_series, ret_last};
    assert_int_equal(tn_metrics_visit(metrics, &cursor, &visitor), TN_AGAIN);
}

static void every_bound_count_finds_its_bucket(void **unused)
{
    (void)unused;
    double upper[TN_METRIC_BOUNDS_MAX];
    for (size_t i = 0; i < TN_COUNT(upper); i++) {
        upper[i] = (double)i;
    }
    for (size_t count = 1; count <= TN_COUNT(upper); count++) {
        struct tn_metrics *metrics = registry();
        struct tn_metric *metric = histogram_of(metrics, upper, count);
        for (size_t i = 0; i < count; i++) {
            tn_metric_observe(metric, (double)i);
            tn_metric_observe(metric, (double)i + 0.5);
        }
        tn_metric_observe(metric, -INFINITY);
        struct last_reading last;
        read_first(metrics, &last);
        assert_int_equal(last.buckets[0], 2);
        for (size_t i = 1; i < count; i++) {
            assert_int_equal(last.buckets[i], 2);
        }
        assert_int_equal(last.buckets[count], 1);
        tn_metrics_destroy(metrics);
    }
}

static void nan_counts_and_stays_out_of_the_sum(void **unused)
{
    (void)unused;
    static const double one[] = {1};
    struct tn_metrics *metrics = registry();
    struct tn_metric *metric = histogram_of(metrics, one, 1);
    tn_metric_observe(metric, NAN);
    tn_metric_observe(metric, 0.25);
    struct last_reading last;
    read_first(metrics, &last);
    assert_int_equal(last.buckets[0], 1);
    assert_int_equal(last.buckets[1], 1);
    assert_true(tn_metric_value(metric) == 0.25);
    assert_int_equal(tn_metric_observations(metric), 2);
    tn_metrics_destroy(metrics);
}

static void the_newest_exemplar_of_a_bucket_stays(void **unused)
{
    (void)unused;
    static const double one[] = {1};
    struct tn_metrics *metrics = registry();
    struct tn_metric *metric = histogram_of(metrics, one, 1);
    uint8_t trace[16], span[8], none[16] = {0};
    struct last_reading last;
    for (uint8_t i = 1; i < 200; i++) {
        memset(trace, i, sizeof(trace));
        memset(span, i + 1, sizeof(span));
        tn_metric_observe_traced(metric, i / 400.0, trace, span);
        tn_metric_observe(metric, 0.5);
        read_first(metrics, &last);
        assert_memory_equal(last.exemplars[0].trace_id, trace, 16);
        assert_memory_equal(last.exemplars[0].span_id, span, 8);
        assert_true(last.exemplars[0].value == i / 400.0);
        assert_memory_equal(last.exemplars[1].trace_id, none, 16);
    }
    tn_metric_retire(metric);
    (void)histogram_of(metrics, one, 1); /* reused: the old example must be gone */
    read_first(metrics, &last);
    assert_memory_equal(last.exemplars[0].trace_id, none, 16);
    assert_int_equal(last.reading.count, 0);
    tn_metrics_destroy(metrics);
}

static void label_values_are_cut_and_made_valid(void **unused)
{
    (void)unused;
    static const struct {
        struct tn_str in;
        const char *out;
    } rows[] = {
        {TN_STR("plain"), "plain"},
        {TN_STR(""), ""},
        {TN_STR("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
        {TN_STR("\xe2\x82\xac \xf0\x9f\x8d\x8b"), "\xe2\x82\xac \xf0\x9f\x8d\x8b"},
        {TN_STR("\xc3"), "?"},                /* ends inside a character */
        {TN_STR("\xc0\xaf"), "??"},           /* overlong */
        {TN_STR("\xed\xa0\x80"), "???"},      /* surrogate */
        {TN_STR("\xf4\x90\x80\x80"), "????"}, /* above U+10FFFF */
        {TN_STR("\xff\x61"), "?a"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_metrics *metrics = registry();
        struct tn_metric_family *family;
        struct tn_metric *metric, *again;
        struct tn_metric_options options = {
            .kind = TN_METRIC_GAUGE, .name = "g", .help = "", .labels = {"l"}};
        assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
        assert_int_equal(tn_metric_series(family, &rows[i].in, &metric), TN_OK);
        assert_int_equal(tn_metric_series(family, &rows[i].in, &again), TN_OK);
        assert_ptr_equal(metric, again);
        struct last_reading last;
        read_first(metrics, &last);
        assert_string_equal(last.first_value, rows[i].out);
        tn_metrics_destroy(metrics);
    }
    char longer[TN_METRIC_VALUE_MAX + 10];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer + TN_METRIC_VALUE_MAX - 1, "\xc3\xbc", 2); /* would be cut in its middle */
    struct tn_metrics *metrics = registry();
    struct tn_metric_family *family;
    struct tn_metric *metric;
    struct tn_metric_options options = {
        .kind = TN_METRIC_GAUGE, .name = "g", .help = "", .labels = {"l"}};
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    struct tn_str value = tn_str_make(longer, sizeof(longer));
    assert_int_equal(tn_metric_series(family, &value, &metric), TN_OK);
    struct last_reading last;
    read_first(metrics, &last);
    assert_int_equal(strlen(last.first_value), TN_METRIC_VALUE_MAX - 1);
    tn_metrics_destroy(metrics);
}

static void wrong_shapes_are_refused(void **unused)
{
    (void)unused;
    static const double falling[] = {1, 1}, endless[] = {1, INFINITY}, good[] = {1, 2};
    static const struct tn_metric_options rows[] = {
        {.name = "", .help = ""},
        {.name = "1a", .help = ""},
        {.name = "a-b", .help = ""},
        {.name = "a", .help = NULL},
        {.name = "a", .help = "", .labels = {"a", "a"}},
        {.name = "a", .help = "", .labels = {"__a"}},
        {.name = "a", .help = "", .labels = {"a:b"}},
        {.name = "a", .help = "", .bounds = good, .bound_count = 2},
        {.kind = TN_METRIC_GAUGE, .name = "a", .help = "", .exemplars = true},
        {.kind = TN_METRIC_GAUGE, .name = "a", .help = "", .sharded = true},
        {.kind = TN_METRIC_HISTOGRAM, .name = "a", .help = ""},
        {.kind = TN_METRIC_HISTOGRAM, .name = "a", .help = "", .bounds = falling, .bound_count = 2},
        {.kind = TN_METRIC_HISTOGRAM, .name = "a", .help = "", .bounds = endless, .bound_count = 2},
        {.kind = TN_METRIC_HISTOGRAM,
         .name = "a",
         .help = "",
         .labels = {"le"},
         .bounds = good,
         .bound_count = 2},
        {.kind = TN_METRIC_HISTOGRAM, .name = "a", .help = "", .bounds = good, .bound_count = 65},
    };
    struct tn_metrics *metrics = registry();
    struct tn_metric_family *family = NULL;
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        assert_int_equal(tn_metrics_family(metrics, &rows[i], &family), TN_INVALID);
        assert_null(family);
    }
    struct tn_metric_options options = {.name = "a", .help = "x", .labels = {"l"}};
    struct tn_metric_family *same;
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    options.help = "another text is not another shape";
    assert_int_equal(tn_metrics_family(metrics, &options, &same), TN_OK);
    assert_ptr_equal(family, same);
    options.labels[0] = "k";
    assert_int_equal(tn_metrics_family(metrics, &options, &same), TN_EXISTS);
    options.labels[0] = NULL;
    assert_int_equal(tn_metrics_family(metrics, &options, &same), TN_EXISTS);
    tn_metrics_destroy(metrics);
}

static void set_to_seven(void *context)
{
    tn_metric_set(context, tn_metric_value(context) + 7);
}

static void collection_refreshes_until_taken_off(void **unused)
{
    (void)unused;
    struct tn_metrics *metrics = registry();
    struct tn_metric_family *family;
    struct tn_metric *metric, *later;
    struct tn_metric_options options = {
        .kind = TN_METRIC_GAUGE, .name = "g", .help = "", .labels = {"l"}};
    struct tn_str a = TN_STR("a"), b = TN_STR("b");
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    assert_int_equal(tn_metric_series(family, &a, &metric), TN_OK);
    assert_int_equal(tn_metrics_on_collect(metrics, set_to_seven, metric), TN_OK);
    tn_metrics_collect(metrics, 42);
    assert_true(tn_metric_value(metric) == 7);
    assert_int_equal(tn_metric_series(family, &b, &later), TN_OK);
    struct last_reading last;
    read_first(metrics, &last);
    assert_int_equal(last.size, 2);
    assert_int_equal(last.reading.created_ns, 42);
    tn_metrics_off_collect(metrics, set_to_seven, later); /* not registered: nothing happens */
    tn_metrics_off_collect(metrics, set_to_seven, metric);
    tn_metrics_collect(metrics, 43);
    assert_true(tn_metric_value(metric) == 7);
    tn_metrics_destroy(metrics);
}

static enum tn_err build_all(void)
{
    struct tn_metrics *metrics;
    struct tn_metric_family *family;
    struct tn_metric *metric;
    enum tn_err err = tn_metrics_create(&metrics);
    if (err != TN_OK) {
        return err;
    }
    struct tn_metric_options options = {
        .name = "a_total", .help = "", .labels = {"l"}, .series_max = 1, .sharded = true};
    struct tn_str a = TN_STR("a"), b = TN_STR("b");
    err = tn_metrics_family(metrics, &options, &family);
    err = err != TN_OK ? err : tn_metric_series(family, &a, &metric);
    if (err == TN_OK) {
        tn_metric_count(metric, 2); /* without memory for a shard of its own it still counts */
        assert_true(tn_metric_value(metric) == 2);
    }
    err = err != TN_OK ? err : tn_metric_series(family, &b, &metric);
    err = err != TN_OK ? err : tn_metrics_on_collect(metrics, set_to_seven, metric);
    tn_metrics_destroy(metrics);
    return err;
}

static void any_allocation_may_fail(void **unused)
{
    (void)unused;
    for (int persistent = 0; persistent < 2; persistent++) {
        size_t n = 1;
        for (;; n++) {
            size_t live = tn_mem_live();
            tn_mem_fail_from(n, persistent != 0);
            enum tn_err err = build_all();
            bool delivered = tn_mem_fail_delivered();
            tn_mem_fail_from(0, false);
            assert_int_equal(tn_mem_live(), live);
            if (!delivered) {
                assert_int_equal(err, TN_OK);
                break;
            }
            assert_true(err == TN_NOMEM || err == TN_OK);
        }
        assert_true(n > 8);
    }
}

int main(void)
{
    random_state = (uint64_t)time(NULL) | 1;
    const char *seed = getenv("TN_SEED");
    if (seed != NULL) {
        random_state = strtoull(seed, NULL, 10) | 1;
    }
    printf("seed: TN_SEED=%llu\n", (unsigned long long)random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_follows_the_model),
        cmocka_unit_test(every_bound_count_finds_its_bucket),
        cmocka_unit_test(nan_counts_and_stays_out_of_the_sum),
        cmocka_unit_test(the_newest_exemplar_of_a_bucket_stays),
        cmocka_unit_test(label_values_are_cut_and_made_valid),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(collection_refreshes_until_taken_off),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
