/* The hash table against an oracle, its bounds, its growth without memory; and the object pool. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/random.h"
#include "base/table.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed_of_run(void)
{
    const char *given = getenv("TN_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : tn_clock_wall_ns();
    printf("TN_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

enum { KEYS = 400, STEPS = 200000 };

/* Keys 0 to KEYS - 1 as decimal texts; the oracle is an array. The share of puts swings, so the
 * table fills up, empties, and its runs of places wrap around the end. */
static void any_history_agrees_with_the_oracle(void **unused)
{
    (void)unused;
    struct tn_random random;
    tn_random_seed(&random, seed_of_run());
    struct tn_table table;
    tn_table_init(&table, 300, NULL);
    static char keys[KEYS][8];
    void *oracle[KEYS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%zu", i);
    }
    for (size_t step = 0; step < STEPS; step++) {
        size_t i = tn_random_below(&random, KEYS);
        struct tn_bytes key = tn_table_key(tn_str_from(keys[i]));
        if (tn_random_below(&random, 100) < 20 + step / 2000 % 60) {
            enum tn_err wanted = oracle[i] != NULL ? TN_EXISTS : count == 300 ? TN_LIMIT : TN_OK;
            assert_int_equal(tn_table_put(&table, key, keys[i]), wanted);
            count += wanted == TN_OK;
            oracle[i] = wanted == TN_OK ? keys[i] : oracle[i];
        } else {
            assert_ptr_equal(tn_table_remove(&table, key), oracle[i]);
            count -= oracle[i] != NULL;
            oracle[i] = NULL;
        }
        assert_int_equal(table.count, count);
        size_t k = tn_random_below(&random, KEYS);
        assert_ptr_equal(tn_table_get(&table, tn_table_key(tn_str_from(keys[k]))), oracle[k]);
    }
    size_t cursor = 0;
    size_t seen = 0;
    for (const struct tn_table_place *at = NULL; (at = tn_table_next(&table, &cursor)) != NULL;) {
        assert_ptr_equal(at->value, oracle[strtoul(at->value, NULL, 10)]);
        seen++;
    }
    assert_int_equal(seen, count);
    tn_table_clear(&table);
    cursor = 0;
    assert_null(tn_table_next(&table, &cursor));
    assert_null(tn_table_get(&table, tn_table_key(tn_str_from(keys[0]))));
    tn_table_deinit(&table);
}

static void empty_and_odd_keys_are_keys(void **unused)
{
    (void)unused;
    char keys_of_own[1];
    struct tn_table table;
    tn_table_init(&table, 10, &(struct tn_hash_key){1, 2});
    assert_null(tn_table_get(&table, tn_bytes_make(NULL, 0)));
    assert_null(tn_table_remove(&table, tn_bytes_make("x", 1)));
    assert_int_equal(tn_table_put(&table, tn_bytes_make(NULL, 0), &table), TN_OK);
    assert_int_equal(tn_table_put(&table, tn_bytes_make("", 0), &table), TN_EXISTS);
    assert_int_equal(tn_table_put(&table, tn_bytes_make("\0", 1), keys_of_own), TN_OK);
    assert_int_equal(tn_table_put(&table, tn_bytes_make("\0\0", 2), keys_of_own), TN_OK);
    assert_ptr_equal(tn_table_get(&table, tn_bytes_make("", 0)), &table);
    assert_ptr_equal(tn_table_remove(&table, tn_bytes_make("\0", 1)), keys_of_own);
    assert_null(tn_table_get(&table, tn_bytes_make("\0", 1)));
    tn_table_deinit(&table);
    tn_table_deinit(&table);
    tn_table_deinit(NULL);
}

static void without_memory_a_put_changes_nothing(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    struct tn_table table;
    tn_table_init(&table, 1000, NULL);
    static uint32_t keys[1000];
    for (uint32_t i = 0; i < 1000; i++) {
        keys[i] = i;
        struct tn_bytes key = tn_bytes_make(&keys[i], sizeof(keys[i]));
        tn_mem_fail_from(1, true);
        enum tn_err err = tn_table_put(&table, key, &keys[i]);
        assert_int_equal(err, tn_mem_fail_delivered() ? TN_NOMEM : TN_OK);
        tn_mem_fail_from(0, false);
        if (err == TN_NOMEM) {
            assert_null(tn_table_get(&table, key));
            assert_int_equal(tn_table_put(&table, key, &keys[i]), TN_OK);
        }
        for (uint32_t k = 0; k <= i; k += 37) {
            assert_ptr_equal(tn_table_get(&table, tn_bytes_make(&k, sizeof(k))), &keys[k]);
        }
    }
    tn_table_deinit(&table);
    assert_int_equal(tn_mem_live(), before);
}

static void the_pool_holds_its_bound_and_reuses(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    static const size_t sizes[] = {1, 8, 24, 100, 20000};
    for (size_t s = 0; s < TN_COUNT(sizes); s++) {
        struct tn_pool pool;
        const struct tn_pool_options options = {
            .size = sizes[s], .align = s % 2 == 0 ? 64 : 0, .count_max = 100};
        tn_pool_init(&pool, &options);
        void *objects[100];
        for (size_t i = 0; i < 100; i++) {
            objects[i] = tn_pool_take(&pool);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % (s % 2 == 0 ? 64 : 16), 0);
            memset(objects[i], (int)i, sizes[s]);
        }
        assert_null(tn_pool_take(&pool));
        for (size_t i = 0; i < 100; i++) {
            assert_int_equal(*(uint8_t *)objects[i], i);
        }
        size_t live = tn_mem_live();
        tn_pool_give(&pool, objects[50]);
        assert_ptr_equal(tn_pool_take(&pool), objects[50]);
        for (size_t i = 0; i < 100; i++) {
            tn_pool_give(&pool, objects[i]);
        }
        tn_pool_give(&pool, NULL);
        for (size_t i = 0; i < 100; i++) {
            assert_non_null(objects[i] = tn_pool_take(&pool));
        }
        assert_int_equal(tn_mem_live(), live);
        for (size_t i = 0; i < 100; i++) {
            tn_pool_give(&pool, objects[i]);
        }
        tn_pool_deinit(&pool);
        tn_pool_deinit(&pool);
        tn_pool_deinit(NULL);
    }
    assert_int_equal(tn_mem_live(), before);
}

static void the_pool_without_memory_gives_null(void **unused)
{
    (void)unused;
    struct tn_pool pool;
    tn_pool_init(&pool, &(struct tn_pool_options){.size = 100, .count_max = 10, .slab_count = 4});
    void *objects[10];
    for (size_t i = 0; i < 10; i++) {
        tn_mem_fail_from(1, false);
        objects[i] = tn_pool_take(&pool);
        assert_int_equal(objects[i] == NULL, i % 4 == 0);
        tn_mem_fail_from(0, false);
        objects[i] = objects[i] != NULL ? objects[i] : tn_pool_take(&pool);
    }
    for (size_t i = 0; i < 10; i++) {
        tn_pool_give(&pool, objects[i]);
    }
    tn_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_history_agrees_with_the_oracle),
        cmocka_unit_test(empty_and_odd_keys_are_keys),
        cmocka_unit_test(without_memory_a_put_changes_nothing),
        cmocka_unit_test(the_pool_holds_its_bound_and_reuses),
        cmocka_unit_test(the_pool_without_memory_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
