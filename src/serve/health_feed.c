/* From the catalog to gRPC's health service: see health_feed.h. */
#include "serve/health_feed.h"

#include "base/mem.h"
#include "rpc/health.h"

enum { NAMES_MAX = TN_HEALTH_SERVICES_MAX - 2 };

struct tn_health_feed {
    struct tn_service *service;
    struct tn_health *health;
    struct tn_catalog_reader reader; /* of the repository's thread */
    char **names;                    /* told to be serving */
    size_t count;
};

static const char inference[] = "inference.GRPCInferenceService";

enum tn_err tn_health_feed_create(struct tn_service *service, struct tn_server *server,
                                  struct tn_health_feed **ret_feed)
{
    struct tn_health_feed *feed = tn_mem_take_zeroed(1, sizeof(*feed));
    if (feed == NULL) {
        return TN_NOMEM;
    }
    feed->service = service;
    feed->names = tn_mem_take_zeroed(NAMES_MAX, sizeof(*feed->names));
    enum tn_err err = feed->names != NULL ? tn_health_create(server, &feed->health) : TN_NOMEM;
    if (err == TN_OK) {
        err = tn_health_set(feed->health, tn_str_from(inference), false);
    }
    if (err != TN_OK) {
        tn_health_feed_destroy(feed);
        return err;
    }
    tn_catalog_reader_open(&feed->reader, &service->catalog);
    *ret_feed = feed;
    return TN_OK;
}

void tn_health_feed_destroy(struct tn_health_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    if (feed->reader.catalog != NULL) {
        tn_catalog_reader_close(&feed->reader);
    }
    for (size_t i = 0; feed->names != NULL && i < feed->count; i++) {
        tn_mem_give(feed->names[i]);
    }
    tn_mem_give(feed->names);
    tn_health_destroy(feed->health);
    tn_mem_give(feed);
}

static bool is_told(const struct tn_health_feed *feed, struct tn_str name)
{
    for (size_t i = 0; i < feed->count; i++) {
        if (tn_str_is(name, feed->names[i])) {
            return true;
        }
    }
    return false;
}

/* What memory or room does not suffice for stays unknown to health checks; it is served all the
 * same. */
static void tell(struct tn_health_feed *feed, struct tn_str name)
{
    if (feed->count == NAMES_MAX || is_told(feed, name)) {
        return;
    }
    char *copy = tn_mem_copy_str(name);
    if (copy == NULL || tn_health_set(feed->health, name, true) != TN_OK) {
        tn_mem_give(copy);
        return;
    }
    feed->names[feed->count++] = copy;
}

void tn_health_feed_update(struct tn_health_feed *feed)
{
    const struct tn_catalog_view *view = tn_catalog_read(&feed->reader);
    for (size_t i = 0; i < view->count; i++) {
        tell(feed, view->entries[i]->info->name);
    }
    for (size_t i = feed->count; i > 0; i--) {
        struct tn_str name = tn_str_from(feed->names[i - 1]);
        if (tn_catalog_find(view, name, -1) == NULL) {
            tn_health_remove(feed->health, name);
            tn_mem_give(feed->names[i - 1]);
            feed->names[i - 1] = feed->names[--feed->count];
        }
    }
    bool ready = tn_service_ready(feed->service);
    enum tn_err err = tn_health_set(feed->health, tn_str_from(""), ready);
    if (err == TN_OK) {
        err = tn_health_set(feed->health, tn_str_from(inference), ready);
    }
    (void)err; /* both names are in the table since creation */
}

void tn_health_feed_shut(struct tn_health_feed *feed)
{
    tn_health_shut(feed->health);
}
