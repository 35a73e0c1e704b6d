/* The batching core; see batcher.h.
 *
 * Cost a job: one heap insertion (a comparison, since new jobs are mostly the least urgent) and one
 * removal (a few comparisons), no allocation. A decision looks at each group's first job. */
#include "infer/batcher.h"

#include "core/assert.h"

#include <string.h>

/* A job is given up only when even this share of its expected time is more than it has left. */
static const double hopeless = 0.9;

enum { ALONE = TN_BATCHER_GROUPS }; /* index of the group whose jobs run one by one */

void tn_batcher_init(struct tn_batcher *batcher, const struct tn_batcher_limits *limits)
{
    TN_ASSERT(limits->items_max >= 1);
    TN_ASSERT(limits->preferred_count <= TN_BATCHER_PREFERRED_MAX);

    memset(batcher, 0, sizeof(*batcher));
    batcher->limits = *limits;
    for (size_t i = 0; i < TN_COUNT(batcher->groups); i++) {
        tn_cost_init(&batcher->groups[i].cost);
    }
}

/* --- The heap: most urgent at the root --- */

static bool before(const struct tn_batch_entry *a, const struct tn_batch_entry *b)
{
    if (a->level != b->level) {
        return a->level < b->level;
    }
    if (a->due_ns != b->due_ns) {
        return a->due_ns < b->due_ns;
    }
    return a->arrival_ns < b->arrival_ns;
}

static struct tn_batch_entry *meld(struct tn_batch_entry *a, struct tn_batch_entry *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    if (before(b, a)) {
        struct tn_batch_entry *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (a->child != NULL) {
        a->child->prev = b;
    }
    b->prev = a;
    a->child = b;
    return a;
}

/* Melds siblings in pairs from the left, then all from the right: what makes the heap cheap. */
static struct tn_batch_entry *meld_siblings(struct tn_batch_entry *first)
{
    struct tn_batch_entry *pairs = NULL;
    while (first != NULL) {
        struct tn_batch_entry *a = first;
        struct tn_batch_entry *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL) {
            b->next = b->prev = NULL;
        }
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct tn_batch_entry *root = NULL;
    while (pairs != NULL) {
        struct tn_batch_entry *next = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_remove(struct tn_batch_group *group, struct tn_batch_entry *entry)
{
    struct tn_batch_entry *rest = meld_siblings(entry->child);
    if (group->root == entry) {
        group->root = rest;
    } else {
        if (entry->prev->child == entry) {
            entry->prev->child = entry->next;
        } else {
            entry->prev->next = entry->next;
        }
        if (entry->next != NULL) {
            entry->next->prev = entry->prev;
        }
        group->root = meld(group->root, rest);
    }
    entry->child = entry->next = entry->prev = NULL;
}

/* --- Groups --- */

static void group_add(struct tn_batch_group *group, struct tn_batch_entry *entry)
{
    entry->child = entry->next = entry->prev = NULL;
    group->root = meld(group->root, entry);
    entry->older = group->newest;
    entry->newer = NULL;
    *(group->newest != NULL ? &group->newest->newer : &group->oldest) = entry;
    group->newest = entry;
    group->items += entry->items;
}

static void group_remove(struct tn_batch_group *group, struct tn_batch_entry *entry)
{
    heap_remove(group, entry);
    *(entry->older != NULL ? &entry->older->newer : &group->oldest) = entry->newer;
    *(entry->newer != NULL ? &entry->newer->older : &group->newest) = entry->older;
    entry->older = entry->newer = NULL;
    group->items -= entry->items;
}

static size_t find_group(struct tn_batcher *batcher, const struct tn_batch_entry *entry)
{
    size_t unused = ALONE;
    if (entry->alone || batcher->limits.mode == TN_BATCHER_OFF) {
        return ALONE;
    }
    for (size_t i = 0; i < batcher->group_count; i++) {
        const struct tn_batch_group *group = &batcher->groups[i];
        if (group->compat[0] == entry->compat[0] && group->compat[1] == entry->compat[1]) {
            return i;
        }
        if (group->root == NULL && group->running == 0 &&
            (unused == ALONE || group->used < batcher->groups[unused].used)) {
            unused = i;
        }
    }
    if (batcher->group_count < TN_BATCHER_GROUPS) {
        unused = batcher->group_count++;
    }
    if (unused != ALONE) {
        struct tn_batch_group *group = &batcher->groups[unused];
        memset(group, 0, sizeof(*group));
        memcpy(group->compat, entry->compat, sizeof(group->compat));
    }
    return unused;
}

void tn_batcher_add(struct tn_batcher *batcher, struct tn_batch_entry *entry)
{
    TN_ASSERT(entry->items >= 1);

    size_t at = find_group(batcher, entry);
    struct tn_batch_group *group = &batcher->groups[at];
    uint64_t patient = entry->arrival_ns + TN_BATCHER_PATIENCE_NS;
    bool sooner = entry->deadline_ns != 0 && entry->deadline_ns < patient;
    entry->due_ns = sooner ? entry->deadline_ns : patient;
    entry->group = (uint32_t)at + 1;
    group->used = ++batcher->stamp;
    group_add(group, entry);
    batcher->count++;
}

static void take_out(struct tn_batcher *batcher, struct tn_batch_entry *entry)
{
    group_remove(&batcher->groups[entry->group - 1], entry);
    entry->group = 0;
    batcher->count--;
}

bool tn_batcher_remove(struct tn_batcher *batcher, struct tn_batch_entry *entry)
{
    if (entry->group == 0) {
        return false;
    }
    take_out(batcher, entry);
    return true;
}

void tn_batcher_learn(struct tn_batcher *batcher, uint32_t group, uint64_t items, uint64_t ns)
{
    TN_ASSERT(group < TN_COUNT(batcher->groups));
    TN_ASSERT(batcher->groups[group].running > 0);

    batcher->groups[group].running--;
    if (group != ALONE) {
        tn_cost_learn(&batcher->groups[group].cost, items, ns);
    }
}

/* --- Decisions --- */

/* Groups in use are the first `group_count` and the last. */
static size_t group_index(const struct tn_batcher *batcher, size_t at)
{
    return at < batcher->group_count ? at : ALONE;
}

static bool expired(const struct tn_batch_entry *entry, uint64_t now_ns)
{
    return entry->expires_ns != 0 && entry->expires_ns <= now_ns;
}

/* Takes expired jobs off the heads of all groups. */
static void drop_expired(struct tn_batcher *batcher, uint64_t now_ns, struct tn_batch *batch)
{
    for (size_t i = 0; i <= batcher->group_count; i++) {
        struct tn_batch_group *group = &batcher->groups[group_index(batcher, i)];
        while (group->root != NULL && expired(group->root, now_ns) &&
               batch->expired_count < TN_BATCH_JOBS_MAX) {
            batch->expired[batch->expired_count++] = group->root;
            take_out(batcher, group->root);
        }
        /* The oldest wait longest: with one time-out for all, they expire in this order. */
        while (group->oldest != NULL && expired(group->oldest, now_ns) &&
               batch->expired_count < TN_BATCH_JOBS_MAX) {
            batch->expired[batch->expired_count++] = group->oldest;
            take_out(batcher, group->oldest);
        }
    }
}

/* The most items, at most `limit`, that still let `entry` end in time. One that cannot end in time
 * even by itself does not hold the others back. */
static uint64_t limit_by_deadline(const struct tn_cost *cost, const struct tn_batch_entry *entry,
                                  uint64_t now_ns, uint64_t limit)
{
    if (entry->deadline_ns == 0 || entry->deadline_ns <= now_ns) {
        return limit;
    }
    double slack = (double)(entry->deadline_ns - now_ns);
    if (tn_cost_mean_ns(cost, entry->items) * hopeless > slack) {
        return limit;
    }
    if (tn_cost_mean_ns(cost, 1) == 0) {
        return entry->items; /* nothing is known: risk nothing */
    }
    while (limit > entry->items && tn_cost_safe_ns(cost, limit) > slack) {
        limit = limit - limit / 4 - 1;
    }
    return limit > entry->items ? limit : entry->items;
}

/* Fixed: how many to run now; 0: wait until *ret_until_ns. */
static uint64_t fixed_size(const struct tn_batcher *batcher, const struct tn_batch_group *group,
                           uint64_t now_ns, uint64_t *ret_until_ns)
{
    const struct tn_batcher_limits *limits = &batcher->limits;
    for (size_t i = limits->preferred_count; i > 0; i--) {
        if (group->items >= limits->preferred[i - 1]) {
            return limits->preferred[i - 1];
        }
    }
    if (group->items >= limits->items_max || limits->delay_max_ns == 0) {
        return limits->items_max;
    }
    uint64_t until = group->oldest->arrival_ns + limits->delay_max_ns;
    if (group->root->deadline_ns != 0) {
        uint64_t run = (uint64_t)tn_cost_safe_ns(&group->cost, group->items);
        uint64_t last = group->root->deadline_ns > run ? group->root->deadline_ns - run : 0;
        until = last < until ? last : until;
    }
    if (until <= now_ns) {
        return limits->items_max;
    }
    *ret_until_ns = until;
    return 0;
}

/* How many of the group to run now; 0: wait. */
static uint64_t size_now(const struct tn_batcher *batcher, size_t at, uint64_t now_ns,
                         uint64_t *ret_until_ns)
{
    const struct tn_batch_group *group = &batcher->groups[at];
    if (at == ALONE || batcher->limits.mode == TN_BATCHER_OFF) {
        return 1;
    }
    if (batcher->limits.mode == TN_BATCHER_FIXED) {
        return fixed_size(batcher, group, now_ns, ret_until_ns);
    }
    return tn_cost_choose(&group->cost, group->items, group->root->items,
                          batcher->limits.items_max);
}

static void fill(struct tn_batcher *batcher, size_t at, uint64_t limit, uint64_t now_ns,
                 struct tn_batch *batch)
{
    struct tn_batch_group *group = &batcher->groups[at];
    size_t most = at == ALONE ? 1 : TN_BATCH_JOBS_MAX;
    while (group->root != NULL && batch->count < most) {
        struct tn_batch_entry *entry = group->root;
        if (expired(entry, now_ns)) {
            if (batch->expired_count == TN_BATCH_JOBS_MAX) {
                break;
            }
            take_out(batcher, entry);
            batch->expired[batch->expired_count++] = entry;
            continue;
        }
        limit = limit_by_deadline(&group->cost, entry, now_ns, limit);
        /* The first always goes, also when it alone is larger than the limit. */
        if (batch->count > 0 && batch->items + entry->items > limit) {
            break;
        }
        take_out(batcher, entry);
        batch->jobs[batch->count++] = entry;
        batch->items += entry->items;
    }
}

void tn_batcher_decide(struct tn_batcher *batcher, uint64_t now_ns, struct tn_batch *ret_batch)
{
    struct tn_batch *batch = ret_batch;
    batch->action = TN_BATCH_WAIT;
    batch->until_ns = UINT64_MAX;
    batch->count = batch->expired_count = 0;
    batch->items = 0;
    if (batcher->count == 0) {
        return;
    }
    drop_expired(batcher, now_ns, batch);
    size_t best = SIZE_MAX;
    uint64_t best_size = 0;
    for (size_t k = 0; k <= batcher->group_count; k++) {
        size_t i = group_index(batcher, k);
        uint64_t until = UINT64_MAX;
        const struct tn_batch_group *group = &batcher->groups[i];
        if (group->root == NULL ||
            (best != SIZE_MAX && !before(group->root, batcher->groups[best].root))) {
            continue;
        }
        uint64_t size = size_now(batcher, i, now_ns, &until);
        if (size > 0) {
            best = i;
            best_size = size;
        } else if (until < batch->until_ns) {
            batch->until_ns = until;
        }
    }
    if (best != SIZE_MAX) {
        fill(batcher, best, best_size, now_ns, batch);
        batch->group = (uint32_t)best;
        batch->action = batch->count > 0 ? TN_BATCH_RUN : TN_BATCH_WAIT;
        batch->until_ns = batch->count > 0 ? UINT64_MAX : now_ns; /* full of expired: again */
        batcher->groups[best].running += batch->count > 0;
    }
}
