/* The timer heap against an oracle: a plain array searched from end to end. Seeded. */
#include "base/clock.h"
#include "base/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TIMERS = 200, STEPS = 60000 };

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

struct model {
    struct tn_timer timers[TIMERS];
    uint64_t due[TIMERS];   /* 0: not armed */
    uint64_t order[TIMERS]; /* when it was armed */
    uint64_t orders;
};

static struct tn_timer *model_first(struct model *model)
{
    size_t best = TIMERS;
    for (size_t i = 0; i < TIMERS; i++) {
        if (model->due[i] == 0) {
            continue;
        }
        if (best == TIMERS || model->due[i] < model->due[best] ||
            (model->due[i] == model->due[best] && model->order[i] < model->order[best])) {
            best = i;
        }
    }
    return best == TIMERS ? NULL : &model->timers[best];
}

static void step(struct model *model, struct tn_timer_heap *heap, uint64_t spread, uint64_t bias)
{
    size_t i = draw(TIMERS);
    if (model->due[i] != 0) {
        tn_timer_heap_remove(heap, &model->timers[i]);
        assert_int_equal(model->timers[i].due_ns, 0);
        model->due[i] = 0;
    }
    if (draw(100) < bias) {
        model->due[i] = 1 + draw(spread);
        model->order[i] = ++model->orders;
        tn_timer_heap_add(heap, &model->timers[i], model->due[i]);
    } else if (heap->first != NULL) {
        size_t first = (size_t)(heap->first - model->timers);
        tn_timer_heap_remove(heap, heap->first);
        model->due[first] = 0;
    }
}

static void the_first_is_always_the_oracles(void **unused)
{
    (void)unused;
    const char *given = getenv("TN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : tn_clock_wall_ns();
    printf("TN_SEED=%llu\n", (unsigned long long)seed);
    const uint64_t spreads[] = {1, 4, 1000, UINT64_MAX - 1};
    for (size_t s = 0; s < 4; s++) {
        static struct model model;
        model = (struct model){0};
        state = seed | 1;
        struct tn_timer_heap heap = {0};
        for (size_t i = 0; i < STEPS / 4; i++) {
            step(&model, &heap, spreads[s], 40 + i / 100 % 50);
            assert_ptr_equal(heap.first, model_first(&model));
        }
        while (heap.first != NULL) {
            assert_ptr_equal(heap.first, model_first(&model));
            model.due[heap.first - model.timers] = 0;
            tn_timer_heap_remove(&heap, heap.first);
        }
        assert_null(model_first(&model));
    }
}

/* A heap that is one long list must not use the stack. */
static void a_long_list_is_melded_without_recursion(void **unused)
{
    (void)unused;
    enum { MANY = 300000 };
    struct tn_timer *timers = calloc(MANY, sizeof(*timers));
    struct tn_timer_heap heap = {0};
    for (size_t i = 0; i < MANY; i++) {
        tn_timer_heap_add(&heap, &timers[i], 1 + i);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_ptr_equal(heap.first, &timers[i]);
        tn_timer_heap_remove(&heap, &timers[i]);
    }
    for (size_t i = 0; i < MANY; i++) {
        tn_timer_heap_add(&heap, &timers[i], MANY - i);
    }
    for (size_t i = MANY; i-- > 0;) {
        assert_ptr_equal(heap.first, &timers[i]);
        tn_timer_heap_remove(&heap, &timers[i]);
    }
    assert_null(heap.first);
    free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_always_the_oracles),
        cmocka_unit_test(a_long_list_is_melded_without_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
