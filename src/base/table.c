/* The hash map; see table.h. A place holds the whole hash, so growing does not hash again and a
 * probe compares bytes only when 64 bits agree: in practice once. Memory: one heap array. */
#include "base/table.h"

#include "base/mem.h"
#include "base/random.h"
#include "core/assert.h"

enum { PLACES_FIRST = 16 };

void tn_table_init(struct tn_table *table, size_t count_max, const struct tn_hash_key *secret)
{
    TN_ASSERT(count_max > 0);

    *table = (struct tn_table){.count_max = count_max};
    if (secret != NULL) {
        table->secret = *secret;
    } else {
        tn_random_secure(&table->secret, sizeof(table->secret));
    }
}

void tn_table_deinit(struct tn_table *table)
{
    if (table != NULL) {
        tn_mem_give(table->places);
        *table = (struct tn_table){0};
    }
}

static uint64_t hash_of(const struct tn_table *table, struct tn_bytes key)
{
    return tn_siphash_of(&table->secret, key).low | 1; /* 0 means empty; 63 bits are enough */
}

/* The bits above the marker choose the home. */
static size_t home_of(const struct tn_table *table, uint64_t hash)
{
    return (size_t)(hash >> 1) & table->mask;
}

/* The place of the key, or the empty place where it would go. There is always an empty one. */
static struct tn_table_place *find(const struct tn_table *table, uint64_t hash, struct tn_bytes key)
{
    size_t at = home_of(table, hash);
    for (;;) {
        struct tn_table_place *place = &table->places[at];
        if (place->hash == 0 || (place->hash == hash && tn_bytes_equal(place->key, key))) {
            return place;
        }
        at = (at + 1) & table->mask;
    }
}

static enum tn_err grow(struct tn_table *table)
{
    size_t room = table->places != NULL ? (table->mask + 1) * 2 : PLACES_FIRST;
    struct tn_table_place *places = tn_mem_take_zeroed(room, sizeof(*places));
    if (places == NULL) {
        return TN_NOMEM;
    }
    struct tn_table wider = *table;
    wider.places = places;
    wider.mask = room - 1;
    size_t cursor = 0;
    for (const struct tn_table_place *place = NULL;
         (place = tn_table_next(table, &cursor)) != NULL;) {
        *find(&wider, place->hash, place->key) = *place;
    }
    tn_mem_give(table->places);
    *table = wider;
    return TN_OK;
}

enum tn_err tn_table_put(struct tn_table *table, struct tn_bytes key, void *value)
{
    TN_ASSERT(value != NULL);

    uint64_t hash = hash_of(table, key);
    if (table->places != NULL && find(table, hash, key)->hash != 0) {
        return TN_EXISTS;
    }
    if (table->count >= table->count_max) {
        return TN_LIMIT;
    }
    if (table->places == NULL || table->count + 1 > (table->mask + 1) / 8 * 7) {
        enum tn_err err = grow(table);
        if (err < 0) {
            return err;
        }
    }
    *find(table, hash, key) = (struct tn_table_place){.hash = hash, .key = key, .value = value};
    table->count++;
    return TN_OK;
}

void *tn_table_get(const struct tn_table *table, struct tn_bytes key)
{
    if (table->count == 0) {
        return NULL;
    }
    const struct tn_table_place *place = find(table, hash_of(table, key), key);
    return place->hash != 0 ? place->value : NULL;
}

void *tn_table_remove(struct tn_table *table, struct tn_bytes key)
{
    if (table->count == 0) {
        return NULL;
    }
    struct tn_table_place *hole = find(table, hash_of(table, key), key);
    if (hole->hash == 0) {
        return NULL;
    }
    void *value = hole->value;
    size_t hole_at = (size_t)(hole - table->places);
    for (size_t at = (hole_at + 1) & table->mask; table->places[at].hash != 0;
         at = (at + 1) & table->mask) {
        /* May it move to the hole? Only if its home is not between the hole and itself. */
        size_t home = home_of(table, table->places[at].hash);
        if (((at - home) & table->mask) >= ((at - hole_at) & table->mask)) {
            table->places[hole_at] = table->places[at];
            hole_at = at;
        }
    }
    table->places[hole_at] = (struct tn_table_place){0};
    table->count--;
    return value;
}

const struct tn_table_place *tn_table_next(const struct tn_table *table, size_t *cursor)
{
    while (table->places != NULL && *cursor <= table->mask) {
        const struct tn_table_place *place = &table->places[(*cursor)++];
        if (place->hash != 0) {
            return place;
        }
    }
    return NULL;
}

void tn_table_clear(struct tn_table *table)
{
    if (table->count > 0) {
        memset(table->places, 0, (table->mask + 1) * sizeof(*table->places));
        table->count = 0;
    }
}
