/* Whole files: limits, odd kinds of files, atomic replacement, listings, and every failing
 * allocation. */
#include "base/file.h"
#include "base/mem.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[4][128];
    static size_t next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
    return path[next];
}

static int make_folder(void **unused)
{
    (void)unused;
    snprintf(folder, sizeof(folder), "/tmp/tn-file-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **unused)
{
    (void)unused;
    char line[100];
    snprintf(line, sizeof(line), "rm -rf '%s'", folder);
    return system(line);
}

static void put(const char *name, const void *data, size_t size)
{
    struct tn_fault fault = {0};
    if (tn_file_write_atomic(path_of(name), tn_bytes_make(data, size), 0644, &fault) < 0) {
        fail_msg("%s", fault.text);
    }
}

static void what_is_written_is_read_at_every_size(void **unused)
{
    (void)unused;
    static uint8_t data[70000];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
    }
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 70000};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        put("a", data, sizes[i]);
        struct tn_block *block = NULL;
        assert_int_equal(tn_file_read(path_of("a"), sizes[i], &block, NULL), TN_OK);
        assert_int_equal(block->size, sizes[i]);
        assert_memory_equal(block->data, data, sizes[i]);
        tn_block_unref(block);
        struct tn_file_view view = {0};
        assert_int_equal(tn_file_map(path_of("a"), &view, NULL), TN_OK);
        assert_true(tn_bytes_equal(view.bytes, tn_bytes_make(data, sizes[i])));
        tn_file_unmap(&view);
        tn_file_unmap(&view);
        if (sizes[i] > 0) {
            struct tn_fault fault = {0};
            assert_int_equal(tn_file_read(path_of("a"), sizes[i] - 1, &block, &fault), TN_LIMIT);
            assert_non_null(strstr(fault.text, "is larger than"));
        }
    }
    tn_file_unmap(NULL);
}

static void files_that_lie_about_their_size_are_read(void **unused)
{
    (void)unused;
    struct tn_block *block = NULL;
    assert_int_equal(tn_file_read("/proc/self/status", 1 << 20, &block, NULL), TN_OK);
    assert_true(block->size > 100);
    tn_block_unref(block);
    assert_int_equal(tn_file_read("/proc/self/status", 100, &block, NULL), TN_LIMIT);
    assert_int_equal(tn_file_read("/proc/self/maps", 100000000, &block, NULL), TN_OK);
    tn_block_unref(block);
}

static void what_is_no_file_is_refused_at_once(void **unused)
{
    (void)unused;
    struct tn_block *block = NULL;
    struct tn_file_view view;
    struct tn_fault fault = {0};
    assert_int_equal(tn_file_read(path_of("none"), 10, &block, &fault), TN_NOTFOUND);
    assert_non_null(strstr(fault.text, "none': No such file"));
    assert_int_equal(tn_file_read(folder, 10, &block, &fault), TN_INVALID);
    assert_int_equal(tn_file_map(folder, &view, &fault), TN_INVALID);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_equal(tn_file_read(path_of("fifo"), 10, &block, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "not a plain file"));
    unlink(path_of("fifo"));
}

static void replacing_is_whole_or_nothing(void **unused)
{
    (void)unused;
    put("b", "old", 3);
    put("b", "newer", 5);
    struct stat status;
    assert_int_equal(stat(path_of("b"), &status), 0);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(status.st_mode & 0777, 0644 & ~mask);
    struct tn_fault fault = {0};
    assert_int_equal(tn_file_write_atomic(path_of("no/b"), tn_bytes_make("x", 1), 0644, &fault),
                     TN_NOTFOUND);
    /* A target that cannot be replaced: the temporary file goes away again. */
    assert_int_equal(mkdir(path_of("d"), 0700), 0);
    assert_true(tn_file_write_atomic(path_of("d"), tn_bytes_make("x", 1), 0644, &fault) < 0);
    rmdir(path_of("d"));
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_file_list list = {0};
    assert_int_equal(tn_file_list(folder, 100, &arena, &list, NULL), TN_OK);
    for (size_t i = 0; i < list.count; i++) {
        assert_null(strchr(list.items[i].name, '.'));
    }
    struct tn_str text = {0};
    assert_int_equal(tn_file_read_text(path_of("b"), 10, &arena, &text, NULL), TN_OK);
    assert_string_equal(text.data, "newer");
    tn_arena_deinit(&arena);
    char longer[5000];
    memset(longer, 'x', sizeof(longer));
    longer[4999] = '\0';
    assert_true(tn_file_write_atomic(longer, tn_bytes_make("x", 1), 0644, &fault) < 0);
}

/* A disk without room is what /dev/full plays, but a rename needs a real one: the size limit of the
 * process does the same to the write. */
static void a_failed_write_keeps_the_old_file(void **unused)
{
    (void)unused;
    put("c", "old", 3);
    char line[300];
    snprintf(line, sizeof(line), "cd '%s' && test \"$(ls)\" != '' && test \"$(cat c)\" = old",
             folder);
    struct tn_fault fault = {0};
    struct tn_bytes bytes = {.data = (const uint8_t *)16,
                             .size = 4096}; /* no such memory: EFAULT */
    assert_int_equal(tn_file_write_atomic(path_of("c"), bytes, 0644, &fault), TN_IO);
    assert_int_equal(system(line), 0);
}

static void listings_are_sorted_and_bounded(void **unused)
{
    (void)unused;
    assert_int_equal(mkdir(path_of("l"), 0700), 0);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "l/%02d", i * 7 % 40);
        put(name, "abc", (size_t)(i % 4));
    }
    assert_int_equal(mkdir(path_of("l/dir"), 0700), 0);
    assert_int_equal(symlink("nowhere", path_of("l/dangling")), 0);
    assert_int_equal(symlink("dir", path_of("l/link")), 0);
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_file_list list = {0};
    assert_int_equal(tn_file_list(path_of("l"), 42, &arena, &list, NULL), TN_OK);
    assert_int_equal(list.count, 42);
    for (size_t i = 0; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof(name), "%02zu", i);
        assert_string_equal(list.items[i].name, name);
        assert_int_equal(list.items[i].kind, TN_FILE_PLAIN);
        assert_true(list.items[i].changed_ns > 0 && list.items[i].inode > 0);
    }
    assert_int_equal(list.items[40].kind, TN_FILE_DIRECTORY);
    assert_string_equal(list.items[41].name, "link");
    assert_int_equal(list.items[41].kind, TN_FILE_DIRECTORY);
    assert_int_equal(tn_file_list(path_of("l"), 41, &arena, &list, NULL), TN_LIMIT);
    assert_int_equal(tn_file_list(path_of("none"), 41, &arena, &list, NULL), TN_NOTFOUND);
    struct tn_file_info info;
    assert_int_equal(tn_file_look(path_of("l/07"), &info, NULL), TN_OK);
    assert_int_equal(info.size, 1);
    assert_int_equal(tn_file_look(path_of("l/dangling"), &info, NULL), TN_NOTFOUND);
    tn_arena_deinit(&arena);
}

static void every_failing_allocation_is_reported(void **unused)
{
    (void)unused;
    put("e", "text", 4);
    size_t before = tn_mem_live();
    for (size_t n = 1;; n++) {
        struct tn_arena arena;
        tn_arena_init(&arena,
                      &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 64});
        struct tn_str text = {0};
        struct tn_file_list list = {0};
        struct tn_fault fault = {0};
        tn_mem_fail_from(n, false);
        enum tn_err err = tn_file_read_text(path_of("e"), 10, &arena, &text, &fault);
        err = err < 0 ? err : tn_file_list(path_of("l"), 100, &arena, &list, &fault);
        bool delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        tn_arena_deinit(&arena);
        assert_int_equal(tn_mem_live(), before);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        if (!delivered) {
            assert_true(n > 5);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_at_every_size),
        cmocka_unit_test(files_that_lie_about_their_size_are_read),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(replacing_is_whole_or_nothing),
        cmocka_unit_test(a_failed_write_keeps_the_old_file),
        cmocka_unit_test(listings_are_sorted_and_bounded),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
