/* Shared memory regions: bounds, truncation by the owner, use after unregister, SIGBUS. */
#include "serve/shm.h"

#include "base/mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static char key[64];

static int make_object(size_t size)
{
    snprintf(key, sizeof(key), "/tn_test_shm_%d", (int)getpid());
    int fd = shm_open(key, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void drop_object(int fd)
{
    close(fd);
    shm_unlink(key);
}

static enum tn_err put(struct tn_shm *shm, const char *name, const char *object, uint64_t offset,
                       uint64_t size)
{
    struct tn_fault fault = {0};
    struct tn_shm_register_options options = {tn_str_from(name), tn_str_from(object), offset, size};
    enum tn_err err = tn_shm_register(shm, &options, &fault);
    assert_int_equal(err, fault.code);
    assert_true((err == TN_OK) == (fault.text[0] == '\0'));
    return err;
}

static void bounds_are_checked(void **unused)
{
    (void)unused;
    struct tn_shm *shm = NULL;
    assert_int_equal(tn_shm_create(&shm), TN_OK);
    int fd = make_object(10000);
    assert_int_equal(put(shm, "a", key, 0, 10001), TN_INVALID);
    assert_int_equal(put(shm, "a", key, 1, 10000), TN_INVALID);
    assert_int_equal(put(shm, "a", key, UINT64_MAX, 1), TN_INVALID);
    assert_int_equal(put(shm, "a", key, 1, UINT64_MAX), TN_INVALID);
    assert_int_equal(put(shm, "a", key, INT64_MAX, INT64_MAX), TN_INVALID);
    assert_int_equal(put(shm, "a", key, 0, 0), TN_INVALID);
    assert_int_equal(put(shm, "", key, 0, 1), TN_INVALID);
    assert_int_equal(put(shm, "a", "", 0, 1), TN_INVALID);
    assert_int_equal(put(shm, "a", "/..", 0, 1), TN_INVALID);
    assert_int_equal(put(shm, "a", "/../etc/passwd", 0, 1), TN_INVALID);
    assert_int_equal(put(shm, "a", "/tn_test_absent", 0, 1), TN_NOTFOUND);
    assert_int_equal(put(shm, "a", key, 5000, 5000), TN_OK);
    assert_int_equal(put(shm, "a", key, 0, 5000), TN_EXISTS);
    assert_int_equal(put(shm, "b", key + 1, 0, 5000), TN_OK); /* without its slash */

    uint8_t *data = NULL;
    struct tn_shm_region *region = NULL;
    struct tn_str a = TN_STR_OF("a");
    assert_int_equal(tn_shm_use(shm, a, 0, 5001, &data, &region, NULL), TN_INVALID);
    assert_int_equal(tn_shm_use(shm, a, 4999, 2, &data, &region, NULL), TN_INVALID);
    assert_int_equal(tn_shm_use(shm, a, UINT64_MAX, 2, &data, &region, NULL), TN_INVALID);
    assert_int_equal(tn_shm_use(shm, TN_STR_OF("no"), 0, 1, &data, &region, NULL), TN_NOTFOUND);
    assert_null(data);
    assert_null(region);
    assert_int_equal(pwrite(fd, "hello", 5, 7000), 5);
    assert_int_equal(tn_shm_use(shm, a, 2000, 3000, &data, &region, NULL), TN_OK);
    assert_memory_equal(data, "hello", 5);
    tn_shm_release(region);

    struct tn_shm_status status[3];
    assert_int_equal(tn_shm_list(shm, TN_STR_OF(""), status, 3), 2);
    assert_string_equal(status[0].name, "a");
    assert_int_equal(status[0].offset, 5000);
    assert_string_equal(status[1].key, key);
    assert_int_equal(tn_shm_list(shm, TN_STR_OF("b"), status, 3), 1);
    assert_int_equal(tn_shm_list(shm, TN_STR_OF("c"), status, 3), 0);
    drop_object(fd);
    tn_shm_destroy(shm);
}

static void a_use_outlives_unregister(void **unused)
{
    (void)unused;
    struct tn_shm *shm = NULL;
    size_t live = tn_mem_live();
    assert_int_equal(tn_shm_create(&shm), TN_OK);
    int fd = make_object(4096);
    assert_int_equal(put(shm, "a", key, 0, 4096), TN_OK);
    uint8_t *data = NULL;
    struct tn_shm_region *region = NULL;
    assert_int_equal(tn_shm_use(shm, TN_STR_OF("a"), 0, 4096, &data, &region, NULL), TN_OK);
    assert_int_equal(tn_shm_unregister(shm, TN_STR_OF("a"), NULL), TN_OK);
    assert_int_equal(tn_shm_unregister(shm, TN_STR_OF("a"), NULL), TN_NOTFOUND);
    memset(data, 7, 4096);
    uint8_t seen = 0;
    assert_int_equal(pread(fd, &seen, 1, 4095), 1);
    assert_int_equal(seen, 7);
    tn_shm_release(region);
    drop_object(fd);
    tn_shm_destroy(shm);
    assert_int_equal(tn_mem_live(), live);
}

static void a_shrunk_object_is_refused_or_replaced(void **unused)
{
    (void)unused;
    struct tn_shm *shm = NULL;
    assert_int_equal(tn_shm_guard(NULL), TN_OK);
    assert_int_equal(tn_shm_create(&shm), TN_OK);
    int fd = make_object(3 * 4096);
    assert_int_equal(put(shm, "a", key, 0, 3 * 4096), TN_OK);
    uint8_t *data = NULL;
    struct tn_shm_region *region = NULL;
    assert_int_equal(tn_shm_use(shm, TN_STR_OF("a"), 0, 3 * 4096, &data, &region, NULL), TN_OK);
    data[0] = 9;
    assert_int_equal(ftruncate(fd, 4096), 0);
    uint8_t *other = NULL;
    struct tn_shm_region *none = NULL;
    struct tn_fault fault = {0};
    assert_int_equal(tn_shm_use(shm, TN_STR_OF("a"), 0, 8, &other, &none, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "4096"));
    /* In the middle of a use: zeros instead of the end of the program. */
    uint64_t before = tn_shm_pages_replaced();
    volatile uint8_t *late = data;
    assert_int_equal(late[0], 9);
    assert_int_equal(late[4096], 0);
    late[2 * 4096 + 5] = 1;
    assert_int_equal(tn_shm_pages_replaced() - before, 2);
    tn_shm_release(region);
    drop_object(fd);
    tn_shm_destroy(shm);
}

static void *churn(void *argument)
{
    struct tn_shm *shm = argument;
    for (int i = 0; i < 3000; i++) {
        uint8_t *data = NULL;
        struct tn_shm_region *region = NULL;
        if (tn_shm_use(shm, TN_STR_OF("a"), 0, 64, &data, &region, NULL) == TN_OK) {
            __atomic_store_n(&data[i % 64], (uint8_t)i, __ATOMIC_RELAXED);
            tn_shm_release(region);
        }
    }
    return NULL;
}

static void uses_race_with_unregister(void **unused)
{
    (void)unused;
    struct tn_shm *shm = NULL;
    assert_int_equal(tn_shm_create(&shm), TN_OK);
    int fd = make_object(4096);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, shm), 0);
    }
    for (int i = 0; i < 500; i++) {
        assert_int_equal(put(shm, "a", key, 0, 4096), TN_OK);
        assert_int_equal(tn_shm_unregister(shm, TN_STR_OF("a"), NULL), TN_OK);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    drop_object(fd);
    tn_shm_destroy(shm);
}

static void every_allocation_may_fail(void **unused)
{
    (void)unused;
    struct tn_shm *shm = NULL;
    int fd = make_object(4096);
    size_t live = tn_mem_live();
    for (size_t n = 1; n < 10; n++) {
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_shm_create(&shm);
        if (err == TN_OK) {
            err = put(shm, "a", key, 0, 4096);
            tn_shm_destroy(shm);
        }
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        assert_int_equal(tn_mem_live(), live);
    }
    drop_object(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_checked),
        cmocka_unit_test(a_use_outlives_unregister),
        cmocka_unit_test(a_shrunk_object_is_refused_or_replaced),
        cmocka_unit_test(uses_race_with_unregister),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
