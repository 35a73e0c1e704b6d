/* What a batch of b items costs, learnt while the model runs.
 *
 * One point for each power of two: the mean size and time of the runs in (2^(i-1), 2^i]. Between
 * points the cost is interpolated. The batch size to use is the smallest whose cost an item is
 * within 2 % of the best known.
 * A size that was never tried is tried when enough items wait and the next smaller one did not
 * get worse (so a heavy model is not hit with its largest batch at once). Neighbours of the best
 * size that were not seen for long are tried again when the loss that they are expected to bring
 * is below 1 % of the time the model ran since: that is how it follows a change.
 * A sample is cut to twice the mean, so that one preempted run moves little.
 * Pure: no clock, no allocation. */
#ifndef TN_INFER_COST_H
#define TN_INFER_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TN_COST_POINTS = 12 }; /* sizes up to 2048 */

struct tn_cost_point {
    double items;        /* mean size of the runs seen */
    double ns;           /* mean time of a run */
    double spread_ns;    /* mean distance from it */
    double seen_busy_ns; /* `busy_ns` when last seen */
    uint32_t runs;
};

struct tn_cost {
    struct tn_cost_point points[TN_COST_POINTS];
    double busy_ns; /* all runs so far */
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
