/* Looks at the model directories: see repository_scan.h. */
#include "serve/repository_scan.h"

#include "base/file.h"
#include "core/assert.h"

#include <stdio.h>
#include <sys/inotify.h>

static const char model_file[] = "model.onnx";
static const char config_file[] = "model.yaml";

enum { ENTRIES_MAX = 65536, VERSIONS_MAX = 4096 };

struct scanning {
    const struct tn_scan_options *options;
    struct tn_scan *scan;
};

/* What a model's configuration says that matters before it is loaded. */
struct outline {
    enum tn_version_policy policy;
    uint32_t latest;
    const uint64_t *versions;
    size_t version_count;
    bool ensemble;
    struct tn_file_info file; /* inode 0: there is none */
};

static bool join(char *out, const char *folder, const char *name)
{
    int size = snprintf(out, TN_SCAN_PATH_MAX, "%s/%s", folder, name);
    return size > 0 && size < TN_SCAN_PATH_MAX;
}

static void watch(const struct scanning *scanning, const char *path)
{
    if (scanning->options->inotify >= 0) {
        /* A hint only: what cannot be watched is polled. */
        (void)inotify_add_watch(scanning->options->inotify, path,
                                IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                    IN_CLOSE_WRITE | IN_DELETE_SELF | IN_ONLYDIR);
    }
}

static void note_problem(struct scanning *scanning, const struct tn_fault *fault)
{
    if (scanning->scan->problem[0] == '\0') {
        snprintf(scanning->scan->problem, sizeof(scanning->scan->problem), "%s", fault->text);
    }
}

/* Version folders are plain decimal numbers from 1 on, without leading zeros. */
static bool read_version(const char *name, uint64_t *ret_version)
{
    uint64_t version = 0;
    if (name[0] < '1' || name[0] > '9' || strlen(name) > 18) {
        return false;
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        version = version * 10 + (uint64_t)(*at - '0');
    }
    *ret_version = version;
    return true;
}

/* A configuration that does not parse keeps the default policy; the load tells what is wrong. */
static void read_outline(struct scanning *scanning, const char *folder, struct outline *outline)
{
    char path[TN_SCAN_PATH_MAX];
    struct tn_arena *arena = scanning->options->arena;
    *outline = (struct outline){.policy = TN_VERSIONS_LATEST, .latest = 1};
    if (!join(path, folder, config_file) || tn_file_look(path, &outline->file, NULL) != TN_OK) {
        return;
    }
    struct tn_str yaml;
    struct tn_model_config *config = TN_ARENA_NEW(arena, struct tn_model_config);
    if (config == NULL || tn_file_read_text(path, TN_SCAN_YAML_MAX, arena, &yaml, NULL) != TN_OK ||
        tn_model_config_parse(yaml, path, arena, config, NULL) != TN_OK) {
        return;
    }
    outline->policy = config->version_policy;
    outline->latest = config->versions_latest;
    outline->versions = config->versions;
    outline->version_count = config->version_count;
    outline->ensemble = tn_str_is(config->platform, "ensemble");
}

static uint64_t age(const struct scanning *scanning, uint64_t changed_ns)
{
    uint64_t now = scanning->options->wall_ns;
    return changed_ns < now ? now - changed_ns : 0;
}

static void add_item(struct scanning *scanning, struct tn_str name, uint64_t version,
                     const struct outline *outline, const struct tn_file_info *model)
{
    struct tn_scan *scan = scanning->scan;
    for (size_t i = 0; i < scan->count; i++) {
        if (scan->items[i].version == version && tn_str_equal(scan->items[i].name, name)) {
            return; /* an earlier directory has it */
        }
    }
    if (scan->count == scan->room) {
        return;
    }
    struct tn_repository_item *item = &scan->items[scan->count++];
    *item = (struct tn_repository_item){
        .name = name,
        .version = version,
        .identity = {.config_inode = outline->file.inode,
                     .config_size = outline->file.size,
                     .config_mtime_ns = outline->file.changed_ns},
        .ensemble = outline->ensemble,
        .policy = outline->policy,
        .versions_latest = outline->latest,
        .versions = outline->versions,
        .version_count = outline->version_count,
    };
    uint64_t changed = outline->file.changed_ns;
    if (model != NULL) {
        item->identity.inode = model->inode;
        item->identity.size = model->size;
        item->identity.mtime_ns = model->changed_ns;
        changed = model->changed_ns > changed ? model->changed_ns : changed;
    }
    item->age_ns = age(scanning, changed);
}

static void scan_model(struct scanning *scanning, const char *root, const char *name)
{
    char folder[TN_SCAN_PATH_MAX];
    char version_folder[TN_SCAN_PATH_MAX];
    char path[TN_SCAN_PATH_MAX];
    struct tn_arena *arena = scanning->options->arena;
    struct tn_file_list versions;
    struct tn_fault fault = {0};
    if (!join(folder, root, name)) {
        return;
    }
    watch(scanning, folder);
    if (tn_file_list(folder, VERSIONS_MAX, arena, &versions, &fault) != TN_OK) {
        note_problem(scanning, &fault);
        return;
    }
    struct outline outline;
    struct tn_str own = tn_str_from(tn_arena_copy_str(arena, tn_str_from(name)));
    read_outline(scanning, folder, &outline);
    size_t before = scanning->scan->count;
    for (size_t i = 0; i < versions.count; i++) {
        uint64_t version = 0;
        struct tn_file_info model;
        if (versions.items[i].kind != TN_FILE_DIRECTORY ||
            !read_version(versions.items[i].name, &version) ||
            !join(version_folder, folder, versions.items[i].name) ||
            !join(path, version_folder, model_file)) {
            continue;
        }
        watch(scanning, version_folder);
        bool found = tn_file_look(path, &model, NULL) == TN_OK && model.kind == TN_FILE_PLAIN;
        if (found || outline.ensemble) {
            add_item(scanning, own, version, &outline, found ? &model : NULL);
        }
    }
    if (outline.ensemble && scanning->scan->count == before) {
        add_item(scanning, own, 1, &outline, NULL);
    }
}

static void scan_root(struct scanning *scanning, const char *root)
{
    struct tn_file_list models;
    struct tn_fault fault = {0};
    watch(scanning, root);
    if (tn_file_list(root, ENTRIES_MAX, scanning->options->arena, &models, &fault) != TN_OK) {
        note_problem(scanning, &fault);
        return;
    }
    for (size_t i = 0; i < models.count; i++) {
        if (models.items[i].kind == TN_FILE_DIRECTORY && models.items[i].name[0] != '.') {
            scan_model(scanning, root, models.items[i].name);
        }
    }
}

/* "dir/mnist.onnx" is model "mnist". */
static struct tn_str file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct tn_str name = tn_str_from(slash != NULL ? slash + 1 : path);
    struct tn_str ending = TN_STR(".onnx");
    if (name.size > ending.size &&
        memcmp(name.data + name.size - ending.size, ending.data, ending.size) == 0) {
        name.size -= ending.size;
    }
    return name;
}

static void scan_file(struct scanning *scanning, const char *path)
{
    struct tn_file_info model;
    struct tn_fault fault = {0};
    if (tn_file_look(path, &model, &fault) != TN_OK) {
        note_problem(scanning, &fault);
        return;
    }
    struct outline outline = {.policy = TN_VERSIONS_LATEST, .latest = 1};
    add_item(scanning, file_name(path), 1, &outline, &model);
}

enum tn_err tn_scan_run(const struct tn_scan_options *options, struct tn_scan *ret_scan)
{
    struct tn_scan scan = {.room = options->models_max};
    struct scanning scanning = {.options = options, .scan = &scan};
    scan.items = TN_ARENA_ARRAY(options->arena, struct tn_repository_item, scan.room);
    if (scan.items == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < options->file_count; i++) {
        scan_file(&scanning, options->files[i]);
    }
    for (size_t i = 0; i < options->root_count; i++) {
        scan_root(&scanning, options->roots[i]);
    }
    *ret_scan = scan;
    return TN_OK;
}

static bool find_file(const struct tn_scan_options *options, const char *name,
                      struct tn_scan_paths *paths)
{
    for (size_t i = 0; i < options->file_count; i++) {
        if (tn_str_is(file_name(options->files[i]), name)) {
            snprintf(paths->model, sizeof(paths->model), "%s", options->files[i]);
            paths->config[0] = '\0';
            paths->folder[0] = '\0';
            return true;
        }
    }
    return false;
}

static bool find_in_root(const char *root, const char *name, uint64_t version,
                         struct tn_scan_paths *paths)
{
    char number[32];
    char folder[TN_SCAN_PATH_MAX];
    struct tn_file_info info;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)version);
    return join(paths->folder, root, name) && join(paths->config, paths->folder, config_file) &&
           join(folder, paths->folder, number) && join(paths->model, folder, model_file) &&
           (tn_file_look(paths->model, &info, NULL) == TN_OK ||
            tn_file_look(paths->config, &info, NULL) == TN_OK);
}

enum tn_err tn_scan_find(const struct tn_scan_options *options, const char *name, uint64_t version,
                         struct tn_scan_paths *ret_paths, struct tn_fault *fault)
{
    if (version == 1 && find_file(options, name, ret_paths)) {
        return TN_OK;
    }
    for (size_t i = 0; i < options->root_count; i++) {
        if (find_in_root(options->roots[i], name, version, ret_paths)) {
            return TN_OK;
        }
    }
    return tn_fault_set(fault, TN_NOTFOUND, "the files of model '%s' version %llu are gone", name,
                        (unsigned long long)version);
}
