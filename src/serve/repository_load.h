/* One version from disk into memory: read the file whole and unchanged, parse its configuration,
 * create the model.
 * Memory: the file while it loads, the entry. Threads: one; blocks for as long as a load takes.
 * Bounds: bytes_max. */
#ifndef TN_SERVE_REPOSITORY_LOAD_H
#define TN_SERVE_REPOSITORY_LOAD_H

#include "serve/repository_scan.h"
#include "serve/repository_store.h"

struct tn_load_options {
    const struct tn_scan_paths *paths;
    struct tn_str name;
    uint64_t version;
    struct tn_repository_identity identity; /* what the files must still be */
    size_t bytes_max;
    struct tn_engine *engine;
    struct tn_metrics *metrics;
    struct tn_catalog *catalog; /* where ensembles find their members */
    void *store;                /* for tn_store_retire */
};

/* TN_AGAIN: the files have changed or somebody writes them; else as tn_model_create. */
TN_MUST enum tn_err tn_load_run(const struct tn_load_options *options, struct tn_entry **ret_entry,
                                struct tn_fault *fault);

#endif
