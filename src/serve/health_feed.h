/* Tells gRPC's health service what the catalog holds: "" for the server as a whole, the inference
 * service, and each model by its name.
 * Memory: the names that were told. Threads: update from the repository's thread, shut from a loop.
 * Bounds: as rpc/health.h. */
#ifndef TN_SERVE_HEALTH_FEED_H
#define TN_SERVE_HEALTH_FEED_H

#include "rpc/server.h"
#include "serve/service.h"

struct tn_health_feed;

TN_MUST enum tn_err tn_health_feed_create(struct tn_service *service, struct tn_server *server,
                                          struct tn_health_feed **ret_feed);
void tn_health_feed_destroy(struct tn_health_feed *feed); /* NULL accepted */

void tn_health_feed_update(struct tn_health_feed *feed);

/* Nothing is serving any more. */
void tn_health_feed_shut(struct tn_health_feed *feed);

#endif
