/* Which models shall be loaded, and when: the decisions of the repository, without a file system.
 *
 *   scan (what lies on disk) --+
 *   load / unload requests  ---+--> tn_repository_next: LOAD X/v, UNLOAD X/v, nothing yet
 *   results of loads        ---+
 *
 * One slot per model and version:
 *
 *   ABSENT --load--> LOADING --ok--> READY --unload--> UNLOADING --done--> UNAVAILABLE
 *                       '--failed--> UNAVAILABLE(reason)
 *   READY --files changed--> READY + reloading --ok--> READY (new)    --failed--> READY (old,
 * reason)
 *
 * The rules: files are touched only when they have looked the same for `settle_ns`; a version that
 * serves stays until every version that shall replace it serves, also when that fails; a failed
 * version is tried again only when its files change or somebody asks. At most one action per slot
 * is under way. Memory: the caller's slots. Threads: one. Bounds: slot_count; names of
 * TN_REPOSITORY_NAME_MAX bytes. Reads no clock: `now_ns` comes in, a wake-up time goes out. */
#ifndef TN_SERVE_REPOSITORY_H
#define TN_SERVE_REPOSITORY_H

#include "infer/model_config.h"

enum { TN_REPOSITORY_NAME_MAX = 127, TN_REPOSITORY_REASON_MAX = 480 };

enum tn_repository_mode {
    TN_REPOSITORY_NONE,     /* load all at start, then leave things alone */
    TN_REPOSITORY_EXPLICIT, /* only what is asked for */
    TN_REPOSITORY_WATCH,    /* follow the disk */
};

/* What tells one content of the files from another. */
struct tn_repository_identity {
    uint64_t inode, size, mtime_ns;                      /* of model.onnx */
    uint64_t config_inode, config_size, config_mtime_ns; /* of model.yaml */
};

/* One version on disk. */
struct tn_repository_item {
    struct tn_str name;
    uint64_t version;
    struct tn_repository_identity identity;
    uint64_t age_ns; /* since the newest of the files changed; 0: unknown */
    bool ensemble;   /* loaded after the models that it may use */
    enum tn_version_policy policy;
    uint32_t versions_latest;
    const uint64_t *versions; /* TN_VERSIONS_SPECIFIC */
    size_t version_count;
};

enum tn_repository_state {
    TN_REPOSITORY_ABSENT, /* on disk, never loaded */
    TN_REPOSITORY_LOADING,
    TN_REPOSITORY_READY,
    TN_REPOSITORY_UNLOADING,
    TN_REPOSITORY_UNAVAILABLE,
    TN_REPOSITORY_STATE_COUNT,
};
/* As the protocol spells it; ABSENT is "" there. */
const char *tn_repository_state_name(enum tn_repository_state state);

/* Readable by anybody on the repository's thread; written by the core alone. */
struct tn_repository_slot {
    char name[TN_REPOSITORY_NAME_MAX + 1];
    uint64_t version;
    enum tn_repository_state state;
    char reason[TN_REPOSITORY_REASON_MAX]; /* why UNAVAILABLE, or why the newest file is not in */
    struct tn_repository_identity seen;    /* in the last scan */
    struct tn_repository_identity loaded;  /* what serves, when READY */
    struct tn_repository_identity tried;   /* what failed last, when `failed` */
    uint64_t steady_ns;                    /* since when `seen` looks the same */
    uint64_t gone_ns;                      /* since when it is missing */
    bool used;
    bool present; /* in the last scan */
    bool ensemble;
    bool taken;  /* by the version policy, of what is present */
    bool wanted; /* taken, or asked for */
    bool armed;  /* explicit mode: asked for, not answered yet */
    bool failed; /* the last load of `tried` failed */
    bool forced; /* try again although it failed */
    bool acting; /* an action is under way */
};

struct tn_repository {
    struct tn_repository_slot *slots;
    size_t slot_count; /* room */
    size_t used;       /* slots[0..used) were used at some time */
    enum tn_repository_mode mode;
    uint64_t settle_ns;
    uint64_t dropped; /* items that found no slot */
};

struct tn_repository_options {
    struct tn_repository_slot *slots; /* zeroed */
    size_t slot_count;
    enum tn_repository_mode mode;
    uint64_t settle_ns;
};
void tn_repository_init(struct tn_repository *repository,
                        const struct tn_repository_options *options);

/* What lies on disk now. Items of one model name may come in any order; names beyond the bound are
 * dropped and counted. */
void tn_repository_scan(struct tn_repository *repository, const struct tn_repository_item *items,
                        size_t count, uint64_t now_ns);

/* Explicit mode: somebody wants the model (all versions of its policy), or wants it gone.
 * TN_NOTFOUND: no files of that name. */
TN_MUST enum tn_err tn_repository_ask(struct tn_repository *repository, struct tn_str name,
                                      bool load);

enum tn_repository_verb { TN_REPOSITORY_LOAD, TN_REPOSITORY_UNLOAD };

struct tn_repository_action {
    enum tn_repository_verb verb;
    struct tn_repository_slot *slot;
    struct tn_repository_identity identity; /* LOAD: the bytes that must be read */
};

/* The next thing to do. TN_OK: do it and report with tn_repository_did. TN_AGAIN: nothing before
 * *ret_due_ns (UINT64_MAX: until something happens). */
TN_MUST enum tn_err tn_repository_next(struct tn_repository *repository, uint64_t now_ns,
                                       struct tn_repository_action *ret_action,
                                       uint64_t *ret_due_ns);

/* How the action ended. LOAD with TN_AGAIN: the files changed while they were read; they must
 * settle anew. `reason` is copied, may be NULL. */
void tn_repository_did(struct tn_repository *repository, const struct tn_repository_action *action,
                       enum tn_err err, const char *reason, uint64_t now_ns);

/* Whether nothing is under way or waits to be tried: the ready barrier. */
bool tn_repository_settled(const struct tn_repository *repository);

/* Whether every wanted version serves. */
bool tn_repository_complete(const struct tn_repository *repository);

#endif
