/* The cache of large pieces: its classes, a random history against a plain account of who holds
 * what, and what the heap door does with it. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/mem_cache.h"
#include "base/random.h"
#include "core/assert.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_size_rounds_up_by_at_most_a_quarter(void **unused)
{
    (void)unused;
    assert_int_equal(tn_mem_cache_round(TN_MEM_CACHE_SIZE_MIN - 1), 0);
    assert_int_equal(tn_mem_cache_round(TN_MEM_CACHE_SIZE_MAX + 1), 0);
    size_t last = 0;
    size_t classes = 0;
    for (size_t size = TN_MEM_CACHE_SIZE_MIN; size <= TN_MEM_CACHE_SIZE_MAX;
         size += size < 100000 ? 1 : 1023) {
        size_t rounded = tn_mem_cache_round(size);
        assert_true(rounded >= size && rounded <= size + size / 4);
        assert_int_equal(tn_mem_cache_round(rounded), rounded);
        assert_true(rounded >= last);
        classes += rounded != last;
        last = rounded;
    }
    assert_int_equal(classes, TN_MEM_CACHE_CLASSES);
}

enum { SLOTS = 64, STEPS = 100000 };

struct account {
    struct tn_mem_cache cache;
    void *held[SLOTS]; /* pieces that are out */
    size_t sizes[SLOTS];
    size_t out; /* pieces made and not freed */
};

static void free_gone(struct account *account, struct tn_mem_piece *gone)
{
    while (gone != NULL) {
        struct tn_mem_piece *next = gone->next;
        free(gone);
        account->out--;
        gone = next;
    }
}

static void take_one(struct account *account, size_t slot, size_t size)
{
    size_t rounded = tn_mem_cache_round(size);
    size_t before = account->cache.bytes;
    void *memory = tn_mem_cache_take(&account->cache, rounded);
    if (memory != NULL) {
        assert_true(malloc_usable_size(memory) >= rounded);
        assert_true(account->cache.bytes < before);
    } else {
        memory = malloc(rounded);
        account->out++;
    }
    memset(memory, (int)slot, 64);
    account->held[slot] = memory;
    account->sizes[slot] = malloc_usable_size(memory);
}

static void any_history_keeps_the_bound_and_loses_nothing(void **unused)
{
    (void)unused;
    const char *given = getenv("TN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : tn_clock_wall_ns();
    printf("TN_SEED=%llu\n", (unsigned long long)seed);
    struct tn_random random;
    tn_random_seed(&random, seed);
    struct account account = {.cache = {.bytes_max = 600000}};
    for (size_t step = 0; step < STEPS; step++) {
        size_t slot = tn_random_below(&random, SLOTS);
        if (account.held[slot] == NULL) {
            size_t shift = tn_random_below(&random, 6);
            take_one(&account, slot, (8192u << shift) + tn_random_below(&random, 8192u << shift));
            continue;
        }
        uint8_t pattern[64];
        memset(pattern, (int)slot, sizeof(pattern));
        assert_memory_equal(account.held[slot], pattern, 64); /* nobody else has it */
        free_gone(&account,
                  tn_mem_cache_give(&account.cache, account.held[slot], account.sizes[slot]));
        account.held[slot] = NULL;
        assert_true(account.cache.bytes <= account.cache.bytes_max);
    }
    free_gone(&account, tn_mem_cache_clear(&account.cache));
    assert_int_equal(account.cache.bytes, 0);
    for (size_t slot = 0; slot < SLOTS; slot++) {
        account.out -= account.held[slot] != NULL;
        free(account.held[slot]);
    }
    assert_int_equal(account.out, 0);
}

/* When the load changes its sizes, the old ones must make room for the new. */
static void the_stale_class_goes_first(void **unused)
{
    (void)unused;
    struct account account = {.cache = {.bytes_max = 1 << 20}};
    for (size_t slot = 0; slot < 15; slot++) {
        take_one(&account, slot, 64 << 10);
    }
    for (size_t slot = 0; slot < 15; slot++) {
        struct tn_mem_piece *gone =
            tn_mem_cache_give(&account.cache, account.held[slot], account.sizes[slot]);
        assert_null(gone);
    }
    for (size_t round = 0; round < 10; round++) {
        for (size_t slot = 0; slot < 4; slot++) {
            take_one(&account, slot, 200 << 10);
        }
        for (size_t slot = 0; slot < 4; slot++) {
            free_gone(&account,
                      tn_mem_cache_give(&account.cache, account.held[slot], account.sizes[slot]));
        }
    }
    size_t made = account.out;
    for (size_t slot = 0; slot < 4; slot++) {
        take_one(&account, slot, 200 << 10);
    }
    assert_int_equal(account.out, made); /* all four from the cache */
    for (size_t slot = 0; slot < 4; slot++) {
        free(account.held[slot]);
    }
    free_gone(&account, tn_mem_cache_clear(&account.cache));
}

static void a_piece_too_large_is_handed_back(void **unused)
{
    (void)unused;
    struct tn_mem_cache cache = {.bytes_max = 100000};
    void *memory = malloc(60000);
    struct tn_mem_piece *gone = tn_mem_cache_give(&cache, memory, 60000);
    assert_ptr_equal(gone, memory);
    assert_null(gone->next);
    free(memory);
}

/* Through the door: whatever the sizes, the bytes stay and nothing leaks, cache on or off. */
static void the_heap_door_keeps_bytes_through_every_resize(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (int off = 0; off < 2; off++) {
        tn_mem_cache_limit(off != 0 ? 0 : 4 << 20);
        struct tn_random random;
        tn_random_seed(&random, 5);
        uint8_t *memory = NULL;
        size_t size = 0;
        for (size_t step = 0; step < 3000; step++) {
            size_t wanted = (size_t)tn_random_below(&random, 1u << (4 + step % 17));
            uint8_t *wider = tn_mem_resize(memory, wanted);
            assert_non_null(wider);
            for (size_t i = 0; i < size && i < wanted; i += 97) {
                assert_int_equal(wider[i], (uint8_t)(i * 31));
            }
            for (size_t i = 0; i < wanted; i += 97) {
                wider[i] = (uint8_t)(i * 31);
            }
            memory = wider;
            size = wanted;
            if (step % 50 == 49) {
                tn_mem_give(memory);
                memory = NULL;
                size = 0;
            }
        }
        tn_mem_give(memory);
        void *odd[3] = {tn_mem_take_aligned(50000, 4096), tn_mem_take_zeroed(3, 30000),
                        tn_mem_take(64 << 20)};
        for (size_t i = 0; i < 3; i++) {
            assert_non_null(odd[i]);
            tn_mem_give(odd[i]);
        }
        uint8_t *zeroed = tn_mem_take_zeroed(1, 90000); /* never a used piece */
        for (size_t i = 0; i < 90000; i++) {
            assert_int_equal(zeroed[i], 0);
        }
        tn_mem_give(zeroed);
    }
    tn_mem_cache_limit(32 << 20);
    tn_mem_trim();
    assert_int_equal(tn_mem_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_rounds_up_by_at_most_a_quarter),
        cmocka_unit_test(any_history_keeps_the_bound_and_loses_nothing),
        cmocka_unit_test(the_stale_class_goes_first),
        cmocka_unit_test(a_piece_too_large_is_handed_back),
        cmocka_unit_test(the_heap_door_keeps_bytes_through_every_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
