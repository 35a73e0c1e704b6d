/* The map of loaded models: order, look-up, references, readers beside a publisher, failing memory.
 */
#include "serve/catalog.h"

#include "base/mem.h"
#include "core/assert.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NAMES = 40, VERSIONS = 3 };

static char names[NAMES][16];
static struct tn_model_info infos[NAMES][VERSIONS];
static struct tn_entry entries[NAMES][VERSIONS];
static atomic_size_t retired;

static void on_retire(void *context, struct tn_entry *entry)
{
    (void)context;
    (void)entry;
    atomic_fetch_add(&retired, 1);
}

static int begin(void **unused)
{
    (void)unused;
    for (size_t n = 0; n < NAMES; n++) {
        snprintf(names[n], sizeof(names[n]), "model_%zu", n * 7 % NAMES);
        for (size_t v = 0; v < VERSIONS; v++) {
            infos[n][v] = (struct tn_model_info){.name = tn_str_from(names[n]), .version = v + 1};
            entries[n][v] = (struct tn_entry){.info = &infos[n][v], .retire = on_retire};
            atomic_init(&entries[n][v].refs, 1);
        }
    }
    atomic_store(&retired, 0);
    return 0;
}

static void put(struct tn_catalog *catalog, size_t n, size_t v)
{
    assert_int_equal(tn_catalog_put(catalog, tn_entry_ref(&entries[n][v])), TN_OK);
}

static void everything_put_is_found(void **unused)
{
    (void)unused;
    struct tn_catalog catalog;
    struct tn_catalog_reader reader;
    assert_int_equal(tn_catalog_init(&catalog), TN_OK);
    tn_catalog_reader_open(&reader, &catalog);
    assert_null(tn_catalog_find(tn_catalog_read(&reader), TN_STR_OF("model_1"), -1));
    for (size_t v = 0; v < VERSIONS; v++) {
        for (size_t n = 0; n < NAMES; n++) {
            put(&catalog, n, (v + 1) % VERSIONS);
        }
    }
    const struct tn_catalog_view *view = tn_catalog_read(&reader);
    assert_int_equal(view->count, NAMES * VERSIONS);
    for (size_t n = 0; n < NAMES; n++) {
        struct tn_str name = tn_str_from(names[n]);
        assert_ptr_equal(tn_catalog_find(view, name, -1), &entries[n][VERSIONS - 1]);
        for (size_t v = 0; v < VERSIONS; v++) {
            assert_ptr_equal(tn_catalog_find(view, name, (int64_t)v + 1), &entries[n][v]);
        }
        assert_null(tn_catalog_find(view, name, 0));
        assert_null(tn_catalog_find(view, name, VERSIONS + 1));
    }
    assert_null(tn_catalog_find(view, TN_STR_OF("model_"), -1));
    assert_null(tn_catalog_find(view, TN_STR_OF(""), -1));

    struct tn_fault fault = {0};
    struct tn_entry *entry = NULL;
    static const struct {
        const char *name, *version;
        enum tn_err err;
    } cases[] = {
        {"model_1", "", TN_OK},
        {"model_1", "2", TN_OK},
        {"model_1", "-1", TN_OK},
        {"model_1", "9", TN_NOTFOUND},
        {"x", "", TN_NOTFOUND},
        {"x", "1", TN_NOTFOUND},
        {"model_1", "one", TN_INVALID},
        {"model_1", " 1", TN_INVALID},
        {"model_1", "1234567890123456789", TN_INVALID},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        assert_int_equal(tn_catalog_resolve(view, tn_str_from(cases[i].name),
                                            tn_str_from(cases[i].version), &entry, &fault),
                         cases[i].err);
    }
    /* The old view lives as long as its reader looks away. */
    for (size_t n = 0; n < NAMES; n++) {
        assert_int_equal(tn_catalog_remove(&catalog, tn_str_from(names[n]), 2), TN_OK);
        assert_int_equal(tn_catalog_remove(&catalog, tn_str_from(names[n]), 2), TN_NOTFOUND);
    }
    assert_int_equal(atomic_load(&entries[0][1].refs), 2);
    view = tn_catalog_read(&reader);
    assert_int_equal(atomic_load(&entries[0][1].refs), 1);
    assert_null(tn_catalog_find(view, tn_str_from(names[0]), 2));
    tn_catalog_reader_close(&reader);
    tn_catalog_deinit(&catalog);
    for (size_t n = 0; n < NAMES; n++) {
        for (size_t v = 0; v < VERSIONS; v++) {
            assert_int_equal(atomic_load(&entries[n][v].refs), 1);
        }
    }
    assert_int_equal(atomic_load(&retired), 0);
}

static void a_replaced_entry_is_let_go(void **unused)
{
    (void)unused;
    struct tn_catalog catalog;
    struct tn_entry other = {.info = &infos[0][0], .retire = on_retire};
    atomic_init(&other.refs, 1);
    assert_int_equal(tn_catalog_init(&catalog), TN_OK);
    put(&catalog, 0, 0);
    assert_int_equal(tn_catalog_put(&catalog, &other), TN_OK);
    assert_int_equal(atomic_load(&entries[0][0].refs), 1);
    struct tn_entry *found = tn_catalog_acquire(&catalog, tn_str_from(names[0]), 1);
    assert_ptr_equal(found, &other);
    tn_catalog_deinit(&catalog);
    assert_int_equal(atomic_load(&retired), 0);
    tn_entry_unref(found);
    assert_int_equal(atomic_load(&retired), 1);
}

static atomic_bool stop;

static void *look(void *argument)
{
    struct tn_catalog_reader reader;
    tn_catalog_reader_open(&reader, argument);
    size_t seen = 0;
    while (!atomic_load(&stop)) {
        const struct tn_catalog_view *view = tn_catalog_read(&reader);
        struct tn_entry *entry = tn_catalog_find(view, tn_str_from(names[0]), -1);
        assert_non_null(entry); /* one version or the other, always */
        seen += entry->info->version;
    }
    tn_catalog_reader_close(&reader);
    return (void *)seen;
}

static void readers_never_find_a_gap(void **unused)
{
    (void)unused;
    struct tn_catalog catalog;
    pthread_t threads[2];
    assert_int_equal(tn_catalog_init(&catalog), TN_OK);
    put(&catalog, 0, 0);
    atomic_store(&stop, false);
    for (size_t i = 0; i < TN_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look, &catalog), 0);
    }
    for (size_t i = 0; i < 3000; i++) {
        put(&catalog, 0, 1 + i % 2);
        assert_int_equal(tn_catalog_remove(&catalog, tn_str_from(names[0]), i % 2 == 0 ? 1 : 2),
                         TN_OK);
        put(&catalog, 0, 0);
        assert_int_equal(tn_catalog_remove(&catalog, tn_str_from(names[0]), 2 + i % 2), TN_OK);
        if (i % 2 == 0) {
            put(&catalog, 0, 1);
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < TN_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    tn_catalog_deinit(&catalog);
    assert_int_equal(atomic_load(&entries[0][0].refs), 1);
    assert_int_equal(atomic_load(&entries[0][1].refs), 1);
}

static void every_allocation_may_fail(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    for (size_t n = 1; n < 20; n++) {
        struct tn_catalog catalog;
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_catalog_init(&catalog);
        for (size_t i = 0; err == TN_OK && i < 5; i++) {
            err = tn_catalog_put(&catalog, tn_entry_ref(&entries[i][0]));
            if (err != TN_OK) {
                tn_entry_unref(&entries[i][0]);
            }
        }
        if (err == TN_OK) {
            err = tn_catalog_remove(&catalog, tn_str_from(names[1]), 1);
        }
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        tn_catalog_deinit(&catalog);
        assert_int_equal(tn_mem_live(), live);
        assert_int_equal(atomic_load(&entries[0][0].refs), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(everything_put_is_found, begin),
        cmocka_unit_test_setup(a_replaced_entry_is_let_go, begin),
        cmocka_unit_test_setup(readers_never_find_a_gap, begin),
        cmocka_unit_test_setup(every_allocation_may_fail, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
