/* One loaded version of a model as the server knows it: the model, who may use it, and the parts of
 * each answer that never change, encoded once.
 *
 * Memory: an arena for everything that hangs on it. Threads: constant after creation, references
 * from any thread. The last reference must not destroy the model on an I/O loop (its threads are
 * joined), so it hands the entry to `retire`, which queues it for the repository's thread. */
#ifndef TN_SERVE_ENTRY_H
#define TN_SERVE_ENTRY_H

#include "infer/model.h"

#include <stdatomic.h>

enum { TN_ENTRY_VERSION_TEXT_MAX = 24 };

struct tn_entry;

/* What the labels of one output look like. */
struct tn_entry_labels {
    struct tn_str text;         /* of the file */
    const struct tn_str *names; /* by class */
    size_t count;
};

struct tn_entry {
    atomic_uint refs;
    struct tn_model *model;
    const struct tn_model_info *info;
    const struct tn_model_config *config;
    struct tn_str version; /* as text */
    struct tn_str sha256;  /* as text */
    /* Parts of a ModelInferResponse. */
    struct tn_bytes head;           /* model_name, model_version */
    struct tn_bytes parameters;     /* the map entry with the model's hash */
    struct tn_bytes *output_heads;  /* by output: name and datatype of its tensor */
    struct tn_entry_labels *labels; /* by output; count 0: none */
    uint8_t (*tokens)[32];          /* SHA-256 of the tokens that may use it */
    size_t token_count;             /* 0: everybody */
    struct tn_arena arena;
    void (*retire)(void *context, struct tn_entry *entry);
    void *retire_context;
    struct tn_entry *next_retired;
};

struct tn_entry_options {
    struct tn_model *model;               /* its reference passes on success */
    const struct tn_model_config *config; /* with its strings in the arena below */
    struct tn_arena *arena;               /* moved into the entry on success */
    void (*retire)(void *context, struct tn_entry *entry);
    void *retire_context;
};

/* TN_INVALID: a token that is not 64 hex digits. On failure model and arena stay the caller's. */
TN_MUST enum tn_err tn_entry_create(const struct tn_entry_options *options,
                                    struct tn_entry **ret_entry, struct tn_fault *fault);

/* Blocks until the model's threads ended; called by whoever `retire` told, or at the end. */
void tn_entry_destroy(struct tn_entry *entry);

static inline struct tn_entry *tn_entry_ref(struct tn_entry *entry)
{
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return entry;
}
void tn_entry_unref(struct tn_entry *entry); /* NULL accepted */

/* Whether a bearer token opens the model; constant time in the token. `authorization` is the
 * header's value. TN_UNAUTHENTICATED: none or not a bearer token; TN_DENIED: a wrong one. */
TN_MUST enum tn_err tn_entry_allows(const struct tn_entry *entry, struct tn_str authorization,
                                    struct tn_fault *fault);

#endif
