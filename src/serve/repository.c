/* Decides what to load and to unload: see repository.h for the machine and the rules.
 * Memory: the caller's slots. Threads: one. Bounds: slot_count. */
#include "serve/repository.h"

#include "core/assert.h"

#include <stdio.h>

#define TO(state) (1U << TN_REPOSITORY_##state)

static const uint8_t moves[TN_REPOSITORY_STATE_COUNT] = {
    [TN_REPOSITORY_ABSENT] = TO(LOADING),
    [TN_REPOSITORY_LOADING] = TO(READY) | TO(UNAVAILABLE) | TO(ABSENT),
    [TN_REPOSITORY_READY] = TO(READY) | TO(UNLOADING),
    [TN_REPOSITORY_UNLOADING] = TO(UNAVAILABLE),
    [TN_REPOSITORY_UNAVAILABLE] = TO(LOADING),
};

static void slot_move(struct tn_repository_slot *slot, enum tn_repository_state state)
{
    TN_ASSERT((moves[slot->state] & 1U << state) != 0);
    slot->state = state;
}

const char *tn_repository_state_name(enum tn_repository_state state)
{
    static const char *const names[TN_REPOSITORY_STATE_COUNT] = {
        [TN_REPOSITORY_ABSENT] = "",
        [TN_REPOSITORY_LOADING] = "LOADING",
        [TN_REPOSITORY_READY] = "READY",
        [TN_REPOSITORY_UNLOADING] = "UNLOADING",
        [TN_REPOSITORY_UNAVAILABLE] = "UNAVAILABLE",
    };
    return state < TN_REPOSITORY_STATE_COUNT ? names[state] : "";
}

void tn_repository_init(struct tn_repository *repository,
                        const struct tn_repository_options *options)
{
    *repository = (struct tn_repository){
        .slots = options->slots,
        .slot_count = options->slot_count,
        .mode = options->mode,
        .settle_ns = options->settle_ns,
    };
}

static bool same(const struct tn_repository_identity *a, const struct tn_repository_identity *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->config_inode == b->config_inode && a->config_size == b->config_size &&
           a->config_mtime_ns == b->config_mtime_ns;
}

static bool serves(const struct tn_repository_slot *slot)
{
    return slot->used && slot->state == TN_REPOSITORY_READY;
}

static bool is_named(const struct tn_repository_slot *slot, struct tn_str name)
{
    return slot->used && tn_str_is(name, slot->name);
}

static struct tn_repository_slot *find(struct tn_repository *repository, struct tn_str name,
                                       uint64_t version)
{
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        if (slot->version == version && is_named(slot, name)) {
            return slot;
        }
    }
    return NULL;
}

static struct tn_repository_slot *claim(struct tn_repository *repository, struct tn_str name,
                                        uint64_t version)
{
    size_t index = 0;
    while (index < repository->used && repository->slots[index].used) {
        index++;
    }
    if (index == repository->slot_count || name.size > TN_REPOSITORY_NAME_MAX) {
        return NULL;
    }
    if (index == repository->used) {
        repository->used++;
    }
    struct tn_repository_slot *slot = &repository->slots[index];
    *slot = (struct tn_repository_slot){.used = true, .version = version};
    memcpy(slot->name, name.data, name.size);
    return slot;
}

static void see(struct tn_repository *repository, const struct tn_repository_item *item,
                uint64_t now_ns)
{
    struct tn_repository_slot *slot = find(repository, item->name, item->version);
    bool is_new = slot == NULL;
    if (is_new) {
        slot = claim(repository, item->name, item->version);
        if (slot == NULL) {
            repository->dropped++;
            return;
        }
    }
    if (is_new || !same(&slot->seen, &item->identity)) {
        /* What has not changed for long on disk needs no further waiting. */
        uint64_t age = item->age_ns < repository->settle_ns ? item->age_ns : repository->settle_ns;
        slot->steady_ns = age < now_ns ? now_ns - age : 0;
        slot->seen = item->identity;
    }
    slot->present = true;
    slot->ensemble = item->ensemble;
}

static bool policy_takes(const struct tn_repository_item *item, const struct tn_repository *all,
                         uint64_t version)
{
    if (item->policy == TN_VERSIONS_ALL) {
        return true;
    }
    if (item->policy == TN_VERSIONS_SPECIFIC) {
        for (size_t i = 0; i < item->version_count; i++) {
            if (item->versions[i] == version) {
                return true;
            }
        }
        return false;
    }
    uint32_t newer = 0;
    for (size_t i = 0; i < all->used; i++) {
        const struct tn_repository_slot *slot = &all->slots[i];
        newer += slot->present && slot->version > version && is_named(slot, item->name) ? 1 : 0;
    }
    return newer < (item->versions_latest > 0 ? item->versions_latest : 1);
}

static void forget_gone(struct tn_repository *repository)
{
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        if (slot->used && !slot->present && !slot->acting && !serves(slot)) {
            slot->used = false;
        }
    }
    while (repository->used > 0 && !repository->slots[repository->used - 1].used) {
        repository->used--;
    }
}

void tn_repository_scan(struct tn_repository *repository, const struct tn_repository_item *items,
                        size_t count, uint64_t now_ns)
{
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        slot->gone_ns = slot->present ? now_ns : slot->gone_ns;
        slot->present = false;
    }
    for (size_t i = 0; i < count; i++) {
        see(repository, &items[i], now_ns);
    }
    forget_gone(repository);
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        slot->taken = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct tn_repository_slot *slot = find(repository, items[i].name, items[i].version);
        if (slot != NULL) {
            slot->taken = policy_takes(&items[i], repository, slot->version);
        }
    }
    for (size_t i = 0; i < repository->used && repository->mode != TN_REPOSITORY_EXPLICIT; i++) {
        repository->slots[i].wanted = repository->slots[i].taken;
    }
}

enum tn_err tn_repository_ask(struct tn_repository *repository, struct tn_str name, bool load)
{
    bool found = false;
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        if (!is_named(slot, name)) {
            continue;
        }
        found = found || slot->present || (!load && serves(slot));
        if (load && !slot->present) {
            continue;
        }
        slot->wanted = load && slot->taken;
        slot->forced = slot->wanted;
        slot->armed = slot->wanted;
    }
    return found ? TN_OK : TN_NOTFOUND;
}

/* Whether the slot's newest files should be brought in, at some time. */
static bool needs_load(const struct tn_repository *repository,
                       const struct tn_repository_slot *slot)
{
    if (!slot->used || !slot->wanted || !slot->present || slot->acting) {
        return false;
    }
    if (repository->mode == TN_REPOSITORY_EXPLICIT && !slot->armed) {
        return false;
    }
    if (serves(slot) && same(&slot->loaded, &slot->seen)) {
        return false;
    }
    return !slot->failed || slot->forced || !same(&slot->tried, &slot->seen);
}

static bool any_plain_load(const struct tn_repository *repository)
{
    for (size_t i = 0; i < repository->used; i++) {
        const struct tn_repository_slot *slot = &repository->slots[i];
        bool loading = slot->used && slot->acting && slot->state != TN_REPOSITORY_UNLOADING;
        if (!slot->ensemble && (loading || needs_load(repository, slot))) {
            return true;
        }
    }
    return false;
}

/* Every wanted version of the same name serves, so an unwanted one may go. */
static bool is_replaced(const struct tn_repository *repository,
                        const struct tn_repository_slot *old)
{
    bool any = false;
    for (size_t i = 0; i < repository->used; i++) {
        const struct tn_repository_slot *slot = &repository->slots[i];
        if (slot->wanted && is_named(slot, tn_str_from(old->name))) {
            any = true;
            if (!serves(slot)) {
                return false;
            }
        }
    }
    return any;
}

/* Whether an unwanted version may go; *due says from when on. */
static bool may_unload(const struct tn_repository *repository,
                       const struct tn_repository_slot *slot, uint64_t *due)
{
    if (!serves(slot) || slot->acting || slot->wanted) {
        return false;
    }
    *due = 0;
    if (is_replaced(repository, slot)) {
        return true;
    }
    for (size_t i = 0; i < repository->used; i++) {
        const struct tn_repository_slot *other = &repository->slots[i];
        if (other->wanted && is_named(other, tn_str_from(slot->name))) {
            return false; /* the replacement does not serve yet, or failed */
        }
    }
    /* Nothing of that name is wanted any more. A folder that is swapped by two renames is missing
     * for an instant: only lasting absence counts. */
    *due = slot->present ? 0 : slot->gone_ns + repository->settle_ns;
    return true;
}

static void begin(struct tn_repository_slot *slot, enum tn_repository_verb verb,
                  struct tn_repository_action *ret_action)
{
    slot->acting = true;
    slot->forced = false;
    if (verb == TN_REPOSITORY_UNLOAD) {
        slot_move(slot, TN_REPOSITORY_UNLOADING);
    } else if (slot->state != TN_REPOSITORY_READY) {
        slot_move(slot, TN_REPOSITORY_LOADING);
    }
    *ret_action = (struct tn_repository_action){verb, slot, slot->seen};
}

enum tn_err tn_repository_next(struct tn_repository *repository, uint64_t now_ns,
                               struct tn_repository_action *ret_action, uint64_t *ret_due_ns)
{
    uint64_t soonest = UINT64_MAX;
    bool hold_ensembles = any_plain_load(repository);
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        uint64_t due = 0;
        enum tn_repository_verb verb = TN_REPOSITORY_LOAD;
        if (needs_load(repository, slot) && !(slot->ensemble && hold_ensembles)) {
            due = slot->steady_ns + repository->settle_ns;
        } else if (may_unload(repository, slot, &due)) {
            verb = TN_REPOSITORY_UNLOAD;
        } else {
            continue;
        }
        if (due <= now_ns) {
            begin(slot, verb, ret_action);
            return TN_OK;
        }
        soonest = due < soonest ? due : soonest;
    }
    *ret_due_ns = soonest;
    return TN_AGAIN;
}

static void say(struct tn_repository_slot *slot, const char *reason)
{
    snprintf(slot->reason, sizeof(slot->reason), "%s", reason != NULL ? reason : "");
}

/* A model that came in may be the one that a failed ensemble was missing. */
static void force_ensembles(struct tn_repository *repository)
{
    for (size_t i = 0; i < repository->used; i++) {
        struct tn_repository_slot *slot = &repository->slots[i];
        slot->forced = slot->forced || (slot->used && slot->ensemble && slot->failed);
    }
}

static void load_failed(struct tn_repository_slot *slot, const struct tn_repository_action *action,
                        const char *reason)
{
    slot->failed = true;
    slot->armed = false;
    slot->tried = action->identity;
    say(slot, reason);
    if (slot->state == TN_REPOSITORY_LOADING) {
        slot_move(slot, TN_REPOSITORY_UNAVAILABLE);
    }
}

void tn_repository_did(struct tn_repository *repository, const struct tn_repository_action *action,
                       enum tn_err err, const char *reason, uint64_t now_ns)
{
    struct tn_repository_slot *slot = action->slot;
    TN_ASSERT(slot->used && slot->acting);

    slot->acting = false;
    if (action->verb == TN_REPOSITORY_UNLOAD) {
        slot_move(slot, TN_REPOSITORY_UNAVAILABLE);
        slot->failed = false;
        say(slot, reason != NULL ? reason : "unloaded");
        return;
    }
    if (err == TN_AGAIN) {
        slot->steady_ns = now_ns;
        slot->forced = slot->failed;
        if (slot->state == TN_REPOSITORY_LOADING) {
            slot_move(slot, slot->failed ? TN_REPOSITORY_UNAVAILABLE : TN_REPOSITORY_ABSENT);
        }
        return;
    }
    if (err != TN_OK) {
        load_failed(slot, action, reason);
        return;
    }
    slot_move(slot, TN_REPOSITORY_READY);
    slot->loaded = action->identity;
    slot->failed = false;
    slot->armed = false;
    say(slot, NULL);
    if (!slot->ensemble) {
        force_ensembles(repository);
    }
}

bool tn_repository_settled(const struct tn_repository *repository)
{
    for (size_t i = 0; i < repository->used; i++) {
        const struct tn_repository_slot *slot = &repository->slots[i];
        if ((slot->used && slot->acting) || needs_load(repository, slot)) {
            return false;
        }
    }
    return true;
}

bool tn_repository_complete(const struct tn_repository *repository)
{
    for (size_t i = 0; i < repository->used; i++) {
        const struct tn_repository_slot *slot = &repository->slots[i];
        if (slot->used && slot->wanted && !serves(slot)) {
            return false;
        }
    }
    return true;
}
