/* The batching core in a simulated world: one clock, instances that take time, and clients that
 * come at random, in bursts, or each as soon as its last answer is there.
 *
 * What a run costs follows curves that were measured on real models, with noise and now and then a
 * run that takes ten times as long, as on a shared machine. Checked: throughput against the best
 * fixed size in the same world, no request waits while an instance is idle, no deadline is missed
 * that a smaller batch would have met, expired and cancelled requests leave, changes are followed.
 * The seed is printed; give it as the argument to repeat a run. */
#include "infer/batcher.h"
#include "core/assert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { JOBS_MAX = 4096, INSTANCES_MAX = 4, SIZE_MAX_ITEMS = 64 };

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static uint64_t random_state;

static double uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Time an item at sizes 1, 2, 4, ... 64, in microseconds, as measured. */
struct curve {
    const char *name;
    double an_item[7];
};
static const struct curve curves[] = {
    {"simple", {4.7, 2.4, 1.27, 0.7, 0.42, 0.27, 0.2}},
    {"silero", {197, 127, 92, 74, 65.2, 60.8, 58.6}},
    {"embedding", {1919, 1750, 1600, 1542, 1800, 2148, 2300}},
    {"cls", {1773, 1500, 1350, 1268, 1629, 1700, 1750}},
    {"flat", {300, 300, 300, 300, 300, 300, 300}},
    {"worse", {100, 130, 160, 200, 240, 280, 320}},
};

static double curve_ns(const struct curve *curve, uint64_t items)
{
    double log = log2((double)(items < 1 ? 1 : items));
    size_t at = (size_t)log;
    double last = curve->an_item[6];
    double price = at >= 6 ? last
                           : curve->an_item[at] +
                                 (log - (double)at) * (curve->an_item[at + 1] - curve->an_item[at]);
    return price * (double)items * 1000.0;
}

struct job {
    struct tn_batch_entry entry;
    uint64_t client; /* closed loop: index + 1 */
    bool live;
};

struct instance {
    bool busy;
    uint64_t ends_ns;
    uint64_t began_ns;
    uint64_t items;
    uint32_t group;
    struct job *jobs[TN_BATCH_JOBS_MAX];
    size_t count;
};

struct world {
    struct tn_batcher batcher;
    const struct curve *curve;
    double noise;    /* relative */
    double outliers; /* share of runs that take ten times as long */
    struct instance instances[INSTANCES_MAX];
    size_t instance_count;
    struct job jobs[JOBS_MAX];
    size_t unused[JOBS_MAX];
    size_t unused_count;
    uint64_t now_ns;
    uint64_t deadline_ns; /* given to each job from its arrival; 0: none */
    bool mixed;           /* only every other job has it, and half have four times as much */
    size_t clients;       /* closed loop */
    double rate;          /* Poisson arrivals a second; 0: none */
    size_t burst;         /* arrivals at once */
    uint64_t next_arrival_ns;
    /* results */
    uint64_t done_items, late, expired, avoidable, idle_waits, refused, batches;
    double latency_ns;
};

static void world_init(struct world *world, const struct curve *curve,
                       const struct tn_batcher_limits *limits)
{
    memset(world, 0, sizeof(*world));
    tn_batcher_init(&world->batcher, limits);
    world->curve = curve;
    world->instance_count = 1;
    world->burst = 1;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        world->unused[world->unused_count++] = JOBS_MAX - 1 - i;
    }
}

static void arrive(struct world *world, uint64_t client)
{
    if (world->unused_count == 0) {
        world->refused++;
        return;
    }
    struct job *job = &world->jobs[world->unused[--world->unused_count]];
    memset(job, 0, sizeof(*job));
    job->live = true;
    job->client = client;
    job->entry.arrival_ns = world->now_ns;
    job->entry.items = 1;
    bool with = world->deadline_ns != 0 && (!world->mixed || uniform() < 0.5);
    if (with) {
        double times = world->mixed && uniform() < 0.5 ? 4 : 1;
        job->entry.deadline_ns = world->now_ns + (uint64_t)((double)world->deadline_ns * times);
        job->entry.expires_ns = job->entry.deadline_ns;
    }
    tn_batcher_add(&world->batcher, &job->entry);
}

static void leave(struct world *world, struct job *job)
{
    TN_ASSERT(job->live);
    job->live = false;
    world->unused[world->unused_count++] = (size_t)(job - world->jobs);
    if (job->client != 0) {
        arrive(world, job->client); /* the client asks again at once */
    }
}

static double run_time(struct world *world, uint64_t items)
{
    double ns = curve_ns(world->curve, items);
    if (world->noise > 0) {
        double a = uniform() + uniform() + uniform() - 1.5; /* about normal, deviation 0.5 */
        ns *= 1 + 2 * world->noise * a;
        ns *= uniform() < world->outliers ? 10 : 1;
    }
    return ns > 100 ? ns : 100;
}

/* A member that a smaller batch would have brought home in time, and this one does not. */
static void check_deadlines(struct world *world, const struct instance *instance)
{
    for (size_t i = 0; i < instance->count; i++) {
        const struct tn_batch_entry *entry = &instance->jobs[i]->entry;
        double alone = (double)world->now_ns + curve_ns(world->curve, entry->items);
        bool could = entry->deadline_ns == 0 || alone <= (double)entry->deadline_ns;
        bool late = entry->deadline_ns != 0 && instance->ends_ns > entry->deadline_ns;
        world->late += late;
        world->avoidable += late && could;
    }
}

static void dispatch(struct world *world, struct instance *instance)
{
    struct tn_batch batch;
    for (;;) {
        tn_batcher_decide(&world->batcher, world->now_ns, &batch);
        for (size_t i = 0; i < batch.expired_count; i++) {
            world->expired++;
            leave(world, (struct job *)(void *)batch.expired[i]);
        }
        if (batch.action == TN_BATCH_RUN) {
            break;
        }
        if (world->batcher.count > 0 && world->batcher.limits.mode == TN_BATCHER_AUTO &&
            batch.expired_count == 0) {
            world->idle_waits++;
        }
        if (batch.expired_count == 0 || world->batcher.count == 0) {
            return;
        }
    }
    TN_ASSERT(batch.count > 0);
    instance->busy = true;
    instance->count = batch.count;
    instance->items = batch.items;
    instance->group = batch.group;
    instance->began_ns = world->now_ns;
    instance->ends_ns = world->now_ns + (uint64_t)run_time(world, batch.items);
    for (size_t i = 0; i < batch.count; i++) {
        instance->jobs[i] = (struct job *)(void *)batch.jobs[i];
    }
    world->batches++;
    check_deadlines(world, instance);
}

static void finish(struct world *world, struct instance *instance)
{
    instance->busy = false;
    tn_batcher_learn(&world->batcher, instance->group, instance->items,
                     instance->ends_ns - instance->began_ns);
    world->done_items += instance->items;
    for (size_t i = 0; i < instance->count; i++) {
        world->latency_ns += (double)(world->now_ns - instance->jobs[i]->entry.arrival_ns);
        leave(world, instance->jobs[i]);
    }
}

static void arrivals(struct world *world)
{
    while (world->rate > 0 && world->next_arrival_ns <= world->now_ns) {
        for (size_t i = 0; i < world->burst; i++) {
            arrive(world, 0);
        }
        double pause = -log(1 - uniform()) / world->rate * 1e9 * (double)world->burst;
        world->next_arrival_ns += (uint64_t)pause + 1;
    }
}

static void run_until(struct world *world, uint64_t end_ns)
{
    for (size_t i = 0; world->now_ns == 0 && i < world->clients; i++) {
        arrive(world, i + 1);
    }
    while (world->now_ns < end_ns) {
        uint64_t next = world->rate > 0 ? world->next_arrival_ns : end_ns;
        arrivals(world);
        for (size_t i = 0; i < world->instance_count; i++) {
            struct instance *instance = &world->instances[i];
            if (instance->busy && instance->ends_ns <= world->now_ns) {
                finish(world, instance);
            }
            if (!instance->busy && world->batcher.count > 0) {
                dispatch(world, instance);
            }
            if (instance->busy && instance->ends_ns < next) {
                next = instance->ends_ns;
            }
        }
        if (world->rate > 0 && world->next_arrival_ns < next) {
            next = world->next_arrival_ns;
        }
        world->now_ns = next > world->now_ns ? next : world->now_ns + 1;
    }
}

static struct tn_batcher_limits automatic(void)
{
    return (struct tn_batcher_limits){.mode = TN_BATCHER_AUTO, .items_max = SIZE_MAX_ITEMS};
}

static struct world world; /* too large for a stack */
static int failures;

static void expect(bool holds, const char *what, const char *curve, double value, double bound)
{
    printf("  %-10s %-44s %12.4g (bound %.4g)%s\n", curve, what, value, bound,
           holds ? "" : "   FAILED");
    failures += !holds;
}

/* Items a second in a closed loop with many clients. */
static double closed_loop(const struct curve *curve, const struct tn_batcher_limits *limits,
                          double noise, uint64_t ns)
{
    world_init(&world, curve, limits);
    world.noise = noise;
    world.outliers = noise > 0 ? 0.005 : 0;
    world.clients = 256;
    run_until(&world, ns);
    return (double)world.done_items / ((double)world.now_ns / 1e9);
}

/* What the best size gives in the long run, outliers included. */
static double ideal(const struct curve *curve, double outliers)
{
    double best = curve->an_item[0];
    for (size_t i = 1; i < TN_COUNT(curve->an_item); i++) {
        best = curve->an_item[i] < best ? curve->an_item[i] : best;
    }
    return 1e6 / best / (1 + 9 * outliers);
}

static void throughput_matches_the_best_size(double noise)
{
    printf("closed loop, 256 clients, noise %.0f %%\n", noise * 100);
    for (size_t i = 0; i < TN_COUNT(curves); i++) {
        struct tn_batcher_limits limits = automatic();
        /* Long enough for some thousand runs. */
        uint64_t ns = curves[i].an_item[0] > 1000 ? 100 * S
                      : curves[i].an_item[0] > 50 ? 20 * S
                                                  : S;
        double found = closed_loop(&curves[i], &limits, noise, ns);
        double best = ideal(&curves[i], world.outliers);
        expect(found >= 0.95 * best, "share of the best size's throughput", curves[i].name,
               found / best, 0.95);
        expect(world.idle_waits == 0, "waits beside an idle instance", curves[i].name,
               (double)world.idle_waits, 0);
    }
}

/* The ideal above is one that a fixed size reaches in this world. */
static void ideal_is_real(void)
{
    printf("the best fixed size, closed loop\n");
    for (size_t i = 0; i < TN_COUNT(curves); i++) {
        double best = 0;
        for (uint32_t size = 1; size <= SIZE_MAX_ITEMS; size *= 2) {
            struct tn_batcher_limits limits = {.mode = TN_BATCHER_FIXED, .items_max = size};
            double here =
                closed_loop(&curves[i], &limits, 0, 2000 * (uint64_t)(1e3 * curves[i].an_item[0]));
            best = here > best ? here : best;
        }
        double share = best / ideal(&curves[i], 0);
        expect(share > 0.97 && share < 1.03, "measured by the ideal", curves[i].name, share, 1);
    }
}

static void nothing_waits_when_idle(void)
{
    printf("Poisson arrivals at a fifth of what single runs can do, two instances\n");
    for (size_t i = 0; i < TN_COUNT(curves); i++) {
        struct tn_batcher_limits limits = automatic();
        world_init(&world, &curves[i], &limits);
        world.instance_count = 2;
        world.rate = 0.2 * 1e6 / curves[i].an_item[0];
        run_until(&world, (uint64_t)(curves[i].an_item[0] * 1e3 * 10000));
        double mean = world.latency_ns / (double)world.done_items;
        double alone = curves[i].an_item[0] * 1e3;
        expect(world.idle_waits == 0, "waits beside an idle instance", curves[i].name,
               (double)world.idle_waits, 0);
        expect(mean <= alone * 1.1, "mean latency, in single runs", curves[i].name, mean / alone,
               1.1);
    }
}

static void overload_is_carried_by_batches(void)
{
    printf("Poisson arrivals in bursts of 16, at 85 %% of the best size's throughput\n");
    for (size_t i = 0; i < TN_COUNT(curves); i++) {
        struct tn_batcher_limits limits = automatic();
        double best = 1e300;
        for (size_t k = 0; k < 7; k++) {
            best = curves[i].an_item[k] < best ? curves[i].an_item[k] : best;
        }
        world_init(&world, &curves[i], &limits);
        world.burst = 16;
        world.rate = 0.85 * 1e6 / best;
        run_until(&world, (uint64_t)(best * 1e3 * 100000));
        expect(world.refused == 0, "refused", curves[i].name, (double)world.refused, 0);
        double share = (double)world.done_items / (world.rate * (double)world.now_ns / 1e9);
        expect(share > 0.95, "share of what came that was answered", curves[i].name, share, 0.95);
    }
}

static void deadlines_hold(void)
{
    printf("deadlines of four single runs on half of the requests, at 70 %% load\n");
    for (size_t i = 0; i < TN_COUNT(curves); i++) {
        struct tn_batcher_limits limits = automatic();
        world_init(&world, &curves[i], &limits);
        world.deadline_ns = (uint64_t)(curves[i].an_item[0] * 4e3);
        world.mixed = true;
        world.rate = 0.7 * 1e6 / curves[i].an_item[3];
        run_until(&world, (uint64_t)(curves[i].an_item[0] * 1e3 * 30000));
        expect(world.avoidable == 0, "late although a smaller batch was in time", curves[i].name,
               (double)world.avoidable, 0);
        TN_ASSERT(world.done_items > 10000);
    }
}

static void changes_are_followed(void)
{
    printf("the curve changes while it runs\n");
    static const size_t pairs[][2] = {{2, 1}, {1, 3}, {5, 0}, {0, 5}};
    for (size_t i = 0; i < TN_COUNT(pairs); i++) {
        const struct curve *after = &curves[pairs[i][1]];
        struct tn_batcher_limits limits = automatic();
        double best = ideal(after, 0.005);
        world_init(&world, &curves[pairs[i][0]], &limits);
        world.noise = 0.1;
        world.outliers = 0.005;
        world.clients = 256;
        run_until(&world, 5 * S);
        world.curve = after;
        run_until(&world, 8 * S); /* time to notice */
        uint64_t before = world.done_items;
        uint64_t end = world.now_ns + (after->an_item[0] > 50 ? 10 * S : S / 5);
        double seconds = (double)(end - world.now_ns) / 1e9;
        run_until(&world, end);
        double found = (double)(world.done_items - before) / seconds;
        expect(found >= 0.9 * best, "share of the best size afterwards", after->name, found / best,
               0.9);
    }
}

static void expired_and_cancelled_leave(void)
{
    printf("expired and cancelled requests\n");
    struct tn_batcher_limits limits = automatic();
    world_init(&world, &curves[3], &limits);
    world.deadline_ns = 3 * MS;
    world.rate = 5000; /* several times what it can do */
    run_until(&world, 5 * S);
    expect(world.expired > 1000, "expired ones came out", "cls", (double)world.expired, 1000);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (world.jobs[i].live) {
            (void)tn_batcher_remove(&world.batcher, &world.jobs[i].entry);
        }
    }
    expect(world.batcher.count == 0, "left after all were cancelled", "cls",
           (double)world.batcher.count, 0);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        TN_ASSERT(!tn_batcher_remove(&world.batcher, &world.jobs[i].entry));
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    random_state = seed * 2 + 1;
    printf("seed %llu\n", (unsigned long long)seed);
    ideal_is_real();
    throughput_matches_the_best_size(0);
    throughput_matches_the_best_size(0.15);
    nothing_waits_when_idle();
    overload_is_carried_by_batches();
    deadlines_hold();
    changes_are_followed();
    expired_and_cancelled_leave();
    printf("%s\n", failures == 0 ? "all hold" : "some do NOT hold");
    return failures != 0;
}
