/* The cost of a batch by its size, learnt on line; see cost.h. A choice looks at 12 points: some
 * 100 ns, once a batch. */
#include "infer/cost.h"

#include <string.h>

enum { RUNS_TRUSTED = 3 };

static const double rate_slow = 1.0 / 16; /* weight of a sample when the point is in use */
static const double rate_stale = 0.5;     /* of the first one after a long pause */
static const double cut_above = 2;        /* a sample counts at most this many means */
static const double cut_below = 0.5;
static const double close_enough = 1.02;  /* a smaller batch within this is as good */
static const double still_good = 1.10;    /* the next larger size is tried up to this */
static const double trial_share = 0.01;   /* of the busy time may be lost by trying again */
static const double trial_ns_max = 250e6; /* a size expected to take longer is not tried */
static const double unknown_margin = 1.5; /* on the linear guess, for deadlines */
static const double stale_runs = 64;      /* mean runs of busy time that make a point stale */

void tn_cost_init(struct tn_cost *cost)
{
    memset(cost, 0, sizeof(*cost));
}

static size_t point_of(uint64_t items)
{
    size_t at = 0;
    while (at < TN_COST_POINTS - 1 && (UINT64_C(1) << at) < items) {
        at++;
    }
    return at;
}

static void learn_early(struct tn_cost_point *point, double items, double ns)
{
    /* The first run of a size plans its memory and is slow: the least of the first few counts. */
    bool first = point->runs == 0;
    double an_item = ns / items;
    if (first || an_item < point->ns / point->items) {
        point->spread_ns = first ? 0.1 * ns : point->spread_ns;
        point->ns = ns;
        point->items = items;
    }
}

static void learn_later(struct tn_cost_point *point, double items, double ns, double rate)
{
    double expected = point->ns * items / point->items; /* within one point linear is close */
    double sample = ns;
    if (sample > expected * cut_above) {
        sample = expected * cut_above;
    } else if (sample < expected * cut_below) {
        sample = expected * cut_below;
    }
    double distance = sample > expected ? sample - expected : expected - sample;
    double before = point->ns / point->items;
    point->items += rate * (items - point->items);
    point->ns = (before + rate * (sample / items - before)) * point->items;
    point->spread_ns += rate_slow * (distance - point->spread_ns);
}

void tn_cost_learn(struct tn_cost *cost, uint64_t items, uint64_t ns)
{
    if (items == 0 || ns == 0) {
        return;
    }
    struct tn_cost_point *point = &cost->points[point_of(items)];
    if (point->runs < RUNS_TRUSTED) {
        learn_early(point, (double)items, (double)ns);
    } else {
        bool stale = cost->busy_ns - point->seen_busy_ns > stale_runs * point->ns;
        learn_later(point, (double)items, (double)ns, stale ? rate_stale : rate_slow);
    }
    cost->busy_ns += (double)ns;
    point->seen_busy_ns = cost->busy_ns;
    point->runs += point->runs < UINT32_MAX;
}

double tn_cost_mean_ns(const struct tn_cost *cost, uint64_t items)
{
    const struct tn_cost_point *below = NULL;
    double size = (double)items;
    for (size_t i = 0; i < TN_COST_POINTS; i++) {
        const struct tn_cost_point *point = &cost->points[i];
        if (point->runs == 0) {
            continue;
        }
        if (size <= point->items) {
            if (below == NULL || point->items <= below->items) {
                return point->ns; /* smaller than all seen: as dear as the smallest */
            }
            double part = (size - below->items) / (point->items - below->items);
            return below->ns + part * (point->ns - below->ns);
        }
        below = point;
    }
    return below != NULL ? below->ns * size / below->items : 0;
}

double tn_cost_safe_ns(const struct tn_cost *cost, uint64_t items)
{
    const struct tn_cost_point *point = &cost->points[point_of(items)];
    double mean = tn_cost_mean_ns(cost, items);
    return point->runs > 0 ? mean + 2 * point->spread_ns : mean * unknown_margin;
}

static double an_item(const struct tn_cost *cost, uint64_t items)
{
    return tn_cost_mean_ns(cost, items) / (double)items;
}

/* The size to run of those that fill point `at`, not above `limit`. */
static uint64_t size_at(size_t at, uint64_t limit)
{
    uint64_t size = UINT64_C(1) << at;
    return size < limit ? size : limit;
}

/* A size that was seen too rarely and is worth a try; 0: none. */
static uint64_t untried(const struct tn_cost *cost, size_t from, size_t to, uint64_t limit,
                        double best)
{
    for (size_t i = from; i <= to; i++) {
        if (cost->points[i].runs >= RUNS_TRUSTED) {
            continue;
        }
        uint64_t size = size_at(i, limit);
        uint64_t smaller = i > from ? UINT64_C(1) << (i - 1) : size;
        bool worse = i > from && an_item(cost, smaller) > best * still_good;
        bool heavy = tn_cost_mean_ns(cost, size) > trial_ns_max;
        return i > from && (worse || heavy) ? 0 : size;
    }
    return 0;
}

/* A neighbour of `chosen` that was not seen for so long that trying it is nearly free; 0: none. */
static uint64_t forgotten(const struct tn_cost *cost, size_t from, size_t to, size_t chosen,
                          uint64_t limit, double best)
{
    for (size_t i = chosen > from ? chosen - 1 : from; i <= chosen + 1 && i <= to; i++) {
        const struct tn_cost_point *point = &cost->points[i];
        uint64_t size = size_at(i, limit);
        if (i == chosen || point->runs < RUNS_TRUSTED ||
            tn_cost_mean_ns(cost, size) > trial_ns_max) {
            continue;
        }
        double loss = (an_item(cost, size) - best) * (double)size;
        double pause = cost->busy_ns - point->seen_busy_ns;
        if (pause > stale_runs * point->ns && loss < trial_share * pause) {
            return size;
        }
    }
    return 0;
}

uint64_t tn_cost_choose(const struct tn_cost *cost, uint64_t waiting, uint64_t unit, uint64_t max)
{
    uint64_t limit = waiting < max ? waiting : max;
    if (unit == 0 || limit <= unit) {
        return unit < waiting ? unit : waiting;
    }
    size_t from = point_of(unit);
    size_t to = point_of(limit);
    double best = 0;
    for (size_t i = from; i <= to; i++) {
        double price = cost->points[i].runs > 0 ? an_item(cost, size_at(i, limit)) : 0;
        best = price > 0 && (best == 0 || price < best) ? price : best;
    }
    uint64_t trial = untried(cost, from, to, limit, best);
    if (trial != 0) {
        return trial > unit ? trial : unit;
    }
    size_t chosen = from;
    while (chosen < to && (cost->points[chosen].runs == 0 ||
                           an_item(cost, size_at(chosen, limit)) > best * close_enough)) {
        chosen++;
    }
    trial = forgotten(cost, from, to, chosen, limit, best);
    uint64_t size = trial != 0 ? trial : size_at(chosen, limit);
    return size > unit ? size : unit;
}
