/* What lies in a model directory, on a real disk: layouts, names that are none, files that go. */
#include "serve/repository_scan.h"

#include "base/mem.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static void make(const char *path, const char *content)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(whole, 0700);
        *at = '/';
    }
    if (content == NULL) {
        assert_int_equal(mkdir(whole, 0700), 0);
        return;
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static int begin(void **unused)
{
    (void)unused;
    snprintf(root, sizeof(root), "/tmp/tn_test_scan_XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int end(void **unused)
{
    (void)unused;
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}

static const struct tn_repository_item *find(const struct tn_scan *scan, const char *name,
                                             uint64_t version)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (tn_str_is(scan->items[i].name, name) && scan->items[i].version == version) {
            return &scan->items[i];
        }
    }
    return NULL;
}

static void layouts_are_understood(void **unused)
{
    (void)unused;
    make("one/1/model.onnx", "abc");
    make("one/12/model.onnx", "abcd");
    make("one/02/model.onnx", "x");
    make("one/0/model.onnx", "x");
    make("one/1a/model.onnx", "x");
    make("one/9999999999999999999/model.onnx", "x");
    make("one/7/other.onnx", "x");
    make("one/8/model.onnx/x", "a folder is no model");
    make("all/1/model.onnx", "x");
    make("all/2/model.onnx", "x");
    make("all/model.yaml", "versions: {policy: all}\n");
    make("broken/1/model.onnx", "x");
    make("broken/model.yaml", "versions: [\n");
    make("chain/model.yaml", "platform: ensemble\nsteps:\n  - model: one\n");
    make(".hidden/1/model.onnx", "x");
    make("empty", NULL);
    make("README", "x");
    char bare[96];
    snprintf(bare, sizeof(bare), "%s/all/2/model.onnx", root);
    const char *roots[] = {root, "/nowhere/at/all"};
    const char *files[] = {bare};
    struct tn_arena arena;
    struct tn_scan scan;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_scan_options options = {.roots = roots,
                                      .root_count = 2,
                                      .files = files,
                                      .file_count = 1,
                                      .models_max = 32,
                                      .wall_ns = UINT64_MAX,
                                      .inotify = -1,
                                      .arena = &arena};
    assert_int_equal(tn_scan_run(&options, &scan), TN_OK);
    assert_non_null(find(&scan, "model", 1)); /* the bare file */
    assert_int_equal(find(&scan, "one", 1)->identity.size, 3);
    assert_int_equal(find(&scan, "one", 12)->identity.size, 4);
    assert_true(find(&scan, "one", 1)->age_ns > 0);
    assert_int_equal(find(&scan, "one", 1)->policy, TN_VERSIONS_LATEST);
    assert_int_equal(find(&scan, "all", 2)->policy, TN_VERSIONS_ALL);
    assert_true(find(&scan, "all", 2)->identity.config_size > 0);
    assert_int_equal(find(&scan, "broken", 1)->policy, TN_VERSIONS_LATEST);
    assert_int_equal(scan.count, 6 + (find(&scan, "chain", 1) != NULL ? 1 : 0));
    assert_non_null(strstr(scan.problem, "/nowhere/at/all"));

    struct tn_scan_paths paths;
    assert_int_equal(tn_scan_find(&options, "one", 12, &paths, NULL), TN_OK);
    assert_non_null(strstr(paths.model, "/one/12/model.onnx"));
    assert_int_equal(tn_scan_find(&options, "absent", 1, &paths, NULL), TN_NOTFOUND);
    assert_int_equal(tn_scan_find(&options, "model", 1, &paths, NULL), TN_OK);
    assert_string_equal(paths.model, bare);

    options.models_max = 3;
    assert_int_equal(tn_scan_run(&options, &scan), TN_OK);
    assert_int_equal(scan.count, 3);
    tn_arena_deinit(&arena);
}

static void an_identity_follows_the_file(void **unused)
{
    (void)unused;
    make("one/1/model.onnx", "abc");
    const char *roots[] = {root};
    struct tn_arena arena;
    struct tn_scan first;
    struct tn_scan second;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_scan_options options = {
        .roots = roots, .root_count = 1, .models_max = 8, .inotify = -1, .arena = &arena};
    assert_int_equal(tn_scan_run(&options, &first), TN_OK);
    assert_int_equal(tn_scan_run(&options, &second), TN_OK);
    assert_memory_equal(&first.items[0].identity, &second.items[0].identity,
                        sizeof(first.items[0].identity));
    make("one/1/new", "abc");
    char from[96];
    char to[96];
    snprintf(from, sizeof(from), "%s/one/1/new", root);
    snprintf(to, sizeof(to), "%s/one/1/model.onnx", root);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(tn_scan_run(&options, &second), TN_OK);
    assert_int_not_equal(first.items[0].identity.inode, second.items[0].identity.inode);
    tn_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layouts_are_understood, begin, end),
        cmocka_unit_test_setup_teardown(an_identity_follows_the_file, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
