/* The repository's shell: reads the disk, loads and unloads on a thread of its own, and publishes
 * what can be used in the catalog.
 *
 *   [store thread]  wait (order | change on disk | poll) -> scan -> repository core -> load |
 * unload
 *
 * Layouts: DIR/NAME/VERSION/model.onnx with an optional DIR/NAME/model.yaml (ensembles have only
 * the latter), and a single FILE.onnx, which is version 1 of a model named like the file.
 * A model file is read once, between two looks at its inode, size and time of change, under a read
 * lease where the file system has them, so a file that somebody still writes is never loaded; the
 * bytes that are hashed are the bytes that are loaded.
 * Memory: a slot a version; a model's file while it loads. Threads: create and destroy by the
 * owner; everything else from any. Bounds: models_max; TN_STORE_ORDERS_MAX orders waiting. */
#ifndef TN_SERVE_REPOSITORY_STORE_H
#define TN_SERVE_REPOSITORY_STORE_H

#include "infer/engine.h"
#include "serve/catalog.h"
#include "serve/repository.h"

enum { TN_STORE_ORDERS_MAX = 1024, TN_STORE_ROOTS_MAX = 16 };

struct tn_store;
struct tn_metrics;

struct tn_store_options {
    const char *const *roots; /* model repositories */
    size_t root_count;
    const char *const *files; /* bare FILE.onnx */
    size_t file_count;
    enum tn_repository_mode mode;
    const char *const *load; /* explicit mode: names to load at start */
    size_t load_count;
    uint64_t poll_ns;   /* watch: between looks when nothing is announced */
    uint64_t settle_ns; /* watch: how long files must look the same */
    size_t models_max;  /* versions [4096] */
    size_t model_bytes_max;
    struct tn_engine *engine;
    struct tn_metrics *metrics;
    struct tn_catalog *catalog;
    /* The catalog or a state changed; on the store's thread. May be NULL. */
    void (*changed)(void *context);
    void *changed_context;
};

/* Nothing is read before start. TN_INVALID, TN_NOTFOUND (a root that is no directory), TN_NOMEM. */
TN_MUST enum tn_err tn_store_create(const struct tn_store_options *options,
                                    struct tn_store **ret_store, struct tn_fault *fault);
TN_MUST enum tn_err tn_store_start(struct tn_store *store, struct tn_fault *fault);

/* Ends the thread; orders that wait fail with TN_CLOSED. The catalog keeps its entries. */
void tn_store_stop(struct tn_store *store);

/* Empties the catalog and gives every model back; no request may be under way. NULL accepted. */
void tn_store_destroy(struct tn_store *store);

enum tn_store_verb { TN_STORE_LOAD, TN_STORE_UNLOAD, TN_STORE_RESCAN };

/* Somebody's wish, in the caller's memory until `done`, which runs where `reply` is drained. */
struct tn_store_order {
    enum tn_store_verb verb;
    struct tn_str name;
    struct tn_chan *reply; /* NULL: no answer wanted; the memory must be the store's (rescan) */
    void (*done)(struct tn_store_order *order);
    void *user;
    struct tn_fault fault; /* code TN_OK: done */
    struct tn_store_order *next;
};

/* TN_LIMIT: too many wait. TN_CLOSED: stopped. */
TN_MUST enum tn_err tn_store_ask(struct tn_store *store, struct tn_store_order *order);
void tn_store_rescan(struct tn_store *store);

/* For entries whose last reference went: see serve/entry.h. Any thread. */
void tn_store_retire(void *store, struct tn_entry *entry);

struct tn_store_state {
    bool settled;  /* the models of the start are in, or failed */
    bool complete; /* everything wanted serves */
};
struct tn_store_state tn_store_state(struct tn_store *store);

/* A copy of the index into the arena, by name and version. TN_NOMEM. */
struct tn_store_index_item {
    struct tn_str name;
    struct tn_str version;
    struct tn_str state;
    struct tn_str reason;
};
TN_MUST enum tn_err tn_store_index(struct tn_store *store, struct tn_arena *arena,
                                   struct tn_store_index_item **ret_items, size_t *ret_count);

/* Waits on the calling thread until the models of the start are in or failed. */
void tn_store_wait(struct tn_store *store);

enum tn_repository_mode tn_store_mode(const struct tn_store *store);

#endif
