/* What a batch of b items costs, learnt while the model runs.
 *
 * One point for each power of two; in between the cost is interpolated, and a run in between
 * teaches both neighbours by its distance. The batch size to use is the smallest whose cost an item
 * is within 2 % of the best known. unknown --3 runs--> trusted --not seen for long, and cheap to
 * try--> 3 runs more
 *                          '--it suddenly costs something else--> all other points doubtful
 * A size that is unknown or doubtful is tried when enough items wait and the next smaller one did
 * not get worse (so a heavy model is not hit with its largest batch at once). Neighbours of the
 * best size are tried again when the loss that this is expected to bring is below 1 % of the time
 * the model ran since. Means move slowly; a median of five notices a change at once and keeps a
 * preempted run from being taken for one.
 * Pure: no clock, no allocation. */
#ifndef TN_INFER_COST_H
#define TN_INFER_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TN_COST_POINTS = 12 }; /* sizes up to 2048 */

enum { TN_COST_RECENT = 5 };

struct tn_cost_point {
    double ns;                    /* of a run of 2^i items; 0: nothing is known */
    double spread;                /* mean distance of a run from that, as a share */
    double seen_busy_ns;          /* `busy_ns` when last seen */
    uint32_t runs;                /* since unknown or doubtful */
    float recent[TN_COST_RECENT]; /* the last runs, as shares of what was expected of them */
};

struct tn_cost {
    struct tn_cost_point points[TN_COST_POINTS];
    double busy_ns;   /* all runs so far */
    uint32_t retry;   /* point to be tried some more times */
    uint32_t retries; /* how many */
};

void tn_cost_init(struct tn_cost *cost);

void tn_cost_learn(struct tn_cost *cost, uint64_t items, uint64_t ns);

/* Expected time of a run of `items`; 0: nothing is known yet. */
double tn_cost_mean_ns(const struct tn_cost *cost, uint64_t items);

/* A time that a run of `items` hardly exceeds, for deadlines; 0: nothing is known yet. */
double tn_cost_safe_ns(const struct tn_cost *cost, uint64_t items);

/* How many items to run now when `waiting` wait, each job brings `unit`, and `max` is the most
 * that a batch may have. At least min(unit, waiting). */
uint64_t tn_cost_choose(const struct tn_cost *cost, uint64_t waiting, uint64_t unit, uint64_t max);

#endif
