/* Decides which waiting jobs run together, and when.
 *
 *   add --> group of compatible jobs (heap by level, then urgency) --decide--> RUN these | WAIT
 *
 * Compatible are jobs with the same `compat` (shapes but for the batch, datatypes, outputs).
 * Within a priority level the order is earliest deadline first, where a job without deadline, or
 * with a far one, counts as due `TN_BATCHER_PATIENCE_NS` after it arrived: so none starves.
 *   off    one job a run.
 *   fixed  runs when a preferred size is reached, the batch is full, or the first has waited
 *          `delay_max_ns`; a deadline that comes sooner ends the wait.
 *   auto   never waits: an idle instance runs what is there at once, as many as pay (infer/cost.h
 *          learns that per group). Batches form while instances are busy.
 * In fixed and auto, a batch is only as large as the tightest deadline in it allows, by the learnt
 * cost. Expired jobs come out with each decision.
 * Memory: the caller's struct; entries are embedded in the caller's jobs. Threads: one at a time.
 * Bounds: TN_BATCHER_GROUPS groups; jobs of more kinds at once run alone until a group is free.
 * Adding is O(1); a job leaves in O(log n). */
#ifndef TN_INFER_BATCHER_H
#define TN_INFER_BATCHER_H

#include "infer/cost.h"

enum { TN_BATCHER_GROUPS = 32, TN_BATCHER_PREFERRED_MAX = 16, TN_BATCH_JOBS_MAX = 256 };

#define TN_BATCHER_PATIENCE_NS UINT64_C(1000000000)

enum tn_batcher_mode { TN_BATCHER_AUTO, TN_BATCHER_FIXED, TN_BATCHER_OFF };

struct tn_batcher_limits {
    enum tn_batcher_mode mode;
    uint32_t items_max;                           /* of one batch, at least 1 */
    uint64_t delay_max_ns;                        /* fixed */
    uint32_t preferred[TN_BATCHER_PREFERRED_MAX]; /* fixed: ascending */
    size_t preferred_count;
};

/* A job as the batcher sees it. */
struct tn_batch_entry {
    /* the caller fills */
    uint64_t compat[2];   /* equal: may run together */
    uint64_t arrival_ns;  /* monotonic */
    uint64_t deadline_ns; /* its run should have ended by then; 0: none */
    uint64_t expires_ns;  /* not to be begun from then on; 0: never */
    uint32_t items;       /* at least 1 */
    uint32_t level;       /* 0 goes first */
    bool alone;           /* never with others */
    /* the batcher's own */
    uint64_t due_ns;
    struct tn_batch_entry *child, *next, *prev; /* prev: left sibling, or parent of the first */
    struct tn_batch_entry *older, *newer;       /* by arrival in the group */
    uint32_t group;                             /* index + 1; 0: not inside */
};

/* One kind of job: those waiting, and what their runs cost. Stays when empty, so that what was
 * learnt is not lost; the longest unused gives way to a new kind. */
struct tn_batch_group {
    uint64_t compat[2];
    struct tn_batch_entry *root;            /* pairing heap */
    struct tn_batch_entry *oldest, *newest; /* list by arrival */
    uint64_t items;                         /* waiting */
    uint64_t used;                          /* stamp of the last add, for reuse */
    uint32_t running;                       /* batches out that tn_batcher_learn will close */
    struct tn_cost cost;
};

struct tn_batcher {
    struct tn_batcher_limits limits;
    struct tn_batch_group groups[TN_BATCHER_GROUPS + 1]; /* the last: jobs that run alone */
    uint64_t stamp;
    size_t count;       /* jobs waiting */
    size_t group_count; /* of `groups` ever used, without the last */
};

enum tn_batch_action { TN_BATCH_WAIT, TN_BATCH_RUN };

struct tn_batch {
    enum tn_batch_action action;
    uint64_t until_ns; /* WAIT: decide again then; UINT64_MAX: when a job was added */
    struct tn_batch_entry *jobs[TN_BATCH_JOBS_MAX]; /* RUN: most urgent first */
    size_t count;
    uint64_t items;
    uint32_t group; /* RUN: for tn_batcher_learn */
    struct tn_batch_entry *expired[TN_BATCH_JOBS_MAX];
    size_t expired_count;
};

void tn_batcher_init(struct tn_batcher *batcher, const struct tn_batcher_limits *limits);

void tn_batcher_add(struct tn_batcher *batcher, struct tn_batch_entry *entry);

/* False when the entry was not inside. */
bool tn_batcher_remove(struct tn_batcher *batcher, struct tn_batch_entry *entry);

/* An instance is free: what shall it do? Jobs that come out are no longer inside. */
void tn_batcher_decide(struct tn_batcher *batcher, uint64_t now_ns, struct tn_batch *ret_batch);

/* A batch of `items` that `group` gave took `ns` to run; 0: it failed, nothing to learn. Once for
 * each RUN. */
void tn_batcher_learn(struct tn_batcher *batcher, uint32_t group, uint64_t items, uint64_t ns);

#endif
