/* The map from names and versions to loaded models: see catalog.h. */
#include "serve/catalog.h"

#include "base/mem.h"
#include "core/assert.h"

static uint32_t hash_name(struct tn_str name)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ (uint8_t)name.data[i]) * 16777619U;
    }
    return hash ^ hash >> 15;
}

static void view_unref(struct tn_catalog_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < view->count; i++) {
        tn_entry_unref(view->entries[i]);
    }
    tn_mem_give(view);
}

static struct tn_catalog_view *view_create(size_t room)
{
    size_t buckets = 8;
    while (buckets < 2 * room) {
        buckets *= 2;
    }
    struct tn_catalog_view *view = tn_mem_take_zeroed(
        1, sizeof(*view) + room * sizeof(struct tn_entry *) + buckets * sizeof(uint32_t));
    if (view == NULL) {
        return NULL;
    }
    atomic_init(&view->refs, 1);
    view->mask = buckets - 1;
    view->entries = (struct tn_entry **)(view + 1);
    view->buckets = (uint32_t *)(view->entries + room);
    return view;
}

static void view_index(struct tn_catalog_view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        struct tn_str name = view->entries[i]->info->name;
        if (i > 0 && tn_str_equal(name, view->entries[i - 1]->info->name)) {
            continue;
        }
        size_t bucket = hash_name(name) & view->mask;
        while (view->buckets[bucket] != 0) {
            bucket = (bucket + 1) & view->mask;
        }
        view->buckets[bucket] = (uint32_t)i + 1;
    }
}

/* By name, then the newest version first. */
static int order(const struct tn_entry *entry, struct tn_str name, uint64_t version)
{
    struct tn_str own = entry->info->name;
    size_t shared = own.size < name.size ? own.size : name.size;
    int cmp = shared > 0 ? memcmp(own.data, name.data, shared) : 0;
    if (cmp == 0 && own.size != name.size) {
        cmp = own.size < name.size ? -1 : 1;
    }
    if (cmp == 0 && entry->info->version != version) {
        cmp = entry->info->version > version ? -1 : 1;
    }
    return cmp;
}

/* The old view without `name`/`version`, and with `added` in its place when not NULL. */
static struct tn_catalog_view *view_change(const struct tn_catalog_view *old, struct tn_str name,
                                           uint64_t version, struct tn_entry *added)
{
    struct tn_catalog_view *view = view_create(old->count + 1);
    if (view == NULL) {
        return NULL;
    }
    bool placed = added == NULL;
    for (size_t i = 0; i < old->count; i++) {
        int cmp = order(old->entries[i], name, version);
        if (!placed && cmp >= 0) {
            view->entries[view->count++] = added;
            placed = true;
        }
        if (cmp != 0) {
            view->entries[view->count++] = tn_entry_ref(old->entries[i]);
        }
    }
    if (!placed) {
        view->entries[view->count++] = added;
    }
    view_index(view);
    return view;
}

static void publish(struct tn_catalog *catalog, struct tn_catalog_view *view)
{
    pthread_mutex_lock(&catalog->lock);
    struct tn_catalog_view *old = catalog->view;
    catalog->view = view;
    atomic_fetch_add_explicit(&catalog->generation, 1, memory_order_release);
    pthread_mutex_unlock(&catalog->lock);
    view_unref(old);
}

enum tn_err tn_catalog_init(struct tn_catalog *catalog)
{
    *catalog = (struct tn_catalog){0};
    catalog->view = view_create(0);
    if (catalog->view == NULL) {
        return TN_NOMEM;
    }
    pthread_mutex_init(&catalog->lock, NULL);
    atomic_init(&catalog->generation, 1);
    return TN_OK;
}

void tn_catalog_deinit(struct tn_catalog *catalog)
{
    if (catalog->view == NULL) {
        return;
    }
    view_unref(catalog->view);
    catalog->view = NULL;
    pthread_mutex_destroy(&catalog->lock);
}

enum tn_err tn_catalog_put(struct tn_catalog *catalog, struct tn_entry *entry)
{
    if (catalog->view->count >= TN_CATALOG_ENTRIES_MAX) {
        return TN_LIMIT;
    }
    struct tn_catalog_view *view =
        view_change(catalog->view, entry->info->name, entry->info->version, entry);
    if (view == NULL) {
        return TN_NOMEM;
    }
    publish(catalog, view);
    return TN_OK;
}

enum tn_err tn_catalog_remove(struct tn_catalog *catalog, struct tn_str name, uint64_t version)
{
    struct tn_entry *entry = tn_catalog_find(catalog->view, name, (int64_t)version);
    if (entry == NULL) {
        return TN_NOTFOUND;
    }
    struct tn_catalog_view *view = view_change(catalog->view, name, version, NULL);
    if (view == NULL) {
        return TN_NOMEM;
    }
    publish(catalog, view);
    return TN_OK;
}

void tn_catalog_reader_open(struct tn_catalog_reader *reader, struct tn_catalog *catalog)
{
    *reader = (struct tn_catalog_reader){.catalog = catalog};
    tn_catalog_reader_refresh(reader);
}

void tn_catalog_reader_close(struct tn_catalog_reader *reader)
{
    view_unref(reader->view);
    *reader = (struct tn_catalog_reader){0};
}

void tn_catalog_reader_refresh(struct tn_catalog_reader *reader)
{
    struct tn_catalog_view *old = reader->view;
    pthread_mutex_lock(&reader->catalog->lock);
    reader->view = reader->catalog->view;
    reader->generation = atomic_load(&reader->catalog->generation);
    atomic_fetch_add(&reader->view->refs, 1);
    pthread_mutex_unlock(&reader->catalog->lock);
    view_unref(old);
}

static size_t find_name(const struct tn_catalog_view *view, struct tn_str name)
{
    size_t bucket = hash_name(name) & view->mask;
    for (; view->buckets[bucket] != 0; bucket = (bucket + 1) & view->mask) {
        size_t index = view->buckets[bucket] - 1;
        if (tn_str_equal(view->entries[index]->info->name, name)) {
            return index;
        }
    }
    return SIZE_MAX;
}

struct tn_entry *tn_catalog_find(const struct tn_catalog_view *view, struct tn_str name,
                                 int64_t version)
{
    size_t index = find_name(view, name);
    if (index == SIZE_MAX) {
        return NULL;
    }
    for (; version >= 0 && view->entries[index]->info->version != (uint64_t)version; index++) {
        if (index + 1 == view->count || !tn_str_equal(view->entries[index + 1]->info->name, name)) {
            return NULL;
        }
    }
    return view->entries[index];
}

static bool read_version(struct tn_str text, int64_t *ret_version)
{
    int64_t version = 0;
    if (text.size == 0 || text.size > 18) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        version = version * 10 + (text.data[i] - '0');
    }
    *ret_version = version;
    return true;
}

enum tn_err tn_catalog_resolve(const struct tn_catalog_view *view, struct tn_str name,
                               struct tn_str version, struct tn_entry **ret_entry,
                               struct tn_fault *fault)
{
    int64_t number = -1;
    if (version.size > 0 && !read_version(version, &number) && !tn_str_is(version, "-1")) {
        return tn_fault_set(fault, TN_INVALID, "model version '%.*s' is not a number",
                            TN_STR_ARG(version));
    }
    struct tn_entry *entry = tn_catalog_find(view, name, number);
    if (entry == NULL && number >= 0 && tn_catalog_find(view, name, -1) != NULL) {
        return tn_fault_set(fault, TN_NOTFOUND, "model '%.*s' has no version %lld that is ready",
                            TN_STR_ARG(name), (long long)number);
    }
    if (entry == NULL) {
        return tn_fault_set(fault, TN_NOTFOUND, "no model '%.*s' is ready", TN_STR_ARG(name));
    }
    *ret_entry = entry;
    return TN_OK;
}

struct tn_entry *tn_catalog_acquire(struct tn_catalog *catalog, struct tn_str name, int64_t version)
{
    pthread_mutex_lock(&catalog->lock);
    struct tn_entry *entry = tn_catalog_find(catalog->view, name, version);
    if (entry != NULL) {
        tn_entry_ref(entry);
    }
    pthread_mutex_unlock(&catalog->lock);
    return entry;
}
