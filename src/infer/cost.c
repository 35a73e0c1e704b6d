/* The cost of a batch by its size, learnt on line; see cost.h. A choice looks at 12 points: some
 * 100 ns, once a batch. */
#include "infer/cost.h"

#include <string.h>

enum { RUNS_TRUSTED = 3 };

static const double rate = 1.0 / 16;      /* weight of a sample in a mean */
static const double cut = 1.5;            /* a sample counts at most this many medians */
static const double change = 1.3;         /* a median this far from the mean is a change */
static const double close_enough = 1.02;  /* a smaller batch within this is as good */
static const double still_good = 1.10;    /* the next larger size is tried up to this */
static const double trial_share = 0.01;   /* of the busy time may be lost by trying again */
static const double trial_ns_max = 250e6; /* a size expected to take longer is not tried */
static const double safe_margin = 1.05;   /* interpolation errs by some percent */
static const double unknown_margin = 1.5; /* on the linear guess, for deadlines */
static const double stale_runs = 64;      /* runs' worth of busy time that make a point stale */

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

static double median(const float recent[TN_COST_RECENT])
{
    float sorted[TN_COST_RECENT];
    for (size_t i = 0; i < TN_COST_RECENT; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > recent[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = recent[i];
    }
    return (double)sorted[TN_COST_RECENT / 2];
}

static double size_of(size_t at)
{
    return (double)(UINT64_C(1) << at);
}

double tn_cost_mean_ns(const struct tn_cost *cost, uint64_t items)
{
    size_t below = TN_COST_POINTS;
    double size = (double)items;
    for (size_t i = 0; i < TN_COST_POINTS; i++) {
        if (cost->points[i].ns == 0) {
            continue;
        }
        if (size <= size_of(i)) {
            if (below == TN_COST_POINTS) {
                return cost->points[i].ns; /* smaller than all known: as dear as the smallest */
            }
            double part = (size - size_of(below)) / (size_of(i) - size_of(below));
            return cost->points[below].ns + part * (cost->points[i].ns - cost->points[below].ns);
        }
        below = i;
    }
    return below < TN_COST_POINTS ? cost->points[below].ns * size / size_of(below) : 0;
}

/* The first run of a size plans its memory and is slow: the least of the first few counts. */
static void learn_early(struct tn_cost_point *point, double ns)
{
    if (point->runs == 0 || ns < point->ns) {
        point->ns = ns;
    }
    if (point->runs == 0) {
        point->spread = 0.1;
        for (size_t i = 0; i < TN_COST_RECENT; i++) {
            point->recent[i] = 1;
        }
    }
}

static double clip(double share, double around)
{
    return share > around * cut ? around * cut : share < around / cut ? around / cut : share;
}

/* What one size costs has changed: the others have likely changed as much, and are to be tried
 * again. */
static void follow_change(struct tn_cost *cost, struct tn_cost_point *changed, double share)
{
    for (size_t i = 0; i < TN_COST_POINTS; i++) {
        struct tn_cost_point *point = &cost->points[i];
        point->ns *= share;
        point->runs = point == changed ? point->runs : 0;
    }
    for (size_t i = 0; i < TN_COST_RECENT; i++) {
        changed->recent[i] = 1;
    }
}

static void learn_later(struct tn_cost *cost, size_t at, uint64_t items, double ns)
{
    struct tn_cost_point *point = &cost->points[at];
    double share = ns / tn_cost_mean_ns(cost, items);
    point->recent[point->runs % TN_COST_RECENT] = (float)share;
    double middle = median(point->recent);
    if (middle > change || middle < 1 / change) {
        follow_change(cost, point, middle);
        return;
    }
    double off = clip(share, middle) - 1;
    double weight =
        at == 0 ? 1 : ((double)items - size_of(at - 1)) / (size_of(at) - size_of(at - 1));
    point->ns *= 1 + rate * weight * off;
    if (at > 0 && cost->points[at - 1].runs >= RUNS_TRUSTED) {
        cost->points[at - 1].ns *= 1 + rate * (1 - weight) * off;
    }
    point->spread += rate * ((off > 0 ? off : -off) - point->spread);
}

void tn_cost_learn(struct tn_cost *cost, uint64_t items, uint64_t ns)
{
    if (items == 0 || ns == 0) {
        return;
    }
    size_t at = point_of(items);
    struct tn_cost_point *point = &cost->points[at];
    if (point->runs < RUNS_TRUSTED) {
        learn_early(point, (double)ns * size_of(at) / (double)items);
    } else {
        if (cost->busy_ns - point->seen_busy_ns > stale_runs * point->ns) {
            cost->retry = (uint32_t)at; /* one run alone would prove little */
            cost->retries = RUNS_TRUSTED;
        }
        learn_later(cost, at, items, (double)ns);
    }
    if (cost->retries > 0 && cost->retry == at) {
        cost->retries--;
    }
    cost->busy_ns += (double)ns;
    point->seen_busy_ns = cost->busy_ns;
    /* Wraps within the trusted range. */
    point->runs = point->runs == UINT32_MAX ? RUNS_TRUSTED + TN_COST_RECENT : point->runs + 1;
}

double tn_cost_safe_ns(const struct tn_cost *cost, uint64_t items)
{
    const struct tn_cost_point *point = &cost->points[point_of(items)];
    double margin = point->runs > 0 ? safe_margin + 2 * point->spread : unknown_margin;
    return tn_cost_mean_ns(cost, items) * margin;
}

static double an_item(const struct tn_cost *cost, uint64_t items)
{
    return tn_cost_mean_ns(cost, items) / (double)items;
}

/* What may be chosen now: points `from` to `to`, none larger than `limit` items. */
struct choice {
    const struct tn_cost *cost;
    size_t from, to;
    uint64_t limit;
    size_t cheapest; /* of the known ones */
    double best;     /* its price an item; 0: nothing is known */
};

/* The size to run of those that belong to point `at`. */
static uint64_t size_at(const struct choice *choice, size_t at)
{
    uint64_t size = UINT64_C(1) << at;
    return size < choice->limit ? size : choice->limit;
}

static double price_at(const struct choice *choice, size_t at)
{
    return an_item(choice->cost, size_at(choice, at));
}

/* A size that was seen too rarely and is worth a try; 0: none. */
static uint64_t untried(const struct choice *choice)
{
    for (size_t i = choice->from; i <= choice->to; i++) {
        if (choice->cost->points[i].runs >= RUNS_TRUSTED) {
            continue;
        }
        bool larger = choice->best > 0 && i > choice->cheapest;
        bool worse = larger && price_at(choice, i - 1) > choice->best * still_good;
        bool heavy =
            i > choice->from && tn_cost_mean_ns(choice->cost, size_at(choice, i)) > trial_ns_max;
        return worse || heavy ? 0 : size_at(choice, i);
    }
    return 0;
}

/* A neighbour of `chosen` that was not seen for so long that trying it is nearly free; 0: none. */
static uint64_t forgotten(const struct choice *choice, size_t chosen)
{
    const struct tn_cost *cost = choice->cost;
    size_t first = chosen > choice->from ? chosen - 1 : choice->from;
    for (size_t i = first; i <= chosen + 1 && i <= choice->to; i++) {
        const struct tn_cost_point *point = &cost->points[i];
        uint64_t size = size_at(choice, i);
        if (i == chosen || point->runs < RUNS_TRUSTED ||
            tn_cost_mean_ns(cost, size) > trial_ns_max) {
            continue;
        }
        double loss = (price_at(choice, i) - choice->best) * (double)size * RUNS_TRUSTED;
        double pause = cost->busy_ns - point->seen_busy_ns;
        if (pause > stale_runs * point->ns && loss < trial_share * pause) {
            return size;
        }
    }
    return 0;
}

/* The smallest size that is about as good as the cheapest. */
static size_t good_enough(const struct choice *choice)
{
    size_t at = choice->from;
    while (at < choice->to && (choice->cost->points[at].ns == 0 ||
                               price_at(choice, at) > choice->best * close_enough)) {
        at++;
    }
    return at;
}

uint64_t tn_cost_choose(const struct tn_cost *cost, uint64_t waiting, uint64_t unit, uint64_t max)
{
    uint64_t limit = waiting < max ? waiting : max;
    if (unit == 0 || limit <= unit) {
        return unit < waiting ? unit : waiting;
    }
    struct choice choice = {
        .cost = cost, .from = point_of(unit), .to = point_of(limit), .limit = limit};
    for (size_t i = choice.from; i <= choice.to; i++) {
        double price = cost->points[i].ns > 0 ? price_at(&choice, i) : 0;
        if (price > 0 && (choice.best == 0 || price < choice.best)) {
            choice.best = price;
            choice.cheapest = i;
        }
    }
    uint64_t size = 0;
    if (cost->retries > 0 && cost->retry >= choice.from && cost->retry <= choice.to) {
        size = size_at(&choice, cost->retry);
    }
    if (size == 0) {
        size = untried(&choice);
    }
    if (size == 0) {
        size_t chosen = good_enough(&choice);
        size = forgotten(&choice, chosen);
        size = size != 0 ? size : size_at(&choice, chosen);
    }
    return size > unit ? size : unit;
}
