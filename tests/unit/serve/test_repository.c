/* The repository's decisions: tables of cases, and random disks against two promises: files that
 * were just written are not touched, and a name that serves goes on serving. */
#include "serve/repository.h"

#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SETTLE = 100, SLOTS = 64 };

static struct tn_repository_slot slots[SLOTS];
static struct tn_repository repository;

static void begin(enum tn_repository_mode mode)
{
    memset(slots, 0, sizeof(slots));
    tn_repository_init(&repository, &(struct tn_repository_options){slots, SLOTS, mode, SETTLE});
}

static struct tn_repository_item item(const char *name, uint64_t version, uint64_t stamp)
{
    return (struct tn_repository_item){.name = tn_str_from(name),
                                       .version = version,
                                       .identity = {.inode = 1, .size = 10, .mtime_ns = stamp},
                                       .versions_latest = 1};
}

static struct tn_repository_action due(uint64_t now)
{
    struct tn_repository_action action = {0};
    uint64_t due_ns = 0;
    assert_int_equal(tn_repository_next(&repository, now, &action, &due_ns), TN_OK);
    return action;
}

static uint64_t idle(uint64_t now)
{
    struct tn_repository_action action = {0};
    uint64_t due_ns = 0;
    assert_int_equal(tn_repository_next(&repository, now, &action, &due_ns), TN_AGAIN);
    return due_ns;
}

static void expect(uint64_t now, enum tn_repository_verb verb, uint64_t version, enum tn_err err)
{
    struct tn_repository_action action = due(now);
    assert_int_equal(action.verb, verb);
    assert_int_equal(action.slot->version, version);
    assert_false(tn_repository_settled(&repository));
    tn_repository_did(&repository, &action, err, err == TN_OK ? NULL : "broken", now);
}

static enum tn_repository_state state_of(uint64_t version)
{
    for (size_t i = 0; i < repository.used; i++) {
        if (slots[i].used && slots[i].version == version) {
            return slots[i].state;
        }
    }
    return TN_REPOSITORY_STATE_COUNT;
}

static void files_must_settle(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_WATCH);
    struct tn_repository_item one = item("m", 1, 5);
    tn_repository_scan(&repository, &one, 1, 1000);
    assert_int_equal(idle(1000), 1100);
    one.identity.size = 20;
    tn_repository_scan(&repository, &one, 1, 1050);
    assert_int_equal(idle(1100), 1150);
    assert_false(tn_repository_settled(&repository));
    expect(1150, TN_REPOSITORY_LOAD, 1, TN_OK);
    assert_true(tn_repository_settled(&repository));
    assert_true(tn_repository_complete(&repository));
    assert_int_equal(idle(1150), UINT64_MAX);
    /* Old files need no wait. */
    struct tn_repository_item both[] = {one, item("m", 2, 6)};
    both[1].age_ns = 5000;
    tn_repository_scan(&repository, both, 2, 1200);
    expect(1200, TN_REPOSITORY_LOAD, 2, TN_OK);
    expect(1200, TN_REPOSITORY_UNLOAD, 1, TN_OK);
    assert_int_equal(state_of(1), TN_REPOSITORY_UNAVAILABLE);
    assert_int_equal(state_of(2), TN_REPOSITORY_READY);
}

static void a_failed_version_leaves_the_old_one(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_WATCH);
    struct tn_repository_item both[] = {item("m", 1, 5), item("m", 2, 6)};
    tn_repository_scan(&repository, both, 1, 1000);
    expect(1100, TN_REPOSITORY_LOAD, 1, TN_OK);
    tn_repository_scan(&repository, both, 2, 1200);
    expect(1300, TN_REPOSITORY_LOAD, 2, TN_INVALID);
    assert_int_equal(idle(99999), UINT64_MAX);
    assert_int_equal(state_of(1), TN_REPOSITORY_READY);
    assert_int_equal(state_of(2), TN_REPOSITORY_UNAVAILABLE);
    assert_true(tn_repository_settled(&repository));
    assert_false(tn_repository_complete(&repository));
    assert_string_equal(slots[1].reason, "broken");
    /* The same bytes are not tried again; new ones are. */
    tn_repository_scan(&repository, both, 2, 2000);
    assert_int_equal(idle(9999), UINT64_MAX);
    both[1].identity.mtime_ns = 7;
    tn_repository_scan(&repository, both, 2, 10000);
    expect(10100, TN_REPOSITORY_LOAD, 2, TN_OK);
    expect(10100, TN_REPOSITORY_UNLOAD, 1, TN_OK);
}

static void changed_in_place_reloads_beside_the_old(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_WATCH);
    struct tn_repository_item one = item("m", 1, 5);
    tn_repository_scan(&repository, &one, 1, 1000);
    expect(1100, TN_REPOSITORY_LOAD, 1, TN_OK);
    one.identity.mtime_ns = 6;
    tn_repository_scan(&repository, &one, 1, 2000);
    struct tn_repository_action action = due(2100);
    assert_int_equal(action.slot->state, TN_REPOSITORY_READY);
    /* Written again while it was read. */
    tn_repository_did(&repository, &action, TN_AGAIN, NULL, 2100);
    assert_int_equal(idle(2100), 2200);
    expect(2200, TN_REPOSITORY_LOAD, 1, TN_CORRUPT);
    assert_int_equal(state_of(1), TN_REPOSITORY_READY);
    assert_string_equal(slots[0].reason, "broken");
}

static void a_brief_absence_is_no_deletion(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_WATCH);
    struct tn_repository_item one = item("m", 1, 5);
    tn_repository_scan(&repository, &one, 1, 1000);
    expect(1100, TN_REPOSITORY_LOAD, 1, TN_OK);
    tn_repository_scan(&repository, NULL, 0, 2000);
    assert_int_equal(idle(2000), 2100);
    tn_repository_scan(&repository, &one, 1, 2050);
    assert_int_equal(idle(9999), UINT64_MAX);
    tn_repository_scan(&repository, NULL, 0, 10000);
    expect(10100, TN_REPOSITORY_UNLOAD, 1, TN_OK);
    tn_repository_scan(&repository, NULL, 0, 10200);
    assert_int_equal(repository.used, 0);
}

static void policies_choose(void **unused)
{
    (void)unused;
    struct tn_repository_item all[] = {item("m", 1, 5), item("m", 2, 5), item("m", 10, 5)};
    static const uint64_t specific[] = {1, 10, 77};
    static const struct {
        enum tn_version_policy policy;
        uint32_t latest;
        unsigned loads; /* a bit for 1, 2, 10 */
    } cases[] = {
        {TN_VERSIONS_LATEST, 1, 4}, {TN_VERSIONS_LATEST, 2, 6},   {TN_VERSIONS_LATEST, 9, 7},
        {TN_VERSIONS_ALL, 0, 7},    {TN_VERSIONS_SPECIFIC, 0, 5},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        begin(TN_REPOSITORY_NONE);
        for (size_t k = 0; k < 3; k++) {
            all[k].policy = cases[i].policy;
            all[k].versions_latest = cases[i].latest;
            all[k].versions = specific;
            all[k].version_count = 3;
        }
        tn_repository_scan(&repository, all, 3, 1000);
        unsigned loads = 0;
        while (!tn_repository_settled(&repository)) {
            struct tn_repository_action action = due(1100);
            loads |= action.slot->version == 10 ? 4 : (unsigned)action.slot->version;
            tn_repository_did(&repository, &action, TN_OK, NULL, 1100);
        }
        assert_int_equal(loads, cases[i].loads);
    }
}

static void explicit_mode_waits_to_be_asked(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_EXPLICIT);
    struct tn_repository_item both[] = {item("m", 1, 5), item("m", 2, 5)};
    tn_repository_scan(&repository, both, 1, 1000);
    assert_int_equal(idle(5000), UINT64_MAX);
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("x"), true), TN_NOTFOUND);
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("m"), true), TN_OK);
    expect(5000, TN_REPOSITORY_LOAD, 1, TN_OK);
    /* A second version alone changes nothing; asking brings it in, the old one goes after. */
    tn_repository_scan(&repository, both, 2, 6000);
    assert_int_equal(idle(7000), UINT64_MAX);
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("m"), true), TN_OK);
    expect(7000, TN_REPOSITORY_LOAD, 2, TN_INVALID);
    assert_int_equal(state_of(1), TN_REPOSITORY_READY);
    assert_int_equal(idle(7000), UINT64_MAX);
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("m"), true), TN_OK);
    expect(7000, TN_REPOSITORY_LOAD, 2, TN_OK);
    expect(7000, TN_REPOSITORY_UNLOAD, 1, TN_OK);
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("m"), true), TN_OK);
    assert_int_equal(idle(7000), UINT64_MAX); /* nothing has changed */
    assert_int_equal(tn_repository_ask(&repository, TN_STR_OF("m"), false), TN_OK);
    expect(7000, TN_REPOSITORY_UNLOAD, 2, TN_OK);
    assert_int_equal(idle(7000), UINT64_MAX);
}

static void ensembles_come_last_and_try_again(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_WATCH);
    struct tn_repository_item all[] = {item("a_chain", 1, 5), item("part", 1, 5),
                                       item("late", 1, 5)};
    all[0].ensemble = true;
    tn_repository_scan(&repository, all, 2, 1000);
    struct tn_repository_action action = due(1100);
    assert_string_equal(action.slot->name, "part");
    assert_int_equal(idle(1100), UINT64_MAX); /* not beside a load that it may need */
    tn_repository_did(&repository, &action, TN_OK, NULL, 1100);
    action = due(1100);
    assert_string_equal(action.slot->name, "a_chain");
    tn_repository_did(&repository, &action, TN_NOTFOUND, "no model 'late'", 1100);
    assert_int_equal(idle(1100), UINT64_MAX);
    tn_repository_scan(&repository, all, 3, 2000);
    action = due(2100);
    assert_string_equal(action.slot->name, "late");
    tn_repository_did(&repository, &action, TN_OK, NULL, 2100);
    action = due(2100);
    assert_string_equal(action.slot->name, "a_chain");
    tn_repository_did(&repository, &action, TN_OK, NULL, 2100);
    assert_true(tn_repository_complete(&repository));
}

static void too_many_names_are_counted(void **unused)
{
    (void)unused;
    begin(TN_REPOSITORY_NONE);
    struct tn_repository_item items[SLOTS + 3];
    for (size_t i = 0; i < TN_COUNT(items); i++) {
        items[i] = item("m", i + 1, 5);
    }
    tn_repository_scan(&repository, items, TN_COUNT(items), 1000);
    assert_int_equal(repository.dropped, 3);
    char name[TN_REPOSITORY_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    begin(TN_REPOSITORY_NONE);
    items[0].name = tn_str_make(name, sizeof(name));
    tn_repository_scan(&repository, items, 1, 1000);
    assert_int_equal(repository.dropped, 1);
}

/* --- Random disks --- */
enum { NAMES = 3, VERSIONS = 3 };

struct file {
    bool exists, half, corrupt;
    uint64_t stamp, written;
};

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static struct file disk[NAMES][VERSIONS];
static bool serving[NAMES][VERSIONS];
static const char *const names[NAMES] = {"a", "b", "c"};

static void touch(struct file *file, uint64_t now)
{
    static uint64_t stamp;
    file->stamp = ++stamp;
    file->written = now;
}

static void disturb(uint64_t now)
{
    struct file *file = &disk[chance(NAMES)][chance(VERSIONS)];
    switch (chance(5)) {
    case 0: /* begin to copy */
        *file = (struct file){.exists = true, .half = true};
        touch(file, now);
        break;
    case 1: /* the copy goes on */
        if (file->half) {
            touch(file, now);
        }
        break;
    case 2: /* and ends */
        if (file->exists) {
            file->half = false;
            touch(file, now);
        }
        break;
    case 3:
        *file = (struct file){.exists = true, .corrupt = chance(2) == 0};
        touch(file, now);
        break;
    default:
        file->exists = chance(3) != 0 && file->exists;
    }
    /* A writer never pauses as long as the settling time: that is its contract. */
    for (size_t n = 0; n < NAMES; n++) {
        for (size_t v = 0; v < VERSIONS; v++) {
            if (disk[n][v].half && now - disk[n][v].written >= SETTLE / 2) {
                touch(&disk[n][v], now);
            }
        }
    }
}

static size_t look(struct tn_repository_item *items, uint64_t now)
{
    size_t count = 0;
    for (size_t n = 0; n < NAMES; n++) {
        for (size_t v = 0; v < VERSIONS; v++) {
            if (disk[n][v].exists) {
                items[count] = item(names[n], v + 1, disk[n][v].stamp);
                items[count].age_ns = now - disk[n][v].written;
                count++;
            }
        }
    }
    return count;
}

static bool name_serves(size_t n)
{
    return serving[n][0] || serving[n][1] || serving[n][2];
}

static void act(struct tn_repository_action *action, uint64_t now)
{
    size_t n = (size_t)(action->slot->name[0] - 'a');
    size_t v = (size_t)action->slot->version - 1;
    struct file *file = &disk[n][v];
    if (action->verb == TN_REPOSITORY_UNLOAD) {
        assert_true(serving[n][v]);
        serving[n][v] = false;
        bool any = disk[n][0].exists || disk[n][1].exists || disk[n][2].exists;
        assert_true(name_serves(n) || !any || !action->slot->present);
        tn_repository_did(&repository, action, TN_OK, NULL, now);
        return;
    }
    enum tn_err err = TN_OK;
    if (!file->exists || file->stamp != action->identity.mtime_ns) {
        err = TN_AGAIN;
    } else {
        assert_false(file->half); /* the first promise */
        err = file->corrupt ? TN_CORRUPT : TN_OK;
    }
    serving[n][v] = serving[n][v] || err == TN_OK;
    tn_repository_did(&repository, action, err, "corrupt", now);
}

static void scan_and_act(uint64_t now)
{
    struct tn_repository_item items[NAMES * VERSIONS];
    tn_repository_scan(&repository, items, look(items, now), now);
    struct tn_repository_action action;
    uint64_t due_ns = 0;
    while (tn_repository_next(&repository, now, &action, &due_ns) == TN_OK) {
        act(&action, now);
    }
    assert_true(due_ns > now);
}

static bool any_file(size_t n)
{
    return disk[n][0].exists || disk[n][1].exists || disk[n][2].exists;
}

static void one_random_step(uint64_t now)
{
    bool before[NAMES];
    disturb(now);
    for (size_t n = 0; n < NAMES; n++) {
        before[n] = name_serves(n);
    }
    scan_and_act(now);
    for (size_t n = 0; n < NAMES; n++) {
        /* the second promise */
        assert_true(!before[n] || !any_file(n) || name_serves(n));
    }
}

/* Left alone, the newest good version serves and nothing waits. */
static void settle_and_check(uint64_t now)
{
    for (size_t n = 0; n < NAMES; n++) {
        for (size_t v = 0; v < VERSIONS; v++) {
            disk[n][v].half = false;
            touch(&disk[n][v], now);
        }
    }
    for (int step = 0; step < 10; step++) {
        now += SETTLE;
        scan_and_act(now);
    }
    assert_true(tn_repository_settled(&repository));
    for (size_t n = 0; n < NAMES; n++) {
        size_t v = VERSIONS;
        while (v > 0 && !disk[n][v - 1].exists) {
            v--;
        }
        assert_true(v > 0 ? disk[n][v - 1].corrupt || serving[n][v - 1] : !name_serves(n));
    }
}

static void random_disks_keep_the_promises(void **unused)
{
    (void)unused;
    for (uint64_t round = 1; round <= 300; round++) {
        seed = round * 7919;
        memset(disk, 0, sizeof(disk));
        memset(serving, 0, sizeof(serving));
        begin(TN_REPOSITORY_WATCH);
        uint64_t now = 10000;
        for (int step = 0; step < 300; step++) {
            now += chance(SETTLE / 2);
            one_random_step(now);
        }
        settle_and_check(now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_must_settle),
        cmocka_unit_test(a_failed_version_leaves_the_old_one),
        cmocka_unit_test(changed_in_place_reloads_beside_the_old),
        cmocka_unit_test(a_brief_absence_is_no_deletion),
        cmocka_unit_test(policies_choose),
        cmocka_unit_test(explicit_mode_waits_to_be_asked),
        cmocka_unit_test(ensembles_come_last_and_try_again),
        cmocka_unit_test(too_many_names_are_counted),
        cmocka_unit_test(random_disks_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
