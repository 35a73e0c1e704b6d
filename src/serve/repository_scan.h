/* What lies in the model directories now, as items for serve/repository.h, and where each model's
 * files are.
 *
 *   DIR/NAME/VERSION/model.onnx, DIR/NAME/model.yaml   -> item (NAME, VERSION)
 *   DIR/NAME/model.yaml alone, platform ensemble       -> item (NAME, 1), or its VERSION folders
 *   FILE.onnx                                          -> item (FILE, 1)
 *
 * A name in two directories counts in the first. Memory: the arena of the scan; parsed policies are
 * read anew each time (a model.yaml takes microseconds). Threads: one. Bounds: models_max items,
 * TN_SCAN_YAML_MAX bytes of configuration. */
#ifndef TN_SERVE_REPOSITORY_SCAN_H
#define TN_SERVE_REPOSITORY_SCAN_H

#include "serve/repository.h"

enum { TN_SCAN_YAML_MAX = 1 << 20, TN_SCAN_PATH_MAX = 4096 };

struct tn_scan_options {
    const char *const *roots;
    size_t root_count;
    const char *const *files;
    size_t file_count;
    size_t models_max;
    uint64_t wall_ns; /* now */
    int inotify;      /* -1, or where to watch what is looked at */
    struct tn_arena *arena;
};

struct tn_scan {
    struct tn_repository_item *items;
    size_t count;
    size_t room;
    char problem[TN_REPOSITORY_REASON_MAX]; /* the first directory that could not be read */
};

TN_MUST enum tn_err tn_scan_run(const struct tn_scan_options *options, struct tn_scan *ret_scan);

/* The files of one version. */
struct tn_scan_paths {
    char model[TN_SCAN_PATH_MAX];  /* may not exist: an ensemble */
    char config[TN_SCAN_PATH_MAX]; /* "": none possible */
    char folder[TN_SCAN_PATH_MAX]; /* of the configuration, for the files it names */
};
TN_MUST enum tn_err tn_scan_find(const struct tn_scan_options *options, const char *name,
                                 uint64_t version, struct tn_scan_paths *ret_paths,
                                 struct tn_fault *fault);

#endif
